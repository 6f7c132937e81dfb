#!/bin/bash
# Real programs through `cis fs mount`, and the same on the host: git, a CMake build, SQLite's locks,
# tar and rsync with hard links and holes. What is left must be identical, also in the next mount.
# usage: programs.sh [long|postgres]
#   long: also 100,000 files in one folder, a 4 GiB file; postgres: the store is a server of its own
set -euo pipefail
kind=${1:-}
if ! { [ -c /dev/fuse ] && (: <>/dev/fuse); } 2>/dev/null; then
    printf 'fuse\tprograms.sh %s\t/dev/fuse cannot be opened\n' "$kind" >>"${CIS_BUILD_DIR:?}/not-tested"
    exit 0
fi
cis=${CIS_PROGRAM:?}
work=$(mktemp -d)
export work CIS_HOME=$work/home GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE="2026-01-01T00:00:00Z"
export GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE TZ=UTC LC_ALL=C
mnt=$work/mnt host=$work/host
mkdir "$mnt" "$host"
mounted= server=
cleanup() {
    if [ -n "$mounted" ]; then
        "$cis" fs umount "$mnt" || true
    fi
    if [ -n "$server" ]; then
        $as "$bin/pg_ctl" -D "$work/pg/data" -m immediate stop >/dev/null || true
    fi
    rm -rf "$work"
}
trap cleanup EXIT
fail() {
    echo "programs.sh: $*" >&2
    exit 1
}
up() {
    "$cis" fs mount "$mnt" "$@"
    mounted=1
}
down() {
    "$cis" fs umount "$mnt"
    mounted=
}
# Everything about a tree but what filesystems differ in by right: sizes of folders, their times
# when the program said nothing about them, blocks, inode numbers.
tree() {
    (cd "$1" && find . -mindepth 1 \( -type d -printf '%P %y %m %n\n' \) -o \
        -printf '%P %y %m %n %s %l\n' | sort)
    (cd "$1" && find . -type f -print0 | sort -z | xargs -0 -r sha256sum)
}
same() {
    tree "$host/$1" >"$work/a"
    tree "$mnt/$1" >"$work/b"
    cmp -s "$work/a" "$work/b" || { diff "$work/a" "$work/b" | head -20; fail "$1 differs"; }
}
# In a shell of its own: in one that is asked for its success, errexit does not hold.
part() {
    (cd "$2" && exec bash -c "set -euo pipefail; $(declare -f "$1"); $1; echo done") >"$3" 2>&1 &&
        test "$(tail -n 1 "$3")" = done || { cat "$3"; fail "$1 $4"; }
}
both() { # a function, in the host's folder and in the mount
    part "$1" "$host" "$work/host.log" "on the host"
    part "$1" "$mnt" "$work/mnt.log" "in the mount"
    same "$2"
}
broken_work() {
    false
    echo "errexit does not hold"
}

(part broken_work "$host" "$work/broken.log" "is to fail") >/dev/null 2>&1 &&
    fail "a part that fails passes"
mkdir -p "$host/differ" "$mnt/differ"
echo a >"$host/differ/f"
echo b >"$mnt/differ/f"
(same differ) >/dev/null 2>&1 && fail "trees that differ by a byte pass"
cp -p "$host/differ/f" "$mnt/differ/f"
(same differ) >/dev/null 2>&1 || fail "trees that are the same do not pass"
rm -r "$host/differ" "$mnt/differ"

# ---- a server, as an unprivileged user when root runs this ----
as=
if [ "$kind" = postgres ]; then
    bin=$(pg_config --bindir)
    mkdir "$work/pg"
    if [ "$(id -u)" = 0 ]; then
        as="runuser -u nobody --"
        chown nobody "$work/pg"
        chmod a+x "$work"
    fi
    $as "$bin/initdb" -k -D "$work/pg/data" -A trust -U admin >/dev/null
    $as "$bin/pg_ctl" -D "$work/pg/data" -l "$work/pg/log" -w \
        -o "-k $work/pg -c listen_addresses='' -c fsync=off" start >/dev/null
    server=1
    export CIS_STORE="postgres://admin@/postgres?host=$work/pg"
    "$cis" store init >/dev/null
