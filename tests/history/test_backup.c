/* Backups: everything that was acknowledged is in, at one instant of all tenants, whoever writes
 * and collects meanwhile; what is restored has the very same rows, in either database; what is
 * damaged is no backup, and what is hostile is refused. CIS_BACKUP_ROUNDS: of writers;
 * CIS_BACKUP_STEP: of the bytes that are flipped. */
#include "harness.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/json.h"
#include "history/maintain.h"
#include "store/backup.h"
#include "store/postgres/postgres.h"
#include "store/sqlite/repair/repair.h"
#include "store/sqlite/sqlite.h"
#include "tools/pgcluster.h"
#include "backup_file.h"
#include "fixture.h"
#include "store/calls.h"

static long from_env(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtol(text, NULL, 10) : otherwise;
}

/* ---- files and places ---- */
static int new_file(void)
{
    char path[] = "/tmp/cis-backup-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

static int backup(cis_store *store, struct cis_backup_summary *out)
{
    struct cis_backup_summary sum, again;
    int fd = new_file();
    assert_ok(cis_backup_write(store, fd, NULL, &sum, NULL, err));
    assert_ok(cis_backup_read(fd, NULL, NULL, &again, NULL, err));
    assert_memory_equal(&sum.counts, &again.counts, sizeof sum.counts);
    assert_int_equal(sum.size, again.size);
    if (out != NULL) {
        *out = sum;
    }
    return fd;
}

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* ---- what rows there are, in whatever order ---- */
struct sum {
    char tenant[CIS_TENANT_MAX + 1];
    uint64_t rows, total;
};

static cis_code sum_tenant(void *self, struct cis_str name, struct cis_error *err)
{
    struct sum *s = self;
    (void)err;
    snprintf(s->tenant, sizeof s->tenant, "%.*s", (int)name.len, name.ptr);
    return CIS_OK;
}

static cis_code sum_row(void *self, enum cis_backup_table table, const struct cis_backup_value *v,
                        struct cis_error *err)
{
    struct sum *s = self;
    static const uint8_t key[32];
    struct cis_bytes parts[2 + CIS_BACKUP_COLUMNS_MAX] = {
        {(const uint8_t *)s->tenant, strlen(s->tenant)}, {(const uint8_t *)&table, sizeof table}};
    size_t n = 2;
    uint8_t mac[32];
    uint64_t part;
    (void)err;
    for (size_t i = 0; cis_backup_shapes[table].types[i] != 0; i++) {
        if (table == CIS_BACKUP_TREE && (i == 4 || i == 5)) {
            continue; /* the next fence and branch: a server's count for all tenants */
        }
        parts[n++] = cis_backup_shapes[table].types[i] == 'b'
                         ? v[i].b
                         : cis_bytes_of(&v[i].i, sizeof v[i].i);
        if (table == CIS_BACKUP_RUN && i == 8) { /* but for what a restore adds to it */
            const char *mark = memmem(v[i].b.ptr, v[i].b.len, ",\"restored_ms\":", 15);
            parts[n - 1].len = mark != NULL ? (size_t)(mark - (const char *)v[i].b.ptr)
                                            : v[i].b.len - (v[i].b.len != 0);
        }
    }
    cis_mac(key, parts, n, mac);
    memcpy(&part, mac, sizeof part);
    s->total += part;
    s->rows++;
    return CIS_OK;
}

static void no_fault(void *self, const char *text)
{
    (void)self;
    fail_msg("%s", text);
}

static struct sum sum_of(cis_store *store)
{
    struct sum s = {.rows = 0};
    const struct cis_backup_sink sink = {&s, sum_tenant, sum_row, no_fault};
    assert_ok(cis_store_dump(store, &sink, NULL, err));
    return s;
}

/* ---- a store with something of everything ---- */
static char noise[300000];

static struct fx other_of(const struct fx *fx, const char *name)
{
    struct fx other = *fx;
    other.h.tenant = cis_str_of(name);
    return other;
}

static void fill(struct fx *fx)
{
    struct fx u = other_of(fx, "u");
    const struct cis_store_fs_ops *fs = fx->store->fs;
    uint64_t fence, pin;
    cis_random_bytes(noise, sizeof noise);
    assert_ok(fs->tenant_create(fx->store, u.h.tenant, 7, 8, NULL, err));
    fx_write(fx, "", "d/noise", noise, sizeof noise);
    fx_write(fx, "", "d/tail", noise, 3000);
    fx_text(fx, "", "d/small", "a few bytes");
    fx_memory(fx, "", "greeting", "good morning to all");
    fx_snapshot(fx, fx_head(fx, ""), "before");
    fx_fork(fx, fx_head(fx, ""), "side");
    fx_remove(fx, "", "d/noise");
    fx_text(fx, "side", "only/here", "side");
    fx_link(fx, "side", "d/small", "d/again");
    fx_memory(fx, "side", "greeting", NULL);
    char longest[CIS_FS_REF_MAX + 1] = {0}; /* what the reflog keeps has the longest name, too */
    memset(longest, 'l', CIS_FS_REF_MAX);
    fx_fork(fx, fx_head(fx, ""), longest);
    assert_ok(fs->ref_remove(fx->store, fx->h.tenant, cis_str_of(longest), CIS_STR("fs drop"), NULL,
                             err));
    fx_text(fx, "", "d/back", "will be left");
    assert_ok(fx_back_to(fx, "main", "main~1", err));
    assert_ok(fs->lease(fx->store, fx->h.tenant,
                        &(struct cis_fs_lease_request){CIS_STR("side"), "a mount", 0, 600000},
                        &fence, NULL, err));
    assert_ok(fs->pin(fx->store, fx->h.tenant,
                      &(struct cis_fs_pin_request){fx_head(fx, ""), 0, 600000}, &pin, NULL, err));
    assert_ok(fs->pin(fx->store, fx->h.tenant,
                      &(struct cis_fs_pin_request){fx_head(fx, "side"), 0, CIS_FS_PIN_LASTING},
                      &pin, NULL, err));
    struct cis_tenant quota = {.quota_files = 1000, .quota_bytes = 1u << 30, .quota_stored = 10};
    assert_ok(fs->tenant_quota(fx->store, fx->h.tenant, &quota, NULL, err));
    assert_ok(fs->publish_put(fx->store, fx->h.tenant, CIS_STR("main"), &u.h.tenant, 1, NULL, err));
    fx_text(&u, "", "theirs", "u");
    struct cis_run_row run = {.skill = CIS_STR("skill"),
                              .status = CIS_STR("ok"),
                              .started_ms = 5,
                              .ended_ms = 6,
                              .report = CIS_STR("{\"x\":1}")};
    cis_id_new(run.id);
    struct cis_kv_op config = {
        .ns = CIS_STR("skill"), .key = CIS_STR("a"), .value = {(const uint8_t *)"b", 1}};
    struct cis_store_commit commit = {.run = &run, .config = &config, .nconfig = 1};
    assert_ok(cis_store_commit(fx->store, u.h.tenant, &commit, NULL, err));
    struct cis_skill_row skill = {CIS_STR("tool"), CIS_STR("1.0.0"), CIS_STR("/x"),
                                  CIS_STR(HASH),   CIS_STR("{}"),    CIS_STR("[]"),
                                  CIS_STR(""),     CIS_STR(HASH),    9};
    const struct cis_skill_change add = {.name = skill.name, .was = "", .had = -1, .row = &skill};
    assert_ok(cis_store_skill_change(fx->store, u.h.tenant, &add, NULL, err));
}

static bool found(void *self, const struct cis_kv_entry *entry)
{
    (void)entry;
    ++*(int *)self;
    return true;
}

static void same(struct fx *a, struct fx *b, const char *ref)
{
    char *x = fx_dump_exact(&a->h, fx_head(a, ref)), *y = fx_dump_exact(&b->h, fx_head(b, ref));
    assert_string_equal(x, y);
    free(x);
    free(y);
}

static void is_restored(struct fx *fx, struct fx *got)
{
    struct fx u = other_of(fx, "u"), v = other_of(got, "u");
    int hits = 0;
    uint64_t fence, id;
    const struct cis_store_fs_ops *fs = got->store->fs;
    struct sum a = sum_of(fx->store), b = sum_of(got->store);
    assert_int_equal(a.rows, b.rows);
    assert_true(a.total == b.total);
    same(fx, got, "");
    same(fx, got, "side");
    char *left = fx_dump_exact(&fx->h, fx_rev(fx, "main@{1}"));
    char *left_got = fx_dump_exact(&got->h, fx_rev(got, "main@{1}"));
    assert_non_null(strstr(left, "back"));
    assert_string_equal(left, left_got);
    free(left);
    free(left_got);
    same(&u, &v, "");
    fx_whole(got);
    fx_whole(&v);
    assert_ok(cis_store_kv_search(
        got->store, got->h.tenant,
        &(struct cis_kv_search_query){CIS_VIEW_HEAD, CIS_STR("skill"), CIS_STR("morning"), 10},
        found, &hits, NULL, err));
    assert_int_equal(hits, 1);
    /* Nobody holds a branch of it, and the number is not given twice. */
    assert_ok(fs->lease(got->store, got->h.tenant,
                        &(struct cis_fs_lease_request){CIS_STR("side"), "another", 0, 1000}, &fence,
                        NULL, err));
    assert_true(fence > 1);
    struct cis_fs_ref head;
    uint64_t pin;
    assert_ok(
        fs->publish_check(got->store, got->h.tenant,
                          &(struct cis_fs_publish_query){CIS_STR("main"), CIS_STR("u"), 0, 1000},
                          &head, &pin, NULL, err));
    assert_int_equal(
        fs->publish_check(got->store, got->h.tenant,
                          &(struct cis_fs_publish_query){CIS_STR("side"), CIS_STR("u"), 0, 1000},
                          &head, &pin, NULL, NULL),
        CIS_E_NOTFOUND);
    /* It can be written to: no number is given again. */
    assert_ok(fs->reserve_inodes(got->store, got->h.tenant, 1, &id, NULL, err));
    assert_true(id > fx_ino(got, "side", "only/here"));
    struct cis_tenant quota = {.quota_files = 0};
    assert_ok(fs->tenant_quota(got->store, got->h.tenant, &quota, NULL, err));
    fx_fork(got, fx_head(got, ""), "new");
    fx_write(got, "new", "more", noise + 1000, 200000);
    fx_memory(got, "new", "more", "memory");
    fx_snapshot(got, fx_head(got, "new"), "after");
    fx_whole(got);
}

static void what_is_restored_has_the_very_same_rows(void **state)
{
    struct fx *fx = *state;
    fill(fx);
    int fd = backup(fx->store, NULL);
    for (int server = 0; server <= (fx_cluster() != NULL); server++) {
        struct place p;
        place_new(&p, server != 0);
        assert_ok(restore(fd, p.fx.dir, p.admin, false, err));
        place_open(&p);
        is_restored(fx, &p.fx);
        /* And on: of the restored one into the other kind. */
        if (fx_cluster() != NULL) {
            struct place q;
            place_new(&q, server == 0);
            int again = backup(p.fx.store, NULL);
            assert_ok(restore(again, q.fx.dir, q.admin, false, err));
            place_open(&q);
            struct sum a = sum_of(p.fx.store), b = sum_of(q.fx.store);
            assert_int_equal(a.rows, b.rows);
            assert_true(a.total == b.total);
            close(again);
            place_done(&q);
        }
        place_done(&p);
    }
    close(fd);
}

static void an_empty_store_is_backed_up_too(void **state)
{
    struct fx *fx = *state;
    struct place p;
    assert_ok(cis_store_tenant_delete(fx->store, fx->h.tenant, NULL, err));
    struct cis_backup_summary sum;
    int fd = backup(fx->store, &sum);
    assert_int_equal(sum.counts.tenants, 0);
    place_new(&p, fx_cluster() != NULL);
    assert_ok(restore(fd, p.fx.dir, p.admin, false, err));
    place_open(&p);
    assert_int_equal(sum_of(p.fx.store).rows, 0);
    place_done(&p);
    close(fd);
}

/* ---- while others write ---- */
#define TENANTS 3

struct crowd {
    struct fx *fx;
    atomic_bool stop;
    atomic_uint acknowledged[TENANTS]; /* files of each */
};

static const char *const names[TENANTS] = {"t", "u", "v"};

/* One file after the other, always in the first tenant before the second, and so on: whoever has a
 * file in one has it in those before. A file and a value of memory are one size each. */
static void *write_in_turn(void *arg)
{
    struct crowd *c = arg;
    for (unsigned n = 1; !c->stop; n++) {
        for (size_t i = 0; i < TENANTS; i++) {
            struct fx fx = other_of(c->fx, names[i]);
            char path[32];
            snprintf(path, sizeof path, "f%u", n);
            fx_write(&fx, "", path, noise + n % 1000, 70000);
            c->acknowledged[i] = n;
        }
    }
    return NULL;
}

static void *write_and_collect(void *arg)
{
    struct crowd *c = arg;
    struct cis_retention keep = {.runs = 1, .grace_ms = 1};
    for (unsigned n = 0; !c->stop; n++) {
        struct fx fx = other_of(c->fx, names[n % TENANTS]);
        struct cis_gc_counts counts = {0};
        fx_fork(&fx, fx_head(&fx, ""), "short");
        fx_write(&fx, "short", "big", noise + n % 1000, 140000);
        assert_ok(
            cis_store_ref_remove(fx.store, fx.h.tenant, CIS_STR("short"), CIS_STR(""), NULL, err));
        struct cis_error why;
        cis_code code = cis_history_gc(&fx.h, &keep, &counts, &why);
        if (code != CIS_OK && code != CIS_E_CONFLICT && code != CIS_E_EXPIRED) {
            fail_msg("gc: %s", why.msg);
        }
    }
    return NULL;
}

static unsigned files_of(struct fx *fx)
{
    struct cis_fs_ref ref;
    assert_ok(cis_store_ref_get(fx->store, fx->h.tenant, CIS_STR("main"), &ref, NULL, err));
    return (unsigned)ref.files;
}

static void what_was_acknowledged_is_in_and_nothing_is_torn(void **state)
{
    struct crowd c = {.fx = *state};
    pthread_t writer, collector;
    long rounds = from_env("CIS_BACKUP_ROUNDS", 4);
    c.fx->pin = true; /* what is stored for a commit stays until then */
    cis_random_bytes(noise, sizeof noise);
    for (size_t i = 1; i < TENANTS; i++) {
        assert_ok(cis_store_tenant_create(c.fx->store, cis_str_of(names[i]), 0, 0, NULL, err));
    }
    pthread_create(&writer, NULL, write_in_turn, &c);
    pthread_create(&collector, NULL, write_and_collect, &c);
    for (long r = 0; r < rounds; r++) {
        unsigned before[TENANTS], had[TENANTS];
        struct place p;
        for (size_t i = 0; i < TENANTS; i++) {
            before[i] = c.acknowledged[i];
        }
        int fd = backup(c.fx->store, NULL);
        place_new(&p, fx_cluster() != NULL && r % 2 == 0);
        assert_ok(restore(fd, p.fx.dir, p.admin, false, err));
        place_open(&p);
        for (size_t i = 0; i < TENANTS; i++) {
            struct fx fx = other_of(&p.fx, names[i]);
            fx_whole(&fx);
            had[i] = files_of(&fx);
            assert_true(had[i] >= before[i]);
            assert_true(i == 0 || (had[i] <= had[i - 1] && had[i] + 1 >= had[i - 1]));
            assert_true(had[0] - had[i] <= 1); /* one instant: the writer was at one file */
        }
        place_done(&p);
        close(fd);
    }
    c.stop = true;
    pthread_join(writer, NULL);
    pthread_join(collector, NULL);
    for (size_t i = 0; i < TENANTS; i++) {
        struct fx fx = other_of(c.fx, names[i]);
        fx_whole(&fx);
    }
}

/* ---- one instant of all ---- */
#define BETWEEN 60 /* tenants, by name between the two that are written */

struct pair {
    struct fx *fx;
    atomic_bool stop;
    atomic_uint acknowledged;
};

static void *write_a_then_z(void *arg)
{
    struct pair *p = arg;
    for (unsigned n = 1; !p->stop; n++) {
        struct fx a = other_of(p->fx, "a"), z = other_of(p->fx, "z");
        fx_memory(&a, "", "k", "v");
        fx_memory(&z, "", "k", "v");
        p->acknowledged = n;
    }
    return NULL;
}

struct heads {
    char tenant;
    int64_t a, z;
};

static cis_code heads_tenant(void *self, struct cis_str name, struct cis_error *err)
{
    struct heads *h = self;
    (void)err;
    h->tenant = name.ptr[0];
    return CIS_OK;
}

static cis_code heads_row(void *self, enum cis_backup_table table, const struct cis_backup_value *v,
                          struct cis_error *err)
{
    struct heads *h = self;
    (void)err;
    if (table == CIS_BACKUP_BRANCH && (h->tenant == 'a' || h->tenant == 'z')) {
        *(h->tenant == 'a' ? &h->a : &h->z) = v[3].i;
    }
    return CIS_OK;
}

static void a_later_commit_is_never_in_without_an_earlier_one(void **state)
{
    struct pair p = {.fx = *state};
    pthread_t writer;
    const struct cis_store_fs_ops *fs = p.fx->store->fs;
    assert_ok(fs->tenant_create(p.fx->store, CIS_STR("a"), 0, 0, NULL, err));
    assert_ok(fs->tenant_create(p.fx->store, CIS_STR("z"), 0, 0, NULL, err));
    for (int i = 0; i < BETWEEN; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        assert_ok(fs->tenant_create(p.fx->store, cis_str_of(name), 0, 0, NULL, err));
    }
    pthread_create(&writer, NULL, write_a_then_z, &p);
    for (int i = 0; i < 10; i++) {
        struct heads h = {.a = 0};
        const struct cis_backup_sink sink = {&h, heads_tenant, heads_row, no_fault};
        unsigned before = p.acknowledged;
        assert_ok(cis_store_dump(p.fx->store, &sink, NULL, err));
        assert_true(h.z >= (int64_t)before);
        assert_true(h.a == h.z || h.a == h.z + 1);
    }
    p.stop = true;
    pthread_join(writer, NULL);
}

/* A sink that lets somebody else in at the first row, when the instant was taken. */
struct beside {
    struct cis_backup_check *check;
    cis_store *store;
    bool was;
    void (*act)(cis_store *store);
    unsigned faults;
};

static cis_code beside_tenant(void *self, struct cis_str name, struct cis_error *err)
{
    struct beside *b = self;
    return cis_backup_check_tenant(b->check, name, err);
}

static cis_code beside_row(void *self, enum cis_backup_table table,
                           const struct cis_backup_value *v, struct cis_error *err)
{
    struct beside *b = self;
    if (!b->was) {
        b->was = true;
        b->act(b->store);
    }
    return cis_backup_check_row(b->check, table, v, err);
}

static void beside_fault(void *self, const char *text)
{
    struct beside *b = self;
    print_message("%s\n", text);
    b->faults++;
}

static bool take_id(void *self, const struct cis_fs_chunk_info *info)
{
    uint64_t *ids = self;
    ids[++ids[0]] = info->id;
    return ids[0] < 99;
}

static void remove_all(cis_store *store)
{
    uint64_t ids[100] = {0}, removed;
    struct fx fx = {.store = store, .h = {store, CIS_STR("t"), NULL}};
    assert_ok(cis_store_chunk_list(store, CIS_STR("t"), &(struct cis_fs_chunk_query){0, 0}, take_id,
                                   ids, NULL, err));
    assert_true(ids[0] > 3);
    assert_ok(cis_store_chunk_remove(store, CIS_STR("t"),
                                     &(struct cis_fs_remove_request){ids + 1, ids[0], INT64_MAX},
                                     &removed, NULL, err));
    fx_text(&fx, "", "later", "not in it");
}

static void gc_beside_it_takes_no_content_away(void **state)
{
    struct fx *fx = *state;
    struct beside b = {.act = remove_all};
    const struct cis_backup_sink sink = {&b, beside_tenant, beside_row, beside_fault};
    uint64_t ids[100] = {0}, removed = 0;
    cis_random_bytes(noise, sizeof noise);
    fx_write(fx, "", "noise", noise, sizeof noise);
    if (fx_is_sqlite()) { /* as another process has it */
        assert_ok(cis_store_sqlite_open(fx->dir, &b.store, err));
    } else {
        assert_ok(cis_store_postgres_open(fx->url, NULL, &b.store, NULL, err));
    }
    assert_ok(cis_backup_check_new(&b.check, err));
    assert_ok(cis_store_dump(fx->store, &sink, NULL, err));
    assert_true(b.was);
    assert_int_equal(b.faults, 0);
    assert_true(cis_backup_check_counts(b.check)->chunks > 3);
    cis_backup_check_free(b.check);
    /* Afterwards they go. */
    assert_ok(cis_store_chunk_list(fx->store, fx->h.tenant, &(struct cis_fs_chunk_query){0, 0},
                                   take_id, ids, NULL, err));
    if (fx_is_sqlite()) {
        assert_ok(cis_store_chunk_remove(
            fx->store, fx->h.tenant, &(struct cis_fs_remove_request){ids + 1, ids[0], INT64_MAX},
            &removed, NULL, err));
        assert_int_equal(removed, ids[0]);
    }
    cis_store_close(b.store);
}

/* ---- damage ---- */
static uint8_t *content_of(int fd, size_t *out_len)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    uint8_t *all = malloc((size_t)st.st_size);
    assert_int_equal(pread(fd, all, (size_t)st.st_size, 0), st.st_size);
    *out_len = (size_t)st.st_size;
    return all;
}

