/* doctor
 *
 * Each check stands alone and says what is wrong and what to do; none stops the next, because whoever calls it does not
 * know yet what is broken.  Nothing is changed.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/show.h"
#include "config/verify.h"
#include "io/file.h"
#include "log/log.h"
#include "model/secret.h"
#include "rollback/rollback.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SAMPLE      1000 /* records that are verified */
#define FREE_BYTES  ((uint64_t)64 * 1024 * 1024)
#define FREE_INODES 1000
/* 2026-01-01: no correct clock is behind the program's own making */
#define EARLIEST_US 1767225600000000

enum verdict { FINE, WORTH_A_LOOK, WRONG };
static const char *const verdict_names[] = { "ok", "warning", "wrong" };
static const enum lg_style verdict_styles[] = { LG_STYLE_GOOD, LG_STYLE_WARN, LG_STYLE_BAD };

struct doctor {
	struct lg_cli *cli;
	struct lg_table rows;
	json_t *checks;
	enum verdict worst;
};

/* todo: what to do, NULL when nothing */
static void say(struct doctor *doctor, const char *check, enum verdict verdict, const char *todo,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void say(
	struct doctor *doctor, const char *check, enum verdict verdict, const char *todo, const char *fmt, ...)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	va_list args;
	va_start(args, fmt);
	lg_buf_vaddf(&text, fmt, args);
	va_end(args);
	if (verdict > doctor->worst)
		doctor->worst = verdict;
	lg_table_add(&doctor->rows, LG_STYLE_PLAIN, check);
	lg_table_add(&doctor->rows, verdict_styles[verdict], verdict_names[verdict]);
	lg_table_addf(
		&doctor->rows, LG_STYLE_PLAIN, "%s%s%s", lg_buf_str(&text), todo ? "; " : "", todo ? todo : "");
	if (verdict != FINE)
		lg_table_wrap(&doctor->rows);
	json_array_append_new(doctor->checks,
		json_pack("{s:s, s:s, s:o, s:s?}", "check", check, "verdict", verdict_names[verdict], "finding",
			lg_show_text_json(lg_buf_str(&text)), "todo", todo));
}

/* --- files ------------------------------------------------------------------------------------------------------------------------ */

static bool check_directory(struct doctor *doctor)
{
	const char *dir = doctor->cli->session.state_dir;
	struct lg_error err = LG_ERROR_INIT;
	struct stat st;
	if (stat(dir, &st) != 0) {
		say(doctor, "state directory", WRONG, "'lastgood init' makes one, --state-dir names another",
			"'%s': %s", dir, strerror(errno));
		return false;
	}
	if (lg_dir_check_owner(dir, &err) < 0)
		say(doctor, "state directory", WRONG,
			"run lastgood as its owner, or give it to the user that runs lastgood", "%s",
			err.message);
	else if (st.st_mode & 0077)
		say(doctor, "state directory", st.st_mode & 0022 ? WRONG : WORTH_A_LOOK,
			"'chmod 700' closes it",
			"'%s' is open to others (mode %03o), and it holds the key to the secrets", dir,
			st.st_mode & 0777);
	else
		say(doctor, "state directory", FINE, NULL, "'%s'", dir);
	return true;
}

