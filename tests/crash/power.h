/* power.h - a campaign: work is recorded once, then the power fails at operations of it, and what is left is looked at.
 *
 * Programs take --rounds N (seeds for each cut), --cuts N (of all operations a spread sample; 0: every one), --seed N, and, to repeat
 * one failure, --only NAME --seed N --rounds 1 --at OPERATION (and --kill OPERATION). */
#ifndef LG_TESTS_POWER_H
#define LG_TESTS_POWER_H

#include "support/disk.h"

#define POWER_KILLED 137

typedef void power_work(void *arg);
/* at: how many operations had been made. */
typedef void power_look(void *arg, size_t at);

struct power_campaign {
	const char *name;
	const char *root;   /* what is recorded, and where each image is laid out */
	void *arg;          /* what `work` tells `look` lies in shared memory: power_share */
	power_work *before; /* makes the directory, not recorded; NULL: it is empty */
	power_work *work;
	power_work *after_kill; /* a second process, behind a work that was killed at random; or NULL */
	power_look *look;
	const char *const *ignored; /* as for disk_assert_complete */
	size_t thin;                /* looking is slow: one cut where others have so many; 0: as many */
	const char *lie;            /* as in struct disk_cut: then at least one image must fail */
};

struct power_options {
	size_t cuts, rounds, kill, at;
	uint64_t seed;
};

/* Of the command line; exits when it is wrong.  The defaults are those of `make test`. */
void power_options(int argc, char **argv, struct power_options *options);
/* One test a campaign. */
void power_add(const struct power_campaign *campaigns, size_t count, const struct power_options *options);

void *power_share(size_t size);
/* Runs work in a child: its exit status, -SIGNAL when it was ended by one, as a failed assertion ends it. */
int power_in_child(power_work *work, void *arg);
/* In work: the number of operations so far. */
size_t power_now(void);
/* In look: where the next cut within this image might be, for those who cut a recovery, too. */
uint64_t power_seed(void);

#endif
