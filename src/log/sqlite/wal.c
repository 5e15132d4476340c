/* What SQLite passes over in silence: a frame of the -wal that is damaged.  It takes the -wal to end there, as it must where a
 * write was cut off; but what lies behind may have been durable, and would be written over by the next commit.
 *
 * A transaction is synced before the next one begins.  So frames that follow on a commit, which follow on a frame that does not
 * hold, prove that what SQLite leaves out had been committed.  Each frame's checksum continues that of the frame before it; across
 * the damage either the checksum that stands there is right and its frame is not, or the other way round.  A damaged sector or
 * block may cover the end of one frame and the head of the next: then the frames behind prove it among themselves.
 * Damage in the newest transaction alone cannot be told from a write that was cut off.
 *
 * The format: https://sqlite.org/fileformat2.html#walformat */
#include "log/sqlite/internal.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEADER       32
#define FRAME_HEADER 24

struct sum {
	uint32_t a, b;
};

struct wal {
	const uint8_t *data;
	size_t frame_size;
	uint64_t count; /* of frames */
	bool big;       /* words are summed up as big endian */
};

static uint32_t get_u32(const uint8_t *at, bool big)
{
	uint32_t word;
	memcpy(&word, at, sizeof word);
	return big == (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) ? word : __builtin_bswap32(word);
}

static struct sum add(struct sum sum, const uint8_t *data, size_t len, bool big)
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		sum.a += get_u32(data + i, big) + sum.b;
		sum.b += get_u32(data + i + 4, big) + sum.a;
	}
	return sum;
}

static struct sum stored(const uint8_t *at)
{
	return (struct sum){ get_u32(at, true), get_u32(at + 4, true) };
}

static bool equal(struct sum one, struct sum other)
{
	return one.a == other.a && one.b == other.b;
}

static const uint8_t *frame_at(const struct wal *wal, uint64_t i)
{
	return wal->data + HEADER + i * wal->frame_size;
}

/* What the checksum of frame i is, given that of the one before it. */
static struct sum sum_of(const struct wal *wal, uint64_t i, struct sum before)
{
	const uint8_t *frame = frame_at(wal, i);
	struct sum sum = add(before, frame, 8, wal->big);
	return add(sum, frame + FRAME_HEADER, wal->frame_size - FRAME_HEADER, wal->big);
}

static bool follows(const struct wal *wal, uint64_t i, struct sum before)
{
	return i < wal->count && equal(sum_of(wal, i, before), stored(frame_at(wal, i) + 16));
}

static bool has_salts(const struct wal *wal, uint64_t i, const uint8_t *salts)
{
	return i < wal->count && memcmp(frame_at(wal, i) + 8, salts, 8) == 0;
}

static bool commits(const struct wal *wal, uint64_t i)
{
	return get_u32(frame_at(wal, i) + 4, true) != 0;
}

/* Do frames from i on, which continue `before`, have a commit and, with more, another frame behind it? */
static bool holds_commit(
	const struct wal *wal, uint64_t i, struct sum before, const uint8_t *salts, bool committed, bool more)
{
	for (; follows(wal, i, before) && (!salts || has_salts(wal, i, salts)); i++) {
		if (committed && more)
			return true;
		committed |= commits(wal, i);
		before = stored(frame_at(wal, i) + 16);
	}
	return committed && !more;
}

/* The header is synced before the first frame is written. */
static bool header_is_damaged(const struct wal *wal, struct sum said, struct sum computed)
{
	uint32_t magic = get_u32(wal->data, true);
	bool holds = (magic & ~1u) == 0x377f0682 &&
		get_u32(wal->data + 8, true) == wal->frame_size - FRAME_HEADER && equal(said, computed);
	return !holds &&
		(holds_commit(wal, 0, said, NULL, false, false) ||
			holds_commit(wal, 0, computed, NULL, false, false));
}

