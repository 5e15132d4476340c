"""The demo is the main job: it must do it, say so plainly, and leave nothing behind."""

import os
import re
import shutil
import subprocess
import sys

from support import PROGRAM, check, done, skip

DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "demo")
TIMEOUT_S = 150

ORDER = ("change:", "first error:", "trigger:", "record durable:", "delivered:")


def processes_naming(text):
    """Command lines of running processes that contain text."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


def main():
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if not shutil.which("nginx"):
        skip("the demo", "nginx is not installed")
        done()
    ran = subprocess.run([sys.executable, DEMO], env=dict(os.environ, LASTGOOD=PROGRAM), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT_S)
    whole = ran.stdout + ran.stderr
    check("it ends with status 0", ran.returncode == 0, whole)
    check("nginx answers 200 again", "nginx answers 200 again" in ran.stdout, whole)
    check("nothing is coloured without a terminal", "\033" not in ran.stdout)
    times = [(float(at), what) for at, what in re.findall(r"^\s+(-?[0-9.]+) ms  (.*)$", ran.stdout, re.M)]
    check("the timeline has its seven lines", len(times) == 7, whole)
    lines = [what for _, what in times]
    places = [next((i for i, what in enumerate(lines) if what.startswith(name)), -1) for name in ORDER]
    check("its lines come in the order of what happened", -1 not in places and places == sorted(places), lines)
    check("validation proved hash, file and answers",
          all(f"ok     {name}" in ran.stdout for name in ("root hash", "target hash", "file", "service", "health")), whole)
    check("the same change is refused afterwards", "is held by h" in ran.stdout, whole)
    where = re.search(r"(\S*/lastgood-demo-[^/]+)/", ran.stdout)
    directory = where.group(1) if where else ""
    check("its directory is gone", directory and not os.path.exists(directory), directory)
    check("none of its processes is left", directory and not processes_naming(directory), processes_naming(directory))
    done()


main()
