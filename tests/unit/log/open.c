/* What may be opened as a log, and what is refused with which words. */
#include "unit/log/records.h"

#include "log/sqlite/internal.h"

#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int open_path(
	const char *path, const struct lg_log_open *options, struct lg_log **ret_log, struct lg_error *err)
{
	char url[600];
	snprintf(url, sizeof url, "sqlite:%s", path);
	return lg_log_open(url, options, ret_log, err);
}

/* A store with `count` records in a directory of its own; its path. */
static const char *make_store(const char *dir, size_t count)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = NULL;
	char name[128];
	const char *path = lg_test_path(dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(name, sizeof name, "%s/log.db", dir);
	path = lg_test_path(name);
	lg_assert_ok(open_path(path, &(struct lg_log_open){ .create = true }, &log, &err), &err);
	lg_test_fill(log, count);
	lg_log_close(log);
	return path;
}

static void sql(const char *path, const char *text)
{
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	char *message = NULL;
	if (sqlite3_exec(db, text, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", text, message);
	sqlite3_close(db);
}

static void assert_refused(const char *path, const struct lg_log_open *options, int code, const char *words)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = NULL;
	lg_assert_code(open_path(path, options, &log, &err), code, &err);
	assert_null(log);
	if (!strstr(err.message, words) || !strstr(err.message, path))
		fail_msg("'%s' does not say '%s' about '%s'", err.message, words, path);
}

static const struct lg_log_open plain, creating = { .create = true }, reading = { .readonly = true };

/* --- addresses ------------------------------------------------------------------------------------------------------------ */

static const struct url_row {
	const char *name;
	const char *url;
	int code;
} url_rows[] = {
	{ "empty", "", LG_EINVALID },
	{ "no scheme", "/var/lib/log.db", LG_EINVALID },
	{ "no scheme at all", ":x", LG_EINVALID },
	{ "unknown scheme", "oracle:x", LG_EINVALID },
	{ "half a scheme", "sqlit:x", LG_EINVALID },
	{ "upper case", "SQLITE:x", LG_EINVALID },
	{ "scheme without location", "sqlite:", LG_EINVALID },
	{ "a directory's name", "sqlite:/nowhere/", LG_EINVALID },
	{ "a directory", "sqlite:/etc", LG_EINVALID },
	{ "a device", "sqlite:/dev/null", LG_EINVALID },
	{ "no such directory", "sqlite:/nowhere/log.db", LG_ENOTFOUND },
	{ "below a file", "sqlite:/etc/passwd/log.db", LG_ENOTFOUND },
	{ "absent", "sqlite:/etc/lastgood-absent.db", LG_ENOTFOUND },
	{ "a text", "sqlite:/etc/passwd", LG_ECORRUPT },
	{ "absent in memory", "memory:absent", LG_ENOTFOUND },
};

static void test_url(void **state)
{
	const struct url_row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = NULL;
	lg_assert_code(lg_log_open(row->url, &reading, &log, &err), row->code, &err);
	assert_null(log);
	assert_true(err.message[0] != '\0');
}

static void test_memory_names(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *a = NULL, *b = NULL;
	lg_assert_ok(lg_log_open("memory:", &creating, &a, &err), &err);
	lg_assert_ok(lg_log_open("memory:", &creating, &b, &err), &err);
	lg_test_fill(a, 1);
	assert_int_equal(lg_test_head_seq(b), 0);
	lg_log_close(a);
	lg_log_close(b);

	lg_assert_ok(lg_log_open("memory:named", &creating, &a, &err), &err);
	lg_assert_ok(lg_log_open("memory:named", &plain, &b, &err), &err);
	lg_test_fill(a, 1);
	lg_log_close(a);
	assert_int_equal(lg_test_head_seq(b), 1);
	lg_log_close(b);
	lg_assert_code(lg_log_open("memory:named", &plain, &b, &err), LG_ENOTFOUND, &err);
	lg_log_close(NULL);
}

/* Names that mean something else to SQLite are files like any other. */
static void test_odd_names(void **state)
{
	static const char *const names[] = { ":memory:", "file:x?mode=memory", "a b'c\"d%20",
		"\xf0\x9f\x94\xa5" };
	struct lg_error err = LG_ERROR_INIT;
	char former[512];
	(void)state;
	assert_non_null(getcwd(former, sizeof former));
	assert_int_equal(chdir(lg_test_dir()), 0);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct lg_log *log = NULL;
		lg_assert_ok(open_path(names[i], &creating, &log, &err), &err);
		lg_test_fill(log, 1);
		lg_log_close(log);
		assert_int_equal(access(names[i], F_OK), 0);
	}
	assert_int_equal(chdir(former), 0);
}

