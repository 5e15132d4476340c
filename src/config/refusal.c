/* Attempts that were refused, on the record: who tried what, how often, and why it was refused.
 *
 * Anybody may try as often as he likes, so each attempt must not cost a record.  Attempts are gathered by actor, action and
 * code; a record goes out at once for the first, then at most one a minute, and a bucket of LG_REFUSAL_TOKENS of them fills
 * again by one every ten minutes.  With LG_REFUSAL_BODY_MAX for each, a store grows by 1.3 MB a day at most, whatever is tried
 * (docs/decisions/0006-refusals.md).
 *
 * What is gathered waits in refusals.json in the state directory, replaced durably under refusals.lock; a process that is
 * refused over and over adds to it ten times a second at most, and what it has not added yet is in memory (a kill loses that
 * tenth of a second).  The token is spent on disk before the record is written: should the file not take that, nothing is
 * recorded, so the bound holds even then.  Killed between the record and what follows it, the same attempts are told of twice.
 * A file that is missing or damaged is none: gathering begins anew.
 *
 * No value gets in.  What a service's check says may hold anything and is left out; of the rest, a message that quotes a value
 * of a key that is not declared as no secret is withheld.
 *
 * Nothing here changes how the attempt ends: all failures are this file's own, and the attempts wait. */
#include "config/internal.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "io/file.h"
#include "model/key.h"
#include "model/schema.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUPS_MAX 32 /* the last one is for whatever does not fit */
#define KEYS_MAX   5
#define FILE_MAX   ((size_t)256 * 1024)

#define SECOND_NS ((int64_t)1000000000)
#define SAVE_NS   (SECOND_NS / 10)
#define LOOK_NS   SECOND_NS
#define LOCK_MS   200
#define OTHER     "other"

struct group {
	char actor[LG_SNIPPET_SIZE];
	char action[LG_SNIPPET_SIZE];
	char code[24];
	char message[240];
	char keys[KEYS_MAX][LG_SNIPPET_SIZE];
	size_t key_count;
	uint64_t count;
	int64_t first_us, last_us;
};

struct gathered {
	struct group groups[GROUPS_MAX];
	size_t count;
};

/* What the file holds. */
struct ledger {
	char boot_id[LG_BOOT_ID_SIZE];
	bool recorded;     /* in this boot */
	int64_t record_ns; /* the newest record, since boot */
	int64_t refill_ns; /* when the bucket was last added to, since boot */
	int64_t tokens;
	struct gathered gathered;
};

struct lg_refusals {
	pthread_mutex_t lock;
	bool is_saving;
	bool saved; /* ever */
	int64_t saved_ns;
	_Atomic int64_t looked_ns;
	struct gathered pending; /* not in the file yet */
};

/* --- gathering ----------------------------------------------------------------------------------------------------- */

static size_t whole_characters(const char *text, size_t len)
{
	while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	return len;
}

/* Printable, and cut so that it fits. */
static void put_text(char *out, size_t size, const char *text)
{
	static const char more[] = "…";
	lg_cleanup(lg_buf_clear) struct lg_buf buf = LG_BUF_INIT;
	size_t len = strnlen(text, size);
	bool cut = len == size;
	lg_text_add_printable(&buf, text, cut ? whole_characters(text, len - 1) : len);
	const char *printable = lg_buf_str(&buf);
	if (!cut && buf.len < size) {
		memcpy(out, printable, buf.len + 1);
		return;
	}
	size_t room = size - sizeof more;
	len = whole_characters(printable, buf.len < room ? buf.len : room);
	memcpy(out, printable, len);
	memcpy(out + len, more, sizeof more);
}

static bool is_of(const struct group *a, const struct group *b)
{
	return strcmp(a->code, b->code) == 0 && strcmp(a->actor, b->actor) == 0 &&
		strcmp(a->action, b->action) == 0;
}

static void add_key(struct group *group, const char *key)
{
	for (size_t i = 0; i < group->key_count; i++)
		if (strcmp(group->keys[i], key) == 0)
			return;
	if (group->key_count < KEYS_MAX)
		memcpy(group->keys[group->key_count++], key, strlen(key) + 1);
}

