#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Decodes one code point.  Returns its length in bytes, 0 when the bytes are not valid UTF-8 (RFC 3629, table 3-7 of
 * the Unicode standard: the second byte's range rules out overlong forms, surrogates and what lies above U+10FFFF). */
static size_t utf8_decode(const unsigned char *s, size_t len, uint32_t *ret_cp)
{
	unsigned char lead = s[0];
	if (lead < 0x80) {
		*ret_cp = lead;
		return 1;
	}
	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	size_t need = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	if (len < need)
		return 0;
	unsigned char low = 0x80, high = 0xbf;
	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	uint32_t cp = lead & (0x7fu >> need);
	for (size_t i = 1; i < need; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (s[i] & 0x3fu);
	}
	*ret_cp = cp;
	return need;
}

size_t lg_utf8_valid_prefix(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t at = 0;
	uint32_t cp;
	while (at < len) {
		size_t n = utf8_decode(s + at, len - at, &cp);
		if (n == 0)
			break;
		at += n;
	}
	return at;
}

/* What would break a line, hide text or turn its direction on a terminal. */
static bool is_unprintable(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x061c || cp == 0x200e || cp == 0x200f ||
		(cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
}

/* Appends are all or nothing: on failure what was added since `mark` is taken back. */
static int undo_to(struct lg_buf *buf, size_t mark, int code)
{
	buf->len = mark;
	if (buf->data)
		buf->data[mark] = '\0';
	buf->failed = true;
	return code;
}

int lg_text_add_printable(struct lg_buf *buf, const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t mark = buf->len, from = 0, at = 0;
	while (at < len) {
		uint32_t cp = 0;
		size_t n = utf8_decode(s + at, len - at, &cp);
		if (n > 0 && !is_unprintable(cp)) {
			at += n;
			continue;
		}
		int rc = lg_buf_add(buf, text + from, at - from);
		if (rc == 0)
			rc = n > 1 ? lg_buf_addf(buf, "\\u{%04" PRIx32 "}", cp)
				   : lg_buf_addf(buf, "\\x%02x", s[at]);
		if (rc < 0)
			return undo_to(buf, mark, rc);
		at += n > 0 ? n : 1;
		from = at;
	}
	if (lg_buf_add(buf, text + from, at - from) < 0)
		return undo_to(buf, mark, LG_ENOMEM);
	return 0;
}

static int add_json_escape(struct lg_buf *buf, unsigned char c)
{
	static const char shorts[] = { ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't' };
	if (c == '"' || c == '\\')
		return lg_buf_add(buf, (char[]){ '\\', (char)c }, 2);
	if (c < sizeof shorts && shorts[c])
		return lg_buf_add(buf, (char[]){ '\\', shorts[c] }, 2);
	return lg_buf_addf(buf, "\\u%04x", c);
}

int lg_text_add_json_string(struct lg_buf *buf, const char *text, size_t len)
{
	size_t mark = buf->len;
	if (lg_utf8_valid_prefix(text, len) != len)
		return undo_to(buf, mark, LG_EINVALID);
	int rc = lg_buf_addc(buf, '"');
	size_t from = 0;
	for (size_t at = 0; at < len && rc == 0; at++) {
		unsigned char c = (unsigned char)text[at];
		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		rc = lg_buf_add(buf, text + from, at - from);
		if (rc == 0)
			rc = add_json_escape(buf, c);
		from = at + 1;
	}
	if (rc == 0)
		rc = lg_buf_add(buf, text + from, len - from);
	if (rc == 0)
		rc = lg_buf_addc(buf, '"');
	return rc < 0 ? undo_to(buf, mark, rc) : 0;
}

const char *lg_text_snippet(const char *text, char buf[static LG_SNIPPET_SIZE])
{
	static const char more[] = "…";
	const unsigned char *s = (const unsigned char *)text;
	size_t len = strnlen(text, LG_SNIPPET_SIZE), used = 0;
	for (size_t at = 0; at < len;) {
		uint32_t cp = 0;
		char piece[16];
		size_t n = utf8_decode(s + at, len - at, &cp), size;
		if (n > 0 && !is_unprintable(cp)) {
			memcpy(piece, s + at, n);
			size = n;
		} else {
			size = (size_t)(n > 1 ? snprintf(piece, sizeof piece, "\\u{%04" PRIx32 "}", cp)
					      : snprintf(piece, sizeof piece, "\\x%02x", s[at]));
		}
		if (used + size + sizeof more > LG_SNIPPET_SIZE) {
			memcpy(buf + used, more, sizeof more);
			return buf;
		}
		memcpy(buf + used, piece, size);
		used += size;
		at += n > 0 ? n : 1;
	}
	buf[used] = '\0';
	return buf;
}

void lg_hex_encode(const uint8_t *data, size_t len, char *ret_text)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < len; i++) {
		ret_text[2 * i] = digits[data[i] >> 4];
		ret_text[2 * i + 1] = digits[data[i] & 15];
	}
	ret_text[2 * len] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int lg_hex_decode(const char *text, uint8_t *ret_data, size_t len, struct lg_error *err)
{
	char shown[LG_SNIPPET_SIZE];
	size_t digits = 0;
	while (digits / 2 < len && hex_digit(text[digits]) >= 0)
		digits++;
	if (digits / 2 < len || text[digits] != '\0')
		return lg_fail(err, LG_EINVALID, 0, "'%s' is not %zu hexadecimal digits",
			lg_text_snippet(text, shown), 2 * len);
	for (size_t i = 0; i < len; i++)
		ret_data[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
	return 0;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

size_t lg_text_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t row[LG_DISTANCE_MAX + 1];
	if (a_len > LG_DISTANCE_MAX || b_len > LG_DISTANCE_MAX)
		return LG_DISTANCE_MAX;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t change = diagonal + (lower(a[i - 1]) != lower(b[j - 1]));
			size_t either = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
			diagonal = row[j];
			row[j] = change < either ? change : either;
		}
	}
	return row[b_len];
}

