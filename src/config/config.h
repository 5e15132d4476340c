/* config.h - the configuration service: propose → validate → append → publish → notify.
 *
 * One struct lg_config is one opened log with the state that follows from it.  Any number of threads may use it.  Writers
 * (commit, restore, control) that come at the same time share one append, so one sync of the disk: one of them does it for
 * all (group.c).  Each gets its own answer: an invalid change does not hurt its neighbours, and of two that expect the same
 * one wins.  A writer returns when its record is durable and published, so it reads what it wrote; a refusal, too, stands
 * only on what is durable.  Readers (lg_config_snapshot and everything on a tree) take no lock: the current state is
 * published under liburcu and a snapshot is counted inside a read section.  Everything else takes its turn at the log.
 *
 * What is durable is also known here: whatever can fail (memory, a control record that cannot be read) does so before the
 * append, and what follows the append cannot.  After LG_EUNKNOWN nothing is assumed: the next call reads the log.
 *
 * Every change carries the log's head it was made on; when somebody else appended meanwhile the change is validated again
 * on the new state and tried again, so two writers never lose an update and never overwrite unseen.  While a writer is being
 * served its changes, problems and error belong to whichever writer serves it.
 */
#ifndef LG_CONFIG_CONFIG_H
#define LG_CONFIG_CONFIG_H

#include "base/error.h"
#include "base/problems.h"
#include "io/clock.h"
#include "log/log.h"
#include "model/changeset.h"
#include "model/scope.h"
#include "model/secret.h"
#include "model/tree.h"

#include <stdbool.h>
#include <stdint.h>

struct lg_config;

struct lg_config_options {
	const char *state_dir;        /* holds log.db, secret.key, doorbell */
	struct lg_log *log;           /* NULL: sqlite in state_dir; else taken over (tests, wrappers) */
	const struct lg_clock *clock; /* NULL: the system's */
	bool readonly;
	/* old states are kept in memory while they together take at most so many bytes beyond the published one, and forgotten
	   least recently used first; 0: as many as that one and a quarter, at least 64 MiB */
	size_t cache_bytes;
	bool without_state; /* to examine a log that may be damaged: the published state stays the empty one */
};

/* Makes state_dir (0700), the secret key (0600) and an empty log. LG_ECONFLICT when there is a log already. */
int lg_config_init(const char *state_dir, const struct lg_clock *clock, struct lg_error *err);
int lg_config_open(
	const struct lg_config_options *options, struct lg_config **ret_config, struct lg_error *err);
void lg_config_close(struct lg_config *config);
void lg_config_closep(struct lg_config **config);

const char *lg_config_state_dir(const struct lg_config *config);
const uint8_t *lg_config_secret_key(const struct lg_config *config);
const struct lg_clock *lg_config_clock(const struct lg_config *config);

/* --- reading ----------------------------------------------------------------------------------------------------- */

struct lg_snapshot {
	uint64_t revision; /* seq of the newest state record, 0 before any */
	uint64_t seq;      /* seq of the newest record of any kind known */
	struct lg_tree *tree;
};
/* The newest state known to this process.  Any thread; release with lg_snapshot_clear. */
void lg_config_snapshot(struct lg_config *config, struct lg_snapshot *ret_snapshot);
void lg_snapshot_clear(struct lg_snapshot *snapshot);

/* Reads what others appended. */
int lg_config_refresh(struct lg_config *config, struct lg_error *err);
/* Waits until others appended (timeout_ms < 0: however long), then refreshes. 1 when the head moved, 0 when not.  Other threads
 * may use the config meanwhile. */
int lg_config_wait(struct lg_config *config, int64_t timeout_ms, struct lg_error *err);

/* The whole state after `revision` (any seq: the state in force then; 0 is the empty state).  LG_ENOTFOUND when retention
 * dropped it or it is in the future.  The tree's hash has been compared with the record's root. */
int lg_config_tree_at(
	struct lg_config *config, uint64_t revision, struct lg_tree **ret_tree, struct lg_error *err);
/* Root that the log records for this state record, without building the tree. */
int lg_config_root_at(
	struct lg_config *config, uint64_t revision, uint8_t ret_root[LG_HASH_SIZE], struct lg_error *err);

/* The newest stretch of records that are gone with first <= at: 1, 0 when there is none. */
int lg_config_gap(struct lg_config *config, uint64_t at, struct lg_log_gap *ret_gap, struct lg_error *err);
/* The records next to the gap at or before `revision` whose states can be read; 0: there is none on that side. */
int lg_config_nearest(struct lg_config *config, uint64_t revision, uint64_t *ret_before, uint64_t *ret_after,
	struct lg_error *err);

/* Records as they are. */
int lg_config_query(struct lg_config *config, const struct lg_log_query *query, lg_log_visit *visit, void *arg,
	struct lg_error *err);

/* Every record that changed `key`, newest first: changes through the log's key index, merged with the restores that cover
 * it.  value: canonical JSON after the record, NULL when absent. */
