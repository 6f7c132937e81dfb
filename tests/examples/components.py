#!/usr/bin/env python3
"""What the example components in JavaScript and Python do, run as a user runs them. Started by
tools/examples.sh, which builds them; not a part of `make check`. Test names are sentences."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

CIS = os.environ["CIS_PROGRAM"]
MADE = os.environ["CIS_EXAMPLES"]
HTTPD = os.environ["CIS_HTTPD"]  # the tests' server, tests/tools/httpd.c
CACHE = os.path.join(MADE, "cache")  # compiled code: of all tests, for it takes a while
KEY = os.path.join(MADE, "cache.key")  # what it is checked by; cis keeps it with the data, which are of each test


class Case(unittest.TestCase):
    def setUp(self):
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.home = home.name
        self.addCleanup(self.keep_key, os.path.join(home.name, "cis", "cache.key"))
        if os.path.exists(KEY):
            os.mkdir(os.path.join(home.name, "cis"), 0o700)
            shutil.copy(KEY, os.path.join(home.name, "cis", "cache.key"))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("CIS_", "XDG_"))}
        self.env.update(XDG_DATA_HOME=home.name, XDG_CONFIG_HOME=home.name, XDG_CACHE_HOME=CACHE,
                        CIS_ENGINE_COMPILE_TIME="600s")  # CPython is 18 MB

    @staticmethod
    def keep_key(made):
        if os.path.exists(made) and not os.path.exists(KEY):
            shutil.copy(made, KEY)

    def cis(self, *args, exit_code=0, stdin=""):
        run = subprocess.run([CIS, *args], env=self.env, input=stdin, capture_output=True, text=True, timeout=900,
                             check=False)
        self.assertEqual(run.returncode, exit_code, f"cis {' '.join(args)}\n{run.stdout}\n{run.stderr}")
        return run


class Server:
    """The tests' server with TLS, on loopback, under a certificate of an authority of its own."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.ca, self.log = self.path("ca.pem"), self.path("log")
        names = self.path("names")
        with open(names, "w", encoding="utf-8") as handle:
            handle.write("subjectAltName=IP:127.0.0.1\n")
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=examples", "-days", "2",
                     "-keyout", self.path("ca.key"), "-out", self.ca)
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1",
                     "-keyout", self.path("key.pem"), "-out", self.path("request.pem"))
        self.openssl("x509", "-req", "-in", self.path("request.pem"), "-CA", self.ca, "-CAkey", self.path("ca.key"),
                     "-CAcreateserial", "-days", "2", "-extfile", names, "-out", self.path("cert.pem"))
        port, told = os.pipe()  # it says its port here, or ends
        self.process = subprocess.Popen([HTTPD, "--port-file", f"/dev/fd/{told}", "--tls", self.path("cert.pem"),
                                         self.path("key.pem"), "--log", self.log],
                                        stdin=subprocess.PIPE, pass_fds=(told,))
        os.close(told)
        with open(port, encoding="utf-8") as handle:
            self.origin = f"https://127.0.0.1:{int(handle.readline())}"

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, capture_output=True)

    def requests(self):
        if not os.path.exists(self.log):
            return 0  # it is made with the first one
        with open(self.log, encoding="utf-8") as handle:
            return handle.read().count("\n----\n")

    def close(self):
        self.process.stdin.close()  # which ends it
        self.process.wait()
        self.folder.cleanup()


class Skills(Case):
    def installed(self, name):
        self.cis("skill", "install", os.path.join(MADE, name), "--yes")
        for visits in (1, 2):
            run = self.cis("skill", "run", name, "--input", '{"name":"Ada ü"}')
            self.assertEqual(json.loads(run.stdout), {"hello": "Ada ü", "visits": visits})
            self.assertIn("met Ada ü", run.stderr)
        run = self.cis("skill", "run", name, "--input", "{}", exit_code=1)
        self.assertIn("name is missing", json.loads(run.stdout)["error"])

    def recorded(self, name):
        recording = os.path.join(self.home, "run.recording")
        module = os.path.join(MADE, name, "visits.wasm")
        run = self.cis("skill", "run", "--wasm", module, "--memory", "256MiB", "--input", '{"name":"Ada"}',
                       "--record", recording)
        self.assertEqual(self.cis("replay", recording).stdout, run.stdout)

    def test_javascript_counts_its_visits(self):
        self.installed("visits-js")

    def test_python_counts_its_visits(self):
        self.installed("visits-python")

    def test_javascript_is_recorded_and_played(self):
        self.recorded("visits-js")

    def test_python_is_recorded_and_played(self):
        self.recorded("visits-python")


