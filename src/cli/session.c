#include "cli/session.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/command.h"
#include "io/file.h"
#include "rollback/rollback.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACTOR_MAX   128
#define NO_TOPOLOGY "/dev/null" /* --config with this: no services, whatever the host has */

void lg_session_clear(struct lg_session *session)
{
	lg_delivery_close(session->delivery);
	lg_config_close(session->config);
	lg_topology_free(session->topology);
	lg_trace_close(&session->trace);
	free(session->state_dir);
	free(session->topology_path);
	free(session->actor);
	*session = (struct lg_session){ 0 };
}

/* --- where ----------------------------------------------------------------------------------------------------------- */

/* The option, else the variable, else NULL. An empty variable counts as none, an empty option is a mistake. */
static int named_by(const struct lg_cli *cli, const char *option, const char *variable, const char **ret_value,
	struct lg_error *err)
{
	const char *value = lg_args_value(&cli->args, option);
	if (value && !*value)
		return lg_fail(err, LG_EUSAGE, 0, "option '--%s' is empty", option);
	if (!value)
		value = getenv(variable);
	*ret_value = value && *value ? value : NULL;
	return 0;
}

static int absolute(const char *path, char **ret_path, struct lg_error *err)
{
	char *full = realpath(path, NULL);
	if (!full && path[0] == '/')
		full = strdup(path);
	if (!full) {
		lg_autofree char *cwd = getcwd(NULL, 0);
		if (!cwd)
			return lg_fail(err, LG_EIO, errno, "cannot find the current directory for '%s'", path);
		full = lg_path_join(cwd, path);
	}
	if (!full)
		return lg_fail_nomem(err);
	*ret_path = full;
	return 0;
}

static bool same_directory(const char *a, const char *b)
{
	lg_autofree char *real_a = realpath(a, NULL);
	lg_autofree char *real_b = realpath(b, NULL);
	return strcmp(real_a ? real_a : a, real_b ? real_b : b) == 0;
}

/* Which topology file: *ret_path NULL for none. *ret_host: it is the host's own, which nobody named. */
static int choose_topology(struct lg_cli *cli, char **ret_path, bool *ret_host, struct lg_error *err)
{
	struct lg_session *session = &cli->session;
	const char *named = NULL;
	int rc = named_by(cli, "config", "LASTGOOD_CONFIG", &named, err);
	if (rc < 0)
		return rc;
	if (named)
		return absolute(named, ret_path, err);
	if (session->named) {
		lg_autofree char *beside = lg_path_join(session->state_dir, "lastgood.yaml");
		if (!beside)
			return lg_fail_nomem(err);
		if (lg_file_exists(beside)) {
			*ret_path = lg_steal_ptr(&beside);
			return 0;
		}
	}
	if (!lg_file_exists(LG_DEFAULT_TOPOLOGY))
		return 0;
	*ret_host = true;
	*ret_path = strdup(LG_DEFAULT_TOPOLOGY);
	return *ret_path ? 0 : lg_fail_nomem(err);
}

static int load_topology(struct lg_cli *cli, struct lg_error *err)
{
	struct lg_session *session = &cli->session;
	bool host = false;
	int rc = choose_topology(cli, &session->topology_path, &host, err);
	if (rc == 0 && session->topology_path && strcmp(session->topology_path, NO_TOPOLOGY) == 0)
		free(lg_steal_ptr(&session->topology_path));
	if (rc == 0 && session->topology_path)
		rc = lg_topology_load(session->topology_path, &session->topology, &cli->problems, err);
	if (rc == LG_EINVALID) /* a way back must not depend on it */
		cli->hint =
			"nothing was changed; mend the file, or leave the services out with --config " NO_TOPOLOGY;
	if (rc < 0)
		return rc;
	if (host && session->named) {
		const char *own =
			session->topology->state_dir ? session->topology->state_dir : LG_DEFAULT_STATE_DIR;
		if (!same_directory(own, session->state_dir)) {
			lg_topology_free(lg_steal_ptr(&session->topology));
			free(lg_steal_ptr(&session->topology_path));
		}
	}
	if (!session->topology)
		session->topology = lg_topology_default();
	return session->topology ? 0 : lg_fail_nomem(err);
}

int lg_session_locate(struct lg_cli *cli, bool topology, struct lg_error *err)
{
	struct lg_session *session = &cli->session;
	const char *named = NULL;
	int rc = named_by(cli, "state-dir", "LASTGOOD_STATE_DIR", &named, err);
	if (rc < 0)
		return rc;
	session->named = named != NULL;
	if (named) {
		rc = absolute(named, &session->state_dir, err);
		if (rc < 0)
			return rc;
	}
	if (topology || !named) {
		rc = load_topology(cli, err);
		if (rc < 0)
			return rc;
	}
	if (named)
		return 0;
	return absolute(session->topology->state_dir ? session->topology->state_dir : LG_DEFAULT_STATE_DIR,
		&session->state_dir, err);
}

