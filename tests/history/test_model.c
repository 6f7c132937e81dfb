/* Random edits, merges, undos, restores, rollbacks, forks, snapshots and gc over several branches
 * with hard links, renames and removed directories, beside a model that knows trees and ancestry
 * only. After each step the tree is what the model says and fsck finds nothing.
 *
 * CIS_MODEL_ROUNDS: how many steps (else a short run); CIS_MODEL_SEED: where to begin. A failure
 * prints the seed of its world, which alone repeats it. */
#include "fixture.h"

#include <inttypes.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "history/maintain.h"
#include "model.h"
#include "tools/pgcluster.h"
#include "store/calls.h"

#define BRANCHES 5
#define SNAPSHOTS 3
#define CRASH_EVERY 80  /* steps, of a server */
#define WORLD_STEPS 160 /* of at most two commits each, and the empty tree: MODEL_COMMITS */

struct ref {
    char name[16];
    int commit;
    bool there;
};
struct world {
    struct fx fx;
    char tenant[24];
    uint64_t random;
    unsigned seed;
    struct ref branch[BRANCHES], snapshot[SNAPSHOTS];
    struct cis_view view[MODEL_COMMITS];
    struct model_graph graph;
    struct model_tree a, b;
    int step;
    bool forgets;
    char what[160];
};
static struct {
    uint64_t steps, merges, conflicts, criss_cross, fallback, undos, restores, rollbacks, gcs,
        refused, crashes, clocks;
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
    if (getenv("CIS_MODEL_TRACE") != NULL) {
        print_message("%d: %s\n", w->step, w->what);
    }
}

/* ---- a tree of the store as one of the model ---- */
struct reading {
    struct world *w;
    struct model_tree *tree;
    struct numbers dirs;
    uint64_t dir;
};

static bool take_entry(void *self, const struct cis_fs_dirent *d, const struct cis_fs_inode *inode)
{
    struct reading *r = self;
    char name[17];
    (void)inode;
    snprintf(name, sizeof name, "%.*s", (int)d->name.len, d->name.ptr);
    check(r->w, model_add_name(r->tree, r->dir, name, d->ino), "the tree is too large\n");
    return !S_ISDIR(d->mode) || cis_numbers_add(&r->dirs, d->ino, NULL) == CIS_OK;
}

static uint64_t hash(struct world *w, struct cis_view view, const struct cis_fs_inode *row)
{
    uint64_t h = 14695981039346656037u ^ row->size;
    uint8_t *data = malloc(row->size + 1);
    assert_ok(cis_history_read(&w->fx.h, view, row, 0, data, row->size, err));
    for (uint64_t i = 0; i < row->size; i++) {
        h = (h ^ data[i]) * 1099511628211u;
    }
    free(data);
    return h;
}

static bool take_value(void *self, const struct cis_kv_entry *entry)
{
    uint64_t value = 0;
    assert_true(
        cis_str_u64((struct cis_str){(const char *)entry->value.ptr, entry->value.len}, &value));
    *(int *)self = (int)value;
    return false;
}

static void read_tree(struct world *w, struct cis_view view, struct model_tree *out)
{
    const struct cis_history *h = &w->fx.h;
    struct reading r = {.w = w, .tree = out};
    struct numbers inos = {0};
    struct rows rows = {0};
    memset(out, 0, sizeof *out);
    assert_ok(cis_numbers_add(&r.dirs, CIS_FS_ROOT, err));
    for (size_t i = 0; i < r.dirs.n; i++) {
        r.dir = r.dirs.at[i];
        assert_ok(cis_store_list(h->store, h->tenant,
                                 &(struct cis_fs_list_query){view, r.dir, CIS_STR(""), 1000, false},
                                 take_entry, &r, NULL, err));
    }
    assert_ok(cis_numbers_add(&inos, CIS_FS_ROOT, err));
    for (int i = 0; i < out->nnames; i++) {
        assert_ok(cis_numbers_add(&inos, out->names[i].ino, err));
    }
    cis_numbers_sort(&inos);
    assert_ok(cis_rows_read(h, view, &inos, &rows, err));
    check(w, rows.n == inos.n, "%zu names' files, %zu rows\n", inos.n, rows.n);
    for (size_t i = 0; i < rows.n; i++) {
        const struct cis_fs_inode *row = &rows.at[i];
        struct model_node node = {.ino = row->ino, .mode = row->mode};
        if (!S_ISDIR(row->mode)) {
            node.content = hash(w, view, row);
            node.stamp = row->mtime.s * 1000000000 + row->mtime.ns;
        }
        assert_true(model_add_node(out, node));
    }
    for (int i = 0; i < MODEL_KEYS; i++) {
        char key[2] = {(char)('a' + i), 0};
        bool found;
        int value = 0;
        assert_ok(cis_store_kv_get(
            h->store, h->tenant,
            &(struct cis_kv_get_query){view, CIS_STR("skill"), cis_str_of(key), take_value, &value},
            &found, NULL, err));
        out->memory[i] = value;
    }
    cis_numbers_done(&r.dirs);
    cis_numbers_done(&inos);
    cis_rows_done(&rows);
}

