#include "host/topology_check.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

/* A problem at LIST.NAME.MEMBER of the document. */
static void add_problem(struct lg_reader *reader, const char *list, const char *name, const char *member,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void add_problem(
	struct lg_reader *reader, const char *list, const char *name, const char *member, const char *fmt, ...)
{
	lg_autofree char *entry = lg_reader_path(reader, list, name);
	lg_autofree char *path = entry ? lg_reader_path(reader, entry, member) : NULL;
	lg_cleanup(lg_buf_clear) struct lg_buf message = LG_BUF_INIT;
	va_list args;
	va_start(args, fmt);
	lg_buf_vaddf(&message, fmt, args);
	va_end(args);
	if (path)
		lg_problems_add(reader->problems, path, "%s", lg_buf_str(&message));
}

/* --- order of services ------------------------------------------------------------------------------------------- */

/* service_count when there is none of that name */
static size_t find_service(const struct lg_topology *topology, const char *name)
{
	size_t i = 0;
	while (i < topology->service_count && strcmp(topology->services[i].name, name) != 0)
		i++;
	return i;
}

static bool know_all_dependencies(const struct lg_topology *topology, struct lg_reader *reader)
{
	bool fine = true;
	for (size_t i = 0; i < topology->service_count; i++) {
		const struct lg_service_spec *spec = &topology->services[i];
		for (size_t k = 0; spec->after && spec->after[k]; k++) {
			if (find_service(topology, spec->after[k]) < topology->service_count)
				continue;
			add_problem(reader, "services", spec->name, "after", "there is no service '%s'",
				spec->after[k]);
			fine = false;
		}
	}
	return fine;
}

/* First dependency of a service that is not placed yet; service_count when there is none. */
static size_t open_dependency(const struct lg_topology *topology, const bool *placed, size_t of)
{
	char **after = topology->services[of].after;
	for (size_t k = 0; after && after[k]; k++) {
		size_t other = find_service(topology, after[k]);
		if (!placed[other])
			return other;
	}
	return topology->service_count;
}

/* No service can be placed any more, so from each one that is left the way along `after` comes round. */
static void report_cycle(const struct lg_topology *topology, struct lg_reader *reader, const bool *placed)
{
	size_t at = 0;
	while (placed[at])
		at++;
	for (size_t i = 0; i < topology->service_count;
		i++) /* as many steps as services: certainly on the cycle */
		at = open_dependency(topology, placed, at);
	lg_cleanup(lg_buf_clear) struct lg_buf way = LG_BUF_INIT;
	size_t first = at;
	lg_buf_adds(&way, topology->services[first].name);
	do {
		at = open_dependency(topology, placed, at);
		lg_buf_addf(&way, " after %s", topology->services[at].name);
	} while (at != first);
	add_problem(reader, "services", topology->services[first].name, "after", "is a cycle: %s",
		lg_buf_str(&way));
}

void lg_topology_order(struct lg_topology *topology, struct lg_reader *reader)
{
	size_t count = topology->service_count;
	if (count == 0 || !know_all_dependencies(topology, reader))
		return;
	lg_autofree bool *placed = calloc(count, sizeof *placed);
	lg_autofree struct lg_service_spec *ordered = calloc(count, sizeof *ordered);
	if (!placed || !ordered) {
		reader->nomem = true;
		return;
	}
	for (size_t done = 0; done < count; done++) {
		/* the first in the document that can go: services without dependencies keep their order */
		size_t i = 0;
		while (i < count && (placed[i] || open_dependency(topology, placed, i) < count))
			i++;
		if (i == count) {
			report_cycle(topology, reader, placed);
			return;
		}
		placed[i] = true;
		ordered[done] = topology->services[i];
	}
	memcpy(topology->services, ordered, count * sizeof *ordered);
}

/* --- adapters ---------------------------------------------------------------------------------------------------- */

/* The file a path leads to, so that two names for one file are seen: links in its directory followed, not its own. */
static char *real_file(const char *path)
{
	const char *base = strrchr(path, '/') + 1;
	lg_autofree char *directory = strndup(path, (size_t)(base - path));
	lg_autofree char *real = directory ? realpath(directory, NULL) : NULL;
	return real ? lg_path_absolute(real, base) : strdup(path);
}

static void check_pair(
	struct lg_reader *reader, const struct lg_service_spec *one, const struct lg_service_spec *other)
{
	if (one->adapter.prefix && other->adapter.prefix &&
		strcmp(one->adapter.prefix, other->adapter.prefix) == 0)
		add_problem(reader, "services", other->name, "adapter.prefix",
			"'%s' is claimed by the adapter of '%s' too", one->adapter.prefix, one->name);
	if (!one->adapter.path || !other->adapter.path)
		return;
	lg_autofree char *path = real_file(one->adapter.path);
	lg_autofree char *other_path = real_file(other->adapter.path);
	if (!path || !other_path)
		reader->nomem = true;
	else if (strcmp(path, other_path) == 0)
		add_problem(reader, "services", other->name, "adapter.file.path",
			"'%s' is claimed by the adapter of '%s' too", other->adapter.path, one->name);
}

/* A check that is not given the staged file would look at the former one, and pass. */
static bool check_names_file(char *const *check)
{
	for (; *check; check++)
		if (strstr(*check, "{}"))
			return true;
	return false;
}

static void check_adapter(struct lg_reader *reader, const struct lg_service_spec *spec)
{
	const struct lg_adapter_spec *adapter = &spec->adapter;
	if (adapter->notify == LG_NOTIFY_RELOAD && spec->driver == LG_DRIVER_COMMAND && !spec->reload)
		add_problem(reader, "services", spec->name, "adapter.notify",
			"'reload' needs a 'reload' command of the service");
	if (adapter->check && !check_names_file(adapter->check))
		add_problem(reader, "services", spec->name, "adapter.check",
			"has no '{}', the place for the name of the file to be checked");
	if (adapter->path && adapter->template_path && strcmp(adapter->path, adapter->template_path) == 0)
		add_problem(reader, "services", spec->name, "adapter.file.template",
			"is the file that it would overwrite");
	if (adapter->path && adapter->path[1] == '\0')
		add_problem(reader, "services", spec->name, "adapter.file.path", "is a directory");
}

static void check_adapters(const struct lg_topology *topology, struct lg_reader *reader)
{
	for (size_t i = 0; i < topology->service_count; i++) {
		const struct lg_service_spec *spec = &topology->services[i];
		if (!spec->has_adapter)
			continue;
		check_adapter(reader, spec);
		for (size_t k = 0; k < i; k++)
			if (topology->services[k].has_adapter)
				check_pair(reader, &topology->services[k], spec);
	}
}

/* --- triggers ---------------------------------------------------------------------------------------------------- */

/* `consecutive` and `for` exclude each other; http counts by default, error_rate lasts. */
static void complete_duration(struct lg_reader *reader, struct lg_trigger_spec *trigger)
{
	bool counts = trigger->consecutive >= 0, lasts = trigger->for_ns >= 0;
	if (counts && lasts)
		add_problem(reader, "triggers", trigger->name, "consecutive",
			"stands beside 'for': give one of them");
	if (!counts)
		trigger->consecutive = trigger->signal == LG_SIGNAL_HTTP && !lasts ? 5 : 0;
	if (!lasts)
		trigger->for_ns = 300 * SECOND;
}

static void complete_url(
	struct lg_reader *reader, struct lg_trigger_spec *trigger, const struct lg_health_spec *health)
{
	if (trigger->signal == LG_SIGNAL_HTTP && !trigger->url) {
		if (!health->http_url) {
			add_problem(reader, "triggers", trigger->name, "url",
				"is missing, and the service has no 'health.http' to take it from");
		} else {
			trigger->url = strdup(health->http_url);
			reader->nomem |= !trigger->url;
			if (trigger->timeout_ns < 0)
				trigger->timeout_ns = health->timeout_ns;
		}
	}
	if (trigger->timeout_ns < 0)
		trigger->timeout_ns = 10 * SECOND;
}

static void check_trigger(
	const struct lg_topology *topology, struct lg_reader *reader, struct lg_trigger_spec *trigger)
{
	complete_duration(reader, trigger);
	if (!trigger->service)
		return;
	size_t i = find_service(topology, trigger->service);
	if (i == topology->service_count) {
		add_problem(reader, "triggers", trigger->name, "service", "there is no service '%s'",
			trigger->service);
		return;
	}
	const struct lg_service_spec *service = &topology->services[i];
	if (trigger->action == LG_ACTION_ROLLBACK && !service->has_adapter)
		add_problem(reader, "triggers", trigger->name, "action",
			"'rollback' needs a scope, and service '%s' has no adapter to take its prefix from",
			service->name);
	complete_url(reader, trigger, &service->health);
}

void lg_topology_check(struct lg_topology *topology, struct lg_reader *reader)
{
	check_adapters(topology, reader);
	for (size_t i = 0; i < topology->trigger_count; i++)
		check_trigger(topology, reader, &topology->triggers[i]);
}
