/* A PostgreSQL server that ends without warning, again and again: what was stored ahead of a commit
 * is there afterwards, numbers are not given twice, and whoever writes and reads files through it
 * is told nothing but success. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "store/postgres/postgres.h"
#include "tools/pgcluster.h"
#include "contract.h"
#include "tree.h"
#include "waits.h"
#include "vfs/layered/layered.h"
#include "store/calls.h"

static struct pgcluster *cluster;
static int rounds = 3;

/* What a transaction that does not wait for the disk wrote stays in the server's memory. */
static const char settings[] = "wal_writer_delay = 10s\nwal_writer_flush_after = 0\n"
                               "bgwriter_delay = 10s\ncheckpoint_timeout = 1h\n";

struct fixture {
    char *url;
    cis_store *s;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->url = pgcluster_store(cluster);
    assert_ok(cis_store_postgres_open(f->url, NULL, &f->s, NULL, err));
    assert_ok(cis_store_tenant_create(f->s, T, 0, 0, NULL, err));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cis_store_close(f->s);
    pgcluster_drop(cluster, f->url);
    free(f);
    return 0;
}

static void crash(void)
{
    pgcluster_kill(cluster);
    pgcluster_again(cluster);
}

/* ---- coming up ---- */
static int up_at_question; /* the server is started when a client asks whether it is there */

PGPing __real_PQpingParams(const char *const *keys, const char *const *values, int expand);
PGPing __wrap_PQpingParams(const char *const *keys, const char *const *values, int expand);
PGPing __wrap_PQpingParams(const char *const *keys, const char *const *values, int expand)
{
    if (up_at_question > 0 && --up_at_question == 0) {
        pgcluster_again(cluster);
    }
    return __real_PQpingParams(keys, values, expand);
}

/* A command is refused, and the server is there when it asks why. */
static void a_server_that_comes_up_after_a_refusal_is_waited_for(void **state)
{
    struct fixture *f = *state;
    for (int question = 1; question <= 2; question++) {
        cis_store *s = NULL;
        struct cis_tenant got;
        pgcluster_kill(cluster);
        up_at_question = question;
        assert_ok(cis_store_postgres_open(f->url, NULL, &s, NULL, err));
        assert_int_equal(up_at_question, 0);
        assert_ok(cis_store_tenant_get(s, T, &got, NULL, err));
        cis_store_close(s);
    }
}

/* ---- what is stored ahead of a commit ---- */
static void what_is_stored_ahead_of_a_commit_survives_a_killed_server(void **state)
{
    struct fixture *f = *state;
    uint64_t old[2];
    for (size_t i = 0; i < 2; i++) {
        char text[5000];
        memset(text, 'a' + (int)i, sizeof text);
        uint64_t id = packed_put(f->s, text, sizeof text);
        crash();
        bool lost = true;
        assert_ok(cis_store_chunk_touch(f->s, T, &id, 1, &lost, NULL, err));
        assert_false(lost);
        for (size_t k = 0; k < i; k++) { /* or a commit would name other content */
            assert_int_not_equal(id, old[k]);
        }
        old[i] = id;
    }
}

static void a_pins_number_is_not_given_again_after_a_crash(void **state)
{
    struct fixture *f = *state;
    cis_store *other = NULL;
    uint64_t mine = 0, theirs = 0;
    struct cis_view head = tree_head(f->s, "main");
    assert_ok(cis_store_postgres_open(f->url, NULL, &other, NULL, err));
    for (int i = 0; i < 2; i++) {
        assert_ok(cis_store_pin(f->s, T,
                                &(struct cis_fs_pin_request){head, 0, CIS_FS_PIN_HELD | 60000},
                                &mine, NULL, err));
        crash();
        assert_ok(cis_store_pin(other, T, &(struct cis_fs_pin_request){head, 0, 60000}, &theirs,
                                NULL, err));
        assert_int_not_equal(mine, theirs);
        assert_ok(cis_store_pin(f->s, T,
                                &(struct cis_fs_pin_request){head, mine, CIS_FS_PIN_HELD | 60000},
                                &mine, NULL, err));
    }
    cis_store_close(other);
}

