/* lg_file_replace: whatever fails, and wherever the process dies, the former content is whole. */
#include "base/cleanup.h"
#include "base/text.h"
#include "io/file.h"
#include "io/random.h"
#include "support/support.h"

#include "nth.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FORMER "the former content"
#define NOBODY 65534

/* ---- a directory of its own for each test ---- */

struct place {
	char dir[300], file[320], target[320];
};

static struct place new_place(void)
{
	static int count;
	struct place place;
	snprintf(place.dir, sizeof place.dir, "%s/%d", lg_test_dir(), count++);
	snprintf(place.file, sizeof place.file, "%s/file", place.dir);
	snprintf(place.target, sizeof place.target, "%s/target", place.dir);
	assert_int_equal(mkdir(place.dir, 0755), 0);
	return place;
}

static void assert_content(const char *path, const void *data, size_t len)
{
	size_t found = 0;
	char *text = lg_test_read(path, &found);
	if (!text)
		fail_msg("'%s' does not exist", path);
	assert_int_equal(found, len);
	assert_memory_equal(text, data, len);
	free(text);
}

/* How many names the directory has: temporaries would be among them. */
static size_t count_names(const char *dir)
{
	char **names = NULL;
	size_t count = 0;
	assert_int_equal(lg_dir_list(dir, &names, &count, NULL), 0);
	lg_names_free(names, count);
	return count;
}

/* ---- fail the Nth, die at the Nth ---- */

struct row {
	const char *name;
	bool exists; /* before */
	bool linked; /* "file" is a symlink to "target" */
	bool large;
	struct lg_replace_options options;
};

static const struct row rows[] = {
	{ .name = "new" },
	{ .name = "new and large", .large = true },
	{ .name = "new, must be", .options = { .refuse_exist = true } },
	{ .name = "existing", .exists = true },
	{ .name = "existing and large", .exists = true, .large = true },
	{ .name = "existing, meta kept", .exists = true, .options = { .keep_meta = true } },
	{ .name = "behind a link", .exists = true, .linked = true, .options = { .follow_link = true } },
	{ .name = "behind a dangling link", .linked = true, .options = { .follow_link = true } },
};

static char large_content[300000];

static size_t row_content(const struct row *row, const char **ret_data)
{
	if (row->large)
		memset(large_content, 'n', sizeof large_content);
	*ret_data = row->large ? large_content : "new";
	return row->large ? sizeof large_content : 3;
}

static const char *row_prepare(const struct row *row, const struct place *place)
{
	const char *real = row->linked ? place->target : place->file;
	if (row->linked)
		assert_int_equal(symlink("target", place->file), 0);
	if (row->exists)
		lg_test_write(real, FORMER, strlen(FORMER));
	return real;
}

static void assert_former(const struct row *row, const struct place *place, const char *real)
{
	if (row->exists)
		assert_content(real, FORMER, strlen(FORMER));
	else
		assert_int_equal(lg_file_exists(real), 0);
	assert_int_equal(count_names(place->dir), (row->exists ? 1 : 0) + (row->linked ? 1 : 0));
}

static void fail_each(const struct row *row, int errnum, int want, bool onwards)
{
	const char *data;
	size_t len = row_content(row, &data);
	int failures = 0;
	for (struct nth nth = { .errnum = errnum, .onwards = onwards }; nth_begin(&nth); failures++) {
		lg_fault_set(NULL, NULL);
		struct place place = new_place();
		const char *real = row_prepare(row, &place);
		struct lg_error err = LG_ERROR_INIT;
		lg_fault_set(nth_hook, &nth);
		int rc = lg_file_replace(place.file, data, len, &row->options, &err);
		nth_end(&nth);
		if (nth.fired) {
			lg_assert_code(rc, want, &err);
			assert_int_equal(err.sys_errno, errnum);
			assert_former(row, &place, real);
			continue;
		}
		lg_assert_ok(rc, &err);
		assert_content(real, data, len);
		assert_int_equal(count_names(place.dir), row->linked ? 2 : 1);
	}
	assert_true(failures >= 6); /* directory, temporary, write, fsync, rename, fsync of the directory */
}

