#!/usr/bin/python3
"""Shows that scripts/test-runner sees what it must see (TAP): each row is a run over small shell programs."""

import json
import os
import subprocess
import sys
import tempfile

RUNNER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scripts", "test-runner")

GOOD = "echo 1..2; echo 'ok 1 - a'; echo 'ok 2 - b'"

# name, the programs (shell text, and what differs from a plain TAP test), arguments, last line, text in the output
ROWS = [
    ("passed tests are counted line by line", [(GOOD, {}), (GOOD, {})], [], "4 passed, 0 failed", ""),
    ("a failed test is counted and shown", [(GOOD, {}), ("echo 1..2; echo 'not ok 1 - c'; echo '# why'; echo 'ok 2 - d'; exit 1", {})],
     [], "3 passed, 1 failed", "# why"),
    ("standard error of a failing program is shown", [("echo 1..1; echo 'not ok 1 - c'; echo loud >&2; exit 1", {})],
     [], "0 passed, 1 failed", "loud"),
    ("skipped tests stand apart", [("echo 1..2; echo 'ok 1 - a'; echo 'ok 2 - b # SKIP no disk'", {})],
     [], "1 passed, 0 failed, 1 skipped", "no disk"),
    ("cmocka's form of a skipped test", [("echo 1..1; echo 'ok 1 # SKIP b'", {})], [], "0 passed, 0 failed, 1 skipped", "x: b"),
    ("a program skipped whole", [("echo '1..0 # SKIP no server'", {})], [], "0 passed, 0 failed, 1 skipped", "no server"),
    ("several plans add up", [("echo 1..1; echo ok 1; echo 1..1; echo ok 1", {})], [], "2 passed, 0 failed", ""),
    ("an unfinished plan fails", [("echo 1..2; echo 'ok 1 - a'", {})], [], "1 passed, 1 failed", "planned 2 tests and reported 1"),
    ("more tests than planned fail", [("echo 1..1; echo ok 1; echo ok 2", {})], [], "2 passed, 1 failed", "planned 1 tests and reported 2"),
    ("silence fails", [("true", {})], [], "0 passed, 1 failed", "printed no plan"),
    ("a bail-out fails", [("echo 1..1; echo 'ok 1'; echo 'Bail out! tired'", {})], [], "1 passed, 1 failed", "tired"),
    ("a crash fails", [(GOOD + "; kill -SEGV $$", {})], [], "2 passed, 1 failed", "SIGSEGV"),
    ("a status without a failed test fails", [(GOOD + "; exit 3", {})], [], "2 passed, 1 failed", "ended with status 3"),
    ("a program that hangs fails", [("echo 1..1; sleep 600", {"timeout": 1})], [], "0 passed, 1 failed", "did not end within 1 s"),
    ("a program that cannot be run fails", [(None, {"cmd": ["/nonexistent/program"]})], [], "0 passed, 1 failed", "cannot be run"),
    ("a file left behind fails", [(GOOD + '; touch "$TMPDIR/litter"', {})], [], "2 passed, 1 failed", "litter"),
    ("a read-only directory left behind is removed", [(GOOD + '; mkdir -p "$TMPDIR/a/b"; chmod 0 "$TMPDIR/a"', {})],
     [], "2 passed, 1 failed", "left in TMPDIR: a"),
    ("a process left behind fails", [("sleep 601 & " + GOOD, {})], [], "2 passed, 1 failed", "left running: sleep"),
    ("a daemon left behind fails", [("setsid sleep 602 & " + GOOD, {})], [], "2 passed, 1 failed", "left running: sleep"),
    ("exit status 0 is a passed test", [("true", {"protocol": "exitcode"})], [], "1 passed, 0 failed", ""),
    ("exit status 1 is a failed test", [("exit 1", {"protocol": "exitcode"})], [], "0 passed, 1 failed", ""),
    ("exit status 77 is a skipped test", [("echo no root; exit 77", {"protocol": "exitcode"})], [],
     "0 passed, 0 failed, 1 skipped", "no root"),
    ("suites run on request only", [(GOOD, {}), ("exit 1", {"suite": ["p:check"]})], [], "2 passed, 0 failed", ""),
    ("a suite on request", [("exit 1", {}), (GOOD, {"suite": ["p:check"]})], ["--suite", "check"], "2 passed, 0 failed", ""),
    ("a test on request", [("exit 1", {}), (GOOD, {"name": "y", "suite": ["p:check"]})], ["y"], "2 passed, 0 failed", ""),
    ("nothing to run is not success", [], [], "0 passed, 0 failed", "no test ran"),
    ("the environment that meson was told", [("echo 1..1; [ \"$A\" = b ] && echo ok 1", {"env": {"A": "b"}})], [], "1 passed, 0 failed", ""),
    ("tests that must run alone", [(GOOD, {"is_parallel": False}), (GOOD, {}), (GOOD, {"is_parallel": False})], [], "6 passed, 0 failed", ""),
]


def run_row(programs, arguments):
    with tempfile.TemporaryDirectory() as build:
        tests = []
        for number, (text, difference) in enumerate(programs):
            test = {"name": "x" if number == 0 else f"x{number}", "cmd": ["/bin/sh", "-c", text], "env": {}, "timeout": 30,
                    "suite": ["p"], "protocol": "tap", "workdir": None, "is_parallel": True, "priority": 0}
            test.update(difference)
            tests.append(test)
        os.mkdir(os.path.join(build, "meson-info"))
        with open(os.path.join(build, "meson-info", "intro-tests.json"), "w", encoding="utf-8") as file:
            json.dump(tests, file)
        # no bytes of ours: the runner under test starts its own children with marks of their own
        done = subprocess.run([RUNNER, "--build", build, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout


def main():
    print(f"1..{len(ROWS)}")
    worst = 0
    for number, (name, programs, arguments, last_line, text) in enumerate(ROWS, 1):
        status, output = run_row(programs, arguments)
        good_run = ", 0 failed" in last_line and "no test ran" not in text
        good = output.splitlines()[-1:] == [last_line] and text in output and (status == 0) == good_run
        print(f"{'ok' if good else 'not ok'} {number} - {name}", flush=True)
        if not good:
            worst = 1
            print(f"# status {status}, expected last line '{last_line}' and '{text}' in:")
            for line in output.splitlines():
                print(f"#   {line}")
    return worst


sys.exit(main())
