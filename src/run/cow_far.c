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

/* COW_OLD has what a step took away. Nothing is at its path: it goes back. What the step puts there
 * is: then it was about to go. */
static bool give_back(const struct cow_work *w, const struct cow_step *s,
                      const struct cow_state *old, int *rc)
{
    bool back = !cis_cow_far_same(&s->before, old); /* an undo was at work */
    struct cow_deep how = {.quiet = true};
    struct cow_state now;
    if (s->op != COW_FAR_TREE || (back && !cis_cow_far_same(&s->after, old))) {
        return false;
    }
    if (place(w, COW_OLD, s->path) == 0) {
        return true;
    }
    *rc = cis_cow_far_read(&w->to, w->call, s->path, &how, &now);
    if (*rc == 0 && cis_cow_far_same(&now, back ? &s->before : &s->after)) {
        *rc = place(w, COW_OLD, COW_NEW);
        *rc = *rc == 0 ? remove_tree(w, COW_NEW) : *rc;
        return true;
    }
    return *rc != 0;
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
        const struct cow_step *s = &steps->at[i];
        *out = s->op == COW_FAR_TREE &&
               (cis_cow_far_same(&s->before, &now) || cis_cow_far_same(&s->after, &now));
    }
    return rc;
}

cis_code cis_cow_far_tidy(struct cow_work *w, const struct cow_steps *steps, bool dry_run,
                          struct cis_error *err)
{
    const struct cow_step *far = NULL;
    struct cis_vfs_attr attr, other;
    bool ours = false;
    for (size_t i = 0; i < steps->n; i++) {
        far = steps->at[i].op == COW_FAR_TREE ? &steps->at[i] : far;
    }
    if (far == NULL) {
        return CIS_OK;
    }
    bool new = cis_cow_stat(&w->to, w->call, COW_NEW, &attr) == 0 && S_ISDIR(attr.mode);
    bool old = cis_cow_stat(&w->to, w->call, COW_OLD, &other) == 0 && S_ISDIR(other.mode);
    int rc = new ? is_ours(w, steps, &attr, &ours) : 0;
    if (rc == 0 && new && !ours) {
        return cis_fail(err, CIS_E_EXISTS,
                        "%.100s/%s: cis uses this name itself while it applies changes, and this "
                        "folder is not its own: move it away",
                        w->folder, COW_NEW);
    }
    if (rc == 0 && dry_run && (new || old)) {
        return cis_fail(err, CIS_E_EXISTS,
                        "%.100s/%s: an interrupted apply or undo was making or replacing this "
                        "folder; the next one ends that, this dry run does not",
                        w->folder, old ? COW_OLD : COW_NEW);
    }
    rc = rc == 0 && new ? remove_tree(w, COW_NEW) : rc;
    if (rc == 0 && old) {
        struct cow_state was;
        struct cow_deep how = {.quiet = true};
        rc = cis_cow_deep(&w->to, w->call, COW_OLD, &how, &was);
        for (size_t i = 0; i < steps->n && rc == 0; i++) {
            if (give_back(w, &steps->at[i], &was, &rc)) {
                break;
            }
        }
    }
    return rc == 0 ? CIS_OK : step_fail(w, rc, old ? COW_OLD : COW_NEW, err);
}
