/* world.h - a small host for the tests of delivery and rollbacks: a store, two services of the `command` driver with a json adapter each,
 * and scripts whose behaviour files in the test's directory switch.
 *
 *	web   prefix web/, file web.json, critical       api   prefix api/, file api.json
 *
 * The scripts, for a service S (write the file with world_switch, remove it with NULL):
 *	S.check   "refuse": status 1; "hang": sleeps beyond its deadline; else any file is fine
 *	S.reload  "fail": always status 1; "fail-once"; "fail-on TEXT": when the file holds TEXT.  A reload that succeeds copies
 *	          the file to S.loaded: what the service has read
 *	S.stopped there: its status is stopped
 *	S.start   there: starting it works, and it reads its file; else starting it changes nothing
 * S.reloads, S.starts and S.checks have a line per call.
 */
#ifndef LG_TESTS_WORLD_H
#define LG_TESTS_WORLD_H

#include "rollback/rollback.h"
#include "support/support.h"

#include "io/clock.h"

struct world {
	char dir[400];
	char state_dir[420];
	struct lg_clock_sim sim;
	struct lg_topology *topology; /* NULL: a store without services */
	struct lg_config *config;
	struct lg_delivery *delivery;
};

/* Makes directory, scripts and store, and opens it. */
void world_make(struct world *world, const char *dir, bool services);
/* One that is there already; nothing is opened. */
void world_at(struct world *world, const char *dir);
/* Each without the other: a process of its own opens, works and closes. */
void world_open(struct world *world);
void world_close(struct world *world);
/* Opens over `log`, which is taken over. */
void world_open_log(struct world *world, struct lg_log *log);

/* key, JSON value ("" unsets), …, NULL. Commits, delivers, returns the revision. */
#define world_set(world, ...) world_set_pairs(world, (const char *const[]){ __VA_ARGS__, NULL })
uint64_t world_set_pairs(struct world *world, const char *const *pairs);
int world_try_set(
	struct world *world, const char *key, const char *value, bool automatic, struct lg_error *err);
/* NULL when it is not set; valid until the next call. */
const char *world_get(struct world *world, const char *key);
void world_assert_value(struct world *world, const char *key, const char *want);
void world_root(struct world *world, uint8_t ret_root[LG_HASH_SIZE]);

/* scope_text: "" everything, "web/", "a -web/tmp/" */
void world_scope(const char *scope_text, struct lg_scope *ret_scope);
/* target: as lg_rollback_request has it, or "revert r2" */
struct lg_rollback_plan *world_plan(struct world *world, const char *target, const char *scope_text);
/* Plans and executes. */
int world_roll_back(struct world *world, const char *target, const char *scope_text, bool emergency,
	struct lg_rollback_outcome *ret_outcome, struct lg_error *err);

void world_switch(const struct world *world, const char *name, const char *text);
/* Content of a file of the directory, "" when absent; caller frees. */
char *world_file(const struct world *world, const char *name);
size_t world_lines(const struct world *world, const char *name);
const struct lg_hold *world_hold(struct world *world, const char *rollback); /* or NULL */
size_t world_bad_marks(struct world *world);
size_t world_unfinished(struct world *world);

#endif
