/* The contract of publishing: who may read which branch of whom, and who learns what. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include "tree.h"
#include "store/calls.h"

#define BOB CIS_STR("bob")
#define EVE CIS_STR("eve")

static void readers(cis_store *s)
{
    assert_ok(cis_store_tenant_create(s, BOB, 1, 1, NULL, err));
    assert_ok(cis_store_tenant_create(s, EVE, 2, 2, NULL, err));
}

static struct cis_view write_text(cis_store *s, const char *ref, const char *name)
{
    struct tree *t = tree_new(s, ref);
    tree_file(t, CIS_FS_ROOT, name, "text");
    return tree_commit(t);
}

static void fork_one(cis_store *s, const char *name)
{
    struct cis_str n = cis_str_of(name);
    assert_ok(cis_store_fork(s, T, tree_head(s, "main"), &n, 1, NULL, err));
}

static cis_code publish(cis_store *s, const char *ref, struct cis_str to, struct cis_error *err)
{
    return cis_store_publish_put(s, T, cis_str_of(ref), &to, 1, NULL, err);
}

static cis_code unpublish(cis_store *s, const char *ref, struct cis_str to, struct cis_error *err)
{
    return cis_store_publish_remove(s, T, cis_str_of(ref), &to, to.len != 0 ? 1 : 0, NULL, err);
}

/* A first look; pins are left to lapse. */
static cis_code enter(cis_store *s, const char *ref, struct cis_str reader, struct cis_fs_ref *out,
                      uint64_t *out_pin, struct cis_error *err)
{
    return cis_store_publish_check(
        s, T, &(struct cis_fs_publish_query){cis_str_of(ref), reader, 0, 600000}, out, out_pin,
        NULL, err);
}

static cis_code come_back(cis_store *s, const char *ref, struct cis_str reader, uint64_t pin,
                          struct cis_error *err)
{
    uint64_t same = 0;
    cis_code code = cis_store_publish_check(
        s, T, &(struct cis_fs_publish_query){cis_str_of(ref), reader, pin, 600000}, NULL, &same,
        NULL, err);
    assert_true(code != CIS_OK || same == pin);
    return code;
}

static bool note(void *self, const struct cis_fs_publish *row)
{
    assert_true(row->since_ms > 1600000000000ll);
    cis_buf_printf(self, "%s/%s>%s ", row->tenant, row->ref, row->to);
    return true;
}

static void assert_lists(cis_store *s, struct cis_str tenant, const char *by, const char *to)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(65536);
    assert_ok(cis_store_published_by(s, tenant, note, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), by);
    cis_buf_reset(&out);
    assert_ok(cis_store_published_to(s, tenant, note, &out, NULL, err));
    assert_string_equal(cis_buf_cstr(&out), to);
}

struct pins {
    int n;
    struct cis_view view;
};

static bool count_pin(void *self, const struct cis_fs_pin *pin)
{
    struct pins *p = self;
    p->n++;
    p->view = pin->view;
    return true;
}

/* ---- happy ---- */

static void a_published_branch_is_read_at_its_head_and_pinned_there(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_fs_ref ref = {.holder = "x"};
    struct pins pins = {0};
    uint64_t pin = 0;
    readers(s);
    struct cis_view head = write_text(s, "main", "f");
    assert_ok(publish(s, "main", BOB, err));
    assert_ok(enter(s, "main", BOB, &ref, &pin, err));
    assert_string_equal(ref.name, "main");
    assert_true(ref.head.branch == head.branch && ref.head.epoch == head.epoch);
    assert_int_equal(ref.files, 1);
    assert_int_equal(ref.bytes, 4);
    assert_string_equal(ref.holder, "");
    assert_true(pin != 0);
    assert_ok(cis_store_pins(s, T, count_pin, &pins, NULL, err));
    assert_int_equal(pins.n, 1);
    assert_true(pins.view.epoch == head.epoch);
    /* What it pinned stays readable whatever is squashed. */
    struct cis_view next = write_text(s, "main", "g");
    assert_ok(cis_store_squash(
        s, T, &(struct cis_fs_squash_request){next.branch, next.epoch, NULL, 0}, NULL, err));
    assert_text(s, head, "f", "text");
    assert_ok(come_back(s, "main", BOB, pin, err));
    assert_ok(enter(s, "main", BOB, &ref, &pin, err));
    assert_int_equal(ref.head.epoch, next.epoch);
    /* Nobody pays for it. */
    struct cis_tenant bob, owner, fresh;
    assert_ok(cis_store_tenant_create(s, CIS_STR("fresh"), 1, 1, NULL, err));
    assert_ok(cis_store_tenant_get(s, CIS_STR("fresh"), &fresh, NULL, err));
    assert_ok(cis_store_tenant_get(s, BOB, &bob, NULL, err));
    assert_ok(cis_store_tenant_get(s, T, &owner, NULL, err));
    assert_true(bob.stored <= fresh.stored + 8 && fresh.stored <= bob.stored + 8); /* times */
    assert_int_equal(bob.snapshots + owner.snapshots, 0);
}

