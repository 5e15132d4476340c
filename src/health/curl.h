/* curl.h - libcurl, loaded when the first probe needs it.
 *
 * libcurl brings about 25 shared libraries along: linking it cost every start of the program 8 to 9 ms here (2 ms without,
 * 11 ms with), most of the time that a whole `lastgood get` may take.  Only what probes pays for it now.
 */
#ifndef LG_HEALTH_CURL_H
#define LG_HEALTH_CURL_H

#include "base/error.h"

#include <curl/curl.h>

struct lg_curl_api {
	__typeof__(curl_global_init) *global_init;
	__typeof__(curl_easy_init) *easy_init;
	__typeof__(curl_easy_setopt) *easy_setopt;
	__typeof__(curl_easy_getinfo) *easy_getinfo;
	__typeof__(curl_easy_cleanup) *easy_cleanup;
	__typeof__(curl_easy_strerror) *easy_strerror;
	__typeof__(curl_multi_init) *multi_init;
	__typeof__(curl_multi_add_handle) *multi_add_handle;
	__typeof__(curl_multi_remove_handle) *multi_remove_handle;
	__typeof__(curl_multi_perform) *multi_perform;
	__typeof__(curl_multi_poll) *multi_poll;
	__typeof__(curl_multi_wakeup) *multi_wakeup;
	__typeof__(curl_multi_info_read) *multi_info_read;
	__typeof__(curl_multi_cleanup) *multi_cleanup;
	__typeof__(curl_multi_strerror) *multi_strerror;
};

/* Loads on the first call, from any thread; stays until the process ends. LG_EUNSUPPORTED when there is no libcurl. */
int lg_curl(const struct lg_curl_api **ret_api, struct lg_error *err);

#endif