bool lg_starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* ---- numbers ---- */

/* Digits at *at as a number; false when there is none or it exceeds INT64_MAX. */
static bool take_digits(const char **at, int64_t *ret_value)
{
	const char *s = *at;
	int64_t value = 0;
	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, *s - '0', &value))
			return false;
	*at = s;
	*ret_value = value;
	return true;
}

int lg_int_parse(const char *text, int64_t min, int64_t max, int64_t *ret_value, struct lg_error *err)
{
	char shown[LG_SNIPPET_SIZE];
	bool negative = text[0] == '-', overflow = false;
	const char *s = text + negative;
	int64_t value = 0;
	if (!*s || s[strspn(s, "0123456789")])
		return lg_fail(err, LG_EINVALID, 0, "'%s' is not a whole number", lg_text_snippet(text, shown));
	for (; *s && !overflow; s++) /* counted downwards, so that INT64_MIN is in reach */
		overflow = __builtin_mul_overflow(value, 10, &value) ||
			__builtin_sub_overflow(value, *s - '0', &value);
	if (!overflow && !negative)
		overflow = __builtin_sub_overflow(0, value, &value);
	if (overflow || value < min || value > max)
		return lg_fail(err, LG_EINVALID, 0, "'%s' is out of range, allowed is %" PRId64 " to %" PRId64,
			lg_text_snippet(text, shown), min, max);
	*ret_value = value;
	return 0;
}

/* ---- durations ---- */

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit duration_units[] = {
	{ "d", 86400000000000 },
	{ "h", 3600000000000 },
	{ "m", 60000000000 },
	{ "s", 1000000000 },
	{ "ms", 1000000 },
	{ "us", 1000 },
	{ "ns", 1 },
};
#define DURATION_UNITS (sizeof duration_units / sizeof *duration_units)

/* The unit that stands at *at, whole: what follows is a digit or the end. */
static size_t take_duration_unit(const char **at)
{
	size_t len = strcspn(*at, "0123456789");
	for (size_t i = 0; i < DURATION_UNITS; i++) {
		const char *name = duration_units[i].name;
		if (strlen(name) == len && memcmp(*at, name, len) == 0) {
			*at += len;
			return i;
		}
	}
	return DURATION_UNITS;
}

int lg_duration_parse(const char *text, int64_t *ret_ns, struct lg_error *err)
{
	char shown[LG_SNIPPET_SIZE];
	const char *at = text;
	int64_t total = 0;
	size_t next = 0; /* units before this one are used up */
	do {
		int64_t value = 0;
		if (*at < '0' || *at > '9')
			goto malformed;
		if (!take_digits(&at, &value))
			goto too_long;
		size_t unit = take_duration_unit(&at);
		if (unit == DURATION_UNITS || unit < next)
			goto malformed;
		next = unit + 1;
		if (__builtin_mul_overflow(value, duration_units[unit].factor, &value) ||
			__builtin_add_overflow(total, value, &total))
			goto too_long;
	} while (*at);
	*ret_ns = total;
	return 0;
malformed:
	return lg_fail(err, LG_EINVALID, 0,
		"'%s' is not a duration: write whole numbers with d, h, m, s, ms, us or ns, as in 1h30m",
		lg_text_snippet(text, shown));
too_long:
	return lg_fail(err, LG_EINVALID, 0, "duration '%s' is too long: at most 106751 days",
		lg_text_snippet(text, shown));
}

