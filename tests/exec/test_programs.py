#!/usr/bin/env python3
"""What programs do on a folder and on a branch, what is kept of it, and how they end. Test names are
sentences."""
import json
import os
import pty
import resource
import select
import shutil
import signal
import subprocess
import time
import unittest

import exec_case
from exec_case import CIS, WAIT


def alive(token):
    """Processes with this word in their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if token.encode() in file.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def mine(word):
    """Others may try the same at this moment."""
    return f"{word}-{os.getpid()}"


class Folder(exec_case.Case):
    def test_a_folder_is_untouched_until_the_run_is_applied_and_as_before_once_that_is_undone(self):
        self.put("a.txt", "one\n")
        self.put("sub/b.txt", "two\n")
        before = self.tree()
        self.run_in("sh", "-c", "pwd; echo new > c.txt; rm sub/b.txt; chmod 600 a.txt; mv a.txt sub/a; ln sub/a hard; "
                    "ln -s sub/a soft; mkdir -m 700 made; mkfifo made/fifo 2>/dev/null; rm -f made/fifo")
        self.assertEqual(self.tree(), before)
        run = self.last()
        diff = self.cis("runs", "diff", run)
        for line in ("A c.txt  4", "D sub/b.txt", "A soft -> sub/a", "A made/"):
            self.assertIn(line, diff)
        report = self.show(run)
        self.assertEqual((report["skill"], report["native"], report["boundary"], report["network"]),
                         ("exec:sh", True, "kernel", False))
        self.assertEqual(report["command"][:2], ["sh", "-c"])
        self.cis("runs", "apply", run)
        after = self.tree()
        self.assertEqual(after["c.txt"][1], b"new\n")
        self.assertEqual(after["sub/a"], ("0o100600", b"one\n"))
        self.assertEqual(os.stat(os.path.join(self.folder, "hard")).st_ino,
                         os.stat(os.path.join(self.folder, "sub/a")).st_ino)
        self.assertNotIn("sub/b.txt", after)
        self.cis("runs", "undo", run)
        self.assertEqual(self.tree(), before)

    def told(self, *args, code=0):
        done = subprocess.run([CIS, *args], env=self.env, capture_output=True, check=False, timeout=WAIT)
        self.assertEqual(done.returncode, code, done)
        return done.stdout.decode(), done.stderr.decode()

    def test_what_stays_where_a_fifo_is_left_out_leads_no_symlink_of_the_run_out(self):
        os.symlink("/etc", os.path.join(self.folder, "s"))
        os.mkdir(os.path.join(self.folder, "d"))
        os.symlink("/etc", os.path.join(self.folder, "d", "out"))
        for script, kept in (("rm s; mkfifo s; ln -s s/passwd x", "s: a symlink that stays"),
                             ("rm -r d; mkfifo d; ln -s d/out/passwd x", "d: a folder that stays")):
            self.run_in("sh", "-c", script)
            said = self.told("runs", "apply", "last", code=8)[1]
            self.assertIn(kept, said)
            self.assertIn("--outward-links", said)
            self.assertFalse(os.path.lexists(os.path.join(self.folder, "x")))
        self.told("runs", "apply", "--outward-links", "last")
        self.assertEqual(os.readlink(os.path.join(self.folder, "x")), "d/out/passwd")

    def test_what_is_named_below_etc_is_shown_though_not_every_user_may_read_it(self):
        if os.geteuid() != 0 or not os.path.exists("/etc/shadow"):
            self.skipTest("for root, who may read /etc/shadow")
        for options, code in (([], 1), (["--ro", "/etc/shadow"], 0)):
            self.run_in("head", "-c", "1", "/etc/shadow", options=options, code=code)

    def test_fifos_and_sockets_are_told_and_left_out_and_the_rest_is_applied(self):
        """Programs leave them behind; a folder gets neither, and loses nothing of its own for them."""
        self.put("a", "stays\n")
        self.put("sub/old", "old\n")
        before = self.tree()
        script = ("mkfifo fifo sub/fifo; echo b > b; rm a; mkfifo a; mkdir new; mkfifo new/f; rm sub/old; /usr/bin/python3 -c "
                  "'import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")'")
        _, said = self.run_in("sh", "-c", script)
        self.assertIn("fifos, sockets and devices that it left: 5;", said)
        run = self.last()
        self.assertEqual(self.show(run)["changes"]["files"]["special"], 5)
        diff = self.cis("runs", "diff", run)
        for line in ("A fifo  a fifo: an apply leaves it out", "A sock  a socket: an apply leaves it out", "A b  2"):
            self.assertIn(line, diff.splitlines())
        changes = json.loads(self.cis("runs", "diff", "--json", run))["changes"]
        self.assertEqual(sorted(c["path"] for c in changes if c.get("left_out")), ["a", "fifo", "new/f", "sock", "sub/fifo"])
        done = "A b  2\nA new/\nD sub/old  4\n"
        left = ["left out: a: a fifo", "left out: fifo: a fifo", "left out: new/f: a fifo", "left out: sock: a socket",
                "left out: sub/fifo: a fifo"]
        for options in (["--dry-run"], []):
            out, said = self.told("runs", "apply", *options, run)
            self.assertEqual((out, sorted(said.splitlines())), (done, left))
            if options:
                self.assertEqual(self.tree(), before)
        self.assertEqual(sorted(self.tree()), ["a", "b", "new", "sub"])
        self.assertEqual(self.tree()["a"][1], b"stays\n")
        self.assertEqual(self.told("runs", "apply", run)[0], "nothing to do\n")
        self.assertIn("3 changes taken back", self.told("runs", "undo", run)[0])
        self.assertEqual(self.tree(), before)
        self.told("runs", "redo", run)
        self.assertEqual(sorted(self.tree()), ["a", "b", "new", "sub"])
        self.told("runs", "undo", run)
        self.put("sub/old", "changed since\n")
        self.told("runs", "apply", run, code=8) # what else is checked is checked

    def test_a_run_that_left_only_a_fifo_has_nothing_to_apply(self):
        self.run_in("mkfifo", "fifo")
        self.assertEqual(self.told("runs", "apply", self.last()), ("nothing to do\n", "left out: fifo: a fifo\n"))
        self.assertEqual(self.tree(), {})

    def test_an_undo_counts_what_the_diff_shows(self):
        """Folders further down than a path is long come and go in one step, and permissions in a step of their own."""
        self.put("old/f", "x\n")
        self.put("g", "x\n")
        script = ("import os\nos.mkdir('shut'); open('shut/f', 'w').close(); os.chmod('shut', 0o500)\nos.chmod('old', 0o555)\n"
                  "open('g', 'a').write('y')\n"
                  "for i in range(40):\n  os.mkdir('d' * 200); os.chdir('d' * 200)\nopen('deep', 'w').close()\n")
        self.run_in("/usr/bin/python3", "-c", script)
        run = self.last()
        changes = self.cis("runs", "diff", run).count("\n")
        self.assertEqual(changes, 45)
        self.cis("runs", "apply", run)
        out, _ = self.told("runs", "undo", "--json", run)
        self.assertEqual(sorted(self.tree()), ["g", "old", "old/f"])
        self.told("runs", "redo", run)
        self.assertIn(f": {changes} changes taken back", self.told("runs", "undo", run)[0])
        self.assertEqual(sorted(self.tree()), ["g", "old", "old/f"])

    def test_a_branch_takes_one_commit_or_none(self):
        self.cis("fs", "put", "-", "/a", stdin=b"1")
        out, _ = self.run_in("sh", "-c", "pwd; cat a; echo 2 > a; echo 3 > b", options=["--workspace", "/here=main"])
        self.assertEqual(out, "/here\n1")
        run = self.last()
        self.assertEqual((self.cis("fs", "cat", "/a"), self.cis("fs", "cat", "/b")), ("2\n", "3\n"))
        self.cis("runs", "undo", run)
        self.assertEqual(self.cis("fs", "cat", "/a"), "1")
        self.cis("fs", "cat", "/b", code=3)
        commits = self.cis("fs", "log")
        self.run_in("sh", "-c", "cat a > /dev/null", options=["--workspace", "/here=main"])
        self.assertEqual(self.cis("fs", "log"), commits)
        self.assertFalse(self.show()["changes"]["committed"])

    def test_exit_codes_are_the_programs(self):
        for script, code in (("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)):
            self.run_in("sh", "-c", script, code=code)
            self.assertEqual(self.show()["exit_code"], code)
        _, told = self.run_in("no-such-program", code=126)
        self.assertIn("No such file", told)
        self.assertIn("cannot be started", told)

    def test_tx_says_when_what_changed_is_kept(self):
        for options, script, kept in (((), "echo x > f; exit 1", True),
                                      (("--tx", "commit-on-success"), "echo x > f; exit 1", False),
                                      (("--tx", "commit-on-success"), "echo x > f", True),
                                      (("--tx", "discard"), "echo x > f", False)):
            code = 1 if "exit 1" in script else 0
            _, told = self.run_in("sh", "-c", script, options=options, code=code)
            report = self.show()
            self.assertEqual(report["changes"]["committed"], kept, (options, script))
            self.assertEqual("were discarded" in told, not kept and "discard" not in options)
            self.assertEqual(report["changes"]["files"]["added"], 1)

    def test_a_program_begins_in_the_folder_it_was_called_in(self):
        os.makedirs(os.path.join(self.folder, "a/b"))
        out, _ = self.run_in("pwd", options=["--dir", "../..:cow"], cwd=os.path.join(self.folder, "a/b"))
        self.assertEqual(out.strip(), os.path.join(self.folder, "a/b"))
        out, _ = self.run_in("pwd", options=["--dir", f"{self.folder}::/project:cow"],
                             cwd=os.path.join(self.folder, "a"))
        self.assertEqual(out.strip(), "/project/a")
        out, _ = self.run_in("pwd", options=["--dir", f"{self.folder}:cow"], cwd="/")
        self.assertEqual(out.strip(), self.folder)

    def test_what_mappings_wrote_and_what_files_hold_open_arrives(self):
        script = ("import mmap, os\n"
                  "f = open('m', 'w+b'); f.truncate(1 << 20)\n"
                  "m = mmap.mmap(f.fileno(), 0); m[70000:70005] = b'there'\n"
                  "g = open('g', 'w'); g.write('unflushed' * 10); g.flush()\n"
                  "h = open('sparse', 'wb'); h.seek(1 << 30); h.write(b'end')\n"
                  "h.flush(); os._exit(0)\n")
        self.run_in("python3", "-c", script)
        run = self.last()
        self.cis("runs", "apply", run)
        with open(os.path.join(self.folder, "m"), "rb") as file:
            self.assertEqual(file.read()[69999:70006], b"\0there\0")
        with open(os.path.join(self.folder, "g"), encoding="ascii") as file:
            self.assertEqual(file.read(), "unflushed" * 10)
        state = os.stat(os.path.join(self.folder, "sparse"))
        self.assertEqual(state.st_size, (1 << 30) + 3)
        self.assertLess(state.st_blocks, 4096)

    def test_two_that_change_one_file_of_a_branch_conflict_and_nothing_is_lost(self):
        self.cis("fs", "put", "-", "/f", stdin=b"0")
        slow = subprocess.Popen([CIS, "exec", "--workspace", "/w=main", "--", "sh", "-c", "echo slow > f; echo go; read x"],
                                env=self.env, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)
        self.assertEqual(slow.stdout.readline(), b"go\n")
        self.run_in("sh", "-c", "echo quick > f", options=["--workspace", "/w=main"])
        _, told = slow.communicate(b"\n", timeout=WAIT)
        self.assertEqual(slow.returncode, 125, told)
        self.assertEqual(self.cis("fs", "cat", "/f"), "quick\n")
        branch = told.decode().split("kept as branch ")[1].split(";")[0]
        self.assertEqual(self.cis("fs", "cat", "--branch", branch, "/f"), "slow\n")
        self.assertFalse(self.show(branch.split("/")[1])["changes"]["committed"])

    def test_a_file_has_the_number_that_it_has_outside(self):
        """By which git, for one, knows that it need not read it again."""
        self.put("sub/f", "x")
        numbers = "".join(f"{os.stat(os.path.join(self.folder, n)).st_ino}\n" for n in (".", "sub", "sub/f"))
        out, _ = self.run_in("sh", "-c", "stat -c %i . sub sub/f; ls -i sub; touch new; stat -c %i new")
        self.assertEqual(out.split("\n")[:3], numbers.split("\n")[:3])
        self.assertEqual(out.split()[3], numbers.split()[2])
        self.assertNotIn(out.split()[5], numbers.split())

    def test_new_files_have_numbers_that_a_double_can_tell_apart(self):
        """JavaScript has numbers as doubles, and takes files of one number for one."""
        out, _ = self.run_in("sh", "-c", "touch new1 new2; stat -c %i new1 new2")
        numbers = [int(line) for line in out.split()]
        self.assertEqual([int(float(n)) for n in numbers], numbers)
        self.assertEqual(len(set(numbers)), 2)

    def test_real_programs_work(self):
        git = "git -c user.name=a -c user.email=a@example.com -c init.defaultBranch=main"
        self.run_in("sh", "-ec", f"{git} init -q r; cd r; seq 1000 > n; {git} add n; {git} commit -qm one; cd ..; "
                    f"{git} clone -q r c; cd c; test \"$({git} status --porcelain)\" = ''; "
                    f"{git} log --oneline | grep -q one; {git} gc -q")
        script = ("import sqlite3\n"
                  "c = sqlite3.connect('a.db'); c.execute('pragma journal_mode=wal'); c.execute('create table t(a)')\n"
                  "c.executemany('insert into t values(?)', [(i,) for i in range(1000)]); c.commit()\n"
                  "print(c.execute('select sum(a) from t').fetchone()[0])\n")
        self.assertEqual(self.run_in("python3", "-c", script)[0], "499500\n")
        make = "all: b\nb: a\n\tcp a b\n\techo done >> b\na:\n\techo made > a\n"
        self.put("Makefile", make)
        self.run_in("make", "-j2")
        self.cis("runs", "apply", self.last())
        self.assertEqual(self.tree()["b"][1], b"made\ndone\n")
        self.assertEqual(list(self.tree()), [n for n in self.tree() if n in ("Makefile", "a", "b")])


class Ends(exec_case.Case):
    """Nothing is left when it ends, however it ends, and what was changed is kept."""

    def gone(self, token):
        end = time.monotonic() + WAIT
        while alive(token) and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(alive(token), [])
        with open("/proc/mounts", encoding="utf-8") as file:
            self.assertNotIn(self.folder, file.read())

    def started(self, token, *options, script):
        child = subprocess.Popen([CIS, "exec", *options, "--", "sh", "-c", f"echo kept > f; echo go; {script} # {token}"],
                                 env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, start_new_session=True)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.stderr.close)
        self.assertEqual(child.stdout.readline(), b"go\n")
        return child

    def test_a_time_limit_ends_everything_and_keeps_what_was_changed(self):
        begun = time.monotonic()
        child = self.started(mine("t-limit"), "--time", "2s", script="sleep 1000 & sleep 1000 & setsid sleep 1000")
        self.assertEqual(child.wait(WAIT), 124)
        self.assertGreaterEqual(time.monotonic() - begun, 2)
        self.assertIn(b"time limit of 2000 ms", child.stderr.read())
        self.gone(mine("t-limit"))
        report = self.show()
        self.assertEqual((report["status"], report["changes"]["committed"]), ("limit", True))
        self.assertEqual(self.cis("runs", "diff", report["id"]), "A f  5\n")

    def test_a_signal_ends_everything_and_keeps_what_was_changed(self):
        for sig in (signal.SIGINT, signal.SIGTERM):
            child = self.started(mine("t-signal"), script="trap '' INT TERM; sleep 1000")
            child.send_signal(sig)
            self.assertEqual(child.wait(WAIT), 130)
            self.gone(mine("t-signal"))
            report = self.show()
            self.assertEqual((report["status"], report["changes"]["committed"]), ("cancelled", True))

    def test_a_kill_ends_everything_and_keeps_nothing(self):
        child = self.started(mine("t-kill"), script="trap '' INT TERM HUP; setsid sleep 1000")
        child.kill()
        child.wait(WAIT)
        self.gone(mine("t-kill"))
        self.assertEqual(json.loads(self.cis("runs", "list", "--json"))["runs"], [])
        self.assertEqual(self.tree(), {})
        self.run_in("true")
        self.cis("fs", "fsck")

    def test_a_kill_of_the_sandbox_is_told_and_keeps_what_was_changed(self):
        child = self.started(mine("t-bwrap"), script="sleep 1000")
        with open(f"/proc/{child.pid}/task/{child.pid}/children", encoding="ascii") as file:
            for pid in file.read().split():
                os.kill(int(pid), signal.SIGKILL)
        self.assertEqual(child.wait(WAIT), 130)
        self.assertIn(b"the sandbox was ended by signal 9", child.stderr.read())
        self.gone(mine("t-bwrap"))
        self.assertTrue(self.show()["changes"]["committed"])

    def below(self, pid):
        """Processes that it started, and those that they did."""
        found, left = [], [pid]
        while left:
            try:
                with open(f"/proc/{left.pop()}/task/{pid}/children", encoding="ascii") as file:
                    own = [int(p) for p in file.read().split()]
            except OSError:
                own = []
            found += own
            left += own
            pid = left[-1] if left else 0
        return found

    def test_a_kill_of_any_process_ends_it_or_is_the_programs_own_affair(self):
        """bubblewrap outside, bubblewrap inside, the shell, its child: nothing hangs, and nothing stays."""
        seen = set()
        for i in range(4):
            token = mine(f"t-any{i}")
            child = self.started(token, "--time", "60s", script="sleep 1000 & wait $!; exit 9")
            end = time.monotonic() + WAIT
            while len(self.below(child.pid)) < 4 and time.monotonic() < end:
                time.sleep(0.02)
            below = self.below(child.pid)
            self.assertEqual(len(below), 4, below)
            os.kill(below[i], signal.SIGKILL)
            seen.add(child.wait(WAIT))
            self.gone(token)
            self.assertTrue(self.show()["changes"]["committed"])
        self.assertLessEqual(seen, {9, 130, 137})
        self.assertIn(9, seen)
        self.assertIn(130, seen)
        self.cis("fs", "fsck")

    def test_children_in_the_background_end_with_the_program(self):
        self.run_in("sh", "-c", f"(while :; do echo x >> log; sleep 0.01; done) & setsid sh -c 'sleep 1000 # {mine('t-back')}' & "
                    "sleep 0.2; exit 3", code=3)
        self.gone(mine("t-back"))

    def test_memory_and_processes_have_limits_for_all_of_them_together(self):
        hog = "import os, time\nx = []\nwhile True:\n  x.append(b'x' * (4 << 20)); time.sleep(0.01)\n"
        _, told = self.run_in("python3", "-c", hog, options=["--memory", "128MiB"], code=1)
        self.assertIn("MemoryError", told)
        many = ("import os, time\nfor i in range(8):\n  if os.fork() == 0:\n"
                "    x = bytearray(b'x') * (40 << 20); time.sleep(1000)\ntime.sleep(1000)\n")
        _, told = self.run_in("python3", "-c", many, options=["--memory", "128MiB"], code=125)
        self.assertIn("memory limit reached", told)
        self.assertEqual(self.show()["status"], "limit")
        threads = ("import threading, time\nfor i in range(200):\n  try: threading.Thread(target=time.sleep, args=(60,), "
                   "daemon=True).start()\n  except RuntimeError: break\nprint(i)\ntime.sleep(5)\n")
        out, _ = self.run_in("python3", "-c", threads, options=["--processes", "20", "--time", "20s"], code=None)
        self.assertLess(int(out or "0"), 100)
        token = mine("t-bomb")
        bomb = "f() { f | f & }; f; sleep 1000 # " + token
        child = subprocess.Popen([CIS, "exec", "--processes", "100", "--time", "3s", "--", "bash", "-c", bomb],
                                 env=self.env, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        most = 0
        while child.poll() is None:
            most = max(most, len(alive(token)))
            time.sleep(0.05)
        self.assertIn(child.returncode, (124, 125))
        self.assertLessEqual(most, 110)
        self.gone(token)
        self.run_in("true")


class Files(exec_case.Case):
    def test_as_many_files_may_be_open_as_outside(self):
        """Each of them is open in the program that serves them, too."""
        for i in range(900):
            self.put(f"f{i}", "x")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        script = ("import resource\nfiles = [open(f'f{i}') for i in range(900)]\n"
                  "print(len(files), resource.getrlimit(resource.RLIMIT_NOFILE)[0])")
        self.assertEqual(self.run_in("python3", "-c", script)[0], "900 1024\n")


class Terminal(exec_case.Case):
    def test_an_interactive_program_gets_a_terminal_of_its_own(self):
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execve(CIS, [CIS, "exec", "--env", "PS1=ready> ", "--", "bash", "--norc"], {**self.env, "TERM": "xterm"})
        said = b""

        def until(text):
            nonlocal said
            end = time.monotonic() + WAIT
            while text not in said:
                self.assertLess(time.monotonic(), end, said)
                if select.select([fd], [], [], 1)[0]:
                    said += os.read(fd, 4096)

        until(b"ready> ")
        os.write(fd, b"test -t 0 && test -t 2 && tty && echo is-a-$((40+2))\n")
        until(b"is-a-42")
        self.assertIn(b"\n/dev/", said.replace(b"\r", b"\n"))
        os.write(fd, b"sleep 1000\n")
        time.sleep(0.5)
        os.write(fd, b"\x03")
        os.write(fd, b"echo still-$((1+1)); echo made > f\n")
        until(b"still-2")
        os.write(fd, b"exit 5\n")
        try:
            while True:
                said += os.read(fd, 4096)
        except OSError:
            pass
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 5)
        os.close(fd)
        self.assertIn(b"cis runs apply", said)
        self.assertEqual(self.cis("runs", "diff", self.last()), "A f  5\n")


class Refused(exec_case.Case):
    def test_what_cannot_be_undone_or_cannot_be_there_is_refused(self):
        store = self.env["CIS_HOME"]
        os.makedirs(os.path.join(store, "data"), exist_ok=True)
        with open(os.path.join(store, "data", "key"), "w", encoding="ascii") as file:
            file.write("secret")
        for options, code, text in ((["--dir", "."], 2, "only .:cow"), (["--dir", ".:rw"], 2, "only .:cow"),
                                    (["--dir", "/:cow"], 2, "libraries stand there"),
                                    (["--dir", ".::/proc/x:cow"], 2, "libraries stand there"),
                                    (["--dir", "no-such:cow"], 126, "no-such"),
                                    (["--dir", ".:cow", "-w"], 2, "one --dir or one --workspace"),
                                    (["--dir", f"{store}:cow"], 125, "store"),
                                    (["--ro", store], 125, "store and its keys"),
                                    (["--ro", os.path.dirname(store)], 125, "store and its keys"),
                                    (["--ro", os.path.join(store, "data", "key")], 125, "store and its keys"),
                                    (["--ro", "/no/such"], 126, "--ro /no/such"), (["--ro", "/dev/null"], 2, "neither"),
                                    (["--tx", "sometimes"], 2, "--tx sometimes"), (["--time", "0"], 2, "must not be 0"),
                                    (["--memory", "0"], 2, "must not be 0"), (["--processes", "0"], 2, "must not be 0"),
                                    (["--workspace", "/usr"], 2, "libraries stand there")):
            done = subprocess.run([CIS, "exec", *options, "--", "touch", "x"], env=self.env, cwd=self.folder,
                                  capture_output=True, check=False, timeout=WAIT)
            self.assertEqual(done.returncode, code, options)
            self.assertIn(text.encode(), done.stderr, options)
            self.assertEqual(self.tree(), {})
        self.assertEqual(json.loads(self.cis("runs", "list", "--json"))["runs"], [])

    def test_without_bubblewrap_nothing_runs_and_the_message_names_it(self):
        tools = os.path.join(self.home, "bin")
        os.mkdir(tools)
        self.assertRegex(self.cis("doctor"), r"ok +exec ")
        self.env["PATH"] = tools
        self.assertRegex(self.cis("doctor"), r"note +exec +not available\n.*bubblewrap")
        _, told = self.run_in("true", env={"PATH": tools}, code=126)
        self.assertIn("bubblewrap", told)
        self.assertEqual(json.loads(self.cis("runs", "list", "--json"))["runs"], [])

    def test_without_user_namespaces_or_fuse_nothing_runs_and_the_message_names_it(self):
        env = {k: v for k, v in self.env.items() if k != "CIS_STORE"} # a server knows its users
        for options, script, named in (("-Ur", "echo 0 > /proc/sys/user/max_user_namespaces", "user namespaces"),
                                       ("-Urm", "mount -t tmpfs none /dev", "/dev/fuse")):
            done = subprocess.run(["unshare", options, "sh", "-ec", f'{script}; exec "$0" exec -- touch x', CIS], env=env,
                                  cwd=self.folder, capture_output=True, check=False, timeout=WAIT)
            self.assertEqual(done.returncode, 126, done)
            self.assertIn(named, done.stderr.decode())
        self.assertEqual(self.tree(), {})
        self.assertEqual(json.loads(self.cis("runs", "list", "--json"))["runs"], [])

    def test_a_file_that_may_be_read_is_shown_and_not_written(self):
        other = os.path.join(self.home, "other")
        os.mkdir(other)
        path = os.path.join(other, "file")
        with open(path, "w", encoding="ascii") as file:
            file.write("shown\n")
        self.run_in("cat", path, code=1)
        self.assertEqual(self.run_in("cat", path, options=["--ro", path])[0], "shown\n")
        self.assertEqual(self.run_in("cat", path, options=["--ro", other])[0], "shown\n")
        self.run_in("sh", "-c", f"echo x > {path}", options=["--ro", other], code=2)
        shutil.rmtree(other)


if __name__ == "__main__":
    exec_case.not_tested("exec_programs")
    unittest.main(verbosity=2)
