/* Recording. */
#include "support/disk_internal.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- syncs ------------------------------------------------------------------------------------------------------------ */

/* The disk is this program.  libsqlite3 finds these two before those of libc. */
int fsync(int fd)
{
	lg_recorded(.op = LG_RECORDED_SYNC, .fd = fd);
	return 0;
}

int fdatasync(int fd)
{
	return fsync(fd);
}

/* --- names ------------------------------------------------------------------------------------------------------------ */

static struct disk_entry *find(const struct disk_names *names, uint32_t dir, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (names->entries[i].dir == dir && strcmp(names->entries[i].name, name) == 0)
			return &names->entries[i];
	return NULL;
}

uint32_t disk_names_find(const struct disk_names *names, uint32_t dir, const char *name)
{
	const struct disk_entry *entry = find(names, dir, name);
	return entry ? entry->file : DISK_NONE;
}

static void take_off(struct disk_names *names, struct disk_entry *entry)
{
	if (entry)
		*entry = names->entries[--names->count];
}

static void put_on(struct disk_names *names, uint32_t dir, const char *name, uint32_t file)
{
	assert_true(names->count < DISK_ENTRIES);
	take_off(names, find(names, dir, name));
	names->entries[names->count++] = (struct disk_entry){ dir, file, name };
}

bool disk_op_on_names(const struct disk_op *op)
{
	return op->name != NULL;
}

bool disk_names_apply(struct disk_names *names, const struct disk_op *op)
{
	struct disk_entry *from = find(names, op->dir, op->name);
	struct disk_entry *to = op->to ? find(names, op->dir, op->to) : NULL;
	bool creates = op->op == LG_RECORDED_CREATE || op->op == LG_RECORDED_MKDIR;
	if (!creates && (!from || from->file != op->file))
		return false;
	if (creates)
		put_on(names, op->dir, op->name, op->file);
	else if (op->op == LG_RECORDED_UNLINK)
		take_off(names, from);
	else if (op->op == LG_RECORDED_LINK)
		put_on(names, op->dir, op->to, op->file);
	else if (op->op == LG_RECORDED_RENAME) {
		take_off(names, from);
		put_on(names, op->dir, op->to, op->file);
	} else {
		if (!to)
			return false;
		from->file = to->file;
		to->file = op->file;
	}
	return true;
}

/* --- nodes ------------------------------------------------------------------------------------------------------------ */

static const char *keep(struct disk *disk, const void *data, size_t len)
{
	assert_true(len < DISK_BYTES - disk->used);
	char *kept = disk->bytes + disk->used;
	memcpy(kept, data, len);
	disk->used += len;
	return kept;
}

static const char *keep_name(struct disk *disk, const char *name)
{
	return keep(disk, name, strlen(name) + 1);
}

/* The newest: numbers of inodes are used again. */
static uint32_t node_of(const struct disk *disk, const struct stat *st)
{
	for (size_t i = disk->node_count; i-- > 0;)
		if (disk->nodes[i].ino == st->st_ino && disk->nodes[i].dev == st->st_dev)
			return (uint32_t)i;
	return DISK_NONE;
}

static uint32_t node_of_fd(const struct disk *disk, int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 ? node_of(disk, &st) : DISK_NONE;
}

static uint32_t add_node(struct disk *disk, const struct stat *st, const char *name)
{
	assert_true(disk->node_count < DISK_NODES);
	disk->nodes[disk->node_count] = (struct disk_node){
		.dev = st->st_dev, .ino = st->st_ino, .mode = st->st_mode, .name = keep_name(disk, name)
	};
	return (uint32_t)disk->node_count++;
}

static bool ends_in(const char *name, const char *ending)
{
	size_t len = strlen(name), end_len = strlen(ending);
	return len >= end_len && strcmp(name + len - end_len, ending) == 0;
}