static bool refused(int fd)
{
    struct cis_backup_summary sum;
    struct cis_error why;
    cis_code code = cis_backup_read(fd, NULL, NULL, &sum, NULL, &why);
    return code == CIS_E_DAMAGED || code == CIS_E_INVALID;
}

static void every_flipped_byte_and_every_cut_is_refused(void **state)
{
    struct fx *fx = *state;
    size_t len;
    size_t step = (size_t)from_env("CIS_BACKUP_STEP", 23);
    fx_write(fx, "", "d/x", "some content that is long enough to be no inline data", 50);
    cis_random_bytes(noise, sizeof noise);
    fx_write(fx, "", "d/noise", noise, 2000);
    fx_memory(fx, "", "k", "v");
    int fd = backup(fx->store, NULL);
    uint8_t *all = content_of(fd, &len);
    for (size_t at = 0; at < len; at += at < 200 || at + 100 > len ? 1 : step) {
        uint8_t bad = (uint8_t)(all[at] ^ (1u << at % 8));
        assert_int_equal(pwrite(fd, &bad, 1, (off_t)at), 1);
        if (!refused(fd)) {
            fail_msg("byte %zu of %zu was flipped, and nobody saw it", at, len);
        }
        assert_int_equal(pwrite(fd, &all[at], 1, (off_t)at), 1);
    }
    assert_false(refused(fd));
    assert_int_equal(pwrite(fd, "", 1, (off_t)len), 1); /* one byte more */
    assert_true(refused(fd));
    for (size_t cut = len; cut-- > 0; cut -= cut > step * 10 ? step * 10 : 0) {
        assert_int_equal(ftruncate(fd, (off_t)cut), 0);
        assert_true(refused(fd));
    }
    free(all);
    close(fd);
}

