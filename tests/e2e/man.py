#!/usr/bin/python3
"""The manual pages: made from the tables, complete, without a warning of groff, and their example is understood."""

import os
import re
import shutil
import subprocess

from support import PROGRAM, Store, check, done, environment, skip

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE_5 = os.path.join(REPO, "man", "lastgood.yaml.5")
NONSENSE = "nonsense"

store = Store()


def text_of(roff):
    """Near enough to what is shown: no requests, no fonts, no escapes."""
    roff = re.sub(r"^\.(?:BR|IR|RB|B|I) ?", "", roff, flags=re.M)
    return re.sub(r"\\f[BIR]|\\&", "", roff).replace("\\-", "-").replace("\\(aq", "'").replace("\\(dq", '"')


def lint(name, path):
    if not shutil.which("groff"):
        skip(f"{name}: groff warns of nothing", "groff is not installed")
        return
    result = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", path], capture_output=True, check=False)
    check(f"{name}: groff warns of nothing", result.returncode == 0 and not result.stderr, result)


# --- lastgood(1)
page = subprocess.run([PROGRAM, "help", "--man"], capture_output=True, env=environment(), check=False)
check("help --man", page.returncode == 0 and page.stdout.startswith(b'.\\" ') and not page.stderr, page)
check("ASCII, so that any roff in any locale shows it", page.stdout.isascii())
lint("lastgood.1", store.file("lastgood.1", page.stdout))
page = text_of(page.stdout.decode())
markdown = subprocess.run([PROGRAM, "help", "--markdown"], capture_output=True, text=True, env=environment(), check=False)
commands = re.findall(r"^## lastgood (.+)$", markdown.stdout, re.M)
sections = re.findall(r"^\.SH (.+)$", page, re.M)
check("its sections", sections == ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "EXIT STATUS", "ENVIRONMENT",
                                   "FILES", "EXAMPLES", "SEE ALSO"], sections)
check("every command", commands and re.findall(r"^\.SS lastgood (.+)$", page, re.M) == commands, commands)
for option in sorted(set(re.findall(r"^\| `(?:-., )?(--[a-z-]+)", markdown.stdout, re.M))):
    check(f"option {option}", f"{option}" in page)
for example in re.findall(r"```sh\n(.*?)```", markdown.stdout, re.S):
    for line in re.findall(r"^lastgood .*$", example, re.M):
        check(f"example: {line[:60]}", line in page.replace("\\e", "\\"), line)

# --- lastgood.yaml(5)
lint("lastgood.yaml.5", PAGE_5)
with open(PAGE_5, encoding="utf-8") as file:
    page = file.read()
example = text_of(page.partition(".EX\n")[2].partition(".EE\n")[0])
path = store.file("lastgood.yaml", example)
result = store.run("--config", path, "doctor", "-o", "json")
finding = [found for found in result.json()["checks"] if found["check"] == "topology"]
check("its example is understood", [found["verdict"] for found in finding] == ["ok"], finding)

# what the program itself knows at each place, by asking it with a member that there is not
places = {
    "THE DOCUMENT": {NONSENSE: 1},
    "SERVICES": {"services": {"a": {NONSENSE: 1}}},
    "HEALTH": {"services": {"a": {"health": {NONSENSE: 1}}}},
    "ADAPTER": {"services": {"a": {"adapter": {NONSENSE: 1}}}},
    "ADAPTER file": {"services": {"a": {"adapter": {"file": {NONSENSE: 1}}}}},
    "MONITOR": {"monitor": {NONSENSE: 1}},
    "TRIGGERS": {"triggers": {"a": {NONSENSE: 1}}},
}
for place, document in places.items():
    path = store.file("asked.yaml", str(document).replace("'", '"'))
    told = store.run("--config", path, "set", "a=1", "--reason", "x").message
    known = re.search(rf"{NONSENSE}'?: is unknown; known here: (.*)", told)
    check(f"{place}: the program says what it knows", known, told)
    section = page.partition("\n.SH " + place.removesuffix(" file") + "\n")[2].partition("\n.SH ")[0]
    for member in known.group(1).split(", ") if known else []:
        check(f"{place}: {member}", f".TP\n.B {member}\n" in section, section)
done()
