#include "host/topology.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "format/format.h"
#include "host/topology_check.h"
#include "host/topology_read.h"
#include "io/file.h"
#include "model/value.h"

#include <limits.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define TOPOLOGY_MAX ((size_t)1024 * 1024) /* bytes of the file */
#define ENTRIES_MAX  1000                  /* services, triggers */

#define MS   INT64_C(1000000)
#define DAYS (INT64_C(86400) * 1000 * MS)

/* --- the document, member by member ------------------------------------------------------------------------------ */

static const struct lg_choice drivers[] = {
	{ "process", LG_DRIVER_PROCESS },
	{ "command", LG_DRIVER_COMMAND },
	{ NULL, 0 },
};
static const struct lg_choice formats[] = {
	{ "json", LG_ADAPTER_JSON },
	{ "env", LG_ADAPTER_ENV },
	{ "template", LG_ADAPTER_TEMPLATE },
	{ NULL, 0 },
};
static const struct lg_choice name_styles[] = {
	{ "keep", false },
	{ "upper", true },
	{ NULL, 0 },
};
static const struct lg_choice notifies[] = {
	{ "none", LG_NOTIFY_NONE },
	{ "reload", LG_NOTIFY_RELOAD },
	{ "restart", LG_NOTIFY_RESTART },
	{ NULL, 0 },
};
static const struct lg_choice signals[] = {
	{ "error_rate", LG_SIGNAL_ERROR_RATE },
	{ "http", LG_SIGNAL_HTTP },
	{ NULL, 0 },
};
static const struct lg_choice actions[] = {
	{ "observe", LG_ACTION_OBSERVE },
	{ "advise", LG_ACTION_ADVISE },
	{ "rollback", LG_ACTION_ROLLBACK },
	{ NULL, 0 },
};
/* those that services take as a wish to read their configuration again */
static const struct lg_choice reload_signals[] = {
	{ "HUP", SIGHUP },
	{ "USR1", SIGUSR1 },
	{ "USR2", SIGUSR2 },
	{ "WINCH", SIGWINCH },
	{ "CONT", SIGCONT },
	{ "SIGHUP", SIGHUP },
	{ "SIGUSR1", SIGUSR1 },
	{ "SIGUSR2", SIGUSR2 },
	{ NULL, 0 },
};

/* One line per member: name, type, where it goes; then what differs from "optional, zero". */
#define ROW(member_name, field_type, of, member, ...)                                                          \
	{                                                                                                      \
		.name = (member_name), .type = LG_FIELD_##field_type, .offset = offsetof(struct of, member),   \
		##__VA_ARGS__                                                                                  \
	}
#define END                                                                                                    \
	{                                                                                                      \
		.name = NULL                                                                                   \
	}
#define REQUIRED      .required = true
#define INITIAL(text) .initial = (text)
#define ONLY(m, v)    .only_member = (m), .only_value = (v)
#define AT_LEAST(low) .min = (low), .max = 3650 * DAYS
#define BETWEEN(a, b) .min = (a), .max = (b)
#define CHOICES(list) .choices = (list)

static const struct lg_field health_fields[] = {
	ROW("http", URL, lg_health_spec, http_url),
	ROW("status", INT, lg_health_spec, http_status, INITIAL("200"), BETWEEN(100, 599)),
	ROW("timeout", DURATION, lg_health_spec, timeout_ns, INITIAL("\"10s\""), AT_LEAST(MS)),
	END,
};

static const struct lg_field file_fields[] = {
	ROW("path", PATH, lg_adapter_spec, path, REQUIRED),
	ROW("format", CHOICE, lg_adapter_spec, format, REQUIRED, CHOICES(formats)),
	ROW("template", PATH, lg_adapter_spec, template_path, REQUIRED, ONLY("format", "template")),
	ROW("names", FLAG, lg_adapter_spec, upper_names, CHOICES(name_styles), ONLY("format", "env")),
	END,
};

