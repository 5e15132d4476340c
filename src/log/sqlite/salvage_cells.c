/* Rows and index entries are found by their shape, wherever in a page they lie: in a leaf whose header is destroyed, in the
 * space that a split left behind, in a page that no tree reaches any more.  A cell is
 *
 *	table leaf    payload length, rowid, payload (and, when it goes on elsewhere, the first overflow page)
 *	index         [left child] payload length, payload
 *	payload       header length, serial types, values           numbers are varints
 *
 * What is searched for is the header: its serial types are nearly constant for our tables.  The varints before it are then
 * read backwards, which is unambiguous, because the length must be the sum that the header gives. */
#include "log/sqlite/salvage_impl.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS    10 /* of record */
#define HEADER_MAX 64
#define WORD_MAX   16 /* of a kind, or of the reason of a gap */

enum { SERIAL_NULL = 0, SERIAL_ID = 12 + 2 * LG_ID_SIZE, SERIAL_HASH = 12 + 2 * LG_HASH_SIZE };

/* --- growing lists ---------------------------------------------------------------------------------------------------- */

static void *room_for_one(void **list, size_t count, size_t *size, size_t item)
{
	if (count == *size) {
		size_t more = *size ? *size * 2 : 256;
		void *larger = reallocarray(*list, more, item);
		if (!larger)
			return NULL;
		*list = larger;
		*size = more;
	}
	return (char *)*list + count * item;
}

void lg_found_clear(struct lg_found *found)
{
	free(found->rows);
	free(found->claims);
	free(found->gaps);
	*found = (struct lg_found){ 0 };
}

int lg_found_add_claim(struct lg_found *found, const struct lg_claim *claim, struct lg_error *err)
{
	struct lg_claim *room = room_for_one(
		(void **)&found->claims, found->claim_count, &found->claim_size, sizeof *found->claims);
	if (!room)
		return lg_fail_nomem(err);
	*room = *claim;
	found->claim_count++;
	return 0;
}

int lg_found_add_gap(struct lg_found *found, const struct lg_log_gap *gap, struct lg_error *err)
{
	struct lg_log_gap *room =
		room_for_one((void **)&found->gaps, found->gap_count, &found->gap_size, sizeof *found->gaps);
	if (!room)
		return lg_fail_nomem(err);
	*room = *gap;
	found->gap_count++;
	return 0;
}

/* --- varints, integers ------------------------------------------------------------------------------------------------ */

/* Bytes taken; 0: it does not end before `end`. */
static size_t get_varint(const uint8_t *at, const uint8_t *end, uint64_t *ret_value)
{
	uint64_t value = 0;
	for (size_t i = 0; i < 9 && at + i < end; i++) {
		if (i == 8) {
			*ret_value = value << 8 | at[i];
			return 9;
		}
		value = value << 7 | (at[i] & 0x7f);
		if (!(at[i] & 0x80)) {
			*ret_value = value;
			return i + 1;
		}
	}
	return 0;
}

/* The varint of at most 8 bytes that ends right before `end`. Bytes taken; 0: there is none. */
static size_t get_varint_before(const uint8_t *start, const uint8_t *end, uint64_t *ret_value)
{
	if (end <= start || end[-1] & 0x80)
		return 0;
	uint64_t value = end[-1];
	size_t n = 1;
	while (n < 8 && end - n > start && end[-(ptrdiff_t)n - 1] & 0x80) {
		n++;
		value |= (uint64_t)(end[-(ptrdiff_t)n] & 0x7f) << (7 * (n - 1));
	}
	*ret_value = value;
	return n;
}

static size_t serial_len(uint64_t serial)
{
	static const uint8_t lens[12] = { 0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0 };
	return serial < 12 ? lens[serial] : (size_t)((serial - 12) / 2);
}

static bool is_int(uint64_t serial)
{
	return (serial >= 1 && serial <= 6) || serial == 8 || serial == 9;
}

static bool is_text(uint64_t serial)
{
	return serial >= 13 && serial & 1;
}

