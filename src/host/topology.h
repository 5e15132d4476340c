/* topology.h - lastgood.yaml: the services, adapters, probes and triggers of this host.
 *
 * Loaded once and immutable. Every problem of the file is reported at once with its path in the document
 * ("services.web.adapter.file.path"), unknown members included.
 *
 *	state_dir: /var/lib/lastgood
 *	log: sqlite
 *	services:
 *	  web:
 *	    driver: process | command
 *	    start: [argv]                 process: what runs, in the foreground; command: run to start
 *	    stop: [argv]                  command only
 *	    status: [argv]                command only: status 0 means running; without it nobody knows
 *	    reload: [argv]                process may have it too, instead of the signal
 *	    reload_signal: HUP            process only: HUP USR1 USR2 WINCH CONT
 *	    stop_timeout: 10s
 *	    timeout: 30s                  deadline of each command
 *	    dir: .                        where commands run
 *	    env: { NAME: VALUE }
 *	    critical: false
 *	    after: [other services]
 *	    health: { http: URL, status: 200, timeout: 10s }
 *	    adapter:
 *	      prefix: web/
 *	      file: { path: PATH, format: json|env|template, template: PATH, names: keep|upper }
 *	      check: [argv with {} for the staged file]
 *	      check_timeout: 10s
 *	      notify: none | reload | restart
 *	      attached: true
 *	retention: { revisions: 0, age: 0s, known_good: 5 }     0: no such rule; without any, nothing is ever dropped
 *	monitor: { interval: 5s, bake: 15m, good_max_age: 7d, max_per_day: 3 }
 *	triggers:
 *	  NAME:
 *	    service: web                  its scope is the prefix of the service's adapter
 *	    signal: error_rate | http
 *	    access_log: PATH              error_rate
 *	    url: URL                      http; default the service's health, with its timeout
 *	    timeout: 10s                  http
 *	    threshold: 0.5                error_rate: strictly above fires
 *	    min_samples: 20               error_rate
 *	    window: 1m                    error_rate: over which the rate is taken
 *	    for: 5m                       how long it must last
 *	    consecutive: 5                http: failures in a row (instead of `for`)
 *	    clear: 1m                     how long good until it is cleared
 *	    cooldown: 30m
 *	    attribution: 60m
 *	    action: rollback | advise | observe
 *
 * Values shown are the defaults.  Relative paths, `dir` included, are relative to the directory of the file (links
 * resolved) and stored absolute; so a command such as ./check.sh means the same wherever lastgood is called.
 */
#ifndef LG_HOST_TOPOLOGY_H
#define LG_HOST_TOPOLOGY_H

#include "base/error.h"
#include "base/problems.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lg_driver_kind { LG_DRIVER_PROCESS, LG_DRIVER_COMMAND };
enum lg_adapter_format { LG_ADAPTER_JSON, LG_ADAPTER_ENV, LG_ADAPTER_TEMPLATE };
enum lg_notify { LG_NOTIFY_NONE, LG_NOTIFY_RELOAD, LG_NOTIFY_RESTART };
enum lg_signal_kind { LG_SIGNAL_ERROR_RATE, LG_SIGNAL_HTTP };
enum lg_action { LG_ACTION_OBSERVE, LG_ACTION_ADVISE, LG_ACTION_ROLLBACK };

struct lg_health_spec {
	char *http_url; /* NULL: none */
	int http_status;
	int64_t timeout_ns;
};

struct lg_adapter_spec {
	char *prefix; /* with its '/' */
	char *path;
	enum lg_adapter_format format;
	char *template_path; /* template only */
	bool upper_names;    /* env: names in upper case */
	char **check;        /* argv or NULL */
	int64_t check_timeout_ns;
	enum lg_notify notify;
	bool attached;
};

struct lg_service_spec {
	char *name;
	enum lg_driver_kind driver;
	char **start, **stop, **status, **reload; /* argvs or NULL */
	int reload_signal;
	int64_t stop_timeout_ns, timeout_ns;
	char *dir;
	char **env; /* NAME=VALUE or NULL */
	bool critical;
	char **after;
	struct lg_health_spec health;
	bool has_adapter;
	struct lg_adapter_spec adapter;
};

struct lg_trigger_spec {
	char *name;
	char *service;
	enum lg_signal_kind signal;
	char *access_log;
	char *url;
	int64_t timeout_ns;
	double threshold;
	int64_t min_samples;
	int64_t window_ns, for_ns;
	int64_t consecutive; /* 0: use for_ns */
	int64_t clear_ns, cooldown_ns, attribution_ns;
	enum lg_action action;
};

struct lg_monitor_spec {
	int64_t interval_ns, bake_ns, good_max_age_ns;
	int64_t max_per_day;
};

/* Which history stays: the newest so many revisions, and what was in force in the last while; 0: no such rule. */
struct lg_retention_spec {
	int64_t revisions;
	int64_t age_ns;
	int64_t known_good; /* newest ones of each scope that stay besides */
};

struct lg_topology {
	char *state_dir; /* or NULL */
	char *log_url;   /* or NULL */
	struct lg_service_spec
		*services; /* in order of dependency: a service stands behind those in its `after` */
	size_t service_count;
	struct lg_trigger_spec *triggers;
	size_t trigger_count;
	struct lg_monitor_spec monitor;
	struct lg_retention_spec retention;
	uint8_t hash[32]; /* of the file, so that a plan knows its topology */
};

/* An absent file is LG_ENOTFOUND; a text that is no YAML, LG_EINVALID with line and column; problems (which may be NULL),
 * LG_EINVALID with the first of them in err. name: the file's path, for messages and for relative paths. */
int lg_topology_load(const char *path, struct lg_topology **ret_topology, struct lg_problems *problems,
	struct lg_error *err);
int lg_topology_parse(const char *name, const char *text, size_t len, struct lg_topology **ret_topology,
	struct lg_problems *problems, struct lg_error *err);
struct lg_topology *lg_topology_default(void); /* no services; default monitor; NULL: no memory */
void lg_topology_free(struct lg_topology *topology);
const struct lg_service_spec *lg_topology_service(const struct lg_topology *topology, const char *name);

#endif