/* ---- paths ---- */
/* A random directory's or file's path and inode; false: there is none of the kind. */
static bool some_path(struct world *w, const struct model_tree *tree, bool dirs, bool files,
                      char out[256], uint64_t *out_ino)
{
    int at[MODEL_NAMES], n = 0;
    for (int i = 0; i < tree->nnames; i++) {
        bool dir = S_ISDIR(model_node(tree, tree->names[i].ino)->mode);
        if (dir ? dirs : files) {
            at[n++] = i;
        }
    }
    if (n == 0) {
        return false;
    }
    const struct model_name *name = &tree->names[at[pick(w, (unsigned)n)]];
    *out_ino = name->ino;
    snprintf(out, 256, "%s", name->name);
    for (uint64_t up = name->parent; up != CIS_FS_ROOT;) {
        for (int i = 0; i < tree->nnames; i++) {
            if (tree->names[i].ino == up) {
                char below[256];
                snprintf(below, sizeof below, "%s", out);
                if (snprintf(out, 256, "%s/%s", tree->names[i].name, below) >= 256) {
                    return false;
                }
                up = tree->names[i].parent;
                break;
            }
        }
    }
    return true;
}

/* A path for something new: of few names, so that both sides meet. */
static bool free_path(struct world *w, const struct model_tree *tree, char out[256])
{
    char dir[256] = "";
    uint64_t ino = CIS_FS_ROOT;
    if (pick(w, 3) != 0 && !some_path(w, tree, true, false, dir, &ino)) {
        ino = CIS_FS_ROOT;
        dir[0] = 0;
    }
    if (strlen(dir) > 24) { /* deep enough */
        return false;
    }
    char name[2] = {(char)('a' + pick(w, 8)), 0};
    snprintf(out, 256, "%s%s%s", dir, dir[0] != 0 ? "/" : "", name);
    return model_look(tree, ino, name) == 0;
}

/* ---- steps ---- */
static struct ref *some_branch(struct world *w)
{
    for (;;) {
        struct ref *r = &w->branch[pick(w, BRANCHES)];
        if (r->there) {
            return r;
        }
    }
}

static void moved_on(struct world *w, struct ref *r, int second, const struct model_tree *tree)
{
    struct cis_view head = fx_head(&w->fx, r->name);
    r->commit = model_commit(&w->graph, r->commit, second, tree);
    w->view[r->commit] = head;
}

