/* store.h - stores, changes and restores for the tests of src/config. */
#ifndef LG_TESTS_CONFIG_STORE_H
#define LG_TESTS_CONFIG_STORE_H

#include "config/config.h"
#include "support/support.h"

#include "base/cleanup.h"

extern struct lg_clock_sim store_clock;
extern const struct lg_author store_author;

void store_init(void);       /* first of all */
void store_use_memory(void); /* logs in memory from now on: where what a disk does is not the question */
const char *store_new(void); /* the name of a new, empty store: a directory, or a log in memory */
struct lg_config *store_open(const char *dir);
int store_try_open(const char *dir, struct lg_config **ret_config, struct lg_error *err);
const char *store_state_dir(const char *name);
/* Opens the store's log itself. */
struct lg_log *store_open_log(const char *dir);

/* "" unsets; a commit with these pairs of key and value. */
int store_put(struct lg_config *config, const char *const *pairs, struct lg_committed *ret_committed,
	struct lg_problems *problems, struct lg_error *err);
/* The same, must succeed; the revision. */
#define store_set(config, ...) store_set_pairs(config, (const char *const[]){ __VA_ARGS__, NULL })
uint64_t store_set_pairs(struct lg_config *config, const char *const *pairs);
/* include, exclude: a selector or NULL */
int store_restore(struct lg_config *config, uint64_t to, const char *include, const char *exclude,
	uint64_t *ret_revision, struct lg_error *err);
uint64_t store_go_back(struct lg_config *config, uint64_t to, const char *include, const char *exclude);
int store_hold(struct lg_config *config, const char *selector, uint64_t *ret_seq, struct lg_error *err);
int store_mark(struct lg_config *config, const char *mark, uint64_t revision, const char *selector,
	struct lg_error *err);

/* Everything that a config answers with, as text: head, revision, keys with values and change numbers, holds, marks. */
void store_describe(struct lg_config *config, struct lg_buf *buf);
/* What `config` believes is what somebody else who opens the store finds. */
void store_assert_as_reopened(struct lg_config *config, const char *dir);

#endif
