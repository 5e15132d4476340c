#include "spoil.h"

#include <string.h>

#define WAL_HEADER 32
#define FRAME      (24 + SPOIL_PAGE)

uint64_t spoil_random(uint64_t *random) /* splitmix64 */
{
	uint64_t z = *random += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static size_t below(uint64_t *random, size_t limit)
{
	return limit ? (size_t)(spoil_random(random) % limit) : 0;
}

static void garble(uint8_t *at, size_t len, uint64_t *random)
{
	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)spoil_random(random);
}

static size_t pages_of(const struct spoil_file *file)
{
	return file->len / SPOIL_PAGE;
}

static uint8_t *page_of(const struct spoil_file *file, size_t i)
{
	return file->data + i * SPOIL_PAGE;
}

static uint8_t *any_page(const struct spoil_file *file, uint64_t *random)
{
	return page_of(file, below(random, pages_of(file)));
}

static size_t frames_of(const struct spoil_file *wal)
{
	return wal->len > WAL_HEADER ? (wal->len - WAL_HEADER) / FRAME : 0;
}

static uint8_t *any_frame(const struct spoil_file *wal, uint64_t *random)
{
	return wal->data + WAL_HEADER + below(random, frames_of(wal)) * FRAME;
}

static void flip(struct spoil_file *file, size_t count, uint64_t *random)
{
	for (size_t i = 0; i < count && file->len; i++)
		file->data[below(random, file->len)] ^= (uint8_t)(1u << below(random, 8));
}

static void cut(struct spoil_file *file, uint64_t *random)
{
	file->len = below(random, file->len);
}

/* --- the database --------------------------------------------------------------------------------------------------------- */

static void zero_page(struct spoil_store *store, uint64_t *random)
{
	memset(any_page(&store->db, random), 0, SPOIL_PAGE);
}

static void garbage_page(struct spoil_store *store, uint64_t *random)
{
	garble(any_page(&store->db, random), SPOIL_PAGE, random);
}

static void several_pages(struct spoil_store *store, uint64_t *random)
{
	size_t count = pages_of(&store->db) / 25 + 1;
	for (size_t i = 0; i < count; i++) {
		uint8_t *page = any_page(&store->db, random);
		if (i % 2)
			garble(page, SPOIL_PAGE, random);
		else
			memset(page, 0, SPOIL_PAGE);
	}
}

static void one_bit(struct spoil_store *store, uint64_t *random)
{
	flip(&store->db, 1, random);
}

static void many_bits(struct spoil_store *store, uint64_t *random)
{
	flip(&store->db, 2 + below(random, 200), random);
}

static void few_bytes(struct spoil_store *store, uint64_t *random)
{
	uint8_t *page = any_page(&store->db, random);
	size_t len = 1 + below(random, 64);
	garble(page + below(random, SPOIL_PAGE - len), len, random);
}

static void sector(struct spoil_store *store, uint64_t *random)
{
	memset(any_page(&store->db, random) + 512 * below(random, 8), 0, 512);
}

static void big_hole(struct spoil_store *store, uint64_t *random)
{
	size_t len = store->db.len < 65536 ? store->db.len / 4 : 65536;
	memset(store->db.data + below(random, store->db.len - len), 0, len);
}

static void cut_off(struct spoil_store *store, uint64_t *random)
{
	cut(&store->db, random);
}

static void cut_at_page(struct spoil_store *store, uint64_t *random)
{
	store->db.len = below(random, pages_of(&store->db)) * SPOIL_PAGE;
}

static void file_header(struct spoil_store *store, uint64_t *random)
{
	if (store->db.len >= 100)
		garble(store->db.data, 100, random);
}

static void first_page(struct spoil_store *store, uint64_t *random)
{
	(void)random;
	memset(store->db.data, 0, store->db.len < SPOIL_PAGE ? store->db.len : SPOIL_PAGE);
}

/* Size of a page, reserved bytes, versions, freelist: each a lie. */
static void header_lies(struct spoil_store *store, uint64_t *random)
{
	static const uint8_t fields[] = { 16, 17, 18, 19, 20, 28, 29, 30, 31, 32, 36, 56 };
	for (size_t i = 0; i < 3; i++)
		store->db.data[fields[below(random, sizeof fields)]] = (uint8_t)spoil_random(random);
}

static void swapped_pages(struct spoil_store *store, uint64_t *random)
{
	uint8_t former[SPOIL_PAGE];
	uint8_t *one = any_page(&store->db, random), *other = any_page(&store->db, random);
	memcpy(former, one, SPOIL_PAGE);
	memmove(one, other, SPOIL_PAGE);
	memcpy(other, former, SPOIL_PAGE);
}

/* What a disk does that writes to the wrong place. */
static void doubled_page(struct spoil_store *store, uint64_t *random)
{
	memmove(any_page(&store->db, random), any_page(&store->db, random), SPOIL_PAGE);
}

static void foreign_page(struct spoil_store *store, uint64_t *random)
{
	memcpy(any_page(&store->db, random), any_page(&store->foreign, random), SPOIL_PAGE);
}

static void shifted_page(struct spoil_store *store, uint64_t *random)
{
	uint8_t *page = any_page(&store->db, random);
	memmove(page + 1, page, SPOIL_PAGE - 1);
}

