/* Every rule as a script: one character per second of samples, and beside it the state after each.
 *
 * samples  G 20 requests, none failed     B 20, all failed        h 20, 10 failed (exactly half)   H 20, 11 failed
 *          f 19 requests, all failed      . no requests           _ a second in which nothing was fed at all
 *          For http: G a good answer, B a bad one, . no verdict.
 * states   c clear   p pending   F fires with this sample   x fired before   _ nothing fed
 */
#include "health/health.h"
#include "support/support.h"

#define S INT64_C(1000000000)

struct row {
	const char *name;
	struct lg_trigger_spec spec;
	const char *samples;
	const char *states;
};

#define RATE(window_s, for_s, clear_s, cooldown_s)                                                             \
	{                                                                                                      \
		.signal = LG_SIGNAL_ERROR_RATE, .threshold = 0.5, .min_samples = 20,                           \
		.window_ns = (window_s)*S, .for_ns = (for_s)*S, .clear_ns = (clear_s)*S,                       \
		.cooldown_ns = (cooldown_s)*S                                                                  \
	}
#define HTTP(consecutive_, for_s, clear_s, cooldown_s)                                                         \
	{                                                                                                      \
		.signal = LG_SIGNAL_HTTP, .consecutive = (consecutive_), .window_ns = 3 * S,                   \
		.for_ns = (for_s)*S, .clear_ns = (clear_s)*S, .cooldown_ns = (cooldown_s)*S                    \
	}

static const struct row rows[] = {
	/* error rate */
	{ "rate fires when it lasted exactly as long as asked", RATE(1, 5, 3, 60), "GGBBBBBBBB", "ccpppppFxx" },
	{ "rate fires at once when nothing must last", RATE(1, 0, 3, 60), "GGB", "ccF" },
	{ "rate at the threshold is good", RATE(1, 2, 3, 60), "hhhhhh", "cccccc" },
	{ "rate just above the threshold is bad", RATE(1, 2, 3, 60), "HHHH", "ppFx" },
	{ "rate of too few requests says nothing", RATE(1, 2, 3, 60), "ffffff", "cccccc" },
	{ "rate of few requests a sample but enough in the window", RATE(2, 2, 3, 60), "ffff", "cppF" },
	{ "rate is taken over the window", RATE(4, 2, 3, 60), "GGGGBBBBBB", "ccccccppFx" },
	{ "rate: a sample leaves when it is a window old", RATE(2, 1, 3, 60), "GBBB", "ccpF" },
	{ "rate: one good sample begins anew", RATE(1, 3, 3, 60), "BBBGBBBB", "pppcpppF" },
	{ "rate flapping never fires", RATE(1, 2, 3, 60), "BBGBBGBBGBBG", "ppcppcppcppc" },
	{ "rate: silence beyond the window ends the run", RATE(1, 3, 3, 60), "BBB..BBBB",
		"pppp"
		"cpppF" },
	{ "rate: no feeding beyond the window ends the run", RATE(1, 3, 3, 60), "BBB_BBBB", "ppp_pppF" },
	{ "rate: no feeding up to the window counts", RATE(2, 4, 3, 60), "BB_BB", "pp_pF" },
	{ "rate clears after enough good", RATE(1, 1, 3, 60), "BBBGGGGG", "pFxxxxcc" },
	{ "rate: a bad sample puts off clearing", RATE(1, 1, 3, 60), "BBGGGBGGGG", "pFxxxxxxxc" },
	{ "rate: no data does not clear", RATE(1, 1, 2, 60), "BBGG......GGG", "pFxxxxxxxxxxc" },
	{ "rate stays quiet in the cooldown and fires at its end", RATE(1, 1, 1, 8), "BBGGBBBBBBB",
		"pFxcpppppFx" },
	{ "rate fired and still bad does not fire twice", RATE(1, 1, 1, 2), "BBBBBBBB", "pFxxxxxx" },
	/* http, in a row */
	{ "http fires at the n-th failure", HTTP(5, 0, 3, 60), "GGBBBBBB", "ccppppFx" },
	{ "http fires at the first when one is enough", HTTP(1, 0, 3, 60), "GBB", "cFx" },
	{ "http: a good answer begins anew", HTTP(3, 0, 3, 60), "BBGBBGBBB", "ppcppcppF" },
	{ "http: no verdict neither adds nor ends", HTTP(3, 0, 3, 60), "B.B.B", "ppppF" },
	{ "http: in a row knows no gap", HTTP(3, 0, 3, 60), "B________B_____B", "p________p_____F" },
	{ "http clears after enough good", HTTP(2, 0, 2, 60), "BBGGGG", "pFxxcc" },
	{ "http clears at once when nothing must last", HTTP(2, 0, 0, 60), "BBGG", "pFcc" },
	{ "http stays quiet in the cooldown and fires at its end", HTTP(2, 0, 0, 6), "BBGBBBBBB", "pFcppppFx" },
	/* http, for a time */
	{ "http fires when bad exactly as long as asked", HTTP(0, 3, 1, 60), "GBBBBB", "cpppFx" },
	{ "http: one good answer ends the time", HTTP(0, 3, 1, 60), "BBBGBBBB", "pppcpppF" },
	{ "http: gap up to the longer of window and for counts", HTTP(0, 4, 1, 60), "B___B", "p___F" },
	{ "http: a longer gap begins anew", HTTP(0, 3, 1, 60), "BB____BBBB", "pp____pppF" },
	{ "http: time without a verdict does not count", HTTP(0, 3, 1, 60), "BB.BBBB", "pppppFx" },
};

