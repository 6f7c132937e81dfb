/* From what the branch makes of the folder to steps, each checked: what a step replaces or removes
 * must be as the run saw it, or as an apply of this branch left it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/mem.h"
#include "run/cow_deep.h"
#include "vfs/hostdir/hostdir.h"

void cis_cow_plan_done(struct cow_plan *plan)
{
    cis_cow_changes_done(&plan->list);
    cis_cow_steps_done(&plan->first);
    cis_cow_steps_done(&plan->steps);
    cis_cow_steps_done(&plan->last);
    cis_free(plan->ends);
    cis_map_done(&plan->from, NULL);
    cis_map_done(&plan->to, NULL);
    cis_map_done(&plan->states, cis_free);
    cis_map_done(&plan->begun, cis_free);
    cis_map_done(&plan->put_back, cis_free);
    cis_map_done(&plan->told, NULL);
    cis_cow_tried_done(&plan->tried);
}

/* What was there a moment ago is not there any more. */
static cis_code plan_fail(struct cow_plan *p, int rc, const char *path, struct cis_error *err)
{
    return cow_is_other(rc) || rc == ESTALE
               ? cis_fail(err, CIS_E_CONFLICT,
                          "%.140s: it was changed while cis compared it; nothing was done", path)
               : cis_cow_fail(p->cow, rc, path, err);
}

static cis_code read_state(struct cow_plan *p, const struct cow_tree *tree, const char *path,
                           struct cow_state *out, struct cis_error *err)
{
    int rc = cis_cow_state_read(tree, &p->cow->call, path, out);
    if (rc == 0 && tree == &p->cow->below && S_ISREG(out->mode)) { /* an undo has to say so again */
        out->several = out->several || cis_union_is_again(p->cow->joined, out->key);
    }
    return rc == 0 ? CIS_OK : plan_fail(p, rc, path, err);
}

static cis_code add(struct cow_steps *list, enum cow_op op, const char *path, const char *lower,
                    const struct cow_state *before, const struct cow_state *after,
                    struct cis_error *err)
{
    struct cow_step *s = cis_cow_steps_add(list, op, path, NULL, lower);
    if (s == NULL) {
        return cow_no_memory(err);
    }
    s->before = *before;
    s->after = *after;
    if (op == COW_LEAF && before->mode != 0) {
        s->kept = cis_cow_path("kept", lower);
        return s->kept != NULL ? CIS_OK : cow_no_memory(err);
    }
    return CIS_OK;
}

/* ---- has anything changed since? ---- */

static bool as_seen(const struct cis_union_seen *seen, const struct cow_state *now)
{
    return seen->mode == now->mode &&
           (!seen->hashed || (seen->size == now->size &&
                              memcmp(seen->digest, now->digest, sizeof now->digest) == 0));
}

/* An undo put it back as a new file. What the run saw of one with several names is known by what
 * the file was, whatever names it lost since. */
static bool was_seen(struct cow_plan *p, const char *lower, const struct cow_state *now)
{
    const struct cow_state *was = cis_map_get(&p->put_back, cis_str_of(lower));
    struct cis_union_seen seen;
    return was != NULL && S_ISREG(now->mode) && cis_cow_state_same(was, now) &&
           cis_union_seen_by_key(p->cow->joined, &p->cow->call, was->key, &seen) == 0 &&
           as_seen(&seen, now);
}

