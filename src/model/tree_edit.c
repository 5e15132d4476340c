#include "model/tree_node.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>

struct lg_tree_edit {
	struct lg_tree *result; /* what commit hands out; its root is the working root */
};

struct lg_tree_edit *lg_tree_edit_begin(struct lg_tree *base)
{
	struct lg_tree_edit *edit = malloc(sizeof *edit);
	struct lg_tree *result = lg_tree_empty(); /* made now, so that commit cannot fail */
	if (!edit || !result) {
		free(edit);
		lg_tree_unref(result);
		return NULL;
	}
	if (base->root)
		result->root = lg_node_ref(base->root);
	edit->result = result;
	return edit;
}

struct lg_tree *lg_tree_edit_commit(struct lg_tree_edit *edit)
{
	struct lg_tree *tree = edit->result;
	free(edit);
	return tree;
}

void lg_tree_edit_abort(struct lg_tree_edit *edit)
{
	if (!edit)
		return;
	lg_tree_unref(edit->result);
	free(edit);
}

void lg_tree_edit_abortp(struct lg_tree_edit **edit)
{
	lg_tree_edit_abort(*edit);
}

/* --- owning nodes ------------------------------------------------------------------------------------------------ */

static bool is_shared(struct lg_node *node)
{
	return atomic_load_explicit(&node->refs, memory_order_acquire) != 1;
}

static struct lg_node *copy_leaf(struct lg_leaf *leaf)
{
	const struct lg_entry entry = { leaf->data, leaf->key_len, lg_leaf_value(leaf), leaf->value_len,
		leaf->change };
	struct lg_leaf *copy = lg_leaf_new(NULL, &entry);
	if (!copy)
		return NULL;
	/* the hash may be in the making in another thread: settle it before it is copied */
	lg_node_hash(&leaf->node);
	memcpy(copy->hash, leaf->hash, LG_HASH_SIZE);
	atomic_store_explicit(&copy->node.hashed, true, memory_order_relaxed);
	return &copy->node;
}

/* A branch with the same kids, or with one kid more (at `gap`) or less (without `hole`); -1 for none.  The caller fills a
 * gap.  References of the kids are the copy's own. */
static struct lg_branch *copy_branch(struct lg_branch *branch, int64_t gap, int64_t hole)
{
	uint32_t count = branch->count + (gap >= 0) - (hole >= 0);
	struct lg_branch *copy = lg_branch_alloc(NULL, count);
	if (!copy)
		return NULL;
	copy->node.has_end = branch->node.has_end;
	copy->offset = branch->offset;
	copy->floor = branch->floor;
	copy->first = branch->first;
	copy->keys = branch->keys;
	copy->newest = branch->newest;
	copy->bytes = branch->bytes + lg_node_own_bytes(&copy->node) - lg_node_own_bytes(&branch->node);
	uint8_t *from_bytes = lg_branch_bytes(branch);
	uint8_t *to_bytes = lg_branch_bytes(copy);
	uint32_t to = 0;
	for (uint32_t i = 0; i < branch->count; i++) {
		if ((int64_t)i == hole)
			continue;
		if ((int64_t)to == gap)
			to++;
		copy->kids[to] = lg_node_ref(branch->kids[i]);
		to_bytes[to++] = from_bytes[i];
	}
	return copy;
}

static struct lg_node *copy_pack(struct lg_pack *pack)
{
	lg_node_hash(&pack->node); /* as above */
	struct lg_pack *copy = lg_pack_new(pack);
	return copy ? &copy->node : NULL;
}

static struct lg_node *copy_whole_branch(struct lg_branch *branch)
{
	struct lg_branch *copy = copy_branch(branch, -1, -1);
	if (copy && atomic_load_explicit(&branch->node.hashed, memory_order_acquire)) {
		memcpy(copy->hash, branch->hash, LG_HASH_SIZE);
		atomic_store_explicit(&copy->node.hashed, true, memory_order_relaxed);
	}
	return copy ? &copy->node : NULL;
}

/* Makes *slot this edit's own. */
static int own(struct lg_node **slot)
{
	struct lg_node *node = *slot;
	if (!is_shared(node))
		return 0;
	struct lg_node *copy = node->kind == LG_NODE_LEAF ? copy_leaf(lg_as_leaf(node))
		: node->kind == LG_NODE_PACK              ? copy_pack(lg_as_pack(node))
							  : copy_whole_branch(lg_as_branch(node));
	if (!copy)
		return LG_ENOMEM;
	lg_node_unref(node);
	*slot = copy;
	return 0;
}

