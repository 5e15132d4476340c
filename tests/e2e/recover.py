#!/usr/bin/python3
"""What is not there any more: a state at a moment, a value that a key had."""

import os

from support import HELD, INVALID, NOT_FOUND, OK, USAGE, Store, at_terminal, check, done

store = Store()
store.set("web/port=80", "web/host=a")  # r1
store.set("web/port=81", "other=1")  # r2
store.run("unset", "web/port", "--reason", "a slip")  # r3
store.run("mark", "good", "r2", "--reason", "it ran")  # 4
history = {h["seq"]: h for h in store.run("history", "-o", "json").json()["history"]}

# --- at
found = store.run("recover", "at", "r2", "-o", "json")
answer = found.json()
check("the state at a revision", answer["revision"] == 2 and answer["keys"] == 3 and answer["next"] == 3, found)
check("its root is the record's, and proven", answer["root"] == history[2]["root"] and answer["proven"] is True, found)
check("who made it, when and why", (answer["actor"], answer["reason"], answer["time"]) ==
      (history[2]["actor"], history[2]["reason"], history[2]["time"]), found)
check("what going back would change", answer["differs"] == {"added": 1, "removed": 0, "changed": 0} and
      answer["first_changes"] == [{"key": "web/port", "after": 81}], found)
check("the number of a mark stands for the revision that was in force",
      store.run("recover", "at", "4", "-o", "json").json()["revision"] == 3)
for seq in (1, 2, 3):
    found = store.run("recover", "at", history[seq]["time"], "-o", "json")
    check(f"the state at the time of r{seq}", found.json()["revision"] == seq, found)
found = store.run("recover", "at", "2999-01-01", "-o", "json").json()
check("the newest is in force until something follows", found["revision"] == 3 and "next" not in found, found)
check("before anything was recorded there is nothing", store.run("recover", "at", "1999-01-01").status == NOT_FOUND)
check("a file is no moment", store.run("recover", "at", "x.json").status == USAGE)
check("nor is there anything in r0", store.run("recover", "at", "r0").status == NOT_FOUND)
check("nonsense is no moment", store.run("recover", "at", "yesterday-ish").status == INVALID)
found = store.run("recover", "at", "r1", "--prefix", "web/", "-o", "json").json()
check("a scope", found["keys"] == 2 and found["differs"] == {"added": 1, "removed": 0, "changed": 0}, found)
check("and the command that goes back to just that",
      found["rollback"] == "lastgood rollback config --to r1 --prefix web/ --reason 'CODE: TEXT'", found)
text = store.run("recover", "at", "r2")
check("for people, too", all(word in text.text for word in ("r2", "proven", "web/port", "rollback config --to r2",
                                                          "recover key KEY --from r2")), text)

# --- as a backup file
path = os.path.join(store.base, "then.json")
result = store.run("recover", "at", "r2", "--to", path)
check("written as a file", result.status == OK and os.stat(path).st_mode & 0o077 == 0, result)
with open(path, "rb") as file:
    written = file.read()
check("the same as export writes", written == store.run("export", "--at", "r2").out, written)
check("and to standard output", store.run("recover", "at", "r2", "--to", "-").out == written)
check("in another format", store.run("recover", "at", "r2", "--to", "-", "--format", "env").out ==
      store.run("export", "--at", "r2", "--format", "env").out)
check("a format without a file is a usage error", store.run("recover", "at", "r2", "--format", "env").status == USAGE)
result = store.run("recover", "at", "r1", "--to", os.path.join(store.base, "no", "such", "dir.json"))
check("a file that cannot be written", result.status == NOT_FOUND and "no/such" in result.message, result)
other = Store()
check("imported elsewhere it has the root", other.run("import", path).status == OK and
      other.state()[3] == history[2]["root"], other.state())
result = store.run("rollback", "config", "--to", path, "--exact", "--reason", "corruption: test", "--yes")
check("and it is the target of a rollback", result.status == OK and store.state()[3] == history[2]["root"], result)
store.run("release", store.run("hold", "-o", "json").json()["holds"][0]["hold"], "--reason", "done")

# --- every value of a key
store = Store()
store.set("a/k=1", "a/other=x")  # r1
store.set("a/k=2")  # r2
store.set("a/other=y")  # r3
store.run("unset", "a/k", "--reason", "gone")  # r4
store.run("rollback", "config", "--to", "r1", "--reason", "other: test", "--yes")  # r5
store.run("release", store.run("hold", "-o", "json").json()["holds"][0]["hold"], "--reason", "done")
store.run("rollback", "config", "--to", "r1", "--reason", "other: nothing differs", "--yes")
store.set("a/other=z")
back = store.run("rollback", "config", "--to", "r2", "--prefix", "a/", "--reason", "other: test", "--yes", "-o", "json")
store.run("release", store.run("hold", "-o", "json").json()["holds"][0]["hold"], "--reason", "done")
values = store.run("recover", "key", "a/k", "-o", "json").json()
seen = [(v["revision"], v["value"], v["same"], v.get("to")) for v in values["values"]]
check("every value, newest first, restores among them", [s[1:] for s in seen] ==
      [(2, False, 2), (1, False, 1), (None, False, None), (2, False, None), (1, False, None)], seen)
