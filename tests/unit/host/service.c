#include "host_support.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

static struct lg_service *open_service(const struct host_room *room)
{
	struct lg_service *service = NULL;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_service_open(&room->spec, room->state_dir, lg_clock_system(), &service, &err), &err);
	return service;
}

static void start(struct lg_service *service)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_service_start(service, &err), &err);
}

static void stop(struct lg_service *service)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_service_stop(service, &err), &err);
}

/* --- process ----------------------------------------------------------------------------------------------------- */

static void test_process(void **state)
{
	struct host_room room;
	host_room_init(&room, "process");
	char *env[] = { "COLOUR=dark red", NULL };
	room.spec.env = env;
	lg_cleanup(lg_service_closep) struct lg_service *service = open_service(&room);
	assert_ptr_equal(lg_service_spec(service), &room.spec);
	assert_int_equal(host_state(service), LG_SERVICE_STOPPED);
	assert_int_equal(lg_file_exists(room.state_dir), 0); /* asking makes nothing */
	stop(service);
	start(service);
	assert_int_equal(host_state(service), LG_SERVICE_RUNNING);
	lg_autofree char *started = NULL;
	assert_true(asprintf(&started, "started COLOUR=dark red %s", room.dir) > 0);
	host_wait_events(&room, started, 1);
	pid_t pid = host_pid(&room);
	start(service); /* does nothing */
	assert_int_equal(host_pid(&room), pid);
	assert_int_equal(host_count_processes(&room), 1);
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_service_reload(service, &err), &err);
	host_wait_events(&room, "HUP", 1);
	lg_assert_ok(lg_service_restart(service, &err), &err);
	assert_int_not_equal(host_pid(&room), pid);
	host_wait_events(&room, "started", 2);
	assert_int_equal(host_count_events(&room, "TERM"), 1);
	stop(service);
	assert_int_equal(host_state(service), LG_SERVICE_STOPPED);
	assert_int_equal(host_count_events(&room, "TERM"), 2);
	assert_int_equal(host_count_processes(&room), 0);
	assert_int_equal(host_pid(&room), 0);
	lg_autofree char *log_path = host_room_path(&room, "state/services/web.log");
	lg_autofree char *log = lg_test_read(log_path, NULL);
	assert_string_equal(log, "hello from the service\nhello from the service\n");
	host_room_clear(&room);
}

static void test_process_reload(void **state)
{
	struct host_room room;
	host_room_init(&room, "process_reload");
	room.spec.reload_signal = SIGUSR1;
	lg_cleanup(lg_service_closep) struct lg_service *service = open_service(&room);
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(lg_service_reload(service, &err), LG_EFAILED, &err);
	assert_string_equal(err.message, "cannot reload service 'web': it is not running; start it first");
	start(service);
	host_wait_events(&room, "started", 1);
	lg_assert_ok(lg_service_reload(service, &err), &err);
	host_wait_events(&room, "USR1", 1);
	char *command[] = { "sh", "-c", "echo by command >> events", NULL };
	room.spec.reload = command;
	lg_assert_ok(lg_service_reload(service, &err), &err);
	host_wait_events(&room, "by command", 1);
	stop(service);
	host_room_clear(&room);
}

/* Who started it is gone; who comes later finds it and stops it. */
static void test_survives_parent(void **state)
{
	struct host_room room;
	host_room_init(&room, "survives");
	pid_t child = fork();
	if (child == 0) {
		struct lg_service *service = NULL;
		int rc = lg_service_open(&room.spec, room.state_dir, lg_clock_system(), &service, NULL);
		_exit(rc == 0 && lg_service_start(service, NULL) == 0 ? 0 : 1);
	}
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	host_wait_events(&room, "started", 1);
	lg_cleanup(lg_service_closep) struct lg_service *service = open_service(&room);
	assert_int_equal(host_state(service), LG_SERVICE_RUNNING);
	stop(service);
	assert_int_equal(host_count_events(&room, "TERM"), 1);
	assert_int_equal(host_count_processes(&room), 0);
	host_room_clear(&room);
}

