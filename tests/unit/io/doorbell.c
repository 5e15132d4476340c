/* Rings between descriptors, between processes, and after the file was removed or replaced. */
#include "io/doorbell.h"
#include "support/support.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_MS 30000 /* a ring that does not come within it is a failure, not slowness */

struct fixture {
	const char *path;
	struct lg_doorbell *bell;
};

static int setup(void **state)
{
	static struct fixture fixture;
	static int count;
	char name[32];
	struct lg_error err = LG_ERROR_INIT;
	snprintf(name, sizeof name, "bell-%d", count++);
	fixture.path = lg_test_path(name);
	*state = &fixture;
	return lg_doorbell_open(fixture.path, &fixture.bell, &err);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	lg_doorbell_close(fixture->bell);
	free((void *)(uintptr_t)fixture->path);
	return 0;
}

static int wait_for(const struct fixture *fixture, int64_t timeout_ms)
{
	struct lg_error err = LG_ERROR_INIT;
	int rc = lg_doorbell_wait(fixture->bell, timeout_ms, &err);
	lg_assert_ok(rc, &err);
	return rc;
}

static void test_silent(void **state)
{
	const struct fixture *fixture = *state;
	assert_int_equal(wait_for(fixture, 0), 0);
	assert_int_equal(wait_for(fixture, 5), 0);
	assert_int_equal(wait_for(fixture, -5), 0);
}

static void test_rings_are_taken_together(void **state)
{
	const struct fixture *fixture = *state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(lg_doorbell_ring(fixture->path), 0);
	assert_int_equal(wait_for(fixture, LONG_MS), 1);
	assert_int_equal(wait_for(fixture, 0), 0);
	assert_int_equal(lg_doorbell_ring(fixture->path), 0);
	assert_int_equal(wait_for(fixture, 0), 1);
	struct stat st;
	assert_int_equal(stat(fixture->path, &st), 0);
	assert_int_equal(st.st_size, 1);
}

static void test_descriptor_is_readable_when_rung(void **state)
{
	const struct fixture *fixture = *state;
	struct pollfd polled = { .fd = lg_doorbell_fd(fixture->bell), .events = POLLIN };
	assert_int_equal(poll(&polled, 1, 0), 0);
	lg_doorbell_ring(fixture->path);
	assert_int_equal(poll(&polled, 1, LONG_MS), 1);
	assert_int_equal(wait_for(fixture, 0), 1);
	assert_int_equal(poll(&polled, 1, 0), 0);
}

/* A listens while B rings, turn by turn: each waits for what the other did, so nobody sleeps for luck. */
static void test_two_processes(void **state)
{
	const struct fixture *fixture = *state;
	const char *back_path = lg_test_path("bell-back");
	struct lg_doorbell *back = NULL;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_doorbell_open(back_path, &back, &err), &err);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct lg_doorbell *own = NULL;
		if (lg_doorbell_open(back_path, &own, NULL) < 0)
			_exit(1);
		for (int i = 0; i < 20; i++) {
			lg_doorbell_ring(fixture->path);
			if (lg_doorbell_wait(own, LONG_MS, NULL) != 1)
				_exit(2);
		}
		_exit(0);
	}
	for (int i = 0; i < 20; i++) {
		assert_int_equal(wait_for(fixture, LONG_MS), 1);
		lg_doorbell_ring(back_path);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	lg_doorbell_close(back);
	free((void *)(uintptr_t)back_path);
}

static void test_removed_file_is_made_anew(void **state)
{
	const struct fixture *fixture = *state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(unlink(fixture->path), 0);
		assert_int_equal(wait_for(fixture, LONG_MS), 1);
		assert_int_equal(wait_for(fixture, 0), 0);
		assert_int_equal(lg_doorbell_ring(fixture->path), 0);
		assert_int_equal(wait_for(fixture, LONG_MS), 1);
	}
}

