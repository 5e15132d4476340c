#include "io/random.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static _Atomic uint64_t test_seed; /* 0: the system's source */
static _Atomic uint64_t test_position;

void lg_random_seed_for_tests(uint64_t seed)
{
	atomic_store(&test_position, 0);
	atomic_store(&test_seed, seed);
}

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014) */
static uint64_t mix(uint64_t z)
{
	z *= 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void lg_random_bytes(void *ret_data, size_t len)
{
	uint8_t *data = ret_data;
	uint64_t seed = atomic_load(&test_seed);
	while (seed && len > 0) {
		uint64_t word = mix(mix(seed) + atomic_fetch_add(&test_position, 1));
		size_t n = len < sizeof word ? len : sizeof word;
		memcpy(data, &word, n);
		data += n;
		len -= n;
	}
	while (len > 0) {
		ssize_t n = getrandom(data, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			abort(); /* no caller could go on with guessable keys and ids */
		data += n;
		len -= (size_t)n;
	}
}
