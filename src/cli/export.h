/* export.h - a state as the text that import reads, and that a rollback takes as its target. */
#ifndef LG_CLI_EXPORT_H
#define LG_CLI_EXPORT_H

#include "cli/command.h"

/* The keys of scope, in the form that --format names or the path's ending says (path NULL: json).  ret_count: of keys. */
int lg_cli_export_text(struct lg_cli *cli, const char *path, const struct lg_tree *tree,
	const struct lg_scope *scope, uint64_t revision, struct lg_buf *buf, size_t *ret_count,
	struct lg_error *err);
/* Durably, whole or not at all, and as private as the store itself: sealed secrets and whatever else. */
int lg_cli_export_file(const char *path, const struct lg_buf *text, struct lg_error *err);

#endif