/* Somebody holds it open, so the file itself lives on without its name. */
static void test_removed_file_that_is_held_open(void **state)
{
	const struct fixture *fixture = *state;
	int fd = open(fixture->path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(unlink(fixture->path), 0);
	assert_int_equal(wait_for(fixture, LONG_MS), 1);
	assert_int_equal(lg_doorbell_ring(fixture->path), 0);
	assert_int_equal(wait_for(fixture, LONG_MS), 1);
	assert_int_equal(wait_for(fixture, 0), 0);
	close(fd);
	assert_int_equal(wait_for(fixture, 0), 0);
}

static void test_replaced_file_is_heard(void **state)
{
	const struct fixture *fixture = *state;
	const char *other = lg_test_path("other");
	lg_test_write(other, "x", 1);
	assert_int_equal(rename(other, fixture->path), 0);
	lg_doorbell_ring(fixture->path);
	assert_int_equal(wait_for(fixture, LONG_MS), 1);
	assert_int_equal(wait_for(fixture, 0), 0);
	lg_doorbell_ring(fixture->path);
	assert_int_equal(wait_for(fixture, LONG_MS), 1);
	free((void *)(uintptr_t)other);
}

/* Who keeps the file open rings the one that is there now. */
static void test_kept_descriptor(void **state)
{
	const struct fixture *fixture = *state;
	const char *other = lg_test_path("another");
	int fd = -1;
	for (int i = 0; i < 3; i++) {
		int former = fd;
		assert_int_equal(lg_doorbell_ring_kept(fixture->path, &fd), 0);
		assert_true(i == 0 || fd == former);
		assert_int_equal(wait_for(fixture, LONG_MS), 1);
	}
	assert_int_equal(unlink(fixture->path), 0);
	assert_int_equal(wait_for(fixture, LONG_MS), 1);
	assert_int_equal(lg_doorbell_ring_kept(fixture->path, &fd), 0);
	assert_int_equal(wait_for(fixture, LONG_MS), 1);
	lg_test_write(other, "x", 1);
	assert_int_equal(rename(other, fixture->path), 0);
	assert_int_equal(wait_for(fixture, LONG_MS), 1);
	assert_int_equal(lg_doorbell_ring_kept(fixture->path, &fd), 0);
	assert_int_equal(wait_for(fixture, LONG_MS), 1);
	assert_int_equal(wait_for(fixture, 0), 0);
	close(fd);
	free((void *)(uintptr_t)other);
}

/* The directory vanishes and comes back: nothing can be heard in between, but afterwards it can. */
static void test_lost_directory(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	const char *dir = lg_test_path("gone"), *path = lg_test_path("gone/bell");
	struct fixture fixture = { .path = path };
	assert_int_equal(mkdir(dir, 0700), 0);
	lg_assert_ok(lg_doorbell_open(path, &fixture.bell, &err), &err);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(wait_for(&fixture, LONG_MS), 1);
	assert_int_equal(wait_for(&fixture, 0), 0);
	assert_true(lg_doorbell_ring(path) < 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(wait_for(&fixture, 0), 1);
	assert_int_equal(lg_doorbell_ring(path), 0);
	assert_int_equal(wait_for(&fixture, LONG_MS), 1);
	lg_doorbell_close(fixture.bell);
	free((void *)(uintptr_t)dir);
	free((void *)(uintptr_t)path);
}

static void test_what_is_no_bell(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_doorbell *bell = NULL;
	const char *missing = lg_test_path("missing/bell"), *link = lg_test_path("link");
	const char *victim = lg_test_path("victim");
	lg_assert_code(lg_doorbell_open(missing, &bell, &err), LG_EIO, &err);
	assert_null(bell);
	assert_true(lg_doorbell_ring(missing) < 0);
	lg_test_write(victim, "whole", 5);
	assert_int_equal(symlink(victim, link), 0);
	assert_true(lg_doorbell_ring(link) < 0);
	assert_true(lg_doorbell_open(link, &bell, &err) < 0);
	char *text = lg_test_read(victim, NULL);
	assert_string_equal(text, "whole");
	free(text);
	lg_doorbell_close(NULL);
	free((void *)(uintptr_t)missing);
	free((void *)(uintptr_t)link);
	free((void *)(uintptr_t)victim);
}

#define BELL_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
LG_TEST_MAIN(BELL_TEST(test_silent), BELL_TEST(test_rings_are_taken_together),
	BELL_TEST(test_descriptor_is_readable_when_rung), BELL_TEST(test_two_processes),
	BELL_TEST(test_removed_file_is_made_anew), BELL_TEST(test_removed_file_that_is_held_open),
	BELL_TEST(test_replaced_file_is_heard), BELL_TEST(test_kept_descriptor),
	cmocka_unit_test(test_lost_directory), cmocka_unit_test(test_what_is_no_bell))
