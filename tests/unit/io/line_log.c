/* Lines that are durable or absent: cut at every byte, every bit flipped, every operation failed. */
#include "io/file.h"
#include "io/random.h"
#include "support/support.h"

#include "nth.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINES 5

static const char *const lines[LINES] = { "plan {\"to\":12}", "begun 1", "", "done 1 \xf0\x9f\x98\x80 \"x\"",
	"outcome ok" };

static const char *path;
static char *whole; /* the file with all lines */
static size_t whole_len;
static size_t ends[LINES + 1]; /* where line i begins */

struct visited {
	size_t count;
	size_t stop_at; /* 0: never */
};

/* Only the lines themselves, from the first on, may ever be seen. */
static int visit(void *arg, const char *text, struct lg_error *err)
{
	struct visited *visited = arg;
	if (visited->count >= LINES || strcmp(text, lines[visited->count]) != 0)
		fail_msg("line %zu reads '%s'", visited->count + 1, text);
	visited->count++;
	return visited->count == visited->stop_at ? lg_fail(err, LG_EFAILED, 0, "enough") : 0;
}

static int read_lines(size_t *ret_count, struct lg_error *err)
{
	struct visited visited = { 0 };
	int rc = lg_line_log_read(path, visit, &visited, err);
	*ret_count = visited.count;
	return rc;
}

static int append_from(size_t from, size_t to)
{
	struct lg_line_log *log = NULL;
	int rc = lg_line_log_open(path, true, &log, NULL);
	for (; rc == 0 && from < to; from++)
		rc = lg_line_log_append(log, lines[from], NULL);
	lg_line_log_close(log);
	return rc;
}

static int setup(void **state)
{
	path = lg_test_path("log");
	for (size_t i = 0; i < LINES; i++)
		ends[i + 1] = ends[i] + 17 + strlen(lines[i]) + 1;
	if (append_from(0, LINES) < 0)
		return -1;
	whole = lg_test_read(path, &whole_len);
	return whole && whole_len == ends[LINES] ? 0 : -1;
}

static int teardown(void **state)
{
	free(whole);
	free((void *)(uintptr_t)path);
	return 0;
}

/* The form is fixed: other programs and later versions read it.  The sum is Python's blake2b(b"begun 1", digest_size=32), its first 8 bytes. */
static void test_form(void **state)
{
	char line[64];
	snprintf(line, sizeof line, "%.*s", (int)(ends[2] - ends[1]), whole + ends[1]);
	assert_string_equal(line, "78bbdf83b09c5c2c begun 1\n");
}

static void test_round_trip(void **state)
{
	size_t count = 0;
	struct lg_error err = LG_ERROR_INIT;
	lg_test_write(path, whole, whole_len);
	lg_assert_ok(read_lines(&count, &err), &err);
	assert_int_equal(count, LINES);
}

static void test_visit_stops(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct visited visited = { .stop_at = 2 };
	lg_test_write(path, whole, whole_len);
	lg_assert_code(lg_line_log_read(path, visit, &visited, &err), LG_EFAILED, &err);
	assert_string_equal(err.message, "enough");
	assert_int_equal(visited.count, 2);
}

/* As after a crash: all lines before the cut are there, the torn one is not, and appending goes on behind them. */
static void test_cut_at_every_byte(void **state)
{
	for (size_t len = 0; len <= whole_len; len++) {
		size_t intact = 0, count = 0;
		while (intact < LINES && ends[intact + 1] <= len)
			intact++;
		struct lg_error err = LG_ERROR_INIT;
		lg_test_write(path, whole, len);
		lg_assert_ok(read_lines(&count, &err), &err);
		assert_int_equal(count, intact);
		assert_int_equal(append_from(intact, LINES), 0);
		size_t found_len = 0;
		char *found = lg_test_read(path, &found_len);
		assert_int_equal(found_len, whole_len);
		assert_memory_equal(found, whole, whole_len);
		free(found);
	}
}

/* Zeros where a block was allocated and not written. */
static void test_zeros_behind(void **state)
{
	char *padded = calloc(1, whole_len + 4096);
	size_t count = 0;
	assert_non_null(padded);
	memcpy(padded, whole, whole_len);
	lg_test_write(path, padded, whole_len + 4096);
	assert_int_equal(read_lines(&count, NULL), 0);
	assert_int_equal(count, LINES);
	assert_int_equal(append_from(0, 0), 0);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, whole_len);
	free(padded);
}

