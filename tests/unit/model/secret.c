#include "model/secret.h"

#include "base/cleanup.h"
#include "model/value.h"
#include "random.h"
#include "support/support.h"

#include <string.h>

static const uint8_t store_key[LG_SECRET_KEY_SIZE] = { 1, 2, 3, 4, 5, 6, 7, 8 };
static const uint8_t other_key[LG_SECRET_KEY_SIZE] = { 1, 2, 3, 4, 5, 6, 7, 9 };

static void seal(const char *setting, const char *plaintext, size_t len, struct lg_buf *sealed)
{
	struct lg_error err = LG_ERROR_INIT;
	lg_buf_reset(sealed);
	lg_assert_ok(lg_secret_seal(store_key, setting, plaintext, len, sealed, &err), &err);
	assert_true(lg_secret_is_sealed(sealed->data, sealed->len));
}

static int open_sealed(const uint8_t *key, const char *setting, const struct lg_buf *sealed)
{
	lg_cleanup(lg_buf_clear) struct lg_buf plain = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	int rc = lg_secret_open(key, setting, sealed->data, sealed->len, &plain, &err);
	assert_true(rc == 0 || (plain.len == 0 && err.message[0]));
	return rc;
}

static void test_round_trip(void **state)
{
	struct rng rng = { 77 };
	lg_cleanup(lg_buf_clear) struct lg_buf sealed = LG_BUF_INIT, plain = LG_BUF_INIT;
	static char text[70000];
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)rng_next(&rng);
	static const size_t lengths[] = { 0, 1, 2, 3, 15, 16, 17, 63, 64, 65, 1000, sizeof text };
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		struct lg_error err = LG_ERROR_INIT;
		seal("db/password", text, lengths[i], &sealed);
		lg_buf_reset(&plain);
		lg_assert_ok(
			lg_secret_open(store_key, "db/password", sealed.data, sealed.len, &plain, &err), &err);
		assert_int_equal(plain.len, lengths[i]);
		assert_int_equal(memcmp(lg_buf_str(&plain), text, lengths[i]), 0);
	}
}

/* Sealed values enter records and the tree: they must be canonical JSON, equal for equal content, and tell nothing. */
static void test_form(void **state)
{
	static const char secret[] = "\"correct horse battery staple\"";
	lg_cleanup(lg_buf_clear) struct lg_buf once = LG_BUF_INIT, twice = LG_BUF_INIT, canonical = LG_BUF_INIT;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	struct lg_error err = LG_ERROR_INIT;
	seal("a", secret, strlen(secret), &once);
	seal("a", secret, strlen(secret), &twice);
	assert_string_equal(once.data, twice.data);
	assert_null(strstr(once.data, "horse"));
	lg_assert_ok(lg_json_parse(once.data, once.len, LG_VALUE_MAX, &json, &err), &err);
	lg_assert_ok(lg_json_canonical(json, &canonical, &err), &err);
	assert_string_equal(canonical.data, once.data);
	seal("b", secret, strlen(secret), &twice);
	assert_string_not_equal(once.data, twice.data);
	lg_buf_reset(&twice);
	lg_assert_ok(lg_secret_seal(other_key, "a", secret, strlen(secret), &twice, &err), &err);
	assert_string_not_equal(once.data, twice.data);
	seal("a", "\"correct horse battery stapld\"", strlen(secret), &twice);
	assert_string_not_equal(once.data, twice.data);
}

/* This very form stands in stores: a change of it makes them unreadable.  Made from the words of secret.h with another
 * BLAKE2b (Python's). */
static void test_known_answer(void **state)
{
	lg_cleanup(lg_buf_clear) struct lg_buf sealed = LG_BUF_INIT;
	seal("db/password", "\"hunter2\"", 9, &sealed);
	assert_string_equal(sealed.data,
		"{\"@secret\":\"Nk1oAB0k4XUFGKTZsifoC65bXHQceUETF55mlVlRzV6WtnwR0Y0lEyxCrzjZRMaJwg==\"}");
}

/* Where key ends and text begins counts. */
static void test_boundary(void **state)
{
	lg_cleanup(lg_buf_clear) struct lg_buf a = LG_BUF_INIT, b = LG_BUF_INIT;
	seal("ab", "c", 1, &a);
	seal("a", "bc", 2, &b);
	assert_int_not_equal(memcmp(a.data + 12, b.data + 12, 32), 0); /* the nonces */
}

