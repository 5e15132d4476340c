/* tree_node.h - the inside of tree.h, shared by tree*.c only.
 *
 *	tree_node.c   memory of nodes, and its account
 *	tree_part.c   finding and walking, the same over all kinds of nodes
 *	tree_pack.c   packed subtrees: how a state is stored, and used where it lies
 *	tree_hash.c   hashes of nodes and scopes
 *	tree_build.c  bulk build; tree_edit.c changes; tree_diff.c differences; tree.c the rest
 *
 * A node is counted.  A node whose count is 1, reached from an edit's root only through nodes whose count is 1, is that
 * edit's alone and may be changed in place; every other node is immutable except for its lazily made hash.
 *
 * A packed node stands for a whole subtree of a few dozen entries that lies, as it was stored, in a block of memory: it is
 * searched, walked, hashed and compared there.  Where an edit has to change something inside, its branches on the way become
 * nodes, and what is beside the way stays packed.
 *
 * Locks: hashing takes one global mutex and sets `hashed` with release order; whoever reads `hashed` with acquire order may
 * read the hash without it.
 */
#ifndef LG_MODEL_TREE_NODE_H
#define LG_MODEL_TREE_NODE_H

#include "base/pages.h"
#include "model/tree.h"

#include <endian.h>
#include <stdatomic.h>
#include <string.h>

enum lg_node_kind { LG_NODE_LEAF, LG_NODE_BRANCH, LG_NODE_PACK };

struct lg_node {
	_Atomic uint32_t refs;
	uint8_t kind;
	atomic_bool hashed;
	bool has_end; /* branch: kids[0] is the key that ends at offset */
	bool in_slab; /* memory is a part of a struct lg_slab */
};

/* What the bulk build allocates from: a large state is hundreds of thousands of small nodes that live and die nearly together,
 * and one page fault for each page of them costs more than all the rest of building.  A slab lies at a multiple of its
 * size, so a node finds it by its own address, and is freed with its last node. */
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
	struct lg_node *
		first; /* leftmost leaf or packed node below: its key shows the prefix that all keys below share */
	uint64_t floor;  /* change numbers below are at least this */
	uint64_t newest; /* the highest one that was ever below, or lower: what is taken out is not forgotten */
	uint64_t keys;   /* entries below */
	uint64_t bytes;  /* of memory of this node and all below */
	uint8_t hash[LG_HASH_SIZE];
	struct lg_node *kids[];
};

/* The memory that packed nodes lie in: one for each stored state, freed with its last node. */
struct lg_region {
	_Atomic size_t refs;
	struct lg_block *block;
};

/* A whole pack, or a run of its entries that is a subtree. */
struct lg_pack {
	struct lg_node node;
	uint32_t count;      /* entries */
	uint32_t from;       /* which of the pack's is the first */
	uint32_t offset;     /* of the branch on top, UINT32_MAX when there is one entry */
	uint32_t size;       /* bytes of what it stands for */
	uint64_t floor;      /* as a branch's */
	uint64_t newest;     /* of the entries */
	const uint8_t *data; /* the pack: see tree_pack.c */
	struct lg_region *region;
	uint8_t hash[LG_HASH_SIZE];
};

struct lg_tree {
	_Atomic uint32_t refs;
	struct lg_node *root; /* NULL: empty */
};

struct lg_text {
	const char *data;
	size_t len;
};

static inline struct lg_leaf *lg_as_leaf(struct lg_node *node)
{
	return (struct lg_leaf *)node;
}

static inline struct lg_branch *lg_as_branch(struct lg_node *node)
{
	return (struct lg_branch *)node;
}

static inline struct lg_pack *lg_as_pack(struct lg_node *node)
{
	return (struct lg_pack *)node;
}

static inline const char *lg_leaf_value(const struct lg_leaf *leaf)
{
	return leaf->data + leaf->key_len + 1;
}

static inline uint8_t *lg_branch_bytes(struct lg_branch *branch)
{
	return (uint8_t *)(branch->kids + branch->count);
}

static inline struct lg_node *lg_node_ref(struct lg_node *node)
{
	atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
	return node;
}

/* --- packed nodes: the layout is explained in tree_pack.c ---------------------------------------------------------- */

#define LG_PACK_HEAD  (4 + 2 + 2 + LG_HASH_SIZE)
#define LG_PACK_INDEX 8
#define LG_PACK_ENTRY (8 + 4 + 2 + LG_HASH_SIZE)

