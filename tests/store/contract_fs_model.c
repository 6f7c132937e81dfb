/* Random trees over random branches against a model in memory: every state that ever was is kept
 * in the model and must be read back from its view, whatever was committed, forked, rolled back or
 * reopened since. */
#include "harness.h"

#include <sys/stat.h>
#include "tree.h"
#include "store/calls.h"

#define FILES 40u /* of one state */
#define STATES 400u
#define REFS 6u
#define CHUNKS 12u

unsigned fs_random_steps = 250;

struct file {
    uint64_t ino, parent; /* ino 0: unused */
    char name[2];
    bool dir, blocks;
    char text[16];
    uint8_t chunk[4]; /* of blocks: 0 nothing, 1 a hole, else index + 2 */
};

struct state {
    struct cis_view at;
    struct file files[FILES];
};

struct model {
    void **cm;
    cis_store *s;
    unsigned seed;
    struct state *states; /* in a ring: older ones are forgotten */
    size_t nstates;
    char refs[REFS][16];
    uint64_t chunks[CHUNKS + 1];
    unsigned forks;
    /* while a commit is put together */
    struct tree *t;
    struct state now;
    uint64_t touched[64];
    size_t ntouched;
};

static unsigned pick(struct model *m, unsigned n)
{
    return (unsigned)rand_r(&m->seed) % n;
}

static struct state *state_any(struct model *m)
{
    return &m->states[pick(m, m->nstates < STATES ? (unsigned)m->nstates : STATES)];
}

static struct state *state_of(struct model *m, struct cis_view at)
{
    for (size_t i = 0; i < STATES && i < m->nstates; i++) {
        if (m->states[i].at.branch == at.branch && m->states[i].at.epoch == at.epoch) {
            return &m->states[i];
        }
    }
    return NULL;
}

static void state_keep(struct model *m, const struct state *state, struct cis_view at)
{
    struct state *kept = &m->states[m->nstates++ % STATES];
    *kept = *state;
    kept->at = at;
}

static struct file *named(struct state *state, uint64_t parent, char name)
{
    for (size_t i = 0; i < FILES; i++) {
        struct file *f = &state->files[i];
        if (f->ino != 0 && f->parent == parent && f->name[0] == name) {
            return f;
        }
    }
    return NULL;
}

static bool is_empty(const struct state *state, uint64_t dir)
{
    for (size_t i = 0; i < FILES; i++) {
        if (state->files[i].ino != 0 && state->files[i].parent == dir) {
            return false;
        }
    }
    return true;
}

/* A file or directory of the state; NULL: none of that kind was hit. */
static struct file *file_any(struct model *m, bool dir)
{
    for (int i = 0; i < 8; i++) {
        struct file *f = &m->now.files[pick(m, FILES)];
        if (f->ino != 0 && f->dir == dir) {
            return f;
        }
    }
    return NULL;
}

static uint64_t dir_any(struct model *m)
{
    struct file *f = pick(m, 3) != 0 ? file_any(m, true) : NULL;
    return f != NULL ? f->ino : CIS_FS_ROOT;
}

static bool touch(struct model *m, uint64_t ino)
{
    for (size_t i = 0; i < m->ntouched; i++) {
        if (m->touched[i] == ino) {
            return false;
        }
    }
    m->touched[m->ntouched++] = ino;
    return true;
}

/* Names of the commit live as long as it does. */
static const char *letter(char c)
{
    static const char names[] = "a\0b\0c\0d\0e\0f\0g\0h";
    return names + 2 * (c - 'a');
}

/* ---- edits ---- */

static void edit_create(struct model *m)
{
    uint64_t parent = dir_any(m);
    char name = (char)('a' + pick(m, 8));
    struct file *f = m->now.files;
    while (f < m->now.files + FILES && f->ino != 0) {
        f++;
    }
    if (f == m->now.files + FILES || named(&m->now, parent, name) != NULL) {
        return;
    }
    memset(f, 0, sizeof *f);
    f->parent = parent;
    f->name[0] = name;
    f->dir = pick(m, 3) == 0;
    snprintf(f->text, sizeof f->text, "%s%u", f->dir ? "" : "t", pick(m, 100000));
    f->ino = f->dir ? tree_mkdir(m->t, parent, letter(name))
                    : tree_file(m->t, parent, letter(name), f->text);
    touch(m, f->ino);
}

