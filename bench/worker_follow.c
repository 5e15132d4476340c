/* worker_follow - one process commits, a second one follows: how late, at what cost, and does it see everything?
 *
 *	worker_follow lastgood STATE_DIR COMMITS IDLE_S FLOOD THREADS
 *	worker_follow etcd URL COMMITS IDLE_S
 *	worker_follow sqlite DATABASE COMMITS IDLE_S          polls PRAGMA data_version every 10 ms
 *
 * COMMITS at a modest, uneven rate: the time from each being durable (the call returned) to the follower having it in hand.  Then
 * IDLE_S seconds in which nothing happens: what the follower spends.  Then, ours only, FLOOD commits as fast as THREADS threads
 * can, each of which must be seen.  One JSON line. */
#include "base/cleanup.h"
#include "common.h"
#include "config/config.h"
#include "etcd.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS         10
#define CATCH_UP_MAX_US 60e6

/* Between the two processes.  A commit is known by its revision. */
struct shared {
	atomic_bool go;           /* first is set */
	atomic_bool ready;        /* the follower follows */
	atomic_ullong seen_count; /* of revisions above first */
	atomic_ullong twice;
	uint64_t first, size;
	struct {
		double durable_us, seen_us;
	} at[];
};
static struct shared *shared;

static void map_shared(uint64_t size)
{
	size_t bytes = sizeof *shared + size * sizeof shared->at[0];
	shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		bench_die("no memory for %llu commits", (unsigned long long)size);
	shared->size = size;
}

/* In the follower. */
static void note_seen(uint64_t revision)
{
	uint64_t at = revision - shared->first;
	if (revision <= shared->first || at >= shared->size)
		return;
	if (shared->at[at].seen_us > 0)
		atomic_fetch_add(&shared->twice, 1);
	shared->at[at].seen_us = bench_now_us();
	atomic_fetch_add(&shared->seen_count, 1);
}

/* A system under measurement.  `follow` runs in the second process and does not return. */
struct way {
	void (*open)(const char *where);
	uint64_t (*newest)(void); /* revision before the first commit */
	uint64_t (*commit)(size_t writer);
	void (*follow)(const char *where);
};

static void sleep_us(double us)
{
	struct timespec time = { (time_t)(us / 1e6), (long)((us - (double)(time_t)(us / 1e6) * 1e6) * 1e3) };
	while (nanosleep(&time, &time) < 0 && errno == EINTR)
		;
}

/* --- lastgood --------------------------------------------------------------------------------------------------------- */

static const struct lg_author author = { "bench", "other: bench", false };
static struct lg_config *config;

static struct lg_config *open_config(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *opened = NULL;
	const struct lg_config_options options = { .state_dir = dir };
	bench_check(lg_config_open(&options, &opened, &err), &err);
	return opened;
}

static void ours_open(const char *dir)
{
	config = open_config(dir);
}

static uint64_t ours_newest(void)
{
	struct lg_snapshot now;
	lg_config_snapshot(config, &now);
	uint64_t seq = now.seq;
	lg_snapshot_clear(&now);
	return seq;
}

static uint64_t ours_commit(size_t writer)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_changeset_clear) struct lg_changeset set = LG_CHANGESET_INIT;
	struct lg_committed committed;
	char key[64], value[64];
	int key_len = snprintf(key, sizeof key, "writers/writer-%02zu", writer);
	int len = snprintf(value, sizeof value, "%.0f", bench_now_us() * 10);
	bench_check(lg_changeset_add(&set, key, (size_t)key_len, value, (size_t)len, &err), &err);
	const struct lg_commit commit = { .changes = &set, .author = author };
	bench_check(lg_config_commit(config, &commit, &committed, NULL, &err), &err);
	uint64_t revision = committed.revision;
	lg_committed_clear(&committed);
	return revision;
}

static int see_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	note_seen(record->seq);
	*(uint64_t *)arg = record->seq;
	return 0;
}

/* As a service would: asleep until somebody appended, then the records since the last one. */
static void ours_follow(const char *dir)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *follower = open_config(dir);
	uint64_t last = shared->first;
	atomic_store(&shared->ready, true);
	for (;;) {
		const struct lg_log_query query = { .from = last + 1 };
		bench_check(lg_config_wait(follower, -1, &err), &err);
		bench_check(lg_config_query(follower, &query, see_record, &last, &err), &err);
	}
}

/* --- etcd ------------------------------------------------------------------------------------------------------------- */

static struct etcd *etcd;

static void etcd_begin(const char *url)
{
	etcd = etcd_open(url);
}

static uint64_t etcd_commit(size_t writer)
{
	char key[64], value[64];
	lg_cleanup(lg_buf_clear) struct lg_buf message = LG_BUF_INIT;
	snprintf(key, sizeof key, "writers/writer-%02zu", writer);
	snprintf(value, sizeof value, "%.0f", bench_now_us() * 10);
	etcd_add_put(&message, key, value);
	return etcd_call(etcd, "Put", &message);
}

