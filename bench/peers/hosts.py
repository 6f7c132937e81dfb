"""Hosts of WASI that are measured beside each other, and how: programs in turns on fresh folders, medians
and spread. Peers come from package registries through their ordinary clients into the user's cache."""
import glob
import os
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "programs"))
import fetch  # noqa: E402
import recipes  # noqa: E402,F401

WHEEL = ("wasmtime", "48.0.0", "wasmtime-48.0.0-py3-none-manylinux1_x86_64.whl",
         "58544d539053dff7bd4cf30c40d7a540862d683013c0dfa6ba46a063f5b682f7")
LINE = "48.0.8"  # of Wasmtime's command line
JCO = "1.35.0"


def say(text=""):
    print(text, flush=True)


def compiled_guest(folder, name, *flags):
    wasm = os.path.join(folder, name + ".wasm")
    subprocess.run(["clang", "--target=wasm32-wasi", "-O2", "-s", os.path.join(HERE, name + ".c"), "-o", wasm, *flags],
                   check=True)
    return wasm


def compiled_native(folder, name, *flags):
    native = os.path.join(folder, name)
    subprocess.run(["gcc", "-O2", os.path.join(HERE, name + ".c"), "-o", native, *flags], check=True)
    return native


def compiled(folder, name, *flags):
    return compiled_guest(folder, name, *flags), compiled_native(folder, name, *flags)


class Runner:
    """A host of WASI: argv(module, native, args) runs a program on an empty folder it calls /w, or / where
    programs look for places of their own."""
    mount = "/w"
    network = []  # options that let a program listen on loopback

    def __init__(self, name, folder):
        self.name, self.folder, self.turn, self.options = name, folder, 0, []

    def fresh(self):
        self.turn += 1
        self.place = os.path.join(self.folder, f"{self.name.replace(' ', '-')}-{self.turn}")
        os.makedirs(self.place)

    def env(self):
        return os.environ

    def root(self):
        return self.mount.rstrip("/")


class Cis(Runner):
    network = ["--net", "listen:localhost:*", "--wasi", "network-error-code"]

    def __init__(self, name, folder, build, workspace):
        super().__init__(name, folder)
        self.program, self.workspace = os.path.join(build, "bin", "cis"), workspace

    def env(self):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CIS_")}
        return {**kept, "CIS_HOME": os.path.join(self.folder, "cis-home"),
                "CIS_STORE": "sqlite:" + os.path.join(self.place, ".store")}  # goes with the folder

    def argv(self, wasm, native, args):
        mount = ["--workspace", self.mount] if self.workspace else ["--dir", f"{self.place}::{self.mount}:rw"]
        return [self.program, "run", *mount, *self.options, wasm, *args]


class Node(Runner):
    def argv(self, wasm, native, args):
        return ["node", "--no-warnings", os.path.join(HERE, "wasi.mjs"), wasm, self.place, self.mount, *args]


class Wasmtime(Runner):
    def __init__(self, name, folder, program):
        super().__init__(name, folder)
        self.program = program

    def argv(self, wasm, native, args):
        code = os.path.join(self.folder, os.path.basename(wasm) + ".code")
        return [self.program, code, wasm, self.place, self.mount, *args]


class WasmtimeLine(Runner):
    network = ["-S", "inherit-network", "-S", "network-error-code"]

    def __init__(self, name, folder, program):
        super().__init__(name, folder)
        self.program = program

    def argv(self, wasm, native, args):
        return [self.program, "run", "-C", "cache=y", "--dir", f"{self.place}::{self.mount}", *self.options, wasm,
                *args]


class Native(Runner):
    def argv(self, wasm, native, args):
        return [native, *args]

    def root(self):
        return self.place


def wasmtime_library(folder):
    """The peer's program over the published library; None when it cannot be had."""
    try:
        wheel = fetch.pypi(*WHEEL)
    except fetch.Missing as why:
        say(f"no Wasmtime here: {why}")
        return None
    place = os.path.join(fetch.cache(), "wasmtime-48.0.0")
    if not os.path.isdir(place):
        subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, place + ".stage"], check=True)
        os.rename(place + ".stage", place)
    library = glob.glob(os.path.join(place, "wasmtime", "*", "_libwasmtime.so"))[0]
    engine = subprocess.run([os.path.join(HERE, "..", "..", "tools", "build-engine.sh")], stdout=subprocess.PIPE,
                            check=True).stdout.decode().strip()  # headers only
    program = os.path.join(folder, "wasmtime-peer")
    subprocess.run(["gcc", "-O2", "-I" + os.path.join(engine, "include"), os.path.join(HERE, "wasmtime.c"),
                    "-o", program, library, "-Wl,-rpath," + os.path.dirname(library)], check=True)
    return program


