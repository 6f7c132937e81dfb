/* Random operations, the same on several subjects, compared with the model one by one and, now and
 * then, the whole trees. A seed repeats a run exactly. */
#ifndef CIS_TESTS_VFS_RANDOM_H
#define CIS_TESTS_VFS_RANDOM_H

#include "vfs/model.h"

struct random_run {
    uint64_t seed, state, done; /* operations */
    subject *model;
    subject *others[4];
    size_t nothers;
    char (*last)[1000]; /* texts of the last 50 operations */
    bool failed;
};

void random_begin(struct random_run *run, uint64_t seed, subject *model);
void random_add(struct random_run *run, subject *other);
/* One operation on all; false: a difference, which was printed. */
bool random_step(struct random_run *run);
/* The whole tree. */
bool random_compare(struct random_run *run);
uint64_t random_next(struct random_run *run);
/* A line for the last operations that is no operation (a commit, a fork). */
void random_note(struct random_run *run, const char *text);
/* Frees the subjects. */
void random_end(struct random_run *run);
/* --seed N --ops N --backend NAME: for main functions. */
struct random_args {
    uint64_t seed, ops;
    const char *backend;
};
struct random_args random_arguments(int argc, char **argv, uint64_t ops);

#endif
