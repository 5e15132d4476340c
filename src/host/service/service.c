#include "host/service/service.h"

#include "base/cleanup.h"
#include "host/service/driver.h"
#include "io/file.h"
#include "io/process.h"

#include <stdio.h>
#include <stdlib.h>

static const struct lg_service_ops *const drivers[] = {
	&lg_service_process_ops,
	&lg_service_command_ops,
};

static const struct lg_service_ops *driver_of(const struct lg_service_spec *spec)
{
	for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
		if (drivers[i]->kind == spec->driver)
			return drivers[i];
	return NULL;
}

static char *path_of(const struct lg_service *service, const char *ending)
{
	char *path = NULL;
	if (asprintf(&path, "%s/%s%s", service->directory, service->spec->name, ending) < 0)
		return NULL;
	return path;
}

int lg_service_open(const struct lg_service_spec *spec, const char *state_dir, const struct lg_clock *clock,
	struct lg_service **ret_service, struct lg_error *err)
{
	lg_cleanup(lg_service_closep) struct lg_service *service = calloc(1, sizeof *service);
	if (!service)
		return lg_fail_nomem(err);
	service->spec = spec;
	service->clock = clock;
	service->ops = driver_of(spec);
	if (!service->ops)
		return lg_fail(err, LG_EINTERNAL, 0, "service '%s' has no driver", spec->name);
	service->directory = lg_path_join(state_dir, "services");
	if (!service->directory)
		return lg_fail_nomem(err);
	service->state_path = path_of(service, ".json");
	service->lock_path = path_of(service, ".lock");
	service->log_path = path_of(service, ".log");
	if (!service->state_path || !service->lock_path || !service->log_path)
		return lg_fail_nomem(err);
	*ret_service = lg_steal_ptr(&service);
	return 0;
}

void lg_service_close(struct lg_service *service)
{
	if (!service)
		return;
	free(service->directory);
	free(service->state_path);
	free(service->lock_path);
	free(service->log_path);
	free(service);
}

void lg_service_closep(struct lg_service **service)
{
	lg_service_close(*service);
}

const struct lg_service_spec *lg_service_spec(const struct lg_service *service)
{
	return service->spec;
}

/* --- what callers ask for ---------------------------------------------------------------------------------------- */

/* Starts and stops of one service exclude each other, also between processes. */
static int lock(const struct lg_service *service, int *ret_fd, struct lg_error *err)
{
	int rc = lg_file_exists(service->directory) ? 0 : lg_dir_make(service->directory, 0700, err);
	if (rc < 0)
		return rc;
	/* whoever holds it may stop and start, and neither takes longer than its deadlines */
	int64_t wait_ns = service->spec->stop_timeout_ns + 2 * service->spec->timeout_ns;
	rc = lg_lock_file(service->lock_path, lg_service_ms(wait_ns), ret_fd, err);
	return rc < 0 ? lg_context(err, rc, "service '%s'", service->spec->name) : 0;
}

int lg_service_start(struct lg_service *service, struct lg_error *err)
{
	lg_autoclose int held = -1;
	int rc = lock(service, &held, err);
	if (rc < 0)
		return rc;
	rc = service->ops->start(service, err);
	return rc < 0 ? lg_context(err, rc, "cannot start service '%s'", service->spec->name) : 0;
}

int lg_service_stop(struct lg_service *service, struct lg_error *err)
{
	lg_autoclose int held = -1;
	int rc = lock(service, &held, err);
	if (rc < 0)
		return rc;
	rc = service->ops->stop(service, err);
	return rc < 0 ? lg_context(err, rc, "cannot stop service '%s'", service->spec->name) : 0;
}

int lg_service_restart(struct lg_service *service, struct lg_error *err)
{
	lg_autoclose int held = -1;
	int rc = lock(service, &held, err);
	if (rc < 0)
		return rc;
	rc = service->ops->stop(service, err);
	if (rc == 0)
		rc = service->ops->start(service, err);
	return rc < 0 ? lg_context(err, rc, "cannot restart service '%s'", service->spec->name) : 0;
}

int lg_service_reload(struct lg_service *service, struct lg_error *err)
{
	lg_autoclose int held = -1;
	int rc = lock(service, &held, err);
	if (rc < 0)
		return rc;
	rc = service->ops->reload(service, err);
	return rc < 0 ? lg_context(err, rc, "cannot reload service '%s'", service->spec->name) : 0;
}

int lg_service_state(struct lg_service *service, enum lg_service_state *ret_state, struct lg_error *err)
{
	int rc = service->ops->state(service, ret_state, err);
	return rc < 0 ? lg_context(err, rc, "cannot tell the state of service '%s'", service->spec->name) : 0;
}

bool lg_service_died(struct lg_service *service)
{
	return service->ops->died && service->ops->died(service);
}

bool lg_service_must_run(const struct lg_service_spec *spec)
{
	return spec->critical || spec->health.http_url;
}

const char *lg_service_state_name(enum lg_service_state state)
{
	switch (state) {
	case LG_SERVICE_STOPPED:
		return "stopped";
	case LG_SERVICE_RUNNING:
		return "running";
	case LG_SERVICE_UNKNOWN:
		return "unknown";
	}
	return "unknown";
}

/* --- for the drivers --------------------------------------------------------------------------------------------- */

int64_t lg_service_ms(int64_t ns)
{
	return ns / 1000000 + (ns % 1000000 > 0);
}

int lg_service_run(const struct lg_service *service, const char *what, char *const *argv, struct lg_error *err)
{
	struct lg_run_options options = {
		.argv = (const char *const *)argv,
		.env = (const char *const *)service->spec->env,
		.dir = service->spec->dir,
		.timeout_ms = lg_service_ms(service->spec->timeout_ns),
	};
	int rc = lg_run_ok(&options, err);
	/* the program of a service is no missing key or file of the caller */
	if (rc == LG_ENOTFOUND)
		rc = LG_EFAILED;
	return rc < 0 ? lg_context(err, rc, "its %s command", what) : 0;
}
