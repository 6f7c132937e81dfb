#!/bin/bash
# Line coverage by room from a build with the coverage preset, after its tests ran.
set -euo pipefail
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
find "$build/src" -name '*.gcda' -print0 |
    (cd "$work" && xargs -0 -r gcov --no-output --relative-only --source-prefix "$OLDPWD" 2>/dev/null) |
    awk '
        /^File / { file = $2; gsub(/\x27/, "", file) }
        /^Lines executed:/ && file ~ /^src\// {
            split($0, part, /[:% ]+/); percent = part[3]; lines = $NF; sub(/of/, "", lines)
            room = file; sub(/^src\//, "", room); sub(/\/[^\/]*$/, "", room)
            if (lines > seen[file]) {
                total[room] += lines - seen[file]; hit[room] += percent / 100 * lines - had[file]
                seen[file] = lines; had[file] = percent / 100 * lines
            }
        }
        END {
            for (room in total) {
                printf "%-18s %6d lines  %5.1f%%\n", room, total[room], 100 * hit[room] / total[room]
                t += total[room]; h += hit[room]
            }
            if (t == 0) { print "no coverage data"; exit 1 }
            printf "%-18s %6d lines  %5.1f%%\n", "~all", t, 100 * h / t
        }' | sort
