#include "io/file.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "io/fault.h"
#include "io/random.h"
#include "io/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PIECE_SIZE ((size_t)4 << 20)
#define READ_CHUNK ((size_t)64 * 1024)
#define LINKS_MAX  40 /* as the kernel follows */

/* ---- descriptors ---- */

int lg_write_all(int fd, const void *data, size_t len, const char *name, struct lg_error *err)
{
	const char *at = data;
	int fault = lg_fault_check(LG_FAULT_WRITE, name);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot write '%s'", name);
	while (len > 0) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lg_fail(err, LG_EIO, errno, "cannot write '%s'", name);
		lg_recorded(.op = LG_RECORDED_WRITE, .fd = fd, .at = -1, .data = at, .len = (size_t)n);
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int lg_fsync(int fd, const char *name, struct lg_error *err)
{
	int fault = lg_fault_check(LG_FAULT_FSYNC, name);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot sync '%s' to disk", name);
	lg_recorded(.op = LG_RECORDED_SYNC, .fd = fd);
	/* after a failure the kernel has dropped the dirty pages: a second fsync would succeed and mean nothing */
	if (fsync(fd) < 0)
		return lg_fail(err, LG_EIO, errno, "cannot sync '%s' to disk", name);
	return 0;
}

int lg_fd_read(int fd, const char *name, size_t max, struct lg_buf *buf, struct lg_error *err)
{
	size_t mark = buf->len;
	int rc = 0, fault = lg_fault_check(LG_FAULT_READ, name);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot read '%s'", name);
	for (;;) {
		size_t room = max - (buf->len - mark);
		size_t want = room < READ_CHUNK ? room + 1 : READ_CHUNK; /* one more shows that it is larger */
		if (lg_buf_reserve(buf, want) < 0) {
			rc = lg_fail(err, LG_ENOMEM, 0, "out of memory while reading '%s'", name);
			break;
		}
		ssize_t n = read(fd, buf->data + buf->len, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = lg_fail(err, LG_EIO, errno, "cannot read '%s'", name);
		else if ((size_t)n > room)
			rc = lg_fail(err, LG_EINVALID, 0, "'%s' is too large: at most %zu bytes are read", name,
				max);
		if (n <= 0 || rc < 0)
			break;
		buf->len += (size_t)n;
	}
	if (rc < 0)
		buf->len = mark;
	if (buf->data)
		buf->data[buf->len] = '\0';
	return rc;
}

/* ---- reading ---- */

/* A regular file and nothing else; O_NONBLOCK so that a FIFO without a writer does not hold us. */
static int open_regular(const char *path, int *ret_fd, struct stat *ret_st, struct lg_error *err)
{
	int fault = lg_fault_check(LG_FAULT_OPEN, path);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot open '%s'", path);
	lg_autoclose int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return lg_fail(err, LG_ENOTFOUND, 0, "'%s' does not exist", path);
	if (fd < 0 && errno != ENXIO) /* a socket, or a device that is not there */
		return lg_fail(err, LG_EIO, errno, "cannot open '%s'", path);
	if (fd >= 0 && fstat(fd, ret_st) < 0)
		return lg_fail(err, LG_EIO, errno, "cannot look at '%s'", path);
	if (fd < 0 || !S_ISREG(ret_st->st_mode))
		return lg_fail(err, LG_EINVALID, 0, "'%s' is not a regular file", path);
	*ret_fd = lg_steal_fd(&fd);
	return 0;
}

int lg_file_read(const char *path, size_t max, struct lg_buf *buf, struct lg_error *err)
{
	lg_autoclose int fd = -1;
	struct stat st;
	int rc = open_regular(path, &fd, &st, err);
	if (rc < 0)
		return rc;
	if ((uintmax_t)st.st_size > max)
		return lg_fail(err, LG_EINVALID, 0, "'%s' is too large: %jd bytes, at most %zu are read", path,
			(intmax_t)st.st_size, max);
	return lg_fd_read(fd, path, max, buf, err);
}

/* As many of len bytes as there are. */
static int read_up_to(int fd, char *data, size_t len, const char *name, size_t *ret_len, struct lg_error *err)
{
	size_t at = 0;
	int fault = lg_fault_check(LG_FAULT_READ, name);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot read '%s'", name);
	while (at < len) {
		ssize_t n = read(fd, data + at, len - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lg_fail(err, LG_EIO, errno, "cannot read '%s'", name);
		if (n == 0)
			break;
		at += (size_t)n;
	}
	*ret_len = at;
	return 0;
}

int lg_file_load(const char *path, size_t max, struct lg_block **ret_block, struct lg_error *err)
{
	lg_autoclose int fd = -1;
	struct stat st;
	size_t got = 0;
	int rc = open_regular(path, &fd, &st, err);
	if (rc < 0)
		return rc;
	size_t len = (size_t)st.st_size;
	if ((uintmax_t)st.st_size > max)
		return lg_fail(err, LG_EINVALID, 0, "'%s' is too large: %jd bytes, at most %zu are read", path,
			(intmax_t)st.st_size, max);
	lg_cleanup(lg_block_unrefp) struct lg_block *block = lg_block_new(len);
	if (!block)
		return lg_fail_nomem(err);
	rc = read_up_to(fd, block->data, len, path, &got, err);
	if (rc == 0 && got != len)
		rc = lg_fail(err, LG_EIO, 0, "'%s' became shorter while it was read", path);
	if (rc < 0)
		return rc;
	*ret_block = lg_steal_ptr(&block);
	return 0;
}

int lg_file_hash(const char *path, uint8_t ret_hash[32], struct lg_error *err)
{
	lg_autoclose int fd = -1;
	struct stat st;
	int rc = open_regular(path, &fd, &st, err);
	if (rc < 0)
		return rc;
	int fault = lg_fault_check(LG_FAULT_READ, path);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot read '%s'", path);
	lg_autofree unsigned char *chunk = malloc(READ_CHUNK);
	if (!chunk)
		return lg_fail_nomem(err);
	if (sodium_init() < 0) /* picks the fast implementation; any number of calls */
		return lg_fail(err, LG_EINTERNAL, 0, "cannot start libsodium");
	crypto_generichash_state state;
	crypto_generichash_init(&state, NULL, 0, 32);
	for (;;) {
		ssize_t n = read(fd, chunk, READ_CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lg_fail(err, LG_EIO, errno, "cannot read '%s'", path);
		if (n == 0)
			break;
		crypto_generichash_update(&state, chunk, (unsigned long long)n);
	}
	crypto_generichash_final(&state, ret_hash, 32);
	return 0;
}

int lg_file_exists(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0;
}

/* ---- names ---- */

char *lg_path_join(const char *dir, const char *name)
{
	size_t len = strlen(dir);
	const char *between = len == 0 || dir[len - 1] == '/' ? "" : "/";
	char *path = NULL;
	return asprintf(&path, "%s%s%s", dir, between, name) < 0 ? NULL : path;
}

/* Splits into directory ("." when there is none) and name, which may point into path. */
static int split_path(const char *path, char **ret_dir, const char **ret_name, struct lg_error *err)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return lg_fail(err, LG_EINVALID, 0, "'%s' does not name a file", path);
	char *dir = !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
	if (!dir)
		return lg_fail_nomem(err);
	*ret_dir = dir;
	*ret_name = name;
	return 0;
}

/* An open directory and a name in it: all further steps are relative to the descriptor, so that a directory that is
 * moved meanwhile cannot send them elsewhere. */
struct place {
	const char *path; /* for messages */
	char *dir;
	const char *name;
	int dirfd;
};

static void place_clear(struct place *place)
{
	free(place->dir);
	lg_close_cleanup(&place->dirfd);
}

static int place_open(struct place *place, const char *path, struct lg_error *err)
{
	*place = (struct place){ .path = path, .dirfd = -1 };
	int rc = split_path(path, &place->dir, &place->name, err);
	if (rc < 0)
		return rc;
	int fault = lg_fault_check(LG_FAULT_OPEN, place->dir);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot open directory '%s'", place->dir);
	place->dirfd = open(place->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (place->dirfd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return lg_fail(err, LG_ENOTFOUND, 0, "directory '%s' does not exist", place->dir);
	if (place->dirfd < 0)
		return lg_fail(err, LG_EIO, errno, "cannot open directory '%s'", place->dir);
	return 0;
}

/* 0 or errno */
static int unlink_in(int dirfd, const char *name)
{
	if (unlinkat(dirfd, name, 0) < 0)
		return errno;
	lg_recorded(.op = LG_RECORDED_UNLINK, .dirfd = dirfd, .name = name);
	return 0;
}

/* Some file systems cannot sync a directory and say EINVAL; there is nothing more to be had from them. */
static int sync_dirfd(int dirfd, const char *dir, struct lg_error *err)
{
	struct lg_error why = LG_ERROR_INIT;
	int rc = lg_fsync(dirfd, dir, &why);
	if (rc < 0 && why.sys_errno == EINVAL)
		return 0;
	if (rc < 0 && err)
		*err = why;
	return rc;
}

int lg_dir_sync(const char *path, struct lg_error *err)
{
	int fault = lg_fault_check(LG_FAULT_OPEN, path);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot open directory '%s'", path);
	lg_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return lg_fail(err, LG_EIO, errno, "cannot open directory '%s'", path);
	return sync_dirfd(fd, path, err);
}

int lg_file_remove(const char *path, struct lg_error *err)
{
	lg_cleanup(place_clear) struct place place;
	int rc = place_open(&place, path, err);
	if (rc == LG_ENOTFOUND)
		return 0;
	if (rc < 0)
		return rc;
	int fault = lg_fault_check(LG_FAULT_UNLINK, path);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot remove '%s'", path);
	int failure = unlink_in(place.dirfd, place.name);
	if (failure && failure != ENOENT)
		return lg_fail(err, LG_EIO, failure, "cannot remove '%s'", path);
	/* also when it was gone: whoever removed it may have been killed before the sync */
	return sync_dirfd(place.dirfd, place.dir, err);
}

/* The name of a temporary of `name`: ".NAME.lg-" and 16 digits. */
#define TEMP_STEM   ".%.200s.lg-"
#define TEMP_DIGITS ((size_t)16)

static bool is_temp_of(const char *entry, const char *name)
{
	char stem[NAME_MAX + 1];
	size_t len = (size_t)snprintf(stem, sizeof stem, TEMP_STEM, name);
	return strncmp(entry, stem, len) == 0 && strlen(entry) == len + TEMP_DIGITS &&
		strspn(entry + len, "0123456789abcdef") == TEMP_DIGITS;
}

int lg_file_sweep(const char *path, struct lg_error *err)
{
	lg_cleanup(place_clear) struct place place;
	char **names = NULL;
	size_t count = 0, removed = 0;
	int rc = place_open(&place, path, err);
	if (rc == 0)
		rc = lg_dir_list(place.dir, &names, &count, err);
	for (size_t i = 0; i < count && rc == 0; i++) {
		if (!is_temp_of(names[i], place.name))
			continue;
		int failure = lg_fault_check(LG_FAULT_UNLINK, names[i]);
		if (!failure)
			failure = unlink_in(place.dirfd, names[i]);
		if (failure && failure != ENOENT)
			rc = lg_fail(err, LG_EIO, failure, "cannot remove '%s/%s'", place.dir, names[i]);
		removed++;
	}
	lg_names_free(names, count);
	return rc == 0 && removed > 0 ? sync_dirfd(place.dirfd, place.dir, err) : rc;
}

/* ---- durable replace ----
 *
 * The new content goes into a temporary file of the same directory.  If the name is taken, both are exchanged in one
 * step, so that the former content still has a name while the directory is synced: should that fail, they are
 * exchanged back.  Only then is the former content removed.  A name that is free is taken without replacing anything.
 */
struct replace {
	struct place place;
	struct lg_replace_options options;
	struct stat former; /* st_nlink 0: the name is free */
	char temp[NAME_MAX + 1];
	bool temp_exists;
};

static void replace_clear(struct replace *replace)
{
	if (replace->temp_exists)
		unlink_in(replace->place.dirfd, replace->temp);
	place_clear(&replace->place);
}

/* Where a chain of symlinks ends, whether or not a file is there; *ret_target is malloc'd. */
static int follow_links(const char *path, char **ret_target, struct lg_error *err)
{
	lg_autofree char *at = strdup(path);
	for (int i = 0; at && i < LINKS_MAX; i++) {
		char link[PATH_MAX];
		ssize_t n = readlink(at, link, sizeof link);
		if (n < 0 && errno != EINVAL && errno != ENOENT && errno != ENOTDIR)
			return lg_fail(err, LG_EIO, errno, "cannot look at '%s'", at);
		if (n < 0) {
			*ret_target = lg_steal_ptr(&at);
			return 0;
		}
		if ((size_t)n == sizeof link)
			return lg_fail(err, LG_EINVALID, 0, "symlink '%s' is too long", at);
		link[n] = '\0';
		const char *slash = strrchr(at, '/');
		char *next = NULL;
		if (link[0] == '/' || !slash)
			next = strdup(link);
		else if (asprintf(&next, "%.*s/%s", (int)(slash - at), at, link) < 0)
			next = NULL;
		free(at);
		at = next;
	}
	if (!at)
		return lg_fail_nomem(err);
	return lg_fail(err, LG_EINVALID, 0, "too many symlinks behind '%s'", path);
}

static int look_at_former(struct replace *replace, struct lg_error *err)
{
	const struct place *place = &replace->place;
	if (fstatat(place->dirfd, place->name, &replace->former, AT_SYMLINK_NOFOLLOW) < 0) {
		replace->former = (struct stat){ 0 };
		return errno == ENOENT ? 0 : lg_fail(err, LG_EIO, errno, "cannot look at '%s'", place->path);
	}
	if (replace->options.refuse_exist)
		return lg_fail(err, LG_ECONFLICT, 0, "'%s' exists already", place->path);
	if (S_ISLNK(replace->former.st_mode))
		return lg_fail(
			err, LG_EINVALID, 0, "'%s' is a symlink: name the file that it points to", place->path);
	if (!S_ISREG(replace->former.st_mode))
		return lg_fail(err, LG_EINVALID, 0, "'%s' is not a regular file", place->path);
	return 0;
}

static int create_temp(struct replace *replace, int *ret_fd, struct lg_error *err)
{
	const struct place *place = &replace->place;
	for (int tries = 0;; tries++) {
		uint8_t random[TEMP_DIGITS / 2];
		char suffix[2 * sizeof random + 1];
		lg_random_bytes(random, sizeof random);
		lg_hex_encode(random, sizeof random, suffix);
		snprintf(replace->temp, sizeof replace->temp, TEMP_STEM "%s", place->name, suffix);
		int fault = lg_fault_check(LG_FAULT_OPEN, place->path);
		if (fault)
			return lg_fail(err, LG_EIO, fault, "cannot create a file beside '%s'", place->path);
		int fd = openat(place->dirfd, replace->temp,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0 && errno == EEXIST && tries < 8)
			continue;
		if (fd < 0)
			return lg_fail(err, LG_EIO, errno, "cannot create a file beside '%s'", place->path);
		lg_recorded(.op = LG_RECORDED_CREATE, .dirfd = place->dirfd, .name = replace->temp, .fd = fd);
		replace->temp_exists = true;
		*ret_fd = fd;
		return 0;
	}
}

/* Owner before mode: a change of owner takes set-id bits away. */
static int set_meta(const struct replace *replace, int fd, struct lg_error *err)
{
	const struct stat *former = &replace->former;
	mode_t mode = replace->options.mode ? replace->options.mode : 0644;
	if (replace->options.keep_meta && former->st_nlink > 0) {
		struct stat own;
		mode = former->st_mode;
		if (fstat(fd, &own) < 0)
			return lg_fail(err, LG_EIO, errno, "cannot look at the new '%s'", replace->place.path);
		if ((own.st_uid != former->st_uid || own.st_gid != former->st_gid) &&
			fchown(fd, former->st_uid, former->st_gid) < 0)
			return lg_fail(err, LG_EIO, errno,
				"cannot keep owner %u:%u of '%s', run as root or as its owner",
				(unsigned)former->st_uid, (unsigned)former->st_gid, replace->place.path);
	}
	if (fchmod(fd, mode & 07777) < 0)
		return lg_fail(err, LG_EIO, errno, "cannot set the mode of '%s'", replace->place.path);
	lg_recorded(.op = LG_RECORDED_META, .fd = fd);
	return 0;
}

/* Synced piece by piece: one sync of all would hold up every other sync on the file system meanwhile. */
static int write_in_pieces(int fd, const char *data, size_t len, const char *name, struct lg_error *err)
{
	int rc = 0;
	for (size_t at = 0; rc == 0;) {
		size_t piece = len - at < PIECE_SIZE ? len - at : PIECE_SIZE;
		rc = lg_write_all(fd, data + at, piece, name, err);
		at += piece;
		if (rc < 0 || at == len)
			break;
		rc = lg_fsync(fd, name, err);
	}
	return rc;
}

static int fill_temp(struct replace *replace, const void *data, size_t len, struct lg_error *err)
{
	lg_autoclose int fd = -1;
	int rc = create_temp(replace, &fd, err);
	if (rc == 0)
		rc = write_in_pieces(fd, data, len, replace->place.path, err);
	if (rc == 0)
		rc = set_meta(replace, fd, err);
	if (rc == 0)
		rc = lg_fsync(fd, replace->place.path, err);
	if (rc == 0 && close(lg_steal_fd(&fd)) < 0 && errno != EINTR)
		rc = lg_fail(err, LG_EIO, errno, "cannot write '%s'", replace->place.path);
	return rc;
}

static int rename_temp(const struct replace *replace, unsigned flags)
{
	const struct place *place = &replace->place;
	if (renameat2(place->dirfd, replace->temp, place->dirfd, place->name, flags) < 0)
		return errno;
	lg_recorded(.op = flags & RENAME_EXCHANGE ? LG_RECORDED_EXCHANGE : LG_RECORDED_RENAME,
		.dirfd = place->dirfd, .name = replace->temp, .to = place->name);
	return 0;
}

static int link_temp(const struct replace *replace)
{
	const struct place *place = &replace->place;
	if (linkat(place->dirfd, replace->temp, place->dirfd, place->name, 0) < 0)
		return errno;
	lg_recorded(.op = LG_RECORDED_LINK, .dirfd = place->dirfd, .name = replace->temp, .to = place->name);
	unlink_in(place->dirfd, replace->temp);
	return 0;
}

/* Puts the temporary under a name that was free. */
static int install_new(struct replace *replace, struct lg_error *err)
{
	const struct place *place = &replace->place;
	int failure = rename_temp(replace, RENAME_NOREPLACE);
	if (failure == EINVAL ||
		failure == ENOSYS) /* not on this file system; a link does not replace either */
		failure = link_temp(replace);
	if (failure == EEXIST)
		return lg_fail(err, LG_ECONFLICT, 0, "'%s' appeared meanwhile", place->path);
	if (failure)
		return lg_fail(err, LG_EIO, failure, "cannot install '%s'", place->path);
	replace->temp_exists = false;
	int rc = sync_dirfd(place->dirfd, place->dir, err);
	if (rc < 0 && unlink_in(place->dirfd, place->name) != 0)
		return lg_context(err, LG_EUNKNOWN, "'%s' was made, but may not be on disk", place->path);
	return rc;
}

/* Without exchange the former content is gone once the name has moved, so a failed sync leaves the outcome open. */
static int install_over(struct replace *replace, struct lg_error *err)
{
	const struct place *place = &replace->place;
	int failure = rename_temp(replace, 0);
	if (failure)
		return lg_fail(err, LG_EIO, failure, "cannot replace '%s'", place->path);
	replace->temp_exists = false;
	int rc = sync_dirfd(place->dirfd, place->dir, err);
	return rc < 0 ? lg_context(err, LG_EUNKNOWN, "'%s' was replaced, but may not be on disk", place->path)
		      : 0;
}

static int remove_former(const struct replace *replace, struct lg_error *err)
{
	const struct place *place = &replace->place;
	int failure = lg_fault_check(LG_FAULT_UNLINK, place->path);
	if (!failure)
		failure = unlink_in(place->dirfd, replace->temp);
	return failure ? lg_fail(err, LG_EIO, failure, "cannot remove the former '%s'", place->path) : 0;
}

static int install_exchange(struct replace *replace, struct lg_error *err)
{
	const struct place *place = &replace->place;
	int failure = rename_temp(replace, RENAME_EXCHANGE);
	if (failure == EINVAL || failure == ENOSYS)
		return install_over(replace, err);
	if (failure == ENOENT)
		return lg_fail(err, LG_ECONFLICT, 0, "'%s' disappeared meanwhile", place->path);
	if (failure)
		return lg_fail(err, LG_EIO, failure, "cannot replace '%s'", place->path);
	int rc = sync_dirfd(place->dirfd, place->dir, err);
	if (rc == 0)
		rc = remove_former(replace, err);
	if (rc == 0)
		replace->temp_exists = false;
	else if (rename_temp(replace, RENAME_EXCHANGE) != 0) {
		replace->temp_exists = false; /* it is the former content: better a leftover than a loss */
		return lg_context(err, LG_EUNKNOWN, "'%s' was replaced, its former content is in '%s/%s'",
			place->path, place->dir, replace->temp);
	}
	return rc;
}

static int replace_file(const char *path, const void *data, size_t len,
	const struct lg_replace_options *options, struct lg_error *err)
{
	lg_cleanup(replace_clear) struct replace replace = { .options = *options };
	int rc = place_open(&replace.place, path, err);
	if (rc == 0)
		rc = look_at_former(&replace, err);
	if (rc == 0)
		rc = fill_temp(&replace, data, len, err);
	if (rc < 0)
		return rc;
	int fault = lg_fault_check(LG_FAULT_RENAME, path);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot replace '%s'", path);
	return replace.former.st_nlink > 0 ? install_exchange(&replace, err) : install_new(&replace, err);
}

int lg_file_replace(const char *path, const void *data, size_t len, const struct lg_replace_options *options,
	struct lg_error *err)
{
	static const struct lg_replace_options defaults = { 0 };
	lg_autofree char *target = NULL;
	if (!options)
		options = &defaults;
	if (options->follow_link) {
		int rc = follow_links(path, &target, err);
		if (rc < 0)
			return rc;
		path = target;
	}
	return replace_file(path, data, len, options, err);
}

/* ---- a whole directory ---- */

int lg_dir_place(const char *from, const char *to, struct lg_error *err)
{
	lg_cleanup(place_clear) struct place place = { .dirfd = -1 };
	int rc = lg_dir_sync(from, err);
	if (rc == 0)
		rc = place_open(&place, to, err);
	if (rc < 0)
		return rc;
	int fault = lg_fault_check(LG_FAULT_RENAME, to);
	if (fault)
		return lg_fail(err, LG_EIO, fault, "cannot put '%s' in its place", to);
	/* the kernel replaces a directory only when it is empty */
	if (renameat(AT_FDCWD, from, place.dirfd, place.name) < 0)
		return lg_fail(err,
			errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR ? LG_ECONFLICT : LG_EIO,
			errno, "cannot put '%s' in its place", to);
	const char *slash = strrchr(from, '/');
	lg_recorded(.op = LG_RECORDED_RENAME, .dirfd = place.dirfd, .name = slash ? slash + 1 : from,
		.to = place.name);
	return sync_dirfd(place.dirfd, place.dir, err);
}
