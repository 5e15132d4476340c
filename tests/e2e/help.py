#!/usr/bin/python3
"""Every command explains itself: usage, example, exit statuses; what is documented is what is understood."""

import os
import re
import shlex
import subprocess

from support import PROGRAM, USAGE, check, done, environment

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(*words):
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, env=environment(), timeout=30)


overview = run("--help")
check("the overview", overview.returncode == 0 and "Usage: lastgood" in overview.stdout, overview)
check("no command is a usage error", run().returncode == USAGE)
check("the version", re.fullmatch(r"lastgood \d+\.\d+\.\d+\n", run("--version").stdout), run("--version"))

markdown = run("help", "--markdown").stdout
commands = re.findall(r"^## lastgood (.+)$", markdown, re.M)
wanted = ["init", "set", "get", "unset", "list", "import", "export", "schema show", "schema set", "schema unset",
          "schema import", "schema strict", "history", "show", "diff", "mark", "hold", "release", "rollback config",
          "rollback list", "rollback show", "rollback undo", "rollback resume", "recover at", "recover key", "recover verify",
          "recover salvage", "trim", "validate", "monitor", "doctor"]
check("every command is in the reference", sorted(commands) == sorted(wanted), commands)

with open(os.path.join(REPO, "docs", "commands.md"), encoding="utf-8") as file:
    check("docs/commands.md is what the program says: 'build/lastgood help --markdown >docs/commands.md' mends it",
          file.read() == markdown)

for command in commands:
    explained = run(*command.split(), "--help")
    text = explained.stdout
    check(f"{command}: --help ends with 0, on standard output", explained.returncode == 0 and not explained.stderr,
          explained)
    check(f"{command}: usage names it", text.startswith(f"Usage: lastgood {command}"), text)
    section = text.partition("Examples\n")[2].partition("\nExit status")[0]
    examples = re.findall(r"^  lastgood (.+)$", section, re.M)
    check(f"{command}: it has an example", examples and section.count("# ") == len(examples), text)
    check(f"{command}: exit statuses are listed", re.search(r"^  0 +done$", text, re.M), text)
    check(f"{command}: it is in the overview", f"  {command} " in overview.stdout, command)
    check(f"{command}: lines fit a terminal", all(len(line) <= 100 for line in text.splitlines()),
          [line for line in text.splitlines() if len(line) > 100])
    check(f"{command}: help before the command", run("--help", *command.split()).stdout == text)
    check(f"{command}: an unknown option is a usage error", run(*command.split(), "--nonsense").returncode == USAGE)
    for example in examples:
        words = shlex.split(example.split(" <")[0])
        # --help last: the example is parsed as it stands, then explained instead of run
        parsed = run(*words, "--help")
        check(f"{command}: the example is understood: {example[:50]}", parsed.returncode == 0, parsed)

statuses = run("help", "exit-codes").stdout
check("exit statuses are listed", all(f"  {n} " in statuses for n in range(0, 19)), statuses)
check("--help exit-codes says the same", run("--help", "exit-codes").stdout == statuses)
check("a group lists its commands", "rollback undo" in run("rollback", "--help").stdout)
check("a group alone is a usage error", run("schema").returncode == USAGE)
check("an unknown command", run("frobnicate").returncode == USAGE and "frobnicate" in run("frobnicate").stderr)
for typed, meant in (("hist", "history"), ("rolback", "rollback"), ("rollback confg", "rollback config"), ("exprot", "export")):
    result = run(*typed.split())
    check(f"'{typed}' is a usage error that names '{meant}'",
          result.returncode == USAGE and f"did you mean 'lastgood {meant}'?" in result.stderr, result)
check("nothing is guessed from nothing", "did you mean" not in run("x").stderr + run("frobnicate").stderr)
result = run("rollback", "--to", "@-1")
check("a group without its command names them", result.returncode == USAGE and "config, list, show" in result.stderr, result)
check("a missing argument of an option", run("set", "a=1", "--reason").returncode == USAGE)
check("an argument that an option does not take", run("list", "--help=yes").returncode == USAGE)
check("an option given twice", run("get", "a", "--at", "r1", "--at", "r2").returncode == USAGE)
done()
