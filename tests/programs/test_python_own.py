#!/usr/bin/env python3
"""CPython from Debian's source runs its own tests: what passes natively passes in a module."""
import os
import re

import place

MODULES = """test_os test_pathlib test_tempfile test_shutil test_posixpath test_genericpath test_glob test_fnmatch
test_io test_fileio test_file test_largefile test_filecmp test_fileinput test_bufio test_memoryio test_stat
test_zipfile test_tarfile test_dbm_dumb test_mailbox test_csv test_linecache test_netrc test_configparser
test_json test_time test_datetime test_random test_hashlib test_struct test_locale test_unicode_file
test_unicode_file_functions test_univnewlines test_userdict""".split()


class Own(place.Case):
    """Its own tests. What fails in a module and not natively is WASI's C library; each has its reason."""

    EXPECTED = set()

    def results(self, module, ended):
        """(those that passed, those that failed) of one module."""
        text = (ended.out + ended.err).decode(errors="replace")
        self.assertRegex(text, r"Tests? result: (SUCCESS|FAILURE)", f"{module} did not come to its end: {ended}")
        passed = re.findall(r"\((test\.[\w.]+)\)(?:\n.*)? \.\.\. ok$", text, re.M)
        failed = re.findall(r"^(?:FAIL|ERROR): \w+ \((test\.[\w.]+)\)", text, re.M)
        return set(passed) - set(failed), set(failed)

    def test_its_own_tests_pass_as_natively(self):
        python = self.program("cpython311")
        native = set()
        for at in self.places("host", "sqlite"):
            os.mkdir(at.path("tmp"))
            at.begin()
            passed, failed = set(), set()
            for module in MODULES:
                env = [("TMPDIR", "/tmp")]
                if at.kind == "native":
                    env = [("TMPDIR", at.path("tmp")), ("PYTHONHOME", python.mounts[0][0])]
                good, bad = self.results(module, at.run(python, "-m", "test", "-v", module, env=env))
                passed |= good
                failed |= bad
            print(f"{at.kind}: {len(passed)} passed, {len(failed)} failed", flush=True)
            self.assertGreater(len(passed), 1500)
            if at.kind == "native":
                native = passed
                continue
            with self.subTest(place=at.kind):
                self.assertEqual(failed & native, self.EXPECTED)


if __name__ == "__main__":
    place.main()
