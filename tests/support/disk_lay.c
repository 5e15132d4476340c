/* What a disk may hold after the power failed. */
#include "support/disk_internal.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <fcntl.h>
#include <unistd.h>

/* --- chance ----------------------------------------------------------------------------------------------------------- */

/* The finalizer of splitmix64: a decision depends on what it is about, not on how many were made before. */
static uint64_t mix(uint64_t z)
{
	z += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

enum question { ABOUT_ALL, ABOUT_ORDER, ABOUT_TIME, ABOUT_WRITE, ABOUT_SECTOR, ABOUT_SIZE, ABOUT_HOLES };

static size_t chance(const struct disk_cut *cut, enum question question, size_t a, size_t b, size_t limit)
{
	return (size_t)(mix(mix(mix(cut->seed * 16 + question) + a) + b) % limit);
}

/* All, nothing, or each on its own. */
enum whole { WHOLE_ALL, WHOLE_NOTHING, WHOLE_NOT };

static enum whole whole_of(const struct disk_cut *cut)
{
	size_t c = chance(cut, ABOUT_ALL, 0, 0, 8);
	return c == 0 ? WHOLE_ALL : c == 1 ? WHOLE_NOTHING : WHOLE_NOT;
}

/* --- what is not synced ----------------------------------------------------------------------------------------------- */

static bool is_lie(const struct disk *disk, const struct disk_cut *cut, uint32_t file)
{
	const struct disk_node *node = &disk->nodes[file];
	if (!cut->lie)
		return false;
	if (strcmp(cut->lie, "/") == 0 || S_ISDIR(node->mode))
		return strcmp(cut->lie, "/") == 0 && S_ISDIR(node->mode);
	size_t len = strlen(node->name), end = strlen(cut->lie);
	return len >= end && strcmp(node->name + len - end, cut->lie) == 0;
}

/* How many operations the newest sync of this file or directory covers. */
static size_t synced_until(const struct disk *disk, const struct disk_cut *cut, uint32_t file)
{
	for (size_t i = is_lie(disk, cut, file) ? 0 : cut->at; i-- > 0;)
		if (disk->ops[i].op == LG_RECORDED_SYNC && disk->ops[i].file == file)
			return i;
	return 0;
}

static bool changes_names_in(const struct disk_op *op, uint32_t dir)
{
	return disk_op_on_names(op) && op->dir == dir;
}

static bool changes_data_of(const struct disk_op *op, uint32_t file)
{
	return !disk_op_on_names(op) && op->file == file && op->op != LG_RECORDED_SYNC;
}

/* --- names ------------------------------------------------------------------------------------------------------------ */

static void lay_names_of(
	const struct disk *disk, const struct disk_cut *cut, uint32_t dir, struct disk_names *names)
{
	size_t synced = synced_until(disk, cut, dir), pending = 0, rank = 0;
	enum whole whole = whole_of(cut);
	for (size_t i = synced; i < cut->at; i++)
		pending += changes_names_in(&disk->ops[i], dir);
	bool any_order = chance(cut, ABOUT_ORDER, dir, 0, 3) == 0;
	size_t first = chance(cut, ABOUT_TIME, dir, 0, pending + 1);
	for (size_t i = 0; i < cut->at; i++) {
		const struct disk_op *op = &disk->ops[i];
		if (!changes_names_in(op, dir))
			continue;
		bool lands = i < synced || whole == WHOLE_ALL;
		if (!lands && whole == WHOLE_NOT)
			lands = any_order ? chance(cut, ABOUT_WRITE, i, 0, 2) == 0 : rank < first;
		rank += i >= synced;
		if (lands)
			disk_names_apply(names, op);
	}
}

/* --- content ---------------------------------------------------------------------------------------------------------- */

enum fate { LANDS, DROPPED, GARBLED };

/* How the unsynced writes of one file fare. */
enum manner {
	TIME_ORDER,     /* the first ones landed, the next one is torn */
	SECTOR_MOMENTS, /* each sector as of some moment */
	ANY_WRITES,     /* each write for itself, some torn */
	ANY_SECTORS,    /* each sector of each write for itself */
	MANNERS
};

struct file_cut {
	const struct disk_cut *cut;
	uint32_t file;
	size_t pending;
	enum whole whole;
	enum manner manner;
	size_t moment; /* of pending + 1 */
};

static enum fate torn(const struct file_cut *f, size_t op, size_t sector)
{
	size_t c = chance(f->cut, ABOUT_SECTOR, op, sector, 8);
	return c < 4 ? LANDS : c < 7 ? DROPPED : GARBLED;
}

/* rank: of the operation among the pending ones */
static enum fate fate_of(const struct file_cut *f, size_t op, size_t rank, size_t sector)
{
	if (f->whole != WHOLE_NOT)
		return f->whole == WHOLE_ALL ? LANDS : DROPPED;
	switch (f->manner) {
	case TIME_ORDER:
		return rank < f->moment ? LANDS : rank > f->moment ? DROPPED : torn(f, op, sector);
	case SECTOR_MOMENTS:
		return rank < chance(f->cut, ABOUT_TIME, f->file, sector, f->pending + 1) ? LANDS : DROPPED;
	case ANY_WRITES: {
		size_t c = chance(f->cut, ABOUT_WRITE, op, 0, 4);
		return c < 2 ? LANDS : c == 2 ? DROPPED : torn(f, op, sector);
	}
	case ANY_SECTORS:
	case MANNERS:
		break;
	}
	return torn(f, op, sector);
}

static void garble(const struct file_cut *f, char *data, size_t at, size_t len)
{
	for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
		uint64_t word = mix(mix(f->cut->seed + f->file) + at + i);
		memcpy(data + at + i, &word, len - i < sizeof word ? len - i : sizeof word);
	}
}

