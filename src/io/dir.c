/* The part of file.h that is about directories and locks. */
#include "base/cleanup.h"
#include "io/clock.h"
#include "io/fault.h"
#include "io/file.h"
#include "io/recorder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define DEPTH_MAX 200 /* lastgood's own directories are a handful deep; each level holds a descriptor */

/* ---- make ---- */

/* Directory `path` alone; its parent must be there. 1 when it was made, 0 when it was there. */
static int make_one(const char *path, mode_t mode, struct lg_error *err)
{
	struct stat st;
	int failure = lg_fault_check(LG_FAULT_MKDIR, path);
	if (failure)
		return lg_fail(err, LG_EIO, failure, "cannot make directory '%s'", path);
	if (mkdir(path, mode) == 0) {
		lg_recorded(.op = LG_RECORDED_MKDIR, .dirfd = AT_FDCWD, .name = path);
		return 1;
	}
	failure = errno;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	if (failure == EEXIST || failure == ENOTDIR)
		return lg_fail(err, LG_EINVALID, 0, "cannot make directory '%s': a file is in the way", path);
	return lg_fail(err, LG_EIO, failure, "cannot make directory '%s'", path);
}

static int sync_parent(char *path, struct lg_error *err)
{
	char *slash = strrchr(path, '/');
	if (!slash || slash == path)
		return lg_dir_sync(slash ? "/" : ".", err);
	*slash = '\0';
	int rc = lg_dir_sync(path, err);
	*slash = '/';
	return rc;
}

/* A parent that may not be read is not one in which we have made anything. */
static int sync_found(char *path, struct lg_error *err)
{
	struct lg_error why = LG_ERROR_INIT;
	int rc = sync_parent(path, &why);
	if (rc < 0 && why.sys_errno == EACCES)
		return 0;
	if (rc < 0 && err)
		*err = why;
	return rc;
}