static void feed(struct lg_trigger *trigger, char letter, int64_t now, bool *ret_fired)
{
	struct lg_sample sample = { .boottime_ns = now, .verdict = LG_VERDICT_INCONCLUSIVE };
	switch (letter) {
	case 'G':
		sample.verdict = LG_VERDICT_GOOD;
		sample.requests = 20;
		break;
	case 'B':
		sample.verdict = LG_VERDICT_BAD;
		sample.requests = sample.errors = 20;
		break;
	case 'h':
		sample.requests = 20;
		sample.errors = 10;
		break;
	case 'H':
		sample.requests = 20;
		sample.errors = 11;
		break;
	case 'f':
		sample.requests = sample.errors = 19;
		break;
	case '.':
		break;
	default:
		fail_msg("no such sample '%c'", letter);
	}
	*ret_fired = lg_trigger_feed(trigger, &sample);
}

static char state_letter(const struct lg_trigger *trigger, bool fired)
{
	switch (lg_trigger_state(trigger)) {
	case LG_TRIGGER_CLEAR:
		return 'c';
	case LG_TRIGGER_PENDING:
		return 'p';
	case LG_TRIGGER_FIRED:
		break;
	}
	return fired ? 'F' : 'x';
}

static void run_script(struct lg_trigger *trigger, const char *samples, int64_t from_s, char *ret_states)
{
	for (size_t i = 0; samples[i]; i++) {
		if (samples[i] == '_') {
			ret_states[i] = '_';
			continue;
		}
		bool fired = false;
		feed(trigger, samples[i], (from_s + (int64_t)i) * S, &fired);
		ret_states[i] = state_letter(trigger, fired);
	}
	ret_states[strlen(samples)] = '\0';
}

static struct lg_trigger *new_trigger(const struct lg_trigger_spec *spec)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_trigger *trigger = lg_trigger_new(spec, &err);
	assert_non_null(trigger);
	return trigger;
}

static void test_row(void **state)
{
	const struct row *row = *state;
	struct lg_trigger *trigger = new_trigger(&row->spec);
	char states[64];
	run_script(trigger, row->samples, 1000, states);
	assert_string_equal(states, row->states);
	lg_trigger_free(trigger);
}

static void test_silence_within_the_window(void **state)
{
	(void)state;
	/* a window of 3 s: what it holds goes on being judged, then it is empty, and only a run older than 3 s ends */
	struct lg_trigger_spec spec = RATE(3, 100, 3, 60);
	struct lg_trigger *trigger = new_trigger(&spec);
	char states[64];
	run_script(trigger, "BB........B", 10, states);
	assert_string_equal(states,
		"ppppppp"
		"cccp");
	assert_true(lg_trigger_bad_since_ns(trigger) == 20 * S);
	lg_trigger_free(trigger);
}

static void test_symptoms_begin_before_the_window_turns(void **state)
{
	(void)state;
	struct lg_trigger_spec spec = RATE(4, 2, 3, 60);
	struct lg_trigger *trigger = new_trigger(&spec);
	char states[64];
	assert_true(lg_trigger_bad_since_ns(trigger) == -1);
	run_script(trigger, "GGGGBBBBB", 100, states);
	assert_string_equal(states, "ccccccppF");
	assert_true(lg_trigger_bad_since_ns(trigger) == 104 * S);
	assert_true(lg_trigger_requests(trigger) == 80);
	assert_true(lg_trigger_rate(trigger) == 1.0);
	run_script(trigger, "GGGGGGGGGG", 109, states);
	assert_true(lg_trigger_bad_since_ns(trigger) == -1);
	lg_trigger_free(trigger);
}

