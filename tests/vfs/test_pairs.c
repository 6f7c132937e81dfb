/* Two at once, the second of whom takes history away: each operation is done in a view and not yet
 * committed while old rows are squashed, contents are swept, or the branch is rolled back; at the
 * head, behind it with the base pinned, and behind it without. By the rules a commit then merges,
 * or says what is in its way and leaves the head as it was; nothing that it names is missing.
 *
 * And two operations from one state, one committed after the other: both are in the tree, or the
 * second one is refused and kept beside. Which it is follows from the names and files they touch.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "history/maintain.h"
#include "vfs/backend_layered.h"
#include "vfs/random.h"
#include "store/calls.h"

#define O_NEW (O_RDWR | O_CREAT)

/* ---- what one does ---- */
#define FIRST_MAX 4
static const struct first {
    const char *name;
    struct op ops[FIRST_MAX];
    size_t n;
    bool spills; /* contents are stored before the commit: the view pins itself */
    /* Names, and files (":"), that it changes; folders that have to stay ("+"), that go ("-"). */
    const char *touches;
} firsts[] = {
    {"rename", {{.kind = OP_RENAME, .a = "a/f", .b = "b/f2"}}, 1, false, "a/f b/f2 :f"},
    {"rename_over_another",
     {{.kind = OP_RENAME, .a = "a/f", .b = "a/g"}},
     1,
     false,
     "a/f a/g :f :g"},
    {"rename_of_a_directory", {{.kind = OP_RENAME, .a = "a/s", .b = "b/s2"}}, 1, false, "a/s b/s2"},
    {"rmdir", {{.kind = OP_RMDIR, .a = "a/d"}}, 1, false, "a/d -d"},
    {"create",
     {{.kind = OP_OPEN, .a = "a/new", .flags = O_NEW, .mode = 0640},
      {.kind = OP_WRITE, .len = 3000, .seed = 7},
      {.kind = OP_CLOSE}},
     3,
     false,
     "a/new"},
    /* The same bytes as those of a file of the past, whose contents nothing names any more. */
    {"create_of_what_was_there_before",
     {{.kind = OP_OPEN, .a = "b/again", .flags = O_NEW, .mode = 0644},
      {.kind = OP_WRITE, .len = 150000, .seed = 99},
      {.kind = OP_CLOSE}},
     3,
     false,
     "b/again"},
    {"create_of_a_big_file",
     {{.kind = OP_OPEN, .a = "b/big", .flags = O_NEW, .mode = 0644},
      {.kind = OP_WRITE, .len = 900000, .seed = 8},
      {.kind = OP_WRITE, .len = 900000, .offset = 1000000, .seed = 9},
      {.kind = OP_CLOSE}},
     4,
     true,
     "b/big"},
    {"mkdir", {{.kind = OP_MKDIR, .a = "a/d/sub", .mode = 0755}}, 1, false, "a/d/sub +d"},
    {"symlink", {{.kind = OP_SYMLINK, .a = "a/link", .b = "../b"}}, 1, false, "a/link"},
    {"link", {{.kind = OP_LINK, .a = "a/f", .b = "a/d/hard"}}, 1, false, "a/d/hard :f +d"},
    {"unlink", {{.kind = OP_UNLINK, .a = "a/g"}}, 1, false, "a/g :g"},
    {"chmod", {{.kind = OP_CHMOD, .a = "a/g", .mode = 0600}}, 1, false, ":g"},
    {"chmod_of_a_directory", {{.kind = OP_CHMOD, .a = "a/d", .mode = 0700}}, 1, false, ":d +d"},
    {"write",
     {{.kind = OP_OPEN, .a = "a/g", .flags = O_RDWR},
      {.kind = OP_WRITE, .offset = 70000, .len = 100, .seed = 10},
      {.kind = OP_CLOSE}},
     3,
     false,
     ":g"},
    {"truncate", {{.kind = OP_TRUNCATE, .a = "a/g", .len = 100000}}, 1, false, ":g"},
    {"truncate_to_more", {{.kind = OP_TRUNCATE, .a = "a/g", .len = 500000}}, 1, false, ":g"},
};
#define FIRSTS (sizeof firsts / sizeof *firsts)