static bool is_directory(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Each one is on disk before the next one is made in it.  So of those that a killed process left, only the deepest may not
 * be: `found`, whose parent is synced once it is known to be the deepest. */
static int make_below(char *path, mode_t mode, bool *found, struct lg_error *err)
{
	if (is_directory(path))
		return 0;
	char *slash = strrchr(path, '/');
	int rc = 0;
	if (*found && slash && slash != path) {
		*slash = '\0';
		rc = sync_found(path, err);
		*slash = '/';
	}
	*found = false;
	if (rc == 0)
		rc = make_one(path, mode, err);
	return rc < 0 ? rc : sync_parent(path, err);
}

int lg_dir_make(const char *path, mode_t mode, struct lg_error *err)
{
	bool found = true;
	if (!*path)
		return lg_fail(err, LG_EINVALID, 0, "'' does not name a directory");
	lg_autofree char *copy = strdup(path);
	if (!copy)
		return lg_fail_nomem(err);
	for (size_t len = strlen(copy); len > 1 && copy[len - 1] == '/'; len--)
		copy[len - 1] = '\0';
	if (is_directory(copy))
		return sync_found(copy, err);
	for (char *at = copy + 1; *at; at++) {
		if (*at != '/' || at[-1] == '/')
			continue;
		*at = '\0';
		int rc = make_below(copy, mode, &found, err);
		*at = '/';
		if (rc < 0)
			return rc;
	}
	return make_below(copy, mode, &found, err);
}

/* ---- list ---- */

void lg_names_free(char **names, size_t count)
{
	for (size_t i = 0; names && i < count; i++)
		free(names[i]);
	free(names);
}

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Reads on until the end; *names and *count are valid after a failure, too. */
static int collect_names(DIR *dir, const char *path, char ***names, size_t *count, struct lg_error *err)
{
	size_t size = 0;
	for (;;) {
		errno = 0;
		struct dirent *entry = readdir(dir);
		if (!entry && errno)
			return lg_fail(err, LG_EIO, errno, "cannot list directory '%s'", path);
		if (!entry)
			return 0;
		if (is_dot(entry->d_name))
			continue;
		if (*count == size) {
			size = size ? 2 * size : 16;
			char **more = reallocarray(*names, size, sizeof *more);
			if (!more)
				return lg_fail_nomem(err);
			*names = more;
		}
		(*names)[*count] = strdup(entry->d_name);
		if (!(*names)[*count])
			return lg_fail_nomem(err);
		++*count;
	}
}

/* Takes fd over. */
static int list_fd(int fd, const char *path, char ***ret_names, size_t *ret_count, struct lg_error *err)
{
	DIR *dir = fdopendir(fd);
	if (!dir) {
		int failure = errno;
		close(fd);
		return lg_fail(err, LG_EIO, failure, "cannot list directory '%s'", path);
	}
	char **names = NULL;
	size_t count = 0;
	int rc = collect_names(dir, path, &names, &count, err);
	closedir(dir);
	if (rc == 0 && !names && !(names = calloc(1, sizeof *names)))
		rc = lg_fail_nomem(err);
	if (rc < 0) {
		lg_names_free(names, count);
		return rc;
	}
	qsort(names, count, sizeof *names, compare_names);
	*ret_names = names;
	*ret_count = count;
	return 0;
}

int lg_dir_list(const char *path, char ***ret_names, size_t *ret_count, struct lg_error *err)
{
	int fault = lg_fault_check(LG_FAULT_OPEN, path);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot open directory '%s'", path);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return lg_fail(err, LG_ENOTFOUND, 0, "directory '%s' does not exist", path);
	if (fd < 0 && errno == ENOTDIR)
		return lg_fail(err, LG_EINVALID, 0, "'%s' is not a directory", path);
	if (fd < 0)
		return lg_fail(err, LG_EIO, errno, "cannot open directory '%s'", path);
	return list_fd(fd, path, ret_names, ret_count, err);
}

/* ---- remove ---- */

/* One walk for two passes: the first only looks, so that a tree with a foreign file system in it is refused whole. */
struct removal {
	bool look_only;
	uint64_t mount; /* of the top */
	dev_t device;
};

static int mount_of(int fd, const char *path, uint64_t *ret_mount, dev_t *ret_device, struct lg_error *err)
{
	struct statx sx;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
		return lg_fail(err, LG_EIO, errno, "cannot look at '%s'", path);
	*ret_mount =
		sx.stx_mask & STATX_MNT_ID ? sx.stx_mnt_id : 0; /* 0 before Linux 5.8: the device decides */
	*ret_device = ((dev_t)sx.stx_dev_major << 32) | sx.stx_dev_minor;
	return 0;
}

static int remove_entry(
	const struct removal *removal, int parent, const char *path, int flags, struct lg_error *err)
{
	if (removal->look_only)
		return 0;
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	int failure = lg_fault_check(LG_FAULT_UNLINK, path);
	if (!failure && unlinkat(parent, name, flags) == 0)
		lg_recorded(.op = LG_RECORDED_UNLINK, .dirfd = parent, .name = name);
	else if (!failure && errno != ENOENT)
		failure = errno;
	return failure ? lg_fail(err, LG_EIO, failure, "cannot remove '%s'", path) : 0;
}

static int remove_tree(
	const struct removal *removal, int fd, const char *path, int depth, struct lg_error *err);

static int remove_child(const struct removal *removal, int parent, const char *dir, const char *name, int depth,
	struct lg_error *err)
{
	lg_autofree char *path = lg_path_join(dir, name);
	if (!path)
		return lg_fail_nomem(err);
	lg_autoclose int fd =
		openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP)) /* anything but a directory */
		return remove_entry(removal, parent, path, 0, err);
	if (fd < 0)
		return lg_fail(err, LG_EIO, errno, "cannot open directory '%s'", path);
	int rc = remove_tree(removal, fd, path, depth + 1, err);
	return rc < 0 ? rc : remove_entry(removal, parent, path, AT_REMOVEDIR, err);
}

/* Everything in the directory fd, not itself. */
static int remove_tree(const struct removal *removal, int fd, const char *path, int depth, struct lg_error *err)
{
	uint64_t mount;
	dev_t device;
	int rc = mount_of(fd, path, &mount, &device, err);
	if (rc < 0)
		return rc;
	if (mount != removal->mount || device != removal->device)
		return lg_fail(err, LG_EINVALID, 0, "'%s' is another file system: unmount it first", path);
	if (depth > DEPTH_MAX)
		return lg_fail(err, LG_EINVALID, 0, "'%s' is more than %d directories deep", path, DEPTH_MAX);
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (own < 0)
		return lg_fail(err, LG_EIO, errno, "cannot open directory '%s'", path);
	char **names = NULL;
	size_t count = 0;
	lseek(own, 0, SEEK_SET); /* the offset is shared, and the first pass has moved it */
	rc = list_fd(own, path, &names, &count, err);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = remove_child(removal, fd, path, names[i], depth, err);
	lg_names_free(names, count);
	return rc;
}

