#include "config/salvage_impl.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LOCK        "salvage.lock" /* also says whose unfinished work a directory is */
#define MEMORY_HEAD ((uint64_t)50 * 1000 * 1000)

static void clear(struct lg_salvaging *salvaging)
{
	lg_config_close(salvaging->config);
	lg_salvage_close(salvaging->source);
	for (size_t i = 0; i < salvaging->checkpoint_count; i++)
		free(salvaging->checkpoints[i].path);
	free(salvaging->checkpoints);
	free(salvaging->gaps);
	free(salvaging->unread);
	lg_tree_unref(salvaging->proven_tree);
	lg_tree_unref(salvaging->tree);
	lg_controls_clear(&salvaging->controls);
	json_decref(salvaging->lost);
	json_decref(salvaging->files);
	json_decref(salvaging->skipped);
	free(salvaging->building);
	free(salvaging->db);
}

/* --- before anything is done --------------------------------------------------------------------------------------------- */

static int check_source(const struct lg_salvaging *salvaging, struct lg_error *err)
{
	pid_t pid = 0;
	bool writes = false;
	int rc = lg_salvage_user(salvaging->db, &pid, &writes, err);
	if (rc == LG_ENOTFOUND)
		return 0; /* the -wal alone may be there */
	if (rc == 0 && writes)
		return lg_fail(err, LG_EBUSY, 0,
			"process %d is writing to '%s': stop it, then run the salvage again", (int)pid,
			salvaging->db);
	return rc;
}

/* The directory that the target is made in, without symlinks. */
static int parent_of(const char *path, char ret_real[PATH_MAX], struct lg_error *err)
{
	lg_autofree char *parent = strdup(path);
	if (!parent)
		return lg_fail_nomem(err);
	char *slash = strrchr(parent, '/');
	if (slash)
		slash[slash == parent] = '\0';
	const char *name = slash ? parent : ".";
	if (realpath(name, ret_real))
		return 0;
	return lg_fail(err, errno == ENOENT ? LG_ENOTFOUND : LG_EIO, errno,
		"cannot make the new state directory in '%s'", name);
}

static bool lies_in(const char *path, const char *dir)
{
	size_t len = strlen(dir);
	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0' || len == 1);
}

static int check_free(const char *path, struct lg_error *err)
{
	struct stat st;
	char **names = NULL;
	size_t count = 0;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : lg_fail(err, LG_EIO, errno, "cannot look at '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return lg_fail(err, LG_ECONFLICT, 0, "'%s' is in the way: name a new directory", path);
	int rc = lg_dir_list(path, &names, &count, err);
	lg_names_free(names, count);
	if (rc == 0 && count)
		return lg_fail(err, LG_ECONFLICT, 0,
			"'%s' is not empty: a salvage writes a new state directory only, so name a new one",
			path);
	return rc;
}

static int check_target(const struct lg_salvaging *salvaging, struct lg_error *err)
{
	char from[PATH_MAX], parent[PATH_MAX], real[PATH_MAX];
	const char *to = salvaging->options->to;
	if (!*to || to[strlen(to) - 1] == '/')
		return lg_fail(err, LG_EINVALID, 0, "'%s' names no directory to make", to);
	if (!realpath(salvaging->options->from, from))
		return lg_fail(err, errno == ENOENT || errno == ENOTDIR ? LG_ENOTFOUND : LG_EIO, errno,
			"cannot look at '%s'", salvaging->options->from);
	int rc = parent_of(to, parent, err);
	if (rc == 0 && (lies_in(parent, from) || (realpath(to, real) && lies_in(real, from))))
		rc = lg_fail(err, LG_EINVALID, 0,
			"'%s' lies inside the damaged state directory, which is not touched: name one outside of it",
			to);
	return rc < 0 ? rc : check_free(to, err);
}

/* --- the place where it is made -------------------------------------------------------------------------------------------- */

/* The lock goes last: without it nobody would know any more whose the rest is. */
static int remove_unfinished(const char *dir, struct lg_error *err)
{
	char **names = NULL;
	size_t count = 0;
	int rc = lg_dir_list(dir, &names, &count, err);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		lg_autofree char *path = lg_path_join(dir, names[i]);
		struct stat st;
		if (!path)
			rc = lg_fail_nomem(err);
		else if (strcmp(names[i], LOCK) != 0 && lstat(path, &st) == 0)
			rc = S_ISDIR(st.st_mode) ? lg_dir_remove(path, err) : lg_file_remove(path, err);
	}
	lg_names_free(names, count);
	return rc < 0 ? rc : lg_dir_remove(dir, err);
}

