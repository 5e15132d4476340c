/* The part of process.h that is about processes that outlive the call: started detached, known by pid and start. */
#include "base/cleanup.h"
#include "io/child.h"
#include "io/clock.h"
#include "io/fault.h"
#include "io/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define AFTER_KILL_MS 10000

/* ---- spawn ---- */

struct spawn {
	struct lg_child child;
	int fd_report;
};

static void spawn_clear(struct spawn *spawn)
{
	lg_close_cleanup(&spawn->child.fd_in);
	lg_close_cleanup(&spawn->child.fd_out);
	lg_close_cleanup(&spawn->child.fd_status);
	lg_close_cleanup(&spawn->fd_report);
	lg_child_clear(&spawn->child);
}

static int open_lifted(const char *path, int flags, int *ret_fd, struct lg_error *err)
{
	int fault = lg_fault_check(LG_FAULT_OPEN, path);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot open '%s'", path);
	int fd = lg_child_lift(open(path, flags | O_CLOEXEC | O_NOCTTY, 0640));
	if (fd < 0)
		return lg_fail(err, LG_EIO, errno, "cannot open '%s'", path);
	*ret_fd = fd;
	return 0;
}

static int spawn_open(struct spawn *spawn, const char *log_path, struct lg_error *err)
{
	struct lg_child *child = &spawn->child;
	int ends[2];
	int rc = open_lifted("/dev/null", O_RDONLY, &child->fd_in, err);
	if (rc == 0)
		rc = log_path ? open_lifted(log_path, O_WRONLY | O_CREAT | O_APPEND, &child->fd_out, err)
			      : open_lifted("/dev/null", O_WRONLY, &child->fd_out, err);
	if (rc == 0)
		rc = lg_child_pipe(ends, child->argv[0], err);
	if (rc < 0)
		return rc;
	child->fd_err = child->fd_out;
	spawn->fd_report = ends[0];
	child->fd_status = ends[1];
	return 0;
}

/* The process itself says who it is, before exec: nobody who asked from outside could be sure to ask the right one. */
static _Noreturn void become(const struct lg_child *child)
{
	struct lg_child_report report = { .stage = LG_CHILD_IDENTITY, .id.pid = getpid() };
	char state;
	setsid();
	if (!lg_process_stat(0, &state, &report.id.start_ticks)) {
		report.stage = LG_CHILD_FDS;
		report.failure = ENOENT;
		lg_child_report(child, &report);
		_exit(127);
	}
	lg_child_report(child, &report);
	lg_child_exec(child);
}

/* In the middle process, which only starts the other and ends, so that init inherits and reaps it. */
static _Noreturn void fork_again(const struct lg_child *child)
{
	pid_t pid = _Fork(); /* fork() is not async-signal-safe */
	if (pid == 0)
		become(child);
	if (pid < 0) {
		struct lg_child_report report = { .stage = LG_CHILD_FORK, .failure = errno };
		lg_child_report(child, &report);
	}
	_exit(0);
}

/* Until the pipe closes, which exec does. */
static int read_reports(const struct spawn *spawn, struct lg_process_id *ret_id, struct lg_error *err)
{
	struct lg_child_report report;
	struct lg_process_id id = { 0 };
	for (;;) {
		ssize_t n = read(spawn->fd_report, &report, sizeof report);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lg_fail(err, LG_EIO, errno, "cannot start '%s'", spawn->child.argv[0]);
		if (n != (ssize_t)sizeof report) /* writes of this size are not split */
			break;
		if (report.stage != LG_CHILD_IDENTITY)
			return lg_child_fail(&spawn->child, &report, err);
		id = report.id;
	}
	if (id.pid == 0)
		return lg_fail(err, LG_EIO, 0, "'%s' ended before it was started", spawn->child.argv[0]);
	*ret_id = id;
	return 0;
}

