#!/bin/bash
# `cis fs mount` by a user who is not root: through fusermount3, with files of its own, shut to
# others. When root runs this, it becomes nobody, with a /dev/fuse that nobody may open in a
# namespace of its own: the system's stays as it is.
set -euo pipefail
cis=${CIS_PROGRAM:?}
fail() {
    echo "nonroot.sh: $*" >&2
    exit 1
}
skip() { # need, why
    printf '%s\tnonroot.sh\t%s\n' "$1" "$2" >>"${CIS_BUILD_DIR:?}/not-tested"
    exit 0
}

case ${1:-} in
'')
    [ -c /dev/fuse ] && (: <>/dev/fuse) 2>/dev/null || skip fuse "/dev/fuse cannot be opened"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    if [ "$(id -u)" != 0 ]; then
        "$0" user "$work"
        exit
    fi
    chmod 755 "$work"
    mkdir "$work/dev" "$work/own"
    chown 65534:65534 "$work/own"
    cp "$cis" "$work/cis" # the build may be where nobody else may look
    unshare --mount true 2>/dev/null || skip namespace "no mount namespace can be made"
    CIS_PROGRAM=$work/cis unshare --mount --propagation private "$0" namespace "$work"
    ;;
namespace) # root, alone with its mounts
    mount -t tmpfs -o mode=755 cis "$2/dev"
    mknod -m 666 "$2/dev/fuse" c 10 229 2>/dev/null || skip device "/dev/fuse cannot be made again"
    (: <>"$2/dev/fuse") 2>/dev/null || skip device "devices cannot be opened in a mount of one's own"
    mount --bind "$2/dev/fuse" /dev/fuse
    cp "$0" "$2/nonroot.sh"
    code=0
    setpriv --reuid=65534 --regid=65534 --clear-groups "$2/nonroot.sh" user "$2/own" || code=$?
    if [ $code = 0 ] && [ -e "$2/own/mnt/sub" ]; then
        fail "the mount is still there"
    fi
    exit $code
    ;;
user)
    work=$2
    [ "$(id -u)" != 0 ] || fail "still root"
    export CIS_HOME=$work/home HOME=$work
    mnt=$work/mnt
    mkdir -p "$mnt" "$work/host"
    up() {
        "$cis" fs mount "$mnt" "$@" 2>"$work/err" || { cat "$work/err" >&2; fail "mount $*"; }
    }
    down() { "$cis" fs umount "$mnt" || fail "umount"; }
    trap '"$cis" fs umount "$mnt" 2>/dev/null || true' EXIT
    up
    mkdir "$mnt/sub"
    echo text >"$mnt/sub/file"
    ln "$mnt/sub/file" "$mnt/hard"
    ln -s sub/file "$mnt/soft"
    [ "$(stat -c %u:%g "$mnt/sub/file")" = "$(id -u):$(id -g)" ] || fail "the owner of a new file"
    [ "$(cat "$mnt/soft")" = text ] || fail "content"
    chmod 000 "$mnt/hard"
    (cat "$mnt/sub/file") 2>/dev/null && fail "a file without permissions was read"
    chmod 600 "$mnt/hard"
    chown 0 "$mnt/hard" 2>/dev/null && fail "a file was given away"
    mknod "$mnt/dev" c 1 3 2>/dev/null && fail "a device was made"
    sync -f "$mnt"
    "$cis" fs mount "$mnt" 2>/dev/null && fail "a branch was mounted twice"
    "$cis" fs mount "$work/host" 2>"$work/err" && fail "a held branch was mounted"
    grep -q "in use by mount" "$work/err" || { cat "$work/err"; fail "who holds the branch is not said"; }
    down
    [ -z "$(ls -A "$mnt")" ] || fail "the mount did not end"
    up --read-only
    [ "$(cat "$mnt/hard")" = text ] || fail "content in the next mount"
    [ "$(stat -c %h "$mnt/hard")" = 2 ] || fail "links in the next mount"
    (: >"$mnt/x") 2>/dev/null && fail "a read-only mount was written to"
    down
    if ! grep -qs '^user_allow_other' /etc/fuse.conf; then
        "$cis" fs mount "$mnt" --allow-other 2>"$work/err" && fail "others were let in unasked"
        [ -s "$work/err" ] || fail "why others cannot be let in is not said"
    fi
    mkdir -m 755 "$work/shut"
    chmod 555 "$work/shut" # not one's own to mount over
    "$cis" fs mount "$work/shut" 2>/dev/null && fail "a folder that may not be written to"
    trap - EXIT
    echo "mounted, written, read and unmounted as user $(id -u)"
    ;;
esac
