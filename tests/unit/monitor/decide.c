/* The decision table: for each rule a row in which it decides, and rows just on either side of its limit. */
#include "monitor/decide.h"
#include "support/support.h"

#define US_S   INT64_C(1000000)
#define NS_S   INT64_C(1000000000)
#define NOW_US (INT64_C(1795000000) * US_S)
#define HOUR   3600
#define DAY    (24 * HOUR)

/* Everything speaks for a rollback; each row changes what it names. */
#define EVIDENCE(...)                                                                                          \
	{                                                                                                      \
		.trigger = "errors", .prefix = "web/", .action = LG_ACTION_ROLLBACK, .symptoms_us = NOW_US,    \
		.attribution_ns = HOUR * NS_S, .change = 15, .change_us = NOW_US - 10 * US_S,                  \
		.automatic_today = 0, .max_per_day = 3, .good = 12, .good_age_us = 2 * HOUR * US_S,            \
		.good_max_age_ns = 7 * DAY * NS_S, __VA_ARGS__                                                 \
	}

struct row {
	const char *name;
	struct lg_evidence evidence;
	enum lg_decision_kind kind;
	const char *rule;
	const char *why;     /* part of it */
	const char *command; /* part of it; NULL: none */
};

#define GOOD_COMMAND    "lastgood rollback config --to r12 --prefix web/ --reason"
#define HISTORY_COMMAND "lastgood history web/"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init" /* a row overrides what it is about */
#ifdef __clang__
#pragma clang diagnostic ignored "-Winitializer-overrides"
#endif
static const struct row rows[] = {
	{ "everything speaks for it", EVIDENCE(), LG_DECISION_ROLLBACK, "rollback",
		"r15 changed 'web/' 10s before the symptoms began; r12 is its newest known good", NULL },
	/* the action of the trigger */
	{ "observe", EVIDENCE(.action = LG_ACTION_OBSERVE), LG_DECISION_NONE, "observe",
		"trigger 'errors' only observes", NULL },
	{ "advise", EVIDENCE(.action = LG_ACTION_ADVISE), LG_DECISION_ADVISE, "advise", "only advises",
		GOOD_COMMAND },
	{ "advise is not guarded", EVIDENCE(.action = LG_ACTION_ADVISE, .automatic_today = 9),
		LG_DECISION_ADVISE, "advise", "only advises", GOOD_COMMAND },
	{ "no adapter", EVIDENCE(.prefix = NULL), LG_DECISION_NONE, "no_scope", "has no adapter", NULL },
	/* attribution */
	{ "no change at all", EVIDENCE(.change = 0, .change_us = 0), LG_DECISION_NONE, "no_change",
		"no change of 'web/' in the 1h before the symptoms", HISTORY_COMMAND },
	{ "change as old as the period", EVIDENCE(.change_us = NOW_US - HOUR * US_S), LG_DECISION_ROLLBACK,
		"rollback", "1h before", NULL },
	{ "change a microsecond older", EVIDENCE(.change_us = NOW_US - HOUR * US_S - 1), LG_DECISION_NONE,
		"no_change", "no change of 'web/' in the 1h before the symptoms", HISTORY_COMMAND },
	{ "change a moment before", EVIDENCE(.change_us = NOW_US - 250999), LG_DECISION_ROLLBACK, "rollback",
		"r15 changed 'web/' 250ms before the symptoms began", NULL },
	{ "change as the symptoms begin", EVIDENCE(.change_us = NOW_US), LG_DECISION_ROLLBACK, "rollback", "",
		NULL },
	{ "change a microsecond later", EVIDENCE(.change_us = NOW_US + 1), LG_DECISION_ADVISE, "changed_since",
		"r15 changed 'web/' after the symptoms began", HISTORY_COMMAND },
	{ "no change outranks advise", EVIDENCE(.action = LG_ACTION_ADVISE, .change = 0), LG_DECISION_NONE,
		"no_change", "no change", HISTORY_COMMAND },
	/* never a rollback of a rollback */
	{ "newest change is a rollback", EVIDENCE(.change_is_rollback = true), LG_DECISION_ADVISE,
		"rollback_of_rollback", "would roll back a rollback", "lastgood rollback list" },
	{ "an old rollback is no suspect",
		EVIDENCE(.change_is_rollback = true, .change_us = NOW_US - DAY * US_S), LG_DECISION_NONE,
		"no_change", "no change", HISTORY_COMMAND },
	/* loop guard */
	{ "one fewer than allowed", EVIDENCE(.automatic_today = 2), LG_DECISION_ROLLBACK, "rollback", "",
		NULL },
	{ "as many as allowed", EVIDENCE(.automatic_today = 3), LG_DECISION_ADVISE, "loop_guard",
		"3 automatic rollbacks in the last 24h, and at most 3", GOOD_COMMAND },
	{ "none allowed", EVIDENCE(.max_per_day = 0), LG_DECISION_ADVISE, "loop_guard", "at most 0",
		GOOD_COMMAND },
	{ "guarded and no known good", EVIDENCE(.automatic_today = 3, .good = 0), LG_DECISION_ADVISE,
		"loop_guard", "3 automatic", HISTORY_COMMAND },
	/* target */
	{ "no known good", EVIDENCE(.good = 0), LG_DECISION_ADVISE, "no_known_good",
		"no known good of 'web/' before r15", HISTORY_COMMAND },
	{ "mark as old as allowed", EVIDENCE(.good_age_us = 7 * DAY * US_S), LG_DECISION_ROLLBACK, "rollback",
		"", NULL },
	{ "mark older than allowed", EVIDENCE(.good_age_us = 7 * DAY * US_S + 1), LG_DECISION_ADVISE,
		"stale_known_good", "r12, was marked 7d ago, and after 7d it is advice only", GOOD_COMMAND },
	{ "mark from the future", EVIDENCE(.good_age_us = -5), LG_DECISION_ROLLBACK, "rollback", "", NULL },
	{ "irreversible", EVIDENCE(.irreversible = "web/schema_version"), LG_DECISION_ADVISE, "irreversible",
		"from r15 to r12 would change 'web/schema_version', which is irreversible", GOOD_COMMAND },
	{ "held", EVIDENCE(.hold = 33), LG_DECISION_ADVISE, "held", "'web/' is held by h33", GOOD_COMMAND },
	/* the command can be pasted whatever the prefix is */
	{ "prefix with blanks and quotes", EVIDENCE(.prefix = "it's $(x)/", .hold = 33), LG_DECISION_ADVISE,
		"held", "", "--prefix 'it'\\''s $(x)/' --reason" },
};
#pragma GCC diagnostic pop

