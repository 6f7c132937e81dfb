#!/usr/bin/env python3
"""Writes docs/messages.md: every message of src/, with its code; with --check only compares (a test does).

A message is a text literal with a blank in it that is given to a function which makes an error, a warning,
a refusal or a part of one (NAMES), or that a variable or a function hands on to such a call (HELD).
Placeholders of printf are written as … .
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0])))
PAGE = os.path.join(ROOT, "docs", "messages.md")
NAMES = re.compile(
    r"\b(\w*(?:fail|usage|tell|refuse|wrong|denied|damaged|bad|warn|say|lost|broken|error|conflict|differs"
    r"|found|ended|meanwhile|outward|give_back|left_out|lacks|no_entry)\w*|snprintf|BAD|REFUSE)\s*\("
)
# Texts that are told later: why = …; return …; and tables of them.
HELD = re.compile(r"\b(?:why|what|reason|problem|text|lost|kind|words)(?:\[\])?\s*=(?!=)|\breturn\b(?=[^;(]*\")")
NO_MESSAGE = re.compile( # SQL, types of interfaces, labels of hashes, shell
    r"^(?:SELECT|INSERT|CREATE|DELETE|UPDATE|PRAGMA|ALTER|GRANT|REVOKE|BEGIN|SET|LOCK|WITH)\b|func\(|borrow<|^cis code |COMP_"
)
LITERAL = r'"(?:[^"\\\n]|\\.)*"'
# Literals that the compiler joins, also around a macro of <inttypes.h> or of ours.
TEXT = re.compile(rf"{LITERAL}(?:\s*(?:PRI\w+|CIS_STR_FMT|[A-Z][A-Z0-9_]+)?\s*{LITERAL})*")
CODE = re.compile(r"\bCIS_E_[A-Z]+\b")
PLACE = re.compile(r"%[-+#0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|h|ll|l|z|t|j)?[a-zA-Z]")

HEAD = """<!-- Written by tools/gen_messages.py from src/. -->
# Messages
Every error, warning and refusal that cis prints, by the part that makes it, with its
[code](errors.md). … stands for a name, number or reason; parts that begin with a colon are added to
another message. Messages name what failed, why, and what to do where that is not plain; they are not
an interface: programs look at the code or the exit status.
"""


def no_comments(text):
    keep = re.compile(rf"{LITERAL}|'(?:[^'\\]|\\.)'|/\*.*?\*/|//[^\n]*", re.S)
    return keep.sub(lambda m: m[0] if m[0][0] in "\"'" else " " + "\n" * m[0].count("\n"), text)


def arguments(text, start):
    """What stands between the parentheses that open before start."""
    depth = 1
    token = re.compile(rf"{LITERAL}|'(?:[^'\\]|\\.)'|[()]")
    for match in token.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return text[start : match.start()]
    return text[start:]


def statement(text, start):
    """What stands before the end of the statement, but for calls in it: they are looked at themselves."""
    token = re.compile(rf"{LITERAL}|'(?:[^'\\]|\\.)'|[();]")
    depth, kept = 0, ""
    for match in token.finditer(text, start):
        if match[0] == ";" and depth == 0:
            return kept + text[start : match.start()]
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0 and match[0][0] == '"':
            kept += text[start : match.end()]
            start = match.end()
        elif match[0] in "()":
            start = match.end()
        if depth < 0:
            break
    return kept


def words(literal):
    # A macro between two literals is either the type of the placeholder before it, or text.
    parts = re.split(rf"({LITERAL})", literal)
    text = ""
    for part in parts:
        if part.startswith('"'):
            text += part[1:-1]
        elif part.strip():
            text = text.removesuffix("%") + "…"
    text = text.replace("\\n", " ").replace('\\"', '"').replace("\\\\", "\\")
    text = PLACE.sub("…", text.replace("%%", "\0")).strip()
    return (text.removesuffix("%") + "…" if text.endswith("%") else text).replace("\0", "%")


def room_of(path):
    parts = path.split("/")[1:-1]
    return "/".join(parts[:2])


def messages():
    found = {}
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "src"], capture_output=True, text=True, check=True
    )
    for name in sorted(listed.stdout.split()):
        path = os.path.join(ROOT, name)
        if not name.endswith((".c", ".h")) or not os.path.exists(path):
            continue
        text = no_comments(open(path, encoding="utf-8").read())
        for call in [*NAMES.finditer(text), *HELD.finditer(text)]:
            held = call.re is HELD
            inside = statement(text, call.end()) if held else arguments(text, call.end())
            code = CODE.search(inside)
            for literal in TEXT.finditer(inside):
                message = words(literal[0])
                if " " in message and re.search(r"[a-z]{3}", message) and not NO_MESSAGE.search(message):
                    codes = found.setdefault(room_of(name), {}).setdefault(message, set())
                    if code:
                        codes.add(code[0])
    return found


def page():
    text = HEAD
    for room, rows in sorted(messages().items()):
        text += f"\n## {room}\n| message | code |\n|---|---|\n"
        for message, codes in sorted(rows.items()):
            cell = message.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
            text += f"| {cell} | {', '.join(f'`{c}`' for c in sorted(codes))} |\n"
    return text


def main():
    text = page()
    if "--check" not in sys.argv:
        open(PAGE, "w", encoding="utf-8").write(text)
        return 0
    if not os.path.exists(PAGE) or open(PAGE, encoding="utf-8").read() != text:
        print("docs/messages.md is not what tools/gen_messages.py writes: run it, and read what changed")
        return 1
    print(f"{text.count(chr(10)) - HEAD.count(chr(10))} lines agree with the source")
    return 0


sys.exit(main())