/* An edit is taken over as the store has it: not what is tested here. */
static bool edit(struct world *w)
{
    struct ref *r = some_branch(w);
    const struct model_tree *tree = w->graph.at[r->commit].tree;
    char path[256], other[256];
    uint64_t ino, dir;
    unsigned kind = pick(w, 20);
    if (kind < 5 && tree->nnames < 24 && free_path(w, tree, path)) {
        char *text = calloc(1, 80000);
        size_t n = pick(w, 3) == 0 ? 66000 + pick(w, 9000) : 1 + pick(w, 40);
        memset(text, 'a' + (int)pick(w, 20), n);
        say(w, "%s: write %s, %zu", r->name, path, n);
        fx_write(&w->fx, r->name, path, text, n);
        free(text);
    } else if (kind < 7 && tree->nnames < 24 && free_path(w, tree, path)) {
        say(w, "%s: mkdir %s", r->name, path);
        fx_mkdir(&w->fx, r->name, path);
    } else if (kind < 10 && some_path(w, tree, false, true, path, &ino)) {
        struct edit e; /* in place: other names of it stay */
        struct edit_file *file;
        struct cis_history_done done;
        char text[16];
        snprintf(text, sizeof text, "%u", pick(w, 1000));
        say(w, "%s: change %s to %s", r->name, path, text);
        assert_ok(cis_edit_open(&e, &w->fx.h, cis_str_of(r->name), err));
        e.now.ns += 1 + (uint32_t)w->step;
        assert_ok(cis_edit_file(&e, ino, &file, err));
        struct cis_fs_inode row = *file->row;
        row.is_inline = true;
        row.data = (struct cis_bytes){(const uint8_t *)text, strlen(text)};
        row.size = row.data.len;
        row.stored = 0;
        row.mtime = e.now;
        struct extents none = {0};
        assert_ok(cis_edit_put(&e, &row, err));
        assert_ok(cis_edit_content(&e, ino, &none, err));
        assert_ok(cis_edit_commit(&e, "fs", "change", &done, err));
        cis_edit_done(&e);
    } else if (kind < 12 && some_path(w, tree, pick(w, 2) == 0, true, path, &ino)) {
        say(w, "%s: remove %s", r->name, path);
        fx_remove(&w->fx, r->name, path);
    } else if (kind < 15 && some_path(w, tree, true, true, path, &ino) &&
               free_path(w, tree, other)) {
        size_t n = strlen(path);
        if (strncmp(path, other, n) == 0 && (other[n] == '/' || other[n] == 0)) {
            return false;
        }
        say(w, "%s: rename %s to %s", r->name, path, other);
        fx_rename(&w->fx, r->name, path, other);
    } else if (kind < 17 && tree->nnames < 24 && some_path(w, tree, false, true, path, &ino) &&
               free_path(w, tree, other)) {
        say(w, "%s: link %s to %s", r->name, path, other);
        fx_link(&w->fx, r->name, path, other);
    } else if (kind == 17 && some_path(w, tree, true, true, path, &dir)) {
        say(w, "%s: chmod %s", r->name, path);
        fx_chmod(&w->fx, r->name, path, 0700 + pick(w, 64));
    } else if (kind == 18) {
        char key[2] = {(char)('a' + pick(w, MODEL_KEYS)), 0}, value[16];
        snprintf(value, sizeof value, "%u", 1 + pick(w, 5));
        bool gone = pick(w, 3) == 0;
        say(w, "%s: memory %s = %s", r->name, key, gone ? "none" : value);
        struct cis_view before = fx_head(&w->fx, r->name);
        fx_memory(&w->fx, r->name, key, gone ? NULL : value);
        if (fx_head(&w->fx, r->name).epoch == before.epoch) {
            return false;
        }
    } else {
        return false;
    }
    read_tree(w, fx_head(&w->fx, r->name), &w->a);
    moved_on(w, r, -1, &w->a);
    return true;
}

static bool readable(struct world *w, int commit)
{
    struct cis_view owner;
    struct cis_error why;
    return cis_store_view_check(w->fx.store, w->fx.h.tenant, w->view[commit], &owner, NULL, &why) ==
           CIS_OK;
}

static bool note_conflict(void *self, const struct cis_conflict *c)
{
    cis_buf_printf(self, "  %.*s: %s\n", (int)c->path.len, c->path.ptr, c->why);
    return true;
}

static void compare(struct world *w, const struct ref *r, const struct model_tree *tree)
{
    read_tree(w, fx_head(&w->fx, r->name), &w->b);
    const char *what = model_differs(tree, &w->b);
    if (what != NULL) {
        char *dump = fx_dump_exact(&w->fx.h, fx_head(&w->fx, r->name));
        print_message("%s\n", dump);
        for (int i = 0; i < tree->nnames; i++) {
            print_message("model: %" PRIu64 "/%s -> %" PRIu64 "\n", tree->names[i].parent,
                          tree->names[i].name, tree->names[i].ino);
        }
        check(w, false, "%s is not as the model says: %s\n", r->name, what);
    }
}