static void scan(struct disk *disk, uint32_t dir, const char *path)
{
	struct lg_error err = LG_ERROR_INIT;
	char **names;
	size_t count, len = 0;
	lg_assert_ok(lg_dir_list(path, &names, &count, &err), &err);
	for (size_t i = 0; i < count; i++) {
		struct stat st;
		lg_autofree char *child = lg_path_join(path, names[i]);
		char link[PATH_MAX];
		assert_int_equal(lstat(child, &st), 0);
		if (ends_in(names[i], "-shm"))
			continue;
		uint32_t file = add_node(disk, &st, names[i]);
		struct disk_node *node = &disk->nodes[file];
		put_on(&disk->live, dir, node->name, file);
		if (S_ISDIR(st.st_mode)) {
			scan(disk, file, child);
			continue;
		}
		lg_autofree char *data = S_ISREG(st.st_mode) ? lg_test_read(child, &len) : NULL;
		if (S_ISLNK(st.st_mode))
			len = (size_t)readlink(child, link, sizeof link);
		node->data = keep(disk, data ? data : link, len);
		node->len = len;
	}
	lg_names_free(names, count);
}

struct disk *disk_new(const char *root)
{
	struct stat st;
	struct disk *disk = mmap(
		NULL, sizeof *disk, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(disk != MAP_FAILED);
	pthread_mutexattr_t shared;
	pthread_mutexattr_init(&shared);
	pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&disk->lock, &shared);
	pthread_mutexattr_destroy(&shared);
	snprintf(disk->root, sizeof disk->root, "%s", root);
	disk->live.entries = disk->live_entries;
	assert_int_equal(stat(root, &st), 0);
	scan(disk, add_node(disk, &st, ""), root);
	memcpy(disk->first_entries, disk->live_entries, disk->live.count * sizeof *disk->live_entries);
	disk->first_count = disk->live.count;
	return disk;
}

void disk_free(struct disk *disk)
{
	if (disk)
		munmap(disk, sizeof *disk);
}

size_t disk_count(const struct disk *disk)
{
	return __atomic_load_n(&disk->op_count, __ATOMIC_ACQUIRE);
}

/* --- operations ------------------------------------------------------------------------------------------------------- */

/* The directory of a name that may be a path; *name becomes the name in it. */
static uint32_t dir_of(const struct disk *disk, int dirfd, const char **name)
{
	struct stat st;
	char dir[PATH_MAX];
	const char *slash = strrchr(*name, '/');
	if (!slash)
		snprintf(dir, sizeof dir, ".");
	else
		snprintf(dir, sizeof dir, "%.*s", slash == *name ? 1 : (int)(slash - *name), *name);
	if (fstatat(dirfd, dir, &st, 0) < 0)
		return DISK_NONE;
	*name = slash ? slash + 1 : *name;
	return node_of(disk, &st);
}

static void add_op(struct disk *disk, const struct disk_op *op)
{
	assert_true(disk->op_count < DISK_OPS);
	if (disk_op_on_names(op))
		assert_true(disk_names_apply(&disk->live, op));
	disk->ops[disk->op_count] = *op;
	__atomic_store_n(&disk->op_count, disk->op_count + 1, __ATOMIC_RELEASE);
}

static bool record_name(struct disk *disk, const struct lg_recorded *what, struct disk_op *op)
{
	struct stat st;
	const char *name = what->name;
	op->dir = dir_of(disk, what->dirfd, &name);
	if (op->dir == DISK_NONE || ends_in(name, "-shm"))
		return false;
	op->file = disk_names_find(&disk->live, op->dir, name);
	if (what->op == LG_RECORDED_CREATE || what->op == LG_RECORDED_MKDIR) {
		if (what->op == LG_RECORDED_CREATE ? fstat(what->fd, &st) < 0
						   : fstatat(what->dirfd, what->name, &st, 0) < 0)
			return false;
		if (op->file != DISK_NONE && disk->nodes[op->file].ino == st.st_ino)
			return false; /* it was there */
		op->file = add_node(disk, &st, name);
	}
	op->name = keep_name(disk, name);
	op->to = what->to ? keep_name(disk, what->to) : NULL;
	return true;
}

