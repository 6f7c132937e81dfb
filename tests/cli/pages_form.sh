#!/bin/bash
# A page of docs/man that is not of the form that tools/gen_help.c describes is refused, by file and line.
set -eu
gen_help=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
good='# cis fs ls\nlist\n\n    cis fs ls [options] PATH\n\nText.\n\n## Options\n- `-l`, `--long`: modes,\n  owners\n'
printf "$good" >"$dir/good.md"
"$gen_help" "$dir/good.md" | grep -q '{"long", "-l, --long", "modes, owners"}'

# refused LINE SED-EXPRESSION: the good page, changed so, is refused with this line.
refused() {
    sed "$2" "$dir/good.md" >"$dir/bad.md"
    if "$gen_help" "$dir/bad.md" >/dev/null 2>"$dir/err"; then
        echo "accepted: $2"
        exit 1
    fi
    grep -q "^$dir/bad.md:$1: " "$dir/err" || {
        echo "$2: expected line $1, got: $(cat "$dir/err")"
        exit 1
    }
}
refused 1 '1s/cis fs ls/fs ls/'
refused 3 '3s/^/x/'
refused 4 '4s/fs ls/fs rm/'
refused 6 '6s/$/ /'
refused 8 '8s/Options/Choices/'
refused 9 '9s/- `/* `/'
refused 10 '10s/^  /x/'
refused 1 '2,$d'
printf '# cis fs ls\nlist' >"$dir/cut.md"
! "$gen_help" "$dir/cut.md" >/dev/null 2>&1
! "$gen_help" "$dir/none.md" >/dev/null 2>&1
echo "pages of another form are refused"
