/* read.h - input files of commands. */
#ifndef LG_CLI_READ_H
#define LG_CLI_READ_H

#include "cli/command.h"
#include "format/format.h"

/* A file, or standard input for "-"; at most LG_IMPORT_MAX bytes. */
int lg_cli_read(const char *path, struct lg_buf *buf, struct lg_error *err);
/* --format, else by the path's ending (NULL: json). */
int lg_cli_format(const struct lg_cli *cli, const char *path, enum lg_format *ret_format, struct lg_error *err);

#endif
