#include "common.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

double bench_now_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

void bench_die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

void bench_check(int rc, const struct lg_error *err)
{
	if (rc < 0)
		bench_die("%s", err->message);
}

void *bench_alloc(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size);
	if (!memory)
		bench_die("no memory for %zu times %zu bytes", count, size);
	return memory;
}

static int by_number(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;
	return (x > y) - (x < y);
}

void bench_sort(double *values, size_t count)
{
	qsort(values, count, sizeof *values, by_number);
}

double bench_median(double *values, size_t count)
{
	bench_sort(values, count);
	return bench_quantile(values, count, 0.5);
}

double bench_quantile(const double *sorted, size_t count, double share)
{
	if (count == 0)
		return 0;
	size_t at = (size_t)(share * (double)count);
	return sorted[at < count ? at : count - 1];
}

void bench_key(char ret[static BENCH_TEXT_MAX], uint64_t number)
{
	snprintf(ret, BENCH_TEXT_MAX, "service%03" PRIu64 "/limits/setting_%06" PRIu64, number / 1000, number);
}

void bench_value(char ret[static BENCH_TEXT_MAX], uint64_t revision, uint64_t number)
{
	snprintf(ret, BENCH_TEXT_MAX, "value %" PRIu64 " as of revision %" PRIu64, number, revision);
}

void bench_verdict(bool met, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("  target %s: ", met ? "met   " : "MISSED");
	vprintf(format, args);
	putchar('\n');
	fflush(stdout);
	va_end(args);
}
