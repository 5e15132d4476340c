/* yaml_emit.h - writing YAML piece by piece, so that a large export needs no JSON tree of all of it.
 *
 *	rc = lg_yaml_emitter_begin(&out, buf, err);
 *	if (rc == 0) rc = lg_yaml_emitter_open(&out, false, err);            a map; not empty
 *	if (rc == 0) rc = lg_yaml_emitter_key(&out, "a", 1, err);
 *	if (rc == 0) rc = lg_yaml_emitter_value(&out, json, err);
 *	if (rc == 0) rc = lg_yaml_emitter_close(&out, err);
 *	return lg_yaml_emitter_end(&out, rc, err);                           always, also after a failure
 */
#ifndef LG_FORMAT_YAML_EMIT_H
#define LG_FORMAT_YAML_EMIT_H

#include "format/internal.h"

#include <yaml.h>

struct lg_yaml_emitter {
	yaml_emitter_t emitter;
	struct lg_buf *buf;
	size_t start; /* length of buf before */
	size_t depth; /* open collections */
};

int lg_yaml_emitter_begin(struct lg_yaml_emitter *out, struct lg_buf *buf, struct lg_error *err);
int lg_yaml_emitter_open(struct lg_yaml_emitter *out, bool empty, struct lg_error *err);
int lg_yaml_emitter_key(struct lg_yaml_emitter *out, const char *key, size_t len, struct lg_error *err);
int lg_yaml_emitter_value(struct lg_yaml_emitter *out, const json_t *json, struct lg_error *err);
int lg_yaml_emitter_close(struct lg_yaml_emitter *out, struct lg_error *err);
/* Finishes when rc is 0; else leaves buf as it was and returns rc. */
int lg_yaml_emitter_end(struct lg_yaml_emitter *out, int rc, struct lg_error *err);

#endif
