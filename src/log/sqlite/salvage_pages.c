#include "log/sqlite/salvage_impl.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

#define WAL_HEADER   32
#define FRAME_HEADER 24
#define PAGE_SIZE    4096 /* what SQLite makes unless it is told otherwise */

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool is_page_size(uint32_t size)
{
	return size >= 512 && size <= 65536 && (size & (size - 1)) == 0;
}

/* --- the size of a page --------------------------------------------------------------------------------------------- */

static uint32_t said_by_db(struct lg_pages *pages)
{
	uint8_t head[20];
	lg_reader_at(&pages->db, 0, head, sizeof head);
	uint32_t size = (uint32_t)head[16] << 8 | head[17];
	size = size == 1 ? 65536 : size;
	bool known = memcmp(head, "SQLite format 3", 16) == 0;
	return known && is_page_size(size) ? size : 0;
}

static uint32_t said_by_wal(struct lg_pages *pages)
{
	uint8_t head[WAL_HEADER];
	lg_reader_at(&pages->wal, 0, head, sizeof head);
	uint32_t size = get_u32(head + 8);
	return (get_u32(head) & ~1u) == 0x377f0682 && is_page_size(size) ? size : 0;
}

/* Pages of this size that begin like a page of a tree, in the first thousand. */
static uint32_t likeness(struct lg_pages *pages, uint32_t size)
{
	uint32_t count = 0;
	for (uint32_t i = 1; i < 1000 && (uint64_t)i * size < pages->db.size; i++) {
		uint8_t head[8];
		lg_reader_at(&pages->db, (uint64_t)i * size, head, sizeof head);
		uint32_t content = (uint32_t)head[5] << 8 | head[6];
		bool kind = head[0] == 2 || head[0] == 5 || head[0] == 10 || head[0] == 13;
		count += kind && head[7] < 60 && content >= 8 && content < size;
	}
	return count;
}

/* The two headers and what is usual; only a liking for another one is believed more, since a header can be damaged, too. */
static uint32_t choose_page_size(struct lg_pages *pages)
{
	uint32_t best = said_by_db(pages);
	best = best ? best : said_by_wal(pages);
	best = best ? best : PAGE_SIZE;
	if (likeness(pages, best) > 0 || pages->db.size < (uint64_t)2 * best)
		return best == PAGE_SIZE || likeness(pages, best) >= likeness(pages, PAGE_SIZE) ? best
												: PAGE_SIZE;
	uint32_t most = 0;
	for (uint32_t size = 512; size <= 65536; size *= 2) {
		uint32_t count = likeness(pages, size);
		if (count > most || (count == most && size == PAGE_SIZE)) {
			most = count;
			best = size;
		}
	}
	return best;
}

/* --- the -wal -------------------------------------------------------------------------------------------------------- */

static void sum_wal(bool big, uint32_t sum[2], const uint8_t *data, size_t len)
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		uint32_t a = get_u32(data + i), b = get_u32(data + i + 4);
		if (!big) {
			a = __builtin_bswap32(a);
			b = __builtin_bswap32(b);
		}
		sum[0] += a + sum[1];
		sum[1] += b + sum[0];
	}
}

static uint64_t frame_offset(const struct lg_pages *pages, uint32_t frame)
{
	return WAL_HEADER + (uint64_t)frame * (FRAME_HEADER + pages->page_size);
}

/* Frames as SQLite would believe them: salts and running checksum.  How many of them end with a commit. */
static int read_frames(struct lg_pages *pages, uint32_t *ret_committed, struct lg_error *err)
{
	uint8_t head[WAL_HEADER];
	uint32_t sum[2] = { 0 }, former[2] = { 0 };
	lg_autofree uint8_t *frame = malloc(FRAME_HEADER + (size_t)pages->page_size);
	if (!frame)
		return lg_fail_nomem(err);
	lg_reader_at(&pages->wal, 0, head, sizeof head);
	bool big = head[3] & 1;
	sum_wal(big, sum, head, 24);
	bool holds = (get_u32(head) & ~1u) == 0x377f0682 && sum[0] == get_u32(head + 24) &&
		sum[1] == get_u32(head + 28) && get_u32(head + 8) == pages->page_size;
	for (uint32_t i = 0; i < pages->frame_count; i++) {
		struct lg_frame *into = &pages->frames[i];
		lg_reader_at(&pages->wal, frame_offset(pages, i), frame, FRAME_HEADER + pages->page_size);
		*into = (struct lg_frame){
			.page = get_u32(frame), .size = get_u32(frame + 4), .trust = LG_PAGE_UNUSED
		};
		memcpy(into->salts, frame + 8, sizeof into->salts);
		sum_wal(big, former, frame, 8);
		sum_wal(big, former, frame + FRAME_HEADER, pages->page_size);
		into->continues = i > 0 && former[0] == get_u32(frame + 16) && former[1] == get_u32(frame + 20);
		former[0] = get_u32(frame + 16);
		former[1] = get_u32(frame + 20);
		holds = holds && memcmp(into->salts, head + 16, sizeof into->salts) == 0;
		if (!holds)
			continue;
		sum_wal(big, sum, frame, 8);
		sum_wal(big, sum, frame + FRAME_HEADER, pages->page_size);
		holds = sum[0] == get_u32(frame + 16) && sum[1] == get_u32(frame + 20);
		if (holds && into->size)
			*ret_committed = i + 1;
	}
	return 0;
}

