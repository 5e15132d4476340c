#include "monitor/decide.h"

#include "base/buf.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef const struct lg_evidence evidence;

static int64_t attribution_us(evidence *e)
{
	return e->attribution_ns / 1000;
}

/* --- does the rule hold? ------------------------------------------------------------------------------------------ */

static bool only_observes(evidence *e)
{
	return e->action == LG_ACTION_OBSERVE;
}

static bool has_no_scope(evidence *e)
{
	return !e->prefix;
}

static bool has_no_change(evidence *e)
{
	return e->change == 0 || e->symptoms_us - e->change_us > attribution_us(e);
}

static bool changed_since(evidence *e)
{
	return e->change_us > e->symptoms_us;
}

static bool is_rollback(evidence *e)
{
	return e->change_is_rollback;
}

static bool is_guarded(evidence *e)
{
	return e->action == LG_ACTION_ROLLBACK && e->automatic_today >= e->max_per_day;
}

static bool has_no_good(evidence *e)
{
	return e->good == 0;
}

static bool is_good_stale(evidence *e)
{
	return e->good_age_us > e->good_max_age_ns / 1000;
}

static bool is_irreversible(evidence *e)
{
	return e->irreversible != NULL;
}

static bool is_held(evidence *e)
{
	return e->hold != 0;
}

static bool only_advises(evidence *e)
{
	return e->action == LG_ACTION_ADVISE;
}

static bool always(evidence *e)
{
	return true;
}

/* --- what it says ------------------------------------------------------------------------------------------------- */

/* Whole seconds read better than microseconds, except where there is not one. */
static const char *age(int64_t us, char buf[static LG_DURATION_SIZE])
{
	const int64_t unit_us = us < 1000000 ? 1000 : 1000000;
	const int64_t most_us = INT64_MAX / 1000;
	us = us < 0 ? 0 : us > most_us ? most_us : us;
	return lg_duration_format(us / unit_us * unit_us * 1000, buf);
}

#define SAY(...) snprintf(why, LG_DECISION_TEXT, __VA_ARGS__)

static void say_observes(evidence *e, char *why)
{
	SAY("trigger '%s' only observes", e->trigger);
}

static void say_no_scope(evidence *e, char *why)
{
	SAY("the service of trigger '%s' has no adapter, so there is no configuration to go back with",
		e->trigger);
}

static void say_no_change(evidence *e, char *why)
{
	char period[LG_DURATION_SIZE];
	SAY("no change of '%s' in the %s before the symptoms", e->prefix,
		lg_duration_format(e->attribution_ns, period));
}

static void say_changed_since(evidence *e, char *why)
{
	SAY("r%" PRIu64
	    " changed '%s' after the symptoms began, so it is not their cause and may be somebody's cure",
		e->change, e->prefix);
}

static void say_rollback(evidence *e, char *why)
{
	SAY("would roll back a rollback: the newest change of '%s' is r%" PRIu64 ", which is one", e->prefix,
		e->change);
}

static void say_guarded(evidence *e, char *why)
{
	SAY("%" PRId64 " automatic rollbacks in the last 24h, and at most %" PRId64 " are allowed",
		e->automatic_today, e->max_per_day);
}

static void say_no_good(evidence *e, char *why)
{
	SAY("no known good of '%s' before r%" PRIu64, e->prefix, e->change);
}

static void say_stale(evidence *e, char *why)
{
	char is[LG_DURATION_SIZE], most[LG_DURATION_SIZE];
	SAY("the newest known good of '%s', r%" PRIu64 ", was marked %s ago, and after %s it is advice only",
		e->prefix, e->good, age(e->good_age_us, is), lg_duration_format(e->good_max_age_ns, most));
}

static void say_irreversible(evidence *e, char *why)
{
	SAY("going back from r%" PRIu64 " to r%" PRIu64 " would change '%s', which is irreversible", e->change,
		e->good, e->irreversible);
}

static void say_held(evidence *e, char *why)
{
	SAY("'%s' is held by h%" PRIu64 ", and a hold keeps what is automatic away", e->prefix, e->hold);
}

static void say_advises(evidence *e, char *why)
{
	SAY("r%" PRIu64 " is the newest change of '%s' before the symptoms, r%" PRIu64
	    " its known good, and trigger '%s' only advises",
		e->change, e->prefix, e->good, e->trigger);
}

