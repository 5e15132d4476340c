/* Does a value still come from a revision, or from a record behind it?
 *
 * The key's change number says which record put it there.  Where that is a restore, the value is the one that its target
 * had, and so the question goes on there: a rollback that brought back what a revision had made, or left it as it was, has
 * not changed it.  A key that is absent has no number; the key index and the restores say who left it so.
 *
 * All keys are asked at once, from the newest restore down, so that each state is needed once. */
#include "config/internal.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

struct restore_record {
	uint64_t seq;
	struct lg_restore_body body;
};

struct since {
	struct lg_config *config;
	uint64_t revision;
	struct restore_record *restores; /* behind the revision, by seq */
	size_t count, size;
	uint64_t gone; /* the newest record behind the revision that the log has not kept, or 0 */
	struct lg_origin *items;
	size_t item_count;
	uint64_t *open; /* for each item: the restore that it is to be followed through, or 0 */
};

static void since_clear(struct since *since)
{
	for (size_t i = 0; i < since->count; i++)
		lg_scope_clear(&since->restores[i].body.scope);
	free(since->restores);
	free(since->open);
}

static int add_restore(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct since *since = arg;
	if (since->count == since->size) {
		size_t size = since->size ? since->size * 2 : 16;
		struct restore_record *grown = reallocarray(since->restores, size, sizeof *grown);
		if (!grown)
			return lg_fail_nomem(err);
		since->restores = grown;
		since->size = size;
	}
	struct restore_record *restore = &since->restores[since->count];
	restore->seq = record->seq;
	int rc = lg_restore_body_parse(record, &restore->body, err);
	since->count += rc == 0;
	return rc;
}

static bool is_restore(const struct since *since, uint64_t seq)
{
	size_t low = 0, high = since->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (since->restores[middle].seq < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low < since->count && since->restores[low].seq == seq;
}

static int note_seq(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	*(uint64_t *)arg = record->seq;
	return 1;
}

/* The newest record behind the revision and up to `at` that says that the key is absent, or may have said so; 0: none. */
static int last_absence(
	const struct since *since, const char *key, uint64_t at, uint64_t *ret_seq, struct lg_error *err)
{
	uint64_t seq = 0;
	const struct lg_log_query query = { .from = since->revision + 1,
		.to = at,
		.kinds = 1u << LG_KIND_CHANGE,
		.key = key,
		.newest_first = true,
		.no_body = true,
		.limit = 1 };
	int rc = at > since->revision ? lg_log_query(since->config->log, &query, note_seq, &seq, err) : 0;
	if (rc < 0)
		return rc;
	for (size_t i = since->count; i-- > 0 && since->restores[i].seq > seq;) {
		const struct restore_record *restore = &since->restores[i];
		if (restore->seq <= at && lg_scope_covers(&restore->body.scope, key, strlen(key)))
			seq = restore->seq;
	}
	*ret_seq = seq < since->gone && since->gone <= at ? since->gone : seq;
	return 0;
}

/* Where the value that item i has in `tree`, the state of `at`, comes from: known now, or to be followed. */
static int look(struct since *since, size_t i, const struct lg_tree *tree, uint64_t at, struct lg_error *err)
{
	struct lg_origin *item = &since->items[i];
	struct lg_entry entry;
	uint64_t seq = 0;
	int rc = 0;
	if (lg_tree_get(tree, item->key, strlen(item->key), &entry))
		seq = entry.change;
	else
		rc = last_absence(since, item->key, at, &seq, err);
	if (rc < 0)
		return rc;
	item->seq = seq > since->revision ? seq : 0;
	since->open[i] = item->seq && is_restore(since, seq) ? seq : 0;
	return 0;
}

static bool is_asked(const struct since *since, uint64_t seq)
{
	for (size_t i = 0; i < since->item_count; i++) {
		if (since->open[i] == seq)
			return true;
	}
	return false;
}

/* What came with this restore is what its target had.  One from before the revision has not seen it; one that retention
 * dropped cannot say: then the restore is where the value comes from. */
static int follow(struct since *since, const struct restore_record *restore, struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	uint64_t to = restore->body.to;
	struct lg_error why = LG_ERROR_INIT;
	int rc = to < since->revision ? LG_ENOTFOUND : lg_state_tree_at(since->config, to, &tree, &why);
	if (rc < 0 && rc != LG_ENOTFOUND)
		return lg_fail(err, rc, 0, "%s", why.message);
	for (size_t i = 0; i < since->item_count; i++) {
		if (since->open[i] != restore->seq)
			continue;
		since->open[i] = 0;
		rc = tree ? look(since, i, tree, to, err) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int find_gone(struct since *since, uint64_t at, struct lg_error *err)
{
	struct lg_log_gap gap;
	int rc = lg_log_gap(since->config->log, at, &gap, err);
	if (rc > 0 && gap.last > since->revision)
		since->gone = gap.last;
	return rc < 0 ? rc : 0;
}

static int find_origins(struct since *since, uint64_t at, struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	const struct lg_log_query restores = {
		.from = since->revision + 1, .to = at, .kinds = 1u << LG_KIND_RESTORE
	};
	int rc = lg_state_tree_at(since->config, at, &tree, err);
	if (rc == 0)
		rc = find_gone(since, at, err);
	if (rc == 0)
		rc = lg_log_query(since->config->log, &restores, add_restore, since, err);
	for (size_t i = 0; i < since->item_count && rc == 0; i++)
		rc = look(since, i, tree, at, err);
	for (size_t r = since->count; r-- > 0 && rc == 0;) {
		if (is_asked(since, since->restores[r].seq))
			rc = follow(since, &since->restores[r], err);
	}
	return rc;
}

int lg_config_origins(struct lg_config *config, uint64_t revision, uint64_t at, struct lg_origin *items,
	size_t count, struct lg_error *err)
{
	if (count == 0 || at <= revision) {
		for (size_t i = 0; i < count; i++)
			items[i].seq = 0;
		return 0;
	}
	lg_cleanup(since_clear) struct since since = { .config = config,
		.revision = revision,
		.items = items,
		.item_count = count,
		.open = calloc(count, sizeof *since.open) };
	if (!since.open)
		return lg_fail_nomem(err);
	lg_config_lock(config);
	int rc = find_origins(&since, at, err);
	lg_config_unlock(config);
	return rc;
}