static cis_code check(struct cow_plan *p, const char *lower, const struct cow_state *now,
                      const struct cow_state *after, const char *key, struct cis_error *err)
{
    struct cis_union_seen seen;
    struct cis_vfs_attr attr;
    if (p->how->force || cis_cow_state_same(now, after)) {
        return CIS_OK;
    }
    bool there =
        cis_at_stat(p->cow->below.root, &p->cow->call, cis_str_of(lower), COW_WALK, &attr) == 0;
    int rc = cis_union_seen(p->cow->joined, &p->cow->call, cis_str_of(lower), there ? &attr : NULL,
                            &seen);
    if (rc != 0 && rc != ENOENT) {
        return plan_fail(p, rc, lower, err);
    }
    if (rc == ENOENT ? now->mode == 0
                     : as_seen(&seen, now) && (key == NULL || strcmp(seen.key, key) == 0)) {
        return CIS_OK;
    }
    const struct cow_state *left[2];
    bool same = false;
    CIS_TRY(cis_cow_plan_state(p, lower, &left[0], err));
    left[1] = cis_map_get(&p->begun, cis_str_of(lower));
    for (int i = 0; i < 2; i++) {
        same =
            same || (left[i] != NULL && cis_cow_state_same(left[i], now) && /* folders are alike */
                     (key == NULL || strcmp(left[i]->key, key) == 0));      /* but for that */
    }
    if (same || (rc == ENOENT && was_seen(p, lower, now))) {
        return CIS_OK;
    }
    cow_conflict(p, lower,
                 now->mode == 0 ? "removed in the folder since"
                 : rc == ENOENT ? "made in the folder since"
                 : key != NULL  ? "another folder since"
                                : "changed in the folder since");
    return CIS_OK;
}

/* ---- steps of one change ---- */

/* Where the folder has, before all steps, what the branch has at path: the same, but below a folder
 * that was renamed. *out_gone: it is, or is in, a folder that moves away before. */
static cis_code lower_of(struct cow_plan *p, const char *path, char **out, bool *out_gone,
                         struct cis_error *err)
{
    size_t own = 0; /* what is before it of *out is the renamed folder itself */
    *out = NULL;
    for (size_t len = strlen(path); len > 0 && *out == NULL;) {
        len--;
        const struct cow_change *c =
            path[len] == '/' ? cis_map_get(&p->to, (struct cis_str){path, len}) : NULL;
        if (c != NULL) {
            own = strlen(c->from) + 1;
            *out = cis_cow_path(c->from, path + len + 1);
            CIS_TRY(*out != NULL ? CIS_OK : cow_no_memory(err));
        }
    }
    *out = *out != NULL ? *out : cis_strdup(path);
    CIS_TRY(*out != NULL ? CIS_OK : cow_no_memory(err));
    *out_gone = false;
    for (size_t len = strlen(*out); len > own && !*out_gone; len--) {
        bool part = (*out)[len] == '/' || (*out)[len] == '\0';
        *out_gone = part && cis_map_get(&p->from, (struct cis_str){*out, len}) != NULL;
    }
    return CIS_OK;
}

/* A folder that an undo makes again is of whoever undoes, and of that user's group, or of the group
 * of a folder that hands its own on. A user who is not root cannot have made another's folder:
 * where all that is there seems to be another's, the filesystem says so of everything. */
static cis_code check_owner(struct cow_plan *p, const char *lower, const struct cis_vfs_attr *attr,
                            struct cis_error *err)
{
    const char *slash = strrchr(lower, '/');
    CIS_CLEANUP(cis_freep)
    char *in = slash != NULL ? cis_strndup(lower, (size_t)(slash - lower)) : cis_strdup(".");
    struct cis_vfs_attr parent;
    char why[120];
    if (in == NULL) {
        return cow_no_memory(err);
    }
    int rc = cis_at_stat(p->cow->below.root, &p->cow->call, cis_str_of(in), COW_WALK, &parent);
    if (rc != 0) {
        return plan_fail(p, rc, in, err);
    }
    uint32_t gid = (parent.mode & S_ISGID) != 0 ? parent.gid : getegid();
    bool ours = geteuid() == 0 || parent.uid == geteuid();
    if (ours && (attr->uid != geteuid() || attr->gid != gid)) {
        snprintf(why, sizeof why,
                 "would go, and its owner %" PRIu32 ":%" PRIu32 " could not be brought back",
                 attr->uid, attr->gid);
        cow_conflict(p, lower, why);
    }
    return CIS_OK;
}

/* The record keeps no extended attributes: an undo would bring the file or folder back without
 * them, and without its access list a folder's group may get more than it had. replaced: by another
 * file, which gets most of them. */