static void test_stubborn(void **state)
{
	struct host_room room;
	host_room_init(&room, "stubborn");
	room.argv[2] = "stubborn";
	room.spec.stop_timeout_ns = HOST_SECOND / 5;
	lg_cleanup(lg_service_closep) struct lg_service *service = open_service(&room);
	start(service);
	host_wait_events(&room, "started", 1);
	stop(service);
	assert_int_equal(host_count_events(&room, "TERM"), 1);
	assert_int_equal(host_count_processes(&room), 0);
	assert_int_equal(host_state(service), LG_SERVICE_STOPPED);
	host_room_clear(&room);
}

static void test_cannot_start(void **state)
{
	struct host_room room;
	host_room_init(&room, "cannot_start");
	lg_cleanup(lg_service_closep) struct lg_service *service = open_service(&room);
	room.argv[0] = "/nowhere/at/all";
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(lg_service_start(service, &err), LG_EFAILED, &err);
	assert_non_null(strstr(err.message, "cannot start service 'web'"));
	assert_non_null(strstr(err.message, "/nowhere/at/all"));
	assert_int_equal(host_state(service), LG_SERVICE_STOPPED);
	assert_int_equal(host_pid(&room), 0);
	room.argv[0] = "/usr/bin/python3";
	room.spec.dir = "/nowhere/at/all";
	assert_true(lg_service_start(service, &err) < 0);
	assert_int_equal(host_state(service), LG_SERVICE_STOPPED);
	room.spec.dir = room.dir;
	start(service);
	stop(service);
	host_room_clear(&room);
}

static bool is_stopped(void *arg)
{
	return host_state(arg) == LG_SERVICE_STOPPED;
}

static void test_died(void **state)
{
	struct host_room room;
	host_room_init(&room, "died");
	lg_cleanup(lg_service_closep) struct lg_service *service = open_service(&room);
	assert_false(lg_service_died(service));
	start(service);
	assert_false(lg_service_died(service));
	kill(host_pid(&room), SIGKILL);
	host_wait(is_stopped, service);
	assert_true(lg_service_died(service));
	start(service);
	assert_false(lg_service_died(service));
	kill(host_pid(&room), SIGKILL);
	host_wait(is_stopped, service);
	stop(service); /* now it is meant to be stopped */
	assert_false(lg_service_died(service));
	host_room_clear(&room);
}

/* --- whose pid it is --------------------------------------------------------------------------------------------- */

struct stranger_row {
	const char *name;
	bool other_boot;
	long long ticks_off;
};

static const struct stranger_row stranger_rows[] = {
	{ "pid reused in this boot", false, -1 },
	{ "pid of another boot", true, 0 },
};

/* The state file names a living process that is not the one that was started. */
static void test_stranger(void **state)
{
	const struct stranger_row *row = *state;
	struct host_room room;
	host_room_init(&room, row->other_boot ? "other_boot" : "reused");
	lg_cleanup(lg_service_closep) struct lg_service *service = open_service(&room);
	start(service);
	host_wait_events(&room, "started", 1);
	lg_autofree char *path = host_room_path(&room, "state/services/web.json");
	lg_autofree char *text = lg_test_read(path, NULL);
	lg_autofree char *forged = NULL;
	pid_t stranger = host_pid(&room);
	long long ticks = strtoll(strstr(text, "\"start_ticks\":") + 14, NULL, 10) + row->ticks_off;
	char boot[LG_BOOT_ID_SIZE];
	memcpy(boot, strstr(text, "\"boot\":\"") + 8, sizeof boot - 1);
	boot[sizeof boot - 1] = '\0';
	if (row->other_boot)
		boot[0] = boot[0] == '0' ? '1' : '0';
	assert_true(asprintf(&forged, "{\"boot\":\"%s\",\"pid\":%d,\"start_ticks\":%lld,\"started\":\"x\"}\n",
			    boot, (int)stranger, ticks) > 0);
	lg_test_write(path, forged, strlen(forged));

	struct lg_error err = LG_ERROR_INIT;
	assert_int_equal(host_state(service), LG_SERVICE_STOPPED);
	lg_assert_code(lg_service_reload(service, &err), LG_EFAILED, &err);
	stop(service);
	assert_int_equal(host_pid(&room), 0);
	assert_int_equal(kill(stranger, 0), 0);
	assert_int_equal(host_count_events(&room, "HUP") + host_count_events(&room, "TERM"), 0);

	lg_test_write(path, text, strlen(text)); /* the truth again: found, and stopped */
	assert_int_equal(host_state(service), LG_SERVICE_RUNNING);
	stop(service);
	assert_int_equal(host_count_processes(&room), 0);
	host_room_clear(&room);
}

