/* Memory of nodes.  Every byte that trees hold is counted where it comes and where it goes. */
#include "model/tree_node.h"

#include <malloc.h>
#include <stdlib.h>

/* --- the account --------------------------------------------------------------------------------------------------- */

static _Atomic int64_t held;

void lg_tree_account(int64_t bytes)
{
	atomic_fetch_add_explicit(&held, bytes, memory_order_relaxed);
}

size_t lg_tree_held(void)
{
	int64_t now = atomic_load_explicit(&held, memory_order_relaxed);
	return now > 0 ? (size_t)now : 0;
}

/* What malloc() takes for so many bytes: its chunks are multiples of 16, with 8 bytes in front of each. */
static size_t chunk_of(size_t size)
{
	return (size + 8 + 15) & ~(size_t)15;
}

/* What the same takes in a slab. */
static size_t slot_of(size_t size)
{
	return (size + 15) & ~(size_t)15;
}

static size_t size_of(struct lg_node *node)
{
	if (node->kind == LG_NODE_PACK)
		return sizeof(struct lg_pack);
	if (node->kind == LG_NODE_LEAF)
		return sizeof(struct lg_leaf) + (size_t)lg_as_leaf(node)->key_len +
			lg_as_leaf(node)->value_len + 2;
	return sizeof(struct lg_branch) + lg_as_branch(node)->count * (sizeof(struct lg_node *) + 1);
}

size_t lg_node_own_bytes(struct lg_node *node)
{
	size_t entries = node->kind == LG_NODE_PACK ? lg_as_pack(node)->size : 0;
	return entries + (node->in_slab ? slot_of(size_of(node)) : chunk_of(size_of(node)));
}

/* --- slabs --------------------------------------------------------------------------------------------------------- */

static struct lg_slab *slab_of(const void *node)
{
	return (struct lg_slab *)((uintptr_t)node & ~(uintptr_t)(LG_SLAB_SIZE - 1));
}

void lg_slab_release(struct lg_slab *slab)
{
	if (!slab || atomic_fetch_sub_explicit(&slab->live, 1, memory_order_acq_rel) != 1)
		return;
	lg_pages_unmap(slab, LG_SLAB_SIZE);
	lg_tree_account(-(int64_t)LG_SLAB_SIZE);
}

static bool next_slab(struct lg_slab **slab)
{
	struct lg_slab *next = lg_pages_map(LG_SLAB_SIZE);
	if (!next)
		return false;
	lg_tree_account((int64_t)LG_SLAB_SIZE);
	atomic_init(&next->live, 1);
	next->used = sizeof *next;
	lg_slab_release(*slab);
	*slab = next;
	return true;
}

/* A node's memory: from the slab when there is one and it fits into any. */
static void *node_alloc(struct lg_slab **slab, size_t size, bool *ret_in_slab)
{
	*ret_in_slab = false;
	if (!slab || size > LG_SLAB_SIZE / 8) {
		void *memory = malloc(size);
		if (memory)
			lg_tree_account((int64_t)chunk_of(size));
		return memory;
	}
	size = slot_of(size);
	if ((!*slab || (*slab)->used + size > LG_SLAB_SIZE) && !next_slab(slab))
		return NULL;
	void *memory = (char *)*slab + (*slab)->used;
	(*slab)->used += size;
	atomic_fetch_add_explicit(&(*slab)->live, 1, memory_order_relaxed);
	*ret_in_slab = true;
	return memory;
}

static void node_free(struct lg_node *node)
{
	if (node->in_slab) {
		lg_slab_release(slab_of(node));
		return;
	}
	lg_tree_account(-(int64_t)chunk_of(size_of(node)));
	free(node);
}

/* --- regions ------------------------------------------------------------------------------------------------------- */

struct lg_region *lg_region_new(struct lg_block *block)
{
	struct lg_region *region = malloc(sizeof *region);
	if (!region)
		return NULL;
	atomic_init(&region->refs, 1);
	region->block = lg_block_ref(block);
	lg_tree_account((int64_t)(chunk_of(sizeof *region) + lg_block_bytes(block)));
	return region;
}

void lg_region_unref(struct lg_region *region)
{
	if (!region || atomic_fetch_sub_explicit(&region->refs, 1, memory_order_acq_rel) != 1)
		return;
	lg_tree_account(-(int64_t)(chunk_of(sizeof *region) + lg_block_bytes(region->block)));
	lg_block_unref(region->block);
	free(region);
}

/* --- nodes --------------------------------------------------------------------------------------------------------- */

struct lg_leaf *lg_leaf_new(struct lg_slab **slab, const struct lg_entry *entry)
{
	bool in_slab;
	struct lg_leaf *leaf = node_alloc(slab, sizeof *leaf + entry->key_len + entry->value_len + 2, &in_slab);
	if (!leaf)
		return NULL;
	leaf->node = (struct lg_node){ .refs = 1, .kind = LG_NODE_LEAF, .in_slab = in_slab };
	leaf->key_len = (uint32_t)entry->key_len;
	leaf->value_len = (uint32_t)entry->value_len;
	leaf->change = entry->change;
	memcpy(leaf->data, entry->key, entry->key_len);
	leaf->data[entry->key_len] = '\0';
	memcpy(leaf->data + entry->key_len + 1, entry->value, entry->value_len);
	leaf->data[entry->key_len + 1 + entry->value_len] = '\0';
	return leaf;
}

