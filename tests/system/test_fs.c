/* `cis fs` and `cis tenant` as a user has them. The same tests run on SQLite and on a private
 * PostgreSQL server. */
#include "stored.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>

#define TOOL CIS_GUESTS_DIR "/tool.wasm"
#define fs(s, ...) cis((s), "fs", __VA_ARGS__)
#define fs_ok(s, ...) assert_exit((s), 0, fs((s), __VA_ARGS__))

static void put_text(struct sys *s, const char *path, const char *text)
{
    s->input = cis_bytes_of(text, strlen(text));
    fs_ok(s, "put", "-", path);
    s->input = cis_bytes_of(NULL, 0);
}

static void file_is(struct sys *s, const char *path, const char *text)
{
    fs_ok(s, "cat", path);
    assert_string_equal(sys_out(s), text);
}

static json_t *out_json(const struct sys *s)
{
    json_error_t why;
    json_t *root = json_loads(sys_out(s), 0, &why);
    if (root == NULL) {
        fail_msg("not JSON: %s: %.2000s", why.text, sys_out(s));
    }
    assert_int_equal(json_integer_value(json_object_get(root, "schema")), 1);
    return root;
}

/* In the test's folder. */
static int shell(struct sys *s, const char *script)
{
    char line[8192];
    snprintf(line, sizeof line, "cd %s && %s", s->home, script);
    return sys_exec(s, (const char *const[]){"/bin/sh", "-c", line, NULL});
}

/* ---- happy ---- */
static void a_tree_goes_in_and_comes_out_the_same(void **state)
{
    struct sys *s = *state;
    assert_exit(
        s, 0,
        shell(s, "mkdir -p in/d/e && cd in && printf hello > a && ln a d/second && "
                 "ln -s ../a d/link && mkfifo p && truncate -s 3M hole && printf end >> hole && "
                 "chmod 640 a && chmod 2751 d/e && printf x > 'd/\303\274 \n x' && "
                 "touch -d '2001-02-03 04:05:06.789012345' a d/e && touch -h -d 2002-01-01 "
                 "d/link"));
    char in[4200], out[4200];
    snprintf(in, sizeof in, "%s/in", s->home);
    snprintf(out, sizeof out, "%s/out", s->home);
    fs_ok(s, "put", "-r", in, "/tree");
    fs_ok(s, "get", "-r", "/tree", out);
    /* Names, types, modes, links, sizes, times, targets; then contents and holes. */
    assert_exit(s, 0,
                shell(s, "for t in in out; do (cd $t && find . -printf '%P %y %m %n %s "
                         "%T@ %l\\n' | sed '/^ /s/ [0-9]* [0-9.]* $//' | sort) > $t.list; done && "
                         "cmp in.list out.list && cmp in/hole out/hole && cmp in/a out/a && "
                         "test in/a -ef in/d/second && test out/a -ef out/d/second && "
                         "test $(stat -c %b out/hole) -lt 100"));
    fs_ok(s, "log");
    assert_contains(sys_out(s), "cis fs put --recursive");
    fs_ok(s, "fsck", "--data");
    assert_contains(sys_out(s), ": 0 faults");
}

static void listing_shows_names_kinds_and_sizes(void **state)
{
    struct sys *s = *state;
    put_text(s, "/b.txt", "12345");
    fs_ok(s, "mkdir", "/dir");
    fs_ok(s, "ln", "-s", "/b.txt", "/link");
    fs_ok(s, "ls");
    assert_string_equal(sys_out(s), "b.txt\ndir/\nlink\n");
    fs_ok(s, "ls", "-l", "/link");
    assert_contains(sys_out(s), "lrwxrwxrwx");
    assert_contains(sys_out(s), "-> /b.txt");
    fs_ok(s, "ls", "--json");
    json_t *root = out_json(s), *list = json_object_get(root, "entries");
    assert_int_equal(json_array_size(list), 3);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "size")), 5);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 1), "type")),
                        "directory");
    json_decref(root);
    fs_ok(s, "find", "/", "--name", "*.txt");
    assert_string_equal(sys_out(s), "/b.txt\n");
    fs_ok(s, "tree");
    assert_contains(sys_out(s), "├── dir\n");
    assert_contains(sys_out(s), "1 directory, 2 files");
    fs_ok(s, "du", "-s");
    assert_contains(sys_out(s), "          11        3  /");
    fs_ok(s, "stat", "/b.txt");
    assert_contains(sys_out(s), "size:   5");
    file_is(s, "/link", "12345");
}

static void names_are_changed_in_one_commit_each(void **state)
{
    struct sys *s = *state;
    fs_ok(s, "mkdir", "-p", "/a/b/c", "/a/d");
    put_text(s, "/a/b/f", "1");
    fs_ok(s, "mv", "/a/b", "/a/d");
    file_is(s, "/a/d/b/f", "1");
    fs_ok(s, "ln", "/a/d/b/f", "/again");
    fs_ok(s, "rm", "-r", "/a");
    file_is(s, "/again", "1");
    fs_ok(s, "log", "--json");
    json_t *root = out_json(s), *log = json_object_get(root, "commits");
    static const char *const notes[] = {"cis fs rm --recursive /a", "cis fs ln /a/d/b/f /again",
                                        "cis fs mv /a/b /a/d", "cis fs put - /a/b/f",
                                        "cis fs mkdir --parents /a/b/c /a/d"};
    assert_int_equal(json_array_size(log), 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(json_string_value(json_object_get(json_array_get(log, i), "note")),
                            notes[i]);
    }
    json_decref(root);
    fs_ok(s, "fsck");
}

static void snapshots_rollback_undo_and_restore_bring_back_what_was(void **state)
{
    struct sys *s = *state;
    fs_ok(s, "mkdir", "/keep");
    put_text(s, "/keep/a", "one");
    fs_ok(s, "snapshot", "first", "--note", "before it went wrong");
    put_text(s, "/keep/a", "two");
    put_text(s, "/keep/b", "new");
    fs_ok(s, "cat", "/keep/a", "--at", "first");
    assert_string_equal(sys_out(s), "one");
    fs_ok(s, "cat", "/keep/a", "--at", "main~2");
    assert_string_equal(sys_out(s), "one");
    fs_ok(s, "diff", "first");
    assert_string_equal(sys_out(s), "M keep/a  3 -> 3\nA keep/b  3\n");
    fs_ok(s, "diff", "first", "--text");
    assert_contains(sys_out(s), "-one\n\\ No newline at end of file\n+two\n");
    fs_ok(s, "undo");
    assert_exit(s, 3, fs(s, "cat", "/keep/b"));
    assert_contains(sys_err(s), "/keep/b: No such file");
    fs_ok(s, "restore", "/keep/a", "--from", "first");
    file_is(s, "/keep/a", "one");
    put_text(s, "/keep/a", "three");
    fs_ok(s, "rollback", "snapshot:first");
    file_is(s, "/keep/a", "one");
    fs_ok(s, "snapshots");
    assert_contains(sys_out(s), "before it went wrong");
    fs_ok(s, "drop", "--snapshot", "first");
    assert_exit(s, 3, fs(s, "cat", "/keep/a", "--at", "snapshot:first"));
    assert_contains(sys_err(s), "snapshot:first");
    fs_ok(s, "fsck");
}

