#!/bin/bash
# Installs into an empty folder and uses nothing but what is there: compiles the embedding example
# against pkg-config, shared and static, as C and as C++, and looks at what the library exports.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "FAILED: $*" >&2
    exit 1
}

cmake --install "$CIS_BUILD_DIR" --prefix "$work/moved-from" >/dev/null
mv "$work/moved-from" "$work/prefix" # nothing may remember where it was installed
prefix=$work/prefix
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig

for file in bin/cis include/cis/cis.h lib/libcis.so lib/libcis.a lib/libcis_engine.a \
    share/man/man1/cis.1 share/man/man1/cis-skill-run.1 share/doc/cis/LICENSE share/doc/cis/cis.html \
    share/doc/cis/LICENSE.wasmtime share/doc/cis/README.md \
    share/bash-completion/completions/cis share/zsh/site-functions/_cis sdk; do
    [ "$file" = sdk ] && file=share/cis/sdk/c/cis_skill.h
    [ -e "$prefix/$file" ] || fail "$file is not installed"
done

# What `cis scenario` runs, where it could be built.
if [ ! -e "$CIS_BUILD_DIR/scheduler/missing" ]; then
    CIS_HOME=$work/home "$prefix/bin/cis" scenario validate "$prefix/share/cis/scheduler/scenarios/simple.yaml" ||
        fail "cis does not find the scheduler that was installed with it"
fi

"$prefix/bin/cis" --version | grep -q "^cis $(pkg-config --modversion cis) " || fail "version"

# Exactly the functions of the headers are exported.
nm -D --defined-only "$prefix/lib/libcis.so" | awk '$2 ~ /[TDBRVW]/ {print $3}' |
    sed 's/@.*//' | sort -u >"$work/exported"
cat "$prefix"/include/cis/*.h | tr '\n' ' ' | grep -oE 'CIS_API [^;(]*[ *]cis_[a-z0-9_]+\(' |
    grep -oE 'cis_[a-z0-9_]+\($' | tr -d '(' | sort -u >"$work/declared"
[ -s "$work/declared" ] || fail "no function found in the headers"
grep -v '^CIS_[0-9.]*$' "$work/exported" | diff "$work/declared" - >&2 || fail "declared (<) and exported (>) differ"
version=$(sed -n 's/^project(cis VERSION \([0-9.]*\) .*/\1/p' "$CIS_SOURCE_DIR/CMakeLists.txt")
case $version in # until 1.0 each minor version is a library of its own
0.*) soname=libcis.so.${version%.*} ;;
*) soname=libcis.so.${version%%.*} ;;
esac
readelf -d "$prefix/lib/libcis.so" | grep -q "SONAME.*\[$soname\]" || fail "soname is not $soname"
grep -q "CIS_VERSION_STRING \"$version\"" "$prefix/include/cis/version.h" || fail "version.h"

cat >"$work/answer.wat" <<'W'
(module (memory (export "memory") 1) (data (i32.const 4096) "{\"answer\":42}\00")
  (func (export "main") (result i32) (i32.const 4096)))
W
example=$CIS_SOURCE_DIR/examples/embed/embed.c
# shellcheck disable=SC2046 # flags are words
{
    cc "$example" -o "$work/shared" $(pkg-config --cflags --libs cis) -Wl,-rpath,"$prefix/lib"
    cc "$example" -o "$prefix/bin/static" $(pkg-config --cflags --libs cis-static)
    # libcis.so holds what it uses: --static must not drag in what Debian has as shared only.
    cc "$example" -o "$work/both" $(pkg-config --static --cflags --libs cis)
    printf '#include <cis/cis.h>\nint main() { return cis_version_number() != CIS_VERSION_NUMBER; }\n' >"$work/use.cc"
    c++ "$work/use.cc" -o "$work/cxx" $(pkg-config --cflags --libs cis) -Wl,-rpath,"$prefix/lib"
}
readelf -d "$prefix/bin/static" | grep -q 'NEEDED.*libcis' && fail "the static program needs libcis.so"
"$work/cxx" || fail "the C++ program"
# Both find the program cis that compiles: the library from lib/, a program with libcis inside beside it.
for program in "$work/shared" "$prefix/bin/static"; do
    [ "$("$program" "$work/answer.wat" '{}')" = '{"answer":42}' ] || fail "the example $program"
done
mkdir "$work/else" && mv "$prefix/bin/static" "$work/else/"
{ "$work/else/static" "$work/answer.wat" '{}' || true; } | grep -q 'set config.compiler' || fail "no program cis, and no word of it"

for page in "$prefix"/share/man/man1/*.1; do
    warnings=$(groff -ww -man -Tascii -z "$page" 2>&1)
    [ -z "$warnings" ] || fail "$page: $warnings"
done
"$prefix/bin/cis" help | awk '/^  [a-z]/ {print}' | sed 's/^  //; s/   *.*//; s/ /-/g' |
    while read -r page; do
        [ -e "$prefix/share/man/man1/cis-$page.1" ] || fail "no page for $page"
    done

bash -n "$prefix/share/bash-completion/completions/cis"
bash -c '
    . "$1"
    answer() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cis; echo "${COMPREPLY[*]}"; }
    [ "$(answer cis ins)" = inspect ] && [ "$(answer cis skill ru)" = run ] &&
    [ "$(answer cis skill run --inp)" = --input ] && [ "$(answer cis skill run --trace h)" = host ]
' completion "$prefix/share/bash-completion/completions/cis" || fail "bash completion"
if command -v zsh >/dev/null; then
    zsh -n "$prefix/share/zsh/site-functions/_cis" || fail "zsh completion"
else
    printf 'zsh\tcheck_install.sh\tthe completion was not parsed\n' >>"${CIS_BUILD_DIR:?}/not-tested"
fi
echo "install: all there"
