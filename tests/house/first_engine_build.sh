#!/bin/sh
# tools/build-engine.sh as on a machine that never built it: cargo has only the packages of this
# platform, and the first try is interrupted.  usage: first_engine_build.sh SCRIPT
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/rustc" <<'END'
#!/bin/sh
printf 'rustc 1.95.0\nrelease: 1.95.0\n'
END
cat >"$work/cargo" <<'END'
#!/bin/sh
# A build that leaves what the real one leaves; anything else needs the network.
[ "$1" = build ] || exit 101
mkdir -p "$CARGO_TARGET_DIR" "$WORK/out/include/wasmtime" "$WORK/wasmtime-48.0.8"
if [ ! -e "$CARGO_TARGET_DIR/begun" ]; then
    : >"$CARGO_TARGET_DIR/begun"
    exit 101
fi
: >"$CARGO_TARGET_DIR/libcis_engine.a"
: >"$WORK/out/include/wasmtime/conf.h"
echo licence >"$WORK/wasmtime-48.0.8/LICENSE"
cat <<MESSAGES
{"reason":"build-script-executed","package_id":"wasmtime-c-api-impl@48.0.8","out_dir":"$WORK/out"}
{"reason":"compiler-artifact","manifest_path":"$WORK/wasmtime-48.0.8/Cargo.toml","filenames":["x"]}
{"reason":"compiler-artifact","manifest_path":"m","filenames":["$CARGO_TARGET_DIR/libcis_engine.a"]}
MESSAGES
END
chmod +x "$work/rustc" "$work/cargo"
unset CARGO_TARGET_DIR
export WORK="$work" CARGO="$work/cargo" RUSTC="$work/rustc" CIS_ENGINE_CACHE="$work/cache"
if "$1"; then
    echo "an interrupted build passed for a finished one"
    exit 1
fi
prefix=$("$1")
test -f "$prefix/lib/libcis_engine.a"
test -f "$prefix/include/wasmtime/conf.h"
test "$(cat "$prefix/share/licenses/wasmtime/LICENSE")" = licence
test "$("$1")" = "$prefix"
if ls -d "$work"/cache/*.target "$work"/cache/stage.* 2>/dev/null; then
    echo "a build folder is left behind"
    exit 1
fi
