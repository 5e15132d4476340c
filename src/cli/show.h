/* show.h - how values, revisions, scopes and differences look in every command.
 *
 * A sealed value is never shown: everywhere it is LG_SECRET_REDACTED, except where `get --reveal` opens it itself.
 */
#ifndef LG_CLI_SHOW_H
#define LG_CLI_SHOW_H

#include "base/text.h"
#include "cli/command.h"

#include <jansson.h>

/* Canonical JSON, or LG_SECRET_REDACTED. */
int lg_show_value(const char *value, size_t len, struct lg_buf *buf);
/* The value as JSON; LG_SECRET_REDACTED for a sealed one; null for NULL. NULL when memory is gone. */
json_t *lg_show_value_json(const char *value, size_t len);
/* Is the key declared a secret in this state?  1, 0, or LG_ENOMEM. */
int lg_show_is_secret(const struct lg_tree *tree, const char *key);
json_t *lg_show_hash_json(const uint8_t hash[32]);
json_t *lg_show_time_json(int64_t unix_us);
const char *lg_show_time(int64_t unix_us, char buf[static LG_TIME_SIZE]); /* to the second */
/* A text that may be no UTF-8, as a JSON string. */
json_t *lg_show_text_json(const char *text);

/* A word of a command that a person may copy: quoted for the shell where it must be. */
void lg_show_word(const char *word, struct lg_buf *buf);

/* Collects differences, for the table or for the document.
 *	lg_show_diff_init(&diff, output, limit); lg_tree_diff(…, lg_show_diff_visit, &diff); lg_show_diff_print(&diff, …)
 */
struct lg_show_diff {
	bool table;
	struct lg_table rows;
	json_t *list; /* [{"key","before","after"}], without the member that is absent */
	size_t count;
	size_t limit; /* rows shown in the table; 0: all */
	bool failed;
};
void lg_show_diff_init(struct lg_show_diff *diff, const struct lg_output *output, size_t limit);
void lg_show_diff_clear(struct lg_show_diff *diff);
int lg_show_diff_visit(void *arg, const struct lg_entry *before, const struct lg_entry *after);
/* Prints the rows, and how many more there are. */
int lg_show_diff_print(struct lg_show_diff *diff, struct lg_output *output, struct lg_error *err);
/* Hands the list over, for the document (empty in the table form); NULL when memory was gone. */
json_t *lg_show_diff_json(struct lg_show_diff *diff);
/* On a terminal the first 40, elsewhere all. */
#define LG_SHOW_DIFF_ROWS 40 /* as many differences are shown where not all are asked for */
size_t lg_show_diff_limit(const struct lg_output *output);

/* --- what the command line says ---------------------------------------------------------------------------------------- */

/* --reason; required and missing is LG_EUSAGE. Checked: UTF-8, not blank. fallback NULL: required. */
int lg_cli_reason(
	const struct lg_cli *cli, const char *fallback, const char **ret_reason, struct lg_error *err);
/* A scope from --prefix, --key and --except. */
int lg_cli_scope(const struct lg_cli *cli, struct lg_scope *ret_scope, struct lg_error *err);
/* One selector, key or prefix, as a word. */
int lg_cli_selector(const char *word, struct lg_scope *ret_scope, struct lg_error *err);
/* The state that --at names; without it the newest. Its scope is what `good` and `@-1` refer to. */
int lg_cli_state(struct lg_cli *cli, const char *target, const struct lg_scope *scope, uint64_t *ret_revision,
	struct lg_tree **ret_tree, struct lg_error *err);

#endif
