"""What the end-to-end tests share: a store in a directory of its own, the built program run on it, and TAP.

A test is a program.  It says check(name, condition, evidence) for each thing that must hold and ends with done():

    store = Store()
    result = store.run("set", "web/port=80", "--reason", "test")
    check("set is accepted", result.status == 0, result)
    done()

The program under test is $LASTGOOD_BIN.  Nothing of the environment reaches it that could lead it elsewhere.
"""

import atexit
import json
import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time

PROGRAM = os.environ["LASTGOOD_BIN"]
TIMEOUT_S = 60

# lastgood's exit statuses that the tests name (src/base/error.c has the table)
OK, FAILED, USAGE, NOT_FOUND, INVALID, CONFLICT, HELD, CORRUPT, NEWER, BUSY, TIMED_OUT, IO, NO_SPACE, PERMISSION, READ_ONLY = range(15)

_count = 0
_failed = 0


def check(name, condition, evidence=""):
    """One line of TAP; evidence is printed when the condition does not hold."""
    global _count, _failed
    _count += 1
    print(f"{'ok' if condition else 'not ok'} {_count} - {name.replace('#', '.')}", flush=True)
    if not condition:
        _failed += 1
        for line in str(evidence).splitlines()[:40]:
            print("# " + line[:400], flush=True)
    return bool(condition)


def skip(name, why):
    global _count
    _count += 1
    print(f"ok {_count} - {name} # SKIP {why}", flush=True)


def done():
    print(f"1..{_count}")
    sys.exit(1 if _failed else 0)


class Result:
    """What one run of the program did; out and err are bytes, because hostile input may come back."""

    def __init__(self, argv, status, out, err):
        self.argv, self.status, self.out, self.err = argv, status, out, err

    @property
    def text(self):
        return self.out.decode("utf-8")

    @property
    def message(self):
        return self.err.decode("utf-8", "backslashreplace")

    def json(self):
        return json.loads(self.out)

    def __str__(self):
        argv = " ".join(repr(a)[:80] for a in self.argv[:12])
        return f"{argv}\nstatus {self.status}\nout {self.out[:1500]!r}\nerr {self.err[:1500]!r}"


def environment(extra=None):
    keep = ("PATH", "TMPDIR", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS")
    env = {name: os.environ[name] for name in keep if name in os.environ}
    env["LASTGOOD_ACTOR"] = "tester"
    env.update(extra or {})
    return env


def scratch():
    """A directory of its own below $TMPDIR, removed at the end."""
    path = tempfile.mkdtemp(prefix="lastgood-e2e-")
    atexit.register(shutil.rmtree, path, True)
    return path


class Store:
    def __init__(self, init=True, strict=False):
        self.base = scratch()
        self.dir = os.path.join(self.base, "state")
        if init:
            result = self.run("init", *(["--strict"] if strict else []))
            if result.status != 0:
                raise RuntimeError(f"no store: {result}")

    def run(self, *words, input=b"", env=None, **options):
        argv = [PROGRAM, "--state-dir", self.dir, *words]
        if isinstance(input, str):
            input = input.encode()
        process = subprocess.run(argv, input=input, capture_output=True, timeout=TIMEOUT_S, env=environment(env),
                                 cwd=self.base, **options)
        return Result(argv, process.returncode, process.stdout, process.stderr)

    def set(self, *pairs):
        return self.run("set", *pairs, "--reason", "test")

    def file(self, name, data):
        path = os.path.join(self.base, name)
        with open(path, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        return path

    def get(self, key, *words):
        return self.run("get", key, *words, "-o", "json").json()["value"]

    def values(self, *words):
        """{key: value} of everything that is set."""
        return {item["key"]: item["value"] for item in self.run("list", *words, "-o", "json").json()["items"]}

    def state(self):
        """Head of the log, revision and root: equal before and after means that nothing was changed.

        That something was refused goes on record too, once a minute at most: that is no change."""
        listed = self.run("list", "-o", "json").json()
        history = self.run("history", "--all", "--limit", "20", "-o", "json").json()["history"]
        history = [record for record in history if record["kind"] != "refusal"]
        return (history[0]["seq"] if history else 0, history[0]["hash"] if history else "", listed["revision"],
                listed["root"])


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


def refused(store, name, result, status, *needles):
    """The right status, a message that says the needles, standard output empty, and the state as it was before.

    Call store.state() first and pass nothing else: it is kept in store.before."""
    text = result.message
    check(f"{name}: status {status}", result.status == status, result)
    check(f"{name}: the message says why", text.startswith("lastgood: ") and all(n in text for n in needles),
          f"wanted {needles}\n{result}")
    check(f"{name}: nothing was changed", store.state() == store.before, result)
