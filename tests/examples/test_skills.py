#!/usr/bin/env python3
"""The example skills do what their README says: each is run as a user runs it, from its module and
installed, against local servers where it talks to one. Test names are sentences."""
import http.server
import json
import os
import subprocess
import tempfile
import threading
import unittest

CIS = os.environ["CIS_PROGRAM"]
SOURCE = os.path.join(os.environ["CIS_SOURCE_DIR"], "examples", "skills")
BUILT = os.path.join(os.environ["CIS_BUILD_DIR"], "skills")


class Server:
    """One answer for every request; counts them and keeps the last body."""

    def __init__(self, body, kind):
        outer = self
        self.requests, self.last = 0, b""

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                outer.last = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.requests += 1
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


class Case(unittest.TestCase):
    cache = tempfile.TemporaryDirectory()  # compiled code is shared by all tests, data is not

    def setUp(self):
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("CIS_", "XDG_"))}
        self.env.update(XDG_DATA_HOME=home.name, XDG_CONFIG_HOME=self.cache.name, XDG_CACHE_HOME=self.cache.name)

    def serve(self, body, kind):
        server = Server(body, kind)
        self.addCleanup(server.close)
        return server

    def cis(self, *args, exit_code=0):
        run = subprocess.run([CIS, *args], env=self.env, capture_output=True, text=True, timeout=100, check=False)
        self.assertEqual(run.returncode, exit_code, f"cis {' '.join(args)}\n{run.stdout}\n{run.stderr}")
        return run

    def skill(self, name, text, *args, exit_code=0):
        module = os.path.join(BUILT, name, name + ".wasm")
        run = self.cis("skill", "run", "--wasm", module, "--input", text, *args, exit_code=exit_code)
        return json.loads(run.stdout), run.stderr

    def memory(self, name, key):
        return self.cis("memory", "get", key, "--skill", name).stdout

    @staticmethod
    def example(name, file):
        with open(os.path.join(SOURCE, name, file), encoding="utf-8") as handle:
            return handle.read()

    def expected(self, name):
        return json.loads(self.example(name, "expected.json"))


class InitWizard(Case):
    def test_first_run_answers_as_expected_and_logs(self):
        answer, log = self.skill("init-wizard", self.example("init-wizard", "input.json"))
        self.assertEqual(answer, self.expected("init-wizard"))
        self.assertIn("first run: writing the profile", log)

    def test_later_runs_keep_the_profile_and_count(self):
        self.skill("init-wizard", '{"project":"one","language":"c"}')
        answer, _ = self.skill("init-wizard", '{"language":"go"}')
        self.assertEqual(answer["profile"], {"project": "one", "language": "go", "features": []})
        self.assertEqual((answer["first_run"], answer["changed"], answer["runs"]), (False, True, 2))
        answer, _ = self.skill("init-wizard", "{}")
        self.assertEqual((answer["changed"], answer["runs"]), (False, 3))

    def test_a_failed_run_leaves_no_memory(self):
        answer, _ = self.skill("init-wizard", '{"project":"no/name"}', exit_code=1)
        self.assertFalse(answer["success"])
        self.assertEqual(self.cis("memory", "list", "--skill", "init-wizard", "--json").stdout.count('"key"'), 0)

    def test_unusual_names_come_back_unharmed(self):
        answer, _ = self.skill("init-wizard", '{"project":"a\\u002db","features":["\\ud83d\\ude00","\\"q\\\\"]}')
        self.assertEqual(answer["profile"]["features"], ["😀", '"q\\'])


class MemoryOrganizer(Case):
    def test_answers_as_expected(self):
        answer, _ = self.skill("memory-organizer", self.example("memory-organizer", "input.json"))
        self.assertEqual(answer, self.expected("memory-organizer"))

    def test_counts_merge_over_runs_and_stay_in_memory(self):
        self.cis("skill", "install", os.path.join(BUILT, "memory-organizer"), "--yes")
        for text in ("Bees make honey.", "Honey bees dance; HONEY is sweet. Bücher, the 2026"):
            run = self.cis("skill", "run", "memory-organizer", "--input", json.dumps({"text": text, "top": 2}))
        answer = json.loads(run.stdout)
        self.assertEqual(answer["keywords"], [{"word": "honey", "count": 3}, {"word": "bees", "count": 2}])
        self.assertEqual(answer["texts"], 2)
        counts = json.loads(self.memory("memory-organizer", "keywords"))
        self.assertEqual(counts, {"honey": 3, "bees": 2, "make": 1, "dance": 1, "sweet": 1, "bücher": 1})
        self.assertEqual(json.loads(self.memory("memory-organizer", "keywords/top")), answer["keywords"])

    def test_without_text_it_fails(self):
        answer, _ = self.skill("memory-organizer", '{"text":7}', exit_code=1)
        self.assertFalse(answer["success"])


