/* nth.h - fail the Nth operation of src/io, for N = 1, 2, … until a run in which none fires.
 *
 *	for (struct nth nth = { .errnum = EIO }; nth_begin(&nth);) {
 *		int rc = the_operation(&err);
 *		nth_end(&nth);
 *		… nth.fired tells whether this run was made to fail
 *	}
 */
#ifndef LG_TESTS_NTH_H
#define LG_TESTS_NTH_H

#include "io/fault.h"

#include <stdbool.h>
#include <unistd.h>

struct nth {
	int errnum;   /* 0: the process ends there, as if killed */
	bool onwards; /* every one after it fails, too */
	int n, calls;
	bool fired, started;
};

static inline int nth_hook(void *arg, enum lg_fault_op op, const char *path)
{
	struct nth *nth = arg;
	nth->calls++;
	if (nth->calls < nth->n || (nth->calls > nth->n && !nth->onwards))
		return 0;
	nth->fired = true;
	if (nth->errnum == 0)
		_exit(99);
	return nth->errnum;
}

static inline bool nth_begin(struct nth *nth)
{
	if (nth->started && !nth->fired)
		return false;
	nth->started = true;
	nth->fired = false;
	nth->calls = 0;
	nth->n++;
	lg_fault_set(nth_hook, nth);
	return true;
}

static inline void nth_end(struct nth *nth)
{
	lg_fault_set(NULL, NULL);
}

#endif
