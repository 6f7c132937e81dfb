#!/usr/bin/env python3
"""The entry of this server in the configuration of clients. Test names are sentences."""
import json
import os
import subprocess
import tomllib
import unittest

import client
from client import CIS, WAIT


class Install(client.Case):
    def setUp(self):
        super().setUp()
        self.folder = os.path.join(self.home, "project")
        os.mkdir(self.folder)
        self.env["HOME"] = self.home

    def mcp(self, *args, code=0):
        done = subprocess.run([CIS, "mcp", *args], env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL,
                              capture_output=True, check=False, timeout=WAIT)
        self.assertEqual(done.returncode, code, done)
        return done.stdout.decode() + done.stderr.decode()

    def read(self, path):
        with open(os.path.join(self.folder, path), "rb") as file:
            return file.read().decode()

    def write(self, path, text, mode=0o644):
        full = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(full, mode)

    JSON = {"claude": (".mcp.json", "mcpServers"), "cursor": (".cursor/mcp.json", "mcpServers"),
            "gemini": (".gemini/settings.json", "mcpServers"), "vscode": (".vscode/mcp.json", "servers")}

    def test_the_entry_starts_a_server_of_this_folder(self):
        for name, (path, servers) in self.JSON.items():
            self.mcp("install", name, "--yes")
            entry = json.loads(self.read(path))[servers]["cis"]
            self.assertEqual(entry["args"], ["mcp", "--dir", f"{os.path.realpath(self.folder)}:cow"])
            talk = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {
                client.META + "protocolVersion": client.MODERN, client.META + "clientCapabilities": {},
                client.META + "clientInfo": {"name": "t", "version": "1"}}}})
            done = subprocess.run([entry["command"], *entry["args"]], env=self.env, input=talk.encode() + b"\n",
                                  capture_output=True, check=True, cwd="/", timeout=WAIT)
            self.assertIn("fs_write", done.stdout.decode())

    def test_the_entry_of_a_server_over_http_has_its_address_and_its_token(self):
        token = os.path.join(self.home, "token")
        how = ("--http", "8080", "--token-file", token)
        shown = self.mcp("install", "claude", "--yes", *how)
        with open(token, encoding="ascii") as file:
            secret = file.read().strip()
        self.assertEqual(len(secret), 64)
        self.assertNotIn(secret, shown)
        self.assertIn("version control", shown)
        url, headers = "http://127.0.0.1:8080/mcp", {"Authorization": f"Bearer {secret}"}
        expected = {"claude": {"type": "http", "url": url, "headers": headers}, "cursor": {"url": url, "headers": headers},
                    "gemini": {"httpUrl": url, "headers": headers},
                    "vscode": {"type": "http", "url": url, "headers": headers}}
        for name, (path, servers) in self.JSON.items():
            self.mcp("install", name, "--yes", *how)
            self.assertEqual(json.loads(self.read(path))[servers]["cis"], expected[name])
            self.assertEqual(os.stat(os.path.join(self.folder, path)).st_mode & 0o777, 0o600)
        path = "../.codex/config.toml"
        self.mcp("install", "codex", "--yes", *how)
        self.assertEqual(tomllib.loads(self.read(path))["mcp_servers"]["cis"], {"url": url, "http_headers": headers})
        self.mcp("install", "codex", "--yes", "--http", "[::1]:80", "--no-token")
        self.assertEqual(tomllib.loads(self.read(path))["mcp_servers"]["cis"], {"url": "http://[::1]:80/mcp"})
        self.mcp("install", "codex", "--yes", "--http", "https://cis.internal/mcp", "--no-token")
        self.assertEqual(tomllib.loads(self.read(path))["mcp_servers"]["cis"], {"url": "https://cis.internal/mcp"})
        self.mcp("uninstall", "codex", "--yes")
        self.assertNotIn("mcp_servers", tomllib.loads(self.read(path)))
        self.assertIn(secret, self.mcp("install", "codex", "--print", *how))

    def test_a_token_is_not_written_where_others_read_it(self):
        token = os.path.join(self.home, "token")
        how = ("--http", "8080", "--token-file", token)
        self.write(".mcp.json", "{}", 0o644)
        self.assertIn("others can read it", self.mcp("install", "claude", "--yes", *how, code=4))
        self.assertEqual(self.read(".mcp.json"), "{}")
        os.chmod(token, 0o644)
        self.assertIn("nobody else can read", self.mcp("install", "cursor", "--yes", *how, code=4))
        for args in (("--http", "8080"), ("--http", "0", "--no-token"), ("--http", "70000", "--no-token"),
                     ("--http", ":80", "--no-token"), ("--http", "a b:80", "--no-token"), ("--http", "a\"b:80", "--no-token"),
                     ("--http", "", "--no-token"), ("--no-token",), ("--token-file", token),
                     ("--http", "80", "--no-token", "--token-file", token), ("--http", "80", "--no-token", "--dir", ".:cow")):
            self.mcp("install", "cursor", "--yes", *args, code=2)
        self.assertFalse(os.path.exists(os.path.join(self.folder, ".cursor")))

    def test_what_else_is_in_the_file_stays(self):
        before = {"z": [1, {"b": 2, "a": 1}], "mcpServers": {"other": {"command": "x"}}, "a": "ü\u009b"}
        self.write(".mcp.json", json.dumps(before), 0o640)
        self.mcp("install", "claude", "--yes", "--name", "mine")
        after = json.loads(self.read(".mcp.json"))
        self.assertEqual(list(after), list(before))
        self.assertEqual(os.stat(os.path.join(self.folder, ".mcp.json")).st_mode & 0o777, 0o640)
        del after["mcpServers"]["mine"]
        self.assertEqual(after, before)
        self.assertIn("nothing to do", self.mcp("install", "claude", "--name", "mine"))
        self.mcp("uninstall", "claude", "--yes", "--name", "mine")
        self.assertEqual(json.loads(self.read(".mcp.json")), before)
        self.assertIn("nothing to do", self.mcp("uninstall", "cursor"))
        self.assertFalse(os.path.exists(os.path.join(self.folder, ".cursor")))

    def test_a_table_of_codex_is_written_replaced_and_removed(self):
        path = "../.codex/config.toml"
        text = "# mine\nmodel = \"x\"\n\n[mcp_servers.cis-old]\ncommand = \"y\"\n\n[profiles.a]\nb = 1 # c\n"
        self.write(path, text, 0o600)
        self.mcp("install", "codex", "--yes")
        self.assertTrue(self.read(path).startswith(text))
        self.assertEqual(tomllib.loads(self.read(path))["mcp_servers"]["cis"]["args"][0], "mcp")
        self.mcp("install", "codex", "--yes", "--workspace", "notes")
        self.assertEqual(tomllib.loads(self.read(path))["mcp_servers"]["cis"]["args"], ["mcp", "--workspace", "notes"])
        self.assertEqual(self.read(path).count("[mcp_servers.cis]"), 1)
        self.mcp("uninstall", "codex", "--yes")
        self.assertEqual(self.read(path).rstrip(), text.rstrip())

    def test_what_is_not_understood_is_not_touched(self):
        for name, path, text in (("claude", ".mcp.json", "{ // a comment\n}"), ("claude", ".mcp.json", "[]"),
                                 ("claude", ".mcp.json", "{\"mcpServers\": 1}"),
                                 ("claude", ".mcp.json", "{\"a\": 1, \"a\": 2}"),
                                 ("codex", "../.codex/config.toml", "mcp_servers = { cis = { command = \"x\" } }\n"),
                                 ("codex", "../.codex/config.toml", "a = \"\"\"\n[mcp_servers.cis]\nb = 1\n\"\"\"\n"),
                                 ("codex", "../.codex/config.toml", "[mcp_servers.cis\n")):
            self.write(path, text)
            self.mcp("install", name, "--yes", code=3)
            self.assertEqual(self.read(path), text)

    def test_what_is_no_file_or_too_large_is_refused(self):
        path = os.path.join(self.folder, ".mcp.json")
        for make, remove in ((os.mkfifo, os.unlink), (os.mkdir, os.rmdir)):
            make(path)
            self.assertIn("not a regular file", self.mcp("install", "claude", "--yes", code=3))
            remove(path)
        self.write(".mcp.json", "{\"a\": \"" + "x" * (5 << 20) + "\"}")
        self.mcp("install", "claude", "--yes", code=6)
        self.assertEqual(os.path.getsize(path), (5 << 20) + 9)

    def test_nothing_is_written_without_a_yes(self):
        self.assertIn("not confirmed", self.mcp("install", "claude", code=4))
        self.assertIn("\"command\"", self.mcp("install", "claude", "--print"))
        self.assertIn("[mcp_servers.cis]", self.mcp("install", "codex", "--print"))
        self.assertEqual(os.listdir(self.folder), [])
        for args, code in ((["nobody"], 2), (["claude", "--name", "a b"], 2), (["claude", "--dir", "."], 2),
                           (["claude", "--dir", "no:cow"], 3), (["claude", "--dir", ".:cow", "--workspace", "a"], 2)):
            self.mcp("install", "--yes", *args, code=code)
        self.assertEqual(os.listdir(self.folder), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