class Program:
    """The same for all of them; what differs has a name in capitals."""

    def words(self, *args, **how):
        return self.cis("run", "--memory", "512MiB", *args, **how)

    def test_arguments_environment_clocks_and_stdin(self):
        run = self.words("--env", "A=b", "--env", "C=d e", self.WASM, "env", "clocks", "stdin", stdin="input")
        lines = run.stdout.splitlines()
        self.assertEqual(lines[0], "environment A=b C=d e")
        word, seconds, goes_on = lines[1].split()
        self.assertEqual((word, goes_on.lower()), ("clocks", "true"))
        self.assertGreater(int(seconds), 1_700_000_000)
        self.assertEqual(lines[2], "stdin input")

    def test_files(self):
        folder = os.path.join(self.home, "folder")
        os.mkdir(folder)
        run = self.words("--dir", folder + "::/d", self.WASM, "files")
        self.assertEqual(run.stdout.splitlines(), [f"files /d {self.FILES} {len(self.FILES)} written", self.CAUGHT])
        with open(os.path.join(folder, "made", "renamed"), encoding="utf-8") as handle:
            self.assertEqual(handle.read(), self.FILES)
        # The folder that was made is there already: an error of WASI that nobody catches.
        self.words("--dir", folder + "::/d:cow", self.WASM, "files", exit_code=self.REFUSED)

    def test_no_folder_is_there_unless_one_is_mounted(self):
        self.assertIn(self.NO_FOLDER, self.words(self.WASM, "files", exit_code=self.UNMOUNTED).stderr)
        self.assertIn(self.READ_ONLY, self.words("--dir", self.home + "::/d:ro", self.WASM, "files",
                                                 exit_code=self.REFUSED).stderr)

    def test_no_variable_and_no_clock_is_there_without_leave(self):
        self.assertEqual(self.words(self.WASM, "env").stdout, "environment \n")
        self.assertIn("clock", self.words("--no-clock", self.WASM, "clocks", exit_code=125).stderr)

    def test_files_of_a_workspace_are_committed_or_not(self):
        self.words("--workspace", "/d", self.WASM, "files")
        self.assertEqual(self.cis("fs", "cat", "/made/renamed").stdout, self.FILES)
        self.words("--workspace", "/d", "--tx", "discard", self.WASM, "env")

    def test_an_exception_ends_it_with_its_message(self):
        self.assertIn("on purpose", self.words(self.WASM, "throw", exit_code=self.UNCAUGHT).stderr)

    def test_its_exit_code_is_its_own(self):
        self.words(self.WASM, "exit7", exit_code=7)

    def test_it_is_recorded_and_played(self):
        recording = os.path.join(self.home, "run.recording")
        run = self.words("--record", recording, "--workspace", "/d", self.WASM, "env", "clocks", "files")
        self.assertEqual(self.cis("replay", recording).stdout, run.stdout)