/* --- what is there -------------------------------------------------------------------------------------------------------- */

static void test_modes(void **state)
{
	struct stat st;
	char name[600];
	(void)state;
	mode_t former = umask(0);
	const char *path = make_store("modes", 3);
	umask(former);
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
		assert_int_equal(stat(name, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
}

static void test_newer(void **state)
{
	(void)state;
	const char *path = make_store("newer", 3);
	sql(path, "UPDATE meta SET value = '7.1.0' WHERE name = 'written_by'; PRAGMA user_version = 3");
	assert_refused(path, &plain, LG_ENEWER, "written by lastgood 7.1.0");
	assert_refused(path, &creating, LG_ENEWER, "use the newer program");
	assert_refused(path, &reading, LG_ENEWER, "has format 3");
	sql(path, "UPDATE meta SET value = 'x' || char(27) || '[2J' WHERE name = 'written_by'");
	assert_refused(path, &plain, LG_ENEWER, "of an unknown version");
	sql(path, "DROP TABLE meta");
	assert_refused(path, &plain, LG_ENEWER, "of an unknown version");
}

/* A store as the first format had it, with six records. */
static const char *make_format_1(const char *name)
{
	const char *path = make_store(name, 6);
	sql(path,
		"INSERT INTO touched SELECT key, seq FROM touching; DROP TABLE touching; DROP TABLE gap;"
		"CREATE TABLE checkpoint (seq INTEGER PRIMARY KEY CHECK (seq > 0), data BLOB NOT NULL) STRICT;"
		"CREATE TABLE base (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL,"
		" hash BLOB NOT NULL) STRICT;"
		"DROP INDEX record_kind; CREATE INDEX record_kind ON record (kind, seq);"
		"INSERT INTO checkpoint VALUES (4, x'00');"
		"INSERT INTO base SELECT 1, seq, hash FROM record WHERE seq = 2; DELETE FROM record WHERE seq < 3;"
		"PRAGMA user_version = 1");
	return path;
}

static void test_upgrade(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	char copy[520];
	const struct lg_log_open *const ways[] = { &plain, &creating, &reading };
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char name[32];
		struct lg_log *log = NULL;
		struct lg_log_gap gap;
		snprintf(name, sizeof name, "upgrade%zu", i);
		const char *path = make_format_1(name);
		lg_assert_ok(open_path(path, ways[i], &log, &err), &err);
		assert_int_equal(lg_test_head_seq(log), 6);
		lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
		lg_assert_code(lg_log_gap(log, 9, &gap, &err), 1, &err);
		assert_int_equal(gap.last, 2);
		lg_log_close(log);
		log = lg_test_open(path, false);
		lg_test_fill(log, 2);
		lg_assert_ok(lg_log_check(log, true, &err), &err);
		lg_log_close(log);

		/* the copy is the store as it was */
		snprintf(copy, sizeof copy, "%s.format-1", path);
		sql(copy, "INSERT INTO base SELECT 2, 1, x'' WHERE (SELECT count(*) FROM record) <> 4");
		lg_assert_ok(open_path(copy, &plain, &log, &err), &err);
		assert_int_equal(lg_test_head_seq(log), 6);
		lg_log_close(log);
	}
}

static void test_impossible_format(void **state)
{
	(void)state;
	const char *path = make_store("impossible", 1);
	sql(path, "PRAGMA user_version = 0");
	assert_refused(path, &plain, LG_ECORRUPT, "impossible format 0");
	sql(path, "PRAGMA user_version = -3");
	assert_refused(path, &plain, LG_ECORRUPT, "impossible format -3");
}

static void test_foreign(void **state)
{
	(void)state;
	const char *path = lg_test_path("foreign.db");
	sql(path, "CREATE TABLE users (name); INSERT INTO users VALUES ('x')");
	size_t before = 0, after = 0;
	char *former = lg_test_read(path, &before);
	assert_refused(path, &plain, LG_ECORRUPT, "no log of lastgood");
	assert_refused(path, &creating, LG_ECORRUPT, "no log of lastgood");
	assert_refused(path, &reading, LG_ECORRUPT, "no log of lastgood");
	char *now = lg_test_read(path, &after);
	assert_int_equal(before, after);
	assert_memory_equal(former, now, before);
	free(former);
	free(now);
}

static void test_not_a_database(void **state)
{
	(void)state;
	const char *path = lg_test_path("letter.db");
	char text[5000];
	memset(text, 'x', sizeof text);
	lg_test_write(path, text, sizeof text);
	assert_refused(path, &plain, LG_ECORRUPT, "not even a database");
	assert_refused(path, &creating, LG_ECORRUPT, "not even a database");
	char *now = lg_test_read(path, NULL);
	assert_memory_equal(now, text, sizeof text);
	free(now);
}

static void test_empty(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = NULL;
	(void)state;
	const char *path = lg_test_path("empty.db");
	lg_test_write(path, "", 0);
	assert_refused(path, &plain, LG_ECORRUPT, "is empty");
	assert_refused(path, &reading, LG_ECORRUPT, "lastgood init");
	/* a creation that was cut short is taken up, also where nothing may exist yet */
	lg_assert_ok(open_path(path, &(struct lg_log_open){ .create = true, .refuse_exist = true }, &log, &err),
		&err);
	lg_test_fill(log, 2);
	lg_log_close(log);
	assert_refused(
		path, &(struct lg_log_open){ .create = true, .refuse_exist = true }, LG_ECONFLICT, "already");
}

static void move_into_database(const char *path)
{
	sql(path, "PRAGMA wal_checkpoint(TRUNCATE)");
}

static void test_truncated(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	(void)state;
	const char *path = make_store("truncated", 400);
	move_into_database(path);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	for (off_t size = st.st_size - 4096; size > 0; size -= 4096 * 3) {
		assert_int_equal(truncate(path, size), 0);
		struct lg_log *log = NULL;
		int rc = open_path(path, &plain, &log, &err);
		if (rc == 0) {
			rc = lg_log_verify_chain(log, 0, 0, &err);
			if (rc == 0)
				rc = lg_log_check(log, true, &err);
		}
		lg_log_close(log);
		lg_assert_code(rc, LG_ECORRUPT, &err);
		assert_non_null(strstr(err.message, "backup"));
	}
}

static void test_without_tables(void **state)
{
	(void)state;
	const char *path = make_store("bare", 1);
	sql(path, "DROP TABLE record");
	assert_refused(path, &plain, LG_ECORRUPT, "damaged");
}

/* --- people --------------------------------------------------------------------------------------------------------------- */

/* As somebody whom permissions bind: root gives up what lets it pass them. */
static int open_without_privileges(const char *path, const struct lg_log_open *options)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };
	struct lg_log *log = NULL;
	if (syscall(SYS_capset, &header, none) < 0)
		return 99;
	int rc = open_path(path, options, &log, NULL);
	lg_log_close(log);
	return -rc;
}

