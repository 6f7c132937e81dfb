#!/usr/bin/env python3
"""Clients that nobody here wrote, over HTTP: PyPI's mcp in both eras of the protocol, and the Go SDK. Skipped where they
cannot be had."""
import os
import subprocess
import sys
import unittest

import fixtures
import web

sys.path.insert(0, os.path.join(os.environ["CIS_SOURCE_DIR"], "tests", "programs"))
import fetch  # noqa: E402

VERSION = "2.3.0"
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


if __name__ == "__main__":
    unittest.main()
