#include "base/pages.h"

#include <stdint.h>
#include <sys/mman.h>

static size_t rounded(size_t size)
{
	return (size + LG_PAGES_ALIGN - 1) & ~(LG_PAGES_ALIGN - 1);
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
