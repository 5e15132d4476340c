/* service.h - something that runs on this host and can be started, stopped, reloaded, asked for its health.
 *
 * A driver is one const table.  `process` runs a program itself: detached, identified by pid and start time (kept in
 * STATE_DIR/services/NAME.json, so any later lastgood process finds it), stopped with TERM, then KILL.  `command` runs
 * the argvs given.  Nothing is ever found by name pattern.
 */
#ifndef LG_HOST_SERVICE_SERVICE_H
#define LG_HOST_SERVICE_SERVICE_H

#include "base/error.h"
#include "host/topology.h"
#include "io/clock.h"

#include <stdbool.h>

struct lg_service;

enum lg_service_state { LG_SERVICE_STOPPED, LG_SERVICE_RUNNING, LG_SERVICE_UNKNOWN };

/* The service's lock is held during start, stop and reload, not during state and died. */
struct lg_service_ops {
	enum lg_driver_kind kind;
	const char *name;
	int (*start)(struct lg_service *service, struct lg_error *err);
	int (*stop)(struct lg_service *service, struct lg_error *err);
	int (*reload)(struct lg_service *service, struct lg_error *err);
	int (*state)(struct lg_service *service, enum lg_service_state *ret_state, struct lg_error *err);
	/* optional: NULL where nobody can tell */
	bool (*died)(struct lg_service *service);
};

/* spec and state_dir must outlive the service. */
int lg_service_open(const struct lg_service_spec *spec, const char *state_dir, const struct lg_clock *clock,
	struct lg_service **ret_service, struct lg_error *err);
void lg_service_close(struct lg_service *service);
void lg_service_closep(struct lg_service **service);
const struct lg_service_spec *lg_service_spec(const struct lg_service *service);
/* Starting what runs and stopping what does not are fine and do nothing; reloading what does not run is LG_EFAILED.  Each
 * takes the service's lock (STATE_DIR/services/NAME.lock) and waits for another process that has it, LG_EBUSY beyond the
 * service's deadlines. A process that ends right after its start is started all the same: ask for its state. */
int lg_service_start(struct lg_service *service, struct lg_error *err);
int lg_service_stop(struct lg_service *service, struct lg_error *err);
int lg_service_restart(struct lg_service *service, struct lg_error *err);
int lg_service_reload(struct lg_service *service, struct lg_error *err);
int lg_service_state(struct lg_service *service, enum lg_service_state *ret_state, struct lg_error *err);
/* Started by lastgood in this boot and gone without having been stopped. Only the process driver can tell. */
bool lg_service_died(struct lg_service *service);
const char *lg_service_state_name(enum lg_service_state state);
/* Is it wrong when it is down?  Of a service that is critical or has a health. */
bool lg_service_must_run(const struct lg_service_spec *spec);

#endif
