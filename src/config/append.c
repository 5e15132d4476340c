#include "config/internal.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "io/random.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Nobody can guess them, but they are no secret: so they are fetched for many records at once.  Lock held. */
static void take_id(struct lg_group *group, uint8_t ret_id[LG_ID_SIZE])
{
	if (group->id_count == 0) {
		lg_random_bytes(group->ids, sizeof group->ids);
		group->id_count = sizeof group->ids / sizeof *group->ids;
	}
	memcpy(ret_id, group->ids[--group->id_count], LG_ID_SIZE);
}

static void fill(struct lg_config *config, const struct lg_author *author, const struct lg_draft *draft,
	const uint8_t *id, struct lg_record *record)
{
	*record = (struct lg_record){
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
		take_id(&config->group, record->id);
}

static void fill_all(struct lg_config *config, struct lg_request *request, const struct lg_author *author,
	const struct lg_draft *state, const struct lg_control *controls, const uint8_t (*ids)[LG_ID_SIZE])
{
	size_t states = state ? 1 : 0;
	if (state)
		fill(config, author, state, ids ? ids[0] : NULL, &request->records[0]);
	for (size_t i = states; i < request->count; i++) {
		const struct lg_control *control = &controls[i - states];
		const struct lg_draft draft = {
			.kind = control->kind, .body = control->body, .body_len = control->body_len
		};
		fill(config, author, &draft, ids ? ids[i] : NULL, &request->records[i]);
	}
}

static void chain(struct lg_request *request, const struct lg_log_head *head)
{
	const uint8_t *previous = head->hash;
	for (size_t i = 0; i < request->count; i++) {
		struct lg_record *record = &request->records[i];
		record->seq = head->seq + 1 + i;
		lg_record_seal(record, previous);
		previous = record->hash;
	}
}

/* The controls as they will be.  A record that cannot be folded must not get into the log: nobody could open it again. */
static int fold_ahead(struct lg_request *request, const struct lg_controls *now, struct lg_error *err)
{
	bool folds = false;
	for (size_t i = 0; !folds && i < request->count; i++)
		folds = (1u << request->records[i].kind) & LG_CONTROL_KINDS;
	if (!folds)
		return 0;
	lg_cleanup(lg_controls_clear) struct lg_controls controls = { 0 };
	int rc = lg_controls_copy(now, &controls, err);
	for (size_t i = 0; rc == 0 && i < request->count; i++)
		rc = lg_controls_fold(&controls, &request->records[i], err);
	if (rc < 0)
		return rc == LG_ECORRUPT ? lg_context(err, LG_EINVALID, "this cannot be recorded") : rc;
	request->controls = controls;
	request->has_controls = true;
	controls = (struct lg_controls){ 0 };
	return 0;
}

/* What a record is in the log beside its texts, about. */
#define RECORD_BYTES 256

static void move_tip(struct lg_tip *tip, struct lg_request *request)
{
	const struct lg_record *newest = &request->records[request->count - 1];
	tip->head.seq = newest->seq;
	memcpy(tip->head.hash, newest->hash, LG_HASH_SIZE);
	if (request->next) {
		lg_tree_unref(tip->tree);
		tip->tree = lg_tree_ref(request->next);
		tip->revision = request->records[0].seq;
	}
	if (request->has_controls)
		tip->controls = &request->controls;
	for (size_t i = 0; i < request->count; i++)
		request->bytes += request->records[i].body_len + RECORD_BYTES;
}

int lg_request_seal(struct lg_config *config, struct lg_request *request, const struct lg_author *author,
	const struct lg_draft *state, const struct lg_control *controls, size_t control_count,
	const uint8_t (*ids)[LG_ID_SIZE], struct lg_tree *next, struct lg_error *err)
{
	struct lg_tip *tip = &config->group.tip;
	request->count = (state ? 1 : 0) + control_count;
	request->records =
		request->count == 1 ? &request->one : calloc(request->count, sizeof *request->records);
	request->room = lg_published_new(NULL);
	int rc = request->records && request->room ? 0 : lg_fail_nomem(err);
	if (rc == 0) {
		fill_all(config, request, author, state, controls, ids);
		chain(request, &tip->head);
		rc = fold_ahead(request, tip->controls, err);
	}
	if (rc < 0) {
		lg_request_unseal(request);
		return rc;
	}
	request->next = next;
	move_tip(tip, request);
	return 0;
}

void lg_request_unseal(struct lg_request *request)
{
	if (request->records != &request->one)
		free(request->records);
	request->records = NULL;
	request->count = request->bytes = 0;
	request->next = NULL;
	lg_controls_clear(&request->controls);
	request->has_controls = false;
	lg_published_free(request->room);
	request->room = NULL;
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
