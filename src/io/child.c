#include "io/child.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

/* ---- before fork ---- */

/* In PATH, absolute directories only: a relative one would mean something else after the change of directory. */
static int find_program(const char *name, char **ret_path, struct lg_error *err)
{
	if (strchr(name, '/')) {
		*ret_path = strdup(name);
		return *ret_path ? 0 : lg_fail_nomem(err);
	}
	const char *dirs = getenv("PATH");
	if (!dirs || !*dirs)
		dirs = "/usr/local/bin:/usr/bin:/bin";
	bool denied = false;
	while (*name && *dirs) {
		size_t len = strcspn(dirs, ":");
		lg_autofree char *dir = strndup(dirs, len);
		lg_autofree char *path = dir ? lg_path_join(dir, name) : NULL;
		if (!path)
			return lg_fail_nomem(err);
		struct stat st;
		if (*dir == '/' && stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
			if (access(path, X_OK) == 0) {
				*ret_path = lg_steal_ptr(&path);
				return 0;
			}
			denied = true;
		}
		dirs += len + (dirs[len] == ':');
	}
	if (denied)
		return lg_fail(err, LG_EPERM, 0, "program '%s' is not executable", name);
	return lg_fail(err, LG_ENOTFOUND, 0, "program '%s' is not found in PATH", name);
}

static size_t count_strings(const char *const *strings)
{
	size_t count = 0;
	while (strings && strings[count])
		count++;
	return count;
}

static bool overridden(const char *entry, const char *const *env)
{
	size_t len = strcspn(entry, "=") + 1;
	for (; env && *env; env++)
		if (strncmp(entry, *env, len) == 0)
			return true;
	return false;
}

static char **merge_env(const char *const *env)
{
	const char *const *own = (const char *const *)environ;
	size_t own_count = count_strings(own), count = count_strings(env), used = 0;
	char **merged = calloc(own_count + count + 1, sizeof *merged);
	if (!merged)
		return NULL;
	for (size_t i = 0; i < own_count; i++)
		if (!overridden(own[i], env))
			merged[used++] = (char *)(uintptr_t)own[i];
	for (size_t i = 0; i < count; i++)
		merged[used++] = (char *)(uintptr_t)env[i];
	return merged;
}

int lg_child_prepare(struct lg_child *child, const char *const *argv, const char *const *env, const char *dir,
	struct lg_error *err)
{
	*child = (struct lg_child){
		.argv = argv, .dir = dir, .fd_in = -1, .fd_out = -1, .fd_err = -1, .fd_status = -1
	};
	if (!argv || !argv[0] || !*argv[0])
		return lg_fail(err, LG_EINVALID, 0, "no program is named");
	int rc = find_program(argv[0], &child->program, err);
	if (rc < 0)
		return rc;
	child->env = merge_env(env);
	return child->env ? 0 : lg_fail_nomem(err);
}

void lg_child_clear(struct lg_child *child)
{
	free(child->program);
	free(child->env);
	child->program = NULL;
	child->env = NULL;
}

int lg_child_lift(int fd)
{
	if (fd < 0 || fd > 2)
		return fd;
	int lifted = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	lg_close_cleanup(&fd);
	return lifted;
}

int lg_child_pipe(int ret_ends[2], const char *name, struct lg_error *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return lg_fail(err, LG_EIO, errno, "cannot make a pipe to '%s'", name);
	ends[0] = lg_child_lift(ends[0]);
	int failure = errno;
	ends[1] = lg_child_lift(ends[1]);
	if (ends[0] < 0 || ends[1] < 0) {
		failure = ends[1] < 0 ? errno : failure;
		lg_close_cleanup(&ends[0]);
		lg_close_cleanup(&ends[1]);
		return lg_fail(err, LG_EIO, failure, "cannot make a pipe to '%s'", name);
	}
	ret_ends[0] = ends[0];
	ret_ends[1] = ends[1];
	return 0;
}