int lg_dir_remove(const char *path, struct lg_error *err)
{
	int fault = lg_fault_check(LG_FAULT_OPEN, path);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot open directory '%s'", path);
	lg_autofree char *copy = strdup(path);
	if (!copy)
		return lg_fail_nomem(err);
	for (size_t len = strlen(copy); len > 1 && copy[len - 1] == '/'; len--)
		copy[len - 1] = '\0'; /* a slash behind a symlink would follow it */
	lg_autoclose int fd = open(copy, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return lg_fail(err, LG_EINVALID, 0, "'%s' is not a directory", copy);
	if (fd < 0)
		return lg_fail(err, LG_EIO, errno, "cannot open directory '%s'", copy);
	struct removal removal = { .look_only = true };
	int rc = mount_of(fd, copy, &removal.mount, &removal.device, err);
	if (rc == 0)
		rc = remove_tree(&removal, fd, copy, 0, err);
	removal.look_only = false;
	if (rc == 0)
		rc = remove_tree(&removal, fd, copy, 0, err);
	if (rc < 0)
		return rc;
	int failure = lg_fault_check(LG_FAULT_UNLINK, copy);
	if (!failure && rmdir(copy) < 0)
		failure = errno;
	if (failure)
		return lg_fail(err, LG_EIO, failure, "cannot remove directory '%s'", copy);
	lg_recorded(.op = LG_RECORDED_UNLINK, .dirfd = AT_FDCWD, .name = copy);
	char *slash = strrchr(copy, '/');
	if (slash && slash != copy)
		*slash = '\0';
	return lg_dir_sync(!slash ? "." : slash == copy ? "/" : copy, err);
}

/* ---- owner ---- */

static const char *user_name(uid_t uid, char *buf, size_t size)
{
	struct passwd entry, *found = NULL;
	char strings[1024];
	if (getpwuid_r(uid, &entry, strings, sizeof strings, &found) == 0 && found)
		snprintf(buf, size, "%s", found->pw_name);
	else
		snprintf(buf, size, "uid %u", (unsigned)uid);
	return buf;
}

int lg_dir_check_owner(const char *path, struct lg_error *err)
{
	struct stat st;
	char owner[64], self[64];
	if (stat(path, &st) < 0)
		return errno == ENOENT ? lg_fail(err, LG_ENOTFOUND, 0, "directory '%s' does not exist", path)
				       : lg_fail(err, LG_EIO, errno, "cannot look at '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return lg_fail(err, LG_EINVALID, 0, "'%s' is not a directory", path);
	uid_t uid = geteuid();
	if (st.st_uid == uid || (uid == 0 && !(st.st_mode & S_IWOTH)))
		return 0;
	user_name(st.st_uid, owner, sizeof owner);
	user_name(uid, self, sizeof self);
	if (uid == 0)
		return lg_fail(err, LG_EPERM, 0,
			"directory '%s' belongs to '%s' and everybody may write to it: run 'chmod o-w' on it "
			"first",
			path, owner);
	return lg_fail(err, LG_EPERM, 0, "directory '%s' belongs to '%s', and this runs as '%s': run as '%s'",
		path, owner, self, owner);
}

/* ---- lock ---- */

static int open_lock(const char *path, int *ret_fd, struct lg_error *err)
{
	int fault = lg_fault_check(LG_FAULT_LOCK, path);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot lock '%s'", path);
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	if (fd < 0)
		return lg_fail(err, LG_EIO, errno, "cannot open lock file '%s'", path);
	lg_recorded(.op = LG_RECORDED_CREATE, .dirfd = AT_FDCWD, .name = path, .fd = fd);
	*ret_fd = fd;
	return 0;
}

/* There is no lock call with a deadline, so ask again in growing steps; a lock is held for milliseconds or for long. */
int lg_lock_file(const char *path, int64_t wait_ms, int *ret_fd, struct lg_error *err)
{
	const struct lg_clock *clock = lg_clock_system();
	lg_autoclose int fd = -1;
	int rc = open_lock(path, &fd, err);
	if (rc < 0)
		return rc;
	int64_t start_ns = clock->boottime_ns(clock);
	for (int64_t step_ms = 1;; step_ms = step_ms < 32 ? 2 * step_ms : 50) {
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
		if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
			*ret_fd = lg_steal_fd(&fd);
			return 0;
		}
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return lg_fail(err, LG_EIO, errno, "cannot lock '%s'", path);
		int64_t left_ms = wait_ms - (clock->boottime_ns(clock) - start_ns) / 1000000;
		if (left_ms <= 0)
			return lg_fail(err, LG_EBUSY, 0, "'%s' is locked by another process", path);
		clock->sleep_ns(clock, (step_ms < left_ms ? step_ms : left_ms) * 1000000);
	}
}
