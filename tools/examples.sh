#!/bin/bash
# Builds the example components in JavaScript and Python with toolchains of their own, and checks
# what they do. Versions are pinned; the toolchains stay in the user's cache ($CIS_TOOLCHAINS, or
# cis-toolchains in its folder), what is made of the examples in build/examples.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."

QJS=componentize-qjs@0.4.5
STARLING=@bytecodealliance/componentize-js@0.23.0
JCO=@bytecodealliance/jco@1.35.0 # brings the texts of WASI's interfaces
PYTHON=componentize-py==0.25.1

root=$PWD
cache=${CIS_TOOLCHAINS:-${XDG_CACHE_HOME:-$HOME/.cache}/cis-toolchains}
made=$root/build/examples
source=$root/examples/components

say() { printf 'examples: %s\n' "$*" >&2; }

# Debian's packages for what is not here; where there is no Debian they are named.
missing=()
command -v node >/dev/null 2>&1 || missing+=(nodejs)
command -v npm >/dev/null 2>&1 || missing+=(npm)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
if [ "${#missing[@]}" -gt 0 ]; then
    tools/setup --install "${missing[@]}"
fi

# kept NAME COMMAND…: the folder of a toolchain, installed there unless it was, with these versions.
# Another checkout that does the same waits. What was cut short is begun anew.
kept() {
    local dir
    dir=$cache/$1-$(printf '%s\n' "$*" | sha256sum | cut -c 1-16)
    shift
    mkdir -p "$cache"
    exec 9>"$dir.lock"
    flock 9
    if [ ! -e "$dir/.whole" ]; then
        say "installing ${*:2} into $dir"
        rm -rf "$dir"
        mkdir "$dir"
        "$1" "$dir" "${@:2}" >&2
        touch "$dir/.whole"
    fi
    exec 9>&-
    printf '%s\n' "$dir"
}
install_js() { npm install --no-audit --no-fund --no-save --prefix "$@"; }
install_python() {
    python3 -m venv "$1"
    "$1/bin/pip" install --quiet --disable-pip-version-check "${@:2}"
}
js=$(kept js install_js "$QJS" "$STARLING" "$JCO")
python=$(kept python install_python "$PYTHON")
say "toolchains in $js and $python"

# The interfaces: cis:skill is ours, those of WASI come with the toolchain.
wit=$made/wit
rm -rf "$wit"
mkdir -p "$wit/deps"
for package in cli clocks filesystem io random sockets http; do
    cp -r "$js/node_modules/@bytecodealliance/jco/lib/wit/builtin/0.2.12/wasi-$package" "$wit/deps/"
done
cp "$source/worlds/program.wit" "$wit/"

qjs() { node "$js/node_modules/componentize-qjs/cli.mjs" "$@"; }
starling() { node "$js/node_modules/@bytecodealliance/componentize-js/src/cli.js" "$@"; }
py() { "$python/bin/componentize-py" --quiet "$@"; }

# built OUT IN… -- COMMAND…: makes OUT unless it is newer than what it is made of. What fails leaves none.
built() {
    local out=$1 in stale=no
    shift
    while [ "$1" != -- ]; do
        in=$1
        [ "$out" -nt "$in" ] || stale=yes
        shift
    done
    [ "$out" -nt "$0" ] || stale=yes
    if [ "$stale" = yes ]; then
        say "making ${out#"$root/"}"
        mkdir -p "$(dirname "$out")"
        "${@:2}" -o "$out.part" >&2
        mv "$out.part" "$out"
    fi
}
for name in visits-js visits-python; do
    mkdir -p "$made/$name"
    cp "$source/$name/skill.toml" "$made/$name/"
done
skill=$root/src/skillabi/wit/cis-skill.wit
worlds=$source/worlds
built "$made/visits-js/visits.wasm" "$source/visits-js/visits.js" "$skill" -- \
    qjs --wit "$skill" -n skill --js "$source/visits-js/visits.js" --sync --stub-wasi --opt-size
built "$made/visits-python/visits.wasm" "$source/visits-python/visits.py" "$skill" -- \
    py -d "$skill" -w skill componentize visits -p "$source/visits-python"
built "$made/program-js.wasm" "$worlds/words.js" "$worlds/program.wit" -- \
    qjs --wit "$wit" -n program --js "$worlds/words.js" --sync
built "$made/program-web.wasm" "$worlds/web.js" "$worlds/program.wit" -- \
    starling "$worlds/web.js" --wit "$wit" -n web --disable fetch-event
built "$made/program-python.wasm" "$worlds/words.py" "$worlds/program.wit" -- \
    py -d "$wit" -w client componentize words -p "$worlds"

CIS_PROGRAM=$root/build/bin/cis CIS_EXAMPLES=$made CIS_HTTPD=$root/build/release/examples/httpd \
    python3 "$root/tests/examples/components.py"
say "all of it works"