static cis_code check_extras(struct cow_plan *p, const char *lower, const struct cow_state *now,
                             bool replaced, struct cis_error *err)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    char name[256], why[400];
    if (p->how->force || (!S_ISREG(now->mode) && !S_ISDIR(now->mode))) {
        return CIS_OK;
    }
    int rc = cis_at_open(
        p->cow->below.root, &p->cow->call, cis_str_of(lower),
        &(struct cis_open_how){COW_WALK, O_RDONLY | (S_ISDIR(now->mode) ? O_DIRECTORY : 0), 0},
        &file, &attr);
    if (rc != 0) {
        return plan_fail(p, rc, lower, err);
    }
    cis_hostdir_extra(file, replaced, name);
    cis_vfs_file_close(file);
    if (name[0] != '\0') {
        snprintf(why, sizeof why, "would %s, and its attribute %s could not be brought back",
                 replaced ? "be replaced" : "go", name);
        cow_conflict(p, lower, why);
    }
    return S_ISDIR(now->mode) ? check_owner(p, lower, &attr, err) : CIS_OK;
}

/* With all below it; recursion is as deep as paths are long (CIS_VFS_PATH_MAX). */
static cis_code plan_remove(struct cow_plan *p, const char *lower, const char *path,
                            struct cis_error *err)
{
    static const struct cow_state nothing;
    struct cow_state now;
    struct cow_entries list = {0};
    if (cis_map_get(&p->from, cis_str_of(lower)) != NULL) {
        return CIS_OK; /* it is moved away */
    }
    CIS_TRY(cis_stop_check(&p->cow->stop, "apply", err));
    CIS_TRY(read_state(p, &p->cow->below, lower, &now, err));
    if (now.mode == 0) {
        return CIS_OK;
    }
    if (!S_ISDIR(now.mode)) {
        CIS_TRY(check(p, lower, &now, &nothing, NULL, err));
        CIS_TRY(check_extras(p, lower, &now, false, err));
        CIS_TRY(cis_cow_try_place(p, path, lower, false, err));
        return add(&p->steps, COW_LEAF, path, lower, &now, &nothing, err);
    }
    bool far;
    CIS_TRY(cis_cow_far_below(p, lower, &far, err));
    if (far) {
        return cis_cow_far_plan(p, path, lower, false, true, err);
    }
    CIS_TRY(check_extras(p, lower, &now, false, err));
    CIS_TRY(cis_cow_try_place(p, path, lower, false, err));
    CIS_TRY(cis_cow_try_folder(p, lower, true, err));
    int rc = cis_cow_list(&p->cow->below, &p->cow->call, lower, &list);
    cis_code code = rc == 0 ? CIS_OK : plan_fail(p, rc, lower, err);
    for (size_t i = 0; i < list.n && code == CIS_OK; i++) {
        CIS_CLEANUP(cis_freep) char *below = cis_cow_path(lower, list.at[i].name);
        CIS_CLEANUP(cis_freep) char *above = cis_cow_path(path, list.at[i].name);
        code =
            below != NULL && above != NULL ? plan_remove(p, below, above, err) : cow_no_memory(err);
    }
    cis_cow_entries_done(&list);
    return code == CIS_OK ? add(&p->steps, COW_FOLDER, path, lower, &now, &nothing, err) : code;
}

/* A folder that its owner may not write to gets its permissions last, behind what is in it. lower:
 * as for cis_cow_try_place. */
static cis_code plan_folder(struct cow_plan *p, const char *path, const char *lower,
                            const struct cow_state *now, uint32_t mode, struct cis_error *err)
{
    struct cow_state open = {.mode = mode | 0700}, last = {.mode = mode};
    if (now->mode == 0) {
        CIS_TRY(cis_cow_try_place(p, path, lower, true, err));
    } else if (now->mode != mode) {
        CIS_TRY(cis_cow_try_opened(p, path, err));
    }
    if (now->mode != open.mode) {
        CIS_TRY(add(&p->steps, COW_FOLDER, path, NULL, now, &open, err));
    }
    return open.mode != mode ? add(&p->last, COW_FOLDER, path, NULL, &open, &last, err) : CIS_OK;
}

