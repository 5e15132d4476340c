#include "contract/contract.h"

#include "log/wrap/wrap.h"

static const struct backend backends[] = {
	{ "sqlite", "sqlite", false, true },
	{ "memory", "memory", false, false },
	{ "wrapped sqlite", "sqlite", true, true },
	{ "wrapped memory", "memory", true, false },
};

static const struct check *const groups[] = { append_checks, query_checks, keep_checks, follow_checks };

struct run {
	const struct backend *backend;
	const struct check *check;
};

int fixture_open(const struct fixture *f, const struct lg_log_open *options, struct lg_log **ret_log,
	struct lg_error *err)
{
	static const struct lg_log_hooks no_hooks = { 0 };
	struct lg_log *log = NULL;
	int rc = lg_log_open(f->url, options, &log, err);
	if (rc < 0)
		return rc;
	if (f->backend->wrapped)
		return lg_log_wrap(log, &no_hooks, NULL, ret_log, err);
	*ret_log = log;
	return 0;
}

struct lg_log *fixture_handle(const struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	struct lg_log *log = NULL;
	lg_assert_ok(fixture_open(f, &(struct lg_log_open){ 0 }, &log, &err), &err);
	return log;
}

static void run_check(void **state)
{
	static unsigned count;
	const struct run *run = *state;
	struct fixture f = { .backend = run->backend };
	struct lg_error err = LG_ERROR_INIT;
	char name[32];

	snprintf(name, sizeof name, "log%u.db", count++);
	if (run->backend->persistent)
		snprintf(f.url, sizeof f.url, "%s:%s", run->backend->scheme, lg_test_path(name));
	else
		snprintf(f.url, sizeof f.url, "%s:%s", run->backend->scheme, name);
	lg_assert_ok(
		fixture_open(&f, &(struct lg_log_open){ .create = true, .refuse_exist = true }, &f.log, &err),
		&err);
	run->check->run(&f);
	lg_log_close(f.log);
}

int main(void)
{
	for (size_t b = 0; b < sizeof backends / sizeof *backends; b++)
		for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
			for (const struct check *check = groups[g]; check->name; check++) {
				if (check->processes && !backends[b].persistent)
					continue;
				struct run *run = malloc(sizeof *run);
				char *name = NULL;
				if (!run || asprintf(&name, "%s: %s", backends[b].name, check->name) < 0)
					abort();
				*run = (struct run){ &backends[b], check };
				lg_test_add(name, run_check, run);
			}
	return lg_test_run("contract_log");
}
