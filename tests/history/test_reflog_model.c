/* Commits, undo, redo, rollback, forks, drops and gc at random, beside a model.
 *
 * The model knows commits as whole trees of a few files, and what can be undone and redone as two
 * lists that every commit has; the store knows a log. CIS_REFLOG_ROUNDS: how many steps;
 * CIS_REFLOG_SEED: where to begin. A failure prints the seed of its world. */
#include "fixture.h"

#include <inttypes.h>
#include <unistd.h>
#include "history/maintain.h"
#include "store/calls.h"

#define NAMES 5
#define COMMITS 160
#define ENTRIES ((int)CIS_FS_REFLOG_MAX)
#define BRANCHES 2

struct file {
    int ino, content; /* 0: none */
};
struct list { /* of commits */
    int at[COMMITS], n;
};
struct commit {
    struct file files[NAMES];
    int before; /* the commit before; -1 */
    uint64_t epoch;
    struct cis_view view;
    int about;              /* of an undo or redo; else -1 */
    bool undone;            /* it is an undo */
    struct list live, redo; /* what can be undone, oldest first; and redone, next one last */
    int turn[COMMITS];      /* the last undo or redo of each */
};
struct branch {
    const char *name;
    bool there;
    int head;
    struct list left; /* newest last */
};
struct world {
    struct fx fx;
    char tenant[24], what[160];
    uint64_t random;
    unsigned seed;
    int step, n, numbers;
    struct commit at[COMMITS];
    struct branch branch[BRANCHES];
};
static struct {
    uint64_t steps, undos, redos, conflicts, rollbacks, above, forks, gcs, expired, nothing;
} tally;

static unsigned pick(struct world *w, unsigned n)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(w->random >> 33) % n;
}

#define check(w, cond, ...)                                                                        \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            print_message("world %u step %d: %s\n", (w)->seed, (w)->step, (w)->what);              \
            print_message(__VA_ARGS__);                                                            \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

static void say(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct world *w, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(w->what, sizeof w->what, fmt, args);
    va_end(args);
    if (getenv("CIS_REFLOG_TRACE") != NULL) {
        print_message("%d: %s\n", w->step, w->what);
    }
}

static void list_remove(struct list *l, int x)
{
    int kept = 0;
    for (int i = 0; i < l->n; i++) {
        l->at[kept] = l->at[i];
        kept += l->at[i] != x;
    }
    l->n = kept;
}

static void list_insert(struct list *l, int x)
{
    list_remove(l, x);
    int i = l->n++;
    for (; i > 0 && l->at[i - 1] > x; i--) {
        l->at[i] = l->at[i - 1];
    }
    l->at[i] = x;
}

static struct commit *grow(struct world *w, struct branch *b)
{
    struct commit *c = &w->at[w->n++];
    *c = w->at[b->head];
    c->before = b->head;
    c->epoch++;
    c->about = -1;
    c->view = fx_head(&w->fx, b->name);
    check(w, c->view.epoch == c->epoch, "@%" PRIu64 ", not @%" PRIu64 "\n", c->view.epoch,
          c->epoch);
    b->head = w->n - 1;
    return c;
}

/* ---- what the store has ---- */
static bool take_name(void *self, const struct cis_fs_dirent *d, const struct cis_fs_inode *inode)
{
    char *text = self;
    assert_true(d->name.len == 1 && inode != NULL && inode->size < 8);
    int i = d->name.ptr[0] - 'a';
    memcpy(text + (size_t)i * 16, inode->data.ptr, inode->size);
    return true;
}