static void test_fail_each(void **state)
{
	fail_each(*state, EIO, LG_EIO, false);
	fail_each(*state, ENOSPC, LG_ENOSPC, false);
	fail_each(*state, EROFS, LG_EREADONLY, true);
}

static void test_die_at_each(void **state)
{
	const struct row *row = *state;
	const char *data;
	size_t len = row_content(row, &data);
	int status = -1, deaths = 0;
	for (int n = 1; status != 0; n++) {
		struct place place = new_place();
		const char *real = row_prepare(row, &place);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			struct nth nth = { .n = n };
			lg_fault_set(nth_hook, &nth);
			_exit(lg_file_replace(place.file, data, len, &row->options, NULL) < 0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(lg_file_sweep(real, NULL), 0);
		if (status == 0) {
			assert_content(real, data, len);
			break;
		}
		assert_int_equal(WEXITSTATUS(status), 99);
		deaths++;
		/* whole in either case, and nothing is left after the sweep */
		size_t names = row->linked ? 1 : 0;
		size_t found = 0;
		char *text = lg_test_read(real, &found);
		if (text) {
			bool former = row->exists && found == strlen(FORMER) && !memcmp(text, FORMER, found);
			bool latter = found == len && !memcmp(text, data, len);
			assert_true(former || latter);
			names++;
		} else {
			assert_false(row->exists);
		}
		free(text);
		assert_int_equal(count_names(place.dir), names);
	}
	assert_true(deaths >= 6);
}

/* ---- short writes for real: a file size limit cuts the write, the next one fails ---- */

static void test_size_limit(void **state)
{
	struct place place = new_place();
	lg_test_write(place.file, FORMER, strlen(FORMER));
	memset(large_content, 'x', sizeof large_content);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit limit = { 1000, 1000 };
		struct lg_error err = LG_ERROR_INIT;
		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &limit);
		int rc = lg_file_replace(place.file, large_content, sizeof large_content, NULL, &err);
		_exit(rc == LG_EIO && err.sys_errno == EFBIG ? 0 : 1);
	}
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_content(place.file, FORMER, strlen(FORMER));
	assert_int_equal(count_names(place.dir), 1);
}

/* ---- what is refused ---- */

struct refusal_row {
	const char *name;
	const char *prepare; /* "symlink", "directory", "fifo", "file", "loop" or nothing */
	const char *path;    /* below the directory */
	struct lg_replace_options options;
	int want;
	const char *message;
};

static const struct refusal_row refusals[] = {
	{ "symlink", "symlink", "file", { 0 }, LG_EINVALID, "is a symlink" },
	{ "directory", "directory", "file", { 0 }, LG_EINVALID, "is not a regular file" },
	{ "FIFO", "fifo", "file", { 0 }, LG_EINVALID, "is not a regular file" },
	{ "existing that must not", "file", "file", { .refuse_exist = true }, LG_ECONFLICT, "exists already" },
	{ "symlink that must not", "symlink", "file", { .refuse_exist = true }, LG_ECONFLICT,
		"exists already" },
	{ "symlinks in a circle", "loop", "file", { .follow_link = true }, LG_EINVALID, "too many symlinks" },
	{ "no directory", "", "missing/file", { 0 }, LG_ENOTFOUND, "does not exist" },
	{ "file as directory", "file", "file/x", { 0 }, LG_ENOTFOUND, "does not exist" },
	{ "slash at the end", "", "file/", { 0 }, LG_EINVALID, "does not name a file" },
	{ "dot", "", ".", { 0 }, LG_EINVALID, "does not name a file" },
	{ "dot dot", "", "..", { 0 }, LG_EINVALID, "does not name a file" },
};

static void prepare_refusal(const char *what, const struct place *place)
{
	if (strcmp(what, "symlink") == 0)
		assert_int_equal(symlink("target", place->file), 0);
	if (strcmp(what, "loop") == 0)
		assert_int_equal(symlink("file", place->file), 0);
	if (strcmp(what, "directory") == 0)
		assert_int_equal(mkdir(place->file, 0755), 0);
	if (strcmp(what, "fifo") == 0)
		assert_int_equal(mkfifo(place->file, 0600), 0);
	if (strcmp(what, "file") == 0)
		lg_test_write(place->file, FORMER, strlen(FORMER));
}

