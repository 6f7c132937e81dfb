#!/usr/bin/env python3
"""Questions of runs to the person: answers given beforehand, on a terminal, and not at all. Test names
are sentences."""
import json
import os
import pty
import select
import shutil
import subprocess
import tempfile
import unittest

CIS = os.environ["CIS_PROGRAM"]
ASKS = os.path.join(os.environ["CIS_GUESTS_DIR"], "asks.wasm")
NAME = json.dumps({"message": "Who?", "schema": {"type": "object", "required": ["name"], "properties": {
    "name": {"type": "string", "minLength": 2}, "age": {"type": "integer", "minimum": 0},
    "colour": {"type": "string", "enum": ["red", "green"]}, "sure": {"type": "boolean"}}}})
SURE = '{"message": "Sure?"}'


class Ask(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="cis-ask-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.home, True)
        self.env = {**os.environ, "CIS_HOME": self.home}

    def cis(self, *args, code=0):
        done = subprocess.run([CIS, *args], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=600, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def last(self):
        return json.loads(self.cis("runs", "show", "last", "--json").stdout)

    def test_a_question_with_an_answer_gets_it(self):
        done = self.cis("run", "-w", "--answer", 'name={"name":"Ada","age":36,"sure":true}', "--answer", "sure={}",
                        ASKS, "name", NAME, "sure", SURE)
        self.assertEqual(done.stdout, 'name: {"name":"Ada","age":36,"sure":true}\nsure: {}\n')
        self.assertEqual(self.cis("fs", "cat", "/asked.txt").stdout, "name\nsure\n")
        self.assertNotIn("question", self.last())

    def test_null_is_the_persons_no(self):
        self.assertEqual(self.cis("run", "--answer", "name=null", ASKS, "name", NAME).stdout, "name: null\n")

    def test_without_an_answer_nothing_is_kept_and_the_report_has_the_question(self):
        done = self.cis("run", "-w", "--answer", 'name={"name":"Ada"}', ASKS, "name", NAME, "sure", SURE, code=123)
        self.assertEqual(done.stdout, 'name: {"name":"Ada"}\n')
        self.assertIn("--answer sure=JSON", done.stderr)
        self.cis("fs", "cat", "/asked.txt", code=3)
        report = self.last()
        self.assertEqual((report["status"], report["code"], report["exit_code"]),
                         ("input_required", "INPUT_REQUIRED", 123))
        self.assertEqual(report["question"], {"key": "sure", "request": {"message": "Sure?"}})
        self.assertFalse(report["changes"]["committed"])
        self.assertIn("Sure?", self.cis("runs", "show", "last").stdout)
        done = self.cis("run", "--tx", "always", "-w", ASKS, "sure", SURE, code=123)
        self.cis("fs", "cat", "/asked.txt", code=3)

    def test_skills_ask_too_with_an_exit_code_of_their_own(self):
        self.assertIn("--answer name=JSON", self.cis("skill", "run", "--wasm", ASKS, code=9).stderr)
        done = self.cis("skill", "run", "--wasm", ASKS, "--answer", 'name={"name":"Ada"}')
        self.assertIn('name: {"name":"Ada"}', done.stdout)
        report = json.loads(self.cis("skill", "run", "--wasm", ASKS, "--json", code=9).stdout)
        self.assertEqual(report["question"]["key"], "name")

    def test_an_answer_that_does_not_fit_is_asked_for_again(self):
        for answer, why in (('{"name":"A"}', "shorter"), ("{}", "missing"), ('{"name":"Ada","age":-1}', "bounds"),
                            ('{"name":"Ada","age":1.5}', "bounds"), ('{"name":"Ada","colour":"blue"}', "choices"),
                            ('{"name":"Ada","sure":"yes"}', "true or false"), ('{"name":"Ada","more":1}', "not asked"),
                            ("[]", "object"), ('"Ada"', "object"), ("3", "object")):
            done = self.cis("run", "--answer", f"name={answer}", ASKS, "name", NAME, code=123)
            self.assertIn(why, done.stderr)
            self.assertEqual(done.stdout, "")

    def test_the_last_answer_of_a_key_counts(self):
        done = self.cis("run", "--answer", "sure=null", "--answer", "sure={}", ASKS, "sure", SURE)
        self.assertEqual(done.stdout, "sure: {}\n")

    def test_answers_that_are_no_answers_are_refused_before_anything_runs(self):
        for answer in ("sure", "={}", "sure=", "sure=yes", 'sure={"a":1} x', "sure={"):
            done = self.cis("run", "--answer", answer, ASKS, "sure", SURE, code=2)
            self.assertIn("KEY=JSON", done.stderr)
        self.cis("runs", "show", "last", code=3)

    def test_a_question_that_is_none_is_the_guests_mistake(self):
        field = '{{"message":"m","schema":{{"type":"object","properties":{{"a":{}}}}}}}'
        bad = ["", "{", "[]", "{}", '{"message":""}', '{"message":3}', '{"message":"m","more":1}',
               json.dumps({"message": "x" * 4097}), json.dumps({"message": "a\x1b[31mb"}),
               json.dumps({"message": "a\u202eb"}), '{"message":"m","schema":{}}',
               '{"message":"m","schema":{"type":"object"}}',
               '{"message":"m","schema":{"type":"object","properties":{},"required":["a"]}}',
               '{"message":"m","schema":{"type":"object","properties":{},"$ref":"#"}}',
               *[field.format(f) for f in ("3", "{}", '{"type":"object"}', '{"type":"string","pattern":"a"}',
                                           '{"type":"string","minLength":-1}', '{"type":"number","minimum":"1"}',
                                           '{"type":"string","enum":[]}', '{"type":"string","enum":[1]}',
                                           '{"type":"string","enum":["a"],"enumNames":["b","c"]}',
                                           '{"type":"string","oneOf":[{"const":"a"}]}',
                                           '{"type":"string","enum":["a"],"default":"b"}',
                                           '{"type":"string","title":"\\u001b"}',
                                           '{"type":"array"}', '{"type":"array","items":{"type":"number"}}',
                                           '{"type":"boolean","default":1}')],
               json.dumps({"message": "m", "schema": {"type": "object", "properties": {
                   f"f{i}": {"type": "string"} for i in range(33)}}}),
               '{"message":"' + "x" * 65536 + '"}']
        for request in bad:
            done = self.cis("run", "--answer", "k={}", ASKS, "k", request)
            self.assertEqual(done.stdout, "k: -2\n", request[:200])
        for key in ("", "a b", "a/b", "ü", "x" * 65):
            self.assertEqual(self.cis("run", ASKS, key, SURE).stdout, f"{key}: -2\n")

    def test_every_kind_of_field_is_asked_for(self):
        request = json.dumps({"message": "m", "schema": {"type": "object", "properties": {
            "a": {"type": "string", "title": "A", "description": "d", "format": "email", "default": "x"},
            "b": {"type": "string", "oneOf": [{"const": "r", "title": "Red"}]},
            "c": {"type": "string", "enum": ["r"], "enumNames": ["Red"]},
            "d": {"type": "array", "items": {"type": "string", "enum": ["r", "g"]}, "minItems": 1, "maxItems": 2},
            "e": {"type": "array", "items": {"anyOf": [{"const": "r", "title": "Red"}]}},
            "f": {"type": "number", "minimum": 0.5, "maximum": 1.5}, "g": {"type": "boolean", "default": True}}}})
        good = '{"a":"é","b":"r","c":"r","d":["r","g"],"e":["r"],"f":1.5,"g":false}'
        self.assertEqual(self.cis("run", "--answer", f"k={good}", ASKS, "k", request).stdout, f"k: {good}\n")
        for bad in ('{"b":"Red"}', '{"d":[]}', '{"d":["x"]}', '{"d":["r","g","r"]}', '{"e":["Red"]}', '{"f":0.4}',
                    '{"g":null}'):
            self.cis("run", "--answer", f"k={bad}", ASKS, "k", request, code=123)

    def test_a_run_with_answers_is_replayed(self):
        record = os.path.join(self.home, "r")
        done = self.cis("run", "--record", record, "--answer", 'name={"name":"Ada"}', ASKS, "name", NAME)
        self.assertEqual(self.cis("replay", record).stdout, done.stdout)
        self.cis("run", "--record", record, ASKS, "name", NAME, code=123)
        self.assertEqual(self.cis("replay", record, code=123).stdout, "")

    # ---- a terminal ----

    def talk(self, *args, typed):
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(CIS, [CIS, *args], self.env)
        shown = b""
        typed = list(typed)
        while True:
            ready, _, _ = select.select([fd], [], [], 600)
            self.assertTrue(ready, shown)
            try:
                piece = os.read(fd, 65536)
            except OSError:
                piece = b""
            if not piece:
                break
            shown += piece
            if typed and shown.rstrip(b" ").endswith(typed[0][0]):
                os.write(fd, typed.pop(0)[1])
        self.assertEqual(typed, [], shown)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()

    def test_on_a_terminal_the_person_is_asked_and_the_run_begins_anew(self):
        code, shown = self.talk("run", "-w", ASKS, "name", NAME, "sure", SURE,
                                typed=[(b"| name\r\n  answer:", b"Ada\n"), (b"| age\r\n  answer:", b"36\n"),
                                       (b"| colour (red | green)\r\n  answer:", b"\n"),
                                       (b"| sure (yes or no)\r\n  answer:", b"y\n"), (b"yes or no:", b"y\n")])
        self.assertEqual(code, 0, shown)
        self.assertIn('name: {"name":"Ada","age":36,"sure":true}', shown)
        self.assertIn("sure: {}", shown)
        self.assertIn("asks:", shown)
        self.assertEqual(self.cis("fs", "cat", "/asked.txt").stdout, "name\nsure\n")
        self.assertEqual(len(json.loads(self.cis("runs", "list", "--json").stdout)["runs"]), 3)

    def test_on_a_terminal_the_person_may_say_no_or_end_the_run(self):
        self.assertIn("sure: null", self.talk("run", ASKS, "sure", SURE, typed=[(b"yes or no:", b"n\n")])[1])
        self.assertIn("name: null", self.talk("run", ASKS, "name", NAME, typed=[(b"answer:", b"\x04")])[1])
        code, shown = self.talk("run", ASKS, "sure", SURE, typed=[(b"yes or no:", b"\x03")])
        self.assertEqual(code, 123, shown)

    def test_a_guests_text_is_behind_a_bar_also_where_a_line_of_the_terminal_ends(self):
        words = "ok?" + " " * 73 + "cis run: type your password " + "\u8a9e" * 60
        form = {"message": words, "schema": {"type": "object", "properties": {"a": {
            "type": "string", "title": words, "description": words, "enum": [words], "default": words}}}}
        code, shown = self.talk("run", ASKS, "sure", json.dumps(form), typed=[(b"answer:", b"\n")])
        self.assertEqual(code, 0, shown)
        asked = shown[shown.index("asks:"):shown.index("answer:")].replace("\r", "").split("\n")
        for line in asked[1:-1]:
            self.assertTrue(line.startswith("  | ") or "Ctrl-D" in line, line)
            self.assertLess(sum(1 if c < "\x80" else 2 for c in line), 80, line)
        self.assertEqual(shown.count("\u8a9e"), 60 * 5 + 60)  # nothing is left out; the guest prints the answer

    def test_a_guest_does_not_fill_the_terminal_with_how_far_it_is(self):
        path = os.path.join(self.home, "far.wat")
        with open(path, "w", encoding="ascii") as file:
            file.write("""(module (import "cis" "host_progress" (func $far (param i64 i64 i32 i32) (result i32)))
              (memory (export "memory") 1)
              (func (export "_start") (local $n i64)
                (memory.fill (i32.const 16) (i32.const 120) (i32.const 250))
                (loop (local.set $n (i64.add (local.get $n) (i64.const 1)))
                  (drop (call $far (local.get $n) (local.get $n) (i32.const 16) (i32.const 250)))
                  (br_if 0 (i64.lt_u (local.get $n) (i64.const 3000))))))""".replace("i64", "i32"))
        code, shown = self.talk("run", path, typed=[])
        lines = shown.replace("\r", "").strip().split("\n")
        self.assertEqual(code, 0, shown[:500])
        self.assertIn("far.wat: 1 of 1 xxx", lines[0])
        self.assertLess(len(lines), 1000)
        self.assertEqual([line for line in lines if len(line) > 79], [])

    def test_nothing_that_a_guest_says_steers_the_terminal(self):
        code, shown = self.talk("run", ASKS, "sure", '{"message":"one\\n  yes or no: y"}',
                                typed=[(b"yes or no:", b"y\n")])
        self.assertEqual(code, 0, shown)
        self.assertIn("  |   yes or no: y", shown)  # what the guest wrote stands behind a bar
        self.assertIn("1 of 2 half ?[31mway", shown)
        self.assertNotIn("\x1b", shown)


if __name__ == "__main__":
    unittest.main()
