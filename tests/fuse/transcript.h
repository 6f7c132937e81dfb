/* What programs do with files, as text: every call with what it answered. Run in a folder of the
 * host and in a mount, the two texts are the same, or a line shows where they part. Left out
 * because filesystems differ in it by right: inode numbers, sizes and link counts of directories'
 * own rows where noted, st_blocks, atime. */
#ifndef CIS_TESTS_FUSE_TRANSCRIPT_H
#define CIS_TESTS_FUSE_TRANSCRIPT_H

#include "base/buf.h"

/* One group of calls in an empty folder. dir: open descriptor of it. */
typedef void transcript_group(int dir, struct cis_buf *out);

struct transcript_row {
    const char *name;
    transcript_group *run;
    bool owners; /* needs root, and a filesystem where files belong to who made them */
};
extern const struct transcript_row transcript_rows[];
extern const size_t transcript_count;

/* Fails the test with the first line that differs. */
void transcript_compare(const char *name, const struct cis_buf *host, const struct cis_buf *mount);

#endif
