#include "etcd.h"

#include "base/cleanup.h"
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_HEADER 5     /* gRPC: a flag and the length, big endian */
#define FRAME_HEADER   9     /* RFC 9113 section 4.1 */
#define FRAME_MAX      16384 /* of payload, until a peer allows more */
#define WINDOW         65535 /* of a connection and of a stream, until a peer allows more */

enum wire { VARINT = 0, BYTES = 2 };

/* --- protobuf --------------------------------------------------------------------------------------------------------- */

static void add_number(struct lg_buf *message, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		lg_buf_add(message, &(uint8_t){ (uint8_t)(value | 0x80) }, 1);
	lg_buf_add(message, &(uint8_t){ (uint8_t)value }, 1);
}

void etcd_add_varint(struct lg_buf *message, unsigned field, uint64_t value)
{
	add_number(message, (uint64_t)field << 3 | VARINT);
	add_number(message, value);
}

void etcd_add_bytes(struct lg_buf *message, unsigned field, const void *data, size_t len)
{
	add_number(message, (uint64_t)field << 3 | BYTES);
	add_number(message, len);
	lg_buf_add(message, data, len);
}

void etcd_add_put(struct lg_buf *message, const char *key, const char *value)
{
	etcd_add_bytes(message, 1, key, strlen(key));
	etcd_add_bytes(message, 2, value, strlen(value));
}

struct field {
	unsigned number;
	uint64_t value;      /* of a varint */
	const uint8_t *data; /* else */
	size_t len;
};

static uint64_t read_number(const uint8_t **at, const uint8_t *end)
{
	uint64_t value = 0;
	for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
		uint8_t byte = *(*at)++;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	bench_die("etcd answered with a torn message");
}

static bool next_field(const uint8_t **at, const uint8_t *end, struct field *ret)
{
	if (*at >= end)
		return false;
	uint64_t tag = read_number(at, end);
	*ret = (struct field){ .number = (unsigned)(tag >> 3), .value = read_number(at, end) };
	if ((tag & 7) == BYTES) {
		ret->data = *at;
		ret->len = (size_t)ret->value;
		if (ret->len > (size_t)(end - *at))
			bench_die("etcd answered with a torn message");
		*at += ret->len;
	} else if ((tag & 7) != VARINT) {
		bench_die("etcd answered with a field of an unknown kind");
	}
	return true;
}

/* First field of that number, or one of value 0. */
static struct field find_field(const uint8_t *data, size_t len, unsigned number)
{
	struct field field;
	const uint8_t *at = data;
	while (next_field(&at, data + len, &field)) {
		if (field.number == number)
			return field;
	}
	return (struct field){ .data = data };
}

/* --- HTTP/2 (RFC 9113) ------------------------------------------------------------------------------------------------ */

enum frame_type {
	DATA = 0,
	HEADERS = 1,
	RST_STREAM = 3,
	SETTINGS = 4,
	PING = 6,
	GOAWAY = 7,
	WINDOW_UPDATE = 8
};
enum { ACK = 1, END_STREAM = 1, END_HEADERS = 4, PADDED = 8 };

struct etcd {
	int fd;
	char authority[64];
	uint32_t stream;    /* the newest; a client's are odd */
	int64_t window;     /* bytes that may still be sent on the connection */
	uint32_t consumed;  /* bytes received and not yet given back to the server's window */
	struct lg_buf out;  /* frames to send */
	struct lg_buf body; /* what came on the stream */
	size_t start, end;  /* what is in `in` and not taken */
	uint8_t in[1 << 16];
};

struct frame {
	uint8_t type, flags;
	uint32_t stream;
	const uint8_t *data;
	size_t len;
};

static uint32_t big_endian(const uint8_t *bytes, size_t count)
{
	uint32_t value = 0;
	for (size_t i = 0; i < count; i++)
		value = value << 8 | bytes[i];
	return value;
}

static void add_big_endian(struct lg_buf *buf, uint32_t value, unsigned count)
{
	while (count--)
		lg_buf_addc(buf, (char)(value >> 8 * count));
}

static void add_frame(
	struct lg_buf *buf, enum frame_type type, int flags, uint32_t stream, const void *data, size_t len)
{
	add_big_endian(buf, (uint32_t)len, 3);
	lg_buf_addc(buf, (char)type);
	lg_buf_addc(buf, (char)flags);
	add_big_endian(buf, stream, 4);
	lg_buf_add(buf, data, len);
}

static void flush(struct etcd *etcd)
{
	struct lg_error err = LG_ERROR_INIT;
	bench_check(lg_buf_check(&etcd->out, &err), &err);
	for (size_t sent = 0; sent < etcd->out.len;) {
		ssize_t len = send(etcd->fd, etcd->out.data + sent, etcd->out.len - sent, MSG_NOSIGNAL);
		if (len < 0 && errno != EINTR)
			bench_die("etcd cannot be reached: %s", strerror(errno));
		sent += len > 0 ? (size_t)len : 0;
	}
	lg_buf_reset(&etcd->out);
}

