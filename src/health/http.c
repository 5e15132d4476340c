/* http.c - one GET with a deadline, and several at once.
 *
 * A probe asks one question: does this URL answer with this status in time?  So it follows nothing (a redirect is its own
 * answer), is led by no environment (no proxy, no .netrc), opens a connection of its own each time (a kept one would hide
 * a server that accepts no new ones), and what the server sends is thrown away: beyond 64 KiB of body the transfer ends
 * there and the status stands.
 */
#include "health/transfer.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_LIMIT   ((size_t)64 * 1024)
#define HEADER_LIMIT ((size_t)64 * 1024)

static size_t on_body(const char *data, size_t size, size_t count, void *arg)
{
	struct lg_transfer *transfer = arg;
	(void)data;
	(void)size; /* libcurl documents it as 1 */
	transfer->body_len += count;
	return transfer->body_len > BODY_LIMIT ? 0 : count;
}

static size_t on_header(const char *data, size_t size, size_t count, void *arg)
{
	struct lg_transfer *transfer = arg;
	(void)data;
	(void)size;
	transfer->header_len += count;
	return transfer->header_len > HEADER_LIMIT ? 0 : count;
}

static CURLcode configure(struct lg_transfer *transfer, const char *url, int64_t timeout_ms)
{
	__typeof__(curl_easy_setopt) *set = transfer->api->easy_setopt;
	CURL *easy = transfer->easy;
	/* 0 means "no deadline" to libcurl */
	long deadline = timeout_ms < 1 ? 1L : timeout_ms > INT_MAX ? (long)INT_MAX : (long)timeout_ms;
	CURLcode rc = CURLE_OK;
#define SET(option, value)                                                                                     \
	do {                                                                                                   \
		if (rc == CURLE_OK)                                                                            \
			rc = set(easy, option, value);                                                         \
	} while (0)
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_URL, url);
	SET(CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_TIMEOUT_MS, deadline);
	SET(CURLOPT_CONNECTTIMEOUT_MS, deadline);
	/* a name server that hangs is left behind in its thread, not waited for */
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOPROXY, "*");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_FORBID_REUSE, 1L);
	SET(CURLOPT_USERAGENT, "lastgood/" LG_VERSION);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, (void *)transfer);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, (void *)transfer);
	SET(CURLOPT_ERRORBUFFER, transfer->message);
	SET(CURLOPT_PRIVATE, (void *)transfer);
#undef SET
	return rc;
}

int lg_transfer_begin(struct lg_transfer *transfer, const struct lg_curl_api *api, CURLM *multi,
	const char *url, int64_t timeout_ms, struct lg_error *err)
{
	*transfer = (struct lg_transfer){ .api = api, .multi = multi };
	transfer->easy = api->easy_init();
	if (!transfer->easy)
		return lg_fail_nomem(err);
	CURLcode rc = configure(transfer, url, timeout_ms);
	if (rc != CURLE_OK) {
		lg_fail(err, rc == CURLE_OUT_OF_MEMORY ? LG_ENOMEM : LG_EUNSUPPORTED, 0,
			"cannot prepare a probe of '%s': %s", url, api->easy_strerror(rc));
	} else {
		CURLMcode added = api->multi_add_handle(multi, transfer->easy);
		if (added == CURLM_OK)
			return 0;
		lg_fail(err, added == CURLM_OUT_OF_MEMORY ? LG_ENOMEM : LG_EINTERNAL, 0,
			"cannot start a probe of '%s': %s", url, api->multi_strerror(added));
	}
	api->easy_cleanup(transfer->easy);
	transfer->easy = NULL;
	return err ? err->code : LG_EUNSUPPORTED;
}

void lg_transfer_end(struct lg_transfer *transfer)
{
	if (!transfer || !transfer->easy)
		return;
	transfer->api->multi_remove_handle(transfer->multi, transfer->easy);
	transfer->api->easy_cleanup(transfer->easy);
	transfer->easy = NULL;
}

