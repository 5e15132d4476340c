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

#endif
