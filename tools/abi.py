#!/usr/bin/env python3
"""The C API of libcis, compared with what was released: functions, callbacks, structs and values.

    abi.py check BUILD      fails on a change that programs built with the last release would notice
    abi.py diff BUILD       the same by abidiff (abigail-tools), which also follows the types behind
    abi.py write BUILD      the API as it is becomes what is compared with (make abi-baseline)

What may change when: docs/abi-policy.md. exit code 1: a change that must not be, 2: cannot compare,
77: abidiff is not installed, or this is not the machine that the page was made for"""
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(sys.argv[0]).resolve().parent.parent
PAGE = ROOT / "tests" / "abi" / "libcis.txt"
TYPES = ROOT / "tests" / "abi" / "libcis.abi"
WHAT_TO_DO = """Programs that were built with libcis {was} would break with this library.
Mend it so that they do not (docs/abi-policy.md: new members at the end of structs with `size`, new functions
beside the old ones), or, when the change is meant: raise {part} in project(VERSION) of CMakeLists.txt, say in
CHANGELOG.md what changed, and run `make abi-baseline` when that version is released.
If {was} itself was not released yet: `make abi-baseline`, and a line in CHANGELOG.md."""


def stop(code, text):
    print(text)
    sys.exit(code)


def headers(build):
    """Text of all public headers without comments and preprocessor lines."""
    found = []
    for folder in (ROOT / "include" / "cis", build / "include" / "cis"):
        for path in sorted(folder.glob("*.h")):
            text = re.sub(r"/\*.*?\*/", " ", path.read_text(encoding="utf-8"), flags=re.S)
            text = re.sub(r"\\\n", " ", text)
            text = re.sub(r'extern "C" \{', " ", re.sub(r"^\s*#.*$", " ", text, flags=re.M))
            found.append(text)
    return "\n".join(found)


def words(text):
    return " ".join(text.split()).replace("* ", "*").strip()


def parameters(text):
    """Types of parameters, without their names."""
    types = []
    for one in text.split(","):
        one = words(one)
        types.append(re.sub(r"\b(?!int\b|char\b|double\b|float\b|bool\b|\w+_t\b|void\b)\w+$", "", one).strip()
                     if re.search(r"[\w*] ?\w+$", one) and not re.match(r"^(struct|enum) \w+$", one) else one)
    return "(" + ", ".join(types) + ")"


def members(body):
    """Names and types of a struct's members; what is in a union inside is one member."""
    body = re.sub(r"\bunion \{.*?\} (\w+);", r"union \1;", body, flags=re.S)
    found = []
    for line in body.split(";"):
        line = words(line)
        pointer = re.match(r"^(.*)\(\*(\w+)\)\((.*)\)$", line)
        if pointer:
            found.append((pointer.group(2), words(pointer.group(1)) + parameters(pointer.group(3))))
        elif line:
            kind = re.match(r"^((?:const )?(?:struct |enum |union )?\w+)\s*(.*)$", line)
            for name in kind.group(2).split(",") if kind.group(2) else [kind.group(1).split()[-1]]:
                bare = re.search(r"(\w+)(\[.*\])?$", name.strip())
                before = name.strip()[: bare.start()]
                found.append((bare.group(1), words(f"{kind.group(1)} {before}{bare.group(2) or ''}")))
    return found


