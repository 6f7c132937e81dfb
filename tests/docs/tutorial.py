#!/usr/bin/env python3
"""Runs every command of a tutorial of docs/ and compares what it prints with what the page says.

    tutorial.py PAGE.md

In a fenced block "console" a line that begins with "$ " is a command; the lines below it are its output, of stdout and
stderr. "…" stands for any text in a line, a line of "…" alone for any lines. A command that fails is followed by
"$ echo $?". A fenced block with a file's name ("c trim.c") is written to that file. An ID such as 01KAJ2 stands for one
ID of the program: what it was when the page first shows it.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ID = re.compile(r"\b01KAJ\w*…?")
REAL = r"01[0-9A-HJKMNP-TV-Z]{24}"


def blocks(page):
    """(line, words after the fence, lines) of each fenced block."""
    lines = open(page, encoding="utf-8").read().split("\n")
    start = None
    for number, line in enumerate(lines):
        if line.startswith("```"):
            if start is None:
                start = number
            else:
                yield start + 2, lines[start][3:].split(), lines[start + 1 : number]
                start = None


def commands(number, lines):
    """(line, command, expected lines)"""
    found = []
    for at, line in enumerate(lines):
        if line.startswith("$ "):
            found.append((number + at, line[2:], []))
        else:
            found[-1][2].append(line)
    return found


def pattern(line, ids, new):
    """A regular expression for a line of the page."""
    parts, at = [], 0
    for match in ID.finditer(line):
        name = match[0].rstrip("…")
        parts.append((line[at : match.start()], None))
        parts.append(("", name))
        at = match.end()
    parts.append((line[at:], None))
    text = ""
    for literal, name in parts:
        text += ".*".join(re.escape(piece) for piece in literal.split("…"))
        if name in ids:
            text += re.escape(ids[name])
        elif name is not None:
            text += f"(?P<i{len(new)}>{REAL})"
            new.append(name)
    return text.replace(r"\ .*\ ", r"\ +(?:.*\ )?") + r" *"


def matches(expected, printed, ids):
    new, text = [], ""
    for line in expected:
        text += r"(?:.*\n)*" if line == "…" else pattern(line, ids, new) + r"\n"
    found = re.fullmatch(text, printed)
    if found:
        for at, name in enumerate(new):
            ids[name] = found[f"i{at}"]
    return found is not None


def run(command, status, folder, ids):
    for name, real in ids.items():
        command = re.sub(rf"\b{name}\b", real, command)
    script = f"(exit {status})\n{command}\n"
    done = subprocess.run(["/bin/sh", "-c", script], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, timeout=600, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def main():
    page, folder, ids, count = os.path.abspath(sys.argv[1]), tempfile.mkdtemp(prefix="cis-tutorial-"), {}, 0
    os.environ["CIS_HOME"] = os.path.join(folder, ".home")
    tools = os.path.join(folder, ".tools")
    os.mkdir(tools)
    os.symlink(os.environ["CIS_PROGRAM"], os.path.join(tools, "cis"))
    if os.environ.get("CIS_WASM_CC"):
        os.symlink(os.environ["CIS_WASM_CC"], os.path.join(tools, "clang"))
    os.environ["PATH"] = tools + ":" + os.environ["PATH"]
    os.environ["LC_ALL"] = "C.UTF-8"
    try:
        for number, words, lines in blocks(page):
            if len(words) == 2:
                with open(os.path.join(folder, words[1]), "w", encoding="utf-8") as handle:
                    handle.write("\n".join(lines) + "\n")
            status = 0
            for line, command, expected in commands(number, lines) if words == ["console"] else []:
                if status != 0 and command != "echo $?":
                    sys.exit(f"{page}:{line}: the command before this one failed ({status})")
                status, printed = run(command, status, folder, ids)
                count += 1
                if not matches(expected, printed, ids):
                    sys.exit(f"{page}:{line}: {command}\n--- the page says\n" + "\n".join(expected) +
                             f"\n--- it prints (exit {status})\n{printed}")
            if status != 0:
                sys.exit(f"{page}:{number}: the last command of this block failed ({status})")
        if count < 10:
            sys.exit(f"{page}: only {count} commands were found")
        print(f"{count} commands of {os.path.basename(page)} do what it says")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