/* --- who ------------------------------------------------------------------------------------------------------------- */

static int default_actor(char **ret_actor, struct lg_error *err)
{
	const char *sudo = getenv("SUDO_USER");
	const struct passwd *user = sudo && *sudo ? NULL : getpwuid(geteuid());
	char *actor = NULL;
	if (sudo && *sudo)
		actor = strdup(sudo);
	else if (user)
		actor = strdup(user->pw_name);
	else if (asprintf(&actor, "uid:%u", (unsigned)geteuid()) < 0)
		actor = NULL;
	if (!actor)
		return lg_fail_nomem(err);
	*ret_actor = actor;
	return 0;
}

int lg_session_actor(struct lg_cli *cli, struct lg_error *err)
{
	const char *named = NULL;
	int rc = named_by(cli, "actor", "LASTGOOD_ACTOR", &named, err);
	if (rc < 0)
		return rc;
	if (!named)
		return default_actor(&cli->session.actor, err);
	size_t len = strlen(named);
	if (len > ACTOR_MAX || lg_utf8_valid_prefix(named, len) != len)
		return lg_fail(err, LG_EINVALID, 0, "an actor is UTF-8 of at most %d bytes", ACTOR_MAX);
	cli->session.actor = strdup(named);
	return cli->session.actor ? 0 : lg_fail_nomem(err);
}

/* --- open ------------------------------------------------------------------------------------------------------------ */

static void warn_unfinished(struct lg_cli *cli)
{
	char **ids = NULL;
	size_t count = 0;
	const char *name = cli->command->name;
	if (strcmp(name, "rollback resume") == 0 || strcmp(name, "rollback undo") == 0)
		return;
	if (lg_rollback_unfinished(cli->session.state_dir, &ids, &count, NULL) < 0)
		return; /* doctor says why; here it would only hide the command's own answer */
	for (size_t i = 0; i < count; i++)
		lg_output_warn(&cli->output,
			"rollback %s was interrupted: finish it with 'lastgood rollback resume %s' or take it "
			"back "
			"with 'lastgood rollback undo %s'",
			ids[i], ids[i], ids[i]);
	lg_names_free(ids, count);
}

int lg_session_log(struct lg_cli *cli, bool readonly, struct lg_log **ret_log, struct lg_error *err)
{
	struct lg_session *session = &cli->session;
	lg_cleanup(lg_buf_clear) struct lg_buf url = LG_BUF_INIT;
	const char *named = session->topology ? session->topology->log_url : NULL;
	bool own = !named || strcmp(named, "sqlite") == 0;
	if (own && !lg_trace_wanted())
		return 0;
	if (own)
		lg_buf_addf(&url, "sqlite:%s/log.db", session->state_dir);
	else
		lg_buf_adds(&url, named);
	const struct lg_log_open open = { .readonly = readonly, .clock = lg_clock_system() };
	int rc = lg_buf_check(&url, err);
	if (rc == 0)
		rc = lg_log_open(url.data, &open, ret_log, err);
	return rc == 0 && lg_trace_wanted() ? lg_trace_wrap(&session->trace, ret_log, err) : rc;
}

static int open_config(struct lg_cli *cli, enum lg_session_use use, struct lg_error *err)
{
	struct lg_session *session = &cli->session;
	struct lg_config_options options = { .state_dir = session->state_dir,
		.readonly = use == LG_SESSION_READ };
	int rc = lg_session_log(cli, options.readonly, &options.log, err);
	if (rc == 0)
		rc = lg_config_open(&options, &session->config, err);
	if (rc != LG_ENOTFOUND)
		return rc;
	return lg_fail(err, rc, 0, "there is no store in '%s'; make one with 'lastgood --state-dir %s init'",
		session->state_dir, session->state_dir);
}

int lg_session_open(struct lg_cli *cli, enum lg_session_use use, struct lg_error *err)
{
	struct lg_session *session = &cli->session;
	int rc = lg_session_locate(cli, use == LG_SESSION_DELIVER || use == LG_SESSION_POLICY, err);
	if (rc == 0)
		rc = lg_session_actor(cli, err);
	if (rc == 0)
		rc = open_config(cli, use, err);
	if (rc == 0 && use == LG_SESSION_DELIVER)
		rc = lg_delivery_open(session->config, session->topology, &session->delivery, err);
	if (rc < 0)
		return rc;
	warn_unfinished(cli);
	return 0;
}
