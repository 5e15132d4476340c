/* internal.h - the inside of the configuration service, shared by src/config only.
 *
 *	config.c      open, publish, refresh, subscribe          the lock, and turns at the log
 *	state.c       a tree at a revision, from checkpoint and log
 *	cache.c       old states in memory, bounded by count and bytes
 *	apply.c       one record applied to a tree
 *	checkpoint.c  a tree as bytes and back
 *	checkpointer.c  when one is written, in a thread beside the writers
 *	commit.c      changes, restores, controls: what each asks for, validated into records
 *	append.c      sealing records
 *	group.c       one append for all who write at the time: conflict, unknown outcome, publishing
 *	control.c     marks and holds, folded from control records
 *	gone.c        what is not in the log any more, and what is nearest to it
 *	history.c     what touched a key
 *	touch.c       what touched a scope last
 *	retention.c   what of the history may go
 *	since.c       the record that a value comes from, through restores
 *	target.c      "r12", "@-1", "good", times → a revision
 *	refusal.c     attempts that were refused, on the record
 *
 * Threads.  Two things are held, always in this order:
 *
 *	the lock   a mutex.  Guards the line of requests and the tip.  Never held while the disk is waited for by an append.
 *	the log    a turn, in the order of asking, taken with the lock held.  Who has it alone may call the log, and alone may
 *	           change what is durable (head, published, controls, cache, subscribers, what is known of checkpoints), for
 *	           which it holds the lock as well.  So these may be read with either.
 *
 * lg_config_lock takes both and is what everything takes that is not a writer; it nests.  A leader (group.c) keeps the log
 * and lets go of the lock while it appends: then others prepare the next batch on the tip, and nobody sees a log whose head
 * is ahead of the state.
 */
#ifndef LG_CONFIG_INTERNAL_H
#define LG_CONFIG_INTERNAL_H

#include "config/config.h"
#include "model/value.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#define LG_STATE_KINDS   ((1u << LG_KIND_CHANGE) | (1u << LG_KIND_RESTORE))
#define LG_CONTROL_KINDS ((1u << LG_KIND_MARK) | (1u << LG_KIND_HOLD) | (1u << LG_KIND_RELEASE))

#define LG_TREE_CACHE  16
#define LG_DAMAGED_MAX 8
#define LG_TOUCH_MEMOS 8

/* What readers see; replaced whole. */
struct lg_published {
	uint64_t revision;
	uint64_t seq;
	struct lg_tree *tree;
};

struct lg_cached_tree {
	uint64_t revision; /* 0: empty slot */
	uint64_t used;
	struct lg_tree *tree;
};

/* What was found out about a scope: `seq` touched it last, as of record `as_of` (0: empty slot). */
struct lg_touch_memo {
	struct lg_scope scope;
	uint64_t as_of, seq;
	int64_t time_us;
};

/* The newest state that anything was prepared for: what is durable, with what is prepared or being appended on top. */
struct lg_tip {
	struct lg_log_head head;
	uint64_t revision;
	struct lg_tree *tree;               /* a reference */
	const struct lg_controls *controls; /* the config's, or those of the newest request that has its own */
};

struct lg_request;

/* Counts batches that are done, for those who sleep on it. */
struct lg_rounds {
	_Atomic uint32_t number;
	_Atomic bool wakes_all;               /* who is woken next wakes the others */
	_Atomic(_Atomic uint32_t *) wakes_it; /* and this one, which sleeps alone */
};

/* Those who write at the time, in the order in which they came: first the prepared ones, then those still to be prepared.
 * Those whose batch is being appended are off the line. */
struct lg_group {
	_Atomic(struct lg_request *) arrived; /* newest first, not in the line yet; needs no lock */
	struct lg_request *first, *last;
	struct lg_request *waiting; /* the first that is not prepared, or NULL */
	size_t prepared_records, prepared_bytes;
	struct lg_tip tip;
	struct lg_record *records;   /* room for a batch; belongs to who leads */
	uint8_t ids[32][LG_ID_SIZE]; /* for the next records */
	size_t id_count;
	bool is_led;
	/* Batches are numbered as they are taken off the line; the next one's number.  Who waits for a batch sleeps on the
	   rounds of those as even, or as odd, as it, so that one call wakes them all and few others. */
	_Atomic uint32_t batch;
	struct lg_rounds rounds[2];
};

