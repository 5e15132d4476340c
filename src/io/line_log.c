/* The part of file.h that is about files of checksummed lines. */
#include "base/cleanup.h"
#include "base/text.h"
#include "io/fault.h"
#include "io/file.h"
#include "io/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SUM_BYTES  8
#define SUM_DIGITS (2 * SUM_BYTES)
#define HEAD       (SUM_DIGITS + 1) /* digits and blank */

struct lg_line_log {
	char *path;
	int fd;
	size_t size;
	bool failed;
};

static void sum_text(const char *text, size_t len, char ret_digits[SUM_DIGITS + 1])
{
	uint8_t hash[32];
	crypto_generichash(hash, sizeof hash, (const unsigned char *)text, len, NULL, 0);
	lg_hex_encode(hash, SUM_BYTES, ret_digits);
}

/* line without its newline */
static bool is_intact(const char *line, size_t len)
{
	char digits[SUM_DIGITS + 1];
	if (len < HEAD || line[SUM_DIGITS] != ' ' || memchr(line, '\0', len))
		return false;
	sum_text(line + HEAD, len - HEAD, digits);
	return memcmp(line, digits, SUM_DIGITS) == 0;
}

static bool could_be_head(const char *at)
{
	for (size_t i = 0; i < SUM_DIGITS; i++)
		if ((at[i] < '0' || at[i] > '9') && (at[i] < 'a' || at[i] > 'f'))
			return false;
	return at[SUM_DIGITS] == ' ';
}

/* An intact line at the end of a damaged one: the newline between two whole lines was damaged, and one of them was durable.
 * The first places that look like a line decide, so that a file made of nothing else does not take for ever. */
static bool hides_a_line(const char *line, size_t len)
{
	int tries = 16;
	for (size_t at = 1; at + HEAD <= len && tries > 0; at++) {
		if (!could_be_head(line + at))
			continue;
		if (is_intact(line + at, len - at))
			return true;
		tries--;
	}
	return false;
}

/* Whether all from a damaged line on is what a power failure leaves of one append: its sectors are new, zeros or garbage, which
 * may hold newlines.  But no line begins behind one of them, nor does one end the damaged line. */
static bool is_torn(const char *at, size_t left)
{
	const char *end = at + left, *newline = memchr(at, '\n', left);
	if (hides_a_line(at, newline ? (size_t)(newline - at) : left))
		return false;
	for (; newline; newline = memchr(newline + 1, '\n', (size_t)(end - newline) - 1))
		if ((size_t)(end - newline) > HEAD && could_be_head(newline + 1))
			return false;
	return true;
}

/* Visits each intact line; *ret_end is where the intact part ends.  The text of a line is NUL-terminated in place. */
static int scan(const char *path, struct lg_buf *content,
	int (*visit)(void *arg, const char *text, struct lg_error *err), void *arg, size_t *ret_end,
	struct lg_error *err)
{
	size_t at = 0, number = 1;
	while (at < content->len) {
		char *line = content->data + at;
		size_t left = content->len - at;
		char *newline = memchr(line, '\n', left);
		size_t len = newline ? (size_t)(newline - line) : left;
		if (!newline || !is_intact(line, len)) {
			if (is_torn(line, left))
				break;
			return lg_fail(err, LG_ECORRUPT, 0, "'%s' is damaged in line %zu", path, number);
		}
		*newline = '\0';
		int rc = visit ? visit(arg, line + HEAD, err) : 0;
		*newline = '\n';
		if (rc < 0)
			return rc;
		at += len + 1;
		number++;
	}
	*ret_end = at;
	return 0;
}

int lg_line_log_read(const char *path, int (*visit)(void *arg, const char *text, struct lg_error *err),
	void *arg, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf content = LG_BUF_INIT;
	size_t end;
	int rc = lg_file_read(path, LG_LINE_LOG_MAX, &content, err);
	return rc < 0 ? rc : scan(path, &content, visit, arg, &end, err);
}

/* ---- append ---- */

/* The name has to be durable before the first line can be. */
static int sync_parent(const char *path, struct lg_error *err)
{
	const char *slash = strrchr(path, '/');
	if (!slash || slash == path)
		return lg_dir_sync(slash ? "/" : ".", err);
	lg_autofree char *dir = strndup(path, (size_t)(slash - path));
	return dir ? lg_dir_sync(dir, err) : lg_fail_nomem(err);
}