static void become_other(struct group *group)
{
	put_text(group->actor, sizeof group->actor, OTHER);
	put_text(group->action, sizeof group->action, OTHER);
	put_text(group->code, sizeof group->code, OTHER);
	group->message[0] = '\0';
	group->key_count = 0;
}

static void add_group(struct gathered *gathered, const struct group *one)
{
	struct group *into = NULL;
	for (size_t i = 0; !into && i < gathered->count; i++)
		if (is_of(&gathered->groups[i], one))
			into = &gathered->groups[i];
	if (!into && gathered->count == GROUPS_MAX)
		into = &gathered->groups[GROUPS_MAX - 1];
	if (!into) {
		into = &gathered->groups[gathered->count++];
		*into = *one;
		if (gathered->count == GROUPS_MAX)
			become_other(into);
		return;
	}
	into->count = one->count > UINT32_MAX - into->count ? UINT32_MAX : into->count + one->count;
	into->first_us = one->first_us < into->first_us ? one->first_us : into->first_us;
	into->last_us = one->last_us > into->last_us ? one->last_us : into->last_us;
	for (size_t i = 0; strcmp(into->code, OTHER) != 0 && i < one->key_count; i++)
		add_key(into, one->keys[i]);
}

static void add_all(struct gathered *gathered, const struct gathered *more)
{
	for (size_t i = 0; i < more->count; i++)
		add_group(gathered, &more->groups[i]);
}

/* --- as JSON ------------------------------------------------------------------------------------------------------- */

static json_t *group_json(const struct group *group)
{
	json_t *keys = json_array();
	for (size_t i = 0; i < group->key_count; i++)
		json_array_append_new(keys, json_string(group->keys[i]));
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:o, s:I, s:s}", "action", group->action, "actor",
		group->actor, "code", group->code, "count", (json_int_t)group->count, "first",
		(json_int_t)group->first_us, "keys", keys, "last", (json_int_t)group->last_us, "message",
		group->message);
}

static void read_text(const json_t *json, const char *name, char *out, size_t size)
{
	const char *text = json_string_value(json_object_get(json, name));
	put_text(out, size, text ? text : "");
}

static void read_group(const json_t *json, struct group *group)
{
	size_t i;
	const json_t *key;
	*group = (struct group){
		.count = (uint64_t)json_integer_value(json_object_get(json, "count")) & UINT32_MAX,
		.first_us = json_integer_value(json_object_get(json, "first")),
		.last_us = json_integer_value(json_object_get(json, "last")),
	};
	read_text(json, "actor", group->actor, sizeof group->actor);
	read_text(json, "action", group->action, sizeof group->action);
	read_text(json, "code", group->code, sizeof group->code);
	read_text(json, "message", group->message, sizeof group->message);
	json_array_foreach(json_object_get(json, "keys"), i, key)
	{
		char text[LG_SNIPPET_SIZE];
		put_text(text, sizeof text, json_is_string(key) ? json_string_value(key) : "");
		add_key(group, text);
	}
}

static int add_canonical(json_t *json, struct lg_buf *buf, struct lg_error *err)
{
	lg_cleanup(lg_json_freep) json_t *owned = json;
	return owned ? lg_json_canonical(owned, buf, err) : lg_fail_nomem(err);
}

/* Appends the group unless the body would get too long with it: then it goes to the others. */
static int add_to_body(
	struct lg_buf *body, const struct group *group, struct group *other, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	int rc = add_canonical(group_json(group), &text, err);
	if (rc < 0)
		return rc;
	/* what may follow: a comma, the others (a few hundred bytes), the brackets */
	if (other && body->len + text.len + 512 > LG_REFUSAL_BODY_MAX) {
		if (other->count == 0) {
			*other = *group;
			become_other(other);
			return 0;
		}
		other->count += group->count;
		other->first_us = group->first_us < other->first_us ? group->first_us : other->first_us;
		other->last_us = group->last_us > other->last_us ? group->last_us : other->last_us;
		return 0;
	}
	if (body->data[body->len - 1] != '[')
		lg_buf_addc(body, ',');
	lg_buf_add(body, text.data, text.len);
	return lg_buf_check(body, err);
}

