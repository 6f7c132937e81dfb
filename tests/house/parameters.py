#!/usr/bin/env python3
"""No function of src/ has more than MOST parameters: what is asked for is a struct with named fields
(docs/style.md). MORE names the functions that still have more, or have to; it only becomes shorter.
usage: parameters.py SOURCE
exit code 1 when a function has more, or is named in MORE for nothing"""
import pathlib
import re
import sys

MOST = 7
MORE = {
    # Others set their signature: the public API, which is fixed by abi/, and libfuse.
    "fuse/copy.c": {"cis_fuse_op_copy_file_range": 9},
    "lib/result.c": {"cis_execute_wasm": 8},
    "lib/skills.c": {"cis_skills_call": 8},
    "service/memory/store_memory.c": {"memory_search": 8, "memory_list": 8},
    # To be shortened.
    "engine/recording/recording_value.c": {"get_inner": 8},
    "history/copy.c": {"cis_history_copy": 9},
    "history/rows.c": {"cis_history_content_same": 8},
    "history/send.c": {"cis_history_send": 9},
    "history/sync.c": {"sync_last": 9},
    "history/tar_out.c": {"write_tar": 8, "cis_history_tar_write": 8},
    "history/text.c": {"cis_text_diff": 8},
    "history/tree.c": {"tell": 9, "cis_tree_walk": 9},
    "store/postgres/pool.c": {"take_bound": 8},
    "store/postgres/work.c": {"attempt_write": 8},
    "vfs/layered/commit.c": {"commit_once": 8},
    "vfs/layered/content.c": {"cis_lay_pieces_read": 8},
    "vfs/layered/data.c": {"read_block": 8},
    "vfs/layered/dir.c": {"dots": 8},
    "vfs/layered/lookup.c": {"cis_lay_peek": 8},
    "vfs/union/copy.c": {"copy_temp": 8},
}
NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|^[ \t]*#(?:\\\n|[^\n])*', re.S | re.M)
# At the beginning of a line: what it returns, its name, its parameters, and a body behind them.
FUNCTION = re.compile(r"^(?!typedef|struct \w+ \{|enum|union|return)[A-Za-z_][\w \t\n*]*?"
                      r"\b(\w+)\(((?:[^(){};]|\([^(){};]*\))*)\)(?:\s*[A-Z_]+\([^(){};]*\))*\s*\{", re.M)


def count(parameters):
    if parameters.strip() in ("", "void"):
        return 0
    while "(" in parameters:
        parameters = re.sub(r"\([^()]*\)", "", parameters)
    return parameters.count(",") + 1


def main():
    source, told, seen, functions = pathlib.Path(sys.argv[1]), [], set(), 0
    for path in sorted((source / "src").rglob("*.[ch]")):
        text = NOISE.sub(lambda m: "\n" * m[0].count("\n"), path.read_text(encoding="utf-8"))
        for found in FUNCTION.finditer(text):
            functions += 1
            name, n = found[1], count(found[2])
            if n <= MOST:
                continue
            file = str(path.relative_to(source / "src"))
            allowed = MORE.get(file, {}).get(name, MOST)
            seen.add((file, name))
            if n > allowed:
                line = text.count("\n", 0, found.start(1)) + 1
                told.append(f"src/{file}:{line}: {name} has {n} parameters, at most {allowed}: give it a struct")
    named = {(file, name) for file, names in MORE.items() for name in names}
    told += [f"{file}: {name}: take it out of MORE" for file, name in sorted(named - seen)]
    print("\n".join(told + [f"{functions} functions, {len(told)} findings"]))
    return 1 if told or functions < 1000 else 0


if __name__ == "__main__":
    sys.exit(main())
