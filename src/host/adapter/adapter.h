/* adapter.h - delivers a scope of settings to a service in the form that it reads: a file.
 *
 * render (pure) → check (the staged bytes beside the destination, with the service's own command) → install (durable
 * replace; mode and owner kept) → notify (reload or restart through the service's driver) → read back.
 * One delivery per adapter at a time (lock in STATE_DIR/adapters/NAME.lock), never an older sequence over a newer one.
 * What was delivered last is in STATE_DIR/adapters/NAME.json:
 *	{"revision":12,"sequence":17,"hash":HEX,"path":…,"time":…,"notified":true}
 * `sequence` is the log seq that the delivery acts for (a rollback delivers the old content under a new seq).  `notified`
 * false: the service has not heard of this file, and the next delivery of it tells it.
 *
 * The state says so before the file is installed (delivered.h), so a crash in between costs at most a second reload.  How
 * the file is written is in render.h; a file that is new and holds an opened secret gets mode 0600.
 */
#ifndef LG_HOST_ADAPTER_ADAPTER_H
#define LG_HOST_ADAPTER_ADAPTER_H

#include "base/buf.h"
#include "base/error.h"
#include "host/service/service.h"
#include "host/topology.h"
#include "model/tree.h"

#include <stdbool.h>
#include <stdint.h>

struct lg_adapter;

/* service may be NULL when notify is none; it, spec and clock must outlive the adapter. reveal opens sealed
 * values (may be NULL: then a secret is an error). */
typedef int lg_adapter_reveal(
	void *arg, const struct lg_entry *entry, struct lg_buf *ret_value, struct lg_error *err);
int lg_adapter_open(const struct lg_service_spec *spec, struct lg_service *service, const char *state_dir,
	const struct lg_clock *clock, lg_adapter_reveal *reveal, void *reveal_arg,
	struct lg_adapter **ret_adapter, struct lg_error *err);
void lg_adapter_close(struct lg_adapter *adapter);
const char *lg_adapter_name(const struct lg_adapter *adapter); /* the service's */
const char *lg_adapter_path(const struct lg_adapter *adapter);
const char *lg_adapter_prefix(const struct lg_adapter *adapter);
bool lg_adapter_attached(const struct lg_adapter *adapter);

/* The file as it should be for this state. Keys are relative to the prefix.  json: nested objects by segment (a key that is
 * both value and parent is an error naming both); env: NAME=VALUE; template: lg_template_render. */
int lg_adapter_render(
	const struct lg_adapter *adapter, const struct lg_tree *tree, struct lg_buf *buf, struct lg_error *err);
/* Stages and runs the service's check; LG_EREFUSED with what the check said, LG_ETIMEOUT when it had to be killed,
 * LG_EFAILED when it could not be run or the directory is missing. Nothing installed, nothing left behind. */
int lg_adapter_check(const struct lg_adapter *adapter, const void *data, size_t len, struct lg_error *err);

struct lg_delivery_result {
	bool changed;         /* the file's bytes differed and were replaced */
	bool notified;        /* the service was told; a stopped one is not, it reads the file when it starts */
	bool superseded;      /* a newer sequence had been delivered already: nothing was done */
	uint8_t hash[32];     /* of the file as read back */
	int64_t installed_ns; /* boottime when the file stood */
	int64_t notified_ns;
};
/* LG_EREFUSED leaves the former file. A failed notify reports the error with the new file in place (changed is true);
 * ret_result is filled whenever the file stands. A process-driver service that died is started instead of reloaded. */
int lg_adapter_deliver(struct lg_adapter *adapter, const struct lg_tree *tree, uint64_t revision,
	uint64_t sequence, struct lg_delivery_result *ret_result, struct lg_error *err);
/* The same without asking the check: what was live before must be able to come back whatever the check says of it now. */
int lg_adapter_put_back(struct lg_adapter *adapter, const struct lg_tree *tree, uint64_t revision,
	uint64_t sequence, struct lg_delivery_result *ret_result, struct lg_error *err);
/* Does the file on disk equal what this state renders to?  1 yes, 0 no (differs or absent). ret_hash: of the file. */
int lg_adapter_verify(const struct lg_adapter *adapter, const struct lg_tree *tree, uint8_t ret_hash[32],
	struct lg_error *err);

#endif
