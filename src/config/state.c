/* A tree at a revision: the newest checkpoint at or before it, and the records behind that.
 *
 * A restore of everything makes what lies between it and its target irrelevant, so the road goes from there to the target
 * instead: the target's own checkpoint, not the newest one.  Trees on the road that restores of a part ask for again are
 * kept until then.  What such a restore brings back from elsewhere has to be loaded for itself, and that road may have the
 * like on it; so a checkpoint follows a restore that reaches behind the last one, and no road leads further. */
#include "config/internal.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What a record costs an opener beside its body. */
#define RECORD_COST ((size_t)1024)
#define GONE_MAX    16 /* checkpoints in a row that went while they were about to be read */

void lg_state_clear(struct lg_state *state)
{
	lg_tree_unref(state->tree);
	lg_controls_clear(&state->controls);
	*state = (struct lg_state){ 0 };
}

/* --- the road --------------------------------------------------------------------------------------------------------- */

/* A copy of a state record. */
struct stone {
	struct lg_record record;
	uint64_t in_force_to; /* the state after it is that of every seq from its own up to this one */
	bool is_part;         /* restores a part of `to` */
	uint64_t to;
	bool is_wanted; /* by such a one further on */
	struct lg_tree *tree;
};

/* Newest first. */
struct road {
	struct stone *stones;
	size_t count, size;
	uint64_t
		at; /* where the stretch being gathered ends, or the next one: the target of a restore of everything */
	bool goes_on;
	struct lg_config *config; /* whose cache may spare a part of it; NULL: it is to be gone whole */
	struct lg_tree *known;    /* where it begins then: the state of that revision */
	uint64_t known_revision;
};

static void road_clear(struct road *road)
{
	lg_tree_unref(road->known);
	for (size_t i = 0; i < road->count; i++) {
		free((char *)(uintptr_t)road->stones[i].record.body);
		lg_tree_unref(road->stones[i].tree);
	}
	free(road->stones);
}

static int add_stone(struct road *road, const struct lg_record *record, struct lg_error *err)
{
	if (road->count == road->size) {
		size_t size = road->size ? road->size * 2 : 16;
		struct stone *stones = reallocarray(road->stones, size, sizeof *stones);
		if (!stones)
			return lg_fail_nomem(err);
		road->stones = stones;
		road->size = size;
	}
	char *body = malloc(record->body_len + 1);
	if (!body)
		return lg_fail_nomem(err);
	memcpy(body, record->body, record->body_len);
	body[record->body_len] = '\0';
	struct stone *stone = &road->stones[road->count++];
	*stone = (struct stone){ .record = *record, .in_force_to = road->at };
	stone->record.body = body;
	stone->record.actor = stone->record.reason = "";
	road->at = record->seq - 1;
	return 0;
}

#define STOP 1

static int gather(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct road *road = arg;
	road->known = road->config ? lg_cache_recall(road->config, record->seq) : NULL;
	road->known_revision = record->seq;
	if (road->known)
		return STOP;
	int rc = add_stone(road, record, err);
	if (rc < 0 || record->kind != LG_KIND_RESTORE)
		return rc;
	struct lg_restore_body body;
	rc = lg_restore_body_parse(record, &body, err);
	if (rc < 0)
		return rc;
	struct stone *stone = &road->stones[road->count - 1];
	stone->to = body.to;
	stone->is_part = !lg_scope_is_all(&body.scope);
	lg_scope_clear(&body.scope);
	if (stone->is_part)
		return 0;
	road->at = stone->to;
	road->goes_on = true;
	return STOP;
}

/* The stone whose state is that of seq `at`, or NULL: it lies off the road. */
static struct stone *find_stone(const struct road *road, uint64_t at)
{
	size_t low = 0, high = road->count; /* the first one with a seq of at most `at` */
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (road->stones[middle].record.seq > at)
			low = middle + 1;
		else
			high = middle;
	}
	return low < road->count && road->stones[low].in_force_to >= at ? &road->stones[low] : NULL;
}

static bool is_damaged(const struct lg_config *config, uint64_t seq)
{
	for (size_t i = 0; i < LG_DAMAGED_MAX; i++) {
		if (seq && config->damaged[i] == seq)
			return true;
	}
	return false;
}

/* The newest checkpoint at or before `at` that is not known to be damaged, 0: there is none. */
static int find_checkpoint(struct lg_config *config, uint64_t at, uint64_t *ret_seq, struct lg_error *err)
{
	struct lg_error none = LG_ERROR_INIT;
	uint64_t seq = at + 1;
	int rc = 0;
	do
		rc = seq > 1 ? lg_log_checkpoint_find(config->log, seq - 1, &seq, &none) : LG_ENOTFOUND;
	while (rc == 0 && is_damaged(config, seq));
	if (rc < 0 && rc != LG_ENOTFOUND) {
		if (err)
			*err = none;
		return rc;
	}
	*ret_seq = rc == 0 ? seq : 0;
	return 0;
}

