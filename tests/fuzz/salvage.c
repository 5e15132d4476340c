/* salvage.c - a fuzzer for the reader of damaged stores (libFuzzer; meson setup -Dfuzzing=true, CC=clang).
 *
 *	build-fuzz/tests/fuzz/fuzz_salvage -max_total_time=60 CORPUS_DIRECTORY
 *
 * A small store is made once.  The first byte chooses: the rest is patches of it (three bytes of place, one to write there),
 * with where to cut the files; or it is the files themselves.  Whatever comes, nothing is proven that was not written. */
#include "log/salvage.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RECORDS 24
#define IN_FILE 18 /* of them, the others in the -wal */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64], db_path[96], wal_path[96];
static uint8_t hashes[RECORDS][LG_HASH_SIZE];
static char *db, *wal;
static size_t db_len, wal_len;

static void require(bool holds, const char *what, const char *detail)
{
	if (holds)
		return;
	fprintf(stderr, "fuzz_salvage: %s: %s\n", what, detail);
	abort();
}

static void remove_dir(void)
{
	(void)lg_dir_remove(dir, NULL);
}

static char *load(const char *path, size_t *ret_len)
{
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	require(lg_file_read(path, SIZE_MAX / 2, &buf, &err) == 0, "read", err.message);
	*ret_len = buf.len;
	return lg_buf_steal(&buf);
}

static void append(struct lg_log *log, uint64_t seq, struct lg_log_head *head)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	lg_buf_addf(&body, "{\"set\":{\"k%d\":\"", (int)seq);
	for (size_t i = 0; i < (seq % 10 == 3 ? 9000u : 40u); i++)
		lg_buf_addc(&body, (char)('a' + (seq * 7 + i) % 26));
	lg_buf_adds(&body, "\"}}");
	struct lg_record record = { .seq = seq,
		.id = { (uint8_t)seq },
		.time_us = 1767225600000000 + (int64_t)seq,
		.kind = seq % 4 ? LG_KIND_CHANGE : LG_KIND_MARK,
		.actor = "alice",
		.reason = "because",
		.body = body.data,
		.body_len = body.len,
		.has_root = seq % 4 != 0 };
	lg_record_seal(&record, head->hash);
	require(lg_log_append(log, &record, 1, head, &err) == 0, "append", err.message);
	head->seq = seq;
	memcpy(head->hash, record.hash, LG_HASH_SIZE);
	memcpy(hashes[seq - 1], record.hash, LG_HASH_SIZE);
}

static void move_pages(void)
{
	sqlite3 *other = NULL;
	require(sqlite3_open(db_path, &other) == SQLITE_OK &&
			sqlite3_exec(other, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) == SQLITE_OK,
		"checkpoint", db_path);
	sqlite3_close(other);
}

/* Part of it in the database, part in the -wal. */
static void make_store(void)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_log_closep) struct lg_log *log = NULL;
	struct lg_log_head head = { 0 };
	const char *tmp = getenv("TMPDIR");
	char url[128];
	snprintf(dir, sizeof dir, "%.40s/fuzz-salvage-XXXXXX", tmp ? tmp : "/tmp");
	require(mkdtemp(dir) != NULL, "mkdtemp", dir);
	atexit(remove_dir);
	snprintf(db_path, sizeof db_path, "%s/log.db", dir);
	snprintf(wal_path, sizeof wal_path, "%s/log.db-wal", dir);
	snprintf(url, sizeof url, "sqlite:%s", db_path);
	require(lg_log_open(url, &(struct lg_log_open){ .create = true }, &log, &err) == 0, "open",
		err.message);
	for (uint64_t seq = 1; seq <= RECORDS; seq++) {
		append(log, seq, &head);
		if (seq == IN_FILE)
			move_pages();
	}
	lg_log_close(lg_steal_ptr(&log));
	db = load(db_path, &db_len);
	wal = load(wal_path, &wal_len);
}

static void write_file(const char *path, const void *data, size_t len)
{
	FILE *file = fopen(path, "w");
	require(file && fwrite(data, 1, len, file) == len && fclose(file) == 0, "write", path);
}

static void patch(const uint8_t *data, size_t size)
{
	size_t both = db_len + wal_len, db_end = db_len, wal_end = wal_len;
	lg_autofree char *files = malloc(both);
	require(files != NULL, "malloc", "");
	memcpy(files, db, db_len);
	memcpy(files + db_len, wal, wal_len);
	for (; size >= 4; data += 4, size -= 4) {
		size_t at = (size_t)data[0] << 16 | (size_t)data[1] << 8 | data[2];
		if (data[0] == 0xff)
			wal_end = wal_end < at % 65536 * 8 ? wal_end : at % 65536 * 8;
		else if (data[0] == 0xfe)
			db_end = db_end < at % 65536 ? db_end : at % 65536;
		else
			files[at % both] ^= (char)data[3];
	}
	write_file(db_path, files, db_end);
	write_file(wal_path, files + db_len, wal_end);
}

struct seen {
	bool anything;
	uint64_t at;
};

static int see(void *arg, const struct lg_record *record, const struct lg_log_gap *gap, struct lg_error *err)
{
	struct seen *seen = arg;
	(void)err;
	uint64_t first = gap ? gap->first : record->seq;
	require(first == seen->at + 1, "order", "");
	seen->at = gap ? gap->last : record->seq;
	if (record && !seen->anything)
		require(record->seq <= RECORDS &&
				memcmp(hashes[record->seq - 1], record->hash, LG_HASH_SIZE) == 0,
			"proven though never written", record->reason);
	return 0;
}

static int trace(void *arg, const struct lg_salvage_trace *lost, struct lg_error *err)
{
	(void)err;
	require(lost->seq <= lost->last, "a trace of nothing", "");
	*(uint64_t *)arg += lost->last - lost->seq + 1;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_salvage_closep) struct lg_salvage *salvage = NULL;
	struct seen seen = { 0 };
	uint64_t lost = 0;
	if (!db)
		make_store();
	if (!size)
		return 0;
	if (data[0] % 4) {
		patch(data + 1, size - 1);
	} else {
		/* whole files: a chain of its own may well be in it */
		size_t part = (size - 1) / 2;
		seen.anything = true;
		write_file(db_path, data + 1, part);
		write_file(wal_path, data + 1 + part, size - 1 - part);
	}
	const struct lg_salvage_options options = { .path = db_path };
	require(lg_salvage_open(&options, &salvage, &err) == 0, "open", err.message);
	const struct lg_salvage_summary *summary = lg_salvage_summary(salvage);
	require(lg_salvage_walk(salvage, see, &seen, &err) == 0, "walk", err.message);
	require(lg_salvage_traces(salvage, trace, &lost, &err) == 0, "traces", err.message);
	require(lost == summary->lost && seen.at == summary->head, "sums", "");
	return 0;
}
