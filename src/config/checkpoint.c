/* The bytes of a checkpoint, little endian throughout:
 *	"LGCKPT2\n"  seq:u64  hash:32  revision:u64  root:32  count:u64  controls_len:u32  controls (JSON)
 *	count entries in key order: key_len:u16  value_len:u32  change:u64  hash:32  key  value
 *	SipHash-2-4-128 of all before, with a zero key: 16 bytes
 * hash is that of the record seq: it says which history leads to this state.  The checksum guards against a failing disk; that the entries follow from the log is proven by the root. */
#include "config/internal.h"

#include "base/cleanup.h"

#include <sodium.h>
#include <string.h>

#define MAGIC         "LGCKPT2\n"
#define MAGIC_SIZE    8
#define AT_SEQ        MAGIC_SIZE
#define AT_HASH       (AT_SEQ + 8)
#define AT_REVISION   (AT_HASH + LG_HASH_SIZE)
#define AT_ROOT       (AT_REVISION + 8)
#define AT_COUNT      (AT_ROOT + LG_HASH_SIZE)
#define AT_CONTROLS   (AT_COUNT + 8)
#define HEADER_SIZE   (AT_CONTROLS + 4)
#define ENTRY_SIZE    (2 + 4 + 8 + LG_HASH_SIZE)
#define CHECKSUM_SIZE crypto_shorthash_siphashx24_BYTES

static void checksum(const void *data, size_t len, uint8_t ret_sum[CHECKSUM_SIZE])
{
	static const uint8_t key[crypto_shorthash_siphashx24_KEYBYTES];
	crypto_shorthash_siphashx24(ret_sum, data, len, key);
}

