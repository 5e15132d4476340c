#include "model/tree_node.h"

#include "base/cleanup.h"
#include "base/pages.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

/* --- nodes ------------------------------------------------------------------------------------------------------- */

static struct lg_slab *slab_of(const void *node)
{
	return (struct lg_slab *)((uintptr_t)node & ~(uintptr_t)(LG_SLAB_SIZE - 1));
}

void lg_slab_release(struct lg_slab *slab)
{
	if (slab && atomic_fetch_sub_explicit(&slab->live, 1, memory_order_acq_rel) == 1)
		lg_pages_unmap(slab, LG_SLAB_SIZE);
}

static bool next_slab(struct lg_slab **slab)
{
	struct lg_slab *next = lg_pages_map(LG_SLAB_SIZE);
	if (!next)
		return false;
	atomic_init(&next->live, 1);
	next->used = sizeof *next;
	lg_slab_release(*slab);
	*slab = next;
	return true;
}

/* A node's memory: from the slab when there is one and it fits into any. */
static void *node_alloc(struct lg_slab **slab, size_t size, bool *ret_in_slab)
{
	size = (size + 15) & ~(size_t)15;
	*ret_in_slab = false;
	if (!slab || size > LG_SLAB_SIZE / 8)
		return malloc(size);
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
	if (node->in_slab)
		lg_slab_release(slab_of(node));
	else
		free(node);
}

struct lg_leaf *lg_leaf_new(struct lg_slab **slab, const struct lg_entry *entry)
{
	bool in_slab;
	struct lg_leaf *leaf = node_alloc(slab, sizeof *leaf + entry->key_len + entry->value_len + 2, &in_slab);
	if (!leaf)
		return NULL;
	leaf->node = (struct lg_node){ .refs = 1, .is_leaf = true, .in_slab = in_slab };
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
	branch->node = (struct lg_node){ .refs = 1, .is_leaf = false, .in_slab = in_slab };
	branch->count = count;
	branch->floor = 0;
	return branch;
}

void lg_branch_refresh(struct lg_branch *branch)
{
	branch->first = lg_node_first(branch->kids[0]);
	branch->keys = 0;
	for (uint32_t i = 0; i < branch->count; i++)
		branch->keys += lg_node_keys(branch->kids[i]);
	atomic_store_explicit(&branch->node.hashed, false, memory_order_relaxed);
}

void lg_node_unref(struct lg_node *node)
{
	if (!node || atomic_fetch_sub_explicit(&node->refs, 1, memory_order_release) != 1)
		return;
	/* not a fence, which ThreadSanitizer does not see; either orders what other owners did before the free */
	(void)atomic_load_explicit(&node->refs, memory_order_acquire);
	if (!node->is_leaf) {
		struct lg_branch *branch = lg_as_branch(node);
		for (uint32_t i = 0; i < branch->count; i++)
			lg_node_unref(branch->kids[i]);
	}
	node_free(node);
}

struct lg_leaf *lg_node_find(struct lg_node *node, const char *key, size_t len, uint64_t *ret_floor)
{
	uint64_t floor = 0;
	while (node && !node->is_leaf) {
		struct lg_branch *branch = lg_as_branch(node);
		int64_t i = lg_branch_step(branch, key, len);
		if (i < 0)
			return NULL;
		floor = branch->floor > floor ? branch->floor : floor;
		node = branch->kids[i];
	}
	struct lg_leaf *leaf = node ? lg_as_leaf(node) : NULL;
	if (!leaf || leaf->key_len != len || memcmp(leaf->data, key, len) != 0)
		return NULL;
	*ret_floor = floor;
	return leaf;
}

