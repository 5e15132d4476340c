#include "config/salvage_impl.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "io/file.h"
#include "io/random.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_RECORDS 256
#define RANGES_SHOWN  1000 /* of what was lost, in the record that says so */

/* --- checkpoints of the damaged store ---------------------------------------------------------------------------------- */

void lg_salvage_state_clear(struct lg_salvage_state *state)
{
	lg_tree_unref(state->tree);
	lg_controls_clear(&state->controls);
	*state = (struct lg_salvage_state){ 0 };
}

struct root_check {
	const struct lg_tree *tree;
	bool differs;
};

static int check_root(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct root_check *check = arg;
	(void)err;
	struct lg_error ignored = LG_ERROR_INIT;
	check->differs = lg_check_root(check->tree, record, &ignored) < 0;
	return 0;
}

/* Is the tree what the record of its revision says?  1, or 0; a record that is gone says nothing. */
static int agrees(struct lg_salvaging *salvaging, const struct lg_salvage_state *state, struct lg_error *err)
{
	struct root_check check = { .tree = state->tree };
	const struct lg_log_query one = { .from = state->revision, .to = state->revision, .no_body = true };
	int rc = state->revision ? lg_log_query(salvaging->config->log, &one, check_root, &check, err) : 0;
	return rc < 0 ? rc : !check.differs;
}

int lg_salvage_load_checkpoint(struct lg_salvaging *salvaging, const struct lg_salvage_checkpoint *checkpoint,
	struct lg_salvage_state *ret_state, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf data = LG_BUF_INIT;
	lg_cleanup(lg_salvage_state_clear) struct lg_salvage_state state = { 0 };
	struct lg_error why = LG_ERROR_INIT;
	uint8_t hash[LG_HASH_SIZE];
	if (!lg_salvage_hash(salvaging->source, checkpoint->seq, hash) ||
		memcmp(hash, checkpoint->hash, LG_HASH_SIZE) != 0)
		return LG_ENOTFOUND;
	int rc = lg_file_read(checkpoint->path, SIZE_MAX / 2, &data, &why);
	struct lg_log_checkpoint bytes = { .seq = checkpoint->seq, .data = data.data, .len = data.len };
	memcpy(bytes.hash, checkpoint->hash, LG_HASH_SIZE);
	if (rc == 0)
		rc = lg_checkpoint_decode(&bytes, &state.revision, &state.tree, &state.controls, &why);
	if (rc < 0)
		return rc == LG_ENOMEM ? lg_fail_nomem(err) : LG_ENOTFOUND;
	rc = agrees(salvaging, &state, err);
	if (rc <= 0)
		return rc < 0 ? rc : LG_ENOTFOUND;
	*ret_state = state;
	state = (struct lg_salvage_state){ 0 };
	return 0;
}

/* Can the new log tell that it belongs to it?  Only when it knows the hash of that record: it is there, or ends a gap. */
static bool is_known(const struct lg_salvaging *salvaging, uint64_t seq)
{
	for (size_t i = 0; i < salvaging->gap_count; i++) {
		const struct lg_log_gap *gap = &salvaging->gaps[i].gap;
		if (seq >= gap->first && seq < gap->last)
			return false;
	}
	return seq <= salvaging->config->head.seq;
}

static int write_checkpoint(struct lg_salvaging *salvaging, const struct lg_log_head *at, uint64_t revision,
	const struct lg_tree *tree, const struct lg_controls *controls, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf data = LG_BUF_INIT;
	int rc = lg_checkpoint_encode(at, revision, tree, controls, &data, err);
	struct lg_log_checkpoint checkpoint = { .seq = at->seq, .data = data.data, .len = data.len };
	memcpy(checkpoint.hash, at->hash, LG_HASH_SIZE);
	return rc < 0 ? rc : lg_log_checkpoint_write(salvaging->config->log, &checkpoint, err);
}

