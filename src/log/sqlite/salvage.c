#include "log/sqlite/salvage_impl.h"

#include "base/cleanup.h"
#include "model/value.h"

#include <stdlib.h>
#include <string.h>

/* Behind the newest proven record a trace counts when it is no farther from the one before it: more is garbage that looks
 * like a number. */
#define TRACE_STEP 64
#define TELL_EVERY 256
#define READ_TRIES 4

/* In the -shm file and in the database file, where SQLite keeps its locks (its file format, 2.3.1 and the WAL's index). */
#define SHM_WRITE_LOCK 120
#define SHARED_LOCKS   0x40000002
#define SHARED_COUNT   510

struct lg_salvage {
	struct lg_pages pages;
	struct lg_found found;
	struct lg_chain chain;
	struct lg_log_gap *gone; /* said to be gone before, in order, not touching each other */
	size_t gone_count;
	bool has_tail; /* a hash is said for the head, though no record proves it */
	uint8_t tail_hash[LG_HASH_SIZE];
	struct lg_buf buf;
	struct lg_salvage_summary summary;
};

int lg_salvage_user(const char *path, pid_t *ret_pid, bool *ret_writes, struct lg_error *err)
{
	lg_cleanup(lg_reader_clear) struct lg_reader db = LG_READER_INIT;
	lg_cleanup(lg_reader_clear) struct lg_reader shm = LG_READER_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf name = LG_BUF_INIT;
	lg_buf_addf(&name, "%s-shm", path);
	int rc = lg_buf_check(&name, err);
	if (rc == 0)
		rc = lg_reader_open(path, &db, err);
	if (rc < 0)
		return rc;
	rc = lg_reader_open(name.data, &shm, err);
	if (rc < 0 && rc != LG_ENOTFOUND)
		return rc;
	pid_t writer = lg_reader_locked_by(&shm, SHM_WRITE_LOCK, 1);
	*ret_pid = writer ? writer : lg_reader_locked_by(&db, SHARED_LOCKS, SHARED_COUNT);
	*ret_writes = writer != 0;
	return 0;
}

/* --- what is gone --------------------------------------------------------------------------------------------------------- */

static int compare_gaps(const void *a, const void *b)
{
	const struct lg_log_gap *one = a, *other = b;
	return one->first < other->first ? -1 : one->first > other->first;
}

static bool has_records(const struct lg_salvage *salvage, uint64_t first, uint64_t last)
{
	const struct lg_link *links = salvage->chain.links;
	size_t low = 0, high = salvage->chain.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (links[middle].seq < first)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < salvage->chain.count && links[low].seq <= last; low++)
		if (links[low].chosen && links[low].row != LG_NONE)
			return true;
	return false;
}

/* A row of gap may be garbage.  It is believed when the chain has its hash, or no proven record contradicts it. */
static bool is_believed(const struct lg_salvage *salvage, const struct lg_log_gap *gap)
{
	const struct lg_link *link = lg_chain_at(&salvage->chain, gap->last);
	return link ? memcmp(link->hash, gap->hash, LG_HASH_SIZE) == 0
		    : !has_records(salvage, gap->first, gap->last);
}

/* first … last are said to have been dropped; what stands there is not touched by that. */
static int add_dropped(struct lg_salvage *salvage, uint64_t first, uint64_t last, struct lg_error *err)
{
	struct lg_log_gap gap = { .first = first, .last = last, .reason = LG_GAP_RETENTION };
	const struct lg_link *link = last ? lg_chain_at(&salvage->chain, last) : NULL;
	if (link)
		memcpy(gap.hash, link->hash, LG_HASH_SIZE);
	return first <= last && !has_records(salvage, first, last)
		? lg_found_add_gap(&salvage->found, &gap, err)
		: 0;
}

