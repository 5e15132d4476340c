/* Checkpoints: one file each in "<log>-checkpoints/", named by seq and the beginning of that record's hash, so that one of
 * another history (the log was put back from a backup) is told by its name.  Nothing here uses the database for writing:
 * a checkpoint of any size holds up no append.  Writers of checkpoints keep each other out with a lock; a file that was
 * begun and never finished is removed by the next one. */
#include "log/sqlite/internal.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "io/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HASH_IN_NAME 8 /* bytes */
#define NAME_SIZE    48
#define LARGEST      ((size_t)1 << 36) /* bytes */

struct name {
	uint64_t seq;
	uint8_t hash[HASH_IN_NAME];
};

static void write_name(uint64_t seq, const uint8_t *hash, char ret_name[NAME_SIZE])
{
	char hex[2 * HASH_IN_NAME + 1];
	lg_hex_encode(hash, HASH_IN_NAME, hex);
	snprintf(ret_name, NAME_SIZE, "%016" PRIu64 "-%s", seq, hex);
}

/* Only exactly what write_name makes. */
static bool read_name(const char *text, struct name *ret_name)
{
	struct name name = { 0 };
	char again[NAME_SIZE], digits[NAME_SIZE];
	int64_t seq;
	const char *dash = strchr(text, '-');
	if (!dash || (size_t)(dash - text) >= sizeof digits ||
		lg_hex_decode(dash + 1, name.hash, HASH_IN_NAME, NULL) < 0)
		return false;
	snprintf(digits, sizeof digits, "%.*s", (int)(dash - text), text);
	const char *number = digits + strspn(digits, "0");
	if (lg_int_parse(number, 1, INT64_MAX, &seq, NULL) < 0)
		return false;
	name.seq = (uint64_t)seq;
	write_name(name.seq, name.hash, again);
	if (strcmp(text, again) != 0)
		return false;
	*ret_name = name;
	return true;
}

struct names {
	char **all;
	size_t count;
};

static void names_clear(struct names *names)
{
	lg_names_free(names->all, names->count);
}

/* No directory: no names. */
static int list(const struct lg_sqlite *s, struct names *ret_names, struct lg_error *err)
{
	struct lg_error none = LG_ERROR_INIT;
	if (!lg_file_exists(s->checkpoints))
		return 0;
	int rc = lg_dir_list(s->checkpoints, &ret_names->all, &ret_names->count, &none);
	if (rc == 0 || rc == LG_ENOTFOUND)
		return 0;
	if (err)
		*err = none;
	return rc;
}

static int path_of(const struct lg_sqlite *s, const char *name, char **ret_path, struct lg_error *err)
{
	*ret_path = lg_path_join(s->checkpoints, name);
	return *ret_path ? 0 : lg_fail_nomem(err);
}

/* --- write ----------------------------------------------------------------------------------------------------------- */

/* With the lock held, nobody else is writing one. */
static void sweep(const struct lg_sqlite *s)
{
	lg_cleanup(names_clear) struct names names = { 0 };
	if (list(s, &names, NULL) < 0)
		return;
	for (size_t i = 0; i < names.count; i++) {
		lg_autofree char *path = NULL;
		if (names.all[i][0] == '.' && strstr(names.all[i], ".lg-") &&
			path_of(s, names.all[i], &path, NULL) == 0)
			(void)lg_file_remove(path, NULL);
	}
}

int lg_sqlite_checkpoint_write(
	struct lg_log *log, const struct lg_log_checkpoint *checkpoint, struct lg_error *err)
{
	const struct lg_sqlite *s = (struct lg_sqlite *)log;
	if (s->readonly)
		return lg_fail(err, LG_EREADONLY, 0,
			"cannot write a checkpoint to '%s': it was opened for reading only", s->path);
	if (checkpoint->seq == 0)
		return lg_fail(err, LG_EINVALID, 0, "a checkpoint at record 0 is outside of the log");
	lg_autofree char *lock = NULL;
	lg_autofree char *path = NULL;
	lg_autoclose int locked = -1;
	char name[NAME_SIZE];
	write_name(checkpoint->seq, checkpoint->hash, name);
	int rc = path_of(s, name, &path, err);
	if (rc == 0)
		rc = path_of(s, ".lock", &lock, err);
	if (rc == 0)
		rc = lg_dir_make(s->checkpoints, 0700, err);
	if (rc == 0)
		rc = lg_lock_file(lock, s->busy_ms, &locked, err);
	if (rc < 0)
		return lg_context(err, rc, "cannot write a checkpoint");
	sweep(s);
	const struct lg_replace_options options = { .mode = 0600 };
	rc = lg_file_replace(path, checkpoint->data, checkpoint->len, &options, err);
	return rc < 0 ? lg_context(err, rc, "cannot write a checkpoint") : 0;
}

/* --- find, read ------------------------------------------------------------------------------------------------------ */

static int no_checkpoint(uint64_t at, struct lg_error *err)
{
	return lg_fail(err, LG_ENOTFOUND, 0, "there is no checkpoint at or before record %" PRIu64, at);
}

