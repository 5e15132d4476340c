/* recover key: every value that one key had, and one of them again. */
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/change.h"
#include "cli/confirm.h"
#include "cli/record.h"
#include "cli/recover.h"
#include "cli/show.h"
#include "model/key.h"
#include "model/secret.h"
#include "model/value.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_LIMIT 50

/* --- reading ----------------------------------------------------------------------------------------------------------------------- */

/* One record that gave the key its value. */
struct past {
	uint64_t revision;
	int64_t time_us;
	enum lg_kind kind;
	uint64_t to; /* of a restore */
	char *actor, *reason;
	char *value; /* NULL: not there */
	size_t len;
	bool same; /* as before it: a restore covered the key and brought nothing new */
	bool gone; /* the record is; a later state says what it made of the key */
};

struct pasts {
	struct past *items;
	size_t count, size;
	uint64_t limit;
	bool more;
	size_t gone; /* stretches of records that are, among these */
	bool secret; /* one of them was sealed, or it is declared a secret now: the ones before were no less secret */
};

static void clear_past(struct past *past)
{
	free(past->actor);
	free(past->reason);
	free(past->value);
}

static void pasts_clear(struct pasts *pasts)
{
	for (size_t i = 0; i < pasts->count; i++)
		clear_past(&pasts->items[i]);
	free(pasts->items);
}

static int make_room(struct pasts *pasts, struct lg_error *err)
{
	if (pasts->count < pasts->size)
		return 0;
	size_t size = pasts->size ? 2 * pasts->size : 16;
	struct past *items = reallocarray(pasts->items, size, sizeof *items);
	if (!items)
		return lg_fail_nomem(err);
	pasts->items = items;
	pasts->size = size;
	return 0;
}

static bool is_same(const struct past *a, const struct past *b)
{
	if (!a->value || !b->value)
		return !a->value && !b->value;
	return a->len == b->len && memcmp(a->value, b->value, a->len) == 0;
}

static uint64_t restored_from(const struct lg_record *record)
{
	if (record->kind != LG_KIND_RESTORE)
		return 0;
	lg_cleanup(lg_json_freep) json_t *body = lg_record_body_json(record);
	return (uint64_t)json_integer_value(json_object_get(body, "to"));
}

static int keep_event(void *arg, const struct lg_key_event *event, struct lg_error *err)
{
	struct pasts *pasts = arg;
	const struct lg_record *record = event->record;
	int rc = make_room(pasts, err);
	if (rc < 0)
		return rc;
	struct past *past = &pasts->items[pasts->count++];
	*past = (struct past){ .revision = record->seq,
		.time_us = record->time_us,
		.kind = record->kind,
		.to = restored_from(record),
		.actor = strdup(record->actor),
		.reason = strdup(record->reason),
		.value = event->value ? strndup(event->value, event->value_len) : NULL,
		.len = event->value_len };
	if (!past->actor || !past->reason || (event->value && !past->value))
		return lg_fail_nomem(err);
	return 0;
}

/* Where records are gone, the state behind them still says which of them gave the key its value, and what it was. */
static int read_behind(struct lg_config *config, const char *key, const struct lg_log_gap *gap,
	struct pasts *pasts, struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	uint64_t before, after;
	struct lg_entry entry;
	int rc = lg_config_nearest(config, gap->last, &before, &after, err);
	if (rc == 0 && after)
		rc = lg_config_tree_at(config, after, &tree, err);
	if (rc == 0)
		rc = make_room(pasts, err);
	if (rc < 0 || !tree || !lg_tree_get(tree, key, strlen(key), &entry) || entry.change < gap->first ||
		entry.change > gap->last)
		return rc;
	struct past *past = &pasts->items[pasts->count++];
	*past = (struct past){ .revision = entry.change,
		.gone = true,
		.actor = strdup(""),
		.reason = strdup(gap->reason == LG_GAP_LOST ? "(lost to damage)" : "(dropped by retention)"),
		.value = strndup(entry.value, entry.value_len),
		.len = entry.value_len };
	return past->actor && past->reason && past->value ? 0 : lg_fail_nomem(err);
}

