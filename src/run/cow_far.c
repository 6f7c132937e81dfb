/* A step of what lies further down than a path of the host is long: the folder at which such paths
 * begin, with all that is in it. */
#include "run/cow_deep.h"

#include <fcntl.h>
#include <stdio.h>

int cis_cow_far_read(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
                     struct cow_deep *how, struct cow_state *out)
{
    int rc = cis_cow_deep(tree, call, path, how, out);
    return rc == ENOENT || rc == ENOTDIR ? cis_cow_state_read(tree, call, path, out) : rc;
}

static cis_code step_fail(const struct cow_work *w, int rc, const char *path, struct cis_error *err)
{
    CIS_TRY(cis_stop_check(w->call->stop, "apply", err));
    return rc == ESTALE || cow_is_other(rc)
               ? cis_fail(err, CIS_E_CONFLICT, "…%.140s: changed meanwhile", cow_far_end(path))
           : rc == EEXIST ? cis_fail(err, CIS_E_CONFLICT, "…%.140s: made in the folder meanwhile",
                                     cow_far_end(path))
                          : cis_cow_errno(rc, w->why, cow_far_end(path), err);
}

static int remove_tree(const struct cow_work *w, const char *name)
{
    struct cow_deep how = {.removes = true};
    struct cow_state ignored;
    return cis_cow_deep(&w->to, w->call, name, &how, &ignored);
}

/* A folder to a name that nothing has. */
static int place(const struct cow_work *w, const char *from, const char *to)
{
    struct cis_vfs_attr attr;
    int rc = cis_cow_work_move(w, from, to, RENAME_NOREPLACE);
    if (rc == EINVAL && cis_cow_stat(&w->to, w->call, to, &attr) == ENOENT) {
        rc = cis_cow_work_move(w, from, to, 0); /* it replaces nothing but an empty folder */
    }
    return rc;
}

static cis_code make(const struct cow_work *w, const char *path, const char *from,
                     const struct cow_state *after, bool back, struct cis_error *err)
{
    struct cow_deep how = {.to = &w->to, .name = COW_NEW, .drop_set_id = !back};
    struct cow_state made;
    int rc = cis_cow_deep(w->source, w->call, from, &how, &made);
    if (rc == EEXIST) {
        return cis_fail(err, CIS_E_EXISTS,
                        "%.100s/%s: what an interrupted apply was making: `cis runs undo` of that "
                        "run removes it",
                        w->folder, COW_NEW);
    }
    rc = rc == 0 && !cis_cow_far_same(&made, after) ? ESTALE : rc;
    if (rc != 0) {
        (void)remove_tree(w, COW_NEW);
        return step_fail(w, rc, path, err);
    }
    return CIS_OK;
}

/* What is at the path to COW_OLD, when it is what it should be. */
static cis_code take_away(const struct cow_work *w, const char *path,
                          const struct cow_state *before, struct cis_error *err)
{
    struct cow_deep how = {.quiet = true};
    struct cow_state was;
    int rc = place(w, path, COW_OLD);
    if (rc != 0) {
        return step_fail(w, rc, path, err);
    }
    rc = cis_cow_deep(&w->to, w->call, COW_OLD, &how, &was);
    rc = rc == 0 && !cis_cow_far_same(&was, before) ? ESTALE : rc;
    if (rc == 0) {
        return CIS_OK;
    }
    return place(w, COW_OLD, path) == 0
               ? step_fail(w, rc, path, err)
               : cis_fail(err, CIS_E_CONFLICT,
                          "…%.100s: changed meanwhile; what was there is %s in the folder: move it "
                          "back by hand",
                          cow_far_end(path), COW_OLD);
}

static cis_code take(struct cow_work *w, const struct cow_step *step, const char *from, bool back,
                     struct cis_error *err)
{
    const struct cow_state *before = back ? &step->after : &step->before;
    const struct cow_state *after = back ? &step->before : &step->after;
    if (after->mode != 0) {
        CIS_TRY(make(w, step->path, from, after, back, err));
    }
    cis_code code = before->mode != 0 ? take_away(w, step->path, before, err) : CIS_OK;
    int rc = code == CIS_OK && after->mode != 0 ? place(w, COW_NEW, step->path) : 0;
    if (rc != 0) {
        code = step_fail(w, rc, step->path, err);
        if (before->mode != 0) {
            (void)place(w, COW_OLD, step->path);
        }
    }
    if (code != CIS_OK) {
        (void)remove_tree(w, COW_NEW);
        return code;
    }
    if (before->mode != 0) { /* half of it is known by this name to be nobody's */
        rc = place(w, COW_OLD, COW_NEW);
        rc = rc == 0 ? remove_tree(w, COW_NEW) : rc;
    }
    return rc == 0 ? CIS_OK : step_fail(w, rc, step->path, err);
}

cis_code cis_cow_take(struct cow_work *w, const struct cow_step *step, const char *from, bool back,
                      struct cis_error *err)
{
    return step->op == COW_FAR_TREE ? take(w, step, from, back, err)
                                    : cis_cow_step_take(w, step, from, back, err);
}

/* Did the step take away what COW_OLD has? Then an apply was at work, or an undo. */
static bool took(const struct cow_step *s, const struct cow_state *old)
{
    return s->op == COW_FAR_TREE &&
           (cis_cow_far_same(&s->before, old) || cis_cow_far_same(&s->after, old));
}

