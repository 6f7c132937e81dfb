/* Lower files with several names. A copy at one of the names would part them, so the copy lives in
 * the home folder, and every lower name of the file leads to it:
 *   fKEY   the copy, one link to it
 *   uINO   symlink: which copy an upper file is, when it is found by an upper name; its lower links
 *   nKEY   symlink: how many lower names do not show any more; stays
 * KEY is the lower inode number and its time of birth, so that a number that the host gives anew is
 * not taken for the old file. */
#include "vfs/union/internal.h"

#include <stdio.h>
#include "base/clock.h"

struct home_name {
    char text[UNION_KEY + 2];
    struct cis_str str;
};

static void home_name(char kind, const char *key, struct home_name *out)
{
    int n = snprintf(out->text, sizeof out->text, "%c%s", kind, key);
    out->str = (struct cis_str){out->text, (size_t)n};
}

void cis_union_index_key(const struct cis_vfs_attr *lower, char out[UNION_KEY])
{
    snprintf(out, UNION_KEY, "%llx-%llx", (unsigned long long)lower->ino,
             (unsigned long long)lower->btime.tv_sec * CIS_NS_PER_S +
                 (unsigned long long)lower->btime.tv_nsec);
}

#define AGAIN_MAX 65536u /* times that one file was made anew */

int cis_union_index_hash(struct unionfs *u, const struct cis_vfs_call *call,
                         const struct cis_vfs_attr *lower, char out[UNION_KEY], bool *out_known)
{
    struct cis_vfs_attr attr;
    cis_union_index_key(lower, out);
    const char *key = out;
    bool again = false;
    int rc;
    *out_known = lower->nlink > 1;
    for (unsigned n = 0; key != NULL && n < AGAIN_MAX; n++) {
        const char *was = cis_map_get(&u->again, cis_str_of(key));
        cis_node copy = 0;
        again = again || was != NULL;
        *out_known = *out_known || again;
        rc = again ? cis_union_index_copy(u, call, key, &copy, &attr) : ENOENT;
        if (rc == 0) { /* the newest that was changed */
            part_put(u->up, copy);
            if (key != out) {
                memcpy(out, key, strlen(key) + 1);
            }
        }
        if (rc != ENOENT) {
            return rc;
        }
        key = was;
    }
    cis_node copy = 0;
    if (*out_known || (rc = cis_union_index_copy(u, call, out, &copy, &attr)) == ENOENT) {
        return 0;
    }
    part_put(u->up, copy);
    *out_known = rc == 0; /* its other names went meanwhile */
    return rc;
}

int cis_union_index_copy(struct unionfs *u, const struct cis_vfs_call *call, const char *key,
                         cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    struct home_name name;
    home_name('f', key, &name);
    return u->home == 0 ? ENOENT
                        : cis_vfs_lookup(u->up, call, u->home, name.str, out_node, out_attr);
}

/* The text of a symlink of the home folder, NUL-terminated; "" when it is not there. */
static void note_read(struct unionfs *u, const struct cis_vfs_call *call, struct cis_str name,
                      struct cis_buf *out)
{
    cis_node node = 0;
    struct cis_vfs_attr attr;
    if (u->home != 0 && cis_vfs_lookup(u->up, call, u->home, name, &node, &attr) == 0) {
        if (cis_vfs_readlink(u->up, call, node, out) != 0) {
            cis_buf_reset(out);
        }
        part_put(u->up, node);
    }
}

static int note_write(struct unionfs *u, const struct cis_vfs_call *call, struct cis_str name,
                      const char *text)
{
    int rc = cis_union_home_get(u, call);
    struct cis_vfs_make make = {.mode = S_IFLNK | 0777, .target = cis_str_of(text)};
    struct cis_vfs_attr attr;
    cis_node node = 0;
    if (rc == 0) {
        rc = cis_vfs_unlink(u->up, call, u->home, name);
    }
    if (rc == 0 || rc == ENOENT) {
        rc = cis_vfs_make(u->up, call, u->home, name, &make, &node, &attr);
    }
    if (rc == 0) {
        part_put(u->up, node);
    }
    return rc;
}

