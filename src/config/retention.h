/* retention.h - what of the history may go: by count and by age, and what stays all the same.
 *
 * A record stays when any rule given wants it: one of the newest N revisions, or in force within the last while.  Of what
 * lies before, pinned revisions stay (known goods, what holds and restores need, what the caller names): the record, and a
 * checkpoint with its whole state, so that it can be read and gone back to without the log before it.  What goes is gone
 * as a gap that the chain reaches over, and a record in the log says so.
 *
 *	lg_config_trim_plan   what would go and what would stay, and why
 *	lg_config_trim        does it: checkpoints first, then the record of it, then the cut, in small pieces
 *
 * Interrupted at any point it leaves a log that holds, and the next trim goes on.
 */
#ifndef LG_CONFIG_RETENTION_H
#define LG_CONFIG_RETENTION_H

#include "config/config.h"

struct lg_pin {
	uint64_t seq;
	char why[64];
};

struct lg_retention {
	uint64_t revisions;        /* the newest so many; 0: no such rule */
	int64_t age_us;            /* what was in force in the last while; 0: no such rule */
	uint64_t known_good;       /* newest ones of each scope that are pinned */
	const struct lg_pin *pins; /* more of them, in any order */
	size_t pin_count;
};

struct lg_trim_plan {
	uint64_t head;       /* it was made on */
	uint64_t first;      /* oldest record there is now */
	uint64_t before;     /* records before it go, but for the pins; equal to first: nothing goes */
	uint64_t records;    /* that go */
	uint64_t revisions;  /* among them */
	struct lg_pin *pins; /* ascending, each seq once, all before `before` */
	size_t pin_count;
};
void lg_trim_plan_clear(struct lg_trim_plan *plan);

int lg_config_trim_plan(struct lg_config *config, const struct lg_retention *retention,
	struct lg_trim_plan *ret_plan, struct lg_error *err);
/* LG_ECONFLICT: somebody went back to what would have been dropped; make another plan. */
int lg_config_trim(struct lg_config *config, const struct lg_trim_plan *plan, const struct lg_author *author,
	struct lg_error *err);

#endif
