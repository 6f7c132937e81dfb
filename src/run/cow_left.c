/* What a run left in its branch and no folder gets: fifos, sockets and devices. They are of the
 * programs that made them, which are gone. */
#include "run/cow_deep.h"

static bool is_left(const struct cow_change *c)
{
    return c->what != 'D' && !S_ISREG(c->mode) && !S_ISDIR(c->mode) && !S_ISLNK(c->mode);
}

cis_code cis_cow_leave_out(struct cow_plan *p, struct cis_error *err)
{
    struct cow_changes *list = &p->list;
    cis_code code = CIS_OK;
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        struct cow_change *c = &list->at[i];
        if (!is_left(c)) {
            list->at[n++] = *c;
            continue;
        }
        /* What it replaced stays, too: the name would be gone, and nothing there for it. */
        if (n > 0 && list->at[n - 1].what == 'D' && strcmp(list->at[n - 1].path, c->path) == 0) {
            cis_code kept = cis_cow_links_kept(p, c->path, list->at[n - 1].mode, err);
            code = code == CIS_OK ? kept : code;
            cis_cow_change_done(&list->at[--n]);
        }
        if (p->how->left_out != NULL) {
            p->how->left_out(p->how->self, cis_str_of(c->path), c->mode);
        }
        cis_cow_change_done(c);
    }
    list->n = n;
    return code;
}
