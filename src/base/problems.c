#include "base/problems.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

void lg_problems_clear(struct lg_problems *problems)
{
	if (!problems)
		return;
	for (size_t i = 0; i < problems->count; i++) {
		free(problems->items[i].subject);
		free(problems->items[i].message);
	}
	free(problems->items);
	*problems = (struct lg_problems)LG_PROBLEMS_INIT;
}

void lg_problems_add(struct lg_problems *problems, const char *subject, const char *fmt, ...)
{
	if (!problems)
		return;
	problems->total++;
	if (problems->count == LG_PROBLEMS_MAX)
		return;
	struct lg_problem *items = realloc(problems->items, (problems->count + 1) * sizeof *items);
	if (!items)
		return;
	problems->items = items;
	struct lg_buf message = LG_BUF_INIT;
	va_list args;
	va_start(args, fmt);
	lg_buf_vaddf(&message, fmt, args);
	va_end(args);
	struct lg_problem item = { .subject = strdup(subject), .message = lg_buf_steal(&message) };
	lg_buf_clear(&message);
	if (!item.subject || !item.message) {
		free(item.subject);
		free(item.message);
		return;
	}
	items[problems->count++] = item;
}

int lg_problems_fail(const struct lg_problems *problems, struct lg_error *err, const char *what)
{
	if (!problems->total)
		return 0;
	if (!problems->count)
		return lg_fail(err, LG_EINVALID, 0, "%zu problems in %s", problems->total, what);
	const struct lg_problem *first = &problems->items[0];
	if (problems->total == 1)
		return lg_fail(err, LG_EINVALID, 0, "%s '%s': %s", what, first->subject, first->message);
	return lg_fail(err, LG_EINVALID, 0, "%zu problems in %s; first: '%s': %s", problems->total, what,
		first->subject, first->message);
}
