/* recover at key: what is not there any more, from the log.  The table is below; recover_key.c has the other command. */
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/export.h"
#include "cli/record.h"
#include "cli/recover.h"
#include "cli/show.h"

#include <string.h>

/* As many differing keys are shown; `diff` shows all. */
#define FIRST_KEYS 10

/* --- which one ---------------------------------------------------------------------------------------------------------------------- */

/* The revision that was in force, and what the log says about it. */
struct moment {
	uint64_t revision;
	struct lg_tree *tree;
	bool is_proven; /* its record is there, and has the root */
	char *actor, *reason;
	enum lg_kind kind;
	int64_t time_us;
	uint8_t root[LG_HASH_SIZE];
	uint64_t next; /* the next revision that is there, 0: none */
	int64_t next_time_us;
	bool is_next_gone; /* the one that followed is not: records are gone in between */
	struct lg_log_gap gap;
	struct lg_buf why;
};

static void moment_clear(struct moment *moment)
{
	lg_tree_unref(moment->tree);
	free(moment->actor);
	free(moment->reason);
	lg_buf_clear(&moment->why);
}

static int note_record(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct moment *moment = arg;
	moment->actor = strdup(record->actor);
	moment->reason = strdup(record->reason);
	if (!moment->actor || !moment->reason)
		return lg_fail_nomem(err);
	moment->is_proven = record->has_root;
	moment->kind = record->kind;
	moment->time_us = record->time_us;
	memcpy(moment->root, record->root, LG_HASH_SIZE);
	return 0;
}

static int note_next(void *arg, const struct lg_record *record, struct lg_error *err)
{
	struct moment *moment = arg;
	(void)err;
	moment->next = record->seq;
	moment->next_time_us = record->time_us;
	return 1;
}

static int read_records(struct lg_config *config, struct moment *moment, struct lg_error *err)
{
	const uint32_t states = 1u << LG_KIND_CHANGE | 1u << LG_KIND_RESTORE;
	const struct lg_log_query own = { .from = moment->revision, .to = moment->revision, .no_body = true };
	const struct lg_log_query next = {
		.from = moment->revision + 1, .kinds = states, .no_body = true, .limit = 1
	};
	int rc = lg_config_query(config, &own, note_record, moment, err);
	if (rc >= 0)
		rc = lg_config_query(config, &next, note_next, moment, err);
	if (rc >= 0)
		rc = lg_config_gap(config, moment->next ? moment->next - 1 : UINT64_MAX, &moment->gap, err);
	moment->is_next_gone = rc == 1 && moment->gap.first > moment->revision;
	return rc < 0 ? rc : 0;
}

static int find_moment(struct lg_cli *cli, const char *target, const struct lg_scope *scope,
	struct moment *moment, struct lg_error *err)
{
	struct lg_config *config = cli->session.config;
	if (lg_target_is_file(target))
		return lg_fail(err, LG_EUSAGE, 0,
			"'%s' is a file, and a time or a revision is wanted here: 2026-11-22T14:03:00Z, r12",
			target);
	int rc = lg_config_target(config, target, scope, &moment->revision, &moment->why, err);
	if (rc == 0 && moment->revision == 0)
		rc = lg_fail(err, LG_ENOTFOUND, 0,
			"r0 is the empty state before the first revision: there is nothing to recover in it");
	if (rc == 0)
		rc = lg_config_tree_at(config, moment->revision, &moment->tree, err);
	return rc < 0 ? rc : read_records(config, moment, err);
}

/* --- proof ----------------------------------------------------------------------------------------------------------------------- */

static int add_entry(void *arg, const struct lg_entry *entry)
{
	return lg_tree_builder_add(arg, entry, NULL, NULL);
}

/* Every key and value is hashed again: a tree that was loaded has the hashes that its checkpoint carried.  Where the record that
 * made the state is gone, the root is what comes of it. */
