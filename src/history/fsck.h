/* Findings of fsck while it runs. Internal to this room. */
#ifndef CIS_HISTORY_FSCK_H
#define CIS_HISTORY_FSCK_H

#include "history/internal.h"
#include "history/maintain.h"

struct finding {
    const char *what;
    uint64_t ino; /* whose path is looked up when told; 0: none */
    struct cis_str text;
};
/* The files that a branch ever had, each with the first epoch at which it was there: read once, for
 * all views that go through the branch. */
struct fsck_born {
    struct {
        struct fsck_file {
            uint64_t ino, since;
        } * at; /* by ino */
        size_t n, cap;
        struct cis_bound *bound;
    } files;
    size_t views;   /* that go through the branch and are not checked yet */
    bool read, bad; /* bad: as far as it could be read */
    char why[CIS_ERROR_MSG_MAX];
};
struct fsck {
    const struct cis_history *h;
    bool data;
    struct cis_branches branches;
    struct fsck_born *born; /* of each branch, in their order */
    struct {
        struct finding *at;
        size_t n, cap;
        struct cis_bound *bound;
    } findings;
    struct arena arena;
    struct cis_history_pin pin;
    struct cis_fsck_counts counts;
    cis_fault_each *each;
    void *self;
    bool stopped;
    struct cis_error *err;
};

/* A state to check. */
struct fsck_target {
    struct cis_view view;
    uint64_t files, bytes;
    bool whole; /* there is nothing to find */
    char label[CIS_FS_REF_MAX + 16];
};

cis_code cis_fsck_found(struct fsck *f, const char *what, uint64_t ino, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Tells what was found, by the names that the view has; label: "" or "main: ". */
cis_code cis_fsck_tell(struct fsck *f, struct cis_view view, const char *label);
/* Damage is a finding; anything else ends the check. */
bool cis_fsck_is_damage(cis_code code);
cis_code cis_fsck_view(struct fsck *f, struct cis_view view, const char *label, uint64_t files,
                       uint64_t bytes);
/* Marks, and counts, the targets that are whole; the others are not checked. Their views: owners'.
 */
cis_code cis_fsck_sweep(struct fsck *f, struct fsck_target *targets, size_t n);
/* Does no content of the file lie behind its end? */
cis_code cis_fsck_blocks_fit(const struct cis_history *h, struct cis_view view, uint64_t ino,
                             uint64_t size, bool *out_fit, struct cis_error *err);
cis_code cis_fsck_chunks(struct fsck *f);

#endif
