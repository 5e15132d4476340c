/* A writer is killed (SIGKILL) at random points: what it was told is durable is there, nothing is there by half. */
#include "unit/log/records.h"

#include "base/cleanup.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define CYCLES 30

/* What the child tells of an append: before it begins, and once it was acknowledged. */
struct word {
	uint8_t id[LG_ID_SIZE];
	uint64_t seq;
	bool acknowledged;
};

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

/* In the child: appends until it is killed.  Batches and bodies of all sizes, and checkpoints between them. */
static int write_forever(const char *path, int out, uint64_t random)
{
	static char body[300001];
	struct lg_log *log = lg_test_open(path, false);
	memset(body, 'b', sizeof body - 1);
	for (;;) {
		struct lg_log_head head;
		if (lg_log_head(log, &head, NULL) < 0)
			return 1;
		struct lg_record records[3];
		size_t count = 1 + next_random(&random) % 3;
		struct lg_log_head at = head;
		for (size_t i = 0; i < count; i++) {
			records[i] = lg_test_record(&at, LG_KIND_CHANGE, "");
			records[i].body = body;
			records[i].body_len = next_random(&random) % 20 ? next_random(&random) % 3000 : 300000;
			lg_test_seal(&records[i], &at);
			at = lg_test_head_after(&records[i]);
		}
		struct word word = { .seq = at.seq };
		memcpy(word.id, records[count - 1].id, LG_ID_SIZE);
		if (write(out, &word, sizeof word) != sizeof word ||
			lg_log_append(log, records, count, &head, NULL) < 0)
			return 1;
		word.acknowledged = true;
		if (write(out, &word, sizeof word) != sizeof word)
			return 1;
		struct lg_log_checkpoint checkpoint = { .seq = at.seq, .data = body, .len = 50000 };
		memcpy(checkpoint.hash, at.hash, LG_HASH_SIZE);
		if (next_random(&random) % 8 == 0 && lg_log_checkpoint_write(log, &checkpoint, NULL) < 0)
			return 1;
	}
}

/* Listens until enough was said, waits a moment (busily: microseconds, to hit any instruction), kills, hears the rest out. */
static void kill_at_random(
	pid_t pid, int in, uint64_t *random, struct word *ret_last, struct word *ret_acknowledged)
{
	struct word word;
	unsigned words = 1 + next_random(random) % 60;
	volatile uint32_t spin = next_random(random) % 400000;
	ssize_t n;
	while ((n = read(in, &word, sizeof word)) == sizeof word) {
		*ret_last = word;
		if (word.acknowledged)
			*ret_acknowledged = word;
		if (words > 0 && --words == 0) {
			while (spin > 0)
				spin--;
			kill(pid, SIGKILL);
		}
	}
	assert_int_equal(n, 0);
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static int check_id(void *arg, const struct lg_record *record, struct lg_error *err)
{
	(void)err;
	assert_memory_equal(record->id, arg, LG_ID_SIZE);
	return 0;
}

static void assert_whole(struct lg_log *log, struct word *last, struct word *acknowledged)
{
	struct lg_error err = LG_ERROR_INIT;
	uint64_t head = lg_test_head_seq(log), seq = 0;
	assert_true(head >= acknowledged->seq);
	if (acknowledged->seq)
		lg_assert_ok(lg_log_get(log, acknowledged->seq, check_id, acknowledged->id, &err), &err);
	/* the last batch, whether acknowledged or not: all of it or nothing */
	int found = lg_log_find_id(log, 0, last->id, &seq, &err);
	assert_true(found >= 0);
	assert_int_equal(head, found ? last->seq : acknowledged->seq);
	lg_assert_ok(lg_log_verify_chain(log, 0, 0, &err), &err);
	lg_assert_ok(lg_log_check(log, true, &err), &err);
}

static void test_killed_while_appending(void **state)
{
	const char *path = lg_test_path("log.db");
	uint64_t random = 20261122;
	struct word acknowledged = { .seq = 0 };
	(void)state;

	lg_log_close(lg_test_open(path, true));
	for (int cycle = 0; cycle < CYCLES; cycle++) {
		int fds[2];
		struct word last = acknowledged;
		assert_int_equal(pipe(fds), 0);
		pid_t pid = fork();
		if (pid == 0) {
			close(fds[0]);
			_exit(write_forever(path, fds[1], random));
		}
		close(fds[1]);
		kill_at_random(pid, fds[0], &random, &last, &acknowledged);
		close(fds[0]);
		struct lg_log *log = lg_test_open(path, false);
		assert_whole(log, &last, &acknowledged);
		acknowledged.seq = lg_test_head_seq(log);
		if (acknowledged.seq == last.seq)
			acknowledged = last;
		lg_log_close(log);
	}
	assert_true(acknowledged.seq > CYCLES);
}

/* The other handle lives on: no lock, no half transaction stays behind. */
static void test_survivor_goes_on(void **state)
{
	const char *path = lg_test_path("shared.db");
	uint64_t random = 7;
	(void)state;

	lg_log_close(lg_test_open(path, true));
	for (int cycle = 0; cycle < 5; cycle++) {
		struct word last = { .seq = 0 }, acknowledged = { .seq = 0 };
		int fds[2];
		assert_int_equal(pipe(fds), 0);
		pid_t pid = fork();
		if (pid == 0) {
			close(fds[0]);
			_exit(write_forever(path, fds[1], random));
		}
		close(fds[1]);
		struct lg_log *log = lg_test_open(path, false);
		kill_at_random(pid, fds[0], &random, &last, &acknowledged);
		close(fds[0]);
		assert_whole(log, &last, &acknowledged);
		lg_test_fill(log, 2);
		lg_log_close(log);
	}
}

int main(void)
{
	lg_test_add("killed 30 times while appending", test_killed_while_appending, NULL);
	lg_test_add("others go on after one was killed", test_survivor_goes_on, NULL);
	return lg_test_run("crash_log_kill");
}
