/* bench/record - the durable record of a configuration rollback, by number of keys that differ.
 *
 * In one process, with the store open: lg_config_restore between two revisions that differ in N keys, until it is durable.
 * Beside it, on the same disk in the same run: one bare INSERT of a row of the same size into SQLite (WAL, FULL). */
#include "base/cleanup.h"
#include "common.h"
#include "config/config.h"
#include "io/file.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 101

static double now_ms(void)
{
	return bench_now_us() / 1e3;
}

static const struct lg_author author = { "bench", "other: bench", false };

static void put_all(struct lg_config *config, size_t count, const char *word)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	for (size_t i = 0; i < count; i++) {
		char key[64], value[64];
		int key_len = snprintf(key, sizeof key, "service-%03zu/setting-%06zu", i % 97, i);
		int len = snprintf(value, sizeof value, "\"%s-%zu\"", word, i);
		bench_check(lg_changeset_add(&set, key, (size_t)key_len, value, (size_t)len, &err), &err);
	}
	const struct lg_commit commit = { .changes = &set, .author = author };
	bench_check(lg_config_commit(config, &commit, NULL, NULL, &err), &err);
}

/* A store with two revisions that differ in every key. */
static struct lg_config *make_store(const char *dir, size_t count)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = NULL;
	bench_check(lg_config_init(dir, NULL, &err), &err);
	const struct lg_config_options options = { .state_dir = dir };
	bench_check(lg_config_open(&options, &config, &err), &err);
	put_all(config, count, "first");
	put_all(config, count, "second");
	return config;
}

static double time_restore(struct lg_config *config, uint64_t to)
{
	struct lg_error err = LG_ERROR_INIT;
	const struct lg_scope all = LG_SCOPE_ALL;
	struct lg_committed committed;
	const struct lg_restore restore = {
		.to = to, .scope = &all, .author = author, .rollback = "20260101-000000-000000"
	};
	double start = now_ms();
	bench_check(lg_config_restore(config, &restore, &committed, NULL, &err), &err);
	double took = now_ms() - start;
	if (!committed.changed)
		abort();
	lg_committed_clear(&committed);
	return took;
}

static void sql(sqlite3 *db, const char *text)
{
	if (sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK)
		return;
	bench_die("%s", sqlite3_errmsg(db));
}

static sqlite3 *make_bare(const char *path)
{
	sqlite3 *db;
	if (sqlite3_open(path, &db) != SQLITE_OK)
		exit(1);
	sql(db,
		"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(seq INTEGER PRIMARY KEY, "
		"body BLOB)");
	return db;
}

static double time_bare_insert(sqlite3 *db)
{
	double start = now_ms();
	sql(db, "INSERT INTO t(body) VALUES (zeroblob(250))");
	return now_ms() - start;
}

enum { SIZES = 4 };
static const size_t sizes[SIZES] = { 10, 1000, 100000, 1000000 };

/* All in turn within each round, so that a slow moment of the disk hits all alike. */
static void run(const char *dir, double ret_ms[SIZES], double *ret_bare_ms)
{
	static double times[SIZES][ROUNDS], bare[ROUNDS];
	struct lg_config *stores[SIZES];
	char path[300];
	for (int i = 0; i < SIZES; i++) {
		snprintf(path, sizeof path, "%s/%zu", dir, sizes[i]);
		stores[i] = make_store(path, sizes[i]);
	}
	snprintf(path, sizeof path, "%s/bare.db", dir);
	sqlite3 *db = make_bare(path);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < SIZES; i++)
			times[i][round] = time_restore(stores[i], round % 2 ? 2 : 1);
		bare[round] = time_bare_insert(db);
	}
	for (int i = 0; i < SIZES; i++) {
		ret_ms[i] = bench_median(times[i], ROUNDS);
		lg_config_close(stores[i]);
	}
	*ret_bare_ms = bench_median(bare, ROUNDS);
	sqlite3_close(db);
}

int main(void)
{
	const char *base = getenv("BENCH_DIR");
	char dir[256];
	double ms[SIZES], bare_ms;
	if (!base)
		base = getenv("TMPDIR");
	struct lg_error err = LG_ERROR_INIT;
	snprintf(dir, sizeof dir, "%s/lastgood-bench-XXXXXX", base && *base ? base : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	run(dir, ms, &bare_ms);
	bench_check(lg_dir_remove(dir, &err), &err);
	printf("\ndurable record of a config rollback, in one process (median of %d, in turn)\n", ROUNDS);
	printf("  %-16s %12s %18s %20s\n", "keys differing", "record, ms", "ratio to 10 keys",
		"ratio to bare INSERT");
	for (int i = 0; i < SIZES; i++)
		printf("  %-16zu %12.3f %18.2f %20.2f\n", sizes[i], ms[i], ms[i] / ms[0], ms[i] / bare_ms);
	printf("  bare SQLite INSERT of the same size, same disk, same run: %.3f ms\n", bare_ms);
	bench_verdict(ms[2] <= 2 * ms[0], "100,000 keys within 2 x of 10: %.2f x", ms[2] / ms[0]);
	bench_verdict(ms[3] <= 3 * ms[0], "1,000,000 keys within 3 x of 10: %.2f x", ms[3] / ms[0]);
	return 0;
}
