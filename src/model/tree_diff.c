#include "model/tree_node.h"

/* Walks two tries together.  Both sides of a call hold keys that belong between the same neighbours, so what is visited
 * first is what sorts first.  Equal nodes, and nodes whose hashes are known and equal, are passed over whole. */
struct differ {
	const struct lg_scope *scope;
	int (*visit)(void *arg, const struct lg_entry *before, const struct lg_entry *after);
	void *arg;
};

/* A node with the highest floor above it; node NULL: nothing on this side. */
struct side {
	struct lg_node *node;
	uint64_t floor;
};

static struct lg_entry entry_of(const struct lg_leaf *leaf, uint64_t floor)
{
	return (struct lg_entry){ leaf->data, leaf->key_len, lg_leaf_value(leaf), leaf->value_len,
		leaf->change > floor ? leaf->change : floor };
}

static int emit(const struct differ *differ, struct side before, struct side after)
{
	const struct lg_leaf *any = lg_as_leaf(before.node ? before.node : after.node);
	if (differ->scope && !lg_scope_covers(differ->scope, any->data, any->key_len))
		return 0;
	struct lg_entry from, to;
	if (before.node)
		from = entry_of(lg_as_leaf(before.node), before.floor);
	if (after.node)
		to = entry_of(lg_as_leaf(after.node), after.floor);
	return differ->visit(differ->arg, before.node ? &from : NULL, after.node ? &to : NULL);
}

static struct side kid_of(struct side side, int64_t i)
{
	struct lg_branch *branch = lg_as_branch(side.node);
	if (i < 0 || i >= branch->count)
		return (struct side){ 0 };
	return (struct side){ branch->kids[i], branch->floor > side.floor ? branch->floor : side.floor };
}

/* Everything below one side alone. */
static int emit_all(const struct differ *differ, struct side side, bool is_before)
{
	if (!side.node)
		return 0;
	if (side.node->is_leaf)
		return is_before ? emit(differ, side, (struct side){ 0 })
				 : emit(differ, (struct side){ 0 }, side);
	for (uint32_t i = 0; i < lg_as_branch(side.node)->count; i++) {
		int rc = emit_all(differ, kid_of(side, i), is_before);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int walk(const struct differ *differ, struct side before, struct side after);

/* Two branches at one offset: kids pair up by byte. */
static int walk_kids(const struct differ *differ, struct side before, struct side after)
{
	struct lg_branch *a = lg_as_branch(before.node);
	struct lg_branch *b = lg_as_branch(after.node);
	const uint8_t *a_bytes = lg_branch_bytes(a);
	const uint8_t *b_bytes = lg_branch_bytes(b);
	uint32_t i = 0;
	uint32_t j = 0;
	while (i < a->count || j < b->count) {
		int x = i == a->count ? 256 : i == 0 && a->node.has_end ? -1 : a_bytes[i];
		int y = j == b->count ? 256 : j == 0 && b->node.has_end ? -1 : b_bytes[j];
		struct side from = x <= y ? kid_of(before, i++) : (struct side){ 0 };
		struct side to = y <= x ? kid_of(after, j++) : (struct side){ 0 };
		int rc = walk(differ, from, to);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* The branch of one side stands above all that the other side has: that belongs to one of its kids, or between two. */
static int walk_below(const struct differ *differ, struct side upper, struct side lower, bool upper_is_before)
{
	struct lg_branch *branch = lg_as_branch(upper.node);
	const struct lg_leaf *first = lg_node_first(lower.node);
	int byte = branch->offset < first->key_len ? (uint8_t)first->data[branch->offset] : -1;
	const uint8_t *bytes = lg_branch_bytes(branch);
	bool placed = false;
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && i <= branch->count; i++) {
		int here = i == branch->count ? 256 : i == 0 && branch->node.has_end ? -1 : bytes[i];
		struct side kid = kid_of(upper, i);
		if (!placed && here > byte)
			rc = emit_all(differ, lower, !upper_is_before);
		if (here >= byte && !placed) {
			placed = true;
			if (rc == 0 && here == byte) {
				rc = upper_is_before ? walk(differ, kid, lower) : walk(differ, lower, kid);
				continue;
			}
		}
		if (rc == 0)
			rc = emit_all(differ, kid, upper_is_before);
	}
	return rc;
}

static int emit_both(const struct differ *differ, struct side before, struct side after, bool before_first)
{
	int rc = before_first ? emit_all(differ, before, true) : emit_all(differ, after, false);
	if (rc != 0)
		return rc;
	return before_first ? emit_all(differ, after, false) : emit_all(differ, before, true);
}

static bool same_content(struct lg_node *a, struct lg_node *b)
{
	return a == b ||
		(atomic_load_explicit(&a->hashed, memory_order_acquire) &&
			atomic_load_explicit(&b->hashed, memory_order_acquire) &&
			memcmp(lg_node_hash_bytes(a), lg_node_hash_bytes(b), LG_HASH_SIZE) == 0);
}

static int walk_leaves(const struct differ *differ, struct side before, struct side after)
{
	const struct lg_leaf *a = lg_as_leaf(before.node);
	const struct lg_leaf *b = lg_as_leaf(after.node);
	if (a->value_len == b->value_len && memcmp(lg_leaf_value(a), lg_leaf_value(b), a->value_len) == 0)
		return 0;
	return emit(differ, before, after);
}

static int walk(const struct differ *differ, struct side before, struct side after)
{
	if (!before.node || !after.node)
		return before.node ? emit_all(differ, before, true) : emit_all(differ, after, false);
	if (same_content(before.node, after.node))
		return 0;
	size_t a_offset = before.node->is_leaf ? SIZE_MAX : lg_as_branch(before.node)->offset;
	size_t b_offset = after.node->is_leaf ? SIZE_MAX : lg_as_branch(after.node)->offset;
	const struct lg_leaf *a = lg_node_first(before.node);
	const struct lg_leaf *b = lg_node_first(after.node);
	size_t upper = a_offset < b_offset ? a_offset : b_offset;
	size_t at = lg_key_differ(a->data, a->key_len, b->data, b->key_len, upper);
	if (at == a->key_len && at == b->key_len)
		at = upper;
	if (at < upper) {
		int x = at < a->key_len ? (uint8_t)a->data[at] : -1;
		int y = at < b->key_len ? (uint8_t)b->data[at] : -1;
		return emit_both(differ, before, after, x < y);
	}
	if (a_offset == b_offset)
		return before.node->is_leaf ? walk_leaves(differ, before, after)
					    : walk_kids(differ, before, after);
	return a_offset < b_offset ? walk_below(differ, before, after, true)
				   : walk_below(differ, after, before, false);
}

int lg_tree_diff(const struct lg_tree *before, const struct lg_tree *after, const struct lg_scope *scope,
	int (*visit)(void *arg, const struct lg_entry *before, const struct lg_entry *after), void *arg)
{
	const struct differ differ = { scope && !lg_scope_is_all(scope) ? scope : NULL, visit, arg };
	if (!before->root && !after->root)
		return 0;
	return walk(&differ, (struct side){ before->root, 0 }, (struct side){ after->root, 0 });
}