/* What a guest wrote never gets set-id bits, whatever the file had that it wrote to: the kernel
 * takes them from a file that is written, and apply makes a new one. */
static void drop_set_id(struct cow_state *after, const struct cow_state *now, bool gone)
{
    uint32_t bits = S_ISUID | ((after->mode & S_IXGRP) != 0 ? (uint32_t)S_ISGID : 0u);
    bool same = !gone && S_ISREG(now->mode) && now->size == after->size &&
                memcmp(now->digest, after->digest, sizeof after->digest) == 0;
    if (S_ISREG(after->mode)) {
        after->mode &= ~bits | (same ? now->mode : 0u);
    }
}

/* Can the folder take it? gone: nothing is at lower by then. */
static cis_code try_leaf(struct cow_plan *p, const struct cow_change *c, const char *lower,
                         bool gone, const struct cow_state *now, const struct cow_state *after,
                         struct cis_error *err)
{
    CIS_TRY(cis_cow_try_place(p, c->path, gone ? NULL : lower, now->mode == 0, err));
    return S_ISREG(after->mode) ? cis_cow_try_file(p, c->path, after->mode, after->size, err)
           : c->target != NULL  ? cis_cow_try_link(p, c->path, c->target, err)
                                : CIS_OK;
}

static cis_code plan_leaf(struct cow_plan *p, const struct cow_change *c, const char *lower,
                          bool gone, struct cis_error *err)
{
    const char *path = c->path;
    struct cow_state now, after;
    struct cis_vfs_attr a, b;
    CIS_TRY(read_state(p, &p->cow->above, path, &after, err));
    CIS_TRY(read_state(p, &p->cow->below, lower, &now, err));
    drop_set_id(&after, &now, gone);
    if (c->target != NULL && (gone || !cis_cow_state_same(&now, &after))) {
        CIS_TRY(cis_cow_links_made(p, path, c->target, err));
    }
    if (gone || (now.mode != 0 && (now.mode & S_IFMT) != (after.mode & S_IFMT))) {
        CIS_TRY(try_leaf(p, c, lower, gone, &now, &after, err));
        now = (struct cow_state){0}; /* removed or moved before, and checked there */
        return add(&p->steps, COW_LEAF, path, lower, &now, &after, err);
    }
    CIS_TRY(check(p, lower, &now, &after, NULL, err));
    const struct cis_vfs_call *call = &p->cow->call;
    if (cis_cow_state_same(&now, &after) && now.mode != 0 &&
        cis_cow_stat(&p->cow->above, call, path, &a) == 0 &&
        cis_at_stat(p->cow->below.root, call, cis_str_of(lower), COW_WALK, &b) == 0 &&
        (S_ISLNK(a.mode) ||
         (a.mtime.tv_sec == b.mtime.tv_sec && a.mtime.tv_nsec == b.mtime.tv_nsec))) {
        return CIS_OK; /* an apply before this one, or the user, did it */
    }
    CIS_TRY(check_extras(p, lower, &now, true, err));
    CIS_TRY(try_leaf(p, c, lower, gone, &now, &after, err));
    return add(&p->steps, COW_LEAF, path, lower, &now, &after, err);
}

static void aside_name(size_t number, char out[40])
{
    snprintf(out, 40, COW_ASIDE "%zu", number);
}

