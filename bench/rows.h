/* Trees for the bench programs, written as rows straight to the store. One store at a time. */
#ifndef CIS_BENCH_ROWS_H
#define CIS_BENCH_ROWS_H

#include <string.h>
#include <sys/stat.h>
#include "bench/measure.h"
#include "store/calls.h"
#include "store/store.h"

#define T CIS_STR("bench")

static cis_store *s;

#define MUST(call)                                                                                 \
    do {                                                                                           \
        struct cis_error err_ = {0};                                                               \
        struct cis_error *err = &err_;                                                             \
        if ((call) != CIS_OK) {                                                                    \
            fprintf(stderr, "%s: %s\n", #call, err->msg);                                          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static struct cis_view head(void) /* of the current branch */
{
    struct cis_fs_ref ref;
    MUST(cis_store_ref_get(s, T, CIS_STR(""), &ref, NULL, err));
    return ref.head;
}

struct batch {
    struct cis_fs_dirent *dirents;
    struct cis_fs_change *changes;
    char (*names)[24];
    size_t n;
};

static int by_name(const void *a, const void *b)
{
    const struct cis_fs_dirent *x = a, *y = b;
    return strcmp(x->name.ptr, y->name.ptr);
}

/* n new entries of one directory, one commit. */
static uint64_t make(uint64_t dir, const char *prefix, uint64_t from, size_t n, uint32_t mode)
{
    struct batch b = {calloc(n, sizeof *b.dirents), calloc(n, sizeof *b.changes),
                      calloc(n, sizeof *b.names), n};
    uint64_t first = 0;
    struct cis_fs_time now = {1700000000, 0};
    MUST(cis_store_reserve_inodes(s, T, (uint32_t)n, &first, NULL, err));
    for (size_t i = 0; i < n; i++) {
        snprintf(b.names[i], sizeof b.names[i], "%s%06llu", prefix, (unsigned long long)(from + i));
        b.dirents[i] = (struct cis_fs_dirent){
            .parent = dir, .ino = first + i, .mode = mode & S_IFMT, .name = cis_str_of(b.names[i])};
        b.changes[i] = (struct cis_fs_change){.kind = CIS_FS_PUT,
                                              .is_new = true,
                                              .inode = {.ino = first + i,
                                                        .mode = mode,
                                                        .nlink = S_ISDIR(mode) ? 2 : 1,
                                                        .parent = S_ISDIR(mode) ? dir : 0,
                                                        .atime = now,
                                                        .mtime = now,
                                                        .ctime = now,
                                                        .btime = now}};
    }
    qsort(b.dirents, n, sizeof *b.dirents, by_name);
    struct cis_fs_delta delta = {.ino = dir, .mtime = now, .ctime = now};
    delta.nlink = S_ISDIR(mode) ? (int32_t)n : 0;
    struct cis_fs_commit fs = {.base = head(),
                               .dirents = b.dirents,
                               .ndirents = n,
                               .changes = b.changes,
                               .nchanges = n,
                               .deltas = &delta,
                               .ndeltas = 1,
                               .files = (int64_t)n};
    struct cis_store_commit c = {.fs = &fs, .kind = "bench"};
    MUST(cis_store_commit(s, T, &c, NULL, err));
    free(b.dirents);
    free(b.changes);
    free(b.names);
    return first;
}

#endif