/* Where more than one frame is damaged: each later frame of this -wal tells what the one behind it continues, itself untold. */
static bool holds_commit_behind(const struct wal *wal, uint64_t i, const uint8_t *salts)
{
	while (i < wal->count) {
		struct sum before = stored(frame_at(wal, i) + 16);
		bool committed = false;
		uint64_t next = i + 1;
		for (; has_salts(wal, next - 1, salts) && follows(wal, next, before); next++) {
			if (committed && has_salts(wal, next, salts))
				return true;
			committed |= commits(wal, next);
			before = stored(frame_at(wal, next) + 16);
		}
		i = next;
	}
	return false;
}

/* 0, or the number of the first frame that does not hold though something committed lies behind it. */
static uint64_t find_damage(const struct wal *wal, struct sum before)
{
	const uint8_t *salts = wal->data + 16;
	uint64_t i = 0;
	for (; follows(wal, i, before) && has_salts(wal, i, salts); i++)
		before = stored(frame_at(wal, i) + 16);
	if (i >= wal->count)
		return 0;
	bool committed = commits(wal, i);
	struct sum said = stored(frame_at(wal, i) + 16), computed = sum_of(wal, i, before);
	bool found = holds_commit(wal, i + 1, said, salts, committed, true) ||
		holds_commit(wal, i + 1, computed, salts, committed, true) ||
		holds_commit_behind(wal, i + 1, salts);
	return found ? i + 1 : 0;
}

static int look(const struct lg_sqlite *s, size_t largest, size_t page_size, bool *ret_damaged,
	uint64_t *ret_frame, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf name = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf data = LG_BUF_INIT;
	struct lg_error why = LG_ERROR_INIT;
	lg_buf_addf(&name, "%s-wal", s->path);
	int rc = lg_buf_check(&name, err);
	if (rc < 0)
		return rc;
	rc = lg_file_read(name.data, largest, &data, &why);
	*ret_damaged = false;
	if (rc < 0 || data.len < HEADER + FRAME_HEADER + page_size)
		return rc == LG_ENOMEM ? lg_fail_nomem(err) : 0; /* none, or nothing in it */
	const struct wal wal = {
		.data = (const uint8_t *)data.data,
		.frame_size = FRAME_HEADER + page_size,
		.count = (data.len - HEADER) / (FRAME_HEADER + page_size),
		/* which SQLite writes as the machine does */
		.big = get_u32((const uint8_t *)data.data, true) == 0x377f0683,
	};
	struct sum said = stored(wal.data + 24), computed = add((struct sum){ 0, 0 }, wal.data, 24, wal.big);
	*ret_frame = 0;
	if (header_is_damaged(&wal, said, computed))
		*ret_damaged = true;
	else
		*ret_damaged = (*ret_frame = find_damage(&wal, said)) != 0;
	return 0;
}

/* Somebody may be writing: what is only half there now is whole, or gone, when it is looked at again. */
int lg_sqlite_check_wal(const struct lg_sqlite *s, size_t largest, struct lg_error *err)
{
	lg_cleanup(lg_sqlite_finalizep) sqlite3_stmt *stmt = NULL;
	uint64_t frame = 0, again = 0;
	bool damaged = false;
	int rc = lg_sqlite_prepare(s, "PRAGMA page_size", "check", &stmt, err);
	if (rc < 0)
		return rc;
	int step = sqlite3_step(stmt);
	if (step != SQLITE_ROW)
		return lg_sqlite_fail(s, step == SQLITE_DONE ? SQLITE_CORRUPT : step, "check", err);
	size_t page_size = (size_t)sqlite3_column_int64(stmt, 0);
	rc = look(s, largest, page_size, &damaged, &frame, err);
	if (rc == 0 && damaged)
		rc = look(s, largest, page_size, &damaged, &again, err);
	if (rc < 0 || !damaged || frame != again)
		return rc;
	char where[48] = "its header";
	if (frame)
		snprintf(where, sizeof where, "frame %" PRIu64, frame);
	return lg_fail(err, LG_ECORRUPT, 0,
		"'%s-wal' is damaged in %s, and what was committed behind that is passed over: before anything else is "
		"written run: lastgood recover salvage",
		s->path, where);
}
