#include "support/support.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[256];
static struct CMUnitTest *collected;
static size_t collected_count;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static pid_t directory_owner;

static void remove_directory(void)
{
	if (directory[0] && getpid() == directory_owner)
		nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *lg_test_dir(void)
{
	if (directory[0])
		return directory;
	const char *base = getenv("TMPDIR");
	snprintf(directory, sizeof directory, "%s/lastgood-test-XXXXXX", base && *base ? base : "/tmp");
	if (!mkdtemp(directory))
		abort();
	directory_owner = getpid();
	atexit(remove_directory);
	return directory;
}

/* Paths live until the process ends: this list keeps them in sight of the leak checker. */
struct test_path {
	struct test_path *next;
	char *path;
};
static struct test_path *paths;

const char *lg_test_path(const char *name)
{
	struct test_path *made = malloc(sizeof *made);
	if (!made || asprintf(&made->path, "%s/%s", lg_test_dir(), name) < 0)
		abort();
	made->next = paths;
	paths = made;
	return made->path;
}

void lg_test_write(const char *path, const void *data, size_t len)
{
	FILE *file = fopen(path, "wb");
	if (!file || (len && fwrite(data, 1, len, file) != len) || fclose(file) != 0)
		fail_msg("cannot write '%s'", path);
}

char *lg_test_read(const char *path, size_t *ret_len)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		return NULL;
	char *data = NULL;
	size_t len = 0;
	for (;;) {
		data = realloc(data, len + 65537);
		if (!data)
			abort();
		size_t n = fread(data + len, 1, 65536, file);
		len += n;
		if (n == 0)
			break;
	}
	fclose(file);
	data[len] = '\0';
	if (ret_len)
		*ret_len = len;
	return data;
}

int lg_test_main(const char *name, const struct CMUnitTest *tests, size_t count)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	const char *base = strrchr(name, '/');
	return _cmocka_run_group_tests(base ? base + 1 : name, tests, count, NULL, NULL) ? 1 : 0;
}

void lg_test_add(const char *name, CMUnitTestFunction function, void *initial_state)
{
	collected = realloc(collected, (collected_count + 1) * sizeof *collected);
	if (!collected)
		abort();
	collected[collected_count++] =
		(struct CMUnitTest){ .name = name, .test_func = function, .initial_state = initial_state };
}

void lg_test_rows(const char *group, CMUnitTestFunction function, const void *rows, size_t count,
	size_t row_size, size_t name_offset)
{
	for (size_t i = 0; i < count; i++) {
		const char *row = (const char *)rows + i * row_size;
		const char *row_name;
		memcpy(&row_name, row + name_offset, sizeof row_name);
		char *name = NULL;
		if (asprintf(&name, "%s: %s", group, row_name) < 0)
			abort();
		lg_test_add(name, function, (void *)(uintptr_t)row);
	}
}

int lg_test_run(const char *name)
{
	return lg_test_main(name, collected, collected_count);
}