/* The record of a trim tells what became of the records before it, should the table of gaps be lost. */
static int add_trim(struct lg_salvage *salvage, const struct lg_link *link, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *body = NULL;
	struct lg_record record;
	const json_t *kept;
	size_t i;
	int rc = lg_chain_record(&salvage->pages, &salvage->found, link, &salvage->buf, &record, err);
	if (rc < 0 || lg_json_parse(record.body, record.body_len, record.body_len, &body, NULL) < 0)
		return rc;
	json_int_t before = json_integer_value(json_object_get(body, "before"));
	uint64_t from = 1;
	json_array_foreach(json_object_get(body, "kept"), i, kept)
	{
		json_int_t seq = json_integer_value(json_object_get(kept, "seq"));
		if (rc < 0 || seq < (json_int_t)from || seq >= before)
			break;
		rc = add_dropped(salvage, from, (uint64_t)seq - 1, err);
		from = (uint64_t)seq + 1;
	}
	return rc == 0 && before > (json_int_t)from ? add_dropped(salvage, from, (uint64_t)before - 1, err)
						    : rc;
}

static int add_trims(struct lg_salvage *salvage, struct lg_error *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < salvage->chain.count; i++) {
		const struct lg_link *link = &salvage->chain.links[i];
		if (link->chosen && link->row != LG_NONE && link->whole &&
			salvage->found.rows[link->row].kind == LG_KIND_TRIM)
			rc = add_trim(salvage, link, err);
	}
	return rc;
}

static int gather_gone(struct lg_salvage *salvage, struct lg_error *err)
{
	struct lg_found *found = &salvage->found;
	int rc = add_trims(salvage, err);
	if (rc < 0)
		return rc;
	salvage->gone = calloc(found->gap_count + 1, sizeof *salvage->gone);
	if (!salvage->gone)
		return lg_fail_nomem(err);
	if (found->gap_count)
		qsort(found->gaps, found->gap_count, sizeof *found->gaps, compare_gaps);
	for (size_t i = 0; i < found->gap_count; i++) {
		const struct lg_log_gap *gap = &found->gaps[i];
		struct lg_log_gap *last = salvage->gone_count ? &salvage->gone[salvage->gone_count - 1] : NULL;
		if (last && gap->last <= last->last)
			continue; /* an older version of the same row */
		if (!is_believed(salvage, gap))
			continue;
		if (last && gap->first <= last->last + 1) {
			last->last = gap->last;
			last->reason = gap->reason == LG_GAP_LOST ? LG_GAP_LOST : last->reason;
		} else {
			salvage->gone[salvage->gone_count++] = *gap;
		}
	}
	return 0;
}