static int64_t get_int(uint64_t serial, const uint8_t *at)
{
	if (serial >= 8)
		return serial == 9;
	size_t len = serial_len(serial);
	uint64_t value = len && at[0] & 0x80 ? UINT64_MAX : 0;
	for (size_t i = 0; i < len; i++)
		value = value << 8 | at[i];
	return (int64_t)value;
}

static uint64_t digest_of(const uint8_t *data, size_t len)
{
	static const uint8_t key[crypto_shorthash_KEYBYTES];
	uint8_t out[crypto_shorthash_BYTES];
	uint64_t digest;
	crypto_shorthash(out, data, len, key);
	memcpy(&digest, out, sizeof digest);
	return digest;
}

static bool kind_of(const uint8_t *text, uint64_t serial, enum lg_kind *ret_kind)
{
	char name[WORD_MAX + 1];
	size_t len = serial_len(serial);
	if (len > WORD_MAX)
		return false;
	memcpy(name, text, len);
	name[len] = '\0';
	return strlen(name) == len && lg_kind_from_name(name, ret_kind, NULL) == 0;
}

/* --- the header of a record's row ----------------------------------------------------------------------------------- */

struct header {
	uint64_t serials[COLUMNS];
	size_t len;
	uint64_t total;         /* header and values */
	size_t starts[COLUMNS]; /* of the values, from the payload's beginning; that of the body may be far */
};

static bool is_record_header(const struct header *header)
{
	static const uint8_t wanted[COLUMNS] = { [1] = SERIAL_ID, [7] = SERIAL_HASH, [8] = SERIAL_HASH };
	const uint64_t *serials = header->serials;
	for (size_t i = 0; i < COLUMNS; i++)
		if (wanted[i] && serials[i] != wanted[i])
			return false;
	return serials[0] == SERIAL_NULL && is_int(serials[2]) && is_text(serials[3]) &&
		serial_len(serials[3]) <= WORD_MAX && is_text(serials[4]) && is_text(serials[5]) &&
		(serials[6] == SERIAL_NULL || serials[6] == SERIAL_HASH) &&
		(serials[9] == SERIAL_NULL || is_text(serials[9]));
}

static bool read_header(const uint8_t *at, const uint8_t *end, struct header *header)
{
	*header = (struct header){ .len = at[0] };
	if (header->len <= COLUMNS || header->len > HEADER_MAX || header->len > (size_t)(end - at))
		return false;
	const uint8_t *stop = at + header->len, *next = at + 1;
	header->total = header->len;
	for (size_t i = 0; i < COLUMNS; i++) {
		size_t taken = get_varint(next, stop, &header->serials[i]);
		if (!taken || header->serials[i] > (uint64_t)INT32_MAX * 2)
			return false;
		next += taken;
		header->starts[i] = (size_t)header->total;
		header->total += serial_len(header->serials[i]);
	}
	return next == stop && header->total <= INT32_MAX && is_record_header(header);
}

/* How much of a payload lies in the page of a table's leaf. */
static size_t local_len(uint64_t total, uint32_t usable)
{
	if (total <= usable - 35)
		return (size_t)total;
	size_t least = (usable - 12) * 32 / 255 - 23;
	size_t local = least + (size_t)((total - least) % (usable - 4));
	return local <= usable - 35 ? local : least;
}

/* --- overflow chains --------------------------------------------------------------------------------------------------- */

/* Appends `len` bytes from the chain that begins at `page`. 0, -1 the chain is broken, LG_ENOMEM.  A chain is never longer
 * than the file; so one that goes in circles is found out. */
