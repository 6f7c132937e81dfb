#!/usr/bin/env python3
"""Rules of the public headers (docs/abi-policy.md): structs begin with their size, INIT macros name
fields, callbacks take self first and return a code or nothing.
usage: public_api.py SOURCE"""
import pathlib
import re
import sys

# Structs that never change, and why they need no size.
FIXED = {
    "cis_error": "lies on every caller's stack, not initialised",
    "cis_sink": "part of other structs: a function and its self",
    "cis_value": "element of arrays",
    "cis_http_header": "element of arrays",
    "cis_memory_op": "element of arrays",
    "cis_compose_file": "element of arrays",
}
# Structs that the library alone makes; an embedder reads them, or fills them member by member.
MADE_HERE = {"cis_call", "cis_ai_request", "cis_ai_usage", "cis_http_request", "cis_http_response",
             "cis_http_opening", "cis_http_state", "cis_http_head"}


def bare(text):
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    return re.sub(r"\\\n", " ", text)


def structs(text):
    return re.findall(r"\bstruct (cis_\w+) \{(.*?)\n\};", bare(text), re.S)


def check_sizes(text, code, tests):
    """code: the sources that have rows of sizes; tests: those that must try each struct."""
    told = []
    macros = dict(re.findall(r"#define (CIS_\w+_INIT)\b(.*)", bare(text)))
    found = structs(text)
    for name, body in found:
        if name in FIXED:
            continue
        if not re.match(r"\s*uint32_t size;", body):
            told.append(f"struct {name}: does not begin with uint32_t size, and is none of those that never change")
            continue
        init = macros.get(name.upper() + "_INIT", "").strip()
        if not re.match(r"\{\s*\.size = sizeof\(struct %s\)" % name, init):
            told.append(f"struct {name}: {name.upper()}_INIT is missing, or does not begin with .size")
        elif not all(part.strip().startswith(".") for part in init.strip("{} ").split(",") if part.strip()):
            told.append(f"struct {name}: {name.upper()}_INIT has a value without the name of its field")
        row = re.search(r"CIS_SIZED(_GROWN)?\(\s*struct %s\b" % name, code)
        if name not in MADE_HERE and row is None:
            told.append(f"struct {name}: has no row of CIS_SIZED in src/, so a size is not honoured")
        if not re.search(r"\b%s\b|\b%s_INIT\b" % (name, name.upper()), tests):
            told.append(f"struct {name}: no test tries its size")
    names = {name for name, _ in found}
    return told + [f"{name}: no public struct" for name in sorted((set(FIXED) | MADE_HERE) - names)]


def check_callbacks(text):
    told = []
    text = bare(text)
    pointers = re.findall(r"([\w][\w ]*?[ *]+)\(\*(\w+)\)\(([^;]*?)\)(?=[;,)])", text)
    types = re.findall(r"\btypedef ([^;{}()]*?[ *])(cis_\w+)\(([^;]*)\);", text, re.S)
    for kind, name, parameters in pointers + types:
        kind, first = kind.replace("typedef", "").strip(), parameters.split(",")[0].strip()
        if kind not in ("enum cis_code", "void"):
            told.append(f"{name}: returns {kind}, not enum cis_code or void")
        if first != "void *self":
            told.append(f"{name}: its first parameter is {first}, not void *self")
    for _, name, _ in types:
        if not name.endswith("_fn"):
            told.append(f"{name}: the name of a function type ends in _fn")
    return told


BROKEN = """
struct cis_bad_one { int n;
};
struct cis_bad_two {
    uint32_t size; int n;
};
#define CIS_BAD_TWO_INIT { .size = sizeof(struct cis_bad_two), 1 }
struct cis_bad_three {
    uint32_t size; bool (*each)(const char *name);
};
typedef int cis_bad_type(int n);
"""
WANTED = ["cis_bad_one: does not begin", "cis_bad_two: CIS_BAD_TWO_INIT has a value", "cis_bad_two: has no row",
          "cis_bad_three: CIS_BAD_THREE_INIT is missing", "each: returns bool", "each: its first", "cis_bad_type: returns int",
          "cis_bad_type: its first", "cis_bad_type: the name"]


def main():
    source = pathlib.Path(sys.argv[1])
    broken = "\n".join(check_sizes(BROKEN, "", "") + check_callbacks(BROKEN))
    for text in WANTED:
        if text not in broken:
            print(f"public_api.py itself: {text}: not found in what is broken on purpose")
            return 1
    headers = "\n".join(p.read_text(encoding="utf-8") for p in sorted((source / "include" / "cis").glob("*.h")))
    code = "\n".join(p.read_text(encoding="utf-8") for p in sorted((source / "src").glob("**/*.c")))
    tests = "\n".join((source / "tests" / path).read_text(encoding="utf-8") for path in (
        "api/test_sizes.c", "api/incoming.c", "host/test_host.c", "wasi_p2/fake_http.c",
        "service_memory/test_service_memory.c"))
    told = check_sizes(headers, code, tests) + check_callbacks(headers)
    print("\n".join([*told, f"{len(structs(headers))} structs, {len(told)} findings"]))
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
