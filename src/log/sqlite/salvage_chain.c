/* Every row, and everything else that says a hash of a record, is a link; a row whose hash follows from a link of the seq
 * before it is a child of that.  So links form trees, nearly always without a branch: one for the whole log, or one for each
 * stretch between two losses.  The longest way through them is taken first; what contradicts it (left over from a
 * transaction that was undone, or from another log) is not proven. */
#include "log/sqlite/salvage_impl.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

/* More of them for one seq come from no log. */
#define LINKS_MAX  64
#define COPIES_MAX 64
#define TELL_EVERY 256

void lg_chain_clear(struct lg_chain *chain)
{
	free(chain->links);
	*chain = (struct lg_chain){ 0 };
}

/* --- in order --------------------------------------------------------------------------------------------------------- */

static int compare_numbers(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_rows(const void *a, const void *b)
{
	const struct lg_row *one = a, *other = b;
	int by = compare_numbers(one->seq, other->seq);
	by = by ? by : compare_numbers(one->rank, other->rank);
	/* of equal rank the newest, so that the order never depends on where the rows were met */
	by = by ? by : compare_numbers(other->id.frame, one->id.frame);
	by = by ? by : compare_numbers(one->id.page, other->id.page);
	return by ? by : compare_numbers(one->at, other->at);
}

static int compare_claims(const void *a, const void *b)
{
	const struct lg_claim *one = a, *other = b;
	int by = compare_numbers(one->seq, other->seq);
	by = by ? by : memcmp(one->hash, other->hash, LG_HASH_SIZE);
	return by ? by : compare_numbers(one->kind, other->kind);
}

static void sort_claims(struct lg_found *found)
{
	if (found->claim_count == 0)
		return;
	qsort(found->claims, found->claim_count, sizeof *found->claims, compare_claims);
	size_t kept = 1;
	for (size_t i = 1; i < found->claim_count; i++) {
		struct lg_claim *last = &found->claims[kept - 1], *claim = &found->claims[i];
		if (last->seq == claim->seq && memcmp(last->hash, claim->hash, LG_HASH_SIZE) == 0)
			last->sure |= claim->sure; /* kinds are in order: the first one is said, if any is */
		else
			found->claims[kept++] = *claim;
	}
	found->claim_count = kept;
}

/* Copies of one row, in the frames of a page that was written often, leave one. */
static void sort_rows(struct lg_found *found)
{
	if (found->row_count == 0)
		return;
	qsort(found->rows, found->row_count, sizeof *found->rows, compare_rows);
	size_t kept = 0, group = 0;
	for (size_t i = 0; i < found->row_count; i++) {
		const struct lg_row *row = &found->rows[i];
		if (kept == group || found->rows[group].seq != row->seq)
			group = kept;
		bool known = kept - group >= COPIES_MAX;
		for (size_t j = group; !known && j < kept; j++)
			known = found->rows[j].digest == row->digest;
		if (!known)
			found->rows[kept++] = *row;
	}
	found->row_count = kept;
}

/* --- building --------------------------------------------------------------------------------------------------------- */

struct build {
	struct lg_pages *pages;
	struct lg_found *found;
	struct lg_chain *chain;
	struct lg_buf buf;
	size_t before,
		now; /* where the links of seq - 1 and of seq begin; those of seq - 1 end where the others begin */
	uint64_t seq;
};

static struct lg_link *find_link(const struct build *build, const uint8_t hash[LG_HASH_SIZE])
{
	for (size_t i = build->now; i < build->chain->count; i++)
		if (memcmp(build->chain->links[i].hash, hash, LG_HASH_SIZE) == 0)
			return &build->chain->links[i];
	return NULL;
}

/* ret_link NULL: there are too many of this seq. */
static int add_link(
	struct build *build, const uint8_t hash[LG_HASH_SIZE], struct lg_link **ret_link, struct lg_error *err)
{
	struct lg_chain *chain = build->chain;
	*ret_link = find_link(build, hash);
	if (*ret_link || chain->count - build->now >= LINKS_MAX)
		return 0;
	if (chain->count == chain->size) {
		size_t size = chain->size ? chain->size * 2 : 1024;
		struct lg_link *links = size < LG_NONE ? reallocarray(chain->links, size, sizeof *links) : NULL;
		if (!links)
			return lg_fail_nomem(err);
		chain->links = links;
		chain->size = size;
	}
	*ret_link = &chain->links[chain->count++];
	**ret_link = (struct lg_link){
		.seq = build->seq, .parent = LG_NONE, .root = (uint32_t)chain->count - 1, .row = LG_NONE
	};
	memcpy((*ret_link)->hash, hash, LG_HASH_SIZE);
	return 0;
}

/* A row as a record in the view in which it is whole, else in any; two body hashes may be true. */
struct reading {
	struct lg_record record;
	uint8_t body_hash[LG_HASH_SIZE]; /* of the body as it is */
	bool has_body;
	bool whole; /* the body is what the row says */
	uint8_t view;
};

/* 0, LG_ROW_LOST, LG_ENOMEM */
static int read_row(struct lg_pages *pages, const struct lg_row *row, struct lg_buf *buf,
	struct reading *reading, struct lg_error *err)
{
	int best = LG_ROW_LOST;
	size_t views = row->len > pages->page_size - 35 ? LG_VIEW_COUNT : 1;
	for (size_t view = 0; view < views; view++) {
		struct lg_record record;
		int rc = lg_cells_record(pages, row, (enum lg_page_view)view, buf, &record, err);
		if (rc < 0)
			return rc;
		if (rc == LG_ROW_LOST || record.has_root != lg_kind_is_state(record.kind))
			continue;
		struct reading now = { .record = record, .has_body = rc == 0, .view = (uint8_t)view };
		lg_record_body_hash(record.body, record.body_len, now.body_hash);
		now.whole = rc == 0 &&
			(record.redacted || memcmp(now.body_hash, record.body_hash, LG_HASH_SIZE) == 0);
		best = 0;
		*reading = now;
		if (now.whole)
			return 0;
	}
	return best;
}

static void prove(struct build *build, struct lg_link *link, uint32_t parent, uint32_t row,
	const struct reading *reading, bool own_body)
{
	struct lg_link *links = build->chain->links;
	bool whole = reading->whole || own_body;
	if (link->row != LG_NONE && (link->whole || !whole))
		return; /* by a better copy */
	link->row = row;
	link->view = reading->view;
	link->whole = whole;
	link->own_body = own_body;
	link->parent = parent;
	link->root = links[parent].root;
	link->run = links[parent].run + 1;
	if (link->computed)
		return; /* until it is followed itself */
	links[parent].followed = true;
	if (links[parent].computed && links[parent].parent != LG_NONE)
		links[links[parent].parent].followed = true;
}

/* Does the row follow from a link before it, with this hash of its body?  1 or 0, LG_ENOMEM. */
static int try_row(struct build *build, uint32_t row, const struct reading *reading, bool own_body,
	bool computed, struct lg_error *err)
{
	const uint8_t *body_hash = own_body ? reading->body_hash : reading->record.body_hash;
	for (size_t i = build->before; i < build->now; i++) {
		struct lg_link *link;
		uint8_t hash[LG_HASH_SIZE];
		lg_record_hash(&reading->record, build->chain->links[i].hash, body_hash, hash);
		link = find_link(build, hash);
		if (!link && computed && !build->chain->links[i].computed) {
			int rc = add_link(build, hash, &link, err);
			if (rc < 0)
				return rc;
			if (link)
				link->computed = true;
		}
		if (link) {
			prove(build, link, (uint32_t)i, row, reading, own_body);
			if (!link->computed)
				return 1;
		}
	}
	return 0;
}

static int link_row(struct build *build, uint32_t row, struct lg_error *err)
{
	struct reading reading;
	int rc = read_row(build->pages, &build->found->rows[row], &build->buf, &reading, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	/* a damaged column is mended where the chain says what it was: the hash of the body, or the record's own */
	bool mend = reading.has_body && !reading.whole && !reading.record.redacted;
	rc = try_row(build, row, &reading, false, false, err);
	if (rc == 0 && mend)
		rc = try_row(build, row, &reading, true, false, err);
	if (rc == 0)
		rc = try_row(build, row, &reading, mend, true, err);
	return rc < 0 ? rc : 0;
}

/* The hash of a row whose actor and reason fill the page lies behind it. */
static int read_hash(struct build *build, struct lg_row *row, struct lg_error *err)
{
	struct reading reading;
	if (row->has_hash)
		return 0;
	int rc = read_row(build->pages, row, &build->buf, &reading, err);
	if (rc == 0) {
		memcpy(row->hash, reading.record.hash, LG_HASH_SIZE);
		row->has_hash = true;
	}
	return rc < 0 ? rc : 0;
}

/* rows [from, to) and claims [claim, claim_end) are of build->seq */
static int link_seq(
	struct build *build, size_t from, size_t to, size_t claim, size_t claim_end, struct lg_error *err)
{
	struct lg_link *link;
	int rc = 0;
	for (size_t i = claim; rc == 0 && i < claim_end; i++)
		rc = add_link(build, build->found->claims[i].hash, &link, err);
	for (size_t i = from; rc == 0 && i < to; i++) {
		struct lg_row *row = &build->found->rows[i];
		rc = read_hash(build, row, err);
		if (rc == 0 && row->has_hash)
			rc = add_link(build, row->hash, &link, err);
	}
	for (size_t i = from; rc == 0 && i < to; i++)
		rc = link_row(build, (uint32_t)i, err);
	return rc;
}

static int link_all(struct build *build, const struct lg_salvage_progress *progress, struct lg_error *err)
{
	const struct lg_found *found = build->found;
	static const uint8_t zeros[LG_HASH_SIZE];
	struct lg_link *link;
	size_t row = 0, claim = 0, told = 0;
	int rc = add_link(build, zeros, &link, err); /* what record 1 follows */
	while (rc == 0 && (row < found->row_count || claim < found->claim_count)) {
		uint64_t by_row = row < found->row_count ? found->rows[row].seq : UINT64_MAX;
		uint64_t by_claim = claim < found->claim_count ? found->claims[claim].seq : UINT64_MAX;
		uint64_t seq = by_row < by_claim ? by_row : by_claim;
		size_t row_end = row, claim_end = claim;
		while (row_end < found->row_count && found->rows[row_end].seq == seq)
			row_end++;
		while (claim_end < found->claim_count && found->claims[claim_end].seq == seq)
			claim_end++;
		build->before = build->seq + 1 == seq ? build->now : build->chain->count;
		build->now = build->chain->count;
		build->seq = seq;
		rc = link_seq(build, row, row_end, claim, claim_end, err);
		row = row_end;
		claim = claim_end;
		if (progress->tell && row / TELL_EVERY != told) {
			told = row / TELL_EVERY;
			progress->tell(progress->arg, "proving records", row, found->row_count);
		}
	}
	return rc;
}

/* --- choosing --------------------------------------------------------------------------------------------------------- */

struct range {
	uint64_t first, last;
};

struct choice {
	const struct lg_found *found;
	struct lg_chain *chain;
	uint32_t *leaves;
	size_t leaf_count;
	struct range *ranges; /* taken, in order */
	size_t range_count;
	bool indexed;
};

static int compare_leaves(const void *a, const void *b, void *arg)
{
	const struct lg_chain *chain = arg;
	const struct lg_link *one = &chain->links[*(const uint32_t *)a],
			     *other = &chain->links[*(const uint32_t *)b];
	int by = compare_numbers(other->run, one->run);
	/* of two equally long ones the one whose last row was found first is better: rank is in that order */
	by = by ? by : compare_numbers(other->seq, one->seq);
	return by ? by : compare_numbers(one->row, other->row);
}

/* Does the index say this hash (1), only others (-1), or nothing (0)? */
static int witness(const struct lg_found *found, const struct lg_link *link)
{
	size_t low = 0, high = found->claim_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (found->claims[middle].seq < link->seq)
			low = middle + 1;
		else
			high = middle;
	}
	int said = 0;
	for (; low < found->claim_count && found->claims[low].seq == link->seq; low++) {
		if (memcmp(found->claims[low].hash, link->hash, LG_HASH_SIZE) == 0)
			return 1;
		said = -1;
	}
	return said;
}

/* A page of another store holds records that follow from each other just as well; the index gives them away.  The longest
 * way tells whether there is an index: then it knows the others, too. */
static bool is_foreign(struct choice *choice, uint32_t leaf)
{
	const struct lg_link *links = choice->chain->links;
	int64_t balance = 0, count = 0;
	for (uint32_t i = leaf; i != LG_NONE; i = links[i].parent) {
		balance += witness(choice->found, &links[i]);
		count++;
	}
	if (choice->range_count == 0)
		choice->indexed = balance > count / 2;
	return choice->indexed ? balance <= 0 : balance < 0;
}

/* Takes the way to a leaf, unless something of it is taken. */
static void take(struct choice *choice, uint32_t leaf)
{
	struct lg_link *links = choice->chain->links;
	const struct range range = { links[links[leaf].root].seq, links[leaf].seq };
	size_t low = 0, high = choice->range_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (choice->ranges[middle].last < range.first)
			low = middle + 1;
		else
			high = middle;
	}
	if ((low < choice->range_count && choice->ranges[low].first <= range.last) || is_foreign(choice, leaf))
		return;
	memmove(&choice->ranges[low + 1], &choice->ranges[low],
		(choice->range_count - low) * sizeof *choice->ranges);
	choice->ranges[low] = range;
	choice->range_count++;
	for (uint32_t i = leaf; i != LG_NONE; i = links[i].parent)
		links[i].chosen = true;
}

