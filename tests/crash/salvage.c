/* Stores of several shapes are spoilt in every way of spoil.c and salvaged.  Whatever the damage: nothing crashes, the damaged
 * files stay as they are, nothing is in the new store that was not in the original, what is missing is listed, the new store
 * verifies and takes changes, and over the whole campaign at least 99 % of the records that the damage did not hit are there.
 *
 *	salvage [--variants N] [--seed N]        N for each kind of damage */
#include "config/salvage.h"
#include "config/verify.h"
#include "spoil.h"
#include "unit/config/store.h"

#include "base/cleanup.h"
#include "config/config.h"
#include "io/file.h"
#include "model/value.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORES   5
#define FORMAT_1 4
#define LOCAL    (SPOIL_PAGE - 35)

static unsigned variants = 1;
static uint64_t seed = 1;

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

/* --- what a store held ------------------------------------------------------------------------------------------------------ */

struct piece {
	bool wal; /* else in the database */
	size_t at, len;
};

struct truth {
	uint8_t hash[LG_HASH_SIZE];
	bool there; /* retention had not dropped it */
	struct lg_buf cell;
	struct piece *pieces; /* where its bytes lay: the cell, then each overflow page */
	size_t piece_count;
};

struct base {
	const char *name;
	char *dir;
	struct truth *records; /* [seq - 1] */
	size_t count;
	struct spoil_store files;
	char **checkpoint_names;
};

static struct base bases[STORES];
static unsigned long long undamaged_total, recovered_total, damaged_recovered, runs, unopened;

static void put_varint(struct lg_buf *buf, uint64_t value)
{
	uint8_t bytes[9];
	size_t n = 0;
	do {
		bytes[n] = (uint8_t)((value & 0x7f) | (n ? 0x80 : 0));
		n++;
	} while ((value >>= 7));
	while (n)
		lg_buf_addc(buf, (char)bytes[--n]);
}

static size_t int_size(int64_t value, uint64_t *ret_serial)
{
	static const struct {
		int bits;
		uint64_t serial;
		size_t size;
	} rows[] = { { 8, 1, 1 }, { 16, 2, 2 }, { 24, 3, 3 }, { 32, 4, 4 }, { 48, 5, 6 }, { 64, 6, 8 } };
	size_t i = 0;
	while (rows[i].bits < 64 && (value >> (rows[i].bits - 1)) != 0 && (value >> (rows[i].bits - 1)) != -1)
		i++;
	*ret_serial = rows[i].serial;
	return rows[i].size;
}

/* The row as SQLite writes it, made here from the format's description and not by the reader under test. */
static void encode_row(const struct lg_record *record, struct lg_buf *payload)
{
	lg_cleanup(lg_buf_clear) struct lg_buf header = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf values = LG_BUF_INIT;
	const char *kind = lg_kind_name(record->kind);
	uint64_t serial;
	size_t size = int_size(record->time_us, &serial);
	put_varint(&header, 0);
	put_varint(&header, 12 + 2 * LG_ID_SIZE);
	put_varint(&header, serial);
	put_varint(&header, 13 + 2 * strlen(kind));
	put_varint(&header, 13 + 2 * strlen(record->actor));
	put_varint(&header, 13 + 2 * strlen(record->reason));
	put_varint(&header, record->has_root ? 12 + 2 * LG_HASH_SIZE : 0);
	put_varint(&header, 12 + 2 * LG_HASH_SIZE);
	put_varint(&header, 12 + 2 * LG_HASH_SIZE);
	put_varint(&header, record->redacted ? 0 : 13 + 2 * record->body_len);
	lg_buf_add(&values, record->id, LG_ID_SIZE);
	for (size_t i = size; i-- > 0;)
		lg_buf_addc(&values, (char)(record->time_us >> (8 * i)));
	lg_buf_adds(&values, kind);
	lg_buf_adds(&values, record->actor);
	lg_buf_adds(&values, record->reason);
	if (record->has_root)
		lg_buf_add(&values, record->root, LG_HASH_SIZE);
	lg_buf_add(&values, record->body_hash, LG_HASH_SIZE);
	lg_buf_add(&values, record->hash, LG_HASH_SIZE);
	lg_buf_add(&values, record->body, record->body_len);
	put_varint(payload, header.len + 1);
	lg_buf_add(payload, header.data, header.len);
	lg_buf_add(payload, values.data, values.len);
	assert_false(payload->failed);
}