class Summarise(Case):
    REPLY = json.dumps(
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "A guest is kept apart."},
                      "finish_reason": "stop"}],
         "usage": {"prompt_tokens": 30, "completion_tokens": 6}}).encode()

    def provider(self):
        server = self.serve(self.REPLY, "application/json")
        self.env.update(CIS_AI_PROVIDER="openai", CIS_AI_MODEL="test", CIS_AI_BASE_URL=server.origin + "/v1",
                        CIS_AI_API_KEY_ENV="TEST_KEY", TEST_KEY="sk-secret-of-the-test")
        return server

    def test_asks_once_and_remembers(self):
        server = self.provider()
        text = self.example("summarise", "input.json")
        first, log = self.skill("summarise", text, "--allow", "ai")
        self.assertEqual(first, self.expected("summarise"))
        self.assertIn(b"sandbox keeps a guest", server.last)
        again, _ = self.skill("summarise", text, "--allow", "ai")
        self.assertEqual((again["remembered"], again["summary"]), (True, first["summary"]))
        self.assertEqual(server.requests, 1)
        self.assertNotIn("sk-secret", log)

    def test_without_the_grant_nothing_is_sent(self):
        server = self.provider()
        answer, _ = self.skill("summarise", '{"text":"x"}', exit_code=1)
        self.assertEqual(answer["reason"], "permission denied")
        self.assertEqual(server.requests, 0)

    def test_without_a_provider_it_fails_and_does_not_pretend(self):
        answer, _ = self.skill("summarise", '{"text":"x"}', "--allow", "ai", exit_code=1)
        self.assertEqual(answer["error"], "no summary")


@unittest.skipUnless(os.path.exists(os.path.join(BUILT, "fetch", "fetch.wasm")), "no Go: fetch was not built")
class Fetch(Case):
    def test_answers_as_expected_from_a_granted_origin(self):
        server = self.serve(b"hello", "text/plain")
        answer, _ = self.skill("fetch", json.dumps({"url": server.origin + "/"}), "--allow", "http=" + server.origin)
        self.assertEqual(answer, self.expected("fetch"))

    def test_without_the_grant_nothing_is_sent(self):
        server = self.serve(b"hello", "text/plain")
        answer, _ = self.skill("fetch", json.dumps({"url": server.origin + "/"}), exit_code=1)
        self.assertIn("permission denied", answer["error"])
        self.assertEqual(server.requests, 0)

    def test_method_and_body_arrive(self):
        server = self.serve(b"ok", "text/plain")
        text = json.dumps({"url": server.origin + "/x", "method": "POST", "body": "payload"})
        self.skill("fetch", text, "--allow", "http=" + server.origin)
        self.assertEqual(server.last, b"payload")


class VisitsInC(Case):
    """A component made with clang and `cis component new` alone."""

    FOLDER = os.path.join(BUILT, "visits-c")

    def test_installed_it_counts_its_visits(self):
        self.cis("skill", "install", self.FOLDER, "--yes")
        for visits in (1, 2):
            run = self.cis("skill", "run", "visits-c", "--input", '{"name":"Ada \\u00fc"}')
            self.assertEqual(json.loads(run.stdout), {"hello": "Ada ü", "visits": visits})
            self.assertIn("met Ada ü", run.stderr)
        self.assertEqual(self.memory("visits-c", "visits/Ada ü").strip(), "2")

    def test_its_err_and_a_refusal_are_failures_that_leave_nothing(self):
        module = os.path.join(self.FOLDER, "visits.wasm")
        run = self.cis("skill", "run", "--wasm", module, "--input", "{}", exit_code=1)
        self.assertIn("name is missing", json.loads(run.stdout)["error"])
        run = self.cis("skill", "run", "--wasm", module, "--input", '{"name":"Ada"}', "--deny", "memory", exit_code=1)
        self.assertEqual(json.loads(run.stdout)["error"], "denied")

    def test_it_imports_what_it_calls_and_nothing_else(self):
        run = self.cis("component", "wit", os.path.join(self.FOLDER, "visits.wasm"))
        imports = [line.strip() for line in run.stdout.splitlines() if line.strip().startswith("import ")]
        self.assertEqual(imports, ["import cis:skill/memory@0.1.0;", "import cis:skill/log@0.1.0;"])

    def test_the_types_in_the_sdk_are_those_of_the_interface_file(self):
        section = self.custom_section(self.FOLDER + ".core.wasm", "component-type:skill")
        made = subprocess.run([CIS, "component", "wit", "-"], input=section, env=self.env, capture_output=True,
                              timeout=100, check=True).stdout.decode()
        path = os.path.join(os.environ["CIS_SOURCE_DIR"], "src", "skillabi", "wit", "cis-skill.wit")
        with open(path, encoding="utf-8") as handle:
            self.assertEqual(self.plain(made), self.plain(handle.read()))

    @staticmethod
    def plain(wit):
        lines = (line.split("///")[0].strip() for line in wit.splitlines())
        return [line for line in lines if line]

    @staticmethod
    def custom_section(path, wanted):
        with open(path, "rb") as handle:
            wasm = handle.read()
        at = 8

        def number():
            nonlocal at
            value = shift = 0
            while True:
                byte = wasm[at]
                at += 1
                value |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    return value

        while at < len(wasm):
            kind = wasm[at]
            at += 1
            size = number()
            end = at + size
            if kind == 0:
                length = number()
                name, at = wasm[at:at + length].decode(), at + length
                if name == wanted:
                    return wasm[at:end]
            at = end
        raise AssertionError("no section " + wanted)


if __name__ == "__main__":
    unittest.main(verbosity=2)
