/* Proof that the state is what it should be: each check says what it looked at and what it saw. */
#include "rollback/internal.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "health/health.h"

#include <inttypes.h>
#include <string.h>

#define ANSWERS_IN_A_ROW 3
#define PROBE_PAUSE_NS   ((int64_t)50 * 1000 * 1000)
#define HEALTH_PATIENCE  3 /* times the probe's timeout, for a service that is just starting */

struct validation {
	struct lg_config *config;
	struct lg_delivery *delivery;
	const struct lg_validate_options *options;
	json_t *checks;
	bool ok;
	bool failed; /* out of memory */
};

static void add_check(struct validation *v, const char *check, const char *subject, bool ok, const char *fmt,
	...) __attribute__((format(printf, 5, 6)));

static void add_check(
	struct validation *v, const char *check, const char *subject, bool ok, const char *fmt, ...)
{
	lg_cleanup(lg_buf_clear) struct lg_buf evidence = LG_BUF_INIT;
	va_list args;
	va_start(args, fmt);
	lg_buf_vaddf(&evidence, fmt, args);
	va_end(args);
	/* messages may hold what a service said, or have been cut in the middle of a character */
	lg_cleanup(lg_buf_clear) struct lg_buf printable = LG_BUF_INIT;
	lg_text_add_printable(&printable, lg_buf_str(&evidence), evidence.len);
	json_t *one = json_pack("{s:s, s:s, s:b, s:s}", "check", check, "subject", subject, "ok", ok,
		"evidence", lg_buf_str(&printable));
	if (!one || json_array_append_new(v->checks, one) < 0)
		v->failed = true;
	if (!ok)
		v->ok = false;
}

/* --- state -------------------------------------------------------------------------------------------------------------- */

static int check_state(struct validation *v, const struct lg_snapshot *now, struct lg_error *err)
{
	uint8_t root[LG_HASH_SIZE], recorded[LG_HASH_SIZE];
	char hex[2 * LG_HASH_SIZE + 1];
	char name[32];
	lg_tree_hash(now->tree, root);
	lg_hex_encode(root, sizeof root, hex);
	snprintf(name, sizeof name, "r%" PRIu64, now->revision);
	if (now->revision) {
		int rc = lg_config_root_at(v->config, now->revision, recorded, err);
		if (rc < 0)
			return rc;
		bool same = memcmp(root, recorded, LG_HASH_SIZE) == 0;
		add_check(v, "root hash", name, same, "%zu keys hash to %s, %s the log records",
			lg_tree_count(now->tree), hex, same ? "as" : "not what");
	}
	if (!v->options->expect_scope_hash)
		return 0;
	uint8_t scope_hash[LG_HASH_SIZE];
	lg_cleanup(lg_buf_clear) struct lg_buf scope = LG_BUF_INIT;
	if (lg_tree_scope_hash(now->tree, v->options->scope, scope_hash) < 0)
		return lg_fail_nomem(err);
	lg_scope_describe(v->options->scope, &scope);
	lg_hex_encode(scope_hash, sizeof scope_hash, hex);
	bool same = memcmp(scope_hash, v->options->expect_scope_hash, LG_HASH_SIZE) == 0;
	add_check(v, "target hash", lg_buf_str(&scope), same, "%s, %s the target's", hex,
		same ? "equal to" : "not");
	return 0;
}

/* --- files --------------------------------------------------------------------------------------------------------------- */

static bool in_scope(const struct validation *v, const char *prefix)
{
	if (!v->options->scope || !prefix)
		return true;
	char *selector = (char *)(uintptr_t)prefix;
	const struct lg_scope scope = { .include = &selector, .include_count = 1 };
	return lg_scope_overlaps(v->options->scope, &scope);
}

/* 1 when the file is what the state renders to.  A writer of other keys may have appended and delivered between our look
 * at the state and our look at the file: then `now` becomes the newer state, and it is looked at again. */
static int verify_file(struct validation *v, const struct lg_adapter *adapter, struct lg_snapshot *now,
	uint8_t ret_hash[LG_HASH_SIZE], struct lg_error *err)
{
	for (;;) {
		int rc = lg_adapter_verify(adapter, now->tree, ret_hash, err);
		uint64_t revision = now->revision;
		struct lg_error ignored = LG_ERROR_INIT;
		if (rc != 0 || lg_config_refresh(v->config, &ignored) < 0)
			return rc;
		lg_snapshot_clear(now);
		lg_config_snapshot(v->config, now);
		if (now->revision == revision)
			return 0;
	}
}

