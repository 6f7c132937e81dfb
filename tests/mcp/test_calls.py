#!/usr/bin/env python3
"""A server takes no more memory for calls that came before, besides its caches: tools of its own, of a skill, and what fails.

    test_calls.py [CALLS]     a few thousand by themselves; 100,000 in torture
"""
import os
import sys
import time
import unittest

import client
from client import MODERN, run_of

CALLS = int(sys.argv.pop()) if sys.argv[-1].isdigit() else 3000
MIB = 1024 * 1024
MOST = 40 * MIB
RUNS = 10000  # that a server can name: what it keeps of them stays once there are so many
RUN = 2048  # bytes, more than it keeps of one
RUNS_OF_TEN = 4  # calls that are runs, among ten
SMALL = {"CIS_CACHE_CONTENT": "1MiB", "CIS_CACHE_PAGES": "1MiB", "CIS_CACHE_NAMES": "1000", "CIS_CACHE_INODES": "1000"}
AHEAD = 32  # calls that are sent before their answers are read
SANITIZED = bool(os.environ.get("CIS_TEST_SANITIZED"))
SKILL = """[skill]
name = "echoer"
version = "1.0.0"
entry = "x.wat"
[[tools]]
name = "echo"
method = "skill_execute"
[tools.output]
type = "object"
"""
WAT = """(module
  (import "cis" "output_write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024)) (func (export "dealloc") (param i32 i32))
  (func (export "skill_execute") (param i32 i32) (result i32)
    (drop (call $write (local.get 0) (local.get 1))) (i32.const 0)))
"""


class Calls(client.Case):
    def send(self, server, i):
        """The number of a call, its answer and whether it is to fail."""
        path = f"/{i % 50}"
        kind = i % 10
        calls = {0: ("fs_write", {"path": path, "content": f"line {i % 997}\n" * 20}),
                 1: ("fs_edit", {"path": f"/{(i - 1) % 50}", "old": f"line {(i - 1) % 997}\n" * 20, "new": "x"}),
                 2: ("fs_list", {"path": "/"}),
                 3: ("echo", {"text": "x" * (i % 500)}),
                 4: ("fs_read", {"path": "/none"}),
                 5: ("echo", {"text": [i]})}
        name, arguments = calls.get(kind, ("fs_read", {"path": "/kept"}))
        more = {"progressToken": i} if kind == 7 else {}
        return server.send("tools/call", {"name": name, "arguments": arguments}, **more), kind == 4

    def memory(self, server):
        with open(f"/proc/{server.child.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))

    def calls(self, server, n):
        """n calls; what the server takes at ten moments, the last at the end."""
        taken, sent = [], []
        for i in range(n):
            sent.append(self.send(server, i))
            if len(sent) == AHEAD or i == n - 1:
                answers = {a["id"]: a for a in (server.answer() for _ in sent)}
                for number, fails in sent:
                    self.assertEqual(answers[number]["result"]["isError"], fails, answers[number])
                sent.clear()
            if (i + 1) % (n // 10) == 0:
                taken.append(self.memory(server))
        return taken

    def test_memory_is_flat_whatever_was_called(self):
        folder = os.path.join(self.home, "skill")
        os.makedirs(folder)
        for name, text in (("skill.toml", SKILL), ("x.wat", WAT)):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        self.cis("skill", "install", folder)
        calls = 300 if SANITIZED else CALLS
        for era, caches in ((MODERN, SMALL), ("2025-11-25", {})):  # those of the settings fill for a long time
            began, server = time.monotonic(), self.server(era=era, env=caches)
            server.good("fs_write", path="/kept", content="kept")
            first = run_of(server.good("fs_write", path="/first", content="1"))
            self.calls(server, 500)
            taken = self.calls(server, calls)
            print(f"{era}: {calls} calls, MiB: {' '.join(f'{t / MIB:.1f}' for t in taken)}", flush=True)
            full = calls * RUNS_OF_TEN // 10 >= 2 * RUNS  # by the middle the oldest make room
            kept = 0 if full else calls * RUNS_OF_TEN // 10 * RUN
            if not SANITIZED:
                self.assertLess(max(taken), MOST)
                self.assertTrue(not caches or taken[-1] - taken[4 if full else 0] < kept + MIB, taken)
            if full:
                self.assertIn("not a run of this server", server.bad("run_undo", run=first))
            else:
                server.good("run_undo", run=first)
            if CALLS > 10000:  # what the start was given time for is not what a call is given
                time.sleep(max(0.0, began + 65 - time.monotonic()))
            server.good("echo", text="still there")
            self.assertEqual(server.text("/kept"), "kept")


if __name__ == "__main__":
    unittest.main()