static void a_branch_comes_back_to_where_it_was_by_its_reflog(void **state)
{
    struct sys *s = *state;
    put_text(s, "/a", "one");
    put_text(s, "/b", "two");
    fs_ok(s, "rollback", "main@1");
    assert_exit(s, 3, fs(s, "cat", "/b"));
    fs_ok(s, "rollback", "main@2"); /* above the head: the branch has no other commit 2 */
    file_is(s, "/b", "two");
    fs_ok(s, "rollback", "@1");
    fs_ok(s, "cat", "/b", "--at", "main@{1}");
    assert_string_equal(sys_out(s), "two");
    fs_ok(s, "diff", "main@{1}");
    assert_string_equal(sys_out(s), "D b  3\n");
    fs_ok(s, "restore", "/b", "--from", "@{1}");
    file_is(s, "/b", "two");
    fs_ok(s, "log", "main@{1}");
    assert_contains(sys_out(s), "cis fs put - /b");
    fs_ok(s, "reflog");
    assert_contains(sys_out(s), "main@{0}");
    assert_contains(sys_out(s), "1 path   fs: cis fs put - /b  (left by: cis fs rollback @1)");
    fs_ok(s, "reflog", "-n", "2", "--json");
    json_t *root = out_json(s), *rows = json_object_get(root, "reflog");
    assert_int_equal(json_array_size(rows), 2);
    const json_t *row = json_array_get(rows, 1);
    assert_string_equal(json_string_value(json_object_get(row, "name")), "main@{1}");
    assert_string_equal(json_string_value(json_object_get(row, "by")), "cis fs rollback @1");
    assert_int_equal(json_integer_value(json_object_get(row, "paths")), 1);
    json_decref(root);
    fs_ok(s, "fork", "try");
    fs_ok(s, "rm", "/a", "--branch", "try");
    fs_ok(s, "drop", "try");
    fs_ok(s, "reflog", "try");
    assert_contains(sys_out(s), "(left by: cis fs drop try)");
    fs_ok(s, "fork", "try", "--from", "try@{1}");
    assert_exit(s, 3, fs(s, "cat", "/a", "--branch", "try"));
    fs_ok(s, "snapshots");
    assert_string_equal(sys_out(s), "");
    assert_exit(s, 3, fs(s, "rollback", "main@{9}"));
    assert_contains(sys_err(s), "main@{9}: the reflog has 3 entries");
    assert_exit(s, 2, fs(s, "rollback", "main@{one}"));
    assert_exit(s, 3, fs(s, "reflog", "none", "--json"));
    assert_null(strstr(sys_out(s), "reflog\":["));
    fs_ok(s, "fsck", "--data");
}

static void undo_goes_back_redo_comes_forward_and_both_say_what(void **state)
{
    struct sys *s = *state;
    put_text(s, "/a", "one");
    put_text(s, "/b", "two");
    put_text(s, "/a", "three");
    fs_ok(s, "undo");
    assert_contains(sys_out(s), "undo of @3");
    assert_contains(sys_out(s), "fs  cis fs put - /a\nM a  5 -> 3\n1 changes\n");
    fs_ok(s, "undo", "--dry-run");
    assert_contains(sys_out(s), "undo of @2");
    file_is(s, "/b", "two");
    fs_ok(s, "undo");
    assert_contains(sys_out(s), "cis fs put - /b\nD b  3\n");
    fs_ok(s, "redo", "--json");
    json_t *root = out_json(s), *commit = json_object_get(root, "commit");
    assert_int_equal(json_integer_value(json_object_get(commit, "epoch")), 2);
    assert_string_equal(json_string_value(json_object_get(commit, "note")), "cis fs put - /b");
    assert_int_equal(json_array_size(json_object_get(root, "paths")), 1);
    json_decref(root);
    fs_ok(s, "redo");
    assert_contains(sys_out(s), "redo of @3");
    file_is(s, "/a", "three");
    assert_exit(s, 3, fs(s, "redo"));
    assert_contains(sys_err(s), "nothing to redo");
    fs_ok(s, "undo", "--branch", "main");
    put_text(s, "/c", "four");
    assert_exit(s, 3, fs(s, "redo"));
    fs_ok(s, "undo", "main@8"); /* the undo of @3, by name: it comes back, and /c stays */
    assert_contains(sys_out(s), "redo of @3");
    file_is(s, "/a", "three");
    file_is(s, "/c", "four");
    assert_exit(s, 8, fs(s, "undo", "main@1")); /* what it wrote was written again */
    assert_contains(sys_err(s), "conflict: a:");
}

/* A tar's header of one file or of one extended header. */
static void tar_entry(struct cis_buf *tar, const char *name, char type, const char *data,
                      size_t len)
{
    char head[512] = "";
    unsigned sum = 8 * ' ';
    snprintf(head, 100, "%s", name);
    snprintf(head + 100, 8, "0000644");
    snprintf(head + 124, 12, "%011zo", len);
    head[156] = type;
    memcpy(head + 257, "ustar\00000", 8);
    for (int i = 0; i < 512; i++) {
        sum += (unsigned char)head[i];
    }
    snprintf(head + 148, 8, "%06o", sum);
    cis_buf_add(tar, head, sizeof head);
    cis_buf_add(tar, data, len);
    for (size_t i = len; i % 512 != 0; i++) {
        cis_buf_byte(tar, 0);
    }
}

/* One file, in so many folders inside each other. */
static const char *deep_tar(struct sys *s, size_t depth, const char *name)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf pax = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf tar = CIS_BUF_INIT(1u << 21);
    for (size_t i = 0; i < depth; i++) {
        cis_buf_text(&path, "d/");
    }
    cis_buf_text(&path, name);
    size_t len = strlen(" path=\n") + path.len, all = len + 6; /* its own length has six digits */
    cis_buf_printf(&pax, "%zu path=%s\n", all, cis_buf_cstr(&path));
    assert_int_equal(pax.len, all);
    tar_entry(&tar, "pax", 'x', cis_buf_cstr(&pax), pax.len);
    tar_entry(&tar, "short", '0', "x", 1);
    for (int i = 0; i < 1024; i++) {
        cis_buf_byte(&tar, 0);
    }
    return sys_file(s, "deep.tar", tar.ptr, tar.len);
}

static void an_undo_that_is_done_says_so_whatever_can_be_shown_of_it(void **state)
{
    struct sys *s = *state;
    put_text(s, "/first", "1");
    fs_ok(s, "import", deep_tar(s, 70000, "f"));
    fs_ok(s, "import", deep_tar(s, 70000, "g"));
    fs_ok(s, "undo");
    assert_contains(sys_out(s), "undo of @3");
    fs_ok(s, "redo", "--json");
    json_t *root = out_json(s);
    assert_int_equal(json_integer_value(json_object_get(root, "epoch")), 5);
    json_decref(root);
    fs_ok(s, "undo");
    assert_contains(sys_out(s), "undo of @3");
    file_is(s, "/first", "1");
}

static void a_listing_that_fails_half_way_is_one_json_value(void **state)
{
    struct sys *s = *state;
    put_text(s, "/f", "1");
    assert_exit(s, 3, fs(s, "stat", "/f", "/none", "--json"));
    json_t *root = out_json(s);
    assert_int_equal(json_array_size(json_object_get(root, "entries")), 1);
    assert_true(json_is_object(json_object_get(root, "error")));
    json_decref(root);
    assert_exit(s, 3, fs(s, "stat", "/none", "--json"));
    root = out_json(s);
    assert_null(json_object_get(root, "entries"));
    json_decref(root);
    fs_ok(s, "stat", "/f", "/", "--json");
    root = out_json(s);
    assert_int_equal(json_array_size(json_object_get(root, "entries")), 2);
    json_decref(root);
}