int lg_salvage_copy_checkpoints(struct lg_salvaging *salvaging, struct lg_error *err)
{
	for (size_t i = 0; i < salvaging->checkpoint_count; i++) {
		const struct lg_salvage_checkpoint *checkpoint = &salvaging->checkpoints[i];
		lg_cleanup(lg_salvage_state_clear) struct lg_salvage_state state = { 0 };
		if (!is_known(salvaging, checkpoint->seq))
			continue;
		int rc = lg_salvage_load_checkpoint(salvaging, checkpoint, &state, err);
		if (rc == LG_ENOTFOUND) {
			salvaging->checkpoints_bad++;
			continue;
		}
		struct lg_log_head at = { .seq = checkpoint->seq };
		memcpy(at.hash, checkpoint->hash, LG_HASH_SIZE);
		if (rc == 0)
			rc = write_checkpoint(salvaging, &at, state.revision, state.tree, &state.controls, err);
		if (rc < 0)
			return rc;
		salvaging->checkpoints_kept++;
	}
	return 0;
}

/* --- what a record does, without asking on what ------------------------------------------------------------------------------ */

static int put_all(
	struct lg_tree_edit *edit, const struct lg_changeset *set, uint64_t seq, struct lg_error *err)
{
	int rc = 0;
	for (size_t i = 0; rc >= 0 && i < set->count; i++) {
		const struct lg_change *change = &set->items[i];
		size_t len = strlen(change->key);
		rc = change->value
			? lg_tree_edit_put(edit, change->key, len, change->value, change->value_len, seq, err)
			: lg_tree_edit_remove(edit, change->key, len, err);
	}
	return rc < 0 ? rc : 0;
}

static int edit_change(
	struct lg_tree_edit *edit, const struct lg_record *record, uint64_t seq, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *body = NULL;
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	int rc = lg_json_parse(record->body, record->body_len, record->body_len, &body, err);
	if (rc == 0)
		rc = lg_changeset_from_body(body, &set, err);
	return rc < 0 ? rc : put_all(edit, &set, seq, err);
}

static int edit_restore(struct lg_salvaging *salvaging, struct lg_tree_edit *edit,
	const struct lg_record *record, uint64_t seq, struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *from = NULL;
	struct lg_restore_body body;
	int rc = lg_restore_body_parse(record, &body, err);
	if (rc < 0)
		return rc;
	rc = lg_state_tree_at(salvaging->config, body.to, &from, err);
	if (rc == 0)
		rc = lg_tree_edit_restore(edit, from, &body.scope, seq, err);
	lg_scope_clear(&body.scope);
	return rc;
}

/* What a record does, on a state that may not be the one it was made on. 0, LG_ENOTFOUND: what it brings back is lost. */
static int apply_anyway(struct lg_salvaging *salvaging, struct lg_tree *base, const struct lg_record *record,
	uint64_t seq, struct lg_tree **ret_tree, struct lg_error *err)
{
	struct lg_error why = LG_ERROR_INIT;
	lg_cleanup(lg_tree_edit_abortp) struct lg_tree_edit *edit = lg_tree_edit_begin(base);
	if (!edit)
		return lg_fail_nomem(err);
	int rc = record->redacted                 ? LG_ENOTFOUND
		: record->kind == LG_KIND_RESTORE ? edit_restore(salvaging, edit, record, seq, &why)
						  : edit_change(edit, record, seq, &why);
	if (rc == LG_ENOMEM || rc == LG_EIO) {
		if (err)
			*err = why;
		return rc;
	}
	if (rc < 0)
		return LG_ENOTFOUND;
	*ret_tree = lg_tree_edit_commit(lg_steal_ptr(&edit));
	return 0;
}

/* --- through all records ------------------------------------------------------------------------------------------------- */

struct pass {
	struct lg_salvaging *salvaging;
	struct lg_salvage_state now;
	bool known;  /* now.tree is the state after the record last seen; else it comes as near as can be */
	bool behind; /* something that is not known: the next state that is wants a checkpoint */
	bool controls_known;
	size_t gap, checkpoint; /* the next of each */
	uint64_t unread_from;   /* first seq whose state is not known, 0: all are */
};