/* Where these bytes lie: in the database if they do, else at their last place in the -wal. */
static bool find(const struct spoil_store *files, const void *bytes, size_t len, struct piece *ret_piece)
{
	const uint8_t *at = files->db.len ? memmem(files->db.data, files->db.len, bytes, len) : NULL;
	if (at) {
		*ret_piece = (struct piece){ false, (size_t)(at - files->db.data), len };
		return true;
	}
	const uint8_t *from = files->wal.data, *end = from + files->wal.len, *last = NULL;
	while (from < end && (at = memmem(from, (size_t)(end - from), bytes, len))) {
		last = at;
		from = at + 1;
	}
	if (!last)
		return false;
	*ret_piece = (struct piece){ true, (size_t)(last - files->wal.data), len };
	return true;
}

static void locate(const struct spoil_store *files, const struct lg_record *record, struct truth *truth)
{
	lg_cleanup(lg_buf_clear) struct lg_buf payload = LG_BUF_INIT;
	encode_row(record, &payload);
	size_t local = payload.len;
	if (local > LOCAL) {
		size_t least = (SPOIL_PAGE - 12) * 32 / 255 - 23;
		local = least + (payload.len - least) % (SPOIL_PAGE - 4);
		local = local <= LOCAL ? local : least;
	}
	put_varint(&truth->cell, payload.len);
	put_varint(&truth->cell, record->seq);
	lg_buf_add(&truth->cell, payload.data, local);
	size_t count = 1 + (payload.len - local + SPOIL_PAGE - 5) / (SPOIL_PAGE - 4);
	truth->pieces = calloc(count, sizeof *truth->pieces);
	assert_non_null(truth->pieces);
	truth->piece_count = count;
	if (!find(files, truth->cell.data, truth->cell.len, &truth->pieces[0]))
		fail_msg("record %" PRIu64 " is not where SQLite should have put it", record->seq);
	truth->pieces[0].len += count > 1 ? 4 : 0;
	for (size_t i = 1, done = local; i < count; i++) {
		size_t part = payload.len - done < SPOIL_PAGE - 4 ? payload.len - done : SPOIL_PAGE - 4;
		assert_true(find(files, payload.data + done, part, &truth->pieces[i]));
		truth->pieces[i].at -= 4;
		truth->pieces[i].len += 4;
		done += part;
	}
}

static bool is_there(const struct spoil_file *was, const struct spoil_file *is, const struct piece *piece)
{
	return piece->at + piece->len <= is->len &&
		memcmp(was->data + piece->at, is->data + piece->at, piece->len) == 0;
}

/* Are the bytes of the record still there: where they were, or, as they need no other page, anywhere? */
static bool is_undamaged(const struct base *base, const struct spoil_store *now, const struct truth *truth)
{
	bool whole = true;
	for (size_t i = 0; whole && i < truth->piece_count; i++)
		whole = truth->pieces[i].wal ? is_there(&base->files.wal, &now->wal, &truth->pieces[i])
					     : is_there(&base->files.db, &now->db, &truth->pieces[i]);
	if (whole || truth->piece_count > 1)
		return whole;
	return (now->db.len && memmem(now->db.data, now->db.len, truth->cell.data, truth->cell.len)) ||
		(now->wal.len && memmem(now->wal.data, now->wal.len, truth->cell.data, truth->cell.len));
}

/* --- stores ------------------------------------------------------------------------------------------------------------------ */