static int prove(struct moment *moment, struct lg_error *err)
{
	uint8_t hash[LG_HASH_SIZE];
	struct lg_tree_builder *builder = lg_tree_builder_new();
	if (!builder)
		return lg_fail_nomem(err);
	if (lg_tree_walk(moment->tree, "", 0, add_entry, builder) < 0) {
		lg_tree_builder_free(builder);
		return lg_fail_nomem(err);
	}
	struct lg_tree *again = lg_tree_builder_finish(builder, err);
	if (!again)
		return LG_ENOMEM;
	lg_tree_hash(again, hash);
	lg_tree_unref(again);
	if (!moment->is_proven)
		memcpy(moment->root, hash, LG_HASH_SIZE);
	if (memcmp(hash, moment->root, LG_HASH_SIZE) == 0)
		return 0;
	return lg_fail(err, LG_ECORRUPT, 0, "the state of r%llu does not hash to the root that its record has",
		(unsigned long long)moment->revision);
}

/* --- what going back would change --------------------------------------------------------------------------------------------------- */

struct difference {
	struct lg_show_diff first; /* FIRST_KEYS of them */
	size_t added, removed, changed;
};

static int count_difference(void *arg, const struct lg_entry *before, const struct lg_entry *after)
{
	struct difference *difference = arg;
	size_t count = difference->added + difference->removed + difference->changed;
	if (!before)
		difference->added++;
	else if (!after)
		difference->removed++;
	else
		difference->changed++;
	return count < FIRST_KEYS ? lg_show_diff_visit(&difference->first, before, after) : 0;
}

static size_t total(const struct difference *difference)
{
	return difference->added + difference->removed + difference->changed;
}

static int compare(struct lg_cli *cli, const struct moment *moment, const struct lg_scope *scope,
	struct difference *difference, struct lg_error *err)
{
	struct lg_snapshot now;
	lg_show_diff_init(&difference->first, &cli->output, 0);
	lg_config_snapshot(cli->session.config, &now);
	int rc = lg_tree_diff(now.tree, moment->tree, scope, count_difference, difference);
	lg_snapshot_clear(&now);
	return rc < 0 ? lg_fail_nomem(err) : 0;
}

/* --- telling ------------------------------------------------------------------------------------------------------------------------ */

/* The scope as it was asked for, so that the command goes back to exactly what was shown. */
static void add_scope_options(const struct lg_args *args, struct lg_buf *buf)
{
	static const char *const names[] = { "prefix", "key", "except" };
	for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
		const char *text;
		for (size_t i = 0; (text = lg_args_nth(args, names[n], i)); i++) {
			lg_buf_addf(buf, " --%s ", names[n]);
			lg_show_word(text, buf);
		}
	}
}

/* The same scope as that of this command. */
static int command_for(struct lg_cli *cli, const char *command, uint64_t revision, const char *rest,
	struct lg_buf *ret_command, struct lg_error *err)
{
	lg_buf_addf(ret_command, "lastgood %s r%llu", command, (unsigned long long)revision);
	add_scope_options(&cli->args, ret_command);
	lg_buf_adds(ret_command, rest);
	return lg_buf_check(ret_command, err);
}

static void tell_record(struct lg_output *output, const struct moment *moment)
{
	char time[LG_TIME_SIZE], root[2 * LG_HASH_SIZE + 1];
	unsigned long long revision = moment->revision;
	lg_output_line(output, LG_STYLE_BOLD, "r%llu%s%s", revision, moment->why.len ? ": " : "",
		lg_buf_str(&moment->why));
	if (moment->actor)
		lg_output_line(output, LG_STYLE_PLAIN, "made   %s by %s (%s): %s",
			lg_show_time(moment->time_us, time), moment->actor, lg_kind_name(moment->kind),
			moment->reason);
	if (moment->is_next_gone)
		lg_output_line(output, LG_STYLE_WARN,
			"until  nobody knows when: the records %llu to %llu, which followed, are gone",
			(unsigned long long)moment->gap.first, (unsigned long long)moment->gap.last);
	else if (moment->next)
		lg_output_line(output, LG_STYLE_PLAIN, "until  %s, when r%llu came",
			lg_show_time(moment->next_time_us, time), (unsigned long long)moment->next);
	else
		lg_output_line(output, LG_STYLE_PLAIN, "until  now: it is in force");
	lg_hex_encode(moment->root, LG_HASH_SIZE, root);
	if (moment->is_proven)
		lg_output_line(output, LG_STYLE_GOOD, "root   %s, proven: every key was hashed again", root);
	else
		lg_output_line(output, LG_STYLE_WARN,
			"root   %s, which no record has: the one that made this state is gone", root);
}

