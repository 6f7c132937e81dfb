#!/usr/bin/env python3
"""House rules that a script can hold. Findings fail; warnings are only printed.

    check_source.py           everything but the two below
    check_source.py headers   each public header compiles alone, as C11 and as C++
    check_source.py format    clang-format agrees (skipped with exit 77 without clang-format 14)
"""
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0])))
SKIP_DIRS = {".git", "build", "target", "__pycache__", "node_modules"}
GENERATED = {"engine/Cargo.lock", "LICENSE"}
VERBATIM = {"tests/guests/seed002.c"}  # text of others that must stay as it is
LONG_FILE = 400
findings, warnings = [], []

BANNED = {
    "strcpy": "cis_strndup or cis_buf",
    "strcat": "cis_buf",
    "sprintf": "snprintf or cis_buf_printf",
    "vsprintf": "vsnprintf",
    "gets": "fgets",
    "strtok": "cis_str_split",
    "atoi": "cis_str_u64",
    "atol": "cis_str_u64",
    "atoll": "cis_str_u64",
    "gmtime": "gmtime_r",
    "localtime": "UTC only",
    "strtod": "cis_float_read: the locale has its own decimal sign",
    "strtof": "cis_float_read_single",
    "strtold": "cis_float_read",
    "atof": "cis_float_read",
    "setlocale": "base/float.h: the locale is the process's, not ours",
    "system": "base/process.h",
    "popen": "base/process.h",
    "tmpnam": "mkdtemp",
    "mktemp": "mkdtemp",
    "getaddrinfo": "c-ares: it cannot be interrupted",
    "gethostbyname": "c-ares",
    "alloca": "cis_alloc",
    "assert": "cis_check, which release builds keep (base/check.h)",
    "rand": "cis_random",
    "exit": "an error code (only main and children after fork end the process)",
    "abort": "an error code",
    # A guest decides how long these are.
    "wasmtime_error_message": "cis_glue_error_text",
    "wasm_trap_message": "cis_glue_error_text",
    "wasmtime_frame_func_name": "cis_glue_frames",
    "wasmtime_frame_module_name": "cis_glue_frames",
}
# Where a banned call is right after all: (file prefix, call).
ALLOWED = [("src/base/float.c", "strtod"), ("src/base/float.c", "strtof"), ("tests/", "setlocale"), ("tests/", "strtod"),
           ("bench/", "strtod"), ("tests/", "assert"), ("bench/", "assert"), ("tests/", "abort"), ("tests/", "exit"),
           ("tests/", "system"), ("bench/", "exit"), ("bench/", "wasmtime_error_message"), ("bench/", "wasm_trap_message")]
HEAP = {"malloc", "calloc", "realloc", "free", "strdup", "strndup", "asprintf", "vasprintf", "reallocarray"}
LOCKS = re.compile(r"pthread_(?:mutex_(?:try)?lock|mutex_unlock|rwlock_\w*lock)$")
CLASSED = ("src/engine/", "src/store/", "src/vfs/")  # house_thread_safety checks their locks
JSON_BY_HAND = re.compile(r'\\"\w+\\": ?%')
TWO_NODES = re.compile(r"ops->(?:link|rename)\s*\(")
# Calls that take a size, and which of their arguments are one.
SIZED = {"cis_alloc": (0,), "cis_zalloc": (0,), "cis_calloc": (0, 1), "cis_realloc": (1,),
         "cis_realloc_array": (1, 2), "cis_arena_alloc": (1,),
         "cis_size_add": (0, 1), "cis_size_mul": (0, 1)}
LIST_HEAD = re.compile(r'\{\\"schema\\":1,\\"\w+\\":\[(?!\])')  # of a JSON list
MACHINE = re.compile(r"(?<![\w.$})-])/(?:root|work)/")
URL = re.compile(r"https?://[\w.-]+")


def tree():
    for folder, dirs, names in os.walk(ROOT):
        dirs[:] = sorted(d for d in dirs if d not in SKIP_DIRS)
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name != ".git" and not os.path.islink(path):
                yield os.path.relpath(path, ROOT)


def without_comments(text):
    """Comments and literals blanked, lines kept."""
    out, i = [], 0
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    for match in pattern.finditer(text):
        out.append(text[i : match.start()])
        blank = re.sub(r"[^\n]", " ", match.group(0))
        if match.group(0)[0] in "\"'":
            blank = match.group(0)[0] + blank[1:-1] + match.group(0)[0]
        out.append(blank)
        i = match.end()
    return "".join(out) + text[i:]


