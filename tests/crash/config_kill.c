/* Several processes change one store at full speed, others follow it, and each is killed (SIGKILL) at a random moment and
 * replaced, again and again.  A writer says through a pipe what it is about to do, and again once it was told that this is
 * done.  In the end every change that was acknowledged is in the log, once and under its revision; what was refused is not;
 * what was on its way is there whole or not at all; and each follower saw nothing that is not there.
 *
 *	config_kill [--cycles N] [--seed N]        one cycle is one process killed */
#include "config/config.h"
#include "config/retention.h"
#include "config/verify.h"
#include "support/support.h"

#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WRITERS   3
#define FOLLOWERS 1
#define SLOTS     (WRITERS + FOLLOWERS)
#define PER_STORE 100 /* kills at most, then a new store */
#define KEPT      250 /* revisions */

static unsigned cycles = 60;
static uint64_t seed = 20261123;

/* No power fails here, so nothing has to wait for the disk. */
int fsync(int fd)
{
	(void)fd;
	return 0;
}

int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

/* --- what a child says ------------------------------------------------------------------------------------------------- */

enum saying { BEGUN, DONE, REFUSED, SEEN };

struct word {
	enum saying saying;
	uint64_t n;                /* the writer's number of the change */
	uint64_t revision;         /* DONE: its revision; SEEN: the newest */
	uint64_t numbers[WRITERS]; /* SEEN: the number that each writer's keys have */
};

static void say(int out, const struct word *word)
{
	if (write(out, word, sizeof *word) != sizeof *word)
		_exit(1);
}

/* A record's id tells whose it is. */
struct id {
	uint32_t store, slot;
	uint64_t n;
};
_Static_assert(sizeof(struct id) == LG_ID_SIZE, "an id is a number of bytes");

/* --- writers ------------------------------------------------------------------------------------------------------------- */

static struct lg_config *open_store(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = NULL;
	const struct lg_config_options options = { .state_dir = dir };
	lg_assert_ok(lg_config_open(&options, &config, &err), &err);
	return config;
}

/* Two keys with the number, for halves to be seen, and now and then something large, for pages to be moved. */
static void add_keys(struct lg_changeset *set, unsigned slot, uint64_t n, uint64_t *random)
{
	static char payload[30002];
	static const char *const names[] = { "n", "twin" };
	struct lg_error err = LG_ERROR_INIT;
	char key[32], value[32];
	int value_len = snprintf(value, sizeof value, "%" PRIu64, n);
	for (size_t i = 0; i < 2; i++) {
		int len = snprintf(key, sizeof key, "w%u/%s", slot, names[i]);
		lg_assert_ok(lg_changeset_add(set, key, (size_t)len, value, (size_t)value_len, &err), &err);
	}
	size_t size = 2 + next_random(random) % (next_random(random) % 20 ? 300 : sizeof payload - 2);
	memset(payload, 'p', size);
	payload[0] = payload[size - 1] = '"';
	int len = snprintf(key, sizeof key, "w%u/load%u", slot, next_random(random) % 8);
	lg_assert_ok(lg_changeset_add(set, key, (size_t)len, payload, size, &err), &err);
}

static void trim(struct lg_config *config);

static _Noreturn void write_forever(const char *dir, int out, const struct id *first, uint64_t random)
{
	struct lg_config *config = open_store(dir);
	for (struct id id = *first;; id.n++) {
		struct lg_error err = LG_ERROR_INIT;
		struct lg_committed committed = { 0 };
		uint8_t ids[1][LG_ID_SIZE];
		lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
		memcpy(ids[0], &id, LG_ID_SIZE);
		add_keys(&set, id.slot, id.n, &random);
		const struct lg_commit commit = {
			.changes = &set, .author = { .actor = "w", .reason = "test" }, .ids = (void *)ids
		};
		struct word word = { .saying = BEGUN, .n = id.n };
		say(out, &word);
		int rc = lg_config_commit(config, &commit, &committed, NULL, &err);
		if (rc < 0 && rc != LG_EBUSY && rc != LG_ECONFLICT)
			lg_assert_ok(rc, &err);
		word.saying = rc == 0 ? DONE : REFUSED;
		word.revision = committed.revision;
		say(out, &word);
		lg_committed_clear(&committed);
		if (id.store % 3 == 0 && next_random(&random) % 200 == 0)
			trim(config);
		if (next_random(&random) % 100 == 0 && (rc = lg_config_checkpoint(config, &err)) != LG_EBUSY)
			lg_assert_ok(rc, &err);
	}
}

