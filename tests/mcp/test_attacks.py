#!/usr/bin/env python3
"""Attacks on `cis mcp` by whoever writes a skill, and by a model: each did harm once, or came near. Test
names are sentences."""
import hashlib
import json
import os
import time
import unittest

import client
from client import run_of

# Says 7 if a random number is, which it is when the plug stands between it and the host.
SEVEN = """(component (import "wasi:random/random@0.2.0" (instance $in (export "get-random-u64" (func (result u64)))))
 (core func $low (canon lower (func $in "get-random-u64")))
 (core module $m (import "in" "f" (func $f (result i64))) (memory (export "memory") 1)
  (data (i32.const 16) "\\00\\00\\00\\00\\20\\00\\00\\00\\01\\00\\00\\00") (data (i32.const 32) "7")
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "g") (param i32 i32) (result i32)
   (if (i64.ne (call $f) (i64.const 7)) (then unreachable)) (i32.const 16)))
 (core instance $i (instantiate $m (with "in" (instance (export "f" (func $low))))))
 (func $g (param "input" string) (result (result string (error string)))
  (canon lift (core func $i "g") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
 (export "run" (func $g)))"""
PLUG = """(component (core module $m (func (export "f") (result i64) (i64.const 7)))
 (core instance $i (instantiate $m)) (func $f (result u64) (canon lift (core func $i "f")))
 (instance $e (export "get-random-u64" (func $f))) (export "wasi:random/random@0.2.0" (instance $e)))"""
# Answers {"a":[0,0,…]}, of 180,000 values.
ZEROS = """(module
 (import "cis" "output_write" (func $write (param i32 i32) (result i32)))
 (memory (export "memory") 64)
 (data (i32.const 16) "{\\"a\\":[0") (data (i32.const 32) "]}")
 (func (export "alloc") (param i32) (result i32) (i32.const 2000000))
 (func (export "dealloc") (param i32 i32))
 (func (export "skill_execute") (param i32 i32) (result i32) (local i32)
  (local.set 2 (i32.const 1024))
  (loop $l (i32.store16 (local.get 2) (i32.const 0x302c)) (local.set 2 (i32.add (local.get 2) (i32.const 2)))
   (br_if $l (i32.lt_u (local.get 2) (i32.const 360000))))
  (drop (call $write (i32.const 16) (i32.const 7)))
  (drop (call $write (i32.const 1024) (i32.sub (local.get 2) (i32.const 1024))))
  (drop (call $write (i32.const 32) (i32.const 2))) (i32.const 0)))"""
TOOL = '[[tools]]\nname = "t"\nmethod = "{method}"\n[tools.input]\ntype = "object"\n'


