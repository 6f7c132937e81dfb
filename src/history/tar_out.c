/* A tree as a tar stream. Pax headers hold what old tars cannot: long names, nanoseconds, big
 * sizes, holes. */
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "history/move.h"
#include "history/tar.h"
#include "history/tree.h"

#define SMALL 4096u       /* what damage costs, around it */
#define SMALL_FILE 65536u /* is not looked at for zeros */

struct out {
    struct archive *a;
    struct archive_entry *entry;
    const struct cis_vfs_call *call;
    struct cis_map linked; /* inode → path */
    struct arena paths;
    uint8_t *piece;
    struct cis_tar_sink sink;
    struct cis_tar_parts parts; /* of the file that is written */
    cis_move_progress *progress;
    cis_move_skipped *skipped;
    void *self;
    struct cis_move_counts counts;
};

static void out_done(struct out *o)
{
    if (o->entry != NULL) {
        archive_entry_free(o->entry);
    }
    if (o->a != NULL) {
        o->sink.deaf = true; /* it may end an entry that is half there */
        archive_write_free(o->a);
    }
    cis_map_done(&o->linked, NULL);
    cis_arena_done(&o->paths);
    cis_free(o->piece);
    cis_free(o->sink.bytes);
    vec_done(&o->parts);
}

/* ---- failures ---- */
static cis_code broken(struct archive *a, struct cis_error *err)
{
    const char *why = archive_error_string(a);
    return cis_fail_sys(err, CIS_E_IO, archive_errno(a), "tar: %s",
                        why != NULL ? why : "cannot be written");
}

static cis_code unwritten(int rc, struct cis_error *err)
{
    return rc == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_IO, rc, "tar: Write error");
}

static cis_code failed(const struct out *o, const struct cis_tree_entry *e, int rc,
                       struct cis_error *err)
{
    char name[120];
    if (rc == EINTR && o->call->stop != NULL) {
        snprintf(name, sizeof name, "%.*s", CIS_STR_ARG(e->path));
        CIS_TRY(cis_stop_check(o->call->stop, name, err));
    }
    return cis_vfs_fail(err, rc, "%.*s", CIS_STR_ARG(e->path));
}

static bool skips(const struct out *o, const struct cis_tree_entry *e, int rc)
{
    struct cis_error why = {0};
    if (o->skipped == NULL || !cis_move_may_skip(rc, o->call, e->path, &why)) {
        return false;
    }
    o->skipped(o->self, e->path, &why);
    return true;
}

/* The header says how long the content is. What of it cannot be read is zeros, as small as may be,
 * and told once. */
static int read_piece(struct out *o, const struct cis_tree_entry *e, cis_vfs_file *in,
                      uint64_t from, size_t *inout_n, size_t *step, bool *told)
{
    struct iovec v = {o->piece, *inout_n < *step ? *inout_n : *step};
    size_t n = 0;
    int rc = cis_vfs_read(in, o->call, &v, 1, from, &n);
    if (rc != 0 && *step > SMALL && o->skipped != NULL) {
        *step = SMALL;
        return read_piece(o, e, in, from, inout_n, step, told);
    }
    if (rc != 0 && (*told || skips(o, e, rc))) {
        if (o->call->err != NULL) {
            *o->call->err = (struct cis_error){0};
        }
        *told = true;
        memset(o->piece, 0, v.iov_len);
        n = v.iov_len;
        rc = 0;
    }
    *inout_n = n;
    return rc != 0 ? rc : n == 0 ? EIO : 0;
}

/* Content of a file with holes goes past libarchive, which has written its header. */
static cis_code write_piece(struct out *o, size_t n, bool past, struct cis_error *err)
{
    for (size_t done = 0; !past && done < n;) {
        la_ssize_t k = archive_write_data(o->a, o->piece + done, n - done);
        if (k <= 0) {
            return broken(o->a, err);
        }
        done += (size_t)k;
    }
    return past ? unwritten(cis_tar_put(&o->sink, o->piece, n), err) : CIS_OK;
}

static cis_code write_range(struct out *o, const struct cis_tree_entry *e, cis_vfs_file *in,
                            uint64_t from, uint64_t to, bool past, struct cis_error *err)
{
    size_t step = CIS_TAR_PIECE;
    bool told = false;
    while (from < to) {
        size_t n = to - from < CIS_TAR_PIECE ? (size_t)(to - from) : CIS_TAR_PIECE;
        int rc = read_piece(o, e, in, from, &n, &step, &told);
        if (rc != 0) {
            return failed(o, e, rc, err);
        }
        CIS_TRY(write_piece(o, n, past, err));
        from += n;
        o->counts.bytes += n;
        if (o->progress != NULL && !o->progress(o->self, &o->counts, e->path)) {
            return cis_fail(err, CIS_E_CANCELLED, "cancelled");
        }
    }
    return CIS_OK;
}

/* libarchive takes the content of a file with its holes, 2 GiB at a call at most, and a hole may
 * have 2^62 bytes. So it writes the header and the list of the parts, as an archive of its own, and
 * is let go; what follows is the parts and no more. */