static void test_refusal(void **state)
{
	const struct refusal_row *row = *state;
	struct place place = new_place();
	struct lg_error err = LG_ERROR_INIT;
	prepare_refusal(row->prepare, &place);
	size_t names = count_names(place.dir);
	char path[400];
	snprintf(path, sizeof path, "%s/%s", place.dir, row->path);
	lg_assert_code(lg_file_replace(path, "new", 3, &row->options, &err), row->want, &err);
	assert_non_null(strstr(err.message, row->message));
	assert_int_equal(count_names(place.dir), names);
	if (strcmp(row->prepare, "file") == 0)
		assert_content(place.file, FORMER, strlen(FORMER));
}

static void test_empty_path(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(lg_file_replace("", "x", 1, NULL, &err), LG_EINVALID, &err);
}

/* ---- mode, owner, links, names ---- */

static mode_t mode_of(const char *path)
{
	struct stat st;
	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static void test_mode_is_exact(void **state)
{
	static const mode_t modes[] = { 0600, 0640, 0644, 0666, 0755, 0400 };
	mode_t former = umask(077);
	struct place place = new_place();
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		struct lg_replace_options options = { .mode = modes[i] };
		assert_int_equal(lg_file_replace(place.file, "x", 1, &options, NULL), 0);
		assert_int_equal(mode_of(place.file), modes[i]);
	}
	assert_int_equal(lg_file_replace(place.file, "x", 1, NULL, NULL), 0);
	assert_int_equal(mode_of(place.file), 0644);
	umask(former);
}

static void test_keep_meta_keeps_the_mode(void **state)
{
	struct place place = new_place();
	struct lg_replace_options options = { .keep_meta = true, .mode = 0644 };
	lg_test_write(place.file, FORMER, strlen(FORMER));
	assert_int_equal(chmod(place.file, 04751), 0);
	assert_int_equal(lg_file_replace(place.file, "x", 1, &options, NULL), 0);
	assert_int_equal(mode_of(place.file), 04751);
	assert_int_equal(unlink(place.file), 0);
	assert_int_equal(lg_file_replace(place.file, "x", 1, &options, NULL), 0);
	assert_int_equal(mode_of(place.file), 0644);
}

static void test_keep_meta_keeps_the_owner(void **state)
{
	if (geteuid() != 0)
		skip(); /* only root can give a file away */
	struct place place = new_place();
	struct lg_replace_options options = { .keep_meta = true };
	struct stat st;
	lg_test_write(place.file, FORMER, strlen(FORMER));
	assert_int_equal(chown(place.file, 1234, 2345), 0);
	assert_int_equal(lg_file_replace(place.file, "x", 1, &options, NULL), 0);
	assert_int_equal(stat(place.file, &st), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 2345);
	assert_int_equal(lg_file_replace(place.file, "x", 1, NULL, NULL), 0);
	assert_int_equal(stat(place.file, &st), 0);
	assert_int_equal(st.st_uid, 0);
}

