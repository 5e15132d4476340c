#include "support/syscalls.h"

#include "support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* How the object of a call is named. */
enum object {
	BY_FD,     /* argument 0 is a descriptor */
	BY_PATH,   /* argument 0 is a path */
	BY_PATHAT, /* arguments 0 and 1 are a directory and a path */
	BY_OUT_FD, /* argument 2 is the descriptor written to: copy_file_range */
};

static const struct row {
	int number;
	const char *name;
	enum syscalls_op op;
	enum object object;
} rows[] = {
#define ROW(call, op, object)                                                                                  \
	{                                                                                                      \
		__NR_##call, #call, op, object                                                                 \
	}
	ROW(write, SYSCALLS_WRITE, BY_FD),
	ROW(pwrite64, SYSCALLS_WRITE, BY_FD),
	ROW(writev, SYSCALLS_WRITE, BY_FD),
	ROW(pwritev, SYSCALLS_WRITE, BY_FD),
	ROW(pwritev2, SYSCALLS_WRITE, BY_FD),
	ROW(sendfile, SYSCALLS_WRITE, BY_FD),
	ROW(copy_file_range, SYSCALLS_WRITE, BY_OUT_FD),
	ROW(ioctl, SYSCALLS_WRITE, BY_FD), /* FICLONE alone, see op_of */
	ROW(fsync, SYSCALLS_SYNC, BY_FD),
	ROW(fdatasync, SYSCALLS_SYNC, BY_FD),
	ROW(sync_file_range, SYSCALLS_SYNC, BY_FD),
	ROW(syncfs, SYSCALLS_SYNC, BY_FD),
	ROW(ftruncate, SYSCALLS_SIZE, BY_FD),
	ROW(truncate, SYSCALLS_SIZE, BY_PATH),
	ROW(fallocate, SYSCALLS_SIZE, BY_FD),
	ROW(openat, SYSCALLS_CREATE, BY_PATHAT), /* those that make or empty a file, see op_of */
	ROW(mkdirat, SYSCALLS_CREATE, BY_PATHAT),
	ROW(symlinkat, SYSCALLS_CREATE, BY_PATH),
	ROW(renameat2, SYSCALLS_NAME, BY_PATHAT),
	ROW(linkat, SYSCALLS_NAME, BY_PATHAT),
	ROW(unlinkat, SYSCALLS_NAME, BY_PATHAT),
	ROW(fchmod, SYSCALLS_META, BY_FD),
	ROW(fchmodat, SYSCALLS_META, BY_PATHAT),
	ROW(fchown, SYSCALLS_META, BY_FD),
	ROW(fchownat, SYSCALLS_META, BY_PATHAT),
	ROW(utimensat, SYSCALLS_META, BY_PATHAT),
	ROW(fcntl, SYSCALLS_LOCK, BY_FD),  /* those that lock, see op_of */
	{ __NR_close, "close", 0, BY_FD }, /* not counted: its number will be another file */
/* the older ones, which newer architectures do without */
#ifdef __NR_open
	ROW(open, SYSCALLS_CREATE, BY_PATH),
	ROW(creat, SYSCALLS_CREATE, BY_PATH),
	ROW(mkdir, SYSCALLS_CREATE, BY_PATH),
	ROW(symlink, SYSCALLS_CREATE, BY_PATH),
	ROW(rename, SYSCALLS_NAME, BY_PATH),
	ROW(link, SYSCALLS_NAME, BY_PATH),
	ROW(unlink, SYSCALLS_NAME, BY_PATH),
	ROW(rmdir, SYSCALLS_NAME, BY_PATH),
	ROW(chmod, SYSCALLS_META, BY_PATH),
	ROW(chown, SYSCALLS_META, BY_PATH),
	ROW(lchown, SYSCALLS_META, BY_PATH),
#endif
#ifdef __NR_renameat
	ROW(renameat, SYSCALLS_NAME, BY_PATHAT),
#endif
#undef ROW
};
#define ROWS (sizeof rows / sizeof *rows)

/* --- in the child ------------------------------------------------------------------------------------------------------ */

static int install_filter(void)
{
	struct sock_filter code[2 + 2 * ROWS];
	unsigned short len = 0;
	code[len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ROWS; i++) {
		code[len++] =
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)rows[i].number, 0, 1);
		code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	}
	code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	const struct sock_fprog program = { .len = len, .filter = code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	/* also for threads that run already */
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
		&program);
}

static int send_fd(int link, int fd)
{
	char byte = 'f';
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fd)] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(header), &fd, sizeof fd);
	return sendmsg(link, &message, 0) == 1 ? 0 : -1;
}

void syscalls_arm(int link)
{
	int listener = install_filter();
	if (listener < 0 || send_fd(link, listener) < 0)
		_exit(120);
	close(listener);
}

