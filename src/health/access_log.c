/* access_log.c - counts requests and errors in a web server's access log as it grows.
 *
 * A line is read for its status alone.  Common and combined format: the number behind the first quoted string (the
 * request; servers escape quotes within it).  JSON lines: the member "status" of the outermost object.  A line that has no
 * status by either rule is not counted at all: it is no evidence for anything.
 *
 * What a client can make the server write is hostile: lines of any length (the status stands within the first LINE_MAX
 * bytes or the line is not counted), NUL bytes, invalid UTF-8, quotes and brackets of its own.  So there is no JSON parser
 * here, only a scanner that knows strings and depth and looks at nothing else.
 */
#include "health/health.h"

#include "base/cleanup.h"
#include "io/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_LIMIT ((size_t)64 * 1024)
#define READ_LIMIT ((size_t)8 * 1024 * 1024)

struct lg_access_log {
	char *path;
	int fd; /* -1: the file has not been there yet */
	dev_t device;
	ino_t inode;
	off_t offset;
	size_t line_len; /* of the line begun: how much of its head is in `line` */
	char line[LINE_LIMIT];
	char chunk[64 * 1024];
};

struct counts {
	int64_t requests;
	int64_t errors;
};

/* --- one line --------------------------------------------------------------------------------------------------- */

enum status_class { STATUS_NONE, STATUS_FINE, STATUS_ERROR };

/* "200", "-", with nothing but a blank, a quote, a comma, a brace or the end behind it. */
static enum status_class classify(const char *text, size_t len)
{
	static const char behind[] = " \t\r\",}]";
	size_t n = 0;
	while (n < len && text[n] >= '0' && text[n] <= '9')
		n++;
	bool is_dash = n == 0 && len > 0 && text[0] == '-';
	size_t end = is_dash ? 1 : n;
	if (end < len && (text[end] == '\0' || !strchr(behind, text[end])))
		return STATUS_NONE;
	if (is_dash)
		return STATUS_ERROR;
	if (n != 3)
		return STATUS_NONE;
	if (memcmp(text, "000", 3) == 0)
		return STATUS_ERROR;
	if (text[0] < '1' || text[0] > '5')
		return STATUS_NONE;
	return text[0] == '5' ? STATUS_ERROR : STATUS_FINE;
}

/* Index just behind the string whose opening quote stands before `i`; len when it does not end. */
static size_t skip_string(const char *text, size_t len, size_t i)
{
	for (; i < len; i++) {
		if (text[i] == '\\')
			i++;
		else if (text[i] == '"')
			return i + 1;
	}
	return len;
}

static size_t skip_blanks(const char *text, size_t len, size_t i)
{
	while (i < len && (text[i] == ' ' || text[i] == '\t'))
		i++;
	return i;
}

static enum status_class common_status(const char *line, size_t len)
{
	const char *quote = memchr(line, '"', len);
	if (!quote)
		return STATUS_NONE;
	size_t i = skip_string(line, len, (size_t)(quote - line) + 1);
	if (i >= len || line[i] != ' ')
		return STATUS_NONE;
	i = skip_blanks(line, len, i);
	return classify(line + i, len - i);
}

static enum status_class json_status(const char *line, size_t len)
{
	static const char name[] = "\"status\"";
	size_t depth = 0;
	for (size_t i = 0; i < len; i++) {
		char c = line[i];
		if (c == '{' || c == '[') {
			depth++;
		} else if (c == '}' || c == ']') {
			if (depth-- <= 1)
				return STATUS_NONE;
		} else if (c == '"') {
			size_t end = skip_string(line, len, i + 1);
			bool is_status = depth == 1 && end - i == sizeof name - 1 &&
				memcmp(line + i, name, sizeof name - 1) == 0;
			size_t colon = skip_blanks(line, len, end);
			if (is_status && colon < len && line[colon] == ':') {
				size_t value = skip_blanks(line, len, colon + 1);
				if (value < len && line[value] == '"')
					value++;
				return classify(line + value, len - value);
			}
			i = end - 1;
		}
	}
	return STATUS_NONE;
}

static void count_line(const char *line, size_t len, struct counts *counts)
{
	size_t i = 0;
	/* a writer that was not told of a truncation leaves a hole of NULs before its next line */
	while (i < len && (line[i] == '\0' || line[i] == ' '))
		i++;
	enum status_class status =
		i < len && line[i] == '{' ? json_status(line + i, len - i) : common_status(line + i, len - i);
	if (status == STATUS_NONE)
		return;
	counts->requests++;
	if (status == STATUS_ERROR)
		counts->errors++;
}

/* --- a stretch of bytes ------------------------------------------------------------------------------------------- */

static void line_add(struct lg_access_log *log, const char *data, size_t len)
{
	while (log->line_len == 0 && len > 0 && *data == '\0') {
		data++;
		len--;
	}
	size_t room = LINE_LIMIT - log->line_len;
	size_t taken = len < room ? len : room;
	memcpy(log->line + log->line_len, data, taken);
	log->line_len += taken;
}

