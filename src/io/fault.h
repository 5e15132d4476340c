/* fault.h - tests make the Nth operation of src/io fail, or end the process there.
 *
 * Every primitive in io/ that can fail asks lg_fault_check(operation, path) first.  Without a hook that is one load and
 * a predicted branch.  The hook returns 0 to go on or an errno to fail with; it may also _exit() to simulate a kill.
 * The environment variable LASTGOOD_FAULT ("rename:3:EIO", "fsync:1:KILL", "*:7:ENOSPC"; operation, which call
 * counting from 1, "3+" meaning that one and all after it, an errno name or KILL) installs one at start-up through lg_fault_from_env(); main() calls that only in builds
 * configured with -Dfault_injection=true.
 */
#ifndef LG_IO_FAULT_H
#define LG_IO_FAULT_H

#include "base/error.h"

enum lg_fault_op {
	LG_FAULT_OPEN,
	LG_FAULT_READ,
	LG_FAULT_WRITE,
	LG_FAULT_FSYNC,
	LG_FAULT_RENAME,
	LG_FAULT_UNLINK,
	LG_FAULT_MKDIR,
	LG_FAULT_LOCK,
	LG_FAULT_FORK,
	LG_FAULT_LOG_APPEND, /* asked by log wrappers and by the executor around its steps, not by io itself */
	LG_FAULT_STEP,
	LG_FAULT_OP_COUNT
};

typedef int lg_fault_hook(void *arg, enum lg_fault_op op, const char *path);

void lg_fault_set(lg_fault_hook *hook, void *arg); /* NULL removes it */
int lg_fault_check(enum lg_fault_op op, const char *path);
int lg_fault_from_env(struct lg_error *err);

#endif