static bool record_data(struct disk *disk, const struct lg_recorded *what, struct disk_op *op)
{
	struct stat st;
	op->file = node_of_fd(disk, what->fd);
	if (op->file == DISK_NONE)
		return false;
	if (what->op == LG_RECORDED_META && fstat(what->fd, &st) == 0)
		op->mode = st.st_mode;
	op->len = what->len;
	op->data = what->len ? keep(disk, what->data, what->len) : NULL;
	off_t at = what->at < 0 ? lseek(what->fd, 0, SEEK_CUR) - (off_t)what->len : what->at;
	assert_true(at >= 0);
	op->at = (size_t)at;
	/* what io says of a sync, and then fsync above */
	const struct disk_op *last = disk->op_count ? &disk->ops[disk->op_count - 1] : NULL;
	return !(what->op == LG_RECORDED_SYNC && last && last->op == what->op && last->file == op->file);
}

static void record(void *arg, const struct lg_recorded *what)
{
	struct disk *disk = arg;
	struct disk_op op = { .op = what->op, .dir = DISK_NONE };
	pthread_mutex_lock(&disk->lock);
	if (what->name ? record_name(disk, what, &op) : record_data(disk, what, &op))
		add_op(disk, &op);
	bool end = disk->kill_at && disk->op_count >= disk->kill_at;
	pthread_mutex_unlock(&disk->lock);
	if (end)
		_exit(disk->kill_status);
}

void disk_kill_at(struct disk *disk, size_t at, int status)
{
	disk->kill_at = at;
	disk->kill_status = status;
}

/* --- SQLite ----------------------------------------------------------------------------------------------------------- */

static int sqlite_open(const char *path, int flags, int mode)
{
	int fd = open(path, flags, mode);
	if (fd >= 0 && flags & O_CREAT)
		lg_recorded(.op = LG_RECORDED_CREATE, .dirfd = AT_FDCWD, .name = path, .fd = fd);
	return fd;
}

static ssize_t sqlite_write(int fd, const void *data, size_t len)
{
	ssize_t n = write(fd, data, len);
	if (n > 0)
		lg_recorded(.op = LG_RECORDED_WRITE, .fd = fd, .at = -1, .data = data, .len = (size_t)n);
	return n;
}

static ssize_t sqlite_pwrite(int fd, const void *data, size_t len, off_t at)
{
	ssize_t n = pwrite(fd, data, len, at);
	if (n > 0)
		lg_recorded(.op = LG_RECORDED_WRITE, .fd = fd, .at = at, .data = data, .len = (size_t)n);
	return n;
}

static int sqlite_truncate(int fd, off_t size)
{
	int rc = ftruncate(fd, size);
	if (rc == 0)
		lg_recorded(.op = LG_RECORDED_TRUNCATE, .fd = fd, .at = size);
	return rc;
}

static int sqlite_unlink(const char *path)
{
	int rc = unlink(path);
	if (rc == 0)
		lg_recorded(.op = LG_RECORDED_UNLINK, .dirfd = AT_FDCWD, .name = path);
	return rc;
}

static const struct {
	const char *name;
	sqlite3_syscall_ptr call;
} sqlite_calls[] = {
	{ "open", (sqlite3_syscall_ptr)sqlite_open },
	{ "write", (sqlite3_syscall_ptr)sqlite_write },
	{ "pwrite", (sqlite3_syscall_ptr)sqlite_pwrite },
	{ "pwrite64", (sqlite3_syscall_ptr)sqlite_pwrite },
	{ "ftruncate", (sqlite3_syscall_ptr)sqlite_truncate },
	{ "unlink", (sqlite3_syscall_ptr)sqlite_unlink },
};