/* The salts of the newest generation: the header's, unless no frame has them because it is the header that is damaged. */
static void newest_salts(struct lg_pages *pages, uint8_t ret_salts[8])
{
	uint8_t head[WAL_HEADER];
	lg_reader_at(&pages->wal, 0, head, sizeof head);
	memcpy(ret_salts, head + 16, 8);
	for (uint32_t i = 0; i < pages->frame_count; i++)
		if (memcmp(pages->frames[i].salts, ret_salts, 8) == 0)
			return;
	memcpy(ret_salts, pages->frames[0].salts, 8);
}

/* Behind the damage, what shares its salts with the newest generation is BEHIND, older generations are STALE; neither counts
 * without a commit of the same generation behind it.  Nor does what is behind the damage when no frame continues a commit there:
 * a transaction is synced before the next one begins, but a single one may be what is left of one that failed, which its writer
 * was told, and which another one was then written over. */
static void judge_rest(struct lg_pages *pages, uint32_t committed)
{
	uint8_t newest[8] = { 0 };
	newest_salts(pages, newest);
	const struct lg_frame *commit = NULL;
	bool proven = false; /* a commit, and what continues it */
	for (uint32_t i = pages->frame_count; i-- > committed;) {
		struct lg_frame *frame = &pages->frames[i];
		const struct lg_frame *next = i + 1 < pages->frame_count ? frame + 1 : NULL;
		if (frame->size && frame->page && frame->page <= frame->size) {
			commit = frame;
			proven |= next && next->continues && memcmp(newest, frame->salts, 8) == 0;
		}
		if (!commit || memcmp(commit->salts, frame->salts, sizeof frame->salts) != 0)
			continue;
		bool same = memcmp(newest, frame->salts, sizeof frame->salts) == 0;
		frame->trust = same ? LG_PAGE_BEHIND : LG_PAGE_STALE;
	}
	for (uint32_t i = committed; !proven && i < pages->frame_count; i++)
		if (pages->frames[i].trust == LG_PAGE_BEHIND)
			pages->frames[i].trust = LG_PAGE_UNUSED;
}

static int compare_frames(const void *a, const void *b, void *arg)
{
	const struct lg_pages *pages = arg;
	uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;
	uint32_t one_page = pages->frames[one].page, other_page = pages->frames[other].page;
	if (one_page != other_page)
		return one_page < other_page ? -1 : 1;
	return one < other ? -1 : one > other;
}

static int index_frames(struct lg_pages *pages, struct lg_error *err)
{
	pages->by_page = calloc((size_t)pages->frame_count + 1, sizeof *pages->by_page);
	if (!pages->by_page)
		return lg_fail_nomem(err);
	for (uint32_t i = 0; i < pages->frame_count; i++) {
		if (pages->frames[i].trust != LG_PAGE_UNUSED && pages->frames[i].page)
			pages->by_page[pages->by_page_count++] = i;
	}
	qsort_r(pages->by_page, pages->by_page_count, sizeof *pages->by_page, compare_frames, pages);
	/* the newest of the committed versions is the live one */
	const struct lg_frame *newer = NULL;
	for (uint32_t i = pages->by_page_count; i-- > 0;) {
		struct lg_frame *frame = &pages->frames[pages->by_page[i]];
		if (frame->trust > LG_PAGE_FORMER)
			continue;
		frame->trust = newer && newer->page == frame->page ? LG_PAGE_FORMER : LG_PAGE_LIVE;
		newer = frame;
	}
	return 0;
}

static int open_wal(const char *path, struct lg_pages *pages, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf name = LG_BUF_INIT;
	lg_buf_addf(&name, "%s-wal", path);
	int rc = lg_buf_check(&name, err);
	if (rc == 0)
		rc = lg_reader_open(name.data, &pages->wal, err);
	return rc == LG_ENOTFOUND ? 0 : rc;
}

static int load_wal(struct lg_pages *pages, struct lg_error *err)
{
	uint32_t committed = 0;
	uint64_t count = pages->wal.size > WAL_HEADER
		? (pages->wal.size - WAL_HEADER) / (FRAME_HEADER + (uint64_t)pages->page_size)
		: 0;
	pages->frame_count = count < LG_NONE / 2 ? (uint32_t)count : LG_NONE / 2;
	pages->frames = calloc((size_t)pages->frame_count + 1, sizeof *pages->frames);
	if (!pages->frames)
		return lg_fail_nomem(err);
	int rc = read_frames(pages, &committed, err);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < committed; i++)
		pages->frames[i].trust = LG_PAGE_FORMER;
	judge_rest(pages, committed);
	return index_frames(pages, err);
}

