/* common.h - what the bench programs in C share: the clock, medians, and ending with a message. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

double bench_now_us(void); /* CLOCK_MONOTONIC: the same in every process */

/* Ends the program with the message when rc is negative. */
void bench_check(int rc, const struct lg_error *err);
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *bench_alloc(size_t count, size_t size); /* zeroed */

void bench_sort(double *values, size_t count);
double bench_median(double *values, size_t count); /* sorts */
/* share 0…1 of sorted values; 0 of none */
double bench_quantile(const double *sorted, size_t count, double share);

/* The settings of benches that fill stores, the same in common.py. */
#define BENCH_TEXT_MAX 64
void bench_key(char ret[static BENCH_TEXT_MAX], uint64_t number);
void bench_value(char ret[static BENCH_TEXT_MAX], uint64_t revision, uint64_t number); /* text, not JSON */

/* "  target met   : …", in the form that scripts/bench counts. */
void bench_verdict(bool met, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
