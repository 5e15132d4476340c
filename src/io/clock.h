/* clock.h - time and waiting as an interface, so that tests can simulate both.
 *
 * Two clocks: realtime (wall clock, may jump; informative only) and boottime (CLOCK_BOOTTIME: never jumps, counts
 * suspend; every duration, window and timer uses it).
 */
#ifndef LG_IO_CLOCK_H
#define LG_IO_CLOCK_H

#include "base/error.h"

#include <stdint.h>

struct lg_clock {
	int64_t (*realtime_us)(const struct lg_clock *clock); /* µs since 1970 UTC */
	int64_t (*boottime_ns)(const struct lg_clock *clock); /* ns since boot */
	/* Returns at once for ns <= 0, and early when a signal handler ran: loops look at the clock again. */
	void (*sleep_ns)(const struct lg_clock *clock, int64_t ns);
};

const struct lg_clock *lg_clock_system(void);

/* A clock that stands still until told.  sleep_ns advances both clocks. Caller owns it; single-threaded. */
struct lg_clock_sim {
	struct lg_clock clock; /* first: pass &sim.clock */
	int64_t realtime_us;
	int64_t boottime_ns;
};
void lg_clock_sim_init(struct lg_clock_sim *sim, int64_t realtime_us, int64_t boottime_ns);
void lg_clock_sim_advance(struct lg_clock_sim *sim, int64_t ns);

/* 36 characters of /proc/sys/kernel/random/boot_id. */
#define LG_BOOT_ID_SIZE 37
int lg_boot_id(char ret_id[static LG_BOOT_ID_SIZE], struct lg_error *err);

#endif