static void test_other(void **state)
{
	lg_cleanup(lg_buf_clear) struct lg_buf sealed = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	seal("db/password", "\"hunter2\"", 9, &sealed);
	assert_int_equal(open_sealed(store_key, "db/password", &sealed), 0);
	assert_int_equal(open_sealed(other_key, "db/password", &sealed), LG_EPERM);
	assert_int_equal(open_sealed(store_key, "db/passwore", &sealed), LG_EPERM);
	assert_int_equal(open_sealed(store_key, "db/passwor", &sealed), LG_EPERM);
	assert_int_equal(open_sealed(store_key, "", &sealed), LG_EPERM);
	lg_secret_open(other_key, "db/password", sealed.data, sealed.len, &(struct lg_buf)LG_BUF_INIT, &err);
	assert_non_null(strstr(err.message, "'db/password'"));
	assert_null(strstr(err.message, "hunter2"));
}

/* No byte of a sealed value can be changed, to any other, in any place. */
static void test_flip(void **state)
{
	lg_cleanup(lg_buf_clear) struct lg_buf sealed = LG_BUF_INIT;
	seal("db/password", "\"hunter2\"", 9, &sealed);
	for (size_t i = 0; i < sealed.len; i++) {
		char former = sealed.data[i];
		for (int byte = 0; byte < 256; byte++) {
			if ((char)byte == former)
				continue;
			sealed.data[i] = (char)byte;
			int rc = open_sealed(store_key, "db/password", &sealed);
			if (rc != LG_EPERM && rc != LG_EINVALID)
				fail_msg("byte %zu as 0x%02x: %s", i, byte, lg_code_name(rc));
		}
		sealed.data[i] = former;
	}
	assert_int_equal(open_sealed(store_key, "db/password", &sealed), 0);
}

static void test_cut(void **state)
{
	lg_cleanup(lg_buf_clear) struct lg_buf sealed = LG_BUF_INIT;
	seal("db/password", "\"hunter2\"", 9, &sealed);
	size_t text_len = sealed.len - 14; /* {"@secret":" is 12, "} is 2 */
	for (size_t keep = 0; keep < text_len; keep++) {
		lg_cleanup(lg_buf_clear) struct lg_buf cut = LG_BUF_INIT;
		lg_buf_add(&cut, sealed.data, 12 + keep);
		lg_buf_adds(&cut, "\"}");
		int rc = open_sealed(store_key, "db/password", &cut);
		assert_true(rc == LG_EPERM || rc == LG_EINVALID);
	}
}

struct row {
	const char *name;
	const char *value;
	bool sealed;
};

static const struct row forms[] = {
	{ "shortest", "{\"@secret\":\"\"}", true },
	{ "base64", "{\"@secret\":\"AAAA+/9=\"}", true },
	{ "not canonical", "{ \"@secret\":\"AAAA\"}", false },
	{ "other member", "{\"@secrets\":\"AAAA\"}", false },
	{ "second member", "{\"@secret\":\"AAAA\",\"a\":\"\"}", false },
	{ "number", "{\"@secret\":1}", false },
	{ "not base64", "{\"@secret\":\"AA-A\"}", false },
	{ "list", "[{\"@secret\":\"AAAA\"}]", false },
	{ "string", "\"x\"", false },
	{ "empty", "", false },
	{ "only head", "{\"@secret\":\"", false },
	{ "head and tail share the quote", "{\"@secret\":\"}", false },
};

static void test_is_sealed(void **state)
{
	const struct row *row = *state;
	assert_int_equal(lg_secret_is_sealed(row->value, strlen(row->value)), row->sealed);
	struct lg_error err = LG_ERROR_INIT;
	lg_cleanup(lg_buf_clear) struct lg_buf plain = LG_BUF_INIT;
	assert_int_equal(
		lg_secret_open(store_key, "a", row->value, strlen(row->value), &plain, &err), LG_EINVALID);
	assert_non_null(strstr(err.message, "malformed"));
}

int main(void)
{
	lg_test_add("round trip", test_round_trip, NULL);
	lg_test_add("form", test_form, NULL);
	lg_test_add("known answer", test_known_answer, NULL);
	lg_test_add("boundary of key and text", test_boundary, NULL);
	lg_test_add("other key, other setting", test_other, NULL);
	lg_test_add("every byte flipped", test_flip, NULL);
	lg_test_add("cut short", test_cut, NULL);
	lg_test_rows("is sealed", test_is_sealed, forms, sizeof forms / sizeof *forms, sizeof *forms,
		offsetof(struct row, name));
	return lg_test_run("model_secret");
}
