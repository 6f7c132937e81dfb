#!/usr/bin/env python3
"""`cis mcp --http`: the protocol over HTTP, and who may call. Test names are sentences."""
import concurrent.futures
import http.client
import json
import os
import select
import signal
import stat
import time
import unittest
import unittest.mock

import client
import test_ask
import test_skills
import web
from client import META, MODERN

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


class Eras(web.Case):
    def test_a_client_of_2026_calls_without_a_session(self):
        server = self.web()
        found = server.result("server/discover")
        self.assertEqual(found["supportedVersions"][0], MODERN)
        written = server.tool("fs_write", path="/a", content="x")
        self.assertFalse(written["isError"])
        self.assertEqual(server.tool("fs_read", path="/a")["content"][0]["text"], "x")
        uri = "cis:///files/a"
        self.assertEqual(server.result("resources/read", {"uri": uri})["contents"][0]["text"], "x")
        self.assertIn("fs_read", [tool["name"] for tool in server.result("tools/list")["tools"]])

    def test_a_client_of_2025_begins_with_initialize_and_names_its_version_from_then_on(self):
        server = self.web()
        for era in ("2025-11-25", "2025-06-18"):
            connection = server.http()
            params = {"protocolVersion": era, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
            status, fields, body = server.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params},
                                               connection)
            self.assertEqual((status, json.loads(body)["result"]["protocolVersion"]), (200, era))
            session = {"MCP_Protocol_Version": era, "Mcp_Session_Id": fields["Mcp-Session-Id"]}
            status, _, body = server.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, connection,
                                          **session)
            self.assertEqual((status, body), (202, b""))
            status, _, body = server.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, connection, **session)
            self.assertEqual(status, 200)
            self.assertIn("tools", json.loads(body)["result"])
            connection.close()

    def test_a_version_that_is_not_known_is_refused(self):
        server = self.web()
        self.assertEqual(server.post(PING, MCP_Protocol_Version="2024-11-05")[0], 400)
        message, fields = server.modern("tools/list")
        message["params"]["_meta"][META + "protocolVersion"] = "2031-01-01"
        status, _, body = server.post(message, **{**fields, "MCP_Protocol_Version": "2031-01-01"})
        self.assertEqual((status, json.loads(body)["error"]["code"]), (400, -32022))

    def test_fields_that_say_something_else_than_the_message_are_refused(self):
        server = self.web()
        good = {"MCP_Protocol_Version": MODERN, "Mcp_Method": "tools/call", "Mcp_Name": "fs_list"}
        message, _ = server.modern("tools/call", {"name": "fs_list", "arguments": {"path": "/"}})
        self.assertEqual(server.post(message, **good)[0], 200)
        self.assertEqual(server.post(message, **{**good, "Mcp_Name": "=?base64?ZnNfbGlzdA==?="})[0], 200)
        for field, values in (("MCP_Protocol_Version", (None, "2025-11-25")), ("Mcp_Method", (None, "tools/list", "")),
                              ("Mcp_Name", (None, "fs_write", "fs_list ,fs_list", "=?base64?ZnNfd3JpdGU=?="))):
            for value in values:
                status, _, body = server.post(message, **{**good, field: value})
                self.assertEqual((status, json.loads(body)["error"]["code"]), (400, -32020), (field, value))

    def test_fields_that_a_message_of_2025_need_not_have_do_not_lie_either(self):
        server = self.web()
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "fs_list", "arguments": {"path": "/"}}}
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}}
        answer = {"jsonrpc": "2.0", "id": "cis-1", "result": {}}
        for message, good in ((call, "tools/call"), (cancelled, "notifications/cancelled")):
            self.assertIn(server.post(message, Mcp_Method=good)[0], (200, 202))
        self.assertEqual(server.post(call, Mcp_Method="tools/call", Mcp_Name="fs_list")[0], 200)
        for message, fields in ((call, {"Mcp_Method": "tools/list"}), (call, {"Mcp_Name": "fs_read"}),
                                (cancelled, {"Mcp_Method": "notifications/initialized"}),
                                (answer, {"Mcp_Method": "tools/list"})):
            status, _, body = server.post(message, **fields)
            self.assertEqual((status, json.loads(body)["error"]["code"]), (400, -32020), (message, fields))

    def test_what_is_wrong_has_a_status(self):
        server = self.web()
        status, answer = server.call("no/such")
        self.assertEqual((status, answer["error"]["code"]), (404, -32601))
        status, answer = server.call("tools/call", {"name": "nope"})
        self.assertEqual((status, answer["error"]["code"]), (400, -32602))
        for body, code in ((b"{", -32700), (b"[]", -32600), (b"", -32700), (b"1", -32600)):
            status, _, text = server.post(body)
            self.assertEqual((status, json.loads(text)["error"]["code"]), (400, code), body)

    def test_progress_comes_as_a_stream_of_events(self):
        """A call that is done at once is answered with JSON, whatever it asked for."""
        server = self.web()
        message, fields = server.modern("tools/call", {"name": "fs_list", "arguments": {"path": "/"}},
                                        progressToken="p")
        status, fields, _ = server.post(message, **fields)
        self.assertEqual((status, fields["Content-Type"]), (200, "application/json"))