static int open_for_append(const char *path, bool create, int *ret_fd, struct lg_error *err)
{
	int flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	int fault = lg_fault_check(LG_FAULT_OPEN, path);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot open '%s'", path);
	lg_autoclose int fd = open(path, flags | (create ? O_CREAT : 0), 0600);
	if (fd < 0 && errno == ENOENT)
		return lg_fail(err, LG_ENOTFOUND, 0, "'%s' does not exist", path);
	if (fd < 0)
		return lg_fail(err, LG_EIO, errno, "cannot open '%s'", path);
	if (create)
		lg_recorded(.op = LG_RECORDED_CREATE, .dirfd = AT_FDCWD, .name = path, .fd = fd);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return lg_fail(err, LG_EIO, errno, "cannot look at '%s'", path);
	if (!S_ISREG(st.st_mode))
		return lg_fail(err, LG_EINVALID, 0, "'%s' is not a regular file", path);
	int rc = create ? sync_parent(path, err) : 0;
	if (rc == 0)
		*ret_fd = lg_steal_fd(&fd);
	return rc;
}

/* What a crash left of a line behind the intact ones goes.  Those are made durable: one that a killed process wrote and did not
 * sync must not be lost behind what is done because of it. */
static int cut_torn(struct lg_line_log *log, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf content = LG_BUF_INIT;
	int rc = lg_fd_read(log->fd, log->path, LG_LINE_LOG_MAX, &content, err);
	if (rc == 0)
		rc = scan(log->path, &content, NULL, NULL, &log->size, err);
	if (rc < 0)
		return rc;
	if (log->size == content.len)
		return lg_fsync(log->fd, log->path, err);
	int failure = lg_fault_check(LG_FAULT_WRITE, log->path);
	if (!failure && ftruncate(log->fd, (off_t)log->size) < 0)
		failure = errno;
	if (failure)
		return lg_fail(err, LG_EIO, failure, "cannot cut the torn end off '%s'", log->path);
	lg_recorded(.op = LG_RECORDED_TRUNCATE, .fd = log->fd, .at = (off_t)log->size);
	return lg_fsync(log->fd, log->path, err);
}

int lg_line_log_open(const char *path, bool create, struct lg_line_log **ret_log, struct lg_error *err)
{
	struct lg_line_log *log = malloc(sizeof *log);
	if (!log)
		return lg_fail_nomem(err);
	*log = (struct lg_line_log){ .path = strdup(path), .fd = -1 };
	int rc = log->path ? open_for_append(path, create, &log->fd, err) : lg_fail_nomem(err);
	if (rc == 0)
		rc = cut_torn(log, err);
	if (rc < 0) {
		lg_line_log_close(log);
		return rc;
	}
	*ret_log = log;
	return 0;
}

void lg_line_log_close(struct lg_line_log *log)
{
	if (!log)
		return;
	lg_close_cleanup(&log->fd);
	free(log->path);
	free(log);
}

static int append_line(struct lg_line_log *log, const struct lg_buf *line, struct lg_error *err)
{
	int rc = lg_write_all(log->fd, line->data, line->len, log->path, err);
	return rc < 0 ? rc : lg_fsync(log->fd, log->path, err);
}

int lg_line_log_append(struct lg_line_log *log, const char *text, struct lg_error *err)
{
	size_t len = strlen(text);
	char digits[SUM_DIGITS + 1];
	if (log->failed)
		return lg_fail(err, LG_EREADONLY, 0,
			"'%s' takes no more lines after a failed write: open it again", log->path);
	if (memchr(text, '\n', len))
		return lg_fail(err, LG_EINVALID, 0, "a line for '%s' holds a newline", log->path);
	if (len + HEAD + 1 > LG_LINE_LOG_MAX - log->size)
		return lg_fail(
			err, LG_EINVALID, 0, "'%s' would grow beyond %zu bytes", log->path, LG_LINE_LOG_MAX);
	lg_cleanup(lg_buf_clear) struct lg_buf line = LG_BUF_INIT;
	sum_text(text, len, digits);
	if (lg_buf_addf(&line, "%s ", digits) < 0 || lg_buf_add(&line, text, len) < 0 ||
		lg_buf_addc(&line, '\n') < 0)
		return lg_fail_nomem(err);
	int rc = append_line(log, &line, err);
	if (rc < 0)
		log->failed = true;
	else
		log->size += line.len;
	return rc;
}