static cis_code write_head(struct out *o, struct cis_error *err)
{
    struct archive *a = archive_write_new();
    if (a == NULL) {
        return cis_history_nomem(err);
    }
    o->sink.deaf = false;
    bool ok = archive_write_set_format_pax(a) == ARCHIVE_OK &&
              archive_write_set_bytes_per_block(a, 0) == ARCHIVE_OK &&
              archive_write_open(a, &o->sink, NULL, cis_tar_take, NULL) == ARCHIVE_OK &&
              archive_write_header(a, o->entry) >= ARCHIVE_WARN &&
              archive_write_data(a, "", 0) == 0; /* the list comes with the first of the data */
    cis_code code = ok ? CIS_OK : broken(a, err);
    o->sink.deaf = true; /* for the end of the entry, and of the archive */
    archive_write_free(a);
    o->sink.deaf = false;
    return code;
}

static cis_code write_parts(struct out *o, const struct cis_tree_entry *e, cis_vfs_file *in,
                            struct cis_error *err)
{
    static const uint8_t pad[512];
    uint64_t sum = 0;
    for (size_t i = 0; i < o->parts.n; i++) {
        const struct cis_tar_part *p = &o->parts.at[i];
        archive_entry_sparse_add_entry(o->entry, (la_int64_t)p->from,
                                       (la_int64_t)(p->to - p->from));
        sum += p->to - p->from;
    }
    if (o->parts.n == 0 || o->parts.at[o->parts.n - 1].to < e->attr->size) { /* ends in a hole */
        archive_entry_sparse_add_entry(o->entry, (la_int64_t)e->attr->size, 0);
    }
    if (archive_write_finish_entry(o->a) < ARCHIVE_WARN) {
        return broken(o->a, err);
    }
    CIS_TRY(write_head(o, err));
    for (size_t i = 0; i < o->parts.n; i++) {
        CIS_TRY(write_range(o, e, in, o->parts.at[i].from, o->parts.at[i].to, true, err));
    }
    return unwritten(
        cis_tar_put(&o->sink, pad, (size_t)((sizeof pad - sum % sizeof pad) % sizeof pad)), err);
}

static cis_code write_whole(struct out *o, const struct cis_tree_entry *e, cis_vfs_file *in,
                            struct cis_error *err)
{
    if (archive_write_header(o->a, o->entry) < ARCHIVE_WARN) {
        return broken(o->a, err);
    }
    return write_range(o, e, in, 0, e->attr->size, false, err);
}

static cis_code too_many_parts(struct out *o, const struct cis_tree_entry *e, struct cis_error *err)
{
    struct cis_error why = {0};
    cis_fail(
        &why, CIS_E_LIMIT,
        "%.*s: more than %u parts between holes, the most a tar may have; `cis fs get` copies it",
        e->path.len < 100 ? (int)e->path.len : 100, e->path.ptr, CIS_TAR_PARTS_MAX);
    if (o->skipped != NULL) {
        o->skipped(o->self, e->path, &why);
        return CIS_OK;
    }
    return cis_fail(err, why.code, "%s", why.msg);
}

static cis_code write_file(struct out *o, const struct cis_tree_entry *e, struct cis_error *err)
{
    cis_vfs_file *in = NULL;
    uint64_t size = e->attr->size;
    int rc = cis_vfs_open(e->vfs, o->call, e->node, O_RDONLY, &in);
    if (rc != 0) {
        return skips(o, e, rc) ? CIS_OK : failed(o, e, rc, err);
    }
    bool dense = size <= SMALL_FILE && e->attr->blocks * 512 >= size;
    rc = dense ? 0 : cis_tar_parts_find(in, o->call, size, CIS_TAR_PARTS_MAX, o->piece, &o->parts);
    dense |= o->parts.n == 1 && o->parts.at[0].from == 0 && o->parts.at[0].to == size;
    cis_code code = rc == E2BIG ? too_many_parts(o, e, err)
                    : rc != 0   ? failed(o, e, rc, err)
                    : dense     ? write_whole(o, e, in, err)
                                : write_parts(o, e, in, err);
    cis_vfs_file_close(in);
    return code;
}

static void fill(struct out *o, const struct cis_tree_entry *e, struct cis_str path)
{
    const struct cis_vfs_attr *a = e->attr;
    archive_entry_clear(o->entry);
    archive_entry_set_pathname(o->entry, path.ptr);
    archive_entry_set_mode(o->entry, a->mode);
    archive_entry_set_uid(o->entry, a->uid);
    archive_entry_set_gid(o->entry, a->gid);
    archive_entry_set_mtime(o->entry, a->mtime.tv_sec, a->mtime.tv_nsec);
    archive_entry_set_size(o->entry, S_ISREG(a->mode) ? (la_int64_t)a->size : 0);
    if (S_ISCHR(a->mode) || S_ISBLK(a->mode)) {
        archive_entry_set_rdevmajor(o->entry, gnu_dev_major(a->rdev));
        archive_entry_set_rdevminor(o->entry, gnu_dev_minor(a->rdev));
    }
}

