#!/usr/bin/env python3
"""The protocol: both eras, pages, errors, everything that is not a message. Test names are sentences."""
import json
import os
import unittest

import client
from client import META, MODERN

ERAS = (MODERN, "2025-11-25", "2025-06-18")
ALL = ["fs_edit", "fs_list", "fs_read", "fs_search", "fs_write", "run_diff", "run_redo", "run_undo", "runs_list"]
if os.path.exists(os.path.join(os.environ["CIS_BUILD_DIR"], "shell", "cis-shell.wasm")):
    ALL.append("shell")


class Eras(client.Case):
    def test_a_client_of_2025_begins_with_initialize_and_gets_the_version_it_asked_for(self):
        for era in ERAS[1:]:
            with self.subTest(era=era):
                server = self.server(era=None)
                begun = server.begin(era)
                self.assertEqual(begun["protocolVersion"], era)
                self.assertEqual(begun["serverInfo"]["name"], "cis")
                self.assertIn("tools", begun["capabilities"])
                self.assertEqual(server.result("ping"), {})
                self.assertEqual(server.end(), 0)

    def test_a_version_that_is_not_known_is_answered_with_the_newest_that_has_initialize(self):
        server = self.server(era=None)
        for asked in ("2024-11-05", "2030-01-01", MODERN):
            begun = server.result("initialize", {"protocolVersion": asked, "capabilities": {}})
            self.assertEqual(begun["protocolVersion"], "2025-11-25")

    def test_a_client_of_2026_discovers_and_calls_without_a_session(self):
        server = self.server(era=None)
        found = server.begin(MODERN)
        self.assertEqual(found["supportedVersions"], list(ERAS))
        self.assertEqual(found["resultType"], "complete")
        self.assertEqual(found["_meta"][META + "serverInfo"]["name"], "cis")
        listed = server.result("tools/list")
        self.assertEqual((listed["resultType"], listed["ttlMs"], listed["cacheScope"]), ("complete", 0, "private"))
        written = server.good("fs_write", path="/a", content="x")
        self.assertEqual(written["resultType"], "complete")
        self.assertIn("cis/run", written["_meta"])
        self.assertIn(META + "serverInfo", written["_meta"])

    def test_methods_of_one_era_are_unknown_in_the_other(self):
        server = self.server(era=None)
        server.era = MODERN
        for method in ("initialize", "ping", "logging/setLevel", "resources/subscribe"):
            self.assertEqual(server.call(method)["error"]["code"], -32601, method)
        server.era = None
        server.begin("2025-11-25")
        self.assertEqual(server.call("server/discover")["error"]["code"], -32601)

    def test_an_unknown_version_in_meta_names_those_there_are(self):
        server = self.server(era=None)
        answer = server.call("tools/list", {"_meta": {META + "protocolVersion": "2031-01-01",
                                                      META + "clientCapabilities": {}}})
        self.assertEqual(answer["error"]["code"], -32022)
        self.assertEqual(answer["error"]["data"], {"supported": list(ERAS), "requested": "2031-01-01"})

    def test_a_request_of_2026_without_capabilities_is_refused(self):
        server = self.server(era=None)
        answer = server.call("tools/list", {"_meta": {META + "protocolVersion": MODERN}})
        self.assertEqual(answer["error"]["code"], -32602)

    def test_nothing_but_ping_works_before_a_session_began(self):
        server = self.server(era=None)
        self.assertEqual(server.call("ping")["result"], {})
        for method in ("tools/list", "tools/call", "resources/read"):
            self.assertEqual(server.call(method, {"name": "fs_read"})["error"]["code"], -32600)