static void merge_commit(struct world *w, struct ref *ours, int theirs)
{
    int bases[MODEL_BASES], root;
    const struct model_tree *trees[MODEL_BASES];
    CIS_CLEANUP(cis_buf_done) struct cis_buf told = CIS_BUF_INIT(1u << 20);
    say(w, "merge commit %d (%" PRIu64 "@%" PRIu64 ") into %s (commit %d)", theirs,
        w->view[theirs].branch, w->view[theirs].epoch, ours->name, ours->commit);
    int n = model_bases(&w->graph, ours->commit, theirs, bases, &root);
    bool fallback = root >= 0 && !readable(w, root);
    for (int i = 0; i < n; i++) {
        trees[i] = w->graph.at[bases[i]].tree;
        fallback = fallback || !readable(w, bases[i]);
    }
    const char *why = model_merge(trees, n, root >= 0 ? w->graph.at[root].tree : NULL,
                                  w->graph.at[theirs].tree, w->graph.at[ours->commit].tree, &w->a);
    struct cis_history_commit how = {.ref = cis_str_of(ours->name),
                                     .note = "merge [merged 1@1]",
                                     .conflict = note_conflict,
                                     .self = &told};
    struct cis_history_done done = {0};
    struct cis_error failed = {0};
    struct cis_view before = fx_head(&w->fx, ours->name);
    cis_code code = cis_history_merge(&w->fx.h, w->view[theirs], &how, &done, &failed);
    check(w, code == CIS_OK || code == CIS_E_CONFLICT, "%s: %s\n", cis_code_name(code), failed.msg);
    tally.merges++;
    tally.criss_cross += n > 1 ? 1 : 0;
    tally.fallback += fallback ? 1 : 0;
    if (code == CIS_E_CONFLICT) {
        check(w, why != NULL || fallback, "no conflict, but:\n%s", cis_buf_cstr(&told));
        check(w,
              memcmp(&before,
                     &(struct cis_view){fx_head(&w->fx, ours->name).branch,
                                        fx_head(&w->fx, ours->name).epoch},
                     sizeof before) == 0,
              "a conflict changed something\n");
        tally.conflicts++;
        return;
    }
    check(w, why == NULL, "a conflict (%s), but it merged\n", why);
    if (model_has(&w->graph, ours->commit, theirs)) {
        check(w, fx_head(&w->fx, ours->name).epoch == before.epoch, "merged what was merged\n");
        return;
    }
    compare(w, ours, &w->a);
    moved_on(w, ours, theirs, &w->a);
}

static bool merge(struct world *w)
{
    struct ref *ours = some_branch(w), *other = some_branch(w);
    int theirs = other->commit;
    if (pick(w, 5) == 0) {
        for (unsigned back = 1 + pick(w, 4); back > 0 && w->graph.at[theirs].first >= 0; back--) {
            theirs = w->graph.at[theirs].first;
        }
    } else if (pick(w, 8) == 0 && w->snapshot[0].there) {
        theirs = w->snapshot[0].commit;
    }
    if (theirs == 0 || !readable(w, theirs)) {
        return false;
    }
    merge_commit(w, ours, theirs);
    return true;
}

/* Each takes what the other was before it took this one's: both are bases of what comes next. */
static bool cross(struct world *w)
{
    struct ref *a = some_branch(w), *b = some_branch(w);
    int was = a->commit;
    if (a == b || a->commit == 0 || b->commit == 0) {
        return false;
    }
    merge_commit(w, a, b->commit);
    if (readable(w, was)) {
        merge_commit(w, b, was);
    }
    return true;
}

