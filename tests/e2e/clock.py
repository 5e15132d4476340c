#!/usr/bin/python3
"""Clocks that are ten years off, in both directions, and that go back while changes are written: order is by record, and a time
means the newest record that is not later than it."""

import shutil
import subprocess

from support import CONFLICT, OK, PROGRAM, Result, Store, check, done, environment, skip

FAKETIME = shutil.which("faketime")
AHEAD, BACK, NOW = "+3650d", "-3650d", "+0d"


def works():
    """Some builds (with sanitizers) do not take a library that is loaded before all others."""
    if not FAKETIME:
        return False
    shown = subprocess.run([FAKETIME, "-f", AHEAD, PROGRAM, "--version"], capture_output=True, env=environment(), check=False)
    return shown.returncode == 0


def at(store, offset, *words):
    """Runs the program with its clock off by so much."""
    argv = [FAKETIME, "-f", offset, PROGRAM, "--state-dir", store.dir, *words]
    process = subprocess.run(argv, capture_output=True, timeout=60, env=environment(), cwd=store.base, check=False)
    return Result(argv, process.returncode, process.stdout, process.stderr)


def put(store, offset, *pairs):
    result = at(store, offset, "set", *pairs, "--reason", "test")
    if result.status != OK:
        check(f"a change with the clock at {offset}", False, result)


def history(store):
    return store.run("history", "--all", "--limit", "0", "-o", "json").json()["history"]


def target(store, name):
    """What a revision's state holds, by key, going by a name for it."""
    result = store.run("list", "--at", name, "-o", "json")
    return {item["key"]: item["value"] for item in result.json()["items"]} if result.status == OK else result


def undo(store, offset, rollback):
    return at(store, offset, "rollback", "undo", rollback.json()["rollback"], "--yes")


def main():
    if not works():
        skip("clocks that are off", "faketime is not there, or this build does not take it")
        return
    store = Store()
    # now, ahead, back, ahead again, now
    for n, offset in enumerate((NOW, AHEAD, BACK, AHEAD, NOW), 1):
        put(store, offset, f"a={n}", f"only/{n}={n}")
    records = history(store)
    check("order is by record", [r["seq"] for r in records] == [5, 4, 3, 2, 1], records)
    times = {r["seq"]: r["time"] for r in records}
    check("each record says what its clock said", times[2] > times[1] and times[4] > times[5] and times[3] < times[1] and
          times[5] >= times[1], times)
    check("the newest change counts, whatever its time", store.get("a") == 5 and len(store.values("only/")) == 5, store.values())
    check("the state of each revision is its own", [target(store, f"r{n}")["a"] for n in range(1, 6)] == [1, 2, 3, 4, 5])
    changes = store.run("history", "a", "-o", "json").json()["history"]
    check("the history of a key is in order", [c["seq"] for c in changes] == [5, 4, 3, 2, 1], changes)
    check("@-1 is the one before", target(store, "@-1")["a"] == 4, target(store, "@-1"))

    # times: the newest record that is not later
    check("at the time of the newest record: itself", target(store, times[5])["a"] == 5, target(store, times[5]))
    check("in the far future: the newest", target(store, "2199-01-01T00:00:00Z")["a"] == 5)
    between = times[1][:4]
    past = f"{int(between) - 3}-01-01T00:00:00Z"
    check("three years ago: the newest whose clock was back then", target(store, past)["a"] == 3, target(store, past))
    future = f"{int(between) + 3}-01-01T00:00:00Z"
    check("in three years: the newest, not one from beyond", target(store, future)["a"] == 5, target(store, future))
    result = store.run("list", "--at", "1999-01-01T00:00:00Z")
    check("before any: said so", result.status != OK and "1999" in result.message, result)

    # verification does not mind
    result = store.run("recover", "verify")
    check("it verifies", result.status == OK, result)
    check("doctor agrees", store.run("doctor").status == OK, store.run("doctor"))

    # marks and rollbacks with clocks that are off
    store.run("mark", "good", "r2")
    at(store, BACK, "mark", "good", "r4")
    before = store.values()
    result = at(store, BACK, "rollback", "config", "--to", "good", "--reason", "other: x", "--yes", "-o", "json")
    check("the known good is chosen by record", result.status == OK and store.get("a") == 4, result)
    result = undo(store, AHEAD, result)
    check("a rollback of ten years ago is undone ten years ahead", result.status == OK and store.values() == before, result)
    listed = store.run("rollback", "list", "-o", "json")
    check("rollbacks have names of their own", listed.status == OK, listed)
    for offset in (AHEAD, BACK, NOW):
        result = at(store, offset, "rollback", "config", "--to", "r1", "--reason", "other: x", "--yes", "-o", "json")
        check(f"a rollback at {offset}", result.status == OK and store.get("a") == 1, result)
        result = undo(store, offset, result)
        check(f"and its undoing at {offset}", result.status == OK and store.get("a") == 5, result)
    result = at(store, AHEAD, "set", "a=7", "--reason", "x", "--if-change", "a=5")
    check("compare-and-set goes by change numbers", result.status == CONFLICT and store.get("a") == 5, result)
    check("and it still verifies", store.run("recover", "verify").status == OK)

    # a clock that creeps backwards while one process after the other writes
    store = Store()
    for n in range(8):
        put(store, f"-{n * 400}d", f"k={n}")
    records = history(store)
    check("a clock that goes back does not turn the order", [r["seq"] for r in records] == list(range(8, 0, -1)) and
          store.get("k") == 7, records)
    check("nor the chain", store.run("recover", "verify").status == OK)


main()
done()