static char *text_of(size_t len, uint64_t *random)
{
	char *text = malloc(len + 3);
	assert_non_null(text);
	text[0] = '"';
	for (size_t i = 1; i <= len; i++)
		text[i] = (char)('a' + spoil_random(random) % 26);
	text[len + 1] = '"';
	text[len + 2] = '\0';
	return text;
}

static void change(struct lg_config *config, uint64_t *random)
{
	char key[32];
	uint64_t dice = spoil_random(random) % 40;
	size_t len = dice == 0 ? 5000 + spoil_random(random) % 40000
		: dice < 4     ? 3000
			       : spoil_random(random) % 60;
	lg_autofree char *value = text_of(len, random);
	snprintf(key, sizeof key, "app/k%u", (unsigned)(spoil_random(random) % 300));
	store_set(config, key, value);
}

static void fill(const char *dir, size_t count, uint64_t *random)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_config *config = store_open(dir);
	uint64_t revision = 0;
	for (size_t i = 0; i < count; i++) {
		lg_cleanup(lg_snapshot_clear) struct lg_snapshot snapshot = { 0 };
		lg_config_snapshot(config, &snapshot);
		uint64_t dice = spoil_random(random) % 50;
		if (dice == 0 && snapshot.revision > 20)
			(void)store_restore(config, snapshot.revision - 10, dice % 2 ? "app/k1" : NULL, NULL,
				&revision, &err);
		else if (dice < 4 && snapshot.revision)
			lg_assert_ok(store_mark(config, "good", snapshot.revision, NULL, &err), &err);
		else
			change(config, random);
		if (spoil_random(random) % 200 == 0)
			lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	}
	lg_config_close(config);
}

static void run_sql(const char *dir, const char *sql)
{
	char path[512];
	sqlite3 *db = NULL;
	snprintf(path, sizeof path, "%s/log.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	char *why = NULL;
	if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %s", sql, why);
	sqlite3_close(db);
}

#define ALL_INTO_FILE "PRAGMA wal_checkpoint(TRUNCATE)"

static void make_wal(const char *dir, uint64_t *random)
{
	fill(dir, 150, random);
}

static void make_file(const char *dir, uint64_t *random)
{
	fill(dir, 900, random);
	run_sql(dir, ALL_INTO_FILE);
}

static void make_trimmed(const char *dir, uint64_t *random)
{
	struct lg_error err = LG_ERROR_INIT;
	static const uint64_t keep[] = { 20, 21, 77 };
	fill(dir, 500, random);
	struct lg_config *config = store_open(dir);
	lg_assert_ok(lg_config_checkpoint(config, &err), &err);
	lg_config_close(config);
	fill(dir, 100, random);
	struct lg_log *log = store_open_log(dir);
	uint64_t seq = 0;
	lg_assert_ok(lg_log_checkpoint_find(log, 520, &seq, &err), &err);
	lg_assert_ok(lg_log_trim(log, seq > 300 ? 300 : seq, keep, 3, &err), &err);
	lg_log_close(log);
	run_sql(dir, ALL_INTO_FILE);
	fill(dir, 60, random);
}

/* A -wal that was begun anew: behind its newest frames lie older ones. */
static void make_stale(const char *dir, uint64_t *random)
{
	fill(dir, 250, random);
	run_sql(dir, "PRAGMA wal_checkpoint(RESTART)");
	fill(dir, 30, random);
}

static void make_format_1(const char *dir, uint64_t *random)
{
	fill(dir, 300, random);
	run_sql(dir,
		"INSERT OR IGNORE INTO touched SELECT key, seq FROM touching; DROP TABLE touching;"
		"CREATE TABLE checkpoint (seq INTEGER PRIMARY KEY CHECK (seq > 0), data BLOB NOT NULL) STRICT;"
		"DROP INDEX record_kind; CREATE INDEX record_kind ON record (kind, seq); DROP TABLE gap;"
		"CREATE TABLE base (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL,"
		" hash BLOB NOT NULL) STRICT; PRAGMA user_version = 1; VACUUM");
	run_sql(dir, ALL_INTO_FILE);
}

static const struct {
	const char *name;
	void (*make)(const char *dir, uint64_t *random);
} shapes[STORES] = {
	{ "all in the -wal", make_wal },
	{ "all in the file", make_file },
	{ "trimmed", make_trimmed },
	{ "with leftovers in the -wal", make_stale },
	{ "of format 1", make_format_1 },
};

static void load(const char *dir, const char *name, struct spoil_file *file)
{
	lg_autofree char *path = lg_path_join(dir, name);
	*file = (struct spoil_file){ 0 };
	file->data = (uint8_t *)lg_test_read(path, &file->len);
}

static void load_checkpoints(struct base *base)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_autofree char *dir = lg_path_join(base->dir, "log.db-checkpoints");
	char **names = NULL;
	size_t count = 0;
	if (!lg_file_exists(dir))
		return;
	lg_assert_ok(lg_dir_list(dir, &names, &count, &err), &err);
	base->checkpoint_names = names;
	base->files.checkpoints = calloc(count + 1, sizeof *base->files.checkpoints);
	assert_non_null(base->files.checkpoints);
	for (size_t i = 0; i < count; i++)
		load(dir, names[i], &base->files.checkpoints[i]);
	base->files.checkpoint_count = count;
}