static void test_damaged_state(void **state)
{
	static const char *const damaged[] = { "", "{", "[]", "{}",
		"{\"boot\":\"x\",\"pid\":1,\"start_ticks\":5}", "{\"boot\":\"x\",\"pid\":-5,\"start_ticks\":5}",
		"{\"boot\":\"x\",\"pid\":5,\"start_ticks\":\"5\"}",
		"{\"boot\":5,\"pid\":5,\"start_ticks\":5}" };
	struct host_room room;
	host_room_init(&room, "damaged");
	lg_cleanup(lg_service_closep) struct lg_service *service = open_service(&room);
	start(service);
	stop(service);
	lg_autofree char *path = host_room_path(&room, "state/services/web.json");
	for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
		lg_test_write(path, damaged[i], strlen(damaged[i]));
		struct lg_error err = LG_ERROR_INIT;
		enum lg_service_state ignored;
		lg_assert_code(lg_service_state(service, &ignored, &err), LG_ECORRUPT, &err);
		lg_assert_code(lg_service_start(service, &err), LG_ECORRUPT, &err);
		lg_assert_code(lg_service_stop(service, &err), LG_ECORRUPT, &err);
		assert_non_null(strstr(err.message, "then remove it"));
		assert_false(lg_service_died(service));
	}
	host_room_clear(&room);
}