static void take_bytes(struct lg_access_log *log, const char *data, size_t len, struct counts *counts)
{
	while (len > 0) {
		const char *newline = memchr(data, '\n', len);
		if (!newline) {
			line_add(log, data, len);
			return;
		}
		size_t line_len = (size_t)(newline - data);
		if (log->line_len == 0) {
			count_line(data, line_len < LINE_LIMIT ? line_len : LINE_LIMIT, counts);
		} else {
			line_add(log, data, line_len);
			count_line(log->line, log->line_len, counts);
			log->line_len = 0;
		}
		data = newline + 1;
		len -= line_len + 1;
	}
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

/* LG_ENOTFOUND when absent. O_NONBLOCK so that a FIFO in its place cannot hold us. */
static int open_file(const char *path, int *ret_fd, struct stat *ret_st, struct lg_error *err)
{
	int fault = lg_fault_check(LG_FAULT_OPEN, path);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot open access log '%s'", path);
	lg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return lg_fail(err, errno == ENOENT ? LG_ENOTFOUND : LG_EIO, errno,
			"cannot open access log '%s'", path);
	if (fstat(fd, ret_st) < 0)
		return lg_fail(err, LG_EIO, errno, "cannot examine access log '%s'", path);
	if (!S_ISREG(ret_st->st_mode))
		return lg_fail(err, LG_EINVALID, 0,
			"access log '%s' is not a regular file; let the server write one", path);
	*ret_fd = lg_steal_fd(&fd);
	return 0;
}

static void adopt(struct lg_access_log *log, int fd, const struct stat *st, off_t offset)
{
	if (log->fd >= 0)
		close(log->fd);
	log->fd = fd;
	log->device = st->st_dev;
	log->inode = st->st_ino;
	log->offset = offset;
	log->line_len = 0;
}

int lg_access_log_open(const char *path, struct lg_access_log **ret_log, struct lg_error *err)
{
	struct lg_access_log *log = calloc(1, sizeof *log);
	if (!log)
		return lg_fail_nomem(err);
	log->fd = -1;
	log->path = strdup(path);
	if (!log->path) {
		lg_access_log_close(log);
		return lg_fail_nomem(err);
	}
	int fd = -1;
	struct stat st = { 0 };
	int rc = open_file(path, &fd, &st, err);
	if (rc == 0) {
		adopt(log, fd, &st, st.st_size);
	} else if (rc != LG_ENOTFOUND) {
		lg_access_log_close(log);
		return rc;
	}
	*ret_log = log;
	return 0;
}

void lg_access_log_close(struct lg_access_log *log)
{
	if (!log)
		return;
	if (log->fd >= 0)
		close(log->fd);
	free(log->path);
	free(log);
}

/* Reads on from where we were, up to *budget bytes. 1 when the end was reached, 0 when the budget ended first. */
static int read_on(struct lg_access_log *log, size_t *budget, struct counts *counts, struct lg_error *err)
{
	struct stat st;
	if (fstat(log->fd, &st) < 0)
		return lg_fail(err, LG_EIO, errno, "cannot examine access log '%s'", log->path);
	if (st.st_size < log->offset) { /* truncated: what is there now is new */
		log->offset = 0;
		log->line_len = 0;
	}
	while (*budget > 0) {
		int fault = lg_fault_check(LG_FAULT_READ, log->path);
		if (fault)
			return lg_fail(err, LG_EIO, fault, "cannot read access log '%s'", log->path);
		size_t want = *budget < sizeof log->chunk ? *budget : sizeof log->chunk;
		ssize_t got = pread(log->fd, log->chunk, want, log->offset);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return lg_fail(err, LG_EIO, errno, "cannot read access log '%s'", log->path);
		if (got == 0)
			return 1;
		log->offset += got;
		*budget -= (size_t)got;
		take_bytes(log, log->chunk, (size_t)got, counts);
	}
	return 0;
}

/* After rotation a server goes on writing to the old file until it is told to open the new one, so the old one is left
 * only when something stands in the new.  1: another file is open now, 0: as before. */
static int follow_rotation(struct lg_access_log *log, struct lg_error *err)
{
	int fd = -1;
	struct stat st = { 0 };
	if (log->fd >= 0 && stat(log->path, &st) == 0 && st.st_dev == log->device && st.st_ino == log->inode)
		return 0;
	int rc = open_file(log->path, &fd, &st, err);
	if (rc < 0)
		return rc;
	if (log->fd >= 0 && (st.st_size == 0 || (st.st_dev == log->device && st.st_ino == log->inode))) {
		close(fd);
		return 0;
	}
	adopt(log, fd, &st, 0);
	return 1;
}

static int read_counts(struct lg_access_log *log, struct counts *counts, struct lg_error *err)
{
	size_t budget = READ_LIMIT;
	if (log->fd >= 0) {
		int rc = read_on(log, &budget, counts, err);
		if (rc <= 0)
			return rc;
	}
	int rc = follow_rotation(log, err);
	if (rc <= 0)
		return rc;
	rc = read_on(log, &budget, counts, err);
	return rc < 0 ? rc : 0;
}

int lg_access_log_read(
	struct lg_access_log *log, int64_t *ret_requests, int64_t *ret_errors, struct lg_error *err)
{
	struct counts counts = { 0 };
	struct lg_error local = LG_ERROR_INIT;
	int rc = read_counts(log, &counts, &local);
	/* what was counted before the failure has been taken from the file and must not be lost */
	if (rc < 0 && counts.requests == 0) {
		if (err)
			*err = local;
		return rc;
	}
	*ret_requests = counts.requests;
	*ret_errors = counts.errors;
	return 0;
}
