"""A server that misbehaves on request, for http.c: GET /NAME does NAME.

Binds port 0, prints the port, and ends when its stdin does, so that it never outlives the test.
"""
import os
import socket
import sys
import threading
import time

HEAD = b"HTTP/1.1 %s\r\nConnection: close\r\n"


def answer(status, extra=b"", body=b"fine\n"):
    return HEAD % status + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


def forever():
    time.sleep(3600)


def slow(connection):
    connection.sendall(HEAD % b"200 OK" + b"Content-Length: 100000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(1)


def slow_head(connection):
    while True:
        connection.sendall(b"H")
        time.sleep(1)


def big(connection):
    connection.sendall(HEAD % b"200 OK" + b"Content-Length: 100000000\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b"x" * 100000)


def endless_head(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: " + b"y" * 1000 + b"\r\n")


ANSWERS = {
    "200": lambda c: c.sendall(answer(b"200 OK")),
    "204": lambda c: c.sendall(HEAD % b"204 No Content" + b"\r\n"),
    "500": lambda c: c.sendall(answer(b"500 Broken")),
    "503": lambda c: c.sendall(answer(b"503 Away")),
    "redirect": lambda c: c.sendall(answer(b"302 Found", b"Location: /200\r\n")),
    "hang": lambda c: forever(),
    "slow": slow,
    "slow-head": slow_head,
    "big": big,
    "endless-head": endless_head,
    "close": lambda c: None,
    "partial": lambda c: c.sendall(HEAD % b"200 OK" + b"Content-Length: 1000\r\n\r\nhalf"),
    "garbage": lambda c: c.sendall(b"\x00\xff\x1b[31m garbage\r\n\r\n"),
}


def serve(connection):
    try:
        request = b""
        while b"\r\n\r\n" not in request:
            data = connection.recv(4096)
            if not data:
                return
            request += data
        path = request.split(b" ")[1].decode().lstrip("/")
        ANSWERS[path](connection)
    except OSError:
        pass
    finally:
        connection.close()


def accept(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, args=(listener,), daemon=True).start()
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
os._exit(0)