static void test_started_at_once(void **state)
{
	enum { STARTERS = 4 };
	struct host_room room;
	host_room_init(&room, "at_once");
	pid_t starters[STARTERS];
	for (size_t i = 0; i < STARTERS; i++) {
		starters[i] = fork();
		if (starters[i] == 0) {
			struct lg_service *service = NULL;
			int rc = lg_service_open(&room.spec, room.state_dir, lg_clock_system(), &service, NULL);
			_exit(rc == 0 && lg_service_start(service, NULL) == 0 ? 0 : 1);
		}
	}
	for (size_t i = 0; i < STARTERS; i++) {
		int status = -1;
		assert_int_equal(waitpid(starters[i], &status, 0), starters[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(host_count_processes(&room), 1);
	lg_cleanup(lg_service_closep) struct lg_service *service = open_service(&room);
	stop(service);
	assert_int_equal(host_count_processes(&room), 0);
	host_room_clear(&room);
}

/* Whatever fails: it runs and is known to run, or it does not run. */
static void test_start_faults(void **state)
{
	struct host_room room;
	host_room_init(&room, "start_faults");
	lg_cleanup(lg_service_closep) struct lg_service *service = open_service(&room);
	bool fired = true;
	size_t failures = 0;
	for (size_t n = 1; fired; n++) {
		struct host_fault fault;
		struct lg_error err = LG_ERROR_INIT;
		host_fault_begin(&fault, n);
		int rc = lg_service_start(service, &err);
		host_fault_end();
		fired = fault.fired;
		assert_true(rc == 0 || fired);
		failures += rc < 0;
		assert_int_equal(host_state(service), rc == 0 ? LG_SERVICE_RUNNING : LG_SERVICE_STOPPED);
		assert_int_equal(host_count_processes(&room), rc == 0);
		stop(service);
		assert_int_equal(host_count_processes(&room), 0);
	}
	assert_true(failures >= 3);
	host_room_clear(&room);
}

/* --- command ----------------------------------------------------------------------------------------------------- */

static char *words(const char *script)
{
	return (char *)script;
}

#define SHELL(script) ((char *[]){ "sh", "-c", words(script), NULL })

static void command_room(struct host_room *room, const char *name)
{
	host_room_init(room, name);
	room->spec.driver = LG_DRIVER_COMMAND;
}

static void test_command(void **state)
{
	struct host_room room;
	command_room(&room, "command");
	char *env[] = { "COLOUR=green", NULL };
	room.spec.env = env;
	room.spec.start = SHELL("touch up; echo started $COLOUR >> events");
	room.spec.stop = SHELL("rm up; echo stopped >> events");
	room.spec.status = SHELL("test -e up");
	lg_cleanup(lg_service_closep) struct lg_service *service = open_service(&room);
	struct lg_error err = LG_ERROR_INIT;
	assert_int_equal(host_state(service), LG_SERVICE_STOPPED);
	stop(service);
	assert_int_equal(host_count_events(&room, "stopped"), 0);
	start(service);
	start(service);
	assert_int_equal(host_count_events(&room, "started green"), 1);
	assert_int_equal(host_state(service), LG_SERVICE_RUNNING);
	lg_assert_code(lg_service_reload(service, &err), LG_EUNSUPPORTED, &err);
	room.spec.reload = SHELL("echo reloaded >> events");
	lg_assert_ok(lg_service_reload(service, &err), &err);
	assert_int_equal(host_count_events(&room, "reloaded"), 1);
	lg_assert_ok(lg_service_restart(service, &err), &err);
	assert_int_equal(host_count_events(&room, "stopped"), 1);
	assert_int_equal(host_count_events(&room, "started"), 2);
	stop(service);
	assert_int_equal(host_state(service), LG_SERVICE_STOPPED);
	lg_assert_code(lg_service_reload(service, &err), LG_EFAILED, &err);
	assert_int_equal(host_count_events(&room, "reloaded"), 1);
	assert_false(lg_service_died(service));
	host_room_clear(&room);
}

/* start and stop return before they have taken effect: the status is asked until it agrees */
static void test_command_takes_time(void **state)
{
	struct host_room room;
	command_room(&room, "takes_time");
	room.spec.start = SHELL("echo 3 > coming");
	room.spec.stop = SHELL("echo 3 > going");
	room.spec.status =
		SHELL("for way in coming going; do n=$(cat $way 2>/dev/null) || continue\n"
		      "if [ $n -gt 0 ]; then echo $((n-1)) > $way; continue; fi\n"
		      "rm $way; if [ $way = coming ]; then touch up; else rm up; fi; done; test -e up");
	lg_cleanup(lg_service_closep) struct lg_service *service = open_service(&room);
	start(service);
	assert_int_equal(host_state(service), LG_SERVICE_RUNNING);
	stop(service);
	assert_int_equal(host_state(service), LG_SERVICE_STOPPED);
	host_room_clear(&room);
}

static void test_command_without_status(void **state)
{
	struct host_room room;
	command_room(&room, "no_status");
	room.spec.start = SHELL("echo started >> events");
	room.spec.stop = SHELL("echo stopped >> events");
	room.spec.reload = SHELL("echo reloaded >> events");
	lg_cleanup(lg_service_closep) struct lg_service *service = open_service(&room);
	struct lg_error err = LG_ERROR_INIT;
	assert_int_equal(host_state(service), LG_SERVICE_UNKNOWN);
	start(service);
	lg_assert_ok(lg_service_reload(service, &err), &err);
	stop(service);
	assert_int_equal(host_count_events(&room, ""), 3);
	host_room_clear(&room);
}

static void test_command_fails(void **state)
{
	struct host_room room;
	command_room(&room, "fails");
	struct lg_clock_sim sim;
	lg_clock_sim_init(&sim, 0, HOST_SECOND);
	struct lg_service *service = NULL;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_service_open(&room.spec, room.state_dir, &sim.clock, &service, &err), &err);

	room.spec.start = SHELL("echo no port left >&2; exit 3");
	room.spec.stop = SHELL("exit 1");
	room.spec.status = SHELL("exit 1");
	lg_assert_code(lg_service_start(service, &err), LG_EFAILED, &err);
	assert_non_null(strstr(err.message, "cannot start service 'web': its start command"));
	assert_non_null(strstr(err.message, "no port left"));

	room.spec.timeout_ns = HOST_SECOND / 5; /* the simulated clock goes on only while it is waited for */
	room.spec.start = SHELL("exit 0");
	lg_assert_code(lg_service_start(service, &err), LG_ETIMEOUT, &err);
	assert_non_null(strstr(err.message, "does not say 'running' within 200ms"));

	room.spec.timeout_ns = 10 * HOST_SECOND;
	room.spec.status = SHELL("exit 0");
	lg_assert_code(lg_service_stop(service, &err), LG_EFAILED, &err);
	room.spec.stop = SHELL("exit 0");
	room.spec.stop_timeout_ns = HOST_SECOND / 5;
	lg_assert_code(lg_service_stop(service, &err), LG_ETIMEOUT, &err);
	lg_assert_code(lg_service_restart(service, &err), LG_ETIMEOUT, &err);

	enum lg_service_state ignored;
	room.spec.status = SHELL("kill -9 $$");
	lg_assert_code(lg_service_state(service, &ignored, &err), LG_EFAILED, &err);
	char *absent[] = { "/nowhere/at/all", NULL };
	room.spec.status = absent;
	lg_assert_code(lg_service_state(service, &ignored, &err), LG_EFAILED, &err);
	room.spec.status = NULL;
	room.spec.start = absent;
	lg_assert_code(lg_service_start(service, &err), LG_EFAILED, &err);
	lg_service_close(service);
	host_room_clear(&room);
}

static void test_command_hangs(void **state)
{
	struct host_room room;
	command_room(&room, "hangs");
	room.spec.timeout_ns = HOST_SECOND / 5;
	room.spec.start = room.argv; /* runs until it is killed */
	room.spec.stop = SHELL("exit 0");
	lg_cleanup(lg_service_closep) struct lg_service *service = open_service(&room);
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(lg_service_start(service, &err), LG_ETIMEOUT, &err);
	assert_int_equal(host_count_processes(&room), 0);
	host_room_clear(&room);
}

static void test_names(void **state)
{
	assert_string_equal(lg_service_state_name(LG_SERVICE_STOPPED), "stopped");
	assert_string_equal(lg_service_state_name(LG_SERVICE_RUNNING), "running");
	assert_string_equal(lg_service_state_name(LG_SERVICE_UNKNOWN), "unknown");
	lg_service_close(NULL);
}

int main(int argc, char **argv)
{
	lg_test_add("process: start, stop, reload, restart", test_process, NULL);
	lg_test_add("process: ways to reload", test_process_reload, NULL);
	lg_test_add("process: survives who started it", test_survives_parent, NULL);
	lg_test_add("process: TERM ignored, KILL", test_stubborn, NULL);
	lg_test_add("process: cannot be started", test_cannot_start, NULL);
	lg_test_add("process: died", test_died, NULL);
	lg_test_rows("not signalled", test_stranger, stranger_rows,
		sizeof stranger_rows / sizeof *stranger_rows, sizeof *stranger_rows,
		offsetof(struct stranger_row, name));
	lg_test_add("process: damaged state file", test_damaged_state, NULL);
	lg_test_add("process: several start it at once", test_started_at_once, NULL);
	lg_test_add("process: every failing call of a start", test_start_faults, NULL);
	lg_test_add("command: start, stop, reload, restart", test_command, NULL);
	lg_test_add("command: takes time", test_command_takes_time, NULL);
	lg_test_add("command: without status", test_command_without_status, NULL);
	lg_test_add("command: fails", test_command_fails, NULL);
	lg_test_add("command: hangs", test_command_hangs, NULL);
	lg_test_add("names", test_names, NULL);
	return lg_test_run(argv[0]);
}
