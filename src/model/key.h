/* key.h - names of settings.
 *
 * A key is valid UTF-8 of 1…LG_KEY_MAX bytes, segments joined by '/': no empty segment (so no leading, trailing or
 * double slash), no segment "." or "..", no control character (C0, DEL, C1).  A first segment that begins with '@' is
 * reserved: @schema/KEY declares KEY, @schema/@strict is the schema's own, @flag/NAME is a flag; other '@…' keys are
 * refused.
 */
#ifndef LG_MODEL_KEY_H
#define LG_MODEL_KEY_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

#define LG_KEY_MAX      512
#define LG_SCHEMA_SPACE "@schema/"
#define LG_FLAG_SPACE   "@flag/"

/* LG_EINVALID with what is wrong and where. Accepts the reserved spaces. */
int lg_key_check(const char *key, size_t len, struct lg_error *err);
/* The same for what a person may set by hand: reserved keys are refused too. */
int lg_key_check_setting(const char *key, size_t len, struct lg_error *err);
/* A prefix is a valid key followed by '/', or a whole reserved space ("@schema/", "@flag/"). */
int lg_prefix_check(const char *prefix, size_t len, struct lg_error *err);

#endif
