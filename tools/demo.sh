#!/bin/bash
# Installs an example skill into an empty home, runs it twice on real input and shows what there is
# to see: its log, its result, its memory, the report of the run.
set -euo pipefail
cd "$(dirname "$0")/.."

cis=$PWD/build/bin/cis
skill=build/release/skills/memory-organizer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CIS_HOME=$work/home

# show ARGS…: the command line, then what it prints, ended by a newline if it has none.
show() {
    printf '\n$ cis %s\n' "$*"
    "$cis" "$@"
    echo
}

echo "What the skill asks for, before anything runs:"
show inspect "$skill/memory-organizer.wasm"
show skill install "$skill" --yes
echo "A run: log lines on stderr, the result alone on stdout."
show skill run memory-organizer --input @examples/skills/memory-organizer/input.json
echo "What it keeps in its memory:"
show memory get keywords/top --skill memory-organizer
echo "A second run merges with what it knows. This time the report instead of the result:"
show skill run memory-organizer --json --input '{"text":"The guest asks, the host decides.","top":3}' |
    while IFS= read -r line; do
        case $line in
        '{"schema"'*) printf '%s\n' "$line" | python3 -m json.tool --indent 2 ;;
        *) printf '%s\n' "$line" ;;
        esac
    done
echo "Every run is on record:"
show runs list
echo "demo: done"
