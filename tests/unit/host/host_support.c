#include "host_support.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

static const char program[] = "import os, signal, sys, time\n"
			      "here = os.path.dirname(sys.argv[0])\n"
			      "def note(text):\n"
			      "    with open(here + '/events', 'a') as events:\n"
			      "        events.write(text + '\\n')\n"
			      "def end(*_):\n"
			      "    note('TERM')\n"
			      "    if 'stubborn' not in sys.argv:\n"
			      "        os._exit(0)\n"
			      "signal.signal(signal.SIGTERM, end)\n"
			      "signal.signal(signal.SIGHUP, lambda *_: note('HUP'))\n"
			      "signal.signal(signal.SIGUSR1, lambda *_: note('USR1'))\n"
			      "print('hello from the service', flush=True)\n"
			      "note('started COLOUR=' + os.environ.get('COLOUR', '') + ' ' + os.getcwd())\n"
			      "while os.path.exists(sys.argv[0]):\n"
			      "    time.sleep(0.05)\n";

char *host_room_path(const struct host_room *room, const char *name)
{
	char *path = NULL;
	if (asprintf(&path, "%s/%s", room->dir, name) < 0)
		abort();
	return path;
}

void host_room_init(struct host_room *room, const char *name)
{
	*room = (struct host_room){ .dir = (char *)lg_test_path(name) };
	if (mkdir(room->dir, 0700) < 0)
		fail_msg("cannot make '%s'", room->dir);
	room->state_dir = host_room_path(room, "state");
	room->events = host_room_path(room, "events");
	room->program = host_room_path(room, "service.py");
	lg_test_write(room->program, program, sizeof program - 1);
	room->argv[0] = "/usr/bin/python3"; /* a python3 of PATH may be a script, that is, several processes */
	room->argv[1] = room->program;
	room->spec = (struct lg_service_spec){
		.name = "web",
		.driver = LG_DRIVER_PROCESS,
		.start = room->argv,
		.reload_signal = SIGHUP,
		.stop_timeout_ns = 10 * HOST_SECOND,
		.timeout_ns = 10 * HOST_SECOND,
		.dir = room->dir,
	};
}

static bool nobody_left(void *arg)
{
	return host_count_processes(arg) == 0;
}

void host_room_clear(struct host_room *room)
{
	unlink(room->program);
	host_wait(nobody_left, room);
	free(room->state_dir);
	free(room->events);
	free(room->program);
}

void host_wait(bool (*done)(void *arg), void *arg)
{
	for (int tries = 0; tries < 2000; tries++) {
		if (done(arg))
			return;
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	fail_msg("it does not happen within 10 s");
}

size_t host_count_events(const struct host_room *room, const char *text)
{
	lg_autofree char *events = lg_test_read(room->events, NULL);
	size_t count = 0;
	for (const char *line = events; line && strchr(line, '\n'); line = strchr(line, '\n') + 1)
		count += strncmp(line, text, strlen(text)) == 0;
	return count;
}

struct waited {
	const struct host_room *room;
	const char *text;
	size_t count;
};

static bool has_events(void *arg)
{
	const struct waited *waited = arg;
	return host_count_events(waited->room, waited->text) >= waited->count;
}

void host_wait_events(const struct host_room *room, const char *text, size_t count)
{
	struct waited waited = { room, text, count };
	host_wait(has_events, &waited);
	assert_int_equal(host_count_events(room, text), count);
}

static bool names_room(const char *pid, const char *dir)
{
	char path[64], command[4096];
	snprintf(path, sizeof path, "/proc/%.20s/cmdline", pid);
	FILE *file = fopen(path, "rb");
	if (!file)
		return false;
	size_t len = fread(command, 1, sizeof command - 1, file);
	fclose(file);
	return memmem(command, len, dir, strlen(dir)) != NULL;
}

size_t host_count_processes(const struct host_room *room)
{
	DIR *proc = opendir("/proc");
	if (!proc)
		fail_msg("there is no /proc");
	size_t count = 0;
	for (struct dirent *entry; (entry = readdir(proc));)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			count += names_room(entry->d_name, room->dir);
	closedir(proc);
	return count;
}

pid_t host_pid(const struct host_room *room)
{
	lg_autofree char *path = host_room_path(room, "state/services/web.json");
	lg_autofree char *text = lg_test_read(path, NULL);
	const char *pid = text ? strstr(text, "\"pid\":") : NULL;
	return pid ? (pid_t)strtol(pid + 6, NULL, 10) : 0;
}

enum lg_service_state host_state(struct lg_service *service)
{
	struct lg_error err = LG_ERROR_INIT;
	enum lg_service_state state = LG_SERVICE_UNKNOWN;
	lg_assert_ok(lg_service_state(service, &state, &err), &err);
	return state;
}

static int fail_nth(void *arg, enum lg_fault_op op, const char *path)
{
	struct host_fault *fault = arg;
	if (++fault->calls != fault->at)
		return 0;
	fault->fired = true;
	return EIO;
}

void host_fault_begin(struct host_fault *fault, size_t at)
{
	*fault = (struct host_fault){ .at = at };
	lg_fault_set(fail_nth, fault);
}

void host_fault_end(void)
{
	lg_fault_set(NULL, NULL);
}
