#!/usr/bin/env python3
"""Includes point downwards only: src/LAYERS against every #include and every NEEDS of the build."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0])))
SRC = os.path.join(ROOT, "src")
findings = []


def finding(path, line, text):
    findings.append(f"{os.path.relpath(path, ROOT)}:{line}: {text}")


def read_layers(path):
    """Returns {room: set(rooms)}, in order, and [(foreign prefix, set(rooms))]."""
    rooms, foreign, section = {}, [], "rooms"
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        if line.startswith("["):
            section = line.strip("[]")
            continue
        if ":" not in line:
            finding(path, number, f"not 'room: needs': {line}")
            continue
        left, right = (part.split() for part in line.split(":", 1))
        if section == "foreign":
            foreign += [(prefix, set(right)) for prefix in left]
            continue
        for need in right:
            if need not in rooms:
                finding(path, number, f"{left[0]} needs {need}, which is not above it in the list")
        rooms[left[0]] = set(right)
    return rooms, foreign


def room_of(name, rooms):
    """The longest room that is a prefix of a path below src/."""
    best = None
    for room in rooms:
        if name.startswith(room + "/") and (best is None or len(room) > len(best)):
            best = room
    return best


INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def check_file(path, rooms, foreign):
    name = os.path.relpath(path, SRC)
    room = room_of(name, rooms)
    if room is None:
        finding(path, 1, "is in no room of src/LAYERS")
        return
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, header = match.groups()
        for prefix, owners in foreign:
            if header.startswith(prefix) and room not in owners:
                finding(path, number, f"{header} belongs to {' '.join(sorted(owners))} only")
        if quote == "<" or header.startswith("cis/") or header.startswith("cis_"):
            continue
        target = room_of(header, rooms)
        if target is None:
            if not os.path.exists(os.path.join(os.path.dirname(path), header)) and not any(
                header.startswith(prefix) for prefix, _ in foreign
            ):
                finding(path, number, f"{header} is in no room of src/LAYERS")
        elif target != room and target not in rooms[room]:
            finding(path, number, f"{room} may not include {header}: src/LAYERS lacks {target}")


def check_cmake(rooms):
    """What a room links is what it may include, and what it includes it links (maybe through another)."""
    linked = {}
    for folder, _, files in os.walk(SRC):
        if "CMakeLists.txt" not in files:
            continue
        path = os.path.join(folder, "CMakeLists.txt")
        text = re.sub(r"#.*", "", open(path, encoding="utf-8").read())
        for call in re.finditer(r"cis_room\(\s*(\S+)\s([^()]*)\)", text):
            room, body = call.group(1), call.group(2)
            line = text.count("\n", 0, call.start()) + 1
            if room not in rooms:
                finding(path, line, f"room {room} is not in src/LAYERS")
                continue
            needs = re.search(r"\bNEEDS\b(.*?)(\bLIBS\b|\bSOURCES\b|$)", body, re.S)
            linked[room] = set(needs.group(1).split()) if needs else set()
            for need in sorted(linked[room] - rooms[room]):
                finding(path, line, f"{room} NEEDS {need}, which src/LAYERS does not list")
    return linked


def check_public(foreign):
    """Public headers see only themselves and the C library."""
    folder = os.path.join(ROOT, "include", "cis")
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        for number, line in enumerate(open(path, encoding="utf-8"), 1):
            match = INCLUDE.match(line)
            if match and match.group(1) == '"' and not match.group(2).startswith("cis/"):
                finding(path, number, f"a public header includes {match.group(2)}")
            if match and any(match.group(2).startswith(prefix) for prefix, _ in foreign):
                finding(path, number, f"a public header includes {match.group(2)}")


def main():
    rooms, foreign = read_layers(os.path.join(SRC, "LAYERS"))
    files = 0
    for folder, _, names in os.walk(SRC):
        for name in sorted(names):
            if name.endswith((".c", ".h", ".def", ".inc")):
                check_file(os.path.join(folder, name), rooms, foreign)
                files += 1
    check_cmake(rooms)
    check_public(foreign)
    for text in findings:
        print(text)
    print(f"{files} files, {len(rooms)} rooms, {len(findings)} findings")
    return 1 if findings else 0


sys.exit(main())