static int make_body(const struct gathered *gathered, struct lg_buf *body, struct lg_error *err)
{
	struct group other = { 0 };
	lg_buf_adds(body, "{\"refusals\":[");
	int rc = lg_buf_check(body, err);
	for (size_t i = 0; rc == 0 && i < gathered->count; i++)
		rc = add_to_body(body, &gathered->groups[i], &other, err);
	if (rc == 0 && other.count)
		rc = add_to_body(body, &other, NULL, err);
	lg_buf_adds(body, "]}");
	return rc < 0 ? rc : lg_buf_check(body, err);
}

/* --- the file ------------------------------------------------------------------------------------------------------ */

static char *path_of(const struct lg_config *config, const char *name)
{
	return lg_path_join(config->state_dir, name);
}

static void begin_anew(struct ledger *ledger)
{
	*ledger = (struct ledger){ .tokens = LG_REFUSAL_TOKENS };
}

/* The checksum first: half a file, or one that somebody edited, is none. */
static json_t *parse_file(const struct lg_buf *text)
{
	uint8_t hash[LG_HASH_SIZE], wanted[LG_HASH_SIZE];
	const size_t head = 2 * LG_HASH_SIZE;
	json_t *json = NULL;
	if (text->len <= head + 1 || text->data[head] != '\n')
		return NULL;
	text->data[head] = '\0';
	if (lg_hex_decode(text->data, wanted, LG_HASH_SIZE, NULL) < 0)
		return NULL;
	const char *rest = text->data + head + 1;
	size_t len = text->len - head - 1;
	lg_record_body_hash(rest, len, hash);
	if (memcmp(hash, wanted, LG_HASH_SIZE) != 0)
		return NULL;
	return lg_json_parse(rest, len, FILE_MAX, &json, NULL) < 0 ? NULL : json;
}

static int read_ledger(const char *path, struct ledger *ledger, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	begin_anew(ledger);
	int rc = lg_file_read(path, FILE_MAX, &text, err);
	if (rc == LG_ENOTFOUND || rc == LG_EINVALID)
		return 0;
	if (rc < 0)
		return rc;
	json = parse_file(&text);
	if (!json)
		return 0;
	const json_t *record = json_object_get(json, "record_ns"), *one;
	size_t i;
	put_text(ledger->boot_id, sizeof ledger->boot_id,
		json_is_string(json_object_get(json, "boot_id"))
			? json_string_value(json_object_get(json, "boot_id"))
			: "");
	ledger->recorded = record != NULL;
	ledger->record_ns = json_integer_value(record);
	ledger->refill_ns = json_integer_value(json_object_get(json, "refill_ns"));
	ledger->tokens = json_integer_value(json_object_get(json, "tokens"));
	json_array_foreach(json_object_get(json, "refusals"), i, one)
	{
		struct group group;
		read_group(one, &group);
		add_group(&ledger->gathered, &group);
	}
	return 0;
}

static int ledger_text(const struct ledger *ledger, struct lg_buf *text, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	uint8_t hash[LG_HASH_SIZE];
	char hex[2 * LG_HASH_SIZE + 1];
	json_t *groups = json_array();
	for (size_t i = 0; i < ledger->gathered.count; i++)
		json_array_append_new(groups, group_json(&ledger->gathered.groups[i]));
	json_t *json = json_pack("{s:s, s:I, s:o, s:I}", "boot_id", ledger->boot_id, "refill_ns",
		(json_int_t)ledger->refill_ns, "refusals", groups, "tokens", (json_int_t)ledger->tokens);
	if (json && ledger->recorded &&
		json_object_set_new(json, "record_ns", json_integer(ledger->record_ns)) != 0) {
		json_decref(json);
		return lg_fail_nomem(err);
	}
	int rc = add_canonical(json, &body, err);
	if (rc < 0)
		return rc;
	lg_record_body_hash(body.data, body.len, hash);
	lg_hex_encode(hash, LG_HASH_SIZE, hex);
	lg_buf_addf(text, "%s\n", hex);
	lg_buf_add(text, body.data, body.len);
	return lg_buf_check(text, err);
}

