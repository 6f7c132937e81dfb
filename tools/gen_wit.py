#!/usr/bin/env python3
"""Writes docs/scheduler-wit.md from examples/scheduler/wit; with --check only compares (a test does)."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0])))
PAGE = os.path.join(ROOT, "docs", "scheduler-wit.md")
WIT = os.path.join("examples", "scheduler", "wit")
FILES = ["scheduler.wit", "core-libs.wit", "actions-http.wit", "executor.wit"]

HEAD = """<!-- Written by tools/gen_wit.py from examples/scheduler/wit. -->
# Interfaces of the load scheduler
The packages that the scheduler's components are made of ([load-test with scenarios](guides/load-test.md#forms) says which
component has which). Whoever provides one of them in another way, by a component of his own that is
[composed](compose.md) with the others, replaces that part.
"""
FUNCTION = re.compile(r"(?:export )?(constructor|[a-z0-9-]+)(?:: (static )?func)?(\(.*);")


class Block:
    """The lines of a package, an interface, a resource or a world, item by item."""

    def __init__(self, lines):
        self.lines = lines

    def items(self):
        """(documentation, the item's lines) each."""
        doc, i = [], 0
        while i < len(self.lines):
            line = self.lines[i].strip()
            begin = i
            i += 1
            if line.startswith("///"):
                doc.append(line[3:].strip())
            elif line:
                if line.endswith("{"):
                    depth = len(self.lines[begin]) - len(self.lines[begin].lstrip())
                    while self.lines[i].rstrip() != " " * depth + "}":
                        i += 1
                    i += 1
                yield " ".join(doc), self.lines[begin:i]
                doc = []


def without_indent(lines):
    depth = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(line[depth:].rstrip() for line in lines)


def cell(text):
    return text.replace("|", "\\|")


def table(rows):
    text = "\n| function | type | what |\n|---|---|---|\n"
    for doc, line, of in rows:
        name, static, rest = FUNCTION.fullmatch(line).groups()
        text += f"| `{of}{name}` | `{'static ' if static else ''}{'func' if name != 'constructor' else ''}{cell(rest)}` | {cell(doc)} |\n"
    return text


def interface(lines):
    """Its types as text, its functions as a table."""
    types, rows, said = [], [], ""
    for doc, item in Block(lines).items():
        first = item[0].strip()
        if first.startswith("resource"):
            name = first.split()[1].rstrip(";")
            said += f"\n`resource {name}`: {doc}\n"
            rows += [(d, i[0].strip(), name + ".") for d, i in Block(item[1:-1]).items()]
        elif FUNCTION.fullmatch(first):
            rows.append((doc, first, ""))
        else:
            types.append(without_indent(item))
    text = "\n```wit\n" + "\n".join(types) + "\n```\n" if types else ""
    return text + said + (table(rows) if rows else "")


def package(path):
    with open(os.path.join(ROOT, WIT, path), encoding="utf-8") as file:
        lines = file.read().rstrip("\n").split("\n")
    name = re.match(r"package ([^ ;]+)", lines[0]).group(1)
    text = f"\n## {name}\n`{WIT}/{path}`\n"
    for _, item in Block(lines[1:-1] if lines[0].endswith("{") else lines[1:]).items():
        kind, what = item[0].split()[:2]
        text += f"\n### {kind} {what}\n"
        inner = [line for line in item[1:-1]]
        if kind == "world" and any("func(" in line for line in inner):
            text += table([(doc, i[0].strip(), "") for doc, i in Block(inner).items()])
        elif kind == "world":
            text += "\n```wit\n" + without_indent(inner) + "\n```\n"
        else:
            text += interface(inner)
    return text


def main():
    wanted = HEAD + "".join(package(path) for path in FILES)
    if "--check" in sys.argv[1:]:
        with open(PAGE, encoding="utf-8") as file:
            if file.read() != wanted:
                sys.exit("docs/scheduler-wit.md is not what tools/gen_wit.py writes: run it")
        return
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(wanted)


main()
