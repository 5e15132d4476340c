/* delivery.h - keeps the adapters of this host in step with the configuration.
 *
 * Joins config and host, which do not know each other: subscribes to the configuration (a change whose rendered file a
 * service refuses is refused before it is appended) and delivers after.  Each delivery that changed a file is recorded in
 * the log with revision and file hash.
 */
#ifndef LG_DELIVERY_DELIVERY_H
#define LG_DELIVERY_DELIVERY_H

#include "config/config.h"
#include "host/adapter/adapter.h"
#include "host/topology.h"

struct lg_delivery;

/* Opens services and adapters of the topology and subscribes to config; both must outlive it. */
int lg_delivery_open(struct lg_config *config, const struct lg_topology *topology,
	struct lg_delivery **ret_delivery, struct lg_error *err);
void lg_delivery_close(struct lg_delivery *delivery);
void lg_delivery_closep(struct lg_delivery **delivery);

const struct lg_topology *lg_delivery_topology(const struct lg_delivery *delivery);
size_t lg_delivery_count(const struct lg_delivery *delivery);
struct lg_adapter *lg_delivery_adapter(const struct lg_delivery *delivery, size_t i);
struct lg_adapter *lg_delivery_adapter_named(const struct lg_delivery *delivery, const char *name);
struct lg_service *lg_delivery_service(const struct lg_delivery *delivery, const char *name);
/* Does a change from `former` to `next` concern this adapter's prefix? */
bool lg_delivery_concerns(
	const struct lg_adapter *adapter, const struct lg_tree *former, const struct lg_tree *next);

/* Renders and checks every attached adapter that the step from former to next concerns; each refusal is a problem with the
 * adapter as subject. former NULL: all adapters. */
int lg_delivery_check(struct lg_delivery *delivery, struct lg_tree *former, struct lg_tree *next,
	struct lg_problems *problems, struct lg_error *err);

struct lg_delivered {
	const char *adapter;
	int code; /* 0, or why not */
	struct lg_delivery_result result;
	struct lg_error error;
};
/* Delivers the current state to every attached adapter (those already in step cost one read), records what changed, and
 * reports each through visit (may be NULL). The first failure's code is returned after all were tried. */
int lg_delivery_run(struct lg_delivery *delivery, const char *actor,
	void (*visit)(void *arg, const struct lg_delivered *delivered), void *arg, struct lg_error *err);
/* One adapter, one state. Records it; when only the record fails, that is the error and the file stands. */
int lg_delivery_one(struct lg_delivery *delivery, struct lg_adapter *adapter,
	const struct lg_snapshot *snapshot, const char *actor, struct lg_delivery_result *ret_result,
	struct lg_error *err);

/* Puts a delivery on record: what lg_delivery_one does, for callers that deliver by themselves. code: how it went. */
int lg_delivery_record(struct lg_delivery *delivery, const struct lg_adapter *adapter, uint64_t revision,
	const char *actor, const struct lg_delivery_result *result, int code, struct lg_error *err);

/* During a rollback's append the executor has checked already: `before` is skipped while paused. */
void lg_delivery_pause_checks(struct lg_delivery *delivery, bool paused);

#endif