void syscalls_disarm(int link)
{
	char byte = 'd';
	/* not before the answer: a call made meanwhile would still count */
	if (send(link, &byte, 1, 0) != 1 || recv(link, &byte, 1, 0) != 1)
		_exit(121);
}

/* --- who asks for what -------------------------------------------------------------------------------------------------- */

#define FDS 1024

struct supervisor {
	const struct syscalls_fault *fault;
	struct syscalls_result *result;
	pid_t pid;
	int listener;
	bool armed;
	bool sync_failed[FDS];
};

static int receive_fd(int link)
{
	char byte;
	int fd = -1;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fd)];
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
	};
	if (recvmsg(link, &message, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(header), sizeof fd);
	return fd;
}

static const struct row *row_of(int number)
{
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].number == number)
			return &rows[i];
	return NULL;
}

/* The kind of call, 0 when this one does not write. */
static unsigned op_of(const struct row *row, const struct seccomp_data *data)
{
	switch (row->number) {
#ifdef __NR_open
	case __NR_open:
		return data->args[1] & (O_CREAT | O_TRUNC) ? row->op : 0;
#endif
	case __NR_openat:
		return data->args[2] & (O_CREAT | O_TRUNC) ? row->op : 0;
	case __NR_ioctl:
		return data->args[1] == 0x40049409 /* FICLONE */ ? row->op : 0;
	case __NR_fcntl:
		return data->args[1] == F_SETLK || data->args[1] == F_SETLKW || data->args[1] == F_OFD_SETLK ||
				data->args[1] == F_OFD_SETLKW
			? row->op
			: 0;
	default:
		return row->op;
	}
}

static ssize_t read_memory(pid_t pid, unsigned long long at, void *data, size_t len)
{
	struct iovec local = { data, len }, remote = { (void *)(uintptr_t)at, len };
	return process_vm_readv(pid, &local, 1, &remote, 1, 0);
}

/* Byte by byte: what lies behind its end may not be there. */
static void read_path(pid_t pid, unsigned long long at, char *path, size_t size)
{
	size_t len = 0;
	while (len + 1 < size && read_memory(pid, at + len, path + len, 1) == 1 && path[len])
		len++;
	path[len] = '\0';
}

/* What the call is about, for messages; false when it is no file. */
static bool object_of(const struct row *row, const struct seccomp_notif *asked, char *path, size_t size)
{
	const struct seccomp_data *data = &asked->data;
	if (row->object == BY_PATH || row->object == BY_PATHAT) {
		read_path((pid_t)asked->pid, data->args[row->object == BY_PATHAT], path, size);
		return true;
	}
	char link[64];
	int fd = (int)data->args[row->object == BY_OUT_FD ? 2 : 0];
	snprintf(link, sizeof link, "/proc/%u/fd/%d", asked->pid, fd);
	ssize_t len = readlink(link, path, size - 1);
	path[len > 0 ? len : 0] = '\0';
	return fd > 2 && path[0] == '/' &&
		(strncmp(path, "/dev/", 5) != 0 || strncmp(path, "/dev/shm/", 9) == 0);
}

/* Does the first half of a write in the child's stead; returns its length, 0 when it cannot be cut. */
static long long write_half(
	const struct supervisor *s, const struct row *row, const struct seccomp_notif *asked)
{
	const unsigned long long *args = asked->data.args;
	if ((row->number != __NR_write && row->number != __NR_pwrite64) || args[2] < 2)
		return 0;
	size_t len = args[2] / 2;
	char *data = malloc(len);
	int pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	int fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, (int)args[0], 0);
	if (!data || fd < 0 || read_memory((pid_t)asked->pid, args[1], data, len) != (ssize_t)len)
		fail_msg("cannot write in the child's stead: %s", strerror(errno));
	ssize_t written =
		row->number == __NR_write ? write(fd, data, len) : pwrite(fd, data, len, (off_t)args[3]);
	close(fd);
	close(pidfd);
	free(data);
	return written;
}

static bool can_be_cut(const struct row *row, const struct seccomp_notif *asked)
{
	return (row->number == __NR_write || row->number == __NR_pwrite64) && asked->data.args[2] >= 2;
}

static bool counts(
	const struct supervisor *s, const struct row *row, unsigned op, const struct seccomp_notif *asked)
{
	unsigned ops = s->fault->ops ? s->fault->ops : SYSCALLS_ALL;
	return s->armed && (op & ops) && (s->fault->what != SYSCALLS_SHORT || can_be_cut(row, asked));
}

/* Is this one to be struck? */
static bool strikes(struct supervisor *s, const struct row *row, const char *path)
{
	unsigned nth = s->fault->nth, times = s->fault->times ? s->fault->times : 1;
	unsigned now = ++s->result->count;
	if (nth == 0 || now < nth || now - nth >= times)
		return false;
	if (!s->result->fired)
		snprintf(s->result->at, sizeof s->result->at, "%s %.230s", row->name, path);
	s->result->fired = true;
	return true;
}