static int choose(const struct lg_found *found, struct lg_chain *chain, struct lg_error *err)
{
	size_t count = 0;
	for (size_t i = 0; i < chain->count; i++) {
		const struct lg_link *link = &chain->links[i];
		count += !link->followed && !link->computed && link->row != LG_NONE;
	}
	lg_autofree uint32_t *leaves = calloc(count + 1, sizeof *leaves);
	lg_autofree struct range *ranges = calloc(count + 1, sizeof *ranges);
	if (!leaves || !ranges)
		return lg_fail_nomem(err);
	struct choice choice = { .found = found, .chain = chain, .leaves = leaves, .ranges = ranges };
	for (size_t i = 0; i < chain->count; i++) {
		const struct lg_link *link = &chain->links[i];
		if (!link->followed && !link->computed && link->row != LG_NONE)
			leaves[choice.leaf_count++] = (uint32_t)i;
	}
	qsort_r(leaves, count, sizeof *leaves, compare_leaves, chain);
	for (size_t i = 0; i < count; i++)
		take(&choice, leaves[i]);
	return 0;
}

int lg_chain_build(struct lg_pages *pages, struct lg_found *found, struct lg_chain *chain,
	const struct lg_salvage_progress *progress, struct lg_error *err)
{
	sort_rows(found);
	sort_claims(found);
	if (found->row_count >= LG_NONE)
		return lg_fail(err, LG_EUNSUPPORTED, 0, "it holds too many records");
	struct build build = { .pages = pages, .found = found, .chain = chain };
	int rc = link_all(&build, progress, err);
	lg_buf_clear(&build.buf);
	return rc < 0 ? rc : choose(found, chain, err);
}

/* --- asking ----------------------------------------------------------------------------------------------------------- */

const struct lg_link *lg_chain_at(const struct lg_chain *chain, uint64_t seq)
{
	size_t low = 0, high = chain->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (chain->links[middle].seq < seq)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < chain->count && chain->links[low].seq == seq; low++)
		if (chain->links[low].chosen)
			return &chain->links[low];
	return NULL;
}

int lg_chain_record(struct lg_pages *pages, const struct lg_found *found, const struct lg_link *link,
	struct lg_buf *buf, struct lg_record *ret_record, struct lg_error *err)
{
	struct lg_record record;
	int rc = lg_cells_record(
		pages, &found->rows[link->row], (enum lg_page_view)link->view, buf, &record, err);
	if (rc < 0)
		return rc;
	if (rc == LG_ROW_LOST || (rc == LG_ROW_NO_BODY && link->whole))
		return lg_fail(err, LG_ECORRUPT, 0, "record %llu is no longer what it was a moment ago",
			(unsigned long long)link->seq);
	memcpy(record.hash, link->hash, LG_HASH_SIZE);
	if (link->own_body)
		lg_record_body_hash(record.body, record.body_len, record.body_hash);
	*ret_record = record;
	return 0;
}