static void lists_tell_both_sides(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_str both[] = {EVE, BOB, EVE};
    readers(s);
    fork_one(s, "side");
    assert_lists(s, T, "", "");
    assert_lists(s, CIS_STR("nobody"), "", "");
    assert_ok(publish(s, "side", BOB, err));
    assert_ok(cis_store_publish_put(s, T, CIS_STR("main"), both, 3, NULL, err));
    assert_ok(cis_store_publish_put(s, BOB, CIS_STR("main"), &(struct cis_str){"default", 7}, 1,
                                    NULL, err));
    assert_ok(publish(s, "side", BOB, err)); /* again changes nothing */
    assert_lists(s, T, "default/main>bob default/main>eve default/side>bob ", "bob/main>default ");
    assert_lists(s, BOB, "bob/main>default ", "default/main>bob default/side>bob ");
    assert_lists(s, EVE, "", "default/main>eve ");
    assert_ok(unpublish(s, "main", (struct cis_str){NULL, 0}, err));
    assert_lists(s, T, "default/side>bob ", "bob/main>default ");
    assert_lists(s, EVE, "", "");
}

static void what_is_published_outlives_the_process(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_fs_ref ref;
    uint64_t pin = 0;
    readers(s);
    write_text(s, "main", "f");
    assert_ok(publish(s, "main", BOB, err));
    s = fs_reopen(state);
    assert_ok(enter(s, "main", BOB, &ref, &pin, err));
    s = fs_reopen(state);
    assert_ok(come_back(s, "main", BOB, pin, err));
    assert_lists(s, BOB, "", "default/main>bob ");
}

/* ---- denied ---- */

static void assert_same_answer(cis_store *s, struct cis_str publisher, const char *ref,
                               struct cis_str reader)
{
    char expected[256];
    struct cis_error why = {0};
    struct cis_fs_ref out;
    uint64_t pin = 0;
    snprintf(expected, sizeof expected, "tenant %.*s: no branch %s is published to %.*s",
             (int)publisher.len, publisher.ptr, ref, (int)reader.len, reader.ptr);
    cis_code code = cis_store_publish_check(
        s, publisher, &(struct cis_fs_publish_query){cis_str_of(ref), reader, 0, 60000}, &out, &pin,
        NULL, &why);
    assert_int_equal(code, CIS_E_NOTFOUND);
    assert_int_equal(why.code, CIS_E_NOTFOUND);
    assert_string_equal(why.msg, expected);
    assert_int_equal(pin, 0);
}

static void who_was_never_published_to_learns_nothing(void **state)
{
    cis_store *s = fs_store(state);
    struct pins pins = {0};
    readers(s);
    write_text(s, "main", "f");
    assert_ok(publish(s, "main", BOB, err));
    assert_same_answer(s, T, "main", EVE);                   /* is there */
    assert_same_answer(s, T, "ghost", EVE);                  /* is not */
    assert_same_answer(s, CIS_STR("nobody"), "main", EVE);   /* no such tenant */
    assert_same_answer(s, T, "main", CIS_STR("a-stranger")); /* nor reader */
    assert_same_answer(s, T, "ghost", BOB);
    assert_ok(cis_store_pins(s, T, count_pin, &pins, NULL, err));
    assert_int_equal(pins.n, 0);
}

