#include "config/internal.h"

#include "base/cleanup.h"
#include "io/random.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A checkpoint is written when replaying the records behind the last one would cost an opener more than this. */
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

static int append(struct lg_config *config, const struct lg_author *author, const struct lg_draft *drafts,
	size_t count, const uint8_t (*ids)[LG_ID_SIZE], struct lg_record *records, struct lg_error *err)
{
	const uint8_t *previous = config->head.hash;
	for (size_t i = 0; i < count; i++) {
		fill(config, author, &drafts[i], config->head.seq + 1 + i, ids ? ids[i] : NULL, &records[i]);
		lg_record_seal(&records[i], previous);
		previous = records[i].hash;
	}
	int rc = lg_log_append(config->log, records, count, &config->head, err);
	if (rc == LG_EUNKNOWN)
		rc = settle(config, &records[0], err);
	if (rc < 0)
		return rc;
	config->head.seq += count;
	memcpy(config->head.hash, previous, LG_HASH_SIZE);
	for (size_t i = 0; i < count; i++) {
		if (!lg_kind_is_state(records[i].kind))
			continue;
		config->tail_cost += lg_state_replay_cost(&records[i]);
	}
	return 0;
}

int lg_append_drafts(struct lg_config *config, const struct lg_author *author, const struct lg_draft *drafts,
	size_t count, const uint8_t (*ids)[LG_ID_SIZE], uint64_t *ret_first, struct lg_error *err)
{
	lg_autofree struct lg_record *records = calloc(count, sizeof *records);
	if (!records)
		return lg_fail_nomem(err);
	int rc = append(config, author, drafts, count, ids, records, err);
	if (rc < 0)
		return rc;
	*ret_first = records[0].seq;
	/* What is durable must also be known here: a fold that fails only for want of memory is made up by reopening. */
	for (size_t i = 0; i < count; i++) {
		rc = lg_controls_fold(&config->controls, &records[i], err);
		if (rc < 0)
			return lg_context(
				err, rc, "the change is written, but this process could not follow it");
	}
	return 0;
}

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
		config->tail_cost = 0;
	}
	lg_config_unlock(config);
	return rc;
}

void lg_append_checkpoint_if_due(struct lg_config *config)
{
	if (config->tail_cost < TAIL_COST_MAX)
		return;
	/* It only speeds up the next opening, and the change itself is durable: a failure is tried again with the next
	 * change, not reported as the change's. */
	struct lg_error ignored = LG_ERROR_INIT;
	if (lg_config_checkpoint(config, &ignored) < 0)
		config->tail_cost = TAIL_COST_MAX;
}

bool lg_append_head_moved(struct lg_config *config)
{
	struct lg_log_head head;
	struct lg_error ignored = LG_ERROR_INIT;
	return lg_log_head(config->log, &head, &ignored) == 0 && head.seq != config->head.seq;
}