static void a_diff_tells_where_symlinks_lead(void **state)
{
    struct sys *s = *state;
    char from[4200];
    snprintf(from, sizeof from, "%s/l", s->home);
    assert_exit(s, 0, shell(s, "mkdir l && ln -s /etc/passwd l/abs && ln -s one l/way"));
    fs_ok(s, "put", "-r", from, "/l");
    fs_ok(s, "diff", "main@0", "main");
    assert_contains(sys_out(s), "A l/abs -> /etc/passwd\n");
    assert_exit(s, 0, shell(s, "ln -sfn two l/way"));
    fs_ok(s, "put", "-r", from, "/");
    fs_ok(s, "diff", "main~1", "main");
    assert_string_equal(sys_out(s), "M l/way -> two\n");
    fs_ok(s, "diff", "main~1", "main", "--json");
    json_t *root = out_json(s), *change = json_array_get(json_object_get(root, "changes"), 0);
    assert_string_equal(json_string_value(json_object_get(change, "target")), "two");
    json_decref(root);
    fs_ok(s, "rm", "/l/abs");
    fs_ok(s, "diff", "main~1", "main");
    assert_string_equal(sys_out(s), "D l/abs  11\n");
}

static void branches_are_forked_switched_merged_and_dropped(void **state)
{
    struct sys *s = *state;
    put_text(s, "/f", "base");
    fs_ok(s, "fork", "try", "--switch");
    put_text(s, "/f", "tried");
    put_text(s, "/g", "more");
    fs_ok(s, "cat", "/f", "--branch", "main");
    assert_string_equal(sys_out(s), "base");
    fs_ok(s, "switch", "main");
    fs_ok(s, "merge", "try", "--json");
    json_t *root = out_json(s);
    assert_int_equal(json_array_size(json_object_get(root, "conflicts")), 0);
    json_decref(root);
    file_is(s, "/f", "tried");
    fs_ok(s, "merge", "try");
    assert_string_equal(sys_out(s), "nothing to do\n");
    put_text(s, "/f", "here");
    fs_ok(s, "switch", "try");
    put_text(s, "/f", "there");
    fs_ok(s, "switch", "main");
    assert_exit(s, 8, fs(s, "merge", "try"));
    assert_contains(sys_err(s), "conflict: f: changed on both sides");
    assert_exit(s, 8, fs(s, "merge", "try", "--json"));
    root = out_json(s); /* one value, as every answer is */
    assert_int_equal(json_array_size(json_object_get(root, "conflicts")), 1);
    assert_true(json_is_object(json_object_get(root, "error")));
    json_decref(root);
    file_is(s, "/f", "here");
    assert_exit(s, 2, fs(s, "drop", "main"));
    assert_contains(sys_err(s), "main");
    fs_ok(s, "drop", "try");
    fs_ok(s, "fork", "agent", "--count", "1000");
    fs_ok(s, "branches", "--json");
    root = out_json(s);
    assert_int_equal(json_array_size(json_object_get(root, "branches")), 1001);
    json_decref(root);
    fs_ok(s, "cat", "/f", "--branch", "agent-1000");
    assert_string_equal(sys_out(s), "here");
}

static void a_tar_round_trip_keeps_links_holes_times_and_owners(void **state)
{
    struct sys *s = *state;
    char tar[4200];
    snprintf(tar, sizeof tar, "%s/t.tar", s->home);
    assert_exit(s, 0,
                shell(s, "mkdir -p in/d && cd in && printf hello > d/a && ln d/a b && "
                         "ln -s d/a l && truncate -s 5M hole && printf x >> hole && "
                         "touch -d '1999-12-31 23:59:59.123456789' d/a && "
                         "printf y > $(printf n%0200d 1) && tar cf ../in.tar --format=pax ."));
    char in[4200];
    snprintf(in, sizeof in, "%s/in.tar", s->home);
    fs_ok(s, "import", in);
    fs_ok(s, "export", tar);
    assert_exit(s, 0,
                shell(s, "mkdir out && tar xf t.tar -C out && test out/b -ef out/d/a && "
                         "diff -r in out && test $(stat -c %b out/hole) -lt 100 && "
                         "test \"$(stat -c %y out/d/a)\" = \"$(stat -c %y in/d/a)\""));
    fs_ok(s, "fork", "again", "--switch");
    fs_ok(s, "import", tar);
    fs_ok(s, "diff", "main");
    assert_string_equal(sys_out(s), "");
    fs_ok(s, "export", "-");
    assert_true(s->last.output.len > 1000);
}

/* A file without holes is no sparse one: every program reads it. */
static void a_tar_of_a_file_without_holes_lists_no_parts(void **state)
{
    struct sys *s = *state;
    char in[4200], tar[4200];
    snprintf(in, sizeof in, "%s/in", s->home);
    snprintf(tar, sizeof tar, "%s/t.tar", s->home);
    assert_exit(s, 0, shell(s, "head -c 300001 /dev/urandom > in"));
    fs_ok(s, "put", in, "/whole");
    fs_ok(s, "export", tar);
    assert_exit(s, 0, shell(s, "! grep -aq GNU.sparse t.tar && tar -xOf t.tar ./whole | cmp - in"));
    assert_exit(s, 0, shell(s, "truncate -s 900K in"));
    fs_ok(s, "put", in, "/whole");
    fs_ok(s, "export", tar);
    assert_exit(s, 0, shell(s, "grep -aq GNU.sparse t.tar && tar -xOf t.tar ./whole | cmp - in"));
}

/* An owner that was cut to 32 bits would be root. */
static void owners_and_devices_that_cannot_be_are_refused(void **state)
{
    struct sys *s = *state;
    static const struct {
        const char *entry, *said;
    } rows[] = {
        {"uid=4294967296", "cannot have the owner 4294967296:0"},
        {"uid=4294967295", "cannot have the owner 4294967295:0"},
        {"gid=1<<40", "cannot have the owner 0:1099511627776"},
        {"uid=-2", "cannot have the owner -2:0"},
        {"type=tarfile.CHRTYPE; i.devmajor=4096", "no device 4096:0"},
        {"type=tarfile.BLKTYPE; i.devminor=1<<20", "no device 0:1048576"},
    };
    char tar[4200], command[600];
    static const char make[] = "python3 -c \"import tarfile; t=tarfile.open('bad.tar','w',"
                               "format=tarfile.GNU_FORMAT); i=tarfile.TarInfo('f'); i.%s; "
                               "t.addfile(i); t.close()\"";
    snprintf(tar, sizeof tar, "%s/bad.tar", s->home);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(command, sizeof command, make, rows[i].entry);
        assert_exit(s, 0, shell(s, command));
        assert_int_not_equal(fs(s, "import", tar), 0);
        assert_contains(sys_err(s), rows[i].said);
        assert_contains(sys_err(s), "/bad.tar: ");
        assert_int_not_equal(fs(s, "stat", "/f"), 0);
    }
    snprintf(command, sizeof command, make, "uid=4294967294");
    assert_exit(s, 0, shell(s, command));
    fs_ok(s, "import", tar);
    fs_ok(s, "stat", "/f");
    assert_contains(sys_out(s), "4294967294");
}

