#!/usr/bin/env python3
"""`cis scenario`: load tests from the command line, and components that are not to be trusted. Test
names are sentences."""
import html.parser
import json
import os
import pty
import shutil
import signal
import subprocess
import time
import unittest

import test_scheduler as base
from test_scheduler import BUILT, CIS, END, flow, get, node

HOSTILE = os.path.join(BUILT, "hostile.wasm")


class Page(html.parser.HTMLParser):
    """The tags of a page, and what of it would need something else."""
    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.foreign, self.texts = [], set(), [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.foreign += [a for a in attrs if a[0] in ("src", "href", "xlink:href") or a[0].startswith("on")]
        if tag not in ("meta", "polyline", "line"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.texts.append(data)


class Case(base.Case):
    def write(self, text, name="scenario.yaml"):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def scenario_run(self, yaml, *argv):
        return self.cis("scenario", "run", *argv, self.write(yaml))

    def json_run(self, yaml, *argv):
        done = self.scenario_run(yaml, "--json", *argv)
        return done, json.loads(done.stdout)

    def asset(self, server, more="", load="", **options):
        url = f"http://127.0.0.1:{server.port}/asset"
        return flow(get("a", url, more), node("start", "a", "{to: end}") + ", " + END, load=load, **options)


class Validate(Case):
    def validate(self, text, *argv):
        return self.cis("scenario", "validate", *argv, self.write(text))

    def test_a_scenario_that_is_one_is_accepted_in_silence_by_every_plan(self):
        for name in ("simple", "medium", "advanced"):
            done = self.validate(self.scenario(name, 1))
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        for plan in ("a", "b", "bp", "c"):
            done = self.validate(self.scenario("simple", 1), "--plan", plan, "--json")
            self.assertEqual((done.returncode, json.loads(done.stdout)), (0, {"schema": 1, "valid": True}), done.stderr)

    def test_what_is_wrong_has_its_line_and_column(self):
        good = self.scenario("simple", 1)
        lines = good.count("\n")
        rows = [('version: "1"\nname: x\nworkflows:\n  nodes: 5\n', 4, 10, "nodes: invalid type: integer `5`"),
                ("a: [1\n", 2, 1, "did not find expected"),
                (good.replace("action: get-asset", "action: nobody"), 22, 7, "unknown action `nobody`"),
                (good + "\nthresholds:\n  - p99 is small\n", lines + 3, 5, "thresholds: `p99 is small` is none")]
        for text, line, column, why in rows:
            done = self.validate(text)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertRegex(done.stderr, r"^cis scenario validate: .*/scenario\.yaml:\d+:\d+: ")
            self.assertIn(f"scenario.yaml:{line}:{column}: ", done.stderr)
            self.assertIn(why, done.stderr)
            done = self.validate(text, "--json")
            said = json.loads(done.stdout)
            self.assertEqual((done.returncode, said["valid"], said["line"], said["column"]), (1, False, line, column))
            self.assertIn(why, said["message"])

    def test_what_has_no_place_is_refused_too(self):
        good = self.scenario("medium", 1)
        for text, why in (("", "missing field `version`"), (good.replace("load:", "lood:"), "Load configuration"),
                          (good.replace("pool_id: eip-pool-1", "pool_id: other"), "IP pool 'other' not found"),
                          (good.replace("id: start", "id: begin"), "no node `start`")):
            done = self.validate(text)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(why, done.stderr)

    def test_nothing_is_sent(self):
        server = self.serve()
        done = self.validate(self.scenario("medium", server.port))
        self.assertEqual((done.returncode, server.requests()), (0, []))

    def test_files_and_components_that_are_not_there_are_named(self):
        done = self.cis("scenario", "validate", os.path.join(self.folder.name, "none.yaml"))
        self.assertNotIn(done.returncode, (0, 1))
        self.assertIn("none.yaml", done.stderr)
        done = self.validate("x", "--component", os.path.join(self.folder.name, "none.wasm"))
        self.assertIn("none.wasm", done.stderr)
        self.assertNotIn(done.returncode, (0, 1))
        self.assertEqual(self.validate("x", "--component", HOSTILE, "--plan", "a").returncode, 2)
        self.assertEqual(self.validate("x", "--plan", "z").returncode, 2)
        with open(os.path.join(self.folder.name, "latin.yaml"), "wb") as file:
            file.write(b"name: \xff\n")
        done = self.cis("scenario", "validate", os.path.join(self.folder.name, "latin.yaml"))
        self.assertIn("not text in UTF-8", done.stderr)

    def test_a_program_without_its_components_says_where_it_looked(self):
        alone = os.path.join(self.folder.name, "bin", "cis")
        os.mkdir(os.path.dirname(alone))
        shutil.copy(CIS, alone)
        done = subprocess.run([alone, "scenario", "validate", self.write("x")], env=self.env, capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 126)
        self.assertIn("static.wasm is neither in scheduler nor in share/cis/scheduler", done.stderr)
        installed = os.path.join(self.folder.name, "share", "cis", "scheduler")
        os.makedirs(installed)
        shutil.copy(os.path.join(BUILT, "static.wasm"), installed)
        done = subprocess.run([alone, "scenario", "validate", self.write(self.scenario("simple", 1))], env=self.env,
                              check=False)
        self.assertEqual(done.returncode, 0)


class Run(Case):
    def test_every_plan_sends_the_same_and_sums_it_up_alike(self):
        lines = set()
        for plan in ("a", "b", "bp", "c"):
            server = self.serve()
            done = self.scenario_run(self.scenario("medium", server.port), "--plan", plan, "--net",
                                     f"tcp:127.0.0.1:{server.port}", "--net", "bind:127.0.1.0/26")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(len(server.requests()), 180)
            lines.add("\n".join(line for line in done.stdout.splitlines() if "ms" not in line and "/s" not in line))
            self.assertIn("Total users spawned: 30\nTotal actions executed: 180\n", done.stdout)
            self.assertIn("Pool 'eip-pool-1': 0 allocated, 64 available (total: 64)", done.stdout)
            self.assertRegex(done.stderr, r"(?m)^\d s  users \d+  requests \d+ \(\d+/s\)  failed 0  p50 ")
            self.assertNotIn("\x1b", done.stderr)
        self.assertEqual(len(lines), 1, lines)

    def test_without_its_grant_a_run_fails_and_says_which_one_it_needs(self):
        server = self.serve()
        done = self.scenario_run(self.asset(server, users=5))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count(f"(--allow net=tcp:127.0.0.1:{server.port})"), 1, done.stderr)
        self.assertIn("cis scenario run: 5 of 5 users failed", done.stderr)
        self.assertEqual(server.requests(), [])

    def test_assertions_and_thresholds_decide_the_exit_code(self):
        server = self.serve()
        net = ("--net", f"tcp:127.0.0.1:{server.port}")
        wrong = ", export: [{type: assert, name: asset.version, default: v2}]"
        done, said = self.json_run(self.asset(server, wrong), *net)
        self.assertEqual((done.returncode, said["ok"], said["failures"]), (1, False, ["1 of 1 assertions failed"]))
        kept, broken = "thresholds: [p99 < 60s, error_rate <= 0]", "thresholds: [p99 < 60s, requests > 7]"
        done, said = self.json_run(self.asset(server, load=kept), *net)
        self.assertEqual((done.returncode, said["ok"], said["failures"]), (0, True, []))
        done, said = self.json_run(self.asset(server, load=broken), *net)
        self.assertEqual((done.returncode, said["failures"]), (1, ["threshold requests > 7: it was 1"]))
        self.assertEqual([t["ok"] for t in said["thresholds"]], [True, False])

    def test_a_threshold_for_errors_decides_about_users_that_fail(self):
        server = self.serve()
        yaml = self.asset(server, load="thresholds: ['error_rate <= 100%']")
        self.assertEqual(self.scenario_run(yaml).returncode, 0)

    def test_a_scenario_that_is_wrong_is_not_run(self):
        done = self.scenario_run('version: "1"\nname: x\nworkflows:\n  nodes: 5\n', "--parallel", "2")
        self.assertEqual(done.returncode, 1)
        self.assertIn("scenario.yaml:4:10: nodes: invalid type", done.stderr)

    def test_ctrl_c_prints_the_summary_so_far(self):
        server = self.serve()
        yaml = self.asset(server, users=3, iterations=0, life="loop", think="20ms")
        with subprocess.Popen([CIS, "scenario", "run", "--net", f"tcp:127.0.0.1:{server.port}", self.write(yaml)],
                              env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stderr:
                if " users 3 " in line:
                    break
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        self.assertIn("Total users spawned: 3\n", out)
        self.assertRegex(out, r"Requests: [1-9]\d* successful, 0 failed")
        self.assertIn("cancelled", err)

    def test_instances_divide_the_users_and_their_numbers_are_added_up(self):
        server = self.serve()
        done, said = self.json_run(self.scenario("medium", server.port), "--parallel", "3", "--net",
                                   f"tcp:127.0.0.1:{server.port}", "--net", "bind:127.0.1.0/26")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((said["instances"], said["users"], said["successful"], said["statuses"]),
                         (3, 30, 180, {"200": 180}))
        pool = said["pools"][0]
        self.assertEqual((pool["allocated"], pool["available"], pool["total"]), (0, 64, 64))
        self.assertEqual(sum(said["latency_us"][1::2]), 180)
        self.assertEqual(sum(point["requests"] for point in said["course"]), 180)
        self.assertLessEqual(said["latency_p50_ms"], said["latency_p99_ms"])
        self.assertEqual(len(server.requests()), 180)

    def test_every_user_of_several_instances_has_a_number_of_its_own(self):
        server = self.serve()
        url = f"http://127.0.0.1:{server.port}/asset?u={{{{user.id}}}}"
        yaml = flow(get("a", url), node("start", "a", "{to: end}") + ", " + END, users=10)
        self.scenario_run(yaml, "--parallel", "4", "--net", f"tcp:127.0.0.1:{server.port}")
        self.assertEqual(sorted(r[1] for r in server.requests()), sorted(f"/asset?u={i}" for i in range(1, 11)))

    def test_what_all_users_share_is_not_divided_between_instances(self):
        server = self.serve()
        for scope in ("workbook", "global", "step"):
            yaml = self.asset(server, f", export: [{{type: content, name: asset.version, scope: {scope}}}]", users=2)
            argv = ("--net", f"tcp:127.0.0.1:{server.port}")
            self.assertEqual(self.scenario_run(yaml, *argv).returncode, 0)
            done = self.scenario_run(yaml, "--parallel", "2", *argv)
            self.assertEqual(done.returncode, 0 if scope == "step" else 1, done.stderr)
            if scope != "step":
                self.assertIn(f"action `a` exports `asset.version` to all users (scope: {scope}), and 2 instances share",
                              done.stderr)

    def test_more_instances_than_users_may_be_there_are_refused(self):
        server = self.serve()
        load = "  concurrency: {max_concurrent_users: 1, spawn_rate_limit: 10/s}"
        done = self.scenario_run(self.asset(server, load=load), "--parallel", "2")
        self.assertEqual(done.returncode, 1)
        self.assertIn("max_concurrent_users: 1 are too few for 2 instances", done.stderr)
        self.assertEqual(self.scenario_run("x", "--parallel", "0").returncode, 2)
        self.assertEqual(self.scenario_run("x", "--parallel", "65").returncode, 2)

    def test_the_report_is_json_where_its_name_says_so(self):
        server = self.serve()
        path = os.path.join(self.folder.name, "report.json")
        done = self.scenario_run(self.asset(server), "--net", f"tcp:127.0.0.1:{server.port}", "--report", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(json.load(file)["successful"], 1)
        done = self.scenario_run(self.asset(server), "--report", os.path.join(self.folder.name, "no", "where.html"))
        self.assertNotIn(done.returncode, (0, 1))
        self.assertEqual(len(server.requests()), 1)

    def test_the_report_is_a_page_that_needs_nothing_else(self):
        server = self.serve()
        path = os.path.join(self.folder.name, "report.html")
        done = self.scenario_run(self.asset(server, users=4, iterations=3, life="loop", think="500ms",
                                            load="thresholds: [p99 < 60s, requests > 100]"),
                                 "--net", f"tcp:127.0.0.1:{server.port}", "--report", path, "--parallel", "2")
        self.assertEqual(done.returncode, 1, done.stderr)
        with open(path, encoding="utf-8") as file:
            page = Page(file.read())
        self.assertEqual((page.open, page.foreign), ([], []))
        self.assertTrue({"svg", "polyline", "table"} <= page.seen, page.seen)
        self.assertFalse({"script", "img", "link", "iframe", "object"} & page.seen)
        self.assertIn("threshold requests > 100: it was 12", page.texts)
        self.assertIn("p99 < 60s", page.texts)

    def test_on_a_terminal_the_progress_is_one_line(self):
        server = self.serve()
        yaml = self.asset(server, users=2, iterations=3, life="loop", think="700ms")
        main, other = pty.openpty()
        with subprocess.Popen([CIS, "scenario", "run", "--net", f"tcp:127.0.0.1:{server.port}", self.write(yaml)],
                              env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=other) as process:
            os.close(other)
            said = b""
            try:
                while data := os.read(main, 4096):
                    said += data
            except OSError:
                pass
            self.assertEqual(process.wait(), 0)
        os.close(main)
        self.assertIn(b"\r\x1b[K1 s  users 2  requests", said)
        self.assertTrue(said.endswith(b"\r\x1b[K"), said)
        self.assertNotIn(b"\n", said)


class Hostile(Case):
    def hostile(self, what, *argv):
        done = subprocess.run([CIS, "scenario", "run", "--component", HOSTILE, *argv, self.write(what)], env=self.env,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
        for data in (done.stdout, done.stderr):
            self.assertNotRegex(data, rb"[\x00-\x08\x0b-\x1f\x7f]")
            data.decode("utf-8")
        return done

    def test_what_steers_terminals_is_not_printed(self):
        done = self.hostile("escapes")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"\nScenario:  [31mred Total users spawned: 7\nTotal users spawned: 1\n", done.stdout)
        self.assertIn(b"?[31mred?]0;title?", done.stderr)
        done = self.hostile("escapes", "--json")
        self.assertEqual(json.loads(done.stdout)["errors"], {" [31m<b>&": 3})
        self.hostile("escapes", "--verbose")
        path = os.path.join(self.folder.name, "report.html")
        self.hostile("escapes", "--report", path)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertIn("[31m&#60;b&#62;&#38;", text)
        self.assertNotIn("\x1b", text)
        self.assertEqual(Page(text).open, [])
        done = self.hostile("fails")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"scenario.yaml:7:3: ?[31mred", done.stderr)

    def test_records_that_are_none_end_the_run(self):
        for what in ("no json", "no object", "negative", "fraction", "huge number", "no bucket", "bucket of text",
                     "not a status", "no threshold", "nested", "after the end", "long"):
            done = self.hostile(what)
            self.assertEqual(done.returncode, 126, (what, done.stderr))
            self.assertIn(b"a record of the component is wrong: ", done.stderr)

    def test_a_run_without_its_last_record_is_none(self):
        done = self.hostile("no end")
        self.assertEqual(done.returncode, 126)
        self.assertIn(b"without its last record", done.stderr)
        self.assertEqual(self.hostile("trap").returncode, 134)

    def test_numbers_that_are_not_told_are_said_to_be_missing(self):
        done = self.hostile("says no numbers")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"tells no numbers: nothing was checked", done.stderr)
        self.assertEqual(done.stdout, b"\n?[31mred?]0;title?\ndone\n")
        self.assertEqual(self.hostile("nothing").returncode, 0)

    def test_endless_output_is_bounded_and_ends_with_the_time(self):
        done = self.hostile("endless lines", "--time", "2s")
        self.assertEqual(done.returncode, 124)
        self.assertEqual(done.stderr.split(b"\n").count(b"line"), 50)
        self.assertRegex(done.stderr, rb"\d+ more lines of the component are not shown")
        done = self.hostile("endless records", "--time", "2s", "--json")
        self.assertEqual(done.returncode, 124)
        self.assertLessEqual(len(json.loads(done.stdout)["course"]), 600)
        self.assertLess(len(done.stdout), 100000)

    def test_a_giant_summary_is_a_limit(self):
        self.assertEqual(self.hostile("giant").returncode, 125)

    def test_another_component_than_a_scheduler_is_refused(self):
        done = self.cis("scenario", "run", "--component", os.path.join(BUILT, "actions-http.wasm"), self.write("x"))
        self.assertEqual(done.returncode, 126)
        self.assertIn("run-scenario", done.stderr)


if __name__ == "__main__":
    if os.path.exists(os.path.join(BUILT, "missing")):
        base.not_tested()
    unittest.main()
