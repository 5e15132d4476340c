/* internal.h - the inside of the configuration service, shared by src/config only.
 *
 *	config.c      open, publish, refresh, subscribe          the one lock
 *	state.c       a tree at a revision, from checkpoint and log
 *	apply.c       one record applied to a tree
 *	checkpoint.c  a tree as bytes and back
 *	commit.c      changes: validate, append, publish
 *	append.c      records into the log: sealing, conflict, unknown outcome
 *	control.c     marks and holds, folded from control records
 *	history.c     what touched a key or scope
 *	since.c       the record that a value comes from, through restores
 *	target.c      "r12", "@-1", "good", times → a revision
 */
#ifndef LG_CONFIG_INTERNAL_H
#define LG_CONFIG_INTERNAL_H

#include "config/config.h"
#include "model/value.h"

#include <jansson.h>
#include <pthread.h>

#define LG_STATE_KINDS   ((1u << LG_KIND_CHANGE) | (1u << LG_KIND_RESTORE))
#define LG_CONTROL_KINDS ((1u << LG_KIND_MARK) | (1u << LG_KIND_HOLD) | (1u << LG_KIND_RELEASE))

#define LG_TREE_CACHE 16

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

struct lg_config {
	char *state_dir;
	struct lg_log *log;
	const struct lg_clock *clock;
	bool has_secret_key;
	uint8_t secret_key[LG_SECRET_KEY_SIZE];

	struct lg_published *published; /* under liburcu */

	pthread_mutex_t lock; /* everything below; recursive, since subscribers may read */
	struct lg_log_head head;
	struct lg_controls controls;
	struct lg_subscriber *subscribers;
	size_t subscriber_count;
	struct lg_cached_tree cache[LG_TREE_CACHE];
	uint64_t cache_clock;
	bool in_subscriber;      /* one is being asked or told: nothing may be written meanwhile */
	uint64_t checkpoint_seq; /* newest known */
	size_t checkpoint_len;
	size_t tail_cost;   /* what replaying from there costs an opener, in bytes of body */
	bool tail_goes_far; /* a restore behind it brings back a part of a state from before it */
};

void lg_config_lock(struct lg_config *config);
void lg_config_unlock(struct lg_config *config);
int lg_config_refresh_locked(struct lg_config *config, struct lg_error *err);
/* Room for the next state.  It is made before anything is written, so that what is durable can always be published: a head
 * that moved without the state would let the next change be made on a stale one. */
struct lg_published *lg_published_new(struct lg_error *err);
void lg_published_free(struct lg_published *published);
void lg_published_freep(struct lg_published **published);
/* Makes tree the current state (a reference is taken, the room is taken over) and tells the subscribers. */
void lg_config_publish(struct lg_config *config, struct lg_published *room, uint64_t revision, uint64_t seq,
	struct lg_tree *tree);
/* LG_EINTERNAL for a subscriber that wants to write. */
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
/* The state in force after record `at`. */
int lg_state_load(struct lg_config *config, uint64_t at, struct lg_state *ret_state, struct lg_error *err);
int lg_state_tree_at(struct lg_config *config, uint64_t at, struct lg_tree **ret_tree, struct lg_error *err);
void lg_state_remember(struct lg_config *config, uint64_t revision, struct lg_tree *tree);
void lg_state_forget_all(struct lg_config *config);
/* Counts a record that was appended or followed towards the next checkpoint. */
void lg_state_count_cost(struct lg_config *config, const struct lg_record *record);

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
int lg_checkpoint_encode(uint64_t seq, uint64_t revision, const struct lg_tree *tree,
	const struct lg_controls *controls, struct lg_buf *buf, struct lg_error *err);
/* LG_ECORRUPT when anything is off: checksum, order, root. */
int lg_checkpoint_decode(const void *data, size_t len, uint64_t seq, uint64_t *ret_revision,
	struct lg_tree **ret_tree, struct lg_controls *ret_controls, struct lg_error *err);

/* control.c */
void lg_controls_clear(struct lg_controls *controls);
int lg_controls_copy(const struct lg_controls *controls, struct lg_controls *ret_copy, struct lg_error *err);
int lg_controls_fold(struct lg_controls *controls, const struct lg_record *record, struct lg_error *err);
int lg_controls_to_json(const struct lg_controls *controls, json_t **ret_json, struct lg_error *err);
int lg_controls_from_json(const json_t *json, struct lg_controls *ret_controls, struct lg_error *err);
const struct lg_hold *lg_controls_held(const struct lg_controls *controls, const char *key, size_t len);

/* append.c. Lock held. */
struct lg_draft {
	enum lg_kind kind;
	const char *body;
	size_t body_len;
	const uint8_t *root; /* state records */
	const char *const *keys;
	size_t key_count;
};
/* One append behind the known head, and what follows from it in memory: head, controls, and `next` published (NULL: the
 * state is as before).  All or nothing: what could fail is done before the append.  LG_ECONFLICT: refresh and start over.
 * LG_EINVALID: a control record that nobody could read back.  ret_first: seq of the first record. */
int lg_append_drafts(struct lg_config *config, const struct lg_author *author, const struct lg_draft *drafts,
	size_t count, const uint8_t (*ids)[LG_ID_SIZE], struct lg_tree *next, uint64_t *ret_first,
	struct lg_error *err);
/* LG_EINVALID when actor or reason could not be shown, or kept in a checkpoint. */
int lg_author_check(const struct lg_author *author, struct lg_error *err);
void lg_append_checkpoint_if_due(struct lg_config *config);
/* Did somebody append behind the head that this process knows?  Tells a lost race from a failed expectation. */
bool lg_append_head_moved(struct lg_config *config);

/* history.c */
/* Walks the members of "set" and "unset" of a canonical change body without building it.  value NULL for unset. */
int lg_body_each(const char *body, size_t len,
	int (*visit)(void *arg, const char *key, size_t key_len, const char *value, size_t value_len),
	void *arg, struct lg_error *err);

#endif
