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


# What fails in a module, by its reason. The test also fails when one of these passes.
ABSOLUTE_LINKS = """a symlink to an absolute path is not made
test_os.TestScandir.test_attributes test_os.TestScandir.test_broken_symlink
test_os.WalkTests.test_file_like_path test_os.WalkTests.test_walk_bottom_up test_os.WalkTests.test_walk_prune
test_os.WalkTests.test_walk_symlink test_os.WalkTests.test_walk_topdown
test_os.BytesWalkTests.test_file_like_path test_os.BytesWalkTests.test_walk_bottom_up
test_os.BytesWalkTests.test_walk_prune test_os.BytesWalkTests.test_walk_symlink
test_os.BytesWalkTests.test_walk_topdown
test_pathlib.PathTest.test_symlink_to test_pathlib.PosixPathTest.test_symlink_to
test_pathlib.PosixPathTest.test_resolve_loop
test_shutil.TestCopy.test_copy2_symlinks test_shutil.TestCopy.test_copy_symlinks
test_shutil.TestCopy.test_copyfile_symlinks test_shutil.TestCopy.test_copystat_symlinks
test_shutil.TestCopyTree.test_copytree_dangling_symlinks test_shutil.TestCopyTree.test_copytree_symlink_dir
test_shutil.TestMove.test_move_dir_symlink test_shutil.TestMove.test_move_file_symlink
test_shutil.TestMove.test_move_file_symlink_to_dir"""
NO_MODES = """WASI 0.1 has no permissions
test_shutil.TestCopy.test_copymode_follow_symlinks"""
NO_TESTCAPI = """needs the module _testcapi, which is not built
test_fileio.COtherFileTests.testInvalidFd_overflow"""
NOW = """this C library sends a time of 0 where the program asked for the time it is, to every host
test_os.UtimeTests.test_utime_current test_os.UtimeTests.test_utime_current_old
test_pathlib.PathTest.test_touch_common test_pathlib.PosixPathTest.test_touch_common"""


class Own(place.Case):
    """Its own tests: what fails natively (on this machine, as this user) says nothing of a module."""

    EXPECTED = {"test." + name for reason in (ABSOLUTE_LINKS, NO_MODES, NO_TESTCAPI, NOW) for name in
                " ".join(reason.split("\n")[1:]).split()}

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
                if at.kind == "native":  # with the machine's own extensions
                    env = [("TMPDIR", at.path("tmp")), ("PYTHONHOME", python.mounts[0][0] + ":/usr")]
                good, bad = self.results(module, at.run(python, "-m", "test", "-v", module, env=env))
                passed |= good
                failed |= bad
            print(f"{at.kind}: {len(passed)} passed, {len(failed)} failed", flush=True)
            self.assertGreater(len(passed), 3000)
            if at.kind == "native":
                native = failed
                continue
            with self.subTest(place=at.kind):
                self.assertEqual(failed - native, self.EXPECTED - native)


if __name__ == "__main__":
    place.main()