static void say_go(evidence *e, char *why)
{
	char apart[LG_DURATION_SIZE];
	SAY("r%" PRIu64 " changed '%s' %s before the symptoms began; r%" PRIu64 " is its newest known good",
		e->change, e->prefix, age(e->symptoms_us - e->change_us, apart), e->good);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

enum suggestion { SUGGEST_NOTHING, SUGGEST_GOOD, SUGGEST_HISTORY, SUGGEST_UNDO };

struct rule {
	struct lg_decision_rule public;
	bool (*holds)(evidence *e);
	void (*say)(evidence *e, char *why);
	enum suggestion suggestion;
};

static const struct rule rules[] = {
	{ { "observe", "the trigger only observes", LG_DECISION_NONE }, only_observes, say_observes,
		SUGGEST_NOTHING },
	{ { "no_scope", "its service has no adapter", LG_DECISION_NONE }, has_no_scope, say_no_scope,
		SUGGEST_NOTHING },
	{ { "no_change", "nothing changed the scope in the attribution period before the symptoms",
		  LG_DECISION_NONE },
		has_no_change, say_no_change, SUGGEST_HISTORY },
	{ { "changed_since", "the newest change came after the symptoms began", LG_DECISION_ADVISE },
		changed_since, say_changed_since, SUGGEST_HISTORY },
	{ { "rollback_of_rollback", "the newest change is a rollback", LG_DECISION_ADVISE }, is_rollback,
		say_rollback, SUGGEST_UNDO },
	{ { "loop_guard", "as many automatic rollbacks in 24 hours as are allowed", LG_DECISION_ADVISE },
		is_guarded, say_guarded, SUGGEST_GOOD },
	{ { "no_known_good", "no revision of the scope before the suspect is known good", LG_DECISION_ADVISE },
		has_no_good, say_no_good, SUGGEST_HISTORY },
	{ { "stale_known_good", "the mark is older than good_max_age", LG_DECISION_ADVISE }, is_good_stale,
		say_stale, SUGGEST_GOOD },
	{ { "irreversible", "going back would change a setting declared irreversible", LG_DECISION_ADVISE },
		is_irreversible, say_irreversible, SUGGEST_GOOD },
	{ { "held", "the scope is held", LG_DECISION_ADVISE }, is_held, say_held, SUGGEST_GOOD },
	{ { "advise", "the trigger only advises", LG_DECISION_ADVISE }, only_advises, say_advises,
		SUGGEST_GOOD },
	{ { "rollback", "otherwise", LG_DECISION_ROLLBACK }, always, say_go, SUGGEST_NOTHING },
};
#define RULE_COUNT (sizeof rules / sizeof *rules)

/* --- the command ---------------------------------------------------------------------------------------------------- */

static void add_quoted(struct lg_buf *buf, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_-.@:";
	if (*word && word[strspn(word, plain)] == '\0') {
		lg_buf_adds(buf, word);
		return;
	}
	lg_buf_addc(buf, '\'');
	for (; *word; word++) {
		if (*word == '\'')
			lg_buf_adds(buf, "'\\''");
		else
			lg_buf_addc(buf, *word);
	}
	lg_buf_addc(buf, '\'');
}

static void suggest(evidence *e, enum suggestion suggestion, char *ret_command)
{
	struct lg_buf buf = LG_BUF_INIT;
	switch (suggestion) {
	case SUGGEST_NOTHING:
		break;
	case SUGGEST_GOOD:
		if (e->good == 0) {
			suggest(e, SUGGEST_HISTORY, ret_command);
			return;
		}
		lg_buf_addf(&buf, "lastgood rollback config --to r%" PRIu64 " --prefix ", e->good);
		add_quoted(&buf, e->prefix);
		lg_buf_adds(&buf, " --reason 'other: TEXT'");
		break;
	case SUGGEST_HISTORY:
		lg_buf_adds(&buf, "lastgood history ");
		add_quoted(&buf, e->prefix);
		break;
	case SUGGEST_UNDO:
		lg_buf_adds(&buf, "lastgood rollback list");
		break;
	}
	/* a command cut short must not be run: none is better */
	if (!buf.failed && buf.len < LG_DECISION_TEXT)
		memcpy(ret_command, lg_buf_str(&buf), buf.len + 1);
	lg_buf_clear(&buf);
}

void lg_decide(const struct lg_evidence *e, struct lg_decision *ret_decision)
{
	const struct rule *rule = rules;
	while (!rule->holds(e))
		rule++; /* the last one always holds */
	struct lg_decision decision = { .kind = rule->public.kind, .rule = rule->public.name };
	rule->say(e, decision.why);
	suggest(e, rule->suggestion, decision.command);
	if (decision.kind == LG_DECISION_ROLLBACK)
		decision.target = e->good;
	*ret_decision = decision;
}

const char *lg_decision_name(enum lg_decision_kind kind)
{
	switch (kind) {
	case LG_DECISION_NONE:
		return "none";
	case LG_DECISION_ADVISE:
		return "advise";
	case LG_DECISION_ROLLBACK:
		break;
	}
	return "rollback";
}

const struct lg_decision_rule *lg_decision_rule(size_t i)
{
	return i < RULE_COUNT ? &rules[i].public : NULL;
}
