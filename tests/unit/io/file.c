/* Reading, hashing, removing, and writing through a descriptor that takes little at a time. */
#include "io/file.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "support/support.h"

#include "nth.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- read ---- */

struct read_row {
	const char *name;
	const char *kind;
	size_t max;
	int want;
};

static const struct read_row reads[] = {
	{ "exactly the limit", "ten bytes", 10, 0 },
	{ "below the limit", "ten bytes", 11, 0 },
	{ "one byte above", "ten bytes", 9, LG_EINVALID },
	{ "limit of nothing", "ten bytes", 0, LG_EINVALID },
	{ "no limit", "ten bytes", SIZE_MAX - 1, 0 },
	{ "empty", "empty", 0, 0 },
	{ "through a symlink", "link", 10, 0 },
	{ "absent", "absent", 10, LG_ENOTFOUND },
	{ "below a file", "below", 10, LG_ENOTFOUND },
	{ "directory", "directory", 10, LG_EINVALID },
	{ "FIFO", "fifo", 10, LG_EINVALID },
	{ "socket", "socket", 10, LG_EINVALID },
	{ "device", "device", 10, LG_EINVALID },
};

/* Makes what kind says and returns its path; the caller frees. */
static char *make_kind(const char *kind)
{
	static int count;
	char name[32];
	snprintf(name, sizeof name, "kind-%d", count++);
	char *path = (char *)(uintptr_t)lg_test_path(name);
	if (strcmp(kind, "ten bytes") == 0 || strcmp(kind, "below") == 0)
		lg_test_write(path, "0123\00056789", 10);
	if (strcmp(kind, "empty") == 0)
		lg_test_write(path, "", 0);
	if (strcmp(kind, "directory") == 0)
		assert_int_equal(mkdir(path, 0700), 0);
	if (strcmp(kind, "fifo") == 0)
		assert_int_equal(mkfifo(path, 0600), 0);
	if (strcmp(kind, "socket") == 0) {
		struct sockaddr_un address = { .sun_family = AF_UNIX };
		lg_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
		assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	}
	char *other = NULL;
	if (strcmp(kind, "link") == 0) {
		lg_autofree char *target = make_kind("ten bytes");
		assert_int_equal(symlink(target, path), 0);
	} else if (strcmp(kind, "below") == 0) {
		other = lg_path_join(path, "x");
	} else if (strcmp(kind, "device") == 0) {
		other = strdup("/dev/zero");
	}
	if (!other)
		return path;
	free(path);
	return other;
}

static void test_read(void **state)
{
	const struct read_row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	lg_autofree char *path = make_kind(row->kind);
	struct lg_buf buf = LG_BUF_INIT;
	lg_buf_adds(&buf, "before");
	lg_assert_code(lg_file_read(path, row->max, &buf, &err), row->want, &err);
	if (row->want < 0) {
		assert_non_null(strstr(err.message, path));
		assert_string_equal(lg_buf_str(&buf), "before");
	} else if (strcmp(row->kind, "empty") == 0) {
		assert_string_equal(lg_buf_str(&buf), "before");
	} else {
		assert_int_equal(buf.len, 16);
		assert_memory_equal(buf.data, "before0123\00056789", 17);
	}
	lg_buf_clear(&buf);
}

/* Such files say that they are empty and are not. */
static void test_read_proc(void **state)
{
	struct lg_buf buf = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_file_read("/proc/self/status", 1 << 20, &buf, &err), &err);
	assert_non_null(strstr(lg_buf_str(&buf), "Name:"));
	size_t len = buf.len;
	lg_assert_code(lg_file_read("/proc/self/status", 5, &buf, &err), LG_EINVALID, &err);
	assert_int_equal(buf.len, len);
	lg_buf_clear(&buf);
}

