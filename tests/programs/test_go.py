#!/usr/bin/env python3
"""Go: gofmt of the Go tree rewrites files in place; a program with many goroutines makes, hashes, packs
and unpacks trees."""
import os

import place

UGLY = """package p%d
import ("fmt";"os")
type t struct{ a,b int;name   string }
func f( x int ) (int,error) { if x>%d {return x*2 ,nil};  fmt.Println( "é",x,os.Args)
  return 0,  fmt.Errorf("no") }
"""


def fill(folder):
    for n in range(30):
        inner = os.path.join(folder, "src", f"p{n % 5}")
        os.makedirs(inner, exist_ok=True)
        with open(os.path.join(inner, f"f{n}.go"), "w", encoding="utf-8") as file:
            file.write(UGLY % (n, n))
    with open(os.path.join(folder, "broken.go"), "w", encoding="ascii") as file:
        file.write("package p\nfunc {\n")


def quiet(ended):
    """Go words errors in its own way on each system, in upper or lower case."""
    ended.err = ended.err.lower()
    return ended


class Go(place.Case):
    def test_gofmt_rewrites_a_tree_in_place(self):
        gofmt = self.program("gofmt")

        def script(at):
            given = [at.run(gofmt, "-l", "src"), at.run(gofmt, "-l", "-w", "src"), at.run(gofmt, "-l", "src")]
            given.append(at.run(gofmt, "-s", "src/p1/f1.go"))
            given.append(at.run(gofmt, "broken.go"))
            given.append(quiet(at.run(gofmt, "none.go")))
            given.append(at.run(gofmt, stdin=(UGLY % (1, 1)).encode()))
            return given

        given = self.same(script, fill=fill)
        self.assertEqual([g.code for g in given], [0, 0, 0, 0, 2, 2, 0])

    def test_goroutines_make_hash_pack_and_unpack_a_tree(self):
        tarwalk = self.program("tarwalk")

        def script(at):
            given = [quiet(at.run(tarwalk, *words)) for words in (
                ["make", "tree"], ["list", "tree"], ["pack", "tree", "tree.tgz"], ["unpack", "tree.tgz", "back"],
                ["list", "back"], ["unpack", "tree.tgz", "back"])]
            self.assertEqual(given[1].out, given[4].out)
            return given

        given = self.same(script, place.ALL, times=lambda name: "/file" in name)
        self.assertEqual([g.code for g in given], [0, 0, 0, 0, 0, 1])
        self.assertEqual(given[1].out.count(b"\n"), 640)


if __name__ == "__main__":
    place.main()
