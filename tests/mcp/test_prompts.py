#!/usr/bin/env python3
"""Prompts that installed skills declare: texts that a person chooses. Test names are sentences."""
import os
import shutil
import unittest

import client
from client import MODERN

WAT = '(module (memory (export "memory") 1) (func (export "skill_execute") (param i32 i32) (result i32) (i32.const 0)))'
REVIEW = """[[prompts]]
name = "review"
title = "Review a file"
description = "Asks for a review."
text = "Review {{path}}. {{how}}{{path}}"
[[prompts.arguments]]
name = "path"
description = "The file."
required = true
[[prompts.arguments]]
name = "how"
"""


class Prompts(client.Case):
    def install(self, prompts, name="prompter", code=0):
        folder = os.path.join(self.home, f"{name}-skill")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        with open(os.path.join(folder, "x.wat"), "w", encoding="utf-8") as file:
            file.write(WAT)
        with open(os.path.join(folder, "skill.toml"), "w", encoding="utf-8") as file:
            file.write(f'[skill]\nname = "{name}"\nversion = "1.0.0"\nentry = "x.wat"\n{prompts}')
        return self.cis("skill", "install", folder, code=code)

    def get(self, server, name, **arguments):
        return server.call("prompts/get", {"name": name, "arguments": arguments})

    def test_a_prompt_is_listed_as_it_was_declared_and_filled(self):
        self.install(REVIEW)
        for era in (MODERN, "2025-11-25"):
            server = self.server(era=era)
            self.assertEqual(server.result("prompts/list")["prompts"], [{
                "name": "review", "title": "Review a file", "description": "Asks for a review.", "arguments": [
                    {"name": "path", "required": True, "description": "The file."},
                    {"name": "how", "required": False}]}])
            result = self.get(server, "review", path="a.c", how="Be kind. ")["result"]
            self.assertEqual(result["description"], "Asks for a review.")
            self.assertEqual(result["messages"], [
                {"role": "user", "content": {"type": "text", "text": "Review a.c. Be kind. a.c"}}])
            result = self.get(server, "review", path="ü")["result"]
            self.assertEqual(result["messages"][0]["content"]["text"], "Review ü. ü")

    def test_an_argument_is_put_in_as_it_is(self):
        self.install(REVIEW)
        for text in ("{{how}}", "{{", "}}", "{{path}}", '"}],"messages":[', "\x1b[31m"):
            result = self.get(self.server(), "review", path=text, how="x")["result"]
            self.assertEqual(result["messages"][0]["content"]["text"], f"Review {text}. x{text}")
            self.assertEqual(len(result["messages"]), 1)

    def test_what_does_not_fit_is_refused(self):
        self.install(REVIEW)
        server = self.server()
        for name, arguments in (("none", {}), ("review", {}), ("review", {"path": 3}), ("review", {"path": None}),
                                ("review", {"path": "a", "more": "b"}), ("", {"path": "a"}),
                                ("review", {"path": "x" * 600000})):
            self.assertEqual(self.get(server, name, **arguments)["error"]["code"], -32602)
        for params in ({"name": "review", "arguments": []}, {"name": 3}, {}):
            self.assertEqual(server.call("prompts/get", params)["error"]["code"], -32602)

    def test_what_a_manifest_may_not_say_is_refused_at_install(self):
        one = '[[prompts]]\nname = "p"\n'
        for prompts in (one, '[[prompts]]\ntext = "a"\n', one + 'text = ""\n', one + 'text = "{{a}}"\n',
                        one + 'text = "{{a"\n', one + 'text = "a\\u001b"\n', one + 'text = "a"\nmore = 1\n',
                        '[[prompts]]\nname = "a b"\ntext = "a"\n',
                        one + 'text = "a"\n' + one + 'text = "b"\n', one + f'text = "{"x" * 16385}"\n',
                        one + 'text = "a"\ndescription = "a\\u202eb"\n',
                        one + 'text = "a"\n[[prompts.arguments]]\n',
                        one + 'text = "a"\n[[prompts.arguments]]\nname = "b"\ntype = "c"\n',
                        one + 'text = "a"\n' + '[[prompts.arguments]]\nname = "b"\n' * 2,
                        one + 'text = "a"\n' + "".join(f'[[prompts.arguments]]\nname = "b{i}"\n' for i in range(17)),
                        "".join(f'[[prompts]]\nname = "p{i}"\ntext = "a"\n' for i in range(101))):
            self.assertIn("prompts", self.install(prompts, code=3))
        self.assertEqual(self.server().result("prompts/list")["prompts"], [])

    def test_one_skill_does_not_change_anothers_prompt(self):
        self.install(REVIEW, name="bbb")
        self.assertIn("its prompt review has the same name as a prompt of skill bbb",
                      self.install(REVIEW.replace("Review {{", "Delete {{"), name="aaa", code=4))
        self.install(REVIEW.replace("Review {{", "Look at {{"), name="bbb")  # its own
        result = self.get(self.server(), "review", path="a")["result"]
        self.assertEqual(result["messages"][0]["content"]["text"], "Look at a. a")

    def test_more_prompts_than_there_may_be_are_left_out(self):
        for skill in range(11):
            self.install("".join(f'[[prompts]]\nname = "s{skill}p{i}"\ntext = "a"\n' for i in range(100)), name=f"s{skill}")
        server = self.server()
        self.assertEqual(len(server.result("prompts/list")["prompts"]), 100)
        self.assertEqual(server.end(), 0)
        self.assertIn("prompts are left out: there are too many", server.stderr())

    def test_many_prompts_come_page_by_page_by_name(self):
        for skill in ("one", "two"):
            self.install("".join(f'[[prompts]]\nname = "{skill}{i:03}"\ntext = "a"\n' for i in range(100)), name=skill)
        server = self.server()
        first = server.result("prompts/list")
        rest = server.result("prompts/list", {"cursor": first["nextCursor"]})
        names = [p["name"] for p in first["prompts"] + rest["prompts"]]
        self.assertEqual((len(names), names), (200, sorted(names)))
        self.assertNotIn("nextCursor", rest)


if __name__ == "__main__":
    unittest.main()