static void compare(struct world *w, struct cis_view view, int commit, const char *what)
{
    char text[NAMES * 16] = {0}, expected[NAMES * 16] = {0};
    for (int i = 0; i < NAMES; i++) {
        if (w->at[commit].files[i].ino != 0) {
            snprintf(expected + (ptrdiff_t)i * 16, 16, "%d", w->at[commit].files[i].content);
        }
    }
    struct cis_error why = {0};
    cis_code code =
        cis_store_list(w->fx.store, w->fx.h.tenant,
                       &(struct cis_fs_list_query){view, CIS_FS_ROOT, CIS_STR(""), 100, true},
                       take_name, text, NULL, &why);
    check(w, code == CIS_OK, "%s: %s\n", what, why.msg);
    for (int i = 0; i < NAMES; i++) {
        check(w, strcmp(text + (ptrdiff_t)i * 16, expected + (ptrdiff_t)i * 16) == 0,
              "%s: %c is \"%s\", not \"%s\"\n", what, 'a' + i, text + (ptrdiff_t)i * 16,
              expected + (ptrdiff_t)i * 16);
    }
}

static bool readable(struct world *w, int commit)
{
    struct cis_view owner;
    return commit < 0 || cis_store_view_check(w->fx.store, w->fx.h.tenant, w->at[commit].view,
                                              &owner, NULL, NULL) == CIS_OK;
}

static bool note_fault(void *self, const struct cis_fault *f)
{
    cis_buf_printf(self, "%s %.*s: %.*s\n", f->what, CIS_STR_ARG(f->path), CIS_STR_ARG(f->text));
    return true;
}

static void whole(struct world *w)
{
    struct cis_fsck_counts counts;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_history_fsck(&w->fx.h, w->step % 8 == 0, note_fault, &text, &counts, err));
    check(w, counts.faults == 0, "fsck: %s\n", cis_buf_cstr(&text));
    if (w->step % 8 == 0) {
        fx_backup_whole(&w->fx);
    }
    for (int i = 0; i < BRANCHES; i++) {
        struct branch *b = &w->branch[i];
        char name[32];
        if (b->there) {
            compare(w, fx_head(&w->fx, b->name), b->head, b->name);
        }
        for (int n = 1; n <= b->left.n; n++) {
            snprintf(name, sizeof name, "%s@{%d}", b->name, n);
            compare(w, fx_rev(&w->fx, name), b->left.at[b->left.n - n], name);
        }
        struct cis_rev out;
        struct cis_error why = {0};
        snprintf(name, sizeof name, "%s@{%d}", b->name, b->left.n + 1);
        check(w, cis_history_resolve(&w->fx.h, cis_str_of(name), &out, &why) == CIS_E_NOTFOUND,
              "%s is there\n", name);
    }
}

/* ---- steps; false: not possible here ---- */
static struct branch *some_branch(struct world *w)
{
    struct branch *b = &w->branch[pick(w, BRANCHES)];
    return b->there ? b : &w->branch[0];
}

static void leave(struct branch *b)
{
    if (b->left.n == ENTRIES) {
        list_remove(&b->left, b->left.at[0]);
    }
    b->left.at[b->left.n++] = b->head;
}

static bool edit(struct world *w)
{
    struct branch *b = some_branch(w);
    int i = (int)pick(w, NAMES);
    char name[2] = {(char)('a' + i), 0}, text[16];
    struct file f = w->at[b->head].files[i];
    if (f.ino != 0 && pick(w, 3) == 0) {
        say(w, "rm %s on %s", name, b->name);
        fx_remove(&w->fx, b->name, name);
        f = (struct file){0, 0};
    } else {
        f.ino = f.ino != 0 ? f.ino : ++w->numbers;
        f.content = ++w->numbers;
        snprintf(text, sizeof text, "%d", f.content);
        say(w, "write %s on %s", name, b->name);
        fx_text(&w->fx, b->name, name, text);
    }
    struct commit *c = grow(w, b);
    c->files[i] = f;
    c->redo.n = 0;
    list_insert(&c->live, b->head);
    return true;
}

static bool same(struct file a, struct file b)
{
    return a.ino == b.ino && (a.ino == 0 || a.content == b.content);
}