class Attacks(client.Case):
    def install(self, manifest, **files):
        folder = os.path.join(self.home, "skill")
        os.makedirs(folder)
        files["skill.toml"] = '[skill]\nname = "s"\nversion = "1.0.0"\n' + manifest
        for name, text in files.items():
            with open(os.path.join(folder, name.replace("_", ".")), "w", encoding="utf-8") as file:
                file.write(text)
        self.cis("skill", "install", folder, "--yes")

    def folder(self):
        folder = os.path.join(self.home, "folder")
        os.makedirs(folder)
        return folder

    def test_a_tool_of_a_skill_with_plugs_never_runs_without_them(self):
        digest = hashlib.sha256(PLUG.encode()).hexdigest()
        self.install('type = "component"\nentry = "app.wat"\n[compose]\n'
                     f'plug = [{{ path = "plug.wat", sha256 = "{digest}" }}]\n' + TOOL.format(method="run"),
                     app_wat=SEVEN, plug_wat=PLUG)
        server = self.server()
        for _ in range(2):
            self.assertEqual(server.good("t")["content"][0]["text"], "7")

    def test_a_schema_of_a_skill_keeps_nobody_busy_beyond_the_time_of_a_call(self):
        many = ",".join(["1"] * 20000)
        self.install('entry = "x.wat"\n' + TOOL.format(method="skill_execute") +
                     '[tools.input.properties.names]\ntype = "array"\n[tools.input.properties.names.items]\n'
                     f'required = [{",".join(["1"] * 9000).replace("1", chr(34) + "a" + chr(34))}]\n'
                     '[tools.output]\ntype = "object"\n[tools.output.properties.a]\ntype = "array"\n'
                     f'[tools.output.properties.a.items]\nenum = [{many},0]\n', x_wat=ZEROS)
        server = self.server(env={"CIS_RUNTIME_MAX_EXECUTION_TIME": "1000"})
        self.assertIn("DEADLINE", server.bad("t"))
        self.assertIn("DEADLINE", server.bad("t", names=[{"a": 0}] * 90000))
        server = self.server(env={"CIS_RUNTIME_MAX_EXECUTION_TIME": "600000"})
        number = server.send("tools/call", {"name": "t", "arguments": {}})
        while not server.good("runs_list")["structuredContent"]["runs"]:  # the guest has ended
            time.sleep(0.05)
        server.notify("notifications/cancelled", {"requestId": number})
        server.child.stdin.close()
        began = time.monotonic()
        self.assertEqual(server.child.wait(client.WAIT), 0)
        self.assertLess(time.monotonic() - began, 30)

    def test_what_an_undo_cannot_take_back_it_does_not_say_to_be_undone(self):
        folder = self.folder()
        with open(os.path.join(folder, "long"), "wb") as file:
            file.truncate(70 << 20)
        server = self.server("--dir", f"{folder}:cow")
        run = run_of(server.good("fs_write", path="/long", content="short"))
        self.assertIn(": 1 change\n", server.good("run_undo", run=run)["content"][0]["text"])  # by its rows
        self.assertEqual([e["size"] for e in server.good("fs_list", path="/")["structuredContent"]["entries"]], [70 << 20])
        deep = "/" + "d/" * 1005 + "f"
        later = run_of(server.good("fs_write", path=deep, content="x"))
        # By its text: a later run stands in between.
        self.assertIn("nothing was done: the user takes it back", server.bad("run_redo", run=run))
        self.assertEqual([e["size"] for e in server.good("fs_list", path="/")["structuredContent"]["entries"]
                          if e["name"] == "long"], [70 << 20])
        self.assertTrue([r for r in server.good("runs_list")["structuredContent"]["runs"]
                         if r["run"] == run][0]["undone"])
        server.good("run_undo", run=later)
        self.assertIn("NOTFOUND", server.bad("fs_read", path=deep))

    def test_what_takes_the_place_of_the_folder_is_not_served(self):
        folder, other = self.folder(), os.path.join(self.home, "other")
        os.makedirs(other)
        for name in ("folder/a", "other/a"):
            with open(os.path.join(self.home, name), "w", encoding="utf-8") as file:
                file.write(name)
        server = self.server("--dir", f"{folder}:cow")
        run = run_of(server.good("fs_write", path="/b", content="b"))
        os.rename(folder, folder + "-moved")
        os.symlink("other", folder)
        for name, more in (("fs_read", {"path": "/a"}), ("fs_list", {"path": "/"}), ("fs_search", {"pattern": "a"}),
                           ("fs_write", {"path": "/c", "content": "c"}), ("run_undo", {"run": run}),
                           ("run_diff", {"run": run})):
            self.assertIn("symlink", server.bad(name, **more), name)
        os.unlink(folder)
        os.rename(folder + "-moved", folder)
        self.assertEqual(server.text("/a"), "folder/a")
        self.assertEqual(os.listdir(other), ["a"])

    def test_the_record_of_a_change_has_room_however_many_folders_it_makes(self):
        server = self.server()
        run = run_of(server.good("fs_write", path="/" + "d/" * 1100 + "f", content="x"))
        files = json.loads(self.cis("runs", "show", "--json", run))["changes"]["files"]
        self.assertEqual(len(files["paths"]) + files["omitted"], 1101)

    def test_folders_that_a_write_makes_are_made_one_in_the_other(self):
        folder = self.folder()
        os.mkdir(f"{folder}/real")
        os.symlink("real", f"{folder}/link")
        server = self.server("--dir", f"{folder}:cow")
        for path in ("/many" + "/d" * 2000 + "/f", "/few/d/f", "/few//d//new///f", "/link/a/b/f"):
            server.good("fs_write", path=path, content="x")
        self.assertEqual(server.good("fs_read", path="/real/a/b/f")["content"][0]["text"], "x")
        self.assertEqual(server.good("fs_read", path="/few/d/new/f")["content"][0]["text"], "x")
        self.assertIn("Not a directory", server.bad("fs_write", path="/real/a/b/f/g/h", content="x"))

    def test_a_change_that_takes_too_long_is_told_so_and_not_kept(self):
        server = self.server(env={"CIS_RUNTIME_MAX_EXECUTION_TIME": "1ms"})
        self.assertIn("time limit reached", server.bad("fs_write", path="/big", content="x" * (12 << 20)))
        server = self.server()
        self.assertEqual(server.good("fs_list", path="/")["structuredContent"]["entries"], [])

    def test_names_that_a_search_holds_are_within_what_a_call_may_hold(self):
        at = os.open(self.folder(), os.O_RDONLY)
        for _ in range(15):
            os.mkdir("n" * 240, dir_fd=at)
            below = os.open("n" * 240, os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = below
        for i in range(3000):
            os.close(os.open(f"{i}", os.O_CREAT | os.O_WRONLY, dir_fd=at))
        os.close(at)
        server = self.server("--dir", f"{self.home}/folder:cow", env={"CIS_LIMITS_HOST_BYTES": "8MiB"})
        self.assertIn("limits.host_bytes", server.bad("fs_search", pattern="x"))
        server = self.server("--dir", f"{self.home}/folder:cow")
        self.assertIn("not found", server.good("fs_search", pattern="x")["content"][0]["text"])

    def test_a_zero_byte_ends_no_name_of_the_protocol(self):
        server = self.server()
        for method, version in (("ping\0", "2.0"), ("tools/list\0x", "2.0"), ("ping", "2.0\0")):
            server.raw(json.dumps({"jsonrpc": version, "id": 1, "method": method}).encode() + b"\n")
            self.assertEqual(server.answer()["error"]["code"], -32600, method)
        answer = server.call("tools/call", {"name": "fs_list\0x", "arguments": {"path": "/"}})
        self.assertEqual(answer["error"]["code"], -32602)


if __name__ == "__main__":
    unittest.main(verbosity=2)