static void need(struct etcd *etcd, size_t bytes)
{
	if (etcd->start + bytes > sizeof etcd->in) {
		memmove(etcd->in, etcd->in + etcd->start, etcd->end - etcd->start);
		etcd->end -= etcd->start;
		etcd->start = 0;
	}
	while (etcd->end - etcd->start < bytes) {
		ssize_t len = recv(etcd->fd, etcd->in + etcd->end, sizeof etcd->in - etcd->end, 0);
		if (len == 0 || (len < 0 && errno != EINTR))
			bench_die("etcd closed the connection");
		etcd->end += len > 0 ? (size_t)len : 0;
	}
}

/* Valid until the next one. */
static struct frame next_frame(struct etcd *etcd)
{
	need(etcd, FRAME_HEADER);
	const uint8_t *header = etcd->in + etcd->start;
	struct frame frame = { .type = header[3],
		.flags = header[4],
		.stream = big_endian(header + 5, 4),
		.len = big_endian(header, 3) };
	if (frame.len > FRAME_MAX)
		bench_die("etcd sent a frame of %zu bytes", frame.len);
	need(etcd, FRAME_HEADER + frame.len);
	frame.data = etcd->in + etcd->start + FRAME_HEADER;
	etcd->start += FRAME_HEADER + frame.len;
	return frame;
}

/* The server may send no more than it was given back, on the connection and on the stream. */
static void give_back(struct etcd *etcd, size_t len)
{
	etcd->consumed += (uint32_t)len;
	if (etcd->consumed < WINDOW / 4)
		return;
	uint8_t bytes[4] = { 0, (uint8_t)(etcd->consumed >> 16), (uint8_t)(etcd->consumed >> 8),
		(uint8_t)etcd->consumed };
	add_frame(&etcd->out, WINDOW_UPDATE, 0, 0, bytes, sizeof bytes);
	add_frame(&etcd->out, WINDOW_UPDATE, 0, etcd->stream, bytes, sizeof bytes);
	etcd->consumed = 0;
	flush(etcd);
}

static void answer(struct etcd *etcd, enum frame_type type, const struct frame *frame)
{
	if (frame->flags & ACK)
		return;
	add_frame(&etcd->out, type, ACK, 0, frame->data, type == PING ? frame->len : 0);
	flush(etcd);
}

/* Takes the next frame, whatever it is; true when it ended the stream. */
static bool take_frame(struct etcd *etcd)
{
	struct frame frame = next_frame(etcd);
	bool mine = frame.stream == etcd->stream;
	switch (frame.type) {
	case DATA:
		if (!mine || frame.flags & PADDED)
			bench_die("etcd sent data that nobody asked for");
		lg_buf_add(&etcd->body, frame.data, frame.len);
		give_back(etcd, frame.len);
		return frame.flags & END_STREAM;
	case HEADERS:
		return mine && frame.flags & END_STREAM;
	case SETTINGS:
	case PING:
		answer(etcd, frame.type, &frame);
		return false;
	case WINDOW_UPDATE:
		if (frame.stream == 0)
			etcd->window += big_endian(frame.data, 4);
		return false;
	case RST_STREAM:
		return mine;
	case GOAWAY:
		bench_die("etcd ended the connection");
	default:
		return false;
	}
}

/* Literals that are not indexed, without Huffman codes (RFC 7541 sections 5.2 and 6.2.2). */
static void add_text(struct lg_buf *block, const char *text)
{
	lg_buf_addc(block, (char)strlen(text));
	lg_buf_adds(block, text);
}

static void add_headers(struct etcd *etcd, const char *path)
{
	lg_cleanup(lg_buf_clear) struct lg_buf block = LG_BUF_INIT;
	lg_buf_adds(
		&block, "\x83\x86\x04"); /* of the static table: ":method: POST", ":scheme: http", ":path" */
	add_text(&block, path);
	lg_buf_addc(&block, 1); /* ":authority" */
	add_text(&block, etcd->authority);
	lg_buf_adds(&block, "\x0f\x10"); /* "content-type" */
	add_text(&block, "application/grpc");
	lg_buf_addc(&block, 0);
	add_text(&block, "te");
	add_text(&block, "trailers");
	add_frame(&etcd->out, HEADERS, END_HEADERS, etcd->stream, block.data, block.len);
}