static int gather_chain(struct lg_pages *pages, uint32_t page, uint64_t len, enum lg_page_view view,
	struct lg_buf *buf, struct lg_error *err)
{
	const size_t part = pages->page_size - 4;
	uint64_t most = lg_pages_count(pages);
	if (len / part > most)
		return -1;
	uint8_t *data = malloc(pages->page_size);
	if (!data)
		return lg_fail_nomem(err);
	int rc = 0;
	while (rc == 0 && len > 0) {
		size_t now = len < part ? (size_t)len : part;
		if (most-- == 0 || pages->budget == 0 ||
			lg_pages_read(pages, lg_pages_find(pages, page, view), data) < 0) {
			rc = -1;
			break;
		}
		pages->budget--;
		rc = lg_buf_add(buf, data + 4, now) < 0 ? lg_fail_nomem(err) : 0;
		len -= now;
		page = (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
	}
	free(data);
	return rc;
}

/* --- a row as a record -------------------------------------------------------------------------------------------------- */

/* Values of a payload that is in memory up to the body. */
static bool fill_record(
	const struct lg_row *row, const struct header *header, const uint8_t *payload, struct lg_record *record)
{
	*record = (struct lg_record){
		.seq = row->seq,
		.time_us = get_int(header->serials[2], payload + header->starts[2]),
		.has_root = header->serials[6] != SERIAL_NULL,
		.redacted = header->serials[9] == SERIAL_NULL,
		.body = "",
	};
	memcpy(record->id, payload + header->starts[1], LG_ID_SIZE);
	if (record->has_root)
		memcpy(record->root, payload + header->starts[6], LG_HASH_SIZE);
	memcpy(record->body_hash, payload + header->starts[7], LG_HASH_SIZE);
	memcpy(record->hash, payload + header->starts[8], LG_HASH_SIZE);
	return kind_of(payload + header->starts[3], header->serials[3], &record->kind);
}

/* A copy of the text, NUL-terminated behind the payload in buf; its offset, or SIZE_MAX. */
static size_t copy_text(struct lg_buf *buf, size_t start, size_t len)
{
	size_t offset = buf->len;
	if (memchr(buf->data + start, '\0', len) || lg_buf_reserve(buf, len + 1) < 0)
		return SIZE_MAX;
	memcpy(buf->data + offset, buf->data + start, len);
	buf->data[offset + len] = '\0';
	buf->len += len + 1;
	return offset;
}

/* The payload of a row up to `len` bytes, in buf. 0, -1, LG_ENOMEM */
static int gather_payload(struct lg_pages *pages, const struct lg_row *row, uint64_t len,
	enum lg_page_view view, struct lg_buf *buf, struct lg_error *err)
{
	lg_buf_reset(buf);
	size_t local = local_len(row->len, pages->page_size);
	size_t here = len < local ? (size_t)len : local;
	uint8_t *page = malloc(pages->page_size);
	if (!page)
		return lg_fail_nomem(err);
	int rc = lg_pages_read(pages, row->id, page);
	if (rc == 0 && row->at + local + (row->len > local ? 4 : 0) > pages->page_size)
		rc = -1;
	if (rc == 0 && lg_buf_add(buf, page + row->at, here) < 0)
		rc = lg_fail_nomem(err);
	if (rc == 0 && len > here) {
		const uint8_t *at = page + row->at + local;
		uint32_t next = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
		rc = gather_chain(pages, next, len - here, view, buf, err);
	}
	free(page);
	return rc;
}

static int read_texts(const struct header *header, bool whole, struct lg_buf *buf, struct lg_record *record,
	struct lg_error *err)
{
	size_t actor = copy_text(buf, header->starts[4], serial_len(header->serials[4]));
	size_t reason = actor == SIZE_MAX ? SIZE_MAX
					  : copy_text(buf, header->starts[5], serial_len(header->serials[5]));
	if (actor == SIZE_MAX || reason == SIZE_MAX)
		return buf->failed ? lg_fail_nomem(err) : LG_ROW_LOST;
	size_t body_len = whole ? serial_len(header->serials[9]) : 0;
	size_t body = body_len ? copy_text(buf, header->starts[9], body_len) : SIZE_MAX;
	if (body_len && body == SIZE_MAX && buf->failed)
		return lg_fail_nomem(err);
	record->actor = buf->data + actor;
	record->reason = buf->data + reason;
	if (body != SIZE_MAX) {
		record->body = buf->data + body;
		record->body_len = body_len;
	}
	return whole && (body_len == 0 || body != SIZE_MAX) ? 0 : LG_ROW_NO_BODY;
}

int lg_cells_record(struct lg_pages *pages, const struct lg_row *row, enum lg_page_view view,
	struct lg_buf *buf, struct lg_record *ret_record, struct lg_error *err)
{
	struct header header;
	int rc = gather_payload(pages, row, row->len, view, buf, err);
	if (rc == LG_ENOMEM)
		return rc;
	bool whole = rc == 0;
	/* what was gathered before the chain broke may hold all but the body */
	if (buf->len == 0 || !read_header((uint8_t *)buf->data, (uint8_t *)buf->data + buf->len, &header) ||
		header.total != row->len || buf->len < header.starts[9])
		return LG_ROW_LOST;
	struct lg_record record;
	if (!fill_record(row, &header, (uint8_t *)buf->data, &record))
		return LG_ROW_LOST;
	rc = read_texts(&header, whole, buf, &record, err);
	if (rc == 0 || rc == LG_ROW_NO_BODY)
		*ret_record = record;
	return rc;
}

/* --- searching a page --------------------------------------------------------------------------------------------------- */

struct scan {
	struct lg_pages *pages;
	struct lg_page_id id;
	const uint8_t *page, *end;
	enum lg_page_trust trust;
	struct lg_found *found;
};

/* Does the page's own list of cells name this place? */
static bool is_listed(const struct scan *scan, size_t cell)
{
	const uint8_t *head = scan->page + (scan->id.page == 1 ? 100 : 0);
	size_t count = (size_t)head[3] << 8 | head[4];
	if (head[0] != 13 || count > scan->pages->page_size / 4)
		return false;
	const uint8_t *list = head + 8;
	for (size_t i = 0; i < count && list + 2 * i + 2 <= scan->end; i++)
		if (((size_t)list[2 * i] << 8 | list[2 * i + 1]) == cell)
			return true;
	return false;
}

/* Rowid and length before a payload. Where the cell begins, or NULL. */
static const uint8_t *table_cell(
	const struct scan *scan, const uint8_t *payload, uint64_t total, uint64_t *ret_rowid)
{
	uint64_t len;
	size_t taken = get_varint_before(scan->page, payload, ret_rowid);
	if (!taken || *ret_rowid == 0 || *ret_rowid > INT64_MAX)
		return NULL;
	const uint8_t *rowid = payload - taken;
	taken = get_varint_before(scan->page, rowid, &len);
	/* bytes before the length may look like more of it: then fewer are taken */
	for (; taken > 1 && len != total; taken--)
		len &= ((uint64_t)1 << (7 * (taken - 1))) - 1;
	return taken && len == total ? rowid - taken : NULL;
}

static int add_row(const struct scan *scan, const uint8_t *at, struct lg_error *err)
{
	struct header header;
	uint64_t seq;
	if (!read_header(at, scan->end, &header))
		return 0;
	const uint8_t *cell = table_cell(scan, at, header.total, &seq);
	size_t local = local_len(header.total, scan->pages->page_size);
	enum lg_kind kind;
	if (!cell || (size_t)(scan->end - at) < local + (header.total > local ? 4 : 0) ||
		header.starts[4] > local || !kind_of(at + header.starts[3], header.serials[3], &kind))
		return 0;
	struct lg_found *found = scan->found;
	struct lg_row *row =
		room_for_one((void **)&found->rows, found->row_count, &found->row_size, sizeof *found->rows);
	if (!row)
		return lg_fail_nomem(err);
	*row = (struct lg_row){
		.seq = seq,
		.digest = digest_of(at, local + (header.total > local ? 4 : 0)),
		.len = header.total,
		.id = scan->id,
		.at = (uint16_t)(at - scan->page),
		.kind = (uint8_t)kind,
		.rank = (uint16_t)(2 * scan->trust + !is_listed(scan, (size_t)(cell - scan->page))),
	};
	row->has_hash = header.starts[9] <= local;
	if (row->has_hash)
		memcpy(row->hash, at + header.starts[8], LG_HASH_SIZE);
	found->row_count++;
	return 0;
}

/* An entry of record_kind: kind, seq, [hash,] rowid. Without a hash (format 1) it says nothing. */
static int add_claim(const struct scan *scan, const uint8_t *at, struct lg_error *err)
{
	if (scan->end - at < 5 || at[0] != 5 || !is_text(at[1]) || !is_int(at[2]) || at[3] != SERIAL_HASH ||
		at[2] != at[4] || serial_len(at[1]) > WORD_MAX)
		return 0;
	size_t name = serial_len(at[1]), number = serial_len(at[2]);
	if ((size_t)(scan->end - at) < 5 + name + 2 * number + LG_HASH_SIZE)
		return 0;
	const uint8_t *seq = at + 5 + name, *hash = seq + number, *rowid = hash + LG_HASH_SIZE;
	struct lg_claim claim = { .seq = (uint64_t)get_int(at[2], seq) };
	enum lg_kind kind;
	if (claim.seq == 0 || claim.seq > INT64_MAX || memcmp(seq, rowid, number) != 0 ||
		!kind_of(at + 5, at[1], &kind))
		return 0;
	claim.kind = (uint8_t)kind;
	memcpy(claim.hash, hash, LG_HASH_SIZE);
	return lg_found_add_claim(scan->found, &claim, err);
}

static int keep_gap(const struct scan *scan, const struct lg_log_gap *gap, struct lg_error *err)
{
	struct lg_claim claim = { .seq = gap->last, .kind = LG_KIND_COUNT };
	memcpy(claim.hash, gap->hash, LG_HASH_SIZE);
	int rc = lg_found_add_gap(scan->found, gap, err);
	return rc < 0 ? rc : lg_found_add_claim(scan->found, &claim, err);
}

/* A row of gap (first, last, hash, reason), or of base (1, seq, hash), which was its only one in format 1. */
static int add_gap(const struct scan *scan, const uint8_t *at, struct lg_error *err)
{
	static const char *const reasons[] = { "retention", "lost" };
	size_t header = at[0];
	if ((size_t)(scan->end - at) < header || at[1] != SERIAL_NULL || !is_int(at[2]) || at[3] != SERIAL_HASH)
		return 0;
	size_t number = serial_len(at[2]), reason = header == 5 ? serial_len(at[4]) : 0;
	size_t total = header + number + LG_HASH_SIZE + reason;
	if ((header == 5 && !is_text(at[4])) || reason > WORD_MAX || (size_t)(scan->end - at) < total)
		return 0;
	uint64_t first;
	if (!table_cell(scan, at, total, &first))
		return 0;
	struct lg_log_gap gap = { .first = first, .last = (uint64_t)get_int(at[2], at + header) };
	memcpy(gap.hash, at + header + number, LG_HASH_SIZE);
	if (gap.last < first || gap.last > INT64_MAX || (header == 4 && first != 1))
		return 0;
	if (header == 4)
		return keep_gap(scan, &gap, err);
	const char *text = (const char *)at + total - reason;
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
		if (strlen(reasons[i]) != reason || memcmp(text, reasons[i], reason) != 0)
			continue;
		gap.reason = i == 0 ? LG_GAP_RETENTION : LG_GAP_LOST;
		return keep_gap(scan, &gap, err);
	}
	return 0;
}

int lg_cells_scan(struct lg_pages *pages, struct lg_page_id id, const uint8_t *page, struct lg_found *found,
	struct lg_error *err)
{
	const struct scan scan = { pages, id, page, page + pages->page_size, lg_pages_trust(pages, id), found };
	int rc = 0;
	/* three bytes ahead are always there */
	for (const uint8_t *at = page; rc == 0 && at + 4 < scan.end; at++) {
		if (at[1] == SERIAL_NULL && at[2] == SERIAL_ID && at[0] > COLUMNS && at[0] <= HEADER_MAX)
			rc = add_row(&scan, at, err);
		else if (at[3] == SERIAL_HASH && (at[0] == 4 || at[0] == 5) && at[1] == SERIAL_NULL)
			rc = add_gap(&scan, at, err);
		else if (at[3] == SERIAL_HASH && at[0] == 5)
			rc = add_claim(&scan, at, err);
	}
	return rc;
}
