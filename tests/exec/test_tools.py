#!/usr/bin/env python3
"""Tools that developers use, on a folder: it is untouched while they work, and after an apply it is, byte for byte, what
they left. Test names are sentences."""
import json
import os
import pty
import select
import shutil
import time
import unittest
import exec_case
from exec_case import CIS, WAIT

# Everything below a folder, as text: kind, permissions, content; the same inside and outside.
PRINT = r'''
import hashlib, os, stat, sys
for path, folders, files in sorted(os.walk(sys.argv[1])):
    for name in sorted(folders + files):
        full = os.path.join(path, name)
        state = os.lstat(full)
        what = os.readlink(full) if stat.S_ISLNK(state.st_mode) else \
            hashlib.sha256(open(full, "rb").read()).hexdigest() if stat.S_ISREG(state.st_mode) else ""
        mode = "" if stat.S_ISLNK(state.st_mode) else oct(stat.S_IMODE(state.st_mode))
        print(ascii(os.path.relpath(full, sys.argv[1])), stat.S_IFMT(state.st_mode), mode, what)
'''


class Tools(exec_case.Case):
    def needs(self, *programs):
        for program in programs:
            if shutil.which(program) is None:
                self.skipTest(f"MISSING: {program} is not installed")

    def printed(self):
        """As it is in the folder of the machine, not as a run sees it."""
        out = os.popen(f"/usr/bin/python3 -c '{PRINT}' {self.folder}")
        text = out.read()
        self.assertIsNone(out.close())
        return text

    def work(self, script, *options):
        """The script on the folder, and what the folder is afterwards, inside."""
        before = self.printed()
        seen = os.path.join(self.home, "seen")
        with open(seen, "w", encoding="ascii") as out:
            out.write(PRINT)
        said, _ = self.run_in("sh", "-ec", f"({script}) >&2; exec /usr/bin/python3 {seen} .",
                              options=["--ro", seen, *options])
        self.assertEqual(self.printed(), before)
        return before, said

    def applied(self, before, inside, *options):
        run = self.last()
        self.cis("runs", "apply", *options, run)
        self.assertEqual(self.printed(), inside)
        self.cis("runs", "undo", run)
        self.assertEqual(self.printed(), before)

    def test_a_cmake_build(self):
        self.needs("cmake", "make", "cc")
        self.put("CMakeLists.txt", "cmake_minimum_required(VERSION 3.10)\nproject(p C)\nadd_library(l SHARED l.c)\n"
                 "set_target_properties(l PROPERTIES VERSION 1.2 SOVERSION 1)\nadd_executable(m m.c)\n"
                 "target_link_libraries(m l)\n")
        self.put("l.c", "int f(void) { return 42; }\n")
        self.put("m.c", "int f(void);\nint main(void) { return f() != 42; }\n")
        self.applied(*self.work("cmake -S . -B build && cmake --build build -j2 && build/m"))

    def test_git_clone(self):
        self.needs("git")
        git = "git -c user.name=a -c user.email=a@example.com -c init.defaultBranch=main"
        done = os.system(f"cd {self.folder} && {git} init -q origin && cd origin && seq 1000 > n && ln -s n link && "
                         f"{git} add -A && {git} commit -qm one")
        self.assertEqual(done, 0)
        self.applied(*self.work(f"{git} clone -q origin copy && cd copy && echo x >> n && {git} commit -qam two && "
                                f"{git} gc -q && test -z \"$({git} status --porcelain)\" && {git} fsck --strict"))

    def test_a_database_of_sqlite(self):
        before, inside = self.work(
            "/usr/bin/python3 -c \"import sqlite3; c = sqlite3.connect('a.db'); c.execute('pragma journal_mode=wal'); "
            "c.execute('create table t(a)'); c.executemany('insert into t values(?)', [(i,) for i in range(5000)]); "
            "c.commit(); c.execute('delete from t where a % 2'); c.commit(); c.execute('vacuum'); c.close(); "
            "c = sqlite3.connect('a.db'); assert c.execute('select sum(a) from t').fetchone()[0] == 6247500; "
            "assert c.execute('pragma integrity_check').fetchone()[0] == 'ok'\"")
        self.applied(before, inside)

    def test_npm_install_from_a_local_folder(self):
        self.needs("node", "npm")
        self.put("dep/package.json", json.dumps({"name": "dep", "version": "1.0.0", "bin": {"dep": "cli.js"}}))
        self.put("dep/cli.js", "#!/usr/bin/env node\nconsole.log('dep')\n")
        self.put("package.json", json.dumps({"name": "p", "version": "1.0.0"}))
        script = "npm install --no-audit --no-fund --install-links ./dep && test \"$(node_modules/.bin/dep)\" = dep"
        self.applied(*self.work(script))

    def test_a_virtual_environment_of_python(self):
        """Its links lead out of the folder, and are made only when asked for."""
        before, inside = self.work("/usr/bin/python3 -m venv --without-pip v && v/bin/python -c 'import sys; "
                                   "assert sys.prefix != sys.base_prefix'")
        self.cis("runs", "apply", self.last(), code=8)
        self.assertEqual(self.printed(), before)
        self.applied(before, inside, "--outward-links")

    def test_vim_in_a_terminal(self):
        self.needs("vim")
        self.put("f", "first\nsecond\n")
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execve(CIS, [CIS, "exec", "--", "vim", "-u", "NONE", "-N", "f"], {**self.env, "TERM": "xterm"})
        said = b""

        def until(text):
            nonlocal said
            end = time.monotonic() + WAIT
            while text not in said:
                self.assertLess(time.monotonic(), end, said)
                if select.select([fd], [], [], 1)[0]:
                    said += os.read(fd, 4096)

        until(b"second")
        os.write(fd, b"othird\x1b")
        until(b"third")
        os.write(fd, b":%s/first/1st/\r:w\r")
        until(b"written")
        self.assertEqual(self.tree()["f"][1], b"first\nsecond\n")
        os.write(fd, b":q\r")
        try:
            while True:
                said += os.read(fd, 4096)
        except OSError:
            pass
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
        os.close(fd)
        self.assertEqual(self.cis("runs", "diff", self.last()).split()[:2], ["M", "f"])
        self.cis("runs", "apply", self.last())
        self.assertEqual(list(self.tree()), ["f"])
        self.assertEqual(self.tree()["f"][1], b"1st\nthird\nsecond\n")


if __name__ == "__main__":
    exec_case.not_tested("exec_tools")
    unittest.main(verbosity=2)
