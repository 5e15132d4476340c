/* worker_commits - threads of one process that commit, each a key of its own, as fast as they are answered.
 *
 *	worker_commits together STATE_DIR THREADS SECONDS     one JSON line: rate and how long a commit takes
 *	worker_commits alone STATE_DIR DATABASE COMMITS       one writer; a bare SQLite insert after each commit
 *	worker_commits fill STATE_DIR THREADS KEYS REVISIONS  makes, or continues, a store of that many keys */
#include "base/cleanup.h"
#include "common.h"
#include "config/config.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct lg_author author = { "bench", "other: bench", false };

static struct lg_config *open_store(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = NULL;
	const struct lg_config_options options = { .state_dir = dir };
	bench_check(lg_config_open(&options, &config, &err), &err);
	return config;
}

static void add(struct lg_changeset *set, const char *key, uint64_t revision, uint64_t number)
{
	struct lg_error err = LG_ERROR_INIT;
	char text[BENCH_TEXT_MAX], value[BENCH_TEXT_MAX + 2];
	bench_value(text, revision, number);
	int len = snprintf(value, sizeof value, "\"%s\"", text);
	bench_check(lg_changeset_add(set, key, strlen(key), value, (size_t)len, &err), &err);
}

static uint64_t commit(struct lg_config *config, struct lg_changeset *set)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_committed committed;
	const struct lg_commit commit = { .changes = set, .author = author };
	bench_check(lg_config_commit(config, &commit, &committed, NULL, &err), &err);
	uint64_t revision = committed.revision;
	lg_committed_clear(&committed);
	return revision;
}

/* Microseconds until the change is durable. */
static double commit_one(struct lg_config *config, const char *key, uint64_t revision, uint64_t number)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	double start = bench_now_us();
	add(&set, key, revision, number);
	commit(config, &set);
	return bench_now_us() - start;
}

/* --- together --------------------------------------------------------------------------------------------------------- */

struct writer {
	struct lg_config *config;
	uint64_t keys, revisions; /* of the store */
	atomic_llong *left;       /* commits that all writers together may still make, or NULL */
	double until_us;
	pthread_t thread;
	size_t number;
	double *times;
	size_t count, size;
};

static void note(struct writer *writer, double time_us)
{
	if (writer->count == writer->size) {
		writer->size = writer->size ? writer->size * 2 : 4096;
		writer->times = realloc(writer->times, writer->size * sizeof *writer->times);
		if (!writer->times)
			bench_die("no memory");
	}
	writer->times[writer->count++] = time_us;
}

static void *write_until(void *arg)
{
	struct writer *writer = arg;
	char key[64];
	snprintf(key, sizeof key, "writers/writer-%02zu", writer->number);
	while (bench_now_us() < writer->until_us)
		note(writer, commit_one(writer->config, key, writer->count, (uint64_t)bench_now_us()));
	return NULL;
}

static void run_writers(struct writer *writers, size_t count, void *(*body)(void *))
{
	for (size_t i = 0; i < count; i++) {
		if (pthread_create(&writers[i].thread, NULL, body, &writers[i]) != 0)
			bench_die("cannot start a thread");
	}
	for (size_t i = 0; i < count; i++)
		pthread_join(writers[i].thread, NULL);
}

static double *gather(struct writer *writers, size_t count, size_t *ret_count)
{
	size_t total = 0, at = 0;
	for (size_t i = 0; i < count; i++)
		total += writers[i].count;
	double *times = bench_alloc(total, sizeof *times);
	for (size_t i = 0; i < count; i++) {
		memcpy(times + at, writers[i].times, writers[i].count * sizeof *times);
		at += writers[i].count;
		free(writers[i].times);
	}
	*ret_count = total;
	return times;
}

static void show(const char *name, double *times, size_t count, double seconds)
{
	double sum = 0;
	for (size_t i = 0; i < count; i++)
		sum += times[i];
	bench_sort(times, count);
	printf("\"%s\":{\"count\":%zu,\"seconds\":%.6f,\"mean_us\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}",
		name, count, seconds, count ? sum / (double)count : 0, bench_quantile(times, count, 0.5),
		bench_quantile(times, count, 0.99), bench_quantile(times, count, 1));
}

/* Every answered commit must be a record: what the head gained is counted, too. */
static void together(const char *dir, size_t threads, double seconds)
{
	struct lg_config *config = open_store(dir);
	struct writer *writers = bench_alloc(threads, sizeof *writers);
	struct lg_snapshot before, after;
	lg_config_snapshot(config, &before);
	double start = bench_now_us();
	for (size_t i = 0; i < threads; i++) {
		writers[i] =
			(struct writer){ .config = config, .number = i, .until_us = start + seconds * 1e6 };
	}
	run_writers(writers, threads, write_until);
	double took = (bench_now_us() - start) / 1e6;
	lg_config_snapshot(config, &after);
	size_t count;
	double *times = gather(writers, threads, &count);
	if (after.seq - before.seq != count)
		bench_die("%zu commits were answered, %llu recorded", count,
			(unsigned long long)(after.seq - before.seq));
	printf("{");
	show("commit", times, count, took);
	printf("}\n");
	lg_snapshot_clear(&before);
	lg_snapshot_clear(&after);
	lg_config_close(config);
	free(times);
	free(writers);
}