struct lg_key_event {
	const struct lg_record *record;
	const char *value;
	size_t value_len;
};
int lg_config_history_key(struct lg_config *config, const char *key, uint64_t limit,
	int (*visit)(void *arg, const struct lg_key_event *event, struct lg_error *err), void *arg,
	struct lg_error *err);

/* Which record behind `revision` do the values at `at` of keys that it changed come from?  A restore is followed to what it brought back:
 * one that left a value as it was, or brought the revision's own back, has not changed it.  What only a record that is gone
 * could tell counts as changed by that. */
struct lg_origin {
	const char *key;
	uint64_t seq; /* filled in; 0: none, what `revision` made of the key still stands */
};
int lg_config_origins(struct lg_config *config, uint64_t revision, uint64_t at, struct lg_origin *items,
	size_t count, struct lg_error *err);

/* Opens a sealed value, for --reveal and adapters. Plain values are copied as they are. */
int lg_config_plain(
	struct lg_config *config, const struct lg_entry *entry, struct lg_buf *ret_value, struct lg_error *err);

/* --- changing ---------------------------------------------------------------------------------------------------- */

struct lg_author {
	const char *actor;  /* "alice", "monitor", "rollback_script" */
	const char *reason; /* free text; rollbacks 'CODE: text' */
	bool automatic;     /* not a person: held scopes refuse it too, and it is recorded */
};

/* Looks at a change before it is appended and a state after it is published.  `before` may refuse (negative code, problems):
 * that change alone.  Called in subscription order, one at a time, with the log held, in the thread of any writer that writes
 * at the time (with one writer: its own).  `former` is the state that the change stands on: the published one, or with what
 * is to be appended together with it.  `before` may be called again for the same change when that state does not come to
 * be.  `after` sees each published state in order: the last of several that were appended together.  Neither may write to
 * the config (LG_EINTERNAL), and a refresh inside finds nothing new: the change stands on the state that they see. */
struct lg_subscriber {
	int (*before)(void *arg, uint64_t revision, struct lg_tree *former, struct lg_tree *next,
		struct lg_problems *problems, struct lg_error *err);
	void (*after)(void *arg, const struct lg_snapshot *snapshot); /* also on refresh */
	void *arg;
};
int lg_config_subscribe(struct lg_config *config, const struct lg_subscriber *subscriber, struct lg_error *err);
/* Takes every subscriber with this arg off. */
void lg_config_unsubscribe(struct lg_config *config, const void *arg);

struct lg_commit {
	struct lg_changeset *changes; /* keys and plain canonical values; sorted and sealed in place */
	struct lg_author author;
	bool has_expect_root; /* compare-and-set on the whole state */
	uint8_t expect_root[LG_HASH_SIZE];
	bool skip_invalid;    /* leave out the changes that have problems instead of refusing all */
	bool ignore_holds;    /* a person's rollback */
	bool dry_run;         /* validate only */
	const char *rollback; /* id, when a rollback writes explicit changes */
	uint64_t reverts;     /* the revision that these take back, 0: none */
	const char *
		action; /* what the author did, for the record of a refusal: "import"; NULL: by what it holds */
	/* ids of the records, so that recovery can find them; NULL: random */
	const uint8_t (*ids)[LG_ID_SIZE];
	/* control records appended in the same append, behind the change, or alone when nothing differs; see lg_control */
	const struct lg_control *controls;
	size_t control_count;
};
struct lg_committed {
	uint64_t revision; /* the new revision; the former one when nothing differed */
	size_t changed;    /* keys that really differ; 0: no state record was appended */
	size_t skipped;
	struct lg_tree *
		tree; /* the resulting state (also of a dry run): caller unrefs, or NULL to ignore via lg_committed_clear */
	uint8_t root[LG_HASH_SIZE];
};
void lg_committed_clear(struct lg_committed *committed);

/* LG_EINVALID with every problem; LG_ECONFLICT naming key, expected and actual change number; LG_EHELD naming the hold. */
int lg_config_commit(struct lg_config *config, const struct lg_commit *commit,
	struct lg_committed *ret_committed, struct lg_problems *problems, struct lg_error *err);

/* A control record to append. body: canonical JSON, without what depends on seq. */
struct lg_control {
	enum lg_kind kind;
	const char *body;
	size_t body_len;
};

/* State is again that of `to` for `scope`, in one record (plus controls, same append).  Subscribers' `before` run.  Where
 * nothing differs there is no such record, and the controls are appended alone: what was asked for is in force, so the
 * mark and the hold that go with it are too. */
struct lg_restore {
	uint64_t to;
	const struct lg_scope *scope;
	struct lg_author author;
	const char *rollback; /* id */
	bool has_expect_root; /* the plan's: LG_ECONFLICT when the scope's hash is another by now */
	uint8_t expect_scope_hash[LG_HASH_SIZE];
	const uint8_t (*ids)[LG_ID_SIZE]; /* 1 + control_count, or NULL */
	const struct lg_control *controls;
	size_t control_count;
	bool dry_run;
};
int lg_config_restore(struct lg_config *config, const struct lg_restore *restore,
	struct lg_committed *ret_committed, struct lg_problems *problems, struct lg_error *err);

