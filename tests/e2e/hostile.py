#!/usr/bin/python3
"""Hostile strings as keys and values through the program: taken whole or refused clearly, and never printed raw."""

import json
import os
import re
import unicodedata

from support import INVALID, OK, Store, check, done, skip

OWN = ["", " ", "\u202etxt.exe", "\u2066x\u2069", "a\u0301", "\u00e1", "\U0001f4a9", "\ufeffbom", "'; DROP TABLE records; --",
       "$(reboot)", "`reboot`", "%s%s%n", "../../etc/passwd", "-rf", "--reason", "\x1b[2J\x1b[1;1H", "a\rb", "a\nb", "a\tb",
       "\x7f", "\x85", "{{x}}", "@schema/x", "@strict", "null", "true", "01", "1e309", "0x10", "NaN", "[", "{", '"', "\\",
       "=", "==", "a=b", "k" * 512, "k" * 513, "é" * 256, "é" * 257, "/", "//", "a/", "/a", ".", "..", "a/./b", "#", "!", "~",
       "no", "on", "y", "1_000", "1:30", "<<", "&a", "*a", "|", ">", "? x", "- x", ": ", "x: y", "\u2028", "\ufffe"]
strings = list(OWN)
listed = os.environ.get("LASTGOOD_BLNS")
if listed and os.path.exists(listed):
    with open(listed, encoding="utf-8") as file:
        strings += json.load(file)
else:
    skip("the big list of naughty strings", "LASTGOOD_BLNS names no file")
strings = [s for s in dict.fromkeys(strings) if "\0" not in s]


def encodable(text):
    try:
        text.encode("utf-8")
        return True
    except UnicodeEncodeError:
        return False


strings = [s for s in strings if encodable(s)]
# one process for each is dear: all of them in batches, these one by one
singly = [s for i, s in enumerate(strings) if s in OWN or i % 4 == 0]
# what no line of a terminal may hold: controls, bidi overrides and isolates
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(data):
    return not UNSAFE.search(data.decode("utf-8"))


# --- as values, all in one change
store = Store()
values = {f"v/{i:04}": s for i, s in enumerate(strings)}
document = json.dumps({"configurations": {k: {"value": v} for k, v in values.items()}})
result = store.run("import", store.file("values.json", document))
check(f"{len(values)} hostile values are taken", result.status == OK, result)


def differing(got):
    return [(k, v, got.get(k)) for k, v in values.items() if got.get(k) != v][:5]


back = store.values()
check("and come back as they were", back == values, differing(back))
for words in (["list"], ["history"], ["show", "head"], ["diff", "r1", "head"]):
    check(f"{words[0]} prints them safely", clean(store.run(*words).out))
wrong = [k for k in list(values)[:80] if store.run("get", k).out != values[k].encode() + b"\n"]
check("get gives a script the very bytes", not wrong, wrong)
for form in ("json", "yaml", "properties", "env"):
    second = Store()
    exported = store.run("export", "--format", form)
    result = second.run("import", "-", "--format", form, input=exported.out)
    back = second.values()
    check(f"they survive {form}", result.status == OK and back == values and second.state()[3] == store.state()[3],
          f"{result} {differing(back)}")

# --- as words of the command line
wrong = []
for text in singly:
    result = store.run("set", "--dry-run", "--reason", "x", "-o", "json", "--", "w=" + text)
    if result.status == OK:
        got = result.json()["changes"][0]["after"] if result.json()["changes"] else None
        same = got == text
        if not same:
            try:
                same = json.loads(text) == got  # it was JSON
            except ValueError:
                pass
        if not same:
            wrong.append((text, got))
    elif result.status != INVALID or not text.lstrip()[:1] in tuple('{["-0123456789'):
        wrong.append((text, str(result)))
    if not clean(result.err):
        wrong.append((text, "raw in an error", result.err))
check("as a value each is a string, JSON, or refused as broken JSON", not wrong, wrong[:5])

# --- as keys
keys = Store()


def valid_key(text):
    return (text != "" and len(text.encode()) <= 512 and not text.startswith("@") and
            all(s not in ("", ".", "..") for s in text.split("/")) and
            not any(unicodedata.category(c) == "Cc" for c in text))


wrong, taken = [], {text: 1 for text in strings if valid_key(text)}
for text in singly:
    result = keys.run("import", "-", "--dry-run", input=json.dumps({"configurations": {text: {"value": 1}}}))
    valid = valid_key(text)
    if result.status != (OK if valid else INVALID):
        wrong.append((text, valid, str(result)))
    if not clean(result.out + result.err):
        wrong.append((text, "printed raw"))
check("as a key each is taken or refused by the rules", not wrong, wrong[:5])
result = keys.run("import", "-", "--skip-invalid",
                  input=json.dumps({"configurations": {text: {"value": 1} for text in strings}}))
check("all valid ones at once", result.status == OK and keys.values() == taken, result)
wrong = [k for k in list(taken)[:60] if keys.run("get", "--", k).out != b"1\n"]
check("get finds each", not wrong, wrong[:5])
second = Store()
second.run("import", "-", input=keys.run("export").out)
check("they survive an export", second.state()[3] == keys.state()[3])
result = keys.run("export", "--format", "env")
check("env refuses keys that it cannot name, and names them", result.status == INVALID and clean(result.err), result)
check("the store is sound", keys.run("doctor").status == OK and store.run("doctor").status == OK)
done()
