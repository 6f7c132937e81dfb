#!/usr/bin/env python3
"""CPython: scripts of files, names, links, times and locks, natively and as a module."""
import os

import place
from fetch import Missing

HERE = os.path.dirname(os.path.abspath(__file__))


class Python(place.Case):
    def python(self):
        try:
            return self.program("python")
        except Missing as why:
            print(f"{why}: CPython is built from Debian's source instead")
            return self.program("cpython311")

    def script(self, name, *words, kinds=("host", "sqlite"), times=lambda path: False, code=0, err=b""):
        python = self.python()

        def fill(folder):
            os.makedirs(os.path.join(folder, "tmp"))
            with open(os.path.join(HERE, "scripts", name), encoding="utf-8") as file, \
                 open(os.path.join(folder, name), "w", encoding="utf-8") as out:
                out.write(file.read())

        def run(at):
            ended = at.run(python, name, *words, env=[("TMPDIR", "tmp"), ("PYTHONDONTWRITEBYTECODE", "1")])
            self.assertIn(err, ended.err)
            if err:  # a trace names files by where they are
                ended.err = b""
            return ended

        given = self.same(run, kinds, fill=fill, times=times)
        self.assertEqual(given.code, code, repr(given))
        return given

    def test_files_names_links_and_times_are_as_natively(self):
        self.script("files.py", kinds=place.ALL, times=lambda path: path.startswith("times/"))

    def test_a_directory_of_10000_entries_is_listed_while_it_changes(self):
        self.script("many.py")

    def test_temporary_files_and_mkdir_locks(self):
        self.script("temporary.py")

    def test_the_library_of_python_works(self):
        self.script("library.py")

    def test_an_exception_ends_it_with_code_1(self):
        self.script("raises.py", kinds=("host",), code=1, err=b"ValueError: of its own")

    def test_an_exit_code_is_passed_through(self):
        self.script("raises.py", "7", kinds=("host",), code=7)


if __name__ == "__main__":
    place.main()
