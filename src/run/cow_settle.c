/* The old places of renamed folders. The union compares each upper name with the lower one at its
 * place; where a folder was renamed and another one was made at its old place, that is a comparison
 * with what goes away: names there are not removed, for they move along, and what is there is new.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include "base/mem.h"
#include "run/cow_in.h"

struct settling {
    cis_cow *cow;
    struct cow_changes *list;
    struct cis_map to, from; /* renamed folders, by path and by lower path */
    struct cis_map places;   /* where the branch has the old places: path → change */
    struct cis_error *err;
};

static cis_code no_memory(struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOMEM, "changes: out of memory");
}

static struct cis_str text(const char *path)
{
    return cis_str_of(path);
}

/* Where the branch has a lower folder's place: below a renamed folder, it moved along. */
static cis_code place_of(const struct settling *s, const char *lower, char **out)
{
    for (size_t len = strlen(lower); len-- > 0;) {
        const struct cow_change *c =
            lower[len] == '/' ? cis_map_get(&s->from, (struct cis_str){lower, len}) : NULL;
        if (c != NULL) {
            *out = cow_path(c->path, lower + len + 1);
            return *out != NULL ? CIS_OK : no_memory(s->err);
        }
    }
    *out = cis_strdup(lower);
    return *out != NULL ? CIS_OK : no_memory(s->err);
}

/* Is the path at or below an old place, and not in a folder that was moved there? What is removed
 * is what was at its path before anything was moved to it. */
static bool in_old_place(const struct settling *s, const char *path, bool removed, bool *out_itself)
{
    size_t all = strlen(path);
    for (size_t len = all; len > 0; len--) {
        struct cis_str part = {path, len};
        if (len != all && path[len] != '/') {
            continue;
        }
        if (!(removed && len == all) && cis_map_get(&s->to, part) != NULL) {
            return false;
        }
        if (cis_map_get(&s->places, part) != NULL) {
            *out_itself = len == all;
            return true;
        }
    }
    return false;
}

static void drop(struct cow_change *c)
{
    cis_free(c->path);
    cis_free(c->from);
}

static void settle_names(struct settling *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->list->n; i++) {
        struct cow_change c = s->list->at[i];
        bool itself = false, old = c.what != 'R' && in_old_place(s, c.path, c.what == 'D', &itself);
        if (old && c.what == 'D' && !itself) {
            drop(&c);
            continue;
        }
        if (old && c.what != 'D') {
            c.what = 'A';
            c.old_size = 0;
            c.fresh = true;
        }
        s->list->at[kept++] = c;
    }
    s->list->n = kept;
}

static bool is_told(const struct settling *s, const char *path)
{
    for (size_t i = 0; i < s->list->n; i++) {
        const struct cow_change *c = &s->list->at[i];
        if (c->what != 'D' && strcmp(c->path, path) == 0) {
            return true;
        }
    }
    return false;
}

/* A folder that was made at an old place and looks as the one that went is told by nobody. */
static cis_code settle_folders(struct settling *s)
{
    cis_map_foreach (&s->places, e) {
        CIS_CLEANUP(cis_freep) char *path = cis_strndup(e->key.ptr, e->key.len);
        struct cis_vfs_attr attr;
        if (path == NULL) {
            return no_memory(s->err);
        }
        if (cis_at_stat(s->cow->above.root, &s->cow->call, text(path), CIS_WALK_NOFOLLOW, &attr) !=
                0 ||
            !S_ISDIR(attr.mode) || is_told(s, path)) {
            continue;
        }
        struct cow_change made = {.what = 'A', .mode = attr.mode, .fresh = true};
        made.path = cis_take(&path);
        if (!cow_changes_add(s->list, &made)) {
            drop(&made);
            return no_memory(s->err);
        }
    }
    return CIS_OK;
}

static cis_code settle(struct settling *s)
{
    for (size_t i = 0; i < s->list->n; i++) {
        struct cow_change *c = &s->list->at[i];
        if (c->what == 'R') {
            CIS_TRY(cis_map_set(&s->to, text(c->path), c, NULL, s->err));
            CIS_TRY(cis_map_set(&s->from, text(c->from), c, NULL, s->err));
        }
    }
    cis_map_foreach (&s->from, e) {
        CIS_CLEANUP(cis_freep) char *place = NULL;
        const struct cow_change *c = e->value;
        CIS_TRY(place_of(s, c->from, &place));
        CIS_TRY(cis_map_set(&s->places, text(place), e->value, NULL, s->err));
    }
    if (s->places.live != 0) {
        settle_names(s);
        CIS_TRY(settle_folders(s));
    }
    return CIS_OK;
}

cis_code cow_settle(cis_cow *cow, struct cow_changes *list, struct cis_error *err)
{
    struct settling s = {.cow = cow,
                         .list = list,
                         .to = CIS_MAP_INIT,
                         .from = CIS_MAP_INIT,
                         .places = CIS_MAP_INIT,
                         .err = err};
    cis_code code = settle(&s);
    cis_map_done(&s.to, NULL);
    cis_map_done(&s.from, NULL);
    cis_map_done(&s.places, NULL);
    return code;
}
