#include "host/adapter/check.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "host/topology_read.h"
#include "io/file.h"
#include "io/process.h"

#include <stdlib.h>
#include <string.h>

#define OUTPUT_MAX ((size_t)1 << 20) /* read of what it prints; the rest is dropped */
#define SAID_MAX   ((size_t)600)     /* of the check's words, in a message of LG_ERROR_MESSAGE_SIZE */

/* malloc'd text with each `from` replaced by `to`; NULL when memory is gone */
static char *replace_all(const char *text, const char *from, const char *to)
{
	struct lg_buf buf = LG_BUF_INIT;
	const char *found;
	while ((found = strstr(text, from))) {
		lg_buf_add(&buf, text, (size_t)(found - text));
		lg_buf_adds(&buf, to);
		text = found + strlen(from);
	}
	lg_buf_adds(&buf, text);
	char *result = lg_buf_steal(&buf);
	lg_buf_clear(&buf);
	return result;
}

static char **check_argv(char *const *check, const char *stage_path)
{
	size_t count = 0;
	while (check[count])
		count++;
	char **argv = calloc(count + 1, sizeof *argv);
	for (size_t i = 0; argv && i < count; i++) {
		argv[i] = replace_all(check[i], "{}", stage_path);
		if (!argv[i]) {
			lg_strv_free(argv);
			return NULL;
		}
	}
	return argv;
}

/* The end of what it said, on one line, about the file that the reader knows rather than the staged one. */
static char *what_it_said(const struct lg_run_result *result, const char *stage_path, const char *path)
{
	const struct lg_buf *said = result->err.len ? &result->err : &result->out;
	lg_autofree char *plain = replace_all(lg_buf_str(said), stage_path, path);
	if (!plain)
		return NULL;
	size_t len = strlen(plain);
	while (len > 0 && (plain[len - 1] == '\n' || plain[len - 1] == ' '))
		plain[--len] = '\0';
	const char *from = plain;
	if (len > SAID_MAX) {
		from = plain + len - SAID_MAX;
		while ((*from & 0xc0) == 0x80) /* not in the middle of a character */
			from++;
	}
	struct lg_buf line = LG_BUF_INIT;
	for (const char *c = from; *c;) {
		size_t run = strcspn(c, "\n");
		lg_text_add_printable(&line, c, run);
		c += run;
		if (*c) {
			lg_buf_adds(&line, "; ");
			c++;
		}
	}
	char *text = lg_buf_steal(&line);
	lg_buf_clear(&line);
	return text;
}

static int judge(const struct lg_service_spec *service, const char *stage_path,
	const struct lg_run_result *result, struct lg_error *err)
{
	const char *path = service->adapter.path;
	if (result->exit_status == 0)
		return 0;
	lg_autofree char *said = what_it_said(result, stage_path, path);
	const char *words = !said ? "out of memory" : *said ? said : "it said nothing";
	if (result->signal)
		return lg_fail(err, LG_EREFUSED, 0,
			"'%s' is refused by the check of service '%s' (killed by signal %d): %s", path,
			service->name, result->signal, words);
	return lg_fail(err, LG_EREFUSED, 0, "'%s' is refused by the check of service '%s' (status %d): %s",
		path, service->name, result->exit_status, words);
}

static int run(const struct lg_service_spec *service, const char *stage_path, struct lg_error *err)
{
	const struct lg_adapter_spec *adapter = &service->adapter;
	char **argv = check_argv(adapter->check, stage_path);
	if (!argv)
		return lg_fail_nomem(err);
	struct lg_run_options options = {
		.argv = (const char *const *)argv,
		.env = (const char *const *)service->env,
		.dir = service->dir,
		.output_max = OUTPUT_MAX,
		.timeout_ms = adapter->check_timeout_ns / 1000000 + (adapter->check_timeout_ns % 1000000 > 0),
	};
	lg_cleanup(lg_run_result_clear) struct lg_run_result result = { 0 };
	int rc = lg_run(&options, &result, err);
	lg_strv_free(argv);
	if (rc == LG_ENOTFOUND)
		rc = LG_EFAILED; /* a check that is not there is no missing key or revision */
	if (rc < 0)
		return lg_context(err, rc, "cannot check '%s' for service '%s'", adapter->path, service->name);
	return judge(service, stage_path, &result, err);
}

int lg_check_run(const struct lg_service_spec *service, const char *stage_path, const void *data, size_t len,
	struct lg_error *err)
{
	const struct lg_replace_options options = { .mode = 0600 };
	int rc = lg_file_sweep(stage_path, err);
	if (rc == 0)
		rc = lg_file_replace(stage_path, data, len, &options, err);
	if (rc < 0)
		return lg_context(err, rc, "cannot stage '%s'", service->adapter.path);
	rc = run(service, stage_path, err);
	int removed = lg_file_remove(stage_path, rc < 0 ? NULL : err);
	return rc < 0 ? rc : removed;
}
