#include "base/pages.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* To whole small pages: a huge one at the end would be cleared and held for a few bytes. */
static size_t rounded(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	return (size + page - 1) & ~(page - 1);
}

/* Aligned by asking for more, and giving back what is over on both sides. */
void *lg_pages_map(size_t size)
{
	if (size == 0 || size > SIZE_MAX / 2)
		return NULL;
	size = rounded(size);
	char *area =
		mmap(NULL, size + LG_PAGES_ALIGN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return NULL;
	size_t before = (LG_PAGES_ALIGN - (uintptr_t)area % LG_PAGES_ALIGN) % LG_PAGES_ALIGN;
	if (before)
		munmap(area, before);
	munmap(area + before + size, LG_PAGES_ALIGN - before);
	madvise(area + before, size, MADV_HUGEPAGE); /* where there are none, small pages do */
	return area + before;
}

void lg_pages_unmap(void *memory, size_t size)
{
	if (memory)
		munmap(memory, rounded(size));
}

/* --- blocks -------------------------------------------------------------------------------------------------------- */

/* Smaller ones come from malloc: a huge page has to be cleared whole. */
#define MAPPED_FROM (LG_PAGES_ALIGN / 2)

struct counted_block {
	struct lg_block block;
	_Atomic size_t refs;
	size_t bytes;
	_Alignas(max_align_t) char data[];
};

struct lg_block *lg_block_new(size_t size)
{
	if (size > SIZE_MAX / 2)
		return NULL;
	size_t bytes = sizeof(struct counted_block) + size;
	bool is_mapped = bytes >= MAPPED_FROM;
	struct counted_block *block = is_mapped ? lg_pages_map(bytes) : malloc(bytes);
	if (!block)
		return NULL;
	block->block = (struct lg_block){ block->data, size };
	atomic_init(&block->refs, 1);
	block->bytes = is_mapped ? rounded(bytes) : bytes;
	return &block->block;
}

struct lg_block *lg_block_ref(struct lg_block *block)
{
	atomic_fetch_add_explicit(&((struct counted_block *)block)->refs, 1, memory_order_relaxed);
	return block;
}

void lg_block_unref(struct lg_block *block)
{
	struct counted_block *counted = (struct counted_block *)block;
	if (!block || atomic_fetch_sub_explicit(&counted->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (counted->bytes >= MAPPED_FROM)
		lg_pages_unmap(counted, counted->bytes);
	else
		free(counted);
}

void lg_block_unrefp(struct lg_block **block)
{
	lg_block_unref(*block);
}

size_t lg_block_bytes(const struct lg_block *block)
{
	return ((const struct counted_block *)block)->bytes;
}