/* ---- reads that are cut off ---- */
static PGconn *admin_of(const struct fixture *f)
{
    const char *db = strstr(f->url, "@/") + 2;
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(db, "?"), db);
    return pgcluster_connect(cluster, "postgres", name);
}

struct cut {
    PGconn *admin;
    bool done;
    cis_store *remakes; /* NULL: nobody; else the tenant is deleted and made anew, of one file */
    size_t n;
    uint64_t last;
};

/* In the middle of what is read: its connection ends. */
static void cut_now(struct cut *c)
{
    if (!c->done) {
        PGresult *res = PQexec(c->admin, "SELECT count(pg_terminate_backend(pid, 20000)) FROM "
                                         "pg_stat_activity WHERE usename = 'worker' AND "
                                         "datname = current_database()");
        assert_int_equal(PQresultStatus(res), PGRES_TUPLES_OK);
        assert_true(strtol(PQgetvalue(res, 0, 0), NULL, 10) >= 1);
        PQclear(res);
        c->done = true;
        if (c->remakes != NULL) {
            assert_ok(cis_store_tenant_delete(c->remakes, T, NULL, err));
            assert_ok(cis_store_tenant_create(c->remakes, T, 0, 0, NULL, err));
        }
    }
}

static bool cut_root(void *self, const struct cis_fs_inode *inode)
{
    struct cut *c = self;
    cut_now(c);
    assert_int_equal(inode->ino, CIS_FS_ROOT);
    c->n++;
    return true;
}

static bool cut_any(void *self, const struct cis_fs_dirent *d, const struct cis_fs_inode *inode)
{
    (void)d;
    (void)inode;
    cut_now(self);
    ((struct cut *)self)->n++;
    return true;
}

static bool cut_extent(void *self, const struct cis_fs_extent *x)
{
    struct cut *c = self;
    cut_now(c);
    assert_int_equal(x->block, c->n); /* each once, in order */
    c->n++;
    return true;
}

static bool cut_entry(void *self, const struct cis_fs_dirent *d, const struct cis_fs_inode *inode)
{
    struct cut *c = self;
    char expected[16];
    snprintf(expected, sizeof expected, "f%05zu", c->n);
    cut_now(c);
    if (!cis_str_is(d->name, expected)) {
        fail_msg(CIS_STR_FMT " comes after %zu names", CIS_STR_ARG(d->name), c->n);
    }
    assert_int_equal(inode->ino, d->ino);
    c->n++;
    return true;
}

static bool cut_inode(void *self, const struct cis_fs_inode *inode)
{
    struct cut *c = self;
    cut_now(c);
    assert_true(inode->ino > c->last);
    c->last = inode->ino;
    c->n++;
    return true;
}

static bool cut_commit(void *self, const struct cis_fs_commit_row *row)
{
    struct cut *c = self;
    cut_now(c);
    assert_int_equal(row->epoch, c->n + 1);
    c->n++;
    return true;
}

#define NAMES 4608u /* more than one page */

