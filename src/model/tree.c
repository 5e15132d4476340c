#include "model/tree_node.h"

bool lg_tree_get(const struct lg_tree *tree, const char *key, size_t len, struct lg_entry *ret_entry)
{
	const struct lg_part part = lg_part_find(tree->root, key, len);
	if (!part.node)
		return false;
	if (ret_entry)
		*ret_entry = lg_part_entry(&part);
	return true;
}

size_t lg_tree_count(const struct lg_tree *tree)
{
	return tree->root ? lg_node_keys(tree->root) : 0;
}

size_t lg_tree_count_prefix(const struct lg_tree *tree, const char *prefix, size_t len)
{
	const struct lg_part part = lg_part_find_prefix(tree->root, prefix, len);
	return part.node ? lg_part_keys(&part) : 0;
}

uint64_t lg_tree_newest(const struct lg_tree *tree, const char *selector, size_t len)
{
	bool is_prefix = len == 0 || selector[len - 1] == '/';
	const struct lg_part part = is_prefix ? lg_part_find_prefix(tree->root, selector, len)
					      : lg_part_find(tree->root, selector, len);
	uint64_t newest = part.node ? part.floor : 0;
	if (part.node && part.node->kind != LG_NODE_PACK)
		return lg_node_newest(part.node) > newest ? lg_node_newest(part.node) : newest;
	for (uint32_t i = part.from; i < part.to; i++) {
		uint64_t change = lg_pack_entry(lg_as_pack(part.node), i, part.floor).change;
		newest = change > newest ? change : newest;
	}
	return newest;
}

int lg_tree_walk(const struct lg_tree *tree, const char *prefix, size_t len,
	int (*visit)(void *arg, const struct lg_entry *entry), void *arg)
{
	const struct lg_part part = lg_part_find_prefix(tree->root, prefix, len);
	return part.node ? lg_part_walk(&part, visit, arg) : 0;
}
