#!/usr/bin/env python3
"""`cis shell` on a terminal: lines, each a run of its own. Test names are sentences."""
import glob
import json
import os
import pty
import re
import select
import signal
import time
import unittest

import place

WAIT = 300


class Terminal:
    def __init__(self, argv, folder, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(argv[0], argv, {**env, "TERM": "xterm"})
        self.all = b""

    def until(self, text, since=None):
        """Reads until the text has come after what was read before."""
        at = len(self.all) if since is None else since
        end = time.monotonic() + WAIT
        while text not in self.all[at:]:
            if time.monotonic() > end:
                raise AssertionError((text, self.all[-2000:]))
            if select.select([self.fd], [], [], 1)[0]:
                try:
                    data = os.read(self.fd, 4096)
                except OSError:
                    raise AssertionError((text, self.all[-2000:])) from None
                self.all += data
        return self.all[at:].decode()

    def line(self, text, prompt=b"$ "):
        at = len(self.all)
        os.write(self.fd, text + b"\n")
        self.until(b"\r\n", at)
        return self.until(prompt, at + len(text))

    def end(self):
        stopped = time.monotonic() + WAIT
        while select.select([self.fd], [], [], max(0, stopped - time.monotonic()))[0]:
            try:
                if not os.read(self.fd, 4096):
                    break
            except OSError:
                break
        os.close(self.fd)  # a session that still reads ends by that
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Session(place.Case):
    def open(self, *options):
        self.shell("true")  # compiled now
        terminal = Terminal([place.CIS, "shell", *options], self.folder, self.env)
        terminal.until(b"$ ")
        return terminal

    def test_variables_functions_the_folder_and_the_exit_code_last_from_line_to_line(self):
        self.put("sub/f", b"x\n")
        t = self.open()
        t.line(b"x=5; f() { echo called $1; }; cd sub")
        self.assertIn("/sub$ ", t.all.decode())
        self.assertIn("called 5", t.line(b"f $x; echo tmp > /tmp/t; false"))
        out = t.line(b"echo code $?; cat f /tmp/t")
        self.assertIn("code 1", out)
        self.assertIn("tmp", out)
        os.write(t.fd, b"exit 3\n")
        self.assertEqual(t.end(), 3)

    def test_each_line_is_a_run_that_can_be_taken_back_by_itself(self):
        self.put("a", b"1\n")
        before = self.tree()
        t = self.open()
        for line in (b"echo 2 > a", b"echo 3 > b"):
            t.line(line)
        t.line(b"rm a")
        os.write(t.fd, b"exit\n")
        t.end()
        self.assertEqual(self.tree(), before)
        runs = [r["id"] for r in json.loads(self.cis("runs", "list", "--json").stdout)["runs"]]
        branch = json.loads(self.cis("runs", "show", "--json", runs[0]).stdout)["mounts"][0]["branch"]
        self.assertTrue(branch.startswith("shell-"), branch)
        self.cis("runs", "undo", runs[0])
        self.assertEqual(self.shell("cat a b", options=["--dir", f".:cow={branch}"]), "2\n3\n")

    def test_tmp_of_the_folder_is_the_folders_own(self):
        self.put("tmp/mine", b"mine\n")
        t = self.open()
        self.assertIn("\nmine", t.line(b"cat tmp/mine"))
        t.line(b"x=7; cd tmp")
        t.line(b"echo precious > result; mv mine moved")
        self.assertIn("var 7", t.line(b"ls -a / > ../all; cd /; echo var $x"))
        os.write(t.fd, b"exit\n")
        t.end()
        branch = re.search(r"shell-\w+", t.all.decode())[0]
        kept = self.shell("ls -a tmp; cat tmp/*; cat all", options=["--dir", f".:cow={branch}"])
        self.assertEqual(kept.split(), ["moved", "result", "mine", "precious", "tmp"])

    def test_tmp_of_a_session_lasts_and_is_in_no_branch(self):
        t = self.open()
        t.line(b"mkdir /tmp/d; echo one > /tmp/d/f; echo two > here; mv here /tmp/there; cp /tmp/d/f kept")
        self.assertIn("d there", t.line(b"cd /tmp; echo $(ls)").replace("\r\n", " "))
        self.assertIn("two", t.line(b"mv there /back; cat /back"))
        self.assertIn("gone", t.line(b"rm -r /tmp/d; ls d || echo go''ne"))
        os.write(t.fd, b"exit\n")
        t.end()
        branch = re.search(r"shell-\w+", t.all.decode())[0]
        kept = self.shell("ls -a; ls /tmp", options=["--dir", f".:cow={branch}"])
        self.assertEqual(kept.split(), ["back", "kept"])

    def test_tmp_of_a_session_has_a_limit(self):
        t = self.open()
        t.line(b"cd /tmp; head -c 1000000 /dev/zero > a; cat a a a a a a a a > b")
        out = t.line(b"for i in $(seq 90); do cp b b$i; done; sleep 20")
        self.assertIn("the line was ended: the session's /tmp takes", out.replace("\r\n", " "))
        self.assertIn("of 256 MiB", t.line(b"echo over"))
        self.assertIn("good", t.line(b"rm *; echo go''od"))
        self.assertNotIn("of 256 MiB", t.line(b"echo over"))
        os.write(t.fd, b"exit\n")
        self.assertEqual(t.end(), 0)

    def test_a_command_goes_on_over_several_lines(self):
        t = self.open()
        t.line(b"for i in 1 2", b"> ")
        t.line(b"do echo n$i", b"> ")
        self.assertIn("n2", t.line(b"done"))
        os.write(t.fd, b"exit\n")
        t.end()

    def test_ctrl_c_ends_the_line_and_not_the_session(self):
        t = self.open()
        at = len(t.all)
        os.write(t.fd, b"echo begun; while :; do :; done\n")
        t.until(b"begun\r\n", at + 30)
        os.write(t.fd, b"\x03")
        t.until(b"$ ", len(t.all))
        self.assertIn("still here", t.line(b"echo still here"))
        os.write(t.fd, b"exit\n")
        self.assertEqual(t.end(), 0)

    def test_a_line_that_is_stopped_goes_on(self):
        """There is no job control."""
        t = self.open()
        at = len(t.all)
        os.write(t.fd, b"echo begun; sleep 2; echo over\n")
        t.until(b"begun\r\n", at + 30)
        os.write(t.fd, b"\x1a")
        t.until(b"over\r\n", len(t.all))
        os.write(t.fd, b"exit 4\n")
        self.assertEqual(t.end(), 4)

    def test_a_signal_ends_the_session_and_its_line(self):
        for line in (b"", b"echo begun; while :; do :; done\n"):
            t = self.open()
            mark = f"mark-{os.getpid()}-{len(line)}"
            t.line(f"echo x > /tmp/{mark}".encode())
            folders = [os.path.dirname(n) for n in glob.glob(f"/tmp/cis-shell-*/tmp/{mark}")]
            self.assertEqual(len(folders), 1)
            at = len(t.all)
            os.write(t.fd, line)
            if line:
                t.until(b"begun\r\n", at + 30)
            os.kill(t.pid, signal.SIGTERM)
            t.end()
            self.assertFalse(os.path.exists(os.path.dirname(folders[0])))

    def test_what_a_session_cannot_keep_is_refused(self):
        t = Terminal([place.CIS, "shell", "--read-only"], self.folder, self.env)
        t.until(b"use it with -c")
        self.assertNotEqual(t.end(), 0)

    def test_a_workspace_is_named_by_its_branch(self):
        t = self.open("--workspace", "/w=main")
        self.assertIn("main", t.all.decode())
        t.line(b"echo x > f")
        os.write(t.fd, b"exit\n")
        t.end()
        self.assertEqual(self.shell("cat f", options=["-w"]), "x\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
