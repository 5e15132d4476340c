/* No room for what is written: never a false success, and all is well once there is room again.  A limit on the size of files
 * (RLIMIT_FSIZE in a child), and, where a small file system can be mounted, one that is full again and again. */
#include "unit/log/records.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct report {
	uint64_t acknowledged; /* seq */
	uint64_t head;         /* as the handle sees it after the failure */
	int code;
	int again; /* the code of one more try */
};

/* In the child: files may not grow beyond `limit`. */
static struct report append_under_limit(const char *path, rlim_t limit, size_t body_len)
{
	struct report report = { 0 };
	struct rlimit rlimit = { limit, limit };
	struct lg_log *log = NULL;
	char url[600];
	char *body = calloc(1, body_len + 1);

	if (!body)
		abort();
	memset(body, 'b', body_len);
	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &rlimit) < 0)
		abort();
	snprintf(url, sizeof url, "sqlite:%s", path);
	report.code = lg_log_open(url, &(struct lg_log_open){ 0 }, &log, NULL);
	for (int i = 0; i < 10000 && report.code == 0; i++) {
		report.code = lg_test_append(log, LG_KIND_MARK, body, NULL, 0, NULL);
		struct lg_log_head head = { 0 };
		if (lg_log_head(log, &head, NULL) == 0)
			report.head = head.seq;
		if (report.code == 0)
			report.acknowledged = head.seq;
	}
	if (log && report.code < 0)
		report.again = lg_test_append(log, LG_KIND_MARK, body, NULL, 0, NULL);
	lg_log_close(log);
	free(body);
	return report;
}

static struct report run_under_limit(const char *path, rlim_t limit, size_t body_len)
{
	struct report report;
	int fds[2], status = -1;
	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		report = append_under_limit(path, limit, body_len);
		_exit(write(fds[1], &report, sizeof report) == sizeof report ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(fds[0], &report, sizeof report), sizeof report);
	close(fds[0]);
	close(fds[1]);
	return report;
}

static const struct limit_row {
	const char *name;
	rlim_t limit;
	size_t body_len;
} limit_rows[] = {
	{ "room for nothing", 0, 100 },
	{ "room for a few pages", 50000, 100 },
	{ "the limit inside of a page", 70001, 700 },
	{ "room for some records", 200000, 3000 },
	{ "a record larger than the room", 300000, 1000000 },
	{ "room until pages are moved", 4500000, 20000 },
};

static void test_full(void **state)
{
	const struct limit_row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	char name[32];
	snprintf(name, sizeof name, "%p.db", *state);
	const char *path = lg_test_path(name);
	struct lg_log *log = lg_test_open(path, true);
	lg_test_fill(log, 3);
	lg_log_close(log);

	struct report report = run_under_limit(path, row->limit, row->body_len);
	assert_true(report.code < 0);
	assert_true(report.code == LG_EUNKNOWN || report.code == LG_ENOSPC || report.code == LG_EIO ||
		report.code == LG_EREADONLY);
	assert_true(report.again <= 0);
	if (report.code == LG_EUNKNOWN)
		assert_int_equal(report.again, LG_EREADONLY);

	log = lg_test_open(path, false);
	uint64_t head = lg_test_head_seq(log);
	assert_true(head >= 3 && head >= report.acknowledged);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	lg_assert_ok(lg_log_check(log, true, &err), &err);
	lg_test_fill(log, 5);
	assert_int_equal(lg_test_head_seq(log), head + 5);
	lg_log_close(log);
}

/* --- a disk that is full, and freed, again and again ------------------------------------------------------------------------- */

#define WRITERS     2
#define ROUNDS      6
#define FILLER_SIZE 200000

/* What a writer says: of each append that was acknowledged, and of the failure that it waits after. */
struct word {
	int code;  /* 0, or of the failure */
	int again; /* of one more try on the same handle */
	uint64_t seq;
	uint8_t id[LG_ID_SIZE];
};

struct writer {
	pid_t pid;
	int in, out; /* of the parent */
};

static char disk[300];

static void unmount(void)
{
	if (disk[0])
		umount2(disk, MNT_DETACH);
	disk[0] = '\0';
}

/* False where that is not allowed. */
static bool mount_disk(void)
{
	const char *dir = lg_test_path("disk");
	assert_int_equal(mkdir(dir, 0700), 0);
	if (mount("none", dir, "tmpfs", 0, "size=3m") < 0)
		return false;
	snprintf(disk, sizeof disk, "%s", dir);
	atexit(unmount); /* before the directory is removed */
	return true;
}

static void filler_path(unsigned which, char *path, size_t size)
{
	snprintf(path, size, "%s/filler%u", disk, which);
}

static int try_append(struct lg_log *log, struct word *ret_word)
{
	static char body[3001];
	struct lg_log_head head = { 0 };
	memset(body, 'b', sizeof body - 1);
	int rc = lg_log_head(log, &head, NULL);
	if (rc < 0)
		return rc;
	struct lg_record record = lg_test_record(&head, LG_KIND_CHANGE, body);
	lg_test_seal(&record, &head);
	memcpy(ret_word->id, record.id, LG_ID_SIZE);
	ret_word->seq = record.seq;
	return lg_log_append(log, &record, 1, &head, NULL);
}

