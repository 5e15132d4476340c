/* A tree at a revision: the newest checkpoint at or before it, and the records behind that.
 *
 * A restore of everything makes what lies between it and its target irrelevant, so the road goes from there to the target
 * instead: the target's own checkpoint, not the newest one.  Trees met on the way are remembered, since restores ask for
 * them again. */
#include "config/internal.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What a scoped restore costs an opener: its target may need another checkpoint. */
#define SCOPED_RESTORE_COST ((size_t)256 * 1024)

void lg_state_clear(struct lg_state *state)
{
	lg_tree_unref(state->tree);
	lg_controls_clear(&state->controls);
	*state = (struct lg_state){ 0 };
}

/* --- the cache ----------------------------------------------------------------------------------------------------- */

static struct lg_tree *recall(struct lg_config *config, uint64_t revision)
{
	for (size_t i = 0; i < LG_TREE_CACHE; i++) {
		struct lg_cached_tree *slot = &config->cache[i];
		if (slot->tree && slot->revision == revision) {
			slot->used = ++config->cache_clock;
			return lg_tree_ref(slot->tree);
		}
	}
	return NULL;
}

void lg_state_remember(struct lg_config *config, uint64_t revision, struct lg_tree *tree)
{
	struct lg_cached_tree *slot = &config->cache[0];
	for (size_t i = 0; i < LG_TREE_CACHE; i++) {
		if (config->cache[i].tree && config->cache[i].revision == revision)
			return;
		if (config->cache[i].used < slot->used)
			slot = &config->cache[i];
	}
	lg_tree_unref(slot->tree);
	*slot = (struct lg_cached_tree){ revision, ++config->cache_clock, lg_tree_ref(tree) };
}

void lg_state_forget_all(struct lg_config *config)
{
	for (size_t i = 0; i < LG_TREE_CACHE; i++) {
		lg_tree_unref(config->cache[i].tree);
		config->cache[i] = (struct lg_cached_tree){ 0 };
	}
}

/* --- the records to replay ------------------------------------------------------------------------------------------ */

/* Copies of state records, newest first. */
struct tail {
	struct lg_record *records;
	size_t count, size;
	bool has_restore; /* the oldest one restores everything: what is before it does not matter */
	uint64_t restore_to;
};

static void tail_clear(struct tail *tail)
{
	for (size_t i = 0; i < tail->count; i++)
		free((char *)(uintptr_t)tail->records[i].body);
	free(tail->records);
}

static int keep_record(struct tail *tail, const struct lg_record *record, struct lg_error *err)
{
	if (tail->count == tail->size) {
		size_t size = tail->size ? tail->size * 2 : 16;
		struct lg_record *records = realloc(tail->records, size * sizeof *records);
		if (!records)
			return lg_fail_nomem(err);
		tail->records = records;
		tail->size = size;
	}
	char *body = malloc(record->body_len + 1);
	if (!body)
		return lg_fail_nomem(err);
	memcpy(body, record->body, record->body_len);
	body[record->body_len] = '\0';
	struct lg_record *copy = &tail->records[tail->count++];
	*copy = *record;
	copy->body = body;
	copy->actor = copy->reason = "";
	copy->keys = NULL;
	copy->key_count = 0;
	return 0;
}

#define STOP 1

static int gather(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct tail *tail = arg;
	int rc = keep_record(tail, record, err);
	if (rc < 0 || record->kind != LG_KIND_RESTORE)
		return rc;
	struct lg_restore_body body;
	rc = lg_restore_body_parse(record, &body, err);
	if (rc < 0)
		return rc;
	tail->has_restore = lg_scope_is_all(&body.scope);
	tail->restore_to = body.to;
	lg_scope_clear(&body.scope);
	return tail->has_restore ? STOP : 0;
}

size_t lg_state_replay_cost(const struct lg_record *record)
{
	static const char everything[] = "\"scope\":{}";
	bool scoped = record->kind == LG_KIND_RESTORE &&
		!memmem(record->body, record->body_len, everything, sizeof everything - 1);
	return record->body_len + 1024 + (scoped ? SCOPED_RESTORE_COST : 0);
}

/* --- loading -------------------------------------------------------------------------------------------------------- */

static int read_checkpoint(void *arg, const struct lg_log_checkpoint *checkpoint, struct lg_error *err)
{
	struct lg_state *state = arg;
	state->base_seq = checkpoint->seq;
	return lg_checkpoint_decode(checkpoint->data, checkpoint->len, checkpoint->seq, &state->revision,
		&state->tree, &state->controls, err);
}

