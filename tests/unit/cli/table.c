#include "support/support.h"

#include "cli/output.h"

static const char *print(struct lg_table *table, bool terminal, bool color)
{
	static char text[8192];
	struct lg_error err = LG_ERROR_INIT;
	struct lg_output output;
	FILE *file = tmpfile();
	assert_non_null(file);
	lg_output_init(&output, file, file, true);
	output.terminal = terminal;
	output.color = color;
	lg_assert_ok(lg_table_print(table, &output, &err), &err);
	rewind(file);
	text[fread(text, 1, sizeof text - 1, file)] = '\0';
	fclose(file);
	return text;
}

static void test_aligned(void **state)
{
	(void)state;
	static const char *const headings[] = { "KEY", "VALUE" };
	struct lg_table table;
	lg_table_init(&table, 2, headings);
	lg_table_add(&table, LG_STYLE_NAME, "a");
	lg_table_add(&table, LG_STYLE_PLAIN, "1");
	lg_table_add(&table, LG_STYLE_NAME, "größe");
	lg_table_addf(&table, LG_STYLE_PLAIN, "%d", 22);
	assert_string_equal(print(&table, false, false), "KEY    VALUE\na      1\ngröße  22\n");
	assert_int_equal(table.count, 0);
}

static void test_printable(void **state)
{
	(void)state;
	struct lg_table table;
	lg_table_init(&table, 1, NULL);
	lg_table_add(&table, LG_STYLE_PLAIN, "a\nb\033[0m");
	assert_string_equal(print(&table, false, false), "a\\x0ab\\x1b[0m\n");
}

static void test_colored(void **state)
{
	(void)state;
	struct lg_table table;
	lg_table_init(&table, 2, NULL);
	lg_table_add(&table, LG_STYLE_GOOD, "x");
	lg_table_add(&table, LG_STYLE_PLAIN, "y");
	assert_string_equal(print(&table, false, true), "\033[32mx\033[0m  y\n");
}

static void fill(char *text, size_t count, char c)
{
	memset(text, c, count);
	text[count] = '\0';
}

/* On a terminal (80 columns when it does not say) a long cell is cut, a short one beside it is not. */
static void test_cut(void **state)
{
	(void)state;
	char wide[301];
	struct lg_table table;
	fill(wide, 300, 'w');
	lg_table_init(&table, 2, NULL);
	lg_table_add(&table, LG_STYLE_PLAIN, "short");
	lg_table_add(&table, LG_STYLE_PLAIN, wide);
	const char *text = print(&table, true, false);
	assert_non_null(strstr(text, "short  www"));
	assert_non_null(strstr(text, "w…\n"));
	assert_int_equal(strlen(text), 80 + strlen("…") - 1 + 1);
}

/* Elsewhere nothing is cut, and one long cell does not push the others out of sight. */
static void test_not_cut(void **state)
{
	(void)state;
	char wide[301];
	struct lg_table table;
	fill(wide, 300, 'w');
	lg_table_init(&table, 2, NULL);
	lg_table_add(&table, LG_STYLE_PLAIN, wide);
	lg_table_add(&table, LG_STYLE_PLAIN, "1");
	lg_table_add(&table, LG_STYLE_PLAIN, "a");
	lg_table_add(&table, LG_STYLE_PLAIN, "2");
	const char *text = print(&table, false, false);
	assert_non_null(strstr(text, wide));
	assert_true(strlen(strchr(text, '\n')) < 80);
}

static void test_cut_between_characters(void **state)
{
	(void)state;
	char wide[601];
	struct lg_table table;
	for (size_t i = 0; i < 300; i++)
		memcpy(wide + 2 * i, "é", 2);
	wide[600] = '\0';
	lg_table_init(&table, 1, NULL);
	lg_table_add(&table, LG_STYLE_PLAIN, wide);
	const char *text = print(&table, true, false);
	assert_int_equal(strlen(text), 79 * 2 + strlen("…") + 1);
}

/* What half of is of no use stays whole; the others give way below their usual least. */
static void test_whole(void **state)
{
	(void)state;
	char wide[301];
	struct lg_table table;
	fill(wide, 300, 'w');
	lg_table_init(&table, 3, NULL);
	lg_table_add(&table, LG_STYLE_PLAIN, "a-name-that-is-copied-into-the-next-command-it-goes-on");
	lg_table_add(&table, LG_STYLE_PLAIN, wide);
	lg_table_add(&table, LG_STYLE_PLAIN, wide);
	lg_table_keep_whole(&table, 0);
	const char *text = print(&table, true, false);
	assert_non_null(strstr(text, "-it-goes-on  w"));
	assert_int_equal(strlen(text), 80 + 2 * (strlen("…") - 1) + 1);
}

static void test_wrapped(void **state)
{
	(void)state;
	static const char *const finding = "one two three four five six seven eight nine ten eleven twelve "
					   "thirteen fourteen fifteen sixteen";
	struct lg_table table;
	lg_table_init(&table, 2, NULL);
	lg_table_add(&table, LG_STYLE_PLAIN, "disk");
	lg_table_add(&table, LG_STYLE_PLAIN, finding);
	lg_table_wrap(&table);
	assert_string_equal(print(&table, true, false),
		"disk  one two three four five six seven eight nine ten eleven twelve thirteen\n"
		"      fourteen fifteen sixteen\n");
}

/* A word longer than any line is broken, and with no room beside the others the text goes below them. */
static void test_wrapped_without_room(void **state)
{
	(void)state;
	char wide[101], name[71];
	struct lg_table table;
	fill(wide, 100, 'w');
	fill(name, 70, 'n');
	lg_table_init(&table, 2, NULL);
	lg_table_add(&table, LG_STYLE_PLAIN, name);
	lg_table_add(&table, LG_STYLE_PLAIN, wide);
	lg_table_wrap(&table);
	lg_table_keep_whole(&table, 0);
	const char *text = print(&table, true, false);
	const char *second = strchr(text, '\n') + 1;
	assert_memory_equal(second, "    wwww", 8);
	assert_int_equal(strchr(second, '\n') - second, 80);
	assert_int_equal(strlen(strchr(second, '\n') + 1), 4 + 24 + 1);
}

LG_TEST_MAIN(cmocka_unit_test(test_aligned), cmocka_unit_test(test_printable), cmocka_unit_test(test_colored),
	cmocka_unit_test(test_cut), cmocka_unit_test(test_not_cut),
	cmocka_unit_test(test_cut_between_characters), cmocka_unit_test(test_whole),
	cmocka_unit_test(test_wrapped), cmocka_unit_test(test_wrapped_without_room))
