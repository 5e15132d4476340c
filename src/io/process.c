/* lg_run: one poll loop over the child's output, its start and its end. */
#include "io/process.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "io/child.h"
#include "io/clock.h"
#include "io/fault.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define TIMEOUT_MS_DEFAULT 30000
#define OUTPUT_MAX_DEFAULT ((size_t)64 * 1024)
#define AFTER_KILL_MS      10000             /* a process in an uninterruptible wait does not die at once */
#define DRAIN_MAX          ((size_t)1 << 20) /* a pipe holds no more by default (pipe-max-size) */

enum { FD_OUT, FD_ERR, FD_STATUS, FD_PIDFD, FD_COUNT };

struct run {
	const struct lg_run_options *options;
	struct lg_child child;
	pid_t pid; /* 0 when there is nothing to reap */
	int fds[FD_COUNT];
	size_t output_max;
	int64_t timeout_ms, deadline_ns;
	struct lg_run_result result;
	struct lg_child_report report;
	size_t report_len;
};

static int64_t now_ns(void)
{
	const struct lg_clock *clock = lg_clock_system();
	return clock->boottime_ns(clock);
}

static void close_fd(int *fd)
{
	lg_close_cleanup(fd);
	*fd = -1;
}

static void close_child_ends(struct run *run)
{
	close_fd(&run->child.fd_in);
	close_fd(&run->child.fd_out);
	close_fd(&run->child.fd_err);
	close_fd(&run->child.fd_status);
}

static int reap(struct run *run, struct lg_error *err)
{
	int status = 0;
	pid_t pid;
	while ((pid = waitpid(run->pid, &status, 0)) < 0 && errno == EINTR)
		;
	run->pid = 0;
	if (pid < 0)
		return lg_fail(err, LG_EIO, errno, "cannot learn how '%s' ended", run->child.argv[0]);
	run->result.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	run->result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	return 0;
}

/* The child is not reaped yet, so neither its pid nor its group can belong to somebody else. */
static void kill_group(const struct run *run)
{
	kill(-run->pid, SIGKILL);
	kill(run->pid, SIGKILL);
}

static void run_clear(struct run *run)
{
	if (run->pid > 0) {
		kill_group(run);
		reap(run, NULL);
	}
	close_child_ends(run);
	for (int i = 0; i < FD_COUNT; i++)
		close_fd(&run->fds[i]);
	lg_child_clear(&run->child);
	lg_run_result_clear(&run->result);
}

/* ---- start ---- */

static int open_null(int flags, int *ret_fd, struct lg_error *err)
{
	int fd = lg_child_lift(open("/dev/null", flags | O_CLOEXEC));
	if (fd < 0)
		return lg_fail(err, LG_EIO, errno, "cannot open '/dev/null'");
	*ret_fd = fd;
	return 0;
}

/* Input goes through a file in memory rather than a pipe: a child that does not read it cannot hold us up. */
static int open_input(const struct lg_run_options *options, int *ret_fd, struct lg_error *err)
{
	if (!options->input)
		return open_null(O_RDONLY, ret_fd, err);
	lg_autoclose int fd = lg_child_lift(memfd_create("lastgood-input", MFD_CLOEXEC));
	if (fd < 0)
		return lg_fail(err, LG_EIO, errno, "cannot pass input to '%s'", options->argv[0]);
	int rc = lg_write_all(fd, options->input, options->input_len, "input", err);
	if (rc == 0 && lseek(fd, 0, SEEK_SET) < 0)
		rc = lg_fail(err, LG_EIO, errno, "cannot pass input to '%s'", options->argv[0]);
	if (rc == 0)
		*ret_fd = lg_steal_fd(&fd);
	return rc;
}

static int open_pipe(int *ret_ours, int *ret_childs, const char *name, struct lg_error *err)
{
	int ends[2];
	int rc = lg_child_pipe(ends, name, err);
	if (rc < 0)
		return rc;
	*ret_ours = ends[0];
	*ret_childs = ends[1];
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		return lg_fail(err, LG_EIO, errno, "cannot make a pipe to '%s'", name);
	return 0;
}