static void test_read_faults(void **state)
{
	lg_autofree char *path = make_kind("ten bytes");
	int runs = 0;
	for (struct nth nth = { .errnum = EIO }; nth_begin(&nth); runs++) {
		struct lg_buf buf = LG_BUF_INIT;
		struct lg_error err = LG_ERROR_INIT;
		int rc = lg_file_read(path, 100, &buf, &err);
		nth_end(&nth);
		lg_assert_code(rc, nth.fired ? LG_EIO : 0, &err);
		assert_int_equal(buf.len, nth.fired ? 0 : 10);
		lg_buf_clear(&buf);
	}
	assert_int_equal(runs, 3);
}

static void on_alarm(int signal)
{
}

/* A signal every millisecond, without SA_RESTART: calls are interrupted in the middle. */
static void start_interrupting(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval timer = { .it_interval.tv_usec = 1000, .it_value.tv_usec = 1000 };
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

#define PIPED ((size_t)3 << 20)

/* Three megabytes through a pipe with both ends interrupted: each write is short, and none is lost or doubled. */
static void test_pipe_with_interruptions(void **state)
{
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	unsigned char *data = malloc(PIPED);
	assert_non_null(data);
	for (size_t i = 0; i < PIPED; i++)
		data[i] = (unsigned char)(i * 2654435761u >> 13);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		start_interrupting();
		_exit(lg_write_all(ends[1], data, PIPED, "pipe", NULL) < 0);
	}
	close(ends[1]);
	start_interrupting();
	struct lg_buf buf = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	int rc = lg_fd_read(ends[0], "pipe", PIPED, &buf, &err);
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	lg_assert_ok(rc, &err);
	assert_int_equal(buf.len, PIPED);
	assert_memory_equal(buf.data, data, PIPED);
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	lg_buf_clear(&buf);
	free(data);
	close(ends[0]);
}

static void test_pipe_beyond_the_limit(void **state)
{
	int ends[2];
	struct lg_error err = LG_ERROR_INIT;
	struct lg_buf buf = LG_BUF_INIT;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], "123456", 6), 6);
	close(ends[1]);
	lg_assert_code(lg_fd_read(ends[0], "standard input", 5, &buf, &err), LG_EINVALID, &err);
	assert_string_equal(err.message, "'standard input' is too large: at most 5 bytes are read");
	assert_int_equal(buf.len, 0);
	lg_buf_clear(&buf);
	close(ends[0]);
}

static void test_write_to_a_full_disk(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_autoclose int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	lg_assert_code(lg_write_all(fd, "x", 1, "the file", &err), LG_ENOSPC, &err);
	assert_string_equal(err.message, "cannot write 'the file': No space left on device");
	lg_assert_ok(lg_write_all(fd, NULL, 0, "the file", &err), &err);
}

/* ---- hash ---- */

struct hash_row {
	const char *name;
	const char *text;
	const char *want;
};

/* Computed with Python's hashlib. */
static const struct hash_row hashes[] = {
	{ "nothing", "", "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8" },
	{ "abc", "abc", "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319" },
};

static void test_hash(void **state)
{
	const struct hash_row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	uint8_t hash[32];
	char text[65];
	const char *path = lg_test_path("hashed");
	lg_test_write(path, row->text, strlen(row->text));
	lg_assert_ok(lg_file_hash(path, hash, &err), &err);
	lg_hex_encode(hash, sizeof hash, text);
	assert_string_equal(text, row->want);
	free((void *)(uintptr_t)path);
}

static void test_hash_of_many_chunks(void **state)
{
	size_t len = 200001;
	unsigned char *data = malloc(len);
	uint8_t want[32], hash[32];
	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (unsigned char)(i % 251);
	const char *path = lg_test_path("chunks");
	lg_test_write(path, data, len);
	crypto_generichash(want, sizeof want, data, len, NULL, 0);
	assert_int_equal(lg_file_hash(path, hash, NULL), 0);
	assert_memory_equal(hash, want, sizeof want);
	free((void *)(uintptr_t)path);
	free(data);
}

