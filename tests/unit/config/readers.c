/* readers.c - readers take snapshots without locks while the state changes under them.
 *
 * Every change writes one number to all keys, so a snapshot in which two keys differ was torn.  Run under
 * ThreadSanitizer (make check) this is also where a tree freed too early, or published too early, shows.
 */
#include "config/config.h"
#include "support/support.h"

#include "base/cleanup.h"

#include <pthread.h>
#include <stdatomic.h>

enum { READERS = 3, KEYS = 24, CHANGES = 60, RESTORE_EACH = 5, REVISIONS_MAX = 2 * CHANGES };

static struct lg_clock_sim sim;
static const struct lg_author author = { .actor = "alice", .reason = "test" };

struct reader {
	struct lg_config *config;
	const atomic_bool *over;
	pthread_t thread;
	long snapshots;
	long seen[REVISIONS_MAX]; /* by revision: the number in it, 0 when never met */
	const char *complaint;
	uint64_t revision; /* at the complaint */
};

struct gathered {
	long number;
	size_t count;
	bool torn;
};

static int gather(void *arg, const struct lg_entry *entry)
{
	struct gathered *all = arg;
	long number = strtol(entry->value, NULL, 10);
	if (all->count++ == 0)
		all->number = number;
	all->torn = all->torn || number != all->number;
	return 0;
}

static const char *complaint_about(struct reader *reader, const struct lg_snapshot *snapshot)
{
	struct gathered all = { 0 };
	uint8_t hash[LG_HASH_SIZE];
	struct lg_entry entry;
	lg_tree_walk(snapshot->tree, "", 0, gather, &all);
	lg_tree_hash(snapshot->tree, hash);
	if (snapshot->revision >= REVISIONS_MAX)
		return "a revision that was never written";
	if (snapshot->revision < reader->revision)
		return "the revision went back";
	if (all.torn)
		return "two keys are of different changes";
	if (all.count != (snapshot->revision ? KEYS : 0))
		return "keys are missing";
	if (all.count &&
		(!lg_tree_get(snapshot->tree, "svc/k07", 7, &entry) || entry.change > snapshot->revision))
		return "a change number is newer than the revision";
	if (snapshot->revision && reader->seen[snapshot->revision] &&
		reader->seen[snapshot->revision] != all.number)
		return "one revision has two contents";
	reader->seen[snapshot->revision] = all.number;
	return NULL;
}

static void *read_on(void *arg)
{
	struct reader *reader = arg;
	bool last = false;
	while (!last && !reader->complaint) {
		last = atomic_load(reader->over); /* one more round after the last change */
		struct lg_snapshot snapshot;
		lg_config_snapshot(reader->config, &snapshot);
		reader->complaint = complaint_about(reader, &snapshot);
		reader->revision = snapshot.revision;
		reader->snapshots++;
		lg_snapshot_clear(&snapshot);
	}
	return NULL;
}

static uint64_t write_number(struct lg_config *config, long number)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	char value[24];
	int len = snprintf(value, sizeof value, "%ld", number);
	for (int i = 0; i < KEYS; i++) {
		char key[16];
		snprintf(key, sizeof key, "svc/k%02d", i);
		lg_assert_ok(lg_changeset_add(&set, key, strlen(key), value, (size_t)len, &err), &err);
	}
	struct lg_committed committed;
	const struct lg_commit commit = { .changes = &set, .author = author };
	lg_assert_ok(lg_config_commit(config, &commit, &committed, NULL, &err), &err);
	uint64_t revision = committed.revision;
	lg_committed_clear(&committed);
	return revision;
}

static uint64_t go_back(struct lg_config *config, uint64_t to)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_committed committed;
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	const struct lg_restore form = {
		.to = to, .scope = &scope, .author = author, .rollback = "20260101-000000-abcdef"
	};
	lg_assert_ok(lg_config_restore(config, &form, &committed, NULL, &err), &err);
	uint64_t revision = committed.revision;
	lg_committed_clear(&committed);
	return revision;
}

/* Writes CHANGES numbers, going back two revisions every now and then; wrote[] by revision. Returns the newest. */
static uint64_t change_on(struct lg_config *config, long wrote[REVISIONS_MAX])
{
	uint64_t revision = 0, before = 0;
	for (long number = 1; number <= CHANGES; number++) {
		uint64_t earlier = before;
		before = revision;
		revision = write_number(config, number);
		assert_true(revision < REVISIONS_MAX);
		wrote[revision] = number;
		if (number % RESTORE_EACH == 0) {
			revision = go_back(config, earlier);
			assert_true(revision < REVISIONS_MAX);
			wrote[revision] = wrote[earlier];
		}
	}
	return revision;
}

static struct lg_config *open_new_store(void)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = NULL;
	const char *dir = lg_test_path("store");
	lg_assert_ok(lg_config_init(dir, &sim.clock, &err), &err);
	const struct lg_config_options options = { .state_dir = dir, .clock = &sim.clock };
	lg_assert_ok(lg_config_open(&options, &config, &err), &err);
	return config;
}

static void test_readers_never_see_half_a_change(void **state)
{
	static struct reader readers[READERS];
	static long wrote[REVISIONS_MAX];
	atomic_bool over = false;
	lg_cleanup(lg_config_closep) struct lg_config *config = open_new_store();
	for (int i = 0; i < READERS; i++) {
		readers[i] = (struct reader){ .config = config, .over = &over };
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
	}
	uint64_t newest = change_on(config, wrote);
	atomic_store(&over, true);
	for (int i = 0; i < READERS; i++)
		pthread_join(readers[i].thread, NULL);
	for (int i = 0; i < READERS; i++) {
		if (readers[i].complaint)
			fail_msg("at r%llu: %s", (unsigned long long)readers[i].revision, readers[i].complaint);
		assert_int_equal(readers[i].revision, newest);
		assert_true(readers[i].snapshots > 0);
		for (int r = 1; r < REVISIONS_MAX; r++)
			if (readers[i].seen[r])
				assert_int_equal(readers[i].seen[r], wrote[r]);
	}
}

int main(void)
{
	lg_clock_sim_init(&sim, 1750000000000000, 1000000000);
	lg_test_add("readers never see half a change", test_readers_never_see_half_a_change, NULL);
	return lg_test_run("config_readers");
}
