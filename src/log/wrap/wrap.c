#include "log/wrap/wrap.h"

#include "base/cleanup.h"
#include "io/fault.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct wrap {
	struct lg_log log; /* first */
	struct lg_log *inner;
	struct lg_log_hooks hooks;
	const struct lg_clock *clock;
};

static const char *const call_names[LG_LOG_CALL_COUNT] = {
	[LG_LOG_CALL_HEAD] = "head",
	[LG_LOG_CALL_APPEND] = "append",
	[LG_LOG_CALL_QUERY] = "query",
	[LG_LOG_CALL_CHECKPOINT_WRITE] = "checkpoint_write",
	[LG_LOG_CALL_CHECKPOINT_READ] = "checkpoint_read",
	[LG_LOG_CALL_TRIM] = "trim",
	[LG_LOG_CALL_GAP] = "gap",
	[LG_LOG_CALL_WAIT] = "wait",
	[LG_LOG_CALL_CHECKPOINT_FIND] = "checkpoint_find",
	[LG_LOG_CALL_CHECKPOINT_DROP] = "checkpoint_drop",
	[LG_LOG_CALL_SKIP] = "skip",
	[LG_LOG_CALL_SETTLE] = "settle",
	[LG_LOG_CALL_CHECK] = "check",
	[LG_LOG_CALL_EACH_TOUCHED] = "each_touched",
};

const char *lg_log_call_name(enum lg_log_call call)
{
	return (unsigned)call < LG_LOG_CALL_COUNT ? call_names[call] : "unknown";
}

/* One call on its way through: begin → (inner) → end. */
struct passage {
	struct wrap *wrap;
	enum lg_log_call call;
	int64_t begun_ns;
	char arguments[160];
};

static int begin(struct passage *p, struct lg_log *log, enum lg_log_call call, struct lg_error *err)
{
	p->wrap = (struct wrap *)log;
	p->call = call;
	p->begun_ns = p->wrap->hooks.trace ? p->wrap->clock->boottime_ns(p->wrap->clock) : 0;
	return p->wrap->hooks.before ? p->wrap->hooks.before(p->wrap->hooks.arg, call, err) : 0;
}

/* rc: what the inner call, or the hook in its place, returned. */
static int end(struct passage *p, int rc, struct lg_error *err)
{
	const struct lg_log_hooks *hooks = &p->wrap->hooks;
	if (rc >= 0 && hooks->after) {
		int after = hooks->after(hooks->arg, p->call, err);
		if (after < 0)
			rc = after;
	}
	if (hooks->trace) {
		char line[256], result[32];
		int64_t us = (p->wrap->clock->boottime_ns(p->wrap->clock) - p->begun_ns) / 1000;
		snprintf(result, sizeof result, "%d", rc);
		snprintf(line, sizeof line, "%s%s -> %s %" PRId64 "us", lg_log_call_name(p->call), p->arguments,
			rc > 0 ? result : lg_code_name(rc), us);
		hooks->trace(hooks->arg, line);
	}
	return rc;
}

static void wrap_close(struct lg_log *log)
{
	struct wrap *wrap = (struct wrap *)log;
	if (!wrap)
		return;
	lg_log_close(wrap->inner);
	free(wrap);
}

/* Only a log that is open can be wrapped. */
static int wrap_open(const struct lg_log_open *options, struct lg_log **ret_log, struct lg_error *err)
{
	(void)options;
	(void)ret_log;
	return lg_fail(err, LG_EINTERNAL, 0, "a wrapped log is made with lg_log_wrap");
}

static int wrap_head(struct lg_log *log, struct lg_log_head *ret_head, struct lg_error *err)
{
	struct passage p = { 0 };
	struct lg_log_head head;
	int rc = begin(&p, log, LG_LOG_CALL_HEAD, err);
	if (rc >= 0)
		rc = lg_log_head(p.wrap->inner, &head, err);
	if (rc >= 0)
		snprintf(p.arguments, sizeof p.arguments, " =%" PRIu64, head.seq);
	rc = end(&p, rc, err);
	if (rc >= 0)
		*ret_head = head;
	return rc;
}

