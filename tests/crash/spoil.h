/* spoil.h - damage of the kinds that disks, copies and people do to a store, drawn from a seed. */
#ifndef LG_TESTS_SPOIL_H
#define LG_TESTS_SPOIL_H

#include <stddef.h>
#include <stdint.h>

struct spoil_file {
	uint8_t *data;
	size_t len;
};
/* The files that are spoilt, in memory. */
struct spoil_store {
	struct spoil_file db, wal;
	struct spoil_file foreign; /* the database of another store, to take pages from */
	struct spoil_file *checkpoints;
	size_t checkpoint_count;
};

#define SPOIL_PAGE 4096

struct spoil_kind {
	const char *name;
	void (*spoil)(struct spoil_store *store, uint64_t *random);
};
extern const struct spoil_kind spoil_kinds[];
extern const size_t spoil_kind_count;

uint64_t spoil_random(uint64_t *random);

#endif