static uint64_t floor_of(struct lg_node *node)
{
	return node->kind == LG_NODE_LEAF    ? lg_as_leaf(node)->change
		: node->kind == LG_NODE_PACK ? lg_as_pack(node)->floor
					     : lg_as_branch(node)->floor;
}

/* Change numbers below *slot become at least `floor`; content and hash stay. */
static int raise_floor(struct lg_node **slot, uint64_t floor)
{
	if (floor <= floor_of(*slot))
		return 0;
	if (own(slot) < 0)
		return LG_ENOMEM;
	if ((*slot)->kind == LG_NODE_LEAF)
		lg_as_leaf(*slot)->change = floor;
	else if ((*slot)->kind == LG_NODE_PACK)
		lg_as_pack(*slot)->floor = floor;
	else
		lg_as_branch(*slot)->floor = floor;
	return 0;
}

/* A part of another tree, or of this one, as a node: a reference, or a new one where it is some entries of a packed one. */
static int take_part(const struct lg_part *part, struct lg_node **ret_node)
{
	if (lg_part_is_whole(part)) {
		*ret_node = lg_node_ref(part->node);
		return 0;
	}
	const struct lg_pack *pack = lg_as_pack(part->node);
	*ret_node = lg_pack_sub(pack, part->from, part->to, pack->floor);
	return *ret_node ? 0 : LG_ENOMEM;
}

/* *slot, which is packed, becomes a branch over what is packed. */
static int unpack(struct lg_node **slot)
{
	struct lg_node *node;
	int rc = lg_pack_open(lg_as_pack(*slot), &node);
	if (rc < 0)
		return rc;
	lg_node_unref(*slot);
	*slot = node;
	return 0;
}

static int fail(int rc, struct lg_error *err)
{
	if (rc == LG_ENOMEM)
		return lg_fail_nomem(err);
	return lg_fail(err, rc, 0,
		"a part of the checkpoint that this state was read from does not hash to what it says; look "
		"with: lastgood doctor");
}

/* Moves an owned branch's floor to its kids, so that one of them can be replaced by something older. */
static int push_floor(struct lg_branch *branch)
{
	int rc = 0;
	if (branch->floor == 0)
		return 0;
	for (uint32_t i = 0; rc == 0 && i < branch->count; i++) {
		branch->bytes -= lg_node_bytes(branch->kids[i]);
		rc = raise_floor(&branch->kids[i], branch->floor);
		branch->bytes += lg_node_bytes(branch->kids[i]);
	}
	branch->first = lg_node_first(branch->kids[0]);
	if (branch->newest < branch->floor)
		branch->newest = branch->floor;
	if (rc == 0)
		branch->floor = 0;
	return rc;
}

/* What a node weighs in the sums of those above it. */
struct weight {
	uint64_t keys, bytes;
};

static struct weight weight_of(struct lg_node *node)
{
	return (struct weight){ lg_node_keys(node), lg_node_bytes(node) };
}

/* kids[i] of an owned branch has been replaced. */
static void kid_changed(struct lg_branch *branch, int64_t i, struct weight before)
{
	struct weight now = weight_of(branch->kids[i]);
	branch->keys += now.keys - before.keys;
	branch->bytes += now.bytes - before.bytes;
	if (branch->newest < lg_node_newest(branch->kids[i]))
		branch->newest = lg_node_newest(branch->kids[i]);
	if (i == 0)
		branch->first = lg_node_first(branch->kids[0]);
	atomic_store_explicit(&branch->node.hashed, false, memory_order_relaxed);
}

/* --- insert ------------------------------------------------------------------------------------------------------ */

/* -1 when the key ends at offset, else its byte there: the order of kids. */
static int byte_at(struct lg_text key, size_t offset)
{
	return offset < key.len ? (uint8_t)key.data[offset] : -1;
}

/* A new branch at `offset` over *slot and node, takes node. */
static int split(struct lg_node **slot, struct lg_node *node, size_t offset)
{
	struct lg_branch *branch = lg_branch_alloc(NULL, 2);
	if (!branch)
		return LG_ENOMEM;
	int old_byte = byte_at(lg_node_first_key(*slot), offset);
	int new_byte = byte_at(lg_node_first_key(node), offset);
	uint32_t at = new_byte > old_byte;
	branch->offset = (uint32_t)offset;
	branch->kids[at] = node;
	branch->kids[!at] = *slot;
	lg_branch_bytes(branch)[at] = (uint8_t)new_byte;
	lg_branch_bytes(branch)[!at] = (uint8_t)old_byte;
	branch->node.has_end = new_byte < 0 || old_byte < 0;
	lg_branch_refresh(branch);
	*slot = &branch->node;
	return 0;
}

