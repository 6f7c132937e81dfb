#!/usr/bin/env python3
"""Attacks on `cis mcp` by whoever writes a skill, and by a model: each did harm once, or came near. Test
names are sentences."""
import hashlib
import os
import unittest

import client

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

    def test_a_tool_of_a_skill_with_plugs_never_runs_without_them(self):
        digest = hashlib.sha256(PLUG.encode()).hexdigest()
        self.install('type = "component"\nentry = "app.wat"\n[compose]\n'
                     f'plug = [{{ path = "plug.wat", sha256 = "{digest}" }}]\n' + TOOL.format(method="run"),
                     app_wat=SEVEN, plug_wat=PLUG)
        server = self.server()
        for _ in range(2):
            self.assertEqual(server.good("t")["content"][0]["text"], "7")


if __name__ == "__main__":
    unittest.main(verbosity=2)