static int learn(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct base *base = arg;
	(void)err;
	assert_true(record->seq <= base->count);
	struct truth *truth = &base->records[record->seq - 1];
	truth->there = true;
	memcpy(truth->hash, record->hash, LG_HASH_SIZE);
	locate(&base->files, record, truth);
	return 0;
}

static int learn_from_rows(struct base *base)
{
	/* a store of format 1 would be upgraded by opening it: so it is read as it is, from a copy */
	struct lg_error err = LG_ERROR_INIT;
	const char *copy = lg_test_path("learning");
	lg_assert_ok(lg_dir_make(copy, 0700, &err), &err);
	lg_autofree char *db = lg_path_join(copy, "log.db");
	lg_autofree char *wal = lg_path_join(copy, "log.db-wal");
	lg_test_write(db, base->files.db.data, base->files.db.len);
	if (base->files.wal.len)
		lg_test_write(wal, base->files.wal.data, base->files.wal.len);
	struct lg_log *log = store_open_log(copy);
	struct lg_log_head head;
	lg_assert_ok(lg_log_head(log, &head, &err), &err);
	base->count = head.seq;
	base->records = calloc(head.seq + 1, sizeof *base->records);
	assert_non_null(base->records);
	const struct lg_log_query all = { .from = 1 };
	lg_assert_ok(lg_log_query(log, &all, learn, base, &err), &err);
	lg_log_close(log);
	return lg_dir_remove(copy, &err);
}

static void make_bases(void)
{
	for (size_t i = 0; i < STORES; i++) {
		struct base *base = &bases[i];
		uint64_t random = seed * 100 + i;
		base->name = shapes[i].name;
		base->dir = strdup(store_new());
		shapes[i].make(base->dir, &random);
		load(base->dir, "log.db", &base->files.db);
		load(base->dir, "log.db-wal", &base->files.wal);
		load_checkpoints(base);
		assert_int_equal(learn_from_rows(base), 0);
	}
	/* format 1 has no second witness, so a page of another store cannot be told there: it gets one of its own */
	for (size_t i = 0; i < STORES; i++)
		bases[i].files.foreign = bases[i == FORMAT_1 ? i : i == 1 ? 3 : 1].files.db;
}

/* --- one variant -------------------------------------------------------------------------------------------------------------- */

static struct spoil_file copy_of(const struct spoil_file *file)
{
	struct spoil_file copy = { malloc(file->len + 1), file->len };
	assert_non_null(copy.data);
	if (file->len)
		memcpy(copy.data, file->data, file->len);
	return copy;
}

