#!/usr/bin/env python3
"""`cis shell`: scripts on folders and workspaces, what they may not, how they end. Test names are sentences."""
import json
import os
import signal
import socket
import subprocess
import time
import unittest

import place


class Ordinary(place.Case):
    def test_a_script_prints_and_ends_with_its_exit_code(self):
        self.assertEqual(self.shell("echo hi"), "hi\n")
        self.assertEqual(self.shell("echo on its way; exit 7", code=7), "on its way\n")
        self.assertEqual(self.shell("false", code=1), "")

    def test_arguments_are_its_parameters(self):
        self.assertEqual(self.shell('echo "$0 $# $1 $2"', "name", "a b", "-c"), "name 2 a b -c\n")

    def test_a_file_and_stdin_are_scripts_too(self):
        self.put("s.sh", b'echo "from $0: $*"; cat')
        out = self.cis("shell", "s.sh", "x", "y", stdin=b"input\n").stdout.decode()
        self.assertEqual(out, "from s.sh: x y\ninput\n")
        self.assertEqual(self.cis("shell", stdin=b"echo from stdin\n").stdout, b"from stdin\n")

    def test_stdin_is_the_scripts(self):
        self.assertEqual(self.shell("sort | tr a-z A-Z", stdin=b"b\na\n"), "A\nB\n")
        self.assertEqual(self.shell("wc -c", stdin=bytes(range(256)) * 1000).strip(), "256000")

    def test_stdin_that_stays_open_holds_up_no_script_that_does_not_read_it(self):
        inlet, outlet = os.pipe()
        self.addCleanup(os.close, outlet)
        done = subprocess.run([place.CIS, "shell", "-c", "for i in 1 2; do echo $i; done"], env=self.env,
                              cwd=self.folder, stdin=inlet, capture_output=True, timeout=600, check=True)
        os.close(inlet)
        self.assertEqual(done.stdout, b"1\n2\n")

    def test_the_folder_is_not_touched_until_the_run_is_applied(self):
        self.put("a", b"one\n")
        self.put("sub/b", b"two\n")
        before = self.tree()
        self.shell("sed -i s/one/1/ a; mkdir new; mv sub/b new/c; ln -s a link; echo $PWD")
        self.assertEqual(self.tree(), before)
        run = self.last()
        diff = self.cis("runs", "diff", run).stdout.decode()
        self.assertIn("M a", diff)
        self.cis("runs", "apply", run)
        self.assertEqual(self.tree()["a"][1], b"1\n")
        self.assertEqual(self.tree()["new/c"][1], b"two\n")
        self.assertEqual(self.tree()["link"], ("link", "a"))
        self.cis("runs", "undo", run)
        self.assertEqual(self.tree(), before)

    def test_a_workspace_is_one_commit_that_an_undo_takes_back(self):
        self.shell("mkdir d; echo x > d/f; echo y > g", options=["-w"])
        self.assertEqual(self.shell("pwd; cat d/f g", options=["-w"]), "/workspace\nx\ny\n")
        self.assertEqual(self.shell("pwd; cat d/f", options=["--workspace", "."]), "/\nx\n")
        run = self.last(changed=True)
        self.cis("runs", "undo", run)
        self.assertEqual(self.shell("ls", options=["-w"]), "")

    def test_what_a_script_changed_is_kept_also_when_it_fails_unless_tx_says_otherwise(self):
        self.shell("echo x > kept; exit 1", code=1, options=["-w"])
        self.shell("echo x > lost; exit 1", code=1, options=["-w", "--tx", "commit-on-success"])
        self.shell("echo x > gone", options=["-w", "--tx", "discard"])
        self.assertEqual(self.shell("ls", options=["-w"]), "kept\n")

    def test_a_pipeline_of_tools_works_on_files(self):
        self.put("log", b"".join(b"%d %s\n" % (i, b"error" if i % 3 == 0 else b"fine") for i in range(3000)))
        self.assertEqual(self.shell("grep error log | awk '{s+=$1} END {print NR, s}'"), "1000 1498500\n")
        self.put("p.json", b'{"v": [1, 2, {"x": "y"}]}')
        self.assertEqual(self.shell("jq -r '.v[2].x' p.json"), "y\n")
        self.shell("tar -cf - log | (mkdir t; cd t; tar -xf -); cmp log t/log")

    def test_bytes_of_files_and_pipes_are_what_they_were(self):
        data = bytes(range(256)) * 300
        self.put("b", data)
        self.assertTrue(self.cis("shell", "-c", "cp b c; cat c | cat > d; base64 d | base64 -d").stdout == data)

    def last(self, changed=False):
        runs = json.loads(self.cis("runs", "list", "--json").stdout)["runs"]
        shell = [r["id"] for r in runs if r["skill"] == "file:cis-shell"]
        if changed:
            shell = [r for r in shell if self.cis("runs", "diff", r).stdout]
        return shell[0]