/* The parts of a page that say where its cells are. */
static void page_headers(struct spoil_store *store, uint64_t *random)
{
	for (size_t i = 0; i < pages_of(&store->db); i++) {
		uint8_t *page = page_of(&store->db, i);
		if (i && (page[0] == 2 || page[0] == 5 || page[0] == 10 || page[0] == 13) &&
			below(random, 4) == 0)
			garble(page, 12, random);
	}
}

static void all_of_type(struct spoil_store *store, uint8_t one, uint8_t other, uint64_t *random)
{
	for (size_t i = 1; i < pages_of(&store->db); i++) {
		uint8_t *page = page_of(&store->db, i);
		if (page[0] == one || page[0] == other)
			garble(page, SPOIL_PAGE, random);
	}
}

static void roots(struct spoil_store *store, uint64_t *random)
{
	all_of_type(store, 5, 2, random);
}

static void index_pages(struct spoil_store *store, uint64_t *random)
{
	all_of_type(store, 10, 2, random);
}

/* A page that belongs to no tree is most likely one of an overflow chain, and begins with the number of the next. */
static uint8_t *overflow_page(struct spoil_store *store, uint64_t *random)
{
	size_t count = pages_of(&store->db);
	for (size_t tries = 0; tries < 4 * count; tries++) {
		uint8_t *page = page_of(&store->db, below(random, count));
		if (page[0] == 0 && page[1] == 0 && page != store->db.data)
			return page;
	}
	return any_page(&store->db, random);
}

static void chain_cut(struct spoil_store *store, uint64_t *random)
{
	memset(overflow_page(store, random), 0, 4);
}

static void chain_cycle(struct spoil_store *store, uint64_t *random)
{
	uint8_t *page = overflow_page(store, random);
	size_t number = (size_t)(page - store->db.data) / SPOIL_PAGE + 1;
	page[0] = page[1] = 0;
	page[2] = (uint8_t)(number >> 8);
	page[3] = (uint8_t)number;
}

static void chain_astray(struct spoil_store *store, uint64_t *random)
{
	garble(overflow_page(store, random), 4, random);
}

/* --- the -wal ----------------------------------------------------------------------------------------------------------- */

static void wal_frame(struct spoil_store *store, uint64_t *random)
{
	if (frames_of(&store->wal))
		garble(any_frame(&store->wal, random) + 24, SPOIL_PAGE, random);
	else
		zero_page(store, random);
}

static void wal_frame_header(struct spoil_store *store, uint64_t *random)
{
	if (frames_of(&store->wal))
		garble(any_frame(&store->wal, random), 24, random);
	else
		garbage_page(store, random);
}

static void wal_header(struct spoil_store *store, uint64_t *random)
{
	if (store->wal.len >= WAL_HEADER)
		garble(store->wal.data, WAL_HEADER, random);
	few_bytes(store, random);
}

static void wal_bits(struct spoil_store *store, uint64_t *random)
{
	flip(&store->wal, 1 + below(random, 30), random);
}

static void wal_cut(struct spoil_store *store, uint64_t *random)
{
	if (store->wal.len)
		cut(&store->wal, random);
}

static void wal_gone(struct spoil_store *store, uint64_t *random)
{
	store->wal.len = 0;
	one_bit(store, random);
}

/* --- both, and beside them ------------------------------------------------------------------------------------------------ */

static void checkpoint_bits(struct spoil_store *store, uint64_t *random)
{
	for (size_t i = 0; i < store->checkpoint_count; i++)
		if (below(random, 2))
			flip(&store->checkpoints[i], 1 + below(random, 3), random);
	zero_page(store, random);
}

static void checkpoint_cut(struct spoil_store *store, uint64_t *random)
{
	if (store->checkpoint_count)
		cut(&store->checkpoints[below(random, store->checkpoint_count)], random);
	garbage_page(store, random);
}

static void everywhere(struct spoil_store *store, uint64_t *random)
{
	several_pages(store, random);
	wal_bits(store, random);
	checkpoint_bits(store, random);
}

const struct spoil_kind spoil_kinds[] = {
	{ "a page of zeros", zero_page },
	{ "a page of garbage", garbage_page },
	{ "some pages of zeros or garbage", several_pages },
	{ "one bit", one_bit },
	{ "many bits", many_bits },
	{ "a few bytes", few_bytes },
	{ "a sector of zeros", sector },
	{ "a hole of 64 KiB", big_hole },
	{ "cut off anywhere", cut_off },
	{ "cut off at a page", cut_at_page },
	{ "the file's header", file_header },
	{ "the first page", first_page },
	{ "a header that lies", header_lies },
	{ "two pages swapped", swapped_pages },
	{ "a page written to the wrong place", doubled_page },
	{ "a page of another store", foreign_page },
	{ "a page shifted by a byte", shifted_page },
	{ "headers of pages", page_headers },
	{ "roots and inner pages of all trees", roots },
	{ "all pages of all indexes", index_pages },
	{ "an overflow chain cut", chain_cut },
	{ "an overflow chain in a circle", chain_cycle },
	{ "an overflow chain astray", chain_astray },
	{ "a page in the -wal", wal_frame },
	{ "a frame's header in the -wal", wal_frame_header },
	{ "the header of the -wal", wal_header },
	{ "bits in the -wal", wal_bits },
	{ "the -wal cut off", wal_cut },
	{ "the -wal gone", wal_gone },
	{ "bits in checkpoints", checkpoint_bits },
	{ "a checkpoint cut off", checkpoint_cut },
	{ "everywhere", everywhere },
};
const size_t spoil_kind_count = sizeof spoil_kinds / sizeof *spoil_kinds;
