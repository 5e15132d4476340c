#include "base/logline.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic int lowest_level = LG_LOG_INFO;

static const char *const level_names[] = {
	[LG_LOG_DEBUG] = "debug",
	[LG_LOG_INFO] = "info",
	[LG_LOG_WARN] = "warn",
	[LG_LOG_ERROR] = "error",
};

void lg_logline_set_level(enum lg_log_level lowest)
{
	atomic_store(&lowest_level, (int)lowest);
}

/* A value that could be taken for something else stands in quotes. */
static void add_value(struct lg_buf *line, const char *value)
{
	size_t len = strlen(value);
	if (len > 0 && !strpbrk(value, " \"=")) {
		lg_text_add_printable(line, value, len);
		return;
	}
	lg_buf_addc(line, '"');
	for (const char *quote; (quote = strchr(value, '"')); value = quote + 1) {
		lg_text_add_printable(line, value, (size_t)(quote - value));
		lg_buf_adds(line, "\\\"");
	}
	lg_text_add_printable(line, value, strlen(value));
	lg_buf_addc(line, '"');
}

void lg_logline(enum lg_log_level level, const char *message, ...)
{
	if ((int)level < atomic_load(&lowest_level))
		return;
	struct timespec now;
	char at[LG_TIME_SIZE];
	clock_gettime(CLOCK_REALTIME, &now);
	lg_time_format((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, at);
	struct lg_buf line = LG_BUF_INIT;
	lg_buf_addf(&line, "%s %-5s ", at, level_names[level]);
	lg_text_add_printable(&line, message, strlen(message));
	va_list pairs;
	va_start(pairs, message);
	for (const char *name; (name = va_arg(pairs, const char *));) {
		const char *value = va_arg(pairs, const char *);
		lg_buf_addc(&line, ' ');
		lg_text_add_printable(&line, name, strlen(name));
		lg_buf_addc(&line, '=');
		add_value(&line, value ? value : "");
	}
	va_end(pairs);
	lg_buf_addc(&line, '\n');
	/* one write, so that lines of several threads do not mix; a log that cannot be written is nobody's error */
	if (line.len > 0 && write(STDERR_FILENO, line.data, line.len) < 0)
		(void)0;
	lg_buf_clear(&line);
}