/* --- alone ------------------------------------------------------------------------------------------------------------ */

static void sql(sqlite3 *db, const char *text)
{
	if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
		bench_die("%s", sqlite3_errmsg(db));
}

static sqlite3_stmt *open_bare(const char *path, sqlite3 **ret_db)
{
	sqlite3_stmt *insert;
	if (sqlite3_open(path, ret_db) != SQLITE_OK)
		bench_die("cannot open '%s'", path);
	sql(*ret_db,
		"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
		"CREATE TABLE IF NOT EXISTS t(seq INTEGER PRIMARY KEY, body BLOB)");
	if (sqlite3_prepare_v2(*ret_db, "INSERT INTO t(body) VALUES (zeroblob(250))", -1, &insert, NULL) !=
		SQLITE_OK)
		bench_die("%s", sqlite3_errmsg(*ret_db));
	return insert;
}

static double insert_one(sqlite3_stmt *insert)
{
	double start = bench_now_us();
	if (sqlite3_step(insert) != SQLITE_DONE)
		bench_die("a bare insert failed");
	sqlite3_reset(insert);
	return bench_now_us() - start;
}

/* In turn, so that a slow moment of the disk hits both alike. */
static void alone(const char *dir, const char *path, size_t count)
{
	struct lg_config *config = open_store(dir);
	double *ours = bench_alloc(count, sizeof *ours), *bare = bench_alloc(count, sizeof *bare);
	double our_us = 0, bare_us = 0;
	sqlite3 *db;
	sqlite3_stmt *insert = open_bare(path, &db);
	for (size_t i = 0; i < count; i++) {
		our_us += ours[i] = commit_one(config, "writers/alone", i, (uint64_t)bench_now_us());
		bare_us += bare[i] = insert_one(insert);
	}
	printf("{");
	show("commit", ours, count, our_us / 1e6);
	printf(",");
	show("insert", bare, count, bare_us / 1e6);
	printf("}\n");
	sqlite3_finalize(insert);
	sqlite3_close(db);
	lg_config_close(config);
	free(ours);
	free(bare);
}

/* --- fill ------------------------------------------------------------------------------------------------------------- */

static void put_all(struct lg_config *config, uint64_t keys)
{
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	char key[BENCH_TEXT_MAX];
	for (uint64_t i = 0; i < keys; i++) {
		bench_key(key, i);
		add(&set, key, 1, i);
	}
	commit(config, &set);
}

/* Revision by revision all over the keys; a value tells which. */
static void *write_left(void *arg)
{
	struct writer *writer = arg;
	char key[BENCH_TEXT_MAX];
	long long left;
	while ((left = atomic_fetch_sub(writer->left, 1)) > 0) {
		uint64_t revision = writer->revisions + 1 - (uint64_t)left;
		uint64_t number = revision * 7919 % writer->keys;
		bench_key(key, number);
		commit_one(writer->config, key, revision, number);
	}
	return NULL;
}

static void fill(const char *dir, size_t threads, uint64_t keys, uint64_t revisions)
{
	struct lg_config *config = open_store(dir);
	struct writer *writers = bench_alloc(threads, sizeof *writers);
	struct lg_snapshot now;
	lg_config_snapshot(config, &now);
	if (now.revision == 0)
		put_all(config, keys);
	atomic_llong left = (long long)revisions - (long long)(now.revision ? now.revision : 1);
	for (size_t i = 0; i < threads; i++)
		writers[i] = (struct writer){
			.config = config, .number = i, .keys = keys, .revisions = revisions, .left = &left
		};
	run_writers(writers, threads, write_left);
	lg_snapshot_clear(&now);
	lg_config_close(config);
	free(writers);
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "together") == 0)
		together(argv[2], strtoul(argv[3], NULL, 10), strtod(argv[4], NULL));
	else if (argc == 5 && strcmp(argv[1], "alone") == 0)
		alone(argv[2], argv[3], strtoul(argv[4], NULL, 10));
	else if (argc == 6 && strcmp(argv[1], "fill") == 0)
		fill(argv[2], strtoul(argv[3], NULL, 10), strtoull(argv[4], NULL, 10),
			strtoull(argv[5], NULL, 10));
	else
		bench_die("wrong arguments, see worker_commits.c");
	return 0;
}
