#!/usr/bin/python3
"""Attempts that are refused are on record, once a minute at most, and no secret with them."""

import os

from support import HELD, INVALID, OK, USAGE, Store, check, done


def refusals(store):
    return [r for r in store.run("history", "--limit", "0", "-o", "json").json()["history"] if r["kind"] == "refusal"]


def waiting(store):
    return store.run("history", "-o", "json").json()["refusals_waiting"]


def first(store):
    """What the oldest record of such says."""
    return store.run("show", str(refusals(store)[-1]["seq"]), "-o", "json").json()["body"]["refusals"]


store = Store()
store.run("schema", "set", "web/port", '{"type":"int","max":65535}')
store.set("web/port=80")
before = store.state()
check("a dry run leaves nothing", store.run("set", "web/port=x", "--reason", "x", "--dry-run").status == INVALID and
      not refusals(store) and waiting(store) == 0)
check("nor does a usage error", store.run("set", "web/port=x").status == USAGE and not refusals(store))
check("a change that is refused", store.set("web/port=70000", "fine=1").status == INVALID)
check("is on record at once", [(r["action"], r["actor"], r["code"], r["count"], r["keys"]) for r in first(store)] ==
      [("set", "tester", "invalid", 1, ["web/port"])], first(store))
check("with its reason", "above the maximum 65535" in first(store)[0]["message"], first(store))
text = store.run("history").text
check("history shows it", "refusal" in text and "1 × set by tester (invalid): web/port" in text, text)
text = store.run("show", str(refusals(store)[0]["seq"])).text
check("show, too", "1 × set by tester (invalid): web/port: " in text, text)
check("with its time", "refused 20" in text, text)
check("it changed nothing", store.state() == before and "fine" not in store.values())
hold = store.run("hold", "web/", "--reason", "audit", "-o", "json").json()["hold"]
for number in range(5):
    check(f"{number}: held", store.set(f"web/k{number}=1").status == HELD)
bad = store.file("bad.json", '{"configurations": {"a//b": {"value": 1}, "nov": {}}}')
check("an import that cannot be read", store.run("import", bad).status == INVALID)
check("the others wait", len(refusals(store)) == 1 and waiting(store) == 6, waiting(store))
check("and history says so", "6 more refused attempts wait" in store.run("history").message, store.run("history"))
check("the history of a key does not", "refused" not in store.run("history", "web/port").message)
check("the state file is private", os.stat(os.path.join(store.dir, "refusals.json")).st_mode & 0o077 == 0)
check("@-1 goes by states", store.get("web/port", "--at", "head") == 80)
check("doctor finds nothing wrong", store.run("doctor").status == OK, store.run("doctor"))
store.run("release", hold, "--reason", "done")

# each way of being refused, in a store of its own so that the first record is its own
declaration = '{"type":"secret","pattern":"^[a-z]+$"}'
for name, words, action, code in (
        ("set, no key", ("set", "a//b=HUNTER2", "--reason", "x"), "set", "invalid"),
        ("set, no JSON", ("set", 'd={"HUNTER2', "--reason", "x"), "set", "invalid"),
        ("set, a secret", ("set", "token=HUNTER2", "--reason", "x"), "set", "invalid"),
        ("set, strict", ("set", "strict/x=HUNTER2", "--reason", "x"), "set", "invalid"),
        ("set, held", ("set", "held/x=HUNTER2", "--reason", "x"), "set", "held"),
        ("unset, held", ("unset", "held/a", "--reason", "x"), "unset", "held"),
        ("import", ("import", "secrets.json", "--reason", "x"), "import", "invalid"),
        ("a declaration", ("schema", "set", "token2", '{"type":"HUNTER"}'), "schema set", "invalid"),
        ("a declaration that the value does not satisfy",
         ("schema", "set", "plain", '{"type":"int","secret":true}'), "schema set", "invalid"),
        ("a rollback to a bad file", ("rollback", "config", "--to", "secrets.json", "--reason", "other: x", "--yes"),
         "rollback config", "invalid"),
        ("recover key, not asked yet", ("recover", "key", "held/a", "--from", "r1", "--reason", "x"), "recover key", "held"),
        ("recover key", ("recover", "key", "held/a", "--from", "r1", "--reason", "x", "--yes"), "recover key", "held")):
    other = Store()
    other.set("held/a=1", "plain=readable")
    other.set("held/a=2")
    other.run("schema", "set", "token", declaration)
    other.run("schema", "strict", "on", "strict/")
    other.file("secrets.json", '{"configurations": {"token": {"value": "HUNTER2"}, "strict/y": {"value": ["HUNTER2"]}}}')
    other.run("hold", "held/", "--reason", "x")
    before = other.state()
    result = other.run(*words)
    found = first(other) if refusals(other) else []
    check(f"{name}: it is refused, and on record as what it was", result.status == (HELD if code == "held" else INVALID) and
          [(r["action"], r["code"], r["count"]) for r in found] == [(action, code, 1)], f"{result}\n{found}")
    check(f"{name}: nothing else is changed", other.state() == before)
    if "HUNTER2" in str(words) + "secrets.json":
        leaks = []
        for file in os.listdir(other.dir):
            path = os.path.join(other.dir, file)
            if os.path.isfile(path):
                with open(path, "rb") as opened:
                    leaks += [file] if b"HUNTER2" in opened.read() else []
        check(f"{name}: no file of the store has the secret", not leaks, leaks)
done()
