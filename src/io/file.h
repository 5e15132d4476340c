/* file.h - files and directories, durably.
 *
 * lg_file_replace is the only way in which lastgood writes a file that matters: temporary name in the same directory,
 * write, fsync, rename, fsync of the directory.  After 0 the new content is on disk under the name; after any error the
 * former content is whole (or the file still absent) and no temporary is left behind.  A failed fsync is not retried.
 * LG_ECONFLICT: the name appeared or disappeared meanwhile.  LG_EUNKNOWN: the new content is under the name, but may not
 * be on disk (the sync of the directory failed, and the file system cannot exchange two names, or taking it back failed,
 * too).  A process that is killed in between leaves ".NAME.lg-HEX16" beside the file, see lg_file_sweep.
 */
#ifndef LG_IO_FILE_H
#define LG_IO_FILE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/pages.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct lg_replace_options {
	mode_t mode;    /* exactly, whatever the umask; 0 means 0644 */
	bool keep_meta; /* an existing file's mode and owner are kept (owner as far as permitted; else an error) */
	bool follow_link; /* path is a symlink: replace what it points to; otherwise a symlink is refused (LG_EINVALID) */
	bool refuse_exist; /* LG_ECONFLICT if the name exists */
};
int lg_file_replace(const char *path, const void *data, size_t len,
	const struct lg_replace_options *options, /* NULL: defaults */
	struct lg_error *err);

/* Whole regular file into buf (appended), at most max bytes: a larger one is LG_EINVALID.  LG_ENOTFOUND when absent.
 * Never blocks on a FIFO or device (LG_EINVALID). "-" is not special. */
int lg_file_read(const char *path, size_t max, struct lg_buf *buf, struct lg_error *err);
/* Whole regular file, at most max bytes, into a fresh block of its size. */
int lg_file_load(const char *path, size_t max, struct lg_block **ret_block, struct lg_error *err);
/* As lg_file_read, from an open descriptor (stdin), which may be a pipe. name is for messages. */
int lg_fd_read(int fd, const char *name, size_t max, struct lg_buf *buf, struct lg_error *err);

int lg_file_exists(const char *path);                       /* 1, 0; other failures count as 0 */
int lg_file_remove(const char *path, struct lg_error *err); /* absent is fine; fsyncs the directory */
/* Removes what killed calls of lg_file_replace on this path left beside it; only while no other one can be running. */
int lg_file_sweep(const char *path, struct lg_error *err);
int lg_dir_make(const char *path, mode_t mode,
	struct lg_error *err); /* with parents, fsyncs each parent; existing is fine */
int lg_dir_sync(const char *path, struct lg_error *err);
/* Names in the directory, sorted bytewise, without "." and ".."; malloc'd array of malloc'd strings. */
int lg_dir_list(const char *path, char ***ret_names, size_t *ret_count, struct lg_error *err);
void lg_names_free(char **names, size_t count);
/* Removes a directory with everything in it; refuses to leave its file system or follow symlinks. Absent is fine. */
int lg_dir_remove(const char *path, struct lg_error *err);
/* A directory made under another name of the same file system takes its own, in one step and durably: `to` is absent or an
 * empty directory, else LG_ECONFLICT and nothing has happened. */
int lg_dir_place(const char *from, const char *to, struct lg_error *err);
/* LG_EPERM with owner and needed user in the message unless path is a directory owned by the effective user (root may
 * use a directory owned by anybody only if it is not writable for others). */
int lg_dir_check_owner(const char *path, struct lg_error *err);

/* All of data, restarting after EINTR and short writes. */
int lg_write_all(int fd, const void *data, size_t len, const char *name, struct lg_error *err);
int lg_fsync(int fd, const char *name, struct lg_error *err);

/* BLAKE2b-256 of a file's content. */
int lg_file_hash(const char *path, uint8_t ret_hash[32], struct lg_error *err);

/* malloc'd "a/b"; NULL when memory is gone */
char *lg_path_join(const char *dir, const char *name);

/* An exclusive advisory lock (open file description lock on a file that is created as needed and never removed).
 * Returns a descriptor to hold; closing it releases.  wait_ms 0: LG_EBUSY at once when taken. */
int lg_lock_file(const char *path, int64_t wait_ms, int *ret_fd, struct lg_error *err);

/* An append-only file of checksummed lines, fsynced line by line: "HEX16 TEXT\n", HEX16 the first 8 bytes of the
 * BLAKE2b-256 of TEXT.  Used by the rollback journal.  Whoever appends holds a lock of his own: two appenders are not
 * kept apart here. */
#define LG_LINE_LOG_MAX                                                                                        \
	((size_t)64 << 20) /* bytes of the whole file; a line that would go beyond is LG_EINVALID */
struct lg_line_log;
int lg_line_log_open(const char *path, bool create, struct lg_line_log **ret_log, struct lg_error *err);
void lg_line_log_close(struct lg_line_log *log);
/* text without newline. 0 only once it is durable; after a failure every further append fails too. */
int lg_line_log_append(struct lg_line_log *log, const char *text, struct lg_error *err);
/* Calls visit for each intact line from the start; a torn last line (crash while appending, after a power
 * failure with garbage in it) is ignored and cut off by the next open for appending; damage before the last line is LG_ECORRUPT
 * with its number. */
int lg_line_log_read(const char *path, int (*visit)(void *arg, const char *text, struct lg_error *err),
	void *arg, struct lg_error *err);

#endif
