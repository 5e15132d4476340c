/* rollback_view.h - how plans, outcomes and past rollbacks look. */
#ifndef LG_CLI_ROLLBACK_VIEW_H
#define LG_CLI_ROLLBACK_VIEW_H

#include "cli/command.h"
#include "format/format.h"
#include "rollback/rollback.h"

/* The blast radius: number of keys, each before → after (all: not only the first 40 on a terminal), services that will be
 * told, the plan's hash.  ret_document: the same for -o json. */
int lg_rollback_view_plan(struct lg_cli *cli, const struct lg_rollback_plan *plan, bool all,
	json_t **ret_document, struct lg_error *err);
/* What happened, the validation, the hold, how to undo; outcome NULL: it failed. record: as lg_rollback_show, or NULL.
 * The same is added to result. */
void lg_rollback_view_outcome(struct lg_cli *cli, const char *id, const struct lg_rollback_outcome *outcome,
	json_t *record, json_t *result);
/* What becomes of each key of a backup file, and the count; added to result as "keys". Left out: cli->problems. */
int lg_rollback_view_keys(struct lg_cli *cli, const json_t *plan, const struct lg_items *items, json_t *result,
	struct lg_error *err);
int lg_rollback_view_list(const json_t *list, struct lg_output *output, struct lg_error *err);
int lg_rollback_view_record(const json_t *record, struct lg_output *output, struct lg_error *err);
/* Sealed values anywhere in it become LG_SECRET_REDACTED. */
void lg_rollback_view_redact(json_t *json);

#endif