static int read_chunk(void *arg, const struct lg_record *record, struct lg_error *err)
{
	return lg_salvage_batch_add(arg, record, false, err);
}

/* Calls visit with copies of the records of these kinds in (after, to], in order: a visitor of the log itself might not write. */
static int each_record(struct lg_salvaging *salvaging, uint64_t after, uint32_t kinds,
	int (*visit)(void *arg, const struct lg_record *record, struct lg_error *err), void *arg,
	struct lg_error *err)
{
	for (bool more = true; more;) {
		lg_cleanup(lg_salvage_batch_clear) struct lg_salvage_batch batch = { 0 };
		const struct lg_log_query query = { .from = after + 1, .kinds = kinds, .limit = CHUNK_RECORDS };
		int rc = lg_log_query(salvaging->config->log, &query, read_chunk, &batch, err);
		for (size_t i = 0; rc == 0 && i < batch.count; i++)
			rc = visit(arg, &batch.records[i], err);
		if (rc < 0)
			return rc;
		more = batch.count > 0;
		after = more ? batch.records[batch.count - 1].seq : after;
	}
	return 0;
}

static void adopt(struct pass *pass, struct lg_salvage_state *state)
{
	lg_salvage_state_clear(&pass->now);
	pass->now = *state;
	*state = (struct lg_salvage_state){ 0 };
	pass->controls_known = true;
}

static int note_unread(struct pass *pass, uint64_t last, struct lg_error *err)
{
	struct lg_salvaging *salvaging = pass->salvaging;
	if (pass->unread_from == 0)
		return 0;
	struct lg_range *range = lg_salvage_room((void **)&salvaging->unread, salvaging->unread_count,
		&salvaging->unread_size, sizeof *salvaging->unread);
	if (!range)
		return lg_fail_nomem(err);
	*range = (struct lg_range){ pass->unread_from, last };
	salvaging->unread_count++;
	pass->unread_from = 0;
	return 0;
}

/* The state after a record is known (again). */
static int settle(struct pass *pass, const struct lg_log_head *at, bool has_checkpoint, struct lg_error *err)
{
	struct lg_salvaging *salvaging = pass->salvaging;
	pass->known = true;
	lg_tree_unref(salvaging->proven_tree);
	salvaging->proven_tree = lg_tree_ref(pass->now.tree);
	salvaging->proven = pass->now.revision;
	lg_cache_remember(salvaging->config, pass->now.revision, pass->now.tree);
	if (!pass->behind)
		return 0;
	pass->behind = false;
	if (has_checkpoint)
		return 0;
	int rc = write_checkpoint(salvaging, at, pass->now.revision, pass->now.tree, &pass->now.controls, err);
	salvaging->checkpoints_written += rc == 0;
	return rc;
}

/* The newest checkpoint within [first, last] whose content is to be believed. 0, LG_ENOTFOUND */
static int find_within(struct pass *pass, uint64_t first, uint64_t last, uint64_t *ret_seq,
	struct lg_salvage_state *ret_state, struct lg_error *err)
{
	const struct lg_salvaging *salvaging = pass->salvaging;
	size_t end = pass->checkpoint;
	while (end < salvaging->checkpoint_count && salvaging->checkpoints[end].seq <= last)
		end++;
	size_t begin = pass->checkpoint;
	pass->checkpoint = end;
	for (size_t i = end; i-- > begin;) {
		const struct lg_salvage_checkpoint *checkpoint = &salvaging->checkpoints[i];
		if (checkpoint->seq < first)
			break;
		int rc = lg_salvage_load_checkpoint(pass->salvaging, checkpoint, ret_state, err);
		if (rc == 0)
			*ret_seq = checkpoint->seq;
		if (rc != LG_ENOTFOUND)
			return rc;
	}
	return LG_ENOTFOUND;
}

