/* trace.h - LASTGOOD_TRACE_LOG=FILE: every call of the log, one line each, appended to FILE.  For bug reports, and where
 * LASTGOOD_FAULT shall reach the log's appends. */
#ifndef LG_CLI_TRACE_H
#define LG_CLI_TRACE_H

#include "log/log.h"

struct lg_trace {
	int fd; /* -1: no file, only faults */
};

/* Does the environment ask for it? */
bool lg_trace_wanted(void);
/* Wraps *log; on failure it is closed and NULL. trace must outlive it; lg_trace_close comes after the log's close. */
int lg_trace_wrap(struct lg_trace *trace, struct lg_log **log, struct lg_error *err);
void lg_trace_close(struct lg_trace *trace);

#endif