static bool undo(struct world *w)
{
    struct ref *r = some_branch(w);
    int commit = r->commit;
    CIS_CLEANUP(cis_buf_done) struct cis_buf told = CIS_BUF_INIT(1u << 20);
    for (unsigned back = pick(w, 5); back > 0 && w->graph.at[commit].first > 0; back--) {
        commit = w->graph.at[commit].first;
    }
    int before = w->graph.at[commit].first;
    if (before < 0 || !readable(w, commit) || !readable(w, before)) {
        return false;
    }
    say(w, "undo commit %d on %s (commit %d)", commit, r->name, r->commit);
    const struct model_tree *base = w->graph.at[commit].tree;
    const char *why =
        model_merge(&base, 1, NULL, w->graph.at[before].tree, w->graph.at[r->commit].tree, &w->a);
    struct cis_history_commit how = {
        .ref = cis_str_of(r->name), .note = "undo", .conflict = note_conflict, .self = &told};
    struct cis_history_done done = {0};
    struct cis_error failed = {0};
    struct cis_view was = fx_head(&w->fx, r->name);
    cis_code code = cis_history_undo(&w->fx.h, w->view[commit], &how, &done, &failed);
    check(w, code == CIS_OK || code == CIS_E_CONFLICT, "%s: %s\n", cis_code_name(code), failed.msg);
    check(w, (code == CIS_OK) == (why == NULL), "model: %s; store: %s\n%s",
          why != NULL ? why : "fine", cis_code_name(code), cis_buf_cstr(&told));
    tally.undos++;
    tally.conflicts += code == CIS_E_CONFLICT ? 1 : 0;
    if (code == CIS_OK) {
        compare(w, r, &w->a);
        if (fx_head(&w->fx, r->name).epoch != was.epoch) {
            moved_on(w, r, -1, &w->a);
        }
    }
    return true;
}

/* The tree below a path as text, without numbers; "": nothing is there. */
static char *below(struct world *w, struct cis_view view, const char *path)
{
    char *dump = fx_dump(&w->fx.h, view), *rest = dump;
    struct cis_buf out = CIS_BUF_INIT(1u << 20);
    size_t n = strlen(path);
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *after = line + n;
        if (strncmp(line, path, n) == 0 && (n == 0 || *after == ' ' || *after == '/')) {
            char *mode = strchr(after, ' '), *links = mode != NULL ? strchr(mode + 1, ' ') : NULL;
            char *size = links != NULL ? strchr(links + 1, ' ') : NULL;
            if (size != NULL) { /* a copy may have fewer names */
                cis_buf_printf(&out, "%.*s%s\n", (int)(links - line), line, size);
            }
        }
    }
    free(dump);
    char *text = strdup(cis_buf_cstr(&out));
    cis_buf_done(&out);
    return text;
}

static bool restore(struct world *w)
{
    struct ref *r = some_branch(w), *other = some_branch(w);
    int from = other->commit;
    char path[256] = "";
    uint64_t ino;
    for (unsigned back = pick(w, 6); back > 0 && w->graph.at[from].first > 0; back--) {
        from = w->graph.at[from].first;
    }
    if (!readable(w, from) ||
        (pick(w, 6) != 0 && !some_path(w, w->graph.at[from].tree, true, true, path, &ino))) {
        return false;
    }
    say(w, "restore %s of commit %d on %s (commit %d)", path, from, r->name, r->commit);
    struct cis_history_commit how = {.ref = cis_str_of(r->name), .note = "restore"};
    struct cis_history_done done = {0};
    struct cis_view was = fx_head(&w->fx, r->name);
    assert_ok(cis_history_restore(&w->fx.h, w->view[from], cis_str_of(path), &how, &done, err));
    char *want = below(w, w->view[from], path), *got = below(w, fx_head(&w->fx, r->name), path);
    check(w, strcmp(want, got) == 0, "restored:\n%s\nshould be:\n%s\n", got, want);
    free(want);
    free(got);
    tally.restores++;
    if (fx_head(&w->fx, r->name).epoch != was.epoch) {
        read_tree(w, fx_head(&w->fx, r->name), &w->a);
        memcpy(w->a.memory, w->graph.at[r->commit].tree->memory, sizeof w->a.memory);
        compare(w, r, &w->a); /* memory stays */
        moved_on(w, r, -1, &w->a);
    }
    return true;
}

static bool rollback(struct world *w)
{
    struct ref *r = some_branch(w);
    int to = r->commit;
    struct cis_view head;
    for (unsigned back = 1 + pick(w, 4); back > 0 && w->graph.at[to].first > 0; back--) {
        to = w->graph.at[to].first;
    }
    if (!readable(w, to)) {
        return false;
    }
    say(w, "rollback of %s to commit %d", r->name, to);
    assert_ok(cis_history_rollback(&w->fx.h, cis_str_of(r->name), w->view[to], CIS_STR("test"),
                                   &head, err));
    r->commit = to;
    tally.rollbacks++;
    compare(w, r, w->graph.at[to].tree);
    return true;
}

