/* progress.h - one line on a terminal's standard error that says how far a long work is; nothing anywhere else. */
#ifndef LG_CLI_PROGRESS_H
#define LG_CLI_PROGRESS_H

#include "cli/output.h"

struct lg_progress {
	struct lg_output *output;
	int64_t shown_ns; /* boottime when it was drawn last */
	bool drawn;
};

/* total 0: nobody knows how much it is.  Draws a few times a second at most. */
void lg_progress_show(struct lg_progress *progress, const char *what, uint64_t done, uint64_t total);
/* Wipes the line. */
void lg_progress_end(struct lg_progress *progress);

#endif
