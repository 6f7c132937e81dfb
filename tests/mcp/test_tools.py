#!/usr/bin/env python3
"""The tools on a branch and on a folder: what they change, what takes it back, what they refuse, and
how calls end. Test names are sentences."""
import base64
import json
import os
import signal
import subprocess
import threading
import time
import unittest

import client
from client import MODERN, run_of

BAD_PATHS = ("a", "../a", "/..", "/../a", "/a/../b", "/.", "/a/./b", "/.tarbox", "/.tarbox/state", "/a/.tarbox",
             "/.cis-union", "/a/.cis-union.x/b", "/a\0b", "/" + "a" * 5000)


class Files(client.Case):
    def test_a_file_is_written_read_edited_and_found(self):
        for era in (MODERN, "2025-11-25"):
            with self.subTest(era=era):
                server = self.server(era=era)
                made = server.good("fs_write", path=f"/notes/{era}/a.txt", content="one\ntwo ü\n")
                self.assertEqual([(c["what"], c["path"]) for c in made["_meta"]["cis/changes"]][-1],
                                 ("A", f"/notes/{era}/a.txt"))
                edited = server.good("fs_edit", path=f"/notes/{era}/a.txt", old="two", new="2")
                self.assertEqual(edited["_meta"]["cis/changes"],
                                 [{"what": "M", "path": f"/notes/{era}/a.txt", "size": 9}])
                self.assertEqual(server.text(f"/notes/{era}/a.txt"), "one\n2 ü\n")
                found = server.good("fs_search", pattern="2 ü", path=f"/notes/{era}")
                self.assertEqual(found["content"][0]["text"], f"/notes/{era}/a.txt:2: 2 ü\n")
                listed = server.good("fs_list", path=f"/notes/{era}")
                self.assertEqual(listed["structuredContent"],
                                 {"entries": [{"name": "a.txt", "type": "file", "size": 9}], "truncated": False})
                self.assertEqual(server.end(), 0)

    def test_each_change_is_a_run_with_a_record_that_the_command_line_knows(self):
        server = self.server()
        run = run_of(server.good("fs_write", path="/a", content="x"))
        server.end()
        shown = json.loads(self.cis("runs", "show", "--json", run))
        self.assertEqual((shown["id"], shown["skill"], shown["status"]), (run, "mcp:fs_write", "ok"))
        self.assertEqual(self.cis("runs", "diff", run), "A a  1\n")
        self.assertEqual(self.cis("fs", "cat", "/a"), "x")
        self.cis("runs", "undo", run)
        self.cis("fs", "cat", "/a", code=3)

    def test_an_undo_brings_back_every_byte(self):
        before = bytes(range(256)) * 100
        self.cis("fs", "mkdir", "/deep")
        self.cis("fs", "put", "-", "/deep/bin", stdin=before)
        self.cis("fs", "put", "-", "/text", stdin=b"a\r\nb\n\n\tc")
        server = self.server()
        runs = [run_of(server.good("fs_write", path="/deep/bin", content="gone")),
                run_of(server.good("fs_edit", path="/text", old="\r\n", new="")),
                run_of(server.good("fs_write", path="/new/folder/file", content="more"))]
        for run in runs:
            server.good("run_undo", run=run)
        server.end()
        self.assertEqual(self.cis("fs", "cat", "/text").encode(), b"a\r\nb\n\n\tc")
        out = os.path.join(self.home, "bin")
        self.cis("fs", "get", "/deep/bin", out)
        with open(out, "rb") as file:
            self.assertEqual(file.read(), before)
        self.cis("fs", "stat", "/new", code=3)

    def test_redo_brings_a_run_back_and_undo_takes_it_again(self):
        server = self.server()
        run = run_of(server.good("fs_write", path="/a", content="x"))
        for _ in range(3):
            server.good("run_undo", run=run)
            self.assertIn("NOTFOUND", server.bad("fs_read", path="/a"))
            self.assertIn("already undone", server.bad("run_undo", run=run))
            server.good("run_redo", run=run)
            self.assertEqual(server.text("/a"), "x")
            self.assertIn("not undone", server.bad("run_redo", run=run))

    def test_an_undo_under_a_later_change_of_the_same_is_refused_and_names_the_path(self):
        server = self.server()
        first = run_of(server.good("fs_write", path="/dir/a", content="1"))
        other = run_of(server.good("fs_write", path="/dir/b", content="1"))
        server.good("fs_write", path="/dir/a", content="2")
        said = server.bad("run_undo", run=first)
        self.assertIn("CONFLICT", said)
        self.assertIn("/dir", said)
        self.assertIn(first, said)
        self.assertEqual(server.text("/dir/a"), "2")
        server.good("run_undo", run=other)
        self.assertEqual(server.text("/dir/a"), "2")

    def test_only_runs_of_this_server_can_be_named(self):
        theirs = self.server()
        run = run_of(theirs.good("fs_write", path="/a", content="x"))
        server = self.server()
        for tool in ("run_undo", "run_redo", "run_diff"):
            self.assertIn("not a run of this server", server.bad(tool, run=run))
        for uri in (f"cis:///runs/{run}", f"cis:///runs/{run}/diff"):
            self.assertEqual(server.call("resources/read", {"uri": uri})["error"]["code"], -32002)
        self.assertEqual(theirs.text("/a"), "x")

    def test_a_diff_shows_text_and_names_what_is_none(self):
        self.cis("fs", "put", "-", "/bin", stdin=b"\0\1")
        server = self.server()
        run = run_of(server.good("fs_write", path="/d/a", content="one\n"))
        self.assertIn("+++ b/d/a\n@@ -0,0 +1 @@\n+one\n", server.good("run_diff", run=run)["content"][0]["text"])
        run = run_of(server.good("fs_write", path="/bin", content="text"))
        self.assertIn("/bin (no text", server.good("run_diff", run=run)["content"][0]["text"])

    def test_what_is_missing_or_of_another_kind_is_an_error_of_the_tool(self):
        server = self.server()
        server.good("fs_write", path="/d/f", content="aa a")
        self.assertIn("NOTFOUND", server.bad("fs_read", path="/nope"))
        self.assertIn("directory", server.bad("fs_read", path="/d"))
        self.assertIn("directory", server.bad("fs_write", path="/d", content=""))
        self.assertIn("irectory", server.bad("fs_list", path="/d/f"))
        self.assertIn("irectory", server.bad("fs_write", path="/d/f/g", content=""))
        self.assertIn("does not contain", server.bad("fs_edit", path="/d/f", old="b", new=""))
        self.assertIn("more than once", server.bad("fs_edit", path="/d/f", old="a", new=""))
        self.assertEqual(server.text("/d/f"), "aa a")

    def test_an_overlapping_text_is_there_more_than_once(self):
        server = self.server()
        server.good("fs_write", path="/f", content="aaa")
        self.assertIn("more than once", server.bad("fs_edit", path="/f", old="aa", new="b"))

    def test_paths_that_lead_elsewhere_are_refused_by_every_tool(self):
        server = self.server()
        for path in BAD_PATHS:
            for tool, more in (("fs_read", {}), ("fs_list", {}), ("fs_search", {"pattern": "x"}),
                               ("fs_write", {"content": "x"}), ("fs_edit", {"old": "x", "new": "y"})):
                self.assertRegex(server.bad(tool, path=path, **more), "^(DENIED|USAGE)", (tool, path))
        self.assertEqual(server.good("fs_list", path="/")["structuredContent"]["entries"], [])
        self.assertEqual(server.good("runs_list")["structuredContent"]["runs"], [])

    def test_a_symlink_stays_within_the_tree(self):
        self.cis("fs", "ln", "-s", "/../../etc/passwd", "/out")
        self.cis("fs", "ln", "-s", "/", "/top")
        server = self.server()
        self.assertIn("NOTFOUND", server.bad("fs_read", path="/out"))
        server.good("fs_write", path="/top/top/a", content="x")
        self.assertEqual(server.text("/a"), "x")
        server.good("fs_search", pattern="x")  # ends, though a link leads to the root

    def test_a_file_that_is_no_text_or_too_long_is_refused_and_has_its_bytes_as_a_resource(self):
        self.cis("fs", "put", "-", "/bin", stdin=b"\0\xff" * 5)
        self.cis("fs", "put", "-", "/long", stdin=b"x" * (5 << 20))
        server = self.server()
        self.assertIn("is not text", server.bad("fs_read", path="/bin"))
        self.cis("fs", "put", "-", "/b%69n", stdin=b"\0\xfe")
        uri = server.bad("fs_read", path="/b%69n").split()[-1]
        self.assertEqual(server.result("resources/read", {"uri": uri})["contents"][0]["blob"], "AP4=")
        self.assertIn("LIMIT", server.bad("fs_read", path="/long"))
        got = server.result("resources/read", {"uri": "cis:///files/bin"})["contents"][0]
        self.assertEqual(base64.b64decode(got["blob"]), b"\0\xff" * 5)
        got = server.result("resources/read", {"uri": "cis:///files/long"})["contents"][0]
        self.assertEqual(got["text"], "x" * (5 << 20))

    def test_a_search_is_bounded_and_takes_no_pattern_for_more_than_its_text(self):
        server = self.server()
        server.good("fs_write", path="/a", content="x.y\n" * 3000)
        server.good("fs_write", path="/b", content=".*\n")
        text = server.good("fs_search", pattern="x.y")["content"][0]["text"]
        self.assertEqual(text.count("x.y\n"), 1000)
        self.assertIn("there may be more", text)
        self.assertEqual(server.good("fs_search", pattern=".*")["content"][0]["text"], "/b:1: .*\n")
        self.assertEqual(server.good("fs_search", pattern="z")["content"][0]["text"], "not found\n")

    def test_a_quota_refuses_a_write_whole(self):
        self.cis("tenant", "quota", self.env["CIS_TENANT"], "--bytes", "1000")
        server = self.server()
        server.good("fs_write", path="/a", content="x" * 900)
        self.assertRegex(server.bad("fs_write", path="/a", content="y" * 2000), "QUOTA|quota")
        self.assertEqual(server.text("/a"), "x" * 900)

    def test_resources_that_are_not_there_are_errors_of_their_era(self):
        for era, code in (("2025-11-25", -32002), (MODERN, -32602)):
            server = self.server(era=era)
            for uri in ("cis:///files/nope", "cis:///files/../x", "cis:///files/%2e%2e/x", "cis:///files/.tarbox/x",
                        "cis:///files/%zz", "cis:///files/%", "cis:///runs/x", "cis:///runs//diff", "file:///etc/passwd",
                        "cis:///", ""):
                self.assertEqual(server.call("resources/read", {"uri": uri})["error"]["code"], code, uri)
            self.assertEqual(server.call("resources/read", {})["error"]["code"], -32602)

    def test_a_resource_of_a_file_takes_percent_escapes(self):
        server = self.server()
        server.good("fs_write", path="/ü b", content="x")
        got = server.result("resources/read", {"uri": "cis:///files/%C3%BC%20b"})
        self.assertEqual(got["contents"][0]["text"], "x")

    def complete(self, server, value, name="path", kind="ref/resource"):
        ref = {"type": kind, **({"uri": "cis:///files/{+path}"} if kind == "ref/resource" else {"name": "x"})}
        found = server.result("completion/complete", {"ref": ref, "argument": {"name": name, "value": value}})
        return sorted(found["completion"]["values"]), found["completion"]["hasMore"]

    def test_paths_are_completed(self):
        server = self.server()
        for path in ("/main.c", "/make", "/src/map.c", "/src/deep/x", "/50% ü", "/.hidden"):
            server.good("fs_write", path=path, content="text")
        self.assertEqual(self.complete(server, "ma"), (["main.c", "make"], False))
        self.assertEqual(self.complete(server, "s"), (["src/"], False))
        self.assertEqual(self.complete(server, "src/"), (["src/deep/", "src/map.c"], False))
        self.assertEqual(self.complete(server, "src/deep/x"), (["src/deep/x"], False))
        self.assertEqual(self.complete(server, "5"), (["50%25 ü"], False))
        self.assertEqual(server.result("resources/read", {"uri": "cis:///files/50%25 ü"})["contents"][0]["text"], "text")
        for value in ("none/", "../", "..", "src/../", "main.c/", ".tarbox/", "/", "//", "%zz/", "src/%2e%2e/", "\0/"):
            self.assertEqual(self.complete(server, value)[0], [], value)
        self.assertEqual(self.complete(server, "", kind="ref/prompt"), ([], False))
        self.assertEqual(self.complete(server, "ma", name="other"), ([], False))
        for i in range(101):
            server.good("fs_write", path=f"/many/{i}", content="")
        values, more = self.complete(server, "many/")
        self.assertEqual((len(values), more), (100, True))

    def test_ids_of_runs_are_completed(self):
        server = self.server()
        run = run_of(server.good("fs_write", path="/a", content="x"))
        ask = {"ref": {"type": "ref/resource", "uri": "cis:///runs/{id}"}, "argument": {"name": "id", "value": run[:9]}}
        self.assertEqual(server.result("completion/complete", ask)["completion"], {"values": [run], "hasMore": False})


