/* The record of an apply: a branch "applied/ID-N" of the tenant with
 *   kept/PATH  what was at PATH of the folder and is replaced or removed
 *   steps      texts, each with its NUL: "cis-apply 1", run, mount, folder, the state that was
 *              applied; then of each step: kind, path, to, kept, before, after
 *   undone     when it was taken back
 *   again      which files with several names an undo made anew: texts, key before and key now
 *   outward    when symlinks that lead out were asked for
 *   taken      how many steps stand, as a number; when it is missing or empty, the apply or an undo
 *              may have been killed. Only where folders are moved, or when it ended half-way: of
 *              other steps the names tell.
 * It is committed before the folder is touched. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include "base/clock.h"
#include "base/mem.h"
#include "run/cow_deep.h"
#include "store/calls.h"

#define HEAD "cis-apply 1"
#define STEPS "steps"
#define UNDONE "undone"
#define TAKEN "taken"
#define OUTWARD "outward"
#define AGAIN "again"
#define KEPT "kept/" /* before the lower path of what a step replaced */
#define STEPS_MAX (1u << 30)
#define HEAD_BYTES 16384u /* of STEPS: what is before the steps fits */

static cis_code no_memory(struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOMEM, "record of an apply: out of memory");
}

static cis_code not_a_record(const char *ref, struct cis_error *err)
{
    return cis_fail(err, CIS_E_DAMAGED, "%s: not the record of an apply", ref);
}

/* ---- as text ---- */

static void put_text(struct cis_buf *out, const char *value)
{
    cis_buf_text(out, value != NULL ? value : "");
    cis_buf_byte(out, 0);
}

static void put_state(struct cis_buf *out, const struct cow_state *s)
{
    char hex[2 * CIS_DIGEST_BYTES + 1];
    cis_hex(s->digest, sizeof s->digest, hex);
    cis_buf_printf(out, "%" PRIo32 " %" PRIu64 " %s %d %s", s->mode, s->size, hex, s->several,
                   s->key);
    cis_buf_byte(out, 0);
}

static void put_steps(struct cis_buf *out, const struct cow_steps *list)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct cow_step *s = &list->at[i];
        cis_buf_byte(out, (uint8_t)s->op);
        cis_buf_byte(out, 0);
        put_text(out, s->path);
        put_text(out, s->to);
        put_text(out, s->kept);
        put_state(out, &s->before);
        put_state(out, &s->after);
    }
}

/* The next text of the record, with its NUL behind it. */
static bool next_text(struct cis_str *rest, const char **out)
{
    const char *end = memchr(rest->ptr, 0, rest->len);
    if (end == NULL) {
        return false;
    }
    *out = rest->ptr;
    size_t len = (size_t)(end - rest->ptr) + 1;
    *rest = (struct cis_str){rest->ptr + len, rest->len - len};
    return true;
}

static bool next_state(struct cis_str *rest, struct cow_state *out)
{
    const char *value;
    struct cow_state s = {0};
    struct cis_str mode, size, digest, several;
    if (!next_text(rest, &value)) {
        return false;
    }
    struct cis_str all = cis_str_of(value);
    if (!cis_str_split(&all, ' ', &mode) || !cis_str_split(&all, ' ', &size) ||
        !cis_str_split(&all, ' ', &digest) || !cis_str_split(&all, ' ', &several) ||
        !cis_str_octal(mode, &s.mode) || !cis_str_u64(size, &s.size) ||
        !cis_unhex(digest, s.digest, sizeof s.digest) || all.len >= sizeof s.key) {
        return false;
    }
    s.several = cis_str_is(several, "1");
    memcpy(s.key, all.ptr != NULL ? all.ptr : "", all.len);
    *out = s;
    return true;
}

static bool next_step(struct cis_str *rest, struct cow_steps *list)
{
    const char *op, *path, *to, *kept;
    if (!next_text(rest, &op) || !next_text(rest, &path) || !next_text(rest, &to) ||
        !next_text(rest, &kept) ||
        (*op != COW_LEAF && *op != COW_FOLDER && *op != COW_RENAME && *op != COW_FAR_TREE)) {
        return false;
    }
    struct cow_step *s =
        cis_cow_steps_add(list, (enum cow_op) * op, path, *to != 0 ? to : NULL, NULL);
    if (s == NULL || !next_state(rest, &s->before) || !next_state(rest, &s->after) ||
        (s->op == COW_RENAME && s->to == NULL)) {
        return false;
    }
    s->kept = *kept != 0 ? cis_strdup(kept) : NULL;
    return *kept == 0 || s->kept != NULL;
}

/* ---- reading ---- */