const char *lg_duration_format(int64_t ns, char buf[static LG_DURATION_SIZE])
{
	uint64_t rest = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
	size_t used = 0;
	if (ns == 0)
		return memcpy(buf, "0s", 3);
	if (ns < 0)
		buf[used++] = '-';
	for (size_t i = 0; i < DURATION_UNITS; i++) {
		uint64_t factor = (uint64_t)duration_units[i].factor;
		if (rest < factor)
			continue;
		used += (size_t)snprintf(buf + used, LG_DURATION_SIZE - used, "%" PRIu64 "%s", rest / factor,
			duration_units[i].name);
		rest %= factor;
	}
	return buf;
}

/* ---- sizes ---- */

static const struct unit size_units[] = {
	{ "TiB", (int64_t)1 << 40 },
	{ "GiB", 1 << 30 },
	{ "MiB", 1 << 20 },
	{ "KiB", 1 << 10 },
	{ "B", 1 },
	{ "TB", (int64_t)1 << 40 },
	{ "GB", 1 << 30 },
	{ "MB", 1 << 20 },
	{ "kB", 1 << 10 },
	{ "", 1 },
};
#define SIZE_UNITS        (sizeof size_units / sizeof *size_units)
#define SIZE_FORMAT_UNITS 5 /* the first ones, largest first, are those that are written */

int lg_size_parse(const char *text, int64_t *ret_bytes, struct lg_error *err)
{
	char shown[LG_SNIPPET_SIZE];
	const char *unit = text + strspn(text, "0123456789");
	for (size_t i = 0; i < SIZE_UNITS && unit > text; i++) {
		if (strcmp(unit, size_units[i].name) != 0)
			continue;
		const char *at = text;
		int64_t value;
		if (!take_digits(&at, &value) || __builtin_mul_overflow(value, size_units[i].factor, &value))
			return lg_fail(err, LG_EINVALID, 0,
				"size '%s' is too large: at most 9223372036854775807B",
				lg_text_snippet(text, shown));
		*ret_bytes = value;
		return 0;
	}
	return lg_fail(err, LG_EINVALID, 0,
		"'%s' is not a size: write a whole number with B, kB, MB, GB or TB (powers of 1024), as in "
		"64MB",
		lg_text_snippet(text, shown));
}

const char *lg_size_format(int64_t bytes, char buf[static LG_SIZE_SIZE])
{
	size_t unit = SIZE_FORMAT_UNITS - 1;
	for (size_t i = 0; i < SIZE_FORMAT_UNITS && bytes != 0; i++)
		if (bytes % size_units[i].factor == 0) {
			unit = i;
			break;
		}
	snprintf(buf, LG_SIZE_SIZE, "%" PRId64 "%s", bytes / size_units[unit].factor, size_units[unit].name);
	return buf;
}

/* ---- times ---- */

#define US_PER_S   ((int64_t)1000000)
#define S_PER_DAY  ((int64_t)86400)
#define ERA_DAYS   146097 /* 400 Gregorian years */
#define EPOCH_DAYS 719468 /* from 0000-03-01 to 1970-01-01 */

/* Calendar arithmetic on years that begin in March, so that the leap day is the last of its year. */
static int64_t days_from_date(int64_t year, int month, int day)
{
	if (month <= 2)
		year--;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t year_of_era = year - era * 400;
	int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	return era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
		EPOCH_DAYS;
}

static void date_from_days(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day)
{
	days += EPOCH_DAYS;
	int64_t era = (days >= 0 ? days : days - (ERA_DAYS - 1)) / ERA_DAYS;
	int64_t day_of_era = days - era * ERA_DAYS;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (ERA_DAYS - 1)) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t from_march = (5 * day_of_year + 2) / 153;
	*ret_day = (int)(day_of_year - (153 * from_march + 2) / 5 + 1);
	*ret_month = (int)(from_march < 10 ? from_march + 3 : from_march - 9);
	*ret_year = year_of_era + era * 400 + (*ret_month <= 2);
}

/* Division that rounds towards the past, so that times before 1970 keep a positive remainder. */
static int64_t floor_div(int64_t value, int64_t by, int64_t *ret_rest)
{
	int64_t quotient = value / by, rest = value % by;
	if (rest < 0) {
		rest += by;
		quotient--;
	}
	*ret_rest = rest;
	return quotient;
}

const char *lg_time_format(int64_t unix_us, char buf[static LG_TIME_SIZE])
{
	int64_t us, second, year;
	int month, day;
	int64_t days = floor_div(floor_div(unix_us, US_PER_S, &us), S_PER_DAY, &second);
	date_from_days(days, &year, &month, &day);
	snprintf(buf, LG_TIME_SIZE, "%04" PRId64 "-%02d-%02dT%02d:%02d:%02d.%06dZ", year, month, day,
		(int)(second / 3600), (int)(second / 60 % 60), (int)(second % 60), (int)us);
	return buf;
}

