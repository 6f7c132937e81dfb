#!/usr/bin/env python3
"""The load scheduler's components under `cis run`, in each of their forms, against the test server on
loopback. Test names are sentences."""
import http.client
import json
import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

CIS = os.environ["CIS_PROGRAM"]
BUILT = os.path.join(os.environ["CIS_BUILD_DIR"], "scheduler")
SCENARIOS = os.path.join(os.environ["CIS_SOURCE_DIR"], "examples", "scheduler", "scenarios")
FORMS = ["static", "direct", "corelibs"]
with open(os.path.join(os.environ["CIS_BUILD_DIR"], "CMakeCache.txt"), encoding="utf-8") as cache:
    SANITIZED = re.search(r"^CIS_SANITIZE:\w+=.", cache.read(), re.M) is not None
COMPOSED = tempfile.TemporaryDirectory()  # what is composed of several: NAME.wasm
HAS_COMPOSE = subprocess.run([CIS, "compose", "--help"], capture_output=True, check=False).returncode == 0


def built(name):
    for folder in (BUILT, COMPOSED.name):
        path = os.path.join(folder, name + ".wasm")
        if os.path.exists(path):
            return path
    raise FileNotFoundError(name)


def compose(name, socket_name, *plugs):
    argv = [CIS, "compose", os.path.join(BUILT, socket_name + ".wasm"), "-o", os.path.join(COMPOSED.name, name + ".wasm")]
    for plug in plugs:
        argv += ["--plug", os.path.join(BUILT, plug + ".wasm")]
    with tempfile.TemporaryDirectory() as home:
        subprocess.run(argv, check=True, env={**os.environ, "CIS_HOME": home})


def compose_all():
    """The forms that are several components, where `cis compose` is there to make one of them."""
    if HAS_COMPOSE:
        compose("composed", "corelibs", "wasi-socket-adapter")
        compose("plugged-http", "plugged", "actions-http")
        compose("plugged-log", "plugged", "actions-log")
        compose("probe-http", "probe", "executor", "actions-http")
        compose("conformance-adapter", "conformance", "wasi-socket-adapter")
        compose("core-host", "core-probe", "scheduler-core")
        compose("core-adapter", "core-probe", "scheduler-core", "wasi-socket-adapter")
        FORMS.append("composed")


def not_tested():
    with open(os.path.join(BUILT, "missing"), encoding="utf-8") as file:
        why = " ".join(file.read().split())
    with open(os.path.join(os.environ["CIS_BUILD_DIR"], "not-tested"), "a", encoding="utf-8") as out:
        out.write(f"sources\tscheduler\t{why}\n")
    sys.exit(77)