int lg_process_spawn(const char *const *argv, const char *const *env, const char *dir, const char *log_path,
	struct lg_process_id *ret_id, struct lg_error *err)
{
	lg_cleanup(spawn_clear) struct spawn spawn = { .fd_report = -1 };
	int rc = lg_child_prepare(&spawn.child, argv, env, dir, err);
	if (rc == 0)
		rc = spawn_open(&spawn, log_path, err);
	if (rc < 0)
		return rc;
	int fault = lg_fault_check(LG_FAULT_FORK, argv[0]);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot start '%s'", argv[0]);
	pid_t middle = lg_child_fork();
	if (middle < 0)
		return lg_fail(err, LG_EIO, errno, "cannot start '%s'", argv[0]);
	if (middle == 0)
		fork_again(&spawn.child);
	lg_close_cleanup(&spawn.child.fd_status);
	spawn.child.fd_status = -1;
	while (waitpid(middle, NULL, 0) < 0 && errno == EINTR)
		;
	return read_reports(&spawn, ret_id, err);
}

/* ---- identity ---- */

bool lg_process_alive(const struct lg_process_id *id)
{
	char state;
	uint64_t ticks;
	if (id->pid <= 0 || !lg_process_stat(id->pid, &state, &ticks))
		return false;
	return ticks == id->start_ticks && state != 'Z' && state != 'X' && state != 'x';
}

/* The descriptor first, the look at the start after it: then both are about the same process. */
static int open_identity(const struct lg_process_id *id, int *ret_fd, struct lg_error *err)
{
	lg_autoclose int fd = id->pid > 0 ? pidfd_open(id->pid, 0) : -1;
	int failure = id->pid > 0 ? errno : ESRCH;
	if (fd < 0 && failure != ESRCH)
		return lg_fail(err, LG_EIO, failure, "cannot reach process %d", (int)id->pid);
	if (fd < 0 || !lg_process_alive(id))
		return lg_fail(err, LG_ENOTFOUND, 0, "process %d has ended", (int)id->pid);
	*ret_fd = lg_steal_fd(&fd);
	return 0;
}

static int send_signal(int fd, const struct lg_process_id *id, int signal, struct lg_error *err)
{
	if (pidfd_send_signal(fd, signal, NULL, 0) == 0)
		return 0;
	if (errno == ESRCH)
		return lg_fail(err, LG_ENOTFOUND, 0, "process %d has ended", (int)id->pid);
	return lg_fail(err, LG_EIO, errno, "cannot signal process %d", (int)id->pid);
}

int lg_process_signal(const struct lg_process_id *id, int signal, struct lg_error *err)
{
	lg_autoclose int fd = -1;
	int rc = open_identity(id, &fd, err);
	return rc < 0 ? rc : send_signal(fd, id, signal, err);
}

static bool wait_ended(int fd, int64_t timeout_ms)
{
	const struct lg_clock *clock = lg_clock_system();
	struct pollfd polled = { .fd = fd, .events = POLLIN };
	int64_t start_ns = clock->boottime_ns(clock), left_ms;
	do {
		left_ms = timeout_ms - (clock->boottime_ns(clock) - start_ns) / 1000000;
		int ms = left_ms <= 0 ? 0 : left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
		if (poll(&polled, 1, ms) > 0)
			return true;
	} while (left_ms > 0);
	return false;
}

int lg_process_stop(const struct lg_process_id *id, int64_t term_timeout_ms, struct lg_error *err)
{
	lg_autoclose int fd = -1;
	int rc = open_identity(id, &fd, err);
	if (rc == 0)
		rc = send_signal(fd, id, SIGTERM, err);
	if (rc < 0)
		return rc == LG_ENOTFOUND ? 0 : rc;
	if (wait_ended(fd, term_timeout_ms))
		return 0;
	if (getpgid(id->pid) == id->pid)
		kill(-id->pid, SIGKILL); /* it has not ended, so the group is still its own */
	rc = send_signal(fd, id, SIGKILL, err);
	if (rc < 0)
		return rc == LG_ENOTFOUND ? 0 : rc;
	if (!wait_ended(fd, AFTER_KILL_MS))
		return lg_fail(err, LG_ETIMEOUT, 0, "process %d has not ended %d s after SIGKILL", (int)id->pid,
			AFTER_KILL_MS / 1000);
	return 0;
}
