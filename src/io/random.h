/* random.h - bytes nobody can guess (getrandom), replaceable by a seeded source in tests. */
#ifndef LG_IO_RANDOM_H
#define LG_IO_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void lg_random_bytes(void *ret_data, size_t len);
void lg_random_seed_for_tests(uint64_t seed); /* deterministic from here on; 0 returns to the system's source */

#endif
