/* secret.h - sealing of secret values, before they enter a record.
 *
 * sealed = {"@secret":"base64(nonce || XChaCha20-Poly1305-IETF(plaintext, ad = setting key))"}, where the nonce is the
 * first 24 bytes of BLAKE2b-256, keyed with a subkey, over (len(key) as 8 bytes little endian || key || plaintext): a
 * synthetic nonce, so equal plaintexts of one setting under one store key seal to equal bytes.  So the tree's leaf hash of
 * a secret is a function of a key that only this store has, equal content has an equal hash, and a sealed value cannot be
 * moved to another setting.  What shows is the secret's length, and whether two values of one setting are equal.
 * Construction: Rogaway & Shrimpton's SIV idea over libsodium's AEAD; subkeys by crypto_kdf (context "lgsecret"; 1: nonce,
 * 2: sealing).
 */
#ifndef LG_MODEL_SECRET_H
#define LG_MODEL_SECRET_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define LG_SECRET_KEY_SIZE 32
#define LG_SECRET_MEMBER   "@secret"
#define LG_SECRET_REDACTED "<secret>" /* what every output shows */

bool lg_secret_is_sealed(const char *canonical, size_t len);
/* plaintext: canonical JSON of the value. */
int lg_secret_seal(const uint8_t store_key[LG_SECRET_KEY_SIZE], const char *setting, const char *plaintext,
	size_t len, struct lg_buf *ret_sealed, struct lg_error *err);
/* LG_EPERM when it was sealed with another key or for another setting; LG_EINVALID when malformed. */
int lg_secret_open(const uint8_t store_key[LG_SECRET_KEY_SIZE], const char *setting, const char *sealed,
	size_t len, struct lg_buf *ret_plaintext, struct lg_error *err);

#endif
