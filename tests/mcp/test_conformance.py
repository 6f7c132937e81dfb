#!/usr/bin/env python3
"""The protocol's own conformance suite against `cis mcp` over HTTP and, by a bridge, over stdio. What it calls are tools of
a skill made here. The scenarios that pass must go on passing; the others are named with what they need. Skipped where the
suite, or a Node.js of at least 22, cannot be had."""
import os
import re
import subprocess
import unittest

import bridge
import fixtures
import npm
import web
from npm import fetch

SUITE, VERSION = "@modelcontextprotocol/conformance", "0.2.0-alpha.12"
BOTH = {"completion-complete", "tools-list", "tools-call-simple-text", "tools-call-image", "tools-call-audio",
        "tools-call-embedded-resource", "tools-call-mixed-content", "tools-call-error", "server-sse-multiple-streams",
        "resources-list", "dns-rebinding-protection", "tools-call-with-progress", "prompts-list", "prompts-get-simple",
        "prompts-get-with-args", "prompts-get-embedded-resource", "prompts-get-with-image", "resources-read-text",
        "resources-read-binary", "resources-templates-read"}
INPUT_REQUIRED = {"basic-elicitation", "missing-input-response", "unsupported-methods", "ignore-extra-params",
                  "validate-input", "result-type", "request-state", "tampered-state", "multi-round", "non-tool-request",
                  "basic-sampling", "basic-list-roots", "multiple-input-requests", "capability-check"}
PASSES = {
    "2026-07-28": BOTH | {"sep-2164-resource-not-found", "server-stateless"} | {f"input-required-result-{name}" for name in INPUT_REQUIRED},
    "2025-11-25": BOTH | {"server-initialize", "ping", "logging-set-level", "tools-call-with-logging",
                          "tools-call-elicitation", "elicitation-sep1034-defaults", "elicitation-sep1330-enums",
                          "tools-call-sampling", "resources-subscribe",
                          "resources-unsubscribe"},
}
OF_HTTP = {"dns-rebinding-protection", "server-stateless"}  # they judge HTTP, which is the bridge's there


class Conformance(web.Case):
    def check(self, revision, stdio=False):
        try:
            suite = npm.program(SUITE, VERSION, "dist/index.js")
        except fetch.Missing as why:
            fetch.not_tested("mcp_conformance", why)
            self.skipTest(f"MISSING: {why}")
        folder = os.path.join(self.home, "conformance-skill")
        fixtures.write(folder)
        self.cis("skill", "install", folder, "--yes")
        if stdio:
            between = bridge.Bridge(self.env)
            self.addCleanup(between.end)
            url = between.url
        else:
            url = f"http://{self.web('--no-token').host}/mcp"
        done = subprocess.run([*suite, "server", "--url", url, "--requirements", revision],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, cwd=self.home)
        text = done.stdout.decode()
        ended = {name: int(failed) for name, failed in re.findall(r"^[✓✗] ([\w-]+): \d+ passed, (\d+) failed", text, re.M)}
        self.assertTrue(ended, text[-2000:])
        scored = {name for name in ended if f"{name} (" not in text}
        passed = {name for name in scored if ended[name] == 0}
        print(f"{revision} over {'stdio' if stdio else 'HTTP'}: {len(passed)} of {len(scored)} scenarios pass; not: "
              f"{', '.join(sorted(scored - passed))}")
        self.assertEqual(PASSES[revision] - passed - (OF_HTTP if stdio else set()), set(), text[-6000:])

    def test_the_scenarios_of_2026_07_28(self):
        self.check("2026-07-28")

    def test_the_scenarios_of_2025_11_25(self):
        self.check("2025-11-25")

    def test_the_scenarios_of_2026_07_28_over_stdio(self):
        """By a bridge: the suite itself has no other transport than HTTP."""
        self.check("2026-07-28", stdio=True)

    def test_the_scenarios_of_2025_11_25_over_stdio(self):
        self.check("2025-11-25", stdio=True)


if __name__ == "__main__":
    unittest.main()
