#!/usr/bin/env python3
"""Subscriptions: a client is told of files that runs of its server change. Test names are sentences."""
import json
import unittest

import web
from client import META, MODERN

ERAS = ("2025-11-25", "2025-06-18")
FILE = "cis:///files/a%20b"


class Subscribe(web.Case):
    def updates(self, server):
        """What the server told of by now, without progress and logs: a request that is answered comes after it."""
        server.result("tools/list")
        return [(t["method"], t["params"]) for t in server.told]

    def listen(self, server, *uris, **more):
        return server.send("subscriptions/listen", {"notifications": {"resourceSubscriptions": list(uris), **more}})

    def waits(self, server, n):
        while len(server.told) < n:
            pass

    def test_a_session_is_told_of_what_it_subscribed_to(self):
        for era in ERAS:
            server = self.server(era=era)
            server.result("tools/list")
            self.assertEqual(server.result("resources/subscribe", {"uri": FILE}), {})
            self.assertEqual(server.result("resources/subscribe", {"uri": FILE}), {})
            server.good("fs_write", path="/a b", content=era)
            server.good("fs_write", path="/other", content=era)
            self.assertEqual(self.updates(server), [("notifications/resources/updated", {"uri": FILE})])
            run = server.good("fs_edit", path="/a b", old=era, new="x")["_meta"]["cis/run"]
            server.good("run_undo", run=run)
            self.assertEqual(len(self.updates(server)), 3)
            server.bad("fs_edit", path="/a b", old="none", new="x")
            self.assertEqual(server.result("resources/unsubscribe", {"uri": FILE}), {})
            self.assertEqual(server.result("resources/unsubscribe", {"uri": FILE}), {})
            server.good("fs_write", path="/a b", content="z")
            self.assertEqual(len(self.updates(server)), 3)

    def test_a_request_that_listens_is_told_until_it_is_cancelled(self):
        server = self.server(era=MODERN)
        self.assertTrue(server.result("server/discover")["capabilities"]["resources"]["subscribe"])
        first = self.listen(server, FILE, "cis:///runs/1", "file:///etc/passwd", toolsListChanged=True)
        second = self.listen(server, "cis:///files/c")
        self.waits(server, 2)
        self.assertEqual([(t["method"], t["params"]) for t in server.told], [
            ("notifications/subscriptions/acknowledged",
             {"notifications": {"resourceSubscriptions": [FILE], "toolsListChanged": True},
              "_meta": {META + "subscriptionId": first}}),
            ("notifications/subscriptions/acknowledged",
             {"notifications": {"resourceSubscriptions": ["cis:///files/c"]}, "_meta": {META + "subscriptionId": second}})])
        server.good("fs_write", path="/a b", content="1")
        told = ("notifications/resources/updated", {"uri": FILE, "_meta": {META + "subscriptionId": first}})
        self.assertEqual(self.updates(server)[2:], [told])
        server.notify("notifications/cancelled", {"requestId": first})
        server.good("fs_write", path="/a b", content="2")
        server.good("fs_write", path="/c", content="2")
        self.assertEqual([params["_meta"][META + "subscriptionId"] for _, params in self.updates(server)[3:]], [second])
        server.child.stdin.close()  # it ends, and says so
        result = server.answer()
        self.assertEqual((result["id"], result["result"]["resultType"]), (second, "complete"))
        self.assertEqual(result["result"]["_meta"][META + "subscriptionId"], second)

    def test_what_cannot_be_subscribed_to_is_refused(self):
        server = self.server()
        for uri in ("cis:///runs/1", "cis:///files/../etc", "cis:///files/%zz", "file:///etc/passwd", "", "cis:///files/a%00b",
                    "cis:///files/.tarbox", "cis:///files/" + "a" * 9000):
            self.assertEqual(server.call("resources/subscribe", {"uri": uri})["error"]["code"], -32002, uri)
        self.assertEqual(server.call("resources/subscribe", {"uri": 3})["error"]["code"], -32602)
        for i in range(1024):
            server.result("resources/subscribe", {"uri": f"cis:///files/{i}"})
        self.assertIn("more than 1024", server.call("resources/subscribe", {"uri": "cis:///files/x"})["error"]["message"])
        server.result("resources/unsubscribe", {"uri": "cis:///files/7"})
        server.result("resources/subscribe", {"uri": "cis:///files/x"})
        server = self.server(era=MODERN)
        for params in ({}, {"notifications": []}, {"notifications": {"resourceSubscriptions": "a"}},
                       {"notifications": {"resourceSubscriptions": [FILE] * 257}}):
            self.assertEqual(server.call("subscriptions/listen", params)["error"]["code"], -32602)
        for _ in range(256):
            self.listen(server)
        self.assertIn("more than 256", server.call("subscriptions/listen", {"notifications": {}})["error"]["message"])
        for method in ("resources/subscribe", "resources/unsubscribe"):
            self.assertEqual(server.call(method, {"uri": FILE})["error"]["code"], -32601)

    # ---- HTTP ----

    def event(self, answer):
        while not (line := answer.readline()).startswith(b"data: "):
            self.assertNotEqual(line, b"")
        return json.loads(line[6:])

    def session(self, server):
        _, fields, _ = server.post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": ERAS[0], "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}})
        return {"Mcp_Session_Id": fields["Mcp-Session-Id"], "MCP_Protocol_Version": ERAS[0]}

    def stream(self, server, session):
        connection = server.http()
        self.addCleanup(connection.close)
        connection.request("GET", "/mcp", None, server.fields(**session, Accept="text/event-stream"))
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.getheader("Content-Type")), (200, "text/event-stream"))
        return connection, answer

    def legacy(self, server, session, method, params):
        status, _, body = server.post({"jsonrpc": "2.0", "id": 2, "method": method, "params": params}, **session)
        self.assertEqual(status, 200)
        return json.loads(body)["result"]

    def test_a_session_over_http_is_told_by_the_stream_that_it_opens(self):
        server = self.web()
        one, other = self.session(server), self.session(server)
        streams = [self.stream(server, session)[1] for session in (one, other)]
        self.legacy(server, one, "resources/subscribe", {"uri": FILE})
        self.legacy(server, other, "resources/subscribe", {"uri": "cis:///files/c"})
        for path in ("/a b", "/c"):
            server.tool("fs_write", path=path, content="1")
        for answer, uri in zip(streams, (FILE, "cis:///files/c")):
            self.assertEqual(self.event(answer)["params"], {"uri": uri})
        self.assertEqual(server.post(None, method="GET")[0], 405)
        self.assertEqual(server.post(None, method="GET", Accept="application/json", **one)[0], 406)
        self.assertEqual(server.post(None, method="GET", Authorization="Bearer x", **one)[0], 401)

    def test_over_http_only_a_session_subscribes(self):
        """Without one there is no stream to tell it by, and stdout is not its."""
        server = self.web()
        fields = {"MCP_Protocol_Version": ERAS[0]}
        status, _, body = server.post({"jsonrpc": "2.0", "id": 2, "method": "resources/subscribe", "params": {"uri": FILE}},
                                      **fields)
        self.assertIn("Mcp-Session-Id", json.loads(body)["error"]["message"])
        server.tool("fs_write", path="/a b", content="1")
        server.end()
        self.assertEqual(server.child.stdout.read(), b"")

    def test_a_request_over_http_listens_until_its_client_goes(self):
        server = self.web()
        message, fields = server.modern("subscriptions/listen", {"notifications": {"resourceSubscriptions": [FILE]}}, number=7)
        connections = [server.http() for _ in range(2)]
        answers = []
        for connection in connections:
            self.addCleanup(connection.close)
            connection.request("POST", "/mcp", json.dumps(message).encode(), server.fields(**fields))
            answers.append(connection.getresponse())
            self.assertEqual(self.event(answers[-1])["method"], "notifications/subscriptions/acknowledged")
        connections[0].sock.close()
        answers[0].close()
        for content in ("1", "2"):
            server.tool("fs_write", path="/a b", content=content)
            self.assertEqual(self.event(answers[1])["params"], {"uri": FILE, "_meta": {META + "subscriptionId": 7}})
        self.assertEqual(server.end(), 0)
        self.assertEqual(self.event(answers[1])["result"]["resultType"], "complete")

    def test_streams_of_clients_that_went_away_make_room(self):
        server = self.web()
        session = self.session(server)
        for _ in range(300):
            connection, answer = self.stream(server, session)
            answer.close()
            connection.close()
        self.stream(server, session)


if __name__ == "__main__":
    unittest.main()
