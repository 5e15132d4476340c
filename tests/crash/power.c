#include "crash/power.h"

#include "base/cleanup.h"
#include "io/file.h"
#include "io/random.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child that looks tells the parent: where it is. */
struct told {
	size_t at;
	uint64_t seed;
	size_t images;
};

static struct told *told;
static struct disk *disk;
static const struct power_options *options;

void *power_share(size_t size)
{
	void *shared =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(shared != MAP_FAILED);
	return shared;
}

int power_in_child(power_work *work, void *arg)
{
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		work(arg);
		_exit(0);
	}
	int status;
	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

size_t power_now(void)
{
	return disk_count(disk);
}

uint64_t power_seed(void)
{
	return told->seed;
}

/* --- recording -------------------------------------------------------------------------------------------------------- */

static void run_before(void *arg)
{
	const struct power_campaign *campaign = arg;
	lg_random_seed_for_tests(options->seed + 1);
	campaign->before(campaign->arg);
}

static void run_work(void *arg)
{
	const struct power_campaign *campaign = arg;
	lg_random_seed_for_tests(options->seed + 2);
	disk_record(disk);
	campaign->work(campaign->arg);
	disk_stop(disk);
}

static void run_after_kill(void *arg)
{
	const struct power_campaign *campaign = arg;
	lg_random_seed_for_tests(options->seed + 3);
	disk_record(disk);
	campaign->after_kill(campaign->arg);
	disk_stop(disk);
}

static void must(int status, int want, const struct power_campaign *campaign, const char *what)
{
	if (status != want)
		fail_msg("%s: %s ended with %d", campaign->name, what, status);
}

static void record_work(const struct power_campaign *campaign, size_t kill_at)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_dir_remove(campaign->root, &err), &err);
	assert_int_equal(mkdir(campaign->root, 0700), 0);
	if (campaign->before)
		must(power_in_child(run_before, (void *)campaign), 0, campaign, "what comes before");
	disk_free(disk);
	disk = disk_new(campaign->root);
	disk_kill_at(disk, kill_at, POWER_KILLED);
	must(power_in_child(run_work, (void *)campaign), kill_at ? POWER_KILLED : 0, campaign, "the work");
	disk_assert_complete(disk, campaign->ignored);
	if (!kill_at)
		return;
	disk_kill_at(disk, 0, 0);
	must(power_in_child(run_after_kill, (void *)campaign), 0, campaign, "the work after a kill");
	disk_assert_complete(disk, campaign->ignored);
}

/* --- cutting ---------------------------------------------------------------------------------------------------------- */

static void look_at(void *arg)
{
	const struct power_campaign *campaign = arg;
	for (size_t round = 0; round < options->rounds; round++) {
		told->seed = options->seed + round;
		const struct disk_cut cut = { .at = told->at, .seed = told->seed, .lie = campaign->lie };
		disk_lay(disk, &cut, campaign->root);
		lg_random_seed_for_tests(told->seed + 4);
		campaign->look(campaign->arg, told->at);
		told->images++;
	}
}

/* A disk that lies is caught at the first image that shows it; what the assertion says of that one is not news. */
static void look_at_lie(void *arg)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		_exit(1);
	look_at(arg);
}

/* The i-th of `max` of `total`, spread with both ends; 0 behind the last. max 0: all. */
static size_t sample(size_t i, size_t total, size_t max)
{
	if (max == 0 || max >= total)
		return i < total ? i + 1 : 0;
	if (max == 1)
		return i == 0 ? total : 0;
	return i < max ? 1 + i * (total - 1) / (max - 1) : 0;
}

/* Whether an image failed. */
static bool cut_at(const struct power_campaign *campaign, size_t kill, size_t at)
{
	told->at = at;
	int status = power_in_child(campaign->lie ? look_at_lie : look_at, (void *)campaign);
	if (status != 0 && !campaign->lie)
		fail_msg(
			"%s: the power failed behind operation %zu of %zu, %s; to see it again: --only 'power: %s' --kill %zu "
			"--at %zu --seed %" PRIu64 " --rounds 1",
			campaign->name, at, disk_count(disk), disk_describe(disk, at), campaign->name, kill, at,
			told->seed);
	return status != 0;
}

/* At a sample of the operations, from the one where the first process was killed. */
static void cut_everywhere(const struct power_campaign *campaign, size_t kill, size_t cuts)
{
	size_t from = kill ? kill - 1 : 0, total = disk_count(disk) - from, at;
	bool failed = false;
	for (size_t i = 0; (at = sample(i, total, cuts)) && !(campaign->lie && failed); i++)
		failed |= cut_at(campaign, kill, from + at);
	if (campaign->lie && !failed)
		fail_msg(
			"%s: a disk that syncs nothing of '%s' was not noticed", campaign->name, campaign->lie);
}

static void cut_after_kills(const struct power_campaign *campaign, size_t total)
{
	size_t kills = options->cuts && total > 64 ? 2 + options->cuts / 8 : total, kill;
	for (size_t i = 0; (kill = sample(i, total - 1, kills)); i++) {
		record_work(campaign, kill);
		cut_everywhere(campaign, kill, options->cuts ? 4 : 16);
	}
}

static void test_campaign(void **state)
{
	const struct power_campaign *campaign = *state;
	told->images = 0;
	record_work(campaign, options->kill);
	size_t ops = disk_count(disk), cuts = options->cuts;
	if (campaign->thin)
		cuts = (cuts ? cuts : ops) / campaign->thin + 1;
	for (size_t i = 1; options->at && i <= ops; i++)
		printf("# %zu%s %s\n", i, i == options->at ? "*" : "", disk_describe(disk, i));
	if (options->at)
		cut_at(campaign, options->kill, options->at);
	else if (campaign->after_kill)
		cut_after_kills(campaign, ops);
	else
		cut_everywhere(campaign, 0, cuts);
	printf("# %s: %zu operations, %zu images\n", campaign->name, ops, told->images);
	disk_free(disk);
	disk = NULL;
}

/* --- the program ------------------------------------------------------------------------------------------------------ */

void power_add(const struct power_campaign *campaigns, size_t count, const struct power_options *given)
{
	options = given;
	told = power_share(sizeof *told);
	printf("# seed %" PRIu64 "\n", given->seed);
	lg_test_rows("power", test_campaign, campaigns, count, sizeof *campaigns,
		offsetof(struct power_campaign, name));
}

void power_options(int argc, char **argv, struct power_options *ret)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *value = argv[i + 1];
		if (strcmp(argv[i], "--rounds") == 0)
			ret->rounds = strtoul(value, NULL, 10);
		else if (strcmp(argv[i], "--cuts") == 0)
			ret->cuts = strtoul(value, NULL, 10);
		else if (strcmp(argv[i], "--kill") == 0)
			ret->kill = strtoul(value, NULL, 10);
		else if (strcmp(argv[i], "--at") == 0)
			ret->at = strtoul(value, NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0)
			ret->seed = strtoull(value, NULL, 10);
		else if (strcmp(argv[i], "--only") == 0)
			cmocka_set_test_filter(value);
		else
			exit(2);
	}
	if (argc % 2 == 0)
		exit(2);
}
