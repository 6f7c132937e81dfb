#!/usr/bin/env python3
"""What makes a memory error harder to use is in what was built, not only in the flags.

    hardening.py BUILD     reads bin/cis, libcis.so and compile_commands.json of a build
"""
import json
import platform
import re
import struct
import subprocess
import sys

ENDBR64 = b"\xf3\x0f\x1e\xfa"
failures = []


def readelf(*args):
    return subprocess.run(["readelf", "-W", *args], check=True, capture_output=True, text=True).stdout


def must(path, condition, what):
    if not condition:
        failures.append(f"{path}: {what}")


def segments(path):
    """(type, flags, file offset, address, size in the file)"""
    row = re.compile(r"^\s+(\w+)\s+0x(\w+)\s+0x(\w+)\s+0x\w+\s+0x(\w+)\s+0x\w+\s+([RWE ]{3})", re.M)
    for match in row.finditer(readelf("-l", path)):
        kind, offset, address, size, flags = match.groups()
        yield kind, flags, int(offset, 16), int(address, 16), int(size, 16)


def check_layout(path, program):
    parts = list(segments(path))
    dynamic = readelf("-d", path)
    must(path, any(kind == "GNU_RELRO" for kind, *_ in parts), "no RELRO")
    must(path, "BIND_NOW" in dynamic or re.search(r"FLAGS_1.*NOW", dynamic), "is bound lazily: RELRO is partial")
    must(path, "TEXTREL" not in dynamic, "has relocations in its code")
    must(path, any(kind == "GNU_STACK" and "E" not in flags for kind, flags, *_ in parts), "has an executable stack")
    must(path, not any("W" in flags and "E" in flags for _, flags, *_ in parts), "has a segment to write and execute")
    if program:
        must(path, re.search(r"FLAGS_1.*PIE", dynamic), "is not position independent")
    return parts


def check_calls(path):
    imported = re.findall(r"UND (\w+)", readelf("--dyn-syms", path))
    must(path, "__stack_chk_fail" in imported, "has no stack protector")
    checked = [name for name in imported if re.fullmatch(r"__\w+_chk", name)]
    must(path, len(checked) >= 5, f"imports {len(checked)} functions that check lengths: FORTIFY is off")


def check_branches(path, parts):
    """Each exported function begins with the mark of an indirect branch's target."""
    found = bare = 0
    with open(path, "rb") as handle:
        data = handle.read()
    if struct.unpack_from("<H", data, 18)[0] != 62:
        return  # another processor
    for match in re.finditer(r"^\s*\d+: (\w+)\s+\d+ FUNC\s+GLOBAL DEFAULT\s+\d+ (cis_\w+)", readelf("--dyn-syms", path), re.M):
        address = int(match.group(1), 16)
        for kind, _, offset, start, size in parts:
            if kind == "LOAD" and start <= address < start + size:
                found += 1
                begin = offset + address - start
                bare += data[begin : begin + 4] != ENDBR64
    must(path, found > 50, f"exports {found} functions: not the library?")
    must(path, bare == 0, f"{bare} of {found} functions begin without endbr64")


def check_producers(path):
    """With debug information each C source says how it was compiled."""
    said = {line for line in readelf("-p", ".debug_str", path).split("\n") if "GNU C1" in line and "-std=gnu17" in line}
    must(path, said, "says nowhere how its C was compiled")
    for flag in ("-fstack-protector-strong", "-ftrivial-auto-var-init=zero", "-fcf-protection=full"):
        without = [line for line in said if flag not in line]
        must(path, not without, f"C without {flag}: {without[:1]}")


def check_commands(path):
    """True: they ask for debug information."""
    with open(path, encoding="utf-8") as handle:
        commands = [entry for entry in json.load(handle) if "/src/" in entry["file"] and "/tests/" not in entry["file"]]
    flags = ["-D_FORTIFY_SOURCE=3", "-fstack-protector-strong", "-ftrivial-auto-var-init=zero"]
    if platform.machine() in ("x86_64", "i686"):
        flags.append("-fcf-protection=full")
    must(path, len(commands) > 100, f"{len(commands)} commands: not those of this tree")
    for entry in commands:
        words = entry["command"].split()
        for flag in flags:  # the last of a kind is the one that counts
            kind = flag.split("=")[0]
            given = [word for word in words if word.split("=")[0] == kind or word == "-U_FORTIFY_SOURCE"]
            must(entry["file"], given and given[-1] == flag, f"compiled without {flag}")
    return any(" -g " in entry["command"] for entry in commands)


def main():
    build = sys.argv[1]
    program, library = f"{build}/bin/cis", f"{build}/libcis.so"
    check_layout(program, True)
    check_branches(library, check_layout(library, False))
    debug = check_commands(f"{build}/compile_commands.json")
    for path in (program, library):
        check_calls(path)
        if debug:
            check_producers(path)
    for text in failures:
        print(text)
    return 1 if failures else 0


sys.exit(main())
