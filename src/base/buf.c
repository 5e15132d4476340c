#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lg_buf_clear(struct lg_buf *buf)
{
	if (!buf)
		return;
	free(buf->data);
	*buf = (struct lg_buf)LG_BUF_INIT;
}

void lg_buf_reset(struct lg_buf *buf)
{
	buf->len = 0;
	buf->failed = false;
	if (buf->data)
		buf->data[0] = '\0';
}

int lg_buf_reserve(struct lg_buf *buf, size_t more)
{
	if (more < buf->size && buf->len < buf->size - more)
		return 0;
	size_t want = buf->size ? buf->size : 64;
	while (want - buf->len <= more) {
		if (want > SIZE_MAX / 2)
			goto failed;
		want *= 2;
	}
	char *data = realloc(buf->data, want);
	if (!data)
		goto failed;
	if (!buf->data)
		data[0] = '\0';
	buf->data = data;
	buf->size = want;
	return 0;
failed:
	buf->failed = true;
	return LG_ENOMEM;
}

int lg_buf_add(struct lg_buf *buf, const void *data, size_t len)
{
	if (lg_buf_reserve(buf, len) < 0)
		return LG_ENOMEM;
	if (len)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return 0;
}

int lg_buf_adds(struct lg_buf *buf, const char *text)
{
	return lg_buf_add(buf, text, strlen(text));
}

int lg_buf_addc(struct lg_buf *buf, char c)
{
	return lg_buf_add(buf, &c, 1);
}

int lg_buf_vaddf(struct lg_buf *buf, const char *fmt, va_list args)
{
	va_list again;
	va_copy(again, args);
	int need = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (need < 0 || lg_buf_reserve(buf, (size_t)need) < 0) {
		buf->failed = true;
		return LG_ENOMEM;
	}
	vsnprintf(buf->data + buf->len, (size_t)need + 1, fmt, args);
	buf->len += (size_t)need;
	return 0;
}

int lg_buf_addf(struct lg_buf *buf, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int rc = lg_buf_vaddf(buf, fmt, args);
	va_end(args);
	return rc;
}

int lg_buf_check(const struct lg_buf *buf, struct lg_error *err)
{
	return buf->failed ? lg_fail_nomem(err) : 0;
}

const char *lg_buf_str(const struct lg_buf *buf)
{
	return buf->data ? buf->data : "";
}

char *lg_buf_steal(struct lg_buf *buf)
{
	if (buf->failed || lg_buf_reserve(buf, 0) < 0)
		return NULL;
	char *data = buf->data;
	*buf = (struct lg_buf)LG_BUF_INIT;
	return data;
}
