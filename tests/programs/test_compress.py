#!/usr/bin/env python3
"""zstd and bzip2 from Debian's sources: trees there and back, streams, large files."""
import os
import random

import unittest

import place

LARGE = int(os.environ.get("CIS_PROGRAMS_LARGE_MIB", "64"))
MEMORY_KIB = int(os.environ.get("CIS_PROGRAMS_MEMORY_KIB", str(400 * 1024)))


def fill(folder):
    """Files of many sizes and shapes with times of their own, below two folders."""
    rng = random.Random(5)
    words = [bytes(rng.choices(range(97, 123), k=rng.randint(2, 9))) for _ in range(500)]
    for n in range(40):
        inner = os.path.join(folder, "tree", f"d{n % 4}")
        os.makedirs(inner, exist_ok=True)
        path = os.path.join(inner, f"file {n}.txt")
        with open(path, "wb") as file:
            if n % 5 == 0:
                file.write(rng.randbytes(n * 1000))
            else:
                file.write(b" ".join(rng.choices(words, k=n * n * 20)))
        os.utime(path, ns=(10**18 + n, 1_600_000_000_123_456_789 + n * 10**9))


def fill_large(folder):
    rng = random.Random(9)
    block = rng.randbytes(1 << 20)
    with open(os.path.join(folder, "large"), "wb") as file:
        for n in range(LARGE):
            file.write(n.to_bytes(8, "little") * 4096 + block[: 1 << 19] + bytes((1 << 19) - (1 << 15)))


class Zstd(place.Case):
    def test_a_tree_of_files_is_packed_and_unpacked_with_its_times(self):
        zstd = self.program("zstd")

        def script(at):
            given = [at.run(zstd, "-q", "-r", "-3", "tree")]
            given.append(at.run(zstd, "-q", "-f", "-19", "--rm", "tree/d1/file 9.txt"))
            given.append(at.run(zstd, "-q", "-d", "tree/d0/file 12.txt.zst", "-o", "back"))
            given.append(at.run(zstd, "-q", "-t", "tree/d2/file 14.txt.zst", "tree/d1/file 5.txt.zst"))
            given.append(at.run(zstd, "-l", "tree/d2/file 14.txt.zst"))
            given.append(at.run(zstd, "-q", "-D", "tree/d0/file 4.txt", "tree/d0/file 8.txt", "-o", "with.zst"))
            return given

        given = self.same(script, place.ALL, fill=fill,
                          times=lambda name: name.endswith((".txt", ".zst")) and "with" not in name)
        self.assertTrue(all(g.code == 0 for g in given), given)

    def test_streams_are_packed_through_pipes(self):
        zstd = self.program("zstd")
        text = b"".join(b"line %d\n" % n for n in range(200000))

        def script(at):
            packed = at.run(zstd, "-q", "-c", "-5", stdin=text)
            back = at.run(zstd, "-q", "-d", "-c", stdin=packed.out)
            self.assertEqual(back.out, text)
            return [packed, back, at.run(zstd, "-d", "-c", stdin=b"this is nothing of zstd's")]

        given = self.same(script, fill=fill)
        self.assertEqual([g.code for g in given], [0, 0, 1])

    def test_what_cannot_be_done_is_said_as_it_is_natively(self):
        zstd = self.program("zstd")

        def script(at):
            return [at.run(zstd, "none"), at.run(zstd, "-q", "tree/d0"),
                    at.run(zstd, "-d", "tree/d0/file 4.txt"), at.run(zstd, "--no-such-option")]

        given = self.same(script, fill=fill)
        self.assertTrue(all(g.code != 0 for g in given), given)


class Large(place.Case):
    def test_a_large_file_goes_through_in_constant_memory(self):
        zstd = self.program("zstd")

        def script(at):
            given = [at.run(zstd, "-q", "-1", "large", "-o", "packed"), at.run(zstd, "-q", "-d", "packed", "-o", "back")]
            if at.kind != "native":
                for ended in given:
                    self.assertLess(ended.peak, MEMORY_KIB, at.kind)
                print(f"{LARGE} MiB at {at.kind}: at most {max(g.peak for g in given) >> 10} MiB of memory")
            return given

        given = self.same(script, fill=fill_large)
        self.assertTrue(all(g.code == 0 for g in given), given)


class Bzip2(place.Case):
    def test_files_are_packed_and_unpacked_in_place(self):
        bzip2 = self.program("bzip2")

        def script(at):
            names = [f"tree/d{n % 4}/file {n}.txt" for n in range(1, 40, 3)]
            given = [at.run(bzip2, "-9", *names)]
            given.append(at.run(bzip2, "-tv", names[0] + ".bz2", names[3] + ".bz2"))
            given.append(at.run(bzip2, "-dk", names[2] + ".bz2", names[4] + ".bz2"))
            given.append(at.run(bzip2, "-d", names[2] + ".bz2"))  # is there already
            given.append(at.run(bzip2, "-dc", names[5] + ".bz2"))
            return given

        given = self.same(script, fill=fill, times=lambda name: ".txt" in name)
        self.assertEqual([g.code for g in given], [0, 0, 0, 1, 0])


if __name__ == "__main__":
    place.main()