/* Nothing is at its path: it goes back. What the step puts there is: then it was about to go.
 * EEXIST: something else is there. */
static int give_back(const struct cow_work *w, const struct cow_step *s,
                     const struct cow_state *old)
{
    bool back = !cis_cow_far_same(&s->before, old); /* an undo was at work */
    struct cow_deep how = {.quiet = true};
    struct cow_state now;
    if (place(w, COW_OLD, s->path) == 0) {
        return 0;
    }
    int rc = cis_cow_far_read(&w->to, w->call, s->path, &how, &now);
    if (rc != 0 || !cis_cow_far_same(&now, back ? &s->before : &s->after)) {
        return rc != 0 ? rc : EEXIST;
    }
    rc = place(w, COW_OLD, COW_NEW);
    return rc == 0 ? remove_tree(w, COW_NEW) : rc;
}

/* Half a folder, or one that a step makes or takes away. */
static int is_ours(const struct cow_work *w, const struct cow_steps *steps,
                   const struct cis_vfs_attr *attr, bool *out)
{
    struct cow_deep how = {.quiet = true};
    struct cow_state now;
    *out = (attr->mode & 05777) == COW_DEEP_HALF; /* a folder may hand S_ISGID on */
    int rc = *out ? 0 : cis_cow_deep(&w->to, w->call, COW_NEW, &how, &now);
    for (size_t i = 0; i < steps->n && rc == 0 && !*out; i++) {
        *out = took(&steps->at[i], &now);
    }
    return rc;
}

static cis_code interrupted(const struct cow_work *w, const char *name, struct cis_error *err)
{
    return cis_fail(err, CIS_E_EXISTS,
                    "%.100s/%s: an interrupted apply or undo was making or replacing this folder; "
                    "the next one ends that, this dry run does not",
                    w->folder, name);
}

static cis_code tidy_new(struct cow_work *w, const struct cow_steps *steps, bool dry_run,
                         const char **out_foreign, struct cis_error *err)
{
    struct cis_vfs_attr attr;
    bool ours = false;
    if (cis_cow_stat(&w->to, w->call, COW_NEW, &attr) != 0 || !S_ISDIR(attr.mode)) {
        return CIS_OK;
    }
    int rc = is_ours(w, steps, &attr, &ours);
    if (rc == 0 && !ours) {
        *out_foreign = COW_NEW;
        return CIS_OK;
    }
    if (rc == 0 && dry_run) {
        return interrupted(w, COW_NEW, err);
    }
    rc = rc == 0 ? remove_tree(w, COW_NEW) : rc;
    return rc == 0 ? CIS_OK : step_fail(w, rc, COW_NEW, err);
}

static cis_code tidy_old(struct cow_work *w, const struct cow_steps *steps, bool dry_run,
                         const char **out_foreign, struct cis_error *err)
{
    struct cis_vfs_attr attr;
    struct cow_deep how = {.quiet = true};
    struct cow_state was;
    const char *taken = NULL; /* the path of one that has something else by now */
    if (cis_cow_stat(&w->to, w->call, COW_OLD, &attr) != 0 || !S_ISDIR(attr.mode)) {
        return CIS_OK;
    }
    int rc = cis_cow_deep(&w->to, w->call, COW_OLD, &how, &was);
    for (size_t i = 0; i < steps->n && rc == 0; i++) {
        if (took(&steps->at[i], &was)) {
            rc = dry_run ? EEXIST : give_back(w, &steps->at[i], &was);
            if (rc == 0 || dry_run) {
                return rc == 0 ? CIS_OK : interrupted(w, COW_OLD, err);
            }
            taken = rc == EEXIST ? steps->at[i].path : taken;
            rc = rc == EEXIST ? 0 : rc;
        }
    }
    if (rc == 0 && taken != NULL) {
        return cis_fail(err, CIS_E_CONFLICT,
                        "…%.100s: made in the folder meanwhile; what an interrupted apply or undo "
                        "took from there is %s in the folder: move it back by hand",
                        cow_far_end(taken), COW_OLD);
    }
    *out_foreign = rc == 0 ? COW_OLD : *out_foreign;
    return rc == 0 ? CIS_OK : step_fail(w, rc, COW_OLD, err);
}

cis_code cis_cow_far_tidy(struct cow_work *w, const struct cow_steps *steps, bool dry_run,
                          const char **out_foreign, struct cis_error *err)
{
    bool far = false;
    *out_foreign = NULL;
    for (size_t i = 0; i < steps->n; i++) {
        far = far || steps->at[i].op == COW_FAR_TREE;
    }
    if (!far) {
        return CIS_OK;
    }
    CIS_TRY(tidy_new(w, steps, dry_run, out_foreign, err));
    return *out_foreign == NULL ? tidy_old(w, steps, dry_run, out_foreign, err) : CIS_OK;
}

cis_code cis_cow_far_foreign(const char *folder, const char *name, struct cis_error *err)
{
    return cis_fail(err, CIS_E_EXISTS,
                    "%.100s/%s: cis uses this name itself while it applies changes, and this "
                    "folder is not its own: move it away",
                    folder, name);
}
