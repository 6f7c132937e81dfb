#!/usr/bin/env python3
"""What the example components in JavaScript and Python do, run as a user runs them. Started by
tools/examples.sh, which builds them; not a part of `make check`. Test names are sentences."""
import json
import os
import subprocess
import tempfile
import unittest

CIS = os.environ["CIS_PROGRAM"]
MADE = os.environ["CIS_EXAMPLES"]
CACHE = os.path.join(MADE, "cache")  # compiled code; data is of each test


class Case(unittest.TestCase):
    def setUp(self):
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.home = home.name
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("CIS_", "XDG_"))}
        self.env.update(XDG_DATA_HOME=home.name, XDG_CONFIG_HOME=home.name, XDG_CACHE_HOME=CACHE,
                        CIS_ENGINE_COMPILE_TIME="600s")  # CPython is 18 MB

    def cis(self, *args, exit_code=0, stdin=""):
        run = subprocess.run([CIS, *args], env=self.env, input=stdin, capture_output=True, text=True, timeout=900,
                             check=False)
        self.assertEqual(run.returncode, exit_code, f"cis {' '.join(args)}\n{run.stdout}\n{run.stderr}")
        return run


class Skills(Case):
    def installed(self, name):
        self.cis("skill", "install", os.path.join(MADE, name), "--yes")
        for visits in (1, 2):
            run = self.cis("skill", "run", name, "--input", '{"name":"Ada ü"}')
            self.assertEqual(json.loads(run.stdout), {"hello": "Ada ü", "visits": visits})
            self.assertIn("met Ada ü", run.stderr)
        run = self.cis("skill", "run", name, "--input", "{}", exit_code=1)
        self.assertIn("name is missing", json.loads(run.stdout)["error"])

    def recorded(self, name):
        tape = os.path.join(self.home, "run.tape")
        module = os.path.join(MADE, name, "visits.wasm")
        run = self.cis("skill", "run", "--wasm", module, "--memory", "256MiB", "--input", '{"name":"Ada"}',
                       "--record", tape)
        self.assertEqual(self.cis("replay", tape).stdout, run.stdout)

    def test_javascript_counts_its_visits(self):
        self.installed("visits-js")

    def test_python_counts_its_visits(self):
        self.installed("visits-python")

    def test_javascript_is_recorded_and_played(self):
        self.recorded("visits-js")

    def test_python_is_recorded_and_played(self):
        self.recorded("visits-python")


class Program:
    """The same for both languages; WASM, FILES and CAUGHT differ."""

    def words(self, *args, **how):
        return self.cis("run", "--memory", "512MiB", *args, **how)

    def test_arguments_environment_clocks_and_stdin(self):
        run = self.words("--env", "A=b", "--env", "C=d e", self.WASM, "env", "clocks", "stdin", stdin="input")
        lines = run.stdout.splitlines()
        self.assertEqual(lines[0], "environment A=b C=d e")
        word, seconds, goes_on = lines[1].split()
        self.assertEqual((word, goes_on.lower()), ("clocks", "true"))
        self.assertGreater(int(seconds), 1_700_000_000)
        self.assertEqual(lines[2], "stdin input")

    def test_files(self):
        folder = os.path.join(self.home, "folder")
        os.mkdir(folder)
        run = self.words("--dir", folder + "::/d", self.WASM, "files")
        self.assertEqual(run.stdout.splitlines(), [f"files /d {self.FILES} {len(self.FILES)} written", self.CAUGHT])
        with open(os.path.join(folder, "made", "renamed"), encoding="utf-8") as handle:
            self.assertEqual(handle.read(), self.FILES)
        # The folder that was made is there already: an error of WASI that nobody catches.
        self.words("--dir", folder + "::/d:cow", self.WASM, "files", exit_code=self.REFUSED)

    def test_files_of_a_workspace_are_committed_or_not(self):
        self.words("--workspace", "/d", self.WASM, "files")
        self.assertEqual(self.cis("fs", "cat", "/made/renamed").stdout, self.FILES)
        self.words("--workspace", "/d", "--tx", "discard", self.WASM, "env")

    def test_an_exception_ends_it_with_its_message(self):
        self.assertIn("on purpose", self.words(self.WASM, "throw", exit_code=self.UNCAUGHT).stderr)

    def test_its_exit_code_is_its_own(self):
        self.words(self.WASM, "exit7", exit_code=self.EXIT)

    def test_it_is_recorded_and_played(self):
        tape = os.path.join(self.home, "run.tape")
        run = self.words("--record", tape, "--workspace", "/d", self.WASM, "env", "clocks", "files")
        self.assertEqual(self.cis("replay", tape).stdout, run.stdout)


class JavaScript(Program, Case):
    WASM = os.path.join(MADE, "program-js.wasm")
    FILES = "by JavaScript"
    CAUGHT = "caught no-entry"
    UNCAUGHT = 134  # the engine in it ends with a trap
    REFUSED = 1  # the err of run
    EXIT = 7

    def test_the_err_of_run_is_exit_code_1(self):
        self.words(self.WASM, "fail", exit_code=1)


class Python(Program, Case):
    WASM = os.path.join(MADE, "program-python.wasm")
    FILES = "by Python"
    CAUGHT = "caught No such file or directory"
    UNCAUGHT = REFUSED = 134
    EXIT = 1  # its runtime knows success and failure alone


if __name__ == "__main__":
    unittest.main(verbosity=2)