/* ---- and what comes between ---- */
enum what { SQUASH, SWEEP, BOTH, ROLLBACK };
enum where { HEAD, PINNED, BEHIND };
static const struct second {
    const char *name;
    enum what what;
    enum where where;
} seconds[] = {
    {"squash_while_a_%s_waits", SQUASH, HEAD},
    {"squash_while_a_%s_waits_behind_the_head", SQUASH, BEHIND},
    {"squash_while_a_%s_waits_behind_the_head_and_pinned", SQUASH, PINNED},
    {"sweep_while_a_%s_waits", SWEEP, HEAD},
    {"squash_and_sweep_while_a_%s_waits", BOTH, HEAD},
    {"squash_and_sweep_while_a_%s_waits_behind_the_head", BOTH, BEHIND},
    {"squash_and_sweep_while_a_%s_waits_behind_the_head_and_pinned", BOTH, PINNED},
    {"rollback_while_a_%s_waits", ROLLBACK, HEAD},
};
#define SECONDS (sizeof seconds / sizeof *seconds)

struct pair {
    const struct first *first;
    const struct second *second;
    char name[120];
};
static struct pair pairs[FIRSTS * SECONDS];
static struct both {
    const struct first *one, *two;
    char name[120];
} both[FIRSTS * FIRSTS];

struct world {
    struct layered_place *place;
    subject *model; /* the head's */
    struct cis_view old;
};

static struct cis_fs_ref head_of(struct world *w)
{
    struct cis_fs_ref r;
    cis_store *s = w->place->store;
    assert_ok(cis_store_ref_get(s, LAYERED_TENANT, CIS_STR("main"), &r, NULL, err));
    return r;
}

static void run(subject *s, const struct op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct op_result result;
        op_apply(s, &ops[i], &result);
        if (result.no != 0) {
            char text[1000];
            op_print(&ops[i], text, sizeof text);
            fail_msg("%s: %s", text, strerror(result.no));
        }
        op_result_done(&result);
    }
}

/* One commit of somebody else's, and of the model. */
static void commit_ops(struct world *w, const struct op *ops, size_t n)
{
    cis_vfs *vfs = layered_open(w->place, "main", (struct cis_view){0, 0}, false);
    subject *s = subject_vfs("another", vfs);
    run(s, ops, n);
    run(w->model, ops, n);
    s->ops->free(s);
    assert_ok(cis_layered_commit(vfs, NULL, NULL, NULL, err));
    cis_vfs_close(vfs);
}

static void put(struct world *w, const char *path, uint64_t len, uint32_t seed)
{
    struct op ops[] = {{.kind = OP_OPEN, .flags = O_NEW | O_TRUNC, .mode = 0644},
                       {.kind = OP_WRITE, .len = len, .seed = seed},
                       {.kind = OP_CLOSE}};
    snprintf(ops[0].a, sizeof ops[0].a, "%s", path);
    commit_ops(w, ops, 3);
}

/* A tree whose every row has older versions, and contents that nothing names any more. */
static void plant(struct world *w)
{
    static const struct op dirs[] = {{.kind = OP_MKDIR, .a = "a", .mode = 0755},
                                     {.kind = OP_MKDIR, .a = "b", .mode = 0755},
                                     {.kind = OP_MKDIR, .a = "a/d", .mode = 0755},
                                     {.kind = OP_MKDIR, .a = "a/s", .mode = 0755},
                                     {.kind = OP_MKDIR, .a = "a/s/t", .mode = 0755}};
    static const struct op gone = {.kind = OP_UNLINK, .a = "gone"};
    static const struct op changed[] = {{.kind = OP_CHMOD, .a = "a/d", .mode = 0711},
                                        {.kind = OP_CHMOD, .a = "a/s", .mode = 0711},
                                        {.kind = OP_RENAME, .a = "a/f", .b = "a/f1"},
                                        {.kind = OP_RENAME, .a = "a/f1", .b = "a/f"}};
    *w = (struct world){.place = layered_begin(), .model = model_new()};
    cis_vfs_close(layered_open(w->place, "", (struct cis_view){0, 0}, false));
    commit_ops(w, dirs, 5);
    put(w, "gone", 150000, 99);
    put(w, "a/f", 500, 1);
    put(w, "a/g", 300000, 2);
    w->old = head_of(w).head;
    commit_ops(w, &gone, 1);
    commit_ops(w, changed, 4);
    put(w, "a/f", 400, 3);
    put(w, "a/g", 200000, 4);
}

