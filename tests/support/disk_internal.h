/* disk_internal.h - what recording a disk (disk.c) and laying one out (disk_lay.c) share. */
#ifndef LG_TESTS_DISK_INTERNAL_H
#define LG_TESTS_DISK_INTERNAL_H

#include "support/disk.h"

#include "io/recorder.h"

#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>

#define DISK_SECTOR 512
#define DISK_NONE   UINT32_MAX

/* A file, directory or symlink: what an inode is. */
struct disk_node {
	dev_t dev;
	ino_t ino;
	mode_t mode;      /* at first */
	const char *name; /* at first */
	const char *data; /* at first; of a symlink: where it points */
	size_t len;
};

struct disk_op {
	enum lg_recorded_op op;
	uint32_t file; /* the node written or synced, or the one that gets or loses a name */
	uint32_t dir;  /* of an operation on names */
	const char *name, *to;
	size_t at;
	const char *data;
	size_t len;
	mode_t mode;
};

struct disk_entry {
	uint32_t dir, file;
	const char *name;
};

struct disk_names {
	struct disk_entry *entries;
	size_t count;
};

#define DISK_NODES   ((size_t)1 << 16)
#define DISK_OPS     ((size_t)1 << 18)
#define DISK_ENTRIES ((size_t)1 << 14)
#define DISK_BYTES   ((size_t)1 << 31) /* room, not memory */

/* In shared memory that lies at the same place in every child. Node 0 is the root. */
struct disk {
	pthread_mutex_t lock;
	char root[PATH_MAX];
	size_t node_count, op_count, kill_at, used;
	int kill_status;
	size_t first_count;
	struct disk_names live; /* its entries: live_entries */
	struct disk_node nodes[DISK_NODES];
	struct disk_op ops[DISK_OPS];
	struct disk_entry first_entries[DISK_ENTRIES], live_entries[DISK_ENTRIES];
	char bytes[DISK_BYTES];
};

/* Whether the operation was possible: what it takes from must be there. */
bool disk_names_apply(struct disk_names *names, const struct disk_op *op);
uint32_t disk_names_find(const struct disk_names *names, uint32_t dir, const char *name); /* or DISK_NONE */
bool disk_op_on_names(const struct disk_op *op);
/* The content of a file with the first `count` operations made, nothing lost; caller frees. */
char *disk_content(const struct disk *disk, uint32_t file, size_t count, size_t *ret_len);

#endif