/* Exactly `count` digits with a value in [min, max]. */
static bool take_field(const char **at, int count, int min, int max, int *ret_value)
{
	int value = 0;
	for (int i = 0; i < count; i++) {
		char c = (*at)[i];
		if (c < '0' || c > '9')
			return false;
		value = value * 10 + (c - '0');
	}
	if (value < min || value > max)
		return false;
	*at += count;
	*ret_value = value;
	return true;
}

static bool take_char(const char **at, const char *any_of)
{
	if (!**at || !strchr(any_of, **at))
		return false;
	++*at;
	return true;
}

static bool take_date(const char **at, int64_t *ret_days)
{
	static const int month_days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int year, month, day;
	if (!take_field(at, 4, 0, 9999, &year) || !take_char(at, "-") || !take_field(at, 2, 1, 12, &month) ||
		!take_char(at, "-") || !take_field(at, 2, 1, 31, &day))
		return false;
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	if (day > month_days[month - 1] + (month == 2 && leap))
		return false;
	*ret_days = days_from_date(year, month, day);
	return true;
}

/* ".123456789" in µs; what is finer is cut off. */
static bool take_fraction(const char **at, int64_t *ret_us)
{
	size_t digits = strspn(*at, "0123456789");
	if (digits < 1 || digits > 9)
		return false;
	int64_t us = 0;
	for (size_t i = 0; i < 6; i++)
		us = us * 10 + (i < digits ? (*at)[i] - '0' : 0);
	*at += digits;
	*ret_us = us;
	return true;
}

static bool take_offset(const char **at, int *ret_seconds)
{
	if (take_char(at, "Zz")) {
		*ret_seconds = 0;
		return true;
	}
	bool west = **at == '-';
	int hours, minutes;
	if (!take_char(at, "+-") || !take_field(at, 2, 0, 23, &hours) || !take_char(at, ":") ||
		!take_field(at, 2, 0, 59, &minutes))
		return false;
	*ret_seconds = (west ? -1 : 1) * (hours * 3600 + minutes * 60);
	return true;
}

/* "HH:MM:SS[.fraction](Z|offset)"; after a blank the seconds and the zone (then UTC) may be missing. */
static bool take_time_of_day(const char **at, bool blank, int64_t *ret_second, int64_t *ret_us)
{
	int hour, minute, second = 0, offset = 0;
	int64_t us = 0;
	if (!take_field(at, 2, 0, 23, &hour) || !take_char(at, ":") || !take_field(at, 2, 0, 59, &minute))
		return false;
	if (take_char(at, ":")) {
		if (!take_field(at, 2, 0, 60, &second) || (take_char(at, ".") && !take_fraction(at, &us)))
			return false;
	} else if (!blank) {
		return false;
	}
	if (!(blank && !**at) && !take_offset(at, &offset))
		return false;
	int64_t of_day = (int64_t)hour * 3600 + minute * 60 - offset;
	/* a leap second only ever ends a UTC day; it counts as the second after it, as POSIX does */
	if (second == 60 && ((of_day + 60) % S_PER_DAY != 0))
		return false;
	*ret_second = of_day + second;
	*ret_us = us;
	return true;
}

static int time_from_unix_seconds(const char *text, int64_t *ret_unix_us, struct lg_error *err)
{
	int64_t seconds;
	int rc = lg_int_parse(text + 1, INT64_MIN / US_PER_S, INT64_MAX / US_PER_S, &seconds, err);
	if (rc < 0)
		return lg_context(err, rc, "time '@…'");
	*ret_unix_us = seconds * US_PER_S;
	return 0;
}

int lg_time_parse(const char *text, int64_t *ret_unix_us, struct lg_error *err)
{
	char shown[LG_SNIPPET_SIZE];
	const char *at = text;
	int64_t days, second = 0, us = 0;
	if (text[0] == '@')
		return time_from_unix_seconds(text, ret_unix_us, err);
	if (!take_date(&at, &days))
		goto malformed;
	if (*at) {
		bool blank = *at == ' ';
		if (!take_char(&at, "Tt ") || !take_time_of_day(&at, blank, &second, &us) || *at)
			goto malformed;
	}
	*ret_unix_us = (days * S_PER_DAY + second) * US_PER_S + us;
	return 0;
malformed:
	return lg_fail(err, LG_EINVALID, 0,
		"'%s' is not a time: write 2026-11-22T14:03:05Z, '2026-11-22 14:03' (UTC), 2026-11-22 or "
		"@1795356185",
		lg_text_snippet(text, shown));
}
