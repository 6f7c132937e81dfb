#!/usr/bin/env python3
"""sources.py FOLDER: the sources of libyaml and jansson, from Debian's source packages, for the
scheduler's components: FOLDER/libyaml, FOLDER/jansson. Each is of one version and one checksum.
Exit code 77, and why: they cannot be had here."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "programs"))
import fetch  # noqa: E402

SOURCES = {
    "libyaml": ("libyaml_0.2.5.orig.tar.gz", "fa240dbf262be053f3898006d502d514936c818e422afdcf33921c63bed9bf2e"),
    "jansson": ("jansson_2.14.orig.tar.gz", "c739578bf6b764aa0752db9a2fdadcfe921c78f1228c7ec0bb47fa804c55d17b"),
}


def main():
    folder = sys.argv[1]
    for package, (name, checksum) in SOURCES.items():
        mark = os.path.join(folder, package, "." + checksum[:16])
        if not os.path.exists(mark):
            fetch.unpack(fetch.debian(package, name, checksum), os.path.join(folder, package))
            with open(mark, "w", encoding="ascii"):
                pass


try:
    main()
except (fetch.Missing, OSError) as error:
    print(f"the sources of libyaml and jansson cannot be had: {error}", file=sys.stderr)
    sys.exit(77)