/* Bytes [from, to): what is in `source` (NULL: zeros), by sectors. */
static void put(const struct file_cut *f, char *data, size_t from, size_t to, const char *source, size_t op,
	size_t rank)
{
	for (size_t at = from; at < to;) {
		size_t end = (at / DISK_SECTOR + 1) * DISK_SECTOR;
		end = end < to ? end : to;
		enum fate fate = fate_of(f, op, rank, at / DISK_SECTOR);
		if (fate == GARBLED)
			garble(f, data, at, end - at);
		else if (fate == LANDS && source)
			memcpy(data + at, source + (at - from), end - at);
		else if (fate == LANDS)
			memset(data + at, 0, end - at);
		at = end;
	}
}

static size_t size_after(const struct disk_op *op, size_t size)
{
	if (op->op == LG_RECORDED_TRUNCATE)
		return op->at;
	return op->op == LG_RECORDED_WRITE && op->at + op->len > size ? op->at + op->len : size;
}

char *disk_content(const struct disk *disk, uint32_t file, size_t count, size_t *ret_len)
{
	const struct disk_node *node = &disk->nodes[file];
	size_t size = node->len, room = node->len;
	for (size_t i = 0; i < count; i++)
		if (changes_data_of(&disk->ops[i], file)) {
			size = size_after(&disk->ops[i], size);
			room = size > room ? size : room;
		}
	char *data = calloc(1, room + 1);
	assert_non_null(data);
	if (node->len)
		memcpy(data, node->data, node->len);
	size = node->len;
	for (size_t i = 0; i < count; i++) {
		const struct disk_op *op = &disk->ops[i];
		if (!changes_data_of(op, file))
			continue;
		if (op->op == LG_RECORDED_WRITE)
			memcpy(data + op->at, op->data, op->len);
		else if (op->op == LG_RECORDED_TRUNCATE && op->at < size)
			memset(data + op->at, 0, size - op->at);
		size = size_after(op, size);
	}
	*ret_len = size;
	return data;
}

/* Where the size stands of all those that it had since the sync. */
static size_t moment_of_size(const struct file_cut *f)
{
	if (f->whole != WHOLE_NOT)
		return f->whole == WHOLE_ALL ? f->pending : 0;
	if (f->manner == TIME_ORDER)
		return f->moment;
	return chance(f->cut, ABOUT_SIZE, f->file, 0, 3)
		? f->pending
		: chance(f->cut, ABOUT_SIZE, f->file, 1, f->pending + 1);
}