struct lg_node *lg_node_find_prefix(struct lg_node *node, const char *prefix, size_t len, uint64_t *ret_floor)
{
	uint64_t floor = 0;
	while (node && !node->is_leaf && lg_as_branch(node)->offset < len) {
		struct lg_branch *branch = lg_as_branch(node);
		int64_t i = lg_branch_find(branch, (uint8_t)prefix[branch->offset]);
		if (i < 0)
			return NULL;
		floor = branch->floor > floor ? branch->floor : floor;
		node = branch->kids[i];
	}
	if (!node)
		return NULL;
	const struct lg_leaf *first = lg_node_first(node);
	if (first->key_len < len || memcmp(first->data, prefix, len) != 0)
		return NULL;
	*ret_floor = floor;
	return node;
}

/* --- hashes ------------------------------------------------------------------------------------------------------ */

static pthread_mutex_t hashing = PTHREAD_MUTEX_INITIALIZER;

/* libsodium chooses its fast BLAKE2b for this processor only once it is initialised. */
__attribute__((constructor)) static void prepare_sodium(void)
{
	if (sodium_init() < 0)
		abort();
}

/* Nodes are small, so what is hashed is laid out in a row first: one call of BLAKE2b instead of one for each field.  Rows stay
 * out of the frames of the recursion over the tree, which a key of 512 bytes makes 512 deep. */
#define ROW_SIZE 1024

static uint8_t *put_u32(uint8_t *to, uint32_t value)
{
	for (size_t i = 0; i < 4; i++)
		*to++ = (uint8_t)(value >> (8 * i));
	return to;
}

static uint8_t *put_bytes(uint8_t *to, const void *data, size_t len)
{
	memcpy(to, data, len);
	return to + len;
}

static __attribute__((noinline)) void hash_large_leaf(struct lg_leaf *leaf)
{
	uint8_t number[4];
	crypto_generichash_state state;
	crypto_generichash_init(&state, NULL, 0, LG_HASH_SIZE);
	crypto_generichash_update(&state, (const uint8_t *)"L", 1);
	put_u32(number, leaf->key_len);
	crypto_generichash_update(&state, number, sizeof number);
	crypto_generichash_update(&state, (const uint8_t *)leaf->data, leaf->key_len);
	put_u32(number, leaf->value_len);
	crypto_generichash_update(&state, number, sizeof number);
	crypto_generichash_update(&state, (const uint8_t *)lg_leaf_value(leaf), leaf->value_len);
	crypto_generichash_final(&state, leaf->hash, LG_HASH_SIZE);
}

static __attribute__((noinline)) void hash_leaf(struct lg_leaf *leaf)
{
	uint8_t row[ROW_SIZE];
	if ((size_t)leaf->key_len + leaf->value_len + 9 > sizeof row) {
		hash_large_leaf(leaf);
		return;
	}
	uint8_t *end = put_bytes(row, "L", 1);
	end = put_u32(end, leaf->key_len);
	end = put_bytes(end, leaf->data, leaf->key_len);
	end = put_u32(end, leaf->value_len);
	end = put_bytes(end, lg_leaf_value(leaf), leaf->value_len);
	crypto_generichash(leaf->hash, LG_HASH_SIZE, row, (size_t)(end - row), NULL, 0);
}

static __attribute__((noinline)) void hash_branch(struct lg_branch *branch)
{
	uint8_t row[1 + 4 + 1 + 257 * (1 + LG_HASH_SIZE)]; /* one kid a byte, and the end */
	const uint8_t has_end = branch->node.has_end;
	const uint8_t *bytes = lg_branch_bytes(branch);
	uint8_t *end = put_bytes(row, "B", 1);
	end = put_u32(end, branch->offset);
	*end++ = has_end;
	for (uint32_t i = 0; i < branch->count; i++) {
		if (i >= has_end)
			*end++ = bytes[i];
		end = put_bytes(end, lg_node_hash_bytes(branch->kids[i]), LG_HASH_SIZE);
	}
	crypto_generichash(branch->hash, LG_HASH_SIZE, row, (size_t)(end - row), NULL, 0);
}

