#include "model/key.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

#define STRICT_NAME "@strict" /* LG_SCHEMA_STRICT without its space */

/* Enough of a key for a person to recognise it, safe to print. */
static int fail_key(struct lg_error *err, const char *key, size_t len, const char *what)
{
	enum { SHOWN = 120 };
	lg_cleanup(lg_buf_clear) struct lg_buf shown = LG_BUF_INIT;
	size_t cut = len > SHOWN ? SHOWN : len;
	while (cut < len && cut > 0 && ((unsigned char)key[cut] & 0xc0) == 0x80)
		cut--;
	lg_text_add_printable(&shown, key, cut);
	return lg_fail(err, LG_EINVALID, 0, "key '%s%s': %s", lg_buf_str(&shown), cut < len ? "…" : "", what);
}

static int fail_at(struct lg_error *err, const char *key, size_t len, const char *what, size_t offset)
{
	char text[160];
	snprintf(text, sizeof text, "%s at byte %zu", what, offset + 1);
	return fail_key(err, key, len, text);
}

static bool is_control(const char *key, size_t len, size_t at)
{
	unsigned char c = (unsigned char)key[at];
	if (c < 0x20 || c == 0x7f)
		return true;
	/* C1: U+0080…U+009F are 0xc2 0x80…0x9f */
	return c == 0xc2 && at + 1 < len && (unsigned char)key[at + 1] < 0xa0;
}

static int check_segment(const char *key, size_t len, size_t start, size_t end, struct lg_error *err)
{
	if (end == start)
		return fail_at(err, key, len, "empty segment", start);
	if (key[start] == '.' && (end - start == 1 || (end - start == 2 && key[start + 1] == '.')))
		return fail_at(err, key, len, "segment '.' or '..'", start);
	return 0;
}

/* Everything but length and the reserved spaces. */
static int check_shape(const char *key, size_t len, struct lg_error *err)
{
	size_t valid = lg_utf8_valid_prefix(key, len);
	if (valid < len)
		return fail_at(err, key, len, "invalid UTF-8", valid);
	size_t start = 0;
	for (size_t i = 0; i < len; i++) {
		if (is_control(key, len, i))
			return fail_at(err, key, len, "control character", i);
		if (key[i] != '/')
			continue;
		int rc = check_segment(key, len, start, i, err);
		if (rc < 0)
			return rc;
		start = i + 1;
	}
	return check_segment(key, len, start, len, err);
}

static bool begins(const char *key, size_t len, const char *space)
{
	size_t n = strlen(space);
	return len > n && memcmp(key, space, n) == 0;
}

/* For a key with a valid shape.  is_prefix: something will follow behind a further '/'. */
static int check_space(const char *key, size_t len, bool is_prefix, struct lg_error *err)
{
	if (key[0] != '@')
		return 0;
	if (begins(key, len, LG_FLAG_SPACE))
		return 0;
	if (!begins(key, len, LG_SCHEMA_SPACE))
		return fail_key(err, key, len,
			"a name that begins with '@' is reserved; only '" LG_SCHEMA_SPACE
			"KEY' and '" LG_FLAG_SPACE "NAME' exist");
	const char *declared = key + strlen(LG_SCHEMA_SPACE);
	size_t declared_len = len - strlen(LG_SCHEMA_SPACE);
	if (declared[0] != '@')
		return 0;
	if (!is_prefix && declared_len == strlen(STRICT_NAME) &&
		memcmp(declared, STRICT_NAME, declared_len) == 0)
		return 0;
	return fail_key(err, key, len, "a reserved key has no declaration");
}

static int check_length(const char *key, size_t len, struct lg_error *err)
{
	if (len == 0)
		return lg_fail(err, LG_EINVALID, 0, "the key is empty");
	if (len <= LG_KEY_MAX)
		return 0;
	char text[80];
	snprintf(text, sizeof text, "%zu bytes long, the limit is %d", len, LG_KEY_MAX);
	return fail_key(err, key, len, text);
}

int lg_key_check(const char *key, size_t len, struct lg_error *err)
{
	int rc = check_length(key, len, err);
	if (rc == 0)
		rc = check_shape(key, len, err);
	return rc < 0 ? rc : check_space(key, len, false, err);
}

int lg_key_check_setting(const char *key, size_t len, struct lg_error *err)
{
	int rc = lg_key_check(key, len, err);
	if (rc < 0)
		return rc;
	if (key[0] == '@')
		return fail_key(err, key, len, "a name that begins with '@' is reserved");
	return 0;
}

/* A reserved space as a whole is a prefix, though its name alone is no key. */
static bool is_space(const char *prefix, size_t len)
{
	return (len == strlen(LG_SCHEMA_SPACE) && memcmp(prefix, LG_SCHEMA_SPACE, len) == 0) ||
		(len == strlen(LG_FLAG_SPACE) && memcmp(prefix, LG_FLAG_SPACE, len) == 0);
}

int lg_prefix_check(const char *prefix, size_t len, struct lg_error *err)
{
	if (len == 0 || prefix[len - 1] != '/')
		return fail_key(err, prefix, len, "a prefix ends in '/'");
	if (is_space(prefix, len))
		return 0;
	int rc = check_length(prefix, len - 1, err);
	if (rc == 0)
		rc = check_shape(prefix, len - 1, err);
	return rc < 0 ? rc : check_space(prefix, len - 1, true, err);
}