static void check_key(struct doctor *doctor)
{
	lg_autofree char *path = lg_path_join(doctor->cli->session.state_dir, "secret.key");
	struct stat st;
	if (!path)
		return;
	if (stat(path, &st) != 0)
		say(doctor, "secret key", WRONG,
			errno == EACCES
				? "run lastgood as the owner of the state directory"
				: "bring it back from a backup: without it no sealed value can be opened",
			"'%s': %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode) || st.st_size != LG_SECRET_KEY_SIZE)
		say(doctor, "secret key", WRONG, "bring it back from a backup", "'%s' is not %d bytes long",
			path, LG_SECRET_KEY_SIZE);
	else if (st.st_mode & 0077)
		say(doctor, "secret key", WRONG, "'chmod 600' closes it", "'%s' is open to others (mode %03o)",
			path, st.st_mode & 0777);
	else
		say(doctor, "secret key", FINE, NULL, "'%s'", path);
}

static void check_space(struct doctor *doctor)
{
	const char *dir = doctor->cli->session.state_dir;
	char size[LG_SIZE_SIZE];
	struct statvfs fs;
	if (statvfs(dir, &fs) != 0) {
		say(doctor, "space", WRONG, "look at the file system", "'%s': %s", dir, strerror(errno));
		return;
	}
	uint64_t bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	lg_size_format((int64_t)(bytes & ~(uint64_t)(1024 * 1024 - 1)), size);
	if (fs.f_flag & ST_RDONLY)
		say(doctor, "space", WRONG,
			"mount it writable: until then nothing can be changed or rolled back",
			"the file system of '%s' is read-only", dir);
	else if (bytes < FREE_BYTES || (fs.f_files && fs.f_favail < FREE_INODES))
		say(doctor, "space", WRONG, "make room, or no rollback can be recorded",
			"%s and %llu files are free", size, (unsigned long long)fs.f_favail);
	else
		say(doctor, "space", FINE, NULL, "%s are free", size);
}

/* --- the log ------------------------------------------------------------------------------------------------------------------------ */

static const char *todo_for(int code)
{
	switch (code) {
	case LG_ENOTFOUND:
		return "'lastgood init' makes a store";
	case LG_ENEWER:
		return "use the lastgood that wrote it, or a newer one";
	case LG_ECORRUPT:
		return "stop writing; 'lastgood recover salvage --to DIR' makes a new store of what it still holds, or put a "
		       "backup of the directory in its place";
	case LG_EPERM:
		return "run lastgood as the owner of the state directory";
	case LG_EBUSY:
		return "try again in a moment";
	default:
		return "look at the file system and at the kernel's log";
	}
}

/* ret_fine: what can be examined further. */
static void check_store(struct doctor *doctor, struct lg_log *log, bool *ret_fine)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_head head = { 0 };
	uint64_t first = 0;
	int rc = lg_log_head(log, &head, &err);
	if (rc == 0)
		rc = lg_log_first(log, &first, &err);
	if (rc < 0) {
		say(doctor, "log", WRONG, todo_for(rc), "%s", err.message);
		return;
	}
	if (first <= 1)
		say(doctor, "log", FINE, NULL, "%llu records, none is gone", (unsigned long long)head.seq);
	else
		say(doctor, "log", FINE, NULL,
			"records up to %llu, all there from %llu on; before it some are gone",
			(unsigned long long)head.seq, (unsigned long long)first);
	*ret_fine = head.seq != 0;
}

/* Takes the log over. */
static void check_chain(struct doctor *doctor, struct lg_log *log)
{
	lg_cleanup(lg_verify_report_clear) struct lg_verify_report report = { 0 };
	struct lg_error err = LG_ERROR_INIT;
	const struct lg_verify_options options = {
		.state_dir = doctor->cli->session.state_dir, .log = log, .sample = SAMPLE
	};
	int rc = lg_verify(&options, &report, &err);
	if (rc == 0 && report.problems.count)
		say(doctor, "hash chain", WRONG, todo_for(LG_ECORRUPT),
			"%s: %s; 'lastgood recover verify' looks at all of it",
			report.problems.items[0].subject, report.problems.items[0].message);
	else if (rc < 0)
		say(doctor, "hash chain", WRONG, todo_for(rc), "%s", err.message);
	else
		say(doctor, "hash chain", FINE, NULL,
			"%llu records follow from each other and lead to their roots",
			(unsigned long long)report.records);
}

static void check_log(struct doctor *doctor)
{
	lg_cleanup(lg_log_closep) struct lg_log *log = NULL;
	struct lg_session *session = &doctor->cli->session;
	lg_cleanup(lg_buf_clear) struct lg_buf url = LG_BUF_INIT;
	struct lg_log_open open = { .readonly = true, .clock = lg_clock_system() };
	struct lg_error err = LG_ERROR_INIT;
	bool fine = false;
	const char *named = session->topology ? session->topology->log_url : NULL;
	if (named && strcmp(named, "sqlite") != 0)
		lg_buf_adds(&url, named);
	else
		lg_buf_addf(&url, "sqlite:%s/log.db", session->state_dir);
	int rc = lg_buf_check(&url, &err);
	if (rc == 0)
		rc = lg_log_open(url.data, &open, &log, &err);
	if (rc < 0)
		say(doctor, "log", WRONG, todo_for(rc), "%s", err.message);
	else
		check_store(doctor, log, &fine);
	if (fine)
		check_chain(doctor, lg_steal_ptr(&log));
}

