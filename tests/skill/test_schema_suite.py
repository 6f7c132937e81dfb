#!/usr/bin/env python3
"""Cases that implementations of JSON Schema share, on the subset that tools of skills may use: what cis takes, it
judges alike; what it takes is named here. The cases come with a Go module, of one version. Skipped where that
cannot be had."""
import glob
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["CIS_SOURCE_DIR"], "tests", "programs"))
import fetch  # noqa: E402

MODULE = ("github.com/google/jsonschema-go@v0.4.2", "h1:tmrUohrwoLZZS/P3x7ex0WAVknEkBZM46iALbcqoRA8=")
# Schemas of each file that are within the subset; the others are refused by the name of a keyword.
TAKEN = {"additionalProperties": 1, "const": 15, "default": 3, "enum": 14, "exclusiveMaximum": 1, "exclusiveMinimum": 1,
         "items": 3, "maxItems": 1, "maxLength": 1, "maxProperties": 2, "maximum": 2, "minItems": 1, "minLength": 1,
         "minProperties": 1, "minimum": 2, "properties": 4, "ref": 1, "required": 5, "type": 11, "uniqueItems": 2}
VALUES = 325  # that were judged, at least


class Suite(unittest.TestCase):
    def test_what_is_taken_is_judged_as_others_judge_it(self):
        try:
            folder = fetch.go(*MODULE)
        except (fetch.Missing, OSError) as why:
            fetch.not_tested("skill_schema_suite", why)
            self.skipTest(f"MISSING: {why}")
        files = sorted(glob.glob(os.path.join(folder, "jsonschema", "testdata", "draft2020-12", "*.json")))
        done = subprocess.run([os.path.join(os.environ["CIS_BUILD_DIR"], "tests", "schema_cases"), *files],
                              capture_output=True, text=True, check=False)
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        rows = [line.split() for line in done.stdout.splitlines()]
        taken = {name.removesuffix(".json"): int(n) for name, n, _, _ in rows if n != "0"}
        self.assertEqual(taken, TAKEN)
        self.assertGreaterEqual(sum(int(row[3]) for row in rows), VALUES)


if __name__ == "__main__":
    unittest.main()
