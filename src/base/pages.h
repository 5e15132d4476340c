/* pages.h - large stretches of memory in huge pages, where the kernel has them.
 *
 * A page fault for every 4 KiB costs more than reading and decoding what goes into them: loading a large state is
 * several times faster in pages of 2 MiB. */
#ifndef LG_BASE_PAGES_H
#define LG_BASE_PAGES_H

#include <stddef.h>

#define LG_PAGES_ALIGN ((size_t)2 * 1024 * 1024)

/* Zeroed memory of at least size bytes at a multiple of LG_PAGES_ALIGN, or NULL.  Given back with the same size. */
void *lg_pages_map(size_t size);
void lg_pages_unmap(void *memory, size_t size); /* NULL is fine */

/* Counted memory for what is read once and then shared, by any thread: `size` bytes at `data`, in huge pages when it is
 * worth one.  A new block has one reference. */
struct lg_block {
	char *data;
	size_t size;
};
struct lg_block *lg_block_new(size_t size); /* NULL when memory is gone */
struct lg_block *lg_block_ref(struct lg_block *block);
void lg_block_unref(struct lg_block *block); /* NULL is fine */
void lg_block_unrefp(struct lg_block **block);
size_t lg_block_bytes(const struct lg_block *block); /* of memory that it holds */

#endif
