/* The `process` driver: lastgood runs the program itself.
 *
 * Who runs is in STATE_DIR/services/NAME.json: {"boot":ID,"pid":N,"start_ticks":N,"started":TIME}.  A pid alone names
 * nobody: it is reused, and start ticks count from the boot, so all three must agree before anything is signalled.  The
 * file is there from the start until a stop; one whose process is gone says that the service died. */
#include "io/process.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "host/service/driver.h"
#include "io/file.h"
#include "model/value.h"

#include <limits.h>
#include <string.h>

#define STATE_MAX ((size_t)4096)

/* --- the state file ---------------------------------------------------------------------------------------------- */

static int damaged(const struct lg_service *service, struct lg_error *err)
{
	return lg_fail(err, LG_ECORRUPT, 0,
		"'%s' does not say who runs; make sure that the service is stopped, then remove it",
		service->state_path);
}

/* 1 with who was started, 0 when nobody was (or before this boot). */
static int read_state(const struct lg_service *service, struct lg_process_id *ret_id, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	int rc = lg_file_read(service->state_path, STATE_MAX, &text, err);
	if (rc == LG_ENOTFOUND)
		return 0;
	if (rc < 0)
		return rc;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	if (lg_json_parse(lg_buf_str(&text), text.len, STATE_MAX, &json, err) < 0)
		return damaged(service, err);
	const char *boot = json_string_value(json_object_get(json, "boot"));
	json_int_t pid = json_integer_value(json_object_get(json, "pid"));
	json_int_t ticks = json_integer_value(json_object_get(json, "start_ticks"));
	if (!boot || pid <= 1 || pid > INT_MAX || ticks <= 0)
		return damaged(service, err);
	char this_boot[LG_BOOT_ID_SIZE];
	rc = lg_boot_id(this_boot, err);
	if (rc < 0)
		return rc;
	if (strcmp(boot, this_boot) != 0)
		return 0;
	*ret_id = (struct lg_process_id){ .pid = (pid_t)pid, .start_ticks = (uint64_t)ticks };
	return 1;
}

static int write_state(const struct lg_service *service, const struct lg_process_id *id, struct lg_error *err)
{
	char boot[LG_BOOT_ID_SIZE];
	int rc = lg_boot_id(boot, err);
	if (rc < 0)
		return rc;
	char started[LG_TIME_SIZE];
	lg_time_format(service->clock->realtime_us(service->clock), started);
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_buf_addf(&text, "{\"boot\":\"%s\",\"pid\":%d,\"start_ticks\":%llu,\"started\":\"%s\"}\n", boot,
		(int)id->pid, (unsigned long long)id->start_ticks, started);
	rc = lg_buf_check(&text, err);
	if (rc < 0)
		return rc;
	const struct lg_replace_options options = { .mode = 0600 };
	return lg_file_replace(service->state_path, text.data, text.len, &options, err);
}

/* 1 when it runs, with who it is. */
static int find_running(const struct lg_service *service, struct lg_process_id *ret_id, struct lg_error *err)
{
	int rc = read_state(service, ret_id, err);
	return rc <= 0 ? rc : lg_process_alive(ret_id);
}

/* --- the operations ---------------------------------------------------------------------------------------------- */

static int process_start(struct lg_service *service, struct lg_error *err)
{
	struct lg_process_id id;
	int rc = find_running(service, &id, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	const struct lg_service_spec *spec = service->spec;
	rc = lg_process_spawn((const char *const *)spec->start, (const char *const *)spec->env, spec->dir,
		service->log_path, &id, err);
	if (rc < 0)
		return rc == LG_ENOTFOUND ? LG_EFAILED : rc;
	rc = write_state(service, &id, err);
	if (rc < 0) {
		/* nobody could find it again, so it must not run on */
		struct lg_error ignored = LG_ERROR_INIT;
		lg_process_stop(&id, 0, &ignored);
	}
	return rc;
}

static int process_stop(struct lg_service *service, struct lg_error *err)
{
	struct lg_process_id id;
	int rc = find_running(service, &id, err);
	if (rc < 0)
		return rc;
	if (rc > 0) {
		rc = lg_process_stop(&id, lg_service_ms(service->spec->stop_timeout_ns), err);
		if (rc < 0)
			return rc;
	}
	return lg_file_remove(service->state_path, err);
}

static int process_reload(struct lg_service *service, struct lg_error *err)
{
	struct lg_process_id id;
	int rc = find_running(service, &id, err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return lg_fail(err, LG_EFAILED, 0, "it is not running; start it first");
	if (service->spec->reload)
		return lg_service_run(service, "reload", service->spec->reload, err);
	rc = lg_process_signal(&id, service->spec->reload_signal, err);
	return rc == LG_ENOTFOUND ? LG_EFAILED : rc;
}

static int process_state(struct lg_service *service, enum lg_service_state *ret_state, struct lg_error *err)
{
	struct lg_process_id id;
	int rc = find_running(service, &id, err);
	if (rc < 0)
		return rc;
	*ret_state = rc ? LG_SERVICE_RUNNING : LG_SERVICE_STOPPED;
	return 0;
}

static bool process_died(struct lg_service *service)
{
	struct lg_process_id id;
	return read_state(service, &id, NULL) == 1 && !lg_process_alive(&id);
}

const struct lg_service_ops lg_service_process_ops = {
	.kind = LG_DRIVER_PROCESS,
	.name = "process",
	.start = process_start,
	.stop = process_stop,
	.reload = process_reload,
	.state = process_state,
	.died = process_died,
};