/* A sector that turned to garbage in a power failure may hold newlines, too. */
static void test_garbage_behind(void **state)
{
	for (uint64_t seed = 1; seed <= 500; seed++) {
		char content[8192];
		size_t count = 0, len = 1 + seed % 1500;
		memcpy(content, whole, whole_len);
		lg_random_seed_for_tests(seed);
		lg_random_bytes(content + whole_len, len);
		lg_random_seed_for_tests(0);
		lg_test_write(path, content, whole_len + len);
		assert_int_equal(read_lines(&count, NULL), 0);
		assert_int_equal(count, LINES);
		assert_int_equal(append_from(0, 0), 0);
		struct stat st;
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, whole_len);
	}
}

/* Behind the damage a line begins, whether it is intact or not: it was durable. */
static void test_two_damaged_lines(void **state)
{
	char content[8192];
	size_t count = 0;
	memcpy(content, whole, whole_len);
	content[ends[LINES - 2]] ^= 1;
	content[ends[LINES - 1] + 17] ^= 1;
	lg_test_write(path, content, whole_len);
	assert_int_equal(read_lines(&count, NULL), LG_ECORRUPT);
	assert_int_equal(count, LINES - 2);
}

/* Damage before the last line is always found; in the last line it can only take this line away. */
static void test_every_bit_flipped(void **state)
{
	char *damaged = malloc(whole_len);
	assert_non_null(damaged);
	for (size_t bit = 0; bit < 8 * whole_len; bit++) {
		size_t at = bit / 8, count = 0;
		bool last = at >= ends[LINES - 1];
		struct lg_error err = LG_ERROR_INIT;
		memcpy(damaged, whole, whole_len);
		damaged[at] = (char)(damaged[at] ^ 1 << bit % 8);
		lg_test_write(path, damaged, whole_len);
		int rc = read_lines(&count, &err);
		if (rc != LG_ECORRUPT && !(rc == 0 && last && count == LINES - 1))
			fail_msg("bit %zu of byte %zu: %s, %zu lines", bit % 8, at, lg_code_name(rc), count);
		if (rc == LG_ECORRUPT)
			assert_non_null(strstr(err.message, "is damaged in line "));
		struct lg_line_log *log = NULL;
		assert_int_equal(lg_line_log_open(path, true, &log, &err), rc);
		assert_int_equal(log != NULL, rc == 0);
		lg_line_log_close(log);
	}
	free(damaged);
}

static void test_damage_names_its_line(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	size_t count = 0;
	char want[400];
	char *damaged = malloc(whole_len);
	assert_non_null(damaged);
	for (size_t line = 0; line + 1 < LINES; line++) {
		memcpy(damaged, whole, whole_len);
		damaged[ends[line]] ^= 1;
		lg_test_write(path, damaged, whole_len);
		lg_assert_code(read_lines(&count, &err), LG_ECORRUPT, &err);
		assert_int_equal(count, line);
		snprintf(want, sizeof want, "'%s' is damaged in line %zu", path, line + 1);
		assert_string_equal(err.message, want);
	}
	free(damaged);
}

static void test_line_with_a_nul_is_damaged(void **state)
{
	/* with the right sum over "a\0b", which a text cannot hold */
	static const char made[] = "f2c67fb755da2d22 a\0b\n";
	char content[256];
	size_t count = 0, len = sizeof made - 1;
	memcpy(content, made, len);
	memcpy(content + len, whole, ends[1]);
	lg_test_write(path, content, len + ends[1]);
	assert_int_equal(read_lines(&count, NULL), LG_ECORRUPT);
	assert_int_equal(count, 0);
}

static void test_hostile_file_is_read_in_time(void **state)
{
	size_t len = 1 << 20, count = 0;
	char *content = malloc(len);
	assert_non_null(content);
	for (size_t i = 0; i < len; i++)
		content[i] = i % 17 == 16 ? ' ' : '0';
	lg_test_write(path, content, len);
	assert_int_equal(read_lines(&count, NULL), 0);
	assert_int_equal(count, 0);
	free(content);
}

static void test_refused_texts(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_line_log *log = NULL;
	lg_test_write(path, "", 0);
	lg_assert_ok(lg_line_log_open(path, false, &log, &err), &err);
	lg_assert_code(lg_line_log_append(log, "two\nlines", &err), LG_EINVALID, &err);
	lg_assert_code(lg_line_log_append(log, "\n", &err), LG_EINVALID, &err);
	char *huge = malloc(LG_LINE_LOG_MAX + 1);
	assert_non_null(huge);
	memset(huge, 'x', LG_LINE_LOG_MAX);
	huge[LG_LINE_LOG_MAX] = '\0';
	lg_assert_code(lg_line_log_append(log, huge, &err), LG_EINVALID, &err);
	huge[LG_LINE_LOG_MAX - 17] = '\0'; /* with head and newline one byte too long */
	lg_assert_code(lg_line_log_append(log, huge, &err), LG_EINVALID, &err);
	free(huge);
	lg_assert_ok(lg_line_log_append(log, lines[0], &err), &err); /* a refusal is no failed write */
	lg_line_log_close(log);
	size_t count = 0;
	lg_assert_ok(read_lines(&count, &err), &err);
	assert_int_equal(count, 1);
}

