/* faulty_vfs.h - between SQLite and the disk: makes the Nth operation fail, and cuts the power.
 *
 * While installed, every log that is opened goes through it.  It remembers what each file of a database held at its last
 * sync, and each write since; faulty_vfs_power_cut writes what a disk might hold afterwards to another place: what was synced
 * is there, and of each later write any sector landed, vanished or turned to garbage. */
#ifndef LG_TESTS_FAULTY_VFS_H
#define LG_TESTS_FAULTY_VFS_H

#include <stdbool.h>
#include <stdint.h>

enum faulty_op {
	FAULTY_WRITE = 1,
	FAULTY_SYNC = 2,
	FAULTY_TRUNCATE = 4,
	FAULTY_MAP = 8, /* of the shared index */
	FAULTY_ANY = 15
};

void faulty_vfs_install(void);
void faulty_vfs_remove(void);
/* The nth operation of those in `ops` (a mask) from now on fails with this result code of SQLite; with `dead`, every one
 * after it, too. nth 0: none fails. */
void faulty_vfs_arm(unsigned ops, unsigned nth, int sqlite_code, bool dead);
bool faulty_vfs_fired(void);
unsigned faulty_vfs_count(enum faulty_op op); /* operations since faulty_vfs_arm */
void faulty_vfs_power_cut(const char *to_path, uint64_t seed);

#endif
