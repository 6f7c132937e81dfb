#!/bin/bash
# What the preset "fuzz" needs of a machine: clang with the runtimes of its sanitizers, which are
# packages of their own. One small program is linked and run, with the preset's flags.
set -euo pipefail
if ! command -v clang >/dev/null; then
    printf 'clang\thouse_fuzz_links\tthere is no clang\n' >>"${CIS_BUILD_DIR:?}/not-tested"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags=$(python3 - "${CIS_SOURCE_DIR:?}/CMakePresets.json" <<'EOF'
import json, sys

preset = next(p for p in json.load(open(sys.argv[1]))["configurePresets"] if p["name"] == "fuzz")
cache = preset["cacheVariables"]
print(cache["CMAKE_C_FLAGS"], cache["CMAKE_C_FLAGS_DEBUG"])
print("-fsanitize=" + cache["CIS_SANITIZE"].replace(";", ","))
EOF
)
cat >"$work/f.c" <<'EOF'
#include <stddef.h>
#include <stdint.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    return len > 3 && data[0] == 1 && data[1] == 2 ? 1 - 1 : 0;
}
EOF
# shellcheck disable=SC2086
clang $flags -fsanitize=fuzzer "$work/f.c" -o "$work/f"
cd "$work"
./f -runs=100 >log 2>&1 || { cat log; exit 1; }
