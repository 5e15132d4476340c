#include "io/reader.h"

#include "base/cleanup.h"
#include "io/fault.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define SECTOR 512

int lg_reader_open(const char *path, struct lg_reader *ret_reader, struct lg_error *err)
{
	lg_autoclose int fd = -1;
	struct stat st;
	int fault = lg_fault_check(LG_FAULT_OPEN, path);

	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot open '%s'", path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return lg_fail(err, errno == ENOENT || errno == ENOTDIR ? LG_ENOTFOUND : LG_EIO, errno,
			"cannot open '%s'", path);
	if (fstat(fd, &st) < 0)
		return lg_fail(err, LG_EIO, errno, "cannot open '%s'", path);
	if (!S_ISREG(st.st_mode))
		return lg_fail(err, LG_EINVALID, 0, "'%s' is no regular file", path);
	char *copy = strdup(path);
	if (!copy)
		return lg_fail_nomem(err);
	*ret_reader = (struct lg_reader){ .fd = lg_steal_fd(&fd), .size = (uint64_t)st.st_size, .path = copy };
	return 0;
}

void lg_reader_clear(struct lg_reader *reader)
{
	if (!reader)
		return;
	if (reader->fd >= 0)
		close(reader->fd);
	free(reader->path);
	*reader = (struct lg_reader)LG_READER_INIT;
}

/* How many bytes came; -1 when the disk fails. */
static ssize_t read_part(const struct lg_reader *reader, uint64_t offset, uint8_t *to, size_t len)
{
	size_t done = 0;
	if (lg_fault_check(LG_FAULT_READ, reader->path))
		return -1;
	while (done < len) {
		ssize_t n = pread(reader->fd, to + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

size_t lg_reader_at(struct lg_reader *reader, uint64_t offset, void *to, size_t len)
{
	uint8_t *at = to;
	memset(to, 0, len);
	if (reader->fd < 0 || offset >= reader->size)
		return 0;
	size_t there = reader->size - offset < len ? (size_t)(reader->size - offset) : len;
	if (read_part(reader, offset, at, there) >= 0)
		return there;
	/* sector by sector: what lies beside a bad one still counts */
	for (size_t done = 0; done < there; done += SECTOR) {
		size_t part = there - done < SECTOR ? there - done : SECTOR;
		if (read_part(reader, offset + done, at + done, part) >= 0)
			continue;
		memset(at + done, 0, part);
		reader->unreadable += part;
	}
	return there;
}

pid_t lg_reader_locked_by(const struct lg_reader *reader, uint64_t offset, uint64_t len)
{
	/* of an open file description: also what another part of this process holds is seen */
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = (off_t)len
	};
	if (reader->fd < 0 || fcntl(reader->fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return 0;
	return lock.l_pid > 0 ? lock.l_pid : -1;
}