static void edit_remove(struct model *m)
{
    struct file *f = file_any(m, pick(m, 2) == 0);
    if (f == NULL || (f->dir && !is_empty(&m->now, f->ino)) || !touch(m, f->ino)) {
        return;
    }
    if (f->dir) {
        tree_rmdir(m->t, f->parent, letter(f->name[0]), f->ino);
    } else {
        tree_unlink(m->t, f->parent, letter(f->name[0]), f->ino);
    }
    f->ino = 0;
}

static bool beneath(struct state *state, uint64_t dir, uint64_t top)
{
    while (dir != top && dir != CIS_FS_ROOT) {
        size_t i = 0;
        while (state->files[i].ino != dir) {
            i++;
        }
        dir = state->files[i].parent;
    }
    return dir == top;
}

static void edit_move(struct model *m)
{
    struct file *f = file_any(m, pick(m, 2) == 0);
    uint64_t to = dir_any(m);
    char name = f != NULL && f->dir ? f->name[0] : (char)('a' + pick(m, 8));
    if (f == NULL || named(&m->now, to, name) != NULL || to == f->parent ||
        (f->dir && beneath(&m->now, to, f->ino)) || !touch(m, f->ino)) {
        return;
    }
    if (f->dir) {
        tree_move(m->t, f->parent, letter(name), to, f->ino);
    } else {
        tree_rename(m->t, f->parent, letter(f->name[0]), to, letter(name), f->ino);
    }
    f->parent = to;
    f->name[0] = name;
}

static void edit_content(struct model *m)
{
    struct file *f = file_any(m, false);
    if (f == NULL || !touch(m, f->ino)) {
        return;
    }
    if (!f->blocks && pick(m, 2) == 0) {
        snprintf(f->text, sizeof f->text, "again %u", pick(m, 100000));
        tree_text(m->t, f->ino, f->text);
        return;
    }
    f->blocks = true;
    f->text[0] = 0;
    tree_size(m->t, f->ino, 4 * CIS_FS_BLOCK);
    for (uint64_t b = 0; b < 4; b++) {
        if (pick(m, 2) == 0) {
            uint8_t what = (uint8_t)(1 + pick(m, CHUNKS + 1));
            f->chunk[b] = what;
            tree_extent(m->t, f->ino, b, what == 1 ? 0 : m->chunks[what - 2], -1);
        }
    }
}

/* ---- steps ---- */

static void step_commit(struct model *m)
{
    static void (*const edits[])(struct model *) = {edit_create, edit_create,  edit_remove,
                                                    edit_move,   edit_content, edit_content};
    const char *ref = m->refs[pick(m, REFS)];
    if (ref[0] == 0) {
        return;
    }
    m->t = tree_new(m->s, ref);
    struct state *base = state_of(m, m->t->fs.base);
    if (base == NULL) { /* forgotten by the ring: this ref rests */
        tree_free(m->t);
        return;
    }
    m->now = *base;
    m->ntouched = 0;
    for (unsigned n = 1 + pick(m, 6); n > 0; n--) {
        edits[pick(m, sizeof edits / sizeof *edits)](m);
    }
    struct cis_view before = m->t->fs.base, after = tree_commit(m->t);
    if (after.epoch != before.epoch) {
        assert_true(after.branch == before.branch && after.epoch == before.epoch + 1);
        state_keep(m, &m->now, after);
    }
}

static void step_fork(struct model *m)
{
    struct state *from = state_any(m);
    char *ref = m->refs[pick(m, REFS)];
    if (strcmp(ref, "main") == 0) {
        return;
    }
    if (ref[0] != 0) {
        assert_ok(cis_store_ref_remove(m->s, T, cis_str_of(ref), CIS_STR(""), NULL, err));
    }
    snprintf(ref, sizeof m->refs[0], "fork%u", m->forks++);
    struct cis_str name = cis_str_of(ref);
    assert_ok(cis_store_fork(m->s, T, from->at, &name, 1, NULL, err));
    struct state copy = *from;
    state_keep(m, &copy, tree_head(m->s, ref));
}

static void step_rollback(struct model *m)
{
    struct state *to = state_any(m);
    const char *ref = m->refs[pick(m, REFS)];
    if (ref[0] == 0) {
        return;
    }
    struct cis_view head;
    struct state copy = *to;
    assert_ok(cis_store_ref_move(m->s, T,
                                 &(struct cis_fs_move_request){
                                     cis_str_of(ref), tree_head(m->s, ref), to->at, 0, CIS_STR("")},
                                 &head, NULL, err));
    state_keep(m, &copy, head);
}

