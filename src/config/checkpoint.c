/* The bytes of a checkpoint, little endian throughout:
 *	"LGCKPT2\n"  seq:u64  hash:32  revision:u64  root:32  count:u64  controls_len:u32  controls (JSON)
 *	count entries in packed subtrees: see model/tree_pack.c
 *	SipHash-2-4-128 of all before, with a zero key: 16 bytes
 * hash is that of the record seq: it says which history leads to this state.  The checksum guards against a failing disk; that
 * the entries follow from the log is proven by the root.  A tree that was read uses the entries where they lie. */
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
	if (lg_tree_pack(tree, LG_PACK_KEYS, buf) < 0)
		return lg_fail_nomem(err);
	uint8_t sum[CHECKSUM_SIZE];
	if (!buf->failed)
		checksum(buf->data, buf->len, sum);
	lg_buf_add(buf, sum, sizeof sum);
	return lg_buf_check(buf, err);
}

/* The block that the checkpoint lies in: its own, or a copy. */
static struct lg_block *block_of(const struct lg_log_checkpoint *checkpoint)
{
	if (checkpoint->block)
		return lg_block_ref(checkpoint->block);
	struct lg_block *block = lg_block_new(checkpoint->len);
	if (block)
		memcpy(block->data, checkpoint->data, checkpoint->len);
	return block;
}

static int decode_tree(const struct lg_log_checkpoint *checkpoint, size_t from, size_t to,
	struct lg_tree **ret_tree, struct lg_error *err)
{
	const uint8_t *data = checkpoint->data;
	lg_cleanup(lg_block_unrefp) struct lg_block *block = block_of(checkpoint);
	if (!block)
		return lg_fail_nomem(err);
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	int rc = lg_tree_unpack(block, from, to - from, get_number(data + AT_COUNT, 8), &tree, err);
	if (rc < 0)
		return rc;
	uint8_t root[LG_HASH_SIZE];
	lg_tree_hash(tree, root);
	if (memcmp(root, data + AT_ROOT, LG_HASH_SIZE) != 0)
		return lg_fail(err, LG_ECORRUPT, 0, "its entries do not hash to its root");
	*ret_tree = lg_steal_ptr(&tree);
	return 0;
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
	rc = decode_tree(checkpoint, HEADER_SIZE + controls_len, (size_t)(end - data), &tree, err);
	if (rc < 0)
		return rc;
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
	return lg_context(
		err, LG_ECORRUPT, "the checkpoint at r%llu is damaged", (unsigned long long)checkpoint->seq);
}
