/* record.h - how the records of the log look in history and show. */
#ifndef LG_CLI_RECORD_H
#define LG_CLI_RECORD_H

#include "base/buf.h"
#include "model/record.h"

#include <jansson.h>

/* "r12" for a revision, "h12" for a hold, else "12". */
#define LG_RECORD_NAME_SIZE 24
const char *lg_record_name(const struct lg_record *record, char buf[static LG_RECORD_NAME_SIZE]);
/* The body with sealed values redacted; null when it cannot be read. NULL when memory is gone. */
json_t *lg_record_body_json(const struct lg_record *record);
/* What it did, in a few words: "web/port", "3 keys", "web/ back to r12". */
int lg_record_what(const struct lg_record *record, struct lg_buf *buf);
/* What a few words cannot hold, in lines: each of the attempts of a refusal. */
int lg_record_details(const struct lg_record *record, struct lg_buf *buf);
/* Everything about it but the body. */
json_t *lg_record_json(const struct lg_record *record);

#endif