struct lg_config {
	char *state_dir;
	struct lg_log *log;
	const struct lg_clock *clock;
	bool has_secret_key;
	uint8_t secret_key[LG_SECRET_KEY_SIZE];

	struct lg_published *published; /* under liburcu */

	pthread_mutex_t lock;
	_Atomic bool lock_wanted; /* by who has the log */
	pthread_cond_t turns;     /* at the log: another one's turn has come */
	uint64_t turns_given, turn;
	_Atomic(const void *) holder; /* of the log: lg_config_has_log */
	unsigned depth;               /* of lg_config_lock; the holder's */
	struct lg_group group;

	struct lg_log_head head;
	struct lg_controls controls;
	struct lg_subscriber *subscribers;
	size_t subscriber_count;
	bool asks_before; /* one of them has a say */
	struct lg_cached_tree cache[LG_TREE_CACHE];
	uint64_t cache_clock;
	size_t cache_limit; /* bytes; 0: by the size of the published state */
	size_t published_bytes;
	size_t freed_bytes; /* since the allocator was last asked to give back */
	bool in_subscriber; /* one is being asked or told: nothing may be written meanwhile */
	struct lg_checkpoint_job *checkpoint_job; /* being written, or written and not yet noted; NULL: none */
	uint64_t damaged[LG_DAMAGED_MAX];         /* checkpoints that could not be read; 0: empty slot */
	int64_t checkpoint_began_ns;              /* the last one of this process; 0: none yet */
	uint64_t checkpoint_seq;                  /* newest known */
	struct lg_touch_memo touched[LG_TOUCH_MEMOS];
	size_t next_touched;
	size_t checkpoint_len;
	size_t tail_cost;   /* what replaying from there costs an opener, in bytes of body */
	bool tail_goes_far; /* a restore behind it brings back a part of a state from before it */

	struct lg_refusals *refusals; /* NULL: refused attempts are not recorded; has its own lock */
};

/* The lock alone.  Who has the log comes first, and who has much to do lets it pass in between. */
void lg_config_take_lock(struct lg_config *config);
void lg_config_take_lock_first(struct lg_config *config);
void lg_config_let_pass(struct lg_config *config);
/* Does anybody wait for a turn at the log?  Lock held. */
bool lg_config_others_wait(const struct lg_config *config);
void lg_config_lock(struct lg_config *config);
void lg_config_unlock(struct lg_config *config);
/* Does the calling thread have the log? */
bool lg_config_has_log(const struct lg_config *config);
int lg_config_refresh_locked(struct lg_config *config, struct lg_error *err);
/* Room for the next state.  It is made before anything is written, so that what is durable can always be published: a head
 * that moved without the state would let the next change be made on a stale one. */
struct lg_published *lg_published_new(struct lg_error *err);
void lg_published_free(struct lg_published *published);
void lg_published_freep(struct lg_published **published);
/* Makes tree the current state (a reference is taken, the room is taken over) and tells the subscribers. */
void lg_config_publish(struct lg_config *config, struct lg_published *room, uint64_t revision, uint64_t seq,
	struct lg_tree *tree);
/* LG_EINTERNAL for a subscriber, or a visitor of records, that wants to write: it would wait for itself. */
int lg_config_may_write(const struct lg_config *config, struct lg_error *err);

/* state.c. Lock held. */
struct lg_state {
	uint64_t revision;
	struct lg_tree *tree;        /* a reference */
	uint64_t base_seq;           /* the checkpoint it came from, 0: the beginning */
	size_t base_len;             /* its size */
	struct lg_controls controls; /* as of base_seq */
	size_t tail_cost;
	bool tail_goes_far;
};
void lg_state_clear(struct lg_state *state);
/* The state in force after record `at`, from checkpoint and log alone. */
int lg_state_load(struct lg_config *config, uint64_t at, struct lg_state *ret_state, struct lg_error *err);
/* The records behind the newest checkpoint at or before `at`, walked one by one along the chain. */
struct lg_tail {
	uint64_t from;
	uint64_t revision; /* the newest one among them, 0: none */
	size_t controls;   /* how many of LG_CONTROL_KINDS */
};
int lg_state_tail(struct lg_config *config, uint64_t at, struct lg_tail *ret_tail, struct lg_error *err);
/* The same, from what is cached if it can be. */
int lg_state_tree_at(struct lg_config *config, uint64_t at, struct lg_tree **ret_tree, struct lg_error *err);
/* Counts a record that was appended or followed towards the next checkpoint. */
void lg_state_count_cost(struct lg_config *config, const struct lg_record *record);

