#include "config/salvage_impl.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <inttypes.h>
#include <string.h>

#define LOST_LISTED   100000
#define BODY_SHOWN    ((size_t)64 * 1024)
#define LOST_IN_TEXT  200
#define FILES_IN_TEXT 20

json_t *lg_salvage_text(const char *text)
{
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	lg_text_add_printable(&buf, text, strlen(text));
	return buf.failed ? NULL : json_string(lg_buf_str(&buf));
}

/* --- record by record ---------------------------------------------------------------------------------------------------- */

static const char *why_lost(const struct lg_salvage_trace *trace)
{
	return trace->body_lost ? "its body cannot be read"
		: trace->record ? "it can be read, but not proven"
				: "it cannot be read";
}

/* What a person needs to do it again. */
static bool add_content(json_t *one, const struct lg_record *record, bool body)
{
	char time[LG_TIME_SIZE];
	bool failed =
		json_object_set_new(one, "time", json_string(lg_time_format(record->time_us, time))) < 0 ||
		json_object_set_new(one, "actor", lg_salvage_text(record->actor)) < 0 ||
		json_object_set_new(one, "reason", lg_salvage_text(record->reason)) < 0;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	if (failed || !body || record->body_len > BODY_SHOWN)
		return !failed;
	if (lg_json_parse(record->body, record->body_len, record->body_len, &json, NULL) < 0)
		return json_object_set_new(one, "text", lg_salvage_text(record->body)) == 0;
	return json_object_set(one, "body", json) == 0;
}

int lg_salvage_add_trace(void *arg, const struct lg_salvage_trace *trace, struct lg_error *err)
{
	struct lg_salvaging *salvaging = arg;
	if (json_array_size(salvaging->lost) >= LOST_LISTED)
		return 0;
	json_t *one = json_pack("{s:I, s:I, s:s?, s:s}", "first", (json_int_t)trace->seq, "last",
		(json_int_t)trace->last, "kind", trace->has_kind ? lg_kind_name(trace->kind) : NULL, "why",
		why_lost(trace));
	if (one && trace->record && !add_content(one, trace->record, !trace->body_lost)) {
		json_decref(one);
		one = NULL;
	}
	return json_array_append_new(salvaging->lost, one) < 0 ? lg_fail_nomem(err) : 0;
}

/* --- as a document --------------------------------------------------------------------------------------------------------- */

static json_t *records_json(const struct lg_salvaging *salvaging)
{
	const struct lg_salvage_summary *summary = lg_salvage_summary(salvaging->source);
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "head", (json_int_t)summary->head, "proven",
		(json_int_t)summary->proven, "lost", (json_int_t)summary->lost, "unproven",
		(json_int_t)summary->unproven, "dropped_before", (json_int_t)summary->dropped);
}

static json_t *unread_json(const struct lg_salvaging *salvaging)
{
	json_t *list = json_array();
	for (size_t i = 0; list && i < salvaging->unread_count; i++) {
		const struct lg_range *range = &salvaging->unread[i];
		if (json_array_append_new(list,
			    json_pack("{s:I, s:I}", "first", (json_int_t)range->first, "last",
				    (json_int_t)range->last)) == 0)
			continue;
		json_decref(list);
		list = NULL;
	}
	return list;
}

static json_t *state_json(const struct lg_salvaging *salvaging)
{
	return json_pack("{s:b, s:I, s:b, s:o, s:I, s:O}", "head_is_proven", salvaging->head_known,
		"newest_proven", (json_int_t)salvaging->proven, "marks_and_holds_are_complete",
		salvaging->controls_known, "unreadable", unread_json(salvaging), "later_changes_made_again",
		(json_int_t)salvaging->later_applied, "later_changes_left_out", salvaging->skipped);
}

int lg_salvage_report(struct lg_salvaging *salvaging, json_t **ret_report, struct lg_error *err)
{
	const struct lg_salvage_summary *summary = lg_salvage_summary(salvaging->source);
	char time[LG_TIME_SIZE];
	lg_time_format(salvaging->clock->realtime_us(salvaging->clock), time);
	bool complete = summary->lost == 0 && salvaging->head_known && salvaging->controls_known;
	json_t *report = json_pack("{s:s, s:o, s:o, s:s, s:b, s:o, s:O, s:o, s:o, s:o, s:O}", "format",
		"lastgood salvage 1", "from", lg_salvage_text(salvaging->options->from), "to",
		salvaging->options->to ? lg_salvage_text(salvaging->options->to) : json_null(), "time", time,
		"complete", complete, "records", records_json(salvaging), "lost", salvaging->lost, "state",
		state_json(salvaging), "checkpoints",
		json_pack("{s:I, s:I, s:I}", "kept", (json_int_t)salvaging->checkpoints_kept, "damaged",
			(json_int_t)salvaging->checkpoints_bad, "made",
			(json_int_t)salvaging->checkpoints_written),
		"source",
		json_pack("{s:I, s:I, s:I}", "pages", (json_int_t)summary->pages, "wal_pages",
			(json_int_t)summary->frames, "bytes_unreadable", (json_int_t)summary->unreadable),
		"files", salvaging->files);
	if (!report)
		return lg_fail_nomem(err);
	*ret_report = report;
	return 0;
}

/* --- for people -------------------------------------------------------------------------------------------------------------- */

static long long number(const json_t *json, const char *name)
{
	return json_integer_value(json_object_get(json, name));
}