static void a_branch_goes_to_another_store_and_only_what_is_missing_travels(void **state)
{
    struct sys *s = *state;
    char other[4200];
    snprintf(other, sizeof other, "sqlite:%s/other", s->home);
    assert_exit(s, 0, shell(s, "head -c 1000000 /dev/urandom > big"));
    char big[4200];
    snprintf(big, sizeof big, "%s/big", s->home);
    fs_ok(s, "put", big, "/");
    fs_ok(s, "export", "--to", other, "--to-tenant", "t2", "--to-branch", "got", "--json");
    json_t *root = out_json(s);
    assert_int_equal(json_integer_value(json_object_get(root, "chunks_sent")), 16);
    json_decref(root);
    put_text(s, "/more", "x");
    fs_ok(s, "export", "--to", other, "--to-tenant", "t2", "--to-branch", "got", "--json");
    root = out_json(s);
    assert_int_equal(json_integer_value(json_object_get(root, "chunks_sent")), 0);
    json_decref(root);
    char copy[4200];
    snprintf(copy, sizeof copy, "%s/copy", s->home);
    fs_ok(s, "get", "/big", copy, "--store", other, "--tenant", "t2", "--branch", "got");
    assert_exit(s, 0, shell(s, "cmp big copy"));
    /* What is damaged there is no content that it has. */
    assert_exit(s, 0,
                shell(s, "printf 12345678 | dd of=other/tenants/t2.chunks bs=1 seek=70000 "
                         "conv=notrunc status=none"));
    fs_ok(s, "export", "--to", other, "--to-tenant", "t2", "--to-branch", "anew", "--json");
    root = out_json(s);
    assert_int_equal(json_integer_value(json_object_get(root, "chunks_sent")), 1);
    json_decref(root);
    fs_ok(s, "get", "/big", copy, "--store", other, "--tenant", "t2", "--branch", "anew");
    assert_exit(s, 0, shell(s, "cmp big copy"));
}

/* Some bytes of the only file that is more than a row. */
static void damage_a_chunk(struct world *w)
{
    if (cluster == NULL) {
        assert_exit(&w->sys, 0,
                    shell(&w->sys, "c=$(ls store/tenants/*.chunks) && printf '\\377\\376\\375' |"
                                   " dd of=$c bs=1 seek=100000 conv=notrunc 2>/dev/null"));
        return;
    }
    char db[64];
    const char *at = strstr(w->url, "@/") + 2;
    snprintf(db, sizeof db, "%.*s", (int)strcspn(at, "?"), at);
    pgcluster_run(cluster, db,
                  "UPDATE cis.chunk SET data = set_byte(data, 100, get_byte(data, 100) # 4) "
                  "WHERE id = (SELECT min(id) + 1 FROM cis.chunk)");
}

/* What is whole comes out, what is not is named at the end. */
static void one_damaged_file_does_not_keep_the_others(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0,
                shell(s, "mkdir -p t/d && head -c 300000 /dev/urandom > t/big &&"
                         " echo other > t/d/other && echo z > t/z &&"
                         " ln -s z t/l"));
    assert_exit(s, 0, shell(s, CIS_PROGRAM " fs put -r t / && " CIS_PROGRAM " fs snapshot whole"));
    damage_a_chunk(*state);
    int exit = shell(s, CIS_PROGRAM " fs get -r /t out");
    assert_int_equal(exit, 7);
    assert_contains(sys_err(s), "cannot read t/big: ");
    assert_contains(sys_err(s), "damaged");
    assert_contains(sys_err(s), "1 could not be read");
    assert_exit(s, 0,
                shell(s, "cmp t/d/other out/d/other && cmp t/z out/z && test -L out/l &&"
                         " ! test -e out/big && ! ls -A out | grep -q cis-copy"));
    assert_exit(s, 7, shell(s, CIS_PROGRAM " fs get -r /t again --json"));
    assert_contains(sys_out(s), "\"code\":\"DAMAGED\"");
    assert_lacks(sys_out(s), "\"files\"");
    assert_exit(s, 7, shell(s, CIS_PROGRAM " fs export t.tar"));
    assert_contains(sys_err(s), "cannot read /t/big: ");
    assert_exit(
        s, 0,
        shell(s,
              "mkdir x && tar -xf t.tar -C x && cmp t/d/other x/t/d/other &&"
              " cmp t/z x/t/z && test $(stat -c %s x/t/big) = 300000 && ! cmp -s t/big x/t/big"));
    assert_int_not_equal(shell(s, CIS_PROGRAM " fs get /t/big one"), 0);
    assert_exit(s, 0, shell(s, "! test -e one"));
}

/* What the user may read goes in, a file and a folder that it may not are named at the end. */
static void one_unreadable_file_does_not_keep_the_others(void **state)
{
    struct sys *s = *state;
    if (geteuid() == 0 && access("/usr/bin/setpriv", X_OK) != 0) {
        not_tested("root", "root may read everything");
    }
    assert_exit(s, 0,
                shell(s,
                      "mkdir -p t/d t/secret && echo a > t/a && echo b > t/d/b && echo c > t/c &&"
                      " echo z > t/z && chmod 0 t/c t/secret && chmod 711 . && mkdir -m 700 of"
                      " && { [ $(id -u) -ne 0 ] || chown 65534 of; }"));
    assert_exit(
        s, 4,
        shell(s,
              "as=; [ $(id -u) -ne 0 ] ||"
              " as='setpriv --reuid 65534 --regid 65534 --clear-groups'; export CIS_HOME=$PWD/of "
              "CIS_STORE=sqlite:$PWD/of/store;"
              " $as " CIS_PROGRAM " fs put -r t /; code=$?; $as " CIS_PROGRAM " fs find /;"
              " $as " CIS_PROGRAM " fs cat /t/d/b; exit $code"));
    assert_contains(sys_err(s), "cannot read t/c: Permission denied");
    assert_contains(sys_err(s), "cannot read t/secret: Permission denied");
    assert_contains(sys_err(s), "2 could not be read");
    assert_string_equal(sys_out(s), "/\n/t\n/t/a\n/t/d\n/t/d/b\n/t/secret\n/t/z\nb\n");
}

/* The tenant that nobody had to make; one that somebody named has to be there. */
static void a_store_that_nobody_wrote_to_answers_as_an_empty_one(void **state)
{
    struct sys *s = *state;
    static const struct {
        int exit;
        const char *words[4], *prints;
    } first[] = {{0, {"ls"}, ""},
                 {0, {"log"}, ""},
                 {0, {"diff", "main", "main"}, ""},
                 {3, {"undo"}, "nothing to undo"},
                 {0, {"quota"}, "of no limit"},
                 {0, {"gc"}, "removed 0 branches"},
                 {0, {"fsck"}, "0 faults"},
                 {0, {"snapshot", "empty"}, "empty"},
                 {0, {"find"}, "/"},
                 {0, {"stat", "/"}, "directory"},
                 {0, {"fork", "second"}, ""},
                 {3, {"cat", "/none"}, "/none: No such file"},
                 {3, {"get", "/none", "-"}, "/none: No such file"}};
    struct world *w = *state;
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        if (cluster != NULL) { /* a fresh one each time */
            pgcluster_drop(cluster, w->url);
            w->url = pgcluster_store(cluster);
            snprintf(w->env, sizeof w->env, "CIS_STORE=%s", w->url);
        } else {
            snprintf(w->env, sizeof w->env, "CIS_STORE=sqlite:%s/store%zu", s->home, i);
        }
        const char *const *a = first[i].words;
        assert_exit(s, 3, fs(s, "ls", "--tenant", "somebody"));
        assert_exit(s, first[i].exit, fs(s, a[0], a[1], a[2]));
        assert_contains(first[i].exit == 0 ? sys_out(s) : sys_err(s), first[i].prints);
        fs_ok(s, "ls");
    }
}