/* The stretch that ends at road->at, back to a checkpoint or a restore of everything. */
static int gather_stretch(
	struct lg_config *config, struct road *road, uint64_t *ret_checkpoint, struct lg_error *err)
{
	const uint64_t end = road->at;
	road->goes_on = false;
	int rc = find_checkpoint(config, end, ret_checkpoint, err);
	if (rc < 0 || *ret_checkpoint == end)
		return rc;
	const struct lg_log_query query = {
		.from = *ret_checkpoint + 1, .to = end, .kinds = LG_STATE_KINDS, .newest_first = true
	};
	rc = lg_log_query(config->log, &query, gather, road, err);
	if (rc < 0)
		return rc;
	uint64_t from = road->goes_on ? road->stones[road->count - 1].record.seq : *ret_checkpoint + 1;
	if (road->known) {
		from = road->known_revision;
		*ret_checkpoint = 0;
	}
	return lg_log_has(config->log, from, end, err);
}

static int gather_all(struct lg_config *config, uint64_t at, struct road *road, uint64_t *ret_checkpoint,
	struct lg_error *err)
{
	road->at = at;
	do {
		int rc = gather_stretch(config, road, ret_checkpoint, err);
		if (rc < 0)
			return rc == LG_ENOTFOUND
				? lg_context(err, rc, "the state of r%" PRIu64 " cannot be read", at)
				: rc;
	} while (road->goes_on);
	for (size_t i = 0; i < road->count; i++) {
		struct stone *stone = &road->stones[i];
		struct stone *wanted = stone->is_part ? find_stone(road, stone->to) : NULL;
		if (wanted)
			wanted->is_wanted = true;
	}
	return 0;
}

/* --- what it costs ----------------------------------------------------------------------------------------------------- */

/* A record of this process's own, or one that it follows.  Only for want of memory it is not known how far a restore goes:
 * then a checkpoint too many is written. */
void lg_state_count_cost(struct lg_config *config, const struct lg_record *record)
{
	struct lg_restore_body body;
	config->tail_cost += record->body_len + RECORD_COST;
	if (record->kind != LG_KIND_RESTORE)
		return;
	if (lg_restore_body_parse(record, &body, NULL) < 0) {
		config->tail_goes_far = true;
		return;
	}
	if (!lg_scope_is_all(&body.scope) && body.to < config->checkpoint_seq)
		config->tail_goes_far = true;
	lg_scope_clear(&body.scope);
}

/* --- loading -------------------------------------------------------------------------------------------------------- */

static int read_checkpoint(void *arg, const struct lg_log_checkpoint *checkpoint, struct lg_error *err)
{
	struct lg_state *state = arg;
	state->base_seq = checkpoint->seq;
	state->base_len = checkpoint->len;
	return lg_checkpoint_decode(checkpoint, &state->revision, &state->tree, &state->controls, err);
}

static int start_empty(struct lg_state *state, struct lg_error *err)
{
	state->tree = lg_tree_empty();
	return state->tree ? 0 : lg_fail_nomem(err);
}

/* What a restore brings back, where that is at hand: what the road comes from, where it just is, or a stone kept for it. */
static struct lg_tree *at_hand(
	const struct road *road, const struct stone *stone, const struct lg_state *base, struct lg_tree *now)
{
	if (stone->record.kind != LG_KIND_RESTORE)
		return NULL;
	if (!stone->is_part)
		return now;
	const struct stone *wanted = find_stone(road, stone->to);
	if (wanted)
		return wanted->tree;
	/* road->at is where the last stretch came to, which need not be just before a stone: what a restore of everything
	   passed over is no state of the base */
	bool is_base = stone->to >= base->revision && stone->to <= road->at;
	return is_base ? base->tree : NULL;
}