static uint64_t etcd_newest(void)
{
	return etcd_commit(0);
}

static void etcd_ready(void *arg)
{
	(void)arg;
	atomic_store(&shared->ready, true);
}

static void etcd_seen(void *arg, uint64_t revision)
{
	(void)arg;
	note_seen(revision);
}

static void etcd_follow(const char *url)
{
	const struct etcd_watcher watcher = { etcd_ready, etcd_seen, NULL };
	etcd_watch(url, &watcher);
}

/* --- sqlite, polled --------------------------------------------------------------------------------------------------- */

static sqlite3 *database;
static sqlite3_stmt *insert;

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement;
	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
		bench_die("%s", sqlite3_errmsg(db));
	return statement;
}

static void sqlite_open(const char *path)
{
	if (sqlite3_open(path, &database) != SQLITE_OK ||
		sqlite3_exec(database,
			"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
			"CREATE TABLE IF NOT EXISTS t(seq INTEGER PRIMARY KEY, body BLOB)",
			NULL, NULL, NULL) != SQLITE_OK)
		bench_die("%s", sqlite3_errmsg(database));
	insert = prepare(database, "INSERT INTO t(body) VALUES (zeroblob(250))");
}

static uint64_t sqlite_newest(void)
{
	return (uint64_t)sqlite3_last_insert_rowid(database);
}

static uint64_t sqlite_commit(size_t writer)
{
	(void)writer;
	if (sqlite3_step(insert) != SQLITE_DONE)
		bench_die("%s", sqlite3_errmsg(database));
	sqlite3_reset(insert);
	return (uint64_t)sqlite3_last_insert_rowid(database);
}

static void sqlite_follow(const char *path)
{
	sqlite3 *db;
	uint64_t last = shared->first;
	int version = 0;
	if (sqlite3_open(path, &db) != SQLITE_OK)
		bench_die("cannot open '%s'", path);
	sqlite3_busy_timeout(db, 1000);
	sqlite3_stmt *poll = prepare(db, "PRAGMA data_version");
	sqlite3_stmt *rows = prepare(db, "SELECT seq FROM t WHERE seq > ?");
	for (;; sleep_us(POLL_MS * 1e3)) {
		if (sqlite3_step(poll) != SQLITE_ROW)
			bench_die("%s", sqlite3_errmsg(db));
		int now = sqlite3_column_int(poll, 0);
		sqlite3_reset(poll);
		if (now == version)
			continue;
		version = now;
		sqlite3_bind_int64(rows, 1, (sqlite3_int64)last);
		while (sqlite3_step(rows) == SQLITE_ROW)
			note_seen(last = (uint64_t)sqlite3_column_int64(rows, 0));
		sqlite3_reset(rows);
		atomic_store(&shared->ready, true);
	}
}

/* --- what a process spends -------------------------------------------------------------------------------------------- */

struct spent {
	unsigned long ticks;           /* of user and system time, as /proc/PID/stat counts them */
	unsigned long long running_ns; /* by the scheduler's own clock */
	unsigned long wakeups;         /* voluntary context switches */
};

static unsigned long ticks_of(pid_t pid)
{
	char path[64];
	unsigned long user, system;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *file = fopen(path, "r");
	if (!file ||
		fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			&system) != 2)
		bench_die("cannot read '%s'", path);
	fclose(file);
	return user + system;
}

static void add_thread(pid_t pid, const char *thread, struct spent *spent)
{
	char path[300], line[256];
	unsigned long long ns;
	unsigned long switches;
	snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, thread);
	FILE *file = fopen(path, "r");
	if (file && fscanf(file, "%llu", &ns) == 1)
		spent->running_ns += ns;
	if (file)
		fclose(file);
	snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)pid, thread);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof line, file)) {
		if (sscanf(line, "voluntary_ctxt_switches: %lu", &switches) == 1)
			spent->wakeups += switches;
	}
	if (file)
		fclose(file);
}

static struct spent spent_by(pid_t pid)
{
	struct spent spent = { .ticks = ticks_of(pid) };
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	if (!tasks)
		bench_die("cannot read '%s'", path);
	for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
		if (entry->d_name[0] != '.')
			add_thread(pid, entry->d_name, &spent);
	}
	closedir(tasks);
	return spent;
}

/* --- the measurement -------------------------------------------------------------------------------------------------- */

static void wait_until_seen(uint64_t count)
{
	double until = bench_now_us() + CATCH_UP_MAX_US;
	while (atomic_load(&shared->seen_count) < count && bench_now_us() < until)
		sleep_us(1000);
}

static void commit_timed(const struct way *way, size_t writer)
{
	uint64_t revision = way->commit(writer);
	double now = bench_now_us();
	uint64_t at = revision - shared->first;
	if (at < shared->size)
		shared->at[at].durable_us = now;
}