values = store.run("recover", "key", "a/other", "-o", "json").json()["values"]
check("a restore that leaves it as it was is marked", store.run("recover", "key", "a/k").text.count("as before") == 0 and
      [v["same"] for v in values] == [False] * len(values), values)
check("a limit", len(store.run("recover", "key", "a/k", "--limit", "2", "-o", "json").json()["values"]) == 2 and
      store.run("recover", "key", "a/k", "--limit", "2", "-o", "json").json()["more"] is True)
check("no limit", store.run("recover", "key", "a/k", "--limit", "0", "-o", "json").json()["more"] is False)
check("what never was", store.run("recover", "key", "a/never").status == NOT_FOUND)
store.set("session/timeout_minutes=1")
store.run("unset", "session/timeout_minutes", "--reason", "x")
for typed, meant in (("a/othre", "a/other"), ("session/timeout_minute", "session/timeout_minutes"), ("A/K", "a/k")):
    result = store.run("recover", "key", typed)
    check(f"{typed}: '{meant}' is meant, also when it is gone", result.status == NOT_FOUND and
          f"did you mean '{meant}'?" in result.message, result)
check("nothing is guessed from nothing", "did you mean" not in store.run("recover", "key", "zzzzzzzz").message)
check("a prefix is no key", store.run("recover", "key", "a/").status == USAGE)
check("a name that can be no key", store.run("recover", "key", "a//b").status == INVALID)

# --- one of them again
store.run("unset", "a/k", "--reason", "gone again")
store.before = store.state()
check("--from wants a reason", store.run("recover", "key", "a/k", "--from", "r1", "--yes").status == USAGE)
check("a reason wants --from", store.run("recover", "key", "a/k", "--reason", "x").status == USAGE)
result = store.run("recover", "key", "a/k", "--from", "r1", "--reason", "x")
check("without a terminal nobody can be asked", result.status == USAGE and "--yes" in result.message, result)
result = store.run("recover", "key", "a/k", "--from", "r4", "--reason", "x", "--yes")
check("it was not set then", result.status == NOT_FOUND and "r4" in result.message, result)
result = store.run("recover", "key", "a/k", "--from", "r2", "--reason", "x", "--dry-run", "-o", "json")
check("a dry run shows it", result.json()["changes"] == [{"key": "a/k", "after": 2}], result)
check("nothing was changed by all that", store.state() == store.before, store.state())
result = store.run("recover", "key", "a/k", "--from", "r2", "--reason", "needed after all", "--yes", "-o", "json")
check("a deleted key is back", result.status == OK and store.get("a/k") == 2, result)
check("as one change of one key, with its reason", result.json()["changed"] == 1 and
      store.run("history", "a/k", "-o", "json").json()["history"][0]["reason"] == "needed after all", result)
result = store.run("recover", "key", "a/k", "--from", "@-2", "--reason", "x", "--yes")
check("--from takes what other targets take", result.status == OK, result)
store.set("a/k=2")
result = store.run("recover", "key", "a/k", "--from", "r2", "--reason", "x")
check("what differs in nothing is not asked for", result.status == OK and "nothing differs" in result.text, result)

# --- asking
store.run("unset", "a/k", "--reason", "gone once more")
for answer in (b"no\n", b"\n", b"YES\n"):
    status, said = at_terminal(store, answer, "recover", "key", "a/k", "--from", "r2", "--reason", "x")
    check(f"{answer!r} is no", status == OK and "nothing was changed" in said and "a/k" not in store.values(), said)
status, said = at_terminal(store, b"yes\n", "recover", "key", "a/k", "--from", "r2", "--reason", "x")
check("old and new are shown before the question", "(absent)" in said.partition("Type yes")[0] and
      "2" in said.partition("Type yes")[0].partition("(absent)")[2], said)
check("yes is yes", status == OK and store.get("a/k") == 2, said)

# --- its declaration of today, holds
store.run("schema", "set", "a/k", '{"type":"int","min":2}')
result = store.run("recover", "key", "a/k", "--from", "r1", "--reason", "x", "--yes")
check("a value that is not allowed any more is refused", result.status == INVALID and "a/k" in result.message and
      store.get("a/k") == 2, result)
