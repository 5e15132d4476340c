/* prober.c - GETs in a thread of their own, so that a server that hangs until its deadline delays nothing else.
 *
 * The thread alone touches the multi handle (curl_multi_wakeup excepted, which is made for that).  A probe goes from
 * `started` (mutex) to the thread's own list to `answered` (mutex); `in_flight` counts those not yet answered.
 */
#include "base/cleanup.h"
#include "health/transfer.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct probe {
	struct lg_transfer transfer; /* first: lg_transfer_finished hands this back */
	struct probe *next;
	size_t tag;
	int64_t timeout_ms;
	char url[];
};

struct lg_prober {
	const struct lg_curl_api *api;
	CURLM *multi;
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t mutex;
	pthread_cond_t answer_came;
	/* below: under mutex */
	struct probe *started;
	struct probe *answered;
	size_t in_flight;
	bool closing;
};

static void free_list(struct probe *list)
{
	while (list) {
		struct probe *next = list->next;
		free(list);
		list = next;
	}
}

static void hand_back(struct lg_prober *prober, struct probe *probe)
{
	pthread_mutex_lock(&prober->mutex);
	probe->next = prober->answered;
	prober->answered = probe;
	prober->in_flight--;
	pthread_cond_signal(&prober->answer_came);
	pthread_mutex_unlock(&prober->mutex);
}

static void unlink_probe(struct probe **list, struct probe *probe)
{
	while (*list && *list != probe)
		list = &(*list)->next;
	if (*list)
		*list = probe->next;
}

static void begin_started(struct lg_prober *prober, struct probe *list, struct probe **running)
{
	while (list) {
		struct probe *probe = list;
		list = list->next;
		struct lg_error err = LG_ERROR_INIT;
		int rc = lg_transfer_begin(
			&probe->transfer, prober->api, prober->multi, probe->url, probe->timeout_ms, &err);
		if (rc < 0) { /* our own lack, not the server's: the answer carries no verdict */
			probe->transfer.answer.status = -1;
			snprintf(probe->transfer.answer.error, sizeof probe->transfer.answer.error, "%.200s",
				err.message);
			hand_back(prober, probe);
			continue;
		}
		probe->next = *running;
		*running = probe;
	}
}

static void *run(void *arg)
{
	struct lg_prober *prober = arg;
	struct probe *running = NULL;
	for (;;) {
		pthread_mutex_lock(&prober->mutex);
		bool closing = prober->closing;
		struct probe *list = lg_steal_ptr(&prober->started);
		pthread_mutex_unlock(&prober->mutex);
		begin_started(prober, list, &running);
		if (closing)
			break;
		int count = 0;
		prober->api->multi_perform(prober->multi, &count);
		struct lg_transfer *transfer;
		while ((transfer = lg_transfer_finished(prober->api, prober->multi))) {
			struct probe *probe = (struct probe *)transfer;
			unlink_probe(&running, probe);
			hand_back(prober, probe);
		}
		/* without a poll that works this would spin */
		if (prober->api->multi_poll(prober->multi, NULL, 0, 10000, NULL) != CURLM_OK)
			nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	}
	for (struct probe *probe = running; probe; probe = probe->next)
		lg_transfer_end(&probe->transfer);
	free_list(running);
	return NULL;
}

/* Signals belong to the thread that called us. */
static int start_thread(struct lg_prober *prober, struct lg_error *err)
{
	sigset_t all, former;
	sigfillset(&all);
	int rc = pthread_sigmask(SIG_SETMASK, &all, &former);
	if (rc == 0) {
		rc = pthread_create(&prober->thread, NULL, run, prober);
		prober->has_thread = rc == 0;
		pthread_sigmask(SIG_SETMASK, &former, NULL);
	}
	return rc == 0 ? 0 : lg_fail(err, LG_EIO, rc, "cannot start the thread of the http probes");
}

static int init_sync(struct lg_prober *prober, struct lg_error *err)
{
	pthread_condattr_t attr;
	int rc = pthread_condattr_init(&attr);
	if (rc == 0) {
		rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
		if (rc == 0)
			rc = pthread_cond_init(&prober->answer_came, &attr);
		pthread_condattr_destroy(&attr);
	}
	if (rc == 0)
		rc = pthread_mutex_init(&prober->mutex, NULL);
	return rc == 0 ? 0 : lg_fail(err, LG_EIO, rc, "cannot prepare http probes");
}

int lg_prober_open(struct lg_prober **ret_prober, struct lg_error *err)
{
	const struct lg_curl_api *api = NULL;
	int rc = lg_curl(&api, err);
	if (rc < 0)
		return rc;
	struct lg_prober *prober = calloc(1, sizeof *prober);
	if (!prober)
		return lg_fail_nomem(err);
	prober->api = api;
	prober->multi = api->multi_init();
	if (!prober->multi) {
		free(prober);
		return lg_fail_nomem(err);
	}
	rc = init_sync(prober, err);
	if (rc == 0)
		rc = start_thread(prober, err);
	if (rc < 0) {
		lg_prober_close(prober);
		return rc;
	}
	*ret_prober = prober;
	return 0;
}

void lg_prober_close(struct lg_prober *prober)
{
	if (!prober)
		return;
	if (prober->has_thread) {
		pthread_mutex_lock(&prober->mutex);
		prober->closing = true;
		pthread_mutex_unlock(&prober->mutex);
		prober->api->multi_wakeup(prober->multi);
		pthread_join(prober->thread, NULL);
	}
	prober->api->multi_cleanup(prober->multi);
	free_list(prober->started);
	free_list(prober->answered);
	free(prober);
}

int lg_prober_start(
	struct lg_prober *prober, size_t tag, const char *url, int64_t timeout_ms, struct lg_error *err)
{
	size_t len = strlen(url) + 1;
	struct probe *probe = calloc(1, sizeof *probe + len);
	if (!probe)
		return lg_fail_nomem(err);
	memcpy(probe->url, url, len);
	probe->tag = tag;
	probe->timeout_ms = timeout_ms;
	pthread_mutex_lock(&prober->mutex);
	probe->next = prober->started;
	prober->started = probe;
	prober->in_flight++;
	pthread_mutex_unlock(&prober->mutex);
	prober->api->multi_wakeup(prober->multi);
	return 0;
}

static struct timespec deadline_after(int64_t wait_ms)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	int64_t ns = at.tv_nsec + wait_ms % 1000 * 1000000;
	at.tv_sec += (time_t)(wait_ms / 1000 + ns / 1000000000);
	at.tv_nsec = (long)(ns % 1000000000);
	return at;
}

size_t lg_prober_collect(
	struct lg_prober *prober, int64_t wait_ms, struct lg_probe_answer *ret_answers, size_t max)
{
	struct timespec deadline = deadline_after(wait_ms > 0 ? wait_ms : 0);
	pthread_mutex_lock(&prober->mutex);
	while (wait_ms > 0 && prober->in_flight > 0 &&
		pthread_cond_timedwait(&prober->answer_came, &prober->mutex, &deadline) == 0)
		;
	size_t count = 0;
	while (count < max && prober->answered) {
		struct probe *probe = prober->answered;
		prober->answered = probe->next;
		ret_answers[count++] =
			(struct lg_probe_answer){ .tag = probe->tag, .answer = probe->transfer.answer };
		free(probe);
	}
	pthread_mutex_unlock(&prober->mutex);
	return count;
}
