#include "config/verify.h"

#include "base/cleanup.h"
#include "config/internal.h"
#include "io/random.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define PROBLEMS_ENOUGH 100
#define STRETCH         256 /* records of a random stretch */
#define PROGRESS_EVERY  512

/* Of a record that only a retention let stand: the retention's own record must say the same hash. */
struct survivor {
	uint64_t seq;
	uint8_t hash[LG_HASH_SIZE];
};

struct verify {
	const struct lg_verify_options *options;
	struct lg_config *config;
	struct lg_verify_report *report;
	uint64_t *checkpoints; /* ascending */
	size_t checkpoint_count;

	/* where the walk is */
	uint64_t from, to;
	uint64_t previous;    /* seq */
	struct lg_tree *tree; /* NULL: not known here */
	uint64_t revision;
	bool has_controls;
	struct lg_controls controls;
	bool has_losses; /* a salvage says that something is lost */
	bool controls_in_doubt; /* marks or holds may have been among it: the next checkpoint that differs may know more */

	uint64_t index_of_records;  /* a sum over all pairs of key and seq, in any order */
	struct survivor *survivors; /* records before the last gap of a retention */
	size_t survivor_count;
	struct survivor *kept; /* what the newest retention, or a salvage since, said it kept */
	size_t kept_count;
	uint64_t last_cut; /* end of the newest gap of a retention */
};

static void verify_clear(struct verify *verify)
{
	lg_tree_unref(verify->tree);
	lg_controls_clear(&verify->controls);
	free(verify->checkpoints);
	free(verify->survivors);
	free(verify->kept);
}

void lg_verify_report_clear(struct lg_verify_report *report)
{
	lg_problems_clear(&report->problems);
	*report = (struct lg_verify_report){ 0 };
}

#define found(verify, seq, ...)                                                                                \
	do {                                                                                                   \
		char subject_[32];                                                                             \
		snprintf(subject_, sizeof subject_, "r%" PRIu64, (uint64_t)(seq));                             \
		lg_problems_add(&(verify)->report->problems, subject_, __VA_ARGS__);                           \
	} while (0)

static void tell(const struct verify *verify, const char *what, uint64_t done, uint64_t total)
{
	if (verify->options->progress)
		verify->options->progress(verify->options->arg, what, done, total);
}

/* What ends a verification: the store itself cannot be read or memory is short; damage does not. */
static bool is_damage(int rc)
{
	return rc == LG_ECORRUPT || rc == LG_ENOTFOUND || rc == LG_EINVALID;
}

/* --- checkpoints ----------------------------------------------------------------------------------------------------- */

static int list_checkpoints(struct verify *verify, struct lg_error *err)
{
	struct lg_log *log = verify->config->log;
	uint64_t seq = verify->report->head.seq + 1;
	size_t size = 0;
	for (;;) {
		struct lg_error none = LG_ERROR_INIT;
		int rc = seq > 1 ? lg_log_checkpoint_find(log, seq - 1, &seq, &none) : LG_ENOTFOUND;
		if (rc == LG_ENOTFOUND)
			break;
		if (rc < 0)
			return lg_fail(err, rc, 0, "%s", none.message);
		if (verify->checkpoint_count == size) {
			size = size ? size * 2 : 32;
			uint64_t *grown = reallocarray(verify->checkpoints, size, sizeof *grown);
			if (!grown)
				return lg_fail_nomem(err);
			verify->checkpoints = grown;
		}
		verify->checkpoints[verify->checkpoint_count++] = seq;
	}
	for (size_t i = 0; i < verify->checkpoint_count / 2; i++) {
		uint64_t *other = &verify->checkpoints[verify->checkpoint_count - 1 - i];
		seq = verify->checkpoints[i];
		verify->checkpoints[i] = *other;
		*other = seq;
	}
	return 0;
}