static int write_ledger(const char *path, const struct ledger *ledger, struct lg_error *err)
{
	const struct lg_replace_options options = { .mode = 0600 };
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	int rc = ledger_text(ledger, &text, err);
	return rc < 0 ? rc : lg_file_replace(path, text.data, text.len, &options, err);
}

/* --- may a record go out? ------------------------------------------------------------------------------------------- */

/* Brings the bucket up to now; true: a record may go out.  On another boot nobody knows how long it was: the wait between two
 * records is over, the bucket is as it was.  A clock that reads less than before (another time namespace) begins anew
 * from there, so that it can only make for fewer. */
static bool is_due(struct ledger *ledger, const char boot_id[static LG_BOOT_ID_SIZE], int64_t now_ns)
{
	if (strcmp(ledger->boot_id, boot_id) != 0) {
		memcpy(ledger->boot_id, boot_id, LG_BOOT_ID_SIZE);
		ledger->recorded = false;
		ledger->refill_ns = now_ns;
	}
	if (ledger->refill_ns > now_ns)
		ledger->refill_ns = now_ns;
	if (ledger->record_ns > now_ns)
		ledger->record_ns = now_ns;
	int64_t more = (now_ns - ledger->refill_ns) / (LG_REFUSAL_REFILL_S * SECOND_NS);
	ledger->refill_ns += more * LG_REFUSAL_REFILL_S * SECOND_NS;
	ledger->tokens = ledger->tokens < 0 ? 0 : ledger->tokens;
	ledger->tokens = more > LG_REFUSAL_TOKENS - ledger->tokens ? LG_REFUSAL_TOKENS : ledger->tokens + more;
	return ledger->tokens > 0 &&
		(!ledger->recorded || now_ns - ledger->record_ns >= LG_REFUSAL_EVERY_S * SECOND_NS);
}

/* --- recording ----------------------------------------------------------------------------------------------------- */

/* One actor's attempts are his record; what several tried, lastgood tells. */
static const char *actor_of(const struct gathered *gathered)
{
	const char *actor = gathered->groups[0].actor;
	for (size_t i = 1; i < gathered->count; i++)
		if (strcmp(gathered->groups[i].actor, actor) != 0)
			return "lastgood";
	return strcmp(actor, OTHER) == 0 ? "lastgood" : actor;
}

static int append_record(struct lg_config *config, const struct gathered *gathered, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf body = LG_BUF_INIT;
	int rc = make_body(gathered, &body, err);
	if (rc < 0)
		return rc;
	const struct lg_author author = { .actor = actor_of(gathered), .reason = "" };
	const struct lg_control control = { LG_KIND_REFUSAL, body.data, body.len };
	return lg_config_control(config, &author, &control, 1, NULL, err);
}

/* The lock of the file is held.  0: what is gathered is in the file or in the log. */
static int settle_file(
	struct lg_config *config, const char *path, struct ledger *ledger, bool has_more, struct lg_error *err)
{
	char boot_id[LG_BOOT_ID_SIZE];
	int64_t now_ns = config->clock->boottime_ns(config->clock);
	int rc = lg_boot_id(boot_id, err);
	if (rc < 0)
		return rc;
	bool due = is_due(ledger, boot_id, now_ns) && ledger->gathered.count;
	if (due) {
		ledger->tokens--;
		ledger->recorded = true;
		ledger->record_ns = now_ns;
	}
	if (due || has_more)
		rc = write_ledger(path, ledger, err);
	if (rc < 0 || !due)
		return rc;
	struct lg_error why = LG_ERROR_INIT;
	if (append_record(config, &ledger->gathered, &why) < 0)
		return 0; /* they are in the file, for the next one */
	ledger->gathered.count = 0;
	rc = write_ledger(path, ledger, &why);
	(void)rc; /* told of twice then, see above */
	return 0;
}