static int run_open(struct run *run, struct lg_error *err)
{
	const struct lg_run_options *options = run->options;
	struct lg_child *child = &run->child;
	int rc = lg_child_prepare(child, options->argv, options->env, options->dir, err);
	if (rc == 0)
		rc = open_input(options, &child->fd_in, err);
	if (rc == 0)
		rc = open_pipe(&run->fds[FD_OUT], &child->fd_out, child->argv[0], err);
	if (rc == 0)
		rc = open_pipe(&run->fds[FD_ERR], &child->fd_err, child->argv[0], err);
	if (rc == 0)
		rc = open_pipe(&run->fds[FD_STATUS], &child->fd_status, child->argv[0], err);
	return rc;
}

static int run_start(struct run *run, struct lg_error *err)
{
	int rc = run_open(run, err);
	if (rc < 0)
		return rc;
	const char *name = run->child.argv[0];
	int fault = lg_fault_check(LG_FAULT_FORK, name);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot start '%s'", name);
	pid_t pid = lg_child_fork();
	if (pid < 0)
		return lg_fail(err, LG_EIO, errno, "cannot start '%s'", name);
	if (pid == 0) {
		setpgid(0, 0);
		lg_child_exec(&run->child);
	}
	setpgid(pid, pid); /* on both sides, so that the group is there whoever comes first */
	run->pid = pid;
	close_child_ends(run);
	run->fds[FD_PIDFD] = pidfd_open(pid, 0);
	if (run->fds[FD_PIDFD] < 0)
		return lg_fail(err, LG_EIO, errno, "cannot watch '%s'", name);
	return 0;
}

/* ---- watch ---- */

/* Reads once; keeps what fits.  False when there is nothing more now; closes at the end. */
static bool take_output(int *fd, struct lg_buf *kept, size_t max, size_t *count)
{
	char chunk[16384];
	ssize_t n = read(*fd, chunk, sizeof chunk);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		close_fd(fd);
		return false;
	}
	size_t room = max - kept->len;
	lg_buf_add(kept, chunk, (size_t)n < room ? (size_t)n : room);
	*count += (size_t)n;
	return true;
}

