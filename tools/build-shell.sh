#!/bin/sh
# Builds the interpreter of `cis shell` (shell/) once per user and prints the module's path. Keyed by
# what it is made from, so a clean checkout reuses it. Safe to run many at once.
#
#   usage: tools/build-shell.sh
#   CIS_SHELL_CACHE   folder of the modules   (default: ${XDG_CACHE_HOME:-~/.cache}/cis-shell)
#   CARGO, RUSTC      the toolchain (Rust >= 1.95, with the target wasm32-wasip1)
# Exit codes: 77: this Rust cannot make it, 78: its crates cannot be had; what is missing is on stderr.
set -eu
cd "$(dirname "$0")/../shell"
CARGO=${CARGO:-cargo}
RUSTC=${RUSTC:-rustc}
export RUSTC
say() { echo "shell: $*" >&2; }

for need in "$CARGO" "$RUSTC" flock sha256sum; do
    if ! command -v "$need" >/dev/null 2>&1; then
        say "$need is missing (tools/setup installs what is needed)"
        exit 77
    fi
done
key=$({
    "$RUSTC" -vV
    find Cargo.toml Cargo.lock .cargo src -type f | LC_ALL=C sort | xargs sha256sum
    sha256sum ../tools/build-shell.sh
} | sha256sum | cut -c1-24)
cache=${CIS_SHELL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cis-shell}
module=$cache/$key/cis-shell.wasm
if [ -e "$module" ]; then
    echo "$module"
    exit 0
fi
if [ ! -d "$("$RUSTC" --print sysroot)/lib/rustlib/wasm32-wasip1/lib" ]; then
    say "this Rust ($("$RUSTC" --version)) has no standard library for wasm32-wasip1:" \
        "\`rustup target add wasm32-wasip1\`, then build again"
    exit 77
fi

mkdir -p "$cache"
exec 9>"$cache/$key.lock"
if ! flock -n 9; then
    say "another build of the same module is running, waiting for it"
    flock 9
fi
if [ ! -e "$module" ]; then
    # A folder of its own: what is set for the engine's build is another one's. An interrupted build
    # goes on where it ended.
    CARGO_TARGET_DIR=$cache/$key.target
    export CARGO_TARGET_DIR
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
    if ! "$CARGO" fetch --locked --target wasm32-wasip1 >&2; then
        say "its crates cannot be had from the registry: build again when it answers"
        exit 78
    fi
    say "building the shell's interpreter once for this user (about three minutes on two cores)"
    "$CARGO" build --release --locked --target wasm32-wasip1 >&2
    stage=$(mktemp -d "$cache/stage.XXXXXX")
    trap 'rm -rf "$stage"' EXIT INT TERM
    cp "$CARGO_TARGET_DIR/wasm32-wasip1/release/cis-shell.wasm" "$stage/"
    chmod 755 "$stage"
    mv "$stage" "$cache/$key"
    rm -rf "$CARGO_TARGET_DIR"
fi
echo "$module"
