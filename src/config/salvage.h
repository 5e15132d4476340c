/* salvage.h - from a damaged store a new one, with everything that can be proven; the damaged one is only read.
 *
 * The records come from lg_salvage (log/salvage.h).  What is lost between them becomes gaps; the chain goes on over them.  A
 * state is known again behind a gap when applying a record to what is at hand gives the root that the record states, or
 * when an intact checkpoint says so; a checkpoint is written there, so that every state that can be proven can be read.  When
 * the newest state is not known, the new store goes back to the newest one that is (a restore), sets what later changes set
 * (a change), and says so.  The newest record says what was lost.
 *
 * The new store is made beside its place, opened and verified there, and put in its place last.
 */
#ifndef LG_CONFIG_SALVAGE_H
#define LG_CONFIG_SALVAGE_H

#include "base/buf.h"
#include "io/clock.h"
#include "log/salvage.h"

#include <jansson.h>

#define LG_SALVAGE_ACTOR "salvage"

struct lg_config_salvage {
	const char *from; /* the damaged state directory */
	const char *to;   /* the new one: absent, or empty; not inside the damaged one.  NULL: only report */
	const struct lg_clock *clock;
	struct lg_salvage_progress progress;
};

/* ret_report: see docs/formats.md; its member "complete" says whether nothing was lost.
 * LG_ENOTFOUND: no store there. LG_ECONFLICT: the target is not free. LG_EBUSY: somebody is writing to the store.
 * LG_ECORRUPT: not one record could be proven. */
int lg_config_salvage(const struct lg_config_salvage *options, json_t **ret_report, struct lg_error *err);
/* The report for people, line by line. */
int lg_config_salvage_text(const json_t *report, struct lg_buf *buf, struct lg_error *err);

#endif