static int cross_gap(struct pass *pass, const struct lg_salvage_gap *gap, struct lg_error *err)
{
	lg_cleanup(lg_salvage_state_clear) struct lg_salvage_state state = { 0 };
	uint64_t seq = 0;
	pass->behind = true;
	if (gap->hides_state)
		pass->known = false;
	if (gap->hides_controls)
		pass->controls_known = false;
	if (!pass->known && pass->unread_from == 0)
		pass->unread_from = gap->gap.first;
	int rc = find_within(pass, gap->gap.first, gap->gap.last, &seq, &state, err);
	if (rc < 0)
		return rc == LG_ENOTFOUND ? 0 : rc;
	adopt(pass, &state);
	if (seq != gap->gap.last)
		return 0; /* what follows in the gap is not in it: the next root tells */
	struct lg_log_head at = { .seq = seq };
	memcpy(at.hash, gap->gap.hash, LG_HASH_SIZE);
	rc = note_unread(pass, seq - 1, err);
	return rc < 0 ? rc : settle(pass, &at, true, err);
}

/* The root tells whether the state is what it should be; it may become so again when what is lost is overwritten. */
static int take_state(struct pass *pass, const struct lg_record *record, struct lg_error *err)
{
	struct lg_tree *next = NULL;
	struct lg_error differs = LG_ERROR_INIT;
	int rc = apply_anyway(pass->salvaging, pass->now.tree, record, record->seq, &next, err);
	if (rc == 0) {
		lg_tree_unref(pass->now.tree);
		pass->now.tree = next;
		pass->known = lg_check_root(next, record, &differs) == 0;
	} else if (rc == LG_ENOTFOUND) {
		pass->known = false;
		rc = 0;
	}
	if (rc == 0 && pass->known) {
		pass->now.revision = record->seq;
		rc = note_unread(pass, record->seq - 1, err);
	} else {
		pass->behind =
			true; /* no road leads over it, so the next state that is known wants a checkpoint, too */
		pass->unread_from = pass->unread_from ? pass->unread_from : record->seq;
	}
	return rc;
}

static int fold(struct pass *pass, const struct lg_record *record, struct lg_error *err)
{
	struct lg_error why = LG_ERROR_INIT;
	int rc = lg_controls_fold(&pass->now.controls, record, &why);
	if (rc == LG_ENOMEM)
		return lg_fail_nomem(err);
	if (rc < 0)
		pass->controls_known = false;
	return 0;
}

/* Behind a loss a checkpoint right at this record may say what nothing else does. */
static int take_checkpoint(struct pass *pass, const struct lg_record *record, struct lg_error *err)
{
	lg_cleanup(lg_salvage_state_clear) struct lg_salvage_state state = { 0 };
	struct lg_log_head at = { .seq = record->seq };
	uint64_t seq = 0;
	int rc = find_within(pass, record->seq, record->seq, &seq, &state, err);
	if (rc < 0)
		return rc == LG_ENOTFOUND ? 0 : rc;
	if (pass->known) {
		if (!pass->controls_known)
			adopt(pass, &state);
		return 0;
	}
	adopt(pass, &state);
	memcpy(at.hash, record->hash, LG_HASH_SIZE);
	rc = note_unread(pass, record->seq - 1, err);
	return rc < 0 ? rc : settle(pass, &at, true, err);
}

static int take_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct pass *pass = arg;
	const struct lg_salvaging *salvaging = pass->salvaging;
	struct lg_log_head at = { .seq = record->seq };
	int rc = 0;
	memcpy(at.hash, record->hash, LG_HASH_SIZE);
	while (rc == 0 && pass->gap < salvaging->gap_count && salvaging->gaps[pass->gap].gap.last < record->seq)
		rc = cross_gap(pass, &salvaging->gaps[pass->gap++], err);
	if (rc == 0)
		rc = fold(pass, record, err);
	if (rc == 0 && lg_kind_is_state(record->kind))
		rc = take_state(pass, record, err);
	if (rc == 0 && pass->known)
		rc = settle(pass, &at, false, err);
	return rc < 0 ? rc : take_checkpoint(pass, record, err);
}

