#!/usr/bin/env python3
"""jq from Debian's source and gojq from the Go proxy over a large document: two programs of different
languages, natively and as modules, give the same."""
import json
import os
import random
import shutil
import tempfile

import place


def document(count):
    rng = random.Random(3)
    return [{"id": n, "name": f"item {n} é", "tags": rng.choices(["a", "b", "c", "d"], k=n % 7),
             "price": rng.randrange(10**6) / 100, "parts": [{"n": k, "of": n} for k in range(n % 11)],
             "none": None, "on": n % 3 == 0} for n in range(count)]


def fill(folder):
    os.mkdir(os.path.join(folder, "in"))
    with open(os.path.join(folder, "in", "large.json"), "w", encoding="utf-8") as file:
        json.dump(document(10000), file)
    with open(os.path.join(folder, "in", "broken.json"), "w", encoding="ascii") as file:
        file.write('{"a": [1, 2,')
    with open(os.path.join(folder, "in", "names.jq"), "w", encoding="ascii") as file:
        file.write('[.[] | select(.on) | .name] | length, .[0], (map(ascii_upcase) | last)\n')


FILTERS = [
    ["-c", "[.[].price] | add | floor", "in/large.json"],
    ["-S", ".[100:104]", "in/large.json"],
    ["-c", "group_by(.on) | map({on: .[0].on, n: length, parts: map(.parts | length) | add})", "in/large.json"],
    ["-r", '.[] | select(.id % 1250 == 7) | "\\(.id)\\t\\(.name)\\t\\(.tags | join(","))"', "in/large.json"],
    ["-f", "in/names.jq", "in/large.json"],
]


class Json(place.Case):
    def filters(self, name, *without):
        program = self.program(name)

        def script(at):
            given = [at.run(program, *(w for w in words if w not in without)) for words in FILTERS]
            with open(at.path("in/large.json"), "rb") as file:
                given.append(at.run(program, "-c", "map(.id) | max", stdin=file.read()))
            given.append(at.run(program, ".", "in/broken.json"))
            given.append(at.run(program, "-n", "env.WHO, $ENV.WHO, input_filename", env=[("WHO", "a=b c")]))
            given.append(at.run(program, "-n", "halt_error(3)"))
            return given

        given = self.same(script, fill=fill)
        self.assertEqual([g.code for g in given], [0] * 6 + [given[6].code, 0, given[8].code])
        self.assertNotEqual(given[6].code, 0)
        return given

    def test_jq_filters_a_large_document(self):
        self.filters("jq")

    def test_gojq_filters_a_large_document_as_jq_does(self):
        theirs = self.filters("gojq", "-S")  # it always sorts
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        fill(folder)
        at, jq = place.Native(folder), self.program("jq")
        for n in (0, 1, 3, 4):
            self.assertEqual(at.run(jq, *FILTERS[n]).out, theirs[n].out, FILTERS[n])


if __name__ == "__main__":
    place.main()
