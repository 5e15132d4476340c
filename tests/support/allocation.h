/* allocation.h - one allocation of lastgood's own code fails.  For one program each: it defines what the linker puts in front of
 * the allocator, so the program is linked with --wrap of each of these (see the meson.build of those that do). */
#ifndef LG_TESTS_ALLOCATION_H
#define LG_TESTS_ALLOCATION_H

#include <stdbool.h>
#include <stddef.h>

static long until_failure = -1; /* allocations to let pass; negative: all */
static bool fired;              /* it has failed */

static bool fails(void)
{
	if (until_failure < 0 || until_failure-- > 0)
		return false;
	fired = true;
	return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_reallocarray(void *memory, size_t count, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return fails() ? NULL : __real_realloc(memory, size);
}

void *__wrap_reallocarray(void *memory, size_t count, size_t size)
{
	return fails() ? NULL : __real_reallocarray(memory, count, size);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

#endif
