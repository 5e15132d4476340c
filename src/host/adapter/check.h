/* check.h - the service's own opinion of a file, before it is installed. */
#ifndef LG_HOST_ADAPTER_CHECK_H
#define LG_HOST_ADAPTER_CHECK_H

#include "host/topology.h"

/* Writes data to stage_path (0600), runs the service's check with "{}" replaced by stage_path, removes it again.  One at a
 * time per stage_path is the caller's care.  LG_EREFUSED with what the check said; LG_ETIMEOUT when it had to be killed. */
int lg_check_run(const struct lg_service_spec *service, const char *stage_path, const void *data, size_t len,
	struct lg_error *err);

#endif
