#include "config/internal.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *text, const char *ending)
{
	size_t len = strlen(text);
	size_t want = strlen(ending);
	return len >= want && strcmp(text + len - want, ending) == 0;
}

bool lg_target_is_file(const char *target)
{
	static const char *const endings[] = { ".json", ".yaml", ".yml", ".env", ".properties" };
	if (strchr(target, '/'))
		return true;
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		if (ends_with(target, endings[i]))
			return true;
	}
	return false;
}

static void why(struct lg_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void why(struct lg_buf *buf, const char *fmt, ...)
{
	if (!buf)
		return;
	va_list args;
	va_start(args, fmt);
	lg_buf_vaddf(buf, fmt, args);
	va_end(args);
}

/* --- @-n: back along the effective lineage -------------------------------------------------------------------------- */

struct hop {
	const struct lg_scope *scope;
	bool follows; /* the record is a restore of the whole scope: its state is that of `to` */
	uint64_t to;
};

static int look_for_hop(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct hop *hop = arg;
	struct lg_restore_body body;
	int rc = lg_restore_body_parse(record, &body, err);
	if (rc < 0)
		return rc;
	hop->follows = lg_scope_contains(&body.scope, hop->scope);
	hop->to = body.to;
	lg_scope_clear(&body.scope);
	return 0;
}

/* The change of scope that is in force at `at`: a restore is followed to what it brought back. 0: none. */
static int effective(struct lg_config *config, const struct lg_scope *scope, uint64_t at,
	uint64_t *ret_revision, struct lg_error *err)
{
	uint64_t revision = 0;
	for (;;) {
		int rc = lg_config_last_change(config, scope, at, &revision, NULL, err);
		if (rc == 0) /* a record that is gone may have changed it since */
			rc = lg_log_has(config->log, revision + 1, at, err);
		if (rc < 0)
			return rc;
		struct hop hop = { .scope = scope };
		const struct lg_log_query restore = {
			.from = revision, .to = revision, .kinds = 1u << LG_KIND_RESTORE
		};
		if (revision)
			rc = lg_log_query(config->log, &restore, look_for_hop, &hop, err);
		if (rc < 0)
			return rc;
		if (!hop.follows) {
			*ret_revision = revision;
			return 0;
		}
		at = hop.to;
	}
}

static int target_back(struct lg_config *config, int64_t steps, const struct lg_scope *scope,
	uint64_t *ret_revision, struct lg_buf *ret_why, struct lg_error *err)
{
	uint64_t revision;
	int rc = effective(config, scope, config->head.seq, &revision, err);
	for (int64_t i = 0; rc == 0 && revision && i < steps; i++)
		rc = effective(config, scope, revision - 1, &revision, err);
	if (rc == LG_ENOTFOUND)
		return lg_context(err, rc,
			"'@-%" PRId64
			"' reaches behind what is there (name a revision that is: lastgood history)",
			steps);
	if (rc < 0)
		return rc;
	if (!revision)
		return lg_fail(err, LG_ENOTFOUND, 0,
			"there is nothing %" PRId64 " back; look with: lastgood history", steps);
	why(ret_why, "%" PRId64 " back along what was in force", steps);
	*ret_revision = revision;
	return 0;
}

/* --- known good ------------------------------------------------------------------------------------------------------ */

/* 1: the state holds, within the scope, something that was rolled back from as bad; 0: it does not. */
static int holds_bad(struct lg_config *config, const struct lg_scope *scope, const struct lg_tree *tree)
{
	for (size_t i = 0; i < config->controls.mark_count; i++) {
		const struct lg_mark *mark = &config->controls.marks[i];
		uint8_t hash[LG_HASH_SIZE];
		if (mark->good || !lg_scope_contains(scope, &mark->scope))
			continue;
		if (lg_tree_scope_hash(tree, &mark->scope, hash) < 0)
			return LG_ENOMEM;
		if (memcmp(hash, mark->scope_hash, LG_HASH_SIZE) == 0)
			return 1;
	}
	return 0;
}

static const struct lg_mark *newest_good(
	const struct lg_config *config, const struct lg_scope *scope, uint64_t before)
{
	const struct lg_mark *best = NULL;
	for (size_t i = 0; i < config->controls.mark_count; i++) {
		const struct lg_mark *mark = &config->controls.marks[i];
		if (mark->good && mark->revision < before && (!best || mark->revision > best->revision) &&
			lg_scope_contains(&mark->scope, scope))
			best = mark;
	}
	return best;
}

/* 1: its state is still there, is not the present one and holds nothing bad; 0: not so. */
static int may_go_to(struct lg_config *config, const struct lg_scope *scope, uint64_t revision,
	const uint8_t not_hash[LG_HASH_SIZE], struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	struct lg_error why = LG_ERROR_INIT;
	int rc = lg_state_tree_at(config, revision, &tree, &why);
	if (rc == 0)
		rc = lg_check_not_dropped(config, revision, &why);
	if (rc == LG_ENOTFOUND)
		return 0; /* dropped by retention */
	if (rc < 0) {
		if (err)
			*err = why;
		return rc;
	}
	uint8_t hash[LG_HASH_SIZE];
	int bad = lg_tree_scope_hash(tree, scope, hash) < 0 ? LG_ENOMEM : holds_bad(config, scope, tree);
	if (bad < 0)
		return lg_fail_nomem(err);
	return !bad && !(not_hash && memcmp(hash, not_hash, LG_HASH_SIZE) == 0);
}

static int find_good(struct lg_config *config, const struct lg_scope *scope, uint64_t before,
	const uint8_t not_hash[LG_HASH_SIZE], const struct lg_mark **ret_mark, struct lg_error *err)
{
	const struct lg_mark *mark;
	for (; (mark = newest_good(config, scope, before)); before = mark->revision) {
		int rc = may_go_to(config, scope, mark->revision, not_hash, err);
		if (rc < 0)
			return rc;
		if (rc > 0)
			break;
	}
	*ret_mark = mark;
	return 0;
}

int lg_config_known_good(struct lg_config *config, const struct lg_scope *scope, uint64_t before,
	const uint8_t not_hash[LG_HASH_SIZE], uint64_t *ret_revision, int64_t *ret_mark_age_us,
	struct lg_error *err)
{
	lg_config_lock(config);
	const struct lg_mark *mark = NULL;
	int rc = find_good(config, scope, before, not_hash, &mark, err);
	if (rc == 0 && !mark) {
		lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
		lg_scope_describe(scope, &text);
		rc = lg_fail(err, LG_ENOTFOUND, 0,
			"no known good revision of %s before r%" PRIu64 "; choose one from: lastgood history",
			lg_buf_str(&text), before);
	}
	if (rc == 0) {
		*ret_revision = mark->revision;
		if (ret_mark_age_us)
			*ret_mark_age_us = config->clock->realtime_us(config->clock) - mark->time_us;
	}
	lg_config_unlock(config);
	return rc;
}

static int target_good(struct lg_config *config, const struct lg_scope *scope, uint64_t *ret_revision,
	struct lg_buf *ret_why, struct lg_error *err)
{
	uint64_t suspect;
	uint8_t now[LG_HASH_SIZE];
	int rc = lg_config_last_change(config, scope, config->head.seq, &suspect, NULL, err);
	if (rc == 0 && lg_tree_scope_hash(config->published->tree, scope, now) < 0)
		rc = lg_fail_nomem(err);
	if (rc == 0)
		rc = lg_config_known_good(config, scope, suspect, now, ret_revision, NULL, err);
	if (rc == 0)
		why(ret_why, "the newest known good before r%" PRIu64, suspect);
	return rc;
}

/* --- numbers ---------------------------------------------------------------------------------------------------------- */

static int note_seq(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	*(uint64_t *)arg = record->seq;
	return 1;
}

static int check_there(struct lg_config *config, uint64_t revision, struct lg_error *err)
{
	char what[24];
	int rc = lg_log_has(config->log, revision, revision, err);
	if (rc != LG_ENOTFOUND)
		return rc;
	snprintf(what, sizeof what, "r%" PRIu64, revision);
	return lg_gone_explain(config, what, revision, err);
}

static int target_revision(struct lg_config *config, uint64_t revision, uint64_t *ret_revision,
	struct lg_buf *ret_why, struct lg_error *err)
{
	if (revision == 0) {
		why(ret_why, "the empty state before the first revision");
		*ret_revision = 0;
		return 0;
	}
	if (revision > config->head.seq)
		return lg_fail(err, LG_ENOTFOUND, 0, "there is no r%" PRIu64 "; the newest record is r%" PRIu64,
			revision, config->head.seq);
	int rc = check_there(config, revision, err);
	if (rc < 0)
		return rc;
	/* a record that changed no state (a mark, a hold) stands for the revision that was in force */
	const struct lg_log_query query = {
		.to = revision, .kinds = LG_STATE_KINDS, .newest_first = true, .no_body = true
	};
	uint64_t in_force = 0;
	rc = lg_log_query(config->log, &query, note_seq, &in_force, err);
	if (rc < 0)
		return rc;
	/* that one may be gone: then the record itself names the state */
	struct lg_error gone = LG_ERROR_INIT;
	bool known = rc == 1;
	rc = known ? lg_log_has(config->log, in_force, revision, &gone) : 0;
	if (rc < 0 && rc != LG_ENOTFOUND)
		return lg_fail(err, rc, 0, "%s", gone.message);
	*ret_revision = known && rc == 0 ? in_force : revision;
	return 0;
}

/* --- times ----------------------------------------------------------------------------------------------------------- */

struct at_time {
	int64_t time_us;
	uint64_t seq;
	bool exactly;
	uint64_t next; /* the record looked at before it, which is newer; 0: none was */
};

static int not_after(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	struct at_time *at = arg;
	if (record->time_us > at->time_us) {
		at->next = record->seq;
		return 0;
	}
	at->seq = record->seq;
	at->exactly = record->time_us == at->time_us;
	return 1;
}

/* Records are gone between the one that was found and the next that is there, and they may be of that time.  A record of
 * another kind behind them, which is not later than the time, knows what they made. */
static int behind_gap(struct lg_config *config, const char *text, const struct at_time *found,
	const struct lg_log_gap *gap, uint64_t *ret_revision, struct lg_error *err)
{
	struct at_time at = { .time_us = found->time_us };
	const struct lg_log_query query = { .from = gap->last + 1,
		.to = found->next ? found->next - 1 : 0,
		.newest_first = true,
		.no_body = true };
	bool any = !query.to || query.from <= query.to;
	int rc = any ? lg_log_query(config->log, &query, not_after, &at, err) : 0;
	if (rc < 0)
		return rc;
	if (at.seq)
		return target_revision(config, at.seq, ret_revision, NULL, err);
	lg_cleanup(lg_buf_clear) struct lg_buf what = LG_BUF_INIT;
	lg_buf_addf(&what, "what was in force at '%s'", text);
	return lg_gone_explain(config, lg_buf_str(&what), gap->last, err);
}

static int target_time(struct lg_config *config, const char *text, int64_t time_us, uint64_t *ret_revision,
	struct lg_buf *ret_why, struct lg_error *err)
{
	struct at_time at = { .time_us = time_us };
	struct lg_log_gap gap;
	const struct lg_log_query query = { .kinds = LG_STATE_KINDS, .newest_first = true, .no_body = true };
	int rc = lg_log_query(config->log, &query, not_after, &at, err);
	if (rc >= 0)
		rc = lg_log_gap(config->log, at.next ? at.next - 1 : UINT64_MAX, &gap, err);
	if (rc < 0)
		return rc;
	if (rc == 1 && gap.first > at.seq && !at.exactly) {
		rc = behind_gap(config, text, &at, &gap, &at.seq, err);
		if (rc < 0)
			return rc;
	}
	if (!at.seq)
		return lg_fail(err, LG_ENOTFOUND, 0,
			"nothing is recorded at or before '%s'; look with: lastgood history", text);
	why(ret_why, "in force at %s", text);
	*ret_revision = at.seq;
	return 0;
}

/* --- all of them ------------------------------------------------------------------------------------------------------ */

static int resolve(struct lg_config *config, const char *target, const struct lg_scope *scope,
	uint64_t *ret_revision, struct lg_buf *ret_why, struct lg_error *err)
{
	struct lg_error ignored = LG_ERROR_INIT;
	int64_t number;
	if (strcmp(target, "head") == 0) {
		*ret_revision = config->published->revision;
		return 0;
	}
	if (strcmp(target, "good") == 0)
		return target_good(config, scope, ret_revision, ret_why, err);
	if (lg_starts_with(target, "@-")) {
		if (lg_int_parse(target + 2, 1, 1000000, &number, &ignored) < 0)
			return lg_fail(err, LG_EINVALID, 0,
				"'%s' is no target: @-1, @-2, … go back along the history", target);
		return target_back(config, number, scope, ret_revision, ret_why, err);
	}
	const char *digits = target[0] == 'r' ? target + 1 : target;
	if (lg_int_parse(digits, 0, INT64_MAX, &number, &ignored) == 0)
		return target_revision(config, (uint64_t)number, ret_revision, ret_why, err);
	int64_t time_us;
	if (lg_time_parse(target, &time_us, &ignored) == 0)
		return target_time(config, target, time_us, ret_revision, ret_why, err);
	return lg_fail(err, LG_EINVALID, 0,
		"'%s' is no target: use r12, @-1, good, head, a time such as 2026-11-22T14:03:00Z, or a backup "
		"file",
		target);
}

int lg_config_target(struct lg_config *config, const char *target, const struct lg_scope *scope,
	uint64_t *ret_revision, struct lg_buf *ret_why, struct lg_error *err)
{
	const struct lg_scope all = LG_SCOPE_ALL;
	lg_config_lock(config);
	int rc = resolve(config, target, scope ? scope : &all, ret_revision, ret_why, err);
	lg_config_unlock(config);
	return rc;
}
