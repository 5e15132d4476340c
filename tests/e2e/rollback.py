#!/usr/bin/python3
"""Rollback of the configuration: what is shown is what runs, it is proven, and it can be taken back."""

import json
import os
import pty
import select
import subprocess
import time

from support import (CONFLICT, HELD, INVALID, NOT_FOUND, OK, PROGRAM, USAGE, Store, check, done, environment)

REASON = ("--reason", "other: test")


def store_with_history():
    store = Store()
    store.set("web/port=8080", "web/host=a", "db/name=x")  # r1
    store.set("web/port=9999", "db/name=y")  # r2
    store.set("web/new=1")  # r3
    return store


def rollback(store, *words, **options):
    return store.run("rollback", "config", *words, **options)


def at_terminal(store, answer, *words):
    """Runs the program with a terminal, types the answer when asked, returns (status, everything it said)."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(PROGRAM, [PROGRAM, "--state-dir", store.dir, *words], environment({"TERM": "xterm"}))
    said, typed, deadline = b"", False, time.monotonic() + 30
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            try:
                data = os.read(terminal, 4096)
            except OSError:
                break
            if not data:
                break
            said += data
        if not typed and b"Type yes to go on: " in said:
            os.write(terminal, answer)
            typed = True
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode("utf-8", "replace")


# --- what must be said
store = store_with_history()
before = store.state()
check("a target is needed", rollback(store, *REASON).status == USAGE)
check("a reason is needed", rollback(store, "--to", "r1").status == USAGE)
result = rollback(store, "--to", "r1", "--reason", "because")
check("a reason has a code", result.status == USAGE and "security" in result.message, result)
result = rollback(store, "--to", "r1", *REASON)
check("without a terminal --yes is needed", result.status == USAGE and "--yes" in result.message, result)
check("an unknown revision", rollback(store, "--to", "r77", *REASON, "--yes").status == NOT_FOUND)
check("no known good", rollback(store, "--to", "good", *REASON, "--yes").status == NOT_FOUND)
check("a prefix ends in '/'", rollback(store, "--to", "r1", "--prefix", "web", *REASON).status == USAGE)
check("a file that is not there", rollback(store, "--to", "./nothing.json", *REASON, "--yes").status == NOT_FOUND)
check("nothing was changed by all that", store.state() == before)

# --- dry run
result = rollback(store, "--to", "r1", *REASON, "--dry-run", "-o", "json")
plan = result.json()
check("a dry run shows each key before and after",
      plan["changes"] == [{"key": "db/name", "before": "y", "after": "x"}, {"key": "web/new", "before": 1},
                          {"key": "web/port", "before": 9999, "after": 8080}], result)
check("and the plan's hash", len(plan["hash"]) == 64 and plan["count"] == 3, plan)
check("the same plan has the same hash",
      rollback(store, "--to", "r1", *REASON, "--dry-run", "-o", "json").json()["hash"] == plan["hash"])
check("a dry run changes nothing", store.state() == before)

# --- scope, run, hold, proof
result = rollback(store, "--to", "r1", "--prefix", "web/", *REASON, "--yes", "-o", "json")
outcome = result.json()
check("it is done", result.status == OK and outcome["outcome"] == "done", result)
check("its scope went back", store.values("web/") == {"web/host": "a", "web/port": 8080}, store.values())
check("the rest did not", store.get("db/name") == "y")
check("it was validated", outcome["validation"]["ok"] is True, outcome)
check("a hold is in force", outcome["hold"] == store.run("hold", "-o", "json").json()["holds"][0]["hold"], outcome)
held = store.set("web/port=1")
check("the hold refuses, and says how to go on", held.status == HELD and "lastgood release" in held.message, held)
check("elsewhere changes go on", store.set("db/name=z").status == OK)
check("history shows a restore", store.run("history", "web/port", "-o", "json").json()["history"][0]["kind"] == "restore")
check("the restore is a new change of the key", store.run("get", "web/port", "-o", "json").json()["change"] == outcome["revision"])
check("what was left is quarantined", store.run("get", "web/port", "--at", "good").status == NOT_FOUND)
listed = store.run("rollback", "list", "-o", "json").json()["rollbacks"]
check("rollback list", [r["id"] for r in listed] == [outcome["rollback"]] and listed[0]["state"] == "done", listed)
shown = store.run("rollback", "show", outcome["rollback"])
check("rollback show", shown.status == OK and "other: test" in shown.text and "done" in shown.text, shown)
check("rollback show of none", store.run("rollback", "show", "20000101-000000-000000").status == NOT_FOUND)

# --- again, and undo
result = rollback(store, "--to", "r1", "--prefix", "web/", *REASON, "--yes")
check("to where it is already: nothing happens", result.status == OK and "nothing differs" in result.text, result)
result = store.run("rollback", "undo", outcome["rollback"], "--yes", "-o", "json")
check("undo", result.status == OK and result.json()["outcome"] == "done", result)
check("the scope is as it was before", store.values("web/") == {"web/host": "a", "web/new": 1, "web/port": 9999},
      store.values())
check("what was changed since stays", store.get("db/name") == "z")
check("undo releases the hold", store.set("web/port=2").status == OK)
check("nothing to resume", "no rollback is unfinished" in store.run("rollback", "resume").text)

# --- @-1, good, key, except, time
store = store_with_history()
store.set("web/port=7")
check("to @-1", rollback(store, "--to", "@-1", *REASON, "--yes").status == OK and store.get("web/port") == 9999)
store = store_with_history()
store.run("mark", "good", "r1")
check("to good", rollback(store, "--to", "good", *REASON, "--yes").status == OK and store.get("web/port") == 8080)
store = store_with_history()
check("one key", rollback(store, "--to", "r1", "--key", "db/name", *REASON, "--yes").status == OK and
      store.values() == {"db/name": "x", "web/host": "a", "web/new": 1, "web/port": 9999}, store.values())
store = store_with_history()
check("all but", rollback(store, "--to", "r1", "--except", "web/", *REASON, "--yes").status == OK and
      store.get("web/port") == 9999 and store.get("db/name") == "x", store.values())
check("everything, exactly", rollback(store, "--to", "r1", *REASON, "--yes").status == OK and
      store.run("diff", "r1", "head", "-o", "json").json()["count"] == 0)

# --- asking
store = store_with_history()
before = store.state()
for answer in (b"no\n", b"\n", b"y\n", b"YES\n", b"yes please\n"):
    status, said = at_terminal(store, answer, "rollback", "config", "--to", "r1", *REASON)
    check(f"the answer {answer!r} cancels with status 0", status == 0 and "Rollback cancelled" in said, said)
check("nothing was changed", store.state() == before and not store.run("rollback", "list", "-o", "json").json()["rollbacks"])
status, said = at_terminal(store, b"yes\n", "rollback", "config", "--to", "r1", *REASON)
check("yes goes on", status == 0 and store.get("web/port") == 8080, said)
check("the radius is shown before the question", said.index("3 keys") < said.index("Type yes"), said)
check("it is coloured on a terminal", "\x1b[" in said, said)
check("how to take it back is said", "lastgood rollback undo" in said and "lastgood release" in said, said)

# --- a backup file
store = store_with_history()
backup = store.file("backup.json", json.dumps({"configurations": {
    "web/port": {"value": 1234}, "web/host": {"value": "a"}, "db/name": {"value": "w"}}}))
result = rollback(store, "--to", backup, *REASON, "--yes", "-o", "json")
check("to a backup file", result.status == OK and store.values() == {"db/name": "w", "web/host": "a", "web/new": 1,
                                                                    "web/port": 1234}, result)
check("each key's outcome", {k["key"]: k["outcome"] for k in result.json()["keys"]} ==
      {"web/port": "restored", "db/name": "restored", "web/host": "unchanged"}, result)
check("recorded as scripts do", store.run("show", "head", "-o", "json").json()["actor"] == "rollback_script")
store = store_with_history()
result = rollback(store, "--to", backup, "--exact", *REASON, "--yes")
check("--exact removes what the file lacks", "web/new" not in store.values() and "web/new: removed" in result.text, result)
check("the count is said", "2 restored, 1 unchanged, 1 removed" in result.text, result)
store = store_with_history()
store.run("schema", "set", "web/port", '{"type":"int","min":1,"max":65535}')
broken = store.file("broken.json", json.dumps({"configurations": {
    "web/port": {"value": "high"}, "a//b": {"value": 1}, "db/name": {"value": "w"}}}))
before = store.state()
result = rollback(store, "--to", broken, *REASON, "--yes")
check("any invalid key refuses all, each listed", result.status == INVALID and "web/port" in result.message and
      "a//b" in result.message and store.state() == before, result)
result = rollback(store, "--to", broken, "--skip-invalid", *REASON, "--yes", "-o", "json")
outcomes = {k["key"]: k["outcome"] for k in result.json()["keys"]}
check("--skip-invalid takes the valid ones", result.status == OK and store.get("db/name") == "w" and
      store.get("web/port") == 9999, result)
check("and says what was left out", outcomes["web/port"].startswith("left out"), outcomes)
cut = store.file("cut.json", open(backup, "rb").read()[:40])
before = store.state()
result = rollback(store, "--to", cut, *REASON, "--yes")
check("a backup file cut short is refused", result.status == INVALID and "line" in result.message and
      store.state() == before, result)

# --- an interrupted rollback is seen by every command, finished by resume
store = store_with_history()
rollback(store, "--to", "r1", *REASON, "--yes")
identity = store.run("rollback", "list", "-o", "json").json()["rollbacks"][0]["id"]
journal = os.path.join(store.dir, "rollbacks", identity, "journal")
with open(journal, "rb") as file:
    lines = file.readlines()
with open(journal, "wb") as file:
    file.writelines(line for line in lines if b" ended " not in line)
result = store.run("list")
check("every command warns", result.status == OK and f"rollback resume {identity}" in result.message, result)
result = store.run("rollback", "resume", identity)
check("resume finishes it", result.status == OK and identity not in store.run("list").message, result)
check("what it restored stands", store.get("web/port") == 8080)

# --- a plan does not outlive what it was made for
store = store_with_history()
pid, terminal = pty.fork()
if pid == 0:
    os.execve(PROGRAM, [PROGRAM, "--state-dir", store.dir, "rollback", "config", "--to", "r1", *REASON], environment())
said = b""
while b"Type yes" not in said:
    said += os.read(terminal, 4096)
store.set("web/port=5555")
os.write(terminal, b"yes\n")
try:
    while True:
        said += os.read(terminal, 4096)
except OSError:
    pass
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
check("a stale plan is refused", status == CONFLICT and store.get("web/port") == 5555, (status, said))
done()