class Web:
    """Beside that: fetch, from a server with TLS. PARTS is what it posts, NO_… what a failure is called."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)

    def setUp(self):
        super().setUp()
        self.origin = self.server.origin
        self.env["CIS_HTTP_CA_FILE"] = self.server.ca

    def fetches(self, *args, **how):
        return self.words("--http", self.origin, self.WASM, *args, **how)

    def test_fetch_gets_and_posts_over_tls(self):
        run = self.fetches(f"get={self.origin}/hello", f"post={self.origin}/echo", f"get={self.origin}/status/404")
        self.assertTrue(run.stdout.startswith("get 200 hello\npost 200 POST /echo HTTP/1.1\n"), run.stdout)
        self.assertRegex(run.stdout, "(?i)x-mine: yes")
        self.assertIn(self.FILES + "\nget 404", run.stdout)

    def test_bodies_are_streams_both_ways(self):
        run = self.fetches(f"stream={self.origin}/huge?bytes=3000000", f"post={self.origin}/stream/mirror")
        self.assertEqual(run.stdout, f"stream 3000000 True\npost 200 {self.FILES}\n".replace("True", self.TRUE))

    def test_a_late_response_holds_up_no_other(self):
        self.assertEqual(self.fetches(f"both={self.origin}").stdout, "both hello late\n")

    def test_what_is_not_granted_is_an_exception_and_told(self):
        requests = self.server.requests()
        for args in ((f"refused={self.origin}/hello",), ("--http", "https://127.0.0.1:1", f"refused={self.origin}/hello")):
            run = self.words(*args[:-1], self.WASM, args[-1])
            self.assertEqual(run.stdout, f"refused {self.NO_GRANT}\n")
            self.assertIn(f"(--allow http={self.origin})", run.stderr)
        run = self.words(self.WASM, f"get={self.origin}/hello", exit_code=1)  # nobody catches it
        self.assertIn(self.NO_GRANT, run.stderr)
        self.assertEqual(self.server.requests(), requests)

    def test_a_certificate_of_an_unknown_authority_is_an_exception(self):
        del self.env["CIS_HTTP_CA_FILE"]
        requests = self.server.requests()
        self.assertEqual(self.fetches(f"refused={self.origin}/hello").stdout, f"refused {self.NO_TRUST}\n")
        self.assertEqual(self.server.requests(), requests)

    def test_a_connection_that_breaks_is_an_exception(self):
        self.assertEqual(self.fetches(f"refused={self.origin}/close").stdout, f"refused {self.NO_ANSWER}\n")
        self.assertIn(self.CUT_SHORT, self.fetches(f"get={self.origin}/lie", exit_code=1).stderr)

    def test_its_time_limit_ends_it_while_it_waits(self):
        self.words("--time", "2s", "--http", self.origin, self.WASM, f"get={self.origin}/hang", exit_code=124)

    def test_what_was_fetched_is_recorded_and_played_without_the_server(self):
        recording = os.path.join(self.home, "run.recording")
        run = self.words("--record", recording, "--http", self.origin, self.WASM, f"get={self.origin}/hello",
                         f"post={self.origin}/stream/mirror")
        requests = self.server.requests()
        self.assertEqual(self.cis("replay", recording).stdout, run.stdout)
        self.assertEqual(self.server.requests(), requests)


class QuickJS(Program, Case):
    WASM = os.path.join(MADE, "program-js.wasm")
    FILES = "by JavaScript"
    CAUGHT = "caught no-entry"
    UNCAUGHT = UNMOUNTED = 134  # the engine in it ends with a trap
    REFUSED = 1  # the err of run
    NO_FOLDER = READ_ONLY = ""

    def test_the_err_of_run_is_exit_code_1(self):
        self.words(self.WASM, "fail", exit_code=1)


class StarlingMonkey(Web, Program, Case):
    WASM = os.path.join(MADE, "program-web.wasm")
    FILES = "by JavaScript"
    TRUE = "true"
    CAUGHT = "caught no-entry"
    UNCAUGHT = UNMOUNTED = REFUSED = 1
    NO_FOLDER = "no folder is mounted"
    READ_ONLY = "read-only"
    NO_GRANT = "Error"
    NO_TRUST = NO_ANSWER = "TypeError"
    CUT_SHORT = "IO error"

    def test_exports_are_invoked_and_an_exception_is_an_err_or_a_trap(self):
        def invoke(call, *args, **how):
            return self.words(*args, "--invoke", call, self.WASM, **how)

        grant = ("--http", self.origin)
        self.assertEqual(invoke(f'text("{self.origin}/hello")', *grant).stdout, 'ok("hello")\n')
        self.assertEqual(invoke(f'status("{self.origin}/status/404")', *grant).stdout, "404\n")
        self.assertTrue(invoke(f'text("{self.origin}/hello")').stdout.startswith('err("Error: '))
        run = invoke(f'status("{self.origin}/hello")', exit_code=134)
        self.assertRegex(run.stderr, "status@.*web.js")


class Python(Web, Program, Case):
    WASM = os.path.join(MADE, "program-python.wasm")
    FILES = "by Python"
    TRUE = "True"
    CAUGHT = "caught No such file or directory"
    UNCAUGHT = UNMOUNTED = REFUSED = 134
    NO_FOLDER = "FileNotFoundError"
    READ_ONLY = "OSError"
    NO_GRANT = "ErrorCode_HttpRequestDenied"
    NO_TRUST = "ErrorCode_TlsCertificateError"
    NO_ANSWER = "ErrorCode_ConnectionTerminated"
    CUT_SHORT = "StreamError_LastOperationFailed"

    def test_its_sys_exit_is_success_or_failure(self):
        self.words(self.WASM, "quit7", exit_code=1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