class Lists(client.Case):
    def test_tools_are_listed_by_name_with_schema_and_annotations(self):
        for era in ERAS:
            with self.subTest(era=era):
                tools = self.server(era=era).result("tools/list")["tools"]
                self.assertEqual([tool["name"] for tool in tools], ALL)
                for tool in tools:
                    self.assertRegex(tool["name"], "^[a-zA-Z0-9_]{1,64}$")
                    self.assertEqual(tool["inputSchema"]["type"], "object")
                    reads = tool["name"] in ("fs_read", "fs_list", "fs_search", "run_diff", "runs_list")
                    self.assertEqual(tool["annotations"]["readOnlyHint"], reads, tool["name"])

    def test_only_the_tools_that_were_named_are_there(self):
        server = self.server("--tools", "fs_read,fs_list")
        self.assertEqual([t["name"] for t in server.result("tools/list")["tools"]], ["fs_list", "fs_read"])
        answer = server.call("tools/call", {"name": "fs_write", "arguments": {"path": "/a", "content": "x"}})
        self.assertEqual(answer["error"]["code"], -32602)

    def test_a_tool_that_is_not_there_cannot_be_named(self):
        for name in ("sh", "run_apply", "fs_red", "", "fs_read,"):
            self.assertIn("is not a tool", self.cis("mcp", "--tools", name, code=2))

    def test_what_is_null_is_as_if_it_were_left_out(self):
        """So some clients in Go and Python send what they leave out."""
        server = self.server()
        for method, params in (("tools/list", None), ("tools/list", {"_meta": None}), ("tools/list", {"cursor": None}),
                               ("tools/call", {"name": "runs_list", "arguments": None, "_meta": None}),
                               ("tools/call", {"name": "runs_list", "arguments": None, "_meta": {"progressToken": None}}),
                               ("tools/call", {"name": "runs_list", "arguments": {}, "inputResponses": None,
                                               "requestState": None})):
            number = server.n = server.n + 1
            server.raw(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n")
            answer = server.answer()
            self.assertFalse(answer["result"].get("isError"), (method, params, answer))
        self.assertIn("path", server.result("tools/call", {"name": "fs_read", "arguments": None})["content"][0]["text"])
        modern = self.server(era=client.MODERN)
        modern.result("tools/call", {"name": "runs_list", "arguments": None, "inputResponses": None, "requestState": None})
        modern.send("subscriptions/listen", {"notifications": {"resourceSubscriptions": None, "toolsListChanged": None}})
        self.assertEqual(modern.result("tools/list", {"cursor": None})["resultType"], "complete")
        self.assertEqual(modern.told[0]["params"]["notifications"], {})
        for params in ({"name": None}, {"name": "runs_list", "arguments": []}, {"name": "runs_list", "arguments": 0}):
            self.assertEqual(server.call("tools/call", params)["error"]["code"], -32602)

    def test_a_cursor_of_nobody_is_refused(self):
        server = self.server()
        for cursor in ("x", "-1", "99999", 7, ""):
            self.assertEqual(server.call("tools/list", {"cursor": cursor})["error"]["code"], -32602, cursor)

    def test_many_runs_are_listed_page_by_page(self):
        server = self.server()
        made = [client.run_of(server.good("fs_write", path=f"/{i}", content="x")) for i in range(130)]
        uris, cursor = [], None
        while True:
            page = server.result("resources/list", {"cursor": cursor} if cursor else {})
            self.assertLessEqual(len(page["resources"]), 100)
            uris += [r["uri"] for r in page["resources"]]
            cursor = page.get("nextCursor")
            if cursor is None:
                break
        self.assertEqual(uris, [f"cis:///runs/{run}" for run in reversed(made)])


class Broken(client.Case):
    """What is no message of JSON-RPC is answered with one error, and the server goes on."""

    def check(self, data, code, id=None):
        server = self.server()
        server.raw(data + b"\n")
        answer = server.answer()
        self.assertEqual((answer["jsonrpc"], answer["id"], answer["error"]["code"]), ("2.0", id, code), data[:80])
        self.assertEqual(server.result("ping"), {})

    def test_what_is_not_json_is_a_parse_error(self):
        for data in (b"{", b"nonsense", b'{"jsonrpc":"2.0","id":1,"method":"ping"', b'{"a":1}}', b"\xff\xfe",
                     b'{"jsonrpc":"2.0","id":1,"method":"p\xff"}', b'{"id":01}', b"'ping'", b"[1,]", b"\x00"):
            self.check(data, -32700)

    def test_json_that_is_no_request_is_an_invalid_request(self):
        for data in (b"1", b'"ping"', b"null", b"[]", b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', b"{}",
                     b'{"jsonrpc":"1.0","method":"ping"}', b'{"jsonrpc":"2.0"}', b'{"method":"ping"}',
                     b'{"jsonrpc":"2.0","id":null,"method":"ping"}', b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
                     b'{"jsonrpc":"2.0","id":{},"method":"ping"}', b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
                     b'{"jsonrpc":"2.0","method":7}', b'{"jsonrpc":"2.0","method":"a","method":"b"}'):
            self.check(data, -32600)

    def test_an_error_names_the_request_whose_id_could_be_read(self):
        self.check(b'{"jsonrpc":"2.0","id":7}', -32600, 7)
        self.check(b'{"id":"x","method":"ping"}', -32600, "x")
        self.check(b'{"jsonrpc":"2.0","id":"y","method":"ping","params":[]}', -32602, "y")
        self.check(b'{"jsonrpc":"2.0","id":8,"method":"nope"}', -32601, 8)

    def test_deep_nesting_and_many_values_are_refused_before_anything_is_built(self):
        head = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":'
        for data in (head + b"[" * 100 + b"]" * 100 + b"}}", head + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}}",
                     head + b"[" + b"1," * 300000 + b"1]}}"):
            self.check(data, -32600)
        self.check(b"[" * 100000 + b"]" * 100000, -32700)

    def test_a_line_of_more_than_16_mib_is_refused_and_left_out(self):
        server = self.server()
        for size in (16 << 20, 40 << 20):
            server.raw(b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"' + b"y" * size + b'"}}\n')
            self.assertEqual(server.answer()["error"]["code"], -32700)
            self.assertEqual(server.result("ping"), {})

    def test_lines_that_ask_for_nothing_are_not_answered(self):
        server = self.server()
        server.raw(b"\n  \n\r\n"
                   b'{"jsonrpc":"2.0","id":77,"result":{}}\n{"jsonrpc":"2.0","method":"notifications/nope"}\n'
                   b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99}}\n'
                   b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":[]}\n'
                   b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"fs_write",'
                   b'"arguments":{"path":"/never","content":""}}}\n')
        self.assertEqual(server.result("ping"), {})
        self.assertIn("NOTFOUND", server.bad("fs_read", path="/never"))

    def test_ids_come_back_as_they_were(self):
        server = self.server()
        for id in (0, -1, 2**53, 9223372036854775807, "", "ü\n", "x" * 1024):
            server.raw(json.dumps({"jsonrpc": "2.0", "id": id, "method": "ping"}).encode() + b"\n")
            self.assertEqual(server.answer(), {"jsonrpc": "2.0", "id": id, "result": {}})
        self.check(json.dumps({"jsonrpc": "2.0", "id": "x" * 1025, "method": "ping"}).encode(), -32600)

    def test_the_last_line_may_lack_its_end(self):
        server = self.server()
        server.raw(b'{"jsonrpc":"2.0","id":5,"method":"ping"}')
        server.child.stdin.close()
        self.assertEqual(server.answer(), {"jsonrpc": "2.0", "id": 5, "result": {}})
        self.assertIsNone(server.answer())
        self.assertEqual(server.child.wait(client.WAIT), 0)


