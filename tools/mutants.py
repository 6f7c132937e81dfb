#!/usr/bin/env python3
"""Breaks lines of src/ on purpose, one at a time, and looks whether a test of the room fails.

usage: tools/mutants.py [--build DIR] [--rooms R,... | --file PATH ...] [--number N] [--seed S]
                        [--jobs J] [--again DIR,...] [--survivors]
       tools/mutants.py [--build DIR] --list FILE [--only N]
                                        breaks that are named (or the N-th); each has to be found

A mutant is one file compiled with one change and linked before the archives into the tests of its
room; nothing of the build is touched. One that survives there is tried in the builds of --again,
where a sanitizer may see it. Where the changes go is told by clang's syntax tree. What was done is
in DIR/mutants/results, a line each, and is not done again: a run that was ended goes on, and has
looked at about the same share of each room. With --survivors those that survived and are not argued
are looked at once more, for tests that are new. Which ones are chosen depends on the seed and on the
text of each alone, so results stay good when src/ changes. With --file, which may be given more
than once, changes go into these files of src/ only. A mutant that survives for a good reason
is named in tools/mutants.argued. Needs a finished build.
The exit code is 1 when too few are killed, or one of a list survives.
"""
import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARE = 0.95  # of all that are not argued
HANG_S = 60  # a mutant that waits longer than this, and ten times what its test took, is found
QUICK_S = 12  # tests that take longer are asked when those that do not were asked of all mutants
DATA_MAX = 6 << 30  # bytes; a sanitizer takes what it likes

SQLITE_TESTS = (
    r"test_store_(sqlite|contract\w*_sqlite|wal|lease_clock|chunk_file|migrate|lost"
    r"|full|faults|damage)|test_history_(backup|keep|between)_sqlite"
)
# room: the tests that are to notice
ROOMS = {
    "policy": r"test_(grant|net|socket|http(_\w+)?|net_\w+|link)|test_system_services",
    "service/http": r"test_http(_\w+)?|test_system_(run_http|rows_net|services)",
    "service/net": r"test_(net_\w+|socket)|test_system_(rows_net|run_sockets)",
    "service/memory": r"test_service_memory|test_system_memory",
    "skillabi": r"test_(skillabi|kinds|host)|test_system_(component|services)",
    "host": r"test_(host(_form)?|recording|recording_damage|state|values|skillabi|wasi_(p1|streams|poll|sock))"
            r"|test_wasi_waits_hostdir|test_system_(services|run_sockets)",
    "store": r"test_store_(row|keys|commit|chunk|contract\w*_sqlite)|test_history_(backup|keep)_sqlite",
    "store/sqlite": SQLITE_TESTS,
    "store/sqlite/integrity": SQLITE_TESTS,
    "store/sqlite/repair": SQLITE_TESTS,
    "store/postgres": r"test_store_(contract\w*_postgres|postgres|postgres_waits)"
                      r"|test_history_(backup|keep|between)_postgres",
    "history": r"test_history_(\w+_sqlite|move|tar|tree)|test_system_fs_sqlite",
    "vfs": r"test_vfs_(walk|contract_(hostdir|layered_sqlite|union))|test_crowd|test_depth",
    "vfs/layered": r"test_layered_\w+|test_vfs_(contract|gone|pairs|publish|slashes|versions|whole)"
                   r"_layered_sqlite",
    "vfs/union": r"test_vfs_\w*union(_sqlite)?|test_run_apply_sqlite",
    "vfs/hostdir": r"test_vfs_\w*hostdir|test_run_apply_sqlite",
    "wasi/p1": r"test_wasi_(p1|streams|poll|sock|proc|slots|files_fake_hostdir|waits_(hostdir|layered))",
    "wasi/p2": r"test_wasi_p2_model|test_incoming\w*|test_kinds|wasi_p2_sqlite"
               r"|test_system_(rows_net|run_(edges|http|sockets|component))",
    "run": r"test_run_(apply|files|mounts|program)_sqlite|test_workspace_sqlite"
           r"|test_api(_component|_fork|_texts)?",
}
SWAPS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&",
         "+": "-", "-": "+", "|": "&", "&": "|", "<<": ">>", ">>": "<<"}


