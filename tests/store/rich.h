/* A store with a tree, contents in rows and in chunks, versions, forks, snapshots and memory; and
 * all its answers, so that those after some damage can be compared. */
#ifndef CIS_TESTS_STORE_RICH_H
#define CIS_TESTS_STORE_RICH_H

#include "store/store.h"

#define RICH_ANSWERS 4000

struct rich {
    cis_store *s;
    uint64_t dirs, files; /* first inode numbers */
};

/* Fills the empty store at rich->s. */
void rich_make(struct rich *rich);
/* Writes the files of the first directories anew, a commit each. */
void rich_write(struct rich *rich, unsigned dirs, unsigned version);
struct cis_view rich_head(cis_store *s, const char *ref);

struct rich_answer {
    cis_code code;
    uint64_t digest;
};
struct rich_survey {
    struct rich_answer all[RICH_ANSWERS];
    size_t n;
    uint64_t digest; /* of the answer at work */
};
struct rich_run {
    struct rich_survey before, now;
    struct cis_view heads[2]; /* main, fork */
};

void rich_survey(struct rich_survey *out, const struct rich *rich, const struct cis_view heads[2]);
/* The answers of the whole store; its own check finds nothing. Free it. */
struct rich_run *rich_begin(const struct rich *rich);
/* Compares with what was answered before: the same, or an error that says so. Returns how many
 * answers were refused. */
size_t rich_check(const struct rich_survey *now, const struct rich_survey *before,
                  const char *what);
/* Does the store's own check name a fault, or refuse? */
bool rich_check_tells(const struct rich *rich);

#endif