static char *lay_content(
	const struct disk *disk, const struct file_cut *f, size_t synced, size_t *ret_len, mode_t *mode)
{
	size_t sure, size, largest, final, rank = 0;
	lg_autofree char *before = disk_content(disk, f->file, synced, &sure);
	size = largest = final = sure;
	for (size_t i = synced; i < f->cut->at; i++)
		if (changes_data_of(&disk->ops[i], f->file)) {
			size = size_after(&disk->ops[i], size);
			largest = size > largest ? size : largest;
			if (++rank == moment_of_size(f))
				final = size;
		}
	char *data = calloc(1, largest + 1);
	assert_non_null(data);
	memcpy(data, before, sure);
	if (f->whole == WHOLE_NOT && chance(f->cut, ABOUT_HOLES, f->file, 0, 3) == 0)
		garble(f, data, sure, largest - sure);
	rank = 0;
	size = sure;
	for (size_t i = synced; i < f->cut->at; i++) {
		const struct disk_op *op = &disk->ops[i];
		if (!changes_data_of(op, f->file))
			continue;
		if (op->op == LG_RECORDED_WRITE)
			put(f, data, op->at, op->at + op->len, op->data, i, rank);
		else if (op->op == LG_RECORDED_TRUNCATE && op->at < largest)
			put(f, data, op->at, largest, NULL, i, rank);
		else if (op->op == LG_RECORDED_META && fate_of(f, i, rank, 0) == LANDS)
			*mode = op->mode;
		rank++;
	}
	*ret_len = final;
	return data;
}

/* --- on the real disk ------------------------------------------------------------------------------------------------- */

static void write_file(const char *path, const char *data, size_t len, mode_t mode)
{
	lg_test_write(path, data, len);
	assert_int_equal(chmod(path, mode & 07777), 0);
}

static void lay_file(const struct disk *disk, const struct disk_cut *cut, uint32_t file, const char *path)
{
	const struct disk_node *node = &disk->nodes[file];
	if (S_ISLNK(node->mode)) {
		char to[PATH_MAX];
		snprintf(to, sizeof to, "%.*s", (int)node->len, node->data);
		assert_int_equal(symlink(to, path), 0);
		return;
	}
	size_t synced = synced_until(disk, cut, file), len;
	struct file_cut f = { .cut = cut, .file = file, .whole = whole_of(cut) };
	mode_t mode = node->mode;
	for (size_t i = 0; i < cut->at; i++) {
		const struct disk_op *op = &disk->ops[i];
		f.pending += i >= synced && changes_data_of(op, file);
		if (i < synced && op->op == LG_RECORDED_META && op->file == file)
			mode = op->mode;
	}
	f.manner = (enum manner)chance(cut, ABOUT_ORDER, file, 1, MANNERS);
	f.moment = chance(cut, ABOUT_TIME, file, 0, f.pending + 1);
	lg_autofree char *data = lay_content(disk, &f, synced, &len, &mode);
	write_file(path, data, len, mode);
	size_t name_len = strlen(path);
	if (name_len > 4 && strcmp(path + name_len - 4, "-wal") == 0 &&
		chance(cut, ABOUT_HOLES, file, 1, 4) == 0) {
		char shm[PATH_MAX], garbage[32768];
		snprintf(shm, sizeof shm, "%.*s-shm", (int)name_len - 4, path);
		garble(&f, garbage, 0, sizeof garbage);
		write_file(shm, garbage, sizeof garbage, 0600);
	}
}

static void lay_dir(const struct disk *disk, const struct disk_cut *cut, const struct disk_names *names,
	uint32_t dir, const char *path)
{
	assert_int_equal(mkdir(path, 0700), 0);
	for (size_t i = 0; i < names->count; i++) {
		const struct disk_entry *entry = &names->entries[i];
		if (entry->dir != dir)
			continue;
		lg_autofree char *child = lg_path_join(path, entry->name);
		if (S_ISDIR(disk->nodes[entry->file].mode))
			lay_dir(disk, cut, names, entry->file, child);
		else
			lay_file(disk, cut, entry->file, child);
	}
	assert_int_equal(chmod(path, disk->nodes[dir].mode & 07777), 0);
}

void disk_lay(const struct disk *disk, const struct disk_cut *cut, const char *to)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_autofree struct disk_entry *entries = calloc(DISK_ENTRIES, sizeof *entries);
	struct disk_names names = { .entries = entries, .count = disk->first_count };
	assert_non_null(entries);
	assert_true(cut->at <= disk->op_count);
	memcpy(entries, disk->first_entries, disk->first_count * sizeof *entries);
	for (uint32_t node = 0; node < disk->node_count; node++)
		if (S_ISDIR(disk->nodes[node].mode))
			lay_names_of(disk, cut, node, &names);
	lg_assert_ok(lg_dir_remove(to, &err), &err);
	lay_dir(disk, cut, &names, 0, to);
}