def run(command, **how):
    return subprocess.run(command, capture_output=True, text=True, check=False, **how)


class Took:
    """How long each test takes as it is, and of which build it is known that it passes.

    path: where that is kept; None: nowhere."""

    def __init__(self, path):
        self.path, self.lock, self.known = path, threading.Lock(), {}
        self.one = collections.defaultdict(threading.Lock)
        if path is not None and os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                self.known = json.load(f)

    def lock_of(self, name):
        with self.lock:
            return self.one[name]

    def seconds(self, name, otherwise):
        return self.known.get(name, (0, otherwise))[1]

    def passes(self, name, built):
        """Whether the program that was made then is known to pass or to fail; None: not known."""
        made, _, *good = self.known.get(name, (0, 0))
        return (good or [True])[0] if made == built else None

    def put(self, name, built, seconds, passed):
        with self.lock:
            self.known[name] = (built, seconds, passed)
            if self.path is None:
                return
            with open(self.path + "~", "w", encoding="utf-8") as f:
                json.dump(self.known, f)
            os.rename(self.path + "~", self.path)


class Build:
    """What the build knows: how a file is compiled, a test linked and started."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        with open(os.path.join(self.folder, "compile_commands.json"), encoding="utf-8") as f:
            commands = [(e["file"], shlex.split(e["command"])) for e in json.load(f)]
        # A test may compile a file for itself, to count its lines; what is linked comes last here.
        self.compiles = dict(sorted(commands, key=lambda e: " src/" in " ".join(e[1])))
        self.sanitized = any(w.startswith("-fsanitize") for c in self.compiles.values() for w in c)
        shown = run(["ctest", "--test-dir", self.folder, "--show-only=json-v1"])
        self.tests, self.links = {}, {}
        self.took = Took(os.path.join(self.folder, "mutants", "took"))
        for test in json.loads(shown.stdout)["tests"]:
            command = test.get("command", [""])
            labels = [p["value"] for p in test.get("properties", []) if p["name"] == "LABELS"]
            if command[0].startswith(self.folder + "/tests/") and not any(
                    tier in str(labels) for tier in ("torture", "acceptance")):
                self.tests[test["name"]] = (command, {p["name"]: p["value"]
                                                      for p in test["properties"]})

    def link(self, program):
        """The command that links it, as words, without the shell's frame."""
        if not self.links:  # all at once: ninja takes a second to read its file
            for line in run(["ninja", "-C", self.folder, "-t", "commands"]).stdout.splitlines():
                found = re.search(r" -o (\S+)", line)
                if found and line.startswith(": &&"):
                    self.links[os.path.join(self.folder, found.group(1))] = line
        words = self.links.get(program, [])
        if isinstance(words, str):
            words = self.links[program] = [w for w in shlex.split(words) if w not in (":", "&&")]
        return words

    def of_room(self, room):
        """Its tests that have the room's archive in them, or start cis, which has."""
        archive = f"src/{room}/libcis_{room.replace('/', '_')}.a"
        return [n for n in self.tests if re.fullmatch(ROOMS[room], n) and
                (self.starts_cis(n) or archive in self.link(self.tests[n][0][0]))]

    def starts_cis(self, name):
        return name.startswith("test_system_")


# ---- where a change can be made ----
def places(folder, compiled, path):
    """(begin, end, text instead, kind) of a file, as bytes; what is known of it is not asked again."""
    with open(path, "rb") as f:
        name = hashlib.sha256(f.read() + "\0".join(compiled).encode()).hexdigest()[:24]
    kept = os.path.join(folder, "mutants", f"places-{name}")
    if os.path.exists(kept):
        with open(kept, encoding="utf-8") as f:
            return [(b, e, t.encode(), k) for b, e, t, k in json.load(f)]
    out = find_places(folder, compiled, path)
    with open(kept + "~", "w", encoding="utf-8") as f:
        json.dump([(b, e, t.decode(), k) for b, e, t, k in out], f)
    os.rename(kept + "~", kept)
    return out