/* The inverse of a commit, name by name. */
static bool invert(const struct world *w, int base, int head, struct file out[NAMES], int *changes)
{
    const struct file *after = w->at[base].files, *now = w->at[head].files;
    const struct file *before = w->at[w->at[base].before].files;
    *changes = 0;
    for (int i = 0; i < NAMES; i++) {
        out[i] = now[i];
        if (same(after[i], before[i]) || same(now[i], before[i])) {
            continue;
        }
        if (!same(now[i], after[i])) {
            return false;
        }
        out[i] = before[i];
        ++*changes;
    }
    return true;
}

static bool turn_one(struct world *w, struct branch *b, int base, int about, bool undone,
                     bool given, bool is_redo)
{
    struct cis_history_turn turn = {.time_ms = 0};
    struct cis_history_commit how = {.ref = cis_str_of(b->name), .turn = &turn};
    struct cis_history_done done;
    struct cis_error why = {0};
    struct file files[NAMES];
    int changes = 0;
    bool expired = !readable(w, base) || !readable(w, w->at[base].before);
    bool fine = invert(w, base, b->head, files, &changes);
    struct cis_view was = fx_head(&w->fx, b->name);
    struct cis_view commit = given ? w->at[base].view : (struct cis_view){0, 0};
    cis_code code = is_redo ? cis_history_redo(&w->fx.h, &how, &done, &why)
                            : cis_history_undo(&w->fx.h, commit, &how, &done, &why);
    if (expired) {
        check(w, code == CIS_E_EXPIRED || code == CIS_E_NOTFOUND, "%s %s\n", cis_code_name(code),
              why.msg);
        tally.expired++;
    } else {
        check(w, code == (fine ? CIS_OK : CIS_E_CONFLICT), "%s %s\n", cis_code_name(code), why.msg);
    }
    struct cis_view now = fx_head(&w->fx, b->name);
    bool committed = code == CIS_OK && (changes != 0 || !given);
    check(w, (now.epoch != was.epoch) == committed, "@%" PRIu64 " after @%" PRIu64 "\n", now.epoch,
          was.epoch);
    tally.conflicts += code == CIS_E_CONFLICT;
    if (code == CIS_OK) {
        check(w,
              turn.commit.branch == w->at[about].view.branch &&
                  turn.commit.epoch == w->at[about].view.epoch,
              "it was @%" PRIu64 "\n", turn.commit.epoch);
    }
    if (!committed) {
        return true;
    }
    tally.undos += undone;
    tally.redos += !undone;
    struct commit *c = grow(w, b);
    memcpy(c->files, files, sizeof files);
    c->about = about;
    c->undone = undone;
    c->turn[about] = b->head;
    list_remove(&c->redo, about);
    if (undone) {
        list_remove(&c->live, about);
        c->redo.at[c->redo.n++] = about;
    } else if (w->at[b->head].about == about) {
        for (int i = c->before; i >= 0; i = w->at[i].before) { /* of this branch's own past only */
            if (i == about) {
                list_insert(&c->live, about);
            }
        }
    }
    return true;
}

static bool undo_last(struct world *w)
{
    struct branch *b = some_branch(w);
    const struct commit *c = &w->at[b->head];
    say(w, "undo on %s", b->name);
    if (c->live.n == 0) {
        struct cis_history_commit how = {.ref = cis_str_of(b->name)};
        struct cis_history_done done;
        struct cis_error why = {0};
        check(w,
              cis_history_undo(&w->fx.h, (struct cis_view){0, 0}, &how, &done, &why) ==
                  CIS_E_NOTFOUND,
              "%s\n", why.msg);
        tally.nothing++;
        return true;
    }
    int about = c->live.at[c->live.n - 1];
    return turn_one(w, b, c->turn[about] >= 0 ? c->turn[about] : about, about, true, false, false);
}

