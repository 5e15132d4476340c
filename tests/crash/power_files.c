/* The power fails while files are replaced and removed, directories made, and lines appended to a journal: each file holds what it held
 * before or after, and the lines are those that were acknowledged, and at most the one on its way. */
#include "crash/power.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[300];

static const char *in_root(const char *name)
{
	static char path[400];
	snprintf(path, sizeof path, "%s/%s", root, name);
	return path;
}

/* --- replaced and removed files --------------------------------------------------------------------------------------- */

#define NAMES 4

/* The steps of one work: file `name` gets `len` times `letter`, or (len SIZE_MAX) is removed. */
struct step {
	size_t name, len;
	char letter;
	mode_t mode;
};

static const char *const names[NAMES] = { "plain", "sub/deep/below", "link", "kept" };
static const char *const real_names[NAMES] = { "plain", "sub/deep/below", "target", "kept" };

static const struct step steps[] = {
	{ 0, 100, 'a', 0644 },
	{ 0, 5000, 'b', 0600 },
	{ 1, 700, 'c', 0640 },
	{ 2, 30000, 'd', 0600 },
	{ 0, 0, 'e', 0644 },
	{ 3, 1024, 'f', 0600 },
	{ 2, 3, 'g', 0600 },
	{ 0, SIZE_MAX, 0, 0 },
	{ 0, 2000, 'h', 0444 },
	{ 1, SIZE_MAX, 0, 0 },
	{ 3, 1025, 'i', 0600 },
	{ 3, 512, 'j', 0600 },
};
#define STEPS (sizeof steps / sizeof *steps)

static struct {
	size_t begun, done; /* steps */
	size_t begun_at[STEPS], done_at[STEPS];
} * files;

static void files_before(void *arg)
{
	(void)arg;
	memset(files, 0, sizeof *files);
	lg_test_write(in_root("target"), "0", 1);
	assert_int_equal(chmod(in_root("target"), 0600), 0);
	assert_int_equal(symlink("target", in_root("link")), 0);
}

static void make_step(const struct step *step)
{
	static char data[30000];
	struct lg_error err = LG_ERROR_INIT;
	const struct lg_replace_options options = { .mode = step->mode, .follow_link = true };
	if (step->len == SIZE_MAX) {
		lg_assert_ok(lg_file_remove(in_root(names[step->name]), &err), &err);
		return;
	}
	memset(data, step->letter, step->len);
	lg_assert_ok(lg_file_replace(in_root(names[step->name]), data, step->len, &options, &err), &err);
}

static void files_work(void *arg)
{
	struct lg_error err = LG_ERROR_INIT;
	(void)arg;
	lg_assert_ok(lg_dir_make(in_root("sub/deep"), 0700, &err), &err);
	while (files->done < STEPS) {
		if (files->begun == files->done) /* else a killed process has begun it */
			files->begun_at[files->begun++] = power_now();
		make_step(&steps[files->done]);
		files->done_at[files->done] = power_now();
		files->done++;
	}
}

/* The newest step of `name` among the first `count`, or NULL. */
static const struct step *newest_step(size_t name, size_t count)
{
	for (size_t i = count; i-- > 0;)
		if (steps[i].name == name)
			return &steps[i];
	return NULL;
}

/* What the file holds as after this step (NULL: as at first). */
static bool holds(size_t name, const struct step *step)
{
	size_t len = 0;
	struct stat st = { 0 };
	const char *path = in_root(real_names[name]);
	lg_autofree char *data = lg_test_read(path, &len);
	if (!step && name == 2)
		return data && len == 1 && data[0] == '0';
	if (!step || step->len == SIZE_MAX)
		return !data;
	bool same = data && len == step->len && stat(path, &st) == 0 && (st.st_mode & 07777) == step->mode;
	for (size_t i = 0; i < len && same; i++)
		same = data[i] == step->letter;
	return same;
}

static void files_look(void *arg, size_t at)
{
	struct lg_error err = LG_ERROR_INIT;
	size_t done = 0, begun = 0;
	(void)arg;
	while (done < files->done && files->done_at[done] <= at)
		done++;
	while (begun < files->begun && files->begun_at[begun] < at)
		begun++;
	for (size_t name = 0; name < NAMES; name++)
		if (!holds(name, newest_step(name, done)) && !holds(name, newest_step(name, begun)))
			fail_msg("'%s' is neither old nor new with %zu steps done", names[name], done);
	/* what lies beside can be swept up, and all goes on */
	lg_assert_ok(lg_dir_make(in_root("sub/deep"), 0700, &err), &err);
	for (size_t name = 0; name < NAMES; name++) {
		lg_assert_ok(lg_file_sweep(in_root(real_names[name]), &err), &err);
		make_step(&steps[name == 1 ? 2 : name == 2 ? 6 : name == 3 ? 10 : 1]);
	}
	char **left;
	size_t count;
	lg_assert_ok(lg_dir_list(root, &left, &count, &err), &err);
	assert_int_equal(count, NAMES + 1); /* the link and its target */
	lg_names_free(left, count);
}

/* --- a journal -------------------------------------------------------------------------------------------------------- */

#define LINES 14

static struct {
	size_t count; /* acknowledged */
	size_t opened_at, at[LINES];
} * journal;

static const char *line_text(size_t i)
{
	static char text[3001];
	size_t len = (i * 37) % 60 + (i % 5 == 4 ? 2900 : 0);
	memset(text, (int)('a' + i % 26), len);
	text[len] = '\0';
	return text;
}

