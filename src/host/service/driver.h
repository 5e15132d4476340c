/* driver.h - what the drivers of services share; nobody outside this folder includes it. */
#ifndef LG_HOST_SERVICE_DRIVER_H
#define LG_HOST_SERVICE_DRIVER_H

#include "host/service/service.h"

#include <stdint.h>

struct lg_service {
	const struct lg_service_spec *spec;
	const struct lg_service_ops *ops;
	const struct lg_clock *clock;
	char *directory;  /* STATE_DIR/services, made when something is written there */
	char *state_path; /* process: who runs */
	char *lock_path;  /* one start or stop of this service at a time */
	char *log_path;   /* process: what it prints */
};

extern const struct lg_service_ops lg_service_process_ops;
extern const struct lg_service_ops lg_service_command_ops;

/* Runs one of the service's commands in its directory and environment, up to its timeout; LG_EFAILED with what it said
 * unless its status is 0.  what: "start", for messages. */
int lg_service_run(const struct lg_service *service, const char *what, char *const *argv, struct lg_error *err);
/* Rounded up, so that a deadline above zero stays above zero. */
int64_t lg_service_ms(int64_t ns);

#endif
