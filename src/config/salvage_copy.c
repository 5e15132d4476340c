#include "config/salvage_impl.h"

#include "base/cleanup.h"
#include "io/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BATCH_RECORDS 256
#define BATCH_BYTES   ((size_t)4 * 1024 * 1024)
#define FILE_MAX      ((size_t)64 * 1024 * 1024)
#define DEPTH_MAX     8
#define SUFFIX        "-checkpoints"

void *lg_salvage_room(void **list, size_t count, size_t *size, size_t item)
{
	if (count == *size) {
		size_t more = *size ? *size * 2 : 16;
		void *larger = reallocarray(*list, more, item);
		if (!larger)
			return NULL;
		*list = larger;
		*size = more;
	}
	return (char *)*list + count * item;
}

/* --- copies of records ---------------------------------------------------------------------------------------------- */

static void free_texts(const char *const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free((char *)(uintptr_t)texts[i]);
	free((void *)(uintptr_t)texts);
}

static void free_record(struct lg_record *record)
{
	free((char *)(uintptr_t)record->actor);
	free((char *)(uintptr_t)record->reason);
	free((char *)(uintptr_t)record->body);
	free_texts(record->keys, record->key_count);
}

void lg_salvage_batch_clear(struct lg_salvage_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		free_record(&batch->records[i]);
	free(batch->records);
	*batch = (struct lg_salvage_batch){ 0 };
}

struct keys {
	char **keys;
	size_t count, size;
};

static int add_key(void *arg, const char *key, size_t key_len, const char *value, size_t value_len)
{
	struct keys *keys = arg;
	(void)value;
	(void)value_len;
	char **room = lg_salvage_room((void **)&keys->keys, keys->count, &keys->size, sizeof *keys->keys);
	if (!room || !(*room = strndup(key, key_len)))
		return LG_ENOMEM;
	keys->count++;
	return 0;
}

/* The keys that a change touches, for the index. A body that is no change has none: replaying it says what is wrong. */
static int find_keys(const struct lg_record *record, struct lg_record *copy, struct lg_error *err)
{
	struct keys keys = { 0 };
	struct lg_error ignored = LG_ERROR_INIT;
	if (record->kind != LG_KIND_CHANGE || record->redacted)
		return 0;
	int rc = lg_body_each(record->body, record->body_len, add_key, &keys, &ignored);
	copy->keys = (const char *const *)keys.keys;
	copy->key_count = keys.count;
	return rc == LG_ENOMEM ? lg_fail_nomem(err) : 0;
}

int lg_salvage_batch_add(
	struct lg_salvage_batch *batch, const struct lg_record *record, bool keys, struct lg_error *err)
{
	struct lg_record *copy =
		lg_salvage_room((void **)&batch->records, batch->count, &batch->size, sizeof *batch->records);
	if (!copy)
		return lg_fail_nomem(err);
	*copy = *record;
	copy->keys = NULL;
	copy->key_count = 0;
	copy->actor = strdup(record->actor);
	copy->reason = strdup(record->reason);
	char *body = malloc(record->body_len + 1);
	copy->body = body;
	batch->count++;
	batch->bytes += record->body_len;
	if (!copy->actor || !copy->reason || !body)
		return lg_fail_nomem(err);
	memcpy(body, record->body, record->body_len);
	body[record->body_len] = '\0';
	return keys ? find_keys(record, copy, err) : 0;
}

/* --- records into the new log ----------------------------------------------------------------------------------------- */

struct copy {
	struct lg_salvaging *salvaging;
	struct lg_salvage_batch batch;
	size_t lost; /* the next of the traces that no gap has looked at */
	uint64_t done, told;
};

static int flush(struct copy *copy, struct lg_error *err)
{
	struct lg_config *config = copy->salvaging->config;
	const struct lg_salvage_progress *progress = &copy->salvaging->options->progress;
	if (copy->batch.count == 0)
		return 0;
	const struct lg_record *last = &copy->batch.records[copy->batch.count - 1];
	int rc = lg_log_copy(config->log, copy->batch.records, copy->batch.count, &config->head, err);
	if (rc < 0)
		return rc;
	config->head.seq = last->seq;
	memcpy(config->head.hash, last->hash, LG_HASH_SIZE);
	copy->done += copy->batch.count;
	lg_salvage_batch_clear(&copy->batch);
	if (progress->tell)
		progress->tell(progress->arg, "copying records", copy->done,
			lg_salvage_summary(copy->salvaging->source)->proven);
	return 0;
}