static int save(struct lg_config *config, const struct gathered *more, int64_t wait_ms, struct lg_error *err)
{
	lg_autofree char *path = path_of(config, "refusals.json");
	lg_autofree char *lock_path = path_of(config, "refusals.lock");
	lg_autofree struct ledger *ledger = calloc(1, sizeof *ledger);
	lg_autoclose int lock = -1;
	if (!path || !lock_path || !ledger)
		return lg_fail_nomem(err);
	int rc = lg_lock_file(lock_path, wait_ms, &lock, err);
	if (rc == 0)
		rc = read_ledger(path, ledger, err);
	if (rc < 0)
		return rc;
	add_all(&ledger->gathered, more);
	return settle_file(config, path, ledger, more->count > 0, err);
}

/* Takes what is pending to the file, and to the log when that is due.  One thread at a time; the others' wait in memory. */
static void save_pending(struct lg_config *config, int64_t wait_ms)
{
	struct lg_refusals *refusals = config->refusals;
	lg_autofree struct gathered *taken = calloc(1, sizeof *taken);
	struct lg_error ignored = LG_ERROR_INIT;
	if (!taken)
		return;
	pthread_mutex_lock(&refusals->lock);
	bool busy = refusals->is_saving;
	if (!busy) {
		refusals->is_saving = true;
		*taken = refusals->pending;
		refusals->pending.count = 0;
	}
	pthread_mutex_unlock(&refusals->lock);
	if (busy)
		return;
	int rc = save(config, taken, wait_ms, &ignored);
	pthread_mutex_lock(&refusals->lock);
	if (rc < 0)
		add_all(&refusals->pending, taken);
	refusals->is_saving = false;
	refusals->saved = true;
	refusals->saved_ns = config->clock->boottime_ns(config->clock);
	pthread_mutex_unlock(&refusals->lock);
}

static void note(struct lg_config *config, const struct group *group)
{
	struct lg_refusals *refusals = config->refusals;
	int64_t now_ns = config->clock->boottime_ns(config->clock);
	pthread_mutex_lock(&refusals->lock);
	add_group(&refusals->pending, group);
	int64_t since_ns = now_ns - refusals->saved_ns;
	bool due = !refusals->saved || since_ns >= SAVE_NS || since_ns < 0;
	pthread_mutex_unlock(&refusals->lock);
	if (due)
		save_pending(config, LOCK_MS);
}

/* Is there something in the file that may go out by now? */
static bool is_waiting(struct lg_config *config)
{
	lg_autofree char *path = path_of(config, "refusals.json");
	lg_autofree struct ledger *ledger = calloc(1, sizeof *ledger);
	char boot_id[LG_BOOT_ID_SIZE];
	if (!path || !ledger || !lg_file_exists(path) || read_ledger(path, ledger, NULL) < 0 ||
		ledger->gathered.count == 0 || lg_boot_id(boot_id, NULL) < 0)
		return false;
	return is_due(ledger, boot_id, config->clock->boottime_ns(config->clock));
}

/* After a change that went well: what has waited goes out with it.  Looked at once a second. */
static void settle(struct lg_config *config)
{
	struct lg_refusals *refusals = config->refusals;
	int64_t now_ns = config->clock->boottime_ns(config->clock);
	int64_t looked_ns = atomic_load_explicit(&refusals->looked_ns, memory_order_relaxed);
	int64_t since_ns = now_ns - looked_ns;
	if (looked_ns && since_ns >= 0 && since_ns < LOOK_NS)
		return;
	if (!atomic_compare_exchange_strong(&refusals->looked_ns, &looked_ns, now_ns ? now_ns : 1))
		return;
	pthread_mutex_lock(&refusals->lock);
	bool pending = refusals->pending.count > 0;
	pthread_mutex_unlock(&refusals->lock);
	if (pending || is_waiting(config))
		save_pending(config, LOCK_MS);
}

/* --- what may be said ------------------------------------------------------------------------------------------------ */

