#!/usr/bin/env python3
"""Writes the table of settings in docs/config.md as the program CIS prints it; with --check only compares (a test does).

    gen_settings.py CIS [--check]
"""
import os
import subprocess
import sys

PAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "config.md")
BEGIN, END = "|---|---|---|---|---|\n", "<!-- End of the table. -->\n"


def main():
    rows = subprocess.run([sys.argv[1], "__man", "--settings"], check=True, capture_output=True, text=True).stdout
    with open(PAGE, encoding="utf-8") as handle:
        now = handle.read()
    head, rest = now.split(BEGIN, 1)
    wanted = head + BEGIN + rows + END + rest.split(END, 1)[1]
    if rows.count("\n") < 10:
        sys.exit(f"{sys.argv[1]} printed no table of settings")
    if "--check" in sys.argv[2:]:
        if wanted != now:
            sys.exit("docs/config.md does not have the settings of src/config/settings.def: "
                     "run tools/gen_settings.py build/dev/bin/cis")
        print(f"{rows.count(chr(10))} settings agree with the table")
        return
    with open(PAGE, "w", encoding="utf-8") as handle:
        handle.write(wanted)


main()
