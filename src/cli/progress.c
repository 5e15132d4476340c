#include "cli/progress.h"

#include "io/clock.h"

#include <inttypes.h>
#include <unistd.h>

#define REDRAW_NS INT64_C(200000000)
#define BAR_WIDTH 30

static bool is_terminal(const struct lg_output *output)
{
	return isatty(fileno(output->err)) == 1;
}

void lg_progress_show(struct lg_progress *progress, const char *what, uint64_t done, uint64_t total)
{
	const struct lg_clock *clock = lg_clock_system();
	int64_t now_ns = clock->boottime_ns(clock);
	if (!is_terminal(progress->output) || (progress->drawn && now_ns - progress->shown_ns < REDRAW_NS))
		return;
	FILE *err = progress->output->err;
	progress->shown_ns = now_ns;
	progress->drawn = true;
	if (total == 0) {
		fprintf(err, "\r\033[K%s …", what);
	} else {
		int full = (int)((done < total ? done : total) * BAR_WIDTH / total);
		fprintf(err, "\r\033[K%s [%.*s%*s] %" PRIu64 " of %" PRIu64, what, full,
			"##############################", BAR_WIDTH - full, "", done, total);
	}
	fflush(err);
}

void lg_progress_end(struct lg_progress *progress)
{
	if (!progress->drawn)
		return;
	fputs("\r\033[K", progress->output->err);
	fflush(progress->output->err);
	progress->drawn = false;
}
