/* http.c and prober.c against a server that misbehaves (http_server.py, whose path comes from meson). */
#include "health/health.h"
#include "support/support.h"

#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

/* Long enough that only a stalled probe reaches it: the test would then run into its own timeout. */
#define PATIENT_MS 120000
#define BRIEF_MS   300

static int port;
static int server_stdin = -1;
static pid_t server;

static void start_server(void)
{
	const char *script = getenv("LG_HTTP_SERVER");
	int in[2], out[2];
	if (!script) {
		fprintf(stderr, "LG_HTTP_SERVER is not set: run this through meson test\n");
		exit(1);
	}
	if (pipe(in) < 0 || pipe(out) < 0)
		abort();
	server = fork();
	if (server < 0)
		abort();
	if (server == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[0]);
		close(in[1]);
		close(out[0]);
		close(out[1]);
		execlp("python3", "python3", script, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	server_stdin = in[1];
	FILE *from = fdopen(out[0], "r");
	if (!from || fscanf(from, "%d", &port) != 1) {
		fprintf(stderr, "cannot start '%s'\n", script);
		exit(1);
	}
	fclose(from);
}

static void stop_server(void)
{
	close(server_stdin);
	waitpid(server, NULL, 0);
}

static const char *url(const char *name)
{
	static char text[8][128];
	static size_t next;
	char *slot = text[next++ % 8];
	snprintf(slot, sizeof text[0], "http://127.0.0.1:%d/%s", port, name);
	return slot;
}

static struct lg_http_answer get(const char *address, int64_t timeout_ms)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_http_answer answer = { .status = -7 };
	lg_assert_ok(lg_http_get(address, timeout_ms, &answer, &err), &err);
	return answer;
}

struct row {
	const char *name; /* and path */
	int status;
	int64_t timeout_ms;
};

static const struct row rows[] = {
	{ "200", 200, PATIENT_MS },
	{ "204", 204, PATIENT_MS },
	{ "500", 500, PATIENT_MS },
	{ "503", 503, PATIENT_MS },
	{ "redirect", 302, PATIENT_MS },
	{ "big", 200, PATIENT_MS },
	{ "hang", 0, BRIEF_MS },
	{ "slow", 0, BRIEF_MS },
	{ "slow-head", 0, BRIEF_MS },
	{ "endless-head", 0, PATIENT_MS },
	{ "close", 0, PATIENT_MS },
	{ "partial", 0, PATIENT_MS },
	{ "garbage", 0, PATIENT_MS },
};

static void test_row(void **state)
{
	const struct row *row = *state;
	struct lg_http_answer answer = get(url(row->name), row->timeout_ms);
	if (answer.status != row->status)
		fail_msg("status %d (%s)", answer.status, answer.error);
	assert_true((answer.error[0] == '\0') == (row->status != 0));
	assert_true(answer.latency_s >= 0);
	for (const char *c = answer.error; *c; c++)
		assert_in_range(*c, 0x20, 0x7e);
}

static void test_nobody_listens(void **state)
{
	(void)state;
	/* port 1 of the loopback is nobody's */
	struct lg_http_answer answer = get("http://127.0.0.1:1/", PATIENT_MS);
	assert_int_equal(answer.status, 0);
	assert_true(answer.error[0] != '\0');
}

static void test_only_http(void **state)
{
	(void)state;
	static const char *const refused[] = { "file:///etc/hostname", "ftp://127.0.0.1/",
		"gopher://127.0.0.1/", "dict://127.0.0.1/", "", "http://", "::::" };
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct lg_http_answer answer = get(refused[i], PATIENT_MS);
		assert_int_equal(answer.status, 0);
		assert_true(answer.error[0] != '\0');
	}
}

static void test_no_proxy(void **state)
{
	(void)state;
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	assert_int_equal(get(url("200"), PATIENT_MS).status, 200);
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
}

static void test_many_at_once(void **state)
{
	(void)state;
	const char *urls[] = { url("hang"), url("200"), url("slow"), url("500"), url("big"), url("close") };
	const int64_t timeouts[] = { BRIEF_MS, PATIENT_MS, BRIEF_MS, PATIENT_MS, PATIENT_MS, PATIENT_MS };
	const int expected[] = { 0, 200, 0, 500, 200, 0 };
	struct lg_http_answer answers[6] = { 0 };
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_http_get_many(urls, timeouts, 6, answers, &err), &err);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(answers[i].status, expected[i]);
	lg_assert_ok(lg_http_get_many(NULL, NULL, 0, NULL, &err), &err);
}

static void test_prober_does_not_wait_for_who_hangs(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_prober *prober = NULL;
	lg_assert_ok(lg_prober_open(&prober, &err), &err);
	lg_assert_ok(lg_prober_start(prober, 7, url("hang"), PATIENT_MS, &err), &err);
	for (size_t round = 0; round < 3; round++) {
		lg_assert_ok(lg_prober_start(prober, 1, url("200"), PATIENT_MS, &err), &err);
		lg_assert_ok(lg_prober_start(prober, 2, url("500"), PATIENT_MS, &err), &err);
		bool seen[3] = { false };
		while (!seen[1] || !seen[2]) {
			struct lg_probe_answer answers[4];
			size_t count = lg_prober_collect(prober, 20, answers, 4);
			for (size_t i = 0; i < count; i++) {
				assert_in_range(answers[i].tag, 1, 2);
				assert_false(seen[answers[i].tag]);
				seen[answers[i].tag] = true;
				assert_int_equal(answers[i].answer.status, answers[i].tag == 1 ? 200 : 500);
			}
		}
	}
	lg_prober_close(prober); /* the hanging one is still under way */
	lg_prober_close(NULL);
}

static void test_prober_reports_the_deadline(void **state)
{
	(void)state;
	struct lg_error err = LG_ERROR_INIT;
	struct lg_prober *prober = NULL;
	lg_assert_ok(lg_prober_open(&prober, &err), &err);
	lg_assert_ok(lg_prober_start(prober, 3, url("hang"), BRIEF_MS, &err), &err);
	struct lg_probe_answer answer = { 0 };
	assert_int_equal(lg_prober_collect(prober, PATIENT_MS, &answer, 1), 1);
	assert_int_equal(answer.tag, 3);
	assert_int_equal(answer.answer.status, 0);
	assert_int_equal(lg_prober_collect(prober, 0, &answer, 1), 0);
	assert_int_equal(
		lg_prober_collect(prober, PATIENT_MS, &answer, 1), 0); /* nothing started: no waiting */
	lg_prober_close(prober);
}

int main(void)
{
	start_server();
	lg_test_rows(
		"http", test_row, rows, sizeof rows / sizeof *rows, sizeof *rows, offsetof(struct row, name));
	lg_test_add("nobody listens", test_nobody_listens, NULL);
	lg_test_add("only http and https", test_only_http, NULL);
	lg_test_add("no proxy from the environment", test_no_proxy, NULL);
	lg_test_add("many at once", test_many_at_once, NULL);
	lg_test_add("prober does not wait for who hangs", test_prober_does_not_wait_for_who_hangs, NULL);
	lg_test_add("prober reports the deadline", test_prober_reports_the_deadline, NULL);
	int rc = lg_test_run("http");
	stop_server();
	return rc;
}