static int wrap_append(struct lg_log *log, const struct lg_record *records, size_t count,
	const struct lg_log_head *expected, struct lg_error *err)
{
	struct passage p = { 0 };
	int fault;
	int rc = begin(&p, log, LG_LOG_CALL_APPEND, err);
	snprintf(p.arguments, sizeof p.arguments, " seq=%" PRIu64 " count=%zu kind=%s body=%zu keys=%zu",
		records[0].seq, count, lg_kind_name(records[0].kind), records[0].body_len,
		records[0].key_count);
	if (rc >= 0 && (fault = lg_fault_check(LG_FAULT_LOG_APPEND, "append")) != 0)
		rc = lg_fail(err, LG_EIO, fault, "cannot append to the log");
	if (rc >= 0)
		rc = p.wrap->inner->ops->append(p.wrap->inner, records, count, expected, err);
	if (rc >= 0 && (fault = lg_fault_check(LG_FAULT_LOG_APPEND, "appended")) != 0)
		rc = lg_fail(err, LG_EUNKNOWN, fault, "cannot append to the log for certain");
	return end(&p, rc, err);
}

static int wrap_query(struct lg_log *log, const struct lg_log_query *query, lg_log_visit *visit, void *arg,
	struct lg_error *err)
{
	struct passage p = { 0 };
	int rc = begin(&p, log, LG_LOG_CALL_QUERY, err);
	snprintf(p.arguments, sizeof p.arguments,
		" from=%" PRIu64 " to=%" PRIu64 " kinds=%#x key=%zu%s limit=%" PRIu64, query->from, query->to,
		query->kinds, query->key ? strlen(query->key) : 0, query->newest_first ? " newest_first" : "",
		query->limit);
	if (rc >= 0)
		rc = lg_log_query(p.wrap->inner, query, visit, arg, err);
	return end(&p, rc, err);
}

static int wrap_checkpoint_write(
	struct lg_log *log, const struct lg_log_checkpoint *checkpoint, struct lg_error *err)
{
	struct passage p = { 0 };
	int rc = begin(&p, log, LG_LOG_CALL_CHECKPOINT_WRITE, err);
	snprintf(p.arguments, sizeof p.arguments, " seq=%" PRIu64 " len=%zu", checkpoint->seq, checkpoint->len);
	if (rc >= 0)
		rc = lg_log_checkpoint_write(p.wrap->inner, checkpoint, err);
	return end(&p, rc, err);
}

static int wrap_checkpoint_find(struct lg_log *log, uint64_t at, uint64_t *ret_seq, struct lg_error *err)
{
	struct passage p = { 0 };
	uint64_t seq = 0;
	int rc = begin(&p, log, LG_LOG_CALL_CHECKPOINT_FIND, err);
	snprintf(p.arguments, sizeof p.arguments, " at=%" PRIu64, at);
	if (rc >= 0)
		rc = lg_log_checkpoint_find(p.wrap->inner, at, &seq, err);
	rc = end(&p, rc, err);
	if (rc >= 0)
		*ret_seq = seq;
	return rc;
}

static int wrap_checkpoint_read(
	struct lg_log *log, uint64_t seq, lg_log_checkpoint_visit *visit, void *arg, struct lg_error *err)
{
	struct passage p = { 0 };
	int rc = begin(&p, log, LG_LOG_CALL_CHECKPOINT_READ, err);
	snprintf(p.arguments, sizeof p.arguments, " seq=%" PRIu64, seq);
	if (rc >= 0)
		rc = lg_log_checkpoint_read(p.wrap->inner, seq, visit, arg, err);
	return end(&p, rc, err);
}

static int wrap_checkpoint_drop(struct lg_log *log, uint64_t seq, struct lg_error *err)
{
	struct passage p = { 0 };
	int rc = begin(&p, log, LG_LOG_CALL_CHECKPOINT_DROP, err);
	snprintf(p.arguments, sizeof p.arguments, " seq=%" PRIu64, seq);
	if (rc >= 0)
		rc = lg_log_checkpoint_drop(p.wrap->inner, seq, err);
	return end(&p, rc, err);
}

static int wrap_trim(
	struct lg_log *log, uint64_t before, const uint64_t *keep, size_t keep_count, struct lg_error *err)
{
	struct passage p = { 0 };
	int rc = begin(&p, log, LG_LOG_CALL_TRIM, err);
	snprintf(p.arguments, sizeof p.arguments, " before=%" PRIu64 " keep=%zu", before, keep_count);
	if (rc >= 0)
		rc = lg_log_trim(p.wrap->inner, before, keep, keep_count, err);
	return end(&p, rc, err);
}