static int by_revision(const void *a, const void *b)
{
	const struct past *x = a, *y = b;
	return (x->revision < y->revision) - (x->revision > y->revision);
}

/* What no record says any more.  oldest: of what was read, 0: that is all there is. */
static int read_gone(
	struct lg_config *config, const char *key, uint64_t oldest, struct pasts *pasts, struct lg_error *err)
{
	struct lg_log_gap gap;
	for (uint64_t at = UINT64_MAX; at; at = gap.first - 1) {
		int rc = lg_config_gap(config, at, &gap, err);
		if (rc <= 0 || gap.last < oldest)
			return rc < 0 ? rc : 0;
		pasts->gone++;
		rc = read_behind(config, key, &gap, pasts, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* One more than is shown: the last one shown must know whether it changed anything. */
static int read_pasts(struct lg_config *config, const char *key, struct pasts *pasts, struct lg_error *err)
{
	int rc =
		lg_config_history_key(config, key, pasts->limit ? pasts->limit + 1 : 0, keep_event, pasts, err);
	bool is_whole = !pasts->limit || pasts->count <= pasts->limit;
	if (rc >= 0)
		rc = read_gone(config, key, is_whole ? 0 : pasts->items[pasts->count - 1].revision, pasts, err);
	if (rc < 0)
		return rc;
	if (pasts->gone)
		qsort(pasts->items, pasts->count, sizeof *pasts->items, by_revision);
	for (size_t i = 0; i + 1 < pasts->count; i++)
		pasts->items[i].same = is_same(&pasts->items[i], &pasts->items[i + 1]);
	pasts->more = pasts->limit && pasts->count > pasts->limit;
	/* restores that covered the key before it ever was */
	while (!pasts->more && !pasts->gone && pasts->count && !pasts->items[pasts->count - 1].value)
		clear_past(&pasts->items[--pasts->count]);
	return 0;
}

static size_t shown(const struct pasts *pasts)
{
	return pasts->more ? (size_t)pasts->limit : pasts->count;
}

/* --- listing ------------------------------------------------------------------------------------------------------------------------ */

/* A secret now, or by its declaration. */
static int find_secret(struct lg_config *config, const char *key, struct pasts *pasts, struct lg_error *err)
{
	lg_cleanup(lg_snapshot_clear) struct lg_snapshot now = { 0 };
	for (size_t i = 0; i < pasts->count; i++)
		pasts->secret |= pasts->items[i].value &&
			lg_secret_is_sealed(pasts->items[i].value, pasts->items[i].len);
	lg_config_snapshot(config, &now);
	int rc = lg_show_is_secret(now.tree, key);
	if (rc < 0)
		return lg_fail_nomem(err);
	pasts->secret |= rc > 0;
	return 0;
}

/* Appends the value as it is shown: opened for --reveal, if it can be. */
static int add_value(struct lg_cli *cli, const char *key, const struct pasts *pasts, const struct past *past,
	struct lg_buf *buf, struct lg_error *err)
{
	const struct lg_entry entry = {
		.key = key, .key_len = strlen(key), .value = past->value, .value_len = past->len
	};
	struct lg_error why = LG_ERROR_INIT;
	if (!lg_args_has(&cli->args, "reveal"))
		return pasts->secret ? lg_buf_adds(buf, LG_SECRET_REDACTED)
				     : lg_show_value(past->value, past->len, buf);
	int rc = lg_config_plain(cli->session.config, &entry, buf, &why);
	if (rc == 0)
		return 0;
	if (rc == LG_ENOMEM)
		return lg_fail_nomem(err);
	/* another key sealed it: the other values can be shown all the same */
	lg_output_warn(&cli->output, "r%llu: %s", (unsigned long long)past->revision, why.message);
	return lg_show_value(past->value, past->len, buf);
}

static void add_what(struct lg_table *rows, const struct past *past)
{
	if (past->gone)
		lg_table_add(rows, LG_STYLE_DIM, "(gone)");
	else if (past->kind == LG_KIND_RESTORE)
		lg_table_addf(rows, LG_STYLE_WARN, "restore of r%llu", (unsigned long long)past->to);
	else
		lg_table_add(rows, LG_STYLE_PLAIN, lg_kind_name(past->kind));
}

static int add_row(struct lg_cli *cli, const char *key, const struct pasts *pasts, const struct past *past,
	struct lg_table *rows, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
	char time[LG_TIME_SIZE];
	int rc = past->value ? add_value(cli, key, pasts, past, &value, err) : lg_buf_adds(&value, "(absent)");
	if (rc < 0)
		return rc;
	if (past->same)
		lg_buf_adds(&value, " (as before)");
	lg_table_addf(rows, LG_STYLE_NAME, "r%llu", (unsigned long long)past->revision);
	lg_table_add(rows, LG_STYLE_DIM, past->gone ? "" : lg_show_time(past->time_us, time));
	lg_table_add(rows, LG_STYLE_PLAIN, past->actor);
	add_what(rows, past);
	lg_table_add(rows, past->same || !past->value ? LG_STYLE_DIM : LG_STYLE_PLAIN, lg_buf_str(&value));
	lg_table_add(rows, LG_STYLE_DIM, past->reason);
	return lg_buf_check(&value, err);
}

static int print_table(struct lg_cli *cli, const char *key, const struct pasts *pasts, struct lg_error *err)
{
	static const char *const headings[] = { "REVISION", "TIME", "ACTOR", "WHAT", "VALUE", "REASON" };
	lg_cleanup(lg_table_clear) struct lg_table rows = { 0 };
	int rc = 0;
	lg_table_init(&rows, 6, headings);
	lg_table_keep_whole(&rows, 0);
	lg_table_keep_whole(&rows, 1);
	lg_table_keep_whole(&rows, 3);
	for (size_t i = 0; rc == 0 && i < shown(pasts); i++)
		rc = add_row(cli, key, pasts, &pasts->items[i], &rows, err);
	return rc < 0 ? rc : lg_table_print(&rows, &cli->output, err);
}

static json_t *value_json(
	struct lg_cli *cli, const char *key, const struct pasts *pasts, const struct past *past)
{
	lg_cleanup(lg_buf_clear) struct lg_buf value = LG_BUF_INIT;
	if (!past->value)
		return json_null();
	if (!lg_args_has(&cli->args, "reveal"))
		return pasts->secret ? json_string(LG_SECRET_REDACTED)
				     : lg_show_value_json(past->value, past->len);
	if (add_value(cli, key, pasts, past, &value, NULL) < 0)
		return NULL;
	bool closed = strcmp(lg_buf_str(&value), LG_SECRET_REDACTED) == 0; /* it could not be opened */
	return closed ? json_string(LG_SECRET_REDACTED) : lg_show_value_json(value.data, value.len);
}

static json_t *past_json(
	struct lg_cli *cli, const char *key, const struct pasts *pasts, const struct past *past)
{
	json_t *json = json_pack("{s:I, s:o, s:o, s:s, s:o, s:b, s:o, s:b}", "revision",
		(json_int_t)past->revision, "time", lg_show_time_json(past->time_us), "actor",
		lg_show_text_json(past->actor), "kind", lg_kind_name(past->kind), "reason",
		lg_show_text_json(past->reason), "set", past->value != NULL, "value",
		value_json(cli, key, pasts, past), "same", (int)past->same);
	if (json && past->gone) {
		json_object_set_new(json, "time", json_null());
		json_object_set_new(json, "kind", json_null());
	}
	if (json && past->to && json_object_set_new(json, "to", json_integer((json_int_t)past->to)) != 0) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static int print_document(struct lg_cli *cli, const char *key, const struct pasts *pasts, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *list = json_array();
	for (size_t i = 0; i < shown(pasts); i++)
		if (json_array_append_new(list, past_json(cli, key, pasts, &pasts->items[i])) != 0)
			return lg_fail_nomem(err);
	return lg_output_document(&cli->output,
		json_pack("{s:s, s:O, s:b, s:b}", "key", key, "values", list, "more", (int)pasts->more,
			"complete", !pasts->more && !pasts->gone),
		err);
}

/* What to type for the newest value that is not the present one. */
static void tell_next(struct lg_cli *cli, const char *key, const struct pasts *pasts)
{
	for (size_t i = 1; i < shown(pasts); i++) {
		const struct past *past = &pasts->items[i];
		if (!past->value || is_same(past, &pasts->items[0]))
			continue;
		lg_cleanup(lg_buf_clear) struct lg_buf word = LG_BUF_INIT;
		lg_show_word(key, &word);
		lg_output_line(&cli->output, LG_STYLE_PLAIN,
			"to have it again: lastgood recover key %s --from r%llu --reason TEXT",
			lg_buf_str(&word), (unsigned long long)past->revision);
		return;
	}
}

/* --- what may have been meant ------------------------------------------------------------------------------------------- */

/* So much is looked at, and no more: it is only a hint. */
#define LOOK_KEYS    200000
#define LOOK_RECORDS 100
#define LOOK_BODY    ((size_t)16 * 1024)

struct meant {
	const char *key;
	size_t len, least;
	size_t looked;
	char best[LG_KEY_MAX + 1];
};

static int look_at(struct meant *meant, const char *key, size_t len)
{
	size_t apart = len > meant->len ? len - meant->len : meant->len - len;
	if (apart < meant->least && len < sizeof meant->best) {
		size_t away = lg_text_distance(meant->key, meant->len, key, len);
		if (away < meant->least) {
			meant->least = away;
			memcpy(meant->best, key, len);
			meant->best[len] = '\0';
		}
	}
	return ++meant->looked >= LOOK_KEYS;
}

static int look_at_entry(void *arg, const struct lg_entry *entry)
{
	return look_at(arg, entry->key, entry->key_len);
}

static int look_at_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	lg_cleanup(lg_json_freep) json_t *body = NULL;
	(void)err;
	if (record->body_len > LOOK_BODY ||
		lg_json_parse(record->body, record->body_len, LOOK_BODY, &body, NULL) < 0 ||
		lg_changeset_from_body(body, &set, NULL) < 0)
		return 0;
	for (size_t i = 0; i < set.count; i++)
		look_at(arg, set.items[i].key, strlen(set.items[i].key));
	return 0;
}

/* The keys that are there, and those of the newest changes: what is looked for may be gone. */
static void find_meant(struct lg_config *config, struct meant *meant)
{
	const struct lg_log_query query = {
		.kinds = 1u << LG_KIND_CHANGE, .newest_first = true, .limit = LOOK_RECORDS
	};
	struct lg_snapshot now;
	meant->len = strlen(meant->key);
	meant->least = meant->len < 3 ? 1 : meant->len < 6 ? 2 : meant->len < 16 ? 3 : 4;
	lg_config_snapshot(config, &now);
	lg_tree_walk(now.tree, "", 0, look_at_entry, meant);
	lg_snapshot_clear(&now);
	int rc = lg_config_query(config, &query, look_at_record, meant, NULL);
	(void)rc;
}

static int no_such_key(
	struct lg_config *config, const char *key, const struct pasts *pasts, struct lg_error *err)
{
	struct meant meant = { .key = key };
	find_meant(config, &meant);
	if (*meant.best)
		return lg_fail(err, LG_ENOTFOUND, 0, "%s a key '%s'; did you mean '%s'?",
			pasts->gone ? "nothing that is left of the log knows" : "there never was", key,
			meant.best);
	if (pasts->gone)
		return lg_fail(err, LG_ENOTFOUND, 0,
			"nothing that is left of the log knows a key '%s', but records are gone: 'lastgood history' "
			"begins with the oldest",
			key);
	return lg_fail(err, LG_ENOTFOUND, 0,
		"there never was a key '%s': 'lastgood history PREFIX/' lists what "
		"changed below a prefix",
		key);
}

static int list_values(struct lg_cli *cli, const char *key, struct lg_error *err)
{
	lg_cleanup(pasts_clear) struct pasts pasts = { 0 };
	int64_t limit = 0;
	int rc = lg_args_number(&cli->args, "limit", 0, INT32_MAX, DEFAULT_LIMIT, &limit, err);
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_READ, err);
	pasts.limit = (uint64_t)limit;
	if (rc == 0)
		rc = read_pasts(cli->session.config, key, &pasts, err);
	if (rc == 0 && pasts.count == 0)
		rc = no_such_key(cli->session.config, key, &pasts, err);
	if (rc == 0)
		rc = find_secret(cli->session.config, key, &pasts, err);
	if (rc < 0)
		return rc;
	if (!lg_output_is_table(&cli->output))
		return print_document(cli, key, &pasts, err);
	rc = print_table(cli, key, &pasts, err);
	if (rc == 0 && pasts.more)
		lg_output_note(&cli->output,
			"lastgood: there is more: 'lastgood recover key %s --limit 0' shows all", key);
	if (rc == 0 && pasts.gone)
		lg_output_note(&cli->output,
			"lastgood: records are gone in %zu %s of the log, and with them what they say of this key, but "
			"for the values that later states know",
			pasts.gone, pasts.gone == 1 ? "place" : "places");
	if (rc == 0)
		tell_next(cli, key, &pasts);
	return rc;
}

/* --- one of them again --------------------------------------------------------------------------------------------------------------- */

struct restoration {
	const char *key;
	uint64_t from;
	struct lg_changeset changes;
	struct lg_change_request request;
};

static void restoration_clear(struct restoration *restoration)
{
	lg_changeset_clear(&restoration->changes);
}

/* The state of a revision that is gone cannot be built; but where the next one that can says that the key was not changed since
 * that revision, it had that value. */
static int state_behind(struct lg_cli *cli, struct restoration *restoration, struct lg_tree **ret_tree)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	const char *text = lg_args_value(&cli->args, "from"), *key = restoration->key;
	struct lg_config *config = cli->session.config;
	struct lg_entry entry;
	struct lg_log_gap gap;
	uint64_t before, after = 0;
	int64_t from;
	if (lg_int_parse(text + (*text == 'r'), 1, INT64_MAX, &from, NULL) < 0 ||
		lg_config_gap(config, (uint64_t)from, &gap, NULL) <= 0 || gap.last < (uint64_t)from ||
		lg_config_nearest(config, gap.last, &before, &after, NULL) < 0 || !after ||
		lg_config_tree_at(config, after, &tree, NULL) < 0)
		return LG_ENOTFOUND;
	if (!lg_tree_get(tree, key, strlen(key), &entry) || entry.change > (uint64_t)from)
		return LG_ENOTFOUND;
	restoration->from = (uint64_t)from;
	*ret_tree = lg_steal_ptr(&tree);
	return 0;
}

static int value_then(struct lg_cli *cli, struct restoration *restoration, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	const char *key = restoration->key;
	struct lg_entry entry;
	int rc = lg_cli_selector(key, &scope, err);
	if (rc == 0)
		rc = lg_cli_state(
			cli, lg_args_value(&cli->args, "from"), &scope, &restoration->from, &tree, err);
	if (rc == LG_ENOTFOUND && state_behind(cli, restoration, &tree) == 0)
		rc = 0;
	if (rc < 0)
		return rc;
	if (!lg_tree_get(tree, key, strlen(key), &entry))
		return lg_fail(err, LG_ENOTFOUND, 0,
			"'%s' was not set at r%llu: 'lastgood recover key %s' lists every value that it had; "
			"'lastgood unset' removes it",
			key, (unsigned long long)restoration->from, key);
	return lg_changeset_add(&restoration->changes, key, strlen(key), entry.value, entry.value_len, err);
}

/* The change is to be made on what is shown; somebody who changes the key meanwhile is not overwritten. */
static void expect_present(struct lg_cli *cli, struct restoration *restoration)
{
	struct lg_snapshot now;
	struct lg_entry entry;
	struct lg_change *change = &restoration->changes.items[0];
	lg_config_snapshot(cli->session.config, &now);
	bool has = lg_tree_get(now.tree, restoration->key, strlen(restoration->key), &entry);
	change->has_expect = true;
	change->expect_change = has ? entry.change : 0;
	lg_snapshot_clear(&now);
}

/* 1: go on, 0: a person said no. */
static int ask(struct lg_cli *cli, struct restoration *restoration, struct lg_error *err)
{
	if (lg_args_has(&cli->args, "yes"))
		return 1;
	int rc = lg_change_preview(cli, &restoration->request, err);
	if (rc <= 0)
		return rc < 0 ? rc : 1; /* nothing differs: the command itself says so */
	return lg_cli_confirm(cli, err);
}

static int restore_value(struct lg_cli *cli, const char *key, struct lg_error *err)
{
	lg_cleanup(restoration_clear) struct restoration restoration = { .key = key,
		.changes = LG_CHANGESET_INIT };
	restoration.request = (struct lg_change_request){ .changes = &restoration.changes,
		.what = "recovered",
		.dry_run = lg_args_has(&cli->args, "dry-run") };
	int rc = lg_cli_reason(cli, NULL, &restoration.request.reason, err);
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_DELIVER, err);
	if (rc == 0)
		rc = value_then(cli, &restoration, err);
	if (rc < 0)
		return rc;
	expect_present(cli, &restoration);
	if (!restoration.request.dry_run) {
		rc = ask(cli, &restoration, err);
		if (rc == 0) {
			lg_output_note(&cli->output, "Cancelled: nothing was changed");
			return lg_output_document(
				&cli->output, json_pack("{s:s}", "outcome", "cancelled"), err);
		}
	}
	return rc < 0 ? rc : lg_change_run(cli, &restoration.request, err);
}