void cis_cow_record_done(struct cow_record *record)
{
    cis_free(record->run);
    cis_free(record->guest_path);
    cis_free(record->folder);
    cis_cow_steps_done(&record->steps);
    *record = (struct cow_record){0};
}

static cis_code parse(struct cis_str rest, const char *ref, bool steps, struct cow_record *out,
                      struct cis_error *err)
{
    const char *head = NULL, *run = NULL, *guest_path = NULL, *folder = NULL, *at = NULL;
    struct cis_str view, branch;
    bool ok = next_text(&rest, &head) && strcmp(head, HEAD) == 0 && next_text(&rest, &run) &&
              next_text(&rest, &guest_path) && next_text(&rest, &folder) && next_text(&rest, &at);
    view = ok ? cis_str_of(at) : CIS_STR("");
    ok = ok && cis_str_split(&view, '@', &branch) && cis_str_u64(branch, &out->at.branch) &&
         cis_str_u64(view, &out->at.epoch);
    while (ok && steps && rest.len != 0) {
        ok = next_step(&rest, &out->steps);
    }
    if (!ok) {
        return not_a_record(ref, err);
    }
    out->run = cis_strdup(run);
    out->guest_path = cis_strdup(guest_path);
    out->folder = cis_strdup(folder);
    return out->run != NULL && out->guest_path != NULL && out->folder != NULL ? CIS_OK
                                                                              : no_memory(err);
}

/* A view of a record, to be read. */
struct view {
    cis_vfs *vfs;
    struct cow_tree tree;
    struct cis_vfs_call call;
    struct cis_error why;
};

static void view_close(struct view *v)
{
    cis_cow_tree_close(&v->tree);
    cis_vfs_close(v->vfs);
}

static cis_code view_open(struct view *v, cis_fs_cache *fs_cache, const char *tenant,
                          const char *ref, bool write, const struct cis_stop *stop,
                          struct cis_error *err)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = cis_str_of(tenant);
    o.ref = cis_str_of(ref != NULL ? ref : "");
    o.empty = ref == NULL;
    o.read_only = !write;
    o.kind = CIS_APPLY_KIND;
    o.takes_back = write && ref != NULL; /* what was replaced is kept already: these are notes */
    o.kept = CIS_LAYERED_KEPT_ALL;       /* a folder that is kept may have such names of its own */
    v->call = (struct cis_vfs_call){.stop = stop, .err = &v->why};
    CIS_TRY(cis_layered_open(fs_cache, &o, stop, &v->vfs, err));
    CIS_TRY(cis_cow_tree_open(&v->tree, v->vfs, &v->call, err));
    return cis_cow_places_keep(&v->tree, err);
}

/* Is there such a text? */
static cis_code has_text(struct view *v, const char *name, const char *ref, bool *out,
                         struct cis_error *err)
{
    struct cis_vfs_attr attr;
    int rc = cis_at_stat(v->tree.root, &v->call, cis_str_of(name), COW_WALK, &attr);
    *out = rc == 0;
    return rc == 0 || rc == ENOENT ? CIS_OK : cis_cow_errno(rc, &v->why, ref, err);
}

/* Up to `most` bytes of it. */
static cis_code read_text(struct view *v, const char *name, const char *ref, size_t most,
                          struct cis_buf *out, struct cis_error *err)
{
    struct cis_vfs_attr attr;
    cis_vfs_file *file = NULL;
    int rc = cis_at_open(v->tree.root, &v->call, cis_str_of(name),
                         &(struct cis_open_how){COW_WALK, O_RDONLY, 0}, &file, &attr);
    for (size_t got = 1; rc == 0 && got != 0 && out->len < most;) {
        size_t part = most - out->len < 65536 ? most - out->len : 65536;
        if (cis_buf_reserve(out, part) == NULL) {
            cis_vfs_file_close(file);
            cis_code code = cis_buf_check(out, ref, err);
            return code == CIS_E_LIMIT ? not_a_record(ref, err) : code;
        }
        struct iovec iov = {out->ptr + out->len, part};
        rc = cis_vfs_read(file, &v->call, &iov, 1, out->len, &got);
        out->len += rc == 0 ? got : 0;
    }
    cis_vfs_file_close(file);
    return rc == EISDIR || rc == ENOTDIR || rc == ELOOP ? not_a_record(ref, err)
           : rc == 0                                    ? CIS_OK
                                                        : cis_cow_errno(rc, &v->why, ref, err);
}