struct told {
    unsigned n;
    char first[300];
};

static void tell(void *self, const char *text)
{
    struct told *t = self;
    if (t->n++ == 0) {
        snprintf(t->first, sizeof t->first, "%s", text);
    }
}

struct far {
    uint64_t bytes;
    unsigned of_t;
};

static void note_far(void *self, struct cis_str tenant, uint64_t bytes)
{
    struct far *far = self;
    assert_true(bytes > far->bytes && (tenant.len == 0 || cis_str_is(tenant, "t")));
    far->bytes = bytes;
    far->of_t += tenant.len != 0;
}

/* A value longer than a frame, and than the room that a reader keeps from one row to the next. */
static void who_watches_is_told_which_tenant_and_how_far(void **state)
{
    struct fx *fx = *state;
    struct far wrote = {0}, read = {0};
    struct cis_backup_watch watch = {&wrote, note_far, NULL};
    struct cis_backup_summary sum;
    struct place p;
    char *value = malloc((9u << 20) + 1);
    memset(value, 'v', 9u << 20);
    value[9u << 20] = 0;
    fx_memory(fx, "", "long", value);
    fx_memory(fx, "", "longer", value);
    int fd = new_file();
    assert_ok(cis_backup_write(fx->store, fd, &watch, &sum, NULL, err));
    assert_true(wrote.of_t >= 18 && wrote.bytes <= sum.size);
    watch.self = &read;
    assert_ok(cis_backup_read(fd, NULL, &watch, &sum, NULL, err));
    assert_true(read.of_t >= 17 && read.bytes <= sum.size);
    place_new(&p, fx_cluster() != NULL);
    assert_ok(restore(fd, p.fx.dir, p.admin, false, err));
    place_open(&p);
    struct sum had = sum_of(fx->store), has = sum_of(p.fx.store);
    assert_true(has.rows == had.rows && has.total == had.total);
    place_done(&p);
    free(value);
    close(fd);
}