class Branches(client.Case):
    def test_a_store_that_nobody_used_yet_is_an_empty_folder(self):
        server = self.server()
        self.assertEqual(server.good("fs_list", path="/")["structuredContent"]["entries"], [])

    def test_the_branch_that_is_named_is_served_and_no_other(self):
        self.cis("fs", "put", "-", "/a", stdin=b"main")
        self.cis("fs", "fork", "other")
        server = self.server("--workspace", "other")
        server.good("fs_write", path="/a", content="other")
        self.assertEqual(self.cis("fs", "cat", "/a"), "main")
        self.assertEqual(self.cis("fs", "cat", "--branch", "other", "/a"), "other")

    def test_two_servers_on_one_branch_lose_no_change_and_name_what_conflicts(self):
        servers = [self.server(), self.server()]
        servers[0].good("fs_write", path="/list", content="end\n")
        done, refused = [[], []], []

        def add(n):
            for i in range(40):
                line = f"{n}-{i}\n"
                result = servers[n].tool("fs_edit", path="/list", old="end\n", new=line + "end\n")
                if result["isError"]:
                    refused.append(result)
                else:
                    done[n].append(line)

        threads = [threading.Thread(target=add, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lines = servers[0].text("/list").splitlines(keepends=True)
        self.assertEqual(sorted(lines), sorted(done[0] + done[1] + ["end\n"]))
        for result in refused:
            text = result["content"][0]["text"]
            self.assertIn("CONFLICT", text)
            self.assertIn("/list", text)
            self.assertIn(run_of(result), text)


class Folders(client.Case):
    def setUp(self):
        super().setUp()
        self.folder = os.path.join(self.home, "folder")
        os.makedirs(os.path.join(self.folder, "src"))
        self.put("src/a.c", b"int a;\n")
        self.put("keep", bytes(range(256)))

    def put(self, name, data):
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(data)

    def tree(self):
        found = {}
        for parent, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(parent, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, self.folder)] = file.read()
        return found

    def test_a_folder_is_served_without_being_touched_and_applied_by_the_person(self):
        before = self.tree()
        server = self.server("--dir", f"{self.folder}:cow")
        self.assertEqual(server.text("/src/a.c"), "int a;\n")
        server.good("fs_edit", path="/src/a.c", old="a;", new="b;")
        last = run_of(server.good("fs_write", path="/src/new/b.c", content="int c;\n"))
        self.assertEqual(server.text("/src/a.c"), "int b;\n")
        self.assertEqual(self.tree(), before)
        server.end()
        self.cis("runs", "apply", last)
        self.assertEqual(self.tree(), {**before, "src/a.c": b"int b;\n", "src/new/b.c": b"int c;\n"})
        self.cis("runs", "undo", last)
        self.assertEqual(self.tree(), before)

    def test_an_undo_shows_the_folder_as_it_was(self):
        server = self.server("--dir", f"{self.folder}:cow")
        first = run_of(server.good("fs_edit", path="/src/a.c", old="a", new="b"))
        second = run_of(server.good("fs_write", path="/other", content="x"))
        self.assertIn("-int a;\n+int b;\n", server.good("run_diff", run=first)["content"][0]["text"])
        self.assertIn("+x\n", server.good("run_diff", run=second)["content"][0]["text"])
        server.good("run_undo", run=first)
        self.assertEqual(server.text("/src/a.c"), "int a;\n")
        self.assertEqual(server.text("/other"), "x")
        server.good("run_redo", run=first)
        self.assertEqual(server.text("/src/a.c"), "int b;\n")
        server.good("run_undo", run=second)
        self.assertIn("NOTFOUND", server.bad("fs_read", path="/other"))

    def test_an_undo_in_a_folder_leaves_what_other_runs_did_beside_it(self):
        server = self.server("--dir", f"{self.folder}:cow")
        first = run_of(server.good("fs_edit", path="/src/a.c", old="a", new="b"))
        deep = run_of(server.good("fs_write", path="/src/made/x/y", content="y"))
        server.good("fs_write", path="/src/b.c", content="b")
        server.good("run_undo", run=deep)
        server.good("run_undo", run=first)
        self.assertEqual([(e["name"], e["size"]) for e in sorted(
            server.good("fs_list", path="/src")["structuredContent"]["entries"], key=lambda e: e["name"])],
            [("a.c", 7), ("b.c", 1)])
        server.good("run_redo", run=deep)
        self.assertEqual(server.text("/src/made/x/y"), "y")
        server.good("fs_write", path="/src/made/x/y", content="later")
        self.assertIn("/src/made/x/y", server.bad("run_undo", run=deep))
        self.assertEqual(server.text("/src/made/x/y"), "later")

    def test_a_branch_that_is_named_goes_on_with_the_next_server(self):
        spec = f"{self.folder}:cow=agent"
        server = self.server("--dir", spec)
        server.good("fs_write", path="/n", content="1")
        server.end()
        self.assertEqual(self.server("--dir", spec).text("/n"), "1")

    def test_what_a_union_keeps_and_links_that_lead_out_are_not_reached(self):
        os.symlink("/etc/passwd", os.path.join(self.folder, "abs"))
        os.symlink("../../../../../../etc/passwd", os.path.join(self.folder, "up"))
        server = self.server("--dir", f"{self.folder}:cow")
        server.good("fs_write", path="/src/x", content="x")
        names = [e["name"] for e in server.good("fs_list", path="/")["structuredContent"]["entries"]]
        self.assertEqual(sorted(names), ["abs", "keep", "src", "up"])
        for path in ("/abs", "/up"):
            self.assertNotIn("root:", json.dumps(server.tool("fs_read", path=path)))
        for path in BAD_PATHS:
            self.assertRegex(server.bad("fs_write", path=path, content="x"), "^(DENIED|USAGE)", path)

    def test_the_stores_own_folder_is_not_served(self):
        server = self.server("--dir", f"{self.home}:cow")
        if "CIS_STORE" not in self.env:
            self.assertTrue(server.tool("fs_list", path="/")["isError"])


class Ends(client.Case):
    def test_ten_thousand_requests_in_a_row_are_each_answered_once_in_flat_memory(self):
        server = self.server()
        server.good("fs_write", path="/a", content="x" * 1000)
        peaks = []
        for _ in range(2):
            expected, got = set(), set()

            def send():
                for i in range(10000):
                    kind = i % 4
                    if kind == 0:
                        expected.add(server.send("ping"))
                    elif kind == 1:
                        expected.add(server.send("tools/call", {"name": "fs_read", "arguments": {"path": "/a"}}))
                    elif kind == 2:
                        expected.add(server.send("tools/list"))
                    else:
                        expected.add(server.send("tools/call", {"name": "runs_list"}))

            sender = threading.Thread(target=send)
            sender.start()
            for _ in range(10000):
                answer = server.answer()
                self.assertIn("result", answer)
                self.assertNotIn(answer["id"], got)
                got.add(answer["id"])
            sender.join()
            self.assertEqual(got, expected)
            with open(f"/proc/{server.child.pid}/status", encoding="ascii") as file:
                peaks.append(next(int(line.split()[1]) for line in file if line.startswith("VmRSS")))
        self.assertEqual(server.end(), 0)
        if not os.environ.get("CIS_TEST_SANITIZED"):  # which keeps what is freed
            self.assertLess(peaks[1], peaks[0] + 8192, peaks)

    def test_writes_in_a_row_are_done_in_their_order(self):
        server = self.server()
        for i in range(100):
            server.send("tools/call", {"name": "fs_write", "arguments": {"path": "/n", "content": str(i)}})
        for _ in range(100):
            self.assertFalse(server.answer()["result"]["isError"])
        self.assertEqual(server.text("/n"), "99")
        self.assertEqual(len(server.good("runs_list")["structuredContent"]["runs"]), 100)

    def test_what_was_asked_before_the_end_of_input_is_done_and_answered(self):
        server = self.server()
        numbers = [server.send("tools/call", {"name": "fs_write", "arguments": {"path": f"/{i}", "content": "x"}})
                   for i in range(50)]
        server.child.stdin.close()
        answers = [server.answer() for _ in numbers]
        self.assertEqual([a["id"] for a in answers], numbers)
        self.assertIsNone(server.answer())
        self.assertEqual(server.child.wait(client.WAIT), 0)
        self.assertEqual(len(self.cis("fs", "ls", "/").split()), 50)

    def test_a_signal_ends_it_with_each_write_whole_or_not_there(self):
        for how in (signal.SIGTERM, signal.SIGKILL):
            server = self.server()
            for i in range(64):
                server.send("tools/call", {"name": "fs_write",
                                           "arguments": {"path": f"/{int(how)}/{i}", "content": "x" * 100000}})
            server.answer()
            server.child.send_signal(how)
            code = server.child.wait(client.WAIT)
            self.assertEqual(code, 0 if how == signal.SIGTERM else -how)
            for name in self.cis("fs", "ls", f"/{int(how)}").split():
                self.assertEqual(len(self.cis("fs", "cat", f"/{int(how)}/{name}")), 100000)
            self.cis("fs", "fsck")

    def test_a_call_that_was_cancelled_is_not_answered_and_changes_nothing_or_all(self):
        server = self.server()
        for i in range(40):
            number = server.send("tools/call", {"name": "fs_write",
                                                "arguments": {"path": f"/{i}", "content": str(i) * 200000}})
            server.notify("notifications/cancelled", {"requestId": number, "reason": "enough"})
        ping = server.send("ping")
        answered = 0
        while (answer := server.answer())["id"] != ping:
            answered += 1
        self.assertLess(answered, 40)
        server.good("runs_list")
        for entry in server.good("fs_list", path="/")["structuredContent"]["entries"]:
            self.assertEqual(entry["size"], len(entry["name"]) * 200000)

    def bare(self):
        """A server whose output nobody reads by itself, with a session."""
        pipe = subprocess.PIPE
        server = subprocess.Popen([client.CIS, "mcp"], stdin=pipe, stdout=pipe, stderr=pipe, env=self.env)
        for file in (server.stdin, server.stdout, server.stderr):
            self.addCleanup(file.close)
        self.addCleanup(server.kill)
        begin = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
        server.stdin.write(json.dumps(begin).encode() + b"\n")
        server.stdin.flush()
        self.assertIn(b'"id":0', server.stdout.readline())
        return server

    def test_a_client_that_goes_away_ends_the_server(self):
        server = self.bare()
        server.stdout.close()
        ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
        try:
            while server.poll() is None:
                os.write(server.stdin.fileno(), ping)
                time.sleep(0.001)
        except BrokenPipeError:
            pass
        self.assertNotEqual(server.wait(client.WAIT), 0)

    def test_a_client_that_does_not_read_is_waited_for_in_bounded_memory_and_ended_by_a_signal(self):
        server = self.bare()
        line, sent = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}\n', 0
        os.set_blocking(server.stdin.fileno(), False)
        quiet = 0
        while quiet < 20 and sent < 100000:
            try:
                sent += os.write(server.stdin.fileno(), line) == len(line)
                quiet = 0
            except BlockingIOError:
                quiet += 1
                time.sleep(0.05)
        self.assertLess(sent, 100000)
        with open(f"/proc/{server.pid}/status", encoding="ascii") as file:
            self.assertLess(next(int(l.split()[1]) for l in file if l.startswith("VmHWM")), 150000)
        server.send_signal(signal.SIGTERM)
        server.wait(client.WAIT)


if __name__ == "__main__":
    unittest.main(verbosity=2)