/* What a salvage that was cut short left is removed; anything else that has the name is not ours. */
static int clear_building(const char *dir, struct lg_error *err)
{
	struct stat st;
	lg_autofree char *lock = lg_path_join(dir, LOCK);
	if (!lock)
		return lg_fail_nomem(err);
	if (lstat(dir, &st) < 0)
		return errno == ENOENT ? 0 : lg_fail(err, LG_EIO, errno, "cannot look at '%s'", dir);
	if (!S_ISDIR(st.st_mode) || !lg_file_exists(lock))
		return check_free(dir, err);
	lg_autoclose int fd = -1;
	int rc = lg_lock_file(lock, 0, &fd, err);
	if (rc < 0)
		return lg_context(err, rc, "another salvage is making '%s'", dir);
	return remove_unfinished(dir, err);
}

static int begin_building(struct lg_salvaging *salvaging, int *ret_lock, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf name = LG_BUF_INIT;
	lg_buf_addf(&name, "%s.partial", salvaging->options->to);
	int rc = lg_buf_check(&name, err);
	if (rc < 0)
		return rc;
	salvaging->building = lg_buf_steal(&name);
	rc = clear_building(salvaging->building, err);
	if (rc == 0)
		rc = lg_dir_make(salvaging->building, 0700, err);
	lg_autofree char *lock = lg_path_join(salvaging->building, LOCK);
	if (!lock)
		return lg_fail_nomem(err);
	if (rc == 0)
		rc = lg_lock_file(lock, 0, ret_lock, err);
	/* not behind anything that is made beside it, should the power fail */
	return rc < 0 ? rc : lg_dir_sync(salvaging->building, err);
}

/* An empty log, and a configuration on it that is filled by hand. */
static int open_new(struct lg_salvaging *salvaging, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf url = LG_BUF_INIT;
	struct lg_config_options options = { .state_dir = salvaging->building, .clock = salvaging->clock };
	const struct lg_log_open open = { .create = true, .refuse_exist = true, .clock = salvaging->clock };
	if (salvaging->building)
		lg_buf_addf(&url, "sqlite:%s/log.db", salvaging->building);
	else
		lg_buf_adds(&url, "memory:");
	int rc = lg_buf_check(&url, err);
	if (rc == 0 && !salvaging->building && lg_salvage_summary(salvaging->source)->head > MEMORY_HEAD)
		rc = lg_fail(err, LG_EUNSUPPORTED, 0,
			"the log is too long to try it in memory: make the new store with --to, which touches nothing "
			"else either");
	if (rc == 0)
		rc = lg_log_open(url.data, &open, &options.log, err);
	return rc < 0 ? rc : lg_config_open(&options, &salvaging->config, err);
}

/* --- reading, making --------------------------------------------------------------------------------------------------------- */

static int open_source(struct lg_salvaging *salvaging, struct lg_error *err)
{
	lg_autofree struct lg_salvage_hint *hints = calloc(salvaging->checkpoint_count + 1, sizeof *hints);
	if (!hints)
		return lg_fail_nomem(err);
	for (size_t i = 0; i < salvaging->checkpoint_count; i++) {
		hints[i].seq = salvaging->checkpoints[i].seq;
		memcpy(hints[i].hash, salvaging->checkpoints[i].hash, LG_HASH_SIZE);
	}
	const struct lg_salvage_options options = { .path = salvaging->db,
		.hints = hints,
		.hint_count = salvaging->checkpoint_count,
		.progress = salvaging->options->progress };
	return lg_salvage_open(&options, &salvaging->source, err);
}

static int look(struct lg_salvaging *salvaging, struct lg_error *err)
{
	salvaging->clock = salvaging->options->clock ? salvaging->options->clock : lg_clock_system();
	salvaging->db = lg_path_join(salvaging->options->from, "log.db");
	salvaging->lost = json_array();
	salvaging->files = json_array();
	salvaging->skipped = json_array();
	if (!salvaging->db || !salvaging->lost || !salvaging->files || !salvaging->skipped)
		return lg_fail_nomem(err);
	int rc = check_source(salvaging, err);
	if (rc == 0 && salvaging->options->to)
		rc = check_target(salvaging, err);
	if (rc == 0)
		rc = lg_salvage_find_checkpoints(salvaging, err);
	if (rc == 0)
		rc = open_source(salvaging, err);
	if (rc == 0)
		rc = lg_salvage_traces(salvaging->source, lg_salvage_add_trace, salvaging, err);
	if (rc == 0 && salvaging->options->to && lg_salvage_summary(salvaging->source)->proven == 0)
		rc = lg_fail(err, LG_ECORRUPT, 0,
			"not one record in '%s' can be proven, so there is nothing to make a store of; --dry-run shows "
			"what can still be read, and a backup of the directory is the way back",
			salvaging->db);
	return rc;
}

