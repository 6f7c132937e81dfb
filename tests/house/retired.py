#!/usr/bin/env python3
"""Words that were given up do not come back: docs/glossary.md has the field's words.

In src/ and include/ they are no identifiers. Those that mean nothing else (PROSE) are in no comment and no identifier
of src/, include/, tests/ and bench/, and on no page of docs/. It begins by showing what is found and what is not.
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
    (r"(cis_)?three(_.*)?", "threeway"),
    (r"cis_history_(sweep|squash)|cis_retain_.*", "cis_gc_chunks, cis_gc_rows, cis_gc_roots"),
    (r"(.*_)?judg(e|es|ed|ing)(_.*)?", "check"),
    (r"lay_frozen(_.*)?", "lay_captured"),
    (r"no", "rc"),
]
# Words of comments, of names of tests, and of pages.
PROSE = [(r"forests?", "fs cache"), (r"tapes?", "recording"), (r"judg(?:e|es|ed|ing)", "check")]
SAID = [(re.compile(rf"(?<![A-Za-z])(?:{pattern})(?![A-Za-z])", re.I), use) for pattern, use in PROSE]
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


def said(text):
    """(line, word, word to use) of each retired word of a text."""
    for number, line in enumerate(text.split("\n"), 1):
        for pattern, use in SAID:
            for match in pattern.finditer(line):
                yield number, match[0], use


def self_test():
    bad = "struct cis_image *image; int no; cis_guest_call(guest); cis_tape_open(); cis_judge(x); cis_world w;"
    good = '/* the recording */ const char *s = "no image"; int rc, nothing; struct cis_linked *l; squash(); guest_path();'
    seen = [word for _, word, _ in findings(bad)]
    wanted = ["cis_image", "image", "no", "cis_guest_call", "guest", "cis_tape_open", "cis_judge", "cis_world"]
    if seen != wanted or list(findings(good)):
        sys.exit(f"this test does not look: {seen}, {list(findings(good))}")
    if len(list(said("a_tape_is_judged\nthe Forest, forestry"))) != 3 or list(said(good)):
        sys.exit("this test does not look at comments and pages")


def main():
    root = os.environ.get("CIS_SOURCE_DIR", os.path.join(os.path.dirname(sys.argv[0]), "..", ".."))
    self_test()
    files = count = 0
    for top in ("src", "include", "tests", "bench", "docs"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                path = os.path.join(folder, name)
                if not name.endswith((".c", ".h", ".def", ".md")) or "/tests/house" in folder:
                    continue
                files += 1
                text = open(path, encoding="utf-8").read()
                found = list(said(text))
                if top in ("src", "include") and not name.endswith(".md"):
                    found += findings(text)
                for line, word, use in found:
                    print(f"{os.path.relpath(path, root)}:{line}: {word} is retired: {use}")
                    count += 1
    print(f"{files} files, {count} retired words")
    return 1 if count or files < 100 else 0


sys.exit(main())
