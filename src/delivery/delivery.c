#include "delivery/delivery.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	struct lg_service *service;
	struct lg_adapter *adapter; /* NULL: the service has none */
};

struct lg_delivery {
	struct lg_config *config;
	const struct lg_topology *topology;
	struct unit *units; /* as topology->services */
	size_t count;
	struct lg_adapter **adapters; /* those of units, without gaps */
	size_t adapter_count;
	bool checks_paused;
};

static int reveal(void *arg, const struct lg_entry *entry, struct lg_buf *ret_value, struct lg_error *err)
{
	return lg_config_plain(arg, entry, ret_value, err);
}

/* --- opening -------------------------------------------------------------------------------------------------------- */

static int open_unit(struct lg_delivery *delivery, const struct lg_service_spec *spec, struct unit *unit,
	struct lg_error *err)
{
	const char *state_dir = lg_config_state_dir(delivery->config);
	const struct lg_clock *clock = lg_config_clock(delivery->config);
	int rc = lg_service_open(spec, state_dir, clock, &unit->service, err);
	if (rc < 0 || !spec->has_adapter)
		return rc;
	rc = lg_adapter_open(
		spec, unit->service, state_dir, clock, reveal, delivery->config, &unit->adapter, err);
	if (rc == 0)
		delivery->adapters[delivery->adapter_count++] = unit->adapter;
	return rc;
}

static int check_before(void *arg, uint64_t revision, struct lg_tree *former, struct lg_tree *next,
	struct lg_problems *problems, struct lg_error *err)
{
	(void)revision;
	struct lg_delivery *delivery = arg;
	return delivery->checks_paused ? 0 : lg_delivery_check(delivery, former, next, problems, err);
}

static int open_all(struct lg_delivery *delivery, struct lg_error *err)
{
	size_t count = delivery->topology->service_count;
	delivery->units = calloc(count + 1, sizeof *delivery->units);
	delivery->adapters = calloc(count + 1, sizeof(struct lg_adapter *));
	if (!delivery->units || !delivery->adapters)
		return lg_fail_nomem(err);
	delivery->count = count;
	for (size_t i = 0; i < count; i++) {
		int rc = open_unit(delivery, &delivery->topology->services[i], &delivery->units[i], err);
		if (rc < 0)
			return lg_context(err, rc, "service '%s'", delivery->topology->services[i].name);
	}
	const struct lg_subscriber subscriber = { .before = check_before, .arg = delivery };
	return lg_config_subscribe(delivery->config, &subscriber, err);
}

int lg_delivery_open(struct lg_config *config, const struct lg_topology *topology,
	struct lg_delivery **ret_delivery, struct lg_error *err)
{
	struct lg_delivery *delivery = calloc(1, sizeof *delivery);
	if (!delivery)
		return lg_fail_nomem(err);
	delivery->config = config;
	delivery->topology = topology;
	int rc = open_all(delivery, err);
	if (rc < 0) {
		lg_delivery_close(delivery);
		return rc;
	}
	*ret_delivery = delivery;
	return 0;
}

void lg_delivery_close(struct lg_delivery *delivery)
{
	if (!delivery)
		return;
	lg_config_unsubscribe(delivery->config, delivery);
	for (size_t i = 0; i < delivery->count; i++) {
		lg_adapter_close(delivery->units[i].adapter);
		lg_service_close(delivery->units[i].service);
	}
	free(delivery->adapters);
	free(delivery->units);
	free(delivery);
}

void lg_delivery_closep(struct lg_delivery **delivery)
{
	lg_delivery_close(*delivery);
}

void lg_delivery_pause_checks(struct lg_delivery *delivery, bool paused)
{
	delivery->checks_paused = paused;
}

/* --- looking -------------------------------------------------------------------------------------------------------- */

const struct lg_topology *lg_delivery_topology(const struct lg_delivery *delivery)
{
	return delivery->topology;
}

size_t lg_delivery_count(const struct lg_delivery *delivery)
{
	return delivery->adapter_count;
}

struct lg_adapter *lg_delivery_adapter(const struct lg_delivery *delivery, size_t i)
{
	return delivery->adapters[i];
}

struct lg_adapter *lg_delivery_adapter_named(const struct lg_delivery *delivery, const char *name)
{
	for (size_t i = 0; i < delivery->adapter_count; i++) {
		if (strcmp(lg_adapter_name(delivery->adapters[i]), name) == 0)
			return delivery->adapters[i];
	}
	return NULL;
}

struct lg_service *lg_delivery_service(const struct lg_delivery *delivery, const char *name)
{
	for (size_t i = 0; i < delivery->count; i++) {
		if (strcmp(delivery->topology->services[i].name, name) == 0)
			return delivery->units[i].service;
	}
	return NULL;
}

