/* The checker of linear.h is itself checked: by hand-made histories, and against a search through all orders. */
#include "support/linear.h"
#include "support/support.h"

#define MAX 7

/* --- by hand -------------------------------------------------------------------------------------------------------------- */

#define READ(begin, end, change)                                                                               \
	{                                                                                                      \
		begin, end, false, change, 0, 1                                                                \
	}
#define WRITE(begin, end, replaced, change)                                                                    \
	{                                                                                                      \
		begin, end, true, change, replaced, 2                                                          \
	}

static const struct history_row {
	const char *name;
	bool right;
	size_t count;
	struct linear_op ops[MAX];
} history_rows[] = {
	{ "nothing", true, 0, { { 0 } } },
	{ "one after the other", true, 4,
		{ READ(0, 1, 0), WRITE(2, 3, 0, 5), READ(4, 5, 5), WRITE(6, 7, 5, 9) } },
	{ "a read during the write may see either", true, 3,
		{ WRITE(0, 9, 0, 5), READ(1, 2, 0), READ(3, 4, 5) } },
	{ "old after new, during the write", false, 3, { WRITE(0, 9, 0, 5), READ(1, 2, 5), READ(3, 4, 0) } },
	{ "stale read", false, 2, { WRITE(0, 1, 0, 5), READ(2, 3, 0) } },
	{ "stale by one", false, 3, { WRITE(0, 1, 0, 5), WRITE(2, 3, 5, 9), READ(4, 5, 5) } },
	{ "a read of the future", false, 2, { READ(0, 1, 5), WRITE(2, 3, 0, 5) } },
	{ "never written", false, 2, { WRITE(0, 1, 0, 5), READ(2, 3, 7) } },
	{ "two out of one version", false, 3, { WRITE(0, 1, 0, 5), WRITE(2, 3, 5, 7), WRITE(2, 3, 5, 8) } },
	{ "two first ones", false, 2, { WRITE(0, 9, 0, 5), WRITE(0, 9, 0, 7) } },
	{ "a lost update", false, 3, { WRITE(0, 1, 0, 5), WRITE(2, 3, 0, 7), READ(4, 5, 7) } },
	{ "one number twice", false, 2, { WRITE(0, 1, 0, 5), WRITE(2, 3, 5, 5) } },
	{ "numbers go back", false, 2, { WRITE(0, 1, 0, 5), WRITE(2, 3, 5, 3) } },
	{ "writes overlap, in the order of the chain", true, 2, { WRITE(0, 9, 0, 5), WRITE(1, 8, 5, 6) } },
	{ "a write over before the one that it replaced", false, 2, { WRITE(4, 9, 0, 5), WRITE(1, 3, 5, 6) } },
	{ "no answer, and it happened late", true, 3,
		{ WRITE(0, LINEAR_NEVER, 0, 5), READ(10, 11, 0), READ(20, 21, 5) } },
	{ "no answer, and seen to come and go", false, 3,
		{ WRITE(0, LINEAR_NEVER, 0, 5), READ(10, 11, 5), READ(20, 21, 0) } },
	{ "a skipped version between", false, 4,
		{ WRITE(0, 1, 0, 5), WRITE(2, 9, 5, 6), WRITE(2, 9, 6, 7), READ(10, 11, 6) } },
	{ "two readers disagree about the order", false, 4,
		{ WRITE(0, 20, 0, 5), WRITE(0, 20, 5, 6), READ(1, 2, 6), READ(3, 4, 5) } },
	{ "touching in time is overlapping", true, 2, { WRITE(0, 5, 0, 5), READ(5, 6, 0) } },
};

static void test_history(void **state)
{
	const struct history_row *row = *state;
	struct linear_op ops[MAX];
	char why[400] = "";
	memcpy(ops, row->ops, sizeof ops);
	bool right = linear_check(ops, row->count, why, sizeof why);
	if (right != row->right)
		fail_msg("%s", right ? "taken for right" : why);
	assert_int_equal(why[0] != '\0', !row->right);
}

/* --- against a search through all orders ------------------------------------------------------------------------------------- */

/* Is there an order of those not yet in `done` that respects time and the register, which is at `now`? */
static bool search(const struct linear_op *ops, size_t count, unsigned done, uint64_t now)
{
	if (done == (1u << count) - 1)
		return true;
	for (size_t i = 0; i < count; i++) {
		if (done & (1u << i))
			continue;
		bool may_be_next =
			ops[i].is_write ? ops[i].replaced == now && ops[i].change > now : ops[i].change == now;
		for (size_t j = 0; may_be_next && j < count; j++)
			may_be_next = (done & (1u << j)) || ops[j].end >= ops[i].begin;
		if (may_be_next && search(ops, count, done | (1u << i), ops[i].is_write ? ops[i].change : now))
			return true;
	}
	return false;
}

static uint64_t random_state = 1;

static unsigned draw(unsigned below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(random_state >> 33) % below;
}

/* One that happened one by one, with the times then stretched, so that about half of all are right; and some that are not. */
static size_t draw_history(struct linear_op *ops)
{
	size_t count = 1 + draw(MAX);
	uint64_t now = 0, next = 1;
	for (size_t i = 0; i < count; i++) {
		int64_t at = 10 * (int64_t)i;
		ops[i] = (struct linear_op){ .begin = at - draw(40),
			.end = draw(12) ? at + draw(40) : LINEAR_NEVER };
		if (draw(2)) {
			ops[i].is_write = true;
			ops[i].replaced = now;
			now = ops[i].change = next++;
		} else {
			ops[i].change = now;
		}
	}
	for (unsigned spoil = draw(3); spoil > 0; spoil--) {
		struct linear_op *op = &ops[draw((unsigned)count)];
		switch (draw(4)) {
		case 0:
			op->change = draw((unsigned)next);
			break;
		case 1:
			op->replaced = op->is_write ? draw((unsigned)next) : 0;
			break;
		case 2:
			op->begin = op->begin - 5 + draw(30) < op->end ? op->begin - 5 + draw(30) : op->begin;
			break;
		default:
			op->end = op->end == LINEAR_NEVER ? op->begin + 5 : op->begin + draw(20);
		}
		if (op->end < op->begin)
			op->end = op->begin;
	}
	return count;
}

static void test_against_search(void **state)
{
	unsigned right = 0, wrong = 0;
	(void)state;
	for (int i = 0; i < 60000; i++) {
		struct linear_op ops[MAX], sorted[MAX];
		char why[400] = "";
		size_t count = draw_history(ops);
		memcpy(sorted, ops, sizeof ops);
		bool found = search(ops, count, 0, 0);
		if (linear_check(sorted, count, why, sizeof why) != found)
			fail_msg("history %d: %s", i, found ? why : "wrong, and taken for right");
		right += found;
		wrong += !found;
	}
	assert_true(right > 10000 && wrong > 10000);
}

int main(void)
{
	lg_test_rows("history", test_history, history_rows, sizeof history_rows / sizeof *history_rows,
		sizeof *history_rows, offsetof(struct history_row, name));
	lg_test_add("says what a search through all orders says", test_against_search, NULL);
	return lg_test_run("crash_linear_checker");
}