static cis_code plan_rename(struct cow_plan *p, const struct cow_change *c, struct cis_error *err)
{
    struct cow_state now;
    char name[40];
    aside_name(c->number, name);
    CIS_CLEANUP(cis_freep) char *lower = NULL;
    bool gone = false;
    char *slash = strrchr(c->path, '/');
    CIS_TRY(read_state(p, &p->cow->below, c->from, &now, err));
    if (slash != NULL) { /* the folder that it comes to */
        CIS_CLEANUP(cis_freep) char *to = cis_strndup(c->path, (size_t)(slash - c->path));
        CIS_TRY(to != NULL ? lower_of(p, to, &lower, &gone, err) : cow_no_memory(err));
        if (!gone && cis_map_get(&p->tried.opened, cis_str_of(to)) == NULL) {
            CIS_TRY(cis_cow_try_folder(p, lower, false, err));
        }
    }
    CIS_TRY(cis_cow_try_place(p, c->path, NULL, false, err));
    struct cow_step *s = cis_cow_steps_add(&p->steps, COW_RENAME, name, c->path, c->from);
    if (s == NULL) {
        return cow_no_memory(err);
    }
    s->before = s->after = now;
    return now.mode == c->mode ? CIS_OK : plan_folder(p, c->path, NULL, &now, c->mode, err);
}

static cis_code plan_change(struct cow_plan *p, const struct cow_change *c, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *lower = NULL;
    uint32_t type = c->mode & S_IFMT;
    bool gone = false;
    if (cis_str_starts(cis_str_of(c->path), CIS_STR(COW_NEW))) {
        return cis_fail(err, CIS_E_UNSUPPORTED,
                        "%.160s: cis uses this name itself while it applies changes", c->path);
    }
    if (c->what == 'R') {
        return plan_rename(p, c, err);
    }
    CIS_TRY(lower_of(p, c->path, &lower, &gone, err));
    if (c->what == 'D') {
        return plan_remove(p, lower, c->path, err);
    }
    if (c->far) {
        return cis_cow_far_plan(p, c->path, lower, gone || c->cleared, false, err);
    }
    if (type != S_IFDIR) {
        return plan_leaf(p, c, lower, gone, err);
    }
    struct cow_state now = {0};
    if (c->what == 'M') {
        CIS_TRY(read_state(p, &p->cow->below, lower, &now, err));
    }
    return plan_folder(p, c->path, gone ? NULL : lower, &now, c->mode, err);
}

/* ---- before all others ---- */

static int deepest_first(const void *a, const void *b)
{
    const struct cow_change *x = *(struct cow_change *const *)a;
    const struct cow_change *y = *(struct cow_change *const *)b;
    return -strcmp(x->from, y->from); /* what is in a folder comes after it in order */
}

static cis_code aside_one(struct cow_plan *p, const struct cow_change *c, struct cis_error *err)
{
    struct cow_state now;
    char name[40];
    aside_name(c->number, name);
    CIS_TRY(read_state(p, &p->cow->below, c->from, &now, err));
    /* Permissions are changed with the folder; what is checked is which folder it is. */
    struct cis_union_seen seen;
    int rc = cis_union_seen(p->cow->joined, &p->cow->call, cis_str_of(c->from), NULL, &seen);
    struct cow_state asked = now;
    asked.mode = rc == 0 && S_ISDIR(now.mode) ? seen.mode : now.mode;
    struct cow_state other = {.mode = UINT32_MAX};
    CIS_TRY(check(p, c->from, &asked, &other, p->how->elsewhere ? NULL : now.key, err));
    CIS_TRY(cis_cow_try_place(p, c->from, c->from, false, err));
    if (strchr(c->from, '/') != NULL || strchr(c->path, '/') != NULL) { /* its ".." changes */
        CIS_TRY(cis_cow_try_folder(p, c->from, false, err));
    }
    struct cow_step *s = cis_cow_steps_add(&p->first, COW_RENAME, c->from, name, c->from);
    if (s == NULL) {
        return cow_no_memory(err);
    }
    s->before = s->after = now;
    return CIS_OK;
}

