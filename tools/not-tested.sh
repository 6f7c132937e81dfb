#!/bin/bash
# The list of what this machine could not test, put before the summary of ctest, which comes in on
# stdin. Tests write the list: CIS_BUILD_DIR/not-tested, a line "NEED<tab>TEST<tab>why" each.
# usage: ctest … | tools/not-tested.sh BUILD…
# With CIS_STRICT=1 it is an error that something was left out whose need is there.
set -uo pipefail

can_mknod() {
    local dir code=0
    dir=$(mktemp -d) || return 1
    mknod "$dir/d" c 1 3 2>/dev/null || code=1
    rm -rf "$dir"
    return $code
}

can_chattr() {
    local file code=0
    file=$(mktemp) || return 1
    chattr +i "$file" 2>/dev/null && chattr -i "$file" || code=1
    rm -f "$file"
    return $code
}

# Is there what the word names? As tests ask for it.
there() {
    case $1 in
    fuse) [ -c /dev/fuse ] && (: <>/dev/fuse) 2>/dev/null ;;
    go) command -v go >/dev/null || [ -x /usr/local/go/bin/go ] ;;
    wasip1) [ -d "$("$(tools/setup --rust-dir)/rustc" --print sysroot)/lib/rustlib/wasm32-wasip1/lib" ] ;;
    zsh) command -v zsh >/dev/null ;;
    root) [ "$(id -u)" = 0 ] ;;
    ext4) case $(stat -f -c %T "${TMPDIR:-/tmp}") in ext2/ext3 | xfs | btrfs) ;; *) false ;; esac ;;
    chroot) unshare --user --map-root-user chroot / true 2>/dev/null || chroot / true 2>/dev/null ;;
    device) can_mknod ;;
    locale) command -v localedef >/dev/null ;;
    namespace) unshare --mount true 2>/dev/null ;;
    abidiff) command -v abidiff >/dev/null ;;
    clang) command -v clang >/dev/null ;;
    chromium) command -v chromium >/dev/null ;;
    valgrind) command -v valgrind >/dev/null ;;
    clang-format) clang-format-14 --version >/dev/null 2>&1 || clang-format --version 2>/dev/null | grep -q ' 14\.' ;;
    landlock) python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(444, None, 0, 1) < 1)' ;;
    immutable) can_chattr ;;
    ptrace) python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) != 0)' ;;
    sources) false ;; # of other programs, from a package registry: whether it answers is not known
    *) true ;; # a word that nobody explains is an error, too
    esac
}

list() {
    local all need test why bad=0
    all=$(cat /dev/null $(printf '%s/not-tested ' "$@") 2>/dev/null | sort -u)
    [ -n "$all" ] || return 0
    printf '\nNot tested on this machine:\n'
    while IFS=$'\t' read -r need test why; do
        printf '  %-10s %s: %s\n' "$need" "$test" "$why"
        if [ "${CIS_STRICT:-0}" = 1 ] && there "$need"; then
            printf '  ^ %s is here, so this has to be tested\n' "$need"
            bad=1
        fi
    done <<<"$all"
    return $bad
}

code=0
while IFS= read -r line; do
    case $line in
    *"% tests passed, "*" out of "*) list "$@" || code=1; printf '\n' ;;
    esac
    printf '%s\n' "$line"
done
exit $code