static void hash_unhashed(struct lg_node *node)
{
	if (atomic_load_explicit(&node->hashed, memory_order_relaxed))
		return;
	if (node->is_leaf) {
		hash_leaf(lg_as_leaf(node));
	} else {
		struct lg_branch *branch = lg_as_branch(node);
		for (uint32_t i = 0; i < branch->count; i++)
			hash_unhashed(branch->kids[i]);
		hash_branch(branch);
	}
	atomic_store_explicit(&node->hashed, true, memory_order_release);
}

void lg_node_hash(struct lg_node *node)
{
	if (atomic_load_explicit(&node->hashed, memory_order_acquire))
		return;
	pthread_mutex_lock(&hashing);
	hash_unhashed(node);
	pthread_mutex_unlock(&hashing);
}

static void hash_or_empty(struct lg_node *node, uint8_t ret_hash[LG_HASH_SIZE])
{
	if (!node) {
		crypto_generichash(ret_hash, LG_HASH_SIZE, (const uint8_t *)"E", 1, NULL, 0);
		return;
	}
	lg_node_hash(node);
	memcpy(ret_hash, lg_node_hash_bytes(node), LG_HASH_SIZE);
}

void lg_tree_hash(const struct lg_tree *tree, uint8_t ret_hash[LG_HASH_SIZE])
{
	hash_or_empty(tree->root, ret_hash);
}

/* Selector and declarations below it, each by length, text and the hash of what is there. */
static void hash_selector(
	crypto_generichash_state *state, const struct lg_tree *tree, const char *space, const char *selector)
{
	char key[LG_SELECTOR_MAX];
	size_t len = (size_t)snprintf(key, sizeof key, "%s%s", space, selector);
	uint64_t floor;
	struct lg_node *node = NULL;
	if (tree->root && len < sizeof key)
		node = key[len - 1] == '/' ? lg_node_find_prefix(tree->root, key, len, &floor)
					   : (struct lg_node *)lg_node_find(tree->root, key, len, &floor);
	uint8_t hash[LG_HASH_SIZE];
	hash_or_empty(node, hash);
	uint8_t number[4];
	put_u32(number, (uint32_t)len);
	crypto_generichash_update(state, number, sizeof number);
	crypto_generichash_update(state, (const uint8_t *)key, len);
	crypto_generichash_update(state, hash, sizeof hash);
}

static struct lg_tree *without_excluded(const struct lg_tree *tree, const struct lg_scope *scope)
{
	lg_cleanup(lg_tree_edit_abortp) struct lg_tree_edit *edit =
		lg_tree_edit_begin((struct lg_tree *)(uintptr_t)tree);
	lg_cleanup(lg_tree_unrefp) struct lg_tree *empty = lg_tree_empty();
	if (!edit || !empty)
		return NULL;
	const struct lg_scope excluded = { .include = scope->exclude, .include_count = scope->exclude_count };
	if (lg_tree_edit_restore(edit, empty, &excluded, 0, NULL) < 0)
		return NULL;
	return lg_tree_edit_commit(lg_steal_ptr(&edit));
}

int lg_tree_scope_hash(const struct lg_tree *tree, const struct lg_scope *scope, uint8_t ret_hash[LG_HASH_SIZE])
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *reduced = NULL;
	if (scope && scope->exclude_count) {
		reduced = without_excluded(tree, scope);
		if (!reduced)
			return LG_ENOMEM;
		tree = reduced;
	}
	if (!scope || scope->include_count == 0) {
		lg_tree_hash(tree, ret_hash);
		return 0;
	}
	crypto_generichash_state state;
	crypto_generichash_init(&state, NULL, 0, LG_HASH_SIZE);
	crypto_generichash_update(&state, (const uint8_t *)"S", 1);
	for (size_t i = 0; i < scope->include_count; i++) {
		hash_selector(&state, tree, "", scope->include[i]);
		if (scope->include[i][0] != '@')
			hash_selector(&state, tree, LG_SCHEMA_SPACE, scope->include[i]);
	}
	crypto_generichash_final(&state, ret_hash, LG_HASH_SIZE);
	return 0;
}