/* In a child.  By its working directory, since directories above may let nobody but their owner through. */
static void become_nobody_inside(const char *dir)
{
	if (chdir(dir) < 0)
		_exit(2);
	if (geteuid() == 0 && (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
		_exit(2);
}

static void test_keep_meta_refuses_what_it_cannot_keep(void **state)
{
	if (geteuid() != 0)
		skip(); /* only root can become somebody who may write here without owning the file */
	struct place place = new_place();
	struct lg_replace_options options = { .keep_meta = true };
	lg_test_write(place.file, FORMER, strlen(FORMER));
	assert_int_equal(chmod(place.dir, 0777), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct lg_error err = LG_ERROR_INIT;
		become_nobody_inside(place.dir);
		_exit(lg_file_replace("file", "x", 1, &options, &err) == LG_EPERM &&
					strstr(err.message, "cannot keep owner 0:0")
				? 0
				: 1);
	}
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_content(place.file, FORMER, strlen(FORMER));
	assert_int_equal(count_names(place.dir), 1);
}

static void test_unwritable_directory(void **state)
{
	struct place place = new_place();
	lg_test_write(place.file, FORMER, strlen(FORMER));
	assert_int_equal(chmod(place.dir, 0555), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		become_nobody_inside(place.dir);
		_exit(lg_file_replace("file", "x", 1, NULL, NULL) == LG_EPERM ? 0 : 1);
	}
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(chmod(place.dir, 0755), 0);
	assert_int_equal(status, 0);
	assert_content(place.file, FORMER, strlen(FORMER));
}

static void test_links_are_followed_to_the_end(void **state)
{
	struct place place = new_place();
	struct lg_replace_options options = { .follow_link = true };
	char middle[420], deep[400];
	snprintf(deep, sizeof deep, "%s/sub", place.dir);
	assert_int_equal(mkdir(deep, 0755), 0);
	snprintf(middle, sizeof middle, "%s/middle", deep);
	assert_int_equal(symlink("sub/middle", place.file), 0); /* relative to where each link lies */
	assert_int_equal(symlink("../target", middle), 0);
	assert_int_equal(lg_file_replace(place.file, "one", 3, &options, NULL), 0);
	assert_content(place.target, "one", 3);
	assert_int_equal(unlink(middle), 0);
	assert_int_equal(symlink(place.target, middle), 0); /* absolute */
	assert_int_equal(lg_file_replace(place.file, "two", 3, &options, NULL), 0);
	assert_content(place.target, "two", 3);
	struct stat st;
	assert_int_equal(lstat(place.file, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(count_names(place.dir), 3);
}

static void test_other_hard_links_keep_the_former_content(void **state)
{
	struct place place = new_place();
	lg_test_write(place.file, FORMER, strlen(FORMER));
	assert_int_equal(link(place.file, place.target), 0);
	assert_int_equal(lg_file_replace(place.file, "new", 3, NULL, NULL), 0);
	assert_content(place.file, "new", 3);
	assert_content(place.target, FORMER, strlen(FORMER));
}

static void test_longest_name(void **state)
{
	struct place place = new_place();
	char path[700], name[256];
	memset(name, 'n', 255);
	name[255] = '\0';
	snprintf(path, sizeof path, "%s/%s", place.dir, name);
	for (int i = 0; i < 2; i++)
		assert_int_equal(lg_file_replace(path, "x", 1, NULL, NULL), 0);
	assert_content(path, "x", 1);
	assert_int_equal(count_names(place.dir), 1);
}

static void test_relative_path(void **state)
{
	struct place place = new_place();
	lg_autoclose int former = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(chdir(place.dir), 0);
	int rc = lg_file_replace("file", "x", 1, NULL, NULL);
	assert_int_equal(fchdir(former), 0);
	assert_int_equal(rc, 0);
	assert_content(place.file, "x", 1);
}

static void test_empty_content(void **state)
{
	struct place place = new_place();
	lg_test_write(place.file, FORMER, strlen(FORMER));
	assert_int_equal(lg_file_replace(place.file, NULL, 0, NULL, NULL), 0);
	assert_content(place.file, "", 0);
}

/* Whoever reads while another writes sees one of the contents, whole, and never none. */
static void test_readers_see_whole_content(void **state)
{
	struct place place = new_place();
	memset(large_content, 'a', sizeof large_content);
	assert_int_equal(lg_file_replace(place.file, large_content, sizeof large_content, NULL, NULL), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		for (int i = 0; i < 40; i++) {
			memset(large_content, 'a' + i % 26, sizeof large_content);
			if (lg_file_replace(place.file, large_content, sizeof large_content - (size_t)i, NULL,
				    NULL) < 0)
				_exit(1);
		}
		_exit(0);
	}
	int status = -1;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		size_t len = 0;
		char *text = lg_test_read(place.file, &len);
		assert_non_null(text);
		assert_in_range(len, sizeof large_content - 40, sizeof large_content);
		for (size_t i = 1; i < len; i++)
			if (text[i] != text[0])
				fail_msg("two contents in one file at %zu", i);
		free(text);
	}
	assert_int_equal(status, 0);
}

/* Whoever guesses the name of the temporary and lays a link there gains nothing: another name is taken. */
static void test_planted_link_is_not_followed(void **state)
{
	struct place place = new_place();
	uint8_t guess[8];
	char digits[17], planted[400];
	lg_random_seed_for_tests(42);
	lg_random_bytes(guess, sizeof guess);
	lg_random_seed_for_tests(42);
	lg_hex_encode(guess, sizeof guess, digits);
	snprintf(planted, sizeof planted, "%s/.file.lg-%s", place.dir, digits);
	lg_test_write(place.target, FORMER, strlen(FORMER));
	assert_int_equal(symlink("target", planted), 0);
	int rc = lg_file_replace(place.file, "new", 3, NULL, NULL);
	lg_random_seed_for_tests(0);
	assert_int_equal(rc, 0);
	assert_content(place.file, "new", 3);
	assert_content(place.target, FORMER, strlen(FORMER));
	assert_int_equal(count_names(place.dir), 3);
}

/* ---- sweep ---- */

static void test_sweep_takes_only_its_own(void **state)
{
	struct place place = new_place();
	static const char *const keep[] = { "file", ".file.lg-0123456789abcde", ".file.lg-0123456789abcdef0",
		".file.lg-0123456789abcdeg", ".other.lg-0123456789abcdef", ".file.lg-",
		"file.lg-0123456789abcdef" };
	static const char *const go[] = { ".file.lg-0123456789abcdef", ".file.lg-0000000000000000" };
	char path[400];
	for (size_t i = 0; i < sizeof keep / sizeof *keep; i++) {
		snprintf(path, sizeof path, "%s/%s", place.dir, keep[i]);
		lg_test_write(path, "x", 1);
	}
	for (size_t i = 0; i < sizeof go / sizeof *go; i++) {
		snprintf(path, sizeof path, "%s/%s", place.dir, go[i]);
		lg_test_write(path, "x", 1);
	}
	assert_int_equal(lg_file_sweep(place.file, NULL), 0);
	assert_int_equal(count_names(place.dir), sizeof keep / sizeof *keep);
	for (size_t i = 0; i < sizeof keep / sizeof *keep; i++) {
		snprintf(path, sizeof path, "%s/%s", place.dir, keep[i]);
		assert_int_equal(lg_file_exists(path), 1);
	}
}

int main(void)
{
	lg_test_rows("fail each", test_fail_each, rows, sizeof rows / sizeof *rows, sizeof *rows,
		offsetof(struct row, name));
	lg_test_rows("die at each", test_die_at_each, rows, sizeof rows / sizeof *rows, sizeof *rows,
		offsetof(struct row, name));
	lg_test_rows("refused", test_refusal, refusals, sizeof refusals / sizeof *refusals, sizeof *refusals,
		offsetof(struct refusal_row, name));
	lg_test_add("refused: empty path", test_empty_path, NULL);
	lg_test_add("size limit", test_size_limit, NULL);
	lg_test_add("mode is exact", test_mode_is_exact, NULL);
	lg_test_add("keep_meta keeps the mode", test_keep_meta_keeps_the_mode, NULL);
	lg_test_add("keep_meta keeps the owner", test_keep_meta_keeps_the_owner, NULL);
	lg_test_add("keep_meta refuses what it cannot keep", test_keep_meta_refuses_what_it_cannot_keep, NULL);
	lg_test_add("unwritable directory", test_unwritable_directory, NULL);
	lg_test_add("links are followed to the end", test_links_are_followed_to_the_end, NULL);
	lg_test_add("other hard links keep the former content", test_other_hard_links_keep_the_former_content,
		NULL);
	lg_test_add("longest name", test_longest_name, NULL);
	lg_test_add("relative path", test_relative_path, NULL);
	lg_test_add("empty content", test_empty_content, NULL);
	lg_test_add("readers see whole content", test_readers_see_whole_content, NULL);
	lg_test_add("planted link is not followed", test_planted_link_is_not_followed, NULL);
	lg_test_add("sweep takes only its own", test_sweep_takes_only_its_own, NULL);
	return lg_test_run(__FILE__);
}