/* Is there a change of this key?  The set is sorted. */
static bool is_changed(const struct lg_changeset *changes, const char *key)
{
	size_t low = 0, high = changes->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(changes->items[middle].key, key);
		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static bool is_declared_plain(const struct lg_tree *tree, const struct lg_changeset *changes, const char *key)
{
	char name[LG_SELECTOR_MAX];
	struct lg_schema *schema = NULL;
	struct lg_entry entry;
	int len = snprintf(name, sizeof name, LG_SCHEMA_SPACE "%s", key);
	if (lg_starts_with(key, LG_SCHEMA_SPACE))
		return true; /* declarations are readable */
	if (len < 0 || (size_t)len >= sizeof name || is_changed(changes, name))
		return false; /* it may be about to become a secret */
	if (!lg_tree_get(tree, name, (size_t)len, &entry) ||
		lg_schema_compile(key, entry.value, entry.value_len, &schema, NULL, NULL) < 0)
		return false;
	bool plain = !lg_schema_is_secret(schema);
	lg_schema_free(schema);
	return plain;
}

/* Messages cut what they quote, so its beginning will do.  What is shorter than LEAST is in every message. */
#define BEGINNING ((size_t)16)
#define LEAST     ((size_t)3)

static bool has(const char *message, const char *text, size_t len)
{
	return len >= LEAST && memmem(message, strlen(message), text, len < BEGINNING ? len : BEGINNING);
}

/* Length of the string or number that the canonical text begins with; 1 for anything else. */
static size_t token(const char *text, size_t len)
{
	size_t at = 1;
	if (*text != '"') {
		size_t number = strspn(text, "+-.0123456789Ee");
		return number ? number : 1;
	}
	while (at < len && text[at] != '"')
		at += text[at] == '\\' && at + 1 < len ? 2 : 1;
	return at < len ? at + 1 : len;
}

/* As it is written and as it is meant. */
static bool quotes_string(const char *message, const char *raw, size_t len)
{
	lg_cleanup(lg_json_freep) json_t *string = NULL;
	if (len < 2)
		return false;
	if (has(message, raw + 1, len - 2))
		return true;
	if (!memchr(raw, '\\', len))
		return false;
	return lg_json_parse(raw, len, len, &string, NULL) < 0 ||
		has(message, json_string_value(string), json_string_length(string));
}

/* Does the message hold any string (or name of a member) or number of the value?  A change may have a million of them, so they
 * are found in the canonical text instead of building it. */
static bool quotes(const char *message, const char *value, size_t value_len)
{
	for (size_t at = 0, len; at < value_len; at += len) {
		len = token(value + at, value_len - at);
		if (value[at] == '"' ? quotes_string(message, value + at, len) : has(message, value + at, len))
			return true;
	}
	return false;
}

static bool quotes_secret(struct lg_config *config, const struct lg_changeset *changes, const char *message)
{
	lg_cleanup(lg_snapshot_clear) struct lg_snapshot now = { 0 };
	bool found = false;
	lg_config_snapshot(config, &now);
	for (size_t i = 0; !found && i < changes->count; i++) {
		const struct lg_change *change = &changes->items[i];
		found = change->value &&
			((change->bare && has(message, change->bare, strlen(change->bare))) ||
				quotes(message, change->value, change->value_len)) &&
			!is_declared_plain(now.tree, changes, change->key);
	}
	return found;
}

static const char *action_of(const struct lg_commit *commit)
{
	size_t unset = 0;
	for (size_t i = 0; i < commit->changes->count; i++)
		unset += !commit->changes->items[i].value;
	if (commit->action)
		return commit->action;
	if (commit->rollback)
		return "rollback";
	return unset == 0 ? "set" : unset == commit->changes->count ? "unset" : "change";
}

/* Lost races are no refusals, nor is a store that cannot be written; whatever a subscriber says no with is one. */
static bool is_refusal(int rc, const struct lg_problems *problems)
{
	if (problems && problems->is_foreign)
		return rc < 0 && rc != LG_ENOMEM;
	return rc == LG_EINVALID || rc == LG_EHELD || rc == LG_EREFUSED;
}

static void describe(struct lg_config *config, const struct lg_author *author, const char *action, int code,
	struct group *group)
{
	int64_t now_us = config->clock->realtime_us(config->clock);
	*group = (struct group){ .count = 1, .first_us = now_us, .last_us = now_us };
	put_text(group->actor, sizeof group->actor, author->actor ? author->actor : "");
	put_text(group->action, sizeof group->action, action);
	put_text(group->code, sizeof group->code, lg_code_name(code));
}

static void name_key(struct group *group, const char *key)
{
	char text[LG_SNIPPET_SIZE];
	put_text(text, sizeof text, key);
	add_key(group, text);
}

/* Whoever said no is named; what he said may hold anything. */
static void quote_subscriber(struct group *group, const struct lg_problems *problems)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	if (problems && problems->count)
		lg_buf_addf(
			&text, "'%s' would refuse this change", problems->items[problems->count - 1].subject);
	else
		lg_buf_adds(&text, "a service would refuse this change");
	put_text(group->message, sizeof group->message, lg_buf_str(&text));
}

