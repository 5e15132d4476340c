#include "unit/log/faulty_vfs.h"

#include "support/support.h"

#include <sqlite3.h>

#define SECTOR 512

struct write_since {
	size_t at, len;
	char *data;
};

/* What is known of one file: the database or its -wal. */
struct image {
	char *synced;
	size_t size, room;
	struct write_since *writes;
	size_t count, writes_room;
};

struct faulty_file {
	sqlite3_file file;   /* first */
	struct image *image; /* NULL: not of interest */
	sqlite3_file *real;  /* lies behind this struct */
};

static struct image images[2]; /* database, -wal */
static sqlite3_vfs *real_vfs;
static unsigned armed_ops, armed_nth, counts[FAULTY_ANY + 1];
static int armed_code;
static bool armed_dead, fired;

static sqlite3_file *real_of(sqlite3_file *file)
{
	return ((struct faulty_file *)file)->real;
}

/* 0, or the code to fail with. */
static int ask(enum faulty_op op)
{
	counts[op]++;
	if (!(armed_ops & op))
		return SQLITE_OK;
	if (fired)
		return armed_dead ? armed_code : SQLITE_OK;
	if (armed_nth == 0 || --armed_nth > 0)
		return SQLITE_OK;
	fired = true;
	return armed_code;
}

/* --- what the disk holds ------------------------------------------------------------------------------------------------ */

static void image_clear(struct image *image)
{
	for (size_t i = 0; i < image->count; i++)
		free(image->writes[i].data);
	free(image->writes);
	free(image->synced);
	*image = (struct image){ 0 };
}

static void put(struct image *image, size_t at, const char *data, size_t len)
{
	if (at + len > image->size) {
		if (at + len > image->room) {
			image->room = 2 * (at + len);
			image->synced = realloc(image->synced, image->room);
			assert_non_null(image->synced);
		}
		memset(image->synced + image->size, 0, at + len - image->size);
		image->size = at + len;
	}
	memcpy(image->synced + at, data, len);
}

static void note_write(struct image *image, size_t at, const void *data, size_t len)
{
	if (image->count == image->writes_room) {
		image->writes_room = 2 * image->writes_room + 64;
		image->writes = realloc(image->writes, image->writes_room * sizeof *image->writes);
	}
	char *copy = malloc(len);
	assert_true(image->writes && copy);
	memcpy(copy, data, len);
	image->writes[image->count++] = (struct write_since){ at, len, copy };
}

static void note_sync(struct image *image)
{
	for (size_t i = 0; i < image->count; i++) {
		put(image, image->writes[i].at, image->writes[i].data, image->writes[i].len);
		free(image->writes[i].data);
	}
	image->count = 0;
}

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

static void land_some(struct image *image, uint64_t *random)
{
	char garbage[SECTOR];
	for (size_t i = 0; i < image->count; i++) {
		const struct write_since *write = &image->writes[i];
		for (size_t done = 0; done < write->len;) {
			size_t len = SECTOR - (write->at + done) % SECTOR;
			len = len < write->len - done ? len : write->len - done;
			uint32_t fate = next_random(random) % 8;
			memset(garbage, (int)(next_random(random) & 0xff), sizeof garbage);
			if (fate < 6)
				put(image, write->at + done, write->data + done, len);
			else if (fate == 6)
				put(image, write->at + done, garbage, len);
			done += len;
		}
	}
}

void faulty_vfs_power_cut(const char *to_path, uint64_t seed)
{
	char wal[600];
	uint64_t random = seed;
	snprintf(wal, sizeof wal, "%s-wal", to_path);
	for (size_t i = 0; i < 2; i++) {
		land_some(&images[i], &random);
		lg_test_write(i ? wal : to_path, images[i].synced ? images[i].synced : "", images[i].size);
	}
}

/* --- a file -------------------------------------------------------------------------------------------------------------- */

