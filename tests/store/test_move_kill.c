/* SIGKILL while gc moves contents of small commits out of their rows into the chunk file, at the
 * nth statement or in the middle of the nth write. A child removes what is not named any more and
 * moves what is; it is killed, and what it left is looked at: every content is what it was, in one
 * place of the two, and the next child goes on where it was. Argument: kills (default 30). */
#include "harness.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"
#include "store/sqlite/integrity/pagesum.h"
#include "store/sqlite/sqlite.h"
#include "contract.h"
#include "shim_vfs.h"
#include "statements.h"
#include "tree.h"
#include "store/calls.h"

#define NEW 5     /* contents a round brings in commits */
#define LOOSE 2   /* and beside them, for removal */
#define KEPT 4000 /* of all rounds */
#define ROUNDS_PER_STORE 12

static int kills = 30;

struct content {
    uint64_t id;
    size_t len;
    uint32_t seed;
    bool loose; /* may be gone */
};

struct world {
    char *dir, db[512];
    struct content all[KEPT];
    size_t n;
    uint32_t seed;
};

static void fill(uint32_t seed, uint8_t *out, size_t len)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(x >> 56);
    }
}

static cis_store *open_store(const struct world *w)
{
    cis_store *s = NULL;
    assert_ok(cis_store_sqlite_open(w->dir, &s, err));
    return s;
}

static int64_t number(const struct world *w, const char *text)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_open_v2(w->db, &db, SQLITE_OPEN_READWRITE, CIS_SQL_VFS), SQLITE_OK);
    assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

/* ---- what there is to move ---- */

static void note(struct world *w, const char *newest, uint32_t seed, size_t len, bool loose)
{
    assert_true(w->n < KEPT);
    w->all[w->n++] = (struct content){(uint64_t)number(w, newest), len, seed, loose};
}

static void put_one(struct world *w, cis_store *s, bool loose)
{
    static uint8_t data[CIS_FS_BLOCK];
    uint32_t seed = w->seed++;
    size_t len = 2500 + seed * 7919 % 50000;
    fill(seed, data, len);
    struct packed p = packed_new(s, data, len);
    if (loose) {
        uint64_t id = 0;
        assert_ok(cis_store_chunk_put(s, T, &(struct cis_fs_put_request){&p.chunk, 1, false}, &id,
                                      NULL, err));
    } else {
        struct tree *t = tree_new(s, "");
        char name[16];
        snprintf(name, sizeof name, "f%u", (unsigned)seed);
        uint64_t ino = tree_file(t, CIS_FS_ROOT, name, "");
        tree_size(t, ino, len);
        tree_extent(t, ino, 0, 0, 0);
        t->chunks[0] = p.chunk;
        t->fs.chunks = t->chunks;
        t->fs.nchunks = 1;
        (void)tree_commit(t);
    }
    free(p.bytes);
    note(w, "SELECT max(id) FROM chunk", seed, len, loose);
}

static void bring(struct world *w)
{
    cis_store *s = open_store(w);
    for (int i = 0; i < NEW + LOOSE; i++) {
        put_one(w, s, i >= NEW);
    }
    cis_store_close(s);
}

/* ---- the child ---- */

struct told {
    long statements, writes, commits;
};

static void work(const struct world *w, struct told at, int fd)
{
    uint64_t loose[KEPT], removed = 0;
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (w->all[i].loose) {
            loose[n++] = w->all[i].id;
        }
    }
    shim_register();
    if (!statements_kill(at.statements, at.commits)) {
        _exit(1);
    }
    shim_kill(at.writes);
    cis_store *s = NULL;
    struct cis_error err = {0};
    cis_code code = cis_store_sqlite_open(w->dir, &s, &err);
    if (code == CIS_OK) {
        code = cis_store_chunk_remove(
            s, T, &(struct cis_fs_remove_request){loose, n, cis_clock_wall_ms() + 1000}, &removed,
            NULL, &err);
    }
    struct told told = {statements, shim_count(), commits};
    if (code != CIS_OK || write(fd, &told, sizeof told) != sizeof told) {
        fprintf(stderr, "moving: %s\n", err.msg);
        _exit(1);
    }
    cis_store_close(s);
    _exit(0);
}