static struct spoil_store copy_store(const struct base *base)
{
	struct spoil_store copy = base->files;
	copy.db = copy_of(&base->files.db);
	copy.wal = copy_of(&base->files.wal);
	copy.checkpoints = calloc(copy.checkpoint_count + 1, sizeof *copy.checkpoints);
	assert_non_null(copy.checkpoints);
	for (size_t i = 0; i < copy.checkpoint_count; i++)
		copy.checkpoints[i] = copy_of(&base->files.checkpoints[i]);
	return copy;
}

static void free_store(struct spoil_store *store)
{
	for (size_t i = 0; i < store->checkpoint_count; i++)
		free(store->checkpoints[i].data);
	free(store->checkpoints);
	free(store->db.data);
	free(store->wal.data);
}

static void put_file(const char *dir, const char *name, const struct spoil_file *file)
{
	lg_autofree char *path = lg_path_join(dir, name);
	lg_test_write(path, file->data, file->len);
}

static void put_store(const char *dir, const struct base *base, const struct spoil_store *store)
{
	struct lg_error err = LG_ERROR_INIT;
	struct spoil_file key;
	lg_autofree char *checkpoints = lg_path_join(dir, "log.db-checkpoints");
	lg_assert_ok(lg_dir_make(checkpoints, 0700, &err), &err);
	put_file(dir, "log.db", &store->db);
	if (store->wal.len)
		put_file(dir, "log.db-wal", &store->wal);
	for (size_t i = 0; i < store->checkpoint_count; i++)
		put_file(checkpoints, base->checkpoint_names[i], &store->checkpoints[i]);
	load(base->dir, "secret.key", &key);
	put_file(dir, "secret.key", &key);
	free(key.data);
}

static void assert_file(const char *dir, const char *name, const struct spoil_file *file)
{
	struct spoil_file now;
	load(dir, name, &now);
	assert_int_equal(now.len, file->len);
	if (file->len)
		assert_memory_equal(now.data, file->data, file->len);
	free(now.data);
}

static void assert_untouched(const char *dir, const struct base *base, const struct spoil_store *store)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_autofree char *checkpoints = lg_path_join(dir, "log.db-checkpoints");
	char **names = NULL;
	size_t count = 0;
	assert_file(dir, "log.db", &store->db);
	if (store->wal.len)
		assert_file(dir, "log.db-wal", &store->wal);
	for (size_t i = 0; i < store->checkpoint_count; i++)
		assert_file(checkpoints, base->checkpoint_names[i], &store->checkpoints[i]);
	lg_assert_ok(lg_dir_list(dir, &names, &count, &err), &err);
	assert_int_equal(count, 3 + (store->wal.len > 0)); /* nothing new beside them, not even -shm */
	lg_names_free(names, count);
}

struct check {
	const struct base *base;
	uint8_t *got; /* [seq - 1] */
	size_t own;
};

static int check_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct check *check = arg;
	(void)err;
	const struct base *base = check->base;
	bool known = record->seq <= base->count && base->records[record->seq - 1].there;
	if (known && memcmp(base->records[record->seq - 1].hash, record->hash, LG_HASH_SIZE) == 0) {
		check->got[record->seq - 1] = 1;
		assert_int_equal(check->own, 0);
		return 0;
	}
	if (strcmp(record->actor, LG_SALVAGE_ACTOR) != 0)
		fail_msg("record %" PRIu64 " was not in the original", record->seq);
	check->own++;
	return 0;
}

/* What is missing is said to be. */
static void check_losses(const struct base *base, const uint8_t *got, const json_t *report)
{
	const json_t *lost = json_object_get(report, "lost");
	const json_t *records = json_object_get(report, "records");
	uint64_t head = (uint64_t)json_integer_value(json_object_get(records, "head"));
	size_t i = 0, missing = 0, proven = 0;
	for (uint64_t seq = 1; seq <= base->count; seq++) {
		proven += got[seq - 1];
		if (!base->records[seq - 1].there || got[seq - 1])
			continue;
		missing++;
		if (seq > head)
			continue; /* nothing is left that could say so */
		const json_t *one = NULL;
		while ((one = json_array_get(lost, i)) &&
			(uint64_t)json_integer_value(json_object_get(one, "last")) < seq)
			i++;
		if (!one || (uint64_t)json_integer_value(json_object_get(one, "first")) > seq)
			fail_msg("record %" PRIu64 " is missing, and not listed as lost", seq);
	}
	assert_int_equal(json_integer_value(json_object_get(records, "proven")), proven);
	if (missing && head == base->count)
		assert_false(json_is_true(json_object_get(report, "complete")));
}

