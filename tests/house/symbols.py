#!/usr/bin/env python3
"""What a program that links libcis can collide with: every symbol that the static library defines
for others begins with cis_; the shared one shows what its headers declare, and all of that.
usage: symbols.py BUILD SOURCE   (SOURCE/include/cis has the headers)
exit code 1 when one is named, 2 when a library is not there or cannot be read"""
import pathlib
import re
import subprocess
import sys


def defined(library, *options):
    """Names that the library defines for others."""
    shown = subprocess.run(["nm", "--defined-only", "--format=posix", *options, str(library)],
                           capture_output=True, text=True, check=False)
    names = {line.split()[0].split("@")[0] for line in shown.stdout.splitlines()
             if len(line.split()) > 1 and line.split()[1].isupper()}
    if shown.returncode != 0 or len(names) < 100:
        print(f"{library}: cannot be read, or is no library: {shown.stderr.strip()[:200]}")
        sys.exit(2)
    return {n for n in names if not n.startswith("CIS_")}  # the version that the shared library's names have


def declared(headers):
    """Functions and variables that the headers give to a program."""
    found = set()
    for header in headers.glob("*.h"):
        text = re.sub(r"/\*.*?\*/", " ", header.read_text(encoding="utf-8"), flags=re.S)
        text = re.sub(r"^\s*#.*?[^\\]$", " ", text, flags=re.S | re.M)
        for line in re.findall(r"\bCIS_API\b([^;{]*)", text):
            name = re.search(r"\b(cis_\w+)\s*(?:\(|$|\[)", line.strip())
            if name:
                found.add(name.group(1))
    return found


def main():
    build, source = map(pathlib.Path, sys.argv[1:3])
    told = []
    for name in sorted(defined(build / "libcis.a", "--extern-only")):
        if not name.startswith("cis_"):
            told.append(f"libcis.a: {name}: every symbol begins with cis_, or is static")
    shown = defined(build / "libcis.so", "--dynamic")
    wanted = declared(source / "include" / "cis")
    told += [f"libcis.so: {n}: no header declares it" for n in sorted(shown - wanted)]
    told += [f"libcis.so: {n}: declared, and not there" for n in sorted(wanted - shown)]
    for line in told:
        print(line)
    print(f"{len(shown)} symbols of libcis.so, {len(told)} findings")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
