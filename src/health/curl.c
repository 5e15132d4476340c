#include "health/curl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct lg_curl_api api;
static struct lg_error load_error;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const struct {
	const char *name;
	size_t offset;
} symbols[] = {
	{ "curl_global_init", offsetof(struct lg_curl_api, global_init) },
	{ "curl_easy_init", offsetof(struct lg_curl_api, easy_init) },
	{ "curl_easy_setopt", offsetof(struct lg_curl_api, easy_setopt) },
	{ "curl_easy_getinfo", offsetof(struct lg_curl_api, easy_getinfo) },
	{ "curl_easy_cleanup", offsetof(struct lg_curl_api, easy_cleanup) },
	{ "curl_easy_strerror", offsetof(struct lg_curl_api, easy_strerror) },
	{ "curl_multi_init", offsetof(struct lg_curl_api, multi_init) },
	{ "curl_multi_add_handle", offsetof(struct lg_curl_api, multi_add_handle) },
	{ "curl_multi_remove_handle", offsetof(struct lg_curl_api, multi_remove_handle) },
	{ "curl_multi_perform", offsetof(struct lg_curl_api, multi_perform) },
	{ "curl_multi_poll", offsetof(struct lg_curl_api, multi_poll) },
	{ "curl_multi_wakeup", offsetof(struct lg_curl_api, multi_wakeup) },
	{ "curl_multi_info_read", offsetof(struct lg_curl_api, multi_info_read) },
	{ "curl_multi_cleanup", offsetof(struct lg_curl_api, multi_cleanup) },
	{ "curl_multi_strerror", offsetof(struct lg_curl_api, multi_strerror) },
};

static void load(void)
{
	static const char library[] = "libcurl.so.4";
	void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		lg_fail(&load_error, LG_EUNSUPPORTED, 0,
			"cannot load '%s' for http probes: %s; install libcurl4", library, dlerror());
		return;
	}
	for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
		void *symbol = dlsym(handle, symbols[i].name);
		if (!symbol) {
			lg_fail(&load_error, LG_EUNSUPPORTED, 0,
				"'%s' lacks '%s'; install libcurl4 7.85 or newer", library, symbols[i].name);
			return;
		}
		memcpy((char *)&api + symbols[i].offset, &symbol, sizeof symbol);
	}
	CURLcode code = api.global_init(CURL_GLOBAL_DEFAULT);
	if (code != CURLE_OK)
		lg_fail(&load_error, LG_EFAILED, 0, "cannot initialise libcurl: %s", api.easy_strerror(code));
}

int lg_curl(const struct lg_curl_api **ret_api, struct lg_error *err)
{
	int rc = pthread_once(&once, load);
	if (rc != 0)
		return lg_fail(err, LG_EINTERNAL, rc, "cannot load libcurl once");
	if (load_error.code < 0) {
		if (err)
			*err = load_error;
		return load_error.code;
	}
	*ret_api = &api;
	return 0;
}