static void test_row(void **state)
{
	const struct row *row = *state;
	struct lg_decision decision;
	memset(&decision, 'x', sizeof decision);
	lg_decide(&row->evidence, &decision);
	assert_string_equal(decision.rule, row->rule);
	assert_string_equal(lg_decision_name(decision.kind), lg_decision_name(row->kind));
	if (!strstr(decision.why, row->why))
		fail_msg("why is \"%s\"", decision.why);
	if (row->command ? !strstr(decision.command, row->command) : decision.command[0] != '\0')
		fail_msg("command is \"%s\"", decision.command);
	assert_int_equal(decision.target, row->kind == LG_DECISION_ROLLBACK ? row->evidence.good : 0);
}

static void test_every_rule_has_a_row(void **state)
{
	(void)state;
	const struct lg_decision_rule *rule;
	for (size_t i = 0; (rule = lg_decision_rule(i)); i++) {
		bool found = false;
		for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
			found = found || (strcmp(rows[k].rule, rule->name) == 0 && rows[k].kind == rule->kind);
		if (!found)
			fail_msg("no row for rule '%s'", rule->name);
	}
}

static void test_long_names_are_cut(void **state)
{
	(void)state;
	char prefix[3 * LG_DECISION_TEXT];
	memset(prefix, 'p', sizeof prefix);
	prefix[sizeof prefix - 2] = '/';
	prefix[sizeof prefix - 1] = '\0';
	struct lg_evidence evidence = EVIDENCE(.hold = 33);
	evidence.prefix = prefix;
	struct lg_decision decision;
	lg_decide(&evidence, &decision);
	assert_string_equal(decision.rule, "held");
	assert_int_equal(strlen(decision.why), LG_DECISION_TEXT - 1);
	assert_string_equal(decision.command, ""); /* half a command is none */
}

int main(void)
{
	lg_test_rows(
		"decide", test_row, rows, sizeof rows / sizeof *rows, sizeof *rows, offsetof(struct row, name));
	lg_test_add("every rule has a row", test_every_rule_has_a_row, NULL);
	lg_test_add("long names are cut", test_long_names_are_cut, NULL);
	return lg_test_run("decide");
}