/* Stored numbers are little endian and stand anywhere. */
static inline uint16_t lg_get_u16(const uint8_t *from)
{
	uint16_t value;
	memcpy(&value, from, sizeof value);
	return le16toh(value);
}

static inline uint32_t lg_get_u32(const uint8_t *from)
{
	uint32_t value;
	memcpy(&value, from, sizeof value);
	return le32toh(value);
}

static inline uint64_t lg_get_u64(const uint8_t *from)
{
	uint64_t value;
	memcpy(&value, from, sizeof value);
	return le64toh(value);
}

static inline const uint8_t *lg_pack_index(const struct lg_pack *pack, uint32_t i)
{
	return pack->data + LG_PACK_HEAD + ((size_t)pack->from + i) * LG_PACK_INDEX;
}

/* First offset in which entry i differs from the one before it. */
static inline uint32_t lg_pack_differ(const struct lg_pack *pack, uint32_t i)
{
	return lg_get_u16(lg_pack_index(pack, i) + 4);
}

static inline const uint8_t *lg_pack_at(const struct lg_pack *pack, uint32_t i)
{
	return pack->data + lg_get_u32(lg_pack_index(pack, i));
}

static inline const uint8_t *lg_pack_entry_hash(const struct lg_pack *pack, uint32_t i)
{
	return lg_pack_at(pack, i) + 14;
}

static inline struct lg_text lg_pack_key(const struct lg_pack *pack, uint32_t i)
{
	const uint8_t *at = lg_pack_at(pack, i);
	return (struct lg_text){ (const char *)at + LG_PACK_ENTRY, lg_get_u16(at + 12) };
}

/* floor: the highest one above the packed node. */
static inline struct lg_entry lg_pack_entry(const struct lg_pack *pack, uint32_t i, uint64_t floor)
{
	const uint8_t *at = lg_pack_at(pack, i);
	uint64_t change = lg_get_u64(at);
	if (pack->floor > floor)
		floor = pack->floor;
	struct lg_entry entry = { .key = (const char *)at + LG_PACK_ENTRY,
		.key_len = lg_get_u16(at + 12),
		.value_len = lg_get_u32(at + 8),
		.change = change > floor ? change : floor };
	entry.value = entry.key + entry.key_len + 1;
	return entry;
}

/* The entry that shares the most bytes with key. */
uint32_t lg_pack_search(const struct lg_pack *pack, const char *key, size_t len);
/* Is it a whole pack, as it was stored? */
static inline bool lg_pack_is_whole(const struct lg_pack *pack)
{
	return pack->from == 0 && pack->count == lg_get_u16(pack->data + 4);
}
/* Entries from..to, which are a subtree, as a node of their own; NULL when memory is gone. */
struct lg_node *lg_pack_sub(const struct lg_pack *pack, uint32_t from, uint32_t to, uint64_t floor);
/* The branch on top of one with more than one entry, as a node.  LG_ECORRUPT when a whole one does not hash to what it says. */
int lg_pack_open(struct lg_pack *pack, struct lg_node **ret_node);

/* --- any node ------------------------------------------------------------------------------------------------------- */

/* A leaf or a packed node: what holds the first key. */
static inline struct lg_node *lg_node_first(struct lg_node *node)
{
	return node->kind == LG_NODE_BRANCH ? lg_as_branch(node)->first : node;
}

static inline struct lg_text lg_node_first_key(struct lg_node *node)
{
	struct lg_node *first = lg_node_first(node);
	if (first->kind == LG_NODE_PACK)
		return lg_pack_key(lg_as_pack(first), 0);
	return (struct lg_text){ lg_as_leaf(first)->data, lg_as_leaf(first)->key_len };
}

static inline uint64_t lg_node_keys(struct lg_node *node)
{
	return node->kind == LG_NODE_LEAF    ? 1
		: node->kind == LG_NODE_PACK ? lg_as_pack(node)->count
					     : lg_as_branch(node)->keys;
}

/* Where the branch on top stands; SIZE_MAX for a single entry. */
static inline size_t lg_node_offset(struct lg_node *node)
{
	if (node->kind == LG_NODE_BRANCH)
		return lg_as_branch(node)->offset;
	bool is_entry = node->kind == LG_NODE_LEAF || lg_as_pack(node)->count == 1;
	return is_entry ? SIZE_MAX : lg_as_pack(node)->offset;
}