def is_host_code(path):
    """C of the program, the library, its tests; guests have their own libc and rules."""
    return path.startswith(("src/", "tests/", "bench/", "include/")) and "/guests/" not in path


def check_calls(path, text):
    code = without_comments(text)
    for number, line in enumerate(code.split("\n"), 1):
        if TWO_NODES.search(line) and path.startswith("src/") and path != "src/vfs/vfs.c":
            finding(path, number, "two nodes: cis_vfs_link and cis_vfs_rename look whose they are")
        for match in re.finditer(r"(?<![\w.>])([a-z_0-9]+)\s*\(", line):
            call = match.group(1)
            if call in BANNED and not any(path.startswith(p) and call == c for p, c in ALLOWED):
                finding(path, number, f"{call}: use {BANNED[call]}")
            if LOCKS.match(call) and path.startswith(CLASSED) and path != "src/vfs/layered/op.c":
                finding(path, number, f"{call}: cis_mutex_lock and the like, with the lock's class (base/lock.h)")
            if call in HEAP and path.startswith("src/") and not path.startswith("src/base/"):
                finding(path, number, f"{call}: memory comes from base/mem.h")


FRACTION = re.compile(r"(?<!%)(?:%%)*%[-+ #0']*(?:\d+|\*)?(?:\.(?:\d+|\*)?)?[lL]?[efgEG]")


def check_formats(path, text):
    """printf writes the decimal sign of the process's locale, and no escapes."""
    code = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.S)
    for number, line in enumerate(code.split("\n"), 1):
        for literal in re.findall(r'"(?:\\.|[^"\\])*"', line):
            if FRACTION.search(literal):
                finding(path, number, "a number with a fraction in a format: base/float.h, or integers")
            if JSON_BY_HAND.search(literal) and path.startswith("src/"):
                finding(path, number, "JSON in a format: base/json_write.h")


def arguments(code, start):
    """The arguments of the call whose "(" is at start - 1, and where it ends."""
    parts, depth, begin, i = [], 0, start, start
    while i < len(code):
        if code[i] in "([{":
            depth += 1
        elif code[i] in ")]}":
            if depth == 0:
                return [*parts, code[begin:i]], i
            depth -= 1
        elif code[i] == "," and depth == 0:
            parts.append(code[begin:i])
            begin = i + 1
        i += 1
    return parts, i


def choices(expr):
    """a of plain expressions, a and b of "c ? a : b"; parentheses around all of it are gone."""
    expr = expr.strip()
    while expr.startswith("(") and arguments(expr, 1)[1] == len(expr) - 1:
        expr = expr[1:-1].strip()
    depth, question = 0, None
    for i, c in enumerate(expr):
        depth += (c in "([{") - (c in ")]}")
        if depth == 0 and c == "?" and question is None:
            question = i
        elif depth == 0 and c == ":" and question is not None:
            return choices(expr[question + 1 : i]) + choices(expr[i + 1 :])
    return [expr]


def computes(expr):
    """Does it add, multiply or shift what is no constant? (A difference that wraps is too large.)"""
    for choice in choices(expr):
        rest = re.sub(r"sizeof\s*\([^()]*\)|sizeof\s*\"[^\"]*\"|sizeof\s*\**[\w.>\[\]-]+", "0", choice)
        rest = re.sub(r"\(\s*(?:const\s+)?(?:u?int\d+_t|size_t|unsigned|int|long)\s*\)", "", rest)
        before = None
        while before != rest:  # what a call or an index computes is looked at where that stands
            before = rest
            rest = re.sub(r"\b[a-z]\w*\s*\([^()]*\)", "f", rest)
            rest = re.sub(r"\[[^\[\]]*\]", "", rest)
        rest = rest.replace("->", ".")
        if re.search(r"[a-z]", re.sub(r"0[xX][0-9a-fA-F]+|\d+[uUlL]*", "0", rest)):
            if re.search(r"<<|\+|\w\s*\*", rest):
                return True
    return False


def check_sizes(path, text):
    """What is allocated has a size that cannot wrap: constants, names, cis_size_add and _mul."""
    code = without_comments(text)
    for function in re.finditer(r"^[^\s#/}].*?^}", code, re.M | re.S):
        body = function.group(0)
        for call in re.finditer(r"\b(" + "|".join(SIZED) + r")\s*\(", body):
            given, _ = arguments(body, call.end())
            for place in SIZED[call.group(1)]:
                size = given[place] if place < len(given) else ""
                bad = computes(size)
                for name in choices(size):
                    if re.fullmatch(r"[a-z]\w*", name):
                        for made in re.finditer(r"(?<![\w.>])" + name + r"\s*([+*]|<<)?=(?!=)", body):
                            value = arguments(body, made.end())[0][0].split(";")[0]
                            bad = bad or made.group(1) is not None or computes(value)
                if bad:
                    line = code.count("\n", 0, function.start() + call.start()) + 1
                    finding(path, line, f"{call.group(1)}: a size that may wrap ({size.strip()}): "
                            "use cis_size_add and cis_size_mul")