/* --- refused attempts (refusal.c)
 * Changes and restores that are refused (invalid, held, refused by a subscriber) are recorded too, gathered and rate-limited, beside
 * their result: one record at once, then at most one every LG_REFUSAL_EVERY_S, out of a bucket of LG_REFUSAL_TOKENS that gains one
 * every LG_REFUSAL_REFILL_S.  Not recorded: dry runs, lost races, and whatever a config without a state directory refuses. */
#define LG_REFUSAL_EVERY_S  60
#define LG_REFUSAL_REFILL_S 600
#define LG_REFUSAL_TOKENS   10
#define LG_REFUSAL_BODY_MAX ((size_t)8192)
/* An attempt that was refused before it became a commit.  message: why; NULL: it could not be read. */
void lg_config_refused(struct lg_config *config, const struct lg_commit *commit, int code,
	const struct lg_problems *problems, const char *message);
/* How many attempts wait for the next record. */
int lg_config_refusals_waiting(struct lg_config *config, uint64_t *ret_count, struct lg_error *err);

/* Control records alone. ret_seq (or NULL): seq of the first. */
int lg_config_control(struct lg_config *config, const struct lg_author *author,
	const struct lg_control *controls, size_t count, uint64_t *ret_seq, struct lg_error *err);

/* Was a record with this id appended after `after`?  1 with its seq, 0 no. */
int lg_config_find_id(struct lg_config *config, uint64_t after, const uint8_t id[LG_ID_SIZE], uint64_t *ret_seq,
	struct lg_error *err);

/* Writes a checkpoint of the current state now (otherwise commits do when enough has gathered). */
int lg_config_checkpoint(struct lg_config *config, struct lg_error *err);

/* --- control state: marks, holds, quarantine ---------------------------------------------------------------------- */

struct lg_hold {
	uint64_t seq; /* its name is h<seq> */
	struct lg_scope scope;
	char *actor;
	char *reason;
	char *rollback; /* or NULL */
	int64_t time_us;
};
struct lg_mark {
	uint64_t seq;
	uint64_t revision;
	struct lg_scope scope;
	bool good; /* else bad: its scope hash is quarantined */
	uint8_t scope_hash[LG_HASH_SIZE];
	char *actor;
	char *reason;
	int64_t time_us;
};
struct lg_controls {
	struct lg_hold *holds;
	size_t hold_count;
	struct lg_mark *marks; /* by seq; a later mark of the same scope and revision replaces the earlier */
	size_t mark_count;
};
/* Valid until the next call that writes or refreshes; single-threaded use. */
const struct lg_controls *lg_config_controls(struct lg_config *config);
/* Bodies for lg_control; appended to buf. */
int lg_control_mark(struct lg_buf *buf, const char *mark /* good bad none */, uint64_t revision,
	const struct lg_scope *scope, const uint8_t scope_hash[LG_HASH_SIZE], struct lg_error *err);
int lg_control_hold(
	struct lg_buf *buf, const struct lg_scope *scope, const char *rollback, struct lg_error *err);
int lg_control_release(struct lg_buf *buf, uint64_t hold_seq, struct lg_error *err);

bool lg_config_is_quarantined(
	struct lg_config *config, const struct lg_scope *scope, const uint8_t scope_hash[LG_HASH_SIZE]);

/* --- targets -------------------------------------------------------------------------------------------------------- */

/* "r12", "12", "r0" (the empty state before the first revision), "head", "@-1", "good", or a time (lg_time_parse).  A backup file is no revision: the caller tries
 * lg_target_is_file first.  ret_why (or NULL): a sentence for people: what was chosen and on what evidence.
 * LG_ENOTFOUND with the reason and what to do instead. */
int lg_config_target(struct lg_config *config, const char *target, const struct lg_scope *scope,
	uint64_t *ret_revision, struct lg_buf *ret_why, struct lg_error *err);
bool lg_target_is_file(const char *target); /* contains '/' or ends in .json .yaml .yml .env .properties */

/* Newest known good of scope older than revision `before`, its scope hash not quarantined and not `not_hash`.
 * ret_mark_age_us: realtime age of the mark. LG_ENOTFOUND when there is none. */
int lg_config_known_good(struct lg_config *config, const struct lg_scope *scope, uint64_t before,
	const uint8_t not_hash[LG_HASH_SIZE], uint64_t *ret_revision, int64_t *ret_mark_age_us,
	struct lg_error *err);
/* Newest revision at or before `at` that changed something in scope; 0 when none. */
int lg_config_last_change(struct lg_config *config, const struct lg_scope *scope, uint64_t at,
	uint64_t *ret_revision, int64_t *ret_time_us, struct lg_error *err);

#endif