static void what_was_taken_back_is_denied_by_name(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_fs_ref ref;
    uint64_t pin = 0, other = 0;
    readers(s);
    write_text(s, "main", "f");
    assert_ok(publish(s, "main", BOB, err));
    assert_ok(publish(s, "main", EVE, err));
    assert_ok(enter(s, "main", BOB, &ref, &pin, err));
    assert_ok(enter(s, "main", EVE, &ref, &other, err));
    assert_ok(unpublish(s, "main", BOB, err));
    assert_fails(CIS_E_DENIED, "tenant default: branch main is no longer published to bob",
                 enter(s, "main", BOB, &ref, &pin, err));
    assert_fails(CIS_E_DENIED, "no longer published", come_back(s, "main", BOB, pin, err));
    assert_ok(come_back(s, "main", EVE, other, err)); /* not the others */
    assert_fails(CIS_E_NOTFOUND, "branch main: is not published to bob",
                 unpublish(s, "main", BOB, err));
    assert_ok(publish(s, "main", BOB, err));
    assert_ok(come_back(s, "main", BOB, pin, err));
}

static void what_cannot_be_published_is_refused_as_a_whole(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_str with_ghost[] = {BOB, CIS_STR("ghost")}, with_self[] = {BOB, T};
    struct cis_str not_both[] = {BOB, EVE};
    readers(s);
    assert_fails(CIS_E_NOTFOUND, "branch ghost: no such branch", publish(s, "ghost", BOB, err));
    assert_fails(CIS_E_INVALID, "not a valid name", publish(s, "../x", BOB, err));
    assert_fails(CIS_E_NOTFOUND, "tenant ghost: no such tenant",
                 cis_store_publish_put(s, T, CIS_STR("main"), with_ghost, 2, NULL, err));
    assert_fails(CIS_E_INVALID, "its own branches",
                 cis_store_publish_put(s, T, CIS_STR("main"), with_self, 2, NULL, err));
    assert_fails(CIS_E_INVALID, "not [a-z0-9]", publish(s, "main", CIS_STR("Bob"), err));
    assert_fails(
        CIS_E_NOTFOUND, "nobody",
        cis_store_publish_put(s, CIS_STR("nobody"), CIS_STR("main"), with_ghost, 1, NULL, err));
    assert_lists(s, T, "", "");
    assert_ok(publish(s, "main", BOB, err));
    assert_fails(CIS_E_NOTFOUND, "not published to eve",
                 cis_store_publish_remove(s, T, CIS_STR("main"), not_both, 2, NULL, err));
    assert_fails(CIS_E_NOTFOUND, "not published to anybody",
                 cis_store_publish_remove(s, T, CIS_STR("side"), NULL, 0, NULL, err));
    assert_lists(s, T, "default/main>bob ", "");
}

/* ---- what happens to branches and tenants ---- */

static void a_branch_that_is_dropped_is_published_no_more(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_fs_ref ref;
    uint64_t pin = 0;
    readers(s);
    fork_one(s, "side");
    assert_ok(publish(s, "side", BOB, err));
    assert_ok(publish(s, "side", EVE, err));
    assert_ok(unpublish(s, "side", EVE, err));
    assert_ok(enter(s, "side", BOB, &ref, &pin, err));
    assert_ok(cis_store_ref_remove(s, T, CIS_STR("side"), CIS_STR(""), NULL, err));
    assert_lists(s, T, "", "");
    assert_lists(s, BOB, "", "");
    assert_fails(CIS_E_NOTFOUND, "no branch side", come_back(s, "side", BOB, pin, err));
    fork_one(s, "side"); /* a new branch of the name was never published */
    assert_same_answer(s, T, "side", BOB);
    assert_same_answer(s, T, "side", EVE);
    assert_lists(s, T, "", "");
}

static void a_rollback_and_a_switch_change_what_is_read_not_who_may(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_fs_ref ref;
    struct cis_view moved;
    uint64_t pin = 0, next = 0;
    readers(s);
    struct cis_view old = write_text(s, "main", "f"), head = write_text(s, "main", "g");
    assert_ok(publish(s, "main", BOB, err));
    assert_ok(enter(s, "main", BOB, &ref, &pin, err));
    assert_ok(cis_store_ref_move(
        s, T, &(struct cis_fs_move_request){CIS_STR("main"), head, old, 0, CIS_STR("")}, &moved,
        NULL, err));
    fork_one(s, "other");
    assert_ok(cis_store_ref_switch(s, T, CIS_STR("other"), NULL, err));
    assert_ok(come_back(s, "main", BOB, pin, err)); /* its own state, to the end */
    assert_ok(enter(s, "main", BOB, &ref, &next, err));
    assert_true(ref.head.branch == moved.branch && ref.head.epoch == old.epoch);
    assert_same_answer(s, T, "other", BOB);
}

