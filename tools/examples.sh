#!/bin/bash
# Builds the example components in JavaScript and Python with toolchains of their own, and checks
# what they do. Versions are pinned; both toolchains live in build/toolchains and are kept there.
set -euo pipefail
cd "$(dirname "$0")/.."

QJS=componentize-qjs@0.4.5
STARLING=@bytecodealliance/componentize-js@0.23.0 # brings the texts of WASI's interfaces, too
PYTHON=componentize-py==0.25.1

root=$PWD
tools=$root/build/toolchains
made=$root/build/examples
source=$root/examples/components

say() { printf 'examples: %s\n' "$*" >&2; }
need() {
    command -v "$1" >/dev/null 2>&1 || {
        say "$1 is not here: $2"
        exit 1
    }
}

# once NAME COMMAND…: not again when it was done with these versions.
once() {
    local mark=$tools/$1
    shift
    if [ "$(cat "$mark" 2>/dev/null)" != "$*" ]; then
        "$@" >&2
        printf '%s\n' "$*" >"$mark"
    fi
}

install_js() { npm install --no-audit --no-fund --no-save --prefix "$tools/js" "$@"; }
install_python() {
    python3 -m venv "$tools/python"
    "$tools/python/bin/pip" install --quiet --disable-pip-version-check "$@"
}

need node "Debian package nodejs, 18 or later"
need npm "Debian package npm"
need python3 "Debian packages python3 and python3-venv, 3.10 or later"
mkdir -p "$tools/js" "$made"
say "toolchains in $tools"
once js.done install_js "$QJS" "$STARLING"
once python.done install_python "$PYTHON"

# The interfaces: cis:skill is ours, those of WASI come with the toolchain.
wit=$made/wit
rm -rf "$wit"
mkdir -p "$wit/deps"
for package in cli clocks filesystem io random sockets http; do
    cp -r "$tools/js/node_modules/@bytecodealliance/jco/lib/wit/builtin/0.2.12/wasi-$package" "$wit/deps/"
done
cp "$source/worlds/program.wit" "$wit/"

qjs() { node "$tools/js/node_modules/componentize-qjs/bin/componentize-qjs" "$@" >&2; }
py() { "$tools/python/bin/componentize-py" --quiet "$@" >&2; }
# newer OUT IN…: is OUT older than what it is made of?
newer() {
    local out=$1 in
    shift
    for in in "$@" "$0"; do
        [ "$out" -nt "$in" ] || return 0
    done
    return 1
}
for name in visits-js visits-python; do
    mkdir -p "$made/$name"
    cp "$source/$name/skill.toml" "$made/$name/"
done
skill=$root/src/skillabi/wit/cis-skill.wit
if newer "$made/visits-js/visits.wasm" "$source/visits-js/visits.js" "$skill"; then
    say "visits in JavaScript"
    qjs --wit "$skill" -n skill --js "$source/visits-js/visits.js" --sync --stub-wasi --opt-size \
        -o "$made/visits-js/visits.wasm"
fi
if newer "$made/program-js.wasm" "$source/worlds/words.js" "$source/worlds/program.wit"; then
    say "program in JavaScript"
    qjs --wit "$wit" -n program --js "$source/worlds/words.js" --sync -o "$made/program-js.wasm"
fi
if newer "$made/visits-python/visits.wasm" "$source/visits-python/visits.py" "$skill"; then
    say "visits in Python"
    py -d "$skill" -w skill componentize visits -p "$source/visits-python" -o "$made/visits-python/visits.wasm"
fi
if newer "$made/program-python.wasm" "$source/worlds/words.py" "$source/worlds/program.wit"; then
    say "program in Python"
    py -d "$wit" -w program componentize words -p "$source/worlds" -o "$made/program-python.wasm"
fi

CIS_PROGRAM=$root/build/bin/cis CIS_EXAMPLES=$made python3 "$root/tests/examples/components.py"
say "done"