/* UINT64_MAX: it is not known. */
static cis_code read_taken(struct view *v, const char *ref, uint64_t *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf number = CIS_BUF_INIT(1u << 17);
    bool there;
    *out = UINT64_MAX;
    CIS_TRY(has_text(v, TAKEN, ref, &there, err));
    CIS_TRY(there ? read_text(v, TAKEN, ref, SIZE_MAX, &number, err) : CIS_OK);
    return number.len == 0 || cis_str_u64(cis_buf_view(&number), out) ? CIS_OK
                                                                      : not_a_record(ref, err);
}

struct writers {
    bool any, all, restored; /* applies; some of those came with a backup */
};

static bool of_apply(void *self, const struct cis_fs_commit_row *row)
{
    struct writers *w = self;
    bool here = cis_str_is(row->kind, CIS_APPLY_KIND);
    bool restored = cis_str_is(row->kind, CIS_APPLY_RESTORED);
    w->any = true;
    w->all = here || restored;
    w->restored = w->restored || restored;
    return w->all;
}

/* What a record says is done to a folder of the host, or believed of it: it has to be by an apply
 * or an undo alone. CIS_E_DENIED: it came with a backup, whoever wrote that. */
static cis_code check_writers(cis_fs_cache *fs_cache, const char *tenant, const char *ref,
                              struct cis_view at, const struct cis_stop *stop,
                              struct cis_error *err)
{
    cis_store *store = cis_fs_cache_store(fs_cache);
    struct writers w = {false, true, false};
    CIS_TRY(cis_store_commits(
        store, cis_str_of(tenant),
        &(struct cis_fs_log_query){.branch = at.branch, .upto = at.epoch, .newest = true}, of_apply,
        &w, stop, err));
    if (!w.any || !w.all) { /* a branch without commits of its own shows another's files */
        return cis_fail(err, CIS_E_DAMAGED,
                        "%s: something other than an apply wrote to this record, so it is not used",
                        ref);
    }
    return !w.restored
               ? CIS_OK
               : cis_fail(err, CIS_E_DENIED,
                          "%s: it came from a backup, so it may be about a folder of another host",
                          ref);
}

static cis_code read_record(cis_fs_cache *fs_cache, const char *tenant, const char *ref, bool steps,
                            const struct cis_stop *stop, struct cow_record *out,
                            struct cis_error *err)
{
    CIS_CLEANUP(view_close) struct view v = {0};
    CIS_CLEANUP(cis_buf_done) struct cis_buf all = CIS_BUF_INIT(STEPS_MAX);
    CIS_TRY(view_open(&v, fs_cache, tenant, ref, false, stop, err));
    CIS_TRY(check_writers(fs_cache, tenant, ref, cis_layered_view(v.vfs), stop, err));
    CIS_TRY(read_text(&v, STEPS, ref, steps ? SIZE_MAX : HEAD_BYTES, &all, err));
    CIS_TRY(has_text(&v, UNDONE, ref, &out->undone, err));
    CIS_TRY(has_text(&v, OUTWARD, ref, &out->outward, err));
    CIS_TRY(steps ? read_taken(&v, ref, &out->taken, err) : CIS_OK);
    return parse(cis_buf_view(&all), ref, steps, out, err);
}

cis_code cis_cow_record_read(cis_fs_cache *fs_cache, const char *tenant, const char *ref,
                             const struct cis_stop *stop, struct cow_record *out,
                             struct cis_error *err)
{
    return read_record(fs_cache, tenant, ref, true, stop, out, err);
}

/* ---- which there are ---- */

struct names {
    struct {
        char name[CIS_FS_REF_MAX + 1];
        int64_t made_ms;
    } * at;
    size_t n, cap;
    struct cis_str prefix;
    bool full;
};

static void names_done(struct names *names)
{
    cis_free(names->at);
}

static bool take_name(void *self, const struct cis_fs_ref *ref)
{
    struct names *l = self;
    if (!cis_str_starts(cis_str_of(ref->name), l->prefix)) {
        return true;
    }
    if (l->n == l->cap) {
        size_t cap = cis_cap_next(l->cap, 16, CIS_MEM_MAX);
        void *more = cis_realloc_array(l->at, cap, sizeof *l->at);
        if (more == NULL) {
            l->full = true;
            return false;
        }
        l->at = more;
        l->cap = cap;
    }
    memcpy(l->at[l->n].name, ref->name, sizeof ref->name);
    l->at[l->n++].made_ms = ref->created_ms;
    return true;
}

/* Those of which only the run's row tells. */
static bool add_lost(struct names *to, const struct cow_marks *marks)
{
    size_t found = to->n;
    for (size_t i = 0; i < cis_cow_marks_n(marks); i++) {
        struct cis_cow_applied mark = cis_cow_marks_at(marks, i);
        struct cis_fs_ref ref = {.created_ms = mark.made_ms};
        bool there = false;
        for (size_t k = 0; k < found && !there; k++) {
            there = strcmp(to->at[k].name, mark.ref) == 0;
        }
        memcpy(ref.name, mark.ref, sizeof ref.name);
        if (!there && !take_name(to, &ref)) {
            return false;
        }
    }
    return true;
}

