#!/usr/bin/env python3
"""The tool `shell` of `cis mcp`: a scripted model works with it, and spoils things; one run_undo takes each
back, byte for byte. On a branch and on a folder."""
import json
import os
import unittest

import place
import client
from client import run_of

SPOIL = """
set -e
sed -i 's/int/float/' src/a.c
rm -r docs
mkdir -p src/new/deep
echo junk > src/new/deep/junk
mv keep kept
ln -s ../../etc/passwd link
: > empty
rm bin
mkdir bin
echo x > bin/x
rm old-link
ln -s elsewhere old-link
printf '\\200\\377' > bytes
"""
# Every name of the tree, its type, and what is in it.
LOOK = r"""find . | sort | while read -r f; do
if [ -L "$f" ]; then echo "$f -> $(readlink "$f")"; elif [ -d "$f" ]; then echo "$f/"; else sha256sum "$f"; fi; done"""


class Tool(place.Case, client.Case):
    def setUp(self):
        place.Case.setUp(self)

    def cis(self, *args, code=0, stdin=b"", **more):
        return place.Case.cis(self, *args, code=code, stdin=stdin, **more)

    def fill(self):
        self.put("src/a.c", b"int a;\nint b;\n")
        self.put("docs/deep/page", b"page\n")
        self.put("docs/empty/.keep", b"")
        self.put("keep", b"\r\n\t keep")
        self.put("bin", bytes(range(256)) * 50)
        os.symlink("keep", os.path.join(self.folder, "old-link"))

    def both(self):
        """A server on a folder, one on a branch with the same files."""
        self.fill()
        yield self.server("--dir", f"{self.folder}:cow")
        self.cis("shell", "--dir", ".::/from:ro", "-w", "-c", "cd /workspace; cp -r /from/. .; rm old-link; ln -s keep old-link")
        yield self.server()

    def said(self, result):
        return result["content"][0]["text"]

    def run_script(self, server, script):
        return self.said(server.good("shell", command=script))

    def test_a_command_answers_with_its_output_and_what_it_changed(self):
        for server in self.both():
            self.assertEqual(self.run_script(server, "echo hi; pwd; cat src/a.c"), "hi\n/\nint a;\nint b;\n")
            made = server.good("shell", command="echo x > made")
            self.assertEqual([c["path"] for c in made["_meta"]["cis/changes"] if c["path"] != "/"], ["/made"])
            self.assertEqual(made["content"][1]["uri"], f"cis:///runs/{run_of(made)}/diff")
            self.assertEqual(server.text("/made"), "x\n")
            self.assertIn("+x", server.good("run_diff", run=run_of(made))["content"][0]["text"])
            self.assertIn("shell echo x > made", self.said(server.good("runs_list")))

    def test_an_exit_code_that_is_not_0_is_an_error_with_the_output_and_the_changes_are_kept(self):
        for server in self.both():
            result = server.tool("shell", command="echo part; echo why >&2; echo y > part; exit 3")
            self.assertTrue(result["isError"])
            self.assertEqual(self.said(result), "part\nwhy\nexit code 3")
            self.assertEqual(server.text("/part"), "y\n")
            server.good("run_undo", run=run_of(result))
            self.assertIn("NOTFOUND", server.bad("fs_read", path="/part"))
            self.assertIn("syntax error", server.bad("shell", command="if then"))

    def test_one_undo_takes_back_whatever_a_script_did(self):
        for server in self.both():
            before = self.run_script(server, LOOK)
            run = run_of(server.good("shell", command=SPOIL))
            spoilt = self.run_script(server, LOOK)
            self.assertNotEqual(spoilt, before)
            server.good("run_undo", run=run)
            self.assertEqual(self.run_script(server, LOOK), before)
            server.good("run_redo", run=run)
            self.assertEqual(self.run_script(server, LOOK), spoilt)
            server.good("run_undo", run=run)
            self.assertEqual(self.run_script(server, LOOK), before)

    def test_edits_by_both_kinds_of_tools_are_taken_back_one_after_the_other(self):
        for server in self.both():
            before = self.run_script(server, LOOK)
            real = self.tree()
            runs = [run_of(server.good("fs_edit", path="/src/a.c", old="int a", new="oops")),
                    run_of(server.good("shell", command=SPOIL.replace("s/int", "s/oops"))),
                    run_of(server.good("fs_write", path="/src/a.c", content="gone")),
                    run_of(server.good("shell", command="rm -rf src; mkdir src; echo more > src/other"))]
            for run in reversed(runs):
                server.good("run_undo", run=run)
            self.assertEqual(self.run_script(server, LOOK), before)
            self.assertEqual(self.tree(), real)

    def test_a_run_whose_files_a_later_one_changed_is_not_taken_back(self):
        for server in self.both():
            first = run_of(server.good("shell", command="echo 1 > src/a.c"))
            server.good("fs_write", path="/src/a.c", content="2")
            self.assertIn("CONFLICT", server.bad("run_undo", run=first))
            self.assertEqual(server.text("/src/a.c"), "2")

    def test_an_undo_leaves_what_later_runs_did_beside_it(self):
        for server in self.both():
            first = run_of(server.good("shell", command="sed -i s/int/long/ src/a.c; rm docs/deep/page"))
            server.good("fs_write", path="/src/b.c", content="b")
            server.good("shell", command="echo c > docs/deep/c; echo d > d")
            server.good("run_undo", run=first)
            self.assertEqual(self.run_script(server, "cat src/a.c docs/deep/page src/b.c docs/deep/c d"),
                             "int a;\nint b;\npage\nbc\nd\n")

    def test_nothing_is_kept_between_calls_but_files(self):
        server = self.server()
        server.good("shell", command="x=1; cd /; mkdir d; cd d; export x; echo t > /tmp/t")
        self.assertEqual(self.run_script(server, "echo [$x]; pwd; ls /tmp"), "[]\n/\n")

    def test_output_is_bounded_and_says_so(self):
        server = self.server()
        text = self.run_script(server, "seq 1 100000")
        self.assertLess(len(text), 300000)
        self.assertIn("bytes more)", text)

    def test_a_script_reaches_nothing_but_the_files_that_are_served(self):
        self.fill()
        server = self.server("--dir", f"{self.folder}:cow", env={"SECRET_OF_MINE": "s3cr3t"})
        said = json.dumps(server.tool("shell", command="env; cat /etc/passwd ../../etc/passwd; ls /..; cat < /dev/stdin; "
                                                       "curl http://127.0.0.1; ls -a / .tarbox .cis-union"))
        for secret in ("s3cr3t", "root:", self.env["CIS_HOME"]):
            self.assertNotIn(secret, said)
        before = self.tree()
        server.tool("shell", command="echo x > .cis-union.x; mkdir .tarbox; rm -rf /* /.[a-z]*")
        self.assertEqual(self.tree(), before)

    def test_what_is_no_command_starts_nothing(self):
        server = self.server()
        for arguments in ({}, {"command": ""}, {"command": 1}, {"command": "x", "more": 1}, {"command": "a\0b"},
                          {"command": "x" * 1048577}):
            self.assertTrue(server.tool("shell", **arguments)["isError"], arguments.keys())
        self.assertEqual(self.said(server.good("runs_list")), "no runs yet\n")

    def test_a_script_without_end_is_ended_by_the_limit_of_a_call(self):
        server = self.server(env={"CIS_MAX_EXECUTION_TIME": "2000"})
        said = server.bad("shell", command="echo x > f; while :; do :; done")
        self.assertIn("DEADLINE", said)
        self.assertIn("NOTFOUND", server.bad("fs_read", path="/f"))

    def test_the_tool_is_listed_and_can_be_left_out(self):
        tools = {t["name"]: t for t in self.server().result("tools/list")["tools"]}
        self.assertTrue(tools["shell"]["annotations"]["destructiveHint"])
        self.assertFalse(tools["shell"]["annotations"]["openWorldHint"])
        tools = [t["name"] for t in self.server("--tools", "fs_read").result("tools/list")["tools"]]
        self.assertEqual(tools, ["fs_read"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