static void note_sync(
	struct supervisor *s, const struct row *row, const struct seccomp_notif *asked, bool failed)
{
	unsigned long long fd = asked->data.args[0];
	if (row->op != SYSCALLS_SYNC || fd >= FDS)
		return;
	s->result->resyncs += s->sync_failed[fd];
	s->result->syncs += !failed;
	s->sync_failed[fd] |= failed;
}

static void answer(
	struct supervisor *s, const struct seccomp_notif *asked, struct seccomp_notif_resp *ret_answer)
{
	const struct row *row = row_of(asked->data.nr);
	char path[512] = "";
	unsigned op = row ? op_of(row, &asked->data) : 0;
	ret_answer->id = asked->id;
	ret_answer->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	if (asked->data.nr == __NR_close && asked->data.args[0] < FDS)
		s->sync_failed[asked->data.args[0]] = false;
	if (!op || !object_of(row, asked, path, sizeof path))
		return;
	bool hit = counts(s, row, op, asked) && strikes(s, row, path);
	note_sync(s, row, asked, hit && s->fault->what == SYSCALLS_FAIL);
	if (!hit) {
		/* no power fails here, so that the disk need not be bothered */
		if (op == SYSCALLS_SYNC)
			ret_answer->flags = 0;
		return;
	}
	switch (s->fault->what) {
	case SYSCALLS_KILL:
		s->result->killed = true;
		kill(s->pid, SIGKILL);
		return;
	case SYSCALLS_FAIL:
		ret_answer->flags = 0;
		ret_answer->error = -s->fault->errnum;
		return;
	case SYSCALLS_SHORT:
		ret_answer->flags = 0;
		ret_answer->val = write_half(s, row, asked);
		return;
	}
}

/* One request of the listener. */
static void serve(struct supervisor *s)
{
	struct seccomp_notif asked = { 0 };
	struct seccomp_notif_resp reply = { 0 };
	/* ENOENT: it was killed meanwhile */
	if (ioctl(s->listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0)
		return;
	answer(s, &asked, &reply);
	if (!s->result->killed)
		(void)ioctl(s->listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
}

/* Until the child has gone, which closes its end of the link. */
static void supervise(struct supervisor *s, int link)
{
	for (;;) {
		struct pollfd fds[2] = { { .fd = link, .events = POLLIN },
			{ .fd = s->listener, .events = POLLIN } };
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			fail_msg("poll: %s", strerror(errno));
		if (fds[1].revents & POLLIN) {
			serve(s);
		} else if (fds[1].revents & POLLHUP) { /* nobody is left under the filter */
			close(s->listener);
			s->listener = -1;
		} else if (fds[0].revents && s->listener < 0) {
			s->listener = receive_fd(link);
			if (s->listener < 0)
				return;
			s->armed = true;
		} else if (fds[0].revents) {
			char byte;
			if (recv(link, &byte, 1, 0) != 1)
				return;
			s->armed = false;
			(void)send(link, &byte, 1, MSG_NOSIGNAL);
		}
	}
}

void syscalls_run(
	const struct syscalls_fault *fault, syscalls_child *work, void *arg, struct syscalls_result *ret_result)
{
	int links[2];
	*ret_result = (struct syscalls_result){ .count = 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, links), 0);
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("CMOCKA_TEST_ABORT", "1",
			1); /* an assertion that fails here ends the child by a signal */
		close(links[0]);
		_exit(work(arg, links[1]));
	}
	close(links[1]);
	struct supervisor *s = calloc(1, sizeof *s);
	assert_non_null(s);
	*s = (struct supervisor){ .fault = fault, .result = ret_result, .pid = pid, .listener = -1 };
	supervise(s, links[0]);
	if (s->listener >= 0)
		close(s->listener);
	free(s);
	close(links[0]);
	assert_int_equal(waitpid(pid, &ret_result->status, 0), pid);
}

/* --- can it be done --------------------------------------------------------------------------------------------------- */

static int try_it(void *arg, int link)
{
	syscalls_arm(link);
	(void)arg;
	return mkdir(lg_test_path("tried"), 0700) < 0 && errno == EDOM ? 0 : 1;
}

bool syscalls_work(void)
{
	static int known = -1;
	if (known < 0) {
		const struct syscalls_fault fault = { .nth = 1, .what = SYSCALLS_FAIL, .errnum = EDOM };
		struct syscalls_result result;
		lg_test_dir(); /* made here, not in the child */
		syscalls_run(&fault, try_it, NULL, &result);
		known = result.fired && result.status == 0;
	}
	return known;
}