static void a_device_a_pipe_and_a_symlink_stay_what_they_are(void **state)
{
    struct sys *s = *state;
    put_text(s, "/f", "content");
    assert_exit(s, 0,
                shell(s, "mkfifo pipe && printf old > file && ln -s file link && "
                         "ln -s made new && mkdir dir"));
    assert_exit(s, 0,
                shell(s, "{ cat pipe > read & } && timeout 20 " CIS_PROGRAM " fs get /f pipe && "
                         "test -p pipe && wait && cat read"));
    assert_string_equal(sys_out(s), "content");
    assert_exit(s, 0,
                shell(s, CIS_PROGRAM " fs get /f link && " CIS_PROGRAM " fs get /f new && "
                                     "test -L link && test -L new && cat file made"));
    assert_string_equal(sys_out(s), "contentcontent");
    /* Named by a stream's own name, it is that stream. */
    assert_exit(s, 0,
                shell(s, "{ echo before; " CIS_PROGRAM " fs get /f /dev/stdout; echo; } > "
                         "log && cat log"));
    assert_string_equal(sys_out(s), "before\ncontent\n");
    assert_exit(s, 0,
                shell(s,
                      "printf '{}' > t.json && chmod 644 t.json && ln -s t.json l && " CIS_PROGRAM
                      " memory export -o l && test -L l && "
                      "stat -c %a t.json"));
    assert_string_equal(sys_out(s), "600\n");
    assert_exit(s, 0, shell(s, "mkdir pipes && mkfifo pipes/f"));
    assert_exit(s, 4, shell(s, CIS_PROGRAM " fs get /f pipes"));
    assert_contains(sys_err(s), "a device, a pipe or a socket of that name exists");
    assert_exit(s, 0, shell(s, "test -p pipes/f"));
    if (geteuid() == 0 && shell(s, "mknod node c 1 7 && mknod dir/f c 1 7") == 0) {
        assert_exit(s, 7, shell(s, CIS_PROGRAM " fs get /f node"));
        assert_contains(sys_err(s), "No space left");
        assert_exit(s, 4, shell(s, CIS_PROGRAM " fs get /f dir"));
        assert_contains(sys_err(s), "a device, a pipe or a socket of that name exists");
        assert_exit(s, 0, shell(s, "test -c node && test -c dir/f"));
    } else {
        note_not_tested("device", __func__, "no device can be made");
    }
}

static void however_many_tenants_are_named_the_last_one_loses_the_branch_too(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0, cis(s, "tenant", "create", "team-b"));
    assert_exit(s, 0, cis(s, "tenant", "create", "team-c"));
    put_text(s, "/f", "for others");
    fs_ok(s, "publish", "main", "--to", "team-b", "team-c");
    assert_exit(
        s, 0, shell(s, CIS_PROGRAM " fs unpublish main --to $(yes team-c | head -n 10000) team-b"));
    fs_ok(s, "published", "--tenant", "team-b");
    assert_lacks(sys_out(s), "from default ");
}

static void a_branch_is_published_to_tenants_and_taken_back(void **state)
{
    struct sys *s = *state;
    char copy[4200];
    snprintf(copy, sizeof copy, "%s/copy", s->home);
    fs_ok(s, "mkdir", "/d");
    put_text(s, "/d/f", "for others");
    fs_ok(s, "snapshot", "kept");
    assert_exit(s, 3, fs(s, "publish", "main", "--to", "team-b", "team-c"));
    assert_contains(sys_err(s), "tenant team-b: no such tenant");
    assert_exit(s, 0, cis(s, "tenant", "create", "team-b"));
    assert_exit(s, 0, cis(s, "tenant", "create", "team-c"));
#define FROM "--from", "default", "--branch", "main", "--tenant", "team-b"
    assert_exit(s, 3, fs(s, "ls", "/", FROM));
    assert_contains(sys_err(s), "tenant default: no branch main is published to team-b");
    fs_ok(s, "publish", "main", "--to", "team-b", "team-c");
    fs_ok(s, "ls", "/d", FROM);
    assert_string_equal(sys_out(s), "f\n");
    fs_ok(s, "cat", "/d/f", FROM);
    assert_string_equal(sys_out(s), "for others");
    fs_ok(s, "stat", "/d/f", FROM);
    assert_contains(sys_out(s), "size:   10");
    fs_ok(s, "find", "/", "--name", "f", FROM);
    assert_string_equal(sys_out(s), "/d/f\n");
    fs_ok(s, "du", "-s", "/", FROM);
    assert_contains(sys_out(s), "  /\n");
    fs_ok(s, "tree", "/", FROM);
    assert_contains(sys_out(s), "f\n");
    fs_ok(s, "get", "-r", "/d", copy, FROM);
    assert_exit(s, 0, shell(s, "test \"$(cat copy/f)\" = 'for others'"));
    put_text(s, "/d/f", "and later");
    fs_ok(s, "cat", "/d/f", FROM);
    assert_string_equal(sys_out(s), "and later");
    /* Its head, and nothing else of the publisher's. */
    assert_exit(s, 2, fs(s, "cat", "/d/f", "--from", "default", "--tenant", "team-b"));
    assert_contains(sys_err(s), "name it with --branch");
    assert_exit(s, 2, fs(s, "cat", "/d/f", FROM, "--at", "kept"));
    assert_exit(
        s, 3, fs(s, "cat", "/d/f", "--from", "default", "--branch", "kept", "--tenant", "team-b"));
    assert_exit(s, 2, fs(s, "cat", "/d/f", "--from", "De#1", "--branch", "main"));
    assert_exit(s, 2, fs(s, "put", "-", "/d/f", FROM)); /* there is no such option */
    /* And a program's own. */
    char tool[] = CIS_GUESTS_DIR "/tool.wasm";
    assert_exit(s, 0,
                cis(s, "run", "--published", "/shared=default/main", "--tenant", "team-b", tool,
                    "read", "/shared/d/f"));
    assert_string_equal(sys_out(s), "and later");
    assert_exit(s, 126,
                cis(s, "run", "--published", "/shared=default/ghost", "--tenant", "team-b", tool,
                    "read", "/shared/d/f"));
    assert_contains(sys_err(s), "no branch ghost is published to team-b");
    assert_exit(s, 2, cis(s, "run", "--published", "/shared=default", tool));
    fs_ok(s, "published", "--json");
    json_t *root = out_json(s), *by = json_object_get(root, "by_me");
    assert_int_equal(json_array_size(by), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(by, 1), "to")), "team-c");
    json_decref(root);
    fs_ok(s, "published", "--tenant", "team-b");
    assert_contains(sys_out(s), "from default ");
    fs_ok(s, "unpublish", "main", "--to", "team-b");
    assert_exit(s, 4, fs(s, "cat", "/d/f", FROM));
    assert_contains(sys_err(s), "tenant default: branch main is no longer published to team-b");
    fs_ok(s, "cat", "/d/f", "--from", "default", "--branch", "main", "--tenant", "team-c");
    fs_ok(s, "unpublish", "main", "--all");
    assert_exit(s, 3, fs(s, "unpublish", "main", "--all"));
    assert_exit(s, 2, fs(s, "unpublish", "main"));
    assert_exit(s, 2, fs(s, "publish", "main", "team-b"));
    fs_ok(s, "published");
    assert_string_equal(sys_out(s), "");
    fs_ok(s, "fsck");
#undef FROM
}

