/* Finding and walking, the same whether a subtree is made of nodes or lies packed. */
#include "model/tree_node.h"

struct lg_part lg_part_of(struct lg_node *node, uint64_t floor)
{
	uint32_t count = node && node->kind == LG_NODE_PACK ? lg_as_pack(node)->count : 0;
	return (struct lg_part){ .node = node, .floor = floor, .to = count };
}

bool lg_part_is_whole(const struct lg_part *part)
{
	return part->node->kind != LG_NODE_PACK ||
		(part->from == 0 && part->to == lg_as_pack(part->node)->count);
}

bool lg_part_is_entry(const struct lg_part *part)
{
	if (part->node->kind == LG_NODE_PACK)
		return part->to - part->from == 1;
	return part->node->kind == LG_NODE_LEAF;
}

static struct lg_entry leaf_entry(const struct lg_leaf *leaf, uint64_t floor)
{
	return (struct lg_entry){
		.key = leaf->data,
		.key_len = leaf->key_len,
		.value = lg_leaf_value(leaf),
		.value_len = leaf->value_len,
		.change = leaf->change > floor ? leaf->change : floor,
	};
}

struct lg_entry lg_part_entry(const struct lg_part *part)
{
	if (part->node->kind == LG_NODE_PACK)
		return lg_pack_entry(lg_as_pack(part->node), part->from, part->floor);
	return leaf_entry(lg_as_leaf(part->node), part->floor);
}

struct lg_text lg_part_first_key(const struct lg_part *part)
{
	if (part->node->kind == LG_NODE_PACK)
		return lg_pack_key(lg_as_pack(part->node), part->from);
	return lg_node_first_key(part->node);
}

size_t lg_part_offset(const struct lg_part *part)
{
	if (lg_part_is_whole(part))
		return lg_node_offset(part->node);
	size_t offset = SIZE_MAX;
	for (uint32_t i = part->from + 1; i < part->to; i++) {
		uint32_t differ = lg_pack_differ(lg_as_pack(part->node), i);
		offset = differ < offset ? differ : offset;
	}
	return offset;
}

size_t lg_part_keys(const struct lg_part *part)
{
	return part->node->kind == LG_NODE_PACK ? part->to - part->from : lg_node_keys(part->node);
}

const uint8_t *lg_part_known_hash(const struct lg_part *part)
{
	if (!lg_part_is_whole(part))
		return lg_part_is_entry(part) ? lg_pack_entry_hash(lg_as_pack(part->node), part->from) : NULL;
	bool hashed = atomic_load_explicit(&part->node->hashed, memory_order_acquire);
	return hashed ? lg_node_hash_bytes(part->node) : NULL;
}

/* --- kids ---------------------------------------------------------------------------------------------------------- */

/* Makes kids->kid the one that begins at kids->next. */
static void kid_of_pack(struct lg_kids *kids)
{
	const struct lg_pack *pack = lg_as_pack(kids->above.node);
	uint32_t end = kids->next + 1;
	while (end < kids->above.to && lg_pack_differ(pack, end) != kids->offset)
		end++;
	kids->kid = kids->above;
	kids->kid.from = kids->next;
	kids->kid.to = end;
	struct lg_text key = lg_pack_key(pack, kids->next);
	kids->byte = key.len > kids->offset ? (uint8_t)key.data[kids->offset] : -1;
	kids->next = end;
}

static void kid_of_branch(struct lg_kids *kids)
{
	struct lg_branch *branch = lg_as_branch(kids->above.node);
	uint64_t floor = branch->floor > kids->above.floor ? branch->floor : kids->above.floor;
	uint32_t i = kids->next++;
	kids->kid = lg_part_of(branch->kids[i], floor);
	kids->byte = i == 0 && branch->node.has_end ? -1 : lg_branch_bytes(branch)[i];
}

void lg_kids_next(struct lg_kids *kids)
{
	bool is_pack = kids->above.node->kind == LG_NODE_PACK;
	uint32_t end = is_pack ? kids->above.to : lg_as_branch(kids->above.node)->count;
	if (kids->next >= end) {
		kids->kid = (struct lg_part){ 0 };
		kids->byte = LG_KIDS_END;
	} else if (is_pack) {
		kid_of_pack(kids);
	} else {
		kid_of_branch(kids);
	}
}