static bool fork_or_drop(struct world *w)
{
    struct ref *r = &w->branch[1 + pick(w, BRANCHES - 1)];
    if (r->there) {
        say(w, "drop %s", r->name);
        assert_ok(cis_store_ref_remove(w->fx.store, w->fx.h.tenant, cis_str_of(r->name),
                                       CIS_STR(""), NULL, err));
        r->there = false;
        return true;
    }
    int from = some_branch(w)->commit;
    for (unsigned back = pick(w, 4); back > 0 && w->graph.at[from].first >= 0; back--) {
        from = w->graph.at[from].first;
    }
    if (!readable(w, from)) {
        return false;
    }
    say(w, "fork %s from commit %d", r->name, from);
    fx_fork(&w->fx, w->view[from], r->name);
    r->there = true;
    r->commit = from;
    return true;
}

static bool snapshot(struct world *w)
{
    struct ref *s = &w->snapshot[pick(w, SNAPSHOTS)];
    say(w, "snapshot %s", s->name);
    if (s->there) {
        assert_ok(
            cis_store_snapshot_remove(w->fx.store, w->fx.h.tenant, cis_str_of(s->name), NULL, err));
    } else {
        s->commit = some_branch(w)->commit;
        if (s->commit == 0 || !readable(w, s->commit)) {
            return false;
        }
        fx_snapshot(&w->fx, w->view[s->commit], s->name);
    }
    s->there = !s->there;
    return true;
}

static bool drop_lasting(void *self, const struct cis_fs_pin *pin)
{
    return pin->until_ms != INT64_MAX || cis_numbers_add(self, pin->id, NULL) == CIS_OK;
}

/* As if a program had collected that did not know what merges need. */
static void forget_bases(struct world *w)
{
    const struct cis_history *h = &w->fx.h;
    struct numbers pins = {0};
    assert_ok(cis_store_pins(h->store, h->tenant, drop_lasting, &pins, NULL, err));
    for (size_t i = 0; i < pins.n; i++) {
        uint64_t id;
        assert_ok(cis_store_pin(h->store, h->tenant,
                                &(struct cis_fs_pin_request){{1, 0}, pins.at[i], 0}, &id, NULL,
                                err));
    }
    cis_numbers_done(&pins);
}

static bool collect(struct world *w)
{
    struct cis_retention keep = {.runs = pick(w, 4), .grace_ms = 1, .batch = 1 + pick(w, 20)};
    struct cis_gc_counts counts;
    say(w, "gc, %" PRIu64 " runs, batch %u", keep.runs, keep.batch);
    usleep(1200); /* past the grace */
    assert_ok(cis_history_gc(&w->fx.h, &keep, &counts, err));
    if (w->forgets && pick(w, 2) == 0) {
        forget_bases(w);
    }
    tally.gcs++;
    for (int i = 0; i < BRANCHES; i++) {
        if (w->branch[i].there) {
            compare(w, &w->branch[i], w->graph.at[w->branch[i].commit].tree);
        }
    }
    for (int i = 0; i < SNAPSHOTS; i++) {
        if (w->snapshot[i].there) {
            read_tree(w, w->view[w->snapshot[i].commit], &w->b);
            const char *what = model_differs(w->graph.at[w->snapshot[i].commit].tree, &w->b);
            check(w, what == NULL, "snapshot %s: %s\n", w->snapshot[i].name, what);
        }
    }
    return true;
}

static bool note_fault(void *self, const struct cis_fault *f)
{
    cis_buf_printf(self, "%s %.*s: %.*s\n", f->what, (int)f->path.len, f->path.ptr,
                   (int)f->text.len, f->text.ptr);
    return true;
}

static void whole(struct world *w)
{
    struct cis_fsck_counts counts;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_history_fsck(&w->fx.h, w->step % 16 == 0, note_fault, &text, &counts, err));
    check(w, counts.faults == 0, "fsck: %s\n", cis_buf_cstr(&text));
    if (w->step % 16 == 0) {
        fx_backup_whole(&w->fx);
    }
}

