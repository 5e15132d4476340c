#include "support/linear.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* By version, the write first. */
static int by_cluster(const void *a, const void *b)
{
	const struct linear_op *one = a, *other = b;
	if (one->change != other->change)
		return one->change < other->change ? -1 : 1;
	if (one->is_write != other->is_write)
		return one->is_write ? -1 : 1;
	return one->begin < other->begin ? -1 : one->begin > other->begin;
}

static bool wrong(
	char *why, size_t size, const char *what, const struct linear_op *op, const struct linear_op *other)
{
	snprintf(why, size,
		"%s: %s of version %" PRIu64 " by process %u, from %" PRId64 " to %" PRId64
		", and %s of version %" PRIu64 " by process %u, from %" PRId64 " to %" PRId64,
		what, op->is_write ? "write" : "observation", op->change, op->process, op->begin, op->end,
		other->is_write ? "write" : "observation", other->change, other->process, other->begin,
		other->end);
	return false;
}

/* One chain from version 0, whose numbers grow: each version written once, out of the one before. */
static bool check_chain(const struct linear_op *ops, size_t count, char *why, size_t size)
{
	const struct linear_op *last = NULL;
	for (size_t i = 0; i < count; i++) {
		const struct linear_op *op = &ops[i];
		uint64_t newest = last ? last->change : 0;
		if (!op->is_write) {
			if (op->change != newest)
				return wrong(why, size, "nobody wrote what was observed", op, op);
			continue;
		}
		if (op->change <= newest)
			return wrong(why, size, "one version is written twice", op, last ? last : op);
		if (op->replaced != newest)
			return wrong(why, size, "a write did not replace the version before it", op,
				last ? last : op);
		last = op;
	}
	return true;
}

bool linear_check(struct linear_op *ops, size_t count, char *why, size_t why_size)
{
	if (count == 0)
		return true;
	qsort(ops, count, sizeof *ops, by_cluster);
	if (!check_chain(ops, count, why, why_size))
		return false;
	const struct linear_op *latest = NULL; /* of the clusters before, the one that began last */
	for (size_t i = 0; i < count;) {
		const struct linear_op *last_begun = &ops[i];
		size_t first = i;
		for (; i < count && ops[i].change == ops[first].change; i++) {
			const struct linear_op *op = &ops[i];
			if (latest && op->end < latest->begin)
				return wrong(why, why_size, "over before an older version was met", op, latest);
			if (op->end < ops[first].begin && ops[first].is_write)
				return wrong(
					why, why_size, "over before its version was written", op, &ops[first]);
			if (op->begin > last_begun->begin)
				last_begun = op;
		}
		if (!latest || last_begun->begin > latest->begin)
			latest = last_begun;
	}
	return true;
}
