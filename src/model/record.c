#include "model/record.h"

#include <sodium.h>
#include <string.h>

static const char domain[] = "lastgood record 1\n";

static const char *const kind_names[LG_KIND_COUNT] = {
	[LG_KIND_CHANGE] = "change",
	[LG_KIND_RESTORE] = "restore",
	[LG_KIND_MARK] = "mark",
	[LG_KIND_HOLD] = "hold",
	[LG_KIND_RELEASE] = "release",
	[LG_KIND_DELIVERY] = "delivery",
	[LG_KIND_INCIDENT] = "incident",
	[LG_KIND_ROLLBACK] = "rollback",
	[LG_KIND_TRIM] = "trim",
	[LG_KIND_REFUSAL] = "refusal",
	[LG_KIND_SALVAGE] = "salvage",
};

const char *lg_kind_name(enum lg_kind kind)
{
	return (unsigned)kind < LG_KIND_COUNT ? kind_names[kind] : "unknown";
}

int lg_kind_from_name(const char *name, enum lg_kind *ret_kind, struct lg_error *err)
{
	for (unsigned i = 0; i < LG_KIND_COUNT; i++)
		if (strcmp(kind_names[i], name) == 0) {
			*ret_kind = (enum lg_kind)i;
			return 0;
		}
	return lg_fail(err, LG_EINVALID, 0, "'%.40s' is no kind of record", name);
}

static void put_le(uint8_t *out, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)(value >> (8 * i));
}

/* Length first, so that no byte can move from one field to the next. */
static void hash_text(crypto_generichash_state *state, const char *text)
{
	size_t len = text ? strlen(text) : 0;
	uint8_t prefix[4];
	put_le(prefix, len, sizeof prefix);
	crypto_generichash_update(state, prefix, sizeof prefix);
	if (len)
		crypto_generichash_update(state, (const unsigned char *)text, len);
}

/* Picks the fast code for this processor; should it fail, the portable code works as well. */
static void choose_code(void)
{
	int rc = sodium_init();
	(void)rc;
}

void lg_record_body_hash(const char *body, size_t len, uint8_t ret_hash[LG_HASH_SIZE])
{
	choose_code();
	crypto_generichash(ret_hash, LG_HASH_SIZE, (const unsigned char *)(body ? body : ""), len, NULL, 0);
}

void lg_record_hash(const struct lg_record *record, const uint8_t previous[LG_HASH_SIZE],
	const uint8_t body_hash[LG_HASH_SIZE], uint8_t ret_hash[LG_HASH_SIZE])
{
	crypto_generichash_state state;
	uint8_t number[8];
	uint8_t flag = record->has_root ? 1 : 0;

	choose_code();
	crypto_generichash_init(&state, NULL, 0, LG_HASH_SIZE);
	crypto_generichash_update(&state, (const unsigned char *)domain, sizeof domain - 1);
	crypto_generichash_update(&state, previous, LG_HASH_SIZE);
	put_le(number, record->seq, sizeof number);
	crypto_generichash_update(&state, number, sizeof number);
	crypto_generichash_update(&state, record->id, LG_ID_SIZE);
	put_le(number, (uint64_t)record->time_us, sizeof number);
	crypto_generichash_update(&state, number, sizeof number);
	hash_text(&state, lg_kind_name(record->kind));
	hash_text(&state, record->actor);
	hash_text(&state, record->reason);
	crypto_generichash_update(&state, body_hash, LG_HASH_SIZE);
	crypto_generichash_update(&state, &flag, 1);
	if (flag)
		crypto_generichash_update(&state, record->root, LG_HASH_SIZE);
	crypto_generichash_final(&state, ret_hash, LG_HASH_SIZE);
}

void lg_record_seal(struct lg_record *record, const uint8_t previous[LG_HASH_SIZE])
{
	lg_record_body_hash(record->body, record->body_len, record->body_hash);
	lg_record_hash(record, previous, record->body_hash, record->hash);
}

int lg_record_check_body(const struct lg_record *record, struct lg_error *err)
{
	uint8_t hash[LG_HASH_SIZE];

	if (record->redacted)
		return 0;
	lg_record_body_hash(record->body, record->body_len, hash);
	if (memcmp(hash, record->body_hash, sizeof hash) == 0)
		return 0;
	return lg_fail(err, LG_ECORRUPT, 0, "the body of record %llu is not what its hash says",
		(unsigned long long)record->seq);
}

int lg_record_check(const struct lg_record *record, uint64_t previous_seq, const uint8_t previous[LG_HASH_SIZE],
	struct lg_error *err)
{
	unsigned long long seq = record->seq, wanted = previous_seq + 1;
	uint8_t hash[LG_HASH_SIZE];

	if (seq != wanted)
		return lg_fail(err, LG_ECORRUPT, 0, "record %llu is missing: record %llu stands in its place",
			wanted, seq);
	int rc = lg_record_check_body(record, err);
	if (rc < 0)
		return rc;
	lg_record_hash(record, previous, record->body_hash, hash);
	if (memcmp(hash, record->hash, sizeof hash) != 0)
		return lg_fail(err, LG_ECORRUPT, 0,
			"the chain does not hold at record %llu: it, or the hash of the one before it, was "
			"altered",
			seq);
	return 0;
}