/* Those that this SQLite was built with. */
static void use_calls(bool ours)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find("unix");
	assert_non_null(vfs);
	for (size_t i = 0; i < sizeof sqlite_calls / sizeof *sqlite_calls; i++) {
		const char *name = sqlite_calls[i].name;
		if (vfs->xGetSystemCall(vfs, name))
			vfs->xSetSystemCall(vfs, name, ours ? sqlite_calls[i].call : NULL);
	}
}

void disk_record(struct disk *disk)
{
	use_calls(true);
	lg_recorder_set(record, disk);
}

void disk_stop(struct disk *disk)
{
	(void)disk;
	lg_recorder_set(NULL, NULL);
	use_calls(false);
}

/* --- looking at it ---------------------------------------------------------------------------------------------------- */

const char *disk_describe(const struct disk *disk, size_t at)
{
	static const char *const names[LG_RECORDED_OP_COUNT] = {
		[LG_RECORDED_CREATE] = "create",
		[LG_RECORDED_MKDIR] = "mkdir",
		[LG_RECORDED_WRITE] = "write",
		[LG_RECORDED_TRUNCATE] = "truncate",
		[LG_RECORDED_META] = "chmod",
		[LG_RECORDED_SYNC] = "sync",
		[LG_RECORDED_RENAME] = "rename",
		[LG_RECORDED_EXCHANGE] = "exchange",
		[LG_RECORDED_LINK] = "link",
		[LG_RECORDED_UNLINK] = "unlink",
	};
	static char text[300];
	if (at == 0 || at > disk->op_count)
		return "nothing";
	const struct disk_op *op = &disk->ops[at - 1];
	const char *name = op->name ? op->name : disk->nodes[op->file].name;
	if (op->op == LG_RECORDED_WRITE)
		snprintf(text, sizeof text, "write %zu bytes at %zu of '%.200s'", op->len, op->at, name);
	else
		snprintf(text, sizeof text, "%s '%.120s'%s%.120s", names[op->op], *name ? name : "/",
			op->to ? " to " : "", op->to ? op->to : "");
	return text;
}

static bool is_ignored(const char *name, const char *const *ignored)
{
	bool found = ends_in(name, "-shm");
	for (; ignored && *ignored && !found; ignored++)
		found = ends_in(name, *ignored);
	return found;
}

/* Returns how many names were compared. */
static size_t compare_dir(const struct disk *disk, uint32_t dir, const char *path, const char *const *ignored)
{
	struct lg_error err = LG_ERROR_INIT;
	char **names;
	size_t count, len, want_len, compared = 0;
	lg_assert_ok(lg_dir_list(path, &names, &count, &err), &err);
	for (size_t i = 0; i < count; i++) {
		struct stat st;
		lg_autofree char *child = lg_path_join(path, names[i]);
		uint32_t file = disk_names_find(&disk->live, dir, names[i]);
		if (is_ignored(names[i], ignored))
			continue;
		if (file == DISK_NONE)
			fail_msg("'%s' was made without the recorder's knowledge", child);
		assert_int_equal(lstat(child, &st), 0);
		compared++;
		if (S_ISDIR(st.st_mode))
			compared += compare_dir(disk, file, child, ignored);
		if (!S_ISREG(st.st_mode))
			continue;
		lg_autofree char *found = lg_test_read(child, &len);
		lg_autofree char *want = disk_content(disk, file, disk->op_count, &want_len);
		if (len != want_len || memcmp(found, want, len) != 0)
			fail_msg("'%s' was changed without the recorder's knowledge", child);
	}
	lg_names_free(names, count);
	return compared;
}

void disk_assert_complete(const struct disk *disk, const char *const *ignored)
{
	size_t known = 0;
	for (size_t i = 0; i < disk->live.count; i++)
		known += !is_ignored(disk->live.entries[i].name, ignored);
	if (compare_dir(disk, 0, disk->root, ignored) != known)
		fail_msg("something was removed without the recorder's knowledge");
}
