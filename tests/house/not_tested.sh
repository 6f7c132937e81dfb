#!/bin/bash
# What was not tested is listed before the summary, and in strict mode it is an error when the
# machine has what it takes.
set -euo pipefail
tool=${CIS_SOURCE_DIR:?}/tools/not-tested.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "not_tested.sh: $*" >&2
    exit 1
}
mkdir "$work/a" "$work/b"
summary=$'1/1 Test #1: x ... Passed\n\n100% tests passed, 0 tests failed out of 1\n\nTotal Test time (real) = 1 sec'
unset CIS_STRICT # CI sets it; each case below says its own
run() { printf '%s\n' "$summary" | "$tool" "$work/a" "$work/b"; }
[ "$(run)" = "${summary/$'\n\n100%'/$'\n\n\n100%'}" ] || fail "an empty list changes the output"

printf 'fuse\tb_test\tno device\nfuse\tb_test\tno device\n' >"$work/b/not-tested"
printf 'zsh\ta_test\tnot parsed\n' >"$work/a/not-tested"
out=$(run) || fail "a list is no error by itself"
[ "$(grep -c 'b_test: no device' <<<"$out")" = 1 ] || fail "not once: $out"
[ "$(grep -n 'a_test: not parsed' <<<"$out" | cut -d: -f1)" -lt \
    "$(grep -n '100% tests' <<<"$out" | cut -d: -f1)" ] || fail "not before the summary"
[ "$(tail -n 1 <<<"$out")" = "Total Test time (real) = 1 sec" ] || fail "the summary is not last"

printf 'zsh\ta_test\tnot parsed\n' >"$work/b/not-tested"
mkdir "$work/bin"
for program in bash cat sort stat id unshare mktemp rm grep; do
    ln -s "$(command -v "$program")" "$work/bin/$program"
done
PATH=$work/bin CIS_STRICT=1 run >/dev/null || fail "without zsh it is no error"
printf '#!/bin/bash\n' >"$work/bin/zsh"
chmod +x "$work/bin/zsh"
if PATH=$work/bin CIS_STRICT=1 run >"$work/out"; then
    fail "with zsh it is an error"
fi
grep -q '\^ zsh is here' "$work/out" || fail "which need is there is not said"
printf 'no-such-word\ta_test\twhy\n' >"$work/a/not-tested"
rm "$work/bin/zsh"
if PATH=$work/bin CIS_STRICT=1 run >/dev/null; then
    fail "a word that nobody knows passes"
fi
echo "the list is told, and judged"