def find_places(folder, compiled, path):
    command = [w for w in compiled if "ccache" not in w]
    flags = [w for w in command[1:] if w.startswith(("-I", "-D", "-U", "-std", "-isystem"))]
    shown = subprocess.run(["clang", "-fsyntax-only", "-Wno-everything", "-Xclang", "-ast-dump=json",
                            *flags, path], capture_output=True, cwd=folder, check=False)
    with open(path, "rb") as f:
        source = f.read()
    where = {"file": ""}
    out = []

    def seen(loc):
        for part in (loc.get("spellingLoc"), loc.get("expansionLoc"), loc):
            if part and "file" in part:
                where["file"] = part["file"]

    def offset(loc):
        """Of a place that is written in this file; an argument of a macro counts."""
        if "expansionLoc" in loc:
            loc = loc["spellingLoc"] if loc["expansionLoc"].get("isMacroArgExpansion") else {}
        return loc.get("offset"), loc.get("tokLen", 0)

    def span(node):
        begin, _ = offset(node.get("range", {}).get("begin", {}))
        end, size = offset(node.get("range", {}).get("end", {}))
        return (begin, end + size) if begin is not None and end is not None and begin < end + size \
            else None

    def add(begin, end, text, kind):
        out.append((begin, end, text.encode(), kind))

    def binary(node):
        inner = [span(n) for n in node.get("inner", [])]
        code = node.get("opcode", "")
        if len(inner) != 2 or None in inner or code not in SWAPS:
            return
        if code in "+-" and "*" in node.get("type", {}).get("qualType", "") + "":
            return  # of addresses: found by the compiler or a crash
        gap = source[inner[0][1]:inner[1][0]]
        at = gap.find(code.encode())
        if at >= 0 and gap.strip() == code.encode():
            begin = inner[0][1] + at
            add(begin, begin + len(code), SWAPS[code], "operator")

    def condition(node):
        whole = span(node["inner"][0]) if node.get("inner") else None
        if whole:
            text = source[whole[0]:whole[1]].decode(errors="replace")
            add(*whole, f"0 && ({text})", "condition left out")

    def statement(node):
        whole = span(node)
        if whole is None or source[whole[1]:whole[1] + 1] != b";":
            return
        kind, code = node["kind"], node.get("opcode", "")
        if kind == "CallExpr":
            add(*whole, "(void)0", "call left out")
        elif kind == "CompoundAssignOperator" or (kind == "BinaryOperator" and code == "="):
            add(*whole, "(void)0", "assignment left out")
        elif kind == "UnaryOperator" and code in ("++", "--"):
            add(*whole, "(void)0", "count left out")

    def returned(node):
        inner = node.get("inner", [])
        whole = span(inner[0]) if inner else None
        text = source[whole[0]:whole[1]] if whole else b""
        if text in (b"true", b"false"):
            add(*whole, "false" if text == b"true" else "true", "answer turned")
        elif re.fullmatch(rb"E[A-Z0-9]+|CIS_E_[A-Z]+", text):
            add(*whole, "0", "error left out")

    def visit(node, inside):
        seen(node.get("loc", {}))
        seen(node.get("range", {}).get("begin", {}))
        seen(node.get("range", {}).get("end", {}))
        kind = node.get("kind", "")
        if kind == "FunctionDecl":
            inside = where["file"] == path
        if inside:
            if kind == "BinaryOperator":
                binary(node)
            elif kind == "IfStmt":
                condition(node)
            elif kind == "ReturnStmt":
                returned(node)
            elif kind == "UnaryOperator" and node.get("opcode") == "!":
                whole = span(node)
                if whole and source[whole[0]:whole[0] + 1] == b"!":
                    add(whole[0], whole[0] + 1, "!!", "not left out")
            if kind == "CompoundStmt":
                for child in node.get("inner", []):
                    statement(child)
        for child in node.get("inner", []):
            visit(child, inside)

    if shown.returncode == 0:
        visit(json.loads(shown.stdout), False)
    for found in re.finditer(rb"^\s+(CIS_TRY)\(", source, re.M):
        add(found.start(1), found.end(1), "(void)", "error not looked at")
    return sorted(set(out))