static void quote_message(
	struct lg_config *config, const struct lg_changeset *changes, const char *message, struct group *group)
{
	put_text(group->message, sizeof group->message,
		quotes_secret(config, changes, message) ? "(withheld: it quotes a value)" : message);
}

/* --- the attempts ---------------------------------------------------------------------------------------------------- */

void lg_config_refused(struct lg_config *config, const struct lg_commit *commit, int code,
	const struct lg_problems *problems, const char *message)
{
	struct group group;
	if (!config->refusals || !is_refusal(code, problems))
		return;
	describe(config, &commit->author, action_of(commit), code, &group);
	for (size_t i = 0; !problems->is_foreign && i < problems->count; i++)
		name_key(&group, problems->items[i].subject);
	bool named = group.key_count > 0;
	for (size_t i = 0; !named && i < commit->changes->count && i < KEYS_MAX; i++)
		name_key(&group, commit->changes->items[i].key);
	if (problems->is_foreign)
		quote_subscriber(&group, problems);
	else if (message)
		quote_message(config, commit->changes, message, &group);
	else
		put_text(group.message, sizeof group.message, "what was given cannot be read as a change");
	note(config, &group);
}

void lg_refusal_after_commit(struct lg_config *config, const struct lg_commit *commit,
	const struct lg_problems *problems, int rc, const struct lg_error *err)
{
	if (!config->refusals || commit->dry_run)
		return;
	if (rc == 0)
		settle(config);
	else
		lg_config_refused(config, commit, rc, problems,
			rc == LG_EINVALID && problems->count ? problems->items[0].message
				: err                        ? err->message
							     : "");
}

void lg_refusal_after_restore(
	struct lg_config *config, const struct lg_restore *restore, const struct lg_problems *problems, int rc)
{
	struct group group;
	if (!config->refusals || restore->dry_run)
		return;
	if (rc == 0)
		settle(config);
	if (!is_refusal(rc, problems))
		return;
	describe(config, &restore->author, restore->rollback ? "rollback" : "restore", rc, &group);
	for (size_t i = 0; i < restore->scope->include_count && i < KEYS_MAX; i++)
		name_key(&group, restore->scope->include[i]);
	quote_subscriber(&group, problems);
	note(config, &group);
}

int lg_config_refusals_waiting(struct lg_config *config, uint64_t *ret_count, struct lg_error *err)
{
	lg_autofree char *path = path_of(config, "refusals.json");
	lg_autofree struct ledger *ledger = calloc(1, sizeof *ledger);
	uint64_t count = 0;
	if (!path || !ledger)
		return lg_fail_nomem(err);
	int rc = *config->state_dir ? read_ledger(path, ledger, err) : 0;
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < ledger->gathered.count; i++)
		count += ledger->gathered.groups[i].count;
	*ret_count = count;
	return 0;
}

/* --- with the config ------------------------------------------------------------------------------------------------- */

struct lg_refusals *lg_refusals_new(void)
{
	struct lg_refusals *refusals = calloc(1, sizeof *refusals);
	if (refusals)
		pthread_mutex_init(&refusals->lock, NULL);
	return refusals;
}

void lg_refusals_close(struct lg_config *config)
{
	struct lg_refusals *refusals = config->refusals;
	if (!refusals)
		return;
	if (refusals->pending.count)
		save_pending(config, LOCK_MS);
	pthread_mutex_destroy(&refusals->lock);
	free(refusals);
	config->refusals = NULL;
}
