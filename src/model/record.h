/* record.h - one entry of the log, and the hash that chains it.
 *
 * hash = BLAKE2b-256 over, in this order:
 *	"lastgood record 1\n"  domain and format
 *	previous hash          32 bytes; zeros before seq 1
 *	seq                    8 bytes little endian
 *	id                     16 bytes
 *	time_us                8 bytes little endian (two's complement)
 *	kind, actor, reason    each: length as 4 bytes little endian, bytes
 *	body hash              BLAKE2b-256 of the body's bytes, 32 bytes (so a body can be redacted and the chain still
 *	                       verifies)
 *	state flag             1 byte: 1 when a root follows, else 0
 *	root                   32 bytes, only when the flag is 1
 */
#ifndef LG_MODEL_RECORD_H
#define LG_MODEL_RECORD_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LG_HASH_SIZE 32
#define LG_ID_SIZE   16

enum lg_kind {
	/* state: carry a root */
	LG_KIND_CHANGE,  /* {"set":{…},"unset":[…]} */
	LG_KIND_RESTORE, /* {"to":12,"scope":{…},"rollback":ID} */
	/* control */
	LG_KIND_MARK,     /* {"mark":"good"|"bad"|"none","revision":12,"scope":{…},"root":HEX of the scope} */
	LG_KIND_HOLD,     /* {"scope":{…},"rollback":ID}; the hold's name is h<seq> */
	LG_KIND_RELEASE,  /* {"hold":SEQ} */
	LG_KIND_DELIVERY, /* {"adapter":NAME,"revision":12,"path":…,"hash":HEX,"result":…} */
	LG_KIND_INCIDENT, /* {"incident":…} */
	LG_KIND_ROLLBACK, /* {"rollback":ID,"outcome":…}: how a rollback ended */
	LG_KIND_TRIM, /* {"before":100,"kept":[{"hash":HEX,"seq":12}]}: retention dropped what came before, but for the kept */
	LG_KIND_REFUSAL, /* {"refusals":[…]}: attempts that were refused, gathered */
	LG_KIND_SALVAGE, /* {"lost":[{"first":7,"last":9}]}: what a salvage could not bring over */
	LG_KIND_COUNT
};
const char *lg_kind_name(enum lg_kind kind);
int lg_kind_from_name(const char *name, enum lg_kind *ret_kind, struct lg_error *err);
static inline bool lg_kind_is_state(enum lg_kind kind)
{
	return kind == LG_KIND_CHANGE || kind == LG_KIND_RESTORE;
}

/* A view: whoever hands it out owns what the pointers point to. */
struct lg_record {
	uint64_t seq;
	uint8_t id
		[LG_ID_SIZE]; /* random, chosen by the proposer: finds a record whose append had an unknown outcome */
	int64_t time_us; /* informative; order is seq */
	enum lg_kind kind;
	const char *actor;
	const char *reason;
	const char *body; /* canonical JSON */
	size_t body_len;
	bool has_root;
	uint8_t root[LG_HASH_SIZE];
	uint8_t body_hash[LG_HASH_SIZE]; /* filled by lg_record_seal */
	uint8_t hash[LG_HASH_SIZE];      /* filled by lg_record_seal */
	bool redacted;                   /* the body was taken out (body is ""); body_hash stands for it */
	/* index hints, not hashed: the keys that a change touches, sorted (NULL when read back) */
	const char *const *keys;
	size_t key_count;
};

void lg_record_body_hash(const char *body, size_t len, uint8_t ret_hash[LG_HASH_SIZE]);
/* Sets record->body_hash and record->hash from its fields and the previous hash. actor, reason and body may be NULL for
 * "". */
void lg_record_seal(struct lg_record *record, const uint8_t previous[LG_HASH_SIZE]);
/* The same with the body hash given (body redacted). */
void lg_record_hash(const struct lg_record *record, const uint8_t previous[LG_HASH_SIZE],
	const uint8_t body_hash[LG_HASH_SIZE], uint8_t ret_hash[LG_HASH_SIZE]);

/* Is the body what its hash says (a redacted one always is)?  0, or LG_ECORRUPT with the seq. */
int lg_record_check_body(const struct lg_record *record, struct lg_error *err);

/* Does the record follow a record `previous_seq` with the hash `previous`, and do both its hashes hold?  0, or LG_ECORRUPT
 * with the seq and what is wrong. */
int lg_record_check(const struct lg_record *record, uint64_t previous_seq, const uint8_t previous[LG_HASH_SIZE],
	struct lg_error *err);

#endif
