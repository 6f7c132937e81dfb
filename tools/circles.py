#!/usr/bin/env python3
"""Circles of files inside a room of src/LAYERS: files that can only be understood together.

    circles.py           prints every circle and the room it is in
    circles.py --check   and fails where one is larger than its limit, or a limit larger than its circle

A source and the header of its name are one file. A file needs another one of its room when it uses what that one
defines, through a header that it includes: a header may speak for several sources, and one that is included for a
type alone makes nobody need the rest of it. Other rooms are never part of a circle: tools/check_layers.py sees to that.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0])))
SRC = os.path.join(ROOT, "src")
LIMIT = 3
# Rooms that had larger circles when this was first counted. The numbers may only become smaller.
LARGER = {
    "store/sqlite": 7,
    "vfs/union": 4,
    "vfs/layered": 34,
    "history": 4,
    "vfs/control": 5,
    "fuse": 7,
    "wasi/p2": 26,
    "skill": 4,
}

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
COMMENT = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)
# A function that begins a line and is followed by its body: it is defined here.
DEFINED = re.compile(r"^(?!static\b|typedef\b|#)[A-Za-z_][^;{}()]*?\b(\w+)\((?:[^;{}]|\n)*?\)[^;{}=]*\n\{", re.M)
# Tables and other objects: `const struct x name = {`, `name[] = {`.
OBJECT = re.compile(r"^(?!static\b|typedef\b|extern\b|#)[A-Za-z_][\w\s*]*?\b(\w+)(?:\[[^\]]*\])* =", re.M)
TAG = re.compile(r"\b(?:struct|union|enum)\s+\w+")
WORD = re.compile(r"\b[A-Za-z_]\w*\b")


def words(text):
    """Names, but for those of types."""
    return set(WORD.findall(TAG.sub(" ", text)))


def rooms():
    found = []
    for line in open(os.path.join(SRC, "LAYERS"), encoding="utf-8"):
        line = line.split("#")[0].strip()
        if line.startswith("["):
            break
        if ":" in line:
            found.append(line.split(":")[0].strip())
    return found


def files_of(room):
    """{name without ending: {ending: text without comments and strings, includes}}"""
    folder, found = os.path.join(SRC, room), {}
    for name in sorted(os.listdir(folder)):
        stem, ending = os.path.splitext(name)
        if ending in (".c", ".h"):
            text = open(os.path.join(folder, name), encoding="utf-8").read()
            includes = INCLUDE.findall(text)
            found.setdefault(stem, {})[ending] = (COMMENT.sub(" ", text), includes)
    return found


def needs_of(room):
    """{file: set(files)}"""
    files = files_of(room)
    owner = {} # what is defined, and in which file
    for stem, parts in files.items():
        if ".c" in parts:
            for pattern in (DEFINED, OBJECT):
                for name in pattern.findall(parts[".c"][0]):
                    owner[name] = stem
    declares = {stem: words(parts[".h"][0]) for stem, parts in files.items() if ".h" in parts}
    needs = {}
    for stem, parts in files.items():
        mine = needs.setdefault(stem, set())
        seen, todo = set(), [name for part in parts.values() for name in part[1]]
        used = words(parts[".c"][0]) if ".c" in parts else set()
        while todo: # the headers of this room that it sees, directly or not
            include = todo.pop()
            head, tail = os.path.split(include)
            other = tail[:-2]
            if include in seen or (head and head != room) or not tail.endswith(".h") or other not in declares:
                continue
            seen.add(include)
            todo += files[other][".h"][1]
            mine.update(owner[name] for name in used & declares[other] if name in owner)
        mine.discard(stem)
    return needs


def circles(needs):
    """Sets of files that need each other, by Tarjan's algorithm; the largest first."""
    index, low, stack, on, found = {}, {}, [], set(), []

    def visit(at):
        index[at] = low[at] = len(index)
        stack.append(at)
        on.add(at)
        for to in sorted(needs.get(at, ())):
            if to not in index:
                visit(to)
                low[at] = min(low[at], low[to])
            elif to in on:
                low[at] = min(low[at], index[to])
        if low[at] == index[at]:
            group = []
            while not group or group[-1] != at:
                group.append(stack.pop())
                on.discard(group[-1])
            if len(group) > 1:
                found.append(sorted(group))

    for at in sorted(needs):
        if at not in index:
            visit(at)
    return sorted(found, key=lambda group: (-len(group), group))


def main():
    check, failed, total = "--check" in sys.argv[1:], 0, 0
    known = rooms()
    for room in known:
        found = circles(needs_of(room))
        largest = len(found[0]) if found else 0
        limit = LARGER.get(room, LIMIT)
        for group in found:
            total += 1
            if not check or len(group) > limit:
                print(f"{room}: {len(group)} files: {' '.join(group)}")
        if largest > limit:
            failed += 1
            print(f"{room}: a circle of {largest} files, the limit is {limit}")
        elif room in LARGER and largest < limit:
            failed += 1
            print(f"{room}: the largest circle has {largest} files now: lower its number in tools/circles.py"
                  if largest > LIMIT else f"{room}: needs no line in tools/circles.py any more")
    for room in LARGER:
        if room not in known:
            failed += 1
            print(f"{room}: is in tools/circles.py and not in src/LAYERS")
    print(f"{len(known)} rooms, {total} circles")
    return 1 if check and failed else 0


sys.exit(main())