static cis_code names_load(cis_fs_cache *fs_cache, const char *tenant, const struct cis_stop *stop,
                           struct names *out, struct cis_error *err)
{
    cis_store *store = cis_fs_cache_store(fs_cache);
    CIS_TRY(cis_store_ref_list(store, cis_str_of(tenant), take_name, out, stop, err));
    return out->full ? no_memory(err) : CIS_OK;
}

/* The numbers of a run's applies count up; of several runs, the time of each says which is later.
 */
static void names_sort(struct names *l)
{
    for (size_t i = 1; i < l->n; i++) {
        for (size_t k = i; k > 0; k--) {
            bool number = strlen(l->at[k].name) < strlen(l->at[k - 1].name) ||
                          (strlen(l->at[k].name) == strlen(l->at[k - 1].name) &&
                           strcmp(l->at[k].name, l->at[k - 1].name) < 0);
            bool earlier = l->at[k].made_ms < l->at[k - 1].made_ms ||
                           (l->at[k].made_ms == l->at[k - 1].made_ms && number);
            if (!earlier) {
                break;
            }
            __typeof__(*l->at) swap = l->at[k];
            l->at[k] = l->at[k - 1];
            l->at[k - 1] = swap;
        }
    }
}

cis_code cis_cow_applied_list(cis_fs_cache *fs_cache, const char *tenant, const char *run,
                              const struct cis_stop *stop, cis_cow_applied_each *each, void *self,
                              struct cis_error *err)
{
    char prefix[64];
    CIS_CLEANUP(names_done) struct names list = {0};
    CIS_CLEANUP(cis_cow_marks_done) struct cow_marks marks = {0};
    snprintf(prefix, sizeof prefix, CIS_APPLIED_PREFIX "%s-", run);
    list.prefix = cis_str_of(prefix);
    CIS_TRY(names_load(fs_cache, tenant, stop, &list, err)); /* an apply makes them in this order */
    CIS_TRY(cis_cow_marks_load(fs_cache, tenant, run, stop, &marks, err));
    if (!add_lost(&list, &marks)) {
        return no_memory(err);
    }
    names_sort(&list);
    for (size_t i = list.n; i > 0;) {
        i--;
        CIS_CLEANUP(cis_cow_record_done) struct cow_record record = {0};
        struct cis_error why = {0};
        struct cis_cow_applied applied = cis_cow_marks_of(&marks, list.at[i].name);
        cis_code code = read_record(fs_cache, tenant, list.at[i].name, false, stop, &record, &why);
        if (code != CIS_OK && code != CIS_E_DENIED && code != CIS_E_NOTFOUND &&
            code != CIS_E_DAMAGED && code != CIS_E_EXPIRED) {
            return cis_fail(err, code, "%s", why.msg);
        }
        applied.made_ms = list.at[i].made_ms;
        applied.restored = code == CIS_E_DENIED;
        if (code == CIS_OK) {
            applied.guest_path = record.guest_path;
            applied.folder = record.folder;
            applied.at = record.at;
            applied.undone = record.undone;
            applied.outward = record.outward;
        } else if (!applied.restored) {
            applied.lost = why.msg;
        }
        if (!each(self, &applied)) {
            break;
        }
    }
    return CIS_OK;
}

/* ---- what they left ---- */

static cis_code note_state(struct cis_map *to, const char *path, const struct cow_state *state,
                           struct cis_error *err)
{
    struct cow_state *copy = cis_alloc(sizeof *copy);
    void *old = NULL;
    if (copy == NULL) {
        return no_memory(err);
    }
    const struct cow_state *had = cis_map_get(to, cis_str_of(path));
    *copy = *state;
    if (had != NULL && S_ISDIR(had->mode) && S_ISDIR(state->mode) && state->key[0] == '\0') {
        memcpy(copy->key, had->key, sizeof copy->key); /* other permissions of the same folder */
    }
    cis_code code = cis_map_set(to, cis_str_of(path), copy, &old, err);
    cis_free(code == CIS_OK ? old : copy);
    return code;
}

/* An apply of the same run that was killed before this step left what it found: what the one before
 * it had left. */
static cis_code note_begun(struct cow_plan *p, const struct cow_step *s, struct cis_error *err)
{
    const struct cow_state *had = cis_map_get(&p->states, cis_str_of(s->path));
    bool same = had != NULL && (s->op == COW_FAR_TREE ? cis_cow_far_same(had, &s->before)
                                                      : cis_cow_state_same(had, &s->before));
    return same ? note_state(&p->begun, s->path, had, err) : CIS_OK;
}

