#!/usr/bin/python3
"""Bad input: always the right exit status, a clear message, and the state untouched."""

import json
import os
import sqlite3

from support import (INVALID, NEWER, NOT_FOUND, CORRUPT, USAGE, Store, check, done, refused)

store = Store()
store.set("web/port=80", "name=x")
store.run("schema", "set", "web/port", '{"type":"int","min":1,"max":65535}')
store.run("schema", "set", "timeout", '{"type":"duration","max":"1h"}')
store.before = store.state()


def document(text):
    return '{"configurations": {"ok": {"value": 1},\n "k": {"value": ' + text + "}}}"


# name, file name, content, status, what the message must say
FILES = [
    ("malformed JSON", "a.json", '{"configurations": {\n  "a": {"value": 1},,\n}}', INVALID, ["line 2", "column"]),
    ("malformed YAML", "a.yaml", "configurations:\n  a: {value: 1\n  b: [\n", INVALID, ["line", "column"]),
    ("an empty file", "empty.json", "", INVALID, []),
    ("no configurations", "none.json", "[1, 2]", INVALID, []),
    ("a duplicate key in JSON", "dup.json", '{"configurations": {"a": {"value": 1}, "a": {"value": 2}}}', INVALID,
     ["duplicate"]),
    ("a duplicate key in YAML", "dup.yaml", "configurations:\n  a: {value: 1}\n  a: {value: 2}\n", INVALID, ["line 3"]),
    ("a duplicate key in a value", "dup2.json", document('{"x": 1, "x": 2}'), INVALID, ["duplicate"]),
    ("a duplicate name in env", "dup.env", "A=1\nA=2\n", INVALID, ["A"]),
    ("100,000 nested brackets", "deep.json", document("[" * 100000 + "]" * 100000), INVALID, []),
    ("100,000 open brackets", "deep2.json", "[" * 100000, INVALID, []),
    ("100,000 nested brackets in YAML", "deep.yaml", "configurations: " + "[" * 100000 + "]" * 100000, INVALID, []),
    ("invalid UTF-8 in JSON", "utf.json", b'{"configurations": {"a": {"value": "\xff\xfe"}}}', INVALID, []),
    ("invalid UTF-8 in YAML", "utf.yaml", b"configurations:\n  a: {value: '\xc3\x28'}\n", INVALID, []),
    ("invalid UTF-8 in env", "utf.env", b"A=\xff\n", INVALID, []),
    ("overlong UTF-8", "over.json", b'{"configurations": {"a": {"value": "\xc0\x80"}}}', INVALID, []),
    ("a lone surrogate", "surrogate.json", document('"\\ud800"'), INVALID, []),
    ("a raw NUL byte", "nul.json", b'{"configurations": {"a": {"value": "x\x00y"}}}', INVALID, []),
    ("a NUL byte behind the document", "nul2.json", b'{"configurations": {"a": {"value": 1}}}\x00', INVALID, []),
    ("an escaped NUL in a value", "nul3.json", document('"x\\u0000y"'), INVALID, []),
    ("an escaped NUL in a key", "nul4.json", '{"configurations": {"a\\u0000b": {"value": 1}}}', INVALID, []),
    ("a NUL byte in env", "nul.env", b"A=x\x00y\n", INVALID, []),
    ("an integer beyond 64 bits", "big.json", document("9223372036854775808"), INVALID, []),
    ("a negative one", "big2.json", document("-9223372036854775809"), INVALID, []),
    ("an integer beyond 64 bits in YAML", "big.yaml", "configurations:\n  a: {value: 9223372036854775808}\n", INVALID,
     ["line 2"]),
    ("a number beyond a double", "huge.json", document("1e999"), INVALID, []),
    ("NaN", "nan.json", document("NaN"), INVALID, ["line 2"]),
    ("infinity", "inf.json", document("-Infinity"), INVALID, []),
    (".nan in YAML", "nan.yaml", "configurations:\n  a: {value: .nan}\n", INVALID, ["line 2"]),
    ("an alias bomb", "bomb.yaml", "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)), INVALID, []),
    ("two YAML documents", "two.yaml", "configurations: {}\n---\nconfigurations: {}\n", INVALID, ["line"]),
    ("a backup file cut short", "cut.json", '{"configurations": {"a": {"value": 1}, "b": {"val', INVALID, ["line 1"]),
    ("a comment in JSON", "comment.json", '{"configurations": {} /* none */}', INVALID, []),
    ("text behind the document", "tail.json", '{"configurations": {}} x', INVALID, []),
    ("an entry without a value", "entry.json", '{"configurations": {"a": {}}}', INVALID, ["a"]),
    ("a wrong type", "type.json", '{"configurations": {"web/port": {"value": "high"}}}', INVALID, ["web/port", "int"]),
    ("a value out of range", "range.json", '{"configurations": {"web/port": {"value": 65536}}}', INVALID,
     ["web/port", "65536", "65535"]),
    ("a duration out of range", "duration.json", '{"configurations": {"timeout": {"value": "2h"}}}', INVALID,
     ["timeout", "1h"]),
    ("a value that claims to be sealed", "sealed.json", document('{"@secret": "AAAA"}'), INVALID, ["k"]),
    ("a bad declaration", "schema.json", '{"configurations": {}, "schema": {"q": {"type": "number"}}}', INVALID, ["q"]),
    ("a declaration that no value of the file satisfies", "schema2.json",
     '{"configurations": {"q": {"value": "x"}}, "schema": {"q": {"type": "int"}}}', INVALID, ["q"]),
    ("a reserved key", "reserved.json", '{"configurations": {"@control/x": {"value": 1}}}', INVALID, ["@control/x"]),
    ("a later format", "later.json", '{"format": "lastgood configuration 2", "configurations": {}}', NEWER, []),
    ("malformed properties", "bad.properties", "a=\\u12\n", INVALID, []),
    ("malformed env", "bad.env", "A='open\n", INVALID, ["1"]),
]
for name, path, content, status, needles in FILES:
    refused(store, name, store.run("import", store.file(path, content)), status, *needles)

big = store.file("value.json", '{"configurations": {"big": {"value": "' + "x" * (50 * 1024 * 1024) + '"}}}')
refused(store, "a 50 MB value", store.run("import", big), INVALID, "big")
os.unlink(big)
refused(store, "a file that is not there", store.run("import", os.path.join(store.base, "absent.json")), NOT_FOUND, "absent.json")
refused(store, "a directory", store.run("import", store.base), INVALID, store.base)
refused(store, "a device", store.run("import", "/dev/zero"), INVALID, "/dev/zero")
fifo = os.path.join(store.base, "fifo")
os.mkfifo(fifo)
refused(store, "a FIFO does not block", store.run("import", fifo), INVALID, "fifo")
refused(store, "standard input is closed", store.run("import", "-"), INVALID)
refused(store, "an unknown format", store.run("import", fifo, "--format", "xml"), USAGE, "xml")

# --- words of the command line
WORDS = [
    ("an empty key", ["=1"], INVALID, []),
    ("an empty segment", ["a//b=1"], INVALID, ["a//b"]),
    ("a leading slash", ["/a=1"], INVALID, ["/a"]),
    ("dots", ["a/../b=1"], INVALID, [".."]),
    ("a control character", ["a\tb=1"], INVALID, []),
    ("a reserved key", ["@schema/x=1"], INVALID, ["@schema/x"]),
    ("a key that is too long", ["k" * 513 + "=1"], INVALID, ["512"]),
    ("the same key twice", ["d=1", "d=2"], INVALID, ["d"]),
    ("malformed JSON", ['d={"a":1'], INVALID, ["d"]),
    ("an open string", ['d="x'], INVALID, ["d"]),
    ("an integer beyond 64 bits", ["d=9223372036854775808"], INVALID, ["d"]),
    ("a bare infinity of digits", ["d=" + "9" * 5000], INVALID, ["d"]),
    ("a deep value", ["d=" + "[" * 60000 + "]" * 60000], INVALID, ["d"]),
    ("no value", ["d"], USAGE, ["d"]),
    ("a wrong type", ["web/port=x"], INVALID, ["web/port", "int"]),
    ("a value below its range", ["web/port=0"], INVALID, ["web/port", "1", "65535"]),
    ("a float for an integer", ["web/port=80.0"], INVALID, ["web/port"]),
    ("true for an integer", ["web/port=true"], INVALID, ["web/port"]),
]
for name, words, status, needles in WORDS:
    refused(store, "set, " + name, store.set(*words), status, *needles)
refused(store, "a value that is no UTF-8", store.set(b"d=\xff\xfe"), INVALID, "d")
refused(store, "a key that is no UTF-8", store.set(b"\xff=1"), INVALID)
refused(store, "a reason that is no UTF-8", store.run("set", "d=1", "--reason", b"\xff"), INVALID, "reason")
refused(store, "an actor that is no UTF-8", store.run("--actor", b"\xff", "set", "d=1", "--reason", "x"), INVALID, "actor")
refused(store, "an unknown target", store.run("rollback", "config", "--to", "yesterday-ish", "--reason", "other: x", "--yes"),
        INVALID, "yesterday-ish")
refused(store, "a revision of the future", store.run("rollback", "config", "--to", "r9999", "--reason", "other: x", "--yes"),
        NOT_FOUND, "9999")
refused(store, "a revision that is no number", store.run("get", "name", "--at", "r1x"), INVALID, "r1x")
refused(store, "a revision beyond 64 bits", store.run("get", "name", "--at", "r99999999999999999999"), INVALID)
refused(store, "a limit that is no number", store.run("history", "--limit", "many"), USAGE, "limit")
refused(store, "a root that is none", store.run("set", "d=1", "--reason", "x", "--if-root", "abc"), USAGE, "if-root")
refused(store, "a topology that is not there", store.run("--config", "/nonexistent/x.yaml", "set", "d=1", "--reason", "x"),
        NOT_FOUND, "/nonexistent/x.yaml")
bad = store.file("bad.yaml", "services:\n  web: {driver: magic}\nunknown: 1\n")
refused(store, "a topology with faults: each is listed", store.run("--config", bad, "set", "d=1", "--reason", "x"), INVALID,
        "services.web.driver", "unknown")
check("a broken topology does not stop reading", store.run("--config", bad, "get", "name").status == 0)

# --- strict
store.run("schema", "strict", "on")
store.before = store.state()
refused(store, "an unknown key under strict", store.set("unknown=1"), INVALID, "unknown")
refused(store, "an unknown key under strict, in a file",
        store.run("import", store.file("u.json", '{"configurations": {"unknown": {"value": 1}}}')), INVALID, "unknown")
strict = Store(strict=True)
strict.before = strict.state()
refused(strict, "init --strict", strict.set("unknown=1"), INVALID, "unknown")

# --- a store that is not what it should be
newer = Store()
newer.set("a=1")
path = os.path.join(newer.dir, "log.db")
database = sqlite3.connect(path)
version = database.execute("PRAGMA user_version").fetchone()[0]
database.execute(f"PRAGMA user_version = {version + 1}")
database.commit()
database.close()
with open(path, "rb") as file:
    content = file.read()
for words in (["get", "a"], ["set", "a=2", "--reason", "x"], ["rollback", "config", "--to", "r1", "--reason", "other: x"]):
    result = newer.run(*words)
    check(f"a store that a newer version wrote refuses {words[0]}", result.status == NEWER and
          result.message.startswith("lastgood: "), result)
with open(path, "rb") as file:
    check("and is not touched", file.read() == content)
doctor = newer.run("doctor")
check("doctor says what to do", doctor.status == 1 and "newer" in doctor.text, doctor)

foreign = Store()
for name in ("log.db-wal", "log.db-shm"):  # a write-ahead log would still hold every page
    if os.path.exists(os.path.join(foreign.dir, name)):
        os.unlink(os.path.join(foreign.dir, name))
with open(os.path.join(foreign.dir, "log.db"), "wb") as file:
    file.write(b"this is no database, but it was somebody's file\n" * 100)
result = foreign.set("a=1")
check("a log that is no log", result.status in (CORRUPT, INVALID), result)
with open(os.path.join(foreign.dir, "log.db"), "rb") as file:
    check("it is not overwritten", file.read().startswith(b"this is no database"))

forged = Store()
forged.set("a=1")
forged.set("a=2")
database = sqlite3.connect(os.path.join(forged.dir, "log.db"))
table = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
for name in table:
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({name})")]
    if "reason" in columns and "seq" in columns:
        database.execute(f"UPDATE {name} SET reason = 'nothing to see' WHERE seq = 1")
database.commit()
database.close()
result = forged.run("doctor", "-o", "json")
check("history that was edited is found by doctor", result.status == 1 and
      any(c["check"] == "hash chain" and c["verdict"] == "wrong" for c in result.json()["checks"]), result)

keyless = Store()
keyless.set("a=1")
os.unlink(os.path.join(keyless.dir, "secret.key"))
result = keyless.run("doctor", "-o", "json")
check("a lost secret key is found by doctor", result.status == 1 and
      any(c["check"] == "secret key" and c["verdict"] == "wrong" for c in result.json()["checks"]), result)
check("an error is one document", json.loads(store.run("import", fifo, "-o", "json").out)["error"]["code"] == "invalid")
done()