struct found {
	uint64_t seq;
	uint8_t hash[LG_HASH_SIZE];
};

/* The newest one of this history with from <= seq <= at. */
static int find(struct lg_sqlite *s, uint64_t from, uint64_t at, struct found *ret_found, struct lg_error *err)
{
	lg_cleanup(names_clear) struct names names = { 0 };
	int rc = list(s, &names, err);
	if (rc < 0)
		return rc;
	for (size_t i = names.count; i-- > 0;) { /* by seq, as they are sorted */
		struct name name;
		struct found found;
		if (!read_name(names.all[i], &name) || name.seq < from || name.seq > at)
			continue;
		rc = lg_sqlite_hash_at(s, name.seq, found.hash, err);
		if (rc < 0)
			return rc;
		if (rc == 0 || memcmp(found.hash, name.hash, HASH_IN_NAME) != 0)
			continue; /* of another history */
		found.seq = name.seq;
		*ret_found = found;
		return 0;
	}
	return no_checkpoint(at, err);
}

int lg_sqlite_checkpoint_find(struct lg_log *log, uint64_t at, uint64_t *ret_seq, struct lg_error *err)
{
	struct found found;
	int rc = find((struct lg_sqlite *)log, 1, at, &found, err);
	if (rc == 0)
		*ret_seq = found.seq;
	return rc;
}

int lg_sqlite_checkpoint_read(
	struct lg_log *log, uint64_t seq, lg_log_checkpoint_visit *visit, void *arg, struct lg_error *err)
{
	struct lg_sqlite *s = (struct lg_sqlite *)log;
	struct lg_log_checkpoint checkpoint = { .seq = seq };
	lg_autofree char *path = NULL;
	struct found found;
	char name[NAME_SIZE];
	lg_cleanup(lg_block_unrefp) struct lg_block *block = NULL;
	int rc = find(s, seq, seq, &found, err);
	if (rc < 0)
		return rc;
	memcpy(checkpoint.hash, found.hash, LG_HASH_SIZE);
	write_name(seq, found.hash, name);
	rc = path_of(s, name, &path, err);
	if (rc == 0)
		rc = lg_file_load(path, LARGEST, &block, err);
	if (rc < 0)
		return rc;
	checkpoint.data = block->data;
	checkpoint.len = block->size;
	checkpoint.block = block;
	return visit(arg, &checkpoint, err);
}

/* A checkpoint is written of what is durable only: one from behind the end tells that the log has been longer. */
int lg_sqlite_checkpoint_check(struct lg_sqlite *s, struct lg_error *err)
{
	lg_cleanup(names_clear) struct names names = { 0 };
	struct name newest = { 0 }, name;
	struct lg_log_head head = { 0 };
	const char *file = "";
	int rc = list(s, &names, err);
	for (size_t i = 0; rc == 0 && i < names.count; i++) {
		if (read_name(names.all[i], &name) && name.seq > newest.seq) {
			newest = name;
			file = names.all[i];
		}
	}
	if (rc == 0) /* after the names: others may append */
		rc = lg_sqlite_head(&s->log, &head, err);
	if (rc < 0 || newest.seq <= head.seq)
		return rc;
	return lg_fail(err, LG_ECORRUPT, 0,
		"the log '%s' ends at record %" PRIu64 ", but there is a checkpoint of record %" PRIu64
		": its newest records are gone, and 'lastgood recover salvage --to DIR' looks for them; or it was put "
		"back from a backup, and then remove '%s/%s'",
		s->path, head.seq, newest.seq, s->checkpoints, file);
}

/* --- drop ------------------------------------------------------------------------------------------------------------ */

static bool is_kept(uint64_t seq, const uint64_t *keep, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (keep[i] == seq)
			return true;
	}
	return false;
}

static int drop(struct lg_sqlite *s, uint64_t from, uint64_t before, const uint64_t *keep, size_t keep_count,
	struct lg_error *err)
{
	lg_cleanup(names_clear) struct names names = { 0 };
	int rc = list(s, &names, err);
	for (size_t i = 0; rc == 0 && i < names.count; i++) {
		struct name name;
		lg_autofree char *path = NULL;
		if (!read_name(names.all[i], &name) || name.seq < from || name.seq >= before ||
			is_kept(name.seq, keep, keep_count))
			continue;
		rc = path_of(s, names.all[i], &path, err);
		if (rc == 0)
			rc = lg_file_remove(path, err);
	}
	return rc;
}

int lg_sqlite_checkpoint_drop(struct lg_log *log, uint64_t seq, struct lg_error *err)
{
	struct lg_sqlite *s = (struct lg_sqlite *)log;
	if (s->readonly)
		return lg_fail(err, LG_EREADONLY, 0,
			"cannot drop a checkpoint of '%s': it was opened for reading only", s->path);
	return drop(s, seq, seq + 1, NULL, 0, err);
}

int lg_sqlite_checkpoint_drop_before(
	struct lg_sqlite *s, uint64_t before, const uint64_t *keep, size_t keep_count, struct lg_error *err)
{
	return drop(s, 0, before, keep, keep_count, err);
}
