#!/usr/bin/python3
"""Rollback of the configuration: what is shown is what runs, it is proven, and it can be taken back."""

import json
import os
import pty

from support import (CONFLICT, HELD, INVALID, NOT_FOUND, OK, PROGRAM, USAGE, Store, at_terminal, check, done, environment)

REASON = ("--reason", "other: test")


def store_with_history():
    store = Store()
    store.set("web/port=8080", "web/host=a", "db/name=x")  # r1
    store.set("web/port=9999", "db/name=y")  # r2
    store.set("web/new=1")  # r3
    return store


def rollback(store, *words, **options):
    return store.run("rollback", "config", *words, **options)


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

# --- one revision
def revert(store, revision, *words):
    return rollback(store, "--revert", revision, *REASON, *words)


store = store_with_history()
store.set("web/port=7777", "late=1")  # r4
before = store.state()
result = revert(store, "r2", "--yes")
check("a key that was changed since refuses all", result.status == CONFLICT and store.state() == before and
      "1 of 2 keys" in result.message and "web/port: r4 changed it since: then 9999, now 7777" in result.message and
      "--skip-conflicts" in result.message and "--force" in result.message and result.out == b"", result)
result = revert(store, "r2", "--yes", "-o", "json")
check("also for programs", result.status == CONFLICT and result.json()["error"]["problems"] == [
    {"subject": "web/port", "message": "r4 changed it since: then 9999, now 7777"}], result)
result = revert(store, "r2", "--skip-conflicts", "--dry-run", "-o", "json")
plan = result.json()
check("a dry run shows what is taken back and what is left out", result.status == OK and plan["plan"]["revert"] == 2 and
      plan["changes"] == [{"key": "db/name", "before": "y", "after": "x"}] and
      plan["plan"]["conflicts"] == [{"key": "web/port", "revision": 4, "then": 9999, "now": 7777}], result)
check("and changes nothing", store.state() == before)
result = revert(store, "r2", "--skip-conflicts")
check("it is not done without being asked for", result.status == USAGE and store.state() == before, result)
result = revert(store, "r2", "--skip-conflicts", "--yes")
check("the others are taken back", result.status == OK and store.values() == {
    "db/name": "x", "late": 1, "web/host": "a", "web/new": 1, "web/port": 7777}, result)
check("what is left out is shown", "left out" in result.text and "7777" in result.text and "r4" in result.text, result)
check("it is one change", store.run("show", "r5", "-o", "json").json()["kind"] == "change")
held = store.set("db/name=z")
check("what was taken back is held", held.status == HELD, held)
check("the rest is not", store.set("web/new=2").status == OK)
check("the revision is marked bad", [(m["revision"], m["mark"]) for m in store.run("mark", "-o", "json").json()["marks"]] ==
      [(2, "bad")])
identity = store.run("rollback", "list", "-o", "json").json()["rollbacks"][0]["id"]
shown = store.run("rollback", "show", identity)
check("rollback show tells what it was", "revert r2" in shown.text and "db/name" in shown.text, shown)
listed = store.run("history")
check("and so does the history", "taking back r2" in listed.text, listed)
check("undo", store.run("rollback", "undo", identity, "--yes").status == OK and store.get("db/name") == "y" and
      store.get("web/new") == 2 and store.set("db/name=y2").status == OK, store.values())
result = revert(store, "r2", "--force", "--yes")
check("--force takes all back", result.status == OK and store.get("web/port") == 8080 and store.get("db/name") == "x", result)
result = revert(store, "r2", "--yes")
check("a second time there is nothing left", result.status == OK and "nothing left to take back" in result.text, result)
result = revert(store, "head", "--yes")
check("a revert is taken back like any revision", result.status == OK and store.get("web/port") == 7777, result)

store = store_with_history()
result = revert(store, "r1", "--key", "web/host", "--yes")
check("a part of it", result.status == OK and "web/host" not in store.values() and store.get("web/port") == 9999, result)
rollback(store, "--to", "r1", "--prefix", "db/", *REASON, "--yes")
restored = store.run("history", "db/name", "-o", "json").json()["history"][0]
check("a rollback is taken back", restored["kind"] == "restore" and
      revert(store, f"r{restored['seq']}", "--yes").status == OK and store.get("db/name") == "y", restored)

