"""Where tests of the shell work: one home for all, so that the interpreter is compiled once, and a tenant
and a folder for each."""
import os
import shutil
import subprocess
import tempfile
import unittest

CIS = os.environ["CIS_PROGRAM"]
MODULE = os.path.join(os.environ["CIS_BUILD_DIR"], "shell", "cis-shell.wasm")
HOME = None


def home():
    global HOME
    if not os.path.exists(MODULE):
        with open(os.path.join(os.path.dirname(MODULE), "missing"), encoding="utf-8") as file:
            need, why = file.read().strip().split("\t")
        with open(os.path.join(os.environ["CIS_BUILD_DIR"], "not-tested"), "a", encoding="utf-8") as out:
            out.write(f"{need}\tshell\t{why}\n")
        raise unittest.SkipTest(f"MISSING: the interpreter was not built: {why}")
    if HOME is None:
        HOME = tempfile.mkdtemp(prefix="cis-shell-", dir="/tmp")
        unittest.addModuleCleanup(shutil.rmtree, HOME, ignore_errors=True)
    return HOME


class Case(unittest.TestCase):
    maxDiff = 4000
    count = 0

    def setUp(self):
        Case.count += 1
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("CIS_", "XDG_"))}
        self.env.update(CIS_HOME=home(), CIS_TENANT=f"t{Case.count}", LC_ALL="C")
        self.folder = tempfile.mkdtemp(prefix="cis-shell-folder-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def cis(self, *args, code=0, stdin=b"", **more):
        done = subprocess.run([CIS, *args], env=self.env, input=stdin, capture_output=True, check=False,
                              cwd=self.folder, timeout=600, **more)
        self.assertEqual(done.returncode, code, (args, done.stdout[-1000:], done.stderr[-1000:]))
        return done

    def shell(self, script, *args, code=0, stdin=b"", options=()):
        """What it wrote to stdout."""
        return self.cis("shell", *options, "-c", script, *args, code=code, stdin=stdin).stdout.decode()

    def put(self, name, data):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)

    def tree(self):
        """All that is in the folder, byte for byte."""
        found = {}
        for at, folders, files in os.walk(self.folder):
            for name in folders + files:
                path = os.path.join(at, name)
                key = os.path.relpath(path, self.folder)
                if os.path.islink(path):
                    found[key] = ("link", os.readlink(path))
                elif os.path.isdir(path):
                    found[key] = ("folder",)
                else:
                    with open(path, "rb") as file:
                        found[key] = ("file", file.read(), os.stat(path).st_mode)
        return found
