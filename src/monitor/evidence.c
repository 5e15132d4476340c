#include "monitor/state.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "model/key.h"
#include "model/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_US INT64_C(86400000000)
/* more restores than anybody makes in a day */
#define RESTORES_LOOKED_AT 1000

/* --- what a record says ------------------------------------------------------------------------------------------------ */

static bool body_says(const struct lg_record *record, const char *member)
{
	/* a body may hold a hundred thousand keys: parse only what can have it */
	if (!memmem(record->body, record->body_len, member, strlen(member)))
		return false;
	lg_cleanup(lg_json_freep) json_t *body = NULL;
	if (lg_json_parse(record->body, record->body_len, record->body_len, &body, NULL) < 0)
		return false;
	const json_t *value = json_object_get(body, member);
	return json_is_true(value) || json_is_string(value);
}

static int visit_is_rollback(void *arg, const struct lg_record *record, struct lg_error *err)
{
	bool *is_rollback = arg;
	*is_rollback = record->kind == LG_KIND_RESTORE || body_says(record, "rollback");
	return 0;
}

int lg_case_is_rollback(struct lg_monitor *monitor, uint64_t revision, bool *ret_is, struct lg_error *err)
{
	const struct lg_log_query query = { .from = revision, .to = revision };
	return lg_config_query(monitor->options.config, &query, visit_is_rollback, ret_is, err);
}

struct automatic_count {
	int64_t since_us;
	int64_t count;
};

static int visit_automatic(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct automatic_count *count = arg;
	if (record->time_us > count->since_us && body_says(record, "automatic"))
		count->count++;
	return 0;
}

static int count_automatic(struct lg_monitor *monitor, int64_t *ret_count, struct lg_error *err)
{
	const struct lg_clock *clock = monitor->options.clock;
	struct automatic_count count = { .since_us = clock->realtime_us(clock) - DAY_US };
	const struct lg_log_query query = {
		.kinds = 1u << LG_KIND_RESTORE, .newest_first = true, .limit = RESTORES_LOOKED_AT
	};
	int rc = lg_config_query(monitor->options.config, &query, visit_automatic, &count, err);
	if (rc < 0)
		return rc;
	*ret_count = count.count;
	return 0;
}

/* --- irreversible ------------------------------------------------------------------------------------------------------ */

struct irreversible_search {
	struct lg_tree *now;
	struct lg_tree *then;
	char *found;
	struct lg_error *err;
};

static int declares_irreversible(const struct lg_tree *tree, const char *name, size_t len, struct lg_error *err)
{
	struct lg_entry entry;
	if (!lg_tree_get(tree, name, len, &entry))
		return 0;
	struct lg_schema *schema = NULL;
	int rc = lg_schema_compile(name, entry.value, entry.value_len, &schema, NULL, err);
	if (rc < 0)
		return rc;
	rc = lg_schema_is_irreversible(schema);
	lg_schema_free(schema);
	return rc;
}

static int visit_difference(void *arg, const struct lg_entry *before, const struct lg_entry *after)
{
	struct irreversible_search *search = arg;
	const struct lg_entry *entry = before ? before : after;
	const char at = '@';
	if (entry->key_len > 0 && entry->key[0] == at)
		return 0;
	lg_cleanup(lg_buf_clear) struct lg_buf name = LG_BUF_INIT;
	lg_buf_adds(&name, LG_SCHEMA_SPACE);
	lg_buf_add(&name, entry->key, entry->key_len);
	int rc = lg_buf_check(&name, search->err);
	if (rc == 0)
		rc = declares_irreversible(search->now, lg_buf_str(&name), name.len, search->err);
	if (rc == 0)
		rc = declares_irreversible(search->then, lg_buf_str(&name), name.len, search->err);
	if (rc <= 0)
		return rc;
	search->found = strndup(entry->key, entry->key_len);
	return search->found ? 1 : lg_fail_nomem(search->err);
}

static int visit_irreversible_change(void *arg, const struct lg_record *record, struct lg_error *err)
{
	bool *found = arg;
	*found = body_says(record, "irreversible");
	return *found ? 1 : 0;
}

/* A setting that going back would change and that is declared irreversible, or the whole scope when a change on the way
 * was marked so. */
static int find_irreversible(struct lg_monitor *monitor, const struct lg_ward *ward, struct lg_tree *now,
	uint64_t from, uint64_t to, char **ret_found, struct lg_error *err)
{
	bool is_marked = false;
	const struct lg_log_query query = {
		.from = from + 1, .to = to, .kinds = 1u << LG_KIND_CHANGE, .key = ward->spec->adapter.prefix
	};
	int rc = lg_config_query(monitor->options.config, &query, visit_irreversible_change, &is_marked, err);
	if (rc < 0)
		return rc;
	if (is_marked) {
		*ret_found = strdup(ward->spec->adapter.prefix);
		return *ret_found ? 0 : lg_fail_nomem(err);
	}
	lg_cleanup(lg_tree_unrefp) struct lg_tree *then = NULL;
	rc = lg_config_tree_at(monitor->options.config, from, &then, err);
	if (rc < 0)
		return rc;
	struct lg_error local = LG_ERROR_INIT;
	struct irreversible_search search = { .now = now, .then = then, .err = err ? err : &local };
	rc = lg_tree_diff(now, then, &ward->scope, visit_difference, &search);
	if (rc < 0)
		return rc;
	*ret_found = search.found;
	return 0;
}