static const struct lg_field adapter_fields[] = {
	ROW("prefix", PREFIX, lg_adapter_spec, prefix, REQUIRED),
	{ .name = "file", .type = LG_FIELD_SECTION, .fields = file_fields, .required = true },
	ROW("check", ARGV, lg_adapter_spec, check),
	ROW("check_timeout", DURATION, lg_adapter_spec, check_timeout_ns, INITIAL("\"10s\""), AT_LEAST(MS)),
	ROW("notify", CHOICE, lg_adapter_spec, notify, CHOICES(notifies), INITIAL("\"none\"")),
	ROW("attached", BOOL, lg_adapter_spec, attached, INITIAL("true")),
	END,
};

static const struct lg_field service_fields[] = {
	ROW("driver", CHOICE, lg_service_spec, driver, REQUIRED, CHOICES(drivers)),
	ROW("start", ARGV, lg_service_spec, start, REQUIRED),
	ROW("stop", ARGV, lg_service_spec, stop, REQUIRED, ONLY("driver", "command")),
	ROW("status", ARGV, lg_service_spec, status, ONLY("driver", "command")),
	ROW("reload", ARGV, lg_service_spec, reload),
	ROW("reload_signal", CHOICE, lg_service_spec, reload_signal, CHOICES(reload_signals),
		INITIAL("\"HUP\""), ONLY("driver", "process")),
	ROW("stop_timeout", DURATION, lg_service_spec, stop_timeout_ns, INITIAL("\"10s\""), AT_LEAST(0)),
	ROW("timeout", DURATION, lg_service_spec, timeout_ns, INITIAL("\"30s\""), AT_LEAST(MS)),
	ROW("dir", PATH, lg_service_spec, dir, INITIAL("\".\"")),
	ROW("env", ENV, lg_service_spec, env),
	ROW("critical", BOOL, lg_service_spec, critical),
	ROW("after", NAMES, lg_service_spec, after),
	ROW("health", SECTION, lg_service_spec, health, .fields = health_fields),
	ROW("adapter", SECTION, lg_service_spec, adapter, .fields = adapter_fields, .has_flag = true,
		.flag_offset = offsetof(struct lg_service_spec, has_adapter)),
	END,
};

/* Those without a default here get it in lg_topology_check, where it depends on something else. */
static const struct lg_field trigger_fields[] = {
	ROW("service", STRING, lg_trigger_spec, service, REQUIRED),
	ROW("signal", CHOICE, lg_trigger_spec, signal, REQUIRED, CHOICES(signals)),
	ROW("access_log", PATH, lg_trigger_spec, access_log, REQUIRED, ONLY("signal", "error_rate")),
	ROW("url", URL, lg_trigger_spec, url, ONLY("signal", "http")),
	ROW("timeout", DURATION, lg_trigger_spec, timeout_ns, AT_LEAST(MS), ONLY("signal", "http")),
	ROW("threshold", FRACTION, lg_trigger_spec, threshold, INITIAL("0.5"), ONLY("signal", "error_rate")),
	ROW("min_samples", COUNT, lg_trigger_spec, min_samples, INITIAL("20"), BETWEEN(1, 1000000000),
		ONLY("signal", "error_rate")),
	ROW("window", DURATION, lg_trigger_spec, window_ns, INITIAL("\"1m\""), AT_LEAST(MS),
		ONLY("signal", "error_rate")),
	ROW("for", DURATION, lg_trigger_spec, for_ns, AT_LEAST(0)),
	ROW("consecutive", COUNT, lg_trigger_spec, consecutive, BETWEEN(1, 1000000), ONLY("signal", "http")),
	ROW("clear", DURATION, lg_trigger_spec, clear_ns, INITIAL("\"1m\""), AT_LEAST(0)),
	ROW("cooldown", DURATION, lg_trigger_spec, cooldown_ns, INITIAL("\"30m\""), AT_LEAST(0)),
	ROW("attribution", DURATION, lg_trigger_spec, attribution_ns, INITIAL("\"60m\""), AT_LEAST(0)),
	ROW("action", CHOICE, lg_trigger_spec, action, CHOICES(actions), INITIAL("\"rollback\"")),
	END,
};

static const struct lg_field monitor_fields[] = {
	ROW("interval", DURATION, lg_monitor_spec, interval_ns, INITIAL("\"5s\""), AT_LEAST(MS)),
	ROW("bake", DURATION, lg_monitor_spec, bake_ns, INITIAL("\"15m\""), AT_LEAST(0)),
	ROW("good_max_age", DURATION, lg_monitor_spec, good_max_age_ns, INITIAL("\"7d\""), AT_LEAST(MS)),
	ROW("max_per_day", COUNT, lg_monitor_spec, max_per_day, INITIAL("3"), BETWEEN(0, 1000)),
	END,
};

