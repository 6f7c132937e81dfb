#!/usr/bin/env python3
"""tools/abi.py on changes made up here: which would a program of the last release notice?
usage: abi_rules.py SOURCE"""
import importlib.util
import pathlib
import sys

spec = importlib.util.spec_from_file_location("abi", pathlib.Path(sys.argv[1]) / "tools" / "abi.py")
abi = importlib.util.module_from_spec(spec)
spec.loader.exec_module(abi)

WAS = {
    "function cis_f": "void (int)",
    "callback cis_g_fn": "void (void *)",
    "struct cis_a": "16 sized",
    "member cis_a.size": "0 4 uint32_t",
    "member cis_a.n": "8 4 int",
    "struct cis_b": "8 fixed",
    "member cis_b.n": "0 8 long",
    "value CIS_X": "1",
}
# What is changed (None: gone), and what has to be told of it ("": nothing).
CASES = [
    ({}, ""),
    ({"function cis_new": "void ()"}, ""),
    ({"value CIS_Y": "2"}, ""),
    ({"struct cis_a": "24 sized", "member cis_a.more": "16 8 long"}, ""),
    ({"struct cis_a": "16 sized", "member cis_a.more": "12 4 int"}, "cis_a.more: lies where"),
    ({"struct cis_a": "24 sized", "member cis_a.n": "16 4 int"}, "cis_a.n: was 8"),
    ({"struct cis_a": "8 sized"}, "struct cis_a: was 16"),
    ({"struct cis_a": "16 fixed"}, "struct cis_a: was 16 sized"),
    ({"struct cis_b": "16 fixed", "member cis_b.more": "8 8 long"}, "struct cis_b: was 8"),
    ({"member cis_a.n": "8 4 float"}, "cis_a.n: was 8 4 int"),
    ({"member cis_a.n": None}, "cis_a.n: is gone"),
    ({"function cis_f": None}, "cis_f: is gone"),
    ({"function cis_f": "void (long)"}, "cis_f: was void (int)"),
    ({"callback cis_g_fn": "int (void *)"}, "cis_g_fn: was"),
    ({"value CIS_X": "2"}, "CIS_X: was 1"),
]
VERSIONS = [("0.2.0", "0.2.0", False), ("0.2.0", "0.2.9", False), ("0.2.0", "0.3.0", True), ("0.9.0", "1.0.0", True),
            ("1.2.0", "1.3.0", False), ("1.2.0", "2.0.0", True), ("0.3.0", "0.2.0", False)]


def main():
    wrong = []
    for change, wanted in CASES:
        now = {key: text for key, text in (WAS | change).items() if text is not None}
        told = "\n".join(abi.breaks(WAS, now))
        if (wanted == "") != (told == "") or wanted not in told:
            wrong.append(f"{change}: told {told!r}, not {wanted!r}")
    for was, now, wanted in VERSIONS:
        if abi.may_break(was, now) != wanted:
            wrong.append(f"{was} to {now}: {not wanted}")
    if abi.parameters("const char *name, struct cis_error *err") != "(const char *, struct cis_error *)":
        wrong.append("parameters: " + abi.parameters("const char *name, struct cis_error *err"))
    print("\n".join([*wrong, f"{len(CASES) + len(VERSIONS) + 1} cases, {len(wrong)} wrong"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