static void damage_a_chunk(struct fx *fx)
{
    if (fx_is_sqlite()) {
        char path[600];
        uint8_t byte;
        snprintf(path, sizeof path, "%s/tenants/t.chunks", fx->dir);
        int fd = open(path, O_RDWR);
        assert_int_equal(pread(fd, &byte, 1, 70000), 1);
        byte ^= 4;
        assert_int_equal(pwrite(fd, &byte, 1, 70000), 1);
        close(fd);
        return;
    }
    char db[64];
    snprintf(db, sizeof db, "%.*s", (int)strcspn(strstr(fx->url, "@/") + 2, "?"),
             strstr(fx->url, "@/") + 2);
    pgcluster_run(fx_cluster(), db,
                  "UPDATE cis.chunk SET data = set_byte(data, 100, get_byte(data, 100) # 4) "
                  "WHERE id = (SELECT min(id) + 1 FROM cis.chunk)");
}

static void a_damaged_store_has_no_whole_backup(void **state)
{
    struct fx *fx = *state;
    struct told told = {0};
    const struct cis_backup_watch watch = {&told, NULL, tell};
    struct cis_backup_summary sum = {.faults = 0};
    struct cis_error why;
    cis_random_bytes(noise, sizeof noise);
    fx_write(fx, "", "noise", noise, sizeof noise);
    damage_a_chunk(fx);
    int fd = new_file();
    assert_int_equal(cis_backup_write(fx->store, fd, &watch, &sum, NULL, &why), CIS_E_DAMAGED);
    assert_non_null(strstr(why.msg, "no whole backup"));
    assert_non_null(strstr(told.first, "tenant t: chunk 2"));
    assert_true(told.n == sum.faults && told.n >= 1);
    assert_true(refused(fd)); /* what was written is not taken for one */
    close(fd);
}

