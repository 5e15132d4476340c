/* session.h - what a command works on: where the state lives, this host's topology, the store, the adapters.
 *
 * State directory: --state-dir, else $LASTGOOD_STATE_DIR, else the topology's state_dir, else /var/lib/lastgood.
 * Topology: --config, else $LASTGOOD_CONFIG, else STATE_DIR/lastgood.yaml when the directory was named and has one, else
 * /etc/lastgood/lastgood.yaml when there is one, else none.  The file in /etc belongs to one state directory (its
 * state_dir): a command that names another directory does not use it, or a trial would be delivered to the live services.
 * The current directory is never looked at.
 */
#ifndef LG_CLI_SESSION_H
#define LG_CLI_SESSION_H

#include "config/config.h"
#include "delivery/delivery.h"
#include "host/topology.h"

#include "cli/trace.h"

#include <stdbool.h>

#define LG_DEFAULT_STATE_DIR "/var/lib/lastgood"
#define LG_DEFAULT_TOPOLOGY  "/etc/lastgood/lastgood.yaml"

struct lg_cli;

struct lg_session {
	char *state_dir;     /* absolute */
	bool named;          /* by option or variable */
	char *topology_path; /* NULL: none */
	char *actor;
	struct lg_topology *topology;
	struct lg_config *config;
	struct lg_delivery *delivery;
	struct lg_trace trace;
};

enum lg_session_use {
	LG_SESSION_READ,   /* the store, read-only */
	LG_SESSION_WRITE,  /* the store, for records that change no setting */
	LG_SESSION_POLICY, /* the store and the topology, no adapters */
	LG_SESSION_DELIVER /* the store, the topology and its adapters */
};

/* Finds the state directory; loads the topology where it is needed for that, or when `topology` is true. */
int lg_session_locate(struct lg_cli *cli, bool topology, struct lg_error *err);
/* Locates and opens; warns about unfinished rollbacks. */
int lg_session_open(struct lg_cli *cli, enum lg_session_use use, struct lg_error *err);
void lg_session_clear(struct lg_session *session);
/* The log that the topology names, or the store's own when it has to be wrapped; NULL: lg_config_open opens it. */
int lg_session_log(struct lg_cli *cli, bool readonly, struct lg_log **ret_log, struct lg_error *err);

/* Who acts: --actor, $LASTGOOD_ACTOR, $SUDO_USER, the user's name, the user's number. */
int lg_session_actor(struct lg_cli *cli, struct lg_error *err);

#endif