result = store.run("recover", "key", "a/k", "--from", "r1", "--reason", "x")
check("and that before anybody is asked", result.status == INVALID, result)
store.run("schema", "unset", "a/k")
hold = store.run("hold", "a/", "--reason", "audit", "-o", "json").json()["hold"]
check("a hold refuses it", store.run("recover", "key", "a/k", "--from", "r1", "--reason", "x", "--yes").status == HELD)
store.run("release", hold, "--reason", "done")
values = store.run("recover", "key", "@schema/a/k", "-o", "json").json()["values"]
check("a declaration has its values, too", [v["set"] for v in values] == [False, True], values)
result = store.run("recover", "key", "@schema/a/k", "--from", f"r{values[1]['revision']}", "--reason", "x", "--yes")
check("and can be had again", result.status == OK and
      store.run("schema", "show", "-o", "json").json()["schema"]["a/k"] == {"type": "int", "min": 2}, result)

# --- what retention dropped
store = Store()
for number in range(1, 9):
    store.set(f"a/k={number}")  # r1 … r8
store.set("a/gone=1")  # r9
store.run("unset", "a/gone", "--reason", "x")  # r10
store.run("mark", "good", "r3")  # 11
store.set("c=1")
store.set("c=2")
kept = store.state()[2]
times = {h["seq"]: h["time"] for h in store.run("history", "--limit", "0", "-o", "json").json()["history"]}
result = store.run("trim", "--revisions", "1", "--yes")
check("all but the newest and the known good is dropped", result.status == OK and
      [h["seq"] for h in store.run("history", "a/k", "-o", "json").json()["history"]] == [3], result)
result = store.run("recover", "at", "r5")
check("what is dropped is not there, and what is nearest is named", result.status == NOT_FOUND and
      all(w in result.message for w in ("r5", "retention", "r3", f"r{kept}")), result)
result = store.run("recover", "at", times[5], "-o", "json")
check("nor is a time in between answered with what was before", result.status == NOT_FOUND and
      "what was in force" in result.json()["error"]["message"], result)
found = store.run("recover", "at", times[3], "-o", "json").json()
check("what is pinned is there, and proven; what followed it is not known",
      (found["revision"], found["proven"], "next" in found) == (3, True, False), found)
check("and for people", "which followed, are gone" in store.run("recover", "at", "r3").text, store.run("recover", "at", "r3"))
found = store.run("recover", "key", "a/k", "-o", "json").json()
check("a value that a later state knows is listed without its record",
      [(v["revision"], v["value"], v["time"] is None) for v in found["values"]] == [(8, 8, True), (3, 3, False)] and
      found["complete"] is False, found)
check("what is missing is said", "records are gone" in store.run("recover", "key", "a/k").message)
result = store.run("recover", "key", "a/gone")
check("of a key that came and went there, nothing is known", result.status == NOT_FOUND and "are gone" in result.message, result)
store.set("a/k=99")
for revision in (8, 9, 10):
    result = store.run("recover", "key", "a/k", "--from", f"r{revision}", "--reason", "x", "--yes")
    check(f"the value at r{revision} is known from what follows", result.status == OK and store.get("a/k") == 8, result)
result = store.run("recover", "key", "a/k", "--from", "r7", "--reason", "x", "--yes")
check("that at r7 is not", result.status == NOT_FOUND and store.get("a/k") == 8, result)

# --- secrets
store = Store()
store.set("token=readable-then")
readable = store.state()[2]
store.run("schema", "set", "token", '{"type":"secret"}')
store.set("token=hunter2")
sealed = store.state()[2]
store.set("token=hunter3")
outputs = [store.run("recover", "key", "token", *more) for more in ([], ["-o", "json"], ["-o", "yaml"])]
check("secrets are not shown, nor what became one", not any(w in o.out + o.err for o in outputs for w in
      (b"hunter", b"readable-then")), [str(o) for o in outputs])
check("--reveal shows them", [v["value"] for v in store.run("recover", "key", "token", "--reveal", "-o", "json")
      .json()["values"]] == ["hunter3", "hunter2", "readable-then", "readable-then"])
result = store.run("recover", "key", "token", "--from", f"r{sealed}", "--reason", "x", "--yes")
check("a secret is restored without being shown", result.status == OK and b"hunter" not in result.out + result.err and
      store.run("get", "token", "--reveal").out == b"hunter2\n", result)
result = store.run("recover", "key", "token", "--from", f"r{readable}", "--reason", "x", "--yes")
check("a value from before it was a secret is sealed", result.status == OK and b"readable" not in result.out + result.err and
      store.run("get", "token").out == b"<secret>\n" and store.run("get", "token", "--reveal").out == b"readable-then\n",
      result)
store.run("unset", "token", "--reason", "gone")
result = store.run("recover", "key", "token", "--from", f"r{sealed}", "--reason", "x", "--yes")
check("a deleted secret is back", result.status == OK and store.run("get", "token", "--reveal").out == b"hunter2\n", result)
done()
