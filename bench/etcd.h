/* etcd.h - the little of etcd's gRPC interface that benches need: protobuf and HTTP/2 over a blocking socket.
 *
 * etcd's JSON gateway decodes each request and sends it to itself a second time, and the libcurl of Debian 12 cannot use an HTTP/2
 * connection twice.  This is what etcd's own clients speak, with so little around it that it is etcd that is measured.  It
 * trusts the server: whatever is not as expected ends the program. */
#ifndef BENCH_ETCD_H
#define BENCH_ETCD_H

#include "base/buf.h"

#include <stdint.h>

/* A message of protobuf in the making. */
void etcd_add_varint(struct lg_buf *message, unsigned field, uint64_t value);
void etcd_add_bytes(struct lg_buf *message, unsigned field, const void *data, size_t len);
/* Appends PutRequest{key, value}. */
void etcd_add_put(struct lg_buf *message, const char *key, const char *value);

/* A connection; one call at a time. */
struct etcd;
struct etcd *etcd_open(const char *url); /* "http://127.0.0.1:PORT" */
void etcd_close(struct etcd *etcd);
/* Calls a method of the KV service ("Put", "Txn") and returns the revision that its answer names. */
uint64_t etcd_call(struct etcd *etcd, const char *method, const struct lg_buf *message);

/* Watches all keys; for each event its revision.  Calls ready once the watch stands.  Never returns. */
struct etcd_watcher {
	void (*ready)(void *arg);
	void (*seen)(void *arg, uint64_t revision);
	void *arg;
};
_Noreturn void etcd_watch(const char *url, const struct etcd_watcher *watcher);

#endif
