/* What touched a key.  Changes are found by the log's key index, restores by their scope; the value that a
 * restore gave a key is resolved through its target, hop by hop, so no tree is built. */
#include "config/internal.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

/* --- reading a change body without building it -----------------------------------------------------------------------
 * Bodies are canonical JSON, so a scanner of a few lines finds a key in a body of many megabytes at memory speed. */

struct scan {
	const char *at, *end;
};

static bool scan_char(struct scan *scan, char c)
{
	if (scan->at == scan->end || *scan->at != c)
		return false;
	scan->at++;
	return true;
}

static bool scan_string(struct scan *scan)
{
	if (!scan_char(scan, '"'))
		return false;
	while (scan->at < scan->end && *scan->at != '"')
		scan->at += *scan->at == '\\' && scan->end - scan->at > 1 ? 2 : 1;
	return scan_char(scan, '"');
}

/* A whole value: nesting is counted, strings are passed over. */
static bool scan_value(struct scan *scan)
{
	size_t depth = 0;
	do {
		if (scan->at == scan->end)
			return false;
		char c = *scan->at;
		if (c == '"') {
			if (!scan_string(scan))
				return false;
		} else if (c == '{' || c == '[') {
			depth++;
			scan->at++;
		} else if (c == '}' || c == ']') {
			depth--;
			scan->at++;
		} else if (depth && (c == ',' || c == ':')) {
			scan->at++;
		} else {
			const char *from = scan->at;
			while (scan->at < scan->end && !strchr(",:{}[]\"", *scan->at))
				scan->at++;
			if (scan->at == from)
				return false;
		}
	} while (depth);
	return true;
}

typedef int body_visit(void *arg, const char *key, size_t key_len, const char *value, size_t value_len);

/* Keys rarely hold an escape; those that do are decoded aside. */
static int visit_key(const char *raw, size_t len, const char *value, size_t value_len, body_visit *visit,
	void *arg, struct lg_error *err)
{
	if (!memchr(raw, '\\', len))
		return visit(arg, raw + 1, len - 2, value, value_len);
	lg_cleanup(lg_json_freep) json_t *text = NULL;
	int rc = lg_json_parse(raw, len, len, &text, err);
	if (rc < 0)
		return rc;
	return visit(arg, json_string_value(text), json_string_length(text), value, value_len);
}