static const char *text(const json_t *json, const char *name)
{
	const char *value = json_string_value(json_object_get(json, name));
	return value ? value : "";
}

static void add_range(struct lg_buf *buf, const json_t *first, const json_t *last)
{
	lg_buf_addf(buf, "r%lld", number(first, "first"));
	if (number(last, "last") != number(first, "first"))
		lg_buf_addf(buf, " to r%lld", number(last, "last"));
}

static void add_lost(struct lg_buf *buf, const json_t *one, const json_t *last)
{
	const json_t *body = json_object_get(one, "body");
	lg_buf_adds(buf, "  ");
	add_range(buf, one, last);
	lg_buf_addf(buf, "%s%s: %s", *text(one, "kind") ? ", " : "", text(one, "kind"), text(one, "why"));
	if (*text(one, "time"))
		lg_buf_addf(buf, "; %s, %s: %s", text(one, "time"), text(one, "actor"), text(one, "reason"));
	lg_buf_addc(buf, '\n');
	if (!body)
		return;
	char *line = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
	if (line)
		lg_buf_addf(buf, "      %.4000s%s\n", line, strlen(line) > 4000 ? "…" : "");
	free(line);
}

/* How many of the list, from the i-th on, differ in nothing but their number. */
static size_t alike(const json_t *lost, size_t i)
{
	const json_t *first = json_array_get(lost, i), *next;
	size_t count = 1;
	while (!*text(first, "time") && (next = json_array_get(lost, i + count)) && !*text(next, "time") &&
		strcmp(text(first, "kind"), text(next, "kind")) == 0 &&
		number(next, "first") == number(json_array_get(lost, i + count - 1), "last") + 1)
		count++;
	return count;
}

static void add_losses(struct lg_buf *buf, const json_t *report)
{
	const json_t *lost = json_object_get(report, "lost");
	size_t count = json_array_size(lost), lines = 0;
	if (count)
		lg_buf_adds(buf, "lost:\n");
	for (size_t i = 0, run; i < count; i += run) {
		run = alike(lost, i);
		if (lines++ == LOST_IN_TEXT) {
			lg_buf_addf(buf, "  and %zu more: salvage.json lists them\n", count - i);
			return;
		}
		add_lost(buf, json_array_get(lost, i), json_array_get(lost, i + run - 1));
	}
}

static void add_state(struct lg_buf *buf, const json_t *report)
{
	const json_t *state = json_object_get(report, "state");
	const json_t *unread = json_object_get(state, "unreadable");
	const json_t *skipped = json_object_get(state, "later_changes_left_out");
	if (json_is_true(json_object_get(state, "head_is_proven"))) {
		lg_buf_addf(buf, "state:   that of the newest revision, r%lld, proven by its root hash\n",
			number(state, "newest_proven"));
	} else {
		lg_buf_addf(buf,
			"state:   THE NEWEST STATE IS NOT PROVEN. The new store goes back to r%lld, the newest one that "
			"is,\n         and sets what %lld later changes set%s\n",
			number(state, "newest_proven"), number(state, "later_changes_made_again"),
			json_array_size(skipped) ? "; left out, since what they brought back is lost:" : "");
		for (size_t i = 0; i < json_array_size(skipped); i++)
			lg_buf_addf(buf, "         r%lld\n",
				(long long)json_integer_value(json_array_get(skipped, i)));
	}
	if (!json_is_true(json_object_get(state, "marks_and_holds_are_complete")))
		lg_buf_adds(buf,
			"         marks, holds or releases may be among what is lost: look at 'lastgood hold'\n");
	if (json_array_size(unread))
		lg_buf_adds(buf, "states that cannot be read any more:\n");
	for (size_t i = 0; i < json_array_size(unread); i++) {
		lg_buf_adds(buf, "  ");
		add_range(buf, json_array_get(unread, i), json_array_get(unread, i));
		lg_buf_addc(buf, '\n');
	}
}

static void add_files(struct lg_buf *buf, const json_t *report)
{
	const json_t *files = json_object_get(report, "files");
	size_t shown = 0;
	for (size_t i = 0; i < json_array_size(files); i++) {
		const json_t *file = json_array_get(files, i);
		if (json_is_true(json_object_get(file, "copied")) || shown++ >= FILES_IN_TEXT)
			continue;
		lg_buf_addf(buf, "not copied: %s: %s\n", text(file, "path"), text(file, "why"));
	}
}

int lg_config_salvage_text(const json_t *report, struct lg_buf *buf, struct lg_error *err)
{
	const json_t *records = json_object_get(report, "records");
	const json_t *checkpoints = json_object_get(report, "checkpoints");
	lg_buf_addf(buf, "records: %lld proven, %lld lost", number(records, "proven"), number(records, "lost"));
	if (number(records, "unproven"))
		lg_buf_addf(buf, " (%lld of them can be read below)", number(records, "unproven"));
	if (number(records, "dropped_before"))
		lg_buf_addf(buf, "; %lld were dropped before", number(records, "dropped_before"));
	lg_buf_addc(buf, '\n');
	add_state(buf, report);
	lg_buf_addf(buf, "checkpoints: %lld kept, %lld damaged, %lld made\n", number(checkpoints, "kept"),
		number(checkpoints, "damaged"), number(checkpoints, "made"));
	add_files(buf, report);
	add_losses(buf, report);
	return lg_buf_check(buf, err);
}
