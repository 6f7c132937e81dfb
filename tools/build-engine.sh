#!/bin/sh
# Builds the engine package (Wasmtime and the glue) once per user and prints the prefix that holds
# it: lib/libcis_engine.a, include/, share/licenses/. Keyed by what it is made from, so a clean
# checkout reuses it. Safe to run many at once.
#
#   usage: tools/build-engine.sh [--print-key]
#   CIS_ENGINE_CACHE   folder of the prefixes   (default: ${XDG_CACHE_HOME:-~/.cache}/cis-engine)
#   CARGO_TARGET_DIR   kept build folder; without it one in the cache, removed when the engine is
#                      done, so that a build that was interrupted goes on where it ended
#   CARGO, RUSTC       the toolchain (Rust >= 1.95)
set -eu
cd "$(dirname "$0")/../engine"
CARGO=${CARGO:-cargo}
RUSTC=${RUSTC:-rustc}
export RUSTC
say() { echo "engine: $*" >&2; }

for need in "$CARGO" "$RUSTC" cmake flock sha256sum; do
    if ! command -v "$need" >/dev/null 2>&1; then
        say "$need is missing (tools/setup installs what is needed, or give -DCIS_ENGINE_PREFIX=)"
        exit 1
    fi
done
release=$("$RUSTC" -vV | sed -n 's/^release: //p')
minor=$(echo "$release" | cut -d. -f2)
if [ "$(echo "$release" | cut -d. -f1)" -lt 1 ] || [ "$minor" -lt 95 ]; then
    say "rustc $release is too old: 1.95 or later is needed"
    exit 1
fi

# Names and contents of everything that goes in, the compiler, and this script.
key=$({
    "$RUSTC" -vV
    find Cargo.toml Cargo.lock src include -type f | LC_ALL=C sort | xargs sha256sum
    sha256sum ../tools/build-engine.sh
} | sha256sum | cut -c1-24)
if [ "${1:-}" = "--print-key" ]; then
    echo "$key"
    exit 0
fi
cache=${CIS_ENGINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cis-engine}
prefix=$cache/$key
if [ -e "$prefix/lib/libcis_engine.a" ]; then
    echo "$prefix"
    exit 0
fi

mkdir -p "$cache"
exec 9>"$cache/$key.lock"
if ! flock -n 9; then
    say "another build of the same engine is running, waiting for it"
    flock 9
fi
if [ -e "$prefix/lib/libcis_engine.a" ]; then
    echo "$prefix"
    exit 0
fi

stage=$(mktemp -d "$cache/stage.XXXXXX")
target=
trap 'rm -rf "$stage"' EXIT INT TERM
if [ -z "${CARGO_TARGET_DIR:-}" ]; then
    target=$cache/$key.target
    CARGO_TARGET_DIR=$target
    export CARGO_TARGET_DIR
    say "building Wasmtime once for this user (about six minutes on two cores) into $prefix"
else
    say "building into $prefix"
fi
# The lock file pins every dependency; without network this works from cargo's own cache.
"$CARGO" build --release --locked --message-format=json-render-diagnostics >"$stage/messages"

# The C API's own build step generates wasmtime/conf.h for the features that are on.
headers=$(grep '"reason":"build-script-executed"' "$stage/messages" | grep 'wasmtime-c-api-impl' |
    sed 's/.*"out_dir":"\([^"]*\)".*/\1/')
library=$(grep '"reason":"compiler-artifact"' "$stage/messages" |
    sed -n 's/.*"\([^"]*\/libcis_engine\.a\)".*/\1/p')
# Not from `cargo metadata`: that wants the packages of every other platform too, which a machine
# that builds for the first time does not have.
wasmtime=$(grep '"reason":"compiler-artifact"' "$stage/messages" |
    grep -o '"manifest_path":"[^"]*/wasmtime-[0-9][0-9.]*/Cargo.toml"' | head -n 1 |
    sed 's/"manifest_path":"\(.*\)\/Cargo.toml"/\1/')
for path in "$headers/include/wasmtime/conf.h" "$library" "$wasmtime/LICENSE"; do
    if [ ! -f "$path" ]; then
        say "the build left no ${path##*/}"
        exit 1
    fi
done
out=$stage/prefix
mkdir -p "$out/lib" "$out/share/licenses/wasmtime"
cp -R "$headers/include" "$out/include"
cp include/cis_glue.h include/cis_head.h "$out/include/"
cp "$wasmtime/LICENSE" "$out/share/licenses/wasmtime/LICENSE"
cp Cargo.lock "$out/share/licenses/wasmtime/Cargo.lock"
cp "$library" "$out/lib/libcis_engine.a"
mv "$out" "$prefix"
if [ -n "$target" ]; then
    rm -rf "$target"
fi
echo "$prefix"
