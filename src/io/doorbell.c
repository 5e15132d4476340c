#include "io/doorbell.h"

#include "base/cleanup.h"
#include "io/clock.h"
#include "io/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

struct lg_doorbell {
	int fd;
	int watch; /* -1 when the file has gone and was not found again */
	char *path;
};

/* The file is there to be written to: one byte, always the same place. */
static int open_bell(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
	if (fd >= 0)
		lg_recorded(.op = LG_RECORDED_CREATE, .dirfd = AT_FDCWD, .name = path, .fd = fd);
	return fd;
}

static int ring(int fd)
{
	if (fd < 0 || pwrite(fd, "!", 1, 0) != 1)
		return LG_EIO;
	lg_recorded(.op = LG_RECORDED_WRITE, .fd = fd, .at = 0, .data = "!", .len = 1);
	return 0;
}

int lg_doorbell_ring(const char *path)
{
	lg_autoclose int fd = open_bell(path);
	return ring(fd);
}

int lg_doorbell_ring_kept(const char *path, int *fd)
{
	struct stat st;
	/* somebody may have removed it: then the listeners have another one by now */
	if (*fd >= 0 && (fstat(*fd, &st) < 0 || st.st_nlink == 0)) {
		close(*fd);
		*fd = -1;
	}
	if (*fd < 0)
		*fd = open_bell(path);
	return ring(*fd);
}

/* Attribute changes tell of an unlink while somebody still holds the file open. */
static int add_watch(struct lg_doorbell *bell)
{
	lg_autoclose int fd = open_bell(bell->path);
	if (fd < 0)
		return -1;
	bell->watch = inotify_add_watch(
		bell->fd, bell->path, IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_DONT_FOLLOW);
	return bell->watch;
}

int lg_doorbell_open(const char *path, struct lg_doorbell **ret_bell, struct lg_error *err)
{
	struct lg_doorbell *bell = malloc(sizeof *bell);
	if (!bell)
		return lg_fail_nomem(err);
	*bell = (struct lg_doorbell){ .watch = -1, .path = strdup(path) };
	bell->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	int rc = 0;
	if (!bell->path)
		rc = lg_fail_nomem(err);
	else if (bell->fd < 0 || add_watch(bell) < 0)
		rc = lg_fail(err, LG_EIO, errno, "cannot listen at '%s'", path);
	if (rc < 0) {
		lg_doorbell_close(bell);
		return rc;
	}
	*ret_bell = bell;
	return 0;
}

void lg_doorbell_close(struct lg_doorbell *bell)
{
	if (!bell)
		return;
	lg_close_cleanup(&bell->fd);
	free(bell->path);
	free(bell);
}

int lg_doorbell_fd(const struct lg_doorbell *bell)
{
	return bell->fd;
}

/* Takes all pending events; true when there was one for the file as it is now.  A file that was removed or replaced
 * is watched anew, and counts as rung: a ring may have gone to the new one in between. */
static bool take_rings(struct lg_doorbell *bell)
{
	_Alignas(struct inotify_event) char events[4096];
	bool rung = false, lost = false;
	ssize_t n;
	while ((n = read(bell->fd, events, sizeof events)) > 0 || (n < 0 && errno == EINTR)) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *event = (const struct inotify_event *)(events + at);
			at += (ssize_t)(sizeof *event + event->len);
			if (event->mask & IN_IGNORED)
				continue; /* of a watch that was taken away */
			rung = true;
			if (event->mask & (IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_Q_OVERFLOW))
				lost = true;
		}
	}
	if (lost) {
		int former = bell->watch;
		bell->watch = -1;
		if (add_watch(bell) != former && former >= 0)
			inotify_rm_watch(bell->fd, former);
	}
	return rung;
}

int lg_doorbell_wait(struct lg_doorbell *bell, int64_t timeout_ms, struct lg_error *err)
{
	const struct lg_clock *clock = lg_clock_system();
	struct pollfd polled = { .fd = bell->fd, .events = POLLIN };
	int64_t start_ns = clock->boottime_ns(clock), left_ms;
	if (bell->watch < 0 && add_watch(bell) >= 0)
		return 1; /* deaf until now */
	do {
		left_ms = timeout_ms - (clock->boottime_ns(clock) - start_ns) / 1000000;
		int ms = left_ms <= 0 ? 0 : left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
		int ready = poll(&polled, 1, ms);
		if (ready < 0 && errno == EINTR)
			return 0; /* a signal handler ran: the caller may want to end */
		if (ready < 0)
			return lg_fail(err, LG_EIO, errno, "cannot listen at '%s'", bell->path);
		if (ready > 0 && take_rings(bell))
			return 1;
	} while (left_ms > 0);
	return 0;
}
