/* monitor */
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/show.h"
#include "io/file.h"
#include "model/value.h"
#include "monitor/monitor.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>

static volatile sig_atomic_t stop_requested;

static void request_stop(int number)
{
	(void)number;
	stop_requested = 1;
}

/* Without SA_RESTART: a wait in progress ends at once. */
static void handle_signals(void)
{
	struct sigaction action = { .sa_handler = request_stop };
	sigemptyset(&action.sa_mask);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

struct event_state {
	struct lg_cli *cli;
	int fd; /* --events, or -1 */
	const char *path;
	bool complained;
};

/* One line in one write, so that a reader never sees half of one. */
static void write_event(struct event_state *state, const struct lg_buf *line)
{
	struct lg_error err = LG_ERROR_INIT;
	if (lg_write_all(state->fd, line->data, line->len, state->path, &err) == 0 || state->complained)
		return;
	state->complained = true; /* once: watching goes on, which matters more */
	lg_output_warn(&state->cli->output, "events are lost: %s", err.message);
}

static void on_event(void *arg, const json_t *event)
{
	struct event_state *state = arg;
	lg_cleanup(lg_buf_clear) struct lg_buf line = LG_BUF_INIT;
	if (lg_json_canonical(event, &line, NULL) < 0 || lg_buf_addc(&line, '\n') < 0)
		return;
	if (state->fd >= 0)
		write_event(state, &line);
	if (lg_output_is_table(&state->cli->output))
		return; /* the log on standard error tells people the same */
	lg_output_raw(&state->cli->output, line.data, line.len);
	state->cli->output.emitted = true;
	fflush(state->cli->output.out);
}

static int open_events(struct event_state *state, struct lg_error *err)
{
	if (!state->path)
		return 0;
	state->fd = open(state->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
	if (state->fd < 0)
		return lg_fail(err, LG_EIO, errno, "cannot open '%s' for events", state->path);
	return 0;
}

/* A monitor that watches nothing must not look like one that does. */
static int check_topology(const struct lg_session *session, struct lg_error *err)
{
	const struct lg_topology *topology = session->topology;
	if (!session->topology_path)
		return lg_fail(err, LG_ENOTFOUND, 0,
			"there is nothing to watch: no 'lastgood.yaml' in '%s', no '" LG_DEFAULT_TOPOLOGY
			"' for this store, and no --config FILE names one",
			session->state_dir);
	for (size_t i = 0; i < topology->service_count; i++)
		if (topology->services[i].health.http_url)
			return 0;
	if (topology->trigger_count)
		return 0;
	return lg_fail(err, LG_ENOTFOUND, 0,
		"there is nothing to watch: '%s' declares no trigger, and no service with a health",
		session->topology_path);
}

static int watch(struct lg_cli *cli, int64_t run_ns, struct event_state *state, struct lg_error *err)
{
	struct lg_session *session = &cli->session;
	struct lg_monitor_options options = { .config = session->config,
		.delivery = session->delivery,
		.clock = lg_clock_system(),
		.stop = &stop_requested,
		.run_ns = run_ns,
		.once = lg_args_has(&cli->args, "once"),
		.event = on_event,
		.arg = state };
	int rc = check_topology(session, err);
	if (rc < 0)
		return rc;
	if (session->topology->trigger_count == 0)
		lg_output_warn(&cli->output,
			"'%s' declares no trigger: what serves well is marked known good, and nothing goes back "
			"by itself",
			session->topology_path);
	handle_signals();
	return lg_monitor_run(&options, err);
}

static int run_monitor(struct lg_cli *cli, struct lg_error *err)
{
	const char *duration = lg_args_value(&cli->args, "for");
	struct event_state state = { .cli = cli, .fd = -1, .path = lg_args_value(&cli->args, "events") };
	int64_t run_ns = 0;
	if (duration && lg_duration_parse(duration, &run_ns, err) < 0)
		return lg_context(err, LG_EUSAGE, "option '--for'");
	if (duration && run_ns == 0)
		return lg_fail(err, LG_EUSAGE, 0, "option '--for' wants more than no time");
	int rc = lg_session_open(cli, LG_SESSION_DELIVER, err);
	if (rc == 0)
		rc = open_events(&state, err);
	if (rc == 0)
		rc = watch(cli, run_ns, &state, err);
	if (state.fd >= 0)
		close(state.fd);
	return rc;
}

static const struct lg_option monitor_options[] = {
	{ "for", "DURATION", "leave after this time, such as 10m; default: when told by SIGTERM or SIGINT", 0,
		false },
	{ "once", NULL, "leave after the first rollback or incident", 0, false },
	{ "events", "FILE", "append each event there as one line of JSON", 0, false },
	{ 0 },
};
static const struct lg_example monitor_examples[] = {
	{ "monitor", "watch until stopped" },
	{ "monitor --for 1h --events /var/log/lastgood-events.jsonl",
		"for an hour, with a record for programs" },
	{ 0 },
};

const struct lg_command lg_commands_monitor[] = {
	{ .name = "monitor",
		.usage = "[--for DURATION] [--once] [--events FILE]",
		.summary = "Watches services, and goes back by itself",
		.description = "Probes the services of the topology, marks revisions known good that served "
			       "well for their bake time, and, "
			       "where a trigger says so, rolls back to the known good. It needs neither a "
			       "daemon nor another command, and "
			       "finishes a rollback that a crash interrupted.\n\nThe log goes to standard "
			       "error, one line an event; with -o "
			       "json each event also goes to standard output as one line of JSON.",
		.options = monitor_options,
		.examples = monitor_examples,
		.statuses = LG_STATUS_STORE | LG_STATUS(LG_EBUSY) | LG_STATUS(LG_EINVALID),
		.run = run_monitor },
	{ 0 },
};