class Callers(web.Case):
    """Other users of this machine reach loopback too, and so does every page in a browser."""

    def refused(self, server, status, method="POST", **fields):
        got = server.post(PING, method=method, **fields)
        self.assertEqual(got[0], status, (fields, got))
        return got

    def test_without_the_token_nobody_calls(self):
        server = self.web()
        token = server.token
        self.assertEqual(server.post(PING)[0], 200)
        for value in (None, "", "Bearer", "Bearer ", f"Bearer {token[:-1]}", f"Bearer {token}x", f"Basic {token}", token,
                      f"Bearer {token.upper()}", f"Bearer {token}, Bearer {token}", "Bearer " + "a" * 8000):
            _, fields, _ = self.refused(server, 401, Authorization=value)
            self.assertEqual(fields["WWW-Authenticate"], "Bearer")
        got = server.raw(server.head(f"Authorization: Bearer {token}", "Content-Length: 2") + b"{}")
        self.assertTrue(got.startswith(b"HTTP/1.1 401"), got)  # twice

    def test_a_host_that_is_not_the_servers_is_refused(self):
        server = self.web()
        port = server.port
        for good in (f"127.0.0.1:{port}", f"localhost:{port}", f"LocalHost:{port}"):
            self.assertEqual(server.post(PING, Host=good)[0], 200, good)
        for bad in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", f"127.0.0.2:{port}",
                    f"localhost.evil.example:{port}", f"127.0.0.1.evil.example:{port}", f"0.0.0.0:{port}", f":{port}",
                    f"[::1]:{port}", f"2130706433:{port}", f"127.1:{port}", f"localhost.:{port}"):
            self.refused(server, 403, Host=bad)
        named = self.web("--http-host", "cis.internal:80")
        self.assertEqual(named.post(PING, Host="cis.internal:80")[0], 200)
        self.refused(named, 403, Host="evil.internal:80")
        proxied = self.web("--http-host", "cis.internal")  # by TLS, in front of it
        self.assertEqual(proxied.post(PING, Host="cis.internal", Origin="https://cis.internal")[0], 200)
        for origin in ("https://evil.internal", "https://cis.internal.evil", f"https://localhost:{proxied.port}"):
            self.refused(proxied, 403, Host="cis.internal", Origin=origin)

    def test_an_origin_that_is_not_the_servers_is_refused(self):
        server = self.web()
        port = server.port
        for good in (None, f"http://127.0.0.1:{port}", f"http://localhost:{port}"):
            self.assertEqual(server.post(PING, Origin=good)[0], 200, good)
        for bad in ("null", "", "http://evil.example", f"http://evil.example:{port}", f"https://localhost:{port}",
                    "http://localhost", f"http://localhost:{port}.evil.example", f"http://localhost:{port}/",
                    f"http://localhost:{port}@evil.example", "http://", f"http://localhost:{port}, http://evil.example"):
            self.refused(server, 403, Origin=bad)

    def test_only_post_and_only_json(self):
        server = self.web()
        for method in ("GET", "DELETE", "OPTIONS", "HEAD", "PUT", "PATCH", "TRACE"):
            status, fields, body = server.post(None, method=method)
            self.assertEqual((status, fields["Allow"]), (405, "POST, GET"), method)
            self.assertNotIn("Access-Control-Allow-Origin", fields)
            self.assertTrue(body or method == "HEAD")
        for kind in (None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx",
                     "text/plain, application/json", "multipart/form-data"):
            self.refused(server, 415, Content_Type=kind)
        for kind in ("application/json; charset=utf-8", "Application/JSON"):
            self.assertEqual(server.post(PING, Content_Type=kind)[0], 200, kind)
        for accept in ("text/html", "application/json", "text/event-stream", "application/jsonx"):
            self.refused(server, 406, Accept=accept)
        for accept in (None, "*/*", "application/*, text/*"):
            self.assertEqual(server.post(PING, Accept=accept)[0], 200, accept)
        body = json.dumps(PING).encode()
        head = server.head("Accept: application/json", "Accept: text/event-stream", "Connection: close",
                           f"Content-Length: {len(body)}")
        self.assertTrue(server.raw(head + body).startswith(b"HTTP/1.1 200 "))
        self.assertEqual(server.post(PING, path="/mcp?x=1")[0], 200)
        for path in ("/", "/mcp/", "/mcp/x", "/MCP", "/x/../mcp", "/%6dcp"):
            self.assertEqual(server.post(PING, path=path)[0], 404, path)

    def test_a_token_file_is_made_and_kept_for_the_user_alone(self):
        path = os.path.join(self.home, "token")
        first = self.web("--token-file", path)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        with open(path, encoding="ascii") as file:
            first.token = file.read().strip()
        self.assertEqual(len(first.token), 64)
        self.assertEqual(first.post(PING)[0], 200)
        self.assertNotIn(first.token, "".join(first.said))
        second = self.web("--token-file", path)
        second.token = first.token
        self.assertEqual(second.post(PING)[0], 200)

    def test_a_token_file_that_others_can_read_is_refused(self):
        path = os.path.join(self.home, "token")
        for mode, text in ((0o644, "a" * 64), (0o640, "a" * 64), (0o600, "short"), (0o600, "a" * 20 + " b"), (0o600, ""),
                           (0o600, "a" * 600), (0o600, "ä" * 40)):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(path, mode)
            done = client.subprocess.run([client.CIS, "mcp", "--http", "0", "--token-file", path], env=self.env,
                                         capture_output=True, check=False)
            self.assertNotEqual(done.returncode, 0, (mode, text))
            self.assertIn(path.encode(), done.stderr)
            self.assertNotIn(b"http://", done.stderr)

    def test_going_without_a_token_has_to_be_said(self):
        server = self.web("--no-token")
        self.assertEqual(server.post(PING, Authorization=None)[0], 200)
        self.assertEqual(server.post(PING, Host="evil.example")[0], 403)
        self.assertEqual(server.post(PING, Origin="http://evil.example")[0], 403)
        self.assertIn("every user of this machine may call", "".join(server.said))
        self.assertIn("together", self.cis("mcp", "--http", "0", "--no-token", "--token-file", "x", code=2))
        self.assertIn("--http", self.cis("mcp", "--no-token", code=2))

    def test_it_listens_on_the_other_loopback_when_told_to(self):
        server = self.web(address="[::1]:0")
        self.assertRegex(server.host, r"^\[::1\]:\d+$")
        connection = http.client.HTTPConnection("::1", server.port, timeout=client.WAIT)
        self.assertEqual(server.post(PING, connection)[0], 200)
        self.assertEqual(server.post(PING, connection, Host=f"localhost:{server.port}")[0], 200)
        self.assertEqual(server.post(PING, connection, Host=f"127.0.0.1:{server.port}")[0], 403)
        connection.close()

    def test_an_address_is_one(self):
        for address in ("", "x", "70000", "example.com:80", "1.2.3:80", "127.0.0.1", "127.0.0.1:", "::1:80", "[::1]",
                        "127.0.0.1:80x", "[127.0.0.1]:80"):
            self.assertIn("HOST:PORT", self.cis("mcp", "--http", address, code=2), address)


