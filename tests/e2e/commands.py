#!/usr/bin/python3
"""The commands on an ordinary day, in all three output forms."""

import json
import os
import subprocess

from support import (CONFLICT, HELD, INVALID, NOT_FOUND, PROGRAM, USAGE, Store, check, done, environment, scratch)

store = Store()
check("a store cannot be made twice", store.run("init").status == CONFLICT)
check("the state directory is private", os.stat(store.dir).st_mode & 0o077 == 0)
check("nothing is listed in an empty store", store.run("list").out == b"")

# --- set, get, list, unset
result = store.set("web/port=8080", "web/host=example.org", 'web/list=[1,2.50,"x"]', "a=true")
check("several keys in one change", result.status == 0 and "r1" in result.text and "4 keys" in result.text, result)
check("an integer", store.run("get", "web/port").out == b"8080\n")
check("a bare word is a string, printed bare", store.run("get", "web/host").out == b"example.org\n")
check("a list, in canonical form", store.run("get", "web/list").out == b'[1,2.5,"x"]\n')
answer = store.run("get", "web/port", "-o", "json").json()
check("get as JSON", answer == {"key": "web/port", "value": 8080, "change": 1, "revision": 1}, answer)
check("members keep their order", list(answer) == ["key", "value", "change", "revision"], list(answer))
check("get as YAML", store.run("get", "web/port", "-o", "yaml").text.splitlines()[0] == "key: web/port")
check("list with a prefix", list(store.values("web/")) == ["web/host", "web/list", "web/port"])
check("a prefix without its slash is explained", "ends in '/'" in store.run("list", "we").message)
check("floats come back short", store.set("f=0.1").status == 0 and b"0.1\n" in store.run("get", "f").out)
result = store.set("web/port=8081")
check("a second value", result.status == 0 and "8080" in result.text and "8081" in result.text, result)
result = store.set("web/port=8081")
check("the same again changes nothing", result.status == 0 and "nothing differs" in result.text, result)
check("global options before the command", store.run("-o", "json", "get", "web/port").json()["value"] == 8081)
check("unset", store.run("unset", "a", "--reason", "not needed").status == 0 and "a" not in store.values())
result = store.run("unset", "a", "--reason", "again")
check("unset of what is not set is refused", result.status == NOT_FOUND and "'a'" in result.message, result)
check("a reason is needed", store.run("set", "b=1").status == USAGE)
check("a blank reason is none", store.run("set", "b=1", "--reason", "  ").status == USAGE)
result = store.run("set", "b=1", "--reason", "x", "--dry-run", "-o", "json")
check("a dry run shows and changes nothing", result.json()["changes"] == [{"key": "b", "after": 1}] and
      "b" not in store.values(), result)

# --- compare and set
change = store.run("get", "web/port", "-o", "json").json()["change"]
check("--if-change holds", store.run("set", "web/port=1", "--reason", "x", "--if-change", f"web/port={change}").status == 0)
result = store.run("set", "web/port=2", "--reason", "x", "--if-change", f"web/port={change}", "-o", "json")
check("--if-change does not hold", result.status == CONFLICT and result.json()["error"]["code"] == "conflict", result)
root = store.state()[3]
check("--if-root holds", store.run("set", "web/port=3", "--reason", "x", "--if-root", root).status == 0)
check("--if-root does not hold", store.run("set", "web/port=4", "--reason", "x", "--if-root", root).status == CONFLICT)
check("--if-change 0: only if absent",
      store.run("set", "fresh=1", "--reason", "x", "--if-change", "fresh=0").status == 0 and
      store.run("set", "fresh=2", "--reason", "x", "--if-change", "fresh=0").status == CONFLICT)
check("--if-change of another key", store.run("set", "c=1", "--reason", "x", "--if-change", "d=0").status == USAGE)

# --- the past
check("get --at a revision", store.get("web/port", "--at", "r1") == 8080)
check("get --at @-1", store.get("web/port", "--at", "@-1") == 1)
check("get --at head", store.get("web/port", "--at", "head") == 3)
check("get --at a time", store.get("web/port", "--at", "2999-01-01") == 3)
check("list --at", store.values("--at", "r1")["a"] is True)
check("an unknown revision", store.run("get", "web/port", "--at", "r99").status == NOT_FOUND)
result = store.run("get", "web/port", "--at", "nonsense")
check("an unknown target", result.status == INVALID and "nonsense" in result.message, result)
history = store.run("history", "web/port", "-o", "json").json()["history"]
check("history of a key, newest first", [h["value"] for h in history] == [3, 1, 8081, 8080], history)
check("history --limit", len(store.run("history", "--limit", "2", "-o", "json").json()["history"]) == 2)
check("history of a prefix", store.run("history", "web/", "-o", "json").json()["history"][-1]["seq"] == 1)
check("history of what never was", store.run("history", "never").status == NOT_FOUND)
shown = store.run("show", "r3", "-o", "json").json()
check("show: before and after", shown["changes"] == [{"key": "web/port", "before": 8080, "after": 8081}], shown)
check("show: hash and root", len(shown["hash"]) == 64 and len(shown["root"]) == 64, shown)
check("show of no record", store.run("show", "r999").status == NOT_FOUND)
diff = store.run("diff", "r1", "r3", "-o", "json").json()
check("diff of two revisions", [c["key"] for c in diff["changes"]] == ["f", "web/port"], diff)
check("diff --prefix", store.run("diff", "r1", "--prefix", "web/", "-o", "json").json()["count"] == 1)
check("diff of equals", "0 keys differ" in store.run("diff", "head", "head").text)