static void check_files(struct validation *v, struct lg_snapshot *now)
{
	for (size_t i = 0; i < lg_delivery_count(v->delivery); i++) {
		const struct lg_adapter *adapter = lg_delivery_adapter(v->delivery, i);
		if (!lg_adapter_attached(adapter) || !in_scope(v, lg_adapter_prefix(adapter)))
			continue;
		uint8_t hash[LG_HASH_SIZE] = { 0 };
		char hex[2 * LG_HASH_SIZE + 1];
		struct lg_error why = LG_ERROR_INIT;
		int rc = verify_file(v, adapter, now, hash, &why);
		lg_hex_encode(hash, sizeof hash, hex);
		if (rc < 0)
			add_check(v, "file", lg_adapter_path(adapter), false, "%s", why.message);
		else
			add_check(v, "file", lg_adapter_path(adapter), rc == 1,
				"%s r%" PRIu64 " renders to, %s", rc == 1 ? "is what" : "is not what",
				now->revision, hex);
	}
}

/* --- services ------------------------------------------------------------------------------------------------------------ */

static void check_health(struct validation *v, const struct lg_service_spec *spec)
{
	const struct lg_clock *clock = lg_config_clock(v->config);
	int64_t deadline = clock->boottime_ns(clock) + HEALTH_PATIENCE * spec->health.timeout_ns;
	struct lg_http_answer answer = { 0 };
	struct lg_error why = LG_ERROR_INIT;
	int in_a_row = 0;
	while (in_a_row < ANSWERS_IN_A_ROW) {
		int rc = lg_http_get(spec->health.http_url, spec->health.timeout_ns / 1000000, &answer, &why);
		in_a_row = rc == 0 && answer.status == spec->health.http_status ? in_a_row + 1 : 0;
		if (in_a_row == 0 && clock->boottime_ns(clock) >= deadline)
			break;
		if (in_a_row < ANSWERS_IN_A_ROW)
			clock->sleep_ns(clock, PROBE_PAUSE_NS);
	}
	if (in_a_row == ANSWERS_IN_A_ROW)
		add_check(v, "health", spec->name, true, "%d answers %d in a row from %s", in_a_row,
			spec->health.http_status, spec->health.http_url);
	else
		add_check(v, "health", spec->name, false, "%s answers %d instead of %d %s%s",
			spec->health.http_url, answer.status, spec->health.http_status, why.message,
			answer.error);
}

static void check_services(struct validation *v)
{
	const struct lg_topology *topology = lg_delivery_topology(v->delivery);
	for (size_t i = 0; i < topology->service_count; i++) {
		const struct lg_service_spec *spec = &topology->services[i];
		if (!in_scope(v, spec->has_adapter ? spec->adapter.prefix : NULL))
			continue;
		enum lg_service_state state = LG_SERVICE_UNKNOWN;
		struct lg_error why = LG_ERROR_INIT;
		int rc = lg_service_state(lg_delivery_service(v->delivery, spec->name), &state, &why);
		bool wanted = lg_service_must_run(spec);
		if (rc < 0)
			add_check(v, "service", spec->name, !wanted, "%s", why.message);
		else
			add_check(v, "service", spec->name, !wanted || state == LG_SERVICE_RUNNING, "%s",
				lg_service_state_name(state));
		if (spec->health.http_url)
			check_health(v, spec);
	}
}

int lg_validate(struct lg_config *config, struct lg_delivery *delivery,
	const struct lg_validate_options *options, json_t **ret_report, bool *ret_ok, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *checks = json_array();
	struct validation v = { config, delivery, options, checks, true, checks == NULL };
	int refreshed = lg_config_refresh(config, err);
	if (refreshed < 0)
		return refreshed;
	struct lg_snapshot now;
	lg_config_snapshot(config, &now);
	int rc = v.failed ? lg_fail_nomem(err) : check_state(&v, &now, err);
	if (rc == 0 && delivery) {
		check_files(&v, &now);
		check_services(&v);
	}
	lg_snapshot_clear(&now);
	if (rc < 0)
		return rc;
	json_t *report = v.failed ? NULL : json_pack("{s:b, s:O}", "ok", v.ok, "checks", checks);
	if (!report)
		return lg_fail_nomem(err);
	*ret_report = report;
	*ret_ok = v.ok;
	return 0;
}
