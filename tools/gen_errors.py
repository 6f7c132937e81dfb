#!/usr/bin/env python3
"""Writes docs/errors.md from include/cis/error.def; with --check only compares (a test does)."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0])))
PAGE = os.path.join(ROOT, "docs", "errors.md")
ROW = re.compile(r'^CIS_ERROR\((\w+), "([^"]*)", (\d+), (\d+), (\d+), "(\w+)", \w+\)', re.M)

HEAD = """<!-- Written by tools/gen_errors.py from include/cis/error.def. -->
# Errors
A function of libcis that can fail returns an `enum cis_code` and fills a `struct cis_error` of the
caller: the code, the errno of the system call that failed (or 0), and one line that names the object.
The commands print that line on stderr and end with the exit code; with `--json` the code's name and
the line are on stdout as `{"schema":1,"error":{"code":…,"message":…}}`.

Errors of a guest are three different things, and never mixed: a value that a host call returns to the
guest (see the ABI), a trap that ends the guest, and a code of this table that ends the run.

| code | value | meaning | exit code of `cis skill …` | of `cis run` | HTTP status |
|---|---|---|---|---|---|
"""


def exits(rows, column):
    text = "| exit | codes |\n|---|---|\n"
    for code in sorted({int(row[column]) for row in rows}):
        names = ", ".join(f"`{row[0]}`" for row in rows if int(row[column]) == code)
        text += f"| {code} | {names} |\n"
    return text


def page():
    with open(os.path.join(ROOT, "include", "cis", "error.def"), encoding="utf-8") as table:
        rows = ROW.findall(table.read())
    if not rows:
        sys.exit("no row found in error.def")
    text = HEAD
    for value, (name, meaning, skill, run, http, _status) in enumerate(rows):
        text += f"| `CIS_E_{name}` | {value} | {meaning} | {skill} | {run} | {http} |\n"
    text += "\n## Exit codes of `cis skill …`\n" + exits(rows, 2)
    text += "\n## Exit codes of `cis run`\nA program that ends by itself gives its own exit code. Else:\n\n"
    return text + exits(rows, 3)


def main():
    wanted = page()
    if "--check" in sys.argv[1:]:
        with open(PAGE, encoding="utf-8") as handle:
            if handle.read() != wanted:
                sys.exit("docs/errors.md is not what tools/gen_errors.py writes: run it")
        return
    os.makedirs(os.path.dirname(PAGE), exist_ok=True)
    with open(PAGE, "w", encoding="utf-8") as handle:
        handle.write(wanted)


main()