static void a_read_goes_on_where_its_connection_was_lost(void **state)
{
    struct fixture *f = *state;
    struct cut c = {.admin = admin_of(f)};
    static uint64_t inos[NAMES];
    size_t n = 0;
    uint64_t big = 0, chunk = packed_put(f->s, "content", 7);
    while (n < NAMES) {
        struct tree *t = tree_new(f->s, "main");
        static char names[256][16];
        for (size_t i = 0; i < 256; i++, n++) {
            snprintf(names[i], sizeof names[i], "f%05zu", n);
            inos[n] = tree_file(t, CIS_FS_ROOT, names[i], "text");
        }
        if (n == NAMES) {
            big = inos[n - 1];
            tree_size(t, big, 3 * CIS_FS_BLOCK);
            for (uint64_t b = 0; b < 3; b++) {
                tree_extent(t, big, b, chunk, -1);
            }
        }
        (void)tree_commit(t);
    }
    struct cis_view at = tree_head(f->s, "main");
    assert_ok(cis_store_extents(f->s, T, &(struct cis_fs_extent_query){at, big, 0, 64}, cut_extent,
                                &c, NULL, err));
    assert_int_equal(c.n, 3);
    c = (struct cut){.admin = c.admin};
    assert_ok(cis_store_list(
        f->s, T,
        &(struct cis_fs_list_query){at, CIS_FS_ROOT, (struct cis_str){NULL, 0}, 8192, true},
        cut_entry, &c, NULL, err));
    assert_int_equal(c.n, NAMES);
    c = (struct cut){.admin = c.admin};
    assert_ok(cis_store_inodes(f->s, T, &(struct cis_fs_inode_query){at, inos, NAMES}, cut_inode,
                               &c, NULL, err));
    assert_int_equal(c.n, NAMES);
    c = (struct cut){.admin = c.admin};
    assert_ok(cis_store_commits(
        f->s, T, &(struct cis_fs_log_query){.branch = at.branch, .upto = at.epoch, .keys = true},
        cut_commit, &c, NULL, err));
    assert_int_equal(c.n, at.epoch);
    PQfinish(c.admin);
}

/* Of a tenant that was deleted meanwhile nothing is told any more, nor of one that has its name. */
static void a_read_does_not_go_on_in_another_tenant_of_the_name(void **state)
{
    struct fixture *f = *state;
    struct cut c = {.admin = admin_of(f)};
    static char names[NAMES][16];
    assert_ok(cis_store_postgres_open(f->url, NULL, &c.remakes, NULL, err));
    for (size_t n = 0; n < NAMES;) {
        struct tree *t = tree_new(f->s, "main");
        for (size_t i = 0; i < 256; i++, n++) {
            snprintf(names[n], sizeof names[n], "f%05zu", n);
            tree_file(t, CIS_FS_ROOT, names[n], "text");
        }
        (void)tree_commit(t);
    }
    struct cis_view at = tree_head(f->s, "main");
    assert_fails(CIS_E_EXPIRED, "was deleted while it was read",
                 cis_store_list(f->s, T,
                                &(struct cis_fs_list_query){at, CIS_FS_ROOT,
                                                            (struct cis_str){NULL, 0}, 8192, true},
                                cut_any, &c, NULL, err));
    assert_in_range(c.n, 1, NAMES - 1);
    c = (struct cut){.admin = c.admin, .remakes = c.remakes};
    at = tree_head(f->s, "main"); /* the root is there in both of them: it was told once */
    static uint64_t inos[NAMES];
    for (size_t i = 0; i < NAMES; i++) {
        inos[i] = CIS_FS_ROOT;
    }
    cis_code code = cis_store_inodes(f->s, T, &(struct cis_fs_inode_query){at, inos, NAMES},
                                     cut_root, &c, NULL, NULL);
    assert_int_equal(code, CIS_E_EXPIRED);
    cis_store_close(c.remakes);
    PQfinish(c.admin);
}

/* ---- files, while the server comes and goes ---- */
#define WRITERS 3
#define FILE_BYTES (700u << 10)

struct writer {
    struct fixture *f;
    pthread_t thread;
    atomic_bool *stop;
    atomic_int *done; /* by all */
    int id;
    char failed[400];
};

static uint8_t byte_at(int id, int n, size_t i)
{
    uint32_t x = (uint32_t)(i / 8) * 2654435761u + (uint32_t)(id * 7919 + n * 104729);
    return (uint8_t)((x ^ x >> 15) * 2246822519u >> 11);
}

static bool fails(struct writer *w, const char *what, int no, const struct cis_error *why)
{
    if (no == 0 || w->failed[0] != 0) {
        return w->failed[0] != 0;
    }
    snprintf(w->failed, sizeof w->failed, "writer %d: %s: %s (%s)", w->id, what, strerror(no),
             why->msg);
    return true;
}

