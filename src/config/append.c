#include "config/internal.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "io/random.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A checkpoint is written when replaying the records behind the last one would cost an opener more than this, in bytes. */
#define TAIL_COST_MAX ((size_t)1024 * 1024)

static void fill(struct lg_config *config, const struct lg_author *author, const struct lg_draft *draft,
	uint64_t seq, const uint8_t id[LG_ID_SIZE], struct lg_record *record)
{
	*record = (struct lg_record){
		.seq = seq,
		.time_us = config->clock->realtime_us(config->clock),
		.kind = draft->kind,
		.actor = author->actor ? author->actor : "",
		.reason = author->reason ? author->reason : "",
		.body = draft->body,
		.body_len = draft->body_len,
		.has_root = draft->root != NULL,
		.keys = draft->keys,
		.key_count = draft->key_count,
	};
	if (draft->root)
		memcpy(record->root, draft->root, LG_HASH_SIZE);
	if (id)
		memcpy(record->id, id, LG_ID_SIZE);
	else
		lg_random_bytes(record->id, LG_ID_SIZE);
}

/* The append may or may not have happened: the log itself knows. */
static int settle(struct lg_config *config, const struct lg_record *first, struct lg_error *err)
{
	uint64_t seq;
	struct lg_error probe = LG_ERROR_INIT;
	int found = lg_log_find_id(config->log, config->head.seq, first->id, &seq, &probe);
	if (found == 1 && seq == first->seq)
		return 0;
	if (found == 0)
		return lg_context(err, LG_EIO, "the change was not written");
	return lg_context(
		err, LG_EUNKNOWN, "whether the change was written is not known; run: lastgood history");
}

static void seal(struct lg_config *config, const struct lg_author *author, const struct lg_draft *drafts,
	size_t count, const uint8_t (*ids)[LG_ID_SIZE], struct lg_record *records)
{
	const uint8_t *previous = config->head.hash;
	for (size_t i = 0; i < count; i++) {
		fill(config, author, &drafts[i], config->head.seq + 1 + i, ids ? ids[i] : NULL, &records[i]);
		lg_record_seal(&records[i], previous);
		previous = records[i].hash;
	}
}

/* The controls as they will be.  A record that cannot be folded must not get into the log: nobody could open it again. */
static int fold_ahead(struct lg_config *config, const struct lg_record *records, size_t count,
	struct lg_controls *ret_controls, struct lg_error *err)
{
	lg_cleanup(lg_controls_clear) struct lg_controls controls = { 0 };
	int rc = lg_controls_copy(&config->controls, &controls, err);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = lg_controls_fold(&controls, &records[i], err);
	if (rc < 0)
		return rc == LG_ECORRUPT ? lg_context(err, LG_EINVALID, "this cannot be recorded") : rc;
	*ret_controls = controls;
	controls = (struct lg_controls){ 0 };
	return 0;
}

static bool has_controls(const struct lg_record *records, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if ((1u << records[i].kind) & LG_CONTROL_KINDS)
			return true;
	}
	return false;
}

static int append(struct lg_config *config, const struct lg_record *records, size_t count, struct lg_error *err)
{
	int rc = lg_log_append(config->log, records, count, &config->head, err);
	if (rc == LG_EUNKNOWN)
		rc = settle(config, &records[0], err);
	if (rc < 0)
		return rc;
	config->head.seq += count;
	memcpy(config->head.hash, records[count - 1].hash, LG_HASH_SIZE);
	for (size_t i = 0; i < count; i++) {
		if (lg_kind_is_state(records[i].kind))
			lg_state_count_cost(config, &records[i]);
	}
	return 0;
}

int lg_append_drafts(struct lg_config *config, const struct lg_author *author, const struct lg_draft *drafts,
	size_t count, const uint8_t (*ids)[LG_ID_SIZE], struct lg_tree *next, uint64_t *ret_first,
	struct lg_error *err)
{
	lg_cleanup(lg_published_freep) struct lg_published *room = lg_published_new(err);
	lg_cleanup(lg_controls_clear) struct lg_controls controls = { 0 };
	lg_autofree struct lg_record *records = calloc(count, sizeof *records);
	if (!room || !records)
		return lg_fail_nomem(err);
	seal(config, author, drafts, count, ids, records);
	bool folds = has_controls(records, count);
	int rc = folds ? fold_ahead(config, records, count, &controls, err) : 0;
	if (rc == 0)
		rc = append(config, records, count, err);
	if (rc < 0)
		return rc;
	if (folds) {
		struct lg_controls former = config->controls;
		config->controls = controls;
		controls = former; /* cleared on return */
	}
	const struct lg_published *now = config->published;
	lg_config_publish(config, lg_steal_ptr(&room), next ? records[0].seq : now->revision, config->head.seq,
		next ? next : now->tree);
	*ret_first = records[0].seq;
	return 0;
}

static int check_text(const char *what, const char *text, struct lg_error *err)
{
	size_t len = text ? strlen(text) : 0;
	size_t valid = lg_utf8_valid_prefix(text ? text : "", len);
	if (valid == len)
		return 0;
	return lg_fail(err, LG_EINVALID, 0, "the %s is not valid UTF-8 (byte %zu); write it in UTF-8", what,
		valid + 1);
}

int lg_author_check(const struct lg_author *author, struct lg_error *err)
{
	int rc = check_text("actor", author->actor, err);
	return rc < 0 ? rc : check_text("reason", author->reason, err);
}

/* --- checkpoints ----------------------------------------------------------------------------------------------------- */

int lg_config_checkpoint(struct lg_config *config, struct lg_error *err)
{
	lg_config_lock(config);
	lg_cleanup(lg_buf_clear) struct lg_buf data = LG_BUF_INIT;
	const struct lg_published *now = config->published;
	int rc =
		lg_checkpoint_encode(config->head.seq, now->revision, now->tree, &config->controls, &data, err);
	const struct lg_log_checkpoint checkpoint = { config->head.seq, data.data, data.len };
	if (rc == 0 && config->head.seq)
		rc = lg_log_checkpoint_write(config->log, &checkpoint, err);
	if (rc == 0) {
		config->checkpoint_seq = config->head.seq;
		config->checkpoint_len = data.len;
		config->tail_cost = 0;
		config->tail_goes_far = false;
	}
	lg_config_unlock(config);
	return rc;
}

/* Reading a checkpoint of some bytes takes about as long as replaying an eighth as many of records; writing it for less
 * would make a large state be written over and over for small changes. */
static bool is_due(const struct lg_config *config)
{
	size_t worth = config->checkpoint_len / 8;
	return config->tail_goes_far || config->tail_cost >= (worth > TAIL_COST_MAX ? worth : TAIL_COST_MAX);
}

void lg_append_checkpoint_if_due(struct lg_config *config)
{
	/* It only speeds up the next opening, and the change itself is durable: a failure is tried again with the next
	 * change, not reported as the change's. */
	struct lg_error ignored = LG_ERROR_INIT;
	int rc = is_due(config) ? lg_config_checkpoint(config, &ignored) : 0;
	(void)rc;
}

bool lg_append_head_moved(struct lg_config *config)
{
	struct lg_log_head head;
	struct lg_error ignored = LG_ERROR_INIT;
	return lg_log_head(config->log, &head, &ignored) == 0 && head.seq != config->head.seq;
}