static int replay(struct lg_config *config, struct road *road, struct lg_state *state, struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *base_tree = lg_tree_ref(state->tree);
	const struct lg_state base = { .revision = state->revision, .tree = base_tree };
	/* who opens a log is likely to go back a few; who reads one old state has it and its neighbour */
	const size_t near = road->config ? 2 : LG_TREE_CACHE / 2;
	for (size_t i = road->count; i-- > 0;) {
		struct stone *stone = &road->stones[i];
		struct lg_tree *from = at_hand(road, stone, &base, state->tree);
		struct lg_tree *next = NULL;
		int rc = lg_apply_record(config, state->tree, from, &stone->record, &next, err);
		if (rc < 0)
			return rc;
		lg_tree_unref(state->tree);
		state->tree = next;
		state->revision = stone->record.seq;
		state->tail_cost += stone->record.body_len + RECORD_COST;
		state->tail_goes_far |= stone->is_part && !from;
		stone->tree = stone->is_wanted ? lg_tree_ref(next) : NULL;
		if (i < near) /* the others would only drive out what was asked for */
			lg_cache_remember(config, stone->record.seq, next);
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
	struct lg_error gone = LG_ERROR_INIT;
	int rc = state->revision
		? lg_log_get_bare(config->log, state->revision, check_record_root, state->tree, &gone)
		: 0;
	if (rc < 0 && rc != LG_ENOTFOUND && err)
		*err = gone;
	return rc == LG_ENOTFOUND ? 0 : rc;
}

/* ret_checkpoint: the one that may be to blame when this fails, 0: none. */
static int load(struct lg_config *config, uint64_t at, bool use_cache, struct lg_state *state,
	uint64_t *ret_checkpoint, struct lg_error *err)
{
	lg_cleanup(road_clear) struct road road = { .config = use_cache ? config : NULL };
	int rc = gather_all(config, at, &road, ret_checkpoint, err);
	if (rc < 0) {
		*ret_checkpoint = 0;
		return rc;
	}
	if (road.known) {
		state->tree = lg_steal_ptr(&road.known);
		state->revision = road.known_revision;
		return replay(config, &road, state, err);
	}
	rc = *ret_checkpoint ? lg_log_checkpoint_read(config->log, *ret_checkpoint, read_checkpoint, state, err)
			     : start_empty(state, err);
	if (rc < 0)
		return rc;
	rc = road.count ? replay(config, &road, state, err) : check_checkpoint(config, state, err);
	if (rc != LG_ECORRUPT)
		*ret_checkpoint = 0;
	return rc;
}

/* Another process may drop a checkpoint between the finding and the reading: then there is a newer one, or the one before. */
static int load_present(struct lg_config *config, uint64_t at, bool use_cache, struct lg_state *state,
	uint64_t *ret_checkpoint, struct lg_error *err)
{
	int rc = load(config, at, use_cache, state, ret_checkpoint, err);
	for (int i = 0; i < GONE_MAX && rc == LG_ENOTFOUND && *ret_checkpoint; i++) {
		lg_state_clear(state);
		rc = load(config, at, use_cache, state, ret_checkpoint, err);
	}
	return rc;
}

/* False: there is no room to remember it, so it could be tried for ever. */
static bool note_damage(struct lg_config *config, uint64_t seq)
{
	for (size_t i = 0; i < LG_DAMAGED_MAX; i++) {
		if (config->damaged[i] == 0) {
			config->damaged[i] = seq;
			return true;
		}
	}
	return false;
}

/* The log holds what a checkpoint holds: from one that is damaged, the road leads on to the one before it. */
static int load_somehow(
	struct lg_config *config, uint64_t at, bool use_cache, struct lg_state *ret_state, struct lg_error *err)
{
	struct lg_error first = LG_ERROR_INIT;
	for (bool again = false;; again = true) {
		struct lg_state state = { 0 };
		uint64_t checkpoint = 0;
		struct lg_error why = LG_ERROR_INIT;
		int rc = load_present(config, at, use_cache, &state, &checkpoint, &why);
		if (rc == 0) {
			*ret_state = state;
			return 0;
		}
		lg_state_clear(&state);
		if (!again)
			first = why;
		bool on = (rc == LG_ECORRUPT || rc == LG_EIO) && checkpoint && note_damage(config, checkpoint);
		if (on)
			continue;
		if (err)
			*err = again ? first : why;
		return again ? first.code : rc;
	}
}

int lg_state_load(struct lg_config *config, uint64_t at, struct lg_state *ret_state, struct lg_error *err)
{
	return load_somehow(config, at, false, ret_state, err);
}

/* --- the tail --------------------------------------------------------------------------------------------------------- */

static int visit_tail(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct lg_tail *tail = arg;
	(void)err;
	if (lg_kind_is_state(record->kind))
		tail->revision = record->seq;
	tail->controls += (1u << record->kind & LG_CONTROL_KINDS) != 0;
	return 0;
}

int lg_state_tail(struct lg_config *config, uint64_t at, struct lg_tail *ret_tail, struct lg_error *err)
{
	struct lg_tail tail = { 0 };
	uint64_t checkpoint = 0;
	int rc = find_checkpoint(config, at, &checkpoint, err);
	tail.from = checkpoint + 1;
	if (rc == 0 && tail.from <= at)
		rc = lg_log_walk_chain(config->log, tail.from, at, visit_tail, &tail, err);
	if (rc == 0)
		*ret_tail = tail;
	return rc;
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
	struct lg_tree *known = at ? lg_cache_recall(config, at) : NULL;
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
	struct lg_error gone = LG_ERROR_INIT;
	rc = lg_log_has(config->log, revision + 1, at, &gone);
	if (rc == LG_ENOTFOUND)
		revision = at; /* a record that is gone may have changed the state since */
	else if (rc < 0)
		return lg_fail(err, rc, 0, "%s", gone.message);
	known = revision ? lg_cache_recall(config, revision) : NULL;
	if (!known && revision == config->published->revision)
		known = lg_tree_ref(config->published->tree);
	if (known) {
		*ret_tree = known;
		return 0;
	}
	struct lg_state state = { 0 };
	rc = load_somehow(config, at, true, &state, err);
	if (rc < 0)
		return rc;
	if (revision)
		lg_cache_remember(config, revision, state.tree);
	*ret_tree = lg_steal_ptr(&state.tree);
	lg_state_clear(&state);
	return 0;
}