/* What may have been in a gap: what is known of the kinds of those that are lost. Nothing is known of what retention took. */
static void judge_gap(struct copy *copy, struct lg_salvage_gap *gap)
{
	const json_t *lost = copy->salvaging->lost;
	uint64_t known = 0;
	for (; copy->lost < json_array_size(lost); copy->lost++) {
		const json_t *one = json_array_get(lost, copy->lost);
		uint64_t first = (uint64_t)json_integer_value(json_object_get(one, "first"));
		const char *name = json_string_value(json_object_get(one, "kind"));
		enum lg_kind kind;
		if (first > gap->gap.last)
			break;
		if (!name || lg_kind_from_name(name, &kind, NULL) < 0)
			continue;
		known++;
		gap->hides_state |= lg_kind_is_state(kind);
		gap->hides_controls |= (LG_CONTROL_KINDS >> kind) & 1;
	}
	if (known == gap->gap.last - gap->gap.first + 1)
		return;
	gap->hides_state = true;
	gap->hides_controls = true;
}

static int copy_gap(struct copy *copy, const struct lg_log_gap *gap, struct lg_error *err)
{
	struct lg_salvaging *salvaging = copy->salvaging;
	struct lg_config *config = salvaging->config;
	struct lg_salvage_gap *room = lg_salvage_room(
		(void **)&salvaging->gaps, salvaging->gap_count, &salvaging->gap_size, sizeof *salvaging->gaps);
	if (!room)
		return lg_fail_nomem(err);
	int rc = flush(copy, err);
	if (rc == 0)
		rc = lg_log_skip(config->log, gap, err);
	if (rc < 0)
		return rc;
	*room = (struct lg_salvage_gap){ .gap = *gap };
	salvaging->gap_count++;
	judge_gap(copy, room);
	config->head.seq = gap->last;
	memcpy(config->head.hash, gap->hash, LG_HASH_SIZE);
	return 0;
}

static int copy_item(
	void *arg, const struct lg_record *record, const struct lg_log_gap *gap, struct lg_error *err)
{
	struct copy *copy = arg;
	if (gap)
		return copy_gap(copy, gap, err);
	int rc = lg_salvage_batch_add(&copy->batch, record, true, err);
	if (rc == 0 && (copy->batch.count >= BATCH_RECORDS || copy->batch.bytes >= BATCH_BYTES))
		rc = flush(copy, err);
	return rc;
}

int lg_salvage_copy_records(struct lg_salvaging *salvaging, struct lg_error *err)
{
	struct copy copy = { .salvaging = salvaging };
	int rc = lg_salvage_walk(salvaging->source, copy_item, &copy, err);
	if (rc == 0)
		rc = flush(&copy, err);
	lg_salvage_batch_clear(&copy.batch);
	return rc;
}

/* --- checkpoint files -------------------------------------------------------------------------------------------------- */

static int compare_checkpoints(const void *a, const void *b)
{
	const struct lg_salvage_checkpoint *one = a, *other = b;
	return one->seq < other->seq ? -1 : one->seq > other->seq;
}

static int look_at(struct lg_salvaging *salvaging, const char *dir, const char *name, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf data = LG_BUF_INIT;
	lg_autofree char *path = lg_path_join(dir, name);
	struct lg_error why = LG_ERROR_INIT;
	struct lg_salvage_checkpoint found = { 0 };
	struct lg_salvage_checkpoint *room = lg_salvage_room((void **)&salvaging->checkpoints,
		salvaging->checkpoint_count, &salvaging->checkpoint_size, sizeof *salvaging->checkpoints);
	if (!path || !room)
		return lg_fail_nomem(err);
	int rc = lg_file_read(path, SIZE_MAX / 2, &data, &why);
	if (rc == LG_ENOMEM)
		return lg_fail_nomem(err);
	if (rc == 0)
		rc = lg_checkpoint_identify(data.data, data.len, &found.seq, found.hash);
	if (rc < 0) {
		salvaging->checkpoints_bad++;
		return 0;
	}
	found.path = lg_steal_ptr(&path);
	*room = found;
	salvaging->checkpoint_count++;
	return 0;
}