/* Renamed folders go aside, the deepest first, so that no rename meets another. */
static cis_code plan_aside(struct cow_plan *p, struct cis_error *err)
{
    size_t n = 0;
    CIS_CLEANUP(cis_freep)
    struct cow_change **renames = cis_calloc(cis_size_add(p->list.n, 1), sizeof *renames);
    if (renames == NULL) {
        return cow_no_memory(err);
    }
    for (size_t i = 0; i < p->list.n; i++) {
        if (p->list.at[i].what == 'R') {
            renames[n++] = &p->list.at[i];
            CIS_TRY(
                cis_map_set(&p->from, cis_str_of(renames[n - 1]->from), renames[n - 1], NULL, err));
            CIS_TRY(
                cis_map_set(&p->to, cis_str_of(renames[n - 1]->path), renames[n - 1], NULL, err));
        }
    }
    if (n != 0) {
        qsort(renames, n, sizeof *renames, deepest_first);
    }
    for (size_t i = 0; i < n; i++) {
        CIS_TRY(aside_one(p, renames[i], err));
    }
    return CIS_OK;
}

/* What an apply left that was killed: files are kept and removed like others, for nobody knows
 * whose content they are; a folder is somebody's, and its place is known to the record. */
static cis_code plan_leftovers(struct cow_plan *p, struct cis_error *err)
{
    static const struct cow_state nothing;
    static const char *const names[] = {COW_OLD, COW_NEW};
    struct cow_entries list = {0};
    struct cow_state now;
    for (size_t i = 0; i < 2; i++) {
        CIS_TRY(read_state(p, &p->cow->below, names[i], &now, err));
        if (S_ISREG(now.mode) || S_ISLNK(now.mode)) {
            CIS_TRY(add(&p->first, COW_LEAF, names[i], names[i], &now, &nothing, err));
        } else if (S_ISDIR(now.mode)) {
            return cis_cow_far_foreign(p->cow->folder, names[i], err);
        }
    }
    int rc = cis_cow_list(&p->cow->below, &p->cow->call, ".", &list);
    cis_code code = rc == 0 ? CIS_OK : plan_fail(p, rc, p->cow->folder, err);
    for (size_t i = 0; i < list.n && code == CIS_OK; i++) {
        const char *name = list.at[i].name;
        if (cis_str_starts(cis_str_of(name), CIS_STR(COW_ASIDE)) && strcmp(name, COW_OLD) != 0) {
            code = cis_fail(err, CIS_E_EXISTS,
                            "%.90s/%.50s: an interrupted apply was moving this folder; `cis runs "
                            "undo` of that run puts it back",
                            p->cow->folder, name);
        }
    }
    cis_cow_entries_done(&list);
    return code;
}

cis_code cis_cow_plan_make(struct cow_plan *p, struct cis_error *err)
{
    CIS_TRY(cis_cow_mend_folder(p->cow, p->how->dry_run, err));
    CIS_TRY(cis_cow_collect(p->cow, COW_CHANGES_BYTES, true, &p->list, err));
    CIS_TRY(cis_cow_leave_out(p, err));
    CIS_TRY(plan_leftovers(p, err));
    CIS_TRY(plan_aside(p, err));
    p->ends = cis_calloc(cis_size_add(p->list.n, 1), sizeof *p->ends);
    if (p->ends == NULL) {
        return cow_no_memory(err);
    }
    for (size_t i = 0; i < p->list.n; i++) {
        CIS_TRY(plan_change(p, &p->list.at[i], err));
        p->ends[i] = p->steps.n;
    }
    for (size_t i = 0, k = p->last.n; i + 1 < k; i++, k--) { /* what is in a folder before it */
        struct cow_step swap = p->last.at[i];
        p->last.at[i] = p->last.at[k - 1];
        p->last.at[k - 1] = swap;
    }
    CIS_TRY(cis_cow_links_all(p, err));
    if (p->conflicts == 0 && p->outward != 0) {
        return cis_fail(err, CIS_E_CONFLICT,
                        "%s: symlinks that lead out of the folder: %llu; nothing was done "
                        "(--outward-links makes them)",
                        p->cow->folder, (unsigned long long)p->outward);
    }
    return p->conflicts == 0
               ? CIS_OK
               : cis_fail(err, CIS_E_CONFLICT,
                          "%s: names that were changed since the run: %llu; nothing was done",
                          p->cow->folder, (unsigned long long)p->conflicts);
}
