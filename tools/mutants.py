#!/usr/bin/env python3
"""Breaks lines of src/ on purpose, one at a time, and looks whether a test of the room fails.

usage: tools/mutants.py [--build DIR] [--rooms R,...] [--number N] [--seed S] [--jobs J]
                        [--again DIR,...]
       tools/mutants.py [--build DIR] --list FILE [--only N]
                                        breaks that are named (or the N-th); each has to be found

A mutant is one file compiled with one change and linked before the archives into the tests of its
room; nothing of the build is touched. One that survives there is tried in the builds of --again,
where a sanitizer may see it. Where the changes go is told by clang's syntax tree. What was done is
in DIR/mutants/results, a line each, and is not done again: a run that was ended goes on. Which ones
are chosen depends on the seed and on the text of each alone, so results stay good when src/ changes.
A mutant that survives for a good reason is named in tools/mutants.argued. Needs a finished build.
The exit code is 1 when too few are killed, or one of a list survives.
"""
import argparse
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
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARE = 0.95  # of all that are not argued
HANG_S = 60  # a mutant that waits longer than this, and ten times what its test took, is found
DATA_MAX = 6 << 30  # bytes; a sanitizer takes what it likes

# room: the tests that are to notice
ROOMS = {
    "policy": r"test_(grant|net|socket|http(_\w+)?|net_\w+|link)|test_system_services",
    "service/http": r"test_http(_\w+)?|test_system_(run_http|rows_net|services)",
    "service/net": r"test_(net_\w+|socket)|test_system_(rows_net|run_sockets)",
    "service/memory": r"test_service_memory|test_system_memory",
    "skillabi": r"test_(skillabi|kinds|host)|test_system_(component|services)",
    "host": r"test_(host|tape|tape_damage|state|values|skillabi|wasi_(p1|streams|poll|sock))"
            r"|test_wasi_waits_hostdir|test_system_(services|run_sockets)",
    "store": r"test_store_(row|keys|commit|chunk|contract\w*_sqlite)|test_history_(backup|keep)_sqlite",
    "store/sqlite": r"test_store_(sqlite|contract\w*_sqlite|wal|lease_clock|chunk_file|migrate|lost"
                    r"|full|faults|damage)|test_history_(backup|keep|between)_sqlite",
    "store/postgres": r"test_store_(contract\w*_postgres|postgres|postgres_waits)"
                      r"|test_history_(backup|keep|between)_postgres",
    "history": r"test_history_(\w+_sqlite|move)",
    "vfs": r"test_vfs_(walk|contract_(hostdir|layered_sqlite|union))|test_crowd|test_depth",
    "vfs/layered": r"test_layered_\w+|test_vfs_(contract|pairs|publish|slashes|versions|whole)"
                   r"_layered_sqlite",
    "vfs/union": r"test_vfs_\w*union(_sqlite)?|test_run_apply_sqlite",
    "vfs/hostdir": r"test_vfs_\w*hostdir",
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


class Build:
    """What the build knows: how a file is compiled, a test linked and started."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        with open(os.path.join(self.folder, "compile_commands.json"), encoding="utf-8") as f:
            self.compiles = {e["file"]: shlex.split(e["command"]) for e in json.load(f)}
        self.sanitized = any(w.startswith("-fsanitize") for c in self.compiles.values() for w in c)
        shown = run(["ctest", "--test-dir", self.folder, "--show-only=json-v1"])
        self.tests, self.links = {}, {}
        self.measured = {}  # when the program of a test was made that is known to pass
        for test in json.loads(shown.stdout)["tests"]:
            command = test.get("command", [""])
            labels = [p["value"] for p in test.get("properties", []) if p["name"] == "LABELS"]
            if command[0].startswith(self.folder + "/tests/") and not any(
                    tier in str(labels) for tier in ("torture", "acceptance")):
                self.tests[test["name"]] = (command, {p["name"]: p["value"]
                                                      for p in test["properties"]})

    def link(self, program):
        """The command that links it, as words, without the shell's frame."""
        if program not in self.links:
            lines = run(["ninja", "-C", self.folder, "-t", "commands",
                         os.path.relpath(program, self.folder)]).stdout.splitlines()
            words = shlex.split(lines[-1]) if lines else []
            self.links[program] = [w for w in words if w not in (":", "&&")]
        return self.links[program]

    def of_room(self, room):
        """Its tests that have the room's archive in them, or start cis, which has."""
        archive = f"src/{room}/libcis_{room.replace('/', '_')}.a"
        return [n for n in self.tests if re.fullmatch(ROOMS[room], n) and
                (self.starts_cis(n) or archive in self.link(self.tests[n][0][0]))]

    def starts_cis(self, name):
        return name.startswith("test_system_")


# ---- where a change can be made ----
def places(build, path):
    """(begin, end, text instead, kind) of a file, as bytes; what is known of it is not asked again."""
    with open(path, "rb") as f:
        name = hashlib.sha256(f.read() + "\0".join(build.compiles[path]).encode()).hexdigest()[:24]
    kept = os.path.join(build.folder, "mutants", f"places-{name}")
    if os.path.exists(kept):
        with open(kept, encoding="utf-8") as f:
            return [(b, e, t.encode(), k) for b, e, t, k in json.load(f)]
    out = find_places(build, path)
    with open(kept + "~", "w", encoding="utf-8") as f:
        json.dump([(b, e, t.decode(), k) for b, e, t, k in out], f)
    os.rename(kept + "~", kept)
    return out


def find_places(build, path):
    command = [w for w in build.compiles[path] if "ccache" not in w]
    flags = [w for w in command[1:] if w.startswith(("-I", "-D", "-U", "-std", "-isystem"))]
    shown = subprocess.run(["clang", "-fsyntax-only", "-Wno-everything", "-Xclang", "-ast-dump=json",
                            *flags, path], capture_output=True, cwd=build.folder, check=False)
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
        return link_program(build, program, obj, out) and out
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


def look(build, m, tests, baseline):
    """The verdict and who found it."""
    scratch = new_scratch()
    try:
        obj, why = compile_it(build, m, scratch)
        if obj is None:
            return "not built", why.strip().splitlines()[-1] if why else ""
        for name in tests:
            program = link_it(build, name, obj, scratch)
            if program is None:
                return "not built", f"{name} cannot be linked"
            passed, _ = start(build, name, program, scratch, max(HANG_S, 10 * baseline[name]))
            os.unlink(program)
            own = build.tests[name][0][0]
            if not passed and build.measured.get(name, os.path.getmtime(own)) != os.path.getmtime(own):
                raise OSError(0, "built again in the meantime; start anew", own)
            if not passed:
                return "killed", name
        return "survived", ""
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def measure(build, names):
    """Seconds of each test as it is; those that fail so are left out. Quick ones come first."""
    path = os.path.join(build.folder, "mutants", "took")
    known, out = {}, {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            known = json.load(f)
    for name in names:
        built = os.path.getmtime(build.tests[name][0][0])
        if name not in known or known[name][0] != built:
            scratch = new_scratch()
            passed, took = start(build, name, build.tests[name][0][0], scratch, 3600)
            shutil.rmtree(scratch, ignore_errors=True)
            if not passed:
                print(f"{name} fails without any change and is left out", file=sys.stderr)
                continue
            known[name] = (built, took)
            with open(path, "w", encoding="utf-8") as f:
                json.dump(known, f)
        build.measured[name] = built
        out[name] = known[name][1]
    return dict(sorted(out.items(), key=lambda e: e[1]))


# ---- many ----
def sample(build, rooms, number, seed):
    found = {}
    for room in rooms:
        folder = os.path.join(ROOT, "src", room)
        found[room] = []
        for path in sorted(p for p in build.compiles if os.path.dirname(p) == folder):
            with open(path, "rb") as f:
                source = f.read()
            found[room] += [Mutant(path, source, *place) for place in places(build, path)]
    total = sum(len(v) for v in found.values())
    out, there = [], {}
    for all_of_it in found.values():
        of_room = {m.id: m for m in all_of_it}  # one text may be made of two places
        there.update(of_room)
        ranked = sorted(of_room.values(), key=lambda m: rank(m, seed))
        out += ranked[:max(1, round(number * len(all_of_it) / max(total, 1)))]
    print(f"{total} places in {len(rooms)} rooms, {len(out)} chosen with seed {seed}", flush=True)
    return out, there


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
    for room in rooms:
        if room not in ROOMS:
            sys.exit(f"{room}: no such room; there are {', '.join(ROOMS)}")
    folder = os.path.join(build.folder, "mutants")
    os.makedirs(folder, exist_ok=True)
    results = os.path.join(folder, "results")
    done = {}
    if os.path.exists(results):
        with open(results, encoding="utf-8") as f:
            done = {r["id"]: r for r in map(json.loads, f)}
    chosen, there = sample(build, rooms, args.number, args.seed)
    left = [m for m in chosen if m.id not in done]
    tests = {room: build.of_room(room) for room in {m.room() for m in left}}
    baseline = measure(build, sorted({n for names in tests.values() for n in names}))
    order = {room: [n for n in baseline if n in names] for room, names in tests.items()}
    for room, names in order.items():
        if not names:
            sys.exit(f"src/{room}: no test of it passes, or has it in")
    again = [Build(d) for d in args.again.split(",") if d]
    later = {b.folder: {room: [n for n in names if n in b.of_room(room)]
                        for room, names in order.items()} for b in again}

    def in_turn(m):
        # Who found the most in this file is asked first, then in its room, then the quick ones.
        found = [(r["file"], r["by"]) for r in list(done.values())]
        room = [by for file, by in found if os.path.dirname(file) == os.path.dirname(m.file)]
        here = [by for file, by in found if file == m.file]
        names = sorted(order[m.room()], key=lambda n: (-here.count(n), -room.count(n)))
        verdict = look(build, m, names, baseline)
        for b in again:
            if verdict[0] == "survived":
                slow = {n: 10 * took + 60 for n, took in baseline.items()}
                verdict = look(b, m, later[b.folder][m.room()], slow)
        return verdict

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool, \
            open(results, "a", encoding="utf-8") as log:
        jobs = {pool.submit(in_turn, m): m for m in left}
        for n, job in enumerate(concurrent.futures.as_completed(jobs), 1):
            m = jobs[job]
            verdict, by = job.result()
            done[m.id] = {"id": m.id, "file": m.file, "line": m.line, "kind": m.kind,
                          "before": m.before, "after": m.after, "verdict": verdict, "by": by}
            log.write(json.dumps(done[m.id]) + "\n")
            log.flush()
            print(f"{n}/{len(left)} {verdict:9} {m.file}:{m.line} {m.kind} {by}", flush=True)
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
        verdict, by = look(build, m, [test], {test: HANG_S / 10})  # that it passes is known
        print(f"{verdict:9} {m.file}:{m.line} {by}", flush=True)
        good = good and verdict == "killed"
    return good and bool(breaks)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "dev"))
    parser.add_argument("--rooms", default="")
    parser.add_argument("--number", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--again", default="")
    parser.add_argument("--list")
    parser.add_argument("--only", type=int, default=0)
    args = parser.parse_args()
    try:
        build = Build(args.build)
        good = main_list(build, args.list, args.only) if args.list else main_sample(build, args)
    except OSError as why:
        sys.exit(f"{why.filename}: {why.strerror}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
