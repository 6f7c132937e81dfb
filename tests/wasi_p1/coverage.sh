#!/bin/bash
# coverage.sh OBJECTS PERCENT PROGRAM...: fails when the programs together run fewer lines of the sources that
# OBJECTS were compiled from (with --coverage) than PERCENT. Prints each source, the worst first.
set -euo pipefail
objects=$1 least=$2
shift 2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
find "$objects" -name '*.gcda' -delete
for program; do
    "$program" > "$log" 2>&1 || { tail -50 "$log"; echo "$program failed"; exit 1; }
done
find "$objects" -name '*.gcda' -print0 | (cd "$objects" && xargs -0 -r gcov --no-output 2> /dev/null) |
    awk -v least="$least" '
        /^File / { file = $2; gsub(/\x27/, "", file) }
        /^Lines executed:/ && file ~ /\/src\/wasi\/p1\/[a-z0-9]*\.c$/ {
            split($0, part, /[:% ]+/); lines = $NF; hit = part[3] / 100 * lines
            sub(/.*\//, "", file)
            printf "%5.1f%% of %4d lines  %s\n", part[3], lines, file | "sort -n"
            total += lines; all += hit; file = ""
        }
        END {
            close("sort -n")
            if (total == 0) { print "no lines were counted"; exit 1 }
            printf "%5.1f%% of %4d lines, %s%% at least\n", 100 * all / total, total, least
            exit 100 * all / total < least
        }'
