/* The plan of what lies further down than a path of the host is long. The folder at which such
 * paths begin is one step: it is what the run made and nobody else's, or what an earlier apply of
 * the branch left there, with all that is in it; else it is a conflict. */
#include <stdio.h>
#include "base/mem.h"
#include "run/cow_deep.h"
#include "vfs/hostdir/hostdir.h"

struct looking {
    struct cow_plan *p;
    const char *path;
    size_t depth; /* of the path */
    cis_code code;
    struct cis_error *err;
};

static cis_code plan_fail(const struct looking *l, int rc, struct cis_error *err)
{
    struct cow_plan *p = l->p;
    if (rc == COW_DEEP_ENDED) {
        return l->code;
    }
    CIS_TRY(cis_stop_check(&p->cow->stop, "apply", err));
    return cow_is_other(rc) || rc == ESTALE || rc == ENOENT
               ? cis_fail(err, CIS_E_CONFLICT,
                          "…%.140s: changed while it was looked at; nothing was done",
                          cow_far_end(l->path))
           : rc == EOPNOTSUPP ? cis_fail(err, CIS_E_UNSUPPORTED,
                                         "…%.140s: only files, folders and symlinks are made in it",
                                         cow_far_end(l->path))
                              : cis_cow_fail(p->cow, rc, cow_far_end(l->path), err);
}

/* Of what is made: would the host have it? */
static bool look_above(void *self, const struct cow_deep_name *n)
{
    struct looking *l = self;
    const char *end = (const char *)n->path.ptr + (n->path.len > 80 ? n->path.len - 80 : 0);
    CIS_CLEANUP(cis_freep)
    char *path = cis_strndup(end, n->path.len > 80 ? 80 : n->path.len); /* for messages */
    CIS_CLEANUP(cis_freep)
    char *target = cis_strndup(n->target.ptr, n->target.len);
    if (path == NULL || target == NULL) {
        l->code = cow_no_memory(l->err);
        return false;
    }
    const char *slash = strrchr(path, '/');
    if (strlen(slash != NULL ? slash + 1 : path) > cis_hostdir_name_max(l->p->cow->lower)) {
        l->code =
            cis_fail(l->err, CIS_E_UNSUPPORTED,
                     "…%s: nothing was done, for the folder's filesystem has no such names", path);
    } else if (S_ISREG(n->attr->mode) && n->attr->nlink > 1) {
        l->code = cis_fail(l->err, CIS_E_UNSUPPORTED,
                           "…%s: a file with several names, more than %u bytes down, where they "
                           "are not made",
                           path, COW_FAR);
    } else if (S_ISREG(n->attr->mode)) {
        l->code = cis_cow_try_file(l->p, path, n->attr->mode & ~(uint32_t)(S_ISUID | S_ISGID),
                                   n->attr->size, l->err);
    } else if (S_ISLNK(n->attr->mode)) {
        l->code = cis_cow_try_link(l->p, path, target, l->err);
        l->code = l->code == CIS_OK
                      ? cis_cow_links_far(l->p, path, l->depth + n->depth, target, l->err)
                      : l->code;
    }
    return l->code == CIS_OK;
}

/* Of what goes: could it be brought back? */
static bool look_below(void *self, const struct cow_deep_name *n)
{
    struct looking *l = self;
    char name[256] = "", why[400];
    if (n->file != NULL && !l->p->how->force) {
        cis_hostdir_extra(n->file, false, name);
    }
    if (name[0] != '\0') {
        snprintf(why, sizeof why, "its attribute %s could not be brought back", name);
        cow_conflict(l->p, l->path, why);
    }
    return true;
}

static cis_code read_tree(struct looking *l, const struct cow_tree *tree, const char *path,
                          struct cow_deep *how, struct cow_state *out, struct cis_error *err)
{
    how->self = l;
    int rc = cis_cow_far_read(tree, &l->p->cow->call, path, how, out);
    return rc == 0 ? CIS_OK : plan_fail(l, rc, err);
}

cis_code cis_cow_far_below(struct cow_plan *p, const char *lower, bool *out, struct cis_error *err)
{
    struct looking l = {.p = p, .path = lower};
    struct cow_deep how = {0};
    struct cow_state ignored;
    *out = false;
    if (strlen(lower) < COW_FAR) {
        return CIS_OK;
    }
    CIS_TRY(read_tree(&l, &p->cow->below, lower, &how, &ignored, err));
    *out = strlen(lower) + how.longest > COW_FAR_PATH;
    return CIS_OK;
}

static cis_code check(struct cow_plan *p, const char *path, const struct cow_state *before,
                      struct cis_error *err)
{
    const struct cow_state *left = NULL;
    if (p->how->force || before->mode == 0) {
        return CIS_OK;
    }
    CIS_TRY(cis_cow_plan_state(p, path, &left, err));
    const struct cow_state *begun = cis_map_get(&p->begun, cis_str_of(path));
    if ((left == NULL || !cis_cow_far_same(left, before)) &&
        (begun == NULL || !cis_cow_far_same(begun, before))) {
        cow_conflict(p, path, "is not as an apply of this branch left it, with all that is in it");
    }
    return CIS_OK;
}

cis_code cis_cow_far_plan(struct cow_plan *p, const char *path, const char *lower, bool gone,
                          bool removes, struct cis_error *err)
{
    struct looking l = {.p = p, .path = path, .err = err};
    struct cow_deep above = {.look = look_above, .drop_set_id = true};
    struct cow_deep below = {.look = look_below};
    struct cow_state before = {0}, after = {0};
    for (const char *at = path; *at != '\0'; at++) {
        l.depth += *at == '/';
    }
    if (!removes) {
        CIS_TRY(read_tree(&l, &p->cow->above, path, &above, &after, err));
    }
    if (!gone) {
        CIS_TRY(read_tree(&l, &p->cow->below, lower, &below, &before, err));
    }
    if (cis_cow_far_same(&before, &after)) {
        return CIS_OK; /* an apply before this one did it */
    }
    if (before.mode != 0 && !S_ISDIR(before.mode)) {
        cow_conflict(p, path, "made in the folder since");
        return CIS_OK;
    }
    CIS_TRY(check(p, lower, &before, err));
    CIS_TRY(cis_cow_try_place(p, path, gone ? NULL : lower, before.mode == 0, err));
    if (before.mode != 0) {
        CIS_TRY(cis_cow_try_folder(p, lower, true, err));
    }
    struct cow_step *s = cis_cow_steps_add(&p->steps, COW_FAR_TREE, path, NULL, lower);
    if (s == NULL) {
        return cow_no_memory(err);
    }
    s->before = before;
    s->after = after;
    s->kept = before.mode != 0 ? cis_cow_path("kept", lower) : NULL;
    return before.mode == 0 || s->kept != NULL ? CIS_OK : cow_no_memory(err);
}