class Server:
    def __init__(self, folder):
        self.log = os.path.join(folder, "log")
        port_file = os.path.join(folder, "port")
        self.process = subprocess.Popen([os.path.join(BUILT, "http-server"), "--port", "0", "--port-file", port_file,
                                         "--log", self.log], stdout=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not os.path.exists(port_file) or os.path.getsize(port_file) < 2:
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("http-server did not start")
            time.sleep(0.01)
        with open(port_file, encoding="ascii") as file:
            self.port = int(file.read())

    def requests(self):
        """(method, path, peer, milliseconds, status) each."""
        with open(self.log, encoding="utf-8") as file:
            return [(m, p, peer, int(ms), int(status)) for m, p, peer, ms, status in map(str.split, file)]

    def close(self):
        self.process.terminate()
        self.process.wait()


class Said:
    def __init__(self, done):
        self.code, self.err = done.returncode, done.stderr
        self.out, _, last = done.stdout.rpartition("\n") if not done.stdout.endswith("\n") \
            else done.stdout[:-1].rpartition("\n")
        self.ok = last.startswith("ok(")
        text = re.fullmatch(r'(?:ok|err)\("(.*)"\)', last, re.S)
        self.text = unescape(text.group(1)) if text else ""
        if self.ok:
            self.summary = json.loads(self.text.rstrip("\n").rpartition("\n")[2])

    def lines(self):
        """The text summary without its milliseconds."""
        text = self.text.rstrip("\n").rpartition("\n")[0]
        return re.sub(r"[0-9.]+ms", "Nms", text)


def unescape(text):
    return re.sub(r"\\(u\{([0-9a-f]+)\}|.)",
                  lambda m: chr(int(m.group(2), 16)) if m.group(2) else {"n": "\n", "t": "\t", "r": "\r"}.get(
                      m.group(1), m.group(1)), text)


def quoted(text):
    return json.dumps(text, ensure_ascii=False)


class Case(unittest.TestCase):
    cache = tempfile.TemporaryDirectory()  # compiled code is shared by all tests, data is not
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("CIS_", "XDG_"))}
        self.env.update(XDG_DATA_HOME=self.folder.name, XDG_CONFIG_HOME=self.cache.name,
                        XDG_CACHE_HOME=self.cache.name)

    def serve(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        server = Server(folder.name)
        self.addCleanup(server.close)
        return server

    def cis(self, *argv):
        return subprocess.run([CIS, *argv], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=600, check=False)

    def run_yaml(self, form, yaml, *argv):
        return Said(self.cis("run", *argv, "--invoke", f"run-scenario({quoted(yaml)})", built(form)))

    def scenario(self, name, port):
        with open(os.path.join(SCENARIOS, name + ".yaml"), encoding="utf-8") as file:
            return file.read().replace("port: 8080", f"port: {port}")


def flow(actions, nodes, load="", resources="", users=1, iterations=1, life="once", think="0ms", pools="[]"):
    return f"""
version: "1"
name: t
workbook:
  resources: [{resources}]
  ip_pools: {pools}
actions:
  actions: [{actions}]
workflows:
  nodes: [{nodes}]
load:
  ramp_up: {{phases: [{{at_second: 0, spawn_users: {users}}}]}}
  user_lifetime: {{mode: {life}, iterations: {iterations}, think_time: {think}}}
{load}
"""


def get(name, url, more=""):
    return f"{{id: {name}, call: get, with: {{url: '{url}'}}{more}}}"


def node(name, action, *edges):
    return f"{{id: {name}, type: action, action: {action}, edges: [{', '.join(edges)}]}}"


END = "{id: end, type: end}"


class Forms(Case):
    def test_one_user_sends_one_request_in_every_form(self):
        said = {}
        for form in FORMS:
            server = self.serve()
            s = self.run_yaml(form, self.scenario("simple", server.port), "--net", f"tcp:127.0.0.1:{server.port}")
            self.assertEqual((s.code, s.ok), (0, True), s.err)
            self.assertIn(f"[HTTP] GET http://127.0.0.1:{server.port}/asset\n", s.out + "\n")
            self.assertIn("[User-1] Completed 1 iterations\n", s.out)
            self.assertIn("✓ User-1 completed 1 iterations, 1 actions", s.out)
            self.assertIn("Total actions executed: 1\n", s.text)
            self.assertEqual([r[:2] for r in server.requests()], [("GET", "/asset")])
            said[form] = s.lines()
        self.assertEqual(set(said.values()), {"""
📈 Load Test Summary
═══════════════════════════════════════
Scenario: simple
Total users spawned: 1
Total actions executed: 1

Latency Statistics:
  Average: Nms
  P50: Nms
  P95: Nms
  P99: Nms
  Min: Nms
  Max: Nms
"""})

    def test_thirty_users_in_three_phases_have_addresses_of_their_own(self):
        for form in FORMS:
            server = self.serve()
            before = time.monotonic()
            s = self.run_yaml(form, self.scenario("medium", server.port), "--net", f"tcp:127.0.0.1:{server.port}",
                              "--net", "bind:127.0.1.0/26")
            took = time.monotonic() - before
            self.assertTrue(s.ok, s.err)
            self.assertIn("Total users spawned: 30\nTotal actions executed: 180\n", s.text)
            self.assertIn("  Pool 'eip-pool-1': 0 allocated, 64 available (total: 64)\n", s.text)
            requests = server.requests()
            paths = [r[1] for r in requests]
            self.assertEqual((paths.count("/health"), paths.count("/json"), len(paths)), (90, 90, 180))
            peers = {r[2] for r in requests}
            self.assertTrue(all(re.fullmatch(r"127\.0\.1\.([0-9]|[1-5][0-9]|6[0-3])", p) for p in peers), peers)
            self.assertGreaterEqual(len(peers), 10)
            self.assertGreaterEqual(s.summary["pools"][0]["peak"], 10)
            self.assertGreaterEqual(took, 4)
            first = requests[0][3]
            for phase, second in ((1, 2000), (2, 4000)):  # its users' first requests are not before its time
                self.assertLessEqual(sum(r[3] - first < second - 200 for r in requests), phase * 60)

    def test_a_form_without_its_provider_names_what_is_missing(self):
        s = self.run_yaml("corelibs", self.scenario("simple", 1), "--without", "scheduler:core-libs")
        self.assertEqual(s.code, 126)
        self.assertIn("scheduler:core-libs/wasi-network@0.1.0", s.err)
        self.assertIn("a matching implementation was not found in the linker", s.err)

    def test_components_have_the_interfaces_of_their_packages(self):
        expected = {
            "direct": ["export run-scenario: func(scenario-yaml: string) -> result<string, string>;"],
            "corelibs": ["import scheduler:core-libs/wasi-network@0.1.0;", "import scheduler:core-libs/wasi-tcp@0.1.0;",
                         "export run-scenario: func(scenario-yaml: string) -> result<string, string>;"],
            "wasi-socket-adapter": ["import wasi:sockets/tcp@0.2.12;", "import wasi:sockets/udp@0.2.12;"] +
                                   [f"export scheduler:core-libs/wasi-{n}@0.1.0;" for n in ("network", "tcp", "udp")],
            "scheduler-core": [f"import scheduler:core-libs/wasi-{n}@0.1.0;" for n in ("network", "tcp", "udp")] +
                              [f"export scheduler:core-libs/{n}@0.1.0;" for n in ("types", "parser", "socket")],
            "actions-http": [f"export scheduler:actions-http/{n}@0.1.0;" for n in ("types", "http-component")],
            "actions-log": [f"export scheduler:actions-http/{n}@0.1.0;" for n in ("types", "http-component")],
            "executor": ["import scheduler:actions-http/http-component@0.1.0;"] +
                        [f"export scheduler:executor/{n}@0.1.0;" for n in ("types", "context", "component-api")],
            "static": ["export scheduler:core-libs/parser@0.1.0;", "export scheduler:executor/component-api@0.1.0;",
                       "export scheduler:actions-http/http-component@0.1.0;",
                       "export run-scenario: func(scenario-yaml: string) -> result<string, string>;"],
            "plugged": ["import scheduler:actions-http/http-component@0.1.0;",
                        "export run-scenario: func(scenario-yaml: string) -> result<string, string>;"],
        }
        for name, lines in expected.items():
            path = os.path.join(BUILT, name + ".wasm")
            with open(path, "rb") as file:
                self.assertEqual(file.read(8)[4:], b"\x0d\x00\x01\x00", name)
            wit = self.cis("component", "wit", path).stdout
            for line in lines:
                self.assertIn(line, wit, name)
            if name not in ("corelibs", "plugged", "executor", "scheduler-core"):
                self.assertNotIn("import scheduler:", wit)


@unittest.skipUnless(HAS_COMPOSE, "this cis has no compose")
class Composed(Case):
    def test_what_was_composed_imports_wasi_alone(self):
        for name in ("composed", "plugged-http", "plugged-log", "probe-http", "core-adapter"):
            wit = self.cis("component", "wit", built(name)).stdout
            self.assertIn("import wasi:", wit)
            self.assertNotIn("import scheduler:", wit, name)
        self.assertIn("wasi:sockets/tcp", self.cis("component", "wit", built("composed")).stdout)
        self.assertNotIn("wasi:sockets", self.cis("component", "wit", built("plugged-log")).stdout)

    def test_actions_of_another_component_give_the_same_summary(self):
        for name, grants in (("simple", ()), ("medium", ("--net", "bind:127.0.1.0/26"))):
            lines = []
            for form in ("direct", "plugged-http"):
                server = self.serve()
                s = self.run_yaml(form, self.scenario(name, server.port), "--net", f"tcp:127.0.0.1:{server.port}",
                                  *grants)
                self.assertTrue(s.ok, s.err)
                lines.append((s.lines(), sorted(r[:2] for r in server.requests())))
            self.assertEqual(*lines)

    def test_logging_in_place_of_requests_is_the_same_flow_without_a_network(self):
        server = self.serve()
        s = self.run_yaml("plugged-log", self.scenario("medium", server.port))
        self.assertTrue(s.ok, s.err)
        self.assertIn("Total users spawned: 30\nTotal actions executed: 180\n", s.text)
        self.assertEqual((s.out.count("[LOG] health: GET"), s.out.count("[LOG] json: GET")), (90, 90))
        self.assertEqual((server.requests(), s.err), ([], ""))

    def test_an_executor_does_what_its_context_was_told_and_then_the_action(self):
        server = self.serve()
        done = self.cis("run", "--net", f"tcp:127.0.0.1:{server.port}", "--invoke",
                        f'probe("http://127.0.0.1:{server.port}/asset")', built("probe-http"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([line for line in done.stdout.split("\n") if line.startswith("[Executor]")],
                         ["[Executor] " + s for s in ("register-action dynamic", "add-task dynamic-node",
                                                      "add-task gone", "remove-task gone", "action probe-get",
                                                      "task dynamic-node")])
        self.assertEqual([r[:2] for r in server.requests()], [("GET", "/asset"), ("POST", "/asset")])
        self.assertIn(f"POST http://127.0.0.1:{server.port}/asset status=400", unescape(done.stdout))

    def test_the_sockets_of_core_libs_are_the_same_over_the_host_and_the_adapter(self):
        for v6, address in ((False, "127.0.0.1"), (True, "::1")):
            net = f"[{address}]" if v6 else address
            grants = []
            for kind in ("tcp", "udp", "listen"):
                grants += ["--net", f"{kind}:{net}:*"]
            grants += ["--net", f"bind:{address}/{128 if v6 else 32}"]
            with Echo(address) as echo:
                call = f"sockets({echo.tcp}, {echo.udp}, {str(v6).lower()})"
                for form in ("core-host", "core-adapter"):
                    done = self.cis("run", *grants, "--invoke", call, built(form))
                    self.assertEqual((done.returncode, done.stdout), (0, "0\n"), (form, address, done.stderr))
                    done = self.cis("run", "--invoke", call, built(form))
                    self.assertNotEqual(done.stdout, "0\n", form)

    def test_the_parser_of_core_libs_is_the_schedulers(self):
        for yaml, said in (("version: '1'\nname: shop\nworkflows: {nodes: []}\n", '"shop"\n'),
                           ("name: n", '"failed to parse scenario: missing field `version` at line 1 column 1"\n')):
            done = self.cis("run", "--invoke", f"name-of({quoted(yaml)})", built("core-host"))
            self.assertEqual((done.returncode, done.stdout), (0, said), done.stderr)

    def test_the_adapter_does_as_the_host_does(self):
        for family, address in ((0, "127.0.0.1"), (1, "::1")):
            grants = []
            net = f"[{address}]" if family else address
            with Echo(address) as echo:
                for kind in ("tcp", "udp"):
                    grants += ["--net", f"{kind}:{net}:*"]
                grants += ["--net", f"listen:{net}:*", "--net", "bind:127.0.0.0/8", "--net", "bind:192.0.2.0/24",
                           "--net", "bind:::1/128", "--net", "udp:0.0.0.0:*"]
                for op, port in ((1, echo.tcp), (4, echo.closed), (6, echo.tcp), (8, echo.udp), (12, echo.tcp),
                                 (13, 0)):
                    for form in ("conformance", "conformance-adapter"):
                        done = self.cis("run", *grants, "--invoke", f"go({op}, {family}, {port})", built(form))
                        self.assertEqual((done.returncode, done.stdout), (0, "0\n"),
                                         f"{form}, op {op}, family {family}, line "
                                         f"{int(done.stdout or 0) >> 8}: {done.stderr}")
        for form in ("conformance", "conformance-adapter"):
            self.assertEqual(self.cis("run", "--invoke", "go(11, 0, 9)", built(form)).stdout, "0\n", form)


class Echo:
    """A TCP and a UDP server that send back what comes, and a port that nobody listens at."""

    def __init__(self, address):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener, self.datagrams, self.free = (socket.socket(family, kind) for kind in (
            socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_STREAM))
        for s in (self.listener, self.datagrams, self.free):
            s.bind((address, 0))
        self.listener.listen()
        self.tcp, self.udp, self.closed = (s.getsockname()[1] for s in (self.listener, self.datagrams, self.free))
        self.threads = [threading.Thread(target=f, daemon=True) for f in (self.streams, self.packets)]

    def streams(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.echo, args=(peer,), daemon=True).start()

    @staticmethod
    def echo(peer):
        """All that comes until its end, then back: a peer that sends much before it reads is not held up."""
        data = b""
        with peer:
            peer.settimeout(600)
            while more := peer.recv(65536):
                data += more
                if len(data) < 1000:
                    peer.sendall(more)
                    data = b"" if len(data) < 1000 else data
            peer.sendall(data)

    def packets(self):
        while True:
            try:
                data, peer = self.datagrams.recvfrom(65536)
            except OSError:
                return
            if peer is None:  # it was shut down
                return
            self.datagrams.sendto(data, peer)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        for s in (self.listener, self.datagrams, self.free):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()


class Parser(Case):
    """scheduler:core-libs/parser of the component that has all."""

    def call(self, text):
        done = self.cis("run", "--invoke", text, os.path.join(BUILT, "static.wasm"))
        self.assertEqual(done.returncode, int(done.stdout.startswith("err")), done.stderr)
        return done.stdout.rstrip("\n")

    def test_a_scenario_comes_as_records_and_is_valid(self):
        yaml = flow(get("a", "http://h/", ", export: [{type: content, name: n, default: 1}]"),
                    node("start", "a", "{to: end, label: l, trigger: {condition: 'true'}}") + ", " + END,
                    resources="{id: r, type: t, properties: {p: [1, x]}}")
        said = self.call(f"parser.parse-scenario({quoted(yaml)})")
        for part in ('version: "1"', 'name: "t"', 'id: "r", resource-type: "t"',
                     'exports: [{export-type: "content", name: "n", default-value: some("1")}]',
                     'id: "start", node-type: action, action: some("a")',
                     'edges: [{to: "end", condition: some("true"), label: some("l")}]',
                     '{id: "end", node-type: end, edges: []}'):
            self.assertIn(part, said)
        self.assertEqual(self.call(f"parser.validate-scenario({said[3:-1]})"), "ok")
        self.assertEqual(unescape(self.call("parser.validate-scenario(" + said[3:-1].replace('some("a")', 'some("b")')
                                            + ")")),
                         'err("unknown action `b` referenced by workflow node `start`")')
        self.assertEqual(unescape(self.call("parser.validate-scenario(" + said[3:-1].replace('to: "end"', 'to: "no"')
                                            + ")")),
                         'err("unknown workflow node `no` referenced by edge")')

    def test_what_is_no_scenario_is_an_error(self):
        said = unescape(self.call('parser.parse-scenario("name: n")'))
        self.assertEqual(said, 'err("failed to parse scenario: missing field `version` at line 1 column 1")')


class Actions(Case):
    """The component that does the actions, called directly."""

    def act(self, with_params, *argv, call="get", component="actions-http"):
        action = (f"{{id: \"a\", call: {quoted(call)}, with-params: {quoted(with_params)}, exports: [{{export-type: "
                  "\"content\", name: \"x\", scope: none, default-value: some(\"1\")}]}")
        done = self.cis("run", *argv, "--invoke", f"http-component.do-http-action({action})",
                        os.path.join(BUILT, component + ".wasm"))
        self.assertEqual(done.returncode, int(done.stdout.startswith("err")), done.stderr)
        return unescape(done.stdout.rstrip("\n"))

    def test_an_outcome_says_what_was_answered(self):
        server = self.serve()
        at = f"127.0.0.1:{server.port}"
        net = ("--net", f"tcp:{at}", "--net", "bind:127.0.4.0/24")
        url = f"http://{at}/json"
        n = 106 + len(str(server.port))
        rows = [
            ({"url": url}, f'ok({{status: success, detail: some("GET {url} status=200 body_len={n}")}})'),
            ({"url": url, "bind_ip": "127.0.4.5"},
             f'ok({{status: success, detail: some("GET {url} status=200 body_len={n} from_ip=127.0.4.5")}})'),
            ({"url": f"http://{at}/status/404"}, f'ok({{status: failed, detail: some("GET http://{at}/status/404 '
             f'status=404 body={{"ip":"127.0.0.1","port":{server.port},"status_code":404}}")}})'),
            ({"url": url, "bind_ip": "192.0.2.1"}, 'ok({status: failed, detail: some("HTTP request failed: Failed to '
             'bind to source IP 192.0.2.1: AccessDenied")})'),
            ({"url": "http://{{x}}/"}, 'ok({status: success, detail: some("skip unresolved template '
             'url=http://{{x}}/")})'),
            ({"url": "https://h/"}, 'ok({status: failed, detail: some("HTTP request failed: Failed to connect to h:443: '
             'AccessDenied")})'),
            ({"url": "ftp://h/"}, 'ok({status: failed, detail: some("HTTP request failed: Failed to parse URL: URL '
             'must start with http:// or https://")})'),
            ({"x": 1}, 'err("failed to extract url: action `a` missing `with.url`")'),
        ]
        for params, expected in rows:
            self.assertEqual(self.act(json.dumps(params), *net), expected)
        self.assertTrue(self.act("{", *net).startswith('err("failed to parse with-params: '))
        self.assertEqual([r[2] for r in server.requests()], ["127.0.0.1", "127.0.4.5", "127.0.0.1"])

    def test_a_long_answer_that_failed_is_cut_after_two_hundred_bytes(self):
        server = self.serve()
        text = "x" * 500
        said = self.act(json.dumps({"url": f"http://127.0.0.1:{server.port}/asset", "body": "{" + text}),
                        "--net", f"tcp:127.0.0.1:{server.port}", call="post")
        self.assertIn("status=400 body={", said)
        long = self.act(json.dumps({"url": f"http://127.0.0.1:{server.port}/long", "headers": {"X": text}}),
                        "--net", f"tcp:127.0.0.1:{server.port}")
        body = re.search(r"body=(.*)\"\)\}\)", long).group(1)
        self.assertEqual((len(body), body[-3:]), (203, "..."))

    def test_refused_is_a_failed_outcome(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            at = f"127.0.0.1:{free.getsockname()[1]}"
        self.assertIn(f"HTTP request failed: Failed to connect to {at}: ConnectionRefused",
                      self.act(json.dumps({"url": f"http://{at}/"}), "--net", f"tcp:{at}"))

    def test_the_one_that_logs_has_no_network(self):
        path = os.path.join(BUILT, "actions-log.wasm")
        self.assertNotIn("wasi:sockets", self.cis("component", "wit", path).stdout)
        said = self.act(json.dumps({"url": "http://127.0.0.1:1/"}), component="actions-log")
        self.assertEqual(said, '[LOG] a: GET http://127.0.0.1:1/\nok({status: success, detail: some("GET '
                         'http://127.0.0.1:1/ status=200 body_len=0")})')


class Denied(Case):
    def test_a_run_without_grants_says_which_it_needs(self):
        server = self.serve()
        for form in FORMS:
            s = self.run_yaml(form, self.scenario("simple", server.port))
            self.assertIn("Access denied", s.err)
            self.assertIn(f"--allow net=tcp:127.0.0.1:{server.port}", s.err)
            self.assertEqual(s.summary["errors"], {"Access denied": 1})
        self.assertEqual(server.requests(), [])

    def test_an_address_that_may_not_be_bound_is_not_sent_from(self):
        server = self.serve()
        for form in FORMS:
            s = self.run_yaml(form, self.scenario("medium", server.port), "--net", f"tcp:127.0.0.1:{server.port}")
            self.assertEqual(s.summary["errors"], {"Access denied": 30}, form)
            self.assertIn("--allow net=listen:127.0.1.0:*", s.err)
        self.assertEqual(server.requests(), [])


class Failures(Case):
    def test_a_server_that_is_not_there_fails_the_user_and_not_the_run(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for form in FORMS:
            s = self.run_yaml(form, self.scenario("simple", port), "--net", f"tcp:127.0.0.1:{port}")
            self.assertTrue(s.ok)
            self.assertIn("Total actions executed: 0\n", s.text)
            self.assertNotIn("Latency", s.text)
            self.assertIn(f"✗ User-1 failed: User 1 iteration 1 failed: Action 'get-asset' execution failed: Failed to "
                          f"send get request to http://127.0.0.1:{port}/asset: Failed to connect to 127.0.0.1:{port}: "
                          "Connection refused", s.err)
            self.assertEqual((s.summary["failed"], s.summary["successful"]), (1, 0))

    def test_addresses_that_the_machine_does_not_have_fail_each_user(self):
        for form in FORMS:
            s = self.run_yaml(form, self.scenario("medium", 1).replace("127.0.1.0/26", "198.51.100.0/26"),
                              "--net", "tcp:127.0.0.1:1", "--net", "bind:198.51.100.0/26")
            self.assertTrue(s.ok)
            self.assertIn("Total users spawned: 30\nTotal actions executed: 0\n", s.text)
            self.assertEqual(s.err.count("Address not available"), 30)
            self.assertIn("Failed to bind to 198.51.100.0: Address not available", s.err)

    def test_a_bad_scenario_is_an_error_with_its_place(self):
        for form in FORMS:
            s = self.run_yaml(form, "version: 1.0\nname: n\n")
            self.assertFalse(s.ok)
            self.assertTrue(s.text.startswith("Scenario execution failed: Failed to parse scenario YAML: "), s.text)
            self.assertIn("at line 1 column 10", s.text)
            for yaml, what in (("", "missing field `version`"), ("[" * 100000, "more than 64 levels"),
                               ("a" * 100000, "expected a map"), ("version: '1'\nname: '", "at line 2")):
                s = self.run_yaml(form, yaml)
                self.assertEqual((s.code, s.ok), (1, False), s.err)
                self.assertIn(what, s.text)


class Answers(Case):
    """The test server as a component, behind the embedding example that serves one."""

    def setUp(self):
        super().setUp()
        serve = os.path.join(os.environ["CIS_BUILD_DIR"], "examples", "example_serve")
        self.process = subprocess.Popen([serve, built("http-server")], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True, env=self.env)
        self.addCleanup(self.process.stdout.close)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.port = int(self.process.stdout.readline().strip().rstrip("/").rpartition(":")[2])

    @staticmethod
    def ask(port, method, path, body=None):
        """Status, body without the port; None where it broke off."""
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            link.request(method, path, body)
            answer = link.getresponse()
            return answer.status, answer.read().replace(str(port).encode(), b"PORT")
        except (http.client.IncompleteRead, http.client.RemoteDisconnected):
            return None
        finally:
            link.close()

    def test_the_component_answers_as_the_program_does(self):
        program = self.serve()
        for method, path, body in (("GET", "/asset", None), ("POST", "/asset", b'{"a": [1, "x"]}'), ("POST", "/asset", b"{"),
                                   ("GET", "/health", None), ("GET", "/json", None), ("GET", "/delay/20", None),
                                   ("GET", "/chunked", None), ("GET", "/eof", None), ("GET", "/status/204", None),
                                   ("GET", "/status/503", None), ("GET", "/long", None), ("GET", "/short", None),
                                   ("PUT", "/asset", b"1"), ("GET", "/none?x", None)):
            expected = self.ask(program.port, method, path, body)
            self.assertEqual(self.ask(self.port, method, path, body), expected, (method, path))
        self.assertEqual(self.ask(program.port, "GET", "/close"), None)
        self.assertEqual(self.ask(self.port, "GET", "/close"), (502, b""))

    def test_a_scenario_runs_against_it(self):
        s = self.run_yaml("direct", self.scenario("simple", self.port), "--net", f"tcp:127.0.0.1:{self.port}")
        self.assertEqual((s.summary["statuses"], s.summary["successful"]), ({"200": 1}, 1), s.err)


class Language(Case):
    """What only the direct form is asked: the others have the same core."""

    def go(self, yaml, server, *more):
        s = self.run_yaml("direct", yaml, "--net", f"tcp:127.0.0.1:{server.port}", *more)
        self.assertTrue(s.ok, s.text + s.err)
        return s

    def test_edges_follow_the_status_and_what_was_exported(self):
        server = self.serve()
        base = f"http://127.0.0.1:{server.port}"
        post = (f"{{id: push, call: post, with: {{url: '{base}/asset', body: '{{{{asset.body}}}}'}}, "
                "export: [{type: assert, name: result.json, default: '{{asset.body}}'}]}")
        probe = get("probe", base + "/asset", ", export: [{type: content, name: asset.version, default: none}]")
        yaml = flow(f"{probe}, {post}, {get('bad', base + '/status/500')}",
                    node("start", "probe", "{to: end, trigger: {}}",
                         "{to: bad, trigger: {condition: '{{probe.status_code != 200}}'}}",
                         "{to: push, trigger: {condition: '{{probe.asset.version == v1}}'}}", "{to: bad}") + ", " +
                    node("push", "push", "{to: end, trigger: {condition: 'true'}}") + ", " +
                    node("bad", "bad", "{to: end}") + ", " + END,
                    resources="{id: asset, type: x, properties: {body: '{\"a\": [1, 2]}'}}", iterations=3, life="loop")
        s = self.go(yaml, server)
        self.assertEqual([r[:2] for r in server.requests()], [("GET", "/asset"), ("POST", "/asset")] * 3)
        self.assertEqual((s.summary["assertions"], s.summary["assertions_failed"]), (3, 0))

    def test_an_assertion_that_does_not_hold_is_counted_and_told(self):
        server = self.serve()
        url = f"http://127.0.0.1:{server.port}/asset"
        yaml = flow(get("a", url, ", export: [{type: assert, name: asset.version, default: v2}]"),
                    node("start", "a", "{to: end}") + ", " + END)
        s = self.go(yaml, server)
        self.assertEqual((s.summary["assertions"], s.summary["assertions_failed"]), (1, 1))
        self.assertIn("✗ User-1: Assertion 'asset.version' of action 'a' failed: expected v2, got v1", s.err)

    def test_no_edge_that_matches_is_an_error_of_the_user(self):
        server = self.serve()
        yaml = flow(get("a", f"http://127.0.0.1:{server.port}/status/404"),
                    node("start", "a", "{to: end, trigger: {condition: '{{a.status_code == 200}}'}}") + ", " + END)
        s = self.go(yaml, server)
        self.assertIn("No matching edge found for node 'start'", s.err)
        self.assertEqual((s.summary["statuses"], s.summary["failed"]), ({"404": 1}, 1))

    def test_bodies_come_by_length_in_chunks_to_the_end_and_late(self):
        server = self.serve()
        base = f"http://127.0.0.1:{server.port}"
        paths = ["health", "chunked", "eof", "delay/3000", "status/204", "status/404", "status/500"]
        actions = ", ".join(get(f"a{i}", f"{base}/{p}") for i, p in enumerate(paths))
        nodes = ", ".join(node("start" if i == 0 else f"n{i}", f"a{i}",
                               "{to: " + (f"n{i + 1}" if i + 1 < len(paths) else "end") + "}")
                          for i in range(len(paths)))
        for form in FORMS:
            s = self.run_yaml(form, flow(actions, nodes + ", " + END), "--net", f"tcp:127.0.0.1:{server.port}")
            self.assertTrue(s.ok, s.text + s.err)
            self.assertEqual(s.summary["statuses"], {"200": 4, "204": 1, "404": 1, "500": 1}, s.err)
            self.assertGreaterEqual(s.summary["latency_max_ms"], 2900)

    def test_answers_that_break_off_and_that_are_too_late_fail(self):
        server = self.serve()
        base = f"http://127.0.0.1:{server.port}"
        for path, why in (("short", "incomplete HTTP response (62 bytes)"), ("close", "No response data received")):
            s = self.go(flow(get("a", f"{base}/{path}"), node("start", "a", "{to: end}") + ", " + END), server)
            self.assertIn(why[:24], s.err)
            self.assertEqual(s.summary["failed"], 1)
        late = f"{{id: a, call: get, with: {{url: '{base}/delay/20000', timeout: 300ms}}}}"
        s = self.go(flow(late, node("start", "a", "{to: end}") + ", " + END), server)
        self.assertIn("Operation timed out", s.err)
        self.assertLess(s.summary["duration_seconds"], 15)

    def test_users_wait_at_the_same_time(self):
        server = self.serve()
        yaml = flow(get("a", f"http://127.0.0.1:{server.port}/delay/1000"),
                    node("start", "a", "{to: end}") + ", " + END, users=50)
        s = self.go(yaml, server)
        self.assertEqual((s.summary["successful"], s.summary["users_peak"]), (50, 50))
        self.assertLess(s.summary["duration_seconds"], 25)

    def test_no_more_users_than_allowed_are_there_and_no_faster(self):
        server = self.serve()
        yaml = flow(get("a", f"http://127.0.0.1:{server.port}/delay/100"),
                    node("start", "a", "{to: end}") + ", " + END, users=12,
                    load="  concurrency: {max_concurrent_users: 3, spawn_rate_limit: 10/s}")
        s = self.go(yaml, server)
        self.assertEqual(s.summary["users_completed"], 12)
        self.assertLessEqual(s.summary["users_peak"], 3)
        self.assertGreaterEqual(s.summary["duration_seconds"], 1.1)

    def test_once_is_one_iteration_and_connections_are_kept_where_asked(self):
        server = self.serve()
        url = f"http://127.0.0.1:{server.port}/health"
        once = flow(get("a", url), node("start", "a", "{to: end}") + ", " + END, iterations=5)
        self.assertEqual(self.go(once, server).summary["successful"], 1)
        kept = flow(f"{{id: a, call: get, with: {{url: '{url}', keep_alive: true}}}}",
                    node("start", "a", "{to: end}") + ", " + END, iterations=20, life="loop")
        self.assertEqual(self.go(kept, server, "--sockets", "1").summary["successful"], 20)

    def test_a_request_is_made_anew_where_it_is_another_one(self):
        server = self.serve()
        base, kept = f"http://127.0.0.1:{server.port}", "keep_alive: true"
        actions = ", ".join([f"{{id: a, call: get, with: {{url: '{base}/status/201', {kept}}}}}",
                             f"{{id: b, call: get, with: {{url: '{base}/status/202', {kept}}}}}",
                             f"{{id: c, call: get, with: {{url: '{base}/status/{{{{c.status_code}}}}', {kept}}}}}"])
        order = "aabcca"
        nodes = ", ".join(node("start" if i == 0 else f"n{i}", name,
                               "{to: " + (f"n{i + 1}" if i + 1 < len(order) else "end") + "}")
                          for i, name in enumerate(order))
        s = self.go(flow(actions, nodes + ", " + END, iterations=2, life="loop"), server, "--sockets", "1")
        self.assertEqual(s.summary["statuses"], {"201": 6, "202": 2, "404": 4}, s.err)
        first, later = ["201", "201", "202", "{{c.status_code}}", "404", "201"], ["201", "201", "202", "404", "404", "201"]
        self.assertEqual([path for _, path, _, _, _ in server.requests()], ["/status/" + p for p in first + later])

    def test_names_are_looked_up_where_that_is_granted(self):
        server = self.serve()
        yaml = flow(get("a", f"http://localhost:{server.port}/health"), node("start", "a", "{to: end}") + ", " + END)
        s = self.run_yaml("direct", yaml, "--net", f"tcp:localhost:{server.port}", "--allow", "dns")
        self.assertEqual(s.summary["statuses"], {"200": 1}, s.err)

    def test_the_short_form_runs(self):
        server = self.serve()
        yaml = (f"scenario:\n  id: short\n  load: {{total_users: 4, ramp_duration: 1, ip_pool: [127.0.3.0/30]}}\n"
                f"  workflow:\n    - {{id: one, type: http, params: {{method: GET, url: 'http://127.0.0.1:{server.port}"
                "/health'}}\n")
        s = self.go(yaml, server, "--net", "bind:127.0.3.0/30")
        self.assertEqual((s.summary["successful"], s.summary["users"]), (4, 4), s.err)
        self.assertIn("Scenario: short\n", s.text)

    def test_five_hundred_users_of_three_pools_keep_to_their_pools(self):
        server = self.serve()
        s = self.go(self.scenario("advanced", server.port), server, "--net", "bind:127.1.0.0/16",
                    "--memory", "128MiB")
        self.assertEqual((s.summary["users"], s.summary["users_completed"]), (500, 500), s.err)
        if not SANITIZED:  # the largest of all that ran here, in KiB
            self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, 500 * 1000)
        first = {}
        for _, path, peer, _, _ in server.requests():
            first.setdefault(path, set()).add(peer)
        pools = {p["id"]: p for p in s.summary["pools"]}
        self.assertEqual({k: (p["allocated"], p["total"]) for k, p in pools.items()},
                         {"tenant-a": (0, 256), "tenant-b": (0, 256), "shared": (0, 512)})
        peers = set().union(*first.values())
        self.assertEqual({p.rsplit(".", 1)[0] for p in peers} - {"127.1.1", "127.1.2", "127.1.3", "127.1.4"}, set())
        # Which tenant a user is of is in its path; the pool is in the address that it came from.
        for path, addresses in first.items():
            pool = {"a": "127.1.1.", "b": "127.1.2.", "shared": "127.1.3."}[path.split("tenant=")[1]]
            self.assertTrue(all(a.startswith(pool) for a in addresses), (path, addresses))


if __name__ == "__main__":
    if os.path.exists(os.path.join(BUILT, "missing")):
        not_tested()
    compose_all()
    unittest.main()