static int make(struct lg_salvaging *salvaging, struct lg_error *err)
{
	int rc = lg_salvage_copy_files(salvaging, err);
	if (rc == 0)
		rc = open_new(salvaging, err);
	if (rc == 0)
		rc = lg_salvage_copy_records(salvaging, err);
	if (rc == 0)
		rc = lg_salvage_copy_checkpoints(salvaging, err);
	if (rc == 0)
		rc = lg_salvage_find_states(salvaging, err);
	return rc == 0 ? lg_salvage_append_own(salvaging, err) : rc;
}

/* As whoever uses it next will. */
static int verify(struct lg_salvaging *salvaging, struct lg_error *err)
{
	lg_cleanup(lg_snapshot_clear) struct lg_snapshot snapshot = { 0 };
	const struct lg_config_options options = { .state_dir = salvaging->building,
		.clock = salvaging->clock };
	uint8_t wanted[LG_HASH_SIZE], found[LG_HASH_SIZE];
	lg_config_close(salvaging->config);
	salvaging->config = NULL;
	int rc = lg_config_open(&options, &salvaging->config, err);
	if (rc == 0)
		rc = lg_log_verify_chain(salvaging->config->log, 0, 0, err);
	if (rc < 0)
		return lg_context(err, rc, "the new store does not hold");
	lg_config_snapshot(salvaging->config, &snapshot);
	lg_tree_hash(salvaging->tree, wanted);
	lg_tree_hash(snapshot.tree, found);
	if (memcmp(wanted, found, sizeof wanted) != 0)
		return lg_fail(err, LG_EINTERNAL, 0, "the new store has another state than was written to it");
	lg_config_close(salvaging->config);
	salvaging->config = NULL;
	return 0;
}

static int write_text(const char *dir, const char *name, const struct lg_buf *buf, struct lg_error *err)
{
	lg_autofree char *path = lg_path_join(dir, name);
	const struct lg_replace_options options = { .mode = 0600 };
	return path ? lg_file_replace(path, lg_buf_str(buf), buf->len, &options, err) : lg_fail_nomem(err);
}

static int write_report(const struct lg_salvaging *salvaging, const json_t *report, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf lines = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf document = LG_BUF_INIT;
	int rc = lg_config_salvage_text(report, &lines, err);
	lg_autofree char *json = json_dumps(report, JSON_INDENT(2));
	if (rc < 0 || !json)
		return rc < 0 ? rc : lg_fail_nomem(err);
	lg_buf_addf(&document, "%s\n", json);
	rc = lg_buf_check(&document, err);
	if (rc == 0)
		rc = write_text(salvaging->building, "salvage.json", &document, err);
	return rc < 0 ? rc : write_text(salvaging->building, "salvage.txt", &lines, err);
}

static int build(struct lg_salvaging *salvaging, json_t **ret_report, struct lg_error *err)
{
	lg_autoclose int lock = -1;
	lg_cleanup(lg_json_freep) json_t *report = NULL;
	int rc = begin_building(salvaging, &lock, err);
	if (rc == 0)
		rc = make(salvaging, err);
	if (rc == 0)
		rc = verify(salvaging, err);
	if (rc == 0)
		rc = lg_salvage_report(salvaging, &report, err);
	if (rc == 0)
		rc = write_report(salvaging, report, err);
	/* until it is in its place the lock says whose it is; there it does no harm should it stay */
	lg_autofree char *mark = lg_path_join(salvaging->options->to, LOCK);
	if (rc == 0)
		rc = mark ? lg_dir_place(salvaging->building, salvaging->options->to, err) : lg_fail_nomem(err);
	if (rc == 0)
		(void)lg_file_remove(mark, NULL);
	if (rc == 0)
		*ret_report = lg_steal_ptr(&report);
	else if (lock >= 0)
		(void)remove_unfinished(salvaging->building, NULL);
	return rc;
}

int lg_config_salvage(const struct lg_config_salvage *options, json_t **ret_report, struct lg_error *err)
{
	struct lg_salvaging salvaging = { .options = options };
	int rc = look(&salvaging, err);
	if (rc == 0 && options->to)
		rc = build(&salvaging, ret_report, err);
	else if (rc == 0 && (rc = make(&salvaging, err)) == 0)
		rc = lg_salvage_report(&salvaging, ret_report, err);
	clear(&salvaging);
	return rc;
}
