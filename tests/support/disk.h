/* disk.h - a disk that forgets what was not synced.
 *
 * It records what a process does to one directory tree and then lays out, as often as asked, what a real disk might hold had the
 * power failed between any two of these operations: a seed decides about everything that was not synced by then.
 *
 *	struct disk *disk = disk_new("…/live");      what is there now is on the platters
 *	disk_record(disk);  …work…  disk_stop(disk);  also in a child: the disk lies in shared memory
 *	disk_assert_complete(disk, NULL);             nothing went past the recorder
 *	disk_lay(disk, &(struct disk_cut){ .at = 17, .seed = 4 }, "…/live");
 *
 * The rules, for what happened behind the last sync of a file or a directory:
 *  - A write lands, is dropped or is garbled, by sectors of 512 bytes; two writes of one file in any order, or in time order with a
 *    torn end, or each sector as of some moment.  What lies beside the bytes of a write is never harmed (SQLite calls that
 *    powersafe overwrite; without it no file could be appended to safely).  The size is that of some moment, and what a file grew
 *    by without its data is zeros or garbage.
 *  - Of the creations, renames, exchanges and removals in one directory the first ones happened; with some seeds any of them that
 *    are possible without the others, as not every file system keeps their order.  Different directories know nothing of each other,
 *    and syncing a file does not make its name durable.
 *  - Some seeds let everything land (that is a kill), some nothing.
 *  - SQLite's -shm file is memory: it is gone, or there is garbage under its name.
 *
 * src/io is recorded through io/recorder.h, SQLite beneath its own VFS through the table of system calls that it has for tests, so that
 * the syncs of directories are seen that its VFS makes on its own.  fsync itself does nothing in a program with this file in it. */
#ifndef LG_TESTS_DISK_H
#define LG_TESTS_DISK_H

#include "support/support.h"

#include <stdbool.h>
#include <stdint.h>

struct disk;

struct disk *disk_new(const char *root);
void disk_free(struct disk *disk);

/* In this process, until disk_stop; any number of threads. */
void disk_record(struct disk *disk);
void disk_stop(struct disk *disk);
/* The recording process ends (_exit) with this status right behind operation `at`, 0: never. */
void disk_kill_at(struct disk *disk, size_t at, int status);
/* Operations so far.  Whoever was answered when there were n knows that a cut at n or later must keep what he was told. */
size_t disk_count(const struct disk *disk);
/* "write 24 bytes at 4152 of 'state/log.db-wal'", for operation number `at` from 1; static storage */
const char *disk_describe(const struct disk *disk, size_t at);

/* Fails the test unless the tree on the real disk is what the recorded operations lead to.  ignored: endings of names that others
 * than the recorded process write, ended by NULL. */
void disk_assert_complete(const struct disk *disk, const char *const *ignored);

struct disk_cut {
	size_t at; /* the power failed when this many operations had been made */
	uint64_t seed;
	/* a disk that lies: syncs of the files that were created under a name with this ending do nothing, "/": of all directories */
	const char *lie;
};
/* Replaces what is in `to`. */
void disk_lay(const struct disk *disk, const struct disk_cut *cut, const char *to);

#endif
