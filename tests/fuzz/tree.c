/* tree.c - a fuzzer for packed trees (libFuzzer; meson setup -Dfuzzing=true, CC=clang).
 *
 *	build-fuzz/tests/fuzz/fuzz_tree -max_total_time=60 CORPUS_DIRECTORY
 *
 * The first byte chooses.  Even: the rest is a stored tree, which is refused or can be used in every way.  Odd: the rest is
 * changes, done on a tree of nodes and on one that is stored and read again now and then; both must stay the same.
 */
#include "model/tree.h"
#include "base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "fuzz_tree: %s\n", what);
	abort();
}

static struct lg_tree *unpack(const char *data, size_t size, uint64_t count)
{
	lg_cleanup(lg_block_unrefp) struct lg_block *block = lg_block_new(size);
	struct lg_tree *tree = NULL;
	require(block != NULL, "no memory");
	if (size)
		memcpy(block->data, data, size);
	int rc = lg_tree_unpack(block, 0, size, count, &tree, NULL);
	require(rc == 0 || !tree, "a refused tree");
	return tree;
}

static int visit(void *arg, const struct lg_entry *entry)
{
	struct lg_entry same;
	struct lg_tree *tree = arg;
	require(lg_tree_get(tree, entry->key, entry->key_len, &same), "a key that is walked over is not found");
	require(same.key == entry->key && same.change == entry->change, "another one is found");
	return 0;
}

static int visit_pair(void *arg, const struct lg_entry *before, const struct lg_entry *after)
{
	++*(size_t *)arg;
	require(before || after, "nothing differs from nothing");
	return 0;
}

static void use(struct lg_tree *tree)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *empty = lg_tree_empty();
	lg_cleanup(lg_tree_edit_abortp) struct lg_tree_edit *edit = lg_tree_edit_begin(tree);
	uint8_t hash[LG_HASH_SIZE];
	size_t differ = 0;
	lg_tree_hash(tree, hash);
	lg_tree_walk(tree, "", 0, visit, tree);
	lg_tree_diff(tree, empty, NULL, visit_pair, &differ);
	require(differ == lg_tree_count(tree), "not all differs from nothing");
	(void)lg_tree_edit_put(edit, "a/b", 3, "1", 1, 1, NULL);
	(void)lg_tree_edit_remove(edit, "a/b", 3, NULL);
}

/* The count is a part of what surrounds the row: the right one, so that this is not all that is found. */
static void read_row(const char *data, size_t size)
{
	uint64_t count = 0;
	for (size_t at = 0; size - at >= 6;) {
		uint32_t length;
		memcpy(&length, data + at, sizeof length);
		count += (uint8_t)data[at + 4] + 256u * (uint8_t)data[at + 5];
		if (length == 0 || length > size - at)
			break;
		at += length;
	}
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = unpack(data, size, count);
	if (tree)
		use(tree);
}

/* A key of few letters, so that keys meet. */
static size_t key_of(const uint8_t *data, char key[8])
{
	size_t len = 1 + (data[0] & 3);
	for (size_t i = 0; i < len; i++)
		key[i] = "ab/c"[data[1] >> (2 * i) & 3];
	return len;
}

static void change(struct lg_tree **tree, const uint8_t *data, uint64_t seq)
{
	char key[8];
	size_t len = key_of(data + 1, key);
	struct lg_tree_edit *edit = lg_tree_edit_begin(*tree);
	int rc = data[0] & 1 ? lg_tree_edit_put(edit, key, len, (const char *)data + 3, 1, seq, NULL)
			     : lg_tree_edit_remove(edit, key, len, NULL);
	require(rc >= 0, "a change fails");
	lg_tree_unref(*tree);
	*tree = lg_tree_edit_commit(edit);
}

static void store_and_read(struct lg_tree **tree, size_t max)
{
	lg_cleanup(lg_buf_clear) struct lg_buf row = LG_BUF_INIT;
	require(lg_tree_pack(*tree, max, &row) == 0, "pack");
	struct lg_tree *read = unpack(row.data, row.len, lg_tree_count(*tree));
	require(read != NULL, "what was stored cannot be read");
	lg_tree_unref(*tree);
	*tree = read;
}

static void change_both(const uint8_t *data, size_t size)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *plain = lg_tree_empty();
	lg_cleanup(lg_tree_unrefp) struct lg_tree *stored = lg_tree_ref(plain);
	for (uint64_t seq = 1; size >= 4; seq++, data += 4, size -= 4) {
		change(&plain, data, seq);
		change(&stored, data, seq);
		if (data[0] & 2)
			store_and_read(&stored, 1 + data[0] / 4);
	}
	uint8_t a[LG_HASH_SIZE], b[LG_HASH_SIZE];
	size_t differ = 0;
	lg_tree_diff(plain, stored, NULL, visit_pair, &differ);
	lg_tree_hash(plain, a);
	lg_tree_hash(stored, b);
	require(differ == 0 && memcmp(a, b, sizeof a) == 0, "what was stored in between became another one");
	use(stored);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		change_both(data + 1, size - 1);
	else
		read_row((const char *)data + 1, size - 1);
	require(lg_tree_held() == 0, "memory is on the account when all is given back");
	return 0;
}
