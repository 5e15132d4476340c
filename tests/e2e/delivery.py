#!/usr/bin/python3
"""Services: a change is checked before it is recorded, delivered after, and what fails is said; the monitor."""

import json
import os
import signal
import stat
import subprocess
import time

from support import (FAILED, INVALID, NOT_FOUND, OK, PROGRAM, Store, check, done, environment, refused)

REFUSED = 15


def script(store, name, text):
    path = store.file(name, "#!/bin/sh\n" + text)
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    return path


def store_with_service(**reload):
    """A service whose file is refused when it contains "broken" and whose reload fails while `deaf` exists."""
    store = Store()
    store.out = os.path.join(store.base, "web.env")
    store.told = os.path.join(store.base, "told")
    store.deaf = os.path.join(store.base, "deaf")
    checker = script(store, "check", 'if grep -q broken "$1"; then echo "line 1: broken is no value" >&2; exit 1; fi\n')
    teller = script(store, "reload", f'[ -e "{store.deaf}" ] && {{ echo "cannot hear" >&2; exit 3; }}\n'
                                     f'echo told >>"{store.told}"\n')
    topology = {"services": {"web": {
        "driver": "command", "start": ["true"], "stop": ["true"], "status": ["true"], "reload": [teller],
        "adapter": {"prefix": "web/", "file": {"path": store.out, "format": "env", "names": "upper"},
                    "check": [checker, "{}"], "notify": "reload"}}}}
    with open(os.path.join(store.dir, "lastgood.yaml"), "w", encoding="utf-8") as file:
        json.dump(topology, file)
    return store


def content(store):
    with open(store.out, encoding="utf-8") as file:
        return file.read()


store = store_with_service()
result = store.set("web/port=80", "other=1", )
check("a change is delivered", result.status == OK and "PORT=80" in content(store), result)
check("and it is said", "delivered to 'web'" in result.text, result)
check("the service is told", os.path.exists(store.told))
check("the delivery is in the history",
      any(h["kind"] == "delivery" for h in store.run("history", "--all", "-o", "json").json()["history"]))
check("but not among the changes",
      all(h["kind"] != "delivery" for h in store.run("history", "-o", "json").json()["history"]))
result = store.run("set", "web/port=81", "--reason", "x", "-o", "json")
check("deliveries as JSON", result.json()["deliveries"] == [{"adapter": "web", "outcome": "delivered"}], result)
result = store.run("set", "other=2", "--reason", "x", "-o", "json")
check("what concerns no service leaves it alone", result.json()["deliveries"][0]["outcome"] == "unchanged", result)

store.before = store.state()
former = content(store)
refused(store, "a change that the service's check refuses", store.set("web/mode=broken"), REFUSED, "web", "broken is no value")
check("its file stays", content(store) == former)

with open(store.deaf, "w", encoding="utf-8"):
    pass
result = store.set("web/port=82")
check("a service that cannot be told: a warning and a status", result.status not in (OK, REFUSED) and
      "warning" in result.message and "stays as r" in result.message, result)
check("the change stays", store.get("web/port") == 82)
os.unlink(store.deaf)
result = store.set("web/port=82")
check("the same command again delivers", result.status == OK and "PORT=82" in content(store), result)

# --- validation
check("validate finds all well", store.run("validate").status == OK, store.run("validate"))
with open(store.out, "a", encoding="utf-8") as file:
    file.write("EXTRA=1\n")
result = store.run("validate", "-o", "json")
check("validate finds a file that was edited", result.status == FAILED and result.json()["ok"] is False, result)
check("doctor mentions it", "not as configured" in store.run("doctor").text, store.run("doctor"))
store.set("web/port=83")
check("the next change mends it", store.run("validate").status == OK and "EXTRA" not in content(store))

# --- rollback
result = store.run("rollback", "config", "--to", "r1", "--prefix", "web/", "--reason", "other: x", "--dry-run", "-o", "json")
check("a plan names the services", result.json()["services"] == [{"service": "web", "file": store.out, "notify": "reload"}],
      result)
