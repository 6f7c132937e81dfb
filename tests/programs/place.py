"""The places where a program is run: natively in a folder, and by `cis run` on a folder of the host, on
one that is not written (cow), on a workspace in SQLite, and on one in PostgreSQL. All begin with the same tree and run the same
commands; what they print and what is left must be the same."""
import glob
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

import fetch
import recipes

CIS = os.environ["CIS_PROGRAM"]
ALL = ("host", "cow", "sqlite", "postgres")


class Ended:
    """How a program ended, and what it printed."""

    def __init__(self, code, out, err, peak):
        self.code, self.out, self.err, self.peak = code, out, err, peak

    def __eq__(self, other):
        return (self.code, self.out, self.err) == (other.code, other.out, other.err)

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out[-3000:]!r}\n--- stderr\n{self.err[-3000:]!r}"


def spawn(argv, cwd, env, stdin, executable=None):
    """Runs it to its end; stdin is bytes or None. The peak is that of the whole process, in KiB."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as given:
        given.write(stdin or b"")
        given.seek(0)
        child = subprocess.Popen(argv, executable=executable, cwd=cwd, env=env, stdin=given, stdout=out,
                                 stderr=err)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return Ended(child.returncode, out.read(), err.read(), usage.ru_maxrss)


def tree(folder, times):
    """path → what it is. Times of files are compared where programs set them (times: name → bool)."""
    found = {}
    for parent, dirs, names in os.walk(folder):
        for name in sorted(dirs + names):
            path = os.path.join(parent, name)
            at, rel = os.lstat(path), os.path.relpath(path, folder)
            if stat.S_ISLNK(at.st_mode):
                found[rel] = ("link", os.readlink(path))
            elif stat.S_ISDIR(at.st_mode):
                found[rel] = ("folder", oct(at.st_mode))
            else:
                with open(path, "rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
                found[rel] = ("file", oct(at.st_mode), at.st_size, at.st_nlink, content,
                              at.st_mtime_ns if times(rel) else None)
    return found


def unlinked(found):
    """A tree without its link counts."""
    return {name: what[:3] + what[4:] if what[0] == "file" else what for name, what in found.items()}


class Native:
    kind = "native"

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)

    def run(self, program, *args, stdin=None, env=()):
        """Called as its module is, so that it names itself alike."""
        argv = [program.name + ".wasm", *args]
        full = {"PATH": "/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C", **dict(env)}
        return spawn(argv, self.folder, full, stdin, program.native)

    def path(self, name):
        return os.path.join(self.folder, name)

    def begin(self):
        """The tree was filled in."""

    def end(self):
        """The folder with what is left."""
        return self.folder


class Host(Native):
    kind = "host"

    def __init__(self, folder, store):
        """Data is this place's own; compiled code is shared by all places and kept for the next time."""
        super().__init__(folder)
        home = os.path.join(fetch.cache(), "home")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("CIS_", "XDG_"))}
        self.env.update(CIS_HOME=home, CIS_STORE=store, TZ="UTC",
                        CIS_TENANT=os.path.basename(os.path.dirname(folder)).lower().replace("_", "-"))

    def mount(self):
        return ["--dir", f"{self.folder}::/:rw"]

    def argv(self, program, *args, env=()):
        options = [part for pair in env for part in ("--env", "=".join(pair))]
        options += [part for mount in program.mounts for part in ("--dir", "::".join(mount) + ":ro")]
        return [CIS, "run", *self.mount(), *options, program.wasm, *args]

    def run(self, program, *args, stdin=None, env=()):
        """A program that fails leaves nothing in a workspace, and cis says so below what it printed."""
        ended = spawn(self.argv(program, *args, env=env), self.folder, self.env, stdin)
        if ended.code != 0:
            ended.err = re.sub(rb"cis run: [^\n]*: its changes were discarded\n$", b"", ended.err)
        return ended

    def cis(self, *args):
        done = spawn([CIS, *args], self.folder, self.env, None)
        if done.code != 0:
            raise AssertionError(f"cis {' '.join(args)}: {done}")
        return done.out


class Workspace(Host):
    def __init__(self, folder, store, kind):
        super().__init__(folder, store)
        self.kind = kind

    def mount(self):
        return ["--workspace", "/"]

    def begin(self):
        names = [self.path(name) for name in sorted(os.listdir(self.folder))]
        if names:
            self.cis("fs", "put", "-r", *names, "/")

    def end(self):
        left = self.folder + "-left"
        self.cis("fs", "get", "-r", "/", left)
        self.cis("fs", "fsck", "--data")
        return left


