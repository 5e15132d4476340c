/* random.h - a seeded generator for property tests (xorshift64*, Vigna 2016): the same run every time. */
#ifndef LG_TESTS_MODEL_RANDOM_H
#define LG_TESTS_MODEL_RANDOM_H

#include <stdint.h>

struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *rng)
{
	rng->state ^= rng->state >> 12;
	rng->state ^= rng->state << 25;
	rng->state ^= rng->state >> 27;
	return rng->state * 0x2545f4914f6cdd1dULL;
}

static inline uint32_t rng_below(struct rng *rng, uint32_t bound)
{
	return (uint32_t)(rng_next(rng) >> 33) % bound;
}

#endif