/* The gap that seq lies in, or else the next one behind it (NULL: none). */
static const struct lg_log_gap *gone_from(const struct lg_salvage *salvage, uint64_t seq)
{
	size_t low = 0, high = salvage->gone_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (salvage->gone[middle].last < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low < salvage->gone_count ? &salvage->gone[low] : NULL;
}

static bool is_gone(const struct lg_salvage *salvage, uint64_t seq)
{
	const struct lg_log_gap *gap = gone_from(salvage, seq);
	return gap && gap->first <= seq;
}

static bool is_kept(const struct lg_salvage *salvage, const struct lg_link *link)
{
	return link->chosen && link->row != LG_NONE && link->whole && !is_gone(salvage, link->seq);
}

/* Seqs of [first, last] that were gone before, by retention or by any reason. */
static uint64_t count_gone(const struct lg_salvage *salvage, uint64_t first, uint64_t last, bool any)
{
	uint64_t count = 0;
	for (size_t i = 0; i < salvage->gone_count; i++) {
		const struct lg_log_gap *gap = &salvage->gone[i];
		uint64_t from = gap->first > first ? gap->first : first;
		uint64_t to = gap->last < last ? gap->last : last;
		if (any || gap->reason == LG_GAP_RETENTION)
			count += from <= to ? to - from + 1 : 0;
	}
	return count;
}

/* --- open ----------------------------------------------------------------------------------------------------------------- */

static int scan_pages(
	struct lg_salvage *salvage, const struct lg_salvage_progress *progress, struct lg_error *err)
{
	struct lg_pages *pages = &salvage->pages;
	uint64_t count = lg_pages_count(pages);
	lg_autofree uint8_t *page = malloc(pages->page_size);
	if (!page)
		return lg_fail_nomem(err);
	for (uint64_t i = 0; i < count; i++) {
		struct lg_page_id id = lg_pages_id(pages, i);
		if (progress->tell && i % TELL_EVERY == 0)
			progress->tell(progress->arg, "reading pages", i, count);
		if (id.page == 0 || lg_pages_trust(pages, id) == LG_PAGE_UNUSED ||
			lg_pages_read(pages, id, page) < 0)
			continue;
		int rc = lg_cells_scan(pages, id, page, &salvage->found, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add_hints(struct lg_salvage *salvage, const struct lg_salvage_options *options, struct lg_error *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < options->hint_count; i++) {
		struct lg_claim claim = { .seq = options->hints[i].seq, .kind = LG_KIND_COUNT, .sure = true };
		memcpy(claim.hash, options->hints[i].hash, LG_HASH_SIZE);
		if (claim.seq > 0 && claim.seq <= INT64_MAX)
			rc = lg_found_add_claim(&salvage->found, &claim, err);
	}
	return rc;
}

/* The newest proven record, and behind it what there are traces of. */
static void find_head(struct lg_salvage *salvage)
{
	const struct lg_chain *chain = &salvage->chain;
	const struct lg_found *found = &salvage->found;
	uint64_t head = 0;
	for (size_t i = 0; i < chain->count; i++)
		if (chain->links[i].chosen && chain->links[i].seq > head)
			head = chain->links[i].seq;
	for (size_t i = 0; i < chain->count; i++) {
		const struct lg_link *link = &chain->links[i];
		if (link->seq <= head || link->seq - head > TRACE_STEP || link->computed)
			continue;
		head = link->seq;
		salvage->has_tail = true;
		memcpy(salvage->tail_hash, link->hash, LG_HASH_SIZE);
	}
	for (size_t i = 0; i < found->claim_count; i++) {
		if (!found->claims[i].sure || found->claims[i].seq <= head)
			continue;
		head = found->claims[i].seq;
		salvage->has_tail = true;
		memcpy(salvage->tail_hash, found->claims[i].hash, LG_HASH_SIZE);
	}
	salvage->summary.head = head;
}

static int count_trace(void *arg, const struct lg_salvage_trace *trace, struct lg_error *err)
{
	struct lg_salvage_summary *summary = arg;
	(void)err;
	summary->lost += trace->last - trace->seq + 1;
	summary->unproven += trace->record && !trace->body_lost;
	return 0;
}

static int sum_up(struct lg_salvage *salvage, struct lg_error *err)
{
	struct lg_salvage_summary *summary = &salvage->summary;
	for (size_t i = 0; i < salvage->chain.count; i++)
		summary->proven += is_kept(salvage, &salvage->chain.links[i]);
	for (uint32_t i = 0; i < salvage->pages.frame_count; i++)
		summary->frames += salvage->pages.frames[i].trust <= LG_PAGE_FORMER;
	summary->pages = salvage->pages.db_pages;
	summary->dropped = count_gone(salvage, 1, summary->head, true);
	summary->unreadable = salvage->pages.db.unreadable + salvage->pages.wal.unreadable;
	return lg_salvage_traces(salvage, count_trace, summary, err);
}

int lg_salvage_open(
	const struct lg_salvage_options *options, struct lg_salvage **ret_salvage, struct lg_error *err)
{
	lg_cleanup(lg_salvage_closep) struct lg_salvage *salvage = calloc(1, sizeof *salvage);
	if (!salvage)
		return lg_fail_nomem(err);
	salvage->pages = (struct lg_pages){ .db = LG_READER_INIT, .wal = LG_READER_INIT };
	int rc = lg_pages_open(options->path, &salvage->pages, err);
	if (rc == 0)
		rc = scan_pages(salvage, &options->progress, err);
	if (rc == 0)
		rc = add_hints(salvage, options, err);
	if (rc == 0)
		rc = lg_chain_build(&salvage->pages, &salvage->found, &salvage->chain, &options->progress, err);
	if (rc == 0)
		rc = gather_gone(salvage, err);
	if (rc < 0)
		return lg_context(err, rc, "cannot salvage '%s'", options->path);
	find_head(salvage);
	rc = sum_up(salvage, err);
	if (rc < 0)
		return rc;
	*ret_salvage = lg_steal_ptr(&salvage);
	return 0;
}

void lg_salvage_close(struct lg_salvage *salvage)
{
	if (!salvage)
		return;
	lg_pages_clear(&salvage->pages);
	lg_found_clear(&salvage->found);
	lg_chain_clear(&salvage->chain);
	lg_buf_clear(&salvage->buf);
	free(salvage->gone);
	free(salvage);
}

void lg_salvage_closep(struct lg_salvage **salvage)
{
	lg_salvage_close(*salvage);
}

const struct lg_salvage_summary *lg_salvage_summary(const struct lg_salvage *salvage)
{
	return &salvage->summary;
}

bool lg_salvage_hash(const struct lg_salvage *salvage, uint64_t seq, uint8_t ret_hash[LG_HASH_SIZE])
{
	const struct lg_link *link = lg_chain_at(&salvage->chain, seq);
	if (link)
		memcpy(ret_hash, link->hash, LG_HASH_SIZE);
	return link;
}

/* --- walk ----------------------------------------------------------------------------------------------------------------- */

struct walk {
	struct lg_salvage *salvage;
	lg_salvage_visit *visit;
	void *arg;
	struct lg_log_head at; /* what the next record follows */
};

static int visit_gap(struct walk *walk, uint64_t last, const uint8_t hash[LG_HASH_SIZE], struct lg_error *err)
{
	struct lg_log_gap gap = { .first = walk->at.seq + 1, .last = last, .reason = LG_GAP_RETENTION };
	memcpy(gap.hash, hash, LG_HASH_SIZE);
	if (count_gone(walk->salvage, gap.first, last, false) != last - gap.first + 1)
		gap.reason = LG_GAP_LOST;
	walk->at.seq = last;
	memcpy(walk->at.hash, hash, LG_HASH_SIZE);
	return walk->visit(walk->arg, NULL, &gap, err);
}

static int visit_link(struct walk *walk, const struct lg_link *link, struct lg_error *err)
{
	struct lg_salvage *salvage = walk->salvage;
	struct lg_record record;
	int rc = 0;
	if (link->seq != walk->at.seq + 1)
		rc = visit_gap(walk, link->seq - 1, salvage->chain.links[link->parent].hash, err);
	/* a failing disk may give at the next try what it gave before */
	for (int tries = 0; rc == 0 && tries < READ_TRIES; tries++) {
		int read = lg_chain_record(&salvage->pages, &salvage->found, link, &salvage->buf, &record, err);
		if (read == 0)
			read = lg_record_check(&record, walk->at.seq, walk->at.hash, err);
		if (read == 0)
			break;
		if (read != LG_ECORRUPT || tries + 1 == READ_TRIES)
			rc = read;
	}
	if (rc != 0)
		return rc;
	walk->at.seq = link->seq;
	memcpy(walk->at.hash, link->hash, LG_HASH_SIZE);
	return walk->visit(walk->arg, &record, NULL, err);
}

int lg_salvage_walk(struct lg_salvage *salvage, lg_salvage_visit *visit, void *arg, struct lg_error *err)
{
	struct walk walk = { .salvage = salvage, .visit = visit, .arg = arg };
	uint64_t head = salvage->summary.head;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < salvage->chain.count; i++)
		if (is_kept(salvage, &salvage->chain.links[i]))
			rc = visit_link(&walk, &salvage->chain.links[i], err);
	if (rc != 0 || walk.at.seq == head)
		return rc;
	const struct lg_link *link = lg_chain_at(&salvage->chain, head);
	uint8_t hash[LG_HASH_SIZE];
	memcpy(hash, link ? link->hash : salvage->has_tail ? salvage->tail_hash : walk.at.hash, sizeof hash);
	return visit_gap(&walk, head, hash, err);
}

/* --- traces ----------------------------------------------------------------------------------------------------------------- */

struct tracing {
	struct lg_salvage *salvage;
	int (*visit)(void *arg, const struct lg_salvage_trace *trace, struct lg_error *err);
	void *arg;
	size_t row, claim, link; /* the next of each */
};

/* [first, last]: nothing is known of them but that those which were not gone before are lost. */
static int visit_unknown(struct tracing *tracing, uint64_t first, uint64_t last, struct lg_error *err)
{
	int rc = 0;
	while (rc == 0 && first <= last) {
		const struct lg_log_gap *gap = gone_from(tracing->salvage, first);
		uint64_t to = gap && gap->first <= last ? gap->first - 1 : last;
		if (gap && gap->first <= first) {
			first = gap->last + 1;
			continue;
		}
		const struct lg_salvage_trace trace = { .seq = first, .last = to };
		rc = tracing->visit(tracing->arg, &trace, err);
		first = to + 1;
	}
	return rc;
}

/* The best row of a seq that can be read; rows [from, to) are of it. */
static int trace_row(struct tracing *tracing, size_t from, size_t to, struct lg_salvage_trace *trace,
	struct lg_record *record, struct lg_error *err)
{
	struct lg_salvage *salvage = tracing->salvage;
	for (size_t i = from; i < to; i++) {
		int rc = lg_cells_record(
			&salvage->pages, &salvage->found.rows[i], LG_VIEW_LIVE, &salvage->buf, record, err);
		if (rc < 0)
			return rc;
		if (rc == LG_ROW_LOST)
			continue;
		trace->record = record;
		trace->has_kind = true;
		trace->kind = record->kind;
		return 0;
	}
	return 0;
}

static int visit_known(struct tracing *tracing, uint64_t seq, const struct lg_link *link, size_t row_end,
	size_t claim_end, struct lg_error *err)
{
	struct lg_salvage *salvage = tracing->salvage;
	struct lg_salvage_trace trace = { .seq = seq, .last = seq, .has_hash = link };
	struct lg_record record;
	int rc = 0;
	for (size_t i = tracing->claim; i < claim_end && !trace.has_kind; i++) {
		const struct lg_claim *claim = &salvage->found.claims[i];
		/* what is wrong about the hash, or may be, is not to be believed about the kind */
		if (link ? memcmp(link->hash, claim->hash, LG_HASH_SIZE) != 0 : claim_end - tracing->claim > 1)
			continue;
		trace.has_kind = claim->kind < LG_KIND_COUNT;
		trace.kind = (enum lg_kind)claim->kind;
	}
	if (link && link->row != LG_NONE) {
		rc = lg_chain_record(&salvage->pages, &salvage->found, link, &salvage->buf, &record, err);
		trace.record = &record;
		trace.body_lost = true;
		trace.has_kind = true;
		trace.kind = record.kind;
	} else {
		rc = trace_row(tracing, tracing->row, row_end, &trace, &record, err);
	}
	return rc < 0 ? rc : tracing->visit(tracing->arg, &trace, err);
}

/* Walks the seqs that rows or claims name, in order. */
int lg_salvage_traces(struct lg_salvage *salvage,
	int (*visit)(void *arg, const struct lg_salvage_trace *trace, struct lg_error *err), void *arg,
	struct lg_error *err)
{
	struct tracing tracing = { .salvage = salvage, .visit = visit, .arg = arg };
	const struct lg_found *found = &salvage->found;
	uint64_t next = 1;
	int rc = 0;
	while (rc == 0 && (tracing.row < found->row_count || tracing.claim < found->claim_count)) {
		uint64_t by_row = tracing.row < found->row_count ? found->rows[tracing.row].seq : UINT64_MAX;
		uint64_t by_claim =
			tracing.claim < found->claim_count ? found->claims[tracing.claim].seq : UINT64_MAX;
		uint64_t seq = by_row < by_claim ? by_row : by_claim;
		if (seq > salvage->summary.head)
			break;
		size_t row_end = tracing.row, claim_end = tracing.claim;
		while (row_end < found->row_count && found->rows[row_end].seq == seq)
			row_end++;
		while (claim_end < found->claim_count && found->claims[claim_end].seq == seq)
			claim_end++;
		const struct lg_link *link = lg_chain_at(&salvage->chain, seq);
		rc = visit_unknown(&tracing, next, seq - 1, err);
		if (rc == 0 && !is_gone(salvage, seq) && !(link && is_kept(salvage, link)))
			rc = visit_known(&tracing, seq, link, row_end, claim_end, err);
		next = seq + 1;
		tracing.row = row_end;
		tracing.claim = claim_end;
	}
	return rc == 0 && next <= salvage->summary.head
		? visit_unknown(&tracing, next, salvage->summary.head, err)
		: rc;
}