# --- schema
result = store.run("schema", "set", "web/port", '{"type":"int","min":1,"max":65535,"default":80,"unit":"port"}')
check("schema set", result.status == 0, result)
result = store.set("web/port=70000", "web/host=ok", "a//b=1")
check("all problems at once", result.status == INVALID and "web/port" in result.message and "a//b" in result.message and
      "65535" in result.message, result)
check("a value that is set must satisfy a declaration",
      store.run("schema", "set", "web/host", '{"type":"int"}').status == INVALID)
check("schema show", "1…65535" in store.run("schema", "show").text, store.run("schema", "show"))
check("schema show as JSON", store.run("schema", "show", "web/port", "-o", "json").json()["schema"]["web/port"]["max"] == 65535)
check("schema import", store.run("schema", "import", store.file("s.yaml", "schema:\n  n: {type: int}\n")).status == 0)
check("strict for a prefix", store.run("schema", "strict", "on", "web/").status == 0)
result = store.set("web/unknown=1")
check("strict refuses what is not declared", result.status == INVALID and "web/unknown" in result.message, result)
check("elsewhere it does not", store.set("elsewhere=1").status == 0)
check("strict off for the prefix", store.run("schema", "strict", "off", "web/").status == 0 and
      store.set("web/unknown=1").status == 0)
check("schema unset", store.run("schema", "unset", "n").status == 0)
check("schema unset of nothing", store.run("schema", "unset", "n").status == NOT_FOUND)

# --- secrets
store.run("schema", "set", "token", '{"type":"secret"}')
result = store.set("token=hunter2")
check("a secret is set and not shown", result.status == 0 and b"hunter2" not in result.out + result.err, result)
outputs = [store.run(*w) for w in (["get", "token"], ["list"], ["list", "-o", "json"], ["history", "token"], ["export"],
                                   ["show", "head"], ["show", "head", "-o", "json"], ["diff", "r1"],
                                   ["get", "token", "-o", "json"], ["export", "--format", "env", "--prefix", "web/"])]
check("no output shows it", not any(b"hunter2" in o.out + o.err for o in outputs), [str(o) for o in outputs])
check("get shows a placeholder", outputs[0].out == b"<secret>\n", outputs[0])
check("get --reveal shows it", store.run("get", "token", "--reveal").out == b"hunter2\n")
with open(os.path.join(store.dir, "log.db"), "rb") as log:
    check("nor does the log hold it", b"hunter2" not in log.read())

store.set("late=opensesame")
result = store.run("schema", "set", "late", '{"type":"secret"}', "--reason", "sealed from now on")
check("what was readable before is warned of, with what to do", "warning: 'late' was no secret before" in result.message and
      "lastgood set late=NEW" in result.message, result)
check("what becomes a secret is shown as changed, and not shown", result.text.count("<secret>") == 2 and
      b"opensesame" not in result.out + result.err, result)
check("nor in the difference afterwards", b"opensesame" not in store.run("diff", "@-1", "-o", "json").out)
store.run("unset", "late", "--reason", "another store could not open it")

# --- marks and holds
check("mark good", store.run("mark", "good", "r3", "--prefix", "web/").status == 0)
check("a mark is listed", store.run("mark", "-o", "json").json()["marks"][0]["revision"] == 3)
check("good is a target", store.get("web/port", "--at", "good") == 8081)
check("mark none takes it back", store.run("mark", "none", "r3", "--prefix", "web/").status == 0 and
      store.run("get", "web/port", "--at", "good").status == NOT_FOUND)
seq = store.run("history", "--limit", "1", "-o", "json").json()["history"][0]["seq"]
revision = store.state()[2]
result = store.run("mark", "good", f"r{seq}", "-o", "json")
check("the number of a mark stands for the revision that was in force", seq > revision and
      result.json()["revision"] == revision, result)
store.run("mark", "none", f"r{revision}")
check("a mark has three words", store.run("mark", "fine", "r3").status == USAGE)
hold = store.run("hold", "web/", "--reason", "audit", "-o", "json").json()["hold"]
result = store.set("web/port=5")
check("a hold refuses, and names how to go on",
      result.status == HELD and f"lastgood release {hold}" in result.message, result)
