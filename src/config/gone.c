/* What is not in the log any more, and what is nearest to it and can still be read.
 *
 * Behind a gap a state can be built from the first checkpoint on: the one that retention cut behind, or, where records were
 * lost, whichever there happens to be. */
#include "config/internal.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <inttypes.h>

/* 1: the oldest gap with first > after, 0: there is none. */
static int gap_after(struct lg_config *config, uint64_t after, struct lg_log_gap *ret_gap, struct lg_error *err)
{
	struct lg_log_gap gap;
	int found = 0;
	for (uint64_t at = UINT64_MAX;; at = gap.first - 1) {
		int rc = lg_log_gap(config->log, at, &gap, err);
		if (rc < 0)
			return rc;
		if (rc == 0 || gap.first <= after)
			return found;
		*ret_gap = gap;
		found = 1;
	}
}

/* Newest checkpoint up to `at`, 0: none. */
static int checkpoint_at(struct lg_config *config, uint64_t at, uint64_t *ret_seq, struct lg_error *err)
{
	struct lg_error none = LG_ERROR_INIT;
	*ret_seq = 0;
	int rc = lg_log_checkpoint_find(config->log, at, ret_seq, &none);
	if (rc == 0 || rc == LG_ENOTFOUND)
		return 0;
	return lg_fail(err, rc, 0, "%s", none.message);
}

/* Oldest seq behind `gap` and up to `end` whose state can be built; 0: none. */
static int first_readable(struct lg_config *config, const struct lg_log_gap *gap, uint64_t end,
	uint64_t *ret_seq, struct lg_error *err)
{
	uint64_t low = gap->last + 1, high = end, checkpoint;
	*ret_seq = 0;
	if (low > high)
		return 0;
	int rc = checkpoint_at(config, high, &checkpoint, err);
	if (rc < 0 || checkpoint < gap->last)
		return rc;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		rc = checkpoint_at(config, middle, &checkpoint, err);
		if (rc < 0)
			return rc;
		if (checkpoint >= gap->last)
			high = middle;
		else
			low = middle + 1;
	}
	*ret_seq = low;
	return 0;
}

static int nearest_after(
	struct lg_config *config, struct lg_log_gap gap, uint64_t *ret_seq, struct lg_error *err)
{
	*ret_seq = 0;
	for (;;) {
		struct lg_log_gap next;
		int rc = gap_after(config, gap.last, &next, err);
		if (rc < 0)
			return rc;
		bool is_last = rc == 0;
		rc = first_readable(config, &gap, is_last ? config->head.seq : next.first - 1, ret_seq, err);
		if (rc < 0 || *ret_seq || is_last)
			return rc;
		gap = next;
	}
}

static int nearest_before(struct lg_config *config, uint64_t before, uint64_t *ret_seq, struct lg_error *err)
{
	*ret_seq = 0;
	for (uint64_t at = before - 1; at > 0;) {
		struct lg_log_gap gap;
		uint64_t checkpoint = 0;
		int rc = lg_log_gap(config->log, at, &gap, err);
		if (rc == 1)
			rc = checkpoint_at(config, at, &checkpoint, err) < 0 ? LG_EIO : 1;
		if (rc < 0)
			return rc;
		if (rc == 0 || checkpoint >= gap.last) {
			*ret_seq = at;
			return 0;
		}
		at = gap.first - 1;
	}
	return 0;
}

int lg_gone_nearest(
	struct lg_config *config, uint64_t seq, uint64_t *ret_before, uint64_t *ret_after, struct lg_error *err)
{
	struct lg_log_gap gap;
	*ret_before = *ret_after = 0;
	int rc = lg_log_gap(config->log, seq, &gap, err);
	if (rc == 0)
		return 0;
	if (rc == 1)
		rc = nearest_before(config, gap.first, ret_before, err);
	return rc < 0 ? rc : nearest_after(config, gap, ret_after, err);
}

static int add_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	char time[LG_TIME_SIZE];
	(void)err;
	lg_buf_addf(arg, "r%" PRIu64 " (%s)", record->seq, lg_time_format(record->time_us, time));
	return 0;
}

static int name(struct lg_config *config, uint64_t seq, struct lg_buf *buf, struct lg_error *err)
{
	const struct lg_log_query one = { .from = seq, .to = seq, .no_body = true };
	return seq ? lg_log_query(config->log, &one, add_record, buf, err) : 0;
}

int lg_gone_explain(struct lg_config *config, const char *what, uint64_t seq, struct lg_error *err)
{
	static const char *const reasons[] = {
		[LG_GAP_RETENTION] = "were dropped by retention",
		[LG_GAP_LOST] = "were lost to damage, as the salvage of this store says",
	};
	lg_cleanup(lg_buf_clear) struct lg_buf near = LG_BUF_INIT;
	struct lg_log_gap gap;
	uint64_t before, after;
	int rc = lg_log_gap(config->log, seq, &gap, err);
	if (rc == 0)
		return lg_fail(err, LG_ENOTFOUND, 0, "%s cannot be read", what);
	if (rc == 1)
		rc = lg_gone_nearest(config, seq, &before, &after, err);
	if (rc == 0)
		rc = name(config, before, &near, err);
	if (rc == 0 && before && after)
		lg_buf_adds(&near, " and ");
	if (rc == 0)
		rc = name(config, after, &near, err);
	if (rc < 0)
		return rc;
	return lg_fail(err, LG_ENOTFOUND, 0,
		"%s cannot be read: the records %" PRIu64 " to %" PRIu64 " %s; the nearest that can: %s", what,
		gap.first, gap.last, reasons[gap.reason], near.len ? lg_buf_str(&near) : "none");
}

int lg_check_not_dropped(struct lg_config *config, uint64_t to, struct lg_error *err)
{
	char what[24];
	struct lg_log_gap gap;
	int rc = to ? lg_log_gap(config->log, to, &gap, err) : 0;
	if (rc <= 0 || gap.last < to || gap.reason != LG_GAP_RETENTION)
		return rc < 0 ? rc : 0;
	snprintf(what, sizeof what, "r%" PRIu64, to);
	return lg_gone_explain(config, what, to, err);
}

int lg_config_gap(struct lg_config *config, uint64_t at, struct lg_log_gap *ret_gap, struct lg_error *err)
{
	lg_config_lock(config);
	int rc = lg_log_gap(config->log, at, ret_gap, err);
	lg_config_unlock(config);
	return rc;
}

int lg_config_nearest(struct lg_config *config, uint64_t revision, uint64_t *ret_before, uint64_t *ret_after,
	struct lg_error *err)
{
	lg_config_lock(config);
	int rc = lg_gone_nearest(config, revision, ret_before, ret_after, err);
	lg_config_unlock(config);
	return rc;
}
