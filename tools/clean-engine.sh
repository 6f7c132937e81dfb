#!/bin/sh
# Removes what earlier sources and compilers left in the user's cache of engines, and tells it. The
# engine of this tree stays, and so does one that is being built now. A build folder of another
# checkout that still uses a removed one configures anew: `cmake --preset …` builds it again.
#
#   usage: tools/clean-engine.sh        (CIS_ENGINE_CACHE, CARGO, RUSTC as of build-engine.sh)
set -eu
cd "$(dirname "$0")"
key=$(./build-engine.sh --print-key)
cache=${CIS_ENGINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cis-engine}
[ -n "$key" ] && [ -d "$cache" ] || exit 0
cd "$cache"
for lock in *.lock; do
    old=${lock%.lock}
    case $old in
        "$key" | *[!0-9a-f]*) continue ;;
    esac
    # The lock file stays: somebody may be waiting for it.
    (
        flock -n 9 || exit 0
        for left in "$old" "$old.target"; do
            if [ -d "$left" ]; then
                echo "removing $cache/$left ($(du -sh "$left" | cut -f1))"
                rm -rf "$left"
            fi
        done
    ) 9>>"$lock"
done
# Of builds that were killed: older than any build takes.
find . -maxdepth 1 -type d -name 'stage.*' -mmin +600 -exec rm -rf {} +