/* A second name of a file that is written already. */
static cis_code hard_link(struct out *o, const struct cis_tree_entry *e, struct cis_str path,
                          bool *out_done_now, struct cis_error *err)
{
    const char *first = cis_ids_get(&o->linked, e->attr->ino);
    *out_done_now = false;
    if (S_ISDIR(e->attr->mode) || e->attr->nlink < 2) {
        return CIS_OK;
    }
    if (first == NULL) {
        struct cis_str copy;
        CIS_TRY(cis_arena_str(&o->paths, path, &copy, err));
        return cis_ids_set(&o->linked, e->attr->ino, (void *)(uintptr_t)copy.ptr, NULL, err);
    }
    archive_entry_set_hardlink(o->entry, first);
    archive_entry_set_size(o->entry, 0);
    *out_done_now = true;
    return archive_write_header(o->a, o->entry) >= ARCHIVE_WARN ? CIS_OK : broken(o->a, err);
}

static cis_code visit(void *self, const struct cis_tree_entry *e, bool *descend,
                      struct cis_error *err)
{
    struct out *o = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(64u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(65536);
    bool linked;
    (void)descend;
    if (e->rc != 0) {
        return skips(o, e, e->rc) ? CIS_OK : failed(o, e, e->rc, err);
    }
    if (S_ISSOCK(e->attr->mode)) {
        o->counts.skipped++;
        return CIS_OK;
    }
    cis_buf_byte(&path, '.');
    cis_buf_str(&path, e->path);
    if (S_ISDIR(e->attr->mode)) {
        cis_buf_byte(&path, '/');
    }
    CIS_TRY(cis_buf_check(&path, "path", err));
    fill(o, e, cis_buf_view(&path));
    o->counts.files++;
    CIS_TRY(hard_link(o, e, cis_buf_view(&path), &linked, err));
    if (linked) {
        return CIS_OK;
    }
    if (S_ISREG(e->attr->mode)) {
        return write_file(o, e, err);
    }
    if (S_ISLNK(e->attr->mode)) {
        int rc = cis_vfs_readlink(e->vfs, o->call, e->node, &target);
        if (rc != 0) {
            return skips(o, e, rc) ? CIS_OK : failed(o, e, rc, err);
        }
        archive_entry_set_symlink(o->entry, cis_buf_cstr(&target));
    }
    return archive_write_header(o->a, o->entry) >= ARCHIVE_WARN ? CIS_OK : broken(o->a, err);
}

static cis_code write_tar(const cis_dir *dir, const struct cis_vfs_call *call, int fd,
                          cis_move_progress *progress, cis_move_skipped *skipped, void *self,
                          struct cis_move_counts *out, struct cis_error *err)
{
    CIS_CLEANUP(out_done)
    struct out o = {.call = call,
                    .linked = CIS_MAP_INIT,
                    .progress = progress,
                    .skipped = skipped,
                    .self = self};
    CIS_CLEANUP(cis_found_done) struct cis_found root = {0};
    int rc = cis_walk(dir, NULL, call, CIS_STR("."), 0, &root);
    if (rc != 0) {
        return cis_vfs_fail(err, rc, ".");
    }
    o.a = archive_write_new();
    o.entry = archive_entry_new();
    o.piece = cis_alloc(CIS_TAR_PIECE);
    o.sink = (struct cis_tar_sink){.fd = fd, .bytes = cis_alloc(CIS_TAR_PIECE)};
    if (o.a == NULL || o.entry == NULL || o.piece == NULL || o.sink.bytes == NULL) {
        return cis_history_nomem(err);
    }
    /* Without a buffer of libarchive's: what goes past it must come behind what went through. */
    if (archive_write_set_format_pax(o.a) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(o.a, 0) != ARCHIVE_OK ||
        archive_write_open(o.a, &o.sink, NULL, cis_tar_take, NULL) != ARCHIVE_OK) {
        return broken(o.a, err);
    }
    CIS_TRY(cis_tree_walk(root.vfs, root.node, &root.attr, CIS_STR(""),
                          CIS_TREE_NODES | (skipped != NULL ? CIS_TREE_FAILURES : 0u), call, visit,
                          &o, err));
    if (archive_write_close(o.a) != ARCHIVE_OK) {
        return broken(o.a, err);
    }
    CIS_TRY(unwritten(cis_tar_flush(&o.sink), err));
    *out = o.counts;
    return CIS_OK;
}

/* Names are UTF-8 for libarchive, whatever the process's own locale is: in the C locale it would
 * mark every one that is not ASCII as binary, which other tars complain of. */
cis_code cis_history_tar_write(const cis_dir *dir, const struct cis_vfs_call *call, int fd,
                               cis_move_progress *progress, cis_move_skipped *skipped, void *self,
                               struct cis_move_counts *out, struct cis_error *err)
{
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), was = (locale_t)0;
    if (utf8 != (locale_t)0) {
        was = uselocale(utf8);
    }
    cis_code code = write_tar(dir, call, fd, progress, skipped, self, out, err);
    if (utf8 != (locale_t)0) {
        uselocale(was);
        freelocale(utf8);
    }
    return code;
}