/* --- the configuration ---------------------------------------------------------------------------------------------------------------- */

static int newest_time(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	*(int64_t *)arg = record->time_us;
	return 0;
}

static void check_clock(struct doctor *doctor)
{
	struct lg_config *config = doctor->cli->session.config;
	struct lg_log_query newest = { .from = 1, .newest_first = true, .limit = 1 };
	const struct lg_clock *clock = lg_clock_system();
	int64_t now_us = clock->realtime_us(clock), newest_us = 0;
	char now[LG_TIME_SIZE], then[LG_TIME_SIZE];
	lg_time_format(now_us, now);
	if (config)
		lg_config_query(config, &newest, newest_time, &newest_us, NULL);
	if (now_us < EARLIEST_US)
		say(doctor, "clock", WRONG, "set the clock: times in the history will mislead", "it says %s",
			now);
	else if (newest_us > now_us)
		say(doctor, "clock", WORTH_A_LOOK, "set the clock: targets given as a time will mislead",
			"it says %s, and the newest record is of %s", now, lg_time_format(newest_us, then));
	else
		say(doctor, "clock", FINE, NULL, "it says %s", now);
}

static void check_controls(struct doctor *doctor)
{
	const struct lg_controls *controls = lg_config_controls(doctor->cli->session.config);
	size_t good = 0;
	for (size_t i = 0; i < controls->mark_count; i++)
		good += controls->marks[i].good;
	if (controls->hold_count)
		say(doctor, "holds", WORTH_A_LOOK, "'lastgood hold' lists them", "%zu in force",
			controls->hold_count);
	if (good)
		say(doctor, "known good", FINE, NULL, "%zu %s", good,
			good == 1 ? "revision is marked" : "revisions are marked");
	else
		say(doctor, "known good", WORTH_A_LOOK, "'lastgood mark good rN' or the monitor marks one",
			"no revision is marked, so a rollback to 'good' has no target");
}

static void check_config(struct doctor *doctor)
{
	struct lg_session *session = &doctor->cli->session;
	struct lg_config_options options = { .state_dir = session->state_dir, .readonly = true };
	lg_cleanup(lg_snapshot_clear) struct lg_snapshot snapshot = { 0 };
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
	struct lg_error err = LG_ERROR_INIT;
	int rc = lg_config_open(&options, &session->config, &err);
	if (rc < 0) {
		say(doctor, "state", WRONG, todo_for(rc), "%s", err.message);
		return;
	}
	lg_config_snapshot(session->config, &snapshot);
	rc = lg_config_tree_at(session->config, snapshot.revision, &tree, &err);
	if (rc < 0)
		say(doctor, "state", WRONG, todo_for(rc), "%s", err.message);
	else
		say(doctor, "state", FINE, NULL, "r%llu, %zu keys, its root hash is the recorded one",
			(unsigned long long)snapshot.revision, lg_tree_count(snapshot.tree));
	check_controls(doctor);
}

/* --- the host ---------------------------------------------------------------------------------------------------------------------------- */

static void check_adapters(struct doctor *doctor)
{
	struct lg_session *session = &doctor->cli->session;
	lg_cleanup(lg_snapshot_clear) struct lg_snapshot snapshot = { 0 };
	struct lg_error err = LG_ERROR_INIT;
	int rc = lg_delivery_open(session->config, session->topology, &session->delivery, &err);
	if (rc < 0) {
		say(doctor, "adapters", WRONG, "mend the topology", "%s", err.message);
		return;
	}
	lg_config_snapshot(session->config, &snapshot);
	for (size_t i = 0; i < lg_delivery_count(session->delivery); i++) {
		struct lg_adapter *adapter = lg_delivery_adapter(session->delivery, i);
		const char *name = lg_adapter_name(adapter), *path = lg_adapter_path(adapter);
		uint8_t hash[LG_HASH_SIZE];
		rc = lg_adapter_verify(adapter, snapshot.tree, hash, &err);
		if (rc == 1)
			say(doctor, "adapter", FINE, NULL, "'%s': '%s' is as configured", name, path);
		else if (!lg_adapter_attached(adapter))
			say(doctor, "adapter", FINE, NULL, "'%s' is detached", name);
		else
			say(doctor, "adapter", rc < 0 ? WRONG : WORTH_A_LOOK,
				"the next 'lastgood set' delivers it; 'lastgood validate' shows what differs",
				"'%s': '%s' %s", name, path, rc < 0 ? err.message : "is not as configured");
	}
}