static int tell_difference(struct lg_cli *cli, const struct moment *moment, struct difference *difference,
	const char *command, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf backup = LG_BUF_INIT;
	struct lg_output *output = &cli->output;
	unsigned long long revision = moment->revision;
	size_t count = total(difference);
	if (count == 0) {
		lg_output_line(output, LG_STYLE_PLAIN, "now    the same: there is nothing to go back to");
		return 0;
	}
	lg_output_line(output, LG_STYLE_PLAIN,
		"going back would change %zu %s: %zu added, %zu removed, %zu changed", count,
		count == 1 ? "key" : "keys", difference->added, difference->removed, difference->changed);
	int rc = command_for(cli, "recover at", moment->revision, " --to FILE", &backup, err);
	if (rc == 0)
		rc = lg_show_diff_print(&difference->first, output, err);
	if (rc < 0)
		return rc;
	if (count > FIRST_KEYS)
		lg_output_line(output, LG_STYLE_DIM, "and %zu more: 'lastgood diff head r%llu' shows them all",
			count - FIRST_KEYS, revision);
	lg_output_line(output, LG_STYLE_PLAIN, "to go back:         %s", command);
	lg_output_line(output, LG_STYLE_PLAIN,
		"one key of it:      lastgood recover key KEY --from r%llu --reason TEXT", revision);
	lg_output_line(output, LG_STYLE_PLAIN, "as a backup file:   %s", backup.data);
	return 0;
}

static json_t *moment_json(const struct moment *moment, size_t keys)
{
	bool is_known = moment->actor;
	json_t *json = json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:I}", "revision",
		(json_int_t)moment->revision, "time",
		is_known ? lg_show_time_json(moment->time_us) : json_null(), "actor",
		is_known ? lg_show_text_json(moment->actor) : json_null(), "reason",
		is_known ? lg_show_text_json(moment->reason) : json_null(), "kind",
		is_known ? json_string(lg_kind_name(moment->kind)) : json_null(), "why",
		lg_show_text_json(lg_buf_str(&moment->why)), "root", lg_show_hash_json(moment->root), "proven",
		(int)moment->is_proven, "keys", (json_int_t)keys);
	if (json && moment->next && !moment->is_next_gone &&
		(json_object_set_new(json, "next", json_integer((json_int_t)moment->next)) |
			json_object_set_new(json, "next_time", lg_show_time_json(moment->next_time_us)))) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static int count_key(void *arg, const struct lg_entry *entry)
{
	void **args = arg;
	const struct lg_scope *scope = args[0];
	*(size_t *)args[1] += lg_scope_covers(scope, entry->key, entry->key_len);
	return 0;
}

static size_t count_keys(const struct lg_tree *tree, const struct lg_scope *scope)
{
	size_t count = 0;
	void *args[] = { (void *)(uintptr_t)scope, &count };
	if (lg_scope_is_all(scope))
		return lg_tree_count(tree);
	lg_tree_walk(tree, "", 0, count_key, args);
	return count;
}

static int tell(
	struct lg_cli *cli, const struct moment *moment, const struct lg_scope *scope, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf command = LG_BUF_INIT;
	struct difference difference = { 0 };
	size_t keys = count_keys(moment->tree, scope);
	int rc = command_for(
		cli, "rollback config --to", moment->revision, " --reason 'CODE: TEXT'", &command, err);
	if (rc == 0)
		rc = compare(cli, moment, scope, &difference, err);
	if (rc == 0) {
		tell_record(&cli->output, moment);
		lg_output_line(&cli->output, LG_STYLE_PLAIN, "keys   %zu", keys);
		rc = tell_difference(cli, moment, &difference, command.data, err);
	}
	if (rc == 0 && !lg_output_is_table(&cli->output)) {
		json_t *json = moment_json(moment, keys);
		json_object_set_new(json, "differs",
			json_pack("{s:I, s:I, s:I}", "added", (json_int_t)difference.added, "removed",
				(json_int_t)difference.removed, "changed", (json_int_t)difference.changed));
		json_object_set_new(json, "first_changes", lg_show_diff_json(&difference.first));
		if (json_object_set_new(json, "rollback", lg_show_text_json(command.data)) != 0) {
			json_decref(json);
			json = NULL;
		}
		rc = lg_output_document(&cli->output, json, err);
	}
	lg_show_diff_clear(&difference.first);
	return rc;
}