static int add_kid(struct lg_node **slot, struct lg_node *node)
{
	struct lg_branch *branch = lg_as_branch(*slot);
	int byte = byte_at(lg_node_first_key(node), branch->offset);
	const uint8_t *bytes = lg_branch_bytes(branch);
	uint32_t at = byte < 0 ? 0 : branch->node.has_end;
	while (byte >= 0 && at < branch->count && bytes[at] < byte)
		at++;
	struct lg_branch *wider = copy_branch(branch, at, -1);
	if (!wider)
		return LG_ENOMEM;
	wider->kids[at] = node;
	lg_branch_bytes(wider)[at] = (uint8_t)byte;
	if (byte < 0)
		wider->node.has_end = true;
	lg_branch_refresh(wider);
	lg_node_unref(*slot);
	*slot = &wider->node;
	return 0;
}

#define SAME_KEY SIZE_MAX

/* Puts node (a leaf or a whole subtree, taken on success) below *slot.  differ: first offset in which its keys differ from
 * those nearest to it there, or SAME_KEY.  older: node has change numbers below the floors on its way. */
static int insert(struct lg_node **slot, struct lg_node *node, size_t differ, bool older)
{
	size_t offset = lg_node_offset(*slot);
	if (differ < offset)
		return split(slot, node, differ);
	if (offset == SIZE_MAX) { /* one entry, of the same key */
		lg_node_unref(*slot);
		*slot = node;
		return 0;
	}
	int rc = (*slot)->kind == LG_NODE_PACK ? unpack(slot) : own(slot);
	if (rc < 0)
		return rc;
	struct lg_branch *branch = lg_as_branch(*slot);
	if (older && push_floor(branch) < 0)
		return LG_ENOMEM;
	struct lg_text first = lg_node_first_key(node);
	int64_t i = lg_branch_step(branch, first.data, first.len);
	if (i < 0)
		return add_kid(slot, node);
	struct weight before = weight_of(branch->kids[i]);
	rc = insert(&branch->kids[i], node, differ, older);
	kid_changed(branch, i, before); /* also after a failure: what is below may have been copied */
	return rc;
}

static size_t find_differ(struct lg_node *node, const char *key, size_t len)
{
	while (node->kind == LG_NODE_BRANCH) {
		int64_t i = lg_branch_step(lg_as_branch(node), key, len);
		if (i < 0)
			break;
		node = lg_as_branch(node)->kids[i];
	}
	struct lg_text near = lg_node_first_key(node);
	if (node->kind == LG_NODE_PACK)
		near = lg_pack_key(lg_as_pack(node), lg_pack_search(lg_as_pack(node), key, len));
	size_t differ = lg_key_differ(key, len, near.data, near.len, SIZE_MAX);
	return differ == len && differ == near.len ? SAME_KEY : differ;
}

static int insert_node(struct lg_tree_edit *edit, struct lg_node *node, bool older, struct lg_error *err)
{
	struct lg_node **root = &edit->result->root;
	if (!*root) {
		*root = node;
		return 0;
	}
	struct lg_text first = lg_node_first_key(node);
	int rc = insert(root, node, find_differ(*root, first.data, first.len), older);
	return rc < 0 ? fail(rc, err) : 0;
}

int lg_tree_edit_put(struct lg_tree_edit *edit, const char *key, size_t key_len, const char *value,
	size_t value_len, uint64_t change, struct lg_error *err)
{
	if (key_len >= LG_SELECTOR_MAX || value_len >= UINT32_MAX)
		return lg_fail(err, LG_EINVALID, 0, "key or value too long");
	struct lg_leaf *leaf = lg_leaf_new(NULL, &(struct lg_entry){ key, key_len, value, value_len, change });
	if (!leaf)
		return lg_fail_nomem(err);
	int rc = insert_node(edit, &leaf->node, false, err);
	if (rc < 0)
		lg_node_unref(&leaf->node);
	return rc;
}

/* --- remove ------------------------------------------------------------------------------------------------------ */

/* What a selector means in the trie: a prefix stops at the first branch at or behind its end, a key goes on to the leaf. */
struct span {
	const char *text;
	size_t len;
	bool is_prefix;
};

static struct lg_part find_span(struct lg_node *root, const struct span *span)
{
	return span->is_prefix ? lg_part_find_prefix(root, span->text, span->len)
			       : lg_part_find(root, span->text, span->len);
}

static int drop_kid(struct lg_node **slot, uint32_t at)
{
	struct lg_branch *branch = lg_as_branch(*slot);
	if (branch->count == 2) {
		struct lg_node *rest = lg_node_ref(branch->kids[!at]);
		if (raise_floor(&rest, branch->floor) < 0) {
			lg_node_unref(rest);
			return LG_ENOMEM;
		}
		lg_node_unref(*slot);
		*slot = rest;
		return 0;
	}
	struct lg_branch *narrower = copy_branch(branch, -1, at);
	if (!narrower)
		return LG_ENOMEM;
	if (at == 0)
		narrower->node.has_end = false;
	lg_branch_refresh(narrower);
	lg_node_unref(*slot);
	*slot = &narrower->node;
	return 0;
}