static int scan_set(struct scan *scan, body_visit *visit, void *arg, struct lg_error *err)
{
	if (!scan_char(scan, '{'))
		return LG_ECORRUPT;
	while (!scan_char(scan, '}')) {
		scan_char(scan, ',');
		const char *key = scan->at;
		if (!scan_string(scan))
			return LG_ECORRUPT;
		size_t key_len = (size_t)(scan->at - key);
		if (!scan_char(scan, ':'))
			return LG_ECORRUPT;
		const char *value = scan->at;
		if (!scan_value(scan))
			return LG_ECORRUPT;
		int rc = visit_key(key, key_len, value, (size_t)(scan->at - value), visit, arg, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int scan_unset(struct scan *scan, body_visit *visit, void *arg, struct lg_error *err)
{
	if (!scan_char(scan, '['))
		return LG_ECORRUPT;
	while (!scan_char(scan, ']')) {
		scan_char(scan, ',');
		const char *key = scan->at;
		if (!scan_string(scan))
			return LG_ECORRUPT;
		int rc = visit_key(key, (size_t)(scan->at - key), NULL, 0, visit, arg, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static bool is_member(const char *name, size_t len, const char *want)
{
	return len == strlen(want) && memcmp(name, want, len) == 0;
}

static int scan_body(struct scan *scan, body_visit *visit, void *arg, struct lg_error *err)
{
	if (!scan_char(scan, '{'))
		return LG_ECORRUPT;
	while (!scan_char(scan, '}')) {
		scan_char(scan, ',');
		const char *name = scan->at;
		if (!scan_string(scan))
			return LG_ECORRUPT;
		size_t len = (size_t)(scan->at - name);
		if (!scan_char(scan, ':'))
			return LG_ECORRUPT;
		int rc = is_member(name, len, "\"set\"")    ? scan_set(scan, visit, arg, err)
			: is_member(name, len, "\"unset\"") ? scan_unset(scan, visit, arg, err)
			: scan_value(scan)                  ? 0
							    : LG_ECORRUPT;
		if (rc != 0)
			return rc;
	}
	return 0;
}

int lg_body_each(const char *body, size_t len, body_visit *visit, void *arg, struct lg_error *err)
{
	struct scan scan = { body, body + len };
	int rc = scan_body(&scan, visit, arg, err);
	if (rc == LG_ECORRUPT)
		return lg_fail(err, LG_ECORRUPT, 0, "a change body is not what was written");
	return rc;
}

/* --- one key -------------------------------------------------------------------------------------------------------- */

#define FOUND 1

struct find_value {
	const char *key;
	size_t key_len;
	bool found;
	const char *value; /* into the body; NULL: unset */
	size_t value_len;
};

static int match_key(void *arg, const char *key, size_t key_len, const char *value, size_t value_len)
{
	struct find_value *find = arg;
	if (key_len != find->key_len || memcmp(key, find->key, key_len) != 0)
		return 0;
	find->found = true;
	find->value = value;
	find->value_len = value_len;
	return FOUND;
}

/* Newest record at or before a seq that gave `key` its value. */
struct resolve {
	const char *key;
	struct lg_buf value;
	bool found, is_set;
	uint64_t go_to; /* the value is that of this revision */
	uint64_t seq;   /* of the record that says so, 0: none does */
};

static int resolve_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct resolve *resolve = arg;
	if (record->kind == LG_KIND_CHANGE) {
		struct find_value find = { .key = resolve->key, .key_len = strlen(resolve->key) };
		int rc = lg_record_check_body(record, err);
		if (rc == 0)
			rc = lg_body_each(record->body, record->body_len, match_key, &find, err);
		if (rc < 0)
			return rc;
		if (!find.found)
			return lg_fail(err, LG_ECORRUPT, 0,
				"the index of the log says that record %" PRIu64
				" changed '%s', the record does not; look with: lastgood doctor",
				record->seq, resolve->key);
		resolve->found = true;
		resolve->seq = record->seq;
		resolve->is_set = find.value != NULL;
		if (find.value)
			lg_buf_add(&resolve->value, find.value, find.value_len);
		return FOUND;
	}
	struct lg_restore_body body;
	int rc = lg_restore_body_parse(record, &body, err);
	if (rc < 0)
		return rc;
	bool covers = lg_scope_covers(&body.scope, resolve->key, strlen(resolve->key));
	lg_scope_clear(&body.scope);
	if (!covers)
		return 0;
	resolve->go_to = body.to;
	resolve->seq = record->seq;
	return FOUND;
}

/* What the key was, owned by the list of a history. */
struct known_value {
	struct known_value *next;
	bool is_set;
	struct lg_buf text;
};

/* What it was at a seq.  Restores that bring back what restores brought back make long ways of few steps each: every seq is
 * resolved once. */
struct known_past {
	uint64_t at;
	struct known_past *trail; /* the one before it on the way being gone */
	const struct known_value *value;
};

struct key_history {
	struct lg_config *config;
	const char *key;
	uint64_t left; /* of the limit; 0: none */
	bool limited;
	int (*visit)(void *arg, const struct lg_key_event *event, struct lg_error *err);
	void *arg;
	struct known_value *values;
	void *pasts; /* tsearch() tree of struct known_past */
};

static int compare_pasts(const void *a, const void *b)
{
	const struct known_past *x = a, *y = b;
	return (x->at > y->at) - (x->at < y->at);
}

static void clear_history(struct key_history *history)
{
	tdestroy(history->pasts, free);
	while (history->values) {
		struct known_value *next = history->values->next;
		lg_buf_clear(&history->values->text);
		free(history->values);
		history->values = next;
	}
}

/* NULL when memory is gone. */
static struct known_past *find_past(struct key_history *history, uint64_t at)
{
	struct known_past *past = calloc(1, sizeof *past);
	if (!past)
		return NULL;
	past->at = at;
	void *slot = tsearch(past, &history->pasts, compare_pasts);
	struct known_past *found = slot ? *(struct known_past **)slot : NULL;
	if (found != past)
		free(past);
	return found;
}

static int keep_value(struct key_history *history, struct resolve *resolve,
	const struct known_value **ret_value, struct lg_error *err)
{
	int rc = lg_buf_check(&resolve->value, err);
	if (rc < 0)
		return rc;
	struct known_value *value = calloc(1, sizeof *value);
	if (!value)
		return lg_fail_nomem(err);
	*value = (struct known_value){ history->values, resolve->is_set, resolve->value };
	resolve->value = (struct lg_buf)LG_BUF_INIT;
	history->values = value;
	*ret_value = value;
	return 0;
}

/* No record that is kept says it: it was never set, or that was before what retention kept, and a checkpoint knows. */
static int value_before_all(
	struct key_history *history, uint64_t at, struct resolve *resolve, struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	struct lg_entry entry;
	int rc = lg_state_tree_at(history->config, at, &tree, err);
	if (rc < 0)
		return rc;
	resolve->found = true;
	resolve->is_set = lg_tree_get(tree, resolve->key, strlen(resolve->key), &entry);
	if (resolve->is_set)
		lg_buf_add(&resolve->value, entry.value, entry.value_len);
	return 0;
}

/* One step: the record that gave the key its value at `at` says the value, or an earlier seq to look at. */
static int resolve_at(struct key_history *history, uint64_t at, struct resolve *resolve, struct lg_error *err)
{
	const struct lg_log_query query = {
		.to = at, .kinds = LG_STATE_KINDS, .key = history->key, .newest_first = true
	};
	struct lg_error gone = LG_ERROR_INIT;
	resolve->go_to = 0;
	resolve->seq = 0;
	int rc = at ? lg_log_query(history->config->log, &query, resolve_record, resolve, err) : 0;
	if (rc < 0)
		return rc;
	rc = lg_log_has(history->config->log, resolve->seq + 1, at, &gone);
	if (rc == LG_ENOTFOUND) { /* a record that is gone may have changed it */
		lg_buf_clear(&resolve->value);
		return value_before_all(history, at, resolve, err);
	}
	if (rc < 0) {
		*err = gone;
		return rc;
	}
	if (!resolve->found && !resolve->go_to)
		resolve->found = true; /* the empty state */
	return 0;
}

/* Each step goes to an earlier revision, so it ends. */
static int value_at(
	struct key_history *history, uint64_t at, const struct known_value **ret_value, struct lg_error *err)
{
	struct known_past *trail = NULL;
	const struct known_value *value = NULL;
	int rc = 0;
	while (rc == 0 && !value) {
		struct known_past *past = find_past(history, at);
		if (!past)
			return lg_fail_nomem(err);
		value = past->value;
		if (value)
			break;
		past->trail = trail;
		trail = past;
		struct resolve resolve = { .key = history->key };
		rc = resolve_at(history, at, &resolve, err);
		if (rc == 0 && resolve.found)
			rc = keep_value(history, &resolve, &value, err);
		at = resolve.go_to;
		lg_buf_clear(&resolve.value);
	}
	if (rc < 0)
		return rc;
	for (; trail; trail = trail->trail)
		trail->value = value;
	*ret_value = value;
	return 0;
}

static int key_event(struct key_history *history, const struct lg_record *record, bool is_set,
	const struct lg_buf *value, struct lg_error *err)
{
	const struct lg_key_event event = {
		.record = record,
		.value = is_set ? lg_buf_str(value) : NULL,
		.value_len = value->len,
	};
	int rc = history->visit(history->arg, &event, err);
	if (rc == 0 && history->limited && --history->left == 0)
		return FOUND;
	return rc;
}

static int key_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct key_history *history = arg;
	struct resolve resolve = { .key = history->key };
	const struct known_value *value = NULL;
	int rc = resolve_record(&resolve, record, err);
	if (rc == FOUND && !resolve.found) {
		rc = value_at(history, resolve.go_to, &value, err);
		if (rc == 0)
			rc = key_event(history, record, value->is_set, &value->text, err);
	} else if (rc == FOUND) {
		rc = lg_buf_check(&resolve.value, err);
		if (rc == 0)
			rc = key_event(history, record, resolve.is_set, &resolve.value, err);
	}
	lg_buf_clear(&resolve.value);
	return rc;
}

int lg_config_history_key(struct lg_config *config, const char *key, uint64_t limit,
	int (*visit)(void *arg, const struct lg_key_event *event, struct lg_error *err), void *arg,
	struct lg_error *err)
{
	lg_cleanup(clear_history) struct key_history history = { config, key, limit, limit > 0, visit, arg,
		NULL, NULL };
	const struct lg_log_query query = { .kinds = LG_STATE_KINDS, .key = key, .newest_first = true };
	lg_config_lock(config);
	int rc = lg_log_query(config->log, &query, key_record, &history, err);
	lg_config_unlock(config);
	return rc == FOUND ? 0 : rc;
}