static void put_number(uint8_t *to, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_number(const uint8_t *from, size_t bytes)
{
	uint64_t value = 0;
	for (size_t i = 0; i < bytes; i++)
		value |= (uint64_t)from[i] << (8 * i);
	return value;
}

struct encoder {
	const struct lg_tree *tree;
	struct lg_buf *buf;
};

static int encode_entry(void *arg, const struct lg_entry *entry)
{
	struct encoder *encoder = arg;
	uint8_t head[ENTRY_SIZE];
	put_number(head, entry->key_len, 2);
	put_number(head + 2, entry->value_len, 4);
	put_number(head + 6, entry->change, 8);
	lg_tree_entry_hash(encoder->tree, entry, head + 14);
	lg_buf_add(encoder->buf, head, sizeof head);
	lg_buf_add(encoder->buf, entry->key, entry->key_len);
	return lg_buf_add(encoder->buf, entry->value, entry->value_len);
}

int lg_checkpoint_encode(const struct lg_log_head *at, uint64_t revision, const struct lg_tree *tree,
	const struct lg_controls *controls, struct lg_buf *buf, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	int rc = lg_controls_to_json(controls, &json, err);
	if (rc < 0)
		return rc;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	rc = lg_json_canonical(json, &text, err);
	if (rc < 0)
		return rc;
	uint8_t head[HEADER_SIZE];
	memcpy(head, MAGIC, MAGIC_SIZE);
	put_number(head + AT_SEQ, at->seq, 8);
	memcpy(head + AT_HASH, at->hash, LG_HASH_SIZE);
	put_number(head + AT_REVISION, revision, 8);
	lg_tree_hash(tree, head + AT_ROOT);
	put_number(head + AT_COUNT, lg_tree_count(tree), 8);
	put_number(head + AT_CONTROLS, text.len, 4);
	lg_buf_add(buf, head, sizeof head);
	lg_buf_add(buf, text.data, text.len);
	struct encoder encoder = { tree, buf };
	lg_tree_walk(tree, "", 0, encode_entry, &encoder);
	uint8_t sum[CHECKSUM_SIZE];
	if (!buf->failed)
		checksum(buf->data, buf->len, sum);
	lg_buf_add(buf, sum, sizeof sum);
	return lg_buf_check(buf, err);
}

static int decode_entries(
	const uint8_t *at, const uint8_t *end, uint64_t count, struct lg_tree **ret_tree, struct lg_error *err)
{
	struct lg_tree_builder *builder = lg_tree_builder_new();
	if (!builder)
		return lg_fail_nomem(err);
	int rc = 0;
	for (uint64_t i = 0; rc == 0 && i < count; i++) {
		struct lg_entry entry;
		if (end - at < ENTRY_SIZE) {
			rc = lg_fail(err, LG_ECORRUPT, 0, "it ends in entry %llu", (unsigned long long)i);
			break;
		}
		const uint8_t *hash = at + 14;
		entry.key_len = get_number(at, 2);
		entry.value_len = get_number(at + 2, 4);
		entry.change = get_number(at + 6, 8);
		at += ENTRY_SIZE;
		if (entry.key_len > LG_KEY_MAX) { /* what walks a tree relies on it */
			rc = lg_fail(err, LG_ECORRUPT, 0, "a key has %zu bytes", entry.key_len);
			break;
		}
		if ((size_t)(end - at) < entry.key_len + entry.value_len) {
			rc = lg_fail(err, LG_ECORRUPT, 0, "it ends in entry %llu", (unsigned long long)i);
			break;
		}
		entry.key = (const char *)at;
		entry.value = (const char *)at + entry.key_len;
		rc = lg_tree_builder_add(builder, &entry, hash, err);
		at += entry.key_len + entry.value_len;
	}
	if (rc == 0 && at != end)
		rc = lg_fail(err, LG_ECORRUPT, 0, "there is more behind the last entry");
	if (rc < 0) {
		lg_tree_builder_free(builder);
		return rc;
	}
	*ret_tree = lg_tree_builder_finish(builder, err);
	return *ret_tree ? 0 : LG_ENOMEM;
}

int lg_checkpoint_identify(const void *data, size_t len, uint64_t *ret_seq, uint8_t ret_hash[LG_HASH_SIZE])
{
	const uint8_t *bytes = data;
	uint8_t sum[CHECKSUM_SIZE];
	if (len < HEADER_SIZE + CHECKSUM_SIZE || memcmp(bytes, MAGIC, MAGIC_SIZE) != 0)
		return LG_ECORRUPT;
	checksum(bytes, len - CHECKSUM_SIZE, sum);
	if (memcmp(sum, bytes + len - CHECKSUM_SIZE, CHECKSUM_SIZE) != 0)
		return LG_ECORRUPT;
	*ret_seq = get_number(bytes + AT_SEQ, 8);
	memcpy(ret_hash, bytes + AT_HASH, LG_HASH_SIZE);
	return 0;
}

static int decode(const struct lg_log_checkpoint *checkpoint, uint64_t *ret_revision, struct lg_tree **ret_tree,
	struct lg_controls *ret_controls, struct lg_error *err)
{
	const uint8_t *data = checkpoint->data;
	const size_t len = checkpoint->len;
	if (len < HEADER_SIZE + CHECKSUM_SIZE || memcmp(data, MAGIC, MAGIC_SIZE) != 0)
		return lg_fail(err, LG_ECORRUPT, 0, "it does not begin like one");
	uint8_t sum[CHECKSUM_SIZE];
	checksum(data, len - CHECKSUM_SIZE, sum);
	const uint8_t *end = data + len - CHECKSUM_SIZE;
	if (memcmp(sum, end, CHECKSUM_SIZE) != 0)
		return lg_fail(err, LG_ECORRUPT, 0, "its checksum does not hold");
	uint64_t controls_len = get_number(data + AT_CONTROLS, 4);
	uint64_t revision = get_number(data + AT_REVISION, 8);
	if (memcmp(data + AT_HASH, checkpoint->hash, LG_HASH_SIZE) != 0)
		return lg_fail(err, LG_ECORRUPT, 0, "it is of another history");
	if (get_number(data + AT_SEQ, 8) != checkpoint->seq || revision > checkpoint->seq ||
		controls_len > (size_t)(end - data) - HEADER_SIZE)
		return lg_fail(err, LG_ECORRUPT, 0, "its header does not fit");
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	const char *text = (const char *)data + HEADER_SIZE;
	int rc = lg_json_parse(text, controls_len, controls_len, &json, err);
	if (rc < 0)
		return rc;
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	rc = decode_entries(data + HEADER_SIZE + controls_len, end, get_number(data + AT_COUNT, 8), &tree, err);
	if (rc < 0)
		return rc;
	uint8_t root[LG_HASH_SIZE];
	lg_tree_hash(tree, root);
	if (memcmp(root, data + AT_ROOT, LG_HASH_SIZE) != 0)
		return lg_fail(err, LG_ECORRUPT, 0, "its entries do not hash to its root");
	rc = lg_controls_from_json(json, ret_controls, err);
	if (rc < 0)
		return rc;
	*ret_revision = revision;
	*ret_tree = lg_steal_ptr(&tree);
	return 0;
}

int lg_checkpoint_decode(const struct lg_log_checkpoint *checkpoint, uint64_t *ret_revision,
	struct lg_tree **ret_tree, struct lg_controls *ret_controls, struct lg_error *err)
{
	int rc = decode(checkpoint, ret_revision, ret_tree, ret_controls, err);
	if (rc == 0 || rc == LG_ENOMEM)
		return rc;
	return lg_context(err, LG_ECORRUPT,
		"the checkpoint at r%llu is damaged; look with: lastgood recover verify",
		(unsigned long long)checkpoint->seq);
}
