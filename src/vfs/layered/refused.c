/* Which file is meant when a commit is refused: by a quota, where the store adds up rows and knows
 * no paths, or for content that is lost. */
#include "vfs/layered/view.h"

#include <stdio.h>
#include "vfs/layered/layered.h"

#define PATH_SHOWN 90u /* bytes of a path that a message has room for */

struct most {
    bool by_files;
    uint64_t files, more; /* new ones; bytes that `path` grew by */
    char path[PATH_SHOWN + 8];
};

static void keep_path(struct most *m, const struct cis_layered_change *c)
{
    size_t cut = c->path.len > PATH_SHOWN ? c->path.len - PATH_SHOWN : 0;
    while (cut < c->path.len && cut != 0 && ((uint8_t)c->path.ptr[cut] & 0xc0) == 0x80) {
        cut++; /* not within a character */
    }
    snprintf(m->path, sizeof m->path, "%s%.*s", cut != 0 || c->cut ? "…" : "",
             (int)(c->path.len - cut), c->path.ptr + cut);
}

static bool look_each(void *self, const struct cis_layered_change *c)
{
    struct most *m = self;
    uint64_t more = c->what != 'D' && c->size > c->old_size ? c->size - c->old_size : 0;
    if (m->by_files ? c->what == 'A' && m->files == 0 : more > m->more) {
        m->more = more;
        keep_path(m, c);
    }
    m->files += c->what == 'A';
    return true;
}

void cis_lay_refused(struct lay_view *v, enum cis_quota quota, const struct cis_stop *stop,
                     struct cis_error *err)
{
    struct most m = {.by_files = quota == CIS_QUOTA_FILES};
    size_t at = strlen(err->msg), room = sizeof err->msg - at;
    if (quota == CIS_QUOTA_MEMORY ||
        cis_layered_changes(&v->vfs, look_each, &m, stop, NULL) != CIS_OK || m.path[0] == 0) {
        return; /* the message stands without it */
    }
    if (m.by_files) {
        snprintf(err->msg + at, room, "; %s is one of %llu new ones", m.path,
                 (unsigned long long)m.files);
    } else {
        snprintf(err->msg + at, room, "; %s grew the most, by %llu bytes", m.path,
                 (unsigned long long)m.more);
    }
}

/* ---- lost content ---- */
struct named {
    cis_node node;
    struct most path; /* only that */
};

static bool name_each(void *self, const struct cis_layered_change *c)
{
    struct named *n = self;
    if (c->node == n->node) {
        keep_path(&n->path, c);
    }
    return c->node != n->node;
}

void cis_lay_lost_name(struct lay_view *v, uint64_t ino, uint64_t n, const struct cis_stop *stop,
                       char *out, size_t size)
{
    struct named named = {.node = ino};
    char more[48] = "";
    if (cis_layered_changes(&v->vfs, name_each, &named, stop, NULL) != CIS_OK ||
        named.path.path[0] == 0) {
        snprintf(named.path.path, sizeof named.path.path, "inode %llu", (unsigned long long)ino);
    }
    if (n > 1) {
        snprintf(more, sizeof more, " and %llu more files", (unsigned long long)n - 1);
    }
    snprintf(out, size, "%s%s", named.path.path, more);
}

void cis_lay_lost(struct lay_view *v, uint64_t ino, uint64_t n, const struct cis_stop *stop,
                  struct cis_error *err)
{
    char name[PATH_SHOWN + 54]; /* of a path, and how many more */
    cis_lay_lost_name(v, ino, n, stop, name, sizeof name);
    snprintf(err->msg, sizeof err->msg,
             "%s: content that was written is gone from the store; write it again, or remove it",
             name);
}