class Cow(Host):
    """The folder stays as it is; all that the programs did is a branch, and applied at the end."""
    kind = "cow"

    def mount(self):
        return ["--dir", f"{self.folder}::/:cow=work"]

    def begin(self):
        self.before = tree(self.folder, lambda name: True)

    def end(self):
        if tree(self.folder, lambda name: True) != self.before:
            raise AssertionError("a cow mount changed its folder")
        # What a run left in the branch is named by its commit; one that failed or changed nothing has none.
        for run in self.cis("runs", "list", "--limit", "10000").decode().splitlines():
            try:
                if b"the run changed nothing" not in self.cis("runs", "apply", run.split()[0]):
                    break
            except AssertionError as error:
                if "none of its changes were kept" not in str(error):
                    raise
        return self.folder


class Postgres:
    """A server of this test's own; started when the first test asks."""
    url = None

    @classmethod
    def store(cls):
        if cls.url is None:
            found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
            if not found:
                raise unittest.SkipTest("MISSING: no PostgreSQL server is installed")
            server, folder = found[-1], tempfile.mkdtemp(prefix="cis-pg-", dir="/tmp")
            who = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
            if who:
                shutil.chown(folder, "nobody")
            data = os.path.join(folder, "data")

            def stop():
                subprocess.run([*who, os.path.join(server, "pg_ctl"), "-D", data, "-m", "immediate", "stop"],
                               stdout=subprocess.DEVNULL, cwd="/", check=False)
                shutil.rmtree(folder, ignore_errors=True)

            unittest.addModuleCleanup(stop)
            for argv in (["initdb", "-k", "-D", data, "-A", "trust", "-U", "admin", "--no-sync"],
                         ["pg_ctl", "-D", data, "-l", os.path.join(folder, "log"), "-w", "-o",
                          f"-k {folder} -c listen_addresses='' -c fsync=off", "start"]):
                subprocess.run([*who, os.path.join(server, argv[0]), *argv[1:]], stdout=subprocess.DEVNULL, cwd="/",
                               check=True)
            cls.url = f"postgres://admin@/postgres?host={folder}"
            subprocess.run([CIS, "store", "init"], env={**os.environ, "CIS_STORE": cls.url}, check=True,
                           stdout=subprocess.DEVNULL)
        return cls.url


class Case(unittest.TestCase):
    maxDiff = 4000

    def program(self, name):
        return recipes.program(name)

    def places(self, *kinds):
        """Natively first; then those of cis."""
        base = tempfile.mkdtemp(prefix="cis-test-")
        self.addCleanup(shutil.rmtree, base, ignore_errors=True)
        made = [Native(os.path.join(base, "native"))]
        for kind in kinds:
            folder, store = os.path.join(base, kind), f"sqlite:{os.path.join(base, kind + '-store')}"
            if kind in ("host", "cow"):
                made.append((Host if kind == "host" else Cow)(folder, store))
            else:
                made.append(Workspace(folder, Postgres.store() if kind == "postgres" else store, kind))
        return made

    def equal(self, expected, given):
        """Lists item by item, dictionaries by what differs: the first difference is enough to read."""
        if isinstance(expected, list) and len(expected) == len(given):
            for n, (one, other) in enumerate(zip(expected, given)):
                self.assertEqual(one, other, f"item {n}")
        elif isinstance(expected, dict):
            one, other = ({k: v for k, v in a.items() if b.get(k) != v} for a, b in
                          ((expected, given), (given, expected)))
            self.assertEqual(dict(sorted(one.items())[:5]), dict(sorted(other.items())[:5]))
        else:
            self.assertEqual(expected, given)

    def same(self, script, kinds=("host", "sqlite"), fill=lambda folder: None, times=lambda name: False):
        """fill(folder) makes the tree to begin with; script(place) runs programs and returns what is
        compared besides the tree that is left. Returns what it gave natively."""
        first = None
        for place in self.places(*kinds):
            fill(place.folder)
            place.begin()
            with self.subTest(place=place.kind):
                given = script(place)
                left = tree(place.end(), times)
                if first is None:
                    first = (given, left)
                    self.assertTrue(left)
                else:
                    self.equal(first[0], given)
                    if place.kind == "cow":  # applied, names of one file become files
                        self.equal(unlinked(first[1]), unlinked(left))
                    else:
                        self.equal(first[1], left)
        return first[0]

    def ok(self, ended):
        self.assertEqual(ended.code, 0, repr(ended))
        return ended


class Result(unittest.TextTestResult):
    def addError(self, test, err):
        """A program that cannot be had is no failure, and never silent."""
        if issubclass(err[0], fetch.Missing):
            self.addSkip(test, f"MISSING PROGRAM: {err[1]}")
        else:
            super().addError(test, err)


def main():
    """Exit code 77, which ctest shows as skipped, when something was missing and nothing failed."""
    runner = unittest.TextTestRunner(verbosity=2, resultclass=Result)
    done = unittest.main(module="__main__", exit=False, testRunner=runner).result
    for test, why in done.skipped:
        print(f"SKIPPED {test}: {why}", flush=True)
        fetch.not_tested(test.id(), why)
    sys.exit(1 if not done.wasSuccessful() else 77 if done.skipped else 0)