static void squash(struct world *w, const struct second *second)
{
    struct cis_history h = {w->place->store, LAYERED_TENANT, NULL, 0};
    struct cis_retention little = {.runs = 1, .grace_ms = 1, .batch = 7};
    struct cis_gc_counts counts = {0};
    usleep(5000); /* the database's clock is past the grace */
    if (second->what == SQUASH || second->what == BOTH) {
        assert_ok(cis_gc_rows(&h, &little, &counts, err));
        assert_true(counts.rows > 0 || second->where == PINNED);
    }
    if (second->what == SWEEP || second->what == BOTH) {
        assert_ok(cis_gc_chunks(&h, &little, &counts, err));
    }
}

static bool tell_fault(void *self, const struct cis_fault *fault)
{
    (void)self;
    print_error("fsck: %s " CIS_STR_FMT ": " CIS_STR_FMT "\n", fault->what,
                CIS_STR_ARG(fault->path), CIS_STR_ARG(fault->text));
    return true;
}

/* The branch is what the model is, out of the database alone; and the store is whole. */
static void assert_is(struct world *w, const char *ref, const subject *content)
{
    struct cis_history h = {w->place->store, LAYERED_TENANT, NULL, 0};
    struct cis_fsck_counts found;
    struct random_run compare;
    assert_ok(cis_history_fsck(&h, true, tell_fault, NULL, &found, err));
    assert_int_equal(found.faults, 0);
    cis_vfs *vfs = layered_open(w->place, ref, (struct cis_view){0, 0}, true);
    random_begin(&compare, 1, model_copy(content));
    random_add(&compare, subject_vfs(ref, vfs));
    assert_true(random_compare(&compare));
    random_end(&compare);
    cis_vfs_close(vfs);
}

static void beside_what_takes_history_away_an_operation_merges_or_says_why(void **state)
{
    const struct pair *p = *state;
    const struct second *second = p->second;
    struct world w;
    plant(&w);
    cis_store *s = w.place->store;
    cis_vfs *vfs = layered_open(w.place, "main", (struct cis_view){0, 0}, false);
    subject *mine = subject_vfs("mine", vfs), *alone = model_copy(w.model);
    struct cis_fs_ref before = head_of(&w);
    uint64_t pin = 0;
    run(mine, p->first->ops, p->first->n);
    run(alone, p->first->ops, p->first->n);
    if (second->where == PINNED) {
        assert_ok(cis_store_pin(s, LAYERED_TENANT,
                                &(struct cis_fs_pin_request){before.head, 0, 60000}, &pin, NULL,
                                err));
    }
    if (second->where != HEAD) {
        put(&w, "b/other", 1000, 20);
        put(&w, "b/other", 90000, 21);
        put(&w, "b/other", 70000, 22);
    }
    if (second->what == ROLLBACK) {
        struct cis_view now;
        assert_ok(cis_store_ref_move(
            s, LAYERED_TENANT,
            &(struct cis_fs_move_request){CIS_STR("main"), before.head, w.old, 0, CIS_STR("")},
            &now, NULL, err));
    } else {
        squash(&w, second);
    }
    struct cis_view head = head_of(&w).head;
    cis_code code = cis_layered_commit(vfs, NULL, NULL, NULL, NULL);
    if (second->what == ROLLBACK) {
        assert_int_equal(code, CIS_E_CONFLICT);
        assert_ok(cis_layered_commit_fork(vfs, CIS_STR("mine"), NULL, NULL, NULL,
                                          err)); /* nothing is lost */
        assert_is(&w, "mine", alone);
    } else if (second->where == BEHIND && !p->first->spills) {
        assert_int_equal(code, CIS_E_EXPIRED);
    } else {
        assert_int_equal(code, CIS_OK);
        run(w.model, p->first->ops, p->first->n);
    }
    if (code != CIS_OK) {
        struct cis_view now = head_of(&w).head;
        assert_memory_equal(&head, &now, sizeof head);
    }
    mine->ops->free(mine);
    cis_vfs_close(vfs);
    if (pin != 0) {
        assert_ok(cis_store_pin(
            s, LAYERED_TENANT, &(struct cis_fs_pin_request){before.head, pin, 0}, NULL, NULL, err));
    }
    layered_reopen(w.place);
    if (second->what != ROLLBACK) {
        assert_is(&w, "main", w.model);
        squash(&w, &(struct second){"", SWEEP, PINNED}); /* and after it */
        layered_reopen(w.place);
        assert_is(&w, "main", w.model);
    }
    alone->ops->free(alone);
    w.model->ops->free(w.model);
    layered_end(w.place);
}

