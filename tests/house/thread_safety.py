#!/usr/bin/env python3
"""Locks as src/base/lock.h annotates them, checked by clang: every source of the
rooms that have locks, as the build compiles it. Then clang is shown mistakes (thread_safety_broken.c) and must find them.

    thread_safety.py BUILD_DIR [PREFIX]   PREFIX: only sources below it, "src/vfs/layered"
"""
import concurrent.futures
import json
import os
import shlex
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROOMS = ("src/base/", "src/engine/", "src/store/", "src/vfs/", "src/fuse/", "src/service/", "src/lib/", "src/mcp/")
BROKEN = os.path.join(ROOT, "tests/house/thread_safety_broken.c")
CHECK = ["-fsyntax-only", "-Wno-everything", "-Wthread-safety", "-Wthread-safety-beta", "-Werror",
         "-DCIS_THREAD_SAFETY"]


def commands(build, prefix):
    """[(source, folder, clang's arguments)]: of the build's, those that decide what the source says."""
    found = {}
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
        for entry in json.load(f):
            name = os.path.relpath(entry["file"], ROOT)
            if not name.startswith(prefix):
                continue
            keep, args = [], iter(shlex.split(entry["command"]))
            for arg in args:
                if arg in ("-I", "-isystem", "-D", "-include"):
                    keep += [arg, next(args)]
                elif arg.startswith(("-I", "-isystem", "-D", "-std=", "-U")):
                    keep.append(arg)
            found[name] = (name, entry["directory"], keep)
    return [found[name] for name in sorted(found)]


def check(name, folder, args):
    run = subprocess.run(["clang", *CHECK, *args, os.path.join(ROOT, name)], cwd=folder, capture_output=True,
                         text=True)
    return run.returncode, run.stderr


def broken():
    """What clang says of each mistake, beside what it should say: the lines of the file that have MUST."""
    text = open(BROKEN, encoding="utf-8").read().splitlines()
    wanted = {n: line.split("MUST: ")[1].rstrip(" */") for n, line in enumerate(text, 1) if "MUST: " in line}
    code, said = check(os.path.relpath(BROKEN, ROOT), ROOT, ["-std=gnu17", "-I" + os.path.join(ROOT, "src")])
    got = {}
    for line in said.splitlines():
        parts = line.split(":", 4)
        if len(parts) == 5 and parts[3].strip() == "error":
            got.setdefault(int(parts[1]), []).append(parts[4])
    problems = [f"{BROKEN}:{n}: not found: {text}" for n, text in wanted.items()
                if not any(text in one for one in got.get(n, []))]
    problems += [f"{BROKEN}:{n}: was not to be found:{' '.join(got[n])}" for n in got if n not in wanted]
    return len(wanted), problems


def main():
    build, prefix = sys.argv[1], tuple(sys.argv[2:]) or ROOMS
    if shutil.which("clang") is None:
        print("clang is not installed: the locks were not checked")
        return 77
    failed, told, todo = 0, set(), commands(build, prefix)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for code, said in pool.map(lambda one: check(*one), todo):
            if code != 0:
                failed += 1
                for line in said.splitlines(): # a header's mistake is told once
                    if ("error:" in line or "note:" in line) and line not in told:
                        told.add(line)
                        print(line.replace(ROOT + "/", ""))
    mistakes, problems = broken()
    print("\n".join(problems))
    print(f"{len(todo)} sources, {failed} failed; {mistakes} mistakes shown, {len(problems)} not as expected")
    return 1 if failed or problems or not todo or not mistakes else 0


sys.exit(main())