/* Takes `target`, which is what span means below *slot, out.  *slot becomes NULL when nothing is left. */
static int take_out(struct lg_node **slot, const struct span *span, struct lg_part target)
{
	if (*slot == target.node && !lg_part_is_whole(&target)) {
		int rc = unpack(slot);
		if (rc < 0)
			return rc;
		target = find_span(*slot, span);
	}
	if (*slot == target.node) {
		lg_node_unref(*slot);
		*slot = NULL;
		return 0;
	}
	struct lg_branch *branch = lg_as_branch(*slot);
	int64_t i = lg_branch_step(branch, span->text, span->len);
	if (i < 0)
		return LG_EINTERNAL;
	if (branch->kids[i] == target.node && lg_part_is_whole(&target))
		return drop_kid(slot, (uint32_t)i);
	if (own(slot) < 0)
		return LG_ENOMEM;
	branch = lg_as_branch(*slot);
	struct weight before = weight_of(branch->kids[i]);
	int rc = take_out(&branch->kids[i], span, target);
	if (branch->kids[i]) /* always: had all of it been the target, drop_kid() would have run */
		kid_changed(branch, i, before);
	return rc;
}

static int remove_span(struct lg_tree_edit *edit, const struct span *span, struct lg_error *err)
{
	const struct lg_part target = find_span(edit->result->root, span);
	if (!target.node)
		return 0;
	int rc = take_out(&edit->result->root, span, target);
	return rc < 0 ? fail(rc, err) : 1;
}

int lg_tree_edit_remove(struct lg_tree_edit *edit, const char *key, size_t len, struct lg_error *err)
{
	return remove_span(edit, &(struct span){ .text = key, .len = len }, err);
}

/* --- restore ----------------------------------------------------------------------------------------------------- */

/* What `from` has under span replaces what the edit has there.  change 0 keeps the change numbers. */
static int graft(struct lg_tree_edit *edit, struct lg_node *from, const struct span *span, uint64_t change,
	struct lg_error *err)
{
	int rc = remove_span(edit, span, err);
	if (rc < 0)
		return rc;
	const struct lg_part part = find_span(from, span);
	if (!part.node)
		return 0;
	struct lg_node *node = NULL;
	rc = take_part(&part, &node);
	if (rc == 0)
		rc = raise_floor(&node, change > part.floor ? change : part.floor);
	if (rc < 0) {
		lg_node_unref(node);
		return fail(rc, err);
	}
	rc = insert_node(edit, node, change == 0, err);
	if (rc < 0)
		lg_node_unref(node);
	return rc;
}

static int graft_selector(struct lg_tree_edit *edit, struct lg_node *from, const char *selector,
	uint64_t change, struct lg_error *err)
{
	char declared[LG_SELECTOR_MAX];
	int len = snprintf(declared, sizeof declared, LG_SCHEMA_SPACE "%s", selector);
	if (len < 0 || (size_t)len >= sizeof declared)
		return lg_fail(err, LG_EINVALID, 0, "selector '%s' is too long", selector);
	bool is_prefix = declared[len - 1] == '/';
	struct span span = { .text = selector, .len = strlen(selector), .is_prefix = is_prefix };
	int rc = graft(edit, from, &span, change, err);
	if (rc < 0 || selector[0] == '@')
		return rc;
	struct span schema = { .text = declared, .len = (size_t)len, .is_prefix = is_prefix };
	return graft(edit, from, &schema, change, err);
}

int lg_tree_edit_restore(struct lg_tree_edit *edit, struct lg_tree *from, const struct lg_scope *scope,
	uint64_t change, struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *former = lg_tree_empty();
	if (!former)
		return lg_fail_nomem(err);
	if (edit->result->root)
		former->root = lg_node_ref(edit->result->root);
	int rc = 0;
	if (!scope || scope->include_count == 0)
		rc = graft(edit, from->root, &(struct span){ .text = "", .is_prefix = true }, change, err);
	for (size_t i = 0; scope && rc >= 0 && i < scope->include_count; i++)
		rc = graft_selector(edit, from->root, scope->include[i], change, err);
	for (size_t i = 0; scope && rc >= 0 && i < scope->exclude_count; i++)
		rc = graft_selector(edit, former->root, scope->exclude[i], 0, err);
	return rc < 0 ? rc : 0;
}