static int finish(struct pass *pass, struct lg_error *err)
{
	struct lg_salvaging *salvaging = pass->salvaging;
	int rc = 0;
	while (rc == 0 && pass->gap < salvaging->gap_count)
		rc = cross_gap(pass, &salvaging->gaps[pass->gap++], err);
	if (rc == 0)
		rc = note_unread(pass, salvaging->config->head.seq, err);
	salvaging->head_known = pass->known;
	salvaging->controls_known = pass->controls_known;
	salvaging->controls = pass->now.controls;
	pass->now.controls = (struct lg_controls){ 0 };
	return rc;
}

int lg_salvage_find_states(struct lg_salvaging *salvaging, struct lg_error *err)
{
	struct pass pass = { .salvaging = salvaging, .known = true, .controls_known = true };
	pass.now.tree = lg_tree_empty();
	salvaging->proven_tree = lg_tree_empty();
	if (!pass.now.tree || !salvaging->proven_tree) {
		lg_salvage_state_clear(&pass.now);
		return lg_fail_nomem(err);
	}
	int rc = each_record(salvaging, 0, 0, take_record, &pass, err);
	if (rc == 0)
		rc = finish(&pass, err);
	lg_salvage_state_clear(&pass.now);
	return rc;
}

/* --- the records of the salvage itself ------------------------------------------------------------------------------------ */

struct later {
	struct lg_salvaging *salvaging;
	struct lg_tree *tree;
	uint64_t seq; /* of the change that will say it */
};

/* What a proven record did, once more on what is at hand. */
static int redo(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct later *later = arg;
	struct lg_salvaging *salvaging = later->salvaging;
	struct lg_tree *next = NULL;
	int rc = apply_anyway(salvaging, later->tree, record, later->seq, &next, err);
	if (rc == LG_ENOTFOUND)
		return json_array_append_new(salvaging->skipped, json_integer((json_int_t)record->seq)) < 0
			? lg_fail_nomem(err)
			: 0;
	if (rc < 0)
		return rc;
	lg_tree_unref(later->tree);
	later->tree = next;
	salvaging->later_applied++;
	return 0;
}

static int add_difference(void *arg, const struct lg_entry *before, const struct lg_entry *after)
{
	const struct lg_entry *entry = after ? after : before;
	return lg_changeset_add(arg, entry->key, entry->key_len, after ? after->value : NULL,
		after ? after->value_len : 0, NULL);
}

struct own {
	struct lg_salvaging *salvaging;
	struct lg_record records[3];
	size_t count;
	struct lg_buf bodies[3];
	struct lg_changeset set;
	const char **keys;
	struct lg_buf reason;
};

static void own_clear(struct own *own)
{
	for (size_t i = 0; i < 3; i++)
		lg_buf_clear(&own->bodies[i]);
	lg_changeset_clear(&own->set);
	lg_buf_clear(&own->reason);
	free((void *)own->keys);
}

/* The body is in own->bodies[own->count]. */
static struct lg_record *add_own(struct own *own, enum lg_kind kind, const struct lg_tree *root)
{
	const struct lg_salvaging *salvaging = own->salvaging;
	struct lg_record *record = &own->records[own->count];
	const struct lg_buf *body = &own->bodies[own->count];
	*record = (struct lg_record){
		.seq = salvaging->config->head.seq + 1 + own->count,
		.time_us = salvaging->clock->realtime_us(salvaging->clock),
		.kind = kind,
		.actor = LG_SALVAGE_ACTOR,
		.reason = lg_buf_str(&own->reason),
		.body = lg_buf_str(body),
		.body_len = body->len,
		.has_root = root,
	};
	lg_random_bytes(record->id, sizeof record->id);
	if (root)
		lg_tree_hash(root, record->root);
	lg_record_seal(record, own->count ? own->records[own->count - 1].hash : salvaging->config->head.hash);
	own->count++;
	return record;
}

