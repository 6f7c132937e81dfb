#!/usr/bin/env python3
"""Skills that are installed, removed or granted something else while `cis mcp` runs: it sees it, and tells who listens.
Test names are sentences."""
import contextlib
import json
import os
import re
import shutil
import sqlite3
import threading
import time
import unittest

import web
from client import META, MODERN, WAIT

LEGACY = "2025-11-25"
LISTS = ("tools", "prompts", "resources")
CHANGED = {f"notifications/{name}/list_changed" for name in LISTS}
# Gives back what it is given, with a number that tells one version from the other; skill_spin never ends.
WAT = """(module
  (import "cis" "output_write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "{\\"version\\":%s}")
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "dealloc") (param i32 i32))
  (func (export "skill_execute") (param i32 i32) (result i32)
    (drop (call $write (i32.const 16) (i32.const 13))) (i32.const 0))
  (func (export "skill_spin") (param i32 i32) (result i32) (loop (br 0)) (i32.const 0)))
"""
MANIFEST = """[skill]
name = "{name}"
version = "{version}.0.0"
entry = "x.wat"
[[tools]]
name = "{name}_tool"
method = "skill_execute"
description = "{description}"
"""
PROMPT = '[[prompts]]\nname = "{name}_prompt"\ntext = "Say it"\n'
RESOURCE = '[[resources]]\nname = "{name}_file"\nuri = "shop://{name}"\nfile = "{name}.txt"\n'
SPIN = '[[tools]]\nname = "{name}_spin"\nmethod = "skill_spin"\n'