class Arguments(client.Case):
    def test_arguments_that_do_not_fit_are_told_to_the_model_and_nothing_runs(self):
        server = self.server()
        for arguments, why in (({}, "path is missing"), ({"path": 7, "content": ""}, "is not of type string"),
                               ({"path": "/a", "content": "", "mode": 1}, "does not allow"),
                               ({"path": "", "content": ""}, "minLength")):
            self.assertIn(why, server.bad("fs_write", **arguments))
        self.assertEqual(server.good("runs_list")["structuredContent"]["runs"], [])

    def test_a_call_without_arguments_or_with_others_than_an_object(self):
        server = self.server()
        self.assertFalse(server.result("tools/call", {"name": "runs_list"})["isError"])
        self.assertEqual(server.call("tools/call", {"name": "runs_list", "arguments": []})["error"]["code"], -32602)
        self.assertEqual(server.call("tools/call", {"name": 7})["error"]["code"], -32602)
        self.assertEqual(server.call("tools/call")["error"]["code"], -32602)


class Options(client.Case):
    def test_what_cannot_be_served_is_refused_before_anything_is_read(self):
        self.assertIn("cow", self.cis("mcp", "--dir", "/tmp", code=2))
        self.assertIn("cow", self.cis("mcp", "--dir", "/tmp:rw", code=2))
        self.assertIn("cannot be used together", self.cis("mcp", "--dir", "/tmp:cow", "--workspace", "main", code=2))
        self.cis("mcp", "--workspace", "nope", code=3)
        self.assertIn("No such file", self.cis("mcp", "--dir", "/nonexistent:cow", code=3))
        self.assertIn("Not a directory", self.cis("mcp", "--dir", "/dev/null:cow", code=3))


if __name__ == "__main__":
    unittest.main(verbosity=2)
