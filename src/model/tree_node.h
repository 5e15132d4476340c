/* tree_node.h - the inside of tree.h, shared by tree*.c only.
 *
 * A node is counted.  A node whose count is 1, reached from an edit's root only through nodes whose count is 1, is that
 * edit's alone and may be changed in place; every other node is immutable except for its lazily made hash.
 *
 * Locks: hashing takes one global mutex and sets `hashed` with release order; whoever reads `hashed` with acquire order may
 * read the hash without it.
 */
#ifndef LG_MODEL_TREE_NODE_H
#define LG_MODEL_TREE_NODE_H

#include "base/pages.h"
#include "model/tree.h"

#include <stdatomic.h>
#include <string.h>

struct lg_node {
	_Atomic uint32_t refs;
	bool is_leaf;
	atomic_bool hashed;
	bool has_end; /* branch: kids[0] is the key that ends at offset */
	bool in_slab; /* memory is a part of a struct lg_slab */
};

/* What the bulk build allocates from: a loaded state is hundreds of thousands of small nodes that live and die nearly together,
 * and one page fault for each page of them costs more than all the rest of loading.  A slab lies at a multiple of its
 * size, so a node finds it by its own address, and is freed with its last node: what a changed state still shares with the
 * loaded one keeps at most what was loaded. */
#define LG_SLAB_SIZE LG_PAGES_ALIGN
struct lg_slab {
	_Atomic size_t live; /* nodes in it, and one for the builder that still fills it */
	size_t used;
};

struct lg_leaf {
	struct lg_node node;
	uint32_t key_len, value_len;
	uint64_t change;
	uint8_t hash[LG_HASH_SIZE];
	char data[]; /* key NUL value NUL */
};

/* Followed by `count` kid pointers, then `count` bytes (the byte at `offset` below each kid; unused for the end kid). */
struct lg_branch {
	struct lg_node node;
	uint32_t offset;
	uint32_t count;
	struct lg_leaf *first; /* leftmost leaf below: its key shows the prefix that all keys below share */
	uint64_t floor;        /* change numbers below are at least this */
	uint64_t keys;         /* leaves below */
	uint8_t hash[LG_HASH_SIZE];
	struct lg_node *kids[];
};

struct lg_tree {
	_Atomic uint32_t refs;
	struct lg_node *root; /* NULL: empty */
};

static inline struct lg_leaf *lg_as_leaf(struct lg_node *node)
{
	return (struct lg_leaf *)node;
}

static inline struct lg_branch *lg_as_branch(struct lg_node *node)
{
	return (struct lg_branch *)node;
}

static inline const char *lg_leaf_value(const struct lg_leaf *leaf)
{
	return leaf->data + leaf->key_len + 1;
}

static inline uint8_t *lg_branch_bytes(struct lg_branch *branch)
{
	return (uint8_t *)(branch->kids + branch->count);
}

static inline struct lg_leaf *lg_node_first(struct lg_node *node)
{
	return node->is_leaf ? lg_as_leaf(node) : lg_as_branch(node)->first;
}

static inline uint64_t lg_node_keys(struct lg_node *node)
{
	return node->is_leaf ? 1 : lg_as_branch(node)->keys;
}

static inline const uint8_t *lg_node_hash_bytes(struct lg_node *node)
{
	return node->is_leaf ? lg_as_leaf(node)->hash : lg_as_branch(node)->hash;
}

static inline struct lg_node *lg_node_ref(struct lg_node *node)
{
	atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
	return node;
}

/* Index of the kid for byte, or -1. */
static inline int64_t lg_branch_find(struct lg_branch *branch, uint8_t byte)
{
	uint8_t *bytes = lg_branch_bytes(branch);
	uint32_t skip = branch->node.has_end;
	uint8_t *hit = memchr(bytes + skip, byte, branch->count - skip);
	return hit ? hit - bytes : -1;
}

/* Where `key` goes on below branch: the end kid when the key ends at its offset; -1 when there is none or the key is
 * shorter. */
static inline int64_t lg_branch_step(struct lg_branch *branch, const char *key, size_t len)
{
	if (branch->offset < len)
		return lg_branch_find(branch, (uint8_t)key[branch->offset]);
	return branch->offset == len && branch->node.has_end ? 0 : -1;
}

void lg_node_unref(struct lg_node *node);
/* slab: the one being filled (made and exchanged as needed), or NULL for memory of its own. */
struct lg_leaf *lg_leaf_new(struct lg_slab **slab, const struct lg_entry *entry);
struct lg_branch *lg_branch_alloc(struct lg_slab **slab, uint32_t count);
void lg_slab_release(struct lg_slab *slab); /* NULL is fine */
/* first, keys and hashed follow from the kids. */
void lg_branch_refresh(struct lg_branch *branch);
void lg_node_hash(struct lg_node *node);

/* Subtree of the keys that begin with prefix, or NULL. ret_floor: the highest floor above it. */
struct lg_node *lg_node_find_prefix(struct lg_node *node, const char *prefix, size_t len, uint64_t *ret_floor);
struct lg_leaf *lg_node_find(struct lg_node *node, const char *key, size_t len, uint64_t *ret_floor);

/* First offset in which the keys differ (one may end there), at most `limit`. */
static inline size_t lg_key_differ(const char *a, size_t a_len, const char *b, size_t b_len, size_t limit)
{
	size_t end = a_len < b_len ? a_len : b_len;
	if (limit < end)
		end = limit;
	size_t i = 0;
	while (i < end && a[i] == b[i])
		i++;
	return i;
}

#endif
