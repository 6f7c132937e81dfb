/* Trees made by rows, without a filesystem above them: short verbs, each one commit. Times grow by
 * a nanosecond a change, so that runs are the same. */
#ifndef CIS_TESTS_HISTORY_FIXTURE_H
#define CIS_TESTS_HISTORY_FIXTURE_H

#include "harness.h"
#include "history/edit.h"
#include "history/history.h"

struct fx {
    char *dir, *url;
    cis_store *store;
    struct cis_history h;
    bool pin; /* a commit's base is pinned: for tests where nothing else keeps it */
};

int fx_setup(void **state);
int fx_teardown(void **state);
/* An empty store: a folder's, or a database of a private server in the programs built for it. */
void fx_open(struct fx *fx, const char *dir);
void fx_close(struct fx *fx);
bool fx_is_sqlite(void);
/* The private server of this program; NULL with SQLite. */
struct pgcluster *fx_cluster(void);
int fx_run(int (*run)(void));

/* ref "": the current one. Paths have no leading slash; missing directories are made. */
void fx_write(struct fx *fx, const char *ref, const char *path, const void *data, size_t len);
void fx_text(struct fx *fx, const char *ref, const char *path, const char *text);
/* 200,000 random bytes: a few chunks. */
void fx_big(struct fx *fx, const char *ref, const char *path, uint32_t seed);
void fx_mkdir(struct fx *fx, const char *ref, const char *path);
/* n folders of one name inside each other, from the root, by one commit. */
void fx_deep(struct fx *fx, const char *ref, const char *name, size_t n);
/* n folders beside each other in the root, by one commit. */
void fx_many(struct fx *fx, const char *ref, size_t n);
void fx_remove(struct fx *fx, const char *ref, const char *path);
void fx_rename(struct fx *fx, const char *ref, const char *from, const char *to);
void fx_link(struct fx *fx, const char *ref, const char *from, const char *to);
void fx_chmod(struct fx *fx, const char *ref, const char *path, uint32_t mode);
void fx_memory(struct fx *fx, const char *ref, const char *key, const char *value);

struct cis_view fx_head(struct fx *fx, const char *ref);
/* The state that a user calls so; and a rollback to it. */
struct cis_view fx_rev(struct fx *fx, const char *text);
cis_code fx_back_to(struct fx *fx, const char *ref, const char *rev, struct cis_error *err);
void fx_fork(struct fx *fx, struct cis_view from, const char *name);
void fx_snapshot(struct fx *fx, struct cis_view view, const char *name);
/* The tree as text, a line a name: "path type mode nlink size hash". Free it. Inode numbers and
 * times are left out. */
char *fx_dump(const struct cis_history *h, struct cis_view view);
/* The same with rows' times and numbers: equal only for the very same rows. */
char *fx_dump_exact(const struct cis_history *h, struct cis_view view);
/* Edits of this thread happen at this second exactly; 0: at growing times, as usual. */
void fx_at(int64_t second);
uint64_t fx_ino(struct fx *fx, const char *ref, const char *path);
/* fsck finds nothing, and neither does a backup of the store. */
void fx_whole(struct fx *fx);
void fx_backup_whole(struct fx *fx);

#endif
