/* process.h - child processes with deadlines.  Always an argv, never a shell; the child gets its own process group,
 * closed descriptors, default signals, /dev/null as stdin. */
#ifndef LG_IO_PROCESS_H
#define LG_IO_PROCESS_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct lg_run_options {
	const char *const
		*argv; /* NULL-terminated; argv[0] without '/' is looked up in PATH's absolute directories */
	const char *const *env; /* NULL-terminated NAME=VALUE added to the environment, or NULL */
	const char *dir;        /* working directory, or NULL */
	int64_t timeout_ms;     /* > 0: then the whole group is killed; 0 means 30,000 */
	size_t output_max; /* kept bytes of stdout and of stderr each; 0 means 64 KiB; more is drained and dropped */
	const void *input; /* for stdin, or NULL */
	size_t input_len;
};

struct lg_run_result {
	int exit_status; /* 0…255, or -1 when killed by a signal */
	int signal;      /* that signal, or 0 */
	bool timed_out;
	struct lg_buf out; /* stdout */
	struct lg_buf err; /* stderr */
};

/* Runs to the end.  0 when the child could be started and reaped in time, whatever its status; LG_ENOTFOUND when argv[0]
 * does not exist, LG_ETIMEOUT with the group killed and reaped.  Never waits for a grandchild that kept the pipes, and
 * never kills one unless the time is over.  *ret_result (may be NULL) is set in any case, so that it can be looked at
 * after a timeout (timed_out, the output so far) and cleared always; after other failures it is empty. */
int lg_run(const struct lg_run_options *options, struct lg_run_result *ret_result, struct lg_error *err);
void lg_run_result_clear(struct lg_run_result *result);
/* lg_run, and LG_EFAILED with the last lines of stderr (or stdout) in the message unless the status is 0. */
int lg_run_ok(const struct lg_run_options *options, struct lg_error *err);

/* Identity of a process that survives pid reuse. */
struct lg_process_id {
	pid_t pid;
	uint64_t start_ticks; /* field 22 of /proc/PID/stat */
};
/* Starts argv detached in a new session (it survives us, and is no child of ours), stdout and stderr appended to
 * log_path (NULL: dropped). 0 once exec has succeeded (a failed exec is reported here, with its errno). */
int lg_process_spawn(const char *const *argv, const char *const *env, const char *dir, const char *log_path,
	struct lg_process_id *ret_id, struct lg_error *err);
bool lg_process_alive(const struct lg_process_id *id); /* a zombie is not alive */
int lg_process_signal(const struct lg_process_id *id, int signal,
	struct lg_error *err); /* through a pidfd; LG_ENOTFOUND when gone */
/* TERM to the process, wait up to term_timeout_ms on the pidfd, then KILL to its whole process group and wait again. 0 when gone. */
int lg_process_stop(const struct lg_process_id *id, int64_t term_timeout_ms, struct lg_error *err);

#endif
