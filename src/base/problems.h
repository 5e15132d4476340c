/* problems.h - everything wrong with one input, so that a person mends it in one go.
 *
 * A validator adds one problem per violation and goes on; whoever asked fails with LG_EINVALID (lg_problems_fail) when
 * any was found.  At most LG_PROBLEMS_MAX are kept, all are counted.
 */
#ifndef LG_BASE_PROBLEMS_H
#define LG_BASE_PROBLEMS_H

#include "base/error.h"

#include <stdbool.h>

#define LG_PROBLEMS_MAX 1000

struct lg_problem {
	char *subject; /* key, file:line, setting; never NULL */
	char *message;
};

struct lg_problems {
	struct lg_problem *items;
	size_t count;    /* kept in items */
	size_t total;    /* found */
	bool is_foreign; /* a subscriber of the configuration found them: they may quote anything, secrets too */
};
#define LG_PROBLEMS_INIT                                                                                       \
	{                                                                                                      \
		0                                                                                              \
	}

void lg_problems_clear(struct lg_problems *problems);
/* NULL problems is accepted and drops it.  Out of memory still counts in total. */
void lg_problems_add(struct lg_problems *problems, const char *subject, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* 0 when there are none; else LG_EINVALID with "3 problems in <what>; first: '<subject>': <message>". */
int lg_problems_fail(const struct lg_problems *problems, struct lg_error *err, const char *what);

#endif
