/* report.h - a validation report as a table. */
#ifndef LG_CLI_REPORT_H
#define LG_CLI_REPORT_H

#include "cli/output.h"

/* {"ok","checks":[{"check","subject","ok","evidence"}]}; nothing unless the form is a table. */
int lg_report_print(const json_t *report, struct lg_output *output, struct lg_error *err);

#endif