/* ---- edge ---- */
static void names_that_are_hard_to_write_go_through(void **state)
{
    struct sys *s = *state;
    char name[300];
    memset(name, 'n', 255);
    name[255] = 0;
    char path[320];
    snprintf(path, sizeof path, "/%s", name);
    put_text(s, path, "long");
    file_is(s, path, "long");
    memset(name, 'n', 256);
    name[256] = 0;
    snprintf(path, sizeof path, "/%s", name);
    s->input = cis_bytes_of("x", 1);
    assert_int_not_equal(fs(s, "put", "-", path), 0);
    assert_contains(sys_err(s), "File name too long");
    put_text(s, "/-", "dash");
    put_text(s, "/a\nb", "newline");
    put_text(s, "/\377\376", "bytes");
    fs_ok(s, "find", "/", "-0", "--type", "file");
    assert_int_equal(s->last.output.len, strlen("/-") + 1 + strlen("/a\nb") + 1 + 257 + 4);
    fs_ok(s, "get", "/\377\376", "-");
    assert_string_equal(sys_out(s), "bytes");
    fs_ok(s, "rm", "--", "/-");
}

static void paths_stay_in_the_tree_whatever_their_dots_and_links_say(void **state)
{
    struct sys *s = *state;
    fs_ok(s, "mkdir", "/etc");
    put_text(s, "/etc/passwd", "ours");
    fs_ok(s, "ln", "-s", "/../../../etc", "/out");
    file_is(s, "/out/passwd", "ours");
    file_is(s, "../../../../etc/passwd", "ours");
    fs_ok(s, "ln", "-s", "/loop", "/loop");
    assert_int_not_equal(fs(s, "cat", "/loop"), 0);
    assert_contains(sys_err(s), "/loop");
}

static void a_tar_that_leads_out_is_refused_and_leaves_nothing(void **state)
{
    struct sys *s = *state;
    put_text(s, "/a", "1");
    assert_exit(s, 0,
                shell(s, "mkdir x && printf evil > evil && printf ok > fine && "
                         "tar cf dots.tar -P fine ../$(basename $PWD)/evil && "
                         "ln -s /etc x/link && tar cf link.tar x && rm x/link && mkdir x/link && "
                         "printf evil > x/link/passwd && tar rf link.tar x/link/passwd"));
    char tar[4200];
    snprintf(tar, sizeof tar, "%s/dots.tar", s->home);
    assert_exit(s, 3, fs(s, "import", tar));
    assert_contains(sys_err(s), "leaves the folder");
    snprintf(tar, sizeof tar, "%s/link.tar", s->home);
    assert_exit(s, 3, fs(s, "import", tar));
    assert_contains(sys_err(s), "is not a folder");
    fs_ok(s, "ls");
    assert_string_equal(sys_out(s), "a\n");
    s->input = cis_bytes_of("this is not a tar at all, is it?", 32);
    assert_exit(s, 3, fs(s, "import", "-"));
    assert_contains(sys_err(s), "stdin: ");
    s->input = cis_bytes_of(NULL, 0);
    /* A name that the reader of archives takes no more of: the entry would come as what was cut. */
    assert_exit(s, 0,
                shell(s, "python3 -c \"import tarfile; t=tarfile.open('pax.tar','w',"
                         "format=tarfile.PAX_FORMAT); t.addfile(tarfile.TarInfo('n'*1100000)); "
                         "t.close()\""));
    snprintf(tar, sizeof tar, "%s/pax.tar", s->home);
    assert_exit(s, 3, fs(s, "import", tar));
    assert_contains(sys_err(s), "/pax.tar: ");
    fs_ok(s, "ls");
    assert_string_equal(sys_out(s), "a\n");
}

/* ---- denied ---- */
static void tenants_see_nothing_of_each_other(void **state)
{
    struct sys *s = *state;
    put_text(s, "/secret", "mine");
    fs_ok(s, "snapshot", "mine");
    assert_exit(s, 0, cis(s, "tenant", "create", "other", "--files", "3", "--bytes", "1KiB"));
    assert_exit(s, 3, fs(s, "cat", "/secret", "--tenant", "other"));
    assert_exit(s, 3, fs(s, "ls", "/", "--tenant", "other", "--at", "mine"));
    assert_exit(s, 0, cis(s, "tenant", "list"));
    assert_contains(sys_out(s), "other");
    assert_contains(sys_out(s), "default");
    assert_exit(s, 4, cis(s, "tenant", "delete", "other"));
    assert_contains(sys_err(s), "not confirmed");
    assert_exit(s, 0, cis(s, "tenant", "delete", "other", "--yes"));
    assert_exit(s, 3, cis(s, "tenant", "show", "other"));
    assert_contains(sys_err(s), "other");
    file_is(s, "/secret", "mine");
}

static void a_quota_that_is_reached_is_named_and_nothing_is_half_done(void **state)
{
    struct sys *s = *state;
    put_text(s, "/a", "1");
    assert_exit(s, 0,
                cis(s, "tenant", "quota", "--files", "3", "--bytes", "100", "--snapshots", "1"));
    fs_ok(s, "mkdir", "/d", "/e");
    assert_exit(s, 4, fs(s, "mkdir", "/f"));
    assert_contains(sys_err(s), "/f");
    char text[201];
    memset(text, 'x', 200);
    text[200] = 0;
    s->input = cis_bytes_of(text, 200);
    assert_exit(s, 4, fs(s, "put", "-", "/a"));
    assert_contains(sys_err(s), "/a");
    s->input = cis_bytes_of(NULL, 0);
    file_is(s, "/a", "1");
    char *large = strdup(sys_file(s, "large", text, 200)); /* which is not to blame */
    assert_exit(s, 4, fs(s, "put", large, "/a"));
    assert_contains(sys_err(s), "large: cannot write the copy: ");
    free(large);
    file_is(s, "/a", "1");
    fs_ok(s, "snapshot", "one");
    assert_exit(s, 4, fs(s, "snapshot", "two"));
    fs_ok(s, "quota", "--json");
    json_t *root = out_json(s);
    assert_int_equal(json_integer_value(json_object_get(root, "files")), 3);
    assert_int_equal(json_integer_value(json_object_get(root, "bytes_max")), 100);
    json_decref(root);
    fs_ok(s, "rm", "-r", "/d");
    fs_ok(s, "mkdir", "/f");
}

static void wrong_use_and_missing_things_name_the_object(void **state)
{
    struct sys *s = *state;
    fs_ok(s, "mkdir", "/d");
    put_text(s, "/d/a", "1");
    assert_exit(s, 2, fs(s, "rm", "/d"));
    assert_contains(sys_err(s), "/d: is a directory (give --recursive)");
    assert_exit(s, 3, fs(s, "rm", "/nosuch"));
    assert_contains(sys_err(s), "/nosuch");
    fs_ok(s, "rm", "-f", "/nosuch");
    assert_exit(s, 3, fs(s, "cat", "/d/a", "--at", "nosuch"));
    assert_contains(sys_err(s), "nosuch: no branch, snapshot or run of that name");
    assert_exit(s, 3, fs(s, "cat", "/d/a", "--branch", "nosuch"));
    assert_exit(s, 3, fs(s, "put", "/does/not/exist", "/x"));
    assert_contains(sys_err(s), "/does/not");
    assert_exit(s, 2, fs(s, "put", s->home, "/x"));
    assert_exit(s, 4, fs(s, "mkdir", "/d"));
    assert_contains(sys_err(s), "/d: File exists");
    assert_exit(s, 2, fs(s, "restore", "/d"));
    assert_contains(sys_err(s), "--from");
    assert_exit(s, 2, fs(s, "fork", "not a name"));
    assert_exit(s, 4, fs(s, "fork", "main"));
    assert_exit(s, 2, fs(s, "ls", "--at", "main", "--branch", "main"));
    assert_exit(s, 3, fs(s, "ls", "/nosuch", "--json"));
    assert_contains(sys_out(s), "\"error\":{\"code\":\"NOTFOUND\"");
}

