/* child.h - from fork to exec, for process.c and identity.c only.
 *
 * Everything that needs memory or a lock happens in lg_child_prepare, before fork; what runs in the child afterwards is
 * async-signal-safe, because another thread may have held any lock at the moment of the fork.
 */
#ifndef LG_IO_CHILD_H
#define LG_IO_CHILD_H

#include "io/process.h"

struct lg_child {
	char *program; /* argv[0], found in PATH */
	const char *const *argv;
	char **env;                /* the strings are not ours */
	const char *dir;           /* or NULL */
	int fd_in, fd_out, fd_err; /* become 0, 1, 2; all above 2 */
	int fd_status;             /* close-on-exec pipe to the parent; above 2 */
};

/* What the child writes to fd_status: its identity (only when asked for) and, when exec did not come about, why. */
enum lg_child_stage { LG_CHILD_IDENTITY, LG_CHILD_FORK, LG_CHILD_DIR, LG_CHILD_FDS, LG_CHILD_EXEC };
struct lg_child_report {
	enum lg_child_stage stage;
	int failure; /* errno */
	struct lg_process_id id;
};

/* Finds the program and merges the environment.  LG_ENOTFOUND, LG_EPERM when it is there but not executable. */
int lg_child_prepare(struct lg_child *child, const char *const *argv, const char *const *env, const char *dir,
	struct lg_error *err);
void lg_child_clear(struct lg_child *child); /* program and env; descriptors are the caller's */

/* Between fork and exec; never return. */
_Noreturn void lg_child_exec(const struct lg_child *child);
void lg_child_report(const struct lg_child *child, const struct lg_child_report *report);

/* Turns a report into the error of the call. */
int lg_child_fail(const struct lg_child *child, const struct lg_child_report *report, struct lg_error *err);

/* fork with all signals blocked, so that no handler of ours runs in the child; it unblocks them before exec. */
pid_t lg_child_fork(void);

/* A descriptor above 2, so that it survives when 0, 1 and 2 are laid; takes fd over. -1 with errno. */
int lg_child_lift(int fd);
/* A close-on-exec pipe with both ends above 2. */
int lg_child_pipe(int ret_ends[2], const char *name, struct lg_error *err);

/* Fields 3 and 22 of /proc/PID/stat, async-signal-safe; pid 0 is the caller.  False when there is no such process. */
bool lg_process_stat(pid_t pid, char *ret_state, uint64_t *ret_start_ticks);

#endif
