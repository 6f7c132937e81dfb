#!/usr/bin/env python3
"""What one run may take of the machine: in the store, in folders in memory, in the kernel. Test names are sentences."""
import os
import unittest

import exec_case

MIB = 1 << 20
# Opens pipes, each with as much in it as the kernel takes, until it is refused or ended.
PIPES = r'''
import os, resource, time
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 40000), hard))
kept = []
try:
    while True:
        read, write = os.pipe()
        os.set_blocking(write, False)
        try:
            os.write(write, b"x" * 65536)
        except BlockingIOError:
            pass
        kept.append((read, write))
except OSError:
    pass
print(len(kept), flush=True)
time.sleep(60)
'''
HOLDS = r'''
import os, sys, time
with open("/tmp/x", "wb") as out:
    out.write(b"x" * (24 << 20))
x = bytearray(b"x") * (int(sys.argv[1]) << 20)
time.sleep(2)
'''


class Stored(exec_case.Case):
    def test_what_a_run_stores_has_a_limit_of_which_the_program_and_the_report_are_told(self):
        self.put("f", "before\n")
        script = "head -c 1M /dev/urandom > small; head -c 32M /dev/urandom > large || echo told $?; echo x >> f; cat f"
        out, told = self.run_in("sh", "-c", script, options=["--stored", "8MiB"], code=None)
        self.assertIn("told 1\n", out)
        self.assertIn("No space left", told)
        self.assertIn("at most 8388608 bytes (--stored)", told)
        report = self.show()
        self.assertEqual(report["limit_hit"]["limit"], "stored")
        self.assertEqual((report["limit_hit"]["configured"], report["stored_limit"]), (8 * MIB, 8 * MIB))
        self.assertLessEqual(report["stored"], 8 * MIB)
        self.assertGreater(report["stored"], 7 * MIB)
        self.assertTrue(report["changes"]["committed"]) # what it was told is there is there
        self.cis("runs", "apply", report["id"])
        self.assertEqual(os.path.getsize(os.path.join(self.folder, "small")), MIB)
        self.assertLess(os.path.getsize(os.path.join(self.folder, "large")), 8 * MIB)

    def test_what_fits_is_stored_and_no_limit_is_told(self):
        out, told = self.run_in("sh", "-c", "head -c 7M /dev/urandom > f; echo $?", options=["--stored", "8MiB"])
        self.assertEqual(out, "0\n")
        self.assertNotIn("--stored", told)
        report = self.show()
        self.assertNotIn("limit_hit", report)
        self.assertGreater(report["stored"], 7 * MIB)
        self.run_in("true")
        self.assertEqual(self.show()["stored_limit"], 16 << 30)

    def test_content_counts_as_it_is_packed(self):
        self.run_in("sh", "-ec", "yes | head -c 64M > f", options=["--stored", "8MiB"])
        self.assertNotIn("limit_hit", self.show())

    def test_what_is_written_again_and_again_counts_each_time_that_it_is_stored(self):
        """Until the store collects it, it takes room."""
        script = "for i in 1 2 3 4 5 6 7 8; do head -c 20M /dev/urandom > f 2>/dev/null || exit 7; rm f; done"
        self.run_in("sh", "-c", script, options=["--stored", "24MiB"], code=7)
        self.assertEqual(self.show()["limit_hit"]["limit"], "stored")

    def test_names_of_one_file_count_too(self):
        script = ("import os\nopen('f', 'w').close()\nfor i in range(10000):\n  os.link('f', str(i) + 'n' * 240)\n")
        _, told = self.run_in("/usr/bin/python3", "-c", script, options=["--stored", "1MiB"], code=1)
        self.assertIn("No space left", told)
        self.assertEqual(self.show()["limit_hit"]["limit"], "stored")

    def test_files_without_content_count_too(self):
        script = "import os\nfor i in range(20000):\n  os.close(os.open(f'f{i}', os.O_CREAT | os.O_WRONLY))\n"
        _, told = self.run_in("/usr/bin/python3", "-c", script, options=["--stored", "4MiB"], code=1)
        self.assertIn("No space left", told)
        self.assertEqual(self.show()["limit_hit"]["limit"], "stored")

    def test_the_limit_is_of_a_branch_as_of_a_folder(self):
        out, _ = self.run_in("sh", "-c", "head -c 16M /dev/urandom > f 2>/dev/null; echo $?",
                             options=["--workspace", "/w=main", "--stored", "4MiB"])
        self.assertEqual(out, "1\n")
        self.assertEqual(self.show()["limit_hit"]["limit"], "stored")
        self.cis("fs", "fsck")

    def test_no_room_at_all_is_refused(self):
        _, told = self.run_in("true", options=["--stored", "0"], code=2)
        self.assertIn("must not be 0", told)


class InMemory(exec_case.Case):
    def test_folders_in_memory_have_one_size_for_all_of_them(self):
        script = ("for d in /tmp /var/tmp /run /dev/shm $HOME; do head -c 5M /dev/zero > $d/x 2>/dev/null && echo $d; done; "
                  "true")
        out, _ = self.run_in("sh", "-c", script, options=["--memory", "32MiB"])
        self.assertEqual(out.split(), ["/tmp", "/var/tmp", "/run"])
        report = self.show()
        self.assertEqual(report["scratch_limit"], 16 * MIB)
        self.run_in("true")
        self.assertEqual(self.show()["scratch_limit"], 2 << 30)

    def test_files_in_memory_have_a_number(self):
        script = ("import os\nn = 0\ntry:\n  while True:\n    os.close(os.open(f'/tmp/f{n}', os.O_CREAT)); n += 1\n"
                  "except OSError as e: print(n, e.strerror)\n")
        out, _ = self.run_in("/usr/bin/python3", "-c", script, options=["--memory", "64MiB"])
        number, why = out.strip().split(" ", 1)
        self.assertEqual(why, "No space left on device")
        self.assertLessEqual(int(number), 32 * MIB // 8192)
        self.assertGreater(int(number), 4000)

    def test_what_lies_in_memory_counts_as_memory(self):
        limit = ["--memory", "80MiB"]
        _, told = self.run_in("/usr/bin/python3", "-c", HOLDS, "60", options=limit, code=125)
        self.assertRegex(told, r"memory limit reached.* 2\d{7} of them as files in memory")
        report = self.show()
        self.assertEqual(report["status"], "limit")
        self.assertGreaterEqual(report["scratch_peak"], 24 * MIB)
        self.run_in("/usr/bin/python3", "-c", HOLDS, "20", options=limit)

    def test_pipes_count_as_memory(self):
        if os.stat("/proc/self/fd").st_size == 0:
            self.skipTest("this kernel does not tell how many files a process has open")
        _, told = self.run_in("/usr/bin/python3", "-c", PIPES, options=["--memory", "64MiB", "--time", "30s"], code=125)
        self.assertIn("memory limit reached", told)


if __name__ == "__main__":
    exec_case.not_tested("exec_limits")
    unittest.main(verbosity=2)