static int compare_seqs(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static bool has_checkpoint(const struct verify *verify, uint64_t seq)
{
	return verify->checkpoint_count &&
		bsearch(&seq, verify->checkpoints, verify->checkpoint_count, sizeof seq, compare_seqs);
}

struct decoded {
	uint64_t revision;
	struct lg_tree *tree;
	struct lg_controls controls;
};

static void decoded_clear(struct decoded *decoded)
{
	lg_tree_unref(decoded->tree);
	lg_controls_clear(&decoded->controls);
}

static int decode(void *arg, const struct lg_log_checkpoint *checkpoint, struct lg_error *err)
{
	struct decoded *decoded = arg;
	return lg_checkpoint_decode(checkpoint, &decoded->revision, &decoded->tree, &decoded->controls, err);
}

static int controls_text(const struct lg_controls *controls, struct lg_buf *ret_text, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	int rc = lg_controls_to_json(controls, &json, err);
	return rc < 0 ? rc : lg_json_canonical(json, ret_text, err);
}

static int compare_controls(struct verify *verify, struct decoded *decoded, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf ours = LG_BUF_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf theirs = LG_BUF_INIT;
	if (!verify->has_controls)
		return 0;
	int rc = controls_text(&verify->controls, &ours, err);
	if (rc == 0)
		rc = controls_text(&decoded->controls, &theirs, err);
	if (rc < 0 || (ours.len == theirs.len && memcmp(ours.data, theirs.data, ours.len) == 0))
		return rc;
	if (!verify->controls_in_doubt) {
		found(verify, verify->previous, "its checkpoint has other marks or holds than the records say");
		return 0;
	}
	const struct lg_controls known = decoded->controls;
	decoded->controls = verify->controls;
	verify->controls = known;
	verify->controls_in_doubt = false;
	return 0;
}

/* The tree must be, hashed anew from its keys and values, what the replay has: entries carry their hashes in a checkpoint. */
static int rehash(const struct lg_tree *tree, uint8_t ret_root[LG_HASH_SIZE], struct lg_error *err);

static int compare_checkpoint(struct verify *verify, struct decoded *decoded, struct lg_error *err)
{
	uint8_t root[LG_HASH_SIZE], expected[LG_HASH_SIZE];
	int rc = rehash(decoded->tree, root, err);
	if (rc < 0)
		return rc;
	if (verify->tree) {
		lg_tree_hash(verify->tree, expected);
		if (memcmp(root, expected, LG_HASH_SIZE) != 0 || decoded->revision != verify->revision)
			found(verify, verify->previous,
				"its checkpoint holds another state than the records lead to");
		return compare_controls(verify, decoded, err);
	}
	lg_tree_hash(decoded->tree, expected);
	if (memcmp(root, expected, LG_HASH_SIZE) != 0)
		found(verify, verify->previous,
			"its checkpoint carries hashes that are not those of its entries");
	return 0;
}

/* The one at the seq that the walk has just passed.  Where the state was not known, it is from here on. */
static int check_checkpoint(struct verify *verify, struct lg_error *err)
{
	lg_cleanup(decoded_clear) struct decoded decoded = { 0 };
	struct lg_error why = LG_ERROR_INIT;
	if (!has_checkpoint(verify, verify->previous))
		return 0;
	int rc = lg_log_checkpoint_read(verify->config->log, verify->previous, decode, &decoded, &why);
	if (rc == LG_ENOTFOUND)
		return 0; /* thinned out by another process since it was listed */
	if (is_damage(rc) || rc == LG_EIO) {
		found(verify, verify->previous, "%s%s", why.message,
			verify->tree ? "; no record is lost by that: the log leads to the same state without it"
				     : "");
		return 0;
	}
	if (rc < 0)
		return lg_fail(err, rc, 0, "%s", why.message);
	verify->report->checkpoints++;
	rc = compare_checkpoint(verify, &decoded, err);
	if (rc < 0 || verify->tree)
		return rc;
	verify->tree = lg_steal_ptr(&decoded.tree);
	verify->revision = decoded.revision;
	lg_controls_clear(&verify->controls);
	verify->controls = decoded.controls;
	decoded.controls = (struct lg_controls){ 0 };
	verify->has_controls = true;
	return 0;
}

static int add_entry(void *arg, const struct lg_entry *entry)
{
	return lg_tree_builder_add(arg, entry, NULL, NULL);
}

static int rehash(const struct lg_tree *tree, uint8_t ret_root[LG_HASH_SIZE], struct lg_error *err)
{
	struct lg_tree_builder *builder = lg_tree_builder_new();
	if (!builder)
		return lg_fail_nomem(err);
	if (lg_tree_walk(tree, "", 0, add_entry, builder) < 0) {
		lg_tree_builder_free(builder);
		return lg_fail_nomem(err);
	}
	struct lg_tree *again = lg_tree_builder_finish(builder, err);
	if (!again)
		return LG_ENOMEM;
	lg_tree_hash(again, ret_root);
	lg_tree_unref(again);
	return 0;
}

/* --- one record ------------------------------------------------------------------------------------------------------ */

static uint64_t pair_hash(const char *key, size_t key_len, uint64_t seq)
{
	uint8_t hash[crypto_shorthash_BYTES], secret[crypto_shorthash_KEYBYTES] = { 0 };
	uint64_t number;
	memcpy(secret, &seq, sizeof seq);
	crypto_shorthash(hash, (const unsigned char *)key, key_len, secret);
	memcpy(&number, hash, sizeof number);
	return number;
}

struct sum {
	uint64_t seq, sum;
};

static int add_key(void *arg, const char *key, size_t key_len, const char *value, size_t value_len)
{
	struct sum *sum = arg;
	(void)value;
	(void)value_len;
	sum->sum += pair_hash(key, key_len, sum->seq);
	return 0;
}

static int sum_keys(struct verify *verify, const struct lg_record *record, struct lg_error *err)
{
	struct sum sum = { .seq = record->seq };
	int rc = record->redacted ? 0 : lg_body_each(record->body, record->body_len, add_key, &sum, err);
	verify->index_of_records += sum.sum;
	return rc;
}

/* Behind a gap, or a record that did not hold, the state is unknown until a checkpoint says it again. */
static void lose_state(struct verify *verify)
{
	lg_tree_unref(lg_steal_ptr(&verify->tree));
	verify->has_controls = false;
}

static int check_state(struct verify *verify, const struct lg_record *record, struct lg_error *err)
{
	struct lg_tree *next = NULL;
	struct lg_error why = LG_ERROR_INIT;
	verify->report->revisions++;
	if (!verify->tree)
		return 0;
	int rc = lg_apply_record(verify->config, verify->tree, NULL, record, &next, &why);
	if (rc == LG_ENOTFOUND && verify->has_losses) { /* what it brings back: said, so nothing new */
		lg_tree_unref(lg_steal_ptr(&verify->tree));
		return 0;
	}
	if (is_damage(rc)) {
		found(verify, record->seq, "%s", why.message);
		lose_state(verify);
		return 0;
	}
	if (rc < 0)
		return lg_fail(err, rc, 0, "%s", why.message);
	lg_tree_unref(verify->tree);
	verify->tree = next;
	verify->revision = record->seq;
	lg_cache_remember(verify->config, record->seq, next);
	return 0;
}

static int note_survivor(
	struct survivor **list, size_t *count, uint64_t seq, const uint8_t *hash, struct lg_error *err)
{
	struct survivor *grown = reallocarray(*list, *count + 1, sizeof *grown);
	if (!grown)
		return lg_fail_nomem(err);
	*list = grown;
	grown[*count].seq = seq;
	memcpy(grown[*count].hash, hash, LG_HASH_SIZE);
	++*count;
	return 0;
}

static int take_trim(struct verify *verify, const struct lg_record *record, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *body = NULL;
	int rc = lg_json_parse(record->body, record->body_len, record->body_len, &body, err);
	if (rc < 0)
		return rc == LG_EINVALID ? LG_ECORRUPT : rc;
	size_t i;
	const json_t *kept;
	verify->kept_count = 0;
	json_array_foreach(json_object_get(body, "kept"), i, kept)
	{
		uint8_t hash[LG_HASH_SIZE];
		const char *hex = json_string_value(json_object_get(kept, "hash"));
		size_t len = 0;
		if (!hex || sodium_hex2bin(hash, sizeof hash, hex, strlen(hex), NULL, &len, NULL) != 0 ||
			len != sizeof hash)
			continue;
		rc = note_survivor(&verify->kept, &verify->kept_count,
			(uint64_t)json_integer_value(json_object_get(kept, "seq")), hash, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int check_control(struct verify *verify, const struct lg_record *record, struct lg_error *err)
{
	struct lg_error why = LG_ERROR_INIT;
	int rc = verify->has_controls ? lg_controls_fold(&verify->controls, record, &why) : 0;
	if (rc == 0 && (record->kind == LG_KIND_TRIM || record->kind == LG_KIND_SALVAGE))
		rc = take_trim(verify, record, &why);
	if (!is_damage(rc))
		return rc < 0 ? lg_fail(err, rc, 0, "%s", why.message) : 0;
	found(verify, record->seq, "%s", why.message);
	verify->has_controls = false;
	return 0;
}

/* A gap lies before the record: what is known does not reach over it, but a checkpoint at its end may. */
static int cross_gap(struct verify *verify, uint64_t seq, struct lg_error *err)
{
	struct lg_log_gap gap;
	int rc = lg_log_gap(verify->config->log, seq - 1, &gap, err);
	if (rc < 0)
		return rc;
	if (rc == 1 && gap.reason == LG_GAP_LOST)
		verify->controls_in_doubt = true;
	lose_state(verify);
	verify->previous = seq - 1;
	return check_checkpoint(verify, err);
}

static int check_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct verify *verify = arg;
	int rc = record->seq != verify->previous + 1 ? cross_gap(verify, record->seq, err) : 0;
	if (rc == 0 && record->kind == LG_KIND_CHANGE)
		rc = sum_keys(verify, record, err);
	if (rc == 0 && record->seq < verify->last_cut)
		rc = note_survivor(&verify->survivors, &verify->survivor_count, record->seq, record->hash, err);
	if (rc == 0)
		rc = lg_kind_is_state(record->kind) ? check_state(verify, record, err)
						    : check_control(verify, record, err);
	if (rc < 0)
		return rc;
	bool was_unknown = !verify->tree;
	verify->previous = record->seq;
	rc = check_checkpoint(verify, err);
	if (rc == 0 && was_unknown && lg_kind_is_state(record->kind)) {
		if (verify->tree && lg_check_root(verify->tree, record, NULL) < 0)
			found(verify, record->seq, "its checkpoint does not hash to its root");
		verify->report->unknown += !verify->tree;
	}
	if (++verify->report->records % PROGRESS_EVERY == 0)
		tell(verify, "records", record->seq - verify->from, verify->to - verify->from + 1);
	return rc;
}

/* --- stretches ------------------------------------------------------------------------------------------------------- */

/* The state before the first record of a stretch. */
static int begin_at(struct verify *verify, uint64_t from, struct lg_error *err)
{
	lg_cleanup(lg_state_clear) struct lg_state state = { 0 };
	struct lg_error why = LG_ERROR_INIT;
	lose_state(verify);
	verify->previous = from ? from - 1 : 0;
	if (from <= 1) {
		verify->tree = lg_tree_empty();
		lg_controls_clear(&verify->controls);
		verify->has_controls = true;
		verify->revision = 0;
		return verify->tree ? 0 : lg_fail_nomem(err);
	}
	int rc = lg_state_load(verify->config, from - 1, &state, &why);
	if (rc < 0)
		return is_damage(rc) || rc == LG_EIO ? 0 : lg_fail(err, rc, 0, "%s", why.message);
	verify->tree = lg_steal_ptr(&state.tree);
	verify->revision = state.revision;
	return 0;
}

static int judge_alone(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct verify *verify = arg;
	if (lg_kind_is_state(record->kind)) /* its root tells */
		return check_state(verify, record, err);
	verify->has_controls = false;
	return 0;
}

/* The record that did not hold: the next one that there should be. */
static int find_bad(const struct verify *verify, uint64_t from, uint64_t *ret_bad, struct lg_error *err)
{
	struct lg_log_gap gap;
	uint64_t bad = verify->previous + 1 > from ? verify->previous + 1 : from;
	int rc = lg_log_gap(verify->config->log, bad, &gap, err);
	*ret_bad = rc == 1 && gap.last >= bad ? gap.last + 1 : bad;
	return rc < 0 ? rc : 0;
}

/* A record that does not hold may still lead to the state that it names, and then what follows can be judged. */
static int pass_over(struct verify *verify, uint64_t bad, struct lg_error *err)
{
	struct lg_error why = LG_ERROR_INIT;
	int rc = lg_log_get(verify->config->log, bad, judge_alone, verify, &why);
	if (is_damage(rc))
		lose_state(verify);
	else if (rc < 0)
		return lg_fail(err, rc, 0, "%s", why.message);
	verify->previous = bad;
	return 0;
}

/* Each damaged record is passed over, and what follows it is judged by itself. */
static int walk(struct verify *verify, uint64_t from, uint64_t to, struct lg_error *err)
{
	verify->from = from;
	verify->to = to;
	int rc = begin_at(verify, from, err);
	while (rc == 0 && from <= to) {
		struct lg_error why = LG_ERROR_INIT;
		rc = lg_log_walk_chain(verify->config->log, from, to, check_record, verify, &why);
		if (!is_damage(rc))
			return rc < 0 ? lg_fail(err, rc, 0, "%s", why.message) : 0;
		uint64_t bad;
		rc = find_bad(verify, from, &bad, err);
		if (rc < 0)
			return rc;
		found(verify, bad, "%s", why.message);
		if (verify->report->problems.total >= PROBLEMS_ENOUGH)
			return 0;
		rc = pass_over(verify, bad, err);
		from = bad + 1;
	}
	return rc;
}

/* The newest half, and stretches of the rest. */
static int walk_sample(struct verify *verify, struct lg_error *err)
{
	const uint64_t head = verify->report->head.seq;
	const uint64_t newest = verify->options->sample / 2 + 1;
	const uint64_t older = head > newest ? head - newest : 0;
	if (head <= verify->options->sample || older == 0)
		return walk(verify, 0, head, err);
	int rc = walk(verify, head - newest + 1, head, err);
	for (uint64_t done = newest; rc == 0 && done < verify->options->sample; done += STRETCH) {
		uint64_t at;
		lg_random_bytes(&at, sizeof at);
		at = 1 + at % older;
		struct lg_log_gap gap;
		rc = lg_log_gap(verify->config->log, at, &gap, err);
		if (rc < 0)
			return rc;
		if (rc == 1 && gap.last >= at)
			at = gap.last + 1;
		uint64_t end = at + STRETCH - 1 < head - newest ? at + STRETCH - 1 : head - newest;
		rc = at <= end ? walk(verify, at, end, err) : 0; /* the newest were taken already */
	}
	return rc;
}

/* --- the whole ------------------------------------------------------------------------------------------------------- */

struct index {
	struct verify *verify;
	uint64_t sum;
	struct lg_log_gap gap; /* the one asked for last */
};

static int add_pair(void *arg, const char *key, size_t key_len, uint64_t seq, struct lg_error *err)
{
	struct index *index = arg;
	struct lg_log_gap *gap = &index->gap;
	if (seq > index->verify->report->head.seq)
		return 0; /* appended meanwhile */
	int rc = seq >= gap->first && seq <= gap->last ? 1
						       : lg_log_gap(index->verify->config->log, seq, gap, err);
	if (rc < 0)
		return rc;
	if (rc == 0 || gap->last < seq)
		index->sum += pair_hash(key, key_len, seq);
	return 0;
}

static int check_index(struct verify *verify, struct lg_error *err)
{
	struct index index = { .verify = verify };
	struct lg_error why = LG_ERROR_INIT;
	tell(verify, "the index of keys", 0, 0);
	int rc = lg_log_each_touched(verify->config->log, add_pair, &index, &why);
	if (is_damage(rc))
		lg_problems_add(&verify->report->problems, "index", "%s", why.message);
	else if (rc < 0)
		return lg_fail(err, rc, 0, "%s", why.message);
	else if (rc == 0 && index.sum != verify->index_of_records && verify->report->problems.total == 0)
		lg_problems_add(&verify->report->problems, "index",
			"the index of keys does not say what the records say: histories of keys may be "
			"incomplete");
	return 0;
}

static int check_store(struct verify *verify, struct lg_error *err)
{
	struct lg_error why = LG_ERROR_INIT;
	tell(verify, "the store", 0, 0);
	int rc = lg_log_check(verify->config->log, verify->options->sample == 0, &why);
	if (is_damage(rc))
		lg_problems_add(&verify->report->problems, "store", "%s", why.message);
	else if (rc < 0)
		return lg_fail(err, rc, 0, "%s", why.message);
	return 0;
}

static void check_survivors(struct verify *verify)
{
	for (size_t i = 0; i < verify->survivor_count; i++) {
		const struct survivor *survivor = &verify->survivors[i];
		bool proven = false;
		for (size_t k = 0; k < verify->kept_count; k++)
			proven |= verify->kept[k].seq == survivor->seq &&
				memcmp(verify->kept[k].hash, survivor->hash, LG_HASH_SIZE) == 0;
		if (!proven)
			found(verify, survivor->seq,
				"it stands between gaps, and no retention says that it kept it so");
	}
}

static int note_cuts(struct verify *verify, struct lg_error *err)
{
	struct lg_log_gap gap;
	uint64_t at = verify->report->head.seq;
	int rc;
	while ((rc = lg_log_gap(verify->config->log, at, &gap, err)) == 1) {
		if (gap.reason == LG_GAP_LOST)
			verify->has_losses = true;
		else if (verify->last_cut == 0)
			verify->last_cut = gap.last;
		if (gap.first <= 1)
			return 0;
		at = gap.first - 1;
	}
	return rc;
}

static int verify_all(struct verify *verify, struct lg_error *err)
{
	const bool whole = verify->options->sample == 0;
	int rc = lg_log_head(verify->config->log, &verify->report->head, err);
	if (rc == 0)
		rc = check_store(verify, err);
	if (rc == 0)
		rc = list_checkpoints(verify, err);
	if (rc == 0)
		rc = note_cuts(verify, err);
	if (rc < 0 || verify->report->head.seq == 0)
		return rc;
	rc = whole ? walk(verify, 0, verify->report->head.seq, err) : walk_sample(verify, err);
	if (rc < 0 || !whole)
		return rc;
	check_survivors(verify);
	return check_index(verify, err);
}

int lg_verify(
	const struct lg_verify_options *options, struct lg_verify_report *ret_report, struct lg_error *err)
{
	lg_cleanup(lg_verify_report_clear) struct lg_verify_report report = { 0 };
	lg_cleanup(lg_config_closep) struct lg_config *config = NULL;
	const struct lg_config_options open = {
		.state_dir = options->state_dir, .log = options->log, .readonly = true, .without_state = true
	};
	int rc = lg_config_open(&open, &config, err);
	if (rc < 0)
		return rc;
	lg_cleanup(verify_clear) struct verify verify = {
		.options = options, .config = config, .report = &report
	};
	lg_config_lock(config);
	rc = verify_all(&verify, err);
	lg_config_unlock(config);
	if (rc < 0)
		return rc;
	*ret_report = report;
	report = (struct lg_verify_report){ 0 };
	return 0;
}