/* The message may carry what the server sent. */
static void set_error(struct lg_http_answer *answer, const char *message)
{
	snprintf(answer->error, sizeof answer->error, "%s", message);
	for (char *c = answer->error; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
}

static void take_answer(struct lg_transfer *transfer, CURLcode result)
{
	const struct lg_curl_api *api = transfer->api;
	curl_off_t total_us = 0;
	if (api->easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &total_us) == CURLE_OK)
		transfer->answer.latency_s = (double)total_us / 1e6;
	long status = 0;
	api->easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	bool cut = result == CURLE_WRITE_ERROR && transfer->body_len > BODY_LIMIT;
	if (result == CURLE_OK || cut)
		transfer->answer.status = (int)status;
	else if (transfer->header_len > HEADER_LIMIT)
		set_error(&transfer->answer, "headers of more than 64 KiB");
	else
		set_error(&transfer->answer,
			transfer->message[0] ? transfer->message : api->easy_strerror(result));
}

struct lg_transfer *lg_transfer_finished(const struct lg_curl_api *api, CURLM *multi)
{
	for (;;) {
		int queued = 0;
		CURLMsg *message = api->multi_info_read(multi, &queued);
		if (!message)
			return NULL;
		if (message->msg != CURLMSG_DONE)
			continue;
		CURLcode result = message->data.result; /* the message dies with the handle */
		char *private = NULL;
		api->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		struct lg_transfer *transfer = (struct lg_transfer *)(void *)private;
		take_answer(transfer, result);
		lg_transfer_end(transfer);
		return transfer;
	}
}

static int drive(const struct lg_curl_api *api, CURLM *multi, struct lg_error *err)
{
	int running = 1;
	while (running > 0) {
		CURLMcode rc = api->multi_perform(multi, &running);
		while (lg_transfer_finished(api, multi))
			;
		if (rc == CURLM_OK && running > 0)
			rc = api->multi_poll(multi, NULL, 0, 1000, NULL);
		if (rc != CURLM_OK)
			return lg_fail(err, rc == CURLM_OUT_OF_MEMORY ? LG_ENOMEM : LG_EIO, 0,
				"cannot carry out http probes: %s", api->multi_strerror(rc));
	}
	return 0;
}

static int get_all(const struct lg_curl_api *api, CURLM *multi, struct lg_transfer *transfers,
	const char *const *urls, const int64_t *timeouts_ms, size_t count, struct lg_error *err)
{
	for (size_t i = 0; i < count; i++) {
		int rc = lg_transfer_begin(&transfers[i], api, multi, urls[i], timeouts_ms[i], err);
		if (rc < 0)
			return rc;
	}
	return drive(api, multi, err);
}

int lg_http_get_many(const char *const *urls, const int64_t *timeouts_ms, size_t count,
	struct lg_http_answer *ret_answers, struct lg_error *err)
{
	if (count == 0)
		return 0;
	const struct lg_curl_api *api = NULL;
	int rc = lg_curl(&api, err);
	if (rc < 0)
		return rc;
	struct lg_transfer *transfers = calloc(count, sizeof *transfers);
	if (!transfers)
		return lg_fail_nomem(err);
	CURLM *multi = api->multi_init();
	if (!multi) {
		free(transfers);
		return lg_fail_nomem(err);
	}
	rc = get_all(api, multi, transfers, urls, timeouts_ms, count, err);
	for (size_t i = 0; i < count; i++) {
		lg_transfer_end(&transfers[i]);
		if (rc == 0)
			ret_answers[i] = transfers[i].answer;
	}
	api->multi_cleanup(multi);
	free(transfers);
	return rc;
}

int lg_http_get(const char *url, int64_t timeout_ms, struct lg_http_answer *ret_answer, struct lg_error *err)
{
	return lg_http_get_many(&url, &timeout_ms, 1, ret_answer, err);
}
