#!/usr/bin/python3
"""A damaged store, and the new one that is made of it."""

import json
import os
import sqlite3

from support import CONFLICT, CORRUPT, INVALID, NOT_FOUND, OK, USAGE, Store, check, done


def contents(directory):
    found = {}
    for root, _, files in os.walk(directory):
        for name in files:
            path = os.path.join(root, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, directory)] = file.read()
    return found


def store_at(path):
    """A store that is there already."""
    other = Store(init=False)
    other.dir = path
    return other


def into_file(directory):
    database = sqlite3.connect(os.path.join(directory, "log.db"))
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ids = dict(database.execute("SELECT seq, id FROM record"))
    database.close()
    return ids


def spoil(directory, seq_id):
    """The row with this id, from its header on: SQLite calls the whole page malformed."""
    path = os.path.join(directory, "log.db")
    with open(path, "r+b") as file:
        data = file.read()
        at = data.index(seq_id)
        file.seek(at - 11)
        file.write(b"\xee" * 27)


store = Store()
store.set("web/port=80")  # r1
store.set("web/host=a", "web/port=81")  # r2
store.set("db/url=x")  # r3
store.set("web/port=82")  # r4
directory = store.dir
ids = into_file(directory)
spoil(directory, ids[2])
before = contents(directory)

check("--to is wanted", store.run("recover", "salvage").status == USAGE)
result = store.run("recover", "salvage", "--dry-run")
check("a dry run says what is lost", result.status == CORRUPT and "nothing was written" in result.text and
      "r2, change: it cannot be read" in result.text, result)
check("and writes nothing", contents(directory) == before)

target = os.path.join(store.base, "new")
result = store.run("recover", "salvage", "--to", target)
check("a new store, and the status says that something is lost", result.status == CORRUPT and os.path.isdir(target),
      result)
check("the newest state is proven by nothing", "NOT PROVEN" in result.text, result)
check("the damaged store is as it was", contents(directory) == before)
check("so are the secrets' key and its mode", contents(target)["secret.key"] == before["secret.key"] and
      os.stat(os.path.join(target, "secret.key")).st_mode & 0o777 == 0o600)
with open(os.path.join(target, "salvage.txt"), encoding="utf-8") as file:
    check("the report is kept", "r2, change: it cannot be read" in file.read())
with open(os.path.join(target, "salvage.json"), encoding="utf-8") as file:
    report = json.load(file)
check("as a document, too", report["records"] == {"head": 4, "proven": 3, "lost": 1, "unproven": 0, "dropped_before": 0} and
      report["complete"] is False, report)

made = store_at(target)
result = made.run("recover", "verify")
check("the new store verifies", result.status == OK, result)
values = (made.run("get", "db/url").text, made.run("get", "web/port").text, made.run("get", "web/host").status)
check("it has what later changes set, on the newest state that is proven", values == ("x\n", "82\n", NOT_FOUND), values)
result = made.run("show", "2")
check("what is lost is said to be lost", result.status == NOT_FOUND and "lost" in result.message, result)
result = made.run("set", "web/host=b", "--reason", "again")
check("and it takes changes", result.status == OK, result)
history = made.run("history", "--limit", "0", "-o", "json").json()["history"]
check("the salvage is on record", any(h["kind"] == "salvage" and h["actor"] == "salvage" for h in history), history)

result = store.run("recover", "salvage", "--to", target)
check("a directory that is taken is refused", result.status == CONFLICT and "not empty" in result.message, result)
result = store.run("recover", "salvage", "--to", os.path.join(directory, "inside"))
check("so is one inside the damaged store", result.status == INVALID, result)
result = store.run("recover", "salvage", "--from", os.path.join(store.base, "nowhere"), "--dry-run")
check("where there is nothing there is nothing to salvage", result.status == NOT_FOUND, result)
result = store.run("recover", "salvage", "--dry-run", "-o", "json")
check("one document on standard output", result.status == CORRUPT and result.json()["format"] == "lastgood salvage 1",
      result)

whole = Store()
whole.set("a=1")
target = os.path.join(whole.base, "copy")
result = whole.run("recover", "salvage", "--to", target)
check("nothing lost is exit status 0", result.status == OK and "everything could be recovered" in result.text, result)
check("and the same state", store_at(target).run("get", "a").text == "1\n")
done()