static const struct lg_field retention_fields[] = {
	ROW("revisions", COUNT, lg_retention_spec, revisions, INITIAL("0"), BETWEEN(0, 1000000000)),
	ROW("age", DURATION, lg_retention_spec, age_ns, INITIAL("\"0s\""), AT_LEAST(0)),
	ROW("known_good", COUNT, lg_retention_spec, known_good, INITIAL("5"), BETWEEN(0, 1000)),
	END,
};

static const struct lg_field document_fields[] = {
	ROW("state_dir", PATH, lg_topology, state_dir),
	ROW("log", STRING, lg_topology, log_url),
	{ .name = "services", .type = LG_FIELD_ANY },
	{ .name = "triggers", .type = LG_FIELD_ANY },
	ROW("monitor", SECTION, lg_topology, monitor, .fields = monitor_fields),
	ROW("retention", SECTION, lg_topology, retention, .fields = retention_fields),
	END,
};

/* --- lists of named entries -------------------------------------------------------------------------------------- */

/* An object of NAME: MEMBERS below `where`, ready to be read: NULL when there is nothing to read. */
static const json_t *entries_of(struct lg_reader *reader, const char *where, const json_t *document)
{
	const json_t *entries = json_object_get(document, where);
	if (!entries || json_is_null(entries))
		return NULL;
	if (!json_is_object(entries)) {
		lg_problems_add(reader->problems, where, "is not an object of NAME: MEMBERS");
		return NULL;
	}
	if (json_object_size(entries) > ENTRIES_MAX) {
		lg_problems_add(reader->problems, where, "has more than %d entries", ENTRIES_MAX);
		return NULL;
	}
	return entries;
}

/* Checks the name and reads the members. */
static void read_entry(struct lg_reader *reader, const char *list, const char *name, const json_t *members,
	const struct lg_field *fields, char **ret_name, void *target)
{
	lg_autofree char *path = lg_reader_path(reader, list, name);
	*ret_name = strdup(name);
	if (!path || !*ret_name) {
		reader->nomem = true;
		return;
	}
	struct lg_error err = LG_ERROR_INIT;
	if (lg_topology_name_check(name, &err) < 0)
		lg_problems_add(reader->problems, path, "%s", err.message);
	if (json_is_object(members))
		lg_fields_read(reader, path, members, fields, target);
	else
		lg_problems_add(reader->problems, path, "is not an object with the members of the entry");
}

static void read_services(struct lg_reader *reader, const json_t *document, struct lg_topology *topology)
{
	const json_t *entries = entries_of(reader, "services", document);
	if (!entries)
		return;
	topology->services = calloc(json_object_size(entries) + 1, sizeof *topology->services);
	if (!topology->services) {
		reader->nomem = true;
		return;
	}
	const char *name;
	json_t *members;
	json_object_foreach((json_t *)entries, name, members)
	{
		struct lg_service_spec *spec = &topology->services[topology->service_count++];
		read_entry(reader, "services", name, members, service_fields, &spec->name, spec);
	}
}

static void read_triggers(struct lg_reader *reader, const json_t *document, struct lg_topology *topology)
{
	const json_t *entries = entries_of(reader, "triggers", document);
	if (!entries)
		return;
	topology->triggers = calloc(json_object_size(entries) + 1, sizeof *topology->triggers);
	if (!topology->triggers) {
		reader->nomem = true;
		return;
	}
	const char *name;
	json_t *members;
	json_object_foreach((json_t *)entries, name, members)
	{
		struct lg_trigger_spec *spec = &topology->triggers[topology->trigger_count++];
		spec->for_ns = spec->consecutive = spec->timeout_ns = -1; /* not given */
		read_entry(reader, "triggers", name, members, trigger_fields, &spec->name, spec);
	}
}

/* --- public ------------------------------------------------------------------------------------------------------ */

