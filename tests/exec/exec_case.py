"""A folder, a store of its own, and `cis exec` on it."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["CIS_SOURCE_DIR"], "tests/mcp"))
import client  # noqa: E402

CIS = client.CIS
WAIT = client.WAIT


def not_tested(test):
    """Where nothing can be mounted there is nothing to test: told, and left out."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
        return
    except OSError as error:
        why = f"/dev/fuse: {error.strerror}"
    with open(os.path.join(os.environ["CIS_BUILD_DIR"], "not-tested"), "a", encoding="utf-8") as out:
        out.write(f"fuse\t{test}\t{why}\n")
    sys.exit(77)


class Case(client.Case):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="cis-exec-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def run_in(self, *args, options=(), code=0, env=None, stdin=b"", cwd=None):
        """`cis exec OPTIONS -- ARGS` in the folder: what it wrote to stdout and to stderr."""
        done = subprocess.run([CIS, "exec", *options, "--", *args], env={**self.env, **(env or {})},
                              cwd=cwd or self.folder, input=stdin, capture_output=True, check=False, timeout=WAIT)
        if code is not None:
            self.assertEqual(done.returncode, code, done)
        self.assertNotIn(b"Sanitizer", done.stderr)
        return done.stdout.decode(), done.stderr.decode()

    def last(self):
        return json.loads(self.cis("runs", "list", "--json"))["runs"][0]["id"]

    def show(self, run=None):
        return json.loads(self.cis("runs", "show", "--json", run or self.last()))

    def tree(self, folder=None):
        """Everything in the folder: kinds, contents, permissions."""
        out = {}
        top = folder or self.folder
        for path, folders, files in os.walk(top):
            for name in folders + files:
                full = os.path.join(path, name)
                state = os.lstat(full)
                if os.path.islink(full):
                    what = os.readlink(full)
                elif os.path.isfile(full):
                    with open(full, "rb") as file:
                        what = file.read()
                else:
                    what = None
                out[os.path.relpath(full, top)] = (oct(state.st_mode), what)
        return out

    def put(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path