int lg_recover_key_run(struct lg_cli *cli, struct lg_error *err)
{
	static const char *const of_from[] = { "reason", "dry-run", "yes" };
	const char *key = cli->args.words[0];
	if (*key && key[strlen(key) - 1] == '/')
		return lg_fail(err, LG_EUSAGE, 0,
			"'%s' is a prefix, no key: 'lastgood rollback config --to TARGET --prefix %s' goes back with "
			"all of it",
			key, key);
	int rc = lg_key_check(key, strlen(key), err);
	if (rc < 0)
		return rc;
	if (lg_args_has(&cli->args, "from"))
		return restore_value(cli, key, err);
	for (size_t i = 0; i < sizeof of_from / sizeof *of_from; i++)
		if (lg_args_has(&cli->args, of_from[i]))
			return lg_fail(
				err, LG_EUSAGE, 0, "option '--%s' wants --from rN: which value?", of_from[i]);
	return list_values(cli, key, err);
}

const struct lg_option lg_recover_key_options[] = {
	{ "limit", "N", "at most so many values, newest first; 0: all (default 50)", 0, false },
	{ "reveal", NULL, "show a secret", 0, false },
	{ "from", "rN", "set the value that it had at that revision (or time, @-1, good)", 0, false },
	{ "reason", "TEXT", "why; kept with the record", 0, false },
	{ "dry-run", NULL, "check and show everything, change nothing", 0, false },
	{ "yes", NULL, "do not ask", 'y', false },
	{ 0 },
};
