/* Hashes of nodes, parts and scopes.  Made once, when first asked for. */
#include "model/tree_node.h"

#include "base/cleanup.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

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

/* More than one entry of a packed node.  Rows of a kid a time: the frames of this recursion are as deep as keys are long. */
static __attribute__((noinline)) void hash_packed(const struct lg_part *part, uint8_t ret_hash[LG_HASH_SIZE])
{
	struct lg_kids kids = lg_kids_begin(part);
	uint8_t head[6] = "B";
	put_u32(head + 1, (uint32_t)kids.offset);
	head[5] = kids.byte < 0;
	crypto_generichash_state state;
	crypto_generichash_init(&state, NULL, 0, LG_HASH_SIZE);
	crypto_generichash_update(&state, head, sizeof head);
	for (; kids.kid.node; lg_kids_next(&kids)) {
		uint8_t hash[LG_HASH_SIZE];
		const uint8_t byte = (uint8_t)kids.byte;
		if (kids.byte >= 0)
			crypto_generichash_update(&state, &byte, 1);
		const uint8_t *known = lg_part_known_hash(&kids.kid); /* of an entry */
		if (known)
			memcpy(hash, known, sizeof hash);
		else
			hash_packed(&kids.kid, hash);
		crypto_generichash_update(&state, hash, sizeof hash);
	}
	crypto_generichash_final(&state, ret_hash, LG_HASH_SIZE);
}

static void hash_unhashed(struct lg_node *node)
{
	if (atomic_load_explicit(&node->hashed, memory_order_relaxed))
		return;
	if (node->kind == LG_NODE_LEAF) {
		hash_leaf(lg_as_leaf(node));
	} else if (node->kind == LG_NODE_PACK) {
		const struct lg_part all = lg_part_of(node, 0);
		hash_packed(&all, lg_as_pack(node)->hash);
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

void lg_part_hash(const struct lg_part *part, uint8_t ret_hash[LG_HASH_SIZE])
{
	if (lg_part_is_whole(part))
		lg_node_hash(part->node);
	const uint8_t *known = lg_part_known_hash(part);
	if (known)
		memcpy(ret_hash, known, LG_HASH_SIZE);
	else
		hash_packed(part, ret_hash);
}

static void hash_or_empty(const struct lg_part *part, uint8_t ret_hash[LG_HASH_SIZE])
{
	if (part->node)
		lg_part_hash(part, ret_hash);
	else
		crypto_generichash(ret_hash, LG_HASH_SIZE, (const uint8_t *)"E", 1, NULL, 0);
}

void lg_tree_hash(const struct lg_tree *tree, uint8_t ret_hash[LG_HASH_SIZE])
{
	const struct lg_part all = lg_part_of(tree->root, 0);
	hash_or_empty(&all, ret_hash);
}

/* Selector and declarations below it, each by length, text and the hash of what is there. */
static void hash_selector(
	crypto_generichash_state *state, const struct lg_tree *tree, const char *space, const char *selector)
{
	char key[LG_SELECTOR_MAX];
	size_t len = (size_t)snprintf(key, sizeof key, "%s%s", space, selector);
	struct lg_part part = { 0 };
	if (tree->root && len < sizeof key)
		part = key[len - 1] == '/' ? lg_part_find_prefix(tree->root, key, len)
					   : lg_part_find(tree->root, key, len);
	uint8_t hash[LG_HASH_SIZE];
	hash_or_empty(&part, hash);
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

void lg_tree_entry_hash(
	const struct lg_tree *tree, const struct lg_entry *entry, uint8_t ret_hash[LG_HASH_SIZE])
{
	const struct lg_part part = lg_part_find(tree->root, entry->key, entry->key_len);
	hash_or_empty(&part, ret_hash);
}
