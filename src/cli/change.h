/* change.h - a change as the commands make it: commit, deliver, tell.
 *
 * set, unset, import and schema fill a change set; lg_change_run does the rest in one way for all: commits it (all or
 * nothing), brings the adapters in step, prints what differed.  A delivery that fails does not take the change back: the
 * command says so and ends with the status of that failure.
 */
#ifndef LG_CLI_CHANGE_H
#define LG_CLI_CHANGE_H

#include "cli/command.h"
#include "model/changeset.h"

struct lg_change_request {
	struct lg_changeset *changes;
	const char *reason;
	const char *what; /* for the first line: "set", "imported" */
	bool skip_invalid;
	bool dry_run;
	bool has_expect_root;
	uint8_t expect_root[LG_HASH_SIZE];
	bool count_only; /* tell how many keys, not each (unless there are few) */
};

/* cli->session is open for delivery. */
int lg_change_run(struct lg_cli *cli, const struct lg_change_request *request, struct lg_error *err);

/* Checks the change and shows what it would do, before a question is asked.  1: something, 0: nothing differs, or why it is
 * refused. */
int lg_change_preview(struct lg_cli *cli, const struct lg_change_request *request, struct lg_error *err);

/* For a change some of whose words or entries could not be read (cli->problems): asks the store what it thinks of the
 * others, so that everything wrong is listed in one go, and fails. */
int lg_change_refuse(
	struct lg_cli *cli, const struct lg_change_request *request, const char *what, struct lg_error *err);

/* Brings every adapter in step. ret_list: [{"adapter","outcome","error"?}], may be NULL. Warns about failures and leaves
 * the first code in cli->status. */
int lg_change_deliver(struct lg_cli *cli, uint64_t revision, json_t **ret_list, struct lg_error *err);

#endif
