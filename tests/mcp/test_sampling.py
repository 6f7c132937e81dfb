#!/usr/bin/env python3
"""What skills ask the client itself: that its model goes on (sampling), which folders it works on (roots); and several
questions at once. Test names are sentences."""
import json
import os
import shutil
import unittest

import client
import fixtures
from client import MODERN
from fixtures import ask, form, sampling, say

ERAS = ("2025-11-25", "2025-06-18")
SAID = {"role": "assistant", "content": {"type": "text", "text": "Paris."}, "model": "m", "stopReason": "endTurn"}
ROOTS = {"roots": [{"uri": "file:///home/ada", "name": "Home"}]}
NAME = {"action": "accept", "content": {"name": "Ada"}}
WHO = form("Who?", name={"type": "string", "minLength": 2})
SYSTEM = {"sampling": {"messages": [{"role": "user", "content": {"type": "text", "text": "Capital?"}}], "maxTokens": 9,
                       "systemPrompt": "Be short.", "temperature": 0.5}}
THREE = {"all": {"name": WHO, "model": sampling("Hi"), "roots": {"roots": {}}}}
CAN = {"elicitation": {}, "sampling": {}, "roots": {}}
ANSWERS = {"elicitation/create": NAME, "sampling/createMessage": SAID, "roots/list": ROOTS}
REFUSED = [("if", -1, '"denied"'), ("if", -2, '"invalid"'), ("answer",)]


