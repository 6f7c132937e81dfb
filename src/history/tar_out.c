/* A tree as a tar stream. Pax headers hold what old tars cannot: long names, nanoseconds, big
 * sizes, holes. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "history/internal.h"
#include "history/move.h"
#include "history/tree.h"
#include "vfs/digest.h"

#define PIECE (1u << 20)
#define ZEROS (1u << 30) /* given to libarchive at once; memory that is only read takes none */
#define PARTS_MAX 1000000u
#define SMALL 4096u /* what damage costs, around it */

struct out {
    struct archive *a;
    struct archive_entry *entry;
    const struct cis_vfs_call *call;
    struct cis_map linked; /* inode → path */
    struct arena paths;
    uint8_t *piece;
    const void *zeros;
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
        archive_write_free(o->a);
    }
    cis_map_done(&o->linked, NULL);
    cis_arena_done(&o->paths);
    cis_free(o->piece);
    if (o->zeros != NULL) {
        munmap((void *)(uintptr_t)o->zeros, ZEROS);
    }
}

static cis_code broken(const struct out *o, struct cis_error *err)
{
    const char *why = archive_error_string(o->a);
    return cis_fail_sys(err, CIS_E_IO, archive_errno(o->a), "tar: %s",
                        why != NULL ? why : "cannot be written");
}

static cis_code failed(const struct cis_tree_entry *e, int no, struct cis_error *err)
{
    return cis_vfs_fail(err, no, "%.*s", CIS_STR_ARG(e->path));
}

static bool skips(const struct out *o, const struct cis_tree_entry *e, int no)
{
    struct cis_error why = {0};
    if (o->skipped == NULL || !cis_move_may_skip(no, o->call, e->path, &why)) {
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
    int no = e->vfs->ops->read(in, o->call, &v, 1, from, &n);
    if (no != 0 && *step > SMALL && o->skipped != NULL) {
        *step = SMALL;
        return read_piece(o, e, in, from, inout_n, step, told);
    }
    if (no != 0 && (*told || skips(o, e, no))) {
        if (o->call->err != NULL) {
            *o->call->err = (struct cis_error){0};
        }
        *told = true;
        memset(o->piece, 0, v.iov_len);
        n = v.iov_len;
        no = 0;
    }
    *inout_n = n;
    return no != 0 ? no : n == 0 ? EIO : 0;
}

static cis_code write_range(struct out *o, const struct cis_tree_entry *e, cis_vfs_file *in,
                            uint64_t from, uint64_t to, struct cis_error *err)
{
    size_t step = PIECE;
    bool told = false;
    while (from < to) {
        size_t n = to - from < PIECE ? (size_t)(to - from) : PIECE;
        int no = read_piece(o, e, in, from, &n, &step, &told);
        if (no != 0) {
            return failed(e, no, err);
        }
        for (size_t done = 0; done < n;) {
            la_ssize_t k = archive_write_data(o->a, o->piece + done, n - done);
            if (k <= 0) {
                return broken(o, err);
            }
            done += (size_t)k;
        }
        from += n;
        o->counts.bytes += n;
        if (o->progress != NULL && !o->progress(o->self, &o->counts, e->path)) {
            return cis_fail(err, CIS_E_CANCELLED, "cancelled");
        }
    }
    return CIS_OK;
}

/* libarchive takes the whole content, holes too, and leaves out those that the header lists: for
 * them it looks at no byte, and what is given is a piece of zeros that needs no memory. */
static cis_code write_zeros(struct out *o, const struct cis_tree_entry *e, uint64_t n,
                            struct cis_error *err)
{
    while (n > 0) {
        la_ssize_t k = archive_write_data(o->a, o->zeros, n < ZEROS ? (size_t)n : ZEROS);
        if (k <= 0) {
            return broken(o, err);
        }
        n -= (uint64_t)k;
        if (o->progress != NULL && !o->progress(o->self, &o->counts, e->path)) {
            return cis_fail(err, CIS_E_CANCELLED, "cancelled");
        }
    }
    return CIS_OK;
}

static cis_code write_parts(struct out *o, const struct cis_tree_entry *e, cis_vfs_file *in,
                            struct cis_error *err)
{
    uint64_t size = e->attr->size, data, end;
    for (uint64_t at = 0; at < size; at = end) {
        int no = cis_digest_next(in, o->call, at, size, &data, &end);
        if (no != 0) {
            return failed(e, no, err);
        }
        CIS_TRY(write_zeros(o, e, data - at, err));
        CIS_TRY(write_range(o, e, in, data, end, err));
    }
    return CIS_OK;
}

/* Of more parts than a header should list, the last one is all the rest: its holes are written out
 * as zeros. */
static cis_code list_parts(struct out *o, const struct cis_tree_entry *e, cis_vfs_file *in,
                           struct cis_error *err)
{
    uint64_t size = e->attr->size, data = 0, end = 0;
    unsigned parts = 0;
    if (e->attr->blocks * 512 >= size) {
        return CIS_OK;
    }
    for (uint64_t at = 0; at < size; at = end) {
        int no = cis_digest_next(in, o->call, at, size, &data, &end);
        if (no != 0) {
            return failed(e, no, err);
        }
        end = ++parts == PARTS_MAX ? size : end;
        if (data < end) {
            archive_entry_sparse_add_entry(o->entry, (la_int64_t)data, (la_int64_t)(end - data));
        }
    }
    if (data == size) { /* it ends in a hole */
        archive_entry_sparse_add_entry(o->entry, (la_int64_t)size, 0);
    }
    return CIS_OK;
}

static cis_code write_file(struct out *o, const struct cis_tree_entry *e, struct cis_error *err)
{
    cis_vfs_file *in = NULL;
    int no = e->vfs->ops->open(e->vfs, o->call, e->node, O_RDONLY, &in);
    if (no != 0) {
        return skips(o, e, no) ? CIS_OK : failed(e, no, err);
    }
    cis_code code = list_parts(o, e, in, err);
    if (code == CIS_OK && archive_write_header(o->a, o->entry) < ARCHIVE_WARN) {
        code = broken(o, err);
    }
    if (code == CIS_OK) {
        code = write_parts(o, e, in, err);
    }
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
        return cis_ids_set(&o->linked, e->attr->ino, (void *)(uintptr_t)copy.ptr, err);
    }
    archive_entry_set_hardlink(o->entry, first);
    archive_entry_set_size(o->entry, 0);
    *out_done_now = true;
    return archive_write_header(o->a, o->entry) >= ARCHIVE_WARN ? CIS_OK : broken(o, err);
}

