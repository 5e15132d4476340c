/* Directories: made with parents, listed in order, removed without leaving them, refused to strangers. */
#include "base/cleanup.h"
#include "io/file.h"
#include "support/support.h"

#include "nth.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

/* A fresh directory; the caller frees the path. */
static char *new_dir(void)
{
	static int count;
	char name[16];
	snprintf(name, sizeof name, "%d", count++);
	char *path = lg_path_join(lg_test_dir(), name);
	assert_int_equal(mkdir(path, 0755), 0);
	return path;
}

static void make_dir(const char *dir, const char *name)
{
	lg_autofree char *path = lg_path_join(dir, name);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void make_file(const char *dir, const char *name)
{
	lg_autofree char *path = lg_path_join(dir, name);
	lg_test_write(path, "x", 1);
}

static bool is_dir(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* ---- make ---- */

struct make_row {
	const char *name;
	const char *path;
	int want;
	const char *made; /* what is a directory afterwards */
};

static const struct make_row makes[] = {
	{ "one", "a", 0, "a" },
	{ "with parents", "a/b/c/d", 0, "a/b/c/d" },
	{ "slash at the end", "a/b/", 0, "a/b" },
	{ "slashes", "a///b//", 0, "a/b" },
	{ "dot", "a/./b", 0, "a/b" },
	{ "existing", "there", 0, "there" },
	{ "below existing", "there/a", 0, "there/a" },
	{ "existing through a link", "link", 0, "there" },
	{ "below a link", "link/a", 0, "there/a" },
	{ "file in the way", "file", LG_EINVALID, NULL },
	{ "below a file", "file/a", LG_EINVALID, NULL },
	{ "dangling link in the way", "dangling", LG_EINVALID, NULL },
};

static void test_make(void **state)
{
	const struct make_row *row = *state;
	struct lg_error err = LG_ERROR_INIT;
	lg_autofree char *dir = new_dir();
	lg_autofree char *path = lg_path_join(dir, row->path);
	lg_autofree char *link = lg_path_join(dir, "link");
	lg_autofree char *dangling = lg_path_join(dir, "dangling");
	make_dir(dir, "there");
	make_file(dir, "file");
	assert_int_equal(symlink("there", link), 0);
	assert_int_equal(symlink("nowhere", dangling), 0);
	lg_assert_code(lg_dir_make(path, 0750, &err), row->want, &err);
	if (row->want < 0) {
		assert_non_null(strstr(err.message, "a file is in the way"));
		return;
	}
	lg_autofree char *made = lg_path_join(dir, row->made);
	assert_true(is_dir(made));
	lg_assert_ok(lg_dir_make(path, 0750, &err), &err);
}

static void test_make_relative(void **state)
{
	lg_autofree char *dir = new_dir();
	lg_autofree char *made = lg_path_join(dir, "a/b");
	lg_autoclose int former = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(chdir(dir), 0);
	int rc = lg_dir_make("a/b", 0755, NULL);
	int rc_empty = lg_dir_make("", 0755, NULL);
	assert_int_equal(fchdir(former), 0);
	assert_int_equal(rc, 0);
	assert_true(is_dir(made));
	assert_int_equal(rc_empty, LG_EINVALID);
	assert_int_equal(lg_dir_make("/", 0755, NULL), 0);
}

static void test_make_mode(void **state)
{
	struct stat st;
	lg_autofree char *dir = new_dir();
	lg_autofree char *path = lg_path_join(dir, "a/b");
	assert_int_equal(lg_dir_make(path, 0700, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void test_make_fail_each(void **state)
{
	int runs = 0;
	for (struct nth nth = { .errnum = ENOSPC }; nth_begin(&nth); runs++) {
		lg_autofree char *dir = new_dir();
		lg_autofree char *path = lg_path_join(dir, "a/b/c");
		int rc = lg_dir_make(path, 0755, NULL);
		nth_end(&nth);
		assert_int_equal(rc, nth.fired ? LG_ENOSPC : 0);
		assert_int_equal(lg_dir_make(path, 0755, NULL), 0); /* a second try goes on */
		assert_true(is_dir(path));
	}
	assert_true(runs >= 10); /* three times make, open, sync, and a run without */
}

/* ---- list ---- */

static void test_list_is_sorted(void **state)
{
	static const char *const want[] = { "-", ".hidden", "10", "9", "Z", "a", "a b", "b\nc", "\xff", NULL };
	lg_autofree char *dir = new_dir();
	for (size_t i = 0; want[i]; i++)
		make_file(dir, want[(i * 5 + 2) % 9]);
	char **names = NULL;
	size_t count = 0;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_dir_list(dir, &names, &count, &err), &err);
	assert_int_equal(count, 9);
	for (size_t i = 0; i < count; i++)
		assert_string_equal(names[i], want[i]);
	lg_names_free(names, count);
}

static void test_list_of_many(void **state)
{
	lg_autofree char *dir = new_dir();
	for (int i = 0; i < 100; i++) {
		char name[16];
		snprintf(name, sizeof name, "%03d", (i * 37) % 100);
		make_file(dir, name);
	}
	char **names = NULL;
	size_t count = 0;
	assert_int_equal(lg_dir_list(dir, &names, &count, NULL), 0);
	assert_int_equal(count, 100);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(strtol(names[i], NULL, 10), i);
	lg_names_free(names, count);
}

static void test_list_of_nothing(void **state)
{
	lg_autofree char *dir = new_dir();
	lg_autofree char *absent = lg_path_join(dir, "absent");
	char **names = NULL;
	size_t count = 7;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(lg_dir_list(absent, &names, &count, &err), LG_ENOTFOUND, &err);
	make_file(dir, "absent");
	lg_assert_code(lg_dir_list(absent, &names, &count, &err), LG_EINVALID, &err);
	assert_int_equal(count, 7);
	assert_null(names);
	assert_int_equal(unlink(absent), 0);
	lg_assert_ok(lg_dir_list(dir, &names, &count, &err), &err);
	assert_int_equal(count, 0);
	assert_non_null(names);
	lg_names_free(names, count);
	lg_names_free(NULL, 0);
}

/* ---- remove ---- */

static void fill(const char *dir)
{
	lg_autofree char *pipe = lg_path_join(dir, "a/pipe");
	lg_autofree char *link = lg_path_join(dir, "a/link");
	lg_autofree char *readonly = lg_path_join(dir, "a/readonly");
	make_dir(dir, "a");
	make_dir(dir, "a/b");
	make_dir(dir, "a/b/c");
	make_dir(dir, "empty");
	make_file(dir, "file");
	make_file(dir, "a/b/file");
	make_file(dir, "a/readonly");
	assert_int_equal(chmod(readonly, 0400), 0);
	assert_int_equal(mkfifo(pipe, 0600), 0);
	assert_int_equal(symlink("../../outside", link), 0);
}

static void test_remove(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_autofree char *top = new_dir();
	lg_autofree char *dir = lg_path_join(top, "dir/");
	lg_autofree char *outside = lg_path_join(top, "outside/file");
	make_dir(top, "dir");
	make_dir(top, "outside");
	make_file(top, "outside/file");
	fill(dir);
	lg_assert_ok(lg_dir_remove(dir, &err), &err);
	assert_int_equal(lg_file_exists(dir), 0);
	assert_int_equal(lg_file_exists(outside), 1);
	lg_assert_ok(lg_dir_remove(dir, &err), &err); /* absent is fine */
}

static void test_remove_refuses_a_link(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_autofree char *top = new_dir();
	lg_autofree char *link = lg_path_join(top, "link");
	lg_autofree char *slashed = lg_path_join(top, "link/");
	lg_autofree char *file = lg_path_join(top, "dir/file");
	make_dir(top, "dir");
	make_file(top, "dir/file");
	assert_int_equal(symlink("dir", link), 0);
	lg_assert_code(lg_dir_remove(link, &err), LG_EINVALID, &err);
	lg_assert_code(lg_dir_remove(slashed, &err), LG_EINVALID, &err);
	lg_assert_code(lg_dir_remove(file, &err), LG_EINVALID, &err);
	assert_int_equal(lg_file_exists(file), 1);
}

/* A tree so deep that something is wrong with it is refused before anything is gone. */
static void test_remove_refuses_depth(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_autofree char *top = new_dir();
	lg_autofree char *first = lg_path_join(top, "first");
	lg_test_write(first, "x", 1);
	lg_autoclose int at = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(mkdirat(at, "d", 0755), 0);
		int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(at);
		at = next;
	}
	lg_assert_code(lg_dir_remove(top, &err), LG_EINVALID, &err);
	assert_non_null(strstr(err.message, "directories deep"));
	assert_int_equal(lg_file_exists(first), 1);
}

static bool put(const char *path, const char *text)
{
	lg_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* A namespace of its own, in which anybody may mount. */
static bool enter_namespace(void)
{
	char users[32], groups[32];
	snprintf(users, sizeof users, "0 %u 1", (unsigned)geteuid());
	snprintf(groups, sizeof groups, "0 %u 1", (unsigned)getegid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && put("/proc/self/setgroups", "deny") &&
		put("/proc/self/uid_map", users) && put("/proc/self/gid_map", groups);
}

/* The mounted file system stops it, and nothing is gone.  An exit status, 77 where the system does not let users mount. */
static int remove_around_a_mount(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_autofree char *mounted = lg_path_join(dir, "a/b");
	lg_autofree char *inside = lg_path_join(dir, "a/b/inside");
	lg_autofree char *before = lg_path_join(dir, "a/aa");
	if (!enter_namespace() || mount("tmpfs", mounted, "tmpfs", 0, NULL) < 0)
		return 77;
	lg_autoclose int fd = open(inside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return 3;
	if (lg_dir_remove(dir, &err) != LG_EINVALID || !strstr(err.message, "another file system"))
		return 1;
	return lg_file_exists(inside) && lg_file_exists(before) ? 0 : 2;
}

static void test_remove_refuses_a_mount(void **state)
{
	lg_autofree char *dir = new_dir();
	fill(dir);
	make_file(dir, "a/aa");
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(remove_around_a_mount(dir));
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip(); /* this system does not let users mount */
	assert_int_equal(status, 0);
}

static void test_remove_fail_each(void **state)
{
	int runs = 0;
	for (struct nth nth = { .errnum = EIO }; nth_begin(&nth); runs++) {
		lg_fault_set(NULL, NULL);
		lg_autofree char *dir = new_dir();
		fill(dir);
		lg_fault_set(nth_hook, &nth);
		int rc = lg_dir_remove(dir, NULL);
		nth_end(&nth);
		assert_int_equal(rc, nth.fired ? LG_EIO : 0);
		assert_int_equal(lg_dir_remove(dir, NULL), 0); /* a second try goes on */
		assert_int_equal(lg_file_exists(dir), 0);
	}
	assert_true(runs >= 12); /* nine entries, the top, its parent opened and synced, and a run without */
}

/* ---- place ---- */

/* "from" with something in it, in a fresh directory. */
static void make_from(const char *dir, char **ret_from, char **ret_to, char **ret_inside)
{
	*ret_from = lg_path_join(dir, "from");
	*ret_to = lg_path_join(dir, "to");
	*ret_inside = lg_path_join(dir, "to/inside");
	make_dir(dir, "from");
	make_dir(dir, "from/inside");
}

static void test_place(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	for (int there = 0; there < 2; there++) {
		lg_autofree char *from = NULL;
		lg_autofree char *to = NULL;
		lg_autofree char *inside = NULL;
		lg_autofree char *dir = new_dir();
		make_from(dir, &from, &to, &inside);
		if (there)
			make_dir(dir, "to"); /* empty: it gives way */
		lg_assert_ok(lg_dir_place(from, to, &err), &err);
		assert_int_equal(lg_file_exists(from), 0);
		assert_int_equal(lg_file_exists(inside), 1);
		/* what is not empty stays */
		make_dir(dir, "from");
		lg_assert_code(lg_dir_place(from, to, &err), LG_ECONFLICT, &err);
		assert_int_equal(lg_file_exists(from), 1);
		assert_int_equal(lg_file_exists(inside), 1);
	}
}

static void test_place_fail_each(void **state)
{
	int runs = 0;
	for (struct nth nth = { .errnum = EIO }; nth_begin(&nth); runs++) {
		lg_autofree char *from = NULL;
		lg_autofree char *to = NULL;
		lg_autofree char *inside = NULL;
		lg_fault_set(NULL, NULL);
		lg_autofree char *dir = new_dir();
		make_from(dir, &from, &to, &inside);
		lg_fault_set(nth_hook, &nth);
		int rc = lg_dir_place(from, to, NULL);
		nth_end(&nth);
		assert_int_equal(rc, nth.fired ? LG_EIO : 0);
		assert_true(lg_file_exists(from) != lg_file_exists(inside)); /* whole, here or there */
	}
	assert_true(runs >= 4);
}

/* ---- sync, owner ---- */

static void test_sync(void **state)
{
	lg_autofree char *dir = new_dir();
	lg_autofree char *file = lg_path_join(dir, "file");
	make_file(dir, "file");
	assert_int_equal(lg_dir_sync(dir, NULL), 0);
	assert_int_equal(lg_dir_sync(file, NULL), LG_EIO);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(lg_dir_sync(file, NULL), LG_EIO);
}

static void test_owner_is_self(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_autofree char *dir = new_dir();
	lg_autofree char *file = lg_path_join(dir, "file");
	lg_assert_ok(lg_dir_check_owner(dir, &err), &err);
	lg_assert_code(lg_dir_check_owner(file, &err), LG_ENOTFOUND, &err);
	make_file(dir, "file");
	lg_assert_code(lg_dir_check_owner(file, &err), LG_EINVALID, &err);
}

/* Directory of somebody else, seen by an ordinary user: "/" belongs to root. */
static void test_owner_is_another(void **state)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct lg_error err = LG_ERROR_INIT;
		if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) < 0)
			_exit(2);
		_exit(lg_dir_check_owner("/", &err) == LG_EPERM && strstr(err.message, "belongs to 'root'") &&
					strstr(err.message, ": run as 'root'")
				? 0
				: 1);
	}
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_root_and_the_owner(void **state)
{
	if (geteuid() != 0)
		skip(); /* only root can have a directory of somebody else */
	struct lg_error err = LG_ERROR_INIT;
	lg_autofree char *dir = new_dir();
	assert_int_equal(chown(dir, 12345, 12345), 0);
	lg_assert_ok(lg_dir_check_owner(dir, &err), &err);
	assert_int_equal(chmod(dir, 0757), 0);
	lg_assert_code(lg_dir_check_owner(dir, &err), LG_EPERM, &err);
	assert_non_null(strstr(err.message, "belongs to 'uid 12345' and everybody may write to it"));
}

int main(void)
{
	lg_test_rows("make", test_make, makes, sizeof makes / sizeof *makes, sizeof *makes,
		offsetof(struct make_row, name));
	lg_test_add("make: relative", test_make_relative, NULL);
	lg_test_add("make: mode", test_make_mode, NULL);
	lg_test_add("make: fail each", test_make_fail_each, NULL);
	lg_test_add("list is sorted", test_list_is_sorted, NULL);
	lg_test_add("list of many", test_list_of_many, NULL);
	lg_test_add("list of nothing", test_list_of_nothing, NULL);
	lg_test_add("remove", test_remove, NULL);
	lg_test_add("remove refuses a link", test_remove_refuses_a_link, NULL);
	lg_test_add("remove refuses depth", test_remove_refuses_depth, NULL);
	lg_test_add("remove refuses a mount", test_remove_refuses_a_mount, NULL);
	lg_test_add("remove: fail each", test_remove_fail_each, NULL);
	lg_test_add("place", test_place, NULL);
	lg_test_add("place: fail each", test_place_fail_each, NULL);
	lg_test_add("sync", test_sync, NULL);
	lg_test_add("owner is self", test_owner_is_self, NULL);
	lg_test_add("owner is another", test_owner_is_another, NULL);
	lg_test_add("root and the owner", test_root_and_the_owner, NULL);
	return lg_test_run(__FILE__);
}