struct lg_branch *lg_branch_alloc(struct lg_slab **slab, uint32_t count)
{
	bool in_slab;
	struct lg_branch *branch =
		node_alloc(slab, sizeof *branch + count * (sizeof(struct lg_node *) + 1), &in_slab);
	if (!branch)
		return NULL;
	branch->node = (struct lg_node){ .refs = 1, .kind = LG_NODE_BRANCH, .in_slab = in_slab };
	branch->count = count;
	branch->floor = 0;
	return branch;
}

struct lg_pack *lg_pack_new(const struct lg_pack *like)
{
	bool in_slab;
	struct lg_pack *pack = node_alloc(NULL, sizeof *pack, &in_slab);
	if (!pack)
		return NULL;
	atomic_fetch_add_explicit(&like->region->refs, 1, memory_order_relaxed);
	memcpy((char *)pack + sizeof pack->node, (const char *)like + sizeof like->node,
		sizeof *pack - sizeof pack->node);
	pack->node = (struct lg_node){ .refs = 1, .kind = LG_NODE_PACK };
	bool hashed = atomic_load_explicit(&like->node.hashed, memory_order_relaxed);
	atomic_store_explicit(&pack->node.hashed, hashed, memory_order_relaxed);
	return pack;
}

void lg_branch_refresh(struct lg_branch *branch)
{
	branch->first = lg_node_first(branch->kids[0]);
	branch->keys = 0;
	branch->newest = 0;
	branch->bytes = lg_node_own_bytes(&branch->node);
	for (uint32_t i = 0; i < branch->count; i++) {
		branch->keys += lg_node_keys(branch->kids[i]);
		branch->bytes += lg_node_bytes(branch->kids[i]);
		uint64_t newest = lg_node_newest(branch->kids[i]);
		branch->newest = newest > branch->newest ? newest : branch->newest;
	}
	atomic_store_explicit(&branch->node.hashed, false, memory_order_relaxed);
}

void lg_node_unref(struct lg_node *node)
{
	if (!node || atomic_fetch_sub_explicit(&node->refs, 1, memory_order_release) != 1)
		return;
	/* not a fence, which ThreadSanitizer does not see; either orders what other owners did before the free */
	(void)atomic_load_explicit(&node->refs, memory_order_acquire);
	if (node->kind == LG_NODE_BRANCH) {
		struct lg_branch *branch = lg_as_branch(node);
		for (uint32_t i = 0; i < branch->count; i++)
			lg_node_unref(branch->kids[i]);
	} else if (node->kind == LG_NODE_PACK) {
		lg_region_unref(lg_as_pack(node)->region);
	}
	node_free(node);
}

/* --- trees --------------------------------------------------------------------------------------------------------- */

struct lg_tree *lg_tree_empty(void)
{
	struct lg_tree *tree = malloc(sizeof *tree);
	if (!tree)
		return NULL;
	lg_tree_account((int64_t)chunk_of(sizeof *tree));
	atomic_init(&tree->refs, 1);
	tree->root = NULL;
	return tree;
}

struct lg_tree *lg_tree_ref(struct lg_tree *tree)
{
	atomic_fetch_add_explicit(&tree->refs, 1, memory_order_relaxed);
	return tree;
}

void lg_tree_unref(struct lg_tree *tree)
{
	if (!tree || atomic_fetch_sub_explicit(&tree->refs, 1, memory_order_release) != 1)
		return;
	(void)atomic_load_explicit(&tree->refs, memory_order_acquire);
	lg_node_unref(tree->root);
	lg_tree_account(-(int64_t)chunk_of(sizeof *tree));
	free(tree);
}

void lg_tree_unrefp(struct lg_tree **tree)
{
	lg_tree_unref(*tree);
}

size_t lg_tree_bytes(const struct lg_tree *tree)
{
	return chunk_of(sizeof *tree) + (tree->root ? lg_node_bytes(tree->root) : 0);
}

static size_t alone(struct lg_node *node)
{
	if (atomic_load_explicit(&node->refs, memory_order_relaxed) != 1)
		return 0;
	size_t bytes = lg_node_own_bytes(node);
	for (uint32_t i = 0; node->kind == LG_NODE_BRANCH && i < lg_as_branch(node)->count; i++)
		bytes += alone(lg_as_branch(node)->kids[i]);
	return bytes;
}

size_t lg_tree_alone_bytes(const struct lg_tree *tree)
{
	return chunk_of(sizeof *tree) + (tree->root ? alone(tree->root) : 0);
}

static size_t payload_of(struct lg_node *node)
{
	size_t bytes = 0;
	if (node->kind == LG_NODE_LEAF)
		return (size_t)lg_as_leaf(node)->key_len + lg_as_leaf(node)->value_len;
	if (node->kind == LG_NODE_PACK) {
		for (uint32_t i = 0; i < lg_as_pack(node)->count; i++) {
			const struct lg_entry entry = lg_pack_entry(lg_as_pack(node), i, 0);
			bytes += entry.key_len + entry.value_len;
		}
		return bytes;
	}
	for (uint32_t i = 0; i < lg_as_branch(node)->count; i++)
		bytes += payload_of(lg_as_branch(node)->kids[i]);
	return bytes;
}

void lg_tree_memory(const struct lg_tree *tree, size_t *ret_total, size_t *ret_payload)
{
	*ret_total = lg_tree_bytes(tree);
	*ret_payload = tree->root ? payload_of(tree->root) : 0;
}

void lg_tree_trim(void)
{
	malloc_trim(0);
}
