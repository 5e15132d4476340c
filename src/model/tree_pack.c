/* Packed subtrees.  A stored state is a row of them, in key order:
 *
 *	size:u32  count:u16  0:u16  hash:32         of the pack, its entries, the subtree
 *	count times  at:u32  differ:u16  byte:u8  0:u8
 *	count times  change:u64  value_len:u32  key_len:u16  hash:32  key NUL value NUL
 *
 * little endian; `at` counts from the beginning of the pack.  `differ` is the first offset in which the key differs from the one
 * before it, and `byte` what it has there (both 0 for the first).  They are the subtree's branches, written in a row: the
 * entries of a branch are a run whose lowest `differ` is the branch's offset.  So a key is searched without looking at other
 * keys: the row is a few cache lines, and one key is compared at the end.  Each row is checked whole when it is read, so
 * that nothing behind that can fail but memory. */
#include "model/tree_node.h"

#include <inttypes.h>
#include <stdlib.h>

/* More would make the first change in it dearer, and keep more memory alive. */
#define PACK_BYTES ((size_t)32 * 1024)

/* --- search --------------------------------------------------------------------------------------------------------- */

/* An entry whose key goes on as `key` does, or with a lower byte, is a better guess, and opens what lies below it; one with
 * a higher byte closes its branch and all below.  What is guessed right stays; what is guessed wrong, because the keys
 * differ already further in front, is corrected by the next entry of that branch. */
uint32_t lg_pack_search(const struct lg_pack *pack, const char *key, size_t len)
{
	const uint8_t *index = lg_pack_index(pack, 0);
	uint32_t best = 0;
	uint32_t closed = UINT32_MAX;
	for (uint32_t i = 1; i < pack->count; i++) {
		const uint8_t *at = index + (size_t)i * LG_PACK_INDEX;
		uint32_t differ = lg_get_u16(at + 4);
		if (differ >= closed)
			continue;
		bool goes_on = differ < len && (uint8_t)key[differ] >= at[6];
		best = goes_on ? i : best;
		closed = goes_on ? UINT32_MAX : differ;
	}
	return best;
}

/* --- parts as nodes ------------------------------------------------------------------------------------------------- */

static uint32_t end_of(const struct lg_pack *pack, uint32_t i)
{
	const struct lg_entry entry = lg_pack_entry(pack, i, 0);
	return (uint32_t)((const uint8_t *)entry.value + entry.value_len + 1 - pack->data);
}

struct lg_node *lg_pack_sub(const struct lg_pack *pack, uint32_t from, uint32_t to, uint64_t floor)
{
	struct lg_pack like = { .count = to - from,
		.from = pack->from + from,
		.offset = UINT32_MAX,
		.floor = floor,
		.data = pack->data,
		.region = pack->region };
	like.size = end_of(&like, like.count - 1) - (uint32_t)(lg_pack_at(&like, 0) - like.data);
	for (uint32_t i = 0; i < like.count; i++) {
		uint64_t change = lg_get_u64(lg_pack_at(&like, i));
		like.newest = change > like.newest ? change : like.newest;
		if (i && lg_pack_differ(&like, i) < like.offset)
			like.offset = lg_pack_differ(&like, i);
	}
	if (like.count == 1) {
		memcpy(like.hash, lg_pack_entry_hash(&like, 0), LG_HASH_SIZE);
		atomic_init(&like.node.hashed, true);
	}
	struct lg_pack *sub = lg_pack_new(&like);
	return sub ? &sub->node : NULL;
}

#define MOST_KIDS 257 /* one a byte, and the end */

/* false: memory is gone, and none is made. */
static bool make_kids(struct lg_pack *pack, struct lg_node *ret_kids[MOST_KIDS], uint8_t bytes[MOST_KIDS],
	uint32_t *ret_count, bool *ret_has_end)
{
	const struct lg_part all = lg_part_of(&pack->node, 0);
	uint32_t count = 0;
	for (struct lg_kids kids = lg_kids_begin(&all); kids.kid.node; lg_kids_next(&kids)) {
		ret_kids[count] = lg_pack_sub(pack, kids.kid.from, kids.kid.to, 0);
		if (!ret_kids[count]) {
			while (count)
				lg_node_unref(ret_kids[--count]);
			return false;
		}
		if (kids.byte < 0)
			*ret_has_end = true;
		bytes[count++] = kids.byte < 0 ? 0 : (uint8_t)kids.byte;
	}
	*ret_count = count;
	return true;
}