/* In every third store one of them drops old history now and then: what was acknowledged may then be in a gap, and nowhere else. */
static void trim(struct lg_config *config)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_trim_plan plan = { 0 };
	const struct lg_retention retention = { .revisions = KEPT };
	const struct lg_author author = { .actor = "w", .reason = "test" };
	int rc = lg_config_trim_plan(config, &retention, &plan, &err);
	if (rc == 0 && plan.before > plan.first)
		rc = lg_config_trim(config, &plan, &author, &err);
	lg_trim_plan_clear(&plan);
	/* another one's trim was faster */
	if (rc != LG_EBUSY && rc != LG_ECONFLICT && rc != LG_ENOTFOUND)
		lg_assert_ok(rc, &err);
}

/* --- followers ----------------------------------------------------------------------------------------------------------- */

static uint64_t number_at(const struct lg_tree *tree, unsigned slot, const char *name)
{
	char key[32];
	struct lg_entry entry;
	int len = snprintf(key, sizeof key, "w%u/%s", slot, name);
	return lg_tree_get(tree, key, (size_t)len, &entry) ? strtoull(entry.value, NULL, 10) : 0;
}

static _Noreturn void follow_forever(const char *dir, int out)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = open_store(dir);
	for (;;) {
		struct lg_snapshot now;
		lg_assert_ok(lg_config_wait(config, 200, &err), &err);
		lg_config_snapshot(config, &now);
		struct word word = { .saying = SEEN, .revision = now.revision };
		for (unsigned slot = 0; slot < WRITERS; slot++) {
			word.numbers[slot] = number_at(now.tree, slot, "n");
			assert_int_equal(word.numbers[slot], number_at(now.tree, slot, "twin"));
		}
		lg_snapshot_clear(&now);
		say(out, &word);
	}
}

/* --- the parent ---------------------------------------------------------------------------------------------------------- */

struct change {
	enum saying outcome; /* BEGUN: nobody knows */
	uint64_t revision;   /* as acknowledged */
	uint64_t found;      /* in the log, 0: not */
};

struct slot {
	pid_t pid;
	int in;
	struct word last; /* SEEN */
	/* of a writer, by number - 1 */
	struct change *changes;
	size_t count, room;
};

static struct slot slots[SLOTS];
static const char *dir;
static uint32_t store;
static uint64_t acknowledged, trimmed, killed, seen, unknown_there, unknown_gone;

static void start(unsigned which, uint64_t *random)
{
	int fds[2];
	struct slot *slot = &slots[which];
	const struct id first = { store, which, slot->count + 1 };
	uint64_t own = ((uint64_t)next_random(random) << 20) + which;
	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	slot->pid = fork();
	assert_true(slot->pid >= 0);
	if (slot->pid == 0) {
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		close(fds[0]);
		for (unsigned i = 0; i < SLOTS; i++)
			if (i != which && slots[i].pid)
				close(slots[i].in);
		if (which < WRITERS)
			write_forever(dir, fds[1], &first, own);
		follow_forever(dir, fds[1]);
	}
	close(fds[1]);
	slot->in = fds[0];
	slot->last = (struct word){ .saying = SEEN };
}

static void hear_writer(struct slot *slot, const struct word *word)
{
	if (word->saying == BEGUN) {
		if (slot->count == slot->room) {
			slot->room = 2 * slot->room + 256;
			slot->changes = realloc(slot->changes, slot->room * sizeof *slot->changes);
			assert_non_null(slot->changes);
		}
		assert_int_equal(word->n, slot->count + 1);
		slot->changes[slot->count++] = (struct change){ .outcome = BEGUN };
		return;
	}
	assert_int_equal(word->n, slot->count);
	slot->changes[slot->count - 1].outcome = word->saying;
	slot->changes[slot->count - 1].revision = word->revision;
	acknowledged += word->saying == DONE;
}

