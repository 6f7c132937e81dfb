#!/usr/bin/env python3
"""Short scripts that dash and bash answer alike: `cis shell` answers the same. The scripts are in
scripts.txt; docs/shell.md says what differs, and those that show it are in differs.txt."""
import os
import shutil
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

import place


def read(name):
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read().rstrip("\n").split("\n----\n")


class Scripts(place.Case):
    def answer(self, argv, script):
        folder = tempfile.mkdtemp(prefix="cis-shell-script-", dir="/tmp")
        try:
            env = {"PATH": os.environ["PATH"], "HOME": folder, "LC_ALL": "C", "CIS_HOME": self.env["CIS_HOME"]}
            done = subprocess.run([*argv, "-c", script], cwd=folder, env=env, capture_output=True, check=False,
                                  stdin=subprocess.DEVNULL, timeout=600)
            return done.returncode, done.stdout.decode()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def all_of(self, script):
        mine = self.answer([place.CIS, "shell", "--dir", "."], script)
        return script, self.answer(["dash"], script), self.answer(["bash"], script), mine

    def compare(self, scripts):
        self.shell("true")  # compiled now, once
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(self.all_of, scripts))

    def test_scripts_that_dash_and_bash_answer_alike_give_the_same(self):
        scripts = read("scripts.txt")
        self.assertGreaterEqual(len(scripts), 200)
        for script, dash, bash, mine in self.compare(scripts):
            with self.subTest(script=script):
                self.assertEqual(dash, bash)
                self.assertEqual(mine, bash)

    def test_what_is_documented_to_differ_still_does(self):
        for script, dash, bash, mine in self.compare(read("differs.txt")):
            with self.subTest(script=script):
                self.assertEqual(dash, bash)
                self.assertNotEqual(mine, bash)


if __name__ == "__main__":
    unittest.main(verbosity=2)
