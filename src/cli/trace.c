#include "cli/trace.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "io/file.h"
#include "log/wrap/wrap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const char *path_of(void)
{
	const char *path = getenv("LASTGOOD_TRACE_LOG");
	return path && *path ? path : NULL;
}

bool lg_trace_wanted(void)
{
	return path_of() || getenv("LASTGOOD_FAULT");
}

/* One write a line, so that processes that trace into one file do not mix theirs. */
static void write_line(void *arg, const char *line)
{
	const struct lg_trace *trace = arg;
	struct lg_error ignored = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	lg_buf_addf(&buf, "%d %s\n", (int)getpid(), line);
	if (trace->fd >= 0 && !buf.failed)
		lg_write_all(trace->fd, buf.data, buf.len, "the trace", &ignored);
}

int lg_trace_wrap(struct lg_trace *trace, struct lg_log **log, struct lg_error *err)
{
	const char *path = path_of();
	struct lg_log *inner = *log;
	*log = NULL;
	trace->fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
	if (path && trace->fd < 0) {
		lg_log_close(inner);
		return lg_fail(err, LG_EIO, errno, "cannot open '%s' ($LASTGOOD_TRACE_LOG)", path);
	}
	const struct lg_log_hooks hooks = { .trace = path ? write_line : NULL, .arg = trace };
	return lg_log_wrap(inner, &hooks, lg_clock_system(), log, err);
}

void lg_trace_close(struct lg_trace *trace)
{
	if (trace->fd > 0)
		close(trace->fd);
	trace->fd = -1;
}