struct lg_kids lg_kids_begin(const struct lg_part *above)
{
	struct lg_kids kids = { .above = *above, .offset = lg_part_offset(above), .next = above->from };
	lg_kids_next(&kids);
	return kids;
}

/* --- finding -------------------------------------------------------------------------------------------------------- */

static struct lg_part entry_in_pack(struct lg_node *node, const char *key, size_t len, uint64_t floor)
{
	const struct lg_pack *pack = lg_as_pack(node);
	uint32_t i = lg_pack_search(pack, key, len);
	struct lg_text found = lg_pack_key(pack, i);
	if (found.len != len || memcmp(found.data, key, len) != 0)
		return (struct lg_part){ 0 };
	return (struct lg_part){ node, floor, i, i + 1 };
}

struct lg_part lg_part_find(struct lg_node *root, const char *key, size_t len)
{
	const struct lg_part none = { 0 };
	struct lg_node *node = root;
	uint64_t floor = 0;
	while (node && node->kind == LG_NODE_BRANCH) {
		struct lg_branch *branch = lg_as_branch(node);
		int64_t i = lg_branch_step(branch, key, len);
		if (i < 0)
			return none;
		floor = branch->floor > floor ? branch->floor : floor;
		node = branch->kids[i];
	}
	if (!node)
		return none;
	if (node->kind == LG_NODE_PACK)
		return entry_in_pack(node, key, len, floor);
	const struct lg_leaf *leaf = lg_as_leaf(node);
	if (leaf->key_len != len || memcmp(leaf->data, key, len) != 0)
		return none;
	return lg_part_of(node, floor);
}

static bool begins_with(struct lg_text key, const char *prefix, size_t len)
{
	return key.len >= len && memcmp(key.data, prefix, len) == 0;
}

/* Around the entry nearest to prefix, all that share it. */
static struct lg_part prefix_in_pack(struct lg_node *node, const char *prefix, size_t len, uint64_t floor)
{
	const struct lg_pack *pack = lg_as_pack(node);
	uint32_t from = lg_pack_search(pack, prefix, len);
	if (!begins_with(lg_pack_key(pack, from), prefix, len))
		return (struct lg_part){ 0 };
	uint32_t to = from + 1;
	while (from > 0 && lg_pack_differ(pack, from) >= len)
		from--;
	while (to < pack->count && lg_pack_differ(pack, to) >= len)
		to++;
	return (struct lg_part){ node, floor, from, to };
}

struct lg_part lg_part_find_prefix(struct lg_node *root, const char *prefix, size_t len)
{
	const struct lg_part none = { 0 };
	struct lg_node *node = root;
	uint64_t floor = 0;
	while (node && node->kind == LG_NODE_BRANCH && lg_as_branch(node)->offset < len) {
		struct lg_branch *branch = lg_as_branch(node);
		int64_t i = lg_branch_find(branch, (uint8_t)prefix[branch->offset]);
		if (i < 0)
			return none;
		floor = branch->floor > floor ? branch->floor : floor;
		node = branch->kids[i];
	}
	if (!node)
		return none;
	if (node->kind == LG_NODE_PACK)
		return prefix_in_pack(node, prefix, len, floor);
	return begins_with(lg_node_first_key(node), prefix, len) ? lg_part_of(node, floor) : none;
}

/* --- walking -------------------------------------------------------------------------------------------------------- */

int lg_part_walk(const struct lg_part *part, int (*visit)(void *arg, const struct lg_entry *entry), void *arg)
{
	if (!part->node)
		return 0;
	if (part->node->kind == LG_NODE_LEAF) {
		struct lg_entry entry = leaf_entry(lg_as_leaf(part->node), part->floor);
		return visit(arg, &entry);
	}
	int rc = 0;
	if (part->node->kind == LG_NODE_PACK) {
		for (uint32_t i = part->from; rc == 0 && i < part->to; i++) {
			struct lg_entry entry = lg_pack_entry(lg_as_pack(part->node), i, part->floor);
			rc = visit(arg, &entry);
		}
		return rc;
	}
	struct lg_branch *branch = lg_as_branch(part->node);
	uint64_t floor = branch->floor > part->floor ? branch->floor : part->floor;
	for (uint32_t i = 0; rc == 0 && i < branch->count; i++) {
		struct lg_part kid = lg_part_of(branch->kids[i], floor);
		rc = lg_part_walk(&kid, visit, arg);
	}
	return rc;
}
