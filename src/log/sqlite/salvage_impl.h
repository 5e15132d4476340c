/* salvage_impl.h - the inside of salvage (log/salvage.h): a reader of the SQLite file format that trusts nothing.
 *
 *	salvage_pages.c  the database file and the frames of its -wal as versions of pages
 *	salvage_cells.c  rows of `record`, entries of `record_kind`, rows of `gap`, found by their shape wherever they lie
 *	salvage_chain.c  which of them follow from each other, and which of these chains is the log
 *	salvage.c        all of it in order; what is known of each seq
 *
 * Nothing is followed from the root of a tree: each page is searched for what looks like a row, whatever its header says,
 * since a record proves itself by the chain.  Format: https://sqlite.org/fileformat2.html
 */
#ifndef LG_LOG_SQLITE_SALVAGE_IMPL_H
#define LG_LOG_SQLITE_SALVAGE_IMPL_H

#include "base/buf.h"
#include "io/reader.h"
#include "log/salvage.h"

#define LG_NONE UINT32_MAX

/* --- salvage_pages.c --- */

/* Better first.  A transaction that was never committed has no frame here. */
enum lg_page_trust {
	LG_PAGE_LIVE,   /* what SQLite would read */
	LG_PAGE_FORMER, /* was committed and has a newer version since */
	LG_PAGE_BEHIND, /* of a transaction behind damage in the -wal, which SQLite stops at */
	LG_PAGE_STALE,  /* left in the -wal from before it was begun anew */
	LG_PAGE_UNUSED  /* no commit behind it: not read at all */
};

struct lg_frame {
	uint32_t page; /* from 1 */
	uint32_t size; /* of the database in pages, when the frame ends a transaction; else 0 */
	uint8_t salts[8];
	uint8_t trust;  /* enum lg_page_trust */
	bool continues; /* the checksum of the frame before it */
};

/* In what order the versions of a page are asked for. */
enum lg_page_view {
	LG_VIEW_LIVE,   /* as SQLite would */
	LG_VIEW_BEHIND, /* with what lies behind damage in the -wal */
	LG_VIEW_FILE,   /* the database file alone */
	LG_VIEW_STALE,  /* the -wal's leftovers first */
	LG_VIEW_COUNT
};

struct lg_pages {
	struct lg_reader db, wal;
	uint32_t page_size;
	uint32_t db_pages; /* a part of one at the end counts */
	struct lg_frame *frames;
	uint32_t frame_count;
	uint32_t *by_page; /* frames that may be read, by page, oldest first */
	uint32_t by_page_count;
	uint64_t budget; /* pages of overflow chains that may still be read: a hostile file must end, too */
};

/* A version of a page: frame LG_NONE is the database file. */
struct lg_page_id {
	uint32_t page;
	uint32_t frame;
};

int lg_pages_open(const char *path, struct lg_pages *ret_pages, struct lg_error *err);
void lg_pages_clear(struct lg_pages *pages);
/* Versions are numbered: first those of the database file, then the frames. */
uint64_t lg_pages_count(const struct lg_pages *pages);
struct lg_page_id lg_pages_id(const struct lg_pages *pages, uint64_t i);
enum lg_page_trust lg_pages_trust(const struct lg_pages *pages, struct lg_page_id id);
/* page_size bytes; 0, or -1: there is no such page. */
int lg_pages_read(struct lg_pages *pages, struct lg_page_id id, uint8_t *to);
struct lg_page_id lg_pages_find(const struct lg_pages *pages, uint32_t page, enum lg_page_view view);

/* --- salvage_cells.c --- */

/* A row of `record` as it was found somewhere. */
struct lg_row {
	uint64_t seq;
	uint64_t digest; /* of its bytes in the page: equal ones are the same row */
	uint64_t len;    /* of its payload */
	struct lg_page_id id;
	uint16_t at;   /* where in the page its payload begins */
	uint16_t rank; /* smaller is better: trust, and whether the page lists it */
	uint8_t kind;  /* enum lg_kind */
	bool has_hash; /* else it lies in an overflow page */
	uint8_t hash[LG_HASH_SIZE];
};
/* The hash of a record, said by something else than the record. */
struct lg_claim {
	uint64_t seq;
	uint8_t hash[LG_HASH_SIZE];
	uint8_t kind; /* enum lg_kind, or LG_KIND_COUNT: not said */
	bool sure;    /* from outside: it does not come from a page that may be garbage */
};
struct lg_found {
	struct lg_row *rows;
	size_t row_count, row_size;
	struct lg_claim *claims;
	size_t claim_count, claim_size;
	struct lg_log_gap *gaps;
	size_t gap_count, gap_size;
};
void lg_found_clear(struct lg_found *found);
int lg_found_add_claim(struct lg_found *found, const struct lg_claim *claim, struct lg_error *err);
int lg_found_add_gap(struct lg_found *found, const struct lg_log_gap *gap, struct lg_error *err);
/* All that one version of a page holds, appended. LG_ENOMEM */
int lg_cells_scan(struct lg_pages *pages, struct lg_page_id id, const uint8_t *page, struct lg_found *found,
	struct lg_error *err);
/* The record of a row, its overflow pages as the view has them; points into buf and is valid until that changes.  0: whole;
 * LG_ROW_NO_BODY: all but the body (then ""); LG_ROW_LOST: not even that; LG_ENOMEM. */
#define LG_ROW_NO_BODY 1
#define LG_ROW_LOST    2
int lg_cells_record(struct lg_pages *pages, const struct lg_row *row, enum lg_page_view view,
	struct lg_buf *buf, struct lg_record *ret_record, struct lg_error *err);

/* --- salvage_chain.c --- */

/* A hash that record `seq` has or is said to have, and, when the chain proves it, the row. */
struct lg_link {
	uint64_t seq;
	uint8_t hash[LG_HASH_SIZE];
	uint32_t parent; /* the link of seq - 1 that it follows from, or LG_NONE */
	uint32_t root;   /* where the way here begins */
	uint32_t row;    /* that proves it, or LG_NONE */
	uint32_t run;    /* records proven on the way here */
	uint8_t view;    /* in which the row is whole */
	bool whole;      /* body and all */
	bool own_body;   /* the body's hash is that of the body, the column that says it is damaged */
	bool followed;   /* some link has it as parent */
	bool computed;   /* nothing but the row says this hash: counts only when it is followed */
	bool chosen;
};
struct lg_chain {
	struct lg_link *links; /* by seq */
	size_t count, size;
};
void lg_chain_clear(struct lg_chain *chain);
/* rows and claims are sorted by it. */
int lg_chain_build(struct lg_pages *pages, struct lg_found *found, struct lg_chain *chain,
	const struct lg_salvage_progress *progress, struct lg_error *err);
/* The link chosen for seq, or NULL. */
const struct lg_link *lg_chain_at(const struct lg_chain *chain, uint64_t seq);
/* The record that a link's row proves. 0, LG_ECORRUPT when the files are no longer what they were. */
int lg_chain_record(struct lg_pages *pages, const struct lg_found *found, const struct lg_link *link,
	struct lg_buf *buf, struct lg_record *ret_record, struct lg_error *err);

#endif