/* ---- hostile ones ---- */
static const uint8_t a_key[32] = {1, 2, 3};

static void hostile(struct forged *f, const char *what)
{
    struct place p;
    struct cis_error why = {0};
    int fd = forge_file(f);
    place_new(&p, fx_cluster() != NULL);
    cis_code code = restore(fd, p.fx.dir, p.admin, false, &why);
    if (code != CIS_E_DAMAGED && code != CIS_E_INVALID) {
        fail_msg("%s: %d %s", what, code, why.msg);
    }
    place_open(&p); /* and nothing of it is left */
    assert_int_equal(sum_of(p.fx.store).rows, 0);
    place_done(&p);
    close(fd);
}

static void a_forged_backup_that_is_right_is_restored(void **state)
{
    (void)state;
    struct forged f = FORGED_INIT;
    struct place p;
    forge_plain(&f, "a", a_key);
    forge_chunk(&f, a_key, 3, "content");
    int fd = forge_file(&f);
    place_new(&p, fx_cluster() != NULL);
    assert_ok(restore(fd, p.fx.dir, p.admin, false, err));
    place_done(&p);
    close(fd);
}

#define FORGED(what, ...)                                                                          \
    do {                                                                                           \
        struct forged f = FORGED_INIT;                                                             \
        forge_plain(&f, "a", a_key);                                                               \
        __VA_ARGS__;                                                                               \
        hostile(&f, what);                                                                         \
    } while (0)