fi

# ---- git ----
git init -q -b main "$work/origin"
for i in $(seq 300); do
    d=$work/origin/d$((i % 17))/e$((i % 5))
    mkdir -p "$d"
    seq "$i" $((i * 7)) >"$d/f$i.txt"
done
ln -s d1 "$work/origin/link"
git -C "$work/origin" add -A
git -C "$work/origin" commit -qm one
git_work() {
    git clone -q --no-local "$work/origin" repo
    cd repo
    git checkout -q -b side
    for i in 3 5 8; do
        echo "changed $i" >>d1/e1/f1.txt
        git mv "d$i/e$((i % 5))/f$i.txt" "moved$i"
        git commit -qam "change $i"
    done
    git checkout -q main
    sed -i 1d d8/e3/f8.txt
    git commit -qam "beside it"
    git merge -q --no-ff -m merge side
    test "$(git rev-list --count --merges main)" = 1
    test "$(tail -n 1 d1/e1/f1.txt)" = "changed 8"
    test "$(head -n 1 moved8)" = 9
    test ! -e d8/e3/f8.txt
    test -z "$(git status --porcelain)"
    git stash list
    git -c gc.auto=0 -c pack.threads=1 gc -q --prune=now
    git fsck --strict
    test -z "$(git status --porcelain)"
    git log --format=%H >../git.log
    # Packs and the index hold times and inode numbers; what they stand for is compared.
    rm -rf .git/index .git/objects .git/logs .git/ORIG_HEAD .git/packed-refs .git/info/refs
}

# ---- a build ----
cmake_work() {
    mkdir -p proj/src
    for i in $(seq 12); do
        echo "int f$i(void); int f$i(void) { return $i; }" >"proj/src/f$i.c"
    done
    {
        echo "cmake_minimum_required(VERSION 3.20)"
        echo "project(p C)"
        echo "add_library(p STATIC $(printf 'src/f%d.c ' $(seq 12)))"
        echo "add_executable(main src/main.c)"
        echo "target_link_libraries(main p)"
    } >proj/CMakeLists.txt
    echo 'int f7(void); int main(void) { return f7() - 7; }' >proj/src/main.c
    cmake -S proj -B build -G Ninja >/dev/null
    ninja -C build >/dev/null
    build/main
    ninja -C build | grep "no work to do" >/dev/null # all of it is read: no SIGPIPE
    touch proj/src/f7.c
    ninja -C build -n | grep f7.c >/dev/null
    mkdir out
    cp build/main out/main
    build/main
    rm -rf build
    # The path of the build is in what it made.
    rm out/main
}

# ---- SQLite: rollback journal and locks, write-ahead log without shared memory across mounts ----
sqlite_work() {
    python3 - <<'PY'
import sqlite3, threading
for mode in ("delete", "truncate", "persist"):
    name = "db-" + mode
    def connect():
        c = sqlite3.connect(name, timeout=60, isolation_level=None)
        c.execute("pragma journal_mode=" + mode)
        return c
    c = connect()
    c.execute("create table t(k integer primary key, v text)")
    def work(n):
        d = connect()
        for i in range(10):
            d.execute("begin immediate")
            d.execute("insert into t values(?, ?)", (n * 100 + i, "x" * (i * 37)))
            d.execute("commit")
        d.close()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert c.execute("select count(*) from t").fetchone() == (40,)
    assert c.execute("pragma integrity_check").fetchone() == ("ok",)
    print(c.execute("select sum(k), sum(length(v)) from t").fetchone(), file=open("sums-" + mode, "w"))
    c.close()
PY
    mkdir sql
    mv sums-* sql/
}