/* gone.c: LG_ENOTFOUND when retention has dropped the record `to`.  Its state may be readable still, from the checkpoint that
 * the cut stands on, but not for long: nothing that is recorded may stand on it.  Lock held. */
int lg_check_not_dropped(struct lg_config *config, uint64_t to, struct lg_error *err);

/* retention.c: sees to it that there is a checkpoint that can be read at exactly this seq. Lock held. */
int lg_checkpoint_at(struct lg_config *config, uint64_t seq, struct lg_error *err);
/* LG_ENOTFOUND when the newest retention recorded that it drops this revision. Lock held. */
int lg_check_not_cut(struct lg_config *config, uint64_t to, struct lg_error *err);

/* cache.c.  Lock held. */
/* Notes what the published tree takes; NULL: there is none any more. */
void lg_cache_published(struct lg_config *config, const struct lg_tree *tree);
/* What trees of this process hold beyond the published ones. */
size_t lg_cache_bytes(void);
/* A reference, or NULL. */
struct lg_tree *lg_cache_recall(struct lg_config *config, uint64_t revision);
void lg_cache_remember(struct lg_config *config, uint64_t revision, struct lg_tree *tree);
void lg_cache_bound(
	struct lg_config *config); /* drops the least recently used until the rest is within bounds */
void lg_cache_clear(struct lg_config *config);

/* apply.c */
struct lg_restore_body {
	uint64_t to;
	struct lg_scope scope;
};
int lg_restore_body_parse(
	const struct lg_record *record, struct lg_restore_body *ret_body, struct lg_error *err);
/* Tree after a state record on top of `base`; compared with the record's root.  from: what a restore brings back, if it is
 * at hand, or NULL. */
int lg_apply_record(struct lg_config *config, struct lg_tree *base, struct lg_tree *from,
	const struct lg_record *record, struct lg_tree **ret_tree, struct lg_error *err);
int lg_check_root(const struct lg_tree *tree, const struct lg_record *record, struct lg_error *err);

/* checkpoint.c */
int lg_checkpoint_encode(const struct lg_log_head *at, uint64_t revision, const struct lg_tree *tree,
	const struct lg_controls *controls, struct lg_buf *buf, struct lg_error *err);
/* Of which record one is, if its bytes are whole; else LG_ECORRUPT, without a message. */
int lg_checkpoint_identify(const void *data, size_t len, uint64_t *ret_seq, uint8_t ret_hash[LG_HASH_SIZE]);
/* LG_ECORRUPT when anything is off: checksum, history, order, root. */
int lg_checkpoint_decode(const struct lg_log_checkpoint *checkpoint, uint64_t *ret_revision,
	struct lg_tree **ret_tree, struct lg_controls *ret_controls, struct lg_error *err);

/* checkpointer.c */
/* Begins one when enough has gathered behind the last. Lock held. */
void lg_checkpoint_if_due(struct lg_config *config);
/* Waits for the one being written. Before closing. */
void lg_checkpoint_finish(struct lg_config *config);

/* control.c */
void lg_controls_clear(struct lg_controls *controls);
int lg_controls_copy(const struct lg_controls *controls, struct lg_controls *ret_copy, struct lg_error *err);
int lg_controls_fold(struct lg_controls *controls, const struct lg_record *record, struct lg_error *err);
int lg_controls_to_json(const struct lg_controls *controls, json_t **ret_json, struct lg_error *err);
int lg_controls_from_json(const json_t *json, struct lg_controls *ret_controls, struct lg_error *err);
const struct lg_hold *lg_controls_held(const struct lg_controls *controls, const char *key, size_t len);

/* group.c */

enum lg_told { LG_TOLD_NOTHING, LG_TOLD_LEAD, LG_TOLD_DONE };