static void take_report(struct run *run)
{
	char *to = (char *)&run->report + run->report_len;
	ssize_t n = read(run->fds[FD_STATUS], to, sizeof run->report - run->report_len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		run->report_len += (size_t)n;
	if (n <= 0 || run->report_len == sizeof run->report)
		close_fd(&run->fds[FD_STATUS]);
}

/* What the child wrote is in the pipes when it has ended; who else holds them is not waited for. */
static void drain(struct run *run)
{
	size_t count = 0;
	while (run->fds[FD_OUT] >= 0 && count < DRAIN_MAX &&
		take_output(&run->fds[FD_OUT], &run->result.out, run->output_max, &count))
		;
	count = 0;
	while (run->fds[FD_ERR] >= 0 && count < DRAIN_MAX &&
		take_output(&run->fds[FD_ERR], &run->result.err, run->output_max, &count))
		;
	if (run->fds[FD_STATUS] >= 0)
		take_report(run);
}

static int poll_timeout(int64_t left_ns)
{
	int64_t ms = left_ns <= 0 ? 0 : (left_ns - 1) / 1000000 + 1;
	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

/* One round. 1 when the child has ended, 0 when not yet. */
static int watch_once(struct run *run, int64_t deadline_ns)
{
	struct pollfd polled[FD_COUNT];
	size_t ignored = 0;
	for (int i = 0; i < FD_COUNT; i++)
		polled[i] = (struct pollfd){ .fd = run->fds[i], .events = POLLIN };
	if (poll(polled, FD_COUNT, poll_timeout(deadline_ns - now_ns())) < 0)
		return 0; /* EINTR; the caller looks at the clock */
	if (polled[FD_OUT].revents)
		take_output(&run->fds[FD_OUT], &run->result.out, run->output_max, &ignored);
	if (polled[FD_ERR].revents)
		take_output(&run->fds[FD_ERR], &run->result.err, run->output_max, &ignored);
	if (polled[FD_STATUS].revents)
		take_report(run);
	return polled[FD_PIDFD].revents != 0;
}

static int time_out(struct run *run, struct lg_error *err)
{
	const char *name = run->child.argv[0];
	kill_group(run);
	int64_t deadline_ns = now_ns() + (int64_t)AFTER_KILL_MS * 1000000;
	int ended = 0;
	while (!ended && now_ns() < deadline_ns)
		ended = watch_once(run, deadline_ns);
	drain(run);
	run->result.timed_out = true;
	run->result.exit_status = -1;
	run->result.signal = SIGKILL;
	if (!ended) {
		run->pid = 0; /* cannot be reaped without waiting for ever */
		return lg_fail(err, LG_ETIMEOUT, 0, "'%s' took longer than %lld ms and cannot be killed", name,
			(long long)run->timeout_ms);
	}
	reap(run, NULL);
	return lg_fail(err, LG_ETIMEOUT, 0, "'%s' took longer than %lld ms and was killed", name,
		(long long)run->timeout_ms);
}

static int run_to_end(struct run *run, struct lg_error *err)
{
	int rc = run_start(run, err);
	if (rc < 0)
		return rc;
	while (!watch_once(run, run->deadline_ns))
		if (now_ns() >= run->deadline_ns)
			return time_out(run, err);
	drain(run);
	rc = reap(run, err);
	if (rc < 0)
		return rc;
	if (run->report_len == sizeof run->report)
		return lg_child_fail(&run->child, &run->report, err);
	if (lg_buf_check(&run->result.out, NULL) < 0 || lg_buf_check(&run->result.err, NULL) < 0)
		return lg_fail(err, LG_ENOMEM, 0, "out of memory while reading the output of '%s'",
			run->child.argv[0]);
	return 0;
}

int lg_run(const struct lg_run_options *options, struct lg_run_result *ret_result, struct lg_error *err)
{
	lg_cleanup(run_clear) struct run run = {
		.options = options,
		.child = { .fd_in = -1, .fd_out = -1, .fd_err = -1, .fd_status = -1 },
		.fds = { -1, -1, -1, -1 },
		.output_max = options->output_max ? options->output_max : OUTPUT_MAX_DEFAULT,
		.timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : TIMEOUT_MS_DEFAULT,
	};
	if (ret_result)
		*ret_result = (struct lg_run_result){ 0 };
	if (__builtin_mul_overflow(run.timeout_ms, (int64_t)1000000, &run.deadline_ns) ||
		__builtin_add_overflow(now_ns(), run.deadline_ns, &run.deadline_ns))
		run.deadline_ns = INT64_MAX;
	int rc = run_to_end(&run, err);
	if (ret_result && (rc == 0 || run.result.timed_out)) {
		*ret_result = run.result;
		run.result = (struct lg_run_result){ 0 };
	}
	return rc;
}

void lg_run_result_clear(struct lg_run_result *result)
{
	if (!result)
		return;
	lg_buf_clear(&result->out);
	lg_buf_clear(&result->err);
}

/* ---- lg_run_ok ---- */

#define TAIL_MAX ((size_t)400)

/* The last lines, at most TAIL_MAX bytes from the beginning of a line, on one line. */
static void add_tail(struct lg_buf *to, const struct lg_buf *output)
{
	const char *text = lg_buf_str(output);
	size_t end = output->len;
	while (end > 0 && strchr(" \t\r\n", text[end - 1]))
		end--;
	size_t from = end > TAIL_MAX ? end - TAIL_MAX : 0;
	const char *line = from > 0 ? memchr(text + from, '\n', end - from) : NULL;
	if (line)
		from = (size_t)(line - text) + 1;
	while (from < end) {
		const char *newline = memchr(text + from, '\n', end - from);
		size_t stop = newline ? (size_t)(newline - text) : end;
		lg_text_add_printable(to, text + from, stop - from);
		if (stop < end)
			lg_buf_adds(to, " | ");
		from = stop + 1;
	}
}

static int fail_with_tail(const char *name, const struct lg_run_result *result, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf tail = LG_BUF_INIT;
	add_tail(&tail, &result->err);
	if (tail.len == 0)
		add_tail(&tail, &result->out);
	const char *between = tail.len > 0 ? ": " : "";
	if (result->signal)
		return lg_fail(err, LG_EFAILED, 0, "'%s' was killed by signal %d%s%s", name, result->signal,
			between, lg_buf_str(&tail));
	return lg_fail(err, LG_EFAILED, 0, "'%s' ended with status %d%s%s", name, result->exit_status, between,
		lg_buf_str(&tail));
}

int lg_run_ok(const struct lg_run_options *options, struct lg_error *err)
{
	lg_cleanup(lg_run_result_clear) struct lg_run_result result = { 0 };
	int rc = lg_run(options, &result, err);
	if (rc < 0)
		return rc;
	return result.exit_status == 0 ? 0 : fail_with_tail(options->argv[0], &result, err);
}
