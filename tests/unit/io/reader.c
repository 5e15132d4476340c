#include "io/reader.h"
#include "io/fault.h"
#include "support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 5000

static const char *make_file(void)
{
	static char data[SIZE];
	const char *path = lg_test_path("file");
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (char)('a' + i % 23);
	lg_test_write(path, data, SIZE);
	return path;
}

static void test_reads(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_reader reader = LG_READER_INIT;
	uint8_t data[100];
	lg_assert_ok(lg_reader_open(make_file(), &reader, &err), &err);
	assert_int_equal(reader.size, SIZE);
	assert_int_equal(lg_reader_at(&reader, 46, data, sizeof data), sizeof data);
	assert_int_equal(data[0], 'a');
	/* behind the end there are zeros */
	assert_int_equal(lg_reader_at(&reader, SIZE - 10, data, sizeof data), 10);
	assert_int_equal(data[9], 'a' + (SIZE - 1) % 23);
	assert_int_equal(data[10], 0);
	assert_int_equal(data[99], 0);
	assert_int_equal(lg_reader_at(&reader, UINT64_MAX - 5, data, sizeof data), 0);
	assert_int_equal(data[0], 0);
	assert_int_equal(reader.unreadable, 0);
	lg_reader_clear(&reader);
	lg_reader_clear(&reader);
	assert_int_equal(lg_reader_at(&reader, 0, data, sizeof data), 0);
}

static int bad_calls;

/* The first read fails, and of those sector by sector the third. */
static int fail_some(void *arg, enum lg_fault_op op, const char *path)
{
	(void)arg;
	(void)path;
	if (op != LG_FAULT_READ)
		return 0;
	bad_calls++;
	return bad_calls == 1 || bad_calls == 4 ? EIO : 0;
}

static void test_bad_sector(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_reader reader = LG_READER_INIT;
	uint8_t data[4096];
	lg_assert_ok(lg_reader_open(make_file(), &reader, &err), &err);
	lg_fault_set(fail_some, NULL);
	assert_int_equal(lg_reader_at(&reader, 0, data, sizeof data), sizeof data);
	lg_fault_set(NULL, NULL);
	assert_int_equal(reader.unreadable, 512);
	for (size_t i = 0; i < sizeof data; i++)
		assert_int_equal(data[i], i / 512 == 2 ? 0 : 'a' + i % 23);
	lg_reader_clear(&reader);
}

static void test_refused(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_reader reader = LG_READER_INIT;
	const char *fifo = lg_test_path("fifo");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	lg_assert_code(lg_reader_open(fifo, &reader, &err), LG_EINVALID, &err);
	lg_assert_code(lg_reader_open(lg_test_dir(), &reader, &err), LG_EINVALID, &err);
	lg_assert_code(lg_reader_open(lg_test_path("none"), &reader, &err), LG_ENOTFOUND, &err);
	assert_int_equal(reader.fd, -1);
}

static void test_locked(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_reader reader = LG_READER_INIT;
	const char *path = make_file();
	int ready[2], stop[2];
	char byte = 0;
	lg_assert_ok(lg_reader_open(path, &reader, &err), &err);
	assert_int_equal(lg_reader_locked_by(&reader, 0, 100), 0);
	assert_true(pipe(ready) == 0 && pipe(stop) == 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 1 };
		int fd = open(path, O_RDWR);
		close(stop[1]);
		byte = fcntl(fd, F_SETLK, &lock) == 0;
		if (write(ready[1], &byte, 1) != 1)
			_exit(1);
		_exit(read(stop[0], &byte, 1) == 0 ? 0 : 1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, 1);
	assert_int_equal(lg_reader_locked_by(&reader, 0, 100), child);
	assert_int_equal(lg_reader_locked_by(&reader, 11, 100), 0);
	close(stop[1]);
	waitpid(child, NULL, 0);
	close(stop[0]);
	close(ready[0]);
	close(ready[1]);
	lg_reader_clear(&reader);
}

LG_TEST_MAIN(cmocka_unit_test(test_reads), cmocka_unit_test(test_bad_sector), cmocka_unit_test(test_refused),
	cmocka_unit_test(test_locked))
