#!/usr/bin/python3
"""Disks that are full or read-only, and directories of somebody else: an error, and the state as it was."""

import os
import pwd
import resource
import shutil
import subprocess

from support import (IO, NO_SPACE, OK, PERMISSION, PROGRAM, READ_ONLY, Result, Store, check, done, environment, refused,
                     scratch, skip)

ROOT = os.geteuid() == 0


def limited(size):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


# --- a file size limit, which any user can have: writes fail half way
store = Store()
store.set("a=1")
store.before = store.state()
size = os.path.getsize(os.path.join(store.dir, "log.db"))
big = store.file("big.json", '{"configurations": {"big": {"value": "' + "x" * 900000 + '"}}}')
for limit in (0, 512, 4096, size, size + 4096, 400000):
    result = store.run("import", big, preexec_fn=limited(limit))
    refused(store, f"files limited to {limit} bytes", result, result.status if result.status in (IO, NO_SPACE, READ_ONLY) else IO)
check("afterwards it works again", store.run("import", big).status == OK and store.run("doctor").status == OK)
before = store.state()
result = store.run("rollback", "config", "--to", "r1", "--reason", "other: x", "--yes", preexec_fn=limited(0))
check("a rollback without room says so", result.status in (IO, NO_SPACE, READ_ONLY), result)
check("and leaves the state", store.state() == before, result)
check("later it is finished", store.run("rollback", "resume").status == OK and
      store.run("rollback", "config", "--to", "r1", "--reason", "other: x", "--yes").status == OK and
      store.values() == {"a": 1}, store.values())
target = os.path.join(store.base, "export.json")
store.run("export", "--file", target)
with open(target, "rb") as file:
    former = file.read()
store.run("import", big)
result = store.run("export", "--file", target, preexec_fn=limited(1000))
with open(target, "rb") as file:
    check("an export that does not fit leaves the former file", result.status in (IO, NO_SPACE) and file.read() == former, result)
check("and no temporary file", not [n for n in os.listdir(store.base) if "export.json" in n and n != "export.json"],
      os.listdir(store.base))
result = Store(init=False)
made = result.run("init", preexec_fn=limited(16))
check("a store that cannot be made", made.status in (IO, NO_SPACE), made)
check("init can be repeated", result.run("init").status == OK or os.path.exists(os.path.join(result.dir, "log.db")))


# --- a small file system, where root can mount one
def mounted(size):
    directory = scratch()
    if not ROOT or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", directory],
                                  capture_output=True, check=False).returncode != 0:
        return None
    return directory


def on(directory):
    small = Store(init=False)
    small.dir = os.path.join(directory, "state")
    return small


directory = mounted("1m")
if directory:
    try:
        full = on(directory)
        check("a store on a small disk", full.run("init").status == OK and full.set("a=1").status == OK)
        full.before = full.state()
        with open(os.path.join(directory, "filler"), "wb", 0) as filler:
            try:
                while True:
                    filler.write(b"x" * 4096)
            except OSError:
                pass
        refused(full, "a full disk", full.run("import", big), NO_SPACE)
        check("reading goes on", full.get("a") == 1)
        found = full.run("doctor")
        check("doctor sees it", found.status == 1 and "make room" in found.text, found)
        os.unlink(os.path.join(directory, "filler"))
        check("with room it works again", full.set("a=2").status == OK and full.run("validate").status == OK)
        # full and freed, again and again
        kept, filler = {"a": 2}, os.path.join(directory, "filler")
        for turn in range(4):
            with open(filler, "wb", 0) as file:
                try:
                    while True:
                        file.write(b"x" * 4096)
                except OSError:
                    pass
            for n in range(30):
                result = full.set(f"turn/{turn}/{n}={n}", "a=3")
                if result.status != OK:
                    break
                kept.update({f"turn/{turn}/{n}": n, "a": 3})
            check(f"full, turn {turn}: it says so", result.status == NO_SPACE, result)
            check(f"full, turn {turn}: all that was acknowledged is there", full.values() == kept, full.values())
            os.unlink(filler)
            check(f"freed, turn {turn}: it goes on", full.set(f"freed={turn}").status == OK)
            kept["freed"] = turn
            check(f"freed, turn {turn}: nothing is lost, all verifies", full.values() == kept and
                  full.run("recover", "verify").status == OK, full.values())
        full.before = full.state()
        subprocess.run(["mount", "-o", "remount,ro", directory], check=True)
        result = full.set("a=3")
        check("a read-only disk", result.status == READ_ONLY and result.message.startswith("lastgood: "), result)
        check("reading goes on there too", full.run("get", "a").out == b"2\n", full.run("get", "a"))
        found = full.run("doctor")
        check("doctor sees that", found.status == 1 and "read-only" in found.text, found)
        subprocess.run(["mount", "-o", "remount,rw", directory], check=True)
        check("nothing was changed", full.state() == full.before)
    finally:
        subprocess.run(["umount", directory], check=False)
else:
    skip("a full and a read-only disk", "only root may mount, and not everywhere")


# --- somebody else's directory
def as_nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


if ROOT:
    store = Store()
    store.set("a=1")
    store.before = store.state()
    os.chown(store.dir, 65534, 65534)
    os.chmod(store.dir, 0o777)
    result = store.set("a=2")
    check("root, in a directory of somebody else that anybody can write", result.status == PERMISSION, result)
    os.chmod(store.dir, 0o700)
    check("closed again, it works, and the refused change is not there",
          store.state() == store.before and store.set("a=2").status == OK)
    os.chown(store.dir, 0, 0)
    os.chmod(store.dir, 0o777)
    found = store.run("doctor")
    check("doctor finds its own directory open", found.status == 1 and "chmod 700" in found.text, found)
    os.chmod(store.dir, 0o700)
    os.chmod(store.base, 0o755)
    store.before = store.state()
    # a copy, for the clone may lie where nobody else gets, below /root
    program = shutil.copy(PROGRAM, os.path.join(store.base, "program"))
    parents = all(os.stat(p).st_mode & 0o001 for p in
                  [os.path.abspath(os.path.join(store.base, *[".."] * n)) for n in range(6)])

    def as_other(*words):
        argv = [program, "--state-dir", store.dir, *words]
        process = subprocess.run(argv, preexec_fn=as_nobody, capture_output=True, env=environment(), cwd="/", check=False)
        return Result(argv, process.returncode, process.stdout, process.stderr)

    if parents:
        refused(store, "somebody else's state directory", as_other("set", "a=3", "--reason", "x"), PERMISSION)
        os.chmod(store.dir, 0o755)
        result = as_other("set", "a=3", "--reason", "x")
        check("and one that can be looked into", result.status == PERMISSION and
              pwd.getpwuid(0).pw_name in result.message, result)
        check("it is untouched", store.get("a") == 2)
    else:
        skip("somebody else's state directory", "another user cannot reach $TMPDIR")
else:
    skip("somebody else's state directory", "only root can make one")
    store = Store()
    store.set("a=1")
    names = [os.path.join(store.dir, name) for name in os.listdir(store.dir)]
    names = [name for name in names if os.path.isfile(name)]
    for name in names:  # the log's own files too: SQLite needs no new one to write
        os.chmod(name, 0o400)
    os.chmod(store.dir, 0o500)
    result = store.set("a=2")
    check("a directory that cannot be written", result.status in (PERMISSION, READ_ONLY), result)
    os.chmod(store.dir, 0o700)
    for name in names:
        os.chmod(name, 0o600)
    check("open again, it works, and the refused change is not there",
          store.get("a") == 1 and store.set("a=2").status == OK)
done()