#define NUMBERS(...) ((const int64_t[]){__VA_ARGS__})
#define BLOBS(...) ((const struct cis_bytes[]){__VA_ARGS__})
#define B(text)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static void rows_that_no_store_holds_are_refused(void **state)
{
    (void)state;
    static const uint8_t other_key[32] = {9};
    FORGED("tenants out of order", forge_plain(&f, "0", a_key));
    FORGED("a tenant twice", forge_plain(&f, "a", a_key));
    FORGED("a path for a name", forge_plain(&f, "b/../../x", a_key));
    FORGED("a tenant without a tree", forge_tenant(&f, "b"));
    FORGED("content that is another's", forge_chunk(&f, other_key, 1, "x"));
    FORGED("a chunk twice", forge_chunk(&f, a_key, 1, "x"), forge_chunk(&f, a_key, 1, "y"));
    FORGED("content twice", forge_chunk(&f, a_key, 1, "x"), forge_chunk(&f, a_key, 2, "x"));
    FORGED("an extent of nothing", forge_row(&f, CIS_BACKUP_EXTENT, NUMBERS(1, 2, 0, 1, 77), NULL));
    FORGED("a name that is a path",
           forge_row(&f, CIS_BACKUP_DIRENT, NUMBERS(1, 1, 1, 2, 0100000), BLOBS(B("../x"))));
    FORGED("a name twice",
           forge_row(&f, CIS_BACKUP_DIRENT, NUMBERS(1, 1, 1, 2, 0100000), BLOBS(B("x"))),
           forge_row(&f, CIS_BACKUP_DIRENT, NUMBERS(1, 1, 1, 3, 0100000), BLOBS(B("x"))));
    FORGED("attributes that are none",
           forge_row(&f, CIS_BACKUP_INODE, NUMBERS(1, 1, 0), BLOBS(B("??"), B(""))));
    FORGED("a number below zero", forge_row(&f, CIS_BACKUP_EXTENT, NUMBERS(1, 2, -5, 1, 0), NULL));
    FORGED("a ref of no branch", forge_row(&f, CIS_BACKUP_SNAPSHOT, NUMBERS(1, 9, 0, 0, 0, 0),
                                           BLOBS(B("s"), B(""), B(""))));
    FORGED("tables out of order", forge_row(&f, CIS_BACKUP_EXTENT, NUMBERS(1, 2, 0, 1, 0), NULL),
           forge_row(&f, CIS_BACKUP_PIN, NUMBERS(1, 1, 0, 0), NULL));
    FORGED("a second tree", forge_row(&f, CIS_BACKUP_TREE, NUMBERS(1, 100, 1, 2, 0, 0, 0, 0),
                                      BLOBS({a_key, 32}, B("main"))));
    FORGED("keys that are none", forge_row(&f, CIS_BACKUP_EPOCH, NUMBERS(1, 1, 0, 0, 0, 0, 0),
                                           BLOBS(B(""), B("fs"), B(""), B("\xff\xff"))));
    FORGED("a run without an id", forge_row(&f, CIS_BACKUP_RUN, NUMBERS(1, 0, 0, 0, 0),
                                            BLOBS(B("x"), B(""), B(""), B(""))));
    FORGED("counts that lie", f.rows++);
    FORGED("a record that is none", cis_buf_byte(&f.records, 200));
    FORGED("a length without bytes", cis_buf_byte(&f.records, 2 + CIS_BACKUP_EXTENT + 1);
           cis_buf_add(&f.records, "\xff\xff\xff\xff\xff\xff\xff\x7f", 8));
}

#define AN_ID "01ARZ3NDEKTSV4RRFFQ69G5FAV"

static void a_run(struct forged *f, struct cis_bytes id, struct cis_bytes status,
                  struct cis_bytes report)
{
    forge_row(f, CIS_BACKUP_RUN, NUMBERS(1, 0, 0, 0, 0), BLOBS(id, B("x"), status, report));
}

static void a_skill(struct forged *f, const char *name, const char *version, const char *sha256,
                    const char *manifest, const char *grants, const char *signer,
                    const char *digest)
{
    const char *texts[] = {name, version, "/x", sha256, manifest, grants, signer, digest};
    struct cis_bytes blobs[8];
    for (size_t i = 0; i < 8; i++) {
        blobs[i] = cis_bytes_of(texts[i], strlen(texts[i]));
    }
    forge_row(f, CIS_BACKUP_SKILL, NUMBERS(1), blobs);
}

static void fields_that_would_become_paths_are_refused(void **state)
{
    (void)state;
#define S(text) ((struct cis_bytes)B(text))
    FORGED("a run's id that is a path",
           a_run(&f, S("../../../../../../../../xx"), S("ok"), S("{}")));
    FORGED("a status that moves the cursor", a_run(&f, S(AN_ID), S("ok\x1b[1m"), S("{}")));
    FORGED("a run without a status", a_run(&f, S(AN_ID), S(""), S("{}")));
    FORGED("a report that is no object", a_run(&f, S(AN_ID), S("ok"), S("[1]")));
    FORGED("a report that is no JSON", a_run(&f, S(AN_ID), S("ok"), S("{\"a\":}")));
    FORGED("a version that is a path",
           a_skill(&f, "op", "../../../../../my", HASH, "{}", "[]", "", HASH));
    FORGED("a digest that is a path", a_skill(&f, "op", "1.0.0", HASH, "{}", "[]", "", "x/../y"));
    FORGED("a digest that is none", a_skill(&f, "op", "1.0.0", HASH, "{}", "[]", "", ""));
    FORGED("a skill whose name is a path",
           a_skill(&f, "../op", "1.0.0", HASH, "{}", "[]", "", HASH));
    FORGED("a skill without a name", a_skill(&f, "", "1.0.0", HASH, "{}", "[]", "", HASH));
    FORGED("a module's hash that is none", a_skill(&f, "op", "1.0.0", "00", "{}", "[]", "", HASH));
    FORGED("a manifest that is none", a_skill(&f, "op", "1.0.0", HASH, "{", "[]", "", HASH));
    FORGED("grants that are none", a_skill(&f, "op", "1.0.0", HASH, "{}", "", "", HASH));
    FORGED("a signer that is none", a_skill(&f, "op", "1.0.0", HASH, "{}", "[]", "me", HASH));
    FORGED("a setting of nobody",
           forge_row(&f, CIS_BACKUP_CONFIG, NULL, BLOBS(B(""), B("key"), B("value"))));
    FORGED("a pin of no branch", forge_row(&f, CIS_BACKUP_PIN, NUMBERS(1, 9, 0, 0), NULL));
    FORGED("a commit of a run that is a path",
           forge_row(&f, CIS_BACKUP_EPOCH, NUMBERS(1, 1, 0, 0, 0, 0, 0),
                     BLOBS(B("../../../../../../../../xx"), B("fs"), B(""), B(""))));
    struct forged f = FORGED_INIT; /* and one that is right */
    struct place p;
    forge_plain(&f, "a", a_key);
    a_run(&f, S(AN_ID), S("ok"), S("{}"));
    a_skill(&f, "op", "1.0.0-rc.1+b", HASH, "{}", "[]", HASH, HASH);
    int fd = forge_file(&f);
    place_new(&p, fx_cluster() != NULL);
    assert_ok(restore(fd, p.fx.dir, p.admin, false, err));
    place_done(&p);
    close(fd);
}

