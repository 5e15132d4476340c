#include "model/secret.h"

#include "base/cleanup.h"

#include <sodium.h>
#include <string.h>

#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE   crypto_aead_xchacha20poly1305_ietf_ABYTES
#define SEAL_SIZE  crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define HEAD       "{\"" LG_SECRET_MEMBER "\":\""
#define TAIL       "\"}"
#define HEAD_LEN   (sizeof HEAD - 1)
#define TAIL_LEN   (sizeof TAIL - 1)

/* Changing any of these makes every sealed value unreadable. */
#define KDF_CONTEXT "lgsecret"
enum { SUBKEY_NONCE = 1, SUBKEY_SEAL = 2 };

_Static_assert(LG_SECRET_KEY_SIZE == crypto_kdf_KEYBYTES, "the store key is a key of crypto_kdf");

static int start(struct lg_error *err)
{
	return sodium_init() < 0 ? lg_fail(err, LG_EINTERNAL, 0, "cannot initialise libsodium") : 0;
}

/* The key's length in front keeps ("ab", "c") and ("a", "bc") apart. */
static void make_nonce(const uint8_t *store_key, const char *setting, const void *plaintext, size_t len,
	uint8_t ret_nonce[NONCE_SIZE])
{
	uint8_t subkey[crypto_generichash_KEYBYTES], hash[crypto_generichash_BYTES], length[8];
	size_t setting_len = strlen(setting);
	for (size_t i = 0; i < sizeof length; i++)
		length[i] = (uint8_t)((uint64_t)setting_len >> (8 * i));
	crypto_generichash_state state;
	crypto_kdf_derive_from_key(subkey, sizeof subkey, SUBKEY_NONCE, KDF_CONTEXT, store_key);
	crypto_generichash_init(&state, subkey, sizeof subkey, sizeof hash);
	crypto_generichash_update(&state, length, sizeof length);
	crypto_generichash_update(&state, (const unsigned char *)setting, setting_len);
	crypto_generichash_update(&state, plaintext, len);
	crypto_generichash_final(&state, hash, sizeof hash);
	memcpy(ret_nonce, hash, NONCE_SIZE);
	sodium_memzero(&state, sizeof state);
	sodium_memzero(subkey, sizeof subkey);
}

static void make_seal_key(const uint8_t *store_key, uint8_t ret_key[SEAL_SIZE])
{
	crypto_kdf_derive_from_key(ret_key, SEAL_SIZE, SUBKEY_SEAL, KDF_CONTEXT, store_key);
}

static bool is_base64(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
		c == '/' || c == '=';
}

bool lg_secret_is_sealed(const char *canonical, size_t len)
{
	if (len < HEAD_LEN + TAIL_LEN || memcmp(canonical, HEAD, HEAD_LEN) != 0 ||
		memcmp(canonical + len - TAIL_LEN, TAIL, TAIL_LEN) != 0)
		return false;
	for (size_t i = HEAD_LEN; i < len - TAIL_LEN; i++)
		if (!is_base64(canonical[i]))
			return false;
	return true;
}

int lg_secret_seal(const uint8_t store_key[LG_SECRET_KEY_SIZE], const char *setting, const char *plaintext,
	size_t len, struct lg_buf *ret_sealed, struct lg_error *err)
{
	int rc = start(err);
	if (rc < 0)
		return rc;
	if (len > SIZE_MAX / 4)
		return lg_fail(err, LG_EINVALID, 0, "the secret '%s' is too large to seal", setting);
	size_t raw_len = NONCE_SIZE + len + TAG_SIZE;
	size_t text_size = sodium_base64_ENCODED_LEN(raw_len, sodium_base64_VARIANT_ORIGINAL);
	lg_autofree uint8_t *raw = malloc(raw_len);
	lg_autofree char *text = malloc(text_size);
	if (!raw || !text || lg_buf_reserve(ret_sealed, HEAD_LEN + text_size + TAIL_LEN) < 0)
		return lg_fail_nomem(err);
	uint8_t key[SEAL_SIZE];
	make_nonce(store_key, setting, plaintext, len, raw);
	make_seal_key(store_key, key);
	crypto_aead_xchacha20poly1305_ietf_encrypt(raw + NONCE_SIZE, NULL, (const unsigned char *)plaintext,
		len, (const unsigned char *)setting, strlen(setting), NULL, raw, key);
	sodium_memzero(key, sizeof key);
	sodium_bin2base64(text, text_size, raw, raw_len, sodium_base64_VARIANT_ORIGINAL);
	lg_buf_adds(ret_sealed, HEAD);
	lg_buf_adds(ret_sealed, text);
	lg_buf_adds(ret_sealed, TAIL);
	return lg_buf_check(ret_sealed, err);
}

/* The bytes inside; raw has room for as many as the text has. */
static bool decode(const char *sealed, size_t len, uint8_t *raw, size_t *ret_raw_len)
{
	const char *end;
	if (!lg_secret_is_sealed(sealed, len))
		return false;
	const char *text = sealed + HEAD_LEN;
	size_t text_len = len - HEAD_LEN - TAIL_LEN;
	if (sodium_base642bin(raw, text_len, text, text_len, NULL, ret_raw_len, &end,
		    sodium_base64_VARIANT_ORIGINAL) != 0)
		return false;
	return end == text + text_len && *ret_raw_len >= NONCE_SIZE + TAG_SIZE;
}

static bool decrypt(const uint8_t *store_key, const char *setting, const uint8_t *raw, size_t raw_len,
	uint8_t *ret_plain, size_t plain_len)
{
	uint8_t key[SEAL_SIZE], nonce[NONCE_SIZE];
	make_seal_key(store_key, key);
	int rc = crypto_aead_xchacha20poly1305_ietf_decrypt(ret_plain, NULL, NULL, raw + NONCE_SIZE,
		raw_len - NONCE_SIZE, (const unsigned char *)setting, strlen(setting), raw, key);
	sodium_memzero(key, sizeof key);
	if (rc != 0)
		return false;
	/* the nonce must be the plaintext's own: one plaintext has one sealed form, as the tree's hashes rely on */
	make_nonce(store_key, setting, ret_plain, plain_len, nonce);
	return sodium_memcmp(nonce, raw, NONCE_SIZE) == 0;
}

int lg_secret_open(const uint8_t store_key[LG_SECRET_KEY_SIZE], const char *setting, const char *sealed,
	size_t len, struct lg_buf *ret_plaintext, struct lg_error *err)
{
	int rc = start(err);
	if (rc < 0)
		return rc;
	lg_autofree uint8_t *raw = malloc(len + 1);
	if (!raw)
		return lg_fail_nomem(err);
	size_t raw_len;
	if (!decode(sealed, len, raw, &raw_len))
		return lg_fail(err, LG_EINVALID, 0, "the sealed value of '%s' is malformed", setting);
	size_t plain_len = raw_len - NONCE_SIZE - TAG_SIZE;
	lg_autofree uint8_t *plain = malloc(plain_len + 1);
	if (!plain)
		return lg_fail_nomem(err);
	if (!decrypt(store_key, setting, raw, raw_len, plain, plain_len))
		rc = lg_fail(err, LG_EPERM, 0,
			"cannot open the secret '%s': it was sealed with another store key or for another "
			"setting",
			setting);
	else if (lg_buf_add(ret_plaintext, plain, plain_len) < 0)
		rc = lg_fail_nomem(err);
	sodium_memzero(plain, plain_len);
	return rc;
}