static bool redo_last(struct world *w)
{
    struct branch *b = some_branch(w);
    const struct commit *c = &w->at[b->head];
    say(w, "redo on %s", b->name);
    if (c->redo.n == 0) {
        struct cis_history_commit how = {.ref = cis_str_of(b->name)};
        struct cis_history_done done;
        struct cis_error why = {0};
        check(w, cis_history_redo(&w->fx.h, &how, &done, &why) == CIS_E_NOTFOUND, "%s\n", why.msg);
        tally.nothing++;
        return true;
    }
    int about = c->redo.at[c->redo.n - 1];
    return turn_one(w, b, c->turn[about], about, false, false, true);
}

/* By name, whatever it is: an edit, an undo, a redo. */
static bool undo_named(struct world *w)
{
    struct branch *b = some_branch(w);
    int base = b->head;
    for (unsigned back = pick(w, 6); back > 0 && w->at[base].before > 0; back--) {
        base = w->at[base].before;
    }
    if (w->at[base].before < 0) {
        return false;
    }
    const struct commit *c = &w->at[base];
    say(w, "undo of commit %d on %s", base, b->name);
    return turn_one(w, b, base, c->about >= 0 ? c->about : base, c->about < 0 || !c->undone, true,
                    false);
}

static int ancestor(const struct world *w, int commit, uint64_t epoch)
{
    while (w->at[commit].epoch > epoch) {
        commit = w->at[commit].before;
    }
    return commit;
}

static bool rollback(struct world *w)
{
    struct branch *b = some_branch(w);
    char rev[48];
    int to = -1;
    if (b->left.n != 0 && pick(w, 3) == 0) {
        int n = 1 + (int)pick(w, (unsigned)b->left.n);
        to = b->left.at[b->left.n - n];
        snprintf(rev, sizeof rev, "%s@{%d}", b->name, n);
    } else {
        uint64_t epoch = pick(w, (unsigned)w->at[b->head].epoch + 4);
        if (pick(w, 2) == 0 && epoch < w->at[b->head].epoch) {
            epoch = w->at[b->head].epoch - pick(w, 2);
        }
        if (epoch <= w->at[b->head].epoch) {
            to = ancestor(w, b->head, epoch);
        }
        for (int i = b->left.n; i-- > 0 && to < 0;) {
            if (w->at[b->left.at[i]].epoch >= epoch) {
                to = ancestor(w, b->left.at[i], epoch);
                tally.above++;
            }
        }
        snprintf(rev, sizeof rev, "%s@%" PRIu64, b->name, epoch);
    }
    say(w, "rollback %s to %s, commit %d", b->name, rev, to);
    struct cis_error why = {0};
    bool there = to >= 0 && readable(w, to);
    cis_code code = fx_back_to(&w->fx, b->name, rev, &why);
    check(w,
          there    ? code == CIS_OK
          : to < 0 ? code == CIS_E_NOTFOUND
                   : code == CIS_E_EXPIRED || code == CIS_E_NOTFOUND,
          "%s %s\n", cis_code_name(code), why.msg);
    tally.expired += to >= 0 && !there;
    if (code == CIS_OK && to != b->head) {
        leave(b);
        b->head = to;
        tally.rollbacks++;
    }
    return true;
}

static bool fork_or_drop(struct world *w)
{
    struct branch *b = &w->branch[1];
    char rev[32];
    if (b->there) {
        say(w, "drop %s", b->name);
        assert_ok(cis_store_ref_remove(w->fx.store, w->fx.h.tenant, cis_str_of(b->name),
                                       CIS_STR("drop"), NULL, err));
        leave(b);
        b->there = false;
        return true;
    }
    struct branch *of = b->left.n != 0 && pick(w, 2) == 0 ? b : &w->branch[0];
    int n = (int)pick(w, (unsigned)of->left.n + (of->there ? 1 : 0)) + (of->there ? 0 : 1);
    b->head = n == 0 ? of->head : of->left.at[of->left.n - n];
    snprintf(rev, sizeof rev, "%s@{%d}", of->name, n);
    say(w, "fork %s from %s", b->name, rev);
    fx_fork(&w->fx, fx_rev(&w->fx, rev), b->name);
    b->there = true;
    tally.forks++;
    return true;
}

