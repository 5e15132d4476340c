#include "model/tree_node.h"

#include <stdlib.h>

/* Entries come in order, so the trie grows along its right edge: `open` are the branches on that edge, each owning the
 * kids on the stack from `start` on.  A new entry shares `offset` bytes with the one before it: branches beyond that are
 * complete. */
struct open_branch {
	uint32_t offset;
	size_t start;
};

struct lg_tree_builder {
	struct lg_node **kids;
	size_t kid_count, kid_size;
	struct open_branch *open;
	size_t open_count, open_size;
	struct lg_text last; /* key of the last entry */
	size_t last_offset;  /* where the node stands that has it, as lg_node_offset() */
	size_t added;
	struct lg_slab *slab;
};

/* A small state is not worth a slab. */
#define SLAB_FROM 4096

static struct lg_slab **slab_for(struct lg_tree_builder *builder)
{
	return builder->added < SLAB_FROM ? NULL : &builder->slab;
}

struct lg_tree_builder *lg_tree_builder_new(void)
{
	return calloc(1, sizeof(struct lg_tree_builder));
}

void lg_tree_builder_free(struct lg_tree_builder *builder)
{
	if (!builder)
		return;
	for (size_t i = 0; i < builder->kid_count; i++)
		lg_node_unref(builder->kids[i]);
	lg_slab_release(builder->slab);
	free(builder->kids);
	free(builder->open);
	free(builder);
}

static int close_branch(struct lg_tree_builder *builder)
{
	struct open_branch *top = &builder->open[builder->open_count - 1];
	size_t count = builder->kid_count - top->start;
	struct lg_branch *branch = lg_branch_alloc(slab_for(builder), (uint32_t)count);
	if (!branch)
		return LG_ENOMEM;
	branch->offset = top->offset;
	uint8_t *bytes = lg_branch_bytes(branch);
	for (size_t i = 0; i < count; i++) {
		struct lg_text first = lg_node_first_key(builder->kids[top->start + i]);
		branch->kids[i] = builder->kids[top->start + i];
		bytes[i] = first.len == top->offset ? 0 : (uint8_t)first.data[top->offset];
		if (first.len == top->offset)
			branch->node.has_end = true;
	}
	lg_branch_refresh(branch);
	builder->kids[top->start] = &branch->node;
	builder->kid_count = top->start + 1;
	builder->open_count--;
	return 0;
}

static int push_kid(struct lg_tree_builder *builder, struct lg_node *node)
{
	if (builder->kid_count == builder->kid_size) {
		size_t size = builder->kid_size ? builder->kid_size * 2 : 256;
		struct lg_node **kids = realloc(builder->kids, size * sizeof(struct lg_node *));
		if (!kids)
			return LG_ENOMEM;
		builder->kids = kids;
		builder->kid_size = size;
	}
	builder->kids[builder->kid_count++] = node;
	return 0;
}

static int open_branch(struct lg_tree_builder *builder, uint32_t offset)
{
	if (builder->open_count == builder->open_size) {
		size_t size = builder->open_size ? builder->open_size * 2 : 32;
		struct open_branch *open = realloc(builder->open, size * sizeof *open);
		if (!open)
			return LG_ENOMEM;
		builder->open = open;
		builder->open_size = size;
	}
	builder->open[builder->open_count++] =
		(struct open_branch){ .offset = offset, .start = builder->kid_count - 1 };
	return 0;
}

/* Makes the right edge ready for a leaf that shares `shared` bytes with the last one. */
static int step_to(struct lg_tree_builder *builder, uint32_t shared)
{
	while (builder->open_count && builder->open[builder->open_count - 1].offset > shared) {
		if (close_branch(builder) < 0)
			return LG_ENOMEM;
	}
	if (builder->open_count && builder->open[builder->open_count - 1].offset == shared)
		return 0;
	return open_branch(builder, shared);
}

/* Makes room at the right edge for what begins with `first`, and has a branch of its own at offset. */
static int place(struct lg_tree_builder *builder, struct lg_text first, size_t offset, struct lg_error *err)
{
	struct lg_text last = builder->last;
	if (builder->kid_count == 0)
		return 0;
	size_t shared = lg_key_differ(last.data, last.len, first.data, first.len, SIZE_MAX);
	bool ascending = shared < first.len &&
		(shared == last.len || (uint8_t)last.data[shared] < (uint8_t)first.data[shared]);
	if (!ascending)
		return lg_fail(err, LG_ECORRUPT, 0, "keys are not in ascending order");
	if (shared >= offset || shared >= builder->last_offset)
		return lg_fail(err, LG_ECORRUPT, 0, "entries are packed together with a part of their subtree");
	return step_to(builder, (uint32_t)shared) < 0 ? lg_fail_nomem(err) : 0;
}

int lg_tree_builder_add_node(struct lg_tree_builder *builder, struct lg_node *node, struct lg_text first,
	struct lg_text last, struct lg_error *err)
{
	size_t offset = lg_node_offset(node);
	int rc = place(builder, first, offset, err);
	if (rc < 0)
		return rc;
	if (push_kid(builder, node) < 0)
		return lg_fail_nomem(err);
	builder->last = last;
	builder->last_offset = offset;
	builder->added++;
	return 0;
}

int lg_tree_builder_add(struct lg_tree_builder *builder, const struct lg_entry *entry,
	const uint8_t hash[LG_HASH_SIZE], struct lg_error *err)
{
	struct lg_leaf *leaf = lg_leaf_new(slab_for(builder), entry);
	if (!leaf)
		return lg_fail_nomem(err);
	const struct lg_text key = { leaf->data, leaf->key_len };
	int rc = lg_tree_builder_add_node(builder, &leaf->node, key, key, err);
	if (rc < 0) {
		lg_node_unref(&leaf->node);
		return rc;
	}
	if (hash) {
		memcpy(leaf->hash, hash, LG_HASH_SIZE);
		atomic_store_explicit(&leaf->node.hashed, true, memory_order_relaxed);
	}
	return 0;
}

struct lg_tree *lg_tree_builder_finish(struct lg_tree_builder *builder, struct lg_error *err)
{
	struct lg_tree *tree = lg_tree_empty();
	bool failed = !tree;
	while (!failed && builder->open_count)
		failed = close_branch(builder) < 0;
	if (failed) {
		lg_tree_unref(tree);
		lg_tree_builder_free(builder);
		lg_fail_nomem(err);
		return NULL;
	}
	if (builder->kid_count)
		tree->root = builder->kids[0];
	builder->kid_count = 0;
	lg_tree_builder_free(builder);
	return tree;
}