static void test_absent(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_line_log *log = NULL;
	size_t count = 0;
	unlink(path);
	lg_assert_code(read_lines(&count, &err), LG_ENOTFOUND, &err);
	lg_assert_code(lg_line_log_open(path, false, &log, &err), LG_ENOTFOUND, &err);
	assert_null(log);
	assert_int_equal(lg_file_exists(path), 0);
	lg_assert_code(lg_line_log_open(lg_test_dir(), true, &log, &err), LG_EIO, &err);
	lg_line_log_close(NULL);
}

static void test_symlink_and_fifo_are_refused(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_line_log *log = NULL;
	unlink(path);
	assert_int_equal(symlink("elsewhere", path), 0);
	lg_assert_code(lg_line_log_open(path, true, &log, &err), LG_EIO, &err);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	lg_assert_code(lg_line_log_open(path, true, &log, &err), LG_EINVALID, &err);
	assert_int_equal(unlink(path), 0);
	assert_null(log);
}

/* Open, append, append again: a failure is reported, sticks until the log is opened anew, and leaves at most its own
 * line behind. */
static void test_fail_each(void **state)
{
	int runs = 0;
	for (struct nth nth = { .errnum = EIO }; nth_begin(&nth); runs++) {
		struct lg_line_log *log = NULL;
		struct lg_error err = LG_ERROR_INIT;
		unlink(path);
		int opened = lg_line_log_open(path, true, &log, &err), first = -1, second = -1;
		if (opened == 0) {
			first = lg_line_log_append(log, lines[0], &err);
			second = lg_line_log_append(log, lines[1], &err);
		}
		nth_end(&nth);
		assert_int_equal(log != NULL, opened == 0);
		assert_int_equal(nth.fired, opened < 0 || first < 0 || second < 0);
		if (opened == 0 && first < 0) {
			assert_int_equal(second, LG_EREADONLY);
			assert_int_equal(lg_line_log_append(log, lines[1], NULL), LG_EREADONLY);
		}
		lg_line_log_close(log);
		size_t count = 0, durable = (size_t)((first == 0) + (second == 0));
		int rc = read_lines(&count, &err);
		assert_true(rc == 0 || (rc == LG_ENOTFOUND && opened < 0));
		assert_in_range(count, durable, durable + 1);
	}
	assert_true(runs >= 8); /* open, directory twice, read, and write and fsync of each line, none */
}

/* Wherever the process ends, what was durable is read, and a second try goes on from there. */
static void test_killed_at_each(void **state)
{
	int status = -1;
	for (int n = 1; status != 0; n++) {
		unlink(path);
		assert_int_equal(append_from(0, 2), 0);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			struct nth nth = { .n = n };
			lg_fault_set(nth_hook, &nth);
			_exit(append_from(2, LINES) < 0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		size_t count = 0;
		assert_int_equal(read_lines(&count, NULL), 0);
		assert_in_range(count, 2, LINES);
		assert_int_equal(append_from(count, LINES), 0);
		assert_int_equal(read_lines(&count, NULL), 0);
		assert_int_equal(count, LINES);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_visit_stops),
		cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_zeros_behind),
		cmocka_unit_test(test_garbage_behind),
		cmocka_unit_test(test_two_damaged_lines),
		cmocka_unit_test(test_every_bit_flipped),
		cmocka_unit_test(test_damage_names_its_line),
		cmocka_unit_test(test_line_with_a_nul_is_damaged),
		cmocka_unit_test(test_hostile_file_is_read_in_time),
		cmocka_unit_test(test_refused_texts),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_symlink_and_fifo_are_refused),
		cmocka_unit_test(test_fail_each),
		cmocka_unit_test(test_killed_at_each),
	};
	if (setup(NULL) < 0) {
		printf("Bail out! cannot write the log\n");
		return 1;
	}
	int rc = lg_test_main(__FILE__, tests, sizeof tests / sizeof *tests);
	teardown(NULL);
	return rc;
}
