/* What src/io promises of single files, with every system call that writes being the last one (SIGKILL), failing, or writing half:
 * a file that is replaced is the former or the new one, a line of the journal is there whole or not, and nothing is said to be
 * done that is not.  A failed sync is not tried again.
 *
 *	files            every third call
 *	files --all      every one */
#include "support/support.h"
#include "support/syscalls.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *dir, *path;
static unsigned stride = 3;

/* --- what is done -------------------------------------------------------------------------------------------------------------- */

static char big[70001]; /* of more than one write */

static int do_replace(struct lg_error *err)
{
	return lg_file_replace(path, big, sizeof big - 1, NULL, err);
}

static int do_refuse(struct lg_error *err)
{
	const struct lg_replace_options options = { .mode = 0600, .refuse_exist = true };
	return lg_file_replace(path, big, sizeof big - 1, &options, err);
}

static int do_keep(struct lg_error *err)
{
	const struct lg_replace_options options = { .keep_meta = true };
	return lg_file_replace(path, big, sizeof big - 1, &options, err);
}

static int do_remove(struct lg_error *err)
{
	return lg_file_remove(path, err);
}

static int do_line(struct lg_error *err)
{
	struct lg_line_log *log = NULL;
	int rc = lg_line_log_open(path, true, &log, err);
	if (rc == 0)
		rc = lg_line_log_append(log, "begin the second step", err);
	/* a line that failed is the last that this one was given */
	if (rc < 0 && log && lg_line_log_append(log, "another", NULL) == 0)
		rc = 1;
	lg_line_log_close(log);
	return rc;
}

static int do_lines(struct lg_error *err)
{
	struct lg_line_log *log = NULL;
	int rc = lg_line_log_open(path, true, &log, err);
	for (int i = 0; rc == 0 && i < 3; i++)
		rc = lg_line_log_append(log, "the same again", err);
	lg_line_log_close(log);
	return rc;
}

static const char first_lines[] = "d6d8b5d3c5f4e2a1 not a line\n";

static const struct act {
	const char *name;
	int (*work)(struct lg_error *err);
	bool exists;   /* before */
	bool is_final; /* what is removed is not put back when the directory cannot be synced */
	bool is_lines; /* read as such, and any number of the new ones may be there when it failed or was killed */
} acts[] = {
	{ "replace", do_replace, true, false, false },
	{ "make", do_replace, false, false, false },
	{ "make what must not be there", do_refuse, false, false, false },
	{ "replace and keep the owner", do_keep, true, false, false },
	{ "remove", do_remove, true, true, false },
	{ "a line of the journal", do_line, true, false, true },
	{ "the first line", do_line, false, false, true },
	{ "several lines", do_lines, true, false, true },
};
#define ACTS (sizeof acts / sizeof *acts)

/* --- one run ------------------------------------------------------------------------------------------------------------------ */

static struct told {
	int rc;
	bool done;
	char message[LG_ERROR_MESSAGE_SIZE];
} * told;

static void prepare(const struct act *act)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_line_log *log = NULL;
	lg_assert_ok(lg_dir_remove(dir, &err), &err);
	assert_int_equal(mkdir(dir, 0700), 0);
	if (act->exists && act->is_lines) {
		lg_assert_ok(lg_line_log_open(path, true, &log, &err), &err);
		lg_assert_ok(lg_line_log_append(log, "begin", &err), &err);
		lg_line_log_close(log);
	} else if (act->exists) {
		lg_test_write(path, first_lines, sizeof first_lines - 1);
	}
}

static int in_child(void *arg, int link)
{
	const struct act *act = arg;
	struct lg_error err = LG_ERROR_INIT;
	syscalls_arm(link);
	told->rc = act->work(&err);
	told->done = true;
	syscalls_disarm(link);
	snprintf(told->message, sizeof told->message, "%s", told->rc < 0 ? err.message : "");
	return 0;
}

static int add_line(void *arg, const char *text, struct lg_error *err)
{
	(void)err;
	lg_buf_adds(arg, text);
	return lg_buf_addc(arg, '\n');
}

/* The file as whoever comes next finds it. */
static char *read_file(const struct act *act)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	int rc = act->is_lines ? lg_line_log_read(path, add_line, &text, &err)
			       : lg_file_read(path, 1 << 20, &text, &err);
	if (rc == LG_ENOTFOUND)
		lg_buf_adds(&text, "(absent)");
	else
		lg_assert_ok(rc, &err);
	char *copy = strdup(lg_buf_str(&text));
	assert_non_null(copy);
	return copy;
}

static void assert_alone(const char *at)
{
	struct lg_error err = LG_ERROR_INIT;
	char **names;
	size_t count;
	lg_assert_ok(lg_dir_list(dir, &names, &count, &err), &err);
	if (count > 1)
		fail_msg("%s: left behind: %s %s", at, names[0], names[1]);
	lg_names_free(names, count);
}

struct truth {
	char *before, *after;
};

/* Of lines a part may be there: the former ones, and as many of the new ones as were written. */
static bool is_between(const struct act *act, const struct truth *truth, const char *now)
{
	if (!act->is_lines)
		return false;
	size_t former = strcmp(truth->before, "(absent)") == 0 ? 0 : strlen(truth->before);
	return strlen(now) <= strlen(truth->after) && strlen(now) >= former &&
		strncmp(now, truth->after, strlen(now)) == 0;
}