class Sampling(client.Case):
    def install(self, request, *args, key="q"):
        module, folder = fixtures.Module(), os.path.join(self.home, "asks-skill")
        module.method("ask", [ask(key, request), *REFUSED])
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        with open(os.path.join(folder, "x.wat"), "w", encoding="ascii") as file:
            file.write(module.wat())
        with open(os.path.join(folder, "skill.toml"), "w", encoding="ascii") as file:
            file.write('[skill]\nname = "asks"\nversion = "1.0.0"\nentry = "x.wat"\n[permissions]\nai_call = true\n'
                       'filesystem = "ro"\n[[tools]]\nname = "ask"\nmethod = "skill_ask"\n')
        self.cis("skill", "install", folder, *(args or ("--allow", "ai", "--allow", "fs=ro")))

    def call(self, server, answers=None, state=None):
        more = {} if state is None else {"inputResponses": answers, "requestState": state}
        return server.call("tools/call", {"name": "ask", "arguments": {}, **more})

    def said(self, answer):
        self.assertFalse(answer["result"]["isError"], answer)
        return json.loads(answer["result"]["content"][0]["text"])

    def modern(self, **can):
        return self.server(era=MODERN, capabilities=can)

    def test_the_clients_model_goes_on_where_it_was_granted(self):
        self.install(SYSTEM)
        server = self.modern(sampling={})
        result = self.call(server)["result"]
        self.assertEqual(result["inputRequests"], {"q": {"method": "sampling/createMessage", "params": SYSTEM["sampling"]}})
        self.assertEqual(self.said(self.call(server, {"q": SAID}, result["requestState"])), SAID)
        for era in ERAS:
            server = self.server(era=era, capabilities={"sampling": {}}, person=lambda params: SAID)
            self.assertEqual(self.said(self.call(server)), SAID)
            self.assertEqual([(a["method"], a["params"]) for a in server.asked],
                             [("sampling/createMessage", SYSTEM["sampling"])])

    def test_the_client_tells_its_folders_where_it_was_granted(self):
        self.install({"roots": {}})
        server = self.modern(roots={})
        result = self.call(server)["result"]
        self.assertEqual(result["inputRequests"], {"q": {"method": "roots/list", "params": {}}})
        self.assertEqual(self.said(self.call(server, {"q": ROOTS}, result["requestState"])), ROOTS)

    def test_without_the_grant_the_client_is_not_asked(self):
        for request, granted in ((SYSTEM, "fs=ro"), ({"roots": {}}, "ai"), (THREE, "ai"), (THREE, "fs=ro")):
            other = {"ai": "fs=ro", "fs=ro": "ai"}[granted]
            self.install(request, "--allow", granted, "--deny", other)
            for era in (MODERN, *ERAS):
                server = self.server(era=era, capabilities=CAN)
                self.assertEqual((self.said(self.call(server)), server.asked), ("denied", []))
            self.cis("skill", "remove", "asks")

    def test_a_client_that_cannot_is_not_asked(self):
        for request, lacks in ((SYSTEM, "sampling"), ({"roots": {}}, "roots")):
            self.install(request)
            can = {name: {} for name in CAN if name != lacks}
            error = self.call(self.modern(**can))["error"]
            self.assertEqual((error["code"], error["data"]), (-32021, {"requiredCapabilities": {lacks: {}}}))
            for era in ERAS:
                server = self.server(era=era, capabilities=can)
                self.assertIn(f'lacks the capability "{lacks}"', server.bad("ask"))
                self.assertEqual(server.asked, [])

    def test_several_are_asked_at_once(self):
        self.install(THREE)
        server = self.modern(**CAN)
        result = self.call(server)["result"]
        self.assertEqual({key: one["method"] for key, one in result["inputRequests"].items()},
                         {"name": "elicitation/create", "model": "sampling/createMessage", "roots": "roots/list"})
        rest = self.call(server, {"name": NAME, "roots": ROOTS}, result["requestState"])["result"]
        self.assertEqual(list(rest["inputRequests"]), ["model"])
        whole = {"name": NAME["content"], "model": SAID, "roots": ROOTS}
        self.assertEqual(self.said(self.call(server, {"model": SAID}, rest["requestState"])), whole)

    def test_several_are_asked_one_after_the_other_in_the_revisions_with_sessions(self):
        self.install(THREE)
        for era in ERAS:
            server = self.server(era=era, capabilities=CAN)
            number = server.send("tools/call", {"name": "ask", "arguments": {}})
            for i in range(3):
                while len(server.asked) <= i:
                    pass
                server.reply(server.asked[i], ANSWERS[server.asked[i]["method"]])
            answer = server.answer()
            self.assertEqual((answer["id"], self.said(answer)), (number, {"name": NAME["content"], "model": SAID, "roots": ROOTS}))

    def test_what_the_client_cannot_be_asked_among_several_is_answered_with_no(self):
        self.install(THREE)
        server = self.modern(sampling={})
        result = self.call(server)["result"]
        self.assertEqual(list(result["inputRequests"]), ["model"])
        self.assertEqual(self.said(self.call(server, {"model": SAID}, result["requestState"])),
                         {"name": None, "model": SAID, "roots": None})
        self.assertEqual(self.call(self.modern())["error"]["code"], -32021)
        for era in ERAS:
            server = self.server(era=era, capabilities={"roots": {}}, person=lambda params: ROOTS)
            self.assertEqual(self.said(self.call(server)), {"name": None, "model": None, "roots": ROOTS})

    def test_an_answer_that_does_not_fit_is_asked_for_again(self):
        self.install(THREE)
        server = self.modern(**CAN)
        state = self.call(server)["result"]["requestState"]
        bad = {"action": "accept", "content": {"name": "A"}}
        again = self.call(server, {"name": bad, "model": SAID, "roots": ROOTS}, state)["result"]
        self.assertEqual(sorted(again["inputRequests"]), ["name"])
        self.assertIn("shorter", again["inputRequests"]["name"]["params"]["message"])
        self.assertEqual(self.call(server, {"model": 3}, state)["error"]["code"], -32602)
        for other in ({"model": {"role": "assistant"}, "roots": ROOTS}, {"model": SAID, "roots": {"roots": {}}}):
            refused = self.call(server, {"name": NAME, **other}, state)["result"]  # nobody there would say it otherwise
            self.assertTrue(refused["isError"], refused)
            self.assertIn("does not fit", refused["content"][0]["text"])

    def test_an_answer_of_the_client_that_is_too_long_is_not_asked_for_again(self):
        long = {**SAID, "content": {"type": "text", "text": "x" * 70000}}
        for request, said in ((SYSTEM, "does not fit"), ({"all": {"a": sampling("Hi"), "b": sampling("Ho")}}, "is no good")):
            self.install(request)
            server = self.server(era=ERAS[0], capabilities={"sampling": {}}, person=lambda params: long)
            result = self.call(server)["result"]
            self.assertTrue(result["isError"], result)
            self.assertIn(said, result["content"][0]["text"])
            self.assertEqual(len(server.asked), len(request.get("all", "1")))

    def test_requests_that_are_none_are_refused(self):
        turn = SYSTEM["sampling"]["messages"][0]
        for sampled in ({}, {"messages": [turn]}, {"messages": [], "maxTokens": 1}, {"messages": [turn], "maxTokens": 0},
                        {"messages": [turn], "maxTokens": 1, "more": 1}, {"messages": turn, "maxTokens": 1},
                        {"messages": [{**turn, "role": "system"}], "maxTokens": 1},
                        {"messages": [{**turn, "content": fixtures.IMAGE}], "maxTokens": 1},
                        {"messages": [{**turn, "content": {"type": "text", "text": "a\x1b[31m"}}], "maxTokens": 1}):
            self.install({"sampling": sampled})
            self.assertEqual(self.said(self.call(self.modern(**CAN))), "invalid", sampled)
        for request in ({"roots": {"a": 1}}, {"roots": []}, {**SYSTEM, "roots": {}}, {**SYSTEM, "message": "Hi"},
                        {"all": {}}, {"all": []}, {"all": {"a": {"all": {"b": WHO}}}}, {"all": {"a/b": WHO}},
                        {"all": {"": WHO}}, {"all": {"a": {}}}, {"all": {f"k{i}": WHO for i in range(17)}}):
            self.install(request)
            self.assertEqual(self.said(self.call(self.modern(**CAN))), "invalid", request)

    def test_answers_are_given_on_the_command_line_too(self):
        self.install(THREE)
        run = ("skill", "call", "asks", "skill_ask")
        self.assertIn("no answer", self.cis(*run, code=9))
        given = [f"--answer={key}={json.dumps(answer)}"
                 for key, answer in (("name", None), ("model", SAID), ("roots", ROOTS))]
        self.assertEqual(json.loads(self.cis(*run, *given)), {"name": None, "model": SAID, "roots": ROOTS})


if __name__ == "__main__":
    unittest.main()
