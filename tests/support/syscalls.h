/* syscalls.h - a child process whose system calls that write are counted, made to fail, cut short, or its last.
 *
 *	static int work(void *arg, int link)           in the child
 *	{
 *		… what is not under test …
 *		syscalls_arm(link);                    from here on each call that writes counts
 *		int rc = the_operation();
 *		syscalls_disarm(link);
 *		… what it looks like afterwards, told through shared memory …
 *	}
 *	struct syscalls_fault fault = { .nth = 3, .what = SYSCALLS_KILL };
 *	syscalls_run(&fault, work, arg, &result);      in the test; for nth = 1, 2, … until result.fired is false
 *
 * The kernel stops the child, all its threads and all that it starts, in front of each such call and asks here what shall
 * become of it (seccomp's user notification): no debugger, no root, real calls of whatever library made them.  Where kernel
 * or sandbox refuse it, syscalls_work() is false and a test says that it was skipped.
 *
 * What counts are calls on regular files and directories; pipes, sockets, devices and descriptors 0 to 2 are let through.
 * Syncs are counted and answered, not done: nothing here is about power. */
#ifndef LG_TESTS_SYSCALLS_H
#define LG_TESTS_SYSCALLS_H

#include <stdbool.h>
#include <stddef.h>

enum syscalls_op {
	SYSCALLS_WRITE = 1,
	SYSCALLS_SYNC = 2,
	SYSCALLS_SIZE = 4,   /* truncate, allocate */
	SYSCALLS_CREATE = 8, /* open that makes or empties a file, mkdir */
	SYSCALLS_NAME = 16,  /* rename, link, unlink, rmdir */
	SYSCALLS_META = 32,  /* mode, owner, times */
	SYSCALLS_LOCK = 64,  /* writes nothing, but between two of them lie writes to shared memory */
	SYSCALLS_ALL = 127
};

enum syscalls_what {
	SYSCALLS_KILL,  /* SIGKILL in front of the call */
	SYSCALLS_FAIL,  /* it returns errnum and does nothing */
	SYSCALLS_SHORT, /* of a write only the first half is done, and its length returned */
};

struct syscalls_fault {
	unsigned ops; /* mask of what counts; 0: all */
	unsigned nth; /* 0: nothing happens, all is counted */
	enum syscalls_what what;
	int errnum;
	unsigned times; /* it and those that follow, this many altogether; 0: once */
};

struct syscalls_result {
	unsigned count;   /* calls met that were of the kind */
	bool fired;       /* the nth came */
	bool killed;      /* by us */
	int status;       /* as waitpid(2) says */
	char at[256];     /* the one that fired: "pwrite64 /…/log.db-wal" */
	unsigned resyncs; /* syncs asked for on a descriptor behind a failed one on it */
	unsigned syncs;   /* all that were let through */
};

/* Can it be done here? */
bool syscalls_work(void);

typedef int syscalls_child(void *arg, int link);

/* Runs work in a child; what it returns is its exit status.  Fails the test when the machinery does. */
void syscalls_run(const struct syscalls_fault *fault, syscalls_child *work, void *arg,
	struct syscalls_result *ret_result);
/* In the child.  Only once each. */
void syscalls_arm(int link);
void syscalls_disarm(int link);

#endif
