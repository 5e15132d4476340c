#include "support/support.h"

#include "cli/command.h"
#include "cli/options.h"

static const struct lg_option global[] = {
	{ "output", "FORM", "", 'o', false },
	{ "verbose", NULL, "", 'v', false },
	{ 0 },
};
static const struct lg_option own[] = {
	{ "reason", "TEXT", "", 0, false },
	{ "prefix", "PREFIX", "", 'p', true },
	{ "dry-run", NULL, "", 0, false },
	{ 0 },
};

struct row {
	const char *name;
	const char *argv[8]; /* behind the program's name */
	int code;
	const char *words;  /* joined by a blank */
	const char *values; /* option=value joined by a blank */
};
static const struct row rows[] = {
	{ "words alone", { "a", "b" }, 0, "a b", "" },
	{ "options anywhere", { "a", "--reason", "x", "b", "-o", "json" }, 0, "a b", "reason=x output=json" },
	{ "values attached", { "--reason=x", "-ojson", "-pq/" }, 0, "", "reason=x output=json prefix=q/" },
	{ "an empty value", { "--reason=" }, 0, "", "reason=" },
	{ "a value that looks like an option", { "--reason", "--dry-run" }, 0, "", "reason=--dry-run" },
	{ "repeated", { "-p", "a/", "--prefix=b/" }, 0, "", "prefix=a/ prefix=b/" },
	{ "letters together", { "-vp", "a/" }, 0, "", "verbose= prefix=a/" },
	{ "the end of options", { "--", "--dry-run", "-o" }, 0, "--dry-run -o", "" },
	{ "words around the end", { "a", "--", "b" }, 0, "a b", "" },
	{ "a lone dash is a word", { "-" }, 0, "-", "" },
	{ "a target", { "@-1" }, 0, "@-1", "" },
	{ "abbreviated", { "--dry" }, 0, "", "dry-run=" },
	{ "unknown", { "--nonsense" }, LG_EUSAGE, "", "" },
	{ "unknown letter", { "-x" }, LG_EUSAGE, "", "" },
	{ "no argument", { "--reason" }, LG_EUSAGE, "", "" },
	{ "no argument of a letter", { "a", "-o" }, LG_EUSAGE, "", "" },
	{ "an argument too many", { "--dry-run=yes" }, LG_EUSAGE, "", "" },
	{ "twice", { "--reason", "a", "--reason", "b" }, LG_EUSAGE, "", "" },
};

static void join(char *text, size_t size, const char *name, const char *value)
{
	size_t len = strlen(text);
	snprintf(
		text + len, size - len, "%s%s%s%s", len ? " " : "", name, value ? "=" : "", value ? value : "");
}

static void test_row(void **state)
{
	const struct row *row = *state;
	char *argv[10] = { (char *)"lastgood" };
	int argc = 1;
	while (row->argv[argc - 1]) {
		argv[argc] = (char *)row->argv[argc - 1];
		argc++;
	}
	struct lg_args args = LG_ARGS_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(lg_args_parse(&args, argc, argv, own, global, LG_ARGS_ALL, NULL, &err), row->code, &err);
	char words[256] = "", values[256] = "";
	for (size_t i = 0; i < args.word_count; i++)
		join(words, sizeof words, args.words[i], NULL);
	for (size_t i = 0; i < args.given_count; i++)
		join(values, sizeof values, args.given[i].option->name,
			args.given[i].value ? args.given[i].value : "");
	if (row->code == 0) {
		assert_string_equal(words, row->words);
		assert_string_equal(values, row->values);
	} else {
		assert_true(strlen(err.message) > 0);
	}
	lg_args_clear(&args);
}

/* POSIXLY_CORRECT must not change what a command line means. */
static void test_posixly_correct(void **state)
{
	(void)state;
	char *argv[] = { (char *)"lastgood", (char *)"a", (char *)"--dry-run", NULL };
	struct lg_args args = LG_ARGS_INIT;
	struct lg_error err = LG_ERROR_INIT;
	setenv("POSIXLY_CORRECT", "1", 1);
	lg_assert_ok(lg_args_parse(&args, 3, argv, own, global, LG_ARGS_ALL, NULL, &err), &err);
	unsetenv("POSIXLY_CORRECT");
	assert_true(lg_args_has(&args, "dry-run"));
	assert_int_equal(args.word_count, 1);
	lg_args_clear(&args);
}

static void test_first_word(void **state)
{
	(void)state;
	char *argv[] = { (char *)"lastgood", (char *)"-o", (char *)"json", (char *)"set", (char *)"--reason",
		NULL };
	struct lg_args args = LG_ARGS_INIT;
	struct lg_error err = LG_ERROR_INIT;
	int next = 0;
	lg_assert_ok(lg_args_parse(&args, 5, argv, NULL, global, LG_ARGS_TO_FIRST_WORD, &next, &err), &err);
	assert_int_equal(next, 3);
	assert_string_equal(lg_args_value(&args, "output"), "json");
	assert_int_equal(args.word_count, 0);
	lg_args_clear(&args);
}

static void test_number(void **state)
{
	(void)state;
	char *argv[] = { (char *)"lastgood", (char *)"--reason", (char *)"12", NULL };
	struct lg_args args = LG_ARGS_INIT;
	struct lg_error err = LG_ERROR_INIT;
	int64_t value = 0;
	lg_assert_ok(lg_args_parse(&args, 3, argv, own, global, LG_ARGS_ALL, NULL, &err), &err);
	lg_assert_ok(lg_args_number(&args, "reason", 0, 12, 5, &value, &err), &err);
	assert_int_equal(value, 12);
	lg_assert_ok(lg_args_number(&args, "prefix", 0, 12, 5, &value, &err), &err);
	assert_int_equal(value, 5);
	lg_assert_code(lg_args_number(&args, "reason", 0, 11, 5, &value, &err), LG_EUSAGE, &err);
	assert_int_equal(value, 5);
	lg_args_clear(&args);
}

static size_t option_count(const struct lg_option *options)
{
	size_t count = 0;
	while (options && options[count].name)
		count++;
	return count;
}

/* The parser's limit, and that no command hides a global option or says nothing about one of its own. */
static void test_tables(void **state)
{
	(void)state;
	size_t globals = option_count(lg_global_options);
	for (size_t t = 0; t < lg_command_table_count; t++) {
		for (const struct lg_command *c = lg_command_tables[t]; c->name; c++) {
			size_t count = option_count(c->options);
			assert_true(count <= LG_OPTIONS_MAX && globals <= LG_OPTIONS_MAX);
			assert_true(c->words_min <= c->words_max && c->run && c->examples[0].command);
			assert_ptr_equal(lg_command_find(c->name), c);
			for (size_t i = 0; i < count; i++) {
				assert_true(strlen(c->options[i].help) > 0);
				for (size_t g = 0; g < globals; g++)
					assert_string_not_equal(c->options[i].name, lg_global_options[g].name);
			}
		}
	}
}

int main(void)
{
	lg_test_rows(
		"parse", test_row, rows, sizeof rows / sizeof *rows, sizeof *rows, offsetof(struct row, name));
	lg_test_add("POSIXLY_CORRECT changes nothing", test_posixly_correct, NULL);
	lg_test_add("up to the first word", test_first_word, NULL);
	lg_test_add("numbers", test_number, NULL);
	lg_test_add("every command's table", test_tables, NULL);
	return lg_test_run("cli options");
}
