#include "io/clock.h"

#include "base/cleanup.h"
#include "io/fault.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

static int64_t system_realtime_us(const struct lg_clock *clock)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t system_boottime_ns(const struct lg_clock *clock)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void system_sleep_ns(const struct lg_clock *clock, int64_t ns)
{
	if (ns <= 0)
		return;
	struct timespec request = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
	clock_nanosleep(CLOCK_BOOTTIME, 0, &request, NULL);
}

const struct lg_clock *lg_clock_system(void)
{
	static const struct lg_clock system_clock = {
		.realtime_us = system_realtime_us,
		.boottime_ns = system_boottime_ns,
		.sleep_ns = system_sleep_ns,
	};
	return &system_clock;
}

static int64_t sim_realtime_us(const struct lg_clock *clock)
{
	return ((const struct lg_clock_sim *)clock)->realtime_us;
}

static int64_t sim_boottime_ns(const struct lg_clock *clock)
{
	return ((const struct lg_clock_sim *)clock)->boottime_ns;
}

static void sim_sleep_ns(const struct lg_clock *clock, int64_t ns)
{
	lg_clock_sim_advance((struct lg_clock_sim *)(uintptr_t)clock, ns);
}

void lg_clock_sim_init(struct lg_clock_sim *sim, int64_t realtime_us, int64_t boottime_ns)
{
	*sim = (struct lg_clock_sim){
		.clock = {
			.realtime_us = sim_realtime_us,
			.boottime_ns = sim_boottime_ns,
			.sleep_ns = sim_sleep_ns,
		},
		.realtime_us = realtime_us,
		.boottime_ns = boottime_ns,
	};
}

void lg_clock_sim_advance(struct lg_clock_sim *sim, int64_t ns)
{
	if (ns <= 0)
		return;
	/* whole microseconds are counted on the boot clock, so that many advances below one add up */
	int64_t before_us = sim->boottime_ns / 1000;
	sim->boottime_ns += ns;
	sim->realtime_us += sim->boottime_ns / 1000 - before_us;
}

int lg_boot_id(char ret_id[static LG_BOOT_ID_SIZE], struct lg_error *err)
{
	static const char path[] = "/proc/sys/kernel/random/boot_id";
	char text[LG_BOOT_ID_SIZE];
	int fault = lg_fault_check(LG_FAULT_OPEN, path);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot open '%s'", path);
	lg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return lg_fail(err, LG_EIO, errno, "cannot open '%s'", path);
	fault = lg_fault_check(LG_FAULT_READ, path);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot read '%s'", path);
	ssize_t n = read(fd, text, sizeof text);
	if (n < 0)
		return lg_fail(err, LG_EIO, errno, "cannot read '%s'", path);
	for (size_t i = 0; i < LG_BOOT_ID_SIZE - 1; i++)
		if (i >= (size_t)n || (!isxdigit((unsigned char)text[i]) && text[i] != '-'))
			return lg_fail(err, LG_ECORRUPT, 0, "'%s' does not hold a boot id", path);
	memcpy(ret_id, text, LG_BOOT_ID_SIZE - 1);
	ret_id[LG_BOOT_ID_SIZE - 1] = '\0';
	return 0;
}