static bool is_unreadable(const json_t *report, uint64_t seq)
{
	const json_t *list = json_object_get(json_object_get(report, "state"), "unreadable");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *range = json_array_get(list, i);
		if (seq >= (uint64_t)json_integer_value(json_object_get(range, "first")) &&
			seq <= (uint64_t)json_integer_value(json_object_get(range, "last")))
			return true;
	}
	return false;
}

/* Each state that can be read is what the record says, for the library compares them; those that cannot are said. */
static void check_states(
	struct lg_config *config, const struct base *base, const uint8_t *got, const json_t *report)
{
	for (uint64_t seq = 1 + base->count % 7; seq <= base->count; seq += 1 + base->count / 12) {
		struct lg_error err = LG_ERROR_INIT;
		lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = NULL;
		if (!got[seq - 1])
			continue;
		int rc = lg_config_tree_at(config, seq, &tree, &err);
		if (rc < 0 && !(rc == LG_ENOTFOUND && is_unreadable(report, seq)))
			fail_msg("the state of r%" PRIu64 ": %s", seq, err.message);
	}
}

static void check_new(const char *dir, const struct base *base, const json_t *report, uint8_t *got)
{
	struct lg_error err = LG_ERROR_INIT;
	struct check check = { base, got, 0 };
	const struct lg_log_query all = { .from = 1 };
	struct lg_log *log = store_open_log(dir);
	lg_assert_ok(lg_log_query(log, &all, check_record, &check, &err), &err);
	assert_in_range(check.own, 1, 3);
	lg_assert_ok(lg_log_check(log, true, &err), &err);
	lg_log_close(log);
	check_losses(base, got, report);
	struct lg_config *config = store_open(dir);
	check_states(config, base, got, report);
	store_set(config, "after/salvage", "1");
	lg_config_close(config);
	const struct lg_verify_options options = { .state_dir = dir };
	struct lg_verify_report verdict = { 0 };
	lg_assert_ok(lg_verify(&options, &verdict, &err), &err);
	if (verdict.problems.total)
		fail_msg("%s: %s", verdict.problems.items[0].subject, verdict.problems.items[0].message);
	lg_verify_report_clear(&verdict);
}

/* How many records the damage did not hit. */
static unsigned long long count_records(
	const struct base *base, const struct spoil_store *store, const uint8_t *got, const char *what)
{
	unsigned long long undamaged = 0, recovered = 0;
	for (size_t i = 0; i < base->count; i++) {
		if (!base->records[i].there)
			continue;
		bool whole = is_undamaged(base, store, &base->records[i]);
		undamaged += whole;
		recovered += whole && got[i];
		damaged_recovered += !whole && got[i];
	}
	undamaged_total += undamaged;
	recovered_total += recovered;
	if (recovered * 100 < undamaged * 95)
		print_message("# %s: %llu of %llu\n", what, recovered, undamaged);
	return undamaged;
}

