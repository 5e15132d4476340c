#include "host/adapter/delivered.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "io/file.h"
#include "model/value.h"

#include <limits.h>
#include <string.h>

#define STATE_MAX ((size_t)64 * 1024)

/* A damaged file is as good as none: the next delivery writes it anew, and a way back must not wait for a person to
 * mend a note.  What is lost is only the memory of a newer delivery. */
int lg_delivered_read(
	const char *path, const char *file, struct lg_delivered_state *ret_state, struct lg_error *err)
{
	struct lg_delivered_state state = { 0 };
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_cleanup(lg_json_freep) json_t *json = NULL;
	int rc = lg_file_read(path, STATE_MAX, &text, err);
	if (rc < 0 && rc != LG_ENOTFOUND)
		return rc;
	if (rc == 0 && lg_json_parse(lg_buf_str(&text), text.len, STATE_MAX, &json, NULL) == 0) {
		json_int_t revision = json_integer_value(json_object_get(json, "revision"));
		json_int_t sequence = json_integer_value(json_object_get(json, "sequence"));
		const char *hash = json_string_value(json_object_get(json, "hash"));
		const char *of = json_string_value(json_object_get(json, "path"));
		state.known = revision >= 0 && sequence > 0 && hash && of &&
			lg_hex_decode(hash, state.hash, sizeof state.hash, NULL) == 0;
		state.revision = (uint64_t)revision;
		state.sequence = (uint64_t)sequence;
		state.notified = of && strcmp(of, file) == 0 && json_is_true(json_object_get(json, "notified"));
	}
	*ret_state = state.known ? state : (struct lg_delivered_state){ 0 };
	return 0;
}

int lg_delivered_write(const char *path, const char *file, int64_t realtime_us,
	const struct lg_delivered_state *state, struct lg_error *err)
{
	char hash[2 * LG_HASH_SIZE + 1], time[LG_TIME_SIZE];
	lg_hex_encode(state->hash, sizeof state->hash, hash);
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	lg_buf_addf(&text, "{\"revision\":%llu,\"sequence\":%llu,\"hash\":\"%s\",\"path\":",
		(unsigned long long)state->revision, (unsigned long long)state->sequence, hash);
	lg_text_add_json_string(&text, file, strlen(file));
	lg_buf_addf(&text, ",\"time\":\"%s\",\"notified\":%s}\n", lg_time_format(realtime_us, time),
		state->notified ? "true" : "false");
	int rc = lg_buf_check(&text, err);
	if (rc < 0)
		return rc;
	const struct lg_replace_options options = { .mode = 0600 };
	return lg_file_replace(path, text.data, text.len, &options, err);
}