/* A follower never goes back, and sees nothing that was not begun. */
static void hear_follower(struct slot *slot, const struct word *word)
{
	assert_true(word->revision >= slot->last.revision);
	for (unsigned i = 0; i < WRITERS; i++)
		assert_true(word->numbers[i] >= slot->last.numbers[i]);
	slot->last = *word;
	seen++;
}

/* One word; false at the end of the pipe. */
static bool hear(unsigned which)
{
	struct word word;
	struct slot *slot = &slots[which];
	ssize_t n = read(slot->in, &word, sizeof word);
	if (n == 0)
		return false;
	assert_int_equal(n, sizeof word);
	if (word.saying == SEEN)
		hear_follower(slot, &word);
	else
		hear_writer(slot, &word);
	return true;
}

/* Hears whoever speaks; returns who, or SLOTS when nobody did for a moment. */
static unsigned listen_to_all(unsigned from)
{
	struct pollfd fds[SLOTS];
	for (unsigned i = 0; i < SLOTS; i++)
		fds[i] = (struct pollfd){ .fd = slots[i].in, .events = POLLIN };
	if (poll(fds, SLOTS, 20) <= 0)
		return SLOTS;
	for (unsigned i = 0; i < SLOTS; i++) {
		unsigned which = (from + i) % SLOTS;
		if (!fds[which].revents)
			continue;
		if (!hear(which))
			fail_msg("process %u ended by itself", which);
		return which;
	}
	return SLOTS;
}

static void end(unsigned which)
{
	struct slot *slot = &slots[which];
	int status = 0;
	kill(slot->pid, SIGKILL);
	while (hear(which))
		;
	assert_int_equal(waitpid(slot->pid, &status, 0), slot->pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("process %u ended by itself: %#x", which, status);
	close(slot->in);
	slot->pid = 0;
	killed++;
}

/* Listens until one that was drawn has said enough, waits for microseconds, busily, to hit any instruction, and kills it. */
static void kill_one(uint64_t *random)
{
	unsigned draw = next_random(random) % (4 * WRITERS + FOLLOWERS);
	unsigned victim = draw < 4 * WRITERS ? draw % WRITERS : WRITERS + (draw - 4 * WRITERS);
	unsigned words = next_random(random) % 30;
	volatile uint32_t spin = next_random(random) % 300000;
	for (unsigned heard = 0, idle = 0; heard < words && idle < 20;) {
		unsigned who = listen_to_all(victim);
		heard += who == victim;
		idle += who == SLOTS;
	}
	while (spin > 0)
		spin--;
	end(victim);
}

/* --- the end of a store ---------------------------------------------------------------------------------------------------- */

static int find_change(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct id id;
	(void)arg, (void)err;
	if (record->kind != LG_KIND_CHANGE)
		return 0; /* of a trim */
	memcpy(&id, record->id, LG_ID_SIZE);
	if (id.store != store || id.slot >= WRITERS || id.n == 0 || id.n > slots[id.slot].count)
		fail_msg("nobody wrote record %" PRIu64, record->seq);
	struct change *change = &slots[id.slot].changes[id.n - 1];
	if (change->found)
		fail_msg("one change is record %" PRIu64 " and %" PRIu64, change->found, record->seq);
	change->found = record->seq;
	return 0;
}

/* Acknowledged, and dropped since. */
static bool was_trimmed(struct lg_log *log, const struct change *change)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log_gap gap;
	if (change->outcome != DONE || change->found)
		return false;
	int rc = lg_log_gap(log, change->revision, &gap, &err);
	lg_assert_ok(rc, &err);
	return rc == 1 && gap.last >= change->revision;
}

