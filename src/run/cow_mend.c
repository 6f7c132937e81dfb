/* What an apply or an undo leaves that is killed while it replaces a file on a host without
 * RENAME_EXCHANGE: the file that was there is COW_OLD, and nothing is at its path. Its record tells
 * which path that is, and the next apply or undo puts it back first. The same of a folder far down,
 * of which half may be there (cow_far.c). */
#include <errno.h>
#include "base/mem.h"
#include "run/cow_deep.h"

static bool is_missing(const struct cow_work *w, const char *path)
{
    struct cis_vfs_attr attr;
    return cis_at_stat(w->to.root, w->call, cis_str_of(path), COW_WALK, &attr) == ENOENT;
}

/* The step that was at work. Of an apply it is known by the file itself, whatever somebody wrote to
 * it since; of an undo, and on a host that numbers files anew, by what is in it. */
static const struct cow_step *step_of(const struct cow_work *w, const struct cow_steps *steps,
                                      const struct cow_state *old)
{
    for (int by_content = 0; by_content < 2; by_content++) {
        for (size_t i = 0; i < steps->n; i++) {
            const struct cow_step *s = &steps->at[i];
            bool replaces = s->op == COW_LEAF && s->before.mode != 0 && s->after.mode != 0;
            bool is = by_content ? cis_cow_state_same(&s->before, old) ||
                                       cis_cow_state_same(&s->after, old)
                                 : s->before.key[0] != 0 && strcmp(s->before.key, old->key) == 0;
            if (replaces && is && is_missing(w, s->path)) {
                return s;
            }
        }
    }
    return NULL;
}

cis_code cis_cow_mend(const struct cow_work *w, const struct cow_steps *steps, bool dry_run,
                      bool *out_done, struct cis_error *err)
{
    struct cow_state old;
    *out_done = false;
    if (cis_cow_state_read(&w->to, w->call, COW_OLD, &old) != 0 ||
        (!S_ISREG(old.mode) && !S_ISLNK(old.mode))) {
        return CIS_OK;
    }
    const struct cow_step *s = step_of(w, steps, &old);
    if (s == NULL) {
        return CIS_OK;
    }
    if (dry_run) {
        return cis_fail(err, CIS_E_EXISTS,
                        "%.140s: an interrupted apply or undo was replacing it, and left it as %s "
                        "in the folder; the next one puts it back, this dry run does not",
                        s->path, COW_OLD);
    }
    int rc = cis_cow_work_place(w, COW_OLD, s->path);
    if (rc == ENOENT || rc == EEXIST || rc == ENOTDIR) { /* somebody was faster */
        return CIS_OK;
    }
    *out_done = rc == 0;
    return rc == 0 ? CIS_OK : cis_cow_errno(rc, w->why, s->path, err);
}

struct mending {
    struct cow_work work;
    bool dry_run;
    const char *foreign; /* a folder that is of no record so far */
};

static cis_code mend_by(void *self, const struct cow_record *record, bool *done,
                        struct cis_error *err)
{
    struct mending *m = self;
    CIS_TRY(cis_cow_mend(&m->work, &record->steps, m->dry_run, done, err));
    if (record->undone) {
        return CIS_OK;
    }
    const char *foreign = NULL;
    CIS_TRY(cis_cow_far_tidy(&m->work, &record->steps, m->dry_run, &foreign, err));
    m->foreign = foreign != NULL ? foreign : m->foreign;
    return CIS_OK;
}

/* Of the records that were asked, a later one may have ended what an earlier one did not know. */
static cis_code check_foreign(const struct mending *m, struct cis_error *err)
{
    struct cis_vfs_attr attr;
    return m->foreign != NULL && cis_cow_stat(&m->work.to, m->work.call, m->foreign, &attr) == 0 &&
                   S_ISDIR(attr.mode)
               ? cis_cow_far_foreign(m->work.folder, m->foreign, err)
               : CIS_OK;
}

cis_code cis_cow_mend_folder(const cis_cow *cow, bool dry_run, struct cis_error *err)
{
    struct cis_vfs_attr attr;
    if (cis_at_stat(cow->below.root, &cow->call, CIS_STR(COW_OLD), COW_WALK, &attr) != 0 &&
        (cis_at_stat(cow->below.root, &cow->call, CIS_STR(COW_NEW), COW_WALK, &attr) != 0 ||
         !S_ISDIR(attr.mode))) {
        return CIS_OK;
    }
    struct mending m = {.dry_run = dry_run};
    CIS_TRY(cis_cow_work_open(&m.work, cow->folder, &cow->call, &cow->why, err));
    cis_code code = cis_cow_records(cow, mend_by, &m, err);
    code = code == CIS_OK ? check_foreign(&m, err) : code;
    cis_cow_work_done(&m.work);
    return code;
}