static inline const uint8_t *lg_node_hash_bytes(struct lg_node *node)
{
	return node->kind == LG_NODE_LEAF    ? lg_as_leaf(node)->hash
		: node->kind == LG_NODE_PACK ? lg_as_pack(node)->hash
					     : lg_as_branch(node)->hash;
}

/* The highest change number below, as far as floors above do not make it higher. */
static inline uint64_t lg_node_newest(struct lg_node *node)
{
	if (node->kind == LG_NODE_LEAF)
		return lg_as_leaf(node)->change;
	uint64_t floor = node->kind == LG_NODE_PACK ? lg_as_pack(node)->floor : lg_as_branch(node)->floor;
	uint64_t newest = node->kind == LG_NODE_PACK ? lg_as_pack(node)->newest : lg_as_branch(node)->newest;
	return newest > floor ? newest : floor;
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
/* Like another one, which need not be on the heap; takes a reference of its region. */
struct lg_pack *lg_pack_new(const struct lg_pack *like);
void lg_slab_release(struct lg_slab *slab);              /* NULL is fine */
struct lg_region *lg_region_new(struct lg_block *block); /* takes a reference of the block */
void lg_region_unref(struct lg_region *region);
/* first, keys, bytes and hashed follow from the kids. */
void lg_branch_refresh(struct lg_branch *branch);
void lg_node_hash(struct lg_node *node);
size_t lg_node_own_bytes(struct lg_node *node); /* of the node alone; a packed one with its entries */
static inline uint64_t lg_node_bytes(struct lg_node *node)
{
	return node->kind == LG_NODE_BRANCH ? lg_as_branch(node)->bytes : lg_node_own_bytes(node);
}
/* Bulk build with whole subtrees: `node` has the keys first..last; taken on success. */
int lg_tree_builder_add_node(struct lg_tree_builder *builder, struct lg_node *node, struct lg_text first,
	struct lg_text last, struct lg_error *err);
/* Counts memory of trees: bytes come, or go. */
void lg_tree_account(int64_t bytes);

/* --- parts ---------------------------------------------------------------------------------------------------------- */

/* A subtree wherever it lies: below a node, or the entries from..to of a packed one.  node NULL: nothing. */
struct lg_part {
	struct lg_node *node;
	uint64_t floor;    /* the highest one above the node */
	uint32_t from, to; /* packed only */
};

struct lg_part lg_part_of(struct lg_node *node, uint64_t floor);
bool lg_part_is_whole(const struct lg_part *part); /* all of its node */
bool lg_part_is_entry(const struct lg_part *part);
struct lg_entry lg_part_entry(const struct lg_part *part); /* of one that is an entry */
struct lg_text lg_part_first_key(const struct lg_part *part);
size_t lg_part_offset(const struct lg_part *part); /* as lg_node_offset() */
size_t lg_part_keys(const struct lg_part *part);
const uint8_t *lg_part_known_hash(const struct lg_part *part); /* NULL: it would have to be made */
void lg_part_hash(const struct lg_part *part, uint8_t ret_hash[LG_HASH_SIZE]);
/* The entry of key; the subtree of the keys that begin with prefix. */
struct lg_part lg_part_find(struct lg_node *root, const char *key, size_t len);
struct lg_part lg_part_find_prefix(struct lg_node *root, const char *prefix, size_t len);
int lg_part_walk(const struct lg_part *part, int (*visit)(void *arg, const struct lg_entry *entry), void *arg);

/* The kids of a part that is no entry, in order.  byte: -1 for the key that ends at the offset, LG_KIDS_END behind the last. */
#define LG_KIDS_END 256
struct lg_kids {
	struct lg_part above, kid;
	size_t offset;
	uint32_t next;
	int byte;
};
struct lg_kids lg_kids_begin(const struct lg_part *above); /* stands at the first */
void lg_kids_next(struct lg_kids *kids);

/* First offset in which the keys differ (one may end there), at most `limit`. */
static inline size_t lg_key_differ(const char *a, size_t a_len, const char *b, size_t b_len, size_t limit)
{
	size_t end = a_len < b_len ? a_len : b_len;
	if (limit < end)
		end = limit;
	size_t i = 0;
	for (; end - i >= 8; i += 8) {
		uint64_t x, y;
		memcpy(&x, a + i, 8);
		memcpy(&y, b + i, 8);
		if (x != y)
			break;
	}
	while (i < end && a[i] == b[i])
		i++;
	return i;
}

#endif