class Lists(web.Case):
    def install(self, name="one", version=1, more="", description="what it does", content="1"):
        """Of this version, with these parts of a manifest besides its tool."""
        folder = os.path.join(self.home, f"{name}-skill")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        with open(os.path.join(folder, "x.wat"), "w", encoding="utf-8") as file:
            file.write(WAT % version)
        with open(os.path.join(folder, f"{name}.txt"), "w", encoding="utf-8") as file:
            file.write(content)
        with open(os.path.join(folder, "skill.toml"), "w", encoding="utf-8") as file:
            file.write((MANIFEST + more).format(name=name, version=version, description=description))
        self.cis("skill", "install", folder, "--yes", "--inherit", "yes")

    def database(self):
        return os.path.join(self.env["CIS_HOME"], "data", "tenants", self.env["CIS_TENANT"] + ".db")

    def lock(self):
        return os.path.join(self.env["CIS_HOME"], "data", "skills", self.env["CIS_TENANT"], ".lock")

    def until(self, holds):
        end = time.monotonic() + WAIT
        while not holds():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    def told(self, server):
        return {t["method"] for t in server.told}

    def names(self, server):
        return {t["name"] for t in server.result("tools/list")["tools"]}

    def test_a_session_is_told_of_an_install_and_a_removal(self):
        server = self.server(era=None)
        abilities = server.begin(LEGACY)["capabilities"]
        self.assertTrue(all(abilities[name]["listChanged"] for name in LISTS))
        self.install(more=PROMPT + RESOURCE)
        self.until(lambda: CHANGED <= self.told(server))
        self.assertIn("one_tool", self.names(server))
        self.assertEqual([p["name"] for p in server.result("prompts/list")["prompts"]], ["one_prompt"])
        self.assertIn("shop://one", [r["uri"] for r in server.result("resources/list")["resources"]])
        self.assertIn('"version":1', server.good("one_tool")["content"][0]["text"])
        server.told.clear()
        self.cis("skill", "remove", "one")
        self.until(lambda: CHANGED <= self.told(server))
        self.assertNotIn("one_tool", self.names(server))
        self.assertEqual(server.result("prompts/list")["prompts"], [])
        self.assertEqual(server.call("tools/call", {"name": "one_tool", "arguments": {}})["error"]["code"], -32602)
        self.assertEqual(len(server.told), 3)  # one of each, and nothing more

    def test_only_the_lists_that_changed_are_told(self):
        self.install(more=PROMPT + RESOURCE)
        server = self.server()
        self.install(version=2, more=PROMPT + RESOURCE, description="something else")
        self.until(lambda: server.told)
        self.until(lambda: '"version":2' in server.tool("one_tool")["content"][0]["text"])
        self.assertEqual(self.told(server), {"notifications/tools/list_changed"})
        spec = {t["name"]: t for t in server.result("tools/list")["tools"]}["one_tool"]
        self.assertEqual(spec["description"], "something else")
        server.told.clear()
        self.install(version=3, more=PROMPT + RESOURCE, description="something else")  # only its code
        self.until(lambda: '"version":3' in server.tool("one_tool")["content"][0]["text"])
        self.assertEqual(server.told, [])

    def test_a_grant_changes_what_is_said_of_a_tool(self):
        self.install(more='[permissions]\nfilesystem = "rw"')
        self.cis("skill", "revoke", "one", "fs=rw")
        server = self.server()
        hints = lambda: {t["name"]: t for t in server.result("tools/list")["tools"]}["one_tool"]["annotations"]
        self.assertTrue(hints()["readOnlyHint"])
        self.cis("skill", "grant", "one", "fs=rw")
        self.until(lambda: server.told)
        self.assertEqual((self.told(server), hints()["readOnlyHint"]), ({"notifications/tools/list_changed"}, False))

    def test_a_file_that_a_skill_declares_is_told_when_another_takes_its_place(self):
        self.install(more=RESOURCE)
        server = self.server()
        server.result("resources/subscribe", {"uri": "shop://one"})
        self.install(version=2, more=RESOURCE, content="2")
        self.until(lambda: server.told)
        self.assertEqual([(t["method"], t["params"]) for t in server.told],
                         [("notifications/resources/updated", {"uri": "shop://one"})])
        read = server.result("resources/read", {"uri": "shop://one"})
        self.assertEqual(read["contents"][0]["text"], "2")

    def test_a_request_that_listens_is_told_of_what_it_asked_for(self):
        server = self.server(era=MODERN)
        first = server.send("subscriptions/listen", {"notifications": {"promptsListChanged": True}})
        second = server.send("subscriptions/listen", {"notifications": {
            "toolsListChanged": True, "resourcesListChanged": False, "promptsListChanged": "yes"}})
        self.until(lambda: len(server.told) == 2)
        self.assertEqual([t["params"]["notifications"] for t in server.told],
                         [{"promptsListChanged": True}, {"toolsListChanged": True}])
        server.told.clear()
        self.install(more=PROMPT + RESOURCE)
        self.until(lambda: len(server.told) >= 2)
        self.assertIn("one_tool", self.names(server))
        self.assertEqual({(t["method"], t["params"]["_meta"][META + "subscriptionId"]) for t in server.told}, {
            ("notifications/prompts/list_changed", first), ("notifications/tools/list_changed", second)})
        self.assertEqual(len(server.told), 2)

    def test_a_call_that_runs_keeps_what_it_began_with(self):
        self.install(more=SPIN)
        server = self.server()
        spins = server.send("tools/call", {"name": "one_spin", "arguments": {}})
        time.sleep(0.3)
        self.install(version=2)
        self.until(lambda: server.told)
        self.assertEqual(self.names(server) & {"one_tool", "one_spin"}, {"one_tool"})
        self.assertIn('"version":2', server.good("one_tool")["content"][0]["text"])
        server.notify("notifications/cancelled", {"requestId": spins})
        self.cis("skill", "remove", "one")
        self.until(lambda: len(server.told) >= 2)
        self.assertNotIn("one_tool", self.names(server))

    def test_code_that_was_not_listed_is_not_called(self):
        """Until the lists are those of the new version, a call is refused."""
        self.install()
        server = self.server()
        refused = 0
        for version in range(2, 12):
            installs = threading.Thread(target=self.install, kwargs={"version": version})
            seen = []
            installs.start()
            while f'"version":{version}' not in seen[-1:]:
                result = server.tool("one_tool")
                text = result["content"][0]["text"]
                if result["isError"]:
                    self.assertIn("another version was installed meanwhile", text)
                    text = "refused"
                text = re.sub(r"[{}]", "", text)
                seen += [text] if text not in seen[-1:] else []
                self.assertLessEqual(len(seen), 3, seen)
            installs.join()
            expected = [f'"version":{version - 1}', "refused", f'"version":{version}']
            self.assertEqual([one for one in expected if one in seen], seen)
            refused += "refused" in seen
            if refused >= 2:
                return
        self.fail("no call came between an install and the new lists")

    def test_tools_that_are_named_come_and_go_with_their_skill(self):
        self.install()
        server = self.server("--tools", "fs_read,one_tool")
        self.assertEqual(self.names(server), {"fs_read", "one_tool"})
        self.cis("skill", "remove", "one")
        self.until(lambda: self.names(server) == {"fs_read"})
        self.install("two")
        self.install()
        self.until(lambda: self.names(server) == {"fs_read", "one_tool"})

    def test_a_store_that_is_away_leaves_what_was_listed(self):
        if self.env.get("CIS_STORE"):
            self.skipTest("it is a file that is taken away")
        self.install()
        server = self.server()
        with contextlib.closing(sqlite3.connect(self.database())) as store:
            for table in ("skill", "config"):  # none can be listed; none can be opened
                store.execute(f"ALTER TABLE {table} RENAME TO away")
                store.commit()
                with open(self.lock(), "r+b") as file:
                    file.write(f"as a change would {table}".encode())
                self.until(lambda: server.tool("one_tool")["isError"])
                time.sleep(3)  # it looks a few times
                self.assertIn("one_tool", self.names(server))
                store.execute(f"ALTER TABLE away RENAME TO {table}")
                store.commit()
                self.install(f"not_{table}")
                self.until(lambda: f"not_{table}_tool" in self.names(server))
        self.assertEqual(server.end(), 0)
        self.assertEqual(server.stderr().count("served as they were"), 2, server.stderr())

    # ---- HTTP ----

    def event(self, answer):
        while not (line := answer.readline()).startswith(b"data: "):
            self.assertNotEqual(line, b"")
        return json.loads(line[6:])

    def stream(self, server, method, message, fields):
        connection = server.http()
        self.addCleanup(connection.close)
        body = None if message is None else json.dumps(message).encode()
        connection.request(method, "/mcp", body, server.fields(**fields))
        return connection.getresponse()

    def test_over_http_streams_and_requests_that_listen_are_told(self):
        server = self.web()
        _, fields, _ = server.post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}})
        session = self.stream(server, "GET", None, {"Mcp_Session_Id": fields["Mcp-Session-Id"],
                                                    "MCP_Protocol_Version": LEGACY, "Accept": "text/event-stream"})
        message, more = server.modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, number=7)
        listens = self.stream(server, "POST", message, more)
        self.assertEqual(self.event(listens)["method"], "notifications/subscriptions/acknowledged")
        self.install(more=PROMPT)
        self.assertEqual({self.event(session)["method"] for _ in range(2)},
                         {"notifications/tools/list_changed", "notifications/prompts/list_changed"})
        told = self.event(listens)
        self.assertEqual((told["method"], told["params"]["_meta"][META + "subscriptionId"]),
                         ("notifications/tools/list_changed", 7))
        self.assertIn('"version":1', server.tool("one_tool")["content"][0]["text"])
        server.end()
        self.assertEqual(server.child.stdout.read(), b"")


if __name__ == "__main__":
    unittest.main()