result = store.run("rollback", "config", "--to", "r1", "--prefix", "web/", "--reason", "other: x", "--yes")
check("a rollback is delivered", result.status == OK and "PORT=80" in content(store), result)
check("the service was announced", "will be reloaded" in result.text, result)
check("and what was checked is shown", "web" in result.text and "yes" in result.text, result)

with open(store.deaf, "w", encoding="utf-8"):
    pass
store.run("release", "--all", "--reason", "x")
before = store.state()[3]
result = store.run("rollback", "config", "--to", "@-1", "--prefix", "web/", "--reason", "other: x", "--yes", "-o", "json")
check("a rollback that cannot be delivered takes itself back", result.status != OK and store.state()[3] == before, result)
check("one document all the same", isinstance(json.loads(result.out), dict), result)
os.unlink(store.deaf)

# --- a service that a change has killed
fragile = Store()
up, conf = os.path.join(fragile.base, "up"), os.path.join(fragile.base, "web.env")
start = script(fragile, "start", f'grep -q broken "{conf}" && exit 1; touch "{up}"\n')
reload = script(fragile, "reload", f'grep -q broken "{conf}" && rm "{up}"; true\n')
with open(os.path.join(fragile.dir, "lastgood.yaml"), "w", encoding="utf-8") as file:
    json.dump({"services": {"web": {
        "driver": "command", "start": [start], "stop": ["rm", up], "status": ["test", "-e", up], "reload": [reload],
        "critical": True, "timeout": "5s",
        "adapter": {"prefix": "web/", "file": {"path": conf, "format": "env"}, "notify": "reload"}}}}, file)
fragile.set("web/a=fine")
check("a change does not start what was stopped", not os.path.exists(up))
with open(up, "wb"):
    pass
fragile.set("web/a=broken")
check("a change has killed the service", not os.path.exists(up))
result = fragile.run("rollback", "config", "--to", "@-1", "--reason", "user-report: it is down", "--yes")
check("the rollback starts it with the former file", result.status == OK and os.path.exists(up), result)

# --- a topology elsewhere
elsewhere = Store()
result = elsewhere.run("--config", os.path.join(store.dir, "lastgood.yaml"), "set", "web/port=99", "--reason", "x")
check("--config names the topology", result.status == OK and "PORT=99" in content(store), result)
other = Store()
other.set("web/port=11")
other.set("web/port=12")
with open(os.path.join(other.dir, "lastgood.yaml"), "w", encoding="utf-8") as file:
    file.write("services: [\n")
back = ("rollback", "config", "--to", "r1", "--reason", "other: x", "--yes")
result = other.run(*back)
check("a broken topology is named, and the way around it", result.status == INVALID and "line 2" in result.message and
      "--config /dev/null" in result.message and other.get("web/port") == 12, result)
result = other.run(*back, "--config", "/dev/null")
check("and the way back does not depend on it", result.status == OK and other.get("web/port") == 11, result)
os.unlink(os.path.join(other.dir, "lastgood.yaml"))
check("another state directory does not deliver to these services", "PORT=99" in content(store))

# --- the monitor
result = store.run("monitor", "--for", "0s")
check("--for wants a time", result.status == 2, result)
result = other.run("monitor", "--for", "100ms")
check("a monitor that has nothing to watch ends, and says where it looked", result.status == NOT_FOUND and
      "nothing to watch" in result.message and other.dir in result.message, result)
watched = store.file("watched.yaml", json.dumps({"services": {"web": {
    "driver": "command", "start": ["true"], "stop": ["true"], "health": {"http": "http://127.0.0.1:1/"}}}}))
events = os.path.join(store.base, "events.jsonl")
monitor = subprocess.Popen([PROGRAM, "--state-dir", store.dir, "--config", watched, "monitor", "--events", events],
                           stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
deadline = time.monotonic() + 20
while not (os.path.exists(events) and os.path.getsize(events)) and time.monotonic() < deadline and monitor.poll() is None:
    time.sleep(0.02)
monitor.send_signal(signal.SIGTERM)
out, err = monitor.communicate(timeout=20)
check("SIGTERM ends the monitor with 0", monitor.returncode == OK, err)
with open(events, encoding="utf-8") as file:
    lines = file.read().splitlines()
check("events are lines of JSON", lines and all("event" in json.loads(line) for line in lines), lines)
done()