def declared(text):
    """{line's key: its text} for functions and callbacks, {struct: members}, names of values."""
    lines, structs, values = {}, {}, []
    for match in re.finditer(r"\bCIS_API\b([^;{]*?)\b(cis_\w+)\s*\(([^;]*)\);", text):
        lines[f"function {match.group(2)}"] = words(match.group(1)) + " " + parameters(match.group(3))
    for match in re.finditer(r"\btypedef ([^;{}()]*?)\b(cis_\w+)\s*\(([^;]*)\);", text):
        lines[f"callback {match.group(2)}"] = words(match.group(1)) + " " + parameters(match.group(3))
    for match in re.finditer(r"\bstruct (cis_\w+) \{(.*?)\n\};", text, re.S):
        structs[match.group(1)] = members(match.group(2))
    for match in re.finditer(r"\benum (cis_\w+) \{(.*?)\}", text, re.S):
        values += re.findall(r"\b(CIS_\w+)\b(?!\()", match.group(2))
    values = [v for v in values if v not in ("CIS_E_COUNT_", "CIS_E_", "CIS_ERROR")]
    codes = (ROOT / "include" / "cis" / "error.def").read_text(encoding="utf-8")
    return lines, structs, values + ["CIS_E_" + c for c in re.findall(r"^CIS_ERROR\((\w+)", codes, re.M)]


def measured(build, structs, values):
    """Sizes, positions and numbers, as the compiler has them."""
    out = ["#include <stdio.h>", "#include <stddef.h>", "#include <cis/cis.h>", "int main(void) {"]
    for name, fields in structs.items():
        out.append(f'printf("struct {name} %zu\\n", sizeof(struct {name}));')
        for field, _ in fields:
            out.append(f'printf("member {name}.{field} %zu %zu\\n", offsetof(struct {name}, {field}), '
                       f"sizeof(((struct {name} *)0)->{field}));")
    for name in values:
        out.append(f'printf("value {name} %lld\\n", (long long){name});')
    with tempfile.TemporaryDirectory() as work:
        program = pathlib.Path(work) / "program"
        made = subprocess.run(["cc", "-std=c11", "-x", "c", "-", "-I", ROOT / "include", "-I", build / "include",
                               "-o", program], input="\n".join([*out, "return 0; }"]), text=True,
                              capture_output=True, check=False)
        if made.returncode != 0:
            stop(2, f"abi.py: the headers do not compile:\n{made.stderr[:2000]}")
        shown = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    found = {}
    for line in shown.splitlines():
        kind, name, *numbers = line.split()
        found[f"{kind} {name}"] = " ".join(numbers)
    return found


def api(build):
    """{"struct cis_call": "48 sized", …}: everything that is compared."""
    lines, structs, values = declared(headers(build))
    found = measured(build, structs, values)
    for name, fields in structs.items():
        found[f"struct {name}"] += " sized" if fields[0] == ("size", "uint32_t") else " fixed"
        for field, kind in fields:
            found[f"member {name}.{field}"] += " " + kind
    shown = subprocess.run(["nm", "--dynamic", "--defined-only", "--format=posix", build / "libcis.so"],
                           capture_output=True, text=True, check=False).stdout
    symbols = {line.split()[0].split("@")[0] for line in shown.splitlines()}
    for key, text in lines.items():
        if key.startswith("callback ") or key.split()[1] in symbols:
            found[key] = text
    return found


def version(build):
    text = (build / "include" / "cis" / "version.h").read_text(encoding="utf-8")
    return re.search(r'CIS_VERSION_STRING "(\S+)"', text).group(1)


def read_page():
    if not PAGE.exists():
        stop(2, f"abi.py: {PAGE.relative_to(ROOT)} is missing: make abi-baseline")
    first, *lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    return first.split()[1], dict(line.split(": ", 1) for line in lines)


def may_break(was, now):
    """Is `now` a version of which nobody expects that programs for `was` run with it?"""
    old, new = ([int(n) for n in v.split(".")] for v in (was, now))
    return new[0] > old[0] or (new[0] == old[0] == 0 and new[1] > old[1])


def breaks(was, now):
    """What a program that was built with `was` would notice of `now`."""
    told = []
    for key, text in was.items():
        kind, name = key.split()
        if key not in now:
            told.append(f"{key}: is gone")
        elif kind == "struct":
            old, new = int(text.split()[0]), int(now[key].split()[0])
            if new < old or (new != old and not text.endswith("sized")) or text.split()[1] != now[key].split()[1]:
                told.append(f"{key}: was {text}, is {now[key]}")
        elif now[key] != text:
            told.append(f"{key}: was {text}, is {now[key]}")
    for key, text in now.items():
        if key.startswith("member ") and key not in was:
            struct = "struct " + key.split()[1].split(".")[0]
            if struct in was and int(text.split()[0]) < int(was[struct].split()[0]):
                told.append(f"{key}: lies where the struct of older programs ended, or inside of it; put it at the "
                            "end, behind padding")
    return told