static void judge(const struct act *act, const struct truth *truth, const struct syscalls_fault *fault,
	const struct syscalls_result *result)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_autofree char *now = read_file(act);
	bool before = strcmp(now, truth->before) == 0, after = strcmp(now, truth->after) == 0;
	if (!before && !after && !is_between(act, truth, now))
		fail_msg("call %u, %s: neither before nor after: %.300s", fault->nth, result->at, now);
	if (told->done && told->rc > 0)
		fail_msg("call %u, %s: it took another line after one had failed", fault->nth, result->at);
	if (told->done && told->rc == 0 && !after)
		fail_msg("call %u, %s: it was said to be done: %.300s", fault->nth, result->at, now);
	if (told->done && told->rc < 0 && told->rc != LG_EUNKNOWN && !before && !act->is_lines &&
		!act->is_final)
		fail_msg("call %u, %s: '%s', but it was done", fault->nth, result->at, told->message);
	if (told->done && told->rc < 0 && !told->message[0])
		fail_msg("call %u, %s: %s without a word", fault->nth, result->at, lg_code_name(told->rc));
	if (result->resyncs)
		fail_msg("call %u, %s: synced again after a failed sync", fault->nth, result->at);
	/* what a killed one leaves is swept away; the others tidy up, but where nothing can be removed any more */
	if (result->killed || fault->times > 1)
		lg_assert_ok(lg_file_sweep(path, &err), &err);
	assert_alone(result->at);
	int rc = act->work(&err);
	if (act->work != do_refuse || rc != LG_ECONFLICT)
		lg_assert_ok(rc, &err);
}

/* --- the series ---------------------------------------------------------------------------------------------------------------- */

static const struct kind {
	const char *name;
	enum syscalls_what what;
	int errnum;
	unsigned times;
	unsigned ops;
	bool succeeds; /* all the same */
} kinds[] = {
	{ "killed", SYSCALLS_KILL, 0, 1, SYSCALLS_ALL, false },
	{ "EIO", SYSCALLS_FAIL, EIO, 1, SYSCALLS_ALL, false },
	{ "EIO from there on", SYSCALLS_FAIL, EIO, 1u << 30, SYSCALLS_ALL, false },
	{ "ENOSPC", SYSCALLS_FAIL, ENOSPC, 1, SYSCALLS_ALL & ~SYSCALLS_LOCK, false },
	{ "ENOSPC from there on", SYSCALLS_FAIL, ENOSPC, 1u << 30, SYSCALLS_ALL & ~SYSCALLS_LOCK, false },
	{ "EINTR in a write", SYSCALLS_FAIL, EINTR, 1, SYSCALLS_WRITE, true },
	{ "EINTR ten times", SYSCALLS_FAIL, EINTR, 10, SYSCALLS_WRITE, true },
	{ "EINTR", SYSCALLS_FAIL, EINTR, 1, SYSCALLS_ALL, false },
	{ "half a write", SYSCALLS_SHORT, 0, 1, SYSCALLS_WRITE, true },
	{ "half of each write", SYSCALLS_SHORT, 0, 1u << 30, SYSCALLS_WRITE, true },
	{ "sync fails", SYSCALLS_FAIL, EIO, 1, SYSCALLS_SYNC, false },
	{ "syncs fail from there on", SYSCALLS_FAIL, EIO, 1u << 30, SYSCALLS_SYNC, false },
};
#define KINDS (sizeof kinds / sizeof *kinds)

static struct series {
	char name[80];
	const struct act *act;
	const struct kind *kind;
} all_series[ACTS * KINDS];

static void run(const struct act *act, const struct syscalls_fault *fault, struct syscalls_result *ret_result)
{
	prepare(act);
	told->done = false;
	syscalls_run(fault, in_child, (void *)(uintptr_t)act, ret_result);
	if (ret_result->killed ? !WIFSIGNALED(ret_result->status) || WTERMSIG(ret_result->status) != SIGKILL
			       : ret_result->status != 0)
		fail_msg("at %s the child ended with %#x", ret_result->at, ret_result->status);
}

static void test_series(void **state)
{
	const struct series *series = *state;
	const struct kind *kind = series->kind;
	struct syscalls_fault fault = { .ops = kind->ops, .what = kind->what };
	struct syscalls_result result;
	struct truth truth;
	prepare(series->act);
	truth.before = read_file(series->act);
	run(series->act, &fault, &result);
	assert_int_equal(told->rc, 0);
	truth.after = read_file(series->act);
	unsigned count = result.count;
	unsigned nth = 1 + (unsigned)(series - all_series) % stride;
	for (bool fired = true; fired; nth += stride) {
		fault = (struct syscalls_fault){ kind->ops, nth, kind->what, kind->errnum, kind->times };
		run(series->act, &fault, &result);
		if (kind->succeeds && told->rc < 0)
			fail_msg("call %u, %s: %s", fault.nth, result.at, told->message);
		judge(series->act, &truth, &fault, &result);
		fired = result.fired;
	}
	/* half of one byte cannot be written, and removing writes nothing */
	assert_true(count > 0 || kind->ops == SYSCALLS_WRITE);
	free(truth.before);
	free(truth.after);
}

static void skip_all(void **state)
{
	(void)state;
	skip();
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--all") == 0)
		stride = 1;
	told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED)
		return 1;
	if (!syscalls_work()) {
		printf("# the kernel or a sandbox keeps system calls from being watched\n");
		lg_test_add("system calls", skip_all, NULL);
		return lg_test_run("crash_files");
	}
	memset(big, 'n', sizeof big - 1);
	dir = lg_test_path("files");
	path = lg_test_path("files/file");
	for (size_t i = 0; i < ACTS * KINDS; i++) {
		struct series *one = &all_series[i];
		one->act = &acts[i / KINDS];
		one->kind = &kinds[i % KINDS];
		snprintf(one->name, sizeof one->name, "%s: %s", one->act->name, one->kind->name);
		lg_test_add(one->name, test_series, one);
	}
	return lg_test_run("crash_files");
}