static int outcome(pid_t pid)
{
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static int outcome_without_privileges(const char *path, const struct lg_log_open *options)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(open_without_privileges(path, options));
	return outcome(pid);
}

static void test_not_writable(void **state)
{
	(void)state;
	const char *path = make_store("protected", 3);
	const char *dir = lg_test_path("protected");
	char name[600];
	/* with what SQLite wants beside the database gone, as in a copy */
	snprintf(name, sizeof name, "%s-wal", path);
	move_into_database(path);
	unlink(name);
	snprintf(name, sizeof name, "%s-shm", path);
	unlink(name);
	assert_int_equal(chmod(path, 0444), 0);
	assert_int_equal(chmod(dir, 0555), 0);
	assert_int_equal(outcome_without_privileges(path, &plain), LG_EPERM);
	assert_int_equal(outcome_without_privileges(path, &reading), LG_EREADONLY);
	assert_int_equal(chmod(path, 0), 0);
	assert_int_equal(outcome_without_privileges(path, &reading), LG_EPERM);
	assert_int_equal(chmod(dir, 0700), 0);
}

static void test_busy(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = NULL;
	sqlite3 *other = NULL;
	(void)state;
	const char *path = make_store("busy", 3);
	lg_assert_ok(open_path(path, &(struct lg_log_open){ .busy_ms = 1 }, &log, &err), &err);
	assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	lg_assert_code(lg_test_append(log, LG_KIND_MARK, "{}", NULL, 0, &err), LG_EBUSY, &err);
	assert_int_equal(lg_test_head_seq(log), 3);
	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	lg_assert_ok(lg_test_append(log, LG_KIND_MARK, "{}", NULL, 0, &err), &err);
	sqlite3_close(other);
	lg_log_close(log);
}