static cis_code note_states(struct cow_plan *p, const struct cow_record *record,
                            struct cis_error *err)
{
    for (size_t i = 0; i < record->steps.n; i++) {
        const struct cow_step *s = &record->steps.at[i];
        bool moved = s->op == COW_RENAME;
        if (!record->undone) {
            CIS_TRY(moved || strcmp(record->run, p->how->run) != 0 ? CIS_OK
                                                                   : note_begun(p, s, err));
            CIS_TRY(note_state(&p->states, moved ? s->to : s->path, moved ? &s->before : &s->after,
                               err));
        } else if (s->op == COW_LEAF && s->kept != NULL && S_ISREG(s->before.mode) &&
                   cis_str_starts(cis_str_of(s->kept), CIS_STR(KEPT))) {
            const char *lower = s->kept + strlen(KEPT);
            const struct cow_state *first = cis_map_get(&p->put_back, cis_str_of(lower));
            if (first == NULL ||
                !cis_cow_state_same(first, &s->before)) { /* that is what was seen */
                CIS_TRY(note_state(&p->put_back, lower, &s->before, err));
            }
        }
    }
    return CIS_OK;
}

/* Is the view a state that led to the one that is applied now? */
static bool led_here(const struct cow_plan *p, struct cis_view view)
{
    cis_store *store = cis_fs_cache_store(p->cow->fs_cache);
    struct cis_view owner;
    struct cis_error ignored;
    return view.epoch <= p->cow->at.epoch &&
           cis_store_view_check(store, cis_str_of(p->cow->tenant),
                                (struct cis_view){p->cow->at.branch, view.epoch}, &owner,
                                &p->cow->stop, &ignored) == CIS_OK &&
           owner.branch == view.branch;
}

/* A record could not be read: because of what it is, so that it says nothing? All else (a busy
 * store, a lost connection, Ctrl-C) is no answer, and who goes on without one leaves files out. */
static bool says_nothing(const cis_cow *cow, const char *ref, cis_code code)
{
    cis_store *store = cis_fs_cache_store(cow->fs_cache);
    struct cis_fs_ref row;
    struct cis_error ignored;
    return code == CIS_E_DAMAGED || code == CIS_E_NOTFOUND || code == CIS_E_DENIED ||
           (code == CIS_E_EXPIRED && /* a gc took it since it was listed */
            cis_store_ref_get(store, cis_str_of(cow->tenant), cis_str_of(ref), &row, &cow->stop,
                              &ignored) == CIS_E_NOTFOUND);
}

static cis_code read_states(struct cow_plan *p, struct cis_error *err)
{
    CIS_CLEANUP(names_done) struct names list = {.prefix = CIS_STR(CIS_APPLIED_PREFIX)};
    CIS_TRY(names_load(p->cow->fs_cache, p->cow->tenant, &p->cow->stop, &list, err));
    names_sort(&list);
    for (size_t i = 0; i < list.n; i++) {
        CIS_CLEANUP(cis_cow_record_done) struct cow_record record = {0};
        struct cis_error why;
        cis_code code = cis_cow_record_read(p->cow->fs_cache, p->cow->tenant, list.at[i].name,
                                            &p->cow->stop, &record, &why);
        if (code != CIS_OK && says_nothing(p->cow, list.at[i].name, code)) {
            continue; /* then what it left is not known, and checked as anybody's */
        }
        if (code != CIS_OK) {
            return cis_fail(err, code, "%s", why.msg);
        }
        if (strcmp(record.folder, p->cow->folder) == 0 && led_here(p, record.at)) {
            CIS_TRY(note_states(p, &record, err));
        }
    }
    return CIS_OK;
}

cis_code cis_cow_plan_state(struct cow_plan *p, const char *path, const struct cow_state **out,
                            struct cis_error *err)
{
    if (!p->states_known) {
        CIS_TRY(read_states(p, err));
        p->states_known = true;
    }
    *out = cis_map_get(&p->states, cis_str_of(path));
    return CIS_OK;
}