class Mutant:
    def __init__(self, path, source, begin, end, text, kind):
        self.path, self.source, self.begin, self.end = path, source, begin, end
        self.text, self.kind = text, kind
        self.file = os.path.relpath(path, ROOT)
        first = source.rfind(b"\n", 0, begin) + 1
        last = source.find(b"\n", end)
        self.line = source.count(b"\n", 0, begin) + 1
        self.before = source[first:last].decode(errors="replace").strip()
        self.after = (source[first:begin] + text + source[end:last]).decode(errors="replace").strip()
        # The same as long as the line and what comes before it in the file's repeats are.
        again = source[:first].count(source[first:last])
        self.id = hashlib.sha256(f"{self.file}\n{self.before}\n{self.after}\n{again}".encode()) \
            .hexdigest()[:12]

    def room(self):
        return os.path.dirname(os.path.relpath(self.file, "src"))


# ---- one mutant ----
def new_scratch():
    scratch = tempfile.mkdtemp(prefix="mut-")
    os.chmod(scratch, 0o755)  # tests go on as another user
    return scratch


def compile_it(build, m, scratch):
    changed = os.path.join(scratch, os.path.basename(m.path))
    with open(changed, "wb") as f:
        f.write(f'#line 1 "{m.path}"\n'.encode() + m.source[:m.begin] + m.text + m.source[m.end:])
    words = [w for w in build.compiles[m.path] if "ccache" not in w]
    drop = {words.index(f) + i for f in ("-o", "-c") if f in words for i in (0, 1)}
    words = [w for i, w in enumerate(words) if i not in drop and w != "-Werror"]
    obj = changed + ".o"
    done = run([*words, "-w", "-iquote", os.path.dirname(m.path), "-c", changed, "-o", obj],
               cwd=build.folder)
    return (obj, "") if done.returncode == 0 else (None, done.stderr)


def link_it(build, name, obj, scratch):
    """The test with the change in it, and the cis that it starts."""
    program, out = build.tests[name][0][0], os.path.join(scratch, name)
    if not build.starts_cis(name):
        return out if link_program(build, program, obj, out) else None
    cis = os.path.join(build.folder, "bin", "cis")
    changed = os.path.join(scratch, "cis")
    if not os.path.exists(changed) and not link_program(build, cis, obj, changed):
        return None
    if len(changed) > len(cis):
        sys.exit(f"{build.folder}: its path is too short to have {changed} in its place")
    with open(program, "rb") as f:  # the path of cis is a word in it, ours has to be as long
        words = re.sub(re.escape(cis.encode()) + rb"(?![\w-])",
                       changed.rjust(len(cis), "/").encode(), f.read())
    with open(out, "wb") as f:
        f.write(words)
    os.chmod(out, 0o755)
    return out


def link_program(build, program, obj, out):
    words = list(build.link(program))
    words[words.index("-o") + 1] = out
    # The linker of small programs takes its time.
    words = [w for w in words if w not in ("-fuse-ld=bfd", "-Wl,-z,pack-relative-relocs")]
    if not any(w.startswith("-fsanitize") for w in words):
        words.insert(1, "-Wl,--strip-debug")  # half the time; a sanitizer reads where it was
    if obj:
        first = next((i for i, w in enumerate(words) if w.endswith(".a")), len(words))
        words.insert(first, obj)
    return run(words, cwd=build.folder).returncode == 0