static cis_code visit(void *self, const struct cis_tree_entry *e, bool *descend,
                      struct cis_error *err)
{
    struct out *o = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(64u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(65536);
    bool linked;
    (void)descend;
    if (e->no != 0) {
        return skips(o, e, e->no) ? CIS_OK : failed(e, e->no, err);
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
        int no = e->vfs->ops->readlink(e->vfs, o->call, e->node, &target);
        if (no != 0) {
            return skips(o, e, no) ? CIS_OK : failed(e, no, err);
        }
        archive_entry_set_symlink(o->entry, cis_buf_cstr(&target));
    }
    return archive_write_header(o->a, o->entry) >= ARCHIVE_WARN ? CIS_OK : broken(o, err);
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
    int no = cis_walk(dir, NULL, call, CIS_STR("."), 0, &root);
    if (no != 0) {
        return cis_vfs_fail(err, no, ".");
    }
    o.a = archive_write_new();
    o.entry = archive_entry_new();
    o.piece = cis_alloc(PIECE);
    void *zeros = mmap(NULL, ZEROS, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    o.zeros = zeros != MAP_FAILED ? zeros : NULL;
    if (o.a == NULL || o.entry == NULL || o.piece == NULL || o.zeros == NULL) {
        return cis_history_nomem(err);
    }
    if (archive_write_set_format_pax(o.a) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(o.a, 65536) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(o.a, 1) != ARCHIVE_OK ||
        archive_write_open_fd(o.a, fd) != ARCHIVE_OK) {
        return broken(&o, err);
    }
    CIS_TRY(cis_tree_walk(root.vfs, root.node, &root.attr, CIS_STR(""),
                          CIS_TREE_NODES | (skipped != NULL ? CIS_TREE_FAILURES : 0u), call, visit,
                          &o, err));
    if (archive_write_close(o.a) != ARCHIVE_OK) {
        return broken(&o, err);
    }
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