/* --- trees ------------------------------------------------------------------------------------------------------- */

struct lg_tree *lg_tree_empty(void)
{
	struct lg_tree *tree = malloc(sizeof *tree);
	if (!tree)
		return NULL;
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
	free(tree);
}

void lg_tree_unrefp(struct lg_tree **tree)
{
	lg_tree_unref(*tree);
}

void lg_tree_entry_hash(
	const struct lg_tree *tree, const struct lg_entry *entry, uint8_t ret_hash[LG_HASH_SIZE])
{
	(void)tree;
	/* the entry is a view into its leaf */
	struct lg_leaf *leaf = (struct lg_leaf *)(uintptr_t)(entry->key - offsetof(struct lg_leaf, data));
	lg_node_hash(&leaf->node);
	memcpy(ret_hash, leaf->hash, LG_HASH_SIZE);
}

static struct lg_entry entry_of(const struct lg_leaf *leaf, uint64_t floor)
{
	return (struct lg_entry){
		.key = leaf->data,
		.key_len = leaf->key_len,
		.value = lg_leaf_value(leaf),
		.value_len = leaf->value_len,
		.change = leaf->change > floor ? leaf->change : floor,
	};
}

bool lg_tree_get(const struct lg_tree *tree, const char *key, size_t len, struct lg_entry *ret_entry)
{
	uint64_t floor;
	const struct lg_leaf *leaf = lg_node_find(tree->root, key, len, &floor);
	if (!leaf)
		return false;
	if (ret_entry)
		*ret_entry = entry_of(leaf, floor);
	return true;
}

size_t lg_tree_count(const struct lg_tree *tree)
{
	return tree->root ? lg_node_keys(tree->root) : 0;
}

size_t lg_tree_count_prefix(const struct lg_tree *tree, const char *prefix, size_t len)
{
	uint64_t floor;
	struct lg_node *node = lg_node_find_prefix(tree->root, prefix, len, &floor);
	return node ? lg_node_keys(node) : 0;
}

static int walk(
	struct lg_node *node, uint64_t floor, int (*visit)(void *arg, const struct lg_entry *entry), void *arg)
{
	if (node->is_leaf) {
		struct lg_entry entry = entry_of(lg_as_leaf(node), floor);
		return visit(arg, &entry);
	}
	struct lg_branch *branch = lg_as_branch(node);
	if (branch->floor > floor)
		floor = branch->floor;
	for (uint32_t i = 0; i < branch->count; i++) {
		int rc = walk(branch->kids[i], floor, visit, arg);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int lg_tree_walk(const struct lg_tree *tree, const char *prefix, size_t len,
	int (*visit)(void *arg, const struct lg_entry *entry), void *arg)
{
	uint64_t floor = 0;
	struct lg_node *node = lg_node_find_prefix(tree->root, prefix, len, &floor);
	return node ? walk(node, floor, visit, arg) : 0;
}

static void memory_of(struct lg_node *node, size_t *total, size_t *payload)
{
	if (node->is_leaf) {
		struct lg_leaf *leaf = lg_as_leaf(node);
		*total += sizeof *leaf + leaf->key_len + leaf->value_len + 2;
		*payload += leaf->key_len + leaf->value_len;
		return;
	}
	struct lg_branch *branch = lg_as_branch(node);
	*total += sizeof *branch + branch->count * (sizeof(struct lg_node *) + 1);
	for (uint32_t i = 0; i < branch->count; i++)
		memory_of(branch->kids[i], total, payload);
}

void lg_tree_memory(const struct lg_tree *tree, size_t *ret_total, size_t *ret_payload)
{
	size_t total = sizeof *tree;
	size_t payload = 0;
	if (tree->root)
		memory_of(tree->root, &total, &payload);
	*ret_total = total;
	*ret_payload = payload;
}
