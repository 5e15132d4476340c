/* render.h - the text of an adapter's file for one state; nothing but the template is read.
 *
 * json      one object; the segments of a key are nested objects.  Sorted, indented by two.
 * env       NAME=VALUE lines, NAME the key with '/' written "__".  Values of letters, digits and _./:@%+,=- stand bare, which
 *           every reader understands; others in single quotes, or, with a single quote in them, in double quotes with
 *           \ before " \ $ and `: what sh and systemd's EnvironmentFile= both read back unchanged.  A control character
 *           other than tab is refused, since readers that take one line per variable (docker --env-file) would see another one.
 * template  lg_template_render; {{KEY}} is relative to the prefix like everything here.
 */
#ifndef LG_HOST_ADAPTER_RENDER_H
#define LG_HOST_ADAPTER_RENDER_H

#include "host/adapter/adapter.h"

/* Appends to buf, nothing on failure. ret_secret: the text holds an opened secret. */
int lg_render(const struct lg_adapter_spec *spec, const struct lg_tree *tree, lg_adapter_reveal *reveal,
	void *reveal_arg, struct lg_buf *buf, bool *ret_secret, struct lg_error *err);

#endif