void lg_topology_free(struct lg_topology *topology)
{
	if (!topology)
		return;
	for (size_t i = 0; i < topology->service_count; i++) {
		lg_fields_clear(service_fields, &topology->services[i]);
		free(topology->services[i].name);
	}
	for (size_t i = 0; i < topology->trigger_count; i++) {
		lg_fields_clear(trigger_fields, &topology->triggers[i]);
		free(topology->triggers[i].name);
	}
	free(topology->services);
	free(topology->triggers);
	lg_fields_clear(document_fields, topology);
	free(topology);
}

LG_DEFINE_CLEANUP(struct lg_topology *, lg_topology_free)

struct lg_topology *lg_topology_default(void)
{
	struct lg_topology *topology = calloc(1, sizeof *topology);
	struct lg_problems problems = LG_PROBLEMS_INIT;
	struct lg_reader reader = { .problems = &problems, .directory = "/" };
	if (topology)
		lg_fields_read(&reader, "", NULL, document_fields, topology);
	lg_problems_clear(&problems);
	if (!reader.nomem)
		return topology;
	lg_topology_free(topology);
	return NULL;
}

/* Directory of the document, without links where it exists: what stands in the file is relative to the file, wherever
 * lastgood was called from. */
static char *document_directory(const char *name)
{
	const char *slash = strrchr(name, '/');
	lg_autofree char *directory = slash ? strndup(name, (size_t)(slash - name) + 1) : strdup(".");
	if (!directory)
		return NULL;
	char *real = realpath(directory, NULL);
	if (real || errno == ENOMEM)
		return real;
	lg_autofree char *here = realpath(".", NULL);
	return lg_path_absolute(here ? here : "/", directory);
}

static int read_document(
	struct lg_reader *reader, const json_t *document, struct lg_topology *topology, struct lg_error *err)
{
	lg_fields_read(reader, "", document, document_fields, topology);
	read_services(reader, document, topology);
	read_triggers(reader, document, topology);
	if (!reader->nomem)
		lg_topology_order(topology, reader);
	if (!reader->nomem)
		lg_topology_check(topology, reader);
	return reader->nomem ? lg_fail_nomem(err) : 0;
}

int lg_topology_parse(const char *name, const char *text, size_t len, struct lg_topology **ret_topology,
	struct lg_problems *problems, struct lg_error *err)
{
	lg_cleanup(lg_problems_clear) struct lg_problems own = LG_PROBLEMS_INIT;
	if (!problems)
		problems = &own;
	size_t before = problems->total;
	if (len > TOPOLOGY_MAX)
		return lg_fail(err, LG_EINVALID, 0, "'%s' has more than %zu bytes", name, TOPOLOGY_MAX);
	lg_cleanup(lg_json_freep) json_t *document = NULL;
	int rc = lg_yaml_parse(name, text, len, &document, err);
	if (rc < 0)
		return rc;
	if (!json_is_object(document) && !json_is_null(document))
		return lg_fail(
			err, LG_EINVALID, 0, "'%s' is not an object with members such as 'services'", name);
	lg_autofree char *directory = document_directory(name);
	lg_cleanup(lg_topology_freep) struct lg_topology *topology = calloc(1, sizeof *topology);
	if (!directory || !topology)
		return lg_fail_nomem(err);
	struct lg_reader reader = { .problems = problems, .directory = directory };
	rc = read_document(&reader, document, topology, err);
	if (rc < 0)
		return rc;
	if (problems->total > before)
		return lg_problems_fail(problems, err, name);
	crypto_generichash(topology->hash, sizeof topology->hash, (const unsigned char *)text, len, NULL, 0);
	*ret_topology = lg_steal_ptr(&topology);
	return 0;
}

int lg_topology_load(
	const char *path, struct lg_topology **ret_topology, struct lg_problems *problems, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	int rc = lg_file_read(path, TOPOLOGY_MAX, &text, err);
	if (rc < 0)
		return rc;
	return lg_topology_parse(path, lg_buf_str(&text), text.len, ret_topology, problems, err);
}

const struct lg_service_spec *lg_topology_service(const struct lg_topology *topology, const char *name)
{
	for (size_t i = 0; i < topology->service_count; i++)
		if (strcmp(topology->services[i].name, name) == 0)
			return &topology->services[i];
	return NULL;
}