/* ---- what came with a backup ---- */
static bool note_report(void *self, const struct cis_run_row *row)
{
    snprintf(self, 400, "%.*s", CIS_STR_ARG(row->report));
    return true;
}

static bool note_made(void *self, const struct cis_fs_ref *ref)
{
    int64_t *newest = self;
    *newest = ref->created_ms > *newest ? ref->created_ms : *newest;
    return true;
}

/* What a record says of a host's folders is never this host's, whatever it says of itself. */
static void records_say_that_they_came_with_a_backup(void **state)
{
    (void)state;
    static const char *const reports[] = {
        "{}",
        "",
        "{ }",
        "{\"schema\":1,\"mounts\":[{\"host\":\"/etc\"}]}",
        "{\"a\":1,\"restored_ms\":0}",
        "{\"a\":1,\"restored_ms\":1}",
        "{\"restored_ms\":0,\"a\":{\"b\":\",\\\"restored_ms\\\":9\"}}"};
    for (size_t i = 0; i < sizeof reports / sizeof *reports; i++) {
        struct forged f = FORGED_INIT;
        struct place p;
        char got[400] = "";
        int64_t before = cis_clock_wall_ms(), newest = 0;
        forge_plain(&f, "t", a_key);
        forge_row(&f, CIS_BACKUP_REF, NUMBERS(1, INT64_MAX), BLOBS(B("applied/" AN_ID "-1")));
        a_run(&f, S(AN_ID), S("ok"), cis_bytes_of(reports[i], strlen(reports[i])));
        int fd = forge_file(&f);
        place_new(&p, fx_cluster() != NULL);
        assert_ok(restore(fd, p.fx.dir, p.admin, false, err));
        close(fd);
        place_open(&p);
        assert_ok(cis_store_run_get(p.fx.store, CIS_STR("t"), CIS_STR(AN_ID), note_report, got,
                                    NULL, err));
        int64_t marked = cis_run_restored_ms(cis_str_of(got));
        if (marked < before || marked > cis_clock_wall_ms() ||
            !cis_json_valid(got, strlen(got), NULL)) {
            fail_msg("%s became %s", reports[i], got);
        }
        assert_ok(cis_store_ref_list(p.fx.store, CIS_STR("t"), note_made, &newest, NULL, err));
        assert_true(newest <= marked);
        CIS_CLEANUP(cis_buf_done) struct cis_buf twice = CIS_BUF_INIT(1000);
        cis_run_report_restored(cis_str_of(got), marked + 1, &twice);
        assert_int_equal(cis_run_restored_ms(cis_buf_view(&twice)), marked + 1);
        assert_int_equal(twice.len, strlen(got)); /* it is not marked twice */
        place_done(&p);
    }
}

/* This process gets no more than so much memory from now on; sanitizers take what they want. */
static void room_left(size_t bytes)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm == NULL || fscanf(statm, "%lu", &pages) != 1) {
        _exit(2);
    }
    fclose(statm);
    struct rlimit limit = {pages * 4096 + bytes, RLIM_INFINITY};
    if (setrlimit(RLIMIT_AS, &limit) != 0) {
        _exit(2);
    }
#else
    (void)bytes;
#endif
}