# ---- tar ----
mkdir "$work/made"
(
    cd "$work/made"
    mkdir -p deep/er/still "with space"
    echo one >one
    ln one deep/er/hard
    ln -s ../one deep/soft
    ln -s nowhere dangling
    truncate -s 3M sparse
    printf end | dd of=sparse bs=1 seek=2000000 conv=notrunc status=none
    head -c 200000 /dev/urandom >noise
    printf '' >empty
    mkfifo pipe
    chmod 4755 one
    chmod 2770 deep
    chmod 1777 "with space"
    touch -d '1969-12-31 23:59:58.25' old
    touch -d '2040-05-06 07:08:09.123456789' new
    printf x >"$(printf 'odd\nname\377')"
)
tar -C "$work/made" --sparse --format=posix -cf "$work/made.tar" .
tar_work() {
    mkdir tree
    tar -C tree -xpf "$work/made.tar"
    tar -C tree --compare -f "$work/made.tar"
    test "$(stat -c %h tree/one)" = 2
    test tree/one -ef tree/deep/er/hard
    tar -C tree --sparse --format=posix --sort=name -cf again.tar .
    mkdir second
    tar -C second -xpf again.tar
    (cd second && find . -printf '%P %y %m %n %T@\n' | sort) >second.list
    (cd tree && find . -printf '%P %y %m %n %T@\n' | sort) >tree.list
    cmp tree.list second.list
    rm again.tar
    cp -a tree copy
    diff -r --no-dereference tree copy --exclude=pipe
    rm -rf copy second
}

# ---- rsync ----
rsync_work() {
    rsync -aH --sparse "$work/made/" synced
    test -z "$(rsync -aHn --checksum --itemize-changes --delete "$work/made/" synced)"
    test synced/one -ef synced/deep/er/hard
    # Back out of it, and again into it over what changed there.
    rm -rf "$work/back"
    rsync -aH --sparse synced/ "$work/back"
    test -z "$(rsync -aHn --checksum --itemize-changes --delete "$work/made/" "$work/back")"
    echo more >>synced/noise
    rm synced/one synced/sparse
    mkdir synced/extra
    rsync -aH --sparse --delete "$work/made/" synced
    test -z "$(rsync -aHn --checksum --itemize-changes --delete "$work/made/" synced)"
    rsync -aH --inplace --no-whole-file "$work/made/" synced/inplace
    test -z "$(rsync -aHn --checksum --itemize-changes --delete "$work/made/" synced/inplace)"
}

up
both git_work repo
cmp "$host/git.log" "$mnt/git.log" || fail "git.log"
both cmake_work proj
both sqlite_work sql
both tar_work tree
both rsync_work synced
test "$(stat -c %b "$mnt/synced/sparse")" -lt 2000 || fail "rsync stored a hole"
test "$(stat -c %b "$mnt/tree/sparse")" -lt 2000 || fail "a hole is stored"
down
up --read-only
for part in repo proj sql tree synced; do
    same "$part"
done
(: >"$mnt/x") 2>/dev/null && fail "a read-only mount was written to"
down
echo "git, cmake, sqlite, tar, rsync: identical, and again in the next mount"

if [ "$kind" = long ]; then
    up
    mkdir "$mnt/many"
    (cd "$mnt/many" && seq 100000 | xargs touch)
    test "$(ls -f "$mnt/many" | wc -l)" = 100002 || fail "100,000 files"
    (cd "$mnt/many" && seq 1 2 100000 | xargs rm)
    test "$(ls "$mnt/many" | wc -l)" = 50000 || fail "50,000 files are left"
    {
        head -c 2147483648 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2>/dev/null
        head -c 2147483648 /dev/zero
    } | tee "$mnt/big" | sha256sum >"$work/sum"
    test "$(stat -c %s "$mnt/big")" = 4294967296 || fail "the size of 4 GiB"
    sync -f "$mnt"
    sha256sum <"$mnt/big" | cmp - "$work/sum" || fail "4 GiB"
    down
    up --read-only
    sha256sum <"$mnt/big" | cmp - "$work/sum" || fail "4 GiB in the next mount"
    test "$(ls "$mnt/many" | wc -l)" = 50000 || fail "50,000 files in the next mount"
    down
    echo "100,000 files, 4 GiB: identical"
fi