#define CREATORS 4

/* Several processes make the same log at once; what each got, sorted by nobody. */
static void create_at_once(const char *path, const struct lg_log_open *options, int ret_codes[CREATORS])
{
	pid_t pids[CREATORS];
	for (size_t i = 0; i < CREATORS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct lg_log *log = NULL;
			_exit(-open_path(path, options, &log, NULL));
		}
	}
	for (size_t i = 0; i < CREATORS; i++)
		ret_codes[i] = outcome(pids[i]);
}

static void test_create_at_once(void **state)
{
	int codes[CREATORS];
	char name[32];
	(void)state;
	for (int round = 0; round < 8; round++) {
		snprintf(name, sizeof name, "raced%d.db", round);
		const char *path = lg_test_path(name);
		bool refuse = round % 2;
		create_at_once(path, &(struct lg_log_open){ .create = true, .refuse_exist = refuse }, codes);
		int made = 0;
		for (size_t i = 0; i < CREATORS; i++) {
			made += codes[i] == 0;
			if (codes[i] != 0 && codes[i] != LG_ECONFLICT)
				fail_msg("round %d: %s", round, lg_code_name(codes[i]));
		}
		assert_int_equal(made, refuse ? 1 : CREATORS);
	}
}

/* --- file systems ----------------------------------------------------------------------------------------------------------- */

static const struct fs_row {
	const char *name;
	unsigned long magic;
	bool network;
} fs_rows[] = {
	{ "ext4", 0xef53, false },
	{ "xfs", 0x58465342, false },
	{ "btrfs", 0x9123683e, false },
	{ "tmpfs", 0x01021994, false },
	{ "zfs", 0x2fc12fc1, false },
	{ "overlayfs", 0x794c7630, false },
	{ "fuse", 0x65735546, false },
	{ "nfs", 0x6969, true },
	{ "cifs", 0xff534d42, true },
	{ "cifs with a sign", (unsigned long)(long)(int)0xff534d42, true },
	{ "smb2", 0xfe534d42, true },
	{ "smb", 0x517b, true },
	{ "9p", 0x01021997, true },
	{ "ceph", 0x00c36400, true },
	{ "lustre", 0x0bd00bd0, true },
	{ "afs", 0x5346414f, true },
};

static void test_fs(void **state)
{
	const struct fs_row *row = *state;
	assert_int_equal(lg_sqlite_network_fs(row->magic) != NULL, row->network);
}

int main(void)
{
	lg_test_rows("address", test_url, url_rows, sizeof url_rows / sizeof *url_rows, sizeof *url_rows,
		offsetof(struct url_row, name));
	lg_test_add("names of logs in memory", test_memory_names, NULL);
	lg_test_add("names that mean something to SQLite", test_odd_names, NULL);
	lg_test_add("nobody else may read it", test_modes, NULL);
	lg_test_add("a newer format is refused", test_newer, NULL);
	lg_test_add("an older format is upgraded, and a copy kept", test_upgrade, NULL);
	lg_test_add("an impossible format is refused", test_impossible_format, NULL);
	lg_test_add("a foreign database is refused and left alone", test_foreign, NULL);
	lg_test_add("what is no database is refused and left alone", test_not_a_database, NULL);
	lg_test_add("an empty file is no log until it is made one", test_empty, NULL);
	lg_test_add("a truncated file is found out", test_truncated, NULL);
	lg_test_add("a database without its tables is damaged", test_without_tables, NULL);
	lg_test_add("a place that may not be written to", test_not_writable, NULL);
	lg_test_add("several make the same log at once", test_create_at_once, NULL);
	lg_test_add("another writer does not finish", test_busy, NULL);
	lg_test_rows("network file system", test_fs, fs_rows, sizeof fs_rows / sizeof *fs_rows, sizeof *fs_rows,
		offsetof(struct fs_row, name));
	return lg_test_run("log_open");
}