/* A length is not believed: memory follows what is there. */
static void a_length_alone_takes_no_memory(void **state)
{
    (void)state;
    struct cis_backup_summary sum;
    struct forged f = FORGED_INIT;
    forge_plain(&f, "a", a_key);
    cis_buf_byte(&f.records, 2 + CIS_BACKUP_EPOCH);
    for (int i = 0; i < 7; i++) {
        cis_buf_add(&f.records, "\1\0\0\0\0\0\0\0", 8);
    }
    cis_buf_add(&f.records, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
    cis_buf_add(&f.records, "\0\0\0\x11", 4); /* keys of 272 MiB, which are not there */
    int fd = forge_file(&f), status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) { /* where so much cannot be had */
        room_left(64u << 20);
        _exit(cis_backup_read(fd, NULL, NULL, &sum, NULL, NULL) == CIS_E_DAMAGED ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(fd);
}

/* ---- where it may go ---- */
static void a_store_that_holds_tenants_is_not_overwritten(void **state)
{
    struct fx *fx = *state;
    struct place p;
    struct cis_error why;
    fx_text(fx, "", "x", "of the backup");
    int fd = backup(fx->store, NULL);
    place_new(&p, fx_cluster() != NULL);
    assert_ok(restore(fd, p.fx.dir, p.admin, false, err));
    assert_int_equal(restore(fd, p.fx.dir, p.admin, false, &why), CIS_E_EXISTS);
    place_open(&p);
    fx_text(&p.fx, "", "x", "newer");
    cis_store_close(p.fx.store);
    if (p.admin == NULL) {
        struct cis_backup_target *target;
        struct cis_backup_summary sum;
        char kept[600];
        assert_ok(cis_store_sqlite_restore(p.fx.dir, true, &target, err));
        assert_ok(cis_backup_read(fd, &target->sink, NULL, &sum, NULL, err));
        assert_ok(target->done(target, &sum.counts, NULL, err));
        snprintf(kept, sizeof kept, "%s", target->kept);
        target->free(target);
        struct place q = {.fx.dir = strdup(kept)};
        place_open(&q);
        assert_int_equal(fx_head(&q.fx, "").epoch, 2); /* what was there is whole */
        fx_whole(&q.fx);
        place_done(&q);
    }
    place_open(&p);
    assert_int_equal(fx_head(&p.fx, "").epoch, p.admin == NULL ? 1 : 2);
    place_done(&p);
    close(fd);
}

static void who_may_not_make_a_store_is_denied(void **state)
{
    struct fx *fx = *state;
    struct cis_backup_target *target;
    if (fx_is_sqlite()) {
        struct stat st;
        assert_int_equal(stat(fx->dir, &st), 0);
        assert_int_equal(chmod(fx->dir, 0777), 0); /* others may write to it */
        assert_int_equal(cis_store_sqlite_restore(fx->dir, true, &target, NULL), CIS_E_DENIED);
        assert_int_equal(chmod(fx->dir, st.st_mode & 07777), 0);
        return;
    }
    assert_ok(cis_store_tenant_delete(fx->store, fx->h.tenant, NULL, err));
    assert_int_equal(cis_pg_restore(fx->url, false, &target, NULL, NULL), CIS_E_DENIED);
}

static void a_store_that_another_has_open_is_not_replaced(void **state)
{
    struct fx *fx = *state;
    int ready[2], done[2];
    char byte = 0;
    struct cis_error why;
    if (!fx_is_sqlite()) {
        return;
    }
    int fd = backup(fx->store, NULL);
    cis_store_close(fx->store);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(done), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(done[1]);
        struct cis_fs_ref ref;
        cis_store *store;
        bool good =
            cis_store_sqlite_open(fx->dir, &store, NULL) == CIS_OK &&
            cis_store_ref_get(store, CIS_STR("t"), CIS_STR("main"), &ref, NULL, NULL) == CIS_OK;
        good = write(ready[1], "", 1) == 1 && good;
        (void)!read(done[0], &byte, 1);
        _exit(good ? 0 : 1);
    }
    close(done[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(restore(fd, fx->dir, NULL, true, &why), CIS_E_CONFLICT);
    assert_non_null(strstr(why.msg, "has it open"));
    close(done[1]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_ok(restore(fd, fx->dir, NULL, true, err));
    assert_ok(cis_store_sqlite_open(fx->dir, &fx->store, err));
    fx->h.store = fx->store;
    fx_whole(fx);
    close(fd);
    close(ready[0]);
    close(ready[1]);
}

/* On a server it is one transaction, the old tenants' end and the new ones'. */
static void a_killed_restore_on_a_server_leaves_the_old_tenants_or_the_new(void **state)
{
    struct fx *fx = *state;
    struct place p;
    if (fx_is_sqlite()) {
        return;
    }
    fill(fx);
    int fd = backup(fx->store, NULL);
    struct sum fresh = sum_of(fx->store);
    long rounds = from_env("CIS_BACKUP_ROUNDS", 4);
    uint64_t took_us = 0;
    place_new(&p, true);
    assert_ok(restore(fd, NULL, p.admin, false, err));
    for (long r = -1; r < rounds; r++) {
        place_open(&p);
        (void)!cis_store_tenant_create(p.fx.store, CIS_STR("newer"), 0, 0, NULL, NULL);
        struct sum old = sum_of(p.fx.store);
        cis_store_close(p.fx.store);
        uint64_t begin = cis_clock_mono_ns(), part;
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            _exit(restore(fd, NULL, p.admin, true, NULL) == CIS_OK ? 0 : 1);
        }
        if (r >= 0) { /* the first one says how long it takes */
            cis_random_bytes(&part, sizeof part);
            usleep((useconds_t)(part % (took_us + 1)));
            kill(pid, SIGKILL);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        took_us = r < 0 ? (cis_clock_mono_ns() - begin) / 1000 : took_us;
        assert_true(r >= 0 || status == 0);
        place_open(&p); /* and waits until the server has seen the end */
        struct sum now = sum_of(p.fx.store);
        assert_true((now.rows == old.rows && now.total == old.total) ||
                    (now.rows == fresh.rows && now.total == fresh.total));
        assert_true(r >= 0 || now.total == fresh.total);
        fx_whole(&p.fx);
        cis_store_close(p.fx.store);
    }
    p.fx.store = NULL;
    place_done(&p);
    close(fd);
}

static void a_store_on_a_server_that_another_has_open_is_not_replaced(void **state)
{
    struct fx *fx = *state;
    struct place p;
    struct cis_error why;
    if (fx_is_sqlite()) {
        return;
    }
    fx_text(fx, "", "x", "of the backup");
    int fd = backup(fx->store, NULL);
    place_new(&p, true);
    assert_ok(restore(fd, NULL, p.admin, false, err));
    place_open(&p);
    fx_text(&p.fx, "", "x", "newer");
    struct sum old = sum_of(p.fx.store), now;
    assert_int_equal(restore(fd, NULL, p.admin, true, &why), CIS_E_CONFLICT);
    assert_non_null(strstr(why.msg, "other connections to the database are open"));
    now = sum_of(p.fx.store);
    assert_true(now.rows == old.rows && now.total == old.total);
    cis_store_close(p.fx.store);
    assert_ok(restore(fd, NULL, p.admin, true, err));
    place_open(&p);
    old = sum_of(fx->store);
    now = sum_of(p.fx.store);
    assert_true(now.rows == old.rows && now.total == old.total);
    place_done(&p);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

static int run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_restored_has_the_very_same_rows),
        TEST(an_empty_store_is_backed_up_too),
        TEST(what_was_acknowledged_is_in_and_nothing_is_torn),
        TEST(a_later_commit_is_never_in_without_an_earlier_one),
        TEST(gc_beside_it_takes_no_content_away),
        TEST(every_flipped_byte_and_every_cut_is_refused),
        TEST(who_watches_is_told_which_tenant_and_how_far),
        TEST(a_damaged_store_has_no_whole_backup),
        TEST(a_forged_backup_that_is_right_is_restored),
        TEST(rows_that_no_store_holds_are_refused),
        TEST(fields_that_would_become_paths_are_refused),
        TEST(records_say_that_they_came_with_a_backup),
        TEST(a_length_alone_takes_no_memory),
        TEST(a_store_that_holds_tenants_is_not_overwritten),
        TEST(who_may_not_make_a_store_is_denied),
        TEST(a_store_that_another_has_open_is_not_replaced),
        TEST(a_killed_restore_on_a_server_leaves_the_old_tenants_or_the_new),
        TEST(a_store_on_a_server_that_another_has_open_is_not_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return fx_run(run);
}