/* Killed at one of these, -1: not. */
static bool child(const struct world *w, struct told at, struct told *out_told)
{
    int fds[2], status = 0;
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        work(w, at, fds[1]);
    }
    close(fds[1]);
    (void)!read(fds[0], out_told, sizeof *out_told);
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    assert_true(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return killed;
}

/* ---- what it left ---- */

/* Forgets loose ones that are gone. Returns how many contents are still rows. */
static int64_t audit(struct world *w)
{
    static uint8_t want[CIS_FS_BLOCK], got[CIS_FS_BLOCK];
    cis_store *s = open_store(w);
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(65536);
    assert_ok(cis_store_check(s, T, &faults, NULL, err));
    assert_string_equal(cis_buf_cstr(&faults), "");
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        const struct content *c = &w->all[i];
        struct cis_fs_read read = {c->id, 0, (uint32_t)c->len, got, CIS_OK};
        assert_ok(cis_store_chunk_read(s, T, &read, 1, NULL, err));
        if (read.code != CIS_OK && c->loose) {
            continue;
        }
        assert_int_equal(read.code, CIS_OK);
        fill(c->seed, want, c->len);
        assert_memory_equal(got, want, c->len);
        w->all[n++] = *c;
    }
    w->n = n;
    cis_store_close(s);
    /* In a row or at a place, never both, never neither. */
    assert_int_equal(number(w, "SELECT count(*) FROM chunk c WHERE (place >= 0) = "
                               "(SELECT count(*) FROM payload p WHERE p.id = c.id)"),
                     0);
    assert_int_equal(number(w, "SELECT count(*) FROM chunk"), (int64_t)w->n);
    return number(w, "SELECT count(*) FROM payload");
}

static void begin(struct world *w)
{
    assert_ok(cis_file_remove_tree(w->dir, err));
    assert_int_equal(mkdir(w->dir, 0700), 0);
    w->n = 0;
    cis_store *s = open_store(w);
    assert_ok(cis_store_tenant_create(s, T, 0, 0, NULL, err));
    cis_store_close(s);
    bring(w);
}

static void wherever_a_mover_dies_every_content_is_in_one_place(void **state)
{
    (void)state;
    static struct world world, *w = &world;
    unsigned seed = test_seed();
    struct told told = {0, 0, 0};
    w->dir = test_dir_new();
    snprintf(w->db, sizeof w->db, "%s/tenants/default.db", w->dir);
    begin(w);
    assert_int_equal(number(w, "SELECT count(*) FROM payload"), NEW);
    assert_false(child(w, (struct told){-1, -1, -1}, &told));
    assert_int_equal(audit(w), 0); /* all moved, all loose ones gone */
    assert_int_equal(w->n, NEW);
    assert_true(told.statements > 10 && told.writes > 5 && told.commits >= 2);
    int died = 0, moved = 0, left = 0;
    int64_t before = 0;
    for (int round = 0; died < kills && round < 4 * kills; round++) {
        struct told at = {-1, -1, -1}, ignored;
        long *const ways[3] = {&at.statements, &at.writes, &at.commits};
        const long ends[3] = {told.statements, told.writes, told.commits};
        if (round % ROUNDS_PER_STORE == 0) {
            before = 0;
            begin(w);
        } else {
            bring(w);
        }
        /* Now and then behind the last commit, the one that moves. */
        *ways[round % 3] = round % 6 == 2 ? told.commits - 1 : rand_r(&seed) % ends[round % 3];
        bool killed = child(w, at, &ignored);
        int64_t rows = audit(w);
        assert_true(rows == 0 || rows == before + NEW); /* whole or not at all */
        assert_true(killed || rows == 0);
        before = rows;
        died += killed;
        moved += killed && rows == 0;
        left += killed && rows != 0;
    }
    assert_false(child(w, (struct told){-1, -1, -1}, &told)); /* whoever comes next ends it */
    assert_int_equal(audit(w), 0);
    print_message("%d kills: %d left rows, %d had moved them\n", died, left, moved);
    assert_int_equal(died, kills);
    assert_true(left > 0 && moved > 0);
    assert_ok(cis_file_remove_tree(w->dir, err));
    free(w->dir);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        kills = (int)strtol(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wherever_a_mover_dies_every_content_is_in_one_place),
    };
    return cmocka_run_group_tests_name("move kill", tests, NULL, NULL);
}
