/* The `command` driver: the service has its own commands to start and stop it, and one that tells whether it runs. */
#include "base/cleanup.h"
#include "base/text.h"
#include "host/service/driver.h"
#include "io/process.h"

#define POLL_NS INT64_C(20000000) /* between two looks at whether a start or stop has taken effect */

static int command_state(struct lg_service *service, enum lg_service_state *ret_state, struct lg_error *err)
{
	if (!service->spec->status) {
		*ret_state = LG_SERVICE_UNKNOWN;
		return 0;
	}
	struct lg_run_options options = {
		.argv = (const char *const *)service->spec->status,
		.env = (const char *const *)service->spec->env,
		.dir = service->spec->dir,
		.timeout_ms = lg_service_ms(service->spec->timeout_ns),
	};
	lg_cleanup(lg_run_result_clear) struct lg_run_result result = { 0 };
	int rc = lg_run(&options, &result, err);
	if (rc == LG_ENOTFOUND)
		rc = LG_EFAILED;
	if (rc < 0)
		return lg_context(err, rc, "its status command");
	if (result.signal)
		return lg_fail(err, LG_EFAILED, 0, "its status command was killed by signal %d", result.signal);
	*ret_state = result.exit_status == 0 ? LG_SERVICE_RUNNING : LG_SERVICE_STOPPED;
	return 0;
}

/* Commands often return before what they began has happened. */
static int wait_for(
	struct lg_service *service, enum lg_service_state wanted, int64_t timeout_ns, struct lg_error *err)
{
	int64_t until = service->clock->boottime_ns(service->clock) + timeout_ns;
	for (;;) {
		enum lg_service_state state;
		int rc = command_state(service, &state, err);
		if (rc < 0)
			return rc;
		if (state == wanted || state == LG_SERVICE_UNKNOWN)
			return 0;
		if (service->clock->boottime_ns(service->clock) >= until)
			break;
		service->clock->sleep_ns(service->clock, POLL_NS);
	}
	char text[LG_DURATION_SIZE];
	return lg_fail(err, LG_ETIMEOUT, 0, "its status command does not say '%s' within %s",
		lg_service_state_name(wanted), lg_duration_format(timeout_ns, text));
}

static int command_start(struct lg_service *service, struct lg_error *err)
{
	enum lg_service_state state;
	int rc = command_state(service, &state, err);
	if (rc < 0 || state == LG_SERVICE_RUNNING)
		return rc;
	rc = lg_service_run(service, "start", service->spec->start, err);
	return rc < 0 ? rc : wait_for(service, LG_SERVICE_RUNNING, service->spec->timeout_ns, err);
}

static int command_stop(struct lg_service *service, struct lg_error *err)
{
	enum lg_service_state state;
	int rc = command_state(service, &state, err);
	if (rc < 0 || state == LG_SERVICE_STOPPED)
		return rc;
	rc = lg_service_run(service, "stop", service->spec->stop, err);
	return rc < 0 ? rc : wait_for(service, LG_SERVICE_STOPPED, service->spec->stop_timeout_ns, err);
}

static int command_reload(struct lg_service *service, struct lg_error *err)
{
	if (!service->spec->reload)
		return lg_fail(
			err, LG_EUNSUPPORTED, 0, "it has no reload command; add 'reload' to lastgood.yaml");
	enum lg_service_state state;
	int rc = command_state(service, &state, err);
	if (rc < 0)
		return rc;
	if (state == LG_SERVICE_STOPPED)
		return lg_fail(err, LG_EFAILED, 0, "it is not running; start it first");
	return lg_service_run(service, "reload", service->spec->reload, err);
}

const struct lg_service_ops lg_service_command_ops = {
	.kind = LG_DRIVER_COMMAND,
	.name = "command",
	.start = command_start,
	.stop = command_stop,
	.reload = command_reload,
	.state = command_state,
};