/* Does a word of one stand in two? `from` and `to` are its first characters in either. */
static bool meet(const char *one, const char *two, char from, char to)
{
    char words[80], *save = NULL;
    snprintf(words, sizeof words, "%s", one);
    for (char *w = strtok_r(words, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        bool marked = strchr(":+-", *w) != NULL;
        const char *rest = marked ? w + 1 : w;
        if ((marked ? *w : 0) != from) {
            continue;
        }
        char other[80], *save2 = NULL;
        snprintf(other, sizeof other, "%s", two);
        for (char *o = strtok_r(other, " ", &save2); o != NULL; o = strtok_r(NULL, " ", &save2)) {
            bool also = strchr(":+-", *o) != NULL;
            if ((also ? *o : 0) == to && strcmp(rest, also ? o + 1 : o) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void two_operations_from_one_state_merge_or_conflict_by_what_they_touch(void **state)
{
    const struct both *p = *state;
    const char *a = p->one->touches, *b = p->two->touches;
    bool conflict =
        meet(a, b, 0, 0) || meet(a, b, ':', ':') || meet(a, b, '-', '+') || meet(a, b, '+', '-');
    struct world w;
    plant(&w);
    cis_vfs *one = layered_open(w.place, "main", (struct cis_view){0, 0}, false);
    cis_vfs *two = layered_open(w.place, "main", (struct cis_view){0, 0}, false);
    subject *s1 = subject_vfs("one", one), *s2 = subject_vfs("two", two);
    subject *alone = model_copy(w.model);
    run(s1, p->one->ops, p->one->n);
    run(s2, p->two->ops, p->two->n);
    run(alone, p->two->ops, p->two->n);
    assert_ok(cis_layered_commit(one, NULL, NULL, NULL, err));
    run(w.model, p->one->ops, p->one->n);
    struct cis_view head = head_of(&w).head, now;
    cis_code code = cis_layered_commit(two, NULL, NULL, NULL, NULL);
    assert_int_equal(code, conflict ? CIS_E_CONFLICT : CIS_OK);
    if (conflict) {
        now = head_of(&w).head;
        assert_memory_equal(&head, &now, sizeof head);
        assert_ok(cis_layered_commit_fork(two, CIS_STR("beside"), NULL, NULL, NULL, err));
    } else {
        run(w.model, p->two->ops, p->two->n);
    }
    s1->ops->free(s1);
    s2->ops->free(s2);
    cis_vfs_close(one);
    cis_vfs_close(two);
    layered_reopen(w.place);
    assert_is(&w, "main", w.model);
    if (conflict) {
        assert_is(&w, "beside", alone);
    }
    alone->ops->free(alone);
    w.model->ops->free(w.model);
    layered_end(w.place);
}

/* Every so many pairs; the argument 1 takes all. */
int main(int argc, char **argv)
{
    static struct CMUnitTest tests[FIRSTS * SECONDS + FIRSTS * FIRSTS];
    size_t step = argc > 1 ? strtoul(argv[1], NULL, 10) : PAIRS_STEP, n = 0, m = 0, chosen = 0;
    step += step == 0;
    for (size_t i = 0; i < SECONDS; i++) {
        for (size_t k = 0; k < FIRSTS; k++, n++) {
            pairs[n].first = &firsts[k];
            pairs[n].second = &seconds[i];
            char *mark = strstr(seconds[i].name, "%s");
            snprintf(pairs[n].name, sizeof pairs[n].name, "%.*s%s%s", (int)(mark - seconds[i].name),
                     seconds[i].name, firsts[k].name, mark + 2);
            if (n % step != 0) {
                continue;
            }
            tests[chosen++] = (struct CMUnitTest){
                .name = pairs[n].name,
                .test_func = beside_what_takes_history_away_an_operation_merges_or_says_why,
                .initial_state = &pairs[n]};
        }
    }
    for (size_t i = 0; i < FIRSTS; i++) {
        for (size_t k = 0; k < FIRSTS; k++, m++) {
            both[m].one = &firsts[i];
            both[m].two = &firsts[k];
            snprintf(both[m].name, sizeof both[m].name, "%s_after_%s", firsts[k].name,
                     firsts[i].name);
            if (m % step != 0) {
                continue;
            }
            tests[chosen++] = (struct CMUnitTest){
                .name = both[m].name,
                .test_func = two_operations_from_one_state_merge_or_conflict_by_what_they_touch,
                .initial_state = &both[m]};
        }
    }
    stores_start();
    int failed = _cmocka_run_group_tests("pairs", tests, chosen, NULL, NULL);
    stores_stop();
    return failed;
}