store = store_with_history()
store.run("mark", "good", "r2")  # 4
store.run("hold", "zone/", "--reason", "test")  # h5
before = store.state()
for what, words, status, needles in (
        ("with --to", ("--revert", "r2", "--to", "r1"), USAGE, ("--to", "--revert")),
        ("--exact", ("--revert", "r2", "--exact"), USAGE, ("--exact", "backup file")),
        ("--skip-invalid", ("--revert", "r2", "--skip-invalid"), USAGE, ("--skip-invalid",)),
        ("--force without it", ("--to", "r1", "--force"), USAGE, ("--force", "--revert")),
        ("--skip-conflicts without it", ("--to", "r1", "--skip-conflicts"), USAGE, ("--revert",)),
        ("both", ("--revert", "r2", "--force", "--skip-conflicts"), USAGE, ("--force",)),
        ("of r0", ("--revert", "r0"), NOT_FOUND, ("r0", "empty state")),
        ("of the future", ("--revert", "r99"), NOT_FOUND, ("r99", "newest record is r5")),
        ("of a mark", ("--revert", "r4"), INVALID, ("mark", "lastgood history")),
        ("of a hold", ("--revert", "r5"), INVALID, ("lastgood release h5",)),
        ("of no revision", ("--revert", "@-1"), INVALID, ("@-1",)),
        ("of nothing in its scope", ("--revert", "r3", "--prefix", "db/"), INVALID, ("db/", "lastgood show r3"))):
    result = rollback(store, *words, *REASON, "--yes")
    check(f"revert {what} is refused", result.status == status and all(n in result.message for n in needles), result)
check("nothing was changed by all that", store.state() == before)

store = Store()
store.run("schema", "set", "db/password", '{"type":"secret"}')  # r1
store.set("db/password=hunter1", "port=90")  # r2
store.set("db/password=hunter2", "port=9")  # r3
store.set("db/password=hunter3")  # r4
store.run("schema", "set", "port", '{"type":"int","max":10}')  # r5
results = [revert(store, "r3", "--yes"), revert(store, "r3", "--yes", "-o", "json"),
           revert(store, "r3", "--force", "--dry-run"), revert(store, "r3", "--skip-conflicts", "--yes")]
check("secrets are not shown", not any(b"hunter" in r.out + r.err for r in results) and "<secret>" in results[0].message,
      "\n".join(map(str, results)))
check("values must fit the declarations of today", results[3].status == INVALID and "port" in results[3].message and
      "90" in results[3].message, results[3])
result = revert(store, "r3", "--key", "db/password", "--force", "--yes")
check("a secret comes back", result.status == OK and b"hunter" not in result.out + result.err and
      store.run("get", "db/password", "--reveal").text.strip() in ("hunter1", '"hunter1"'), result)

# --- r0
store = Store()
backup = store.file("first.json", json.dumps({"configurations": {"a": {"value": 1}}}))
check("a rollback on an empty store", rollback(store, "--to", backup, *REASON, "--yes").status == OK and store.get("a") == 1)
identity = store.run("rollback", "list", "-o", "json").json()["rollbacks"][0]["id"]
result = store.run("rollback", "undo", identity, "--yes")
check("can be undone", result.status == OK and store.values() == {}, result)
store = store_with_history()
result = rollback(store, "--to", "r0", *REASON, "--yes")
check("to the empty state before the first revision", result.status == OK and store.values() == {} and
      "empty state" in result.text, result)
check("and back", rollback(store, "--to", "r3", *REASON, "--yes").status == OK and store.get("web/port") == 9999)
result = store.run("mark", "good", "r0")
check("it cannot be marked", result.status == INVALID and "r0" in result.message, result)
for words in (("show", "r0"), ("recover", "at", "r0")):
    result = store.run(*words)
    check(f"{' '.join(words)} says what r0 is", result.status == NOT_FOUND and "empty state" in result.message, result)
check("and the state of r0 is empty", store.values("--at", "r0") == {} and
      store.run("diff", "r0", "r1", "-o", "json").json()["count"] == 3)

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