static void a_reader_that_was_deleted_is_not_the_next_of_its_name(void **state)
{
    cis_store *s = fs_store(state);
    readers(s);
    write_text(s, "main", "f");
    assert_ok(publish(s, "main", BOB, err));
    assert_ok(publish(s, "main", EVE, err));
    assert_ok(unpublish(s, "main", EVE, err));
    assert_ok(cis_store_tenant_delete(s, BOB, NULL, err));
    assert_ok(cis_store_tenant_delete(s, EVE, NULL, err));
    assert_lists(s, T, "", "");
    assert_same_answer(s, T, "main", BOB);
    readers(s);
    assert_same_answer(s, T, "main", BOB);
    assert_same_answer(s, T, "main", EVE);
    assert_lists(s, BOB, "", "");
    assert_ok(publish(s, "main", BOB, err));
    assert_lists(s, BOB, "", "default/main>bob ");
}

static bool any_step(void *self, size_t i, const struct cis_fs_dirent *d,
                     const struct cis_fs_inode *inode)
{
    (void)i;
    (void)inode;
    *(bool *)self |= d->ino != 0;
    return true;
}

static bool any_commit(void *self, const struct cis_fs_commit_row *row)
{
    (void)row;
    *(bool *)self = true;
    return true;
}

/* A reader that holds a view of a tenant must not read another one's files when the name is given
 * to somebody else: the view's numbers would fit. */
static void a_publisher_that_was_deleted_is_not_the_next_of_its_name(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_fs_ref ref;
    struct cis_tenant old, now;
    struct cis_str name = CIS_STR("f");
    char exact[CIS_FS_EXACT_MAX];
    uint64_t pin = 0;
    bool found = false, said = false;
    readers(s);
    write_text(s, "main", "f");
    assert_ok(publish(s, "main", BOB, err));
    assert_ok(cis_store_tenant_get(s, T, &old, NULL, err));
    snprintf(exact, sizeof exact, "%s#%s", old.name, old.instance);
    struct cis_str who = cis_str_of(exact);
    assert_ok(cis_store_publish_check(
        s, who, &(struct cis_fs_publish_query){CIS_STR("main"), BOB, 0, 600000}, &ref, &pin, NULL,
        err));
    assert_ok(cis_store_walk(s, who, &(struct cis_fs_walk_query){ref.head, 1, &name, 1}, any_step,
                             &found, NULL, err));
    assert_ok(cis_store_commits(
        s, who, &(struct cis_fs_log_query){.branch = ref.head.branch, .upto = 99, .keys = true},
        any_commit, &said, NULL, err));
    assert_true(found && said);
    assert_ok(cis_store_tenant_delete(s, T, NULL, err));
    assert_lists(s, BOB, "", "");
    assert_ok(cis_store_tenant_create(s, T, 1, 1, NULL, err));
    assert_ok(cis_store_tenant_get(s, T, &now, NULL, err));
    assert_string_not_equal(now.instance, old.instance);
    write_text(s, "main", "f");
    write_text(s, "main", "g");
    found = said = false;
    struct cis_error why = {0};
    cis_code code = cis_store_walk(s, who, &(struct cis_fs_walk_query){ref.head, 1, &name, 1},
                                   any_step, &found, NULL, &why);
    assert_true((code == CIS_E_NOTFOUND || code == CIS_E_EXPIRED) && !found);
    code = cis_store_commits(
        s, who, &(struct cis_fs_log_query){.branch = ref.head.branch, .upto = 99, .keys = true},
        any_commit, &said, NULL, &why);
    assert_true(!said);
    assert_fails(CIS_E_NOTFOUND, "tenant default: no branch main is published to bob",
                 cis_store_publish_check(
                     s, who, &(struct cis_fs_publish_query){CIS_STR("main"), BOB, pin, 600000},
                     NULL, &pin, NULL, err));
    assert_same_answer(s, T, "main", BOB);
    /* Nor is the new one's pin dropped by who held the old one's. */
    struct pins pins = {0};
    uint64_t mine = 0, none = 0;
    assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){tree_head(s, "main"), 0, 600000},
                            &mine, NULL, err));
    (void)!cis_store_pin(s, who, &(struct cis_fs_pin_request){ref.head, mine, 0}, &none, NULL,
                         &why);
    assert_ok(cis_store_pins(s, T, count_pin, &pins, NULL, err));
    assert_int_equal(pins.n, 1);
    /* It is no name for a tenant that is made. */
    assert_fails(CIS_E_INVALID, "not [a-z0-9]", cis_store_tenant_create(s, who, 1, 1, NULL, err));
}