/* ---- is it what it was? ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool note_plain(void *self, const struct cis_fs_dirent *dirent,
                       const struct cis_fs_inode *inode)
{
    (void)inode;
    cis_buf_str(self, dirent->name);
    cis_buf_printf(self, "=%llu ", (unsigned long long)dirent->ino);
    return true;
}

static void dir_check(struct model *m, const struct state *state, uint64_t dir)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf got = CIS_BUF_INIT(65536);
    CIS_CLEANUP(cis_buf_done) struct cis_buf want = CIS_BUF_INIT(65536);
    char lines[FILES][32], *sorted[FILES];
    size_t n = 0, subdirs = 0;
    struct cis_fs_inode row;
    for (size_t i = 0; i < FILES; i++) {
        const struct file *f = &state->files[i];
        if (f->ino != 0 && f->parent == dir) {
            snprintf(lines[n], sizeof lines[n], "%s=%llu ", f->name, (unsigned long long)f->ino);
            sorted[n] = lines[n];
            n++;
            subdirs += f->dir;
        }
    }
    qsort(sorted, n, sizeof *sorted, by_name);
    for (size_t i = 0; i < n; i++) {
        cis_buf_text(&want, sorted[i]);
    }
    assert_ok(cis_store_list(
        m->s, T,
        &(struct cis_fs_list_query){state->at, dir, (struct cis_str){NULL, 0}, 1000, pick(m, 2)},
        note_plain, &got, NULL, err));
    assert_string_equal(cis_buf_cstr(&got), cis_buf_cstr(&want));
    assert_true(tree_stat(m->s, state->at, dir, &row, NULL));
    assert_int_equal(row.nlink, 2 + subdirs);
}

static void file_check(struct model *m, const struct state *state, const struct file *f)
{
    struct cis_fs_inode row;
    char text[CIS_FS_INLINE_MAX + 1];
    assert_true(tree_stat(m->s, state->at, f->ino, &row, text));
    if (f->blocks) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf want = CIS_BUF_INIT(256);
        for (int b = 0; b < 4; b++) {
            if (f->chunk[b] != 0) {
                cis_buf_printf(&want, "%s%d:%c", want.len != 0 ? " " : "", b,
                               f->chunk[b] == 1 ? '-' : 'a' + f->chunk[b] - 2);
            }
        }
        assert_extents(m->s, state->at, f->ino, 0, 4, cis_buf_cstr(&want), m->chunks);
    } else {
        assert_string_equal(text, f->text);
    }
}

static void step_check(struct model *m)
{
    struct state *state = state_any(m);
    dir_check(m, state, CIS_FS_ROOT);
    for (size_t i = 0; i < FILES; i++) {
        const struct file *f = &state->files[i];
        if (f->ino != 0 && f->dir) {
            dir_check(m, state, f->ino);
        } else if (f->ino != 0) {
            file_check(m, state, f);
        }
    }
}

static void random_trees_on_random_branches_are_read_back_at_every_view(void **state)
{
    struct model *m = calloc(1, sizeof *m);
    m->cm = state;
    m->s = fs_store(state);
    m->seed = test_seed();
    m->states = calloc(STATES, sizeof *m->states);
    memcpy(m->refs[0], "main", 5);
    for (unsigned i = 0; i < CHUNKS; i++) {
        char text[24];
        snprintf(text, sizeof text, "chunk number %u", i);
        m->chunks[i] = packed_put(m->s, text, strlen(text));
    }
    struct state empty = {.files = {{0}}};
    state_keep(m, &empty, tree_head(m->s, "main"));
    for (unsigned i = 0; i < fs_random_steps; i++) {
        unsigned what = pick(m, 100);
        if (what < 60) {
            step_commit(m);
        } else if (what < 65) {
            step_fork(m);
        } else if (what < 68) {
            step_rollback(m);
        } else if (what < 69) {
            m->s = fs_reopen(state);
        } else {
            step_check(m);
        }
    }
    free(m->states);
    free(m);
}

const struct fs_test fs_tests_model[] = {
    FS_TEST(random_trees_on_random_branches_are_read_back_at_every_view),
    {NULL, NULL},
};
