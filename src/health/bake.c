#include "health/health.h"

static void restart(struct lg_bake *bake, uint64_t revision)
{
	bake->revision = revision;
	bake->since_ns = -1;
	bake->last_good_ns = -1;
	bake->broken = false;
	bake->done = false;
}

void lg_bake_init(struct lg_bake *bake)
{
	bake->max_gap_ns = 0;
	restart(bake, 0);
}

bool lg_bake_feed(
	struct lg_bake *bake, uint64_t revision, enum lg_verdict all, int64_t boottime_ns, int64_t bake_ns)
{
	if (revision != bake->revision)
		restart(bake, revision);
	if (revision == 0)
		return false;
	switch (all) {
	case LG_VERDICT_BAD:
		/* also after it was done: a revision that went bad earns a new mark only by another whole bake */
		restart(bake, revision);
		return false;
	case LG_VERDICT_INCONCLUSIVE:
		bake->broken = true;
		return false;
	case LG_VERDICT_GOOD:
		break;
	}
	if (bake->since_ns < 0) {
		bake->since_ns = boottime_ns;
	} else {
		int64_t apart = boottime_ns - bake->last_good_ns;
		/* since_ns moves along with time that does not count, so that last_good - since is what was gathered */
		if (bake->broken || (bake->max_gap_ns > 0 && apart > bake->max_gap_ns))
			bake->since_ns += apart;
	}
	bake->last_good_ns = boottime_ns;
	bake->broken = false;
	if (bake->done || boottime_ns - bake->since_ns < bake_ns)
		return false;
	bake->done = true;
	return true;
}
