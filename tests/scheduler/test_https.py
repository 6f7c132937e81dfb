#!/usr/bin/env python3
"""Scenarios over HTTPS: requests that the host sends for the scheduler, in each of its forms. The server's
certificate is of an authority that only these tests know. Test names are sentences."""
import http.server
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

import test_scheduler as base
from test_scheduler import END, flow, get, node


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        self.request.settimeout(30)  # the handshake is done here, not while the next one is waited for
        super().setup()

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do(self):
        given = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, len(given), dict(self.headers)))
        if self.path.startswith("/status/"):
            self.answer(int(self.path[8:]), b"{}")
        elif self.path == "/long":
            self.answer(200, b"x" * (3 << 20))
        elif self.path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nhello\r\n0\r\n\r\n")
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
        elif self.path == "/late":
            self.server.over.wait(30)
            self.answer(200, b"{}")
        else:
            self.answer(200, json.dumps({"asset": {"version": "v1"}, "n": len(given)}).encode())

    do_GET = do_POST = do_HEAD = do_PURGE = do

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen, self.over = [], threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.origin = f"https://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever)
        self.thread.start()

    def handle_error(self, request, client_address):
        pass  # clients that do not know the authority go away

    def close(self):
        self.over.set()
        self.shutdown()
        self.thread.join()
        self.server_close()


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


def make_certificates(folder):
    """ca.pem, and cert.pem with key.pem that it signed."""
    at = {name: os.path.join(folder, name) for name in ("ca.pem", "ca.key", "cert.pem", "key.pem", "csr", "ext")}
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=scenarios", "-days", "2",
            "-keyout", at["ca.key"], "-out", at["ca.pem"])
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", at["key.pem"], "-out",
            at["csr"])
    with open(at["ext"], "w", encoding="ascii") as file:
        file.write("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", at["csr"], "-CA", at["ca.pem"], "-CAkey", at["ca.key"], "-CAcreateserial", "-days",
            "2", "-extfile", at["ext"], "-out", at["cert.pem"])


