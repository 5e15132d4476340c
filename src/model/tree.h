/* tree.h - the state: a persistent ordered map from key to canonical value, with Merkle hashes.
 *
 * A byte-wise Patricia trie: a branch stands at the first byte offset in which the keys below it differ and has one child
 * per byte found there, in byte order, before them the one key that ends at that offset.  The shape depends on the key
 * set alone, so the same content always has the same shape and the same root hash, however it came about.  A prefix is a
 * subtree, so its hash, its key count and its replacement (lg_tree_edit_graft) cost only the depth.
 *
 * Values of struct lg_tree are immutable and counted (lg_tree_ref/unref, any thread).  A change goes through struct
 * lg_tree_edit: begin on a tree, put/remove/graft, commit gives a new tree; what did not change is shared.  An edit
 * belongs to one thread.
 *
 * Change numbers: each entry has the seq of the record that last changed it.  A graft stamps the whole subtree in O(1)
 * (a floor on its root), so an entry that a restore covered reports the restore's seq, as compare-and-set needs.
 *
 * Hashes (BLAKE2b-256): empty tree H("E"); entry H("L" key_len:u32 key value_len:u32 value);
 * branch H("B" offset:u32 end:u8 [hash of the key that ends here] then byte:u8 hash:32 per child); little endian.
 * Change numbers are not hashed.  Hashes are made once, when first asked for.
 */
#ifndef LG_MODEL_TREE_H
#define LG_MODEL_TREE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/pages.h"
#include "model/key.h"
#include "model/record.h"
#include "model/scope.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for "@schema/" + key + "/" + NUL. */
#define LG_SELECTOR_MAX (LG_KEY_MAX + sizeof LG_SCHEMA_SPACE + 1)

struct lg_tree;

/* A view into a tree; valid as long as the tree is referenced.  Key and value are NUL-terminated. */
struct lg_entry {
	const char *key;
	size_t key_len;
	const char *value;
	size_t value_len;
	uint64_t change; /* effective change number */
};

struct lg_tree *lg_tree_empty(void); /* a new reference to an empty tree; NULL when memory is gone */
struct lg_tree *lg_tree_ref(struct lg_tree *tree);
void lg_tree_unref(struct lg_tree *tree); /* NULL is fine */
void lg_tree_unrefp(struct lg_tree **tree);

bool lg_tree_get(const struct lg_tree *tree, const char *key, size_t len, struct lg_entry *ret_entry);
size_t lg_tree_count(const struct lg_tree *tree);
/* The highest change number below a key or a prefix ('/' at its end, or "" for all), in O(depth); 0 when there is nothing.  It
 * may be that of an entry that is gone by now, so something has changed there at that record, or later. */
uint64_t lg_tree_newest(const struct lg_tree *tree, const char *selector, size_t len);
size_t lg_tree_count_prefix(const struct lg_tree *tree, const char *prefix, size_t len);
/* Root hash.  Thread-safe; the first call on a fresh tree does the work. */
void lg_tree_hash(const struct lg_tree *tree, uint8_t ret_hash[LG_HASH_SIZE]);
/* Hash of what a scope holds, a function of that content alone: everything: the root hash; else H("S" and for each selector,
 * and its declarations: its length, its text, the hash of the subtree).  0 or LG_ENOMEM (only with excludes). */
int lg_tree_scope_hash(
	const struct lg_tree *tree, const struct lg_scope *scope, uint8_t ret_hash[LG_HASH_SIZE]);

/* Hash of one entry, which the tree must have. */
void lg_tree_entry_hash(
	const struct lg_tree *tree, const struct lg_entry *entry, uint8_t ret_hash[LG_HASH_SIZE]);

/* In key order, all entries that begin with prefix ("" for all).  A non-zero return of visit stops and is returned. */
int lg_tree_walk(const struct lg_tree *tree, const char *prefix, size_t len,
	int (*visit)(void *arg, const struct lg_entry *entry), void *arg);

/* Entries that differ, in key order; before or after is NULL where absent. Proportional to what differs, as far as the
 * two trees share nodes or hashes. scope NULL: everything. */
int lg_tree_diff(const struct lg_tree *before, const struct lg_tree *after, const struct lg_scope *scope,
	int (*visit)(void *arg, const struct lg_entry *before, const struct lg_entry *after), void *arg);

struct lg_tree_edit;
struct lg_tree_edit *lg_tree_edit_begin(struct lg_tree *base); /* NULL when memory is gone */
int lg_tree_edit_put(struct lg_tree_edit *edit, const char *key, size_t key_len, const char *value,
	size_t value_len, uint64_t change, struct lg_error *err);
/* 1 when removed, 0 when it was not there */
int lg_tree_edit_remove(struct lg_tree_edit *edit, const char *key, size_t len, struct lg_error *err);
/* The keys of scope become those of `from`, stamped with `change`. */
int lg_tree_edit_restore(struct lg_tree_edit *edit, struct lg_tree *from, const struct lg_scope *scope,
	uint64_t change, struct lg_error *err);
struct lg_tree *lg_tree_edit_commit(struct lg_tree_edit *edit); /* frees the edit; never fails */
void lg_tree_edit_abort(struct lg_tree_edit *edit);
void lg_tree_edit_abortp(struct lg_tree_edit **edit);

/* Bulk build from entries in strictly ascending key order: what checkpoints load with. */
struct lg_tree_builder;
struct lg_tree_builder *lg_tree_builder_new(void);
/* LG_ECORRUPT when not ascending. hash: the entry's hash if it is known (and checked later against the root), or NULL. */
int lg_tree_builder_add(struct lg_tree_builder *builder, const struct lg_entry *entry,
	const uint8_t hash[LG_HASH_SIZE], struct lg_error *err);
struct lg_tree *lg_tree_builder_finish(struct lg_tree_builder *builder, struct lg_error *err); /* frees it */
void lg_tree_builder_free(struct lg_tree_builder *builder);

/* --- packed form ----------------------------------------------------------------------------------------------------
 * How a state is stored: a row of packed subtrees of a few dozen entries each, with the hashes of subtrees and entries.  A tree
 * that is read from it uses it where it lies, and unpacks what is changed. */

/* At most so many entries in one.  More make a larger part of a state be unpacked for its first change, fewer make more nodes. */
#define LG_PACK_KEYS 128
/* Appends all of tree; max: LG_PACK_KEYS, except in tests.  0 or LG_ENOMEM. */
int lg_tree_pack(const struct lg_tree *tree, size_t max, struct lg_buf *buf);
/* The tree in len bytes of block from `at` on, which it keeps a reference of.  LG_ECORRUPT unless they are such a row of
 * `count` entries in order; hashes of entries and packed subtrees are believed, those above are made from them. */
int lg_tree_unpack(struct lg_block *block, size_t at, size_t len, uint64_t count, struct lg_tree **ret_tree,
	struct lg_error *err);

/* --- memory --------------------------------------------------------------------------------------------------------- */

/* Bytes that all trees of this process hold now. */
size_t lg_tree_held(void);
/* Bytes that a tree takes, with what it shares with others; at once. */
size_t lg_tree_bytes(const struct lg_tree *tree);
/* About what would be free if this reference, the only one of its tree, were dropped; walks what it holds alone. */
size_t lg_tree_alone_bytes(const struct lg_tree *tree);
/* In all, as lg_tree_bytes(), and of keys and values alone (walks the tree). */
void lg_tree_memory(const struct lg_tree *tree, size_t *ret_total, size_t *ret_payload);
/* Gives what the allocator keeps of freed trees back to the system. */
void lg_tree_trim(void);

#endif
