"""HTTP before `cis mcp` on stdin and stdout, for a suite that speaks HTTP alone: a message that is posted is written as a
line, and what the server writes until it answers is what the post is answered with. A request of 2026-07-28 has a
server of its own, a session of the revisions before has one as long as it lasts. What HTTP itself has to refuse (Host,
Origin, fields that repeat the message) is not here."""
import http.server
import json
import queue
import subprocess
import threading

from client import CIS, META

NOT_FOUND, BAD = {-32601}, {-32602, -32600, -32700, -32020, -32021, -32022}


class Child:
    """One `cis mcp`. What it writes goes to the post that waits for it, what belongs to none to the stream of the session."""

    def __init__(self, env, session=False):
        self.session = session
        self.process = subprocess.Popen([CIS, "mcp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        env=env)
        self.lock = threading.Lock()
        self.waits = {}  # id -> queue
        self.stream = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            message = json.loads(line)
            with self.lock:
                if "method" not in message:
                    answers = self.waits.pop(message["id"], self.stream)
                elif self.session and message["method"].endswith(("list_changed", "resources/updated")):
                    answers = self.stream
                else:
                    answers = next(reversed(self.waits.values()), self.stream)
            answers.put(message)
        self.process.stdout.close()
        with self.lock:
            for answers in (self.stream, *self.waits.values()):
                answers.put(None)

    def send(self, message):
        """Its queue of answers; None: it has none."""
        answers = queue.Queue() if "method" in message and "id" in message else None
        with self.lock:
            if answers:
                self.waits[message["id"]] = answers
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        return answers

    def end(self):
        with self.lock:
            if not self.process.stdin.closed:
                self.process.stdin.close()
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def event(self, message):
        data = b"event: message\ndata: " + json.dumps(message).encode() + b"\n\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def begin_stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def relay(self, answers, number, **fields):
        """Until the answer: JSON when it is all there is, else a stream."""
        first = answers.get()
        if first is not None and first.get("id") == number and "method" not in first:
            code = first.get("error", {}).get("code")
            status = 404 if code in NOT_FOUND else 400 if code in BAD else 200
            self.answer(status if self.modern else 200, json.dumps(first).encode(), Content_Type="application/json", **fields)
            return
        self.begin_stream()
        while first is not None:
            self.event(first)
            if first.get("id") == number and "method" not in first:
                break
            first = answers.get()
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        child = self.server.sessions.get(self.headers.get("Mcp-Session-Id"))
        if child is None:
            self.answer(405)
            return
        self.begin_stream()
        while (message := child.stream.get()) is not None:
            self.event(message)

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        meta = (message.get("params") or {}).get("_meta") or {}
        self.modern = META + "protocolVersion" in meta or "Mcp-Method" in self.headers
        if self.modern:
            child = Child(self.server.env)
            try:
                answers = child.send(message)
                self.relay(answers, message["id"]) if answers else self.answer(202)
            except OSError:
                pass  # the client went away: that is how it cancels
            finally:
                child.end()
            return
        first, fields = message.get("method") == "initialize", {}
        name = self.headers.get("Mcp-Session-Id")
        if first:
            name = f"session-{len(self.server.sessions)}"
            self.server.sessions[name] = Child(self.server.env, session=True)
            fields["Mcp_Session_Id"] = name
        child = self.server.sessions.get(name)
        if child is None:
            self.answer(404)
            return
        answers = child.send(message)
        self.relay(answers, message["id"], **fields) if answers else self.answer(202)


class Bridge(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, env):
        super().__init__(("127.0.0.1", 0), Handler)
        self.env, self.sessions = env, {}
        self.url = f"http://127.0.0.1:{self.server_port}/mcp"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # of a client that went away

    def end(self):
        self.shutdown()
        self.server_close()
        for child in self.sessions.values():
            child.end()