/* --- as a backup file ----------------------------------------------------------------------------------------------------------------- */

static int write_file(struct lg_cli *cli, const struct moment *moment, const struct lg_scope *scope,
	const char *path, struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	bool to_stdout = strcmp(path, "-") == 0;
	size_t count = 0;
	int rc = lg_cli_export_text(
		cli, to_stdout ? NULL : path, moment->tree, scope, moment->revision, &text, &count, err);
	if (rc < 0)
		return rc;
	if (to_stdout) {
		lg_output_raw(&cli->output, text.data, text.len);
		cli->output.emitted = true;
		return 0;
	}
	rc = lg_cli_export_file(path, &text, err);
	if (rc < 0)
		return rc;
	tell_record(&cli->output, moment);
	lg_output_line(&cli->output, LG_STYLE_PLAIN, "keys   %zu, written to '%s'", count, path);
	json_t *json = moment_json(moment, count);
	if (json && json_object_set_new(json, "file", lg_show_text_json(path)) != 0) {
		json_decref(json);
		json = NULL;
	}
	return lg_output_document(&cli->output, json, err);
}

static int run_at(struct lg_cli *cli, struct lg_error *err)
{
	lg_cleanup(lg_scope_clear) struct lg_scope scope = LG_SCOPE_ALL;
	lg_cleanup(moment_clear) struct moment moment = { .why = LG_BUF_INIT };
	const char *path = lg_args_value(&cli->args, "to");
	int rc = lg_cli_scope(cli, &scope, err);
	if (rc == 0 && !path && lg_args_has(&cli->args, "format"))
		rc = lg_fail(
			err, LG_EUSAGE, 0, "option '--format' wants --to FILE, or --to - for standard output");
	if (rc == 0)
		rc = lg_session_open(cli, LG_SESSION_READ, err);
	if (rc == 0)
		rc = find_moment(cli, cli->args.words[0], &scope, &moment, err);
	if (rc == 0)
		rc = prove(&moment, err);
	if (rc < 0)
		return rc;
	return path ? write_file(cli, &moment, &scope, path, err) : tell(cli, &moment, &scope, err);
}

/* --- the table ------------------------------------------------------------------------------------------------------------------------- */

static const struct lg_option at_options[] = {
	{ "prefix", "PREFIX/", "only these keys and their declarations", 0, true },
	{ "key", "KEY", "only this key and its declaration", 0, true },
	{ "except", "KEY|PREFIX/", "but not these", 0, true },
	{ "to", "FILE|-", "write the state there, as export does, for import or as the target of a rollback", 0,
		false },
	{ "format", "NAME", "json, yaml, env or properties; default by the file's ending, else json", 0,
		false },
	{ 0 },
};
static const struct lg_example at_examples[] = {
	{ "recover at 2026-11-22T14:03:00Z", "what was in force then, and how to go back to it" },
	{ "recover at '2026-11-22 14:03' --prefix web/ --to web-then.json",
		"one prefix of it, as a backup file" },
	{ 0 },
};
static const struct lg_example key_examples[] = {
	{ "recover key web/port", "every value that it ever had" },
	{ "recover key web/port --from r12 --reason 'deleted by mistake'", "the one it had at r12, again" },
	{ 0 },
};
static const struct lg_example salvage_examples[] = {
	{ "recover salvage --dry-run", "what could be recovered?" },
	{ "recover salvage --to /var/lib/lastgood.new", "a new store beside the damaged one" },
	{ 0 },
};

static const struct lg_example verify_examples[] = {
	{ "recover verify", "everything, from the first record to the last" },
	{ "recover verify --sample 5000 -o json", "a bounded look, for a timer" },
	{ 0 },
};

