/* delivered.h - STATE_DIR/adapters/NAME.json: what an adapter delivered last.
 *
 * It is written before the file is installed, with notified false where the service still has to hear of it, and again
 * once it has.  So after a crash at any point an older sequence is known to be older, and the service is told again
 * rather than not at all.
 */
#ifndef LG_HOST_ADAPTER_DELIVERED_H
#define LG_HOST_ADAPTER_DELIVERED_H

#include "base/error.h"
#include "model/record.h"

#include <stdbool.h>
#include <stdint.h>

struct lg_delivered_state {
	bool known; /* false: nothing was delivered yet, or the file tells nothing usable */
	uint64_t revision, sequence;
	uint8_t hash[LG_HASH_SIZE]; /* of the rendered file */
	bool notified;              /* nothing is owed to the service */
};

/* path: of the state file; file: of the adapter's file. A state that belongs to another file has notified false. */
int lg_delivered_read(
	const char *path, const char *file, struct lg_delivered_state *ret_state, struct lg_error *err);
int lg_delivered_write(const char *path, const char *file, int64_t realtime_us,
	const struct lg_delivered_state *state, struct lg_error *err);

#endif