/* From the beginning of the log, which retention must not have cut. */
static int start_empty(struct lg_config *config, uint64_t at, struct lg_state *state, struct lg_error *err)
{
	uint64_t first;
	int rc = lg_log_first(config->log, &first, err);
	if (rc < 0)
		return rc;
	if (first > 1)
		return lg_fail(err, LG_ENOTFOUND, 0,
			"r%" PRIu64 " was dropped by retention; the oldest one kept is r%" PRIu64, at, first);
	state->tree = lg_tree_empty();
	return state->tree ? 0 : lg_fail_nomem(err);
}

static int load_base(struct lg_config *config, uint64_t at, const struct tail *tail, uint64_t checkpoint_seq,
	struct lg_state *state, struct lg_error *err)
{
	if (tail->has_restore) {
		int rc = lg_state_load(config, tail->restore_to, state, err);
		if (rc == 0 && state->revision)
			lg_state_remember(
				config, state->revision, state->tree); /* the restore asks for it again */
		return rc;
	}
	if (checkpoint_seq)
		return lg_log_checkpoint_read(config->log, checkpoint_seq, read_checkpoint, state, err);
	return start_empty(config, at, state, err);
}

static int replay(
	struct lg_config *config, const struct tail *tail, struct lg_state *state, struct lg_error *err)
{
	for (size_t i = tail->count; i-- > 0;) {
		const struct lg_record *record = &tail->records[i];
		struct lg_tree *next = NULL;
		int rc = lg_apply_record(config, state->tree, record, &next, err);
		if (rc < 0)
			return rc;
		lg_tree_unref(state->tree);
		state->tree = next;
		state->revision = record->seq;
		state->tail_cost += lg_state_replay_cost(record);
		lg_state_remember(config, record->seq, next);
	}
	return 0;
}

static int check_record_root(void *arg, const struct lg_record *record, struct lg_error *err)
{
	return lg_check_root(arg, record, err);
}

/* A checkpoint alone: what it holds must be what the log records, unless retention has dropped that record. */
static int check_checkpoint(struct lg_config *config, const struct lg_state *state, struct lg_error *err)
{
	if (state->revision == 0)
		return 0;
	const struct lg_log_query one = { .from = state->revision, .to = state->revision, .no_body = true };
	return lg_log_query(config->log, &one, check_record_root, state->tree, err);
}

static int load(struct lg_config *config, uint64_t at, struct lg_state *state, struct lg_error *err)
{
	uint64_t checkpoint_seq = 0;
	int rc = lg_log_checkpoint_find(config->log, at, &checkpoint_seq, err);
	if (rc < 0 && rc != LG_ENOTFOUND)
		return rc;
	lg_cleanup(tail_clear) struct tail tail = { 0 };
	const struct lg_log_query query = {
		.from = checkpoint_seq + 1, .to = at, .kinds = LG_STATE_KINDS, .newest_first = true
	};
	if (checkpoint_seq < at)
		rc = lg_log_query(config->log, &query, gather, &tail, err);
	else
		rc = 0;
	if (rc < 0)
		return rc;
	rc = load_base(config, at, &tail, checkpoint_seq, state, err);
	if (rc < 0)
		return rc;
	return tail.count ? replay(config, &tail, state, err) : check_checkpoint(config, state, err);
}

int lg_state_load(struct lg_config *config, uint64_t at, struct lg_state *ret_state, struct lg_error *err)
{
	struct lg_state state = { 0 };
	int rc = load(config, at, &state, err);
	if (rc < 0) {
		lg_state_clear(&state);
		return rc;
	}
	*ret_state = state;
	return 0;
}

static int first_seq(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	*(uint64_t *)arg = record->seq;
	return STOP;
}

int lg_state_tree_at(struct lg_config *config, uint64_t at, struct lg_tree **ret_tree, struct lg_error *err)
{
	if (at > config->head.seq)
		return lg_fail(err, LG_ENOTFOUND, 0,
			"there is no r%" PRIu64 " yet; the newest record is r%" PRIu64, at, config->head.seq);
	struct lg_tree *known = at ? recall(config, at) : NULL;
	if (known) {
		*ret_tree = known;
		return 0;
	}
	uint64_t revision = 0;
	const struct lg_log_query newest = {
		.to = at, .kinds = LG_STATE_KINDS, .newest_first = true, .no_body = true, .limit = 1
	};
	int rc = at ? lg_log_query(config->log, &newest, first_seq, &revision, err) : 0;
	if (rc < 0)
		return rc;
	known = revision ? recall(config, revision) : NULL;
	if (!known && revision == config->published->revision)
		known = lg_tree_ref(config->published->tree);
	if (known) {
		*ret_tree = known;
		return 0;
	}
	struct lg_state state = { 0 };
	rc = lg_state_load(config, at, &state, err);
	if (rc < 0)
		return rc;
	if (revision)
		lg_state_remember(config, revision, state.tree);
	*ret_tree = lg_steal_ptr(&state.tree);
	lg_state_clear(&state);
	return 0;
}