class Calls(web.Case):
    """Calls that take their time: a skill's that never ends by itself."""
    folder, install = test_skills.Skills.folder, test_skills.Skills.install

    def spinner(self, time_limit="600s"):
        self.install(test_skills.ECHO.replace("skill_execute", "skill_spin"), "--inherit", "yes",
                     more=f'[limits]\ntime = "{time_limit}"')
        return self.web()

    def send(self, server, message, fields):
        """A request that nobody waits for."""
        body = json.dumps(message).encode()
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        peer = server.connect()
        peer.sendall(server.head(f"Accept: {web.ACCEPT}", f"Content-Length: {len(body)}", *lines) + body)
        return peer

    def cancelled(self, server):
        runs = server.tool("runs_list")["structuredContent"]["runs"]
        return len([run for run in runs if run["status"] == "cancelled"])

    def until(self, condition):
        end = time.monotonic() + client.WAIT
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def test_progress_comes_as_events_before_the_answer(self):
        server = self.spinner("7s")
        message, fields = server.modern("tools/call", {"name": "echo", "arguments": {"text": "x"}}, progressToken="p")
        status, got, body = server.post(message, **fields)
        self.assertEqual((status, got["Content-Type"]), (200, "text/event-stream"))
        events = [event.split("\n") for event in body.decode().strip().split("\n\n")]
        self.assertTrue(all(event[0] == "event: message" and event[1].startswith("data: ") for event in events))
        told, answer = (json.loads(event[1][6:]) for event in events)
        self.assertEqual((told["method"], told["params"]["progressToken"]), ("notifications/progress", "p"))
        self.assertTrue(answer["result"]["isError"])
        self.assertEqual(answer["id"], 1)

    def test_an_answer_that_is_longer_than_a_stream_may_hold_comes_behind_what_was_told(self):
        wat = """(module (import "cis" "host_log" (func $log (param i32 i32 i32)))
          (import "cis" "output_write" (func $write (param i32 i32) (result i32)))
          (memory (export "memory") 81) (data (i32.const 16) "line")
          (func (export "alloc") (param i32) (result i32) (i32.const 1024)) (func (export "dealloc") (param i32 i32))
          (func (export "skill_execute") (param i32 i32) (result i32)
            (call $log (i32.const 2) (i32.const 16) (i32.const 4))
            (memory.fill (i32.const 65536) (i32.const 120) (i32.const 5242880))
            (call $write (i32.const 65536) (i32.const 5242880))))"""
        folder = self.folder('[[tools]]\nname = "big"\nmethod = "skill_execute"\n', name="big")
        with open(os.path.join(folder, "x.wat"), "w", encoding="utf-8") as file:
            file.write(wat)
        self.cis("skill", "install", folder)
        server = self.web()
        message, fields = server.modern("tools/call", {"name": "big"}, **{META + "logLevel": "info"})
        legacy = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "big"}}
        for message, fields in ((message, fields), (legacy, {})):
            status, got, body = server.post(message, **fields)
            self.assertEqual((status, got["Content-Type"]), (200, "text/event-stream"))
            told, answer = (json.loads(event.split("\ndata: ")[1]) for event in body.decode().strip().split("\n\n"))
            self.assertEqual(told["method"], "notifications/message")
            self.assertEqual(answer["result"]["content"][0]["text"], "x" * 5242880)

    def test_who_does_not_read_keeps_no_answer_from_others(self):
        server = self.web()
        server.tool("fs_write", path="/big", content="x" * (15 << 20))
        message, fields = server.modern("resources/read", {"uri": "cis:///files/big"})
        peers = []
        self.addCleanup(lambda: [peer.close() for peer in peers])
        done = []

        def write(n):
            """True: done; False: refused, and not done. Nothing else is an answer."""
            message, fields = server.modern("tools/call", {"name": "fs_write", "arguments": {"path": f"/{n}", "content": ""}})
            status, _, body = server.post(message, **fields)
            self.assertIn(status, (200, 503))
            return status == 200 and "result" in json.loads(body)

        self.assertTrue(write(0))
        for n in range(1, 25):
            peers.append(self.send(server, message, fields))
            self.assertEqual(server.call("server/discover")[0], 200)
            done.append(write(n))
        self.assertIn(False, done)
        self.until(lambda: write(0))  # who holds what he does not read is closed
        names = [entry["name"] for entry in server.tool("fs_list", path="/")["structuredContent"]["entries"]]
        self.assertEqual({f"{n}" for n, good in enumerate(done, 1) if good} | {"0", "big"}, set(names))

    def test_reading_a_long_message_holds_up_nobody(self):
        server = self.web()
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "no/such", "params": {"a": ["\\" * 50] * 150000}}).encode()
        self.assertLess(len(body), 16 << 20)
        other = server.http()

        def longest(done):
            most = 0
            while not done.done():
                began = time.monotonic()
                self.assertEqual(server.post(PING, other)[0], 200)
                most = max(most, time.monotonic() - began)
            return most

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            for _ in range(100):  # a busy machine may be slow for other reasons
                began = time.monotonic()
                sent = pool.submit(server.post, body)
                most = longest(sent)
                self.assertEqual(json.loads(sent.result()[2])["error"]["code"], -32601)
                if most < (time.monotonic() - began) / 4:
                    break
            else:
                self.fail("nobody is served while a long message is read")
        other.close()

    def test_a_long_message_is_as_any_other(self):
        server = self.web()
        text = "x" * 300000
        self.assertFalse(server.tool("fs_write", path="/long", content=text)["isError"])
        self.assertEqual(server.tool("fs_read", path="/long")["content"][0]["text"], text)
        message, fields = server.modern("tools/call", {"name": "fs_write", "arguments": {"path": "/b", "content": text}})
        self.assertEqual(server.post(message, **{**fields, "Mcp_Name": "fs_read"})[0], 400)
        self.assertEqual(server.post(b" " * 300000)[0], 400)
        for _ in range(20):  # who goes away at once is nothing to the others
            self.send(server, message, fields).close()
        self.assertFalse(server.tool("fs_list", path="/")["isError"])

    def test_a_client_of_2026_cancels_by_going_away(self):
        server = self.spinner()
        message, fields = server.modern("tools/call", {"name": "echo", "arguments": {"text": "x"}}, progressToken="p")
        peers = [self.send(server, message, fields) for _ in range(6)]  # more than run at once
        self.assertTrue(select.select(peers, [], [], client.WAIT)[0])  # the first progress of one
        for peer in peers:
            peer.close()
        self.until(lambda: self.cancelled(server) >= 1)
        self.assertFalse(server.tool("fs_list", path="/")["isError"])

    def test_calls_that_wait_for_clients_that_are_gone_keep_nobody_out(self):
        server = self.spinner()
        message, fields = server.modern("tools/call", {"name": "echo", "arguments": {"text": "x"}})
        runs = [self.send(server, message, fields) for _ in range(4)]  # as many as run at once, and more
        for _ in range(1100):  # as many as may wait, and more
            self.send(server, message, fields).close()
        self.assertFalse(server.tool("fs_list", path="/")["isError"])
        for peer in runs:
            peer.close()

    def test_calls_that_wait_are_bounded_by_the_memory_that_they_take(self):
        """An empty object takes many times its two bytes."""
        server = self.spinner()
        message, fields = server.modern("tools/call", {"name": "echo", "arguments": {"text": "x"}})
        peers = [self.send(server, message, fields) for _ in range(8)]  # some of them wait
        message["params"]["arguments"]["a"] = [{}] * 99000
        large = [self.send(server, message, fields) for _ in range(4)]
        self.assertTrue(select.select(large, [], [], client.WAIT)[0])
        message["params"]["arguments"]["a"] = []
        peers.append(self.send(server, message, fields))
        self.until(lambda: len(select.select(large, [], [], 0)[0]) == 3)  # one waits, and leaves room for others
        for peer in select.select(large, [], [], 0)[0]:
            self.assertTrue(peer.recv(100).startswith(b"HTTP/1.1 503 "))
        self.assertFalse(server.tool("fs_list", path="/")["isError"])
        self.assertEqual(select.select(peers, [], [], 0)[0], [])
        for peer in peers + large:
            peer.close()

    def test_a_client_of_2025_cancels_its_own_calls_and_no_others(self):
        server = self.spinner()
        call = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "x"}}}
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}
        mine, other = {"Mcp_Session_Id": "mine"}, {"Mcp_Session_Id": "other"}
        peers = [self.send(server, call, mine) for _ in range(8)]  # some of them wait
        for fields in (other, {}, {"Mcp_Session_Id": ""}, {"Mcp_Session_Id": "m" * 300}):
            self.assertEqual(server.post(cancel, **fields)[0], 202)
        self.assertEqual(server.post({**cancel, "params": {"requestId": 6}}, **mine)[0], 202)
        self.assertEqual(self.cancelled(server), 0)
        self.assertEqual(select.select(peers, [], [], 0)[0], [])  # nobody was
        self.until(lambda: server.post(cancel, **mine)[0] == 202 and len(select.select(peers, [], [], 0)[0]) == 8)
        for peer in peers:  # each is told that nothing comes
            self.assertTrue(peer.recv(100).startswith(b"HTTP/1.1 202 "))
            peer.close()

    def test_calls_that_run_are_cancelled_at_the_end_and_those_that_wait_are_dropped(self):
        server = self.spinner()
        message, fields = server.modern("tools/call", {"name": "echo", "arguments": {"text": "x"}})
        peers = [self.send(server, message, fields) for _ in range(8)]
        self.assertFalse(server.tool("runs_list")["isError"])
        began = time.monotonic()
        self.assertEqual(server.end(), 0)
        self.assertLess(time.monotonic() - began, 60)
        for peer in peers:
            peer.close()

    def test_connections_leave_open_files_to_calls(self):
        self.install(test_skills.ECHO)
        program = os.path.join(self.home, "few")
        with open(program, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nulimit -n 128\nexec "{client.CIS}" "$@"\n')
        os.chmod(program, 0o700)
        with unittest.mock.patch.object(web, "CIS", program):
            server = self.web()
        silent = [server.connect() for _ in range(160)]
        self.assertFalse(server.tool("echo", text="x")["isError"])
        for peer in silent:
            peer.close()

    def test_a_body_that_is_too_large_is_refused_before_it_is_read(self):
        server = self.web()
        for lines in (("Content-Length: 16777217",), ("Content-Length: 99999999999",), ("Transfer-Encoding: chunked",)):
            got = server.raw(server.head(f"Accept: {web.ACCEPT}", *lines) + b"1000001\r\n")
            self.assertTrue(got.startswith(b"HTTP/1.1 413 "), got)
        text = "x" * (15 << 20)
        self.assertTrue(server.tool("fs_write", path="/a", content=text)["isError"] in (True, False))

    def test_what_is_smuggled_behind_a_refused_request_is_not_done(self):
        server = self.web()
        message, fields = server.modern("tools/call", {"name": "fs_write", "arguments": {"path": "/s", "content": "x"}})
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        body = json.dumps(message).encode()
        hidden = server.head(f"Accept: {web.ACCEPT}", f"Content-Length: {len(body)}", *lines) + body
        for first in ((f"Content-Length: {len(hidden) + 5}", "Transfer-Encoding: chunked"), ("Transfer-Encoding: x",),
                      ("Content-Length: 0", "Content-Length: 5"), ("Host: x",), ("Transfer-Encoding : chunked",),
                      ("Content-Length: 0\nX: y",), ("X: y\r\n z",)):
            got = server.raw(server.head(*first) + b"0\r\n\r\n" + hidden)
            self.assertTrue(got.startswith(b"HTTP/1.1 400 "), (first, got))
            self.assertEqual(got.count(b"HTTP/1.1"), 1)
        self.assertTrue(server.tool("fs_read", path="/s")["isError"])


class Questions(web.Case):
    install = test_ask.Ask.install

    def test_a_question_is_answered_in_the_session_that_it_was_asked_in(self):
        self.install()
        server = self.web()
        call = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "ask", "arguments": {}}}
        connection = server.http()
        connection.request("POST", "/mcp", json.dumps(call), server.fields(Mcp_Session_Id="mine.ask"))
        answer = connection.getresponse()
        lines = iter(answer.readline, b"")
        asked = json.loads(next(line for line in lines if line.startswith(b"data: "))[6:])
        self.assertEqual(asked["method"], "elicitation/create")

        def reply(name, session):
            said = {"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept", "content": {"name": name}}}
            self.assertEqual(server.post(said, Mcp_Session_Id=session)[0], 202)

        for other in (None, "", "other.ask", "m" * 300 + ".ask"):
            reply("Eve", other)
        reply("Ada", "mine.ask")
        said = json.loads(next(line for line in lines if line.startswith(b"data: "))[6:])
        self.assertEqual(json.loads(said["result"]["content"][0]["text"]), {"name": "Ada"})
        connection.close()

    def test_questions_that_nobody_answers_keep_nobody_from_his_calls(self):
        self.install()
        server = self.web()
        call = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "ask", "arguments": {}}}

        def ask():
            connection = server.http()
            connection.request("POST", "/mcp", json.dumps(call), server.fields(Mcp_Session_Id="mine.ask"))
            answer = connection.getresponse()
            self.addCleanup(answer.close)
            if answer.getheader("Content-Type") == "application/json":
                return connection, json.loads(answer.read())
            return connection, json.loads(next(li for li in iter(answer.readline, b"") if li.startswith(b"data: "))[6:])

        living = [ask() for _ in range(5)]
        self.assertFalse(server.tool("far")["isError"])
        for _ in range(300):  # of clients that are gone: more than may wait at once
            connection, asked = ask()
            while "method" not in asked:
                self.assertIn("too many wait", asked["result"]["content"][0]["text"])
                connection.close()
                connection, asked = ask()
            connection.close()
        for connection, asked in living:
            self.assertEqual(asked["method"], "elicitation/create")
            connection.close()

    def test_a_session_whose_name_is_too_long_is_nobodys_and_is_not_asked(self):
        self.install()
        server = self.web()
        call = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "ask", "arguments": {}}}
        connection = server.http()
        connection.request("POST", "/mcp", json.dumps(call), server.fields(Mcp_Session_Id="m" * 300 + ".ask"))
        answer = connection.getresponse()
        self.assertEqual(answer.getheader("Content-Type"), "application/json")
        self.assertIn("elicitation", answer.read().decode())
        connection.close()


class Life(web.Case):
    def test_it_ends_in_order_at_sigterm_and_ctrl_c(self):
        for how in (signal.SIGTERM, signal.SIGINT):
            server = self.web()
            connection = server.http()
            self.assertEqual(server.post(PING, connection)[0], 200)
            self.assertEqual(server.end(how), 0)
            connection.close()

    def test_many_calls_at_once_are_all_answered(self):
        server = self.web()

        def one(i):
            connection = server.http()
            written = server.tool("fs_write", connection, path=f"/{i}", content=str(i))
            read = server.tool("fs_read", connection, path=f"/{i}")
            connection.close()
            return not written["isError"] and read["content"][0]["text"] == str(i)

        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            self.assertTrue(all(pool.map(one, range(200))))
        listed = server.tool("runs_list")["content"][0]["text"]
        self.assertEqual(listed.count("fs_write"), 200)

    def test_a_connection_is_kept_for_many_requests(self):
        server = self.web()
        connection = server.http()
        for i in range(300):
            self.assertEqual(server.post({**PING, "id": i}, connection)[0], 200)
        connection.close()


if __name__ == "__main__":
    unittest.main()