class Https(base.Case):
    @classmethod
    def setUpClass(cls):
        cls.certificates = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.certificates.cleanup)
        make_certificates(cls.certificates.name)

    def setUp(self):
        super().setUp()
        self.env["CIS_HTTP_CA_FILE"] = os.path.join(self.certificates.name, "ca.pem")
        self.server = Server(self.certificates.name)
        self.addCleanup(self.server.close)

    def flow(self, *actions, **options):
        """Each action follows the one before."""
        nodes = [node("start" if i == 0 else f"n{i}", name, "{to: " + (f"n{i + 1}" if i + 1 < len(actions) else "end")
                      + "}") for i, (name, _) in enumerate(actions)]
        return flow(", ".join(a for _, a in actions), ", ".join(nodes + [END]), **options)

    def get(self, path, more="", name="a", of=None):
        return name, get(name, (of or self.server.origin) + path, more)

    def go(self, yaml, *argv, form="direct"):
        said = self.run_yaml(form, yaml, *argv)
        self.assertTrue(said.ok, said.text + said.err)
        return said

    def granted(self, yaml, form="direct"):
        return self.go(yaml, "--http", self.server.origin, form=form)

    def test_every_form_sends_through_the_host_and_says_the_same(self):
        yaml = self.flow(self.get("/asset", ", export: [{type: assert, name: asset.version, default: v1}]"),
                         ("b", f"{{id: b, call: post, with: {{url: '{self.server.origin}/asset', "
                               "headers: {X-User: '{{user.id}}', Connection: keep-alive}, body: {n: 1}}}"),
                         self.get("/status/404", name="c"), users=5, iterations=2, life="loop")
        lines = set()
        for form in base.FORMS:
            self.server.seen.clear()
            s = self.granted(yaml, form)
            self.assertEqual((s.summary["statuses"], s.summary["successful"], s.summary["failed"]),
                             ({"200": 20, "404": 10}, 20, 10), s.err)
            self.assertEqual((s.summary["assertions"], s.summary["assertions_failed"]), (10, 0))
            self.assertGreater(s.summary["latency_p50_ms"] + s.summary["latency_max_ms"], 0)
            self.assertEqual(sorted({(m, p, n) for m, p, n, _ in self.server.seen}),
                             [("GET", "/asset", 0), ("GET", "/status/404", 0), ("POST", "/asset", 7)])
            self.assertEqual(len(self.server.seen), 30)
            self.assertEqual({h["X-User"] for m, _, _, h in self.server.seen if m == "POST"}, set("12345"))
            lines.add(s.lines())
        self.assertEqual(len(lines), 1, lines)

    def test_without_the_grant_every_form_is_denied_and_nothing_is_sent(self):
        yaml = self.flow(self.get("/asset"))
        port = self.server.server_address[1]
        for form in base.FORMS + ["plugged-http"]:
            for grants in ((), ("--net", f"tcp:127.0.0.1:{port}"), ("--http", f"https://127.0.0.1:{port + 1}"),
                           ("--http", f"http://127.0.0.1:{port}")):
                s = self.go(yaml, *grants, form=form)
                self.assertEqual((s.summary["successful"], s.summary["failed"]), (0, 1))
                self.assertRegex(s.err, "Access ?[dD]enied")
                self.assertIn(f"--allow http={self.server.origin}", s.err)
        self.assertEqual(self.server.seen, [])

    def test_the_command_has_it_in_every_plan_and_tells_the_grant(self):
        path = os.path.join(self.folder.name, "s.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.flow(self.get("/asset"), users=4))
        for plan in ("a", "b", "bp", "c"):
            done = self.cis("scenario", "run", "--plan", plan, "--http", self.server.origin, "--parallel", "2",
                            "--json", path)
            self.assertEqual((done.returncode, json.loads(done.stdout)["statuses"]), (0, {"200": 4}), done.stderr)
            done = self.cis("scenario", "run", "--plan", plan, path)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"--allow http={self.server.origin}", done.stderr)
        self.assertEqual(len(self.server.seen), 16)

    def test_actions_of_another_component_send_it_and_those_that_log_do_not(self):
        yaml = self.flow(self.get("/asset"), users=3)
        s = self.granted(yaml, "plugged-http")
        self.assertEqual((s.summary["statuses"], len(self.server.seen)), ({"200": 3}, 3), s.err)
        s = self.granted(yaml, "plugged-log")
        self.assertEqual((s.summary["statuses"], len(self.server.seen)), ({"200": 3}, 3), s.err)
        self.assertEqual(s.out.count(f"[LOG] a: GET {self.server.origin}/asset"), 3)

    def test_a_certificate_of_an_unknown_authority_is_not_accepted(self):
        del self.env["CIS_HTTP_CA_FILE"]
        s = self.granted(self.flow(self.get("/asset")))
        self.assertEqual((s.summary["failed"], s.summary["errors"]), (1, {"Certificate not accepted": 1}))
        self.assertEqual(self.server.seen, [])

    def test_what_cannot_be_reached_or_breaks_off_or_is_late_fails(self):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            away = f"https://127.0.0.1:{nobody.getsockname()[1]}"
            s = self.go(self.flow(self.get("/", of=away)), "--http", away)
        self.assertIn(f"Failed to connect to {away[8:]}: Connection refused", s.err)
        s = self.granted(self.flow(self.get("/short")))
        self.assertIn("incomplete HTTP response", s.err)
        late = f"{{id: a, call: get, with: {{url: '{self.server.origin}/late', timeout: 300ms}}}}"
        for form in base.FORMS:
            s = self.granted(self.flow(("a", late)), form)
            self.assertEqual(s.summary["errors"], {"Operation timed out": 1})
            self.assertLess(s.summary["duration_seconds"], 15)

    def test_bodies_are_sent_and_counted_whole(self):
        post = f"{{id: a, call: post, with: {{url: '{self.server.origin}/x', body: '{{{{d.text}}}}'}}}}"
        size = 100000  # of an argument of the command line
        yaml = self.flow(("a", post), self.get("/long", name="b"), self.get("/chunked", name="c"),
                         ("d", f"{{id: d, call: head, with: {{url: '{self.server.origin}/x?a=b'}}}}"),
                         ("e", f"{{id: e, call: purge, with: {{url: '{self.server.origin}'}}}}"),
                         resources=f"{{id: d, type: t, properties: {{text: {'y' * size}}}}}")
        s = self.granted(yaml)
        self.assertEqual(s.summary["statuses"], {"200": 5}, s.err)
        self.assertEqual([r[:3] for r in self.server.seen],
                         [("POST", "/x", size), ("GET", "/long", 0), ("GET", "/chunked", 0), ("HEAD", "/x?a=b", 0),
                          ("PURGE", "/", 0)])

    def test_what_the_host_decides_cannot_be_set(self):
        for more, why in (("bind_ip: 127.0.0.1", "cannot have an address of its own"),
                          ("headers: {Host: other}", "a header that the host sets"),
                          ("headers: {'a b': c}", "invalid header")):
            s = self.granted(self.flow(("a", f"{{id: a, call: get, with: {{url: '{self.server.origin}/', {more}}}}}")))
            self.assertIn(why, s.err)
            self.assertEqual(s.summary["failed"], 1)
        self.assertEqual(self.server.seen, [])

    def test_more_users_than_the_host_sends_at_once_wait_for_one_another(self):
        s = self.granted(self.flow(self.get("/asset"), users=300))
        self.assertEqual((s.summary["successful"], s.summary["failed"]), (300, 0), s.err[:2000])


if __name__ == "__main__":
    if os.path.exists(os.path.join(base.BUILT, "missing")):
        base.not_tested()
    base.compose_all()
    unittest.main()