bool cis_union_index_of_upper(struct unionfs *u, const struct cis_vfs_call *call,
                              uint64_t upper_ino, char out_key[UNION_KEY], uint32_t *out_links)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
    struct home_name name;
    char ino[24];
    snprintf(ino, sizeof ino, "%llx", (unsigned long long)upper_ino);
    home_name('u', ino, &name);
    note_read(u, call, name.str, &text);
    struct cis_str links = cis_buf_view(&text), key;
    uint64_t n = 0;
    if (!cis_str_split(&links, ' ', &key) || key.len >= UNION_KEY || !cis_str_u64(links, &n)) {
        return false;
    }
    memcpy(out_key, key.ptr, key.len);
    out_key[key.len] = '\0';
    *out_links = (uint32_t)n;
    return true;
}

int cis_union_index_add(struct unionfs *u, const struct cis_vfs_call *call, struct cis_str temp,
                        const char *key, uint32_t lower_links, uint64_t upper_ino)
{
    struct home_name name;
    char ino[24], text[UNION_KEY + 16];
    snprintf(ino, sizeof ino, "%llx", (unsigned long long)upper_ino);
    snprintf(text, sizeof text, "%s %u", key, lower_links);
    home_name('u', ino, &name);
    int rc = note_write(u, call, name.str, text);
    home_name('f', key, &name);
    return rc == 0 ? cis_vfs_rename(call, cis_vfs_at(u->up, u->home), temp,
                                    cis_vfs_at(u->up, u->home), name.str, 0)
                   : rc;
}

uint32_t cis_union_index_hidden(struct unionfs *u, const struct cis_vfs_call *call, const char *key)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
    struct home_name name;
    uint64_t n = 0;
    home_name('n', key, &name);
    note_read(u, call, name.str, &text);
    return cis_str_u64(cis_buf_view(&text), &n) ? (uint32_t)n : 0;
}

void cis_union_index_tidy(struct unionfs *u, const struct cis_vfs_call *call, const char *key,
                          uint32_t lower_links)
{
    cis_node copy = 0;
    struct cis_vfs_attr attr;
    struct home_name name;
    char ino[24];
    if (cis_union_index_hidden(u, call, key) < lower_links ||
        cis_union_index_copy(u, call, key, &copy, &attr) != 0) {
        return;
    }
    part_put(u->up, copy);
    if (attr.nlink <= 1) {
        home_name('f', key, &name);
        (void)u->up->ops->unlink(u->up, call, u->home, name.str);
        snprintf(ino, sizeof ino, "%llx", (unsigned long long)attr.ino);
        home_name('u', ino, &name);
        (void)u->up->ops->unlink(u->up, call, u->home, name.str);
    }
}

static int hidden_write(struct unionfs *u, const struct cis_vfs_call *call, const char *key,
                        uint32_t n)
{
    struct home_name name;
    char text[16];
    snprintf(text, sizeof text, "%u", n);
    home_name('n', key, &name);
    return n == 0 ? cis_vfs_unlink(u->up, call, u->home, name.str)
                  : note_write(u, call, name.str, text);
}

int cis_union_index_hide(struct unionfs *u, const struct cis_vfs_call *call,
                         const struct cis_vfs_attr *lower)
{
    char key[UNION_KEY];
    cis_union_index_key(lower, key);
    return hidden_write(u, call, key, cis_union_index_hidden(u, call, key) + 1);
}

void cis_union_index_hidden_end(struct unionfs *u, const struct cis_vfs_call *call,
                                const struct cis_vfs_attr *lower)
{
    char key[UNION_KEY];
    cis_union_index_key(lower, key);
    cis_union_index_tidy(u, call, key, lower->nlink);
}

void cis_union_index_hidden_back(struct unionfs *u, const struct cis_vfs_call *call,
                                 const struct cis_vfs_attr *lower)
{
    char key[UNION_KEY];
    cis_union_index_key(lower, key);
    uint32_t n = cis_union_index_hidden(u, call, key);
    (void)(n != 0 ? hidden_write(u, call, key, n - 1) : 0);
}