static void run_variant(const struct spoil_kind *kind, struct base *base, uint64_t number)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_json_freep) json_t *report = NULL;
	const char *damaged = lg_test_path("damaged"), *mended = lg_test_path("mended");
	lg_assert_ok(lg_dir_remove(damaged, &err), &err); /* what one that failed has left */
	lg_assert_ok(lg_dir_remove(mended, &err), &err);
	uint64_t random = seed * 1000003 + number;
	char what[160];
	snprintf(what, sizeof what, "%s, %s, number %" PRIu64, kind->name, base->name, number);
	struct spoil_store store = copy_store(base);
	lg_autofree uint8_t *got = calloc(base->count + 1, 1);
	kind->spoil(&store, &random);
	put_store(damaged, base, &store);
	const struct lg_config_salvage options = { .from = damaged, .to = mended, .clock = &store_clock.clock };
	int rc = lg_config_salvage(&options, &report, &err);
	assert_untouched(damaged, base, &store);
	if (rc == 0)
		check_new(mended, base, report, got);
	unsigned long long undamaged = count_records(base, &store, got, what);
	if (rc < 0 && (rc != LG_ECORRUPT || undamaged > 0))
		fail_msg("%s, with %llu undamaged records: %s", what, undamaged, err.message);
	unopened += rc != 0;
	runs++;
	free_store(&store);
	lg_assert_ok(lg_dir_remove(damaged, &err), &err);
	lg_assert_ok(lg_dir_remove(mended, &err), &err);
}

static void test_kind(void **state)
{
	const struct spoil_kind *kind = *state;
	size_t which = (size_t)(kind - spoil_kinds);
	for (uint64_t i = 0; i < variants; i++)
		run_variant(kind, &bases[(which + i) % STORES], i * spoil_kind_count + which);
}

static void test_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < STORES; i++) {
		static const struct spoil_kind nothing = { "nothing", NULL };
		struct lg_error err = LG_ERROR_INIT;
		lg_cleanup(lg_json_freep) json_t *report = NULL;
		const char *damaged = lg_test_path("damaged"), *mended = lg_test_path("mended");
		lg_autofree uint8_t *got = calloc(bases[i].count + 1, 1);
		(void)nothing;
		put_store(damaged, &bases[i], &bases[i].files);
		const struct lg_config_salvage options = {
			.from = damaged, .to = mended, .clock = &store_clock.clock
		};
		lg_assert_ok(lg_config_salvage(&options, &report, &err), &err);
		assert_untouched(damaged, &bases[i], &bases[i].files);
		check_new(mended, &bases[i], report, got);
		if (!json_is_true(json_object_get(report, "complete"))) {
			lg_autofree char *text = json_dumps(report, JSON_INDENT(1));
			fail_msg("%s: %s", bases[i].name, text);
		}
		lg_assert_ok(lg_dir_remove(damaged, &err), &err);
		lg_assert_ok(lg_dir_remove(mended, &err), &err);
	}
}

static void test_share(void **state)
{
	(void)state;
	print_message(
		"# %llu variants, %llu without a provable record; %llu of %llu undamaged records recovered "
		"(%.3f %%), and %llu damaged ones from other copies\n",
		runs, unopened, recovered_total, undamaged_total,
		undamaged_total ? 100.0 * (double)recovered_total / (double)undamaged_total : 0,
		damaged_recovered);
	assert_true(undamaged_total > 0);
	assert_true(recovered_total * 100 >= undamaged_total * 99);
}

static void free_bases(void)
{
	for (size_t i = 0; i < STORES; i++) {
		struct base *base = &bases[i];
		for (size_t j = 0; j < base->count; j++) {
			lg_buf_clear(&base->records[j].cell);
			free(base->records[j].pieces);
		}
		lg_names_free(base->checkpoint_names, base->files.checkpoint_count);
		free_store(&base->files);
		free(base->records);
		free(base->dir);
	}
}

int main(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--variants") == 0)
			variants = (unsigned)strtoul(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 10);
	}
	store_init();
	make_bases();
	lg_test_add("stores that are whole come over whole", test_whole, NULL);
	lg_test_rows("damage", test_kind, spoil_kinds, spoil_kind_count, sizeof *spoil_kinds,
		offsetof(struct spoil_kind, name));
	lg_test_add("of the undamaged records 99 % are recovered", test_share, NULL);
	int rc = lg_test_run(__FILE__);
	free_bases();
	return rc;
}
