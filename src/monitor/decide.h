/* decide.h - a trigger fired: go back, advise, or leave it?
 *
 * One pure function, evidence in, decision out; its rules are one table in decide.c, asked from the top, the first that
 * holds decides.  Whoever gathers the evidence (evidence.c) judges nothing; whoever acts (act.c) decides nothing.
 */
#ifndef LG_MONITOR_DECIDE_H
#define LG_MONITOR_DECIDE_H

#include "host/topology.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LG_DECISION_TEXT 1024

struct lg_evidence {
	const char *trigger;
	const char *prefix; /* the scope: prefix of the service's adapter; NULL: it has none */
	enum lg_action action;
	int64_t symptoms_us; /* realtime when the symptoms began, by the present offset of the clocks */
	int64_t attribution_ns;

	uint64_t change; /* newest revision that changed the scope; 0: none */
	int64_t change_us;
	bool change_is_rollback;  /* a restore, or written by a rollback */
	const char *irreversible; /* a setting declared so that going back would change, or NULL */
	uint64_t hold;            /* seq of a hold that covers the scope, or 0 */

	int64_t automatic_today; /* automatic rollbacks in the last 24 hours */
	int64_t max_per_day;

	uint64_t good; /* newest known good of the scope before `change`; 0: none */
	int64_t good_age_us;
	int64_t good_max_age_ns;
};

enum lg_decision_kind { LG_DECISION_NONE, LG_DECISION_ADVISE, LG_DECISION_ROLLBACK };

struct lg_decision {
	enum lg_decision_kind kind;
	const char *rule; /* its name in the table */
	uint64_t target;  /* rollback: where to */
	char why[LG_DECISION_TEXT];
	char command[LG_DECISION_TEXT]; /* what a person would run next; "" when there is nothing to run */
};

void lg_decide(const struct lg_evidence *evidence, struct lg_decision *ret_decision);
const char *lg_decision_name(enum lg_decision_kind kind); /* "none" "advise" "rollback" */

/* The rules, for tests and documentation. */
struct lg_decision_rule {
	const char *name;
	const char *when;
	enum lg_decision_kind kind;
};
const struct lg_decision_rule *lg_decision_rule(size_t i); /* NULL behind the last */

#endif