def refuse(was, told):
    for line in told:
        print(line)
    part = "MINOR" if was.startswith("0.") else "MAJOR"
    stop(1, WHAT_TO_DO.format(was=was, part=part))


def check(build):
    was, old = read_page()
    new = api(build)
    told = breaks(old, new)
    print(f"{len(old)} lines of {was}, {len(new)} of {version(build)}: {len(told)} that a program would notice, "
          f"{len(new.keys() - old.keys())} new")
    if told and not may_break(was, version(build)):
        refuse(was, told)


def dump(build, out):
    """The types behind the public functions, as abigail sees them."""
    made = subprocess.run(["abidw", "--exported-interfaces-only", "--headers-dir", ROOT / "include", "--drop-private-types",
                           "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--no-elf-needed", "--no-parameter-names",
                           "--type-id-style", "hash", "--out-file", out,
                           build / "libcis.so"], capture_output=True, text=True, check=False)
    if made.returncode != 0 or not pathlib.Path(out).exists():
        stop(2, f"abi.py: abidw: {made.stderr.strip()[:500]}")


def usable():
    if shutil.which("abidiff") is None:
        if "CIS_BUILD_DIR" in os.environ:
            with open(os.path.join(os.environ["CIS_BUILD_DIR"], "not-tested"), "a", encoding="utf-8") as out:
                out.write("abidiff\thouse_abidiff\tabigail-tools is not installed\n")
        stop(77, "abi.py: abidiff is not installed (abigail-tools)")
    if platform.machine() != "x86_64":
        stop(77, f"abi.py: {TYPES.relative_to(ROOT)} is of x86_64, this is {platform.machine()}")


def diff(build):
    usable()
    was, _ = read_page()
    grown = "".join(f"[suppress_type]\n name = {key.split()[1]}\n type_kind = struct\n has_data_member_inserted_at = "
                    "end\n has_size_change = true\n" for key, text in api(build).items()
                    if key.startswith("struct ") and text.endswith("sized"))
    # The number of codes grows with each new one; nobody keeps it.
    grown += "[suppress_type]\n name = cis_code\n type_kind = enum\n changed_enumerators = CIS_E_COUNT_\n"
    with tempfile.TemporaryDirectory() as work:
        rules, now = pathlib.Path(work) / "rules", pathlib.Path(work) / "now.abi"
        rules.write_text(grown, encoding="utf-8")
        dump(build, now)
        run = subprocess.run(["abidiff", "--suppressions", rules, "--no-added-syms", TYPES, now],
                             capture_output=True, text=True, check=False)
    if run.returncode & 3:
        stop(2, f"abi.py: abidiff: {(run.stderr or run.stdout).strip()[:500]}")
    print(run.stdout.strip() or "abidiff: no change")
    if run.returncode != 0 and not may_break(was, version(build)):
        refuse(was, [])


def write(build):
    PAGE.parent.mkdir(exist_ok=True)
    lines = [f"{key}: {text}" for key, text in api(build).items()]
    head = "# The C API of the last release. Written by tools/abi.py (make abi-baseline); docs/abi-policy.md.\n"
    PAGE.write_text(head + f"version {version(build)}\n" + "\n".join(sorted(lines)) + "\n", encoding="utf-8")
    usable()
    dump(build, TYPES)


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("check", "diff", "write"):
        stop(2, __doc__)
    {"check": check, "diff": diff, "write": write}[sys.argv[1]](pathlib.Path(sys.argv[2]).resolve())


if __name__ == "__main__":
    main()