def wasmtime_line():
    """Wasmtime's command line: the one of PATH when it is this version, else built once (long) by cargo."""
    found = shutil.which("wasmtime")
    if found and LINE in subprocess.run([found, "--version"], stdout=subprocess.PIPE, check=False).stdout.decode():
        return found
    place = os.path.join(fetch.cache(), "wasmtime-cli-" + LINE)
    program = os.path.join(place, "bin", "wasmtime")
    if not os.path.exists(program):
        try:
            say(f"building wasmtime-cli {LINE} once, some minutes")
            fetch.run([fetch.tool("cargo"), "install", "--quiet", "--locked", "wasmtime-cli@" + LINE, "--root", place])
        except fetch.Missing as why:
            say(f"no Wasmtime CLI here: {why}")
            return None
    return program


def jco():
    """The program of jco, which runs components under node.js."""
    place = os.path.join(fetch.cache(), "jco-" + JCO)
    program = os.path.join(place, "node_modules", ".bin", "jco")
    if not os.path.exists(program):
        try:
            os.makedirs(place, exist_ok=True)
            fetch.tool("node")
            fetch.run([fetch.tool("npm"), "install", "--silent", "--no-fund", "--no-audit", "--prefix", place,
                       "@bytecodealliance/jco@" + JCO])
        except fetch.Missing as why:
            say(f"no jco here: {why}")
            return None
    return program


def runners(build, folder):
    made = [Cis("cis, workspace", folder, build, True), Cis("cis, folder", folder, build, False)]
    if shutil.which("node"):
        made.append(Node("node", folder))
    peer = wasmtime_library(folder)
    if peer:
        made.append(Wasmtime("Wasmtime", folder, peer))
    line = wasmtime_line()
    if line:
        made.append(WasmtimeLine("Wasmtime CLI", folder, line))
    made.append(Native("native", folder))
    return made


def once(runner, wasm, native, args, stdin=subprocess.DEVNULL):
    """(output, seconds of the whole process)."""
    argv = runner.argv(wasm, native, [a.replace("/w", runner.root()) if a.startswith("/w") else a for a in args])
    start = time.perf_counter()
    done = subprocess.run(argv, env=runner.env(), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          cwd=runner.place, check=False)
    took = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"{runner.name}: {' '.join(argv)}: exit {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done.stdout.decode(), took


def rates(all_runners, rounds, act):
    """runner → row → values; each round runs all in turn on fresh folders. act gives row → value."""
    found = {r.name: {} for r in all_runners}
    for _ in range(rounds):
        for runner in all_runners:
            runner.fresh()
            for row, value in act(runner).items():
                found[runner.name].setdefault(row, []).append(value)
            shutil.rmtree(runner.place)
    return found


def lines(text):
    return {row: float(rate) for row, rate in (line.split() for line in text.splitlines())}


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def table(title, found, faster=True, judge=None):
    """Rows of one kind, with ratios of medians and the range of them in turns; goals compare medians: (text, is it
    reached)."""
    say(f"\n## {title}")
    names = list(found)
    width = max(len(r) for r in found[names[0]]) + 2
    say(" " * width + "".join(f"{n:>28}" for n in names))
    for row in found[names[0]]:
        cells = []
        for name in names:
            values = found[name].get(row, [])
            text = "-" if not values else \
                f"{number(statistics.median(values))} ({number(min(values))}-{number(max(values))})"
            cells.append(f"{text:>28}")
        say(f"{row:{width}}" + "".join(cells))
    for row in found[names[0]]:
        ours = found[names[0]][row]
        ratios = []
        for name in names[1:]:
            peer = found[name].get(row)
            if peer:
                turns = [a / b for a, b in zip(ours, peer)]
                ratios.append(f"{statistics.median(ours) / statistics.median(peer):.2f} "
                              f"({min(turns):.2f}-{max(turns):.2f}) times {name}")
        say(f"{row}: {names[0]} is {', '.join(ratios)}" + ("" if faster else " (time)"))
    for text, reached in (judge or (lambda: []))():
        say(f"goal: {text}: {'reached' if reached else 'missed'}")


def median(found, name, row):
    return statistics.median(found[name][row])