cis_code cis_cow_records(const cis_cow *cow, cis_cow_record_each *each, void *self,
                         struct cis_error *err)
{
    CIS_CLEANUP(names_done) struct names list = {.prefix = CIS_STR(CIS_APPLIED_PREFIX)};
    CIS_TRY(names_load(cow->fs_cache, cow->tenant, &cow->stop, &list, err));
    names_sort(&list);
    bool done = false;
    for (size_t i = list.n; i > 0 && !done;) { /* the newest first */
        i--;
        CIS_CLEANUP(cis_cow_record_done) struct cow_record record = {0};
        struct cis_error why;
        cis_code code = cis_cow_record_read(cow->fs_cache, cow->tenant, list.at[i].name, &cow->stop,
                                            &record, &why);
        if (code != CIS_OK && !says_nothing(cow, list.at[i].name, code)) {
            return cis_fail(err, code, "%s", why.msg);
        }
        if (code == CIS_OK && strcmp(record.folder, cow->folder) == 0) {
            CIS_TRY(each(self, &record, &done, err));
        }
    }
    return CIS_OK;
}

/* ---- writing ---- */

/* Those that a path leads through. */
static int make_folders(const struct view *v, char *path)
{
    const cis_dir *dir;
    struct cis_str name;
    int rc = cis_cow_at(&v->tree, &v->call, path, &dir, &name);
    if (rc != ENOENT) {
        return rc;
    }
    rc = 0;
    for (char *at = strchr(path, '/'); at != NULL && rc == 0; at = strchr(at + 1, '/')) {
        struct cis_vfs_make make = {.mode = S_IFDIR | 0755};
        *at = 0;
        rc = cis_cow_make(&v->tree, &v->call, path, &make);
        rc = rc == EEXIST ? 0 : rc;
        *at = '/';
    }
    return rc;
}

static int keep_far(struct view *v, struct cow_plan *p, const struct cow_step *s,
                    uint8_t digest[CIS_DIGEST_BYTES])
{
    struct cow_deep how = {.to = &v->tree, .name = s->kept};
    struct cow_state state;
    int rc = make_folders(v, s->kept);
    rc = rc == 0 ? cis_cow_deep(&p->cow->below, &v->call, s->lower, &how, &state) : rc;
    if (rc == 0) {
        memcpy(digest, state.digest, CIS_DIGEST_BYTES);
    }
    return rc;
}

/* Files with several names in the folder are kept as one. */
static int keep_one(struct view *v, struct cow_plan *p, const struct cow_step *s,
                    struct cis_map *linked, uint8_t digest[CIS_DIGEST_BYTES])
{
    struct cis_vfs_attr attr;
    struct cis_error ignored;
    char key[CIS_UNION_KEY];
    int rc = cis_at_stat(p->cow->below.root, &p->cow->call, cis_str_of(s->lower), COW_WALK, &attr);
    bool several = rc == 0 && S_ISREG(attr.mode) && attr.nlink > 1;
    cis_union_key(&attr, key);
    const struct cow_step *other = several ? cis_map_get(linked, cis_str_of(key)) : NULL;
    rc = rc == 0 ? make_folders(v, s->kept) : rc;
    if (rc == 0 && other != NULL && cis_cow_state_same(&other->before, &s->before)) {
        memcpy(digest, s->before.digest, CIS_DIGEST_BYTES);
        const cis_dir *dir;
        struct cis_str name;
        rc = cis_cow_at(&v->tree, &v->call, s->kept, &dir, &name);
        return rc == 0 ? cis_at_link(v->tree.root, cis_str_of(other->kept), dir, name, &v->call,
                                     COW_WALK)
                       : rc;
    }
    rc = rc == 0 ? cis_cow_copy(&p->cow->below, s->lower, &v->tree, s->kept, s->before.mode,
                                &v->call, digest)
                 : rc;
    if (rc == 0 && several &&
        cis_map_set(linked, cis_str_of(key), (void *)(uintptr_t)s, NULL, &ignored) != CIS_OK) {
        rc = ENOMEM;
    }
    return rc;
}

static cis_code keep(struct view *v, struct cow_plan *p, const struct cow_steps *steps,
                     struct cis_map *linked, struct cis_error *err)
{
    for (size_t i = 0; i < steps->n; i++) {
        const struct cow_step *s = &steps->at[i];
        uint8_t digest[CIS_DIGEST_BYTES];
        if (s->kept == NULL) {
            continue;
        }
        int rc =
            s->op == COW_FAR_TREE ? keep_far(v, p, s, digest) : keep_one(v, p, s, linked, digest);
        if (cow_is_other(rc) || (rc == 0 && memcmp(digest, s->before.digest, sizeof digest) != 0)) {
            return cis_fail(err, CIS_E_CONFLICT,
                            "%.140s: it was changed while cis compared it; nothing was done",
                            s->path);
        }
        if (rc != 0) {
            return cis_cow_errno(rc, v->why.code != CIS_OK ? &v->why : &p->cow->why, s->path, err);
        }
    }
    return CIS_OK;
}

