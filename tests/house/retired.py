#!/usr/bin/env python3
"""Words that were given up are no identifiers of src/ and include/ again: docs/glossary.md has the field's words.

Comments and texts are not looked at. It begins by showing what is found and what is not.
"""
import os
import re
import sys

# What is refused, and the word to use.
RETIRED = [
    (r"(cis_|.*_)?images?(_.*)?", "module"),
    (r"cis_program(_(free|ref|unref|link|resolve|instantiate|image))?", "linked module: cis_linked"),
    (r"(cis_guest(_.*)?|guest|out_guest)", "instance"),
    (r"(cis_)?(.*_)?world(_.*)?", "the WASI environment: wasi_env"),
    (r"(.*_)?tapes?(_.*)?", "recording"),
    (r"(.*_)?forest(_.*)?", "fs_cache"),
    (r"(cis_)?lay_line(_.*)?", "branch_cache"),
    (r"(cis_lay_)?freeze(_.*)?", "capture"),
    (r"(cis_lay_)?flatten(_.*)?", "commit_content"),
    (r"cis_known_.*", "file_hash"),
    (r"(cis_)?three_.*", "threeway"),
    (r"cis_history_(sweep|squash)|cis_retain_.*", "cis_gc_chunks, cis_gc_rows, cis_gc_roots"),
    (r"cis_judge(_.*)?", "conflict_check"),
    (r"no", "rc"),
]
KNOWN = re.compile("|".join(f"(?P<w{i}>(?:{pattern})$)" for i, (pattern, _) in enumerate(RETIRED)))
TOKEN = re.compile(
    r"""(?P<skip>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)+'|/\*.*?\*/|//[^\n]*)|(?P<word>[A-Za-z_]\w*)""", re.S
)


def findings(text):
    """(line, identifier, word to use) of each retired identifier."""
    for match in TOKEN.finditer(text):
        word = match["word"]
        found = KNOWN.match(word) if word else None
        if found:
            yield text.count("\n", 0, match.start()) + 1, word, RETIRED[int(found.lastgroup[1:])][1]


def self_test():
    bad = "struct cis_image *image; int no; cis_guest_call(guest); cis_tape_open(); cis_judge(x); cis_world w;"
    good = '/* the tape */ const char *s = "no image"; int rc, nothing; struct cis_linked *l; squash(); guest_path();'
    seen = [word for _, word, _ in findings(bad)]
    wanted = ["cis_image", "image", "no", "cis_guest_call", "guest", "cis_tape_open", "cis_judge", "cis_world"]
    if seen != wanted or list(findings(good)):
        sys.exit(f"this test does not look: {seen}, {list(findings(good))}")


def main():
    root = os.environ.get("CIS_SOURCE_DIR", os.path.join(os.path.dirname(sys.argv[0]), "..", ".."))
    self_test()
    files = count = 0
    for top in ("src", "include"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if name.endswith((".c", ".h", ".def")):
                    path = os.path.join(folder, name)
                    files += 1
                    for line, word, use in findings(open(path, encoding="utf-8").read()):
                        print(f"{os.path.relpath(path, root)}:{line}: {word} is retired: {use}")
                        count += 1
    print(f"{files} files, {count} retired words")
    return 1 if count or files < 100 else 0


sys.exit(main())