/* What asks for the tenant that it began with neither writes into a later one of the name, nor
 * makes one. */
static void refused(cis_store *s, struct cis_str who, struct cis_view at)
{
    struct cis_error why = {0};
    struct cis_tenant row;
    struct cis_fs_ref ref;
    struct cis_kv_op op = {
        .ns = CIS_STR("a"), .key = CIS_STR("k"), .value = cis_bytes_of("old", 3)};
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    uint64_t number = 0, fence = 0, lost_pin = 0;
    bool lost = false;
    struct cis_str name = CIS_STR("of-old");
    const cis_code codes[] = {
        cis_store_tenant_get(s, who, &row, NULL, &why),
        cis_store_ref_get(s, who, CIS_STR("main"), &ref, NULL, &why),
        cis_store_commit(s, who, &c, NULL, &why),
        cis_store_reserve_inodes(s, who, 1, &number, NULL, &why),
        cis_store_chunk_touch(s, who, &number, 1, &lost, NULL, &why),
        cis_store_fork(s, who, at, &name, 1, NULL, &why),
        cis_store_lease(s, who,
                        &(struct cis_fs_lease_request){
                            .ref = CIS_STR("main"), .holder = "old", .ttl_ms = 60000},
                        &fence, NULL, &why),
        cis_store_pin(s, who, &(struct cis_fs_pin_request){at, 0, 60000}, &lost_pin, NULL, &why),
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (codes[i] != CIS_E_NOTFOUND && codes[i] != CIS_E_EXPIRED) {
            fail_msg("call %zu was answered with %d: %s", i, (int)codes[i], why.msg);
        }
    }
}

static void what_began_in_a_tenant_does_not_go_on_in_a_later_one(void **state)
{
    cis_store *s = fs_store(state);
    struct cis_tenant old, now;
    struct cis_fs_ref ref;
    char exact[CIS_FS_EXACT_MAX];
    write_text(s, "main", "f");
    assert_ok(cis_store_tenant_get(s, T, &old, NULL, err));
    snprintf(exact, sizeof exact, "%s#%s", old.name, old.instance);
    struct cis_str who = cis_str_of(exact);
    struct cis_kv_op op = {
        .ns = CIS_STR("a"), .key = CIS_STR("k"), .value = cis_bytes_of("mine", 4)};
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    assert_ok(cis_store_commit(s, who, &c, NULL, err));
    assert_ok(cis_store_ref_get(s, who, CIS_STR("main"), &ref, NULL, err));
    assert_ok(cis_store_tenant_delete(s, T, NULL, err));
    refused(s, who, ref.head);
    assert_int_equal(cis_store_tenant_get(s, T, &now, NULL, NULL), CIS_E_NOTFOUND);
    assert_ok(cis_store_tenant_create(s, T, 1, 1, NULL, err));
    write_text(s, "main", "f");
    struct cis_view head = write_text(s, "main", "g");
    refused(s, who, ref.head);
    assert_ok(cis_store_ref_get(s, T, CIS_STR("main"), &ref, NULL, err));
    assert_int_equal(ref.head.epoch, head.epoch);
    assert_int_equal(ref.fence, 0);
    assert_int_equal(cis_store_ref_get(s, T, CIS_STR("of-old"), &ref, NULL, NULL), CIS_E_NOTFOUND);
    assert_ok(cis_store_tenant_get(s, T, &now, NULL, err));
    snprintf(exact, sizeof exact, "%s#%s", now.name, now.instance);
    assert_ok(cis_store_commit(s, cis_str_of(exact), &c, NULL, err));
}