class Edge(place.Case):
    def test_an_empty_script_is_fine_and_one_that_is_no_text_is_not(self):
        self.assertEqual(self.shell(""), "")
        self.put("bin", b"\xff\xfe\0")
        self.assertIn(b"not text", self.cis("shell", "bin", code=126).stderr)
        self.cis("shell", "missing.sh", code=126)

    def test_what_does_not_parse_says_where_and_ends_with_2(self):
        said = self.cis("shell", "-c", "echo a\nif then fi", code=2)
        self.assertIn(b"line 2", said.stderr)
        self.assertIn(b"syntax error", said.stderr)

    def test_tmp_is_there_and_goes_with_the_script(self):
        self.assertEqual(self.shell("f=$(mktemp); echo x > $f; cat $f; ls /; cp $f kept; cat kept"), "x\nx\n")
        self.assertEqual(self.shell("ls /tmp"), "")

    def test_a_tmp_among_the_files_is_that_one(self):
        self.put("tmp/f", b"mine\n")
        self.assertEqual(self.shell("cat /tmp/f"), "mine\n")

    def test_scripts_among_the_files_run(self):
        self.put("x.sh", b"#!/bin/sh\necho ran $1\n")
        self.assertEqual(self.shell("./x.sh 1; sh x.sh 2; . ./x.sh"), "ran 1\nran 2\nran\n")

    def test_output_of_many_megabytes_comes_whole(self):
        out = self.shell("for i in 1 2 3 4; do seq 1 100000; done")
        self.assertTrue(out == "".join(f"{i}\n" for i in range(1, 100001)) * 4, len(out))

    def test_several_folders_stand_where_they_were_put(self):
        self.put("a/x", b"1")
        self.put("b/y", b"2")
        out = self.shell("pwd; cat x /two/y", options=["--dir", "a::/one:ro", "--dir", "b::/two:ro"])
        self.assertEqual(out, "/one\n12")


