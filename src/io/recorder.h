/* recorder.h - a test sees every change that src/io makes to the file system.
 *
 * A killed process loses nothing that it has written; a power failure takes whatever was not synced.  A test that plays one
 * must know every write, every change of a directory, and what was synced when: each place in io/ that changes the file
 * system says so with lg_recorded() right after it succeeded (a sync right before, so that what is written meanwhile
 * does not count as synced).  Without a recorder that is one load and a predicted branch,
 * and none of the arguments is evaluated.  tests/support/disk.h is the disk that is built on it.
 *
 *	lg_recorded(.op = LG_RECORDED_WRITE, .fd = fd, .at = -1, .data = data, .len = n);
 */
#ifndef LG_IO_RECORDER_H
#define LG_IO_RECORDER_H

#include <stdatomic.h>
#include <stddef.h>
#include <sys/types.h>

enum lg_recorded_op {
	LG_RECORDED_CREATE,   /* dirfd, name, fd: opened with O_CREAT, whether it was there or not */
	LG_RECORDED_MKDIR,    /* dirfd, name */
	LG_RECORDED_WRITE,    /* fd, data, len, at: offset, -1: they end at the descriptor's position */
	LG_RECORDED_TRUNCATE, /* fd, at: the new size */
	LG_RECORDED_META,     /* fd: mode or owner changed */
	LG_RECORDED_SYNC,     /* fd: of a file or a directory */
	LG_RECORDED_RENAME,   /* dirfd, name, to */
	LG_RECORDED_EXCHANGE, /* dirfd, name, to */
	LG_RECORDED_LINK,     /* dirfd, name, to */
	LG_RECORDED_UNLINK,   /* dirfd, name; also of a directory */
	LG_RECORDED_OP_COUNT
};

struct lg_recorded {
	enum lg_recorded_op op;
	int fd;
	int dirfd;        /* AT_FDCWD: name is a path */
	const char *name; /* valid during the call, as is all the rest */
	const char *to;   /* in the same directory */
	off_t at;
	const void *data;
	size_t len;
};

/* Called by any thread. */
typedef void lg_recorder(void *arg, const struct lg_recorded *what);

void lg_recorder_set(lg_recorder *recorder, void *arg); /* NULL removes it */

extern _Atomic(lg_recorder *) lg_recorder_current;
void lg_recorder_tell(const struct lg_recorded *what); /* keeps errno */
#define lg_recorded(...)                                                                                       \
	(__builtin_expect(atomic_load_explicit(&lg_recorder_current, memory_order_acquire) != NULL, 0)         \
			? lg_recorder_tell(&(const struct lg_recorded){ __VA_ARGS__ })                         \
			: (void)0)

#endif