bool lg_delivery_concerns(
	const struct lg_adapter *adapter, const struct lg_tree *former, const struct lg_tree *next)
{
	char *selector = (char *)(uintptr_t)lg_adapter_prefix(adapter);
	const struct lg_scope scope = { .include = &selector, .include_count = 1 };
	uint8_t before[LG_HASH_SIZE], after[LG_HASH_SIZE];
	if (lg_tree_scope_hash(former, &scope, before) < 0 || lg_tree_scope_hash(next, &scope, after) < 0)
		return true;
	return memcmp(before, after, LG_HASH_SIZE) != 0;
}

/* --- checking and delivering ---------------------------------------------------------------------------------------- */

static int check_one(const struct lg_adapter *adapter, const struct lg_tree *next, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf data = LG_BUF_INIT;
	int rc = lg_adapter_render(adapter, next, &data, err);
	if (rc < 0)
		return rc;
	return lg_adapter_check(adapter, lg_buf_str(&data), data.len, err);
}

int lg_delivery_check(struct lg_delivery *delivery, struct lg_tree *former, struct lg_tree *next,
	struct lg_problems *problems, struct lg_error *err)
{
	int first = 0;
	for (size_t i = 0; i < delivery->adapter_count; i++) {
		const struct lg_adapter *adapter = delivery->adapters[i];
		if (!lg_adapter_attached(adapter) || (former && !lg_delivery_concerns(adapter, former, next)))
			continue;
		struct lg_error why = LG_ERROR_INIT;
		int rc = check_one(adapter, next, &why);
		if (rc == 0)
			continue;
		lg_problems_add(problems, lg_adapter_name(adapter), "%s", why.message);
		if (first == 0)
			first = lg_fail(err, rc, 0, "service '%s' would refuse this change: %s",
				lg_adapter_name(adapter), why.message);
	}
	return first;
}

static int delivery_body(const struct lg_adapter *adapter, uint64_t revision,
	const struct lg_delivery_result *result, int code, struct lg_buf *body)
{
	char hash[65];
	lg_hex_encode(result->hash, 32, hash);
	lg_buf_adds(body, "{\"adapter\":");
	lg_text_add_json_string(body, lg_adapter_name(adapter), strlen(lg_adapter_name(adapter)));
	lg_buf_addf(
		body, ",\"hash\":\"%s\",\"notified\":%s,\"path\":", hash, result->notified ? "true" : "false");
	lg_text_add_json_string(body, lg_adapter_path(adapter), strlen(lg_adapter_path(adapter)));
	lg_buf_adds(body, ",\"result\":");
	lg_buf_addf(body, "\"%s\",\"revision\":%" PRIu64 "}", code < 0 ? lg_code_name(code) : "ok", revision);
	return lg_buf_check(body, NULL);
}

int lg_delivery_record(struct lg_delivery *delivery, const struct lg_adapter *adapter, uint64_t revision,
	const char *actor, const struct lg_delivery_result *result, int code, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	if (delivery_body(adapter, revision, result, code, &body) < 0)
		return lg_fail_nomem(err);
	const struct lg_author author = { .actor = actor, .reason = "", .automatic = true };
	const struct lg_control control = { LG_KIND_DELIVERY, body.data, body.len };
	return lg_config_control(delivery->config, &author, &control, 1, NULL, err);
}

int lg_delivery_one(struct lg_delivery *delivery, struct lg_adapter *adapter,
	const struct lg_snapshot *snapshot, const char *actor, struct lg_delivery_result *ret_result,
	struct lg_error *err)
{
	struct lg_delivery_result result = { 0 };
	int rc = lg_adapter_deliver(
		adapter, snapshot->tree, snapshot->revision, snapshot->revision, &result, err);
	if (result.changed) {
		/* The delivery has happened; a log that cannot take the record now does not undo it. */
		struct lg_error owed = LG_ERROR_INIT;
		int recorded =
			lg_delivery_record(delivery, adapter, snapshot->revision, actor, &result, rc, &owed);
		if (recorded < 0 && rc == 0)
			rc = lg_fail(err, recorded, 0, "'%s' is delivered, but that could not be recorded: %s",
				lg_adapter_name(adapter), owed.message);
	}
	*ret_result = result;
	return rc;
}

int lg_delivery_run(struct lg_delivery *delivery, const char *actor,
	void (*visit)(void *arg, const struct lg_delivered *delivered), void *arg, struct lg_error *err)
{
	struct lg_snapshot snapshot;
	lg_config_snapshot(delivery->config, &snapshot);
	int first = 0;
	for (size_t i = 0; i < delivery->adapter_count; i++) {
		struct lg_adapter *adapter = delivery->adapters[i];
		if (!lg_adapter_attached(adapter))
			continue;
		struct lg_delivered delivered = { .adapter = lg_adapter_name(adapter) };
		delivered.code = lg_delivery_one(
			delivery, adapter, &snapshot, actor, &delivered.result, &delivered.error);
		if (visit)
			visit(arg, &delivered);
		if (delivered.code < 0 && first == 0) {
			first = lg_fail(err, delivered.code, 0, "cannot deliver to '%s': %s", delivered.adapter,
				delivered.error.message);
		}
	}
	lg_snapshot_clear(&snapshot);
	return first;
}