int lg_pack_open(struct lg_pack *pack, struct lg_node **ret_node)
{
	struct lg_node *kids[MOST_KIDS];
	uint8_t bytes[MOST_KIDS];
	uint32_t count;
	bool has_end = false;
	if (!make_kids(pack, kids, bytes, &count, &has_end))
		return LG_ENOMEM;
	struct lg_branch *branch = lg_branch_alloc(NULL, count);
	if (!branch) {
		while (count)
			lg_node_unref(kids[--count]);
		return LG_ENOMEM;
	}
	branch->node.has_end = has_end;
	branch->offset = pack->offset;
	branch->floor = pack->floor;
	memcpy(branch->kids, kids, count * sizeof(struct lg_node *));
	memcpy(lg_branch_bytes(branch), bytes, count);
	lg_branch_refresh(branch);
	if (lg_pack_is_whole(pack)) {
		lg_node_hash(&branch->node);
		if (memcmp(branch->hash, pack->hash, LG_HASH_SIZE) != 0) {
			lg_node_unref(&branch->node);
			return LG_ECORRUPT;
		}
	}
	*ret_node = &branch->node;
	return 0;
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

struct reader {
	const uint8_t *at, *end;
	struct lg_region *region;
	struct lg_tree_builder *builder;
	uint64_t keys;
};

static int fail(struct lg_error *err, const char *what)
{
	return lg_fail(err, LG_ECORRUPT, 0, "its entries are not what was written: %s", what);
}

/* One entry of a pack that has `size` bytes; it must stand at *at, which moves behind it. */
static int check_entry(const uint8_t *pack, uint32_t size, uint32_t i, uint32_t *at, struct lg_text *ret_key,
	struct lg_error *err)
{
	const uint8_t *index = pack + LG_PACK_HEAD + (size_t)i * LG_PACK_INDEX;
	if (lg_get_u32(index) != *at || size - *at < LG_PACK_ENTRY)
		return fail(err, "an entry stands elsewhere");
	const uint8_t *entry = pack + *at;
	uint64_t value_len = lg_get_u32(entry + 8);
	uint32_t key_len = lg_get_u16(entry + 12);
	if (key_len > LG_KEY_MAX) /* what walks a tree relies on it */
		return lg_fail(err, LG_ECORRUPT, 0, "a key has %" PRIu32 " bytes", key_len);
	uint64_t behind = *at + (uint64_t)LG_PACK_ENTRY + key_len + 1 + value_len + 1;
	if (behind > size)
		return fail(err, "an entry is cut off");
	if (entry[LG_PACK_ENTRY + key_len] != '\0' || pack[behind - 1] != '\0')
		return fail(err, "a text does not end");
	*ret_key = (struct lg_text){ (const char *)entry + LG_PACK_ENTRY, key_len };
	*at = (uint32_t)behind;
	return 0;
}

static int check_order(const uint8_t *index, struct lg_text before, struct lg_text key, struct lg_error *err)
{
	size_t differ = lg_key_differ(before.data, before.len, key.data, key.len, SIZE_MAX);
	bool ascending = differ < key.len &&
		(differ == before.len || (uint8_t)before.data[differ] < (uint8_t)key.data[differ]);
	if (!ascending)
		return lg_fail(err, LG_ECORRUPT, 0, "keys are not in ascending order");
	if (lg_get_u16(index + 4) != differ || index[6] != (uint8_t)key.data[differ])
		return fail(err, "a row of branches does not fit its keys");
	return 0;
}

/* Sets offset and newest. */
static int check_entries(struct lg_pack *pack, uint32_t size, struct lg_text *ret_first,
	struct lg_text *ret_last, struct lg_error *err)
{
	uint32_t at = LG_PACK_HEAD + pack->count * LG_PACK_INDEX;
	uint32_t offset = UINT32_MAX;
	struct lg_text key, before = { 0 };
	for (uint32_t i = 0; i < pack->count; i++) {
		const uint8_t *index = lg_pack_index(pack, i);
		const uint8_t *entry = pack->data + at;
		int rc = check_entry(pack->data, size, i, &at, &key, err);
		if (rc < 0)
			return rc;
		pack->newest = lg_get_u64(entry) > pack->newest ? lg_get_u64(entry) : pack->newest;
		if (i == 0)
			*ret_first = key;
		else if ((rc = check_order(index, before, key, err)) < 0)
			return rc;
		else if (lg_get_u16(index + 4) < offset)
			offset = lg_get_u16(index + 4);
		before = key;
	}
	*ret_last = before;
	pack->offset = offset;
	return at == size ? 0 : fail(err, "there is more behind the last entry");
}

static int read_pack(struct reader *reader, struct lg_error *err)
{
	size_t left = (size_t)(reader->end - reader->at);
	uint32_t size = left >= LG_PACK_HEAD ? lg_get_u32(reader->at) : 0;
	uint32_t count = size ? lg_get_u16(reader->at + 4) : 0;
	if (size > left || count == 0 || size < LG_PACK_HEAD + count * LG_PACK_INDEX)
		return fail(err, "they end too early");
	struct lg_text first = { 0 }, last = { 0 };
	struct lg_pack like = { .count = count, .size = size, .data = reader->at, .region = reader->region };
	memcpy(like.hash, reader->at + 8, LG_HASH_SIZE);
	atomic_init(&like.node.hashed, true);
	int rc = check_entries(&like, size, &first, &last, err);
	if (rc < 0)
		return rc;
	struct lg_pack *pack = lg_pack_new(&like);
	if (!pack)
		return lg_fail_nomem(err);
	rc = lg_tree_builder_add_node(reader->builder, &pack->node, first, last, err);
	if (rc < 0) {
		lg_node_unref(&pack->node);
		return rc;
	}
	reader->at += size;
	reader->keys += count;
	return 0;
}

int lg_tree_unpack(struct lg_block *block, size_t at, size_t len, uint64_t count, struct lg_tree **ret_tree,
	struct lg_error *err)
{
	const uint8_t *from = (const uint8_t *)block->data + at;
	struct reader reader = { .at = from, .end = from + len };
	reader.region = lg_region_new(block);
	reader.builder = lg_tree_builder_new();
	int rc = reader.region && reader.builder ? 0 : lg_fail_nomem(err);
	while (rc == 0 && reader.at < reader.end)
		rc = read_pack(&reader, err);
	if (rc == 0 && reader.keys != count)
		rc = lg_fail(err, LG_ECORRUPT, 0, "it has %" PRIu64 " entries instead of %" PRIu64, reader.keys,
			count);
	struct lg_tree *tree = NULL;
	if (rc == 0)
		tree = lg_tree_builder_finish(reader.builder, err);
	else
		lg_tree_builder_free(reader.builder);
	lg_region_unref(reader.region);
	if (!tree)
		return rc < 0 ? rc : LG_ENOMEM;
	*ret_tree = tree;
	return 0;
}

/* --- writing -------------------------------------------------------------------------------------------------------- */

struct item {
	struct lg_entry entry;
	const uint8_t *hash;
};

struct writer {
	struct lg_buf *buf;
	size_t max;
	struct item *items; /* of the pack being gathered */
	size_t count;
};

static void put_number(uint8_t *to, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

static void gather_items(struct writer *writer, const struct lg_part *part)
{
	if (part->node->kind == LG_NODE_BRANCH) {
		for (struct lg_kids kids = lg_kids_begin(part); kids.kid.node; lg_kids_next(&kids))
			gather_items(writer, &kids.kid);
		return;
	}
	struct lg_part entry = *part;
	if (part->node->kind == LG_NODE_LEAF) {
		writer->items[writer->count++] =
			(struct item){ lg_part_entry(part), lg_as_leaf(part->node)->hash };
		return;
	}
	for (uint32_t i = part->from; i < part->to; i++) {
		entry.from = i;
		entry.to = i + 1;
		writer->items[writer->count++] =
			(struct item){ lg_part_entry(&entry), lg_part_known_hash(&entry) };
	}
}

static void write_index(struct writer *writer, size_t at)
{
	for (size_t i = 0; i < writer->count; i++) {
		const struct lg_entry *entry = &writer->items[i].entry;
		uint8_t row[LG_PACK_INDEX] = { 0 };
		put_number(row, at, 4);
		if (i) {
			const struct lg_entry *before = &writer->items[i - 1].entry;
			size_t differ = lg_key_differ(
				before->key, before->key_len, entry->key, entry->key_len, SIZE_MAX);
			put_number(row + 4, differ, 2);
			row[6] = (uint8_t)entry->key[differ];
		}
		lg_buf_add(writer->buf, row, sizeof row);
		at += LG_PACK_ENTRY + entry->key_len + entry->value_len + 2;
	}
}

static void write_entry(struct writer *writer, const struct item *item)
{
	uint8_t head[LG_PACK_ENTRY];
	put_number(head, item->entry.change, 8);
	put_number(head + 8, item->entry.value_len, 4);
	put_number(head + 12, item->entry.key_len, 2);
	memcpy(head + 14, item->hash, LG_HASH_SIZE);
	lg_buf_add(writer->buf, head, sizeof head);
	lg_buf_add(writer->buf, item->entry.key, item->entry.key_len + 1);
	lg_buf_add(writer->buf, item->entry.value, item->entry.value_len + 1);
}

static int write_pack(struct writer *writer, const struct lg_part *part)
{
	writer->count = 0;
	gather_items(writer, part);
	size_t size = LG_PACK_HEAD + writer->count * LG_PACK_INDEX;
	const size_t entries = size;
	for (size_t i = 0; i < writer->count; i++)
		size += LG_PACK_ENTRY + writer->items[i].entry.key_len + writer->items[i].entry.value_len + 2;
	uint8_t head[LG_PACK_HEAD] = { 0 };
	put_number(head, size, 4);
	put_number(head + 4, writer->count, 2);
	lg_part_hash(part, head + 8);
	lg_buf_add(writer->buf, head, sizeof head);
	write_index(writer, entries);
	for (size_t i = 0; i < writer->count; i++)
		write_entry(writer, &writer->items[i]);
	return writer->buf->failed ? LG_ENOMEM : 0;
}

/* One that has not been touched since it was read goes back as it is, but for the floors above it. */
static int copy_pack(struct writer *writer, const struct lg_part *part)
{
	const struct lg_pack *pack = lg_as_pack(part->node);
	size_t at = writer->buf->len;
	if (lg_buf_add(writer->buf, pack->data, lg_get_u32(pack->data)) < 0)
		return LG_ENOMEM;
	uint64_t floor = pack->floor > part->floor ? pack->floor : part->floor;
	for (uint32_t i = 0; floor && i < pack->count; i++) {
		uint8_t *entry = (uint8_t *)writer->buf->data + at + (lg_pack_at(pack, i) - pack->data);
		if (lg_get_u64(entry) < floor)
			put_number(entry, floor, 8);
	}
	return 0;
}

static int write_part(struct writer *writer, const struct lg_part *part)
{
	bool is_pack = part->node->kind == LG_NODE_PACK;
	if (is_pack && lg_part_is_whole(part) && lg_pack_is_whole(lg_as_pack(part->node)))
		return copy_pack(writer, part);
	bool is_small = is_pack || lg_node_bytes(part->node) <= PACK_BYTES;
	if (lg_part_is_entry(part) || (is_small && lg_part_keys(part) <= writer->max))
		return write_pack(writer, part);
	int rc = 0;
	for (struct lg_kids kids = lg_kids_begin(part); rc == 0 && kids.kid.node; lg_kids_next(&kids))
		rc = write_part(writer, &kids.kid);
	return rc;
}

int lg_tree_pack(const struct lg_tree *tree, size_t max, struct lg_buf *buf)
{
	if (!tree->root)
		return 0;
	lg_node_hash(tree->root);
	struct writer writer = { .buf = buf, .max = max };
	writer.items = calloc(max, sizeof *writer.items);
	const struct lg_part all = lg_part_of(tree->root, 0);
	int rc = writer.items ? write_part(&writer, &all) : LG_ENOMEM;
	free(writer.items);
	return rc;
}