/* ---- a clock that is set ---- */
int64_t __wrap_cis_clock_wall_ms(void);
int64_t __real_cis_clock_wall_ms(void);

static int64_t clock_off_ms;

int64_t __wrap_cis_clock_wall_ms(void)
{
    return __real_cis_clock_wall_ms() + clock_off_ms;
}

/* In every second world, by up to a day, also back. What commits, merges and undoes goes by
 * ancestry alone. On PostgreSQL these are the times of clients; the server has its own. */
static void set_clock(struct world *w)
{
    enum { DAY_MS = 86400000 };
    if (w->seed % 2 == 0 && pick(w, 4) == 0) {
        clock_off_ms = (int64_t)pick(w, 2 * DAY_MS) - DAY_MS;
        tally.clocks++;
    }
}

static bool step(struct world *w)
{
    unsigned kind = pick(w, 100);
    return kind < 38   ? edit(w)
           : kind < 58 ? merge(w)
           : kind < 64 ? cross(w)
           : kind < 74 ? undo(w)
           : kind < 79 ? restore(w)
           : kind < 83 ? rollback(w)
           : kind < 89 ? fork_or_drop(w)
           : kind < 93 ? snapshot(w)
                       : collect(w);
}

/* Now and then the server ends without warning: nothing that was committed is lost, and the step
 * that comes next finds its connections gone. */
static void crash(struct world *w)
{
    if (!fx_is_sqlite() && w->step % CRASH_EVERY == CRASH_EVERY / 2) {
        pgcluster_kill(fx_cluster());
        pgcluster_again(fx_cluster());
        say(w, "the server was killed");
        tally.crashes++;
    }
}

static void live(struct world *w, uint64_t *left)
{
    const struct cis_history *h = &w->fx.h;
    assert_ok(cis_store_tenant_create(h->store, h->tenant, 0, 0, NULL, err));
    for (int i = 0; i < BRANCHES; i++) {
        snprintf(w->branch[i].name, sizeof w->branch[i].name, i == 0 ? "main" : "b%d", i);
    }
    for (int i = 0; i < SNAPSHOTS; i++) {
        snprintf(w->snapshot[i].name, sizeof w->snapshot[i].name, "s%d", i);
    }
    read_tree(w, fx_head(&w->fx, "main"), &w->a);
    w->forgets = w->seed % 5 == 0;
    w->branch[0].there = true;
    w->branch[0].commit = model_commit(&w->graph, -1, -1, &w->a);
    w->view[0] = fx_head(&w->fx, "main");
    clock_off_ms = 0;
    for (w->step = 0; w->step < WORLD_STEPS && *left != 0; w->step++) {
        crash(w);
        set_clock(w);
        while (!step(w)) {
        }
        whole(w);
        tally.steps++;
        --*left;
    }
    model_graph_done(&w->graph);
    assert_ok(cis_store_tenant_delete(h->store, h->tenant, NULL, err));
}

static void random_histories_are_what_the_model_says(void **state)
{
    struct fx *fx = *state;
    const char *rounds = getenv("CIS_MODEL_ROUNDS"), *from = getenv("CIS_MODEL_SEED");
    uint64_t left = rounds != NULL ? strtoull(rounds, NULL, 10) : fx_is_sqlite() ? 1200 : 250;
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
        if (rounds != NULL && seed % 100 == 0) {
            print_message("%" PRIu64 " steps, %" PRIu64 " to go\n", tally.steps, left);
        }
    }
    print_message("%" PRIu64 " steps: %" PRIu64 " merges (%" PRIu64 " of several bases, %" PRIu64
                  " of a base that went), %" PRIu64 " undos, %" PRIu64 " conflicts, %" PRIu64
                  " restores, %" PRIu64 " rollbacks, %" PRIu64 " collections, %" PRIu64
                  " crashes, the clock set %" PRIu64 " times\n",
                  tally.steps, tally.merges, tally.criss_cross, tally.fallback, tally.undos,
                  tally.conflicts, tally.restores, tally.rollbacks, tally.gcs, tally.crashes,
                  tally.clocks);
    free(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

static int run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_histories_are_what_the_model_says),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}

int main(void)
{
    return fx_run(run);
}