/* --- open, read ------------------------------------------------------------------------------------------------------- */

int lg_pages_open(const char *path, struct lg_pages *ret_pages, struct lg_error *err)
{
	lg_cleanup(lg_pages_clear) struct lg_pages pages = { .db = LG_READER_INIT, .wal = LG_READER_INIT };
	struct lg_error absent = LG_ERROR_INIT;
	int rc = open_wal(path, &pages, err);
	int there = rc == 0 ? lg_reader_open(path, &pages.db, &absent) : 0;
	/* the -wal alone may hold all of a small log */
	if (there < 0 && (there != LG_ENOTFOUND || pages.wal.fd < 0)) {
		if (err)
			*err = absent;
		return there;
	}
	if (rc < 0)
		return rc;
	pages.page_size = choose_page_size(&pages);
	uint64_t count = (pages.db.size + pages.page_size - 1) / pages.page_size;
	pages.db_pages = count < LG_NONE ? (uint32_t)count : LG_NONE - 1;
	rc = load_wal(&pages, err);
	if (rc < 0)
		return rc;
	pages.budget = 64 * ((uint64_t)pages.db_pages + pages.frame_count) + 100000;
	*ret_pages = pages;
	pages = (struct lg_pages){ .db = LG_READER_INIT, .wal = LG_READER_INIT };
	return 0;
}

void lg_pages_clear(struct lg_pages *pages)
{
	lg_reader_clear(&pages->db);
	lg_reader_clear(&pages->wal);
	free(pages->frames);
	free(pages->by_page);
	*pages = (struct lg_pages){ .db = LG_READER_INIT, .wal = LG_READER_INIT };
}

uint64_t lg_pages_count(const struct lg_pages *pages)
{
	return (uint64_t)pages->db_pages + pages->frame_count;
}

struct lg_page_id lg_pages_id(const struct lg_pages *pages, uint64_t i)
{
	if (i < pages->db_pages)
		return (struct lg_page_id){ (uint32_t)i + 1, LG_NONE };
	uint32_t frame = (uint32_t)(i - pages->db_pages);
	return (struct lg_page_id){ pages->frames[frame].page, frame };
}

/* First of the frames of a page in by_page, or by_page_count. */
static uint32_t first_of(const struct lg_pages *pages, uint32_t page)
{
	uint32_t low = 0, high = pages->by_page_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (pages->frames[pages->by_page[middle]].page < page)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The newest frame of a page with a trust in [from, to], or LG_NONE. */
static uint32_t newest_frame(
	const struct lg_pages *pages, uint32_t page, enum lg_page_trust from, enum lg_page_trust to)
{
	uint32_t newest = LG_NONE;
	for (uint32_t i = first_of(pages, page); i < pages->by_page_count; i++) {
		const struct lg_frame *frame = &pages->frames[pages->by_page[i]];
		if (frame->page != page)
			break;
		if (frame->trust >= from && frame->trust <= to)
			newest = pages->by_page[i];
	}
	return newest;
}

struct lg_page_id lg_pages_find(const struct lg_pages *pages, uint32_t page, enum lg_page_view view)
{
	struct lg_page_id id = { page, LG_NONE };
	if (view == LG_VIEW_STALE)
		id.frame = newest_frame(pages, page, LG_PAGE_STALE, LG_PAGE_STALE);
	if (view == LG_VIEW_BEHIND)
		id.frame = newest_frame(pages, page, LG_PAGE_BEHIND, LG_PAGE_BEHIND);
	if (view != LG_VIEW_FILE && id.frame == LG_NONE)
		id.frame = newest_frame(pages, page, LG_PAGE_LIVE, LG_PAGE_LIVE);
	return id;
}

enum lg_page_trust lg_pages_trust(const struct lg_pages *pages, struct lg_page_id id)
{
	if (id.frame != LG_NONE)
		return (enum lg_page_trust)pages->frames[id.frame].trust;
	return newest_frame(pages, id.page, LG_PAGE_LIVE, LG_PAGE_LIVE) == LG_NONE ? LG_PAGE_LIVE
										   : LG_PAGE_FORMER;
}

int lg_pages_read(struct lg_pages *pages, struct lg_page_id id, uint8_t *to)
{
	if (id.frame != LG_NONE) {
		lg_reader_at(&pages->wal, frame_offset(pages, id.frame) + FRAME_HEADER, to, pages->page_size);
		return 0;
	}
	if (id.page == 0 || id.page > pages->db_pages)
		return -1;
	lg_reader_at(&pages->db, (uint64_t)(id.page - 1) * pages->page_size, to, pages->page_size);
	return 0;
}