/* What one writer asks for.  It lives on the writer's stack until lg_group_submit returns; who has the lock may prepare it
 * meanwhile, in any thread. */
struct lg_request {
	/* the writer's */
	/* Validates it on the tip and seals its records (lg_request_seal), if there are any to write.  Lock held.  A failure is
	   the request's own: it is what the writer gets, and the tip is as before. */
	int (*prepare)(struct lg_config *config, struct lg_request *request, struct lg_error *err);
	/* Forgets what prepare made, since what it stood on did not come to be. */
	void (*forget)(struct lg_request *request);
	bool asks_subscribers;
	bool needs_log; /* prepare reads it */
	struct lg_error *err;

	/* what prepare made */
	int rc;
	struct lg_record *records; /* NULL: a verdict only, true once what it stands on is durable */
	size_t count;
	size_t bytes;
	struct lg_record one;        /* where records points to when there is only one */
	struct lg_tree *next;        /* borrowed: the state after it, NULL: as before */
	struct lg_controls controls; /* after it, when has_controls */
	bool has_controls;
	struct lg_published *room;

	/* the group's */
	struct lg_request *behind;
	bool is_prepared;
	bool sleeps_alone;      /* else on the rounds of its batch */
	_Atomic uint32_t batch; /* that it is in, 0: none yet */
	_Atomic uint32_t
		told; /* enum lg_told; once it is done the request is its writer's again, and may be gone */
};
/* Returns once the request has its answer, which is durable and published.  The calling thread must not have the log. */
int lg_group_submit(struct lg_config *config, struct lg_request *own);
/* The state moved without the group: what is prepared has to be prepared again.  Lock and log held. */
void lg_group_start_over(struct lg_config *config);
void lg_group_init(struct lg_group *group);
void lg_group_clear(struct lg_group *group);

/* append.c */
struct lg_draft {
	enum lg_kind kind;
	const char *body;
	size_t body_len;
	const uint8_t *root; /* state records */
	const char *const *keys;
	size_t key_count;
};
/* Seals the records of a request on the tip, the state's (or NULL) and the controls behind it, and moves the tip behind
 * them; all or nothing.  All that could fail after the append is made here: room to publish in, the folded controls.  What the
 * records point to must live as long as the request is prepared.  next: the state that follows, NULL: as before.
 * LG_EINVALID: a control record that nobody could read back. */
int lg_request_seal(struct lg_config *config, struct lg_request *request, const struct lg_author *author,
	const struct lg_draft *state, const struct lg_control *controls, size_t control_count,
	const uint8_t (*ids)[LG_ID_SIZE], struct lg_tree *next, struct lg_error *err);
void lg_request_unseal(struct lg_request *request);
/* LG_EINVALID when actor or reason could not be shown, or kept in a checkpoint. */
int lg_author_check(const struct lg_author *author, struct lg_error *err);

/* gone.c. Lock held. */
int lg_gone_nearest(struct lg_config *config, uint64_t seq, uint64_t *ret_before, uint64_t *ret_after,
	struct lg_error *err);
/* LG_ENOTFOUND: what ("r7") cannot be read, since the records around seq are gone, and what is nearest to it. */
int lg_gone_explain(struct lg_config *config, const char *what, uint64_t seq, struct lg_error *err);

/* refusal.c.  Lock not held: these write a record themselves, when one is due.  They never fail. */
struct lg_refusals *lg_refusals_new(void); /* NULL when memory is gone */
void lg_refusals_close(struct lg_config *config);
/* rc, err: how it ended, also well. */
void lg_refusal_after_commit(struct lg_config *config, const struct lg_commit *commit,
	const struct lg_problems *problems, int rc, const struct lg_error *err);
void lg_refusal_after_restore(
	struct lg_config *config, const struct lg_restore *restore, const struct lg_problems *problems, int rc);

/* touch.c: what was found out is no longer so.  Lock held. */
void lg_touch_forget(struct lg_config *config);

/* history.c */
/* Walks the members of "set" and "unset" of a canonical change body without building it.  value NULL for unset. */
int lg_body_each(const char *body, size_t len,
	int (*visit)(void *arg, const char *key, size_t key_len, const char *value, size_t value_len),
	void *arg, struct lg_error *err);

#endif