static void several_paths_are_one_commit_or_none(void **state)
{
    struct sys *s = *state;
    put_text(s, "/a", "1");
    assert_exit(s, 3, fs(s, "rm", "/a", "/nosuch"));
    file_is(s, "/a", "1");
    assert_exit(s, 4, fs(s, "mkdir", "/x", "/a"));
    fs_ok(s, "ls");
    assert_string_equal(sys_out(s), "a\n");
}

/* ---- broken ---- */
static void ctrl_c_discards_what_was_not_committed(void **state)
{
    struct sys *s = *state;
    put_text(s, "/a", "1");
    char line[8192], program[4200];
    snprintf(program, sizeof program, "%s", CIS_PROGRAM);
    /* stdin stays open and gives nothing more: the command waits in the middle of a file. */
    snprintf(line, sizeof line,
             "cd %s; mkfifo in; exec 3<>in; printf half >&3; %s fs put - /half <&3 & p=$!; "
             /* the thread that takes signals is there */
             "until grep -q 'Threads:.[2-9]' /proc/$p/status; do sleep 0.01; done; "
             "kill -TERM $p; wait $p; echo exit $?",
             s->home, program);
    assert_exit(s, 0, sys_exec(s, (const char *const[]){"/bin/sh", "-c", line, NULL}));
    assert_contains(sys_out(s), "exit 130");
    fs_ok(s, "ls");
    assert_string_equal(sys_out(s), "a\n");
    fs_ok(s, "fsck", "--data");
}

static void a_killed_copy_leaves_the_state_before_it(void **state)
{
    struct sys *s = *state;
    unsigned seed = test_seed();
    put_text(s, "/a", "1");
    assert_exit(s, 0,
                shell(s, "mkdir in && cd in && for i in $(seq 1 300); do head -c 20000 "
                         "/dev/urandom > f$i; done"));
    for (int i = 0; i < 6; i++) {
        char line[16384];
        snprintf(line, sizeof line,
                 "%s fs put -r %s/in / & p=$!; sleep 0.%03d; kill -9 $p 2>/dev/null; wait $p; true",
                 CIS_PROGRAM, s->home, (int)(rand_r(&seed) % 300));
        sys_exec(s, (const char *const[]){"/bin/sh", "-c", line, NULL});
        fs_ok(s, "ls");
        bool whole = strcmp(sys_out(s), "a\nin/\n") == 0;
        if (!whole) {
            assert_string_equal(sys_out(s), "a\n");
        } else {
            fs_ok(s, "find", "/in", "--type", "file", "--json");
            json_t *root = out_json(s);
            assert_int_equal(json_array_size(json_object_get(root, "entries")), 300);
            json_decref(root);
            fs_ok(s, "rm", "-r", "/in");
        }
    }
    fs_ok(s, "fsck", "--data");
}

static void sixty_four_commands_at_once_all_commit(void **state)
{
    struct sys *s = *state;
    char line[8192];
    fs_ok(s, "mkdir", "/d");
    snprintf(line, sizeof line,
             "for i in $(seq 1 64); do (printf $i | %s fs put - /d/f$i || echo failed $i >&2) & "
             "done; wait",
             CIS_PROGRAM);
    assert_exit(s, 0, sys_exec(s, (const char *const[]){"/bin/sh", "-c", line, NULL}));
    assert_string_equal(sys_err(s), "");
    fs_ok(s, "ls", "/d", "--json");
    json_t *root = out_json(s);
    assert_int_equal(json_array_size(json_object_get(root, "entries")), 64);
    json_decref(root);
    fs_ok(s, "fsck");
}

/* ---- files of the host ---- */

static void an_export_that_is_cancelled_leaves_the_earlier_one(void **state)
{
    struct sys *s = *state;
    char big[4200], tar[4200], out[4200];
    assert_exit(s, 0, shell(s, "head -c 60000000 /dev/urandom > big"));
    snprintf(big, sizeof big, "%s/big", s->home);
    snprintf(tar, sizeof tar, "%s/t.tar", s->home);
    snprintf(out, sizeof out, "%s/out", s->home);
    fs_ok(s, "put", big, "/big");
    assert_exit(s, 0, shell(s, "printf earlier > t.tar && printf earlier > out && chmod 640 out"));
    /* A limit of the size of files ends both half-way. */
    assert_exit(s, 0,
                shell(s, "sh -c \"trap '' XFSZ; ulimit -f 2000; " CIS_PROGRAM
                         " fs export t.tar\"; test $? -ne 0 && sh -c \"trap '' XFSZ; ulimit -f "
                         "2000; " CIS_PROGRAM " fs get /big out\"; test $? -ne 0 && cat t.tar out "
                         "&& ls -A | grep -c 'tmp-\\|cis-copy'; true"));
    assert_string_equal(sys_out(s), "earlierearlier0\n");
    fs_ok(s, "export", tar);
    fs_ok(s, "get", "/big", out);
    assert_exit(s, 0, shell(s, "tar xOf t.tar ./big | cmp - big && cmp out big"));
}

static void an_export_that_a_signal_ends_leaves_the_earlier_one(void **state)
{
    struct sys *s = *state;
    char big[4200];
    assert_exit(s, 0, shell(s, "head -c 60000000 /dev/urandom > big && printf earlier > t.tar"));
    snprintf(big, sizeof big, "%s/big", s->home);
    fs_ok(s, "put", big, "/big");
    /* Held as soon as it has begun to write; a slow test may come too late, and tries again. */
    assert_exit(s, 0,
                shell(s, "code=0; for n in 1 2 3 4 5 6 7 8 9 10; do printf earlier > t.tar; "
                         "" CIS_PROGRAM " fs export t.tar 2>/dev/null & p=$!; "
                         "until test -e t.tar.tmp-* || ! kill -0 $p; do :; done 2>/dev/null; "
                         "kill -STOP $p && kill -INT $p && kill -CONT $p; wait $p; code=$?; "
                         "test $code = 0 || break; done; echo $code; cat t.tar; "
                         "ls -A | grep -c 'tmp-'; true"));
    assert_string_equal(sys_out(s), "130\nearlier0\n");
}

/* ---- what has few bytes and many blocks ---- */

#define SPREAD 1000
#define SPREAD_MAX 10000 /* blocks of 512 bytes that as many pages of 4 KiB take, and some */

static off_t blocks_of(const struct sys *s, const char *name)
{
    char path[4200];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", s->home, name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_blocks;
}

/* One byte in each second block of the store, and one in each block. */
static void bytes_far_apart_take_pages_of_the_host_and_not_blocks(void **state)
{
    struct sys *s = *state;
    char in[4200], out[4200], tar[4200];
    snprintf(in, sizeof in, "%s/in", s->home);
    snprintf(out, sizeof out, "%s/out", s->home);
    snprintf(tar, sizeof tar, "%s/t.tar", s->home);
    assert_exit(s, 0, shell(s, "mkdir in"));
    for (int k = 1; k <= 2; k++) {
        char path[4300];
        snprintf(path, sizeof path, "%s/%d", in, k);
        int fd = open(path, O_WRONLY | O_CREAT, 0644);
        for (int i = 0; i < SPREAD; i++) {
            assert_int_equal(pwrite(fd, "x", 1, (off_t)i * k * 65536 + 7), 1);
        }
        assert_int_equal(close(fd), 0);
    }
    fs_ok(s, "put", "-r", in, "/");
    fs_ok(s, "get", "-r", "/in", out);
    fs_ok(s, "export", tar);
    assert_exit(s, 0,
                shell(s, "mkdir x && tar xf t.tar -C x && diff -r in out && diff -r in x/in"));
    static const char *const names[] = {"out/1", "out/2", "x/in/1", "x/in/2"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_in_range(blocks_of(s, names[i]), SPREAD, SPREAD_MAX);
    }
    assert_in_range(blocks_of(s, "t.tar"), SPREAD, 2 * SPREAD_MAX);
    fs_ok(s, "fork", "again", "--switch");
    fs_ok(s, "import", tar);
    fs_ok(s, "diff", "main");
    assert_string_equal(sys_out(s), "");
}