static bool collect(struct world *w)
{
    bool hard = pick(w, 4) == 0;
    struct cis_retention keep = {.runs = pick(w, 30),
                                 .age_ms = hard ? 0 : 3600 * 1000,
                                 .grace_ms = 1,
                                 .batch = 1 + pick(w, 20)};
    struct cis_gc_counts counts;
    say(w, "gc%s, %" PRIu64 " commits", hard ? " of all that is old" : "", keep.runs);
    usleep(3000); /* past the grace */
    assert_ok(cis_history_gc(&w->fx.h, &keep, &counts, err));
    for (int i = 0; i < BRANCHES && hard; i++) {
        w->branch[i].left.n = 0;
    }
    tally.gcs++;
    return true;
}

static bool step(struct world *w)
{
    unsigned kind = pick(w, 100);
    return kind < 34   ? edit(w)
           : kind < 54 ? undo_last(w)
           : kind < 68 ? redo_last(w)
           : kind < 76 ? undo_named(w)
           : kind < 88 ? rollback(w)
           : kind < 95 ? fork_or_drop(w)
                       : collect(w);
}

static void live(struct world *w, uint64_t *left)
{
    const struct cis_history *h = &w->fx.h;
    assert_ok(cis_store_tenant_create(h->store, h->tenant, 0, 0, NULL, err));
    w->branch[0] = (struct branch){.name = "main", .there = true};
    w->branch[1] = (struct branch){.name = "side"};
    w->n = 1;
    w->at[0].before = -1;
    w->at[0].about = -1;
    w->at[0].view = fx_head(&w->fx, "main");
    memset(w->at[0].turn, -1, sizeof w->at[0].turn);
    for (w->step = 0; w->n < COMMITS && w->step < 2 * COMMITS && *left != 0; w->step++) {
        while (!step(w)) {
        }
        whole(w);
        tally.steps++;
        --*left;
    }
    assert_ok(cis_store_tenant_delete(h->store, h->tenant, NULL, err));
}

static void random_moves_undos_and_redos_are_what_the_model_says(void **state)
{
    struct fx *fx = *state;
    const char *rounds = getenv("CIS_REFLOG_ROUNDS"), *from = getenv("CIS_REFLOG_SEED");
    uint64_t left = rounds != NULL ? strtoull(rounds, NULL, 10) : fx_is_sqlite() ? 600 : 150;
    unsigned seed = from != NULL ? (unsigned)strtoul(from, NULL, 10) : 1;
    struct world *w = malloc(sizeof *w);
    for (; left != 0; seed++) {
        memset(w, 0, sizeof *w);
        w->fx = *fx;
        w->seed = seed;
        w->random = seed * 2654435761u;
        snprintf(w->tenant, sizeof w->tenant, "w%u", seed);
        w->fx.h.tenant = cis_str_of(w->tenant);
        live(w, &left);
    }
    print_message("%" PRIu64 " steps: %" PRIu64 " undos, %" PRIu64 " redos, %" PRIu64
                  " conflicts, %" PRIu64 " times nothing to do, %" PRIu64 " rollbacks (%" PRIu64
                  " to a number above the head), %" PRIu64 " forks, %" PRIu64
                  " collections, %" PRIu64 " states that had expired\n",
                  tally.steps, tally.undos, tally.redos, tally.conflicts, tally.nothing,
                  tally.rollbacks, tally.above, tally.forks, tally.gcs, tally.expired);
    free(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

static int run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_moves_undos_and_redos_are_what_the_model_says),
    };
    return cmocka_run_group_tests_name("reflog model", tests, NULL, NULL);
}

int main(void)
{
    return fx_run(run);
}