def start(build, name, program, scratch, most):
    """(passed, seconds) of a test with another program in its place."""
    command, how = build.tests[name]
    env = dict(os.environ, TMPDIR=scratch, CMOCKA_TEST_ABORT="1")  # the first failure is enough
    env.update(e.split("=", 1) for e in how.get("ENVIRONMENT", []))
    def bound():
        resource.setrlimit(resource.RLIMIT_DATA, (DATA_MAX, DATA_MAX))

    began = time.monotonic()
    process = subprocess.Popen([program, *command[1:]], cwd=how.get("WORKING_DIRECTORY", build.folder),
                               env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True,
                               preexec_fn=None if build.sanitized else bound)
    try:
        code = process.wait(timeout=most)
    except subprocess.TimeoutExpired:
        code = -signal.SIGKILL
    try:
        os.killpg(process.pid, signal.SIGKILL)  # what it left behind
    except ProcessLookupError:
        pass
    process.wait()
    return code == 0, time.monotonic() - began


def look(build, m, tests):
    """The verdict and who found it."""
    scratch = new_scratch()
    try:
        obj, why = compile_it(build, m, scratch)
        if obj is None:
            return "not built", why.strip().splitlines()[-1] if why else ""
        failed = []
        for name in tests:
            built = os.path.getmtime(build.tests[name][0][0])
            if build.took.passes(name, built) is False:
                continue
            program = link_it(build, name, obj, scratch)
            if program is None:
                failed.append(name)
                continue
            most = max(HANG_S, 10 * build.took.seconds(name, HANG_S / 5))
            passed, took = start(build, name, program, scratch, most)
            # A machine that has much to do fails no test twice; how long to wait may be known now.
            if not passed and unchanged_passes(build, name, built):
                more = max(HANG_S, 10 * build.took.seconds(name, 0))
                if took < most or more > most:
                    passed, took = start(build, name, program, scratch, more)
            os.unlink(program)
            if passed and build.took.passes(name, built) is None:
                build.took.put(name, None, took, None)  # it may be slower or quicker as it is
            if not passed and unchanged_passes(build, name, built):
                return "killed", name
        return ("not built", f"{failed[0]} cannot be linked") if failed else ("survived", "")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def unchanged_passes(build, name, built):
    """Asked once for each program, when it fails first: failing counts only if this is so."""
    own = build.tests[name][0][0]
    with build.took.lock_of(name):
        if build.took.passes(name, built) is None:
            scratch = new_scratch()
            passed, took = start(build, name, own, scratch, 3600)
            shutil.rmtree(scratch, ignore_errors=True)
            build.took.put(name, built, took, passed)
            if not passed:
                print(f"{name} fails without any change and is left out", file=sys.stderr)
    if os.path.getmtime(own) != built:
        raise OSError(0, "built again in the meantime; start anew", own)
    return build.took.passes(name, built)


# ---- many ----
def sample(build, rooms, files, number, seed):
    """files: paths; None: all of the rooms."""
    found = {room: [] for room in rooms}
    folders = {os.path.join(ROOT, "src", room): room for room in rooms}
    paths = sorted(p for p in build.compiles if os.path.dirname(p) in folders
                   and (files is None or p in files))
    with concurrent.futures.ProcessPoolExecutor() as pool:
        for path, there in zip(paths, pool.map(places, [build.folder] * len(paths),
                                               [build.compiles[p] for p in paths], paths)):
            with open(path, "rb") as f:
                source = f.read()
            found[folders[os.path.dirname(path)]] += [Mutant(path, source, *p) for p in there]
    total = sum(len(v) for v in found.values())
    out, there = [], {}
    for all_of_it in found.values():
        of_room = {m.id: m for m in all_of_it}  # one text may be made of two places
        there.update(of_room)
        ranked = sorted(of_room.values(), key=lambda m: rank(m, seed))
        share = max(1, round(number * len(all_of_it) / max(total, 1)))
        out += [(n / share, m) for n, m in enumerate(ranked[:share])]
    print(f"{total} places in {len(rooms)} rooms, {len(out)} chosen with seed {seed}", flush=True)
    return [m for _, m in sorted(out, key=lambda e: e[0])], there  # the rooms in turn


