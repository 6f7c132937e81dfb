"""`cis mcp --http` for tests: a server, and a client that sends what it is told to, also bytes that are no HTTP."""
import http.client
import json
import re
import signal
import socket
import subprocess
import threading

import client
from client import CIS, META, MODERN, WAIT

ACCEPT = "application/json, text/event-stream"
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


class Web:
    """One `cis mcp --http 0`."""

    def __init__(self, env, *args, address="0"):
        self.child = subprocess.Popen([CIS, "mcp", "--http", address, *args], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
        self.said, self.host, self.token = [], None, None
        self.ready = threading.Event()
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()
        self.ready.wait(WAIT)

    def listen(self):
        """stderr: where it listens, the token, what a sanitizer says."""
        for line in self.child.stderr:
            text = line.decode()
            self.said.append(text)
            if found := re.match(r"cis mcp: http://(.*)/mcp$", text):
                self.host = found[1]
            if found := re.match(r"cis mcp: Authorization: Bearer (.*)$", text):
                self.token = found[1]
            if self.token or "without a token" in text:
                self.ready.set()
            if self.host and not self.ready.is_set():  # the token is in a file, if nothing follows
                threading.Timer(2, self.ready.set).start()
        self.ready.set()

    @property
    def port(self):
        return int(self.host.rsplit(":", 1)[1])

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT)

    def http(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)

    def fields(self, **more):
        """Those of a good request. A field that is None is left out; _ is written for -."""
        fields = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", "Accept": ACCEPT}
        for name, value in more.items():
            fields.pop(name.replace("_", "-"), None)
            if value is not None:
                fields[name.replace("_", "-")] = value
        return fields

    def post(self, message, connection=None, method="POST", path="/mcp", **more):
        """(status, fields, body)"""
        body = message if isinstance(message, (bytes, type(None))) else json.dumps(message).encode()
        own = connection or self.http()
        try:
            own.request(method, path, body, self.fields(**more))
            answer = own.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            if connection is None:
                own.close()

    @staticmethod
    def modern(method, params=None, number=1, **meta):
        """A request of 2026-07-28 and its fields."""
        params = {**(params or {}), "_meta": {META + "protocolVersion": MODERN, META + "clientCapabilities": {}, **meta}}
        fields = {"MCP_Protocol_Version": MODERN, "Mcp_Method": method}
        if method in NAMED and NAMED[method] in params:
            fields["Mcp_Name"] = params[NAMED[method]]
        return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}, fields

    def call(self, method, params=None, connection=None, **meta):
        """What a request of 2026-07-28 is answered with."""
        message, fields = self.modern(method, params, **meta)
        status, _, body = self.post(message, connection, **fields)
        return status, json.loads(body)

    def result(self, method, params=None, connection=None):
        status, answer = self.call(method, params, connection)
        assert status == 200 and "result" in answer, (status, answer)
        return answer["result"]

    def tool(self, name, connection=None, **arguments):
        return self.result("tools/call", {"name": name, "arguments": arguments}, connection)

    def raw(self, data, half=False):
        """All that is answered to these bytes until the server closes, or says no more for a while."""
        with self.connect() as peer:
            peer.sendall(data)
            if half:
                peer.shutdown(socket.SHUT_WR)
            peer.settimeout(WAIT)
            got = b""
            while piece := peer.recv(65536):
                got += piece
            return got

    def head(self, *lines, first="POST /mcp HTTP/1.1", host=True):
        """The bytes of a head, good ones first."""
        all_lines = [first, *([f"Host: {self.host}"] if host else []), f"Authorization: Bearer {self.token}",
                     "Content-Type: application/json", *lines]
        return "\r\n".join(all_lines).encode("latin-1") + b"\r\n\r\n"

    def end(self, how=signal.SIGTERM):
        self.child.send_signal(how)
        return self.child.wait(WAIT)


class Case(client.Case):
    def web(self, *args, env=None, address="0"):
        web = Web({**self.env, **(env or {})}, *args, address=address)

        def stop():
            ended = web.child.poll()
            code = web.end() if ended is None else 0
            web.listener.join(WAIT)
            web.child.stdout.close()
            web.child.stderr.close()
            said = "".join(web.said)
            self.assertNotIn("Sanitizer", said)
            self.assertEqual(code, 0, said)

        self.addCleanup(stop)
        self.assertIsNotNone(web.host, web.said)
        return web
