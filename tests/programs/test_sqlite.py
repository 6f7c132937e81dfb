#!/usr/bin/env python3
"""SQLite's shell from Debian's source: the same statements leave the same file, byte by byte; several
processes read one database while another writes it."""
import sqlite3
import subprocess
import threading

import place

WORK = """
PRAGMA page_size=4096; PRAGMA journal_mode=%s;
CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, name TEXT, data BLOB);
CREATE INDEX t_k ON t(k);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<8000)
  INSERT INTO t SELECT i, (i*7919)%%8009, 'name '||i, zeroblob(i%%300) FROM n;
BEGIN; UPDATE t SET name=name||' é' WHERE k%%3=0; DELETE FROM t WHERE k%%7=0; ROLLBACK;
BEGIN; UPDATE t SET name=upper(name) WHERE k%%3=0; DELETE FROM t WHERE k%%7=0; COMMIT;
SELECT count(*), sum(k), max(name), sum(length(data)) FROM t;
SELECT id, name FROM t WHERE k BETWEEN 500 AND 520 ORDER BY k;
CREATE TEMP TABLE s AS SELECT * FROM t ORDER BY name DESC; SELECT count(*), min(rowid) FROM s;
%s
PRAGMA integrity_check;
"""
ACCOUNTS = 100
MAKE = ("CREATE TABLE a(id INTEGER PRIMARY KEY, sum INTEGER); CREATE TABLE log(n INTEGER); WITH RECURSIVE n(i) AS "
        f"(SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{ACCOUNTS}) INSERT INTO a SELECT i, 1000 FROM n;")
LOOK = "SELECT sum(sum), count(*), (SELECT count(*) FROM log) FROM a;"


def transfers(count, seed):
    """Each moves money in two statements and writes a line of a log: a reader never sees half of one."""
    lines = []
    for n in range(count):
        seed = (seed * 1103515245 + 12345) % 2**31
        lines.append(f"BEGIN IMMEDIATE; UPDATE a SET sum=sum-7 WHERE id={seed % ACCOUNTS + 1}; UPDATE a SET sum=sum+7 "
                     f"WHERE id={seed // 1000 % ACCOUNTS + 1}; INSERT INTO log VALUES({n}); COMMIT;")
    return "\n".join(lines)


class Sqlite(place.Case):
    def shell(self, at, program, *args, stdin=None):
        return at.run(program, *args, stdin=stdin, env=[("HOME", "/none")])

    def test_the_same_statements_leave_the_same_file(self):
        shell = self.program("sqlite3")

        def script(at):
            given = []
            for mode, end in (("delete", "VACUUM;"), ("truncate", ""), ("persist", "PRAGMA journal_mode=delete;")):
                given.append(self.shell(at, shell, "-batch", mode + ".db", stdin=(WORK % (mode, end)).encode()))
            given.append(self.shell(at, shell, "-csv", "delete.db", "SELECT * FROM t WHERE id<50"))
            given.append(self.shell(at, shell, "-batch", "-cmd", ".output dump.sql", "delete.db", ".dump"))
            given.append(self.shell(at, shell, "-batch", "delete.db", ".backup copy.db"))
            given.append(self.shell(at, shell, "none/there.db", "SELECT 1"))
            given.append(self.shell(at, shell, "dump.sql", "SELECT * FROM t"))
            return given

        given = self.same(script)
        self.assertEqual([g.code == 0 for g in given], [True] * 6 + [False, False], given)
        self.assertTrue(given[0].out.endswith(b"ok\n"))

    def test_a_database_of_the_host_is_read_while_others_read_and_write_it(self):
        shell = self.program("sqlite3")
        at = self.places("host")[1]
        self.ok(self.shell(at, shell, "-batch", "bank.db", stdin=MAKE.encode()))
        seen, failures, rounds = [], [], 4

        def read():
            for _ in range(rounds):
                ended = self.shell(at, shell, "-batch", "-cmd", ".timeout 60000", "bank.db", LOOK)
                (seen if ended.code == 0 else failures).append(ended)

        def write(seed):
            ended = self.shell(at, shell, "-batch", "-bail", "-cmd", ".timeout 60000", "bank.db",
                           stdin=transfers(25, seed).encode())
            if ended.code != 0:
                failures.append(ended)

        threads = [threading.Thread(target=read) for _ in range(4)]
        threads += [threading.Thread(target=write, args=(seed,)) for seed in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        for ended in seen:
            money, accounts, _ = ended.out.decode().strip().split("|")
            self.assertEqual((money, accounts), (str(1000 * ACCOUNTS), str(ACCOUNTS)))
        self.assertEqual(len(seen), 4 * rounds)
        with sqlite3.connect(at.path("bank.db")) as bank:  # this machine's own SQLite agrees
            self.assertEqual(bank.execute(LOOK).fetchone(), (1000 * ACCOUNTS, ACCOUNTS, 50))
            self.assertEqual(bank.execute("PRAGMA integrity_check").fetchone(), ("ok",))

    def workspace_readers(self, kind):
        shell = self.program("sqlite3")
        at = self.places(kind)[1]
        at.begin()
        self.ok(self.shell(at, shell, "-batch", "bank.db", stdin=MAKE.encode()))
        readers = [subprocess.Popen(at.argv(shell, "-batch", "-readonly", "file:/bank.db?immutable=1", LOOK),
                                    cwd=at.folder, env=at.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE) for _ in range(6)]
        written = self.shell(at, shell, "-batch", "-bail", "bank.db", stdin=transfers(50, 3).encode())
        for reader in readers:
            out, err = reader.communicate()
            self.assertEqual(reader.returncode, 0, err)
            money, accounts, lines = out.decode().strip().splitlines()[-1].split("|")
            self.assertEqual((money, accounts), (str(1000 * ACCOUNTS), str(ACCOUNTS)))
            self.assertIn(lines, ("0", "50"))  # before the writer's commit or after it
        self.ok(written)
        self.assertEqual(self.ok(self.shell(at, shell, "bank.db", LOOK)).out, b"100000|100|50\n")

    def test_a_database_of_a_workspace_is_read_as_one_state_while_a_run_writes_it(self):
        self.workspace_readers("sqlite")

    def test_a_database_of_a_workspace_on_postgresql_is_read_as_one_state(self):
        self.workspace_readers("postgres")


if __name__ == "__main__":
    place.main()