/* Latencies of the commits from..to; what was seen before the writer had its answer counts as 0. */
static void show_latency(const char *name, uint64_t from, uint64_t to)
{
	double *late = bench_alloc(to - from + 1, sizeof *late);
	size_t count = 0, missed = 0;
	for (uint64_t i = from; i <= to; i++) {
		double us = shared->at[i].seen_us - shared->at[i].durable_us;
		if (shared->at[i].seen_us > 0 && shared->at[i].durable_us > 0)
			late[count++] = us > 0 ? us : 0;
		else
			missed++;
	}
	bench_sort(late, count);
	printf("\"%s\":{\"count\":%zu,\"missed\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}", name,
		count, missed, bench_quantile(late, count, 0.5), bench_quantile(late, count, 0.99),
		bench_quantile(late, count, 1));
	free(late);
}

static void modest(const struct way *way, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		sleep_us(1000 + (double)(i * 7919 % 2000)); /* uneven, so that no period of anybody meets it */
		commit_timed(way, 0);
	}
	wait_until_seen(count);
	show_latency("modest", 1, count);
}

static void idle(pid_t follower, double seconds)
{
	sleep_us(500e3);
	struct spent before = spent_by(follower);
	sleep_us(seconds * 1e6);
	struct spent after = spent_by(follower);
	printf(",\"idle\":{\"seconds\":%.1f,\"ticks\":%lu,\"running_us\":%.1f,\"wakeups\":%lu}", seconds,
		after.ticks - before.ticks, (double)(after.running_ns - before.running_ns) / 1e3,
		after.wakeups - before.wakeups);
}

struct writer {
	pthread_t thread;
	const struct way *way;
	size_t number;
	uint64_t commits;
};

static void *write_all(void *arg)
{
	struct writer *writer = arg;
	for (uint64_t i = 0; i < writer->commits; i++)
		commit_timed(writer->way, writer->number);
	return NULL;
}

static void flood(const struct way *way, uint64_t before, uint64_t count, size_t threads)
{
	struct writer *writers = bench_alloc(threads, sizeof *writers);
	double start = bench_now_us();
	for (size_t i = 0; i < threads; i++) {
		writers[i] = (struct writer){
			.way = way, .number = i, .commits = count / threads + (i < count % threads)
		};
		if (pthread_create(&writers[i].thread, NULL, write_all, &writers[i]) != 0)
			bench_die("cannot start a thread");
	}
	for (size_t i = 0; i < threads; i++)
		pthread_join(writers[i].thread, NULL);
	double written = bench_now_us();
	wait_until_seen(before + count);
	double caught_up = bench_now_us();
	printf(",");
	show_latency("flood", before + 1, before + count);
	printf(",\"flood_seconds\":%.3f,\"catch_up_ms\":%.3f", (written - start) / 1e6,
		(caught_up - written) / 1e3);
	free(writers);
}

/* Before anything is opened: what SQLite knows about its locks must not be inherited. */
static pid_t start_follower(const struct way *way, const char *where)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid < 0)
		bench_die("cannot fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == parent && !atomic_load(&shared->go))
			sleep_us(1000);
		if (getppid() == parent)
			way->follow(where);
		_exit(1);
	}
	return pid;
}

static void measure(const struct way *way, const char *where, char **numbers, int count)
{
	uint64_t commits = strtoull(numbers[0], NULL, 10);
	uint64_t storm = count == 4 ? strtoull(numbers[2], NULL, 10) : 0;
	map_shared(commits + storm + 1);
	pid_t follower = start_follower(way, where);
	way->open(where);
	shared->first = way->newest();
	atomic_store(&shared->go, true);
	while (!atomic_load(&shared->ready)) {
		if (waitpid(follower, NULL, WNOHANG) != 0)
			bench_die("the follower ended");
		sleep_us(1000);
	}
	printf("{");
	modest(way, commits);
	idle(follower, strtod(numbers[1], NULL));
	if (storm)
		flood(way, commits, storm, strtoul(numbers[3], NULL, 10));
	printf(",\"twice\":%llu}\n", (unsigned long long)atomic_load(&shared->twice));
	kill(follower, SIGKILL);
	waitpid(follower, NULL, 0);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		struct way way;
	} ways[] = {
		{ "lastgood", { ours_open, ours_newest, ours_commit, ours_follow } },
		{ "etcd", { etcd_begin, etcd_newest, etcd_commit, etcd_follow } },
		{ "sqlite", { sqlite_open, sqlite_newest, sqlite_commit, sqlite_follow } },
	};
	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
		bool ours = i == 0;
		if (argc == (ours ? 7 : 5) && strcmp(argv[1], ways[i].name) == 0) {
			measure(&ways[i].way, argv[2], argv + 3, argc - 3);
			return 0;
		}
	}
	bench_die("wrong arguments, see worker_follow.c");
}