const struct lg_command lg_commands_recover[] = {
	{ .name = "recover at",
		.usage =
			"TIME|REV [--prefix PREFIX/]… [--key KEY]… [--except SELECTOR]… [--to FILE|-] [--format "
			"NAME]",
		.summary = "Shows the state at a moment, or writes it out",
		.description =
			"Finds the revision that was in force at a time, builds its whole state, hashes "
			"every key again and compares "
			"that with the root in the log. Tells who made it, when and why, what going back "
			"to it would change, and the commands "
			"for that.\n\nWith --to the state is written as a backup file, which 'lastgood "
			"import' and 'lastgood rollback config --to' "
			"take; secrets stay sealed.\n\nA time is 2026-11-22T14:03:00Z (or with an "
			"offset), '2026-11-22 14:03' or 2026-11-22 (UTC), or "
			"@UNIXSECONDS. Records are ordered by number; where the clock was set back, the "
			"newest record that is not later counts.",
		.options = at_options,
		.examples = at_examples,
		.words_min = 1,
		.words_max = 1,
		.statuses = LG_STATUS_STORE | LG_STATUS(LG_EINVALID) | LG_STATUS(LG_ENOSPC) |
			LG_STATUS(LG_EREADONLY),
		.run = run_at },
	{ .name = "recover key",
		.usage = "KEY [--limit N] [--reveal] | KEY --from rN --reason TEXT [--dry-run] [--yes]",
		.summary = "Lists every value that a key had, or restores one",
		.description =
			"Lists every value that a key ever had, newest first, also of a key that is "
			"not there any more: who gave it, "
			"when and why; restores that covered the key are among them, and what left the "
			"value as it was is marked.\n\nWith "
			"--from the value that it had at that revision is set again: one ordinary change "
			"of one key, checked against the "
			"declaration of today, refused by a hold like any other, delivered to the "
			"services. It shows old and new and asks "
			"first; a secret is restored without being shown. A declaration is recovered "
			"by its own key: @schema/KEY.",
		.options = lg_recover_key_options,
		.examples = key_examples,
		.words_min = 1,
		.words_max = 1,
		.statuses = LG_STATUS_CHANGE,
		.run = lg_recover_key_run },
	{ .name = "recover verify",
		.usage = "[--sample N]",
		.summary = "Proves that nothing in the log was altered or damaged",
		.description =
			"Examines the database below, recomputes the chain of hashes from the first record to "
			"the last, replays every change and compares each state with the root that its record "
			"has, hashes every checkpoint anew and compares it with that state, and compares the "
			"index of keys with the records. It only reads, and others may go on writing.\n\nWith "
			"--sample it takes the newest records and stretches drawn at random, about N in all, so "
			"that it can run from a timer on a store of any size.\n\nNothing found: exit status 0. "
			"Anything found: each finding is listed, and the exit status is that of damage. States "
			"that cannot be judged because a declared gap lies before them are counted, and are no finding.",
		.options = lg_recover_verify_options,
		.examples = verify_examples,
		.statuses = LG_STATUS_STORE,
		.run = lg_recover_verify_run },
	{ .name = "recover salvage",
		.usage = "[--from DIR] --to DIR | [--from DIR] --dry-run",
		.summary = "Makes a new store of what a damaged one still holds",
		.description =
			"For a store that commands refuse as damaged. Reads it page by page, without the help of "
			"SQLite, and only reads: not a byte "
			"of it changes. A record is taken over when the hash chain proves it; each of the others is "
			"listed, with what can still be "
			"read of it, so that it can be done again by hand. Records keep their numbers and hashes, and "
			"what is lost becomes a declared gap "
			"over which the chain goes on.\n\nA state can be read again in the new store when its root "
			"hash proves it. When that of the newest "
			"revision cannot be proven, the new store goes back to the newest one that can, sets what "
			"later changes set, and says so. The secret key, the "
			"journals of rollbacks and the rest of the state directory are copied. The newest record and "
			"salvage.txt (salvage.json) in the new directory "
			"say what was lost.\n\nThe new store is complete or absent: it is made beside its place and "
			"verified before it gets its name.\n\n"
			"Exit status 0: everything was recovered. 7 with a report: the new store is made, and "
			"something was lost.",
		.options = lg_recover_salvage_options,
		.examples = salvage_examples,
		.statuses = LG_STATUS(LG_ENOTFOUND) | LG_STATUS(LG_EINVALID) | LG_STATUS(LG_ECONFLICT) |
			LG_STATUS(LG_ECORRUPT) | LG_STATUS(LG_EBUSY) | LG_STATUS(LG_EIO) |
			LG_STATUS(LG_ENOSPC) | LG_STATUS(LG_EPERM) | LG_STATUS(LG_EREADONLY) |
			LG_STATUS(LG_EUNSUPPORTED),
		.run = lg_recover_salvage_run },
	{ 0 },
};
