/* linear.h - could this history of one key have happened one operation at a time?  (linearizability)
 *
 * A key is a register whose every version has a number of its own: the change that wrote it, 0 before any.  An operation
 * either observed a version (a read; a refused compare-and-set, which says what stood in its way) or made one out of another
 * (a compare-and-set).  Several keys are checked one by one: linearizability is local (Herlihy and Wing 1990).
 *
 * For registers in general the question is NP-complete (Gibbons and Korach 1997).  Here it is not, because the order of the
 * versions is known: each write names the version that it replaced, so there is one chain of them or the history is
 * wrong.  Let the cluster of a version be its write and all that observed it.  In every sequential history that explains this
 * one the clusters stand one behind the other, in the order of the chain, each with its write in front.  So it is necessary
 * that no operation of a cluster was over before one of an earlier cluster began, and none before its own write began.
 * It is sufficient, too: put the clusters in that order, and within each the write, then the others by when they began.
 * An operation that was over before another began then stands before it: in another cluster by the first condition, in
 * the same one by the second or by the sorting.  Hence the check is exact, and needs no search: O(n log n).
 *
 * An operation without an answer (its process was killed) may take effect at any time after it began, or never; whether it
 * did is for the caller to find out (from the log) and to say. */
#ifndef LG_TESTS_LINEAR_H
#define LG_TESTS_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINEAR_NEVER INT64_MAX /* the end of an operation without an answer */

struct linear_op {
	int64_t begin, end; /* by one clock */
	bool is_write;
	uint64_t change;   /* the version that it made, or observed */
	uint64_t replaced; /* of a write: the version before */
	uint32_t process;  /* for messages */
};

/* Of one key, in any order; sorts ops. False with the reason in why. */
bool linear_check(struct linear_op *ops, size_t count, char *why, size_t why_size);

#endif
