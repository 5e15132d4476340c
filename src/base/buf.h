/* buf.h - a growable byte buffer that is always NUL-terminated behind its length.
 *
 * Appends return 0 or LG_ENOMEM; a failed append leaves the buffer as it was and sets `failed`, so that a run of
 * appends can be checked once at its end (lg_buf_check).
 */
#ifndef LG_BASE_BUF_H
#define LG_BASE_BUF_H

#include "base/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lg_buf {
	char *data;  /* NULL until the first append */
	size_t len;  /* bytes, without the NUL */
	size_t size; /* allocated */
	bool failed;
};
#define LG_BUF_INIT                                                                                            \
	{                                                                                                      \
		0                                                                                              \
	}

void lg_buf_clear(struct lg_buf *buf); /* frees; NULL and zeroed are fine */
void lg_buf_reset(struct lg_buf *buf); /* length 0, memory kept, failure forgotten */
int lg_buf_reserve(struct lg_buf *buf, size_t more);
int lg_buf_add(struct lg_buf *buf, const void *data, size_t len);
int lg_buf_adds(struct lg_buf *buf, const char *text);
int lg_buf_addc(struct lg_buf *buf, char c);
int lg_buf_addf(struct lg_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int lg_buf_vaddf(struct lg_buf *buf, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
int lg_buf_check(const struct lg_buf *buf, struct lg_error *err); /* LG_ENOMEM if any append failed */
const char *lg_buf_str(const struct lg_buf *buf);                 /* "" when empty */
char *lg_buf_steal(struct lg_buf *buf); /* malloc'd string, never NULL unless failed */

#endif
