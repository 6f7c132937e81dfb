#!/bin/sh
# tools/clean-engine.sh: what is old goes; this tree's engine, one that is being built, and what is
# no engine stay.  usage: clean_engine.sh SOURCE_DIR
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '#!/bin/sh\nprintf "rustc 1.95.0\\nrelease: 1.95.0\\n"\n' >"$work/rustc"
printf '#!/bin/sh\n' >"$work/cargo"
chmod +x "$work/rustc" "$work/cargo"
export CARGO="$work/cargo" RUSTC="$work/rustc" CIS_ENGINE_CACHE="$work/cache"
"$1/tools/clean-engine.sh" # nothing there yet
key=$("$1/tools/build-engine.sh" --print-key)
old=0123456789abcdef01234567 busy=76543210fedcba9876543210
for name in "$key" $old $busy; do
    mkdir -p "$work/cache/$name/lib"
    : >"$work/cache/$name.lock"
done
mkdir "$work/cache/$old.target" "$work/cache/mine" "$work/cache/stage.old" "$work/cache/stage.new"
: >"$work/cache/mine.lock"
touch -d '2 days ago' "$work/cache/stage.old"
exec 8>"$work/cache/$busy.lock"
flock 8
"$1/tools/clean-engine.sh" | grep "$old (" >/dev/null
ls "$work/cache" >"$work/left"
for name in "$key" $busy mine stage.new; do
    grep -x "$name" "$work/left" >/dev/null
done
for name in $old $old.target stage.old; do
    if grep -x "$name" "$work/left" >/dev/null; then
        echo "$name was left"
        exit 1
    fi
done