static void test_http_symptoms_begin_with_the_run(void **state)
{
	(void)state;
	struct lg_trigger_spec spec = HTTP(3, 0, 3, 60);
	struct lg_trigger *trigger = new_trigger(&spec);
	char states[64];
	run_script(trigger, "BGBBBB", 10, states);
	assert_string_equal(states, "pcppFx");
	assert_true(lg_trigger_bad_since_ns(trigger) == 12 * S);
	assert_true(lg_trigger_requests(trigger) == 4);
	lg_trigger_free(trigger);
}

static void test_reset(void **state)
{
	(void)state;
	struct lg_trigger_spec spec = RATE(1, 1, 1, 10);
	struct lg_trigger *trigger = new_trigger(&spec);
	char states[64];
	run_script(trigger, "BB", 0, states);
	assert_string_equal(states, "pF");
	lg_trigger_reset(trigger, true);
	assert_int_equal(lg_trigger_state(trigger), LG_TRIGGER_CLEAR);
	assert_int_equal(lg_trigger_verdict(trigger), LG_VERDICT_INCONCLUSIVE);
	assert_true(lg_trigger_requests(trigger) == 0);
	run_script(trigger, "BBBBBBBBBB", 2, states);
	assert_string_equal(states, "pppppppppF");
	lg_trigger_reset(trigger, false);
	run_script(trigger, "BB", 12, states);
	assert_string_equal(states, "pF");
	lg_trigger_free(trigger);
}

static void test_more_samples_than_slots(void **state)
{
	(void)state;
	/* a sample each millisecond in a window of ten seconds: slots are shared, the counts stay right to a hundredth */
	struct lg_trigger_spec spec = RATE(10, 3600, 1, 10);
	struct lg_trigger *trigger = new_trigger(&spec);
	for (int64_t ms = 0; ms < 30000; ms++) {
		struct lg_sample sample = { .boottime_ns = ms * S / 1000, .requests = 2, .errors = 1 };
		assert_false(lg_trigger_feed(trigger, &sample));
	}
	assert_in_range(lg_trigger_requests(trigger), 2 * 9900, 2 * 10000);
	assert_true(lg_trigger_rate(trigger) == 0.5);
	lg_trigger_free(trigger);
}

static void test_nonsense_counts(void **state)
{
	(void)state;
	struct lg_trigger_spec spec = RATE(10, 0, 1, 10);
	struct lg_trigger *trigger = new_trigger(&spec);
	for (int64_t s = 0; s < 100; s++) {
		struct lg_sample sample = { .boottime_ns = s * S, .requests = INT64_MAX, .errors = -5 };
		assert_false(lg_trigger_feed(trigger, &sample));
		assert_true(lg_trigger_requests(trigger) > 0);
	}
	struct lg_sample negative = { .boottime_ns = 1000 * S, .requests = -7, .errors = 100 };
	assert_false(lg_trigger_feed(trigger, &negative));
	assert_true(lg_trigger_requests(trigger) == 0);
	lg_trigger_free(trigger);
}

static void test_time_going_back_stands_still(void **state)
{
	(void)state;
	struct lg_trigger_spec spec = RATE(1, 1, 1, 10);
	struct lg_trigger *trigger = new_trigger(&spec);
	bool fired = false;
	feed(trigger, 'B', 10 * S, &fired);
	feed(trigger, 'B', 3 * S, &fired);
	assert_int_equal(lg_trigger_state(trigger), LG_TRIGGER_PENDING);
	assert_true(lg_trigger_bad_since_ns(trigger) == 10 * S);
	lg_trigger_free(trigger);
}

int main(void)
{
	lg_test_rows("trigger", test_row, rows, sizeof rows / sizeof *rows, sizeof *rows,
		offsetof(struct row, name));
	lg_test_add("silence within the window", test_silence_within_the_window, NULL);
	lg_test_add(
		"symptoms begin before the window turns", test_symptoms_begin_before_the_window_turns, NULL);
	lg_test_add("http symptoms begin with the run", test_http_symptoms_begin_with_the_run, NULL);
	lg_test_add("reset", test_reset, NULL);
	lg_test_add("more samples than slots", test_more_samples_than_slots, NULL);
	lg_test_add("nonsense counts", test_nonsense_counts, NULL);
	lg_test_add("time going back stands still", test_time_going_back_stands_still, NULL);
	return lg_test_run("trigger");
}
