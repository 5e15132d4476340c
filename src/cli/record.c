#include "cli/record.h"

#include "base/cleanup.h"
#include "cli/show.h"
#include "model/scope.h"
#include "model/value.h"

#include <stdio.h>
#include <string.h>

const char *lg_record_name(const struct lg_record *record, char buf[static LG_RECORD_NAME_SIZE])
{
	const char *letter = lg_kind_is_state(record->kind) ? "r" : record->kind == LG_KIND_HOLD ? "h" : "";
	snprintf(buf, LG_RECORD_NAME_SIZE, "%s%llu", letter, (unsigned long long)record->seq);
	return buf;
}

static int redact(json_t *body)
{
	const char *key;
	json_t *value;
	json_t *set = json_object_get(body, "set");
	json_object_foreach(set, key, value)
	{
		if (json_is_object(value) && json_object_get(value, "@secret") &&
			json_object_set_new(set, key, json_string(LG_SECRET_REDACTED)) != 0)
			return -1;
	}
	return 0;
}

json_t *lg_record_body_json(const struct lg_record *record)
{
	json_t *body = NULL;
	if (lg_json_parse(record->body, record->body_len, SIZE_MAX, &body, NULL) < 0)
		return json_null();
	if (redact(body) == 0)
		return body;
	json_decref(body);
	return NULL;
}

static void add_scope(const json_t *body, struct lg_buf *buf)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	const json_t *json = json_object_get(body, "scope");
	if (json && lg_scope_from_json(json, &scope, NULL) == 0)
		lg_scope_describe(&scope, buf);
}

static void add_changed(const json_t *body, struct lg_buf *buf)
{
	json_t *set = json_object_get(body, "set"), *unset = json_object_get(body, "unset");
	size_t count = json_object_size(set) + json_array_size(unset);
	if (count != 1)
		lg_buf_addf(buf, "%zu keys", count);
	else if (json_object_size(set))
		lg_buf_adds(buf, json_object_iter_key(json_object_iter(set)));
	else
		lg_buf_addf(buf, "without %s", json_string_value(json_array_get(unset, 0)));
}

static const char *text_of(const json_t *body, const char *name)
{
	const char *text = json_string_value(json_object_get(body, name));
	return text ? text : "?";
}

static unsigned long long number_of(const json_t *body, const char *name)
{
	return (unsigned long long)json_integer_value(json_object_get(body, name));
}

/* "3 × set by mallory (held): web/port, web/host: 'web/port' is held by h5 …" */
static void add_refusal(const json_t *group, struct lg_buf *buf)
{
	size_t i;
	const json_t *key;
	lg_buf_addf(buf, "%llu × %s by %s (%s)", number_of(group, "count"), text_of(group, "action"),
		text_of(group, "actor"), text_of(group, "code"));
	json_array_foreach(json_object_get(group, "keys"), i, key)
		lg_buf_addf(buf, "%s%s", i ? ", " : ": ", json_is_string(key) ? json_string_value(key) : "");
	if (*text_of(group, "message"))
		lg_buf_addf(buf, ": %s", text_of(group, "message"));
}

static void add_refusals(const json_t *body, struct lg_buf *buf)
{
	size_t i;
	const json_t *groups = json_object_get(body, "refusals"), *group;
	unsigned long long count = 0;
	json_array_foreach(groups, i, group) count += number_of(group, "count");
	if (json_array_size(groups) != 1)
		lg_buf_addf(buf, "%llu attempts; first ", count);
	add_refusal(json_array_get(groups, 0), buf);
}

int lg_record_details(const struct lg_record *record, struct lg_buf *buf)
{
	size_t i;
	const json_t *group;
	if (record->kind != LG_KIND_REFUSAL)
		return 0;
	lg_cleanup(lg_json_freep) json_t *body = lg_record_body_json(record);
	if (!body)
		return LG_ENOMEM;
	json_array_foreach(json_object_get(body, "refusals"), i, group)
	{
		char first[LG_TIME_SIZE], last[LG_TIME_SIZE];
		int64_t from = (int64_t)number_of(group, "first"), to = (int64_t)number_of(group, "last");
		lg_buf_addf(buf, "refused %s%s%s  ", lg_show_time(from, first), from == to ? "" : " … ",
			from == to ? "" : lg_show_time(to, last));
		add_refusal(group, buf);
		lg_buf_addc(buf, '\n');
	}
	return lg_buf_check(buf, NULL);
}

static void add_lost(size_t count, struct lg_buf *buf)
{
	if (count == 0)
		lg_buf_adds(buf, "nothing lost");
	else
		lg_buf_addf(buf, "%zu %s of records lost", count, count == 1 ? "stretch" : "stretches");
}

int lg_record_what(const struct lg_record *record, struct lg_buf *buf)
{
	lg_cleanup(lg_json_freep) json_t *body = lg_record_body_json(record);
	if (!body)
		return LG_ENOMEM;
	switch (record->kind) {
	case LG_KIND_CHANGE:
		add_changed(body, buf);
		if (json_object_get(body, "reverts"))
			lg_buf_addf(buf, ", taking back r%llu", number_of(body, "reverts"));
		break;
	case LG_KIND_RESTORE:
		add_scope(body, buf);
		lg_buf_addf(buf, " back to r%llu", number_of(body, "to"));
		break;
	case LG_KIND_MARK:
		lg_buf_addf(buf, "r%llu %s: ", number_of(body, "revision"), text_of(body, "mark"));
		add_scope(body, buf);
		break;
	case LG_KIND_HOLD:
		add_scope(body, buf);
		break;
	case LG_KIND_RELEASE:
		lg_buf_addf(buf, "h%llu", number_of(body, "hold"));
		break;
	case LG_KIND_DELIVERY:
		lg_buf_addf(buf, "r%llu to '%s'", number_of(body, "revision"), text_of(body, "adapter"));
		break;
	case LG_KIND_INCIDENT:
		lg_buf_adds(buf, text_of(body, "incident"));
		break;
	case LG_KIND_ROLLBACK:
		lg_buf_addf(buf, "%s %s", text_of(body, "rollback"), text_of(body, "outcome"));
		break;
	case LG_KIND_TRIM:
		lg_buf_addf(buf, "what came before %llu", number_of(body, "before"));
		break;
	case LG_KIND_REFUSAL:
		add_refusals(body, buf);
		break;
	case LG_KIND_SALVAGE:
		add_lost(json_array_size(json_object_get(body, "lost")), buf);
		break;
	case LG_KIND_COUNT:
		break;
	}
	return lg_buf_check(buf, NULL);
}

json_t *lg_record_json(const struct lg_record *record)
{
	lg_cleanup(lg_buf_clear) struct lg_buf what = LG_BUF_INIT;
	char id[2 * LG_ID_SIZE + 1];
	lg_hex_encode(record->id, LG_ID_SIZE, id);
	if (lg_record_what(record, &what) < 0)
		return NULL;
	json_t *json = json_pack("{s:I, s:s, s:o, s:o, s:o, s:o, s:s, s:o}", "seq", (json_int_t)record->seq,
		"kind", lg_kind_name(record->kind), "time", lg_show_time_json(record->time_us), "actor",
		lg_show_text_json(record->actor), "reason", lg_show_text_json(record->reason), "what",
		lg_show_text_json(lg_buf_str(&what)), "id", id, "hash", lg_show_hash_json(record->hash));
	if (json && record->has_root &&
		json_object_set_new(json, "root", lg_show_hash_json(record->root)) != 0) {
		json_decref(json);
		return NULL;
	}
	return json;
}
