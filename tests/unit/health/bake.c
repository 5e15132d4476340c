/* Bakes as scripts: one character per second, G good, B bad, . inconclusive, _ not fed, | the next revision.  The bake is
 * five seconds.  Beside it: * where the bake is done, - otherwise. */
#include "health/health.h"
#include "support/support.h"

#define S INT64_C(1000000000)

struct row {
	const char *name;
	const char *samples;
	const char *done;
	uint64_t revision;
	int64_t max_gap_s;
};

static const struct row rows[] = {
	{ "done after exactly the bake time", "GGGGGGG", "-----*-", 7, 0 },
	{ "no revision is never good", "GGGGGGGGG", "---------", 0, 0 },
	{ "bad restarts", "GGGGGBGGGGGG", "-----------*", 7, 0 },
	{ "a new revision restarts", "GGG|GGGGGG", "---------*", 7, 0 },
	{ "each revision is done once", "GGGGGG|GGGGGGG", "-----*------*-", 7, 0 },
	{ "inconclusive does not count and does not restart", "GGG...GGGG", "---------*", 7, 0 },
	{ "only inconclusive is never good", "..........", "----------", 7, 0 },
	{ "alternating gathers nothing", "G.G.G.G.G.G.G.", "--------------", 7, 0 },
	{ "a gap counts without a limit", "G____G", "-____*", 7, 0 },
	{ "a gap up to the limit counts", "G__G_G", "-__-_*", 7, 3 },
	{ "a gap beyond the limit gathers nothing", "GGG______GGGG", "---______---*", 7, 3 },
	{ "bad after it was done asks for another whole bake", "GGGGGGBGGGGGG", "-----*------*", 7, 0 },
};

static enum lg_verdict verdict_of(char letter)
{
	if (letter == 'G')
		return LG_VERDICT_GOOD;
	return letter == 'B' ? LG_VERDICT_BAD : LG_VERDICT_INCONCLUSIVE;
}

static void test_row(void **state)
{
	const struct row *row = *state;
	struct lg_bake bake;
	lg_bake_init(&bake);
	bake.max_gap_ns = row->max_gap_s * S;
	uint64_t revision = row->revision;
	char done[64] = "";
	int64_t now = 100;
	for (size_t i = 0; row->samples[i]; i++) {
		char letter = row->samples[i];
		done[i] = letter == '_' ? '_' : '-';
		if (letter == '|') {
			revision++;
			continue;
		}
		now++;
		if (letter != '_' && lg_bake_feed(&bake, revision, verdict_of(letter), now * S, 5 * S))
			done[i] = '*';
	}
	assert_string_equal(done, row->done);
}

int main(void)
{
	lg_test_rows(
		"bake", test_row, rows, sizeof rows / sizeof *rows, sizeof *rows, offsetof(struct row, name));
	return lg_test_run("bake");
}
