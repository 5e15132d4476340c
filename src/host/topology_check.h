/* topology_check.h - what one member alone cannot tell: references between services, adapters and triggers.
 *
 * Problems carry the path in the document.  Both may reorder or complete the topology.
 */
#ifndef LG_HOST_TOPOLOGY_CHECK_H
#define LG_HOST_TOPOLOGY_CHECK_H

#include "host/topology.h"
#include "host/topology_read.h"

/* Puts each service behind those in its `after`; unknown ones and cycles are problems. */
void lg_topology_order(struct lg_topology *topology, struct lg_reader *reader);
/* Adapters that claim the same file or prefix, notifications that the driver cannot do, triggers without their service;
 * fills in what a trigger takes from its service. */
void lg_topology_check(struct lg_topology *topology, struct lg_reader *reader);

#endif
