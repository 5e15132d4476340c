/* text.h - what strings mean: UTF-8, hex, base64, durations, sizes, times.  Pure; no locale is consulted. */
#ifndef LG_BASE_TEXT_H
#define LG_BASE_TEXT_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the valid UTF-8 prefix (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF): len when all
 * of it is valid. */
size_t lg_utf8_valid_prefix(const char *text, size_t len);

/* Append `text` so that it is safe on one line of a terminal or log: control characters, invalid UTF-8 and bidi
 * overrides as \xNN or \u{NNNN}; everything else as it is. */
int lg_text_add_printable(struct lg_buf *buf, const char *text, size_t len);
/* Append as a JSON string with its quotes, in the canonical form: only `"`, `\` and controls are escaped (short forms
 * \b \f \n \r \t, else \u00nn lowercase).  Text that is not valid UTF-8 is LG_EINVALID: nothing is appended and
 * `failed` is set, so that a caller who checks once at the end cannot miss it. */
int lg_text_add_json_string(struct lg_buf *buf, const char *text, size_t len);

/* The beginning of `text`, printable (as above) and cut with "…" so that it fits: for quoting hostile input in a message. */
#define LG_SNIPPET_SIZE 96
const char *lg_text_snippet(const char *text, char buf[static LG_SNIPPET_SIZE]);

/* Exactly 2*len hexadecimal digits of either case and then the end of the text, or LG_EINVALID. */
void lg_hex_encode(const uint8_t *data, size_t len, char *ret_text /* 2*len + 1 */);
int lg_hex_decode(const char *text, uint8_t *ret_data, size_t len, struct lg_error *err);

/* Durations: "500ms", "10s", "5m", "2h", "7d", sums "1h30m", "0s"; units ns us ms s m h d; whole numbers only, no
 * blanks, not negative, each unit once and descending.  In ns, at most INT64_MAX. */
int lg_duration_parse(const char *text, int64_t *ret_ns, struct lg_error *err);
/* The shortest exact form: 90 s is "1m30s".  buf of LG_DURATION_SIZE. */
#define LG_DURATION_SIZE 64
const char *lg_duration_format(int64_t ns, char buf[static LG_DURATION_SIZE]);

/* Sizes in bytes: "512", "512B", "4kB" = "4KiB" = 4096 … kB/KiB, MB/MiB, GB/GiB, TB/TiB all powers of 1024 (as
 * PostgreSQL reads them). */
int lg_size_parse(const char *text, int64_t *ret_bytes, struct lg_error *err);
#define LG_SIZE_SIZE 32
const char *lg_size_format(
	int64_t bytes, char buf[static LG_SIZE_SIZE]); /* largest exact unit: "4MiB", "1000B" */

/* Times: RFC 3339 in UTC with microseconds, "2026-11-22T14:03:05.123456Z".  Parse takes RFC 3339 with Z or an offset
 * and 0…9 fraction digits, "YYYY-MM-DD", "YYYY-MM-DD HH:MM[:SS]" (UTC), and "@UNIXSECONDS". */
#define LG_TIME_SIZE 48
const char *lg_time_format(int64_t unix_us, char buf[static LG_TIME_SIZE]);
int lg_time_parse(const char *text, int64_t *ret_unix_us, struct lg_error *err);

/* Whole decimal integer within [min, max], nothing before or behind it. */
int lg_int_parse(const char *text, int64_t min, int64_t max, int64_t *ret_value, struct lg_error *err);

/* How many letters must be changed, inserted or left out, whatever their case (ASCII); LG_DISTANCE_MAX when either has more
 * letters than that.  For "did you mean …?". */
#define LG_DISTANCE_MAX 64
size_t lg_text_distance(const char *a, size_t a_len, const char *b, size_t b_len);

bool lg_starts_with(const char *text, const char *prefix);

#endif