class Denied(place.Case):
    def test_nothing_of_this_machine_is_there_but_what_was_mounted(self):
        self.env["SECRET_OF_MINE"] = "s3cr3t"
        out = self.shell("env; set; cat /etc/passwd /proc/self/environ ../../../etc/passwd; ls / /home /root; true")
        for secret in ("s3cr3t", "root:", self.env["CIS_HOME"]):
            self.assertNotIn(secret, out)

    def code_of(self, script):
        return subprocess.run([place.CIS, "shell", "-c", script], env=self.env, cwd=self.folder, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=600).returncode

    def test_links_that_lead_out_lead_nowhere(self):
        os.symlink("/etc/passwd", os.path.join(self.folder, "abs"))
        os.symlink("../../../../etc", os.path.join(self.folder, "up"))
        for path in ("abs", "up/passwd", "up/../etc/passwd"):
            self.assertNotEqual(self.code_of(f"cat {path}"), 0, path)
        self.assertNotIn("root:", self.shell("ln -s /etc/shadow s; cat s up/passwd abs; true"))

    def test_there_is_no_network_and_no_other_program(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            for script in (f"curl http://127.0.0.1:{port}/", f"wget -O - http://127.0.0.1:{port}/",
                           f"echo x > /dev/tcp/127.0.0.1/{port}", "python3 -c 1", "/usr/bin/id -Z", "gcc x.c"):
                self.assertNotEqual(self.code_of(script), 0, script)
            server.settimeout(0.2)
            self.assertRaises(TimeoutError, server.accept)

    def test_a_folder_that_is_mounted_read_only_is_not_changed(self):
        self.put("a", b"x")
        before = self.tree()
        for script in ("echo y > a", "rm a", "mv a b", "mkdir d", "ln -s a l", "echo y >> a", "cp a c"):
            self.assertNotEqual(subprocess.run(
                [place.CIS, "shell", "--dir", ".:ro", "-c", script], env=self.env, cwd=self.folder, check=False,
                stdin=subprocess.DEVNULL, capture_output=True, timeout=600).returncode, 0, script)
        self.assertEqual(self.tree(), before)

    def test_it_has_no_options_that_would_grant_anything(self):
        for option in ("--http=https://example.com", "--net=tcp:localhost:1", "--allow=dns", "--env=HOME",
                       "--listen=127.0.0.1:0", "--plug=x"):
            self.assertIn(b"unknown option", self.cis("shell", option, "-c", "true", code=2).stderr)


class Broken(place.Case):
    def test_a_script_without_end_is_ended_by_its_limits_and_nothing_is_kept(self):
        began = time.monotonic()
        self.shell("echo x > f; while :; do :; done", code=124, options=["-w", "--time", "1s"])
        self.assertLess(time.monotonic() - began, 60)
        self.assertEqual(self.shell("ls", options=["-w"]), "")

    def test_a_script_that_wants_all_memory_ends_and_the_machine_goes_on(self):
        out = self.cis_any("shell", "--memory", "64MiB", "-c", "x=x; while :; do x=$x$x; done")
        self.assertIn(out.returncode, (1, 125, 134), out.stderr)  # the interpreter's own limit, or the run's

    def test_deep_recursion_ends_with_a_message(self):
        for script in ("f() { f; }; f", "f() { echo $(f); }; f", "eval " * 500 + "echo x",
                       "(" * 300 + "echo x" + ")" * 300, "$(" * 200 + "echo x" + ")" * 200):
            out = self.cis_any("shell", "-c", script)
            self.assertNotIn(out.returncode, (-6, -11), (script[:40], out))
            self.assertNotIn(b"Sanitizer", out.stderr)

    def test_background_jobs_end_with_the_script(self):
        self.assertEqual(self.shell("(sleep 0; echo late > f) & wait; cat f"), "late\n")
        self.cis_any("shell", "--time", "2s", "-c", "while :; do sleep 1 & done")

    def test_a_signal_ends_it_and_nothing_is_kept(self):
        child = subprocess.Popen([place.CIS, "shell", "-w", "-c", "echo x > f; echo begun; while :; do :; done"],
                                 env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(child.stdout.readline(), b"begun\n")
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=600)
        self.assertEqual(child.returncode, 130)
        self.assertEqual(self.shell("ls", options=["-w"]), "")

    def test_without_the_interpreter_it_says_what_is_missing_and_how_to_get_it(self):
        folder = os.path.join(self.folder, "bin")
        os.mkdir(folder)
        program = os.path.join(folder, "cis")
        try:
            os.link(place.CIS, program)
        except OSError:
            self.skipTest("the program and the temporary folder are on two filesystems")
        done = subprocess.run([program, "shell", "-c", "true"], env=self.env, capture_output=True, check=False)
        self.assertEqual(done.returncode, 126)
        self.assertIn(b"rustup target add wasm32-wasip1", done.stderr)

    def cis_any(self, *args):
        return subprocess.run([place.CIS, *args], env=self.env, cwd=self.folder, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=600)


if __name__ == "__main__":
    unittest.main(verbosity=2)