def check_own_header(path, text):
    own = path[len("src/") : -2] + ".h"
    if not os.path.exists(os.path.join(ROOT, "src", own)):
        return
    first = re.search(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', text, re.M)
    room = os.path.dirname(own)  # a header of the same room that includes it will do
    if first is None or os.path.dirname(first.group(1)) != room:
        finding(path, 1, f"the first #include is not its own header {own}, nor one of its room")


def check_text(path, text):
    if text and not text.endswith("\n"):
        finding(path, text.count("\n") + 1, "no newline at the end")
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip() and not path.endswith(".md"):
            finding(path, number, "white space at the end of the line")
        if "\r" in line:
            finding(path, number, "carriage return")
        if path.endswith((".c", ".h")) and "\t" in line:
            finding(path, number, "tab")
        if path != "tools/check_source.py" and MACHINE.search(line):
            finding(path, number, "a path of one machine")
        if path.startswith(("tools/", "cmake/", ".ci/")) or path in ("Makefile", "CMakeLists.txt"):
            if URL.search(line) and "localhost" not in line and "127.0.0.1" not in line:
                finding(path, number, "a build script names a server")


def check_lists(path, text):
    """A list that fails half-way is one JSON value when cis_cli_list begins it."""
    for number, line in enumerate(text.split("\n"), 1):
        if LIST_HEAD.search(line) and "cis_cli_list(" not in line:
            finding(path, number, "the head of a JSON list: cis_cli_list begins it")


def check_links(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", line):
            if re.match(r"[a-z]+:", target):
                continue
            if not os.path.exists(os.path.normpath(os.path.join(ROOT, os.path.dirname(path), target))):
                finding(path, number, f"link to {target}, which is not there")


TEST_CASE = re.compile(r"^(?:static )?void (\w+)\(void \*\*state\)\s*\{", re.M)  # cmocka's
GUEST_CASE = re.compile(r"^\s*(?:CASE\((\w+)\)|CASE_(?:IF|ON)\((\w+))", re.M)  # of tests/wasi/guests
# Rows with a name: of tests/wasi/run_suite.c, and of tests/fuse/transcript.c, two in a line.
NAMED_CASE = re.compile(r'\{"([a-z]\w+)", (?:"\w+", [A-Z0-9]|\1, (?:true|false)\})')
PYTHON_CASE = re.compile(r"^ *def (test_\w+|[a-z]\w*)\(", re.M)
SHELL_CASE = re.compile(r"^(\w+)\(\) ?\{", re.M)
# What CMake registers; ${…} in a name stands for several.
PROGRAM = re.compile(r"\b(?:cis_test|cis_fuzzer|cis_script_test|add_test)\s*\(\s*(?:NAME\s+)?([a-z][\w${}]+)")
VARIABLE = re.compile(r"\$\{\w+\}")


def programs_of(text):
    """Names that a CMakeLists.txt registers; a variable in one may be any word of that file."""
    words = set(re.findall(r"\b[a-z]\w*\b", text))
    names = set()
    for made in PROGRAM.findall(text):
        parts = VARIABLE.split(made)
        for values in itertools.product(words, repeat=len(parts) - 1):
            names.add(parts[0] + "".join(value + part for value, part in zip(values, parts[1:])))
    return names


def tests_of(path, text):
    """Names of tests that this file defines and hands to its runner: one that nobody runs is none."""
    if path.endswith((".c", ".h")):
        cases = set(TEST_CASE.findall(text)) | set(NAMED_CASE.findall(text))
        cases.update(name for pair in GUEST_CASE.findall(text) for name in pair if name)
    elif path.endswith((".py", ".sh")):
        cases = set((PYTHON_CASE if path.endswith(".py") else SHELL_CASE).findall(text))
    else:
        return programs_of(text)
    return {name for name in cases if len(re.findall(rf"\b{name}\b", text)) > 1 or name.startswith("test_")
            or name in NAMED_CASE.findall(text) or re.search(rf"\bCASE\w*\({name}\b", text)}


def all_tests():
    known = set()
    for path in tree():
        if path.startswith("tests/") and path.endswith((".c", ".h", ".py", ".sh", "CMakeLists.txt")):
            with open(os.path.join(ROOT, path), encoding="utf-8") as handle:
                known |= tests_of(path, handle.read())
    return known


def names_in(cell):
    """Names of tests and their files in a cell, in backticks or not; a_{b,c} is a_b and a_c."""
    names = []
    for word in re.findall(r"[\w./-]*\w(?:\{[\w,]+\}\w*)?", cell):
        choice = re.fullmatch(r"(.*)\{([\w,]+)\}(\w*)", word)
        names += [choice[1] + one + choice[3] for one in choice[2].split(",")] if choice else [word]
    return [name for name in names if re.fullmatch(r"[a-z0-9]+_[a-z0-9_]+|tests/[\w./-]+", name)]


def check_named_tests(known):
    """A promise in docs/security.md names its tests; each of them exists, and is run."""
    page = "docs/security.md"
    if not os.path.exists(os.path.join(ROOT, page)):
        return
    with open(os.path.join(ROOT, page), encoding="utf-8") as handle:
        of_tests = False  # the table's last column
        for number, line in enumerate(handle, 1):
            cells = line.strip().strip("|").split("|") if line.startswith("|") else []
            of_tests = len(cells) > 1 and (of_tests or cells[-1].strip() == "tests")
            for name in names_in(cells[-1]) if of_tests else []:
                there = os.path.exists(os.path.join(ROOT, name)) if "/" in name else name in known
                if not there:
                    finding(page, number, f"no test is called {name}")


def check_version():
    """The program's version is the newest of CHANGELOG.md, and that in the public header."""
    def first(path, pattern):
        with open(os.path.join(ROOT, path), encoding="utf-8") as handle:
            found = re.search(pattern, handle.read(), re.M)
        return found.group(1) if found else None

    newest = first("CHANGELOG.md", r"^## (\d+\.\d+\.\d+)")
    for path, pattern in (
        ("CMakeLists.txt", r"^project\(cis VERSION (\S+)"),
        ("include/cis/runtime.h", r'"cis (\d+\.\d+\.\d+), Wasmtime'),
    ):
        if first(path, pattern) != newest:
            finding(path, 1, f"version {first(path, pattern)}; CHANGELOG.md has {newest}")


def check_requirements(known):
    """docs/requirements.md: every name in the last column is a test that is run."""
    page = "docs/requirements.md"
    with open(os.path.join(ROOT, page), encoding="utf-8") as handle:
        for number, line in enumerate(handle, 1):
            cells = line.strip().strip("|").split("|")
            for name in re.findall(r"`([^`]+)`", cells[-1]) if len(cells) > 1 else []:
                if name not in known:
                    finding(page, number, f"no test function is called {name}")


def finding(path, line, text):
    findings.append(f"{path}:{line}: {text}")


def check_tree():
    files = 0
    for path in tree():
        with open(os.path.join(ROOT, path), "rb") as handle:
            data = handle.read()
        if path in GENERATED or path in VERBATIM or b"\0" in data:
            continue
        try:
            text = data.decode()
        except UnicodeDecodeError:
            if path.startswith(("src/", "include/", "docs/")):
                finding(path, 1, "not UTF-8")
            continue
        files += 1
        binary_like = path.startswith("tests/") and not path.endswith((".c", ".h", ".txt", ".md", ".py"))
        if not binary_like:
            check_text(path, text)
        if path.endswith((".c", ".h")) and is_host_code(path):
            check_calls(path, text)
        if path.endswith((".c", ".h")) and path.startswith("src/") and path != "src/base/mem.c":
            check_sizes(path, text)
        if path.endswith((".c", ".h")) and path.startswith("src/") and path != "src/base/float.c":
            check_formats(path, text)
        if path.endswith(".c") and path.startswith("src/"):
            check_own_header(path, text)
            if path.startswith("src/cli/"):
                check_lists(path, text)
        if path.endswith(".md"):
            check_links(path, text)
        lines = text.count("\n")
        if path.endswith((".c", ".h", ".py", ".rs")) and lines > LONG_FILE and "tests/" not in path:
            warnings.append(f"{path}: {lines} lines; good files have 150 to {LONG_FILE}")
    known = all_tests()
    check_named_tests(known)
    check_requirements(known)
    check_version()
    return files


def check_headers():
    """Each public header alone, with nothing but the C library."""
    headers = sorted(os.listdir(os.path.join(ROOT, "include", "cis")))
    made = tempfile.TemporaryDirectory()
    os.mkdir(os.path.join(made.name, "cis"))
    with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as handle:
        version = re.search(r"^project\(cis VERSION (\S+)", handle.read(), re.M).group(1)
    names = dict(zip(("_MAJOR", "_MINOR", "_PATCH"), version.split("."))) | {"": version}
    for name in [name for name in headers if name.endswith(".h.in")]:  # as CMake writes it
        with open(os.path.join(ROOT, "include", "cis", name), encoding="utf-8") as handle:
            text = re.sub(r"@PROJECT_VERSION(\w*?)@", lambda m: names[m.group(1)], handle.read())
        with open(os.path.join(made.name, "cis", name[:-3]), "w", encoding="utf-8") as handle:
            handle.write(text)
    headers = [name.removesuffix(".in") for name in headers if name.endswith((".h", ".h.in"))]
    common = ["-pedantic", "-Werror", "-Wall", "-Wextra", "-fsyntax-only", "-I", os.path.join(ROOT, "include"),
              "-I", made.name]
    compilers = [("cc", "-std=c11", "c"), ("c++", "-std=c++11", "c++")]
    for name in headers:
        for compiler, standard, language in compilers:
            source = f"#include <cis/{name}>\n#include <cis/{name}>\nint main(void);\n"
            run = subprocess.run(
                [compiler, standard, *common, "-x", language, "-"],
                input=source, capture_output=True, text=True, check=False,
            )
            if run.returncode != 0:
                finding(f"include/cis/{name}", 1, f"{compiler} {standard}:\n{run.stderr.strip()}")
    text = ""
    for name in headers:
        with open(os.path.join(made.name if name == "version.h" else os.path.join(ROOT, "include"), "cis", name),
                  encoding="utf-8") as handle:
            text += handle.read()
    inits = sorted(set(re.findall(r"#define (CIS_\w+)_INIT\b", text)))
    source = "#include <cis/cis.h>\n" + "".join(
        f"struct {name.lower()} make_{name.lower()}(void);\n"
        f"struct {name.lower()} make_{name.lower()}(void) {{ struct {name.lower()} made = {name}_INIT; return made; }}\n"
        for name in inits)
    for compiler, standard, language in (compilers[0], ("c++", "-std=c++20", "c++")):
        run = subprocess.run([compiler, standard, *common, "-Wno-missing-field-initializers", "-x", language, "-"],
                             input=source, capture_output=True, text=True, check=False)
        if run.returncode != 0 or not inits:
            finding("include/cis", 1, f"INIT macros, {compiler} {standard}:\n{run.stderr.strip()}")
    return 2 * len(headers) + 2 * len(inits)


def check_format():
    tool = shutil.which("clang-format-14") or shutil.which("clang-format")
    version = subprocess.run([tool, "--version"], capture_output=True, text=True).stdout if tool else ""
    if " 14." not in version:
        why = f"clang-format 14 is the one that decides, this is: {version.strip() or 'none'}"
        print(f"skipped: {why}")
        if "CIS_BUILD_DIR" in os.environ:
            with open(os.path.join(os.environ["CIS_BUILD_DIR"], "not-tested"), "a") as out:
                out.write(f"clang-format\thouse_format\t{why}\n")
        sys.exit(77)
    paths = [p for p in tree() if p.endswith((".c", ".h")) and p not in VERBATIM and p.startswith(
        ("src/", "tests/", "bench/", "include/", "examples/", "sdk/"))]
    for at in range(0, len(paths), 50):  # most of the time is the tool's start
        run = subprocess.run([tool, "--dry-run", *paths[at:at + 50]], cwd=ROOT, capture_output=True, text=True,
                             check=False)
        places = {}
        for path, line in re.findall(r"^(.*?):(\d+):\d+: (?:warning|error): code should be clang-formatted",
                                     run.stderr, re.M):
            places.setdefault(path, []).append(int(line))
        for path, lines in places.items():
            finding(path, lines[0], f"clang-format would change {len(lines)} places (make format)")
        if run.returncode != 0 and not places:
            finding(paths[at], 1, f"clang-format failed: {run.stderr.strip()[:200]}")
    return len(paths)


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else "tree"
    checked = {"tree": check_tree, "headers": check_headers, "format": check_format}[what]()
    for text in warnings:
        print("warning:", text)
    for text in findings:
        print(text)
    print(f"{what}: {checked} checked, {len(findings)} findings, {len(warnings)} warnings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