static cis_code write_text(struct view *v, const char *name, struct cis_bytes bytes,
                           struct cis_error *err)
{
    struct cis_vfs_attr attr;
    cis_vfs_file *file = NULL;
    int rc = cis_at_open(v->tree.root, &v->call, cis_str_of(name),
                         &(struct cis_open_how){COW_WALK, O_WRONLY | O_CREAT | O_TRUNC, 0644},
                         &file, &attr);
    for (size_t done = 0, put = 0; rc == 0 && done < bytes.len; done += put) {
        uint64_t end;
        struct iovec iov = {(void *)(uintptr_t)(bytes.ptr + done), bytes.len - done};
        rc = cis_vfs_write(file, &v->call, &iov, 1, done, &put, &end);
        rc = rc == 0 && put == 0 ? ENOSPC : rc;
    }
    cis_vfs_file_close(file);
    return rc == 0 ? CIS_OK : cis_cow_errno(rc, &v->why, name, err);
}

/* The greatest number that a record of the run ever had, as far as its row says: one that is gone
 * and a new one of the same name would be taken for each other. */
static cis_code last_number(const struct cow_plan *p, unsigned *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_cow_marks_done) struct cow_marks marks = {0};
    CIS_TRY(cis_cow_marks_load(p->cow->fs_cache, p->cow->tenant, p->how->run, &p->cow->stop, &marks,
                               err));
    for (size_t i = 0; i < cis_cow_marks_n(&marks); i++) {
        struct cis_cow_applied mark = cis_cow_marks_at(&marks, i);
        const char *dash = strrchr(mark.ref, '-');
        uint64_t n;
        if (dash != NULL && cis_str_u64(cis_str_of(dash + 1), &n) && n > *out &&
            n < UINT32_MAX / 2) {
            *out = (unsigned)n;
        }
    }
    return CIS_OK;
}

static cis_code commit(struct view *v, struct cow_plan *p, struct cis_error *err)
{
    char note[CIS_FS_NOTE_MAX];
    struct cis_error why = {0};
    cis_code code = CIS_E_EXISTS;
    snprintf(note, sizeof note, "run %s applied to %.900s", p->how->run, p->cow->folder);
    struct cis_store_commit with = {.kind = CIS_APPLY_KIND, .note = note};
    unsigned first = 0;
    CIS_TRY(last_number(p, &first, err));
    for (unsigned n = first + 1; code == CIS_E_EXISTS && n - first < 1000000; n++) {
        snprintf(p->record, sizeof p->record, CIS_APPLIED_PREFIX "%s-%u", p->how->run, n);
        code = cis_layered_commit_fork(v->vfs, cis_str_of(p->record), &with, NULL, &p->cow->stop,
                                       &why);
    }
    return code == CIS_OK
               ? CIS_OK
               : cis_fail(err, code, "cannot keep a copy of what is replaced: %.180s", why.msg);
}

cis_code cis_cow_record_write(struct cow_plan *p, struct cis_error *err)
{
    CIS_CLEANUP(view_close) struct view v = {0};
    CIS_CLEANUP(cis_buf_done) struct cis_buf all = CIS_BUF_INIT(STEPS_MAX);
    struct cis_map linked = CIS_MAP_INIT;
    char at[64];
    CIS_TRY(view_open(&v, p->cow->fs_cache, p->cow->tenant, NULL, true, &p->cow->stop, err));
    cis_code code = keep(&v, p, &p->first, &linked, err);
    code = code == CIS_OK ? keep(&v, p, &p->steps, &linked, err) : code;
    cis_map_done(&linked, NULL);
    CIS_TRY(code);
    snprintf(at, sizeof at, "%" PRIu64 "@%" PRIu64, p->cow->at.branch, p->cow->at.epoch);
    const char *const head[] = {HEAD, p->how->run, p->how->guest_path, p->cow->folder, at};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++) {
        put_text(&all, head[i]);
    }
    put_steps(&all, &p->first);
    put_steps(&all, &p->steps);
    put_steps(&all, &p->last);
    CIS_TRY(cis_buf_check(&all, "record of an apply", err));
    CIS_TRY(write_text(&v, STEPS, cis_buf_bytes(&all), err));
    if (p->how->outward) {
        CIS_TRY(write_text(&v, OUTWARD, cis_bytes_of("", 0), err));
    }
    return commit(&v, p, err);
}

static cis_code note(cis_fs_cache *fs_cache, const char *tenant, const char *ref, const char *name,
                     const char *value, const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(view_close) struct view v = {0};
    struct cis_store_commit with = {.kind = CIS_APPLY_KIND, .note = name};
    struct cis_fs_committed done;
    CIS_TRY(view_open(&v, fs_cache, tenant, ref, true, stop, err));
    CIS_TRY(write_text(&v, name, cis_bytes_of(value, strlen(value)), err));
    return cis_layered_commit(v.vfs, &with, &done, stop, err);
}