/* From here on the keys have the change numbers that a replay gives them. */
static int add_restore(struct own *own, struct lg_error *err)
{
	struct lg_salvaging *salvaging = own->salvaging;
	struct lg_buf *body = &own->bodies[own->count];
	const struct lg_scope all = LG_SCOPE_ALL;
	lg_buf_addf(body, "{\"scope\":{},\"to\":%" PRIu64 "}", salvaging->proven);
	int rc = lg_buf_check(body, err);
	if (rc < 0)
		return rc;
	const struct lg_record *record = add_own(own, LG_KIND_RESTORE, salvaging->proven_tree);
	lg_cleanup(lg_tree_edit_abortp) struct lg_tree_edit *edit = lg_tree_edit_begin(salvaging->proven_tree);
	if (!edit)
		return lg_fail_nomem(err);
	rc = lg_tree_edit_restore(edit, salvaging->proven_tree, &all, record->seq, err);
	if (rc == 0)
		salvaging->tree = lg_tree_edit_commit(lg_steal_ptr(&edit));
	return rc;
}

/* What the later changes come to, as explicit values. */
static int gather_later(struct own *own, struct lg_error *err)
{
	struct lg_salvaging *salvaging = own->salvaging;
	struct later later = { salvaging, lg_tree_ref(salvaging->tree),
		salvaging->config->head.seq + 1 + own->count };
	int rc = each_record(salvaging, salvaging->proven, LG_STATE_KINDS, redo, &later, err);
	if (rc == 0 && lg_tree_diff(salvaging->tree, later.tree, NULL, add_difference, &own->set) != 0)
		rc = lg_fail_nomem(err);
	lg_tree_unref(later.tree);
	return rc < 0 ? rc : lg_changeset_sort(&own->set, err);
}

static int change_tree(struct own *own, uint64_t seq, struct lg_error *err)
{
	struct lg_salvaging *salvaging = own->salvaging;
	lg_cleanup(lg_tree_edit_abortp) struct lg_tree_edit *edit = lg_tree_edit_begin(salvaging->tree);
	if (!edit)
		return lg_fail_nomem(err);
	int rc = put_all(edit, &own->set, seq, err);
	if (rc < 0)
		return rc;
	lg_tree_unref(salvaging->tree);
	salvaging->tree = lg_tree_edit_commit(lg_steal_ptr(&edit));
	return 0;
}

static int add_change(struct own *own, struct lg_error *err)
{
	struct lg_salvaging *salvaging = own->salvaging;
	int rc = gather_later(own, err);
	if (rc < 0 || own->set.count == 0)
		return rc;
	struct lg_buf *body = &own->bodies[own->count];
	lg_buf_addc(body, '{');
	lg_changeset_add_body(&own->set, body);
	lg_buf_addc(body, '}');
	rc = lg_buf_check(body, err);
	if (rc == 0)
		rc = change_tree(own, salvaging->config->head.seq + 1 + own->count, err);
	own->keys = rc == 0 ? calloc(own->set.count, sizeof *own->keys) : NULL;
	if (rc < 0 || !own->keys)
		return rc < 0 ? rc : lg_fail_nomem(err);
	for (size_t i = 0; i < own->set.count; i++)
		own->keys[i] = own->set.items[i].key;
	struct lg_record *record = add_own(own, LG_KIND_CHANGE, salvaging->tree);
	record->keys = own->keys;
	record->key_count = own->set.count;
	return 0;
}

static int add_survivor(void *arg, const struct lg_record *record, struct lg_error *err)
{
	char hex[2 * LG_HASH_SIZE + 1];
	lg_hex_encode(record->hash, LG_HASH_SIZE, hex);
	json_t *one = json_pack("{s:s, s:I}", "hash", hex, "seq", (json_int_t)record->seq);
	return json_array_append_new(arg, one) < 0 ? lg_fail_nomem(err) : 0;
}

