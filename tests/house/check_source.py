#!/usr/bin/env python3
"""tools/check_source.py finds what it is there for: names in docs/security.md that are no tests."""
import importlib.util
import os
import sys
import tempfile

SOURCE = os.environ["CIS_SOURCE_DIR"]

HEAD = "| promise | tests |\n|---|---|\n"
CMAKE = """foreach(name fs run)
    foreach(backend sqlite postgres)
        cis_test(test_system_${name}_${backend} SOURCES test_${name}.c)
    endforeach()
endforeach()
cis_test(test_one SOURCES test_one.c)
"""
CODE = """static void helper_of_one(void)
{
}
static void it_holds(void **state)
{
}
static void nobody_runs_this(void **state)
{
}
    cmocka_unit_test(it_holds),
"""
ROWS = [  # a row, how many findings
    (HEAD + "| a | `it_holds`, test_one, tests/room/test_one.c |\n", 0),
    (HEAD + "| a | test_system_{fs,run}_sqlite, test_system_fs_postgres |\n", 0),
    (HEAD + "| a | `helper_of_one` |\n", 1),
    (HEAD + "| a | helper_of_one |\n", 1),
    (HEAD + "| a | `nobody_runs_this`, it_held |\n", 2),
    (HEAD + "| a | test_system_{fs,walk}_sqlite |\n", 1),
    (HEAD + "| a | tests/room/test_two.c |\n", 1),
    ("| what | where |\n|---|---|\n| a | some_word |\n", 0),
    ("some_word in a sentence\n", 0),
]


def main():
    with tempfile.TemporaryDirectory() as root:
        sys.argv = [os.path.join(SOURCE, "tools", "check_source.py")]
        spec = importlib.util.spec_from_file_location("checks", sys.argv[0])
        checks = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(checks)
        os.makedirs(os.path.join(root, "docs"))
        os.makedirs(os.path.join(root, "tests", "room"))
        with open(os.path.join(root, "tests", "room", "test_one.c"), "w", encoding="utf-8") as out:
            out.write(CODE)
        checks.ROOT = root
        known = checks.tests_of("tests/room/test_one.c", CODE) | checks.tests_of("tests/room/CMakeLists.txt", CMAKE)
        failed = 0
        for row, expected in ROWS:
            checks.findings.clear()
            with open(os.path.join(root, "docs", "security.md"), "w", encoding="utf-8") as out:
                out.write(row)
            checks.check_named_tests(known)
            if len(checks.findings) != expected:
                failed = 1
                print(f"{row}: {len(checks.findings)} findings, not {expected}: {checks.findings}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
