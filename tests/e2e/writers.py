#!/usr/bin/python3
"""Two writers at once: nothing is lost, nothing is overwritten unseen."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

from support import CONFLICT, IO, OK, PROGRAM, Store, check, done, environment

WRITERS, ROUNDS = 4, 10
store = Store()


def write(writer):
    return [store.set(f"w{writer}/k{i}={i}", f"last={writer}") for i in range(ROUNDS)]


with ThreadPoolExecutor(WRITERS) as pool:
    results = [result for batch in pool.map(write, range(WRITERS)) for result in batch]
check("every writer succeeds", all(r.status == OK for r in results), next((r for r in results if r.status), ""))
values = store.values()
check("no change is lost", all(values.get(f"w{w}/k{i}") == i for w in range(WRITERS) for i in range(ROUNDS)), values)
history = store.run("history", "--limit", "0", "-o", "json").json()["history"]
check("one record each, without gaps", [h["seq"] for h in history] == list(range(WRITERS * ROUNDS, 0, -1)), history)
check("the chain holds", store.run("doctor").status == OK)
check("the state is the recorded one", store.run("validate").status == OK)

# Compare and set: of all who saw the same value exactly one wins.
change = store.run("get", "last", "-o", "json").json()["change"]


def compete(writer):
    return store.run("set", f"last={writer}", f"mine/{writer}=1", "--reason", "race", "--if-change", f"last={change}").status


with ThreadPoolExecutor(WRITERS) as pool:
    statuses = list(pool.map(compete, range(100, 100 + 2 * WRITERS)))
check("exactly one wins", sorted(statuses) == [OK] + [CONFLICT] * (2 * WRITERS - 1), statuses)
winners = list(store.values("mine/"))
check("what the others meant to set is not there", len(winners) == 1 and winners[0] == f"mine/{store.get('last')}", winners)

# A writer that dies leaves the store as it was or with its change whole.
for i in range(20):
    before = store.state()
    process = subprocess.Popen([PROGRAM, "--state-dir", store.dir, "set", f"dead/a={i}", f"dead/b={i}", "--reason", "x"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    try:
        process.wait(i * 0.0005)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    dead = [v for v in store.values().items() if v[0].startswith("dead/")]
    if len({v for _, v in dead}) > 1 or len(dead) == 1:
        check("a change is whole or absent", False, dead)
check("killed writers leave whole changes", store.run("doctor").status == OK and store.set("after=1").status == OK)

# What the log says happened, when an append fails before and behind the fact.
store = Store()
store.set("a=1")
before = store.state()
result = store.run("set", "a=2", "--reason", "x", env={"LASTGOOD_FAULT": "log_append:1:EIO"})
check("an append that fails is an error", result.status == IO, result)
check("and nothing was changed", store.state() == before)
trace = os.path.join(store.base, "trace")
result = store.run("set", "a=3", "--reason", "x", env={"LASTGOOD_FAULT": "log_append:2:EIO", "LASTGOOD_TRACE_LOG": trace})
check("an append of unknown outcome is looked up in the log, and found", result.status == OK and store.get("a") == 3, result)
with open(trace, encoding="utf-8") as file:
    lines = file.read().splitlines()
check("the trace shows the append and what became of it", any(" append " in line for line in lines), lines)
done()