def likely(build, m, names, found):
    """The tests by how soon they may find it: what they found in this file and room, for its time."""
    room = [r["by"] for r in found if os.path.dirname(r["file"]) == os.path.dirname(m.file)]
    here = [r["by"] for r in found if r["file"] == m.file]
    words = set(re.split(r"[/_.]", m.file)[1:-1])

    def worth(name):
        hits = 4 * here.count(name) + room.count(name) + len(words & set(name.split("_"))) + 0.2
        return hits / (2 + build.took.seconds(name, 5))

    return sorted(names, key=worth, reverse=True)


def rank(m, seed):
    """Of its own text alone: a line that is added or changed elsewhere does not deal anew."""
    return hashlib.sha256(f"{seed} {m.id}".encode()).digest()


def argued():
    out = {}
    with open(os.path.join(ROOT, "tools", "mutants.argued"), encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                name, _, why = line.strip().partition(" ")
                out[name] = why
    return out


def main_sample(build, args):
    rooms = args.rooms.split(",") if args.rooms else list(ROOMS)
    files = [os.path.abspath(f) for f in args.file] or None
    if files is not None:
        for path in files:
            if path not in build.compiles:
                sys.exit(f"{path}: no file that {build.folder} compiles")
        rooms = sorted({os.path.relpath(os.path.dirname(f), os.path.join(ROOT, "src"))
                        for f in files})
    for room in rooms:
        if room not in ROOMS:
            sys.exit(f"{room}: no such room; there are {', '.join(ROOMS)}")
    results = os.path.join(build.folder, "mutants", "results")
    done = {}
    if os.path.exists(results):
        with open(results, encoding="utf-8") as f:
            done = {r["id"]: r for r in map(json.loads, f)}
    chosen, there = sample(build, rooms, files, args.number, args.seed)
    builds = [build] + [Build(d) for d in args.again.split(",") if d]
    labels = {os.path.basename(b.folder) for b in builds}
    reasons = argued()

    def is_left(m):
        """A survivor of fewer builds than these goes on in those that did not have it."""
        seen = done.get(m.id)
        return seen is None or (seen["verdict"] == "survived" and m.id not in reasons and
                                (args.survivors or not labels <= set(seen.get("in", labels))))

    left = [m for m in chosen if is_left(m)]
    tests = {(b.folder, room): b.of_room(room) for b in builds for room in {m.room() for m in left}}
    for (_, room), names in tests.items():
        if not names:
            sys.exit(f"src/{room}: no test has it in")

    asked = collections.defaultdict(set)  # of each mutant, without success

    def ask(m, b, most):
        """Of one build; most: the seconds of a test above which it is for later."""
        names = [n for n in tests[b.folder, m.room()]
                 if n not in asked[m.id, b] and b.took.seconds(n, QUICK_S) <= most]
        verdict = look(b, m, likely(b, m, names, list(done.values())))
        asked[m.id, b].update(names)
        return verdict

    def quickly(m):
        if args.survivors or m.id not in done:
            return ask(m, build, QUICK_S), []
        return ("survived", ""), [] if args.survivors else list(done[m.id].get("in", []))

    def slowly(m, tried):
        verdict = "survived", ""
        for b in builds:
            label = os.path.basename(b.folder)
            if verdict[0] == "survived" and label not in tried:
                verdict = ask(m, b, float("inf"))
                tried = [*tried, label]
        return verdict, tried

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool, \
            open(results, "a", encoding="utf-8") as log:
        told_of = 0

        def settled(m, verdict, by, tried):
            nonlocal told_of
            told_of += 1
            done[m.id] = {"id": m.id, "file": m.file, "line": m.line, "kind": m.kind,
                          "before": m.before, "after": m.after, "verdict": verdict, "by": by,
                          "in": tried}
            log.write(json.dumps(done[m.id]) + "\n")
            log.flush()
            print(f"{told_of}/{len(left)} {verdict:9} {m.file}:{m.line} {m.kind} {by}", flush=True)

        def each(jobs):
            try:
                for job in concurrent.futures.as_completed(jobs):
                    yield jobs[job], *job.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # it is told when those at work end
                raise

        later = {}
        for m, (verdict, by), tried in each({pool.submit(quickly, m): m for m in left}):
            if verdict == "survived":
                later[m] = tried
                print(f"not yet   {m.id} {m.file}:{m.line}", flush=True)
            else:
                settled(m, verdict, by, tried)
        for m, (verdict, by), tried in each({pool.submit(slowly, m, tried): m
                                             for m, tried in later.items()}):
            settled(m, verdict, by, tried)
    ids = {m.id for m in chosen}
    earlier = [r for i, r in done.items() if i in there and i not in ids]
    if earlier:
        killed = sum(r["verdict"] == "killed" for r in earlier)
        print(f"of other choices, not counted below: {killed} of {len(earlier)} killed")
    return told([done[m.id] for m in chosen])


def told(rows):
    reasons = argued()
    rows = [r for r in rows if r["verdict"] != "not built"]
    left = [r for r in rows if r["verdict"] == "survived" and r["id"] not in reasons]
    kept = [r for r in rows if r["verdict"] == "survived" and r["id"] in reasons]
    for r in sorted(left, key=lambda r: (r["file"], r["line"])):
        print(f"survived {r['id']} {r['file']}:{r['line']} ({r['kind']})\n  - {r['before']}\n"
              f"  + {r['after']}")
    counts = {}
    for r in rows:
        room = os.path.dirname(os.path.relpath(r["file"], "src"))
        n = counts.setdefault(room, [0, 0])
        n[0] += 1
        n[1] += r["verdict"] == "killed"
    for room, (n, killed) in sorted(counts.items()):
        print(f"{room:16} {killed:4} of {n:4} killed")
    judged = len(rows) - len(kept)
    killed = judged - len(left)
    print(f"{killed} of {judged} mutants killed, {len(left)} survived, {len(kept)} argued")
    return judged != 0 and killed >= SHARE * judged


# ---- named breaks ----
def main_list(build, path, only):
    """Lines of four parts, with tabs between: FILE, what is there once, what instead, TEST."""
    good = True
    with open(path, encoding="utf-8") as f:
        breaks = [line.rstrip("\n").split("\t") for line in f
                  if line.strip() and not line.startswith("#")]
    breaks = breaks[only - 1:only] if only else breaks
    for file, before, after, test in breaks:
        full = os.path.join(ROOT, file)
        with open(full, "rb") as f:
            source = f.read()
        if source.count(before.encode()) != 1 or test not in build.tests:
            print(f"{file}: \"{before}\" is not there once, or there is no test {test}")
            good = False
            continue
        at = source.index(before.encode())
        m = Mutant(full, source, at, at + len(before.encode()), after.encode(), "named")
        build.took = Took(None)  # that it passes is known; several may run at once
        build.took.put(test, os.path.getmtime(build.tests[test][0][0]), HANG_S / 10, True)
        verdict, by = look(build, m, [test])
        print(f"{verdict:9} {m.file}:{m.line} {by}", flush=True)
        good = good and verdict == "killed"
    return good and bool(breaks)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "dev"))
    parser.add_argument("--rooms", default="")
    parser.add_argument("--file", action="append", default=[])
    parser.add_argument("--number", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--again", default="")
    parser.add_argument("--survivors", action="store_true")
    parser.add_argument("--list")
    parser.add_argument("--only", type=int, default=0)
    args = parser.parse_args()
    try:
        build = Build(args.build)
        os.makedirs(os.path.join(build.folder, "mutants"), exist_ok=True)
        good = main_list(build, args.list, args.only) if args.list else main_sample(build, args)
    except OSError as why:
        sys.exit(f"{why.filename}: {why.strerror}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