pid_t lg_child_fork(void)
{
	sigset_t all, former;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &former);
	pid_t pid = fork();
	int failure = errno;
	if (pid != 0)
		pthread_sigmask(SIG_SETMASK, &former, NULL);
	errno = failure;
	return pid;
}

/* ---- between fork and exec ---- */

void lg_child_report(const struct lg_child *child, const struct lg_child_report *report)
{
	while (write(child->fd_status, report, sizeof *report) < 0 && errno == EINTR)
		;
}

static _Noreturn void give_up(const struct lg_child *child, enum lg_child_stage stage)
{
	struct lg_child_report report = { .stage = stage, .failure = errno };
	lg_child_report(child, &report);
	_exit(127);
}

static void default_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &action, NULL); /* KILL, STOP and libc's own refuse, which is fine */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Marked rather than closed, so that the status pipe lives until exec. */
static bool close_others_on_exec(void)
{
	return close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
}

_Noreturn void lg_child_exec(const struct lg_child *child)
{
	default_signals();
	if (child->dir && chdir(child->dir) < 0)
		give_up(child, LG_CHILD_DIR);
	if (dup2(child->fd_in, 0) < 0 || dup2(child->fd_out, 1) < 0 || dup2(child->fd_err, 2) < 0 ||
		!close_others_on_exec())
		give_up(child, LG_CHILD_FDS);
	execve(child->program, (char *const *)(uintptr_t)child->argv, child->env);
	give_up(child, LG_CHILD_EXEC);
}

int lg_child_fail(const struct lg_child *child, const struct lg_child_report *report, struct lg_error *err)
{
	const char *name = child->argv[0];
	int code = report->failure == ENOENT || report->failure == ENOTDIR ? LG_ENOTFOUND : LG_EIO;
	switch (report->stage) {
	case LG_CHILD_DIR:
		return lg_fail(
			err, code, report->failure, "cannot run '%s' in directory '%s'", name, child->dir);
	case LG_CHILD_EXEC:
		return lg_fail(err, code, report->failure, "cannot run '%s'", name);
	case LG_CHILD_FORK:
	case LG_CHILD_FDS:
	case LG_CHILD_IDENTITY:
		break;
	}
	return lg_fail(err, LG_EIO, report->failure, "cannot start '%s'", name);
}

/* ---- /proc ---- */

static size_t put_number(char *to, uint64_t number)
{
	char digits[20];
	size_t count = 0;
	do
		digits[count++] = (char)('0' + number % 10);
	while (number /= 10);
	for (size_t i = 0; i < count; i++)
		to[i] = digits[count - 1 - i];
	return count;
}

/* The command's name, field 2, stands in brackets and may hold any byte: what follows the last bracket is ours. */
static bool parse_stat(const char *text, size_t len, char *ret_state, uint64_t *ret_start_ticks)
{
	const char *at = memrchr(text, ')', len), *end = text + len;
	if (!at || end - at < 4)
		return false;
	char state = at[2];
	at += 3;
	for (int field = 4; field <= 22; field++) {
		at = memchr(at, ' ', (size_t)(end - at));
		if (!at)
			return false;
		at++;
	}
	uint64_t ticks = 0;
	if (at == end || *at < '0' || *at > '9')
		return false;
	for (; at < end && *at >= '0' && *at <= '9'; at++)
		ticks = ticks * 10 + (uint64_t)(*at - '0');
	*ret_state = state;
	*ret_start_ticks = ticks;
	return true;
}

bool lg_process_stat(pid_t pid, char *ret_state, uint64_t *ret_start_ticks)
{
	char path[48] = "/proc/", text[1024];
	size_t len = 6;
	if (pid > 0) {
		len += put_number(path + len, (uint64_t)pid);
	} else {
		memcpy(path + len, "self", 4);
		len += 4;
	}
	memcpy(path + len, "/stat", 6);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n;
	while ((n = read(fd, text, sizeof text)) < 0 && errno == EINTR)
		;
	close(fd);
	return n > 0 && parse_stat(text, (size_t)n, ret_state, ret_start_ticks);
}