/* --- gathering --------------------------------------------------------------------------------------------------------- */

static uint64_t find_hold(struct lg_monitor *monitor, const struct lg_scope *scope)
{
	const struct lg_controls *controls = lg_config_controls(monitor->options.config);
	for (size_t i = 0; controls && i < controls->hold_count; i++)
		if (lg_scope_overlaps(&controls->holds[i].scope, scope))
			return controls->holds[i].seq;
	return 0;
}

static int gather_good(struct lg_monitor *monitor, const struct lg_ward *ward, struct lg_tree *tree,
	struct lg_case *c, struct lg_error *err)
{
	struct lg_evidence *e = &c->evidence;
	int rc = lg_config_known_good(monitor->options.config, &ward->scope, e->change, c->scope_hash, &e->good,
		&e->good_age_us, err);
	if (rc == LG_ENOTFOUND)
		return 0; /* good stays 0 */
	if (rc < 0)
		return rc;
	const struct lg_clock *clock = monitor->options.clock;
	if (e->good == ward->marked)
		e->good_age_us = (clock->boottime_ns(clock) - ward->marked_ns) / 1000;
	rc = find_irreversible(monitor, ward, tree, e->good, e->change, &c->irreversible, err);
	e->irreversible = c->irreversible;
	return rc;
}

static int gather_scope(struct lg_monitor *monitor, const struct lg_ward *ward,
	const struct lg_snapshot *snapshot, struct lg_case *c, struct lg_error *err)
{
	struct lg_evidence *e = &c->evidence;
	e->prefix = ward->spec->adapter.prefix;
	if (lg_tree_scope_hash(snapshot->tree, &ward->scope, c->scope_hash) < 0)
		return lg_fail_nomem(err);
	int rc = lg_config_last_change(
		monitor->options.config, &ward->scope, snapshot->seq, &e->change, &e->change_us, err);
	const struct lg_clock *clock = monitor->options.clock;
	if (rc == 0 && e->change == ward->revision && ward->changed_ns)
		e->change_us =
			clock->realtime_us(clock) - (clock->boottime_ns(clock) - ward->changed_ns) / 1000;
	if (rc == 0 && e->change > 0)
		rc = lg_case_is_rollback(monitor, e->change, &e->change_is_rollback, err);
	if (rc == 0 && e->change > 0)
		rc = gather_good(monitor, ward, snapshot->tree, c, err);
	if (rc == 0)
		rc = count_automatic(monitor, &e->automatic_today, err);
	e->hold = find_hold(monitor, &ward->scope);
	return rc;
}

int lg_case_gather(struct lg_monitor *monitor, const struct lg_watch *watch, struct lg_case *ret_case,
	struct lg_error *err)
{
	const struct lg_clock *clock = monitor->options.clock;
	int64_t ago_ns = clock->boottime_ns(clock) - lg_trigger_bad_since_ns(watch->trigger);
	struct lg_case c = { .evidence = {
				     .trigger = watch->spec->name,
				     .action = watch->spec->action,
				     .symptoms_us = clock->realtime_us(clock) - ago_ns / 1000,
				     .attribution_ns = watch->spec->attribution_ns,
				     .max_per_day = monitor->topology->monitor.max_per_day,
				     .good_max_age_ns = monitor->topology->monitor.good_max_age_ns,
			     } };
	if (watch->ward->adapter) {
		struct lg_snapshot snapshot;
		lg_config_snapshot(monitor->options.config, &snapshot);
		int rc = gather_scope(monitor, watch->ward, &snapshot, &c, err);
		lg_snapshot_clear(&snapshot);
		if (rc < 0) {
			lg_case_clear(&c);
			return lg_context(
				err, rc, "cannot gather the evidence of trigger '%s'", watch->spec->name);
		}
	}
	*ret_case = c;
	return 0;
}

void lg_case_clear(struct lg_case *c)
{
	free(c->irreversible);
	c->irreversible = NULL;
	c->evidence.irreversible = NULL;
}

void lg_watch_describe(const struct lg_watch *watch, char *buf, size_t size)
{
	char window[LG_DURATION_SIZE];
	long long requests = lg_trigger_requests(watch->trigger);
	if (watch->spec->signal == LG_SIGNAL_ERROR_RATE)
		snprintf(buf, size, "error rate %.0f%% of %lld requests over %s",
			lg_trigger_rate(watch->trigger) * 100, requests,
			lg_duration_format(watch->spec->window_ns, window));
	else if (watch->last.status > 0)
		snprintf(buf, size, "%lld http probe%s in a row failed, the last with status %d instead of %d",
			requests, requests == 1 ? "" : "s", watch->last.status, watch->expected_status);
	else
		snprintf(buf, size, "%lld http probe%s in a row failed, the last with no answer: %.150s",
			requests, requests == 1 ? "" : "s", watch->last.error);
}