/* Behind `out` is what there is. */
static cis_code read_again(struct view *v, const char *ref, struct cis_buf *out,
                           struct cis_error *err)
{
    bool there;
    CIS_TRY(has_text(v, AGAIN, ref, &there, err));
    return there ? read_text(v, AGAIN, ref, SIZE_MAX, out, err) : CIS_OK;
}

cis_code cis_cow_record_undone(cis_fs_cache *fs_cache, const char *tenant, const char *ref,
                               bool whole, struct cis_bytes again, const struct cis_stop *stop,
                               struct cis_error *err)
{
    CIS_CLEANUP(view_close) struct view v = {0};
    CIS_CLEANUP(cis_buf_done) struct cis_buf all = CIS_BUF_INIT(STEPS_MAX);
    struct cis_store_commit with = {.kind = CIS_APPLY_KIND, .note = whole ? UNDONE : AGAIN};
    struct cis_fs_committed done;
    if (!whole && again.len == 0) {
        return CIS_OK;
    }
    CIS_TRY(view_open(&v, fs_cache, tenant, ref, true, stop, err));
    if (again.len != 0) {
        CIS_TRY(read_again(&v, ref, &all, err));
        cis_buf_add(&all, again.ptr, again.len);
        CIS_TRY(cis_buf_check(&all, ref, err));
        CIS_TRY(write_text(&v, AGAIN, cis_buf_bytes(&all), err));
    }
    CIS_TRY(whole ? write_text(&v, UNDONE, cis_bytes_of("", 0), err) : CIS_OK);
    return cis_layered_commit(v.vfs, &with, &done, stop, err);
}

static cis_code again_of(cis_cow *cow, const char *ref, struct cis_error *err)
{
    CIS_CLEANUP(view_close) struct view v = {0};
    CIS_CLEANUP(cis_cow_record_done) struct cow_record record = {0};
    CIS_CLEANUP(cis_buf_done) struct cis_buf all = CIS_BUF_INIT(STEPS_MAX);
    const char *was, *now;
    bool there;
    CIS_TRY(view_open(&v, cow->fs_cache, cow->tenant, ref, false, &cow->stop, err));
    CIS_TRY(has_text(&v, AGAIN, ref, &there, err));
    if (!there) { /* as most have none, most are not read */
        return CIS_OK;
    }
    CIS_TRY(read_record(cow->fs_cache, cow->tenant, ref, false, &cow->stop, &record, err));
    if (strcmp(record.folder, cow->folder) != 0) {
        return CIS_OK;
    }
    CIS_TRY(read_again(&v, ref, &all, err));
    struct cis_str rest = cis_buf_view(&all);
    while (rest.len != 0) {
        if (!next_text(&rest, &was) || !next_text(&rest, &now) || strlen(was) >= CIS_UNION_KEY ||
            strlen(now) >= CIS_UNION_KEY) {
            return not_a_record(ref, err);
        }
        CIS_TRY(cis_union_again(cow->joined, was, now, err));
    }
    return CIS_OK;
}

cis_code cis_cow_record_again(cis_cow *cow, struct cis_error *err)
{
    CIS_CLEANUP(names_done) struct names list = {.prefix = CIS_STR(CIS_APPLIED_PREFIX)};
    if (!cis_union_changed(cow->joined)) {
        return CIS_OK;
    }
    /* Also for a branch that knows no file by its key: an undo that makes one anew which another
     * branch knows so has to say it again. */
    CIS_TRY(names_load(cow->fs_cache, cow->tenant, &cow->stop, &list, err));
    names_sort(&list);
    for (size_t i = 0; i < list.n; i++) {
        struct cis_error why;
        cis_code code = again_of(cow, list.at[i].name, &why);
        if (code != CIS_OK && !says_nothing(cow, list.at[i].name, code)) {
            return cis_fail(err, code, "%s", why.msg);
        }
    }
    return CIS_OK;
}

cis_code cis_cow_record_taken(cis_fs_cache *fs_cache, const char *tenant, const char *ref,
                              uint64_t n, struct cis_error *err)
{
    char value[24] = "";
    struct cis_stop soon = {cis_clock_after(cis_clock_mono_ns(), 10 * CIS_NS_PER_S), NULL};
    if (n != UINT64_MAX) {
        snprintf(value, sizeof value, "%" PRIu64, n);
    }
    return note(fs_cache, tenant, ref, TAKEN, value, &soon, err);
}
