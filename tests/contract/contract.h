/* contract.h - the contract suite of the log: every check runs over every backend, and over a wrapper around each.
 *
 * A check gets a fixture with an empty log, open for writing.  It may open more handles on the same log, and close and
 * reopen the first. */
#ifndef LG_TESTS_CONTRACT_H
#define LG_TESTS_CONTRACT_H

#include "support/support.h"

#include "log/log.h"
#include "unit/log/records.h"

struct backend {
	const char *name;
	const char *scheme;
	bool wrapped;
	bool persistent; /* outlives its handles, and other processes see it */
};

struct fixture {
	const struct backend *backend;
	char url[512];
	struct lg_log *log;
};

struct check {
	const char *name;
	void (*run)(struct fixture *f);
	bool processes; /* needs a log that other processes see */
};

/* Another handle on the fixture's log. */
int fixture_open(const struct fixture *f, const struct lg_log_open *options, struct lg_log **ret_log,
	struct lg_error *err);
struct lg_log *fixture_handle(const struct fixture *f); /* for writing; fails the test when it cannot */

/* Each ends with a row without name. */
extern const struct check append_checks[];
extern const struct check query_checks[];
extern const struct check keep_checks[];
extern const struct check follow_checks[];

#endif
