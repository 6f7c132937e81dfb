#!/usr/bin/env python3
"""Clients that nobody here wrote: PyPI's mcp in both eras of the protocol and the Go SDK over HTTP, and the Inspector over
HTTP and stdio in both eras. Skipped where they cannot be had."""
import json
import os
import subprocess
import sys
import unittest

import client
import fixtures
import npm
import web
from npm import fetch

VERSION = "2.3.0"
INSPECTOR, INSPECTOR_VERSION = "@modelcontextprotocol/inspector", "2.12.0"
SCRIPT = """
import asyncio, sys
import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

async def main(url, token, mode):
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert "fs_write" in names, names
            done = await client.call_tool("fs_write", {"path": "/" + mode, "content": "x"})
            assert not done.is_error, done
            failed = await client.call_tool("fs_read", {"path": "/none"})
            assert failed.is_error, failed
            read = await client.read_resource("cis:///files/" + mode)
            assert read.contents[0].text == "x", read
            run = done.meta["cis/run"]
            assert not (await client.call_tool("run_undo", {"run": run})).is_error
            assert (await client.call_tool("fs_read", {"path": "/" + mode})).is_error
            print("done", mode)

asyncio.run(main(*sys.argv[1:]))
"""


def python():
    """One with the client, in the user's cache."""
    folder = os.path.join(fetch.cache(), f"mcp-client-{VERSION}")
    program = os.path.join(folder, "bin", "python")
    with fetch.locked("mcp-client"):
        if not os.path.exists(os.path.join(folder, "whole")):
            fetch.run([sys.executable, "-m", "venv", "--clear", folder])
            fetch.run([program, "-m", "pip", "install", "--quiet", "--only-binary=:all:", f"mcp=={VERSION}"])
            with open(os.path.join(folder, "whole"), "w", encoding="ascii"):
                pass
    return program


def go_client():
    """The program in gosdk/, built into the user's cache; its go.sum pins what it is made of."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gosdk")
    go = fetch.tool("go")
    with fetch.locked("mcp-client-go"):
        program = os.path.join(fetch.cache(), "mcp-client-go")
        fetch.run([go, "build", "-o", program, "."], cwd=source)
    return program


class Clients(web.Case):
    def test_the_python_sdk_lists_calls_reads_and_undoes(self):
        try:
            program = python()
        except fetch.Missing as why:
            fetch.not_tested("mcp_clients", why)
            self.skipTest(f"MISSING: {why}")
        server = self.web()
        for mode in ("auto", "legacy"):
            done = subprocess.run([program, "-c", SCRIPT, f"http://{server.host}/mcp", server.token, mode],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            self.assertEqual(done.stdout.decode().splitlines()[-1:], [f"done {mode}"], done.stdout.decode())

    def test_the_go_sdk_lists_calls_reads_asks_and_is_told(self):
        try:
            program = go_client()
        except fetch.Missing as why:
            fetch.not_tested("mcp_clients", why)
            self.skipTest(f"MISSING: {why}")
        folder = os.path.join(self.home, "conformance-skill")
        fixtures.write(folder)
        self.cis("skill", "install", folder, "--yes")
        server = self.web()
        done = subprocess.run([program, f"http://{server.host}/mcp", server.token], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, timeout=300)
        self.assertEqual(done.stdout.decode().splitlines()[-1:], ["done"], done.stdout.decode())

    def inspect(self, server, *args, code=0):
        """What the Inspector's command line prints for one method."""
        env = {**self.env, "HOME": self.home, "MCP_LOG_FILE": os.path.join(self.home, "log")}
        done = subprocess.run([*self.inspector, "--cli", "--quiet", *server, "--method", *args], env=env, cwd=self.home,
                              capture_output=True, check=False, timeout=client.WAIT)
        self.assertEqual(done.returncode, code, (args, done))
        return json.loads(done.stdout)

    def look(self, server):
        """All that the Inspector's command line can do with a server, in one era."""
        tools = {tool["name"] for tool in self.inspect(server, "tools/list", "--strict")["tools"]}
        self.assertTrue({"fs_read", "run_undo", "test_simple_text"} <= tools, tools)
        wrote = self.inspect(server, "tools/call", "--tool-name", "fs_write", "--tool-arg", "path=/a", "content=hello")
        self.assertFalse(wrote["isError"])
        self.assertEqual(wrote["_meta"]["cis/changes"][0]["path"], "/a")
        failed = self.inspect(server, "tools/call", "--tool-name", "fs_read", "--tool-args-json", '{"path":"/none"}', code=5)
        self.assertIn("NOTFOUND", failed["content"][0]["text"])
        skill = self.inspect(server, "tools/call", "--tool-name", "test_simple_text")
        self.assertEqual(skill["content"][0]["type"], "text")
        read = self.inspect(server, "resources/read", "--uri", "cis:///files/a")
        self.assertEqual(read["contents"][0]["text"], "hello")
        self.assertIn("test://static-text", [r["uri"] for r in self.inspect(server, "resources/list")["resources"]])
        templates = self.inspect(server, "resources/templates/list")["resourceTemplates"]
        self.assertIn("cis:///files/{+path}", [t["uriTemplate"] for t in templates])
        self.assertIn("test_prompt_with_arguments", [p["name"] for p in self.inspect(server, "prompts/list")["prompts"]])
        prompt = self.inspect(server, "prompts/get", "--prompt-name", "test_prompt_with_arguments", "--prompt-args",
                              "arg1=left", "arg2=right")
        self.assertIn("left", prompt["messages"][0]["content"]["text"])

    def test_the_inspector_lists_calls_and_reads(self):
        try:
            self.inspector = npm.program(INSPECTOR, INSPECTOR_VERSION, "clients/launcher/build/index.js")
        except fetch.Missing as why:
            fetch.not_tested("mcp_clients", why)
            self.skipTest(f"MISSING: {why}")
        folder = os.path.join(self.home, "conformance-skill")
        fixtures.write(folder)
        self.cis("skill", "install", folder, "--yes")
        served = self.web()
        over_http = ["--server-url", f"http://{served.host}/mcp", "--transport", "http", "--header",
                     f"Authorization: Bearer {served.token}"]
        over_stdio = [client.CIS, "mcp"]
        for name in ("CIS_HOME", "CIS_TENANT"):
            over_stdio += ["-e", f"{name}={self.env[name]}"]
        for era in ("legacy", "modern"):
            for server in (over_http, over_stdio):
                with self.subTest(era=era, server=server[0]):
                    self.look([*server, "--protocol-era", era])


if __name__ == "__main__":
    unittest.main()
