/* worker_etcd - puts settings into etcd, as fast as it takes them.
 *
 *	worker_etcd URL KEYS REVISION OPS CONNECTIONS     all of KEYS as of REVISION, OPS in a transaction
 *	worker_etcd URL KEYS REVISION 1 CONNECTIONS COUNT COUNT single puts all over the keys
 *
 * The values are at hand, they need not be read.  One JSON line: seconds, and this client's own processor time. */
#include "base/cleanup.h"
#include "common.h"
#include "etcd.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static struct {
	const char *url;
	uint64_t keys, revision, ops;
	uint64_t count;     /* puts to make */
	bool scattered;     /* COUNT was given */
	atomic_ullong next; /* put to make */
} job;

static void add_put(struct lg_buf *put, uint64_t at)
{
	char key[BENCH_TEXT_MAX], value[BENCH_TEXT_MAX];
	uint64_t number = job.scattered ? at * 7919 % job.keys : at;
	bench_key(key, number);
	bench_value(value, job.revision + (job.scattered ? at : 0), number);
	etcd_add_put(put, key, value);
}

/* TxnRequest{success: [RequestOp{request_put}]} */
static void add_txn(struct lg_buf *txn, uint64_t first, uint64_t end)
{
	lg_cleanup(lg_buf_clear) struct lg_buf put = LG_BUF_INIT, op = LG_BUF_INIT;
	for (uint64_t at = first; at < end; at++) {
		lg_buf_reset(&put);
		lg_buf_reset(&op);
		add_put(&put, at);
		etcd_add_bytes(&op, 2, put.data, put.len);
		etcd_add_bytes(txn, 2, op.data, op.len);
	}
}

static void *work(void *arg)
{
	(void)arg;
	struct etcd *etcd = etcd_open(job.url);
	lg_cleanup(lg_buf_clear) struct lg_buf message = LG_BUF_INIT;
	for (;;) {
		uint64_t first = atomic_fetch_add(&job.next, job.ops);
		uint64_t end = first + job.ops < job.count ? first + job.ops : job.count;
		if (first >= job.count)
			break;
		lg_buf_reset(&message);
		if (job.ops == 1)
			add_put(&message, first);
		else
			add_txn(&message, first, end);
		etcd_call(etcd, job.ops == 1 ? "Put" : "Txn", &message);
	}
	etcd_close(etcd);
	return NULL;
}

static void run(size_t connections)
{
	pthread_t *threads = bench_alloc(connections, sizeof *threads);
	struct rusage usage;
	double start = bench_now_us();
	for (size_t i = 0; i < connections; i++) {
		if (pthread_create(&threads[i], NULL, work, NULL) != 0)
			bench_die("cannot start a thread");
	}
	for (size_t i = 0; i < connections; i++)
		pthread_join(threads[i], NULL);
	double seconds = (bench_now_us() - start) / 1e6;
	getrusage(RUSAGE_SELF, &usage);
	printf("{\"seconds\":%.6f,\"cpu_seconds\":%.6f}\n", seconds,
		(double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
	free(threads);
}

int main(int argc, char **argv)
{
	if (argc != 6 && argc != 7)
		bench_die("wrong arguments, see worker_etcd.c");
	job.url = argv[1];
	job.keys = strtoull(argv[2], NULL, 10);
	job.revision = strtoull(argv[3], NULL, 10);
	job.ops = strtoull(argv[4], NULL, 10);
	job.scattered = argc == 7;
	job.count = job.scattered ? strtoull(argv[6], NULL, 10) : job.keys;
	run(strtoul(argv[5], NULL, 10));
	return 0;
}