static void journal_before(void *arg)
{
	(void)arg;
	memset(journal, 0, sizeof *journal);
}

/* Opened again now and then, as by a process that recovers. */
static void journal_work(void *arg)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_line_log *log = NULL;
	(void)arg;
	while (journal->count < LINES) {
		if (!log)
			lg_assert_ok(lg_line_log_open(in_root("journal"), true, &log, &err), &err);
		if (!journal->opened_at)
			journal->opened_at = power_now();
		lg_assert_ok(lg_line_log_append(log, line_text(journal->count), &err), &err);
		journal->at[journal->count] = power_now();
		journal->count++;
		if (journal->count % 4 == 0) {
			lg_line_log_close(log);
			log = NULL;
		}
	}
	lg_line_log_close(log);
}

/* The one that was killed may have written a line that it did not acknowledge. */
static int count_line(void *arg, const char *text, struct lg_error *err)
{
	size_t *count = arg;
	(void)err;
	if (strcmp(text, line_text(*count)) != 0)
		fail_msg("line %zu is another", *count);
	++*count;
	return 0;
}

static void journal_again(void *arg)
{
	struct lg_error err = LG_ERROR_INIT;
	journal->count = 0;
	if (lg_file_exists(in_root("journal")))
		lg_assert_ok(lg_line_log_read(in_root("journal"), count_line, &journal->count, &err), &err);
	/* only what is acknowledged from now on is looked for; whoever reads before a power failure may read what is lost in it */
	for (size_t i = 0; i < journal->count; i++)
		if (!journal->at[i])
			journal->at[i] = SIZE_MAX;
	journal_work(arg);
}

static void journal_look(void *arg, size_t at)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_line_log *log = NULL;
	size_t count = 0, acknowledged = 0, begun = 0;
	(void)arg;
	for (size_t i = 0; i < journal->count; i++) {
		if (journal->at[i] <= at)
			acknowledged = i + 1;
		begun += i == 0 || journal->at[i - 1] < at || journal->at[i - 1] == SIZE_MAX;
	}
	int rc = lg_line_log_read(in_root("journal"), count_line, &count, &err);
	if (rc != LG_ENOTFOUND || (journal->opened_at && journal->opened_at <= at))
		lg_assert_ok(rc, &err);
	assert_in_range(count, acknowledged, begun);
	lg_assert_ok(lg_line_log_open(in_root("journal"), true, &log, &err), &err);
	lg_assert_ok(lg_line_log_append(log, line_text(count), &err), &err);
	lg_line_log_close(log);
	size_t again = 0;
	lg_assert_ok(lg_line_log_read(in_root("journal"), count_line, &again, &err), &err);
	assert_int_equal(again, count + 1);
}

/* --- what goes past the recorder -------------------------------------------------------------------------------------- */

static void compare(void *arg)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	disk_assert_complete(arg, NULL);
}

static bool is_complete(struct disk *disk)
{
	return power_in_child(compare, disk) == 0;
}

static void test_unseen_is_noticed(void **state)
{
	struct lg_error err = LG_ERROR_INIT;
	(void)state;
	lg_assert_ok(lg_dir_make(root, 0700, &err), &err);
	lg_assert_ok(lg_file_replace(in_root("there"), "1", 1, NULL, &err), &err);
	struct disk *disk = disk_new(root);
	disk_record(disk);
	lg_assert_ok(lg_file_replace(in_root("seen"), "1", 1, NULL, &err), &err);
	assert_true(is_complete(disk));
	lg_test_write(in_root("seen"), "2", 1);
	assert_false(is_complete(disk));
	lg_test_write(in_root("seen"), "1", 1);
	assert_true(is_complete(disk));
	lg_test_write(in_root("made"), "", 0);
	assert_false(is_complete(disk));
	assert_int_equal(unlink(in_root("made")), 0);
	assert_true(is_complete(disk));
	assert_int_equal(unlink(in_root("there")), 0);
	assert_false(is_complete(disk));
	disk_stop(disk);
	disk_free(disk);
}

/* --- main ------------------------------------------------------------------------------------------------------------- */

#define FILES(title) .name = title, .root = root, .before = files_before, .work = files_work, .look = files_look
#define JOURNAL(title)                                                                                         \
	.name = title, .root = root, .before = journal_before, .work = journal_work, .look = journal_look
static const struct power_campaign campaigns[] = {
	{ FILES("files") },
	{ FILES("files, killed first"), .after_kill = files_work },
	{ JOURNAL("journal") },
	{ JOURNAL("journal, killed first"), .after_kill = journal_again },
	{ FILES("a disk that lies about directories"), .lie = "/" },
	{ FILES("a disk that lies about files"), .lie = "" },
	{ JOURNAL("a disk that lies about the journal"), .lie = "journal" },
};

int main(int argc, char **argv)
{
	static struct power_options options = { .cuts = 40, .rounds = 3, .seed = 1 };
	power_options(argc, argv, &options);
	snprintf(root, sizeof root, "%s/live", lg_test_dir());
	files = power_share(sizeof *files);
	journal = power_share(sizeof *journal);
	lg_test_add("what the recorder does not see is noticed", test_unseen_is_noticed, NULL);
	power_add(campaigns, sizeof campaigns / sizeof *campaigns, &options);
	return lg_test_run("power_files");
}