static void check_writer(unsigned which, const struct lg_tree *tree, struct lg_log *log)
{
	const struct slot *slot = &slots[which];
	uint64_t newest = 0, before = 0;
	for (size_t i = 0; i < slot->count; i++) {
		struct change *change = &slot->changes[i];
		if (was_trimmed(log, change)) {
			change->found = change->revision;
			trimmed++;
		}
		if (change->outcome == DONE && change->found != change->revision)
			fail_msg("change %zu of writer %u was acknowledged as r%" PRIu64 " and is at %" PRIu64,
				i + 1, which, change->revision, change->found);
		if (change->outcome == REFUSED && change->found)
			fail_msg("change %zu of writer %u was refused and is r%" PRIu64, i + 1, which,
				change->found);
		if (!change->found)
			continue;
		assert_true(change->found > before);
		before = change->found;
		newest = i + 1;
	}
	for (size_t i = 0; i < slot->count; i++) {
		unknown_there += slot->changes[i].outcome == BEGUN && slot->changes[i].found;
		unknown_gone += slot->changes[i].outcome == BEGUN && !slot->changes[i].found;
	}
	uint64_t number = number_at(tree, which, "n");
	/* one that was on its way may have happened and been dropped since */
	assert_true(number == newest || (number > newest && slot->changes[number - 1].outcome == BEGUN));
	assert_int_equal(number_at(tree, which, "twin"), number);
}

static void check_store(void)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_snapshot now;
	struct lg_log *log = NULL;
	char url[600];
	lg_cleanup(lg_config_closep) struct lg_config *config = open_store(dir);
	snprintf(url, sizeof url, "sqlite:%s/log.db", dir);
	lg_assert_ok(lg_log_open(url, &(struct lg_log_open){ 0 }, &log, &err), &err);
	struct lg_verify_report report = { 0 };
	lg_assert_ok(lg_verify(&(struct lg_verify_options){ .state_dir = dir }, &report, &err), &err);
	if (report.problems.total)
		fail_msg("it does not verify: %s", report.problems.items[0].message);
	lg_verify_report_clear(&report);
	const struct lg_log_query all = { .no_body = true };
	lg_assert_ok(lg_log_query(log, &all, find_change, NULL, &err), &err);
	lg_config_snapshot(config, &now);
	for (unsigned i = 0; i < WRITERS; i++)
		check_writer(i, now.tree, log);
	lg_log_close(log);
	for (unsigned i = WRITERS; i < SLOTS; i++) {
		assert_true(slots[i].last.revision <= now.revision);
		for (unsigned w = 0; w < WRITERS; w++)
			assert_true(slots[i].last.numbers[w] <= number_at(now.tree, w, "n"));
	}
	lg_snapshot_clear(&now);
}

/* --- the storm ----------------------------------------------------------------------------------------------------------- */

static void new_store(void)
{
	struct lg_error err = LG_ERROR_INIT;
	char name[32];
	snprintf(name, sizeof name, "store%u", ++store);
	dir = lg_test_path(name);
	lg_assert_ok(lg_config_init(dir, NULL, &err), &err);
	for (unsigned i = 0; i < SLOTS; i++) {
		free(slots[i].changes);
		slots[i] = (struct slot){ .pid = 0 };
	}
}

static void storm(unsigned kills, uint64_t *random)
{
	new_store();
	for (unsigned i = 0; i < SLOTS; i++)
		start(i, random);
	for (unsigned i = 0; i + SLOTS < kills; i++) {
		kill_one(random);
		for (unsigned s = 0; s < SLOTS; s++)
			if (!slots[s].pid)
				start(s, random);
	}
	/* all at once: nobody is left who has the store open */
	for (unsigned i = 0; i < SLOTS; i++)
		kill(slots[i].pid, SIGKILL);
	for (unsigned i = 0; i < SLOTS; i++)
		end(i);
	check_store();
}

static void test_storm(void **state)
{
	uint64_t random = seed;
	(void)state;
	while (killed < cycles)
		storm(cycles / 3 < PER_STORE ? cycles / 3 : PER_STORE, &random);
	printf("# seed %" PRIu64 ": %" PRIu64 " killed, %" PRIu64
	       " changes acknowledged and none lost, %" PRIu64
	       "\n# of them dropped by retention since; of those on "
	       "their way %" PRIu64 " happened and %" PRIu64 " did not; followers looked %" PRIu64 " times\n",
		seed, killed, acknowledged, trimmed, unknown_there, unknown_gone, seen);
	assert_true(acknowledged > cycles);
	for (unsigned i = 0; i < SLOTS; i++)
		free(slots[i].changes);
}

int main(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--cycles") == 0)
			cycles = (unsigned)strtoul(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 10);
		else
			return 2;
	}
	lg_test_add("killed at random under load", test_storm, NULL);
	return lg_test_run("crash_config_kill");
}
