/* transfer.h - one GET on a libcurl multi handle; what http.c and prober.c share.
 *
 * A transfer is begun on a multi handle, driven by whoever drives that, and ended when lg_transfer_finished hands it back
 * or earlier.  The answer is in `answer` once it is finished.
 */
#ifndef LG_HEALTH_TRANSFER_H
#define LG_HEALTH_TRANSFER_H

#include "health/curl.h"
#include "health/health.h"

#include <stddef.h>

struct lg_transfer {
	const struct lg_curl_api *api;
	CURLM *multi;
	CURL *easy; /* NULL: not begun, or ended */
	size_t body_len, header_len;
	char message[CURL_ERROR_SIZE];
	struct lg_http_answer answer;
};

/* `transfer` must stay where it is until it is ended. */
int lg_transfer_begin(struct lg_transfer *transfer, const struct lg_curl_api *api, CURLM *multi,
	const char *url, int64_t timeout_ms, struct lg_error *err);
void lg_transfer_end(struct lg_transfer *transfer);
/* The next one that came to its end, with its answer filled in and already ended; NULL when there is none. */
struct lg_transfer *lg_transfer_finished(const struct lg_curl_api *api, CURLM *multi);

#endif
