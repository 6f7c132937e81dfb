/* What the writer of tars is made of: where its bytes go, and which parts of a file have data. */
#ifndef CIS_HISTORY_TAR_H
#define CIS_HISTORY_TAR_H

#include <archive.h>
#include "history/internal.h"
#include "vfs/vfs.h"

#define CIS_TAR_PARTS_MAX 1000000u /* of one file: each takes memory, here and in who reads it */
#define CIS_TAR_PIECE (1u << 20)

/* ---- bytes to a descriptor, by way of a buffer ---- */
struct cis_tar_sink {
    int fd;
    bool deaf; /* takes everything and writes nothing */
    size_t n;
    uint8_t *bytes; /* CIS_TAR_PIECE of them */
};
/* Both give an errno. */
int cis_tar_put(struct cis_tar_sink *sink, const void *bytes, size_t n);
int cis_tar_flush(struct cis_tar_sink *sink);
/* For archive_write_open(): self is the sink. */
la_ssize_t cis_tar_take(struct archive *a, void *self, const void *bytes, size_t n);

/* ---- the parts of a file that are not zeros ---- */
struct cis_tar_parts {
    struct cis_tar_part {
        uint64_t from, to;
    } * at;
    size_t n, cap;
    struct cis_bound *bound;
};
/* Of an open file below `size`, at most `max`: holes are zeros of 4 KiB and more, whether the file
 * says so or its content does; when that gives too many parts, of 64 KiB and more. What cannot be
 * read counts as data: who writes it finds out. E2BIG: too many all the same. piece: CIS_TAR_PIECE
 * bytes to read into. */
int cis_tar_parts_find(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t size,
                       size_t max, uint8_t *piece, struct cis_tar_parts *out);

#endif