static void send_request(struct etcd *etcd, const char *path, const struct lg_buf *message, bool last)
{
	lg_cleanup(lg_buf_clear) struct lg_buf framed = LG_BUF_INIT;
	lg_buf_addc(&framed, 0);
	add_big_endian(&framed, (uint32_t)message->len, 4);
	lg_buf_add(&framed, message->data, message->len);
	if (framed.failed || framed.len > WINDOW)
		bench_die("a request of %zu bytes is larger than a stream's window", framed.len);
	lg_buf_reset(&etcd->body);
	while (etcd->window < (int64_t)framed.len)
		take_frame(etcd);
	etcd->window -= (int64_t)framed.len;
	etcd->stream += 2;
	add_headers(etcd, path);
	for (size_t at = 0; at < framed.len; at += FRAME_MAX) {
		size_t left = framed.len - at;
		bool ends = last && left <= FRAME_MAX;
		add_frame(&etcd->out, DATA, ends ? END_STREAM : 0, etcd->stream, framed.data + at,
			left < FRAME_MAX ? left : FRAME_MAX);
	}
	flush(etcd);
}

/* --- calls ------------------------------------------------------------------------------------------------------------ */

struct etcd *etcd_open(const char *url)
{
	struct etcd *etcd = bench_alloc(1, sizeof *etcd);
	unsigned port;
	char end;
	if (sscanf(url, "http://127.0.0.1:%u%c", &port, &end) != 1 || port > 65535)
		bench_die("'%s' is not http://127.0.0.1:PORT", url);
	const struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	snprintf(etcd->authority, sizeof etcd->authority, "127.0.0.1:%u", port);
	etcd->stream = (uint32_t)-1;
	etcd->window = WINDOW;
	etcd->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (etcd->fd < 0 || connect(etcd->fd, (const struct sockaddr *)&address, sizeof address) < 0)
		bench_die("cannot connect to '%s': %s", url, strerror(errno));
	setsockopt(etcd->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	lg_buf_adds(&etcd->out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	add_frame(&etcd->out, SETTINGS, 0, 0, NULL, 0);
	return etcd;
}

void etcd_close(struct etcd *etcd)
{
	if (!etcd)
		return;
	close(etcd->fd);
	lg_buf_clear(&etcd->out);
	lg_buf_clear(&etcd->body);
	free(etcd);
}

uint64_t etcd_call(struct etcd *etcd, const char *method, const struct lg_buf *message)
{
	char path[64];
	snprintf(path, sizeof path, "/etcdserverpb.KV/%s", method);
	send_request(etcd, path, message, true);
	while (!take_frame(etcd))
		;
	/* a refusal has no message, only a status */
	const uint8_t *answer = (const uint8_t *)etcd->body.data + MESSAGE_HEADER;
	if (etcd->body.len <= MESSAGE_HEADER)
		bench_die("etcd refused a '%s'", method);
	struct field header = find_field(answer, etcd->body.len - MESSAGE_HEADER, 1);
	return find_field(header.data, header.len, 3).value;
}

/* --- watching --------------------------------------------------------------------------------------------------------- */

/* WatchResponse: created = 3, events = 11; Event: kv = 2; KeyValue: mod_revision = 3 */
static void take_events(const struct etcd_watcher *watcher, const uint8_t *data, size_t len)
{
	struct field field;
	const uint8_t *at = data;
	while (next_field(&at, data + len, &field)) {
		if (field.number == 3 && field.value)
			watcher->ready(watcher->arg);
		if (field.number != 11)
			continue;
		struct field kv = find_field(field.data, field.len, 2);
		watcher->seen(watcher->arg, find_field(kv.data, kv.len, 3).value);
	}
}

static void take_messages(const struct etcd_watcher *watcher, struct lg_buf *body)
{
	while (body->len >= MESSAGE_HEADER) {
		const uint8_t *message = (const uint8_t *)body->data;
		size_t len = MESSAGE_HEADER + big_endian(message + 1, 4);
		if (body->len < len)
			return;
		take_events(watcher, message + MESSAGE_HEADER, len - MESSAGE_HEADER);
		body->len -= len;
		memmove(body->data, body->data + len, body->len);
	}
}

void etcd_watch(const char *url, const struct etcd_watcher *watcher)
{
	lg_cleanup(lg_buf_clear) struct lg_buf create = LG_BUF_INIT, message = LG_BUF_INIT;
	struct etcd *etcd = etcd_open(url);
	etcd_add_bytes(&create, 1, "\0", 1); /* key and range_end 0: all keys */
	etcd_add_bytes(&create, 2, "\0", 1);
	etcd_add_bytes(&message, 1, create.data, create.len);
	send_request(etcd, "/etcdserverpb.Watch/Watch", &message,
		false); /* stays open for as long as it is wanted */
	while (!take_frame(etcd))
		take_messages(watcher, &etcd->body);
	bench_die("the watch ended");
}