/* What stands before a cut of retention, as the record of a trim says it: that record may be among what is lost. */
static int add_survivors(struct lg_salvaging *salvaging, json_t *body, struct lg_error *err)
{
	uint64_t to = 0;
	for (size_t i = 0; i < salvaging->gap_count; i++)
		if (salvaging->gaps[i].gap.reason == LG_GAP_RETENTION)
			to = salvaging->gaps[i].gap.first - 1;
	if (to == 0)
		return 0;
	const struct lg_log_query before = { .from = 1, .to = to, .no_body = true };
	json_t *kept = json_array();
	if (json_object_set_new(body, "kept", kept) < 0)
		return lg_fail_nomem(err);
	return lg_log_query(salvaging->config->log, &before, add_survivor, kept, err);
}

static int add_salvage(struct own *own, struct lg_error *err)
{
	struct lg_salvaging *salvaging = own->salvaging;
	const struct lg_salvage_summary *summary = lg_salvage_summary(salvaging->source);
	lg_cleanup(lg_json_freep) json_t *ranges = json_array();
	lg_cleanup(lg_json_freep) json_t *body = NULL;
	bool failed = !ranges;
	for (size_t i = 0; !failed && i < json_array_size(salvaging->lost) && i < RANGES_SHOWN; i++) {
		const json_t *one = json_array_get(salvaging->lost, i);
		json_t *last = json_array_get(ranges, json_array_size(ranges) - 1);
		json_int_t first = json_integer_value(json_object_get(one, "first"));
		if (last && json_integer_value(json_object_get(last, "last")) + 1 == first)
			failed = json_object_set(last, "last", json_object_get(one, "last")) < 0;
		else
			failed = json_array_append_new(ranges,
					 json_pack("{s:I, s:O}", "first", first, "last",
						 json_object_get(one, "last"))) < 0;
	}
	if (!failed)
		body = json_pack("{s:O, s:I, s:I}", "lost", ranges, "lost_records", (json_int_t)summary->lost,
			"proven_records", (json_int_t)summary->proven);
	if (!body)
		return lg_fail_nomem(err);
	int rc = add_survivors(salvaging, body, err);
	if (rc == 0)
		rc = lg_json_canonical(body, &own->bodies[own->count], err);
	if (rc == 0)
		add_own(own, LG_KIND_SALVAGE, NULL);
	return rc;
}

static int append_own(struct own *own, struct lg_error *err)
{
	struct lg_salvaging *salvaging = own->salvaging;
	struct lg_config *config = salvaging->config;
	const struct lg_salvage_summary *summary = lg_salvage_summary(salvaging->source);
	lg_buf_addf(&own->reason, "salvage of a damaged store: %" PRIu64 " of %" PRIu64 " records recovered",
		summary->proven, summary->proven + summary->lost);
	int rc = lg_buf_check(&own->reason, err);
	if (rc == 0 && !salvaging->head_known)
		rc = add_restore(own, err);
	if (rc == 0 && !salvaging->head_known)
		rc = add_change(own, err);
	if (rc == 0)
		rc = add_salvage(own, err);
	if (rc == 0)
		rc = lg_log_append(config->log, own->records, own->count, &config->head, err);
	if (rc < 0)
		return rc;
	if (!salvaging->tree)
		salvaging->tree = lg_tree_ref(salvaging->proven_tree);
	const struct lg_record *last = &own->records[own->count - 1];
	uint64_t revision = salvaging->head_known ? salvaging->proven : own->records[own->count - 2].seq;
	config->head.seq = last->seq;
	memcpy(config->head.hash, last->hash, LG_HASH_SIZE);
	return write_checkpoint(salvaging, &config->head, revision, salvaging->tree, &salvaging->controls, err);
}

int lg_salvage_append_own(struct lg_salvaging *salvaging, struct lg_error *err)
{
	struct own own = { .salvaging = salvaging };
	int rc = append_own(&own, err);
	own_clear(&own);
	return rc;
}