check("elsewhere changes go on", store.set("elsewhere=2").status == 0)
check("holds are listed", store.run("hold", "-o", "json").json()["holds"][0]["hold"] == hold)
check("release", store.run("release", hold, "--reason", "done").status == 0 and store.set("web/port=5").status == 0)
check("release of what is not held", store.run("release", hold, "--reason", "done").status == NOT_FOUND)

# --- transfer
second = Store()
for form in ("json", "yaml"):
    path = os.path.join(store.base, "out." + form)
    check(f"export to a {form} file", store.run("export", "--file", path).status == 0)
    third = Store()
    store.run("unset", "token", "--reason", "x")
    store.run("export", "--file", path)
    check(f"import of {form}", third.run("import", path).status == 0)
    check(f"the same root hash through {form}", third.state()[3] == store.state()[3], (third.state(), store.state()))
check("an export is private", os.stat(path).st_mode & 0o077 == 0)
check("import from standard input", second.run("import", "-", "--format", "env", input="A=1\nB__C='x y'\n").status == 0 and
      second.values() == {"A": 1, "B/C": "x y"}, second.values())
check("export as env", b"A=1\n" in second.run("export", "--format", "env").out, second.run("export", "--format", "env"))
properties = second.run("export", "--format", "properties").out
third = Store()
check("properties round trip", third.run("import", "-", "--format", "properties", input=properties).status == 0 and
      third.state()[3] == second.state()[3], properties)
bad = second.file("bad.json", json.dumps({"configurations": {"ok": {"value": 1}, "a//b": {"value": 2}, "nov": {}}}))
second.before = second.state()
result = second.run("import", bad)
check("import refuses all, and lists all", result.status == INVALID and "a//b" in result.message and
      "nov" in result.message and second.state() == second.before, result)
result = second.run("import", bad, "--skip-invalid", "-o", "json")
check("import --skip-invalid takes the rest", result.status == 0 and second.get("ok") == 1 and
      {p["subject"] for p in result.json()["problems"]} == {"a//b", "nov"}, result)

# --- forms and places
result = store.run("get", "never", "-o", "json")
error = result.json()["error"]
check("an error as JSON on standard output", error["code"] == "not_found" and error["exit_status"] == result.status and
      error["problems"] == [], error)
check("and as text on standard error", result.message.startswith("lastgood: "), result)
check("an error as YAML", store.run("get", "never", "-o", "yaml").text.startswith("error:"))
check("an unknown form", store.run("list", "-o", "xml").status == USAGE)
elsewhere = scratch()
plain = subprocess.run([PROGRAM, "list"], capture_output=True, cwd=store.dir, env=environment({"LASTGOOD_CONFIG": ""}),
                       timeout=30)
check("the current directory is never looked at", b"web/port" not in plain.stdout, plain)
by_variable = subprocess.run([PROGRAM, "get", "web/port"], capture_output=True, cwd=elsewhere,
                             env=environment({"LASTGOOD_STATE_DIR": store.dir}), timeout=30)
check("the state directory by variable", by_variable.stdout == b"5\n", by_variable)
topology = store.file("host.yaml", f"state_dir: {store.dir}\n")
by_topology = subprocess.run([PROGRAM, "--config", topology, "get", "web/port"], capture_output=True, cwd=elsewhere,
                             env=environment(), timeout=30)
check("the state directory by topology", by_topology.stdout == b"5\n", by_topology)
check("no store", Store(init=False).run("list").status == NOT_FOUND)
check("actor by option", store.run("--actor", "bob", "set", "who=1", "--reason", "x").status == 0 and
      store.run("show", "head", "-o", "json").json()["actor"] == "bob")
full = subprocess.run([PROGRAM, "--state-dir", store.dir, "list"], stdout=open("/dev/full", "wb"), stderr=subprocess.PIPE,
                      env=environment(), timeout=30)
check("output that cannot be written is an error", full.returncode == 12 and b"standard output" in full.stderr, full)
check("no colours in a pipe", b"\x1b" not in store.run("list").out + store.run("history").out)
with open("/dev/full", "wb") as full:
    result = subprocess.run([PROGRAM, "--state-dir", store.dir, "set", "full=1", "--reason", "x"], stdout=full,
                            stderr=subprocess.PIPE, env=environment(), check=False)
check("a change that could not be told says that it stands", result.returncode != 0 and b"history" in result.stderr and
      store.get("full") == 1, result)
check("validate", store.run("validate").status == 0 and store.run("validate", "-o", "json").json()["ok"] is True)
doctor = store.run("doctor", "-o", "json")
check("doctor finds nothing wrong", doctor.status == 0 and doctor.json()["ok"] is True, doctor)
done()
