#include "vfs/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const op_names[OP_COUNT_] = {
    "stat",     "open",  "close",    "read",  "write",  "fstat", "ftruncate", "allocate",
    "seek",     "fsync", "truncate", "chmod", "times",  "mkdir", "mknod",     "symlink",
    "readlink", "link",  "unlink",   "rmdir", "rename", "list",
};

void op_fill(uint32_t seed, uint64_t offset, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint64_t h = (offset + i) / 8 * 0x9E3779B97F4A7C15ull + seed;
        h ^= h >> 29;
        out[i] = (uint8_t)((h * 0xBF58476D1CE4E5B9ull) >> ((offset + i) % 8 * 8));
    }
}

void op_apply(subject *s, const struct op *op, struct op_result *out)
{
    memset(out, 0, sizeof *out);
    out->data = CIS_BUF_INIT(64u * 1024u * 1024u);
    s->ops->apply(s, op, out);
}

void op_result_done(struct op_result *result)
{
    cis_buf_done(&result->data);
}

void subject_close_slots(subject *s)
{
    for (unsigned i = 0; i < OP_SLOTS; i++) {
        struct op op = {.kind = OP_CLOSE, .slot = i};
        struct op_result result;
        op_apply(s, &op, &result);
        op_result_done(&result);
    }
}

void op_print(const struct op *op, char *out, size_t cap)
{
    snprintf(
        out, cap,
        "%-9s a=\"%s\" b=\"%s\" flags=0%o%s slot=%u mode=0%o off=%llu len=%llu seed=%u bits=%u",
        op_names[op->kind], op->a, op->b, (unsigned)op->flags, op->nofollow ? " nofollow" : "",
        op->slot, op->mode, (unsigned long long)op->offset, (unsigned long long)op->len, op->seed,
        op->bits);
}

static bool differ(char *out, size_t cap, const char *what, uint64_t a, uint64_t b)
{
    snprintf(out, cap, "%s: %llu and %llu", what, (unsigned long long)a, (unsigned long long)b);
    return false;
}

static bool same_attr(const struct op_result *a, const struct op_result *b, char *out, size_t cap)
{
    if (a->attr.mode != b->attr.mode) {
        return differ(out, cap, "mode", a->attr.mode, b->attr.mode);
    }
    if (a->attr.nlink != b->attr.nlink) {
        return differ(out, cap, "nlink", a->attr.nlink, b->attr.nlink);
    }
    if (!S_ISDIR(a->attr.mode) && a->attr.size != b->attr.size) {
        return differ(out, cap, "size", a->attr.size, b->attr.size);
    }
    if (a->mtime && (a->attr.mtime.tv_sec != b->attr.mtime.tv_sec ||
                     a->attr.mtime.tv_nsec != b->attr.mtime.tv_nsec)) {
        return differ(out, cap, "mtime", (uint64_t)a->attr.mtime.tv_nsec,
                      (uint64_t)b->attr.mtime.tv_nsec);
    }
    if (a->atime && !b->loose_atime &&
        (a->attr.atime.tv_sec != b->attr.atime.tv_sec ||
         a->attr.atime.tv_nsec != b->attr.atime.tv_nsec)) {
        return differ(out, cap, "atime", (uint64_t)a->attr.atime.tv_nsec,
                      (uint64_t)b->attr.atime.tv_nsec);
    }
    return true;
}

bool op_same(const struct op *op, const struct op_result *a, const struct op_result *b, char *out,
             size_t cap)
{
    out[0] = '\0';
    if (a->no != b->no) {
        snprintf(out, cap, "errno: %d (%s) and %d (%s)", a->no, strerror(a->no), b->no,
                 strerror(b->no));
        return false;
    }
    if (a->no != 0) {
        return true;
    }
    if (op->kind != OP_SEEK && a->n != b->n) {
        return differ(out, cap, "count", a->n, b->n);
    }
    if (a->has_attr && b->has_attr && !same_attr(a, b, out, cap)) {
        return false;
    }
    if (a->data.len != b->data.len) {
        return differ(out, cap, "length of data", a->data.len, b->data.len);
    }
    for (size_t i = 0; i < a->data.len; i++) {
        if (a->data.ptr[i] != b->data.ptr[i]) {
            return differ(out, cap, "data at", i, a->data.ptr[i]);
        }
    }
    return true;
}

static int line_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void listing_sort(struct cis_buf *lines)
{
    size_t n = 0, cap = 16;
    char **v = calloc(cap, sizeof *v);
    char *text = strndup(lines->ptr != NULL ? (char *)lines->ptr : "", lines->len), *at = text;
    for (char *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        *end = '\0';
        if (n == cap) {
            v = realloc(v, (cap *= 2) * sizeof *v);
        }
        v[n++] = at;
    }
    qsort(v, n, sizeof *v, line_cmp);
    cis_buf_reset(lines);
    for (size_t i = 0; i < n; i++) {
        cis_buf_printf(lines, "%s\n", v[i]);
    }
    free(v);
    free(text);
}

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, text, strlen(text));
        close(fd);
    }
}

bool op_chroot_prepare(void)
{
    umask(0);
    if (geteuid() == 0) {
        return true;
    }
    unsigned uid = geteuid(), gid = getegid();
    char map[64];
    if (unshare(CLONE_NEWUSER) != 0) {
        return false;
    }
    write_text("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "0 %u 1", uid);
    write_text("/proc/self/uid_map", map);
    snprintf(map, sizeof map, "0 %u 1", gid);
    write_text("/proc/self/gid_map", map);
    return true;
}

void remove_deep(const char *path)
{
    char *const paths[] = {(char *)(uintptr_t)path, NULL};
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOSTAT, NULL);
    for (FTSENT *e; walk != NULL && (e = fts_read(walk)) != NULL;) {
        if (e->fts_info == FTS_DP) {
            rmdir(e->fts_accpath);
        } else if (e->fts_info != FTS_D) {
            unlink(e->fts_accpath);
        }
    }
    if (walk != NULL) {
        fts_close(walk);
    }
}