static int put_file(struct writer *w, cis_vfs *vfs, const char *name, int n, uint8_t *room)
{
    struct cis_error why = {0};
    struct cis_vfs_call call = {.err = &why};
    cis_vfs_file *file = NULL;
    uint64_t node;
    struct cis_vfs_attr attr;
    int no = cis_vfs_create(
        vfs, &call, &(struct cis_vfs_create_request){CIS_FS_ROOT, cis_str_of(name), 0644, O_RDWR},
        &file, &node, &attr);
    for (size_t i = 0; i < FILE_BYTES; i++) {
        room[i] = byte_at(w->id, n, i);
    }
    for (size_t at = 0; no == 0 && at < FILE_BYTES;) {
        struct iovec iov = {room + at, FILE_BYTES - at < 60000 ? FILE_BYTES - at : 60000};
        size_t wrote = 0;
        uint64_t end;
        no = cis_vfs_write(file, &call, &iov, 1, at, &wrote, &end);
        at += wrote;
    }
    (void)fails(w, "writing", no, &why);
    /* A part of a block that was stored already. */
    uint8_t byte = 7;
    struct iovec iov = {&byte, 1};
    size_t wrote = 0;
    uint64_t end;
    no = no != 0 ? no : cis_vfs_write(file, &call, &iov, 1, 100000, &wrote, &end);
    no = no != 0 ? no : cis_vfs_sync(file, &call, false);
    (void)fails(w, "fsync", no, &why);
    if (file != NULL) {
        cis_vfs_release(file);
        cis_vfs_forget(vfs, node, 1);
    }
    return no;
}

static int check_file(struct writer *w, cis_vfs *vfs, const char *name, int n, uint8_t *room)
{
    struct cis_error why = {0};
    struct cis_vfs_call call = {.err = &why};
    cis_vfs_file *file = NULL;
    uint64_t node;
    struct cis_vfs_attr attr;
    int no = cis_vfs_lookup(vfs, &call, CIS_FS_ROOT, cis_str_of(name), &node, &attr);
    no = no != 0 ? no : cis_vfs_open(vfs, &call, node, O_RDONLY, &file);
    size_t got = 0;
    struct iovec iov = {room, FILE_BYTES};
    no = no != 0 ? no : cis_vfs_read(file, &call, &iov, 1, 0, &got);
    if (no == 0 && got != FILE_BYTES) {
        no = ENODATA;
    }
    for (size_t i = 0; no == 0 && i < got; i++) {
        no = room[i] == (i == 100000 ? 7 : byte_at(w->id, n, i)) ? 0 : EILSEQ;
    }
    (void)fails(w, "reading", no, &why);
    if (file != NULL) {
        cis_vfs_release(file);
        cis_vfs_forget(vfs, node, 1);
    }
    return no;
}

/* A branch each, little memory: nearly all of a file is stored ahead of its commit. */
static void *write_files(void *arg)
{
    struct writer *w = arg;
    struct cis_store_postgres_options po = CIS_STORE_POSTGRES_OPTIONS_INIT;
    struct cis_fs_cache_options fo = CIS_FS_CACHE_OPTIONS_INIT;
    struct cis_layered_options lo = CIS_LAYERED_OPTIONS_INIT;
    cis_store *s = NULL;
    cis_fs_cache *fs_cache = NULL;
    cis_vfs *vfs = NULL;
    char ref[16], name[32];
    uint8_t *room = malloc(FILE_BYTES);
    snprintf(ref, sizeof ref, "w%d", w->id);
    po.connect_ms = 30000;
    fo.chunk_bytes = 1 << 20;
    lo.tenant = T;
    lo.ref = cis_str_of(ref);
    lo.auto_commit = true;
    lo.dirty_bytes = 128 << 10;
    struct cis_error why = {0};
    cis_code code = cis_store_postgres_open(w->f->url, &po, &s, NULL, &why);
    code = code != CIS_OK ? code : cis_fs_cache_new(s, &fo, &fs_cache, &why);
    code = code != CIS_OK ? code : cis_layered_open(fs_cache, &lo, NULL, &vfs, &why);
    if (code != CIS_OK) {
        snprintf(w->failed, sizeof w->failed, "writer %d: open: %s", w->id, why.msg);
    }
    for (int n = 0; w->failed[0] == 0 && !atomic_load(w->stop); n++) {
        snprintf(name, sizeof name, "f%d", n);
        if (put_file(w, vfs, name, n, room) == 0) {
            (void)check_file(w, vfs, name, n, room);
        }
        if (n >= 3) {
            snprintf(name, sizeof name, "f%d", n - 3);
            (void)check_file(w, vfs, name, n - 3, room);
        }
        atomic_fetch_add(w->done, 1);
    }
    if (vfs != NULL) {
        cis_vfs_close(vfs);
    }
    cis_fs_cache_free(fs_cache);
    if (s != NULL) {
        cis_store_close(s);
    }
    free(room);
    return NULL;
}