static int file_close(sqlite3_file *file)
{
	return real_of(file)->pMethods->xClose(real_of(file));
}
static int file_read(sqlite3_file *file, void *data, int len, sqlite3_int64 at)
{
	return real_of(file)->pMethods->xRead(real_of(file), data, len, at);
}
static int file_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
	int rc = ask(FAULTY_WRITE);
	if (rc != SQLITE_OK)
		return rc;
	struct image *image = ((struct faulty_file *)file)->image;
	if (image)
		note_write(image, (size_t)at, data, (size_t)len);
	return real_of(file)->pMethods->xWrite(real_of(file), data, len, at);
}
static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	int rc = ask(FAULTY_TRUNCATE);
	return rc != SQLITE_OK ? rc : real_of(file)->pMethods->xTruncate(real_of(file), size);
}
static int file_sync(sqlite3_file *file, int flags)
{
	int rc = ask(FAULTY_SYNC);
	if (rc != SQLITE_OK)
		return rc;
	struct image *image = ((struct faulty_file *)file)->image;
	if (image)
		note_sync(image);
	/* the disk is this program: no need to bother the real one */
	(void)flags;
	return SQLITE_OK;
}
static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
	return real_of(file)->pMethods->xFileSize(real_of(file), size);
}
static int file_lock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xLock(real_of(file), level);
}
static int file_unlock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xUnlock(real_of(file), level);
}
static int file_check_lock(sqlite3_file *file, int *taken)
{
	return real_of(file)->pMethods->xCheckReservedLock(real_of(file), taken);
}
static int file_control(sqlite3_file *file, int op, void *arg)
{
	return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}
static int file_sector(sqlite3_file *file)
{
	return real_of(file)->pMethods->xSectorSize(real_of(file));
}
static int file_traits(sqlite3_file *file)
{
	return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}
static int shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **data)
{
	int rc = extend ? ask(FAULTY_MAP) : SQLITE_OK;
	return rc != SQLITE_OK ? rc
			       : real_of(file)->pMethods->xShmMap(real_of(file), region, size, extend, data);
}
static int shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}
static void shm_barrier(sqlite3_file *file)
{
	real_of(file)->pMethods->xShmBarrier(real_of(file));
}
static int shm_unmap(sqlite3_file *file, int delete)
{
	return real_of(file)->pMethods->xShmUnmap(real_of(file), delete);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_check_lock,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_traits,
	.xShmMap = shm_map,
	.xShmLock = shm_lock,
	.xShmBarrier = shm_barrier,
	.xShmUnmap = shm_unmap,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
	struct faulty_file *faulty = (struct faulty_file *)file;
	(void)vfs;
	memset(faulty, 0, sizeof *faulty);
	faulty->real = (sqlite3_file *)(faulty + 1);
	faulty->real->pMethods = NULL;
	if (flags & SQLITE_OPEN_MAIN_DB)
		faulty->image = &images[0];
	else if (flags & SQLITE_OPEN_WAL)
		faulty->image = &images[1];
	int rc = real_vfs->xOpen(real_vfs, name, faulty->real, flags, ret_flags);
	if (faulty->real->pMethods)
		faulty->file.pMethods = &methods;
	return rc;
}

static sqlite3_vfs faulty_vfs;

void faulty_vfs_install(void)
{
	if (real_vfs)
		faulty_vfs_remove(); /* a test failed with it installed */
	real_vfs = sqlite3_vfs_find("unix");
	assert_non_null(real_vfs);
	faulty_vfs = *real_vfs;
	faulty_vfs.zName = "faulty";
	faulty_vfs.szOsFile = (int)sizeof(struct faulty_file) + real_vfs->szOsFile;
	faulty_vfs.xOpen = vfs_open;
	faulty_vfs.pNext = NULL;
	assert_int_equal(sqlite3_vfs_register(&faulty_vfs, 1), SQLITE_OK);
	for (size_t i = 0; i < 2; i++)
		image_clear(&images[i]);
	faulty_vfs_arm(0, 0, 0, false);
}

void faulty_vfs_remove(void)
{
	sqlite3_vfs_unregister(&faulty_vfs);
	sqlite3_vfs_register(real_vfs, 1);
	real_vfs = NULL;
	for (size_t i = 0; i < 2; i++)
		image_clear(&images[i]);
}

void faulty_vfs_arm(unsigned ops, unsigned nth, int sqlite_code, bool dead)
{
	armed_ops = ops;
	armed_nth = nth;
	armed_code = sqlite_code;
	armed_dead = dead;
	fired = false;
	memset(counts, 0, sizeof counts);
}

bool faulty_vfs_fired(void)
{
	return fired;
}

unsigned faulty_vfs_count(enum faulty_op op)
{
	return counts[op];
}
