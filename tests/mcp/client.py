"""A client of the Model Context Protocol over pipes, written for tests: it sends what it is told to,
also what no client should. Stores are SQLite, or a PostgreSQL server of this test's own
(CIS_TEST_BACKEND=postgres)."""
import glob
import json
import os
import shutil
import subprocess
import tempfile
import threading
import unittest
import queue

CIS = os.environ["CIS_PROGRAM"]
WAIT = 600  # a busy machine may take long; only a hang ends a test
MODERN = "2026-07-28"
META = "io.modelcontextprotocol/"


class Postgres:
    url = None

    @classmethod
    def store(cls):
        if cls.url is None:
            found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
            if not found:
                raise unittest.SkipTest("MISSING: no PostgreSQL server is installed")
            server, folder = found[-1], tempfile.mkdtemp(prefix="cis-pg-", dir="/tmp")
            who = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
            if who:
                shutil.chown(folder, "nobody")
            data = os.path.join(folder, "data")

            def stop():
                subprocess.run([*who, os.path.join(server, "pg_ctl"), "-D", data, "-m", "immediate", "stop"],
                               stdout=subprocess.DEVNULL, cwd="/", check=False)
                shutil.rmtree(folder, ignore_errors=True)

            unittest.addModuleCleanup(stop)
            for argv in (["initdb", "-k", "-D", data, "-A", "trust", "-U", "admin", "--no-sync"],
                         ["pg_ctl", "-D", data, "-l", os.path.join(folder, "log"), "-w", "-o",
                          f"-k {folder} -c listen_addresses='' -c fsync=off", "start"]):
                subprocess.run([*who, os.path.join(server, argv[0]), *argv[1:]], stdout=subprocess.DEVNULL, cwd="/",
                               check=True)
            cls.url = f"postgres://admin@/postgres?host={folder}"
            subprocess.run([CIS, "store", "init"], env={**os.environ, "CIS_STORE": cls.url}, check=True,
                           stdout=subprocess.DEVNULL)
        return cls.url


class Server:
    """One `cis mcp`. Answers are read by a thread of their own, so that a test may send without end."""

    def __init__(self, env, *args):
        self.child = subprocess.Popen([CIS, "mcp", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, env=env)
        self.answers = queue.Queue()
        self.told = []  # notifications
        self.n = 0
        self.era = None
        self.capabilities = {}
        self.person = None  # answers questions: params -> result; None: they are kept
        self.asked = []  # questions of the server
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.errors = []
        self.listener = threading.Thread(target=lambda: self.errors.append(self.child.stderr.read()), daemon=True)
        self.listener.start()

    def read(self):
        for line in self.child.stdout:
            message = json.loads(line)
            if "method" in message and "id" in message:
                self.asked.append(message)
                if self.person:
                    self.reply(message, self.person(message["params"]))
            elif "method" in message:
                self.told.append(message)
            else:
                self.answers.put(message)
        self.answers.put(None)

    def raw(self, data):
        self.child.stdin.write(data)
        self.child.stdin.flush()

    def send(self, method, params=None, **more):
        self.n += 1
        message = {"jsonrpc": "2.0", "id": self.n, "method": method}
        if self.era == MODERN:
            params = dict(params or {})
            params["_meta"] = {META + "protocolVersion": MODERN, META + "clientCapabilities": self.capabilities,
                               META + "clientInfo": {"name": "test", "version": "1"}, **more}
        elif more:
            params = {**(params or {}), "_meta": more}
        if params is not None:
            message["params"] = params
        self.raw(json.dumps(message).encode() + b"\n")
        return self.n

    def notify(self, method, params):
        self.raw(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode() + b"\n")

    def reply(self, question, result):
        self.raw(json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": result}).encode() + b"\n")

    def answer(self):
        return self.answers.get(timeout=WAIT)

    def call(self, method, params=None):
        number = self.send(method, params)
        answer = self.answer()
        assert answer["id"] == number, answer
        return answer

    def result(self, method, params=None):
        answer = self.call(method, params)
        assert "result" in answer, answer
        return answer["result"]

    def begin(self, era):
        """As a client of that era does."""
        self.era = era
        if era == MODERN:
            return self.result("server/discover")
        result = self.result("initialize", {"protocolVersion": era, "capabilities": self.capabilities,
                                            "clientInfo": {"name": "test", "version": "1"}})
        self.notify("notifications/initialized", {})
        return result

    def tool(self, name, **arguments):
        return self.result("tools/call", {"name": name, "arguments": arguments})

    def good(self, name, **arguments):
        result = self.tool(name, **arguments)
        assert not result["isError"], result
        return result

    def bad(self, name, **arguments):
        """What the model is told of a call that fails."""
        result = self.tool(name, **arguments)
        assert result["isError"], result
        return result["content"][0]["text"]

    def text(self, path):
        return self.good("fs_read", path=path)["content"][0]["text"]

    def end(self):
        self.child.stdin.close()
        code = self.child.wait(WAIT)
        self.reader.join(WAIT)
        return code

    def stderr(self):
        self.listener.join(WAIT)
        return self.errors[0].decode()


def run_of(result):
    return result["_meta"]["cis/run"]


class Case(unittest.TestCase):
    maxDiff = 4000
    count = 0

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="cis-mcp-")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        Case.count += 1
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("CIS_", "XDG_"))}
        self.env.update(CIS_HOME=os.path.join(self.home, "cis"), CIS_TENANT=f"t{Case.count}")
        if os.environ.get("CIS_TEST_BACKEND") == "postgres":
            self.env["CIS_STORE"] = Postgres.store()
        self.cis("tenant", "create", self.env["CIS_TENANT"])

    def cis(self, *args, code=0, stdin=b""):
        done = subprocess.run([CIS, *args], env=self.env, input=stdin, capture_output=True, check=False)
        self.assertEqual(done.returncode, code, done)
        return done.stdout.decode() if code == 0 else done.stderr.decode()

    def server(self, *args, era="2025-11-25", env=None, capabilities=None, person=None):
        server = Server({**self.env, **(env or {})}, *args)
        server.capabilities = capabilities or {}
        server.person = person

        def stop():
            """It ends by itself once its input does, and a sanitizer has nothing to say of it."""
            killed = server.child.poll() is not None
            if not server.child.stdin.closed:
                server.child.stdin.close()
            code = server.child.wait(WAIT)
            said = server.stderr()
            for pipe in (server.child.stdout, server.child.stderr):
                pipe.close()
            self.assertNotIn("Sanitizer", said)
            self.assertTrue(killed or code == 0, (code, said))

        self.addCleanup(stop)
        if era is not None:
            server.begin(era)
        return server