/* One of its backends: the server throws all others out and recovers. */
static void kill_backend(const struct fixture *f)
{
    PGconn *admin = admin_of(f);
    PGresult *res = PQexec(admin, "SELECT pid FROM pg_stat_activity WHERE usename = 'worker' "
                                  "AND datname = current_database() LIMIT 1");
    if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1) {
        kill((pid_t)strtol(PQgetvalue(res, 0, 0), NULL, 10), SIGKILL);
    }
    PQclear(res);
    PQfinish(admin);
}

static void files_are_written_and_read_through_a_server_that_crashes(void **state)
{
    struct fixture *f = *state;
    struct writer w[WRITERS];
    atomic_bool stop = false;
    atomic_int done = 0;
    unsigned seed = test_seed();
    static const struct cis_str names[WRITERS] = {
        {"w0", 2},
        {"w1", 2},
        {"w2", 2},
    };
    assert_ok(cis_store_fork(f->s, T, tree_head(f->s, "main"), names, WRITERS, NULL, err));
    memset(w, 0, sizeof w);
    for (int i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){.f = f, .stop = &stop, .done = &done, .id = i};
        assert_int_equal(pthread_create(&w[i].thread, NULL, write_files, &w[i]), 0);
    }
    bool failed = false, stuck = false;
    for (int i = 0; i < rounds && !failed && !stuck; i++) {
        int until = atomic_load(&done) + 2 + (int)(rand_r(&seed) % 4);
        uint64_t end = cis_clock_mono_ns() + WAITS_NS;
        while (atomic_load(&done) < until && !failed && !stuck) {
            usleep(1000);
            for (int n = 0; n < WRITERS; n++) {
                failed |= w[n].failed[0] != 0;
            }
            stuck = cis_clock_mono_ns() > end;
        }
        if (stuck) { /* told before the writers are waited for, who may never end */
            print_error("%d files in ten minutes, %d were to come\n", atomic_load(&done), until);
        }
        usleep((useconds_t)(rand_r(&seed) % 20000));
        if (rand_r(&seed) % 3 == 0) {
            kill_backend(f);
        } else {
            crash();
        }
    }
    atomic_store(&stop, true);
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(w[i].thread, NULL);
    }
    for (int i = 0; i < WRITERS; i++) {
        if (w[i].failed[0] != 0) {
            fail_msg("%s", w[i].failed);
        }
    }
    if (stuck) {
        fail_msg("writers made no more files after a crash: %d", atomic_load(&done));
    }
    print_message("%d files, %d crashes\n", atomic_load(&done), rounds);
    assert_true(atomic_load(&done) > rounds);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        rounds = (int)strtol(argv[1], NULL, 10);
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_server_that_comes_up_after_a_refusal_is_waited_for),
        TEST(what_is_stored_ahead_of_a_commit_survives_a_killed_server),
        TEST(a_pins_number_is_not_given_again_after_a_crash),
        TEST(a_read_goes_on_where_its_connection_was_lost),
        TEST(a_read_does_not_go_on_in_another_tenant_of_the_name),
        TEST(files_are_written_and_read_through_a_server_that_crashes),
    };
    cluster = pgcluster_start(settings);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pgcluster_stop(cluster);
    return failed;
}