static int wrap_gap(struct lg_log *log, uint64_t at, struct lg_log_gap *ret_gap, struct lg_error *err)
{
	struct passage p = { 0 };
	struct lg_log_gap gap = { 0 };
	int rc = begin(&p, log, LG_LOG_CALL_GAP, err);
	snprintf(p.arguments, sizeof p.arguments, " at=%" PRIu64, at);
	if (rc >= 0)
		rc = lg_log_gap(p.wrap->inner, at, &gap, err);
	rc = end(&p, rc, err);
	if (rc == 1)
		*ret_gap = gap;
	return rc;
}

static int wrap_skip(struct lg_log *log, const struct lg_log_gap *gap, struct lg_error *err)
{
	struct passage p = { 0 };
	int rc = begin(&p, log, LG_LOG_CALL_SKIP, err);
	snprintf(p.arguments, sizeof p.arguments, " first=%" PRIu64 " last=%" PRIu64, gap->first, gap->last);
	if (rc >= 0)
		rc = lg_log_skip(p.wrap->inner, gap, err);
	return end(&p, rc, err);
}

static int wrap_wait(struct lg_log *log, int64_t timeout_ms, struct lg_error *err)
{
	struct passage p = { 0 };
	int rc = begin(&p, log, LG_LOG_CALL_WAIT, err);
	snprintf(p.arguments, sizeof p.arguments, " timeout=%" PRId64 "ms", timeout_ms);
	if (rc >= 0)
		rc = lg_log_wait(p.wrap->inner, timeout_ms, err);
	return end(&p, rc, err);
}

static int wrap_wait_fd(struct lg_log *log)
{
	return lg_log_wait_fd(((struct wrap *)log)->inner);
}

static int wrap_settle(struct lg_log *log, struct lg_error *err)
{
	struct passage p = { 0 };
	int rc = begin(&p, log, LG_LOG_CALL_SETTLE, err);
	if (rc >= 0 && p.wrap->inner->ops->settle)
		rc = p.wrap->inner->ops->settle(p.wrap->inner, err);
	return end(&p, rc, err);
}

static int wrap_check(struct lg_log *log, bool deep, struct lg_error *err)
{
	struct passage p = { 0 };
	int rc = begin(&p, log, LG_LOG_CALL_CHECK, err);
	if (rc >= 0)
		rc = lg_log_check(p.wrap->inner, deep, err);
	return end(&p, rc, err);
}

static int wrap_each_touched(struct lg_log *log, lg_log_touched_visit *visit, void *arg, struct lg_error *err)
{
	struct passage p = { 0 };
	int rc = begin(&p, log, LG_LOG_CALL_EACH_TOUCHED, err);
	if (rc >= 0)
		rc = lg_log_each_touched(p.wrap->inner, visit, arg, err);
	return end(&p, rc, err);
}

static const struct lg_log_ops wrap_ops = {
	.api = LG_LOG_API,
	.scheme = "wrap",
	.open = wrap_open,
	.close = wrap_close,
	.head = wrap_head,
	.append = wrap_append,
	.query = wrap_query,
	.checkpoint_write = wrap_checkpoint_write,
	.checkpoint_find = wrap_checkpoint_find,
	.checkpoint_read = wrap_checkpoint_read,
	.checkpoint_drop = wrap_checkpoint_drop,
	.trim = wrap_trim,
	.gap = wrap_gap,
	.skip = wrap_skip,
	.wait = wrap_wait,
	.wait_fd = wrap_wait_fd,
	.settle = wrap_settle,
	.check = wrap_check,
	.each_touched = wrap_each_touched,
};

int lg_log_wrap(struct lg_log *inner, const struct lg_log_hooks *hooks, const struct lg_clock *clock,
	struct lg_log **ret_log, struct lg_error *err)
{
	struct wrap *wrap = calloc(1, sizeof *wrap);
	if (!wrap) {
		lg_log_close(inner);
		return lg_fail_nomem(err);
	}
	*wrap = (struct wrap){
		.log = { .ops = &wrap_ops },
		.inner = inner,
		.hooks = *hooks,
		.clock = clock ? clock : lg_clock_system(),
	};
	*ret_log = &wrap->log;
	return 0;
}
