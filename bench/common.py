"""What the benches in python share: a place on a real disk, timing of whole processes, and one table with ratios."""

import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


def lastgood():
    """The program under test: $LASTGOOD, or what make builds."""
    path = os.environ.get("LASTGOOD") or os.path.join(ROOT, "build", "lastgood")
    if not os.access(path, os.X_OK):
        sys.exit(f"bench: '{path}' is not there; run 'make', or name the program in LASTGOOD")
    return os.path.abspath(path)


def worker(name):
    """A program of bench/meson.build that a bench starts; it lies beside the program under test."""
    path = os.path.join(os.path.dirname(lastgood()), "bench", "worker_" + name)
    if not os.access(path, os.X_OK):
        sys.exit(f"bench: '{path}' is not there; run: make bench")
    return path


def key_of(number):
    """The settings of benches that fill stores, the same in common.c."""
    return f"service{number // 1000:03}/limits/setting_{number:06}"


def value_of(revision, number):
    return f"value {number} as of revision {revision}"


def filesystem_of(path):
    found = subprocess.run(["stat", "-f", "-c", "%T", path], stdout=subprocess.PIPE, text=True, check=True)
    return found.stdout.strip()


@contextlib.contextmanager
def work_directory():
    """A fresh directory where fsync costs what it costs, gone afterwards also when the bench is interrupted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    base = os.environ.get("BENCH_DIR") or tempfile.gettempdir()
    if filesystem_of(base) in ("tmpfs", "ramfs"):
        base = "/var/tmp"
        if filesystem_of(base) in ("tmpfs", "ramfs"):
            print("note: no directory on a disk was found (BENCH_DIR=…): fsync costs nothing here, for anyone")
    path = tempfile.mkdtemp(prefix="lgb-", dir=base)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def run(*command, stdin=None, env=None, cwd=None):
    """Runs a command to its end and returns its standard output; the bench stops with its message when it fails."""
    done = subprocess.run(command, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=env, cwd=cwd)
    if done.returncode:
        sys.exit(f"bench: '{' '.join(command)[:200]}' ended with status {done.returncode}: {done.stderr.strip()[:2000]}")
    return done.stdout


def run_file(path, *command, env=None):
    """run() with the file at path as standard input."""
    with open(path, encoding="utf-8") as file:
        return run(*command, stdin=file, env=env)


def measure(action, between, repeat, budget_s):
    """Seconds that action takes, median of up to repeat runs within about budget_s; between() undoes it, unmeasured."""
    times = []
    begin = time.monotonic()
    while True:
        start = time.monotonic()
        action()
        times.append(time.monotonic() - start)
        spent = time.monotonic() - begin
        if len(times) >= repeat or spent + spent / len(times) > budget_s:
            return statistics.median(times), len(times)
        between()


def show_seconds(seconds):
    return f"{seconds * 1000:.1f} ms" if seconds < 10 else f"{seconds:.1f} s"


class Table:
    """name | time | ratio against ours; the first row is ours."""

    def __init__(self, title):
        print(f"\n{title}")
        print(f"  {'':44} {'median':>10} {'runs':>5} {'against lastgood':>17}")
        self.ours = None
        self.peers = []

    def add(self, name, seconds, runs, ours=False, counts=True):
        """counts: a peer that does the same job, so that it can be the best peer."""
        if ours:
            self.ours = seconds
        elif counts:
            self.peers.append((seconds, name))
        ratio = "" if ours or not self.ours else f"{seconds / self.ours:.2f} ×"
        print(f"  {name:44} {show_seconds(seconds):>10} {runs:>5} {ratio:>17}", flush=True)

    def best_peer(self):
        return min(self.peers, default=(None, None))


def verdict(what, met, measured):
    """One line about a target, in the form that scripts/bench counts."""
    print(f"  target {'met   ' if met else 'MISSED'}: {what}: {measured}", flush=True)