static void test_hash_faults(void **state)
{
	lg_autofree char *path = make_kind("ten bytes");
	lg_autofree char *absent = make_kind("absent");
	uint8_t untouched[32], hash[32];
	memset(untouched, 7, sizeof untouched);
	int runs = 0;
	for (struct nth nth = { .errnum = EACCES }; nth_begin(&nth); runs++) {
		memset(hash, 7, sizeof hash);
		int rc = lg_file_hash(path, hash, NULL);
		nth_end(&nth);
		assert_int_equal(rc, nth.fired ? LG_EPERM : 0);
		assert_int_equal(memcmp(hash, untouched, sizeof hash) == 0, nth.fired);
	}
	assert_int_equal(runs, 3);
	assert_int_equal(lg_file_hash(absent, hash, NULL), LG_ENOTFOUND);
}

/* ---- remove, exists, join ---- */

static void test_remove(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_autofree char *file = make_kind("ten bytes");
	lg_autofree char *link = make_kind("link");
	lg_autofree char *directory = make_kind("directory");
	lg_autofree char *below = make_kind("below");
	lg_autofree char *lost = lg_path_join(directory, "missing/file");
	char target[400] = { 0 };
	assert_int_equal(lg_file_exists(file), 1);
	lg_assert_ok(lg_file_remove(file, &err), &err);
	assert_int_equal(lg_file_exists(file), 0);
	lg_assert_ok(lg_file_remove(file, &err), &err);
	lg_assert_ok(lg_file_remove(lost, &err), &err);
	lg_assert_ok(lg_file_remove(below, &err), &err);
	assert_true(readlink(link, target, sizeof target - 1) > 0);
	lg_assert_ok(lg_file_remove(link, &err), &err); /* the link, not what it points to */
	assert_int_equal(lg_file_exists(target), 1);
	assert_true(lg_file_remove(directory, &err) < 0);
	assert_int_equal(lg_file_exists(directory), 1);
}

static void test_remove_faults(void **state)
{
	int runs = 0;
	for (struct nth nth = { .errnum = EIO }; nth_begin(&nth); runs++) {
		lg_fault_set(NULL, NULL);
		lg_autofree char *path = make_kind("ten bytes");
		lg_fault_set(nth_hook, &nth);
		int rc = lg_file_remove(path, NULL);
		nth_end(&nth);
		assert_int_equal(rc, nth.fired ? LG_EIO : 0);
		if (!nth.fired)
			assert_int_equal(lg_file_exists(path), 0);
	}
	assert_int_equal(runs, 4); /* directory, unlink, sync, none */
}

struct join_row {
	const char *name;
	const char *dir;
	const char *file;
	const char *want;
};

static const struct join_row joins[] = {
	{ "plain", "a", "b", "a/b" },
	{ "slash at the end", "a/", "b", "a/b" },
	{ "root", "/", "b", "/b" },
	{ "no directory", "", "b", "b" },
	{ "deep", "/a/b", "c/d", "/a/b/c/d" },
};

static void test_join(void **state)
{
	const struct join_row *row = *state;
	lg_autofree char *path = lg_path_join(row->dir, row->file);
	assert_string_equal(path, row->want);
}

int main(void)
{
	lg_test_rows("read", test_read, reads, sizeof reads / sizeof *reads, sizeof *reads,
		offsetof(struct read_row, name));
	lg_test_rows("hash", test_hash, hashes, sizeof hashes / sizeof *hashes, sizeof *hashes,
		offsetof(struct hash_row, name));
	lg_test_rows("join", test_join, joins, sizeof joins / sizeof *joins, sizeof *joins,
		offsetof(struct join_row, name));
	lg_test_add("read: proc", test_read_proc, NULL);
	lg_test_add("read: faults", test_read_faults, NULL);
	lg_test_add("pipe with interruptions", test_pipe_with_interruptions, NULL);
	lg_test_add("pipe beyond the limit", test_pipe_beyond_the_limit, NULL);
	lg_test_add("write to a full disk", test_write_to_a_full_disk, NULL);
	lg_test_add("hash: many chunks", test_hash_of_many_chunks, NULL);
	lg_test_add("hash: faults", test_hash_faults, NULL);
	lg_test_add("remove", test_remove, NULL);
	lg_test_add("remove: faults", test_remove_faults, NULL);
	return lg_test_run(__FILE__);
}
