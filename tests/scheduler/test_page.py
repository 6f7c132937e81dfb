#!/usr/bin/env python3
"""The page of `cis scenario run --report` in a real browser: Debian's chromium, or CHROMIUM. Test names are
sentences."""
import os
import re
import shutil
import struct
import subprocess
import sys
import unittest

import test_scheduler as base
import test_scenario as scenario

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")


class Page(scenario.Case):
    def browser(self, path, *argv):
        profile = os.path.join(self.folder.name, "profile")
        done = subprocess.run([CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                               "--enable-logging=stderr", f"--user-data-dir={profile}", "--window-size=1000,1400",
                               "--host-resolver-rules=MAP * ~NOTFOUND", *argv, "file://" + path],
                              capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        self.assertEqual(console, [])  # neither a refusal of the page's own policy nor a script's error
        return done.stdout

    def page(self, *argv, **options):
        server = self.serve()
        path = os.path.join(self.folder.name, "report.html")
        self.scenario_run(self.asset(server, **options), "--net", f"tcp:127.0.0.1:{server.port}", "--report", path, *argv)
        return path

    def test_a_browser_shows_both_pictures_and_the_tables(self):
        path = self.page(users=4, iterations=4, life="loop", think="400ms", load="thresholds: [requests > 100]")
        dom = self.browser(path, "--dump-dom")
        self.assertEqual(len(re.findall(r'<svg role="img"', dom)), 2)
        self.assertGreaterEqual(len(re.findall(r"<polyline", dom)), 12)
        self.assertIn("threshold requests &gt; 100: it was 16", dom)
        self.assertIn("<h1>t</h1>", dom)

    def test_what_is_drawn_has_colours(self):
        shot = os.path.join(self.folder.name, "shot.png")
        self.browser(self.page(users=4, iterations=4, life="loop", think="400ms"), f"--screenshot={shot}")
        with open(shot, "rb") as file:
            head = file.read(26)
        width, height, _, colour = struct.unpack(">IIBB", head[16:26])
        self.assertEqual((head[:8], width), (b"\x89PNG\r\n\x1a\n", 1000))
        self.assertIn(colour, (2, 6))
        self.assertGreater(height, 500)
        self.assertGreater(os.path.getsize(shot), 10000)

    def test_texts_of_a_component_stay_texts(self):
        path = os.path.join(self.folder.name, "report.html")
        self.cis("scenario", "run", "--component", scenario.HOSTILE, "--report", path, self.write("escapes"))
        dom = self.browser(path, "--dump-dom")
        self.assertIn("[31m&lt;b&gt;&amp;", dom)
        self.assertNotIn("<b>", dom)


if __name__ == "__main__":
    if os.path.exists(os.path.join(base.BUILT, "missing")):
        base.not_tested()
    if CHROMIUM is None:
        with open(os.path.join(os.environ["CIS_BUILD_DIR"], "not-tested"), "a", encoding="utf-8") as out:
            out.write("chromium\tscenario_page\tthe package chromium is not installed\n")
        sys.exit(77)
    unittest.main()