int lg_salvage_find_checkpoints(struct lg_salvaging *salvaging, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf dir = LG_BUF_INIT;
	char **names = NULL;
	size_t count = 0;
	struct lg_error why = LG_ERROR_INIT;
	lg_buf_addf(&dir, "%s" SUFFIX, salvaging->db);
	int rc = lg_buf_check(&dir, err);
	if (rc < 0)
		return rc;
	rc = lg_dir_list(dir.data, &names, &count, &why);
	if (rc < 0)
		return rc == LG_ENOMEM ? lg_fail_nomem(err) : 0; /* the log is what counts */
	for (size_t i = 0; rc == 0 && i < count; i++)
		if (names[i][0] != '.')
			rc = look_at(salvaging, dir.data, names[i], err);
	lg_names_free(names, count);
	if (salvaging->checkpoint_count)
		qsort(salvaging->checkpoints, salvaging->checkpoint_count, sizeof *salvaging->checkpoints,
			compare_checkpoints);
	return rc;
}

/* --- the other files ---------------------------------------------------------------------------------------------------- */

/* The log is not copied but made anew; locks and the doorbell come by themselves. */
static bool is_left_behind(const char *name)
{
	size_t len = strlen(name);
	return strncmp(name, "log.db", 6) == 0 || strcmp(name, "doorbell") == 0 ||
		strcmp(name, "salvage.json") == 0 || strcmp(name, "salvage.txt") == 0 ||
		(len > 5 && strcmp(name + len - 5, ".lock") == 0) || strstr(name, ".lg-");
}

static int note_file(struct lg_salvaging *salvaging, const char *name, const char *why, struct lg_error *err)
{
	json_t *one = json_pack("{s:o, s:b}", "path", lg_salvage_text(name), "copied", why == NULL);
	if (one && why && json_object_set_new(one, "why", lg_salvage_text(why)) < 0) {
		json_decref(one);
		one = NULL;
	}
	return json_array_append_new(salvaging->files, one) < 0 ? lg_fail_nomem(err) : 0;
}

static int copy_file(const char *from, const char *to, mode_t mode, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf data = LG_BUF_INIT;
	const struct lg_replace_options options = { .mode = mode & 0777 };
	int rc = lg_file_read(from, FILE_MAX, &data, err);
	if (rc == 0)
		rc = lg_file_replace(to, lg_buf_str(&data), data.len, &options, err);
	explicit_bzero(data.data ? data.data : "", data.data ? data.len : 0); /* it may be the secret key */
	return rc;
}

static int copy_dir(struct lg_salvaging *salvaging, const char *below, int depth, struct lg_error *err);

/* below: path within the state directory. What cannot be read is said, and does not stop the rest. */
static int copy_entry(struct lg_salvaging *salvaging, const char *below, int depth, struct lg_error *err)
{
	lg_autofree char *from = lg_path_join(salvaging->options->from, below);
	lg_autofree char *to = salvaging->building ? lg_path_join(salvaging->building, below) : NULL;
	struct lg_error why = LG_ERROR_INIT;
	struct stat st;
	int rc;
	if (!from || (salvaging->building && !to))
		return lg_fail_nomem(err);
	if (lstat(from, &st) < 0)
		return note_file(salvaging, below, strerror(errno), err);
	if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
		rc = to ? lg_dir_make(to, 0700, err) : 0;
		return rc < 0 ? rc : copy_dir(salvaging, below, depth + 1, err);
	}
	if (!S_ISREG(st.st_mode))
		return note_file(salvaging, below, "no regular file", err);
	rc = to ? copy_file(from, to, strcmp(below, "secret.key") == 0 ? 0600 : st.st_mode, &why) : 0;
	if (rc == LG_ENOSPC || rc == LG_ENOMEM) {
		if (err)
			*err = why;
		return rc;
	}
	return note_file(salvaging, below, rc < 0 ? why.message : NULL, err);
}

static int copy_dir(struct lg_salvaging *salvaging, const char *below, int depth, struct lg_error *err)
{
	lg_autofree char *dir = lg_path_join(salvaging->options->from, below);
	struct lg_error why = LG_ERROR_INIT;
	char **names = NULL;
	size_t count = 0;
	if (!dir)
		return lg_fail_nomem(err);
	int rc = lg_dir_list(dir, &names, &count, &why);
	if (rc < 0)
		return rc == LG_ENOMEM ? lg_fail_nomem(err) : note_file(salvaging, below, why.message, err);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (is_left_behind(names[i]))
			continue;
		lg_autofree char *name = *below ? lg_path_join(below, names[i]) : strdup(names[i]);
		rc = name ? copy_entry(salvaging, name, depth, err) : lg_fail_nomem(err);
	}
	lg_names_free(names, count);
	return rc;
}

int lg_salvage_copy_files(struct lg_salvaging *salvaging, struct lg_error *err)
{
	return copy_dir(salvaging, "", 0, err);
}
