#!/usr/bin/env python3
"""What src/ defines for other files and no other file uses: it is static, or nobody calls it.
A symbol counts as used when another object of src/ refers to it, a public header declares it, or a C
file of tests/ or tools/ names it (what exists for tests alone says so where it is declared).
usage: unused.py BUILD SOURCE
exit code 1 when one is found, 2 when the objects are not there or cannot be read"""
import json
import pathlib
import re
import subprocess
import sys


def symbols(objects):
    """{symbol: object that defines it}, {symbol: {objects that refer to it}}"""
    defined, used, at = {}, {}, None
    shown = subprocess.run(["nm", "--extern-only", "--format=posix", "--print-file-name", *objects],
                           capture_output=True, text=True, check=False)
    if shown.returncode != 0:
        print(f"objects cannot be read: {shown.stderr.strip()[:200]}")
        sys.exit(2)
    for line in shown.stdout.splitlines():
        at, _, rest = line.partition(": ")
        name, kind = rest.split()[:2]
        if kind in "Uw":
            used.setdefault(name, set()).add(at)
        else:
            defined[name] = at
    return defined, used


def words(paths):
    return set().union(*(re.findall(r"\w+", p.read_text(encoding="utf-8", errors="replace")) for p in paths))


def main():
    build, source = map(pathlib.Path, sys.argv[1:3])
    objects = {}
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        file = pathlib.Path(entry["file"])
        if file.is_relative_to(source / "src"):
            output = re.search(r" -o (\S+)", entry["command"]).group(1)
            objects[str(pathlib.Path(entry["directory"]) / output)] = file.relative_to(source)
    there = [o for o in objects if pathlib.Path(o).exists()]
    if len(there) < len(objects) or len(there) < 100:
        print(f"{len(there)} of {len(objects)} objects are there: build first ({(set(objects) - set(there)).pop()})")
        return 2
    defined, used = symbols(there)
    public = words((source / "include/cis").glob("*.h"))
    tests = words(p for room in ("tests", "tools") for p in (source / room).rglob("*.[ch]"))
    found = sorted((str(objects[at]), name) for name, at in defined.items()
                   if not used.get(name, set()) - {at} and name not in public and name not in tests)
    for file, name in found:
        print(f"{file}: {name}: no other file uses it: make it static, or delete it")
    print(f"{len(there)} objects, {len(defined)} symbols, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