static bool check_topology(struct doctor *doctor)
{
	struct lg_cli *cli = doctor->cli;
	struct lg_error err = LG_ERROR_INIT;
	int rc = lg_session_locate(cli, true, &err);
	if (rc == 0) {
		say(doctor, "topology", FINE, NULL, "%s%s: %zu services, %zu triggers",
			cli->session.topology_path ? "" : "no file",
			cli->session.topology_path ? cli->session.topology_path : "",
			cli->session.topology->service_count, cli->session.topology->trigger_count);
		return true;
	}
	say(doctor, "topology", WRONG, "mend the file; --config names another", "%s", err.message);
	for (size_t i = 0; i < cli->problems.count; i++)
		say(doctor, "topology", WRONG, NULL, "%s: %s", cli->problems.items[i].subject,
			cli->problems.items[i].message);
	return false;
}

static void check_rollbacks(struct doctor *doctor)
{
	char **ids = NULL;
	size_t count = 0;
	struct lg_error err = LG_ERROR_INIT;
	int rc = lg_rollback_unfinished(doctor->cli->session.state_dir, &ids, &count, &err);
	if (rc < 0)
		say(doctor, "rollbacks", WRONG, todo_for(rc), "%s", err.message);
	else if (count == 0)
		say(doctor, "rollbacks", FINE, NULL, "none is unfinished");
	for (size_t i = 0; i < count; i++)
		say(doctor, "rollbacks", WRONG,
			"'lastgood rollback resume' finishes it, 'lastgood rollback undo ID' takes it back",
			"%s was interrupted", ids[i]);
	lg_names_free(ids, count);
}

/* --- all together -------------------------------------------------------------------------------------------------------------------------- */

static void examine(struct doctor *doctor)
{
	struct lg_session *session = &doctor->cli->session;
	bool topology = check_topology(doctor);
	if (!session->state_dir)
		return; /* only a topology that cannot be read would have named it */
	if (!check_directory(doctor))
		return;
	check_key(doctor);
	check_space(doctor);
	check_log(doctor);
	check_config(doctor);
	check_clock(doctor);
	check_rollbacks(doctor);
	if (topology && session->config)
		check_adapters(doctor);
}

static int run_doctor(struct lg_cli *cli, struct lg_error *err)
{
	static const char *const headings[] = { "CHECK", "VERDICT", "FINDING" };
	struct doctor doctor = { .cli = cli, .checks = json_array() };
	lg_cleanup(lg_table_clear) struct lg_table rows;
	if (!doctor.checks)
		return lg_fail_nomem(err);
	lg_table_init(&doctor.rows, 3, headings);
	lg_table_keep_whole(&doctor.rows, 0);
	lg_table_keep_whole(&doctor.rows, 1);
	examine(&doctor);
	rows = doctor.rows;
	lg_problems_clear(&cli->problems); /* told as findings */
	int rc = lg_output_document(&cli->output,
		json_pack("{s:b, s:o}", "ok", doctor.worst < WRONG, "checks", doctor.checks), err);
	if (rc == 0 && lg_output_is_table(&cli->output))
		rc = lg_table_print(&rows, &cli->output, err);
	if (rc == 0 && doctor.worst == WRONG)
		rc = lg_fail(err, LG_EFAILED, 0, "something is wrong: the findings above say what to do");
	return rc;
}

static const struct lg_example doctor_examples[] = {
	{ "doctor", "is the store sound?" },
	{ "doctor -o json", "for a monitoring system" },
	{ 0 },
};

const struct lg_command lg_commands_doctor[] = {
	{ .name = "doctor",
		.usage = "",
		.summary = "Examines store, host and clock",
		.description = "Opens everything and says of each what is wrong and what to do: topology, "
			       "ownership of the state "
			       "directory, secret key, space, store version and integrity, hash chain of the "
			       "newest 1,000 records, "
			       "root hash, clock, unfinished rollbacks, delivered files. Changes nothing.",
		.examples = doctor_examples,
		.statuses = LG_STATUS(LG_EFAILED),
		.run = run_doctor },
	{ 0 },
};
