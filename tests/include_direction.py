#!/usr/bin/python3
"""Holds the includes of src/ to the direction that ARCHITECTURE.md draws (TAP).

usage: include_direction.py [SOURCE_ROOT]

Folder = layer.  A room includes only rooms that the table below grants it, a backend never includes another backend,
and nothing in src/ includes tests, benches or a path that leaves src/.  A library of others is used only where its
subject lives, so that it can be replaced there."""

import os
import re
import sys
import tempfile

# room: the rooms that it may include beside itself
ALLOWED = {
    "base": "",
    "io": "base",
    "model": "base",  # pure: no io, ever
    "format": "base model",
    "log": "base io model",
    "config": "base io model log",
    "host": "base io model format",
    "health": "base io model host",  # never rollback: who judges does not act
    "delivery": "base io model format log config host",
    "rollback": "base io model format log config host health delivery",
    "monitor": "base io model format log config host health delivery rollback",
    "cli": "base io model format log config host health delivery rollback monitor",
    "main.c": "base io cli",
}

# rooms whose folders are backends of one table, each of them on its own
BACKENDS = {"log"}

# header of a library: where it may be included
LIBRARIES = {
    "sqlite3.h": "log/sqlite/",
    "curl/": "health/",
    "yaml.h": "format/",
    "urcu": "config/ model/",
    "pcre2.h": "model/",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def sources(root):
    for directory, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.relpath(os.path.join(directory, name), root)


def problem_with(path, bracket, header):
    """Why path must not include header, or None."""
    room = path.partition("/")[0]
    if bracket == "<":
        for prefix, places in LIBRARIES.items():
            if header.startswith(prefix) and not path.startswith(tuple(places.split())):
                return f"<{header}> belongs to {places} alone"
        return None
    if room not in ALLOWED:
        return f"room '{room}' is not in the table of {os.path.basename(__file__)}"
    other, slash, rest = header.partition("/")
    if not slash or ".." in header.split("/"):
        return f'"{header}" does not name its room ("room/name.h")'
    if other not in ALLOWED:
        return f'"{header}" is outside src/'
    if other != room and other not in ALLOWED[room].split():
        return f"{room} must not include {other} (\"{header}\"); it may include: {ALLOWED[room] or 'nothing'}"
    if other == room and room in BACKENDS:
        mine, theirs = path.split("/")[1:-1], header.split("/")[1:-1]
        if mine and theirs and mine[0] != theirs[0]:
            return f"backend {room}/{mine[0]} must not include backend {room}/{theirs[0]}"
    return None


def problems_of(root, path):
    found = []
    with open(os.path.join(root, path), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            include = INCLUDE.match(line)
            why = include and problem_with(path, *include.groups())
            if why:
                found.append(f"src/{path}:{number}: {why}")
    return found


# what the check itself must find: file, its one include, a part of the complaint (None: fine)
SELF_TEST = [
    ("model/tree.c", '"io/file.h"', "model must not include io"),
    ("health/http.c", '"rollback/rollback.h"', "health must not include rollback"),
    ("log/sqlite/sqlite.c", '"log/memory/memory.h"', "backend log/sqlite must not include backend log/memory"),
    ("log/sqlite/sqlite.c", '"log/log.h"', None),
    ("log/log.c", '"log/wrap/wrap.h"', None),
    ("log/memory/memory.c", "<sqlite3.h>", "<sqlite3.h> belongs to log/sqlite/ alone"),
    ("io/file.c", '"support/support.h"', "outside src/"),
    ("io/file.c", '"../tests/support/support.h"', "does not name its room"),
    ("io/file.c", '"file.h"', "does not name its room"),
    ("kitchen/sink.c", '"base/error.h"', "room 'kitchen' is not in the table"),
    ("cli/cli.c", '  "monitor/monitor.h"', None),
    ("main.c", '"cli/cli.h"', None),
]


def self_test(report):
    for path, header, expected in SELF_TEST:
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(f"/* a comment */\n#  include {header}\n")
            found = problems_of(root, path)
        good = not found if expected is None else len(found) == 1 and expected in found[0] and ":2:" in found[0]
        report(good, f"the check itself: {path} with {header}", found or ["nothing was found"])


def table_is_a_direction(report):
    for room, others in ALLOWED.items():
        both = [other for other in others.split() if room in ALLOWED[other].split() or other == room]
        report(not both, f"the table has a direction: {room}", both)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src")
    results = []
    self_test(lambda *result: results.append(result))
    table_is_a_direction(lambda *result: results.append(result))
    for room in sorted({path.partition("/")[0] for path in sources(root)}):
        found = [why for path in sources(root) if path.partition("/")[0] == room for why in problems_of(root, path)]
        results.append((not found, f"src/{room}", found))
    print(f"1..{len(results)}")
    for number, (good, name, details) in enumerate(results, 1):
        print(f"{'ok' if good else 'not ok'} {number} - {name}")
        for detail in [] if good else details:
            print(f"# {detail}")
    return 0 if all(good for good, _, _ in results) else 1


sys.exit(main())