/* ---- beside each other ---- */

#define TOGGLES 40u
#define READERS 3

struct crowd {
    cis_store *s;
    atomic_uint turn; /* 4n: taken back; 4n + 1: between; 4n + 2: published; 4n + 3: between */
    atomic_uint let_in, kept_out;
    pthread_mutex_t lock;
    char wrong[300]; /* the first wrong answer: a thread cannot fail the test */
};

/* What was settled from before the question until after the answer decides the answer. */
static void *ask(void *arg)
{
    struct crowd *c = arg;
    for (unsigned before; (before = atomic_load(&c->turn)) < 4 * TOGGLES;) {
        struct cis_fs_ref ref;
        struct cis_error why = {0};
        uint64_t pin = 0;
        cis_code code = enter(c->s, "main", BOB, &ref, &pin, &why);
        bool settled = before % 2 == 0 && atomic_load(&c->turn) == before;
        bool odd = code != CIS_OK && code != CIS_E_DENIED;
        if (odd || (settled && (code == CIS_OK) != (before % 4 == 2))) {
            pthread_mutex_lock(&c->lock);
            snprintf(c->wrong, sizeof c->wrong, "turn %u: %s", before,
                     code == CIS_OK ? "let in" : why.msg);
            pthread_mutex_unlock(&c->lock);
        }
        atomic_fetch_add(code == CIS_OK ? &c->let_in : &c->kept_out, 1);
        if (code == CIS_OK) {
            (void)!cis_store_pin(c->s, T, &(struct cis_fs_pin_request){ref.head, pin, 0}, &pin,
                                 NULL, NULL);
        }
    }
    return NULL;
}

static void taking_back_holds_for_every_look_that_begins_after_it(void **state)
{
    static struct crowd crowd;
    pthread_t threads[READERS];
    struct crowd *c = &crowd;
    struct pins pins = {0};
    memset(c, 0, sizeof *c);
    c->s = fs_store(state);
    pthread_mutex_init(&c->lock, NULL);
    readers(c->s);
    write_text(c->s, "main", "f");
    assert_ok(publish(c->s, "main", BOB, err));
    assert_ok(unpublish(c->s, "main", BOB, err));
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ask, c), 0);
    }
    for (unsigned i = 0; i < TOGGLES; i++) {
        for (int half = 0; half < 2; half++) {
            unsigned seen = atomic_load(&c->let_in) + atomic_load(&c->kept_out);
            while (atomic_load(&c->let_in) + atomic_load(&c->kept_out) < seen + READERS) {
                sched_yield();
            }
            atomic_fetch_add(&c->turn, 1);
            assert_ok(half == 0 ? publish(c->s, "main", BOB, err)
                                : unpublish(c->s, "main", BOB, err));
            atomic_fetch_add(&c->turn, 1);
        }
    }
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_mutex_destroy(&c->lock);
    assert_string_equal(c->wrong, "");
    assert_true(crowd.let_in >= TOGGLES && crowd.kept_out >= TOGGLES);
    assert_ok(cis_store_pins(c->s, T, count_pin, &pins, NULL, err));
    assert_int_equal(pins.n, 0);
}

const struct fs_test fs_tests_publish[] = {
    FS_TEST(a_published_branch_is_read_at_its_head_and_pinned_there),
    FS_TEST(lists_tell_both_sides),
    FS_TEST(what_is_published_outlives_the_process),
    FS_TEST(who_was_never_published_to_learns_nothing),
    FS_TEST(what_was_taken_back_is_denied_by_name),
    FS_TEST(what_cannot_be_published_is_refused_as_a_whole),
    FS_TEST(a_branch_that_is_dropped_is_published_no_more),
    FS_TEST(a_rollback_and_a_switch_change_what_is_read_not_who_may),
    FS_TEST(a_reader_that_was_deleted_is_not_the_next_of_its_name),
    FS_TEST(a_publisher_that_was_deleted_is_not_the_next_of_its_name),
    FS_TEST(what_began_in_a_tenant_does_not_go_on_in_a_later_one),
    FS_TEST(taking_back_holds_for_every_look_that_begins_after_it),
    {NULL, NULL},
};