/* In a child: writes until there is no room, says so, waits, opens the log again and goes on. */
static int write_until_full(const char *path, int in, int out)
{
	for (;;) {
		struct lg_error err = LG_ERROR_INIT;
		struct lg_log *log = NULL;
		struct word word = { .code = 0 };
		char url[600], go;
		snprintf(url, sizeof url, "sqlite:%s", path);
		word.code = lg_log_open(url, &(struct lg_log_open){ .busy_ms = 60000 }, &log, &err);
		while (word.code == 0) {
			word.code = try_append(log, &word);
			if (word.code == LG_ECONFLICT)
				word.code = 0;
			else if (word.code == 0 && write(out, &word, sizeof word) != sizeof word)
				return 1;
		}
		word.again = log ? try_append(log, &word) : word.code;
		lg_log_close(log);
		if (write(out, &word, sizeof word) != sizeof word)
			return 1;
		if (read(in, &go, 1) != 1)
			return 0;
	}
}

static void start_writer(struct writer *writers, size_t which, const char *path)
{
	struct writer *writer = &writers[which];
	int to[2], from[2];
	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	writer->pid = fork();
	if (writer->pid == 0) {
		close(to[1]);
		close(from[0]);
		for (size_t i = 0; i < which;
			i++) { /* or those would not learn that nobody writes to them any more */
			close(writers[i].in);
			close(writers[i].out);
		}
		_exit(write_until_full(path, to[0], from[1]));
	}
	close(to[0]);
	close(from[1]);
	writer->out = to[1];
	writer->in = from[0];
}

static int check_id(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	assert_memory_equal(record->id, arg, LG_ID_SIZE);
	return 0;
}

/* Hears a writer until it says that the disk is full; how many were acknowledged.  Each of them is looked up later. */
static size_t hear_out(const struct writer *writer, struct word *words, size_t room)
{
	for (size_t count = 0;; count++) {
		struct word word;
		assert_int_equal(read(writer->in, &word, sizeof word), sizeof word);
		if (word.code < 0) {
			if (word.code != LG_ENOSPC && word.code != LG_EREADONLY && word.code != LG_EIO)
				fail_msg("a full disk is %s", lg_code_name(word.code));
			assert_true(word.again < 0 && word.again != LG_EUNKNOWN);
			return count;
		}
		assert_true(count < room);
		words[count] = word;
	}
}

static void check_words(const char *path, struct word *words, size_t count)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = lg_test_open(path, false);
	for (size_t i = 0; i < count; i++)
		lg_assert_ok(lg_log_get(log, words[i].seq, check_id, words[i].id, &err), &err);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	lg_assert_ok(lg_log_check(log, true, &err), &err);
	lg_log_close(log);
}

static void test_freed(void **state)
{
	static struct word words[4000];
	static const char filler[FILLER_SIZE];
	struct writer writers[WRITERS];
	char name[400];
	size_t count = 0;
	(void)state;
	if (!mount_disk()) {
		printf("# only root may mount, and not everywhere\n");
		skip();
	}
	for (unsigned i = 0; i < ROUNDS; i++) {
		filler_path(i, name, sizeof name);
		lg_test_write(name, filler, sizeof filler);
	}
	snprintf(name, sizeof name, "%s/log.db", disk);
	const char *path = name;
	lg_log_close(lg_test_open(path, true));
	for (size_t i = 0; i < WRITERS; i++)
		start_writer(writers, i, path);
	for (unsigned round = 0; round <= ROUNDS; round++) {
		size_t former = count;
		for (size_t i = 0; i < WRITERS; i++)
			count += hear_out(&writers[i], words + count, sizeof words / sizeof *words - count);
		assert_true(count > former);
		check_words(path, words, count);
		char room[400];
		filler_path(round, room, sizeof room);
		if (round < ROUNDS)
			assert_int_equal(unlink(room), 0);
		for (size_t i = 0; round < ROUNDS && i < WRITERS; i++)
			assert_int_equal(write(writers[i].out, "g", 1), 1);
	}
	for (size_t i = 0; i < WRITERS; i++) {
		int status = -1;
		close(writers[i].out);
		assert_int_equal(waitpid(writers[i].pid, &status, 0), writers[i].pid);
		assert_int_equal(status, 0);
		close(writers[i].in);
	}
	printf("# full %d times: %zu records acknowledged, none lost\n", ROUNDS + 1, count);
	unmount();
}

int main(void)
{
	lg_test_add("a disk that is full and freed, six times", test_freed, NULL);
	lg_test_rows("no room", test_full, limit_rows, sizeof limit_rows / sizeof *limit_rows,
		sizeof *limit_rows, offsetof(struct limit_row, name));
	return lg_test_run("crash_log_full");
}