#ifdef FS_POSTGRES
#define MANY "10005" /* as many rows in each commit, by way of a server */
#else
#define MANY "100005"
#endif

/* A tar of 400 MB, which goes through a pipe alone. */
static void a_tar_has_every_part_of_a_file_with_very_many(void **state)
{
    struct sys *s = *state;
    put_text(s, "/f", "");
    fs_ok(s, "fork", "other");
    assert_exit(s, 0, cis(s, "run", "-w", TOOL, "spread", "/workspace/f", MANY, "131072"));
    assert_exit(s, 0,
                shell(s, CIS_PROGRAM " fs export --branch main - | " CIS_PROGRAM
                                     " fs import --branch other -"));
    fs_ok(s, "diff", "main", "other");
    assert_string_equal(sys_out(s), "");
}

/* Neither the length of a hole nor its place costs anything. */
static void a_hole_of_2_62_bytes_is_exported_at_once(void **state)
{
    struct sys *s = *state;
    char tar[4200];
    snprintf(tar, sizeof tar, "%s/t.tar", s->home);
    assert_exit(s, 0,
                cis(s, "run", "-w", TOOL, "truncate", "/workspace/empty", "4611686018427387904",
                    ",", "spread", "/workspace/ends", "2", "2305843009213693952"));
    uint64_t before = sys_processor_ms();
    fs_ok(s, "export", tar);
    assert_in_range(blocks_of(s, "t.tar"), 1, 100);
    fs_ok(s, "fork", "again", "--switch");
    fs_ok(s, "rm", "/empty", "/ends");
    fs_ok(s, "import", tar);
    fs_ok(s, "diff", "main");
    assert_string_equal(sys_out(s), "");
    assert_in_range(sys_processor_ms() - before, 0, MEASURED ? 5000 : 50000);
}

/* A name is a part of one line, in a pipe too; --null gives its bytes. */
static void a_name_with_a_line_break_forges_no_line(void **state)
{
    struct sys *s = *state;
    static const char name[] = "a\nD gone  9\x1b[2J";
    static const char shown[] = "\"a\\nD gone  9\\033[2J\"";
    char in[4400], line[300];
    snprintf(in, sizeof in, "%s/in", s->home);
    sys_file(s, "in", "text\n", 5);
    char path[64];
    snprintf(path, sizeof path, "/d/%s", name);
    fs_ok(s, "mkdir", "/d");
    fs_ok(s, "put", in, path);
    fs_ok(s, "ln", "-s", name, "/d/link");
    fs_ok(s, "ls", "/d");
    snprintf(line, sizeof line, "%s\nlink\n", shown);
    assert_string_equal(sys_out(s), line);
    fs_ok(s, "ls", "-z", "/d");
    assert_int_equal(s->last.output.len, sizeof name + sizeof "link");
    assert_memory_equal(sys_out(s), name, sizeof name);
    fs_ok(s, "ls", "-l", "/d");
    snprintf(line, sizeof line, "link -> %s\n", shown);
    assert_contains(sys_out(s), line);
    fs_ok(s, "find", "/d");
    assert_contains(sys_out(s), "\n\"/d/a\\nD gone  9\\033[2J\"\n");
    fs_ok(s, "find", "/d", "--print0");
    assert_non_null(memmem(sys_out(s), s->last.output.len, path, strlen(path) + 1));
    fs_ok(s, "du", path);
    assert_contains(sys_out(s), "  \"/d/a\\nD gone  9\\033[2J\"\n");
    fs_ok(s, "tree", "/d");
    assert_contains(sys_out(s), shown);
    fs_ok(s, "stat", path);
    assert_contains(sys_out(s), "path:   \"/d/a\\nD gone  9\\033[2J\"\n");
    fs_ok(s, "diff", "main@1", "main");
    assert_contains(sys_out(s), "A \"d/a\\nD gone  9\\033[2J\"  5\n");
    fs_ok(s, "diff", "main@1", "main", "--text");
    assert_contains(sys_out(s), "+++ \"b/d/a\\nD gone  9\\033[2J\"\n");
    fs_ok(s, "diff", "main@1", "main", "--null");
    snprintf(line, sizeof line, "A%cd/%s", 0, name);
    assert_memory_equal(sys_out(s), line, 2 + 2 + sizeof name);
    fs_ok(s, "mv", path, "/d/plain");
    fs_ok(s, "log");
    assert_null(strstr(sys_out(s), "\nD gone"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tree_goes_in_and_comes_out_the_same),
        TEST(listing_shows_names_kinds_and_sizes),
        TEST(a_name_with_a_line_break_forges_no_line),
        TEST(names_are_changed_in_one_commit_each),
        TEST(snapshots_rollback_undo_and_restore_bring_back_what_was),
        TEST(a_branch_comes_back_to_where_it_was_by_its_reflog),
        TEST(undo_goes_back_redo_comes_forward_and_both_say_what),
        TEST(an_undo_that_is_done_says_so_whatever_can_be_shown_of_it),
        TEST(a_listing_that_fails_half_way_is_one_json_value),
        TEST(a_diff_tells_where_symlinks_lead),
        TEST(branches_are_forked_switched_merged_and_dropped),
        TEST(a_tar_round_trip_keeps_links_holes_times_and_owners),
        TEST(a_tar_of_a_file_without_holes_lists_no_parts),
        TEST(owners_and_devices_that_cannot_be_are_refused),
        TEST(an_export_that_is_cancelled_leaves_the_earlier_one),
        TEST(an_export_that_a_signal_ends_leaves_the_earlier_one),
        TEST(bytes_far_apart_take_pages_of_the_host_and_not_blocks),
        TEST(a_tar_has_every_part_of_a_file_with_very_many),
        TEST(a_hole_of_2_62_bytes_is_exported_at_once),
        TEST(a_branch_goes_to_another_store_and_only_what_is_missing_travels),
        TEST(one_damaged_file_does_not_keep_the_others),
        TEST(one_unreadable_file_does_not_keep_the_others),
        TEST(a_store_that_nobody_wrote_to_answers_as_an_empty_one),
        TEST(a_branch_is_published_to_tenants_and_taken_back),
        TEST(a_device_a_pipe_and_a_symlink_stay_what_they_are),
        TEST(however_many_tenants_are_named_the_last_one_loses_the_branch_too),
        TEST(names_that_are_hard_to_write_go_through),
        TEST(paths_stay_in_the_tree_whatever_their_dots_and_links_say),
        TEST(a_tar_that_leads_out_is_refused_and_leaves_nothing),
        TEST(tenants_see_nothing_of_each_other),
        TEST(a_quota_that_is_reached_is_named_and_nothing_is_half_done),
        TEST(wrong_use_and_missing_things_name_the_object),
        TEST(several_paths_are_one_commit_or_none),
        TEST(ctrl_c_discards_what_was_not_committed),
        TEST(a_killed_copy_leaves_the_state_before_it),
        TEST(sixty_four_commands_at_once_all_commit),
    };
    return STORED_MAIN("fs", tests);
}
