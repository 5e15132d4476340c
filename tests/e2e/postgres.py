#!/usr/bin/python3
"""The parameters of a real PostgreSQL as schema and values (`postgres --describe-config` writes nothing)."""

import glob
import json
import subprocess

from support import INVALID, OK, Store, check, done, skip

found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
if not found:
    skip("PostgreSQL's parameters", "no postgres is installed")
    done()
described = subprocess.run([found[-1], "--describe-config"], capture_output=True, text=True, check=True, timeout=60).stdout
RESTART = {"postmaster": "restart", "sighup": "reload"}


def declaration(fields):
    """name, context, group, type, reset value, min, max, description → key, declaration, value"""
    name, context, _, kind, reset, least, most, description = fields[:8]
    declared = {"description": description, "restart": RESTART.get(context, "none")}
    if kind == "BOOLEAN":
        declared["type"], value = "bool", reset == "TRUE"
    elif kind == "INTEGER":
        declared.update(type="int", min=int(least), max=int(most))
        value = min(max(int(reset), int(least)), int(most))  # 0 is printed for what is computed at start
    elif kind == "REAL":
        declared.update(type="float", min=float(least), max=float(most))
        value = min(max(float(reset), float(least)), float(most))
    else:
        declared["type"], value = "string", reset
    declared["default"] = value
    return name, declared, value


parameters = {}
for line in described.splitlines():
    key, declared, value = declaration(line.split("\t"))
    parameters["postgres/" + key] = (declared, value)
check("there are as many as PostgreSQL 15 has, or more", len(parameters) >= 300, len(parameters))

store = Store(strict=True)
text = json.dumps({"configurations": {k: {"value": v} for k, (_, v) in parameters.items()},
                   "schema": {k: d for k, (d, _) in parameters.items()}})
result = store.run("import", store.file("postgres.json", text), "-o", "json")
check("all are imported, schema and values, in one change", result.status == OK and
      result.json()["changed"] == 2 * len(parameters), result)
values = store.values()
check("every value is as PostgreSQL says", all(values[k] == v for k, (_, v) in parameters.items()),
      [(k, v, values.get(k)) for k, (_, v) in parameters.items() if values.get(k) != v])

# --- out of range, one by one and all together
store.before = store.state()
beyond = {}
for key, (declared, _) in parameters.items():
    if "min" not in declared:
        continue
    least, most = declared["min"], declared["max"]
    step = 1 if declared["type"] == "int" else 1.0
    if declared["type"] == "int" or abs(least) < 1e15:
        beyond[key + "<"] = least - step
    if declared["type"] == "int" or abs(most) < 1e15:
        beyond[key + ">"] = most + step
check("there is something to refuse", len(beyond) >= 200, len(beyond))


def number(value):
    """As lastgood writes it, or nearly: enough to find it in a message."""
    return str(int(value)) if float(value).is_integer() else repr(value)


wrong = []
for which, value in beyond.items():
    key = which[:-1]
    limit = parameters[key][0]["min" if which[-1] == "<" else "max"]
    result = store.set(f"{key}={value!r}")
    message = result.message
    if result.status != INVALID or key not in message or number(value) not in message or number(limit) not in message:
        wrong.append((which, value, limit, str(result)))
check("each value out of range is refused, naming key, value and range", not wrong, wrong[:3])
result = store.run("set", *(f"{k[:-1]}={v!r}" for k, v in beyond.items() if k[-1] == ">"), "--reason", "all")
check("all at once: every one is listed", result.status == INVALID and
      all(k[:-1] + ":" in result.message for k in beyond if k[-1] == ">"), result)
check("wrong types", all(store.set(f"{k}=[]").status == INVALID for k in list(parameters)[:20]))
check("nothing was changed", store.state() == store.before)

# --- there and back
for form in ("json", "yaml"):
    exported = store.run("export", "--format", form).out
    second = Store()
    result = second.run("import", "-", "--format", form, input=exported)
    strict = second.run("schema", "strict", "on") if second.state()[3] != store.state()[3] else None
    check(f"export and import through {form} give the same root hash", result.status == OK and
          second.state()[3] == store.state()[3], (result, strict, second.state(), store.state()))
for form in ("env", "properties"):
    second = Store()
    second.run("import", "-", input=store.run("export").out)
    second.run("unset", *list(parameters)[:50], "--reason", "x")
    result = second.run("import", "-", "--format", form, input=store.run("export", "--format", form).out)
    check(f"values come back through {form}", result.status == OK and second.values() == values, result)

# --- and the way back
key = "postgres/max_connections"
store.set(f"{key}=20", "postgres/work_mem=8192")
result = store.run("rollback", "config", "--to", "@-1", "--reason", "performance: too few connections", "--yes")
check("back to what PostgreSQL says", result.status == OK and store.state()[3] == store.before[3], result)
done()
