/* Backups whose rows are each well formed and whose trees are not whole: no restore takes them, and
 * whatever one does take, fsck finds nothing in. CIS_BACKUP_TREE_ROUNDS: of changed rows. */
#include "harness.h"

#include <sys/stat.h>
#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"
#include "history/maintain.h"
#include "backup_file.h"
#include "fixture.h"
#include "store/calls.h"

static const uint8_t a_key[32] = {1, 2, 3};

#define DIR 040000
#define REG 0100000
#define LNK 0120000
#define NUMBERS(...) ((const int64_t[]){__VA_ARGS__})
#define BLOBS(...) ((const struct cis_bytes[]){__VA_ARGS__})
#define B(text)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

/* ---- by hand ---- */
static void begin(struct forged *f, const char *current, int64_t head, int64_t files, int64_t bytes,
                  int64_t floor)
{
    forge_tenant(f, "t");
    forge_row(f, CIS_BACKUP_TREE, NUMBERS(1, 100, 1, 9, 0, 0, 0, 0),
              BLOBS({a_key, 32}, cis_bytes_of(current, strlen(current))));
    forge_row(f, CIS_BACKUP_BRANCH, NUMBERS(1, 0, 0, head, floor, 1, files, bytes, 0, 0), NULL);
}

/* After the names of branches and what holds states of them, in the order of the tables. */
static void commit(struct forged *f, int64_t branch, int64_t epoch, int64_t files, int64_t bytes)
{
    forge_row(f, CIS_BACKUP_EPOCH, NUMBERS(branch, epoch, 0, files, bytes, 0, 0),
              BLOBS(B(""), B("fs"), B(""), B("")));
}

/* A tenant with one branch; without and with the commit of its head. */
static void bare(struct forged *f, int64_t head, int64_t files, int64_t bytes, int64_t floor)
{
    begin(f, "main", head, files, bytes, floor);
    forge_row(f, CIS_BACKUP_LINEAGE, NUMBERS(1, 0, 1, INT64_MAX), NULL);
    forge_row(f, CIS_BACKUP_REF, NUMBERS(1, 1), BLOBS(B("main")));
}

static void plain(struct forged *f, int64_t head, int64_t files, int64_t bytes)
{
    bare(f, head, files, bytes, head);
    commit(f, 1, head, files, bytes);
}

/* With branch 2, forked from it at that epoch, when there was one file. */
static void forked(struct forged *f, int64_t head, int64_t files, int64_t fork, int64_t side_files)
{
    begin(f, "main", head, files, 0, head);
    forge_row(f, CIS_BACKUP_BRANCH, NUMBERS(2, 1, fork, 5, fork, 1, side_files, 0, 0, 0), NULL);
    forge_row(f, CIS_BACKUP_LINEAGE, NUMBERS(1, 0, 1, INT64_MAX), NULL);
    forge_row(f, CIS_BACKUP_LINEAGE, NUMBERS(2, 0, 2, INT64_MAX), NULL);
    forge_row(f, CIS_BACKUP_LINEAGE, NUMBERS(2, 1, 1, fork), NULL);
    forge_row(f, CIS_BACKUP_REF, NUMBERS(1, 1), BLOBS(B("main")));
    forge_row(f, CIS_BACKUP_REF, NUMBERS(2, 1), BLOBS(B("side")));
    commit(f, 1, fork, 1, 0);
    commit(f, 1, head, files, 0);
    commit(f, 2, 5, side_files, 0);
}

static void name(struct forged *f, int64_t branch, int64_t epoch, int64_t dir, const char *text,
                 int64_t ino, int64_t type)
{
    forge_row(f, CIS_BACKUP_DIRENT, NUMBERS(branch, dir, epoch, ino, type),
              BLOBS(cis_bytes_of(text, strlen(text))));
}

static void dir(struct forged *f, int64_t branch, int64_t epoch, uint64_t ino, uint64_t parent,
                uint32_t nlink)
{
    forge_inode(
        f, branch, epoch,
        &(struct cis_fs_inode){.ino = ino, .mode = DIR | 0755, .nlink = nlink, .parent = parent});
}

static void gone(struct forged *f, int64_t branch, int64_t epoch, uint64_t ino, uint32_t type)
{
    forge_inode(f, branch, epoch,
                &(struct cis_fs_inode){.ino = ino, .mode = type | 0755, .gone = true});
}

static void file(struct forged *f, int64_t branch, int64_t epoch, uint64_t ino, uint32_t nlink,
                 const char *text, uint64_t size)
{
    forge_inode(f, branch, epoch,
                &(struct cis_fs_inode){.ino = ino,
                                       .mode = REG | 0644,
                                       .nlink = nlink,
                                       .size = size,
                                       .is_inline = size != 0,
                                       .data = cis_bytes_of(text, strlen(text))});
}

static void snapshot(struct forged *f, int64_t branch, int64_t epoch, int64_t files, int64_t bytes)
{
    forge_row(f, CIS_BACKUP_SNAPSHOT, NUMBERS(1, branch, epoch, 0, files, bytes),
              BLOBS(B("s"), B(""), B("")));
}

/* says NULL: it is restored, and fsck finds nothing. */
static void checked(struct forged *f, const char *what, const char *says)
{
    struct place p;
    struct cis_error why = {0}, again = {0};
    struct cis_backup_summary sum;
    int fd = forge_file(f);
    cis_code read = cis_backup_read(fd, NULL, NULL, &sum, NULL, &again);
    place_new(&p, fx_cluster() != NULL);
    cis_code code = restore(fd, p.fx.dir, p.admin, false, &why);
    if (code != (says != NULL ? CIS_E_DAMAGED : CIS_OK) || read != code ||
        (says != NULL && (strstr(why.msg, says) == NULL || strcmp(why.msg, again.msg) != 0))) {
        fail_msg("%s: %d %s", what, code, why.msg);
    }
    place_open(&p);
    if (says != NULL) { /* and nothing of it is left */
        struct cis_tenant tenant;
        assert_int_equal(cis_store_tenant_get(p.fx.store, CIS_STR("t"), &tenant, NULL, NULL),
                         CIS_E_NOTFOUND);
    } else {
        fx_whole(&p.fx);
    }
    place_done(&p);
    close(fd);
}

#define TREE(what, says, ...)                                                                      \
    do {                                                                                           \
        struct forged f = FORGED_INIT;                                                             \
        __VA_ARGS__;                                                                               \
        checked(&f, what, says);                                                                   \
    } while (0)

static void forged_trees_that_are_whole_are_restored(void **state)
{
    (void)state;
    TREE("an empty tree", NULL, plain(&f, 0, 0, 0), dir(&f, 1, 0, 1, 1, 2));
    TREE("a file with two names", NULL, plain(&f, 1, 1, 3), name(&f, 1, 1, 1, "a", 2, REG),
         name(&f, 1, 1, 1, "b", 2, REG), dir(&f, 1, 0, 1, 1, 2), file(&f, 1, 1, 2, 2, "abc", 3));
    TREE("folders that change places", NULL, plain(&f, 2, 2, 0), name(&f, 1, 1, 1, "a", 2, DIR),
         name(&f, 1, 2, 1, "a", 0, 0), name(&f, 1, 2, 1, "b", 3, DIR),
         name(&f, 1, 1, 2, "b", 3, DIR), name(&f, 1, 2, 2, "b", 0, 0),
         name(&f, 1, 2, 3, "a", 2, DIR), dir(&f, 1, 0, 1, 1, 2), dir(&f, 1, 1, 1, 1, 3),
         dir(&f, 1, 1, 2, 1, 3), dir(&f, 1, 2, 2, 3, 2), dir(&f, 1, 1, 3, 2, 2),
         dir(&f, 1, 2, 3, 1, 3));
    TREE("a branch that changes what it was forked from", NULL, forked(&f, 2, 1, 1, 0),
         name(&f, 1, 1, 1, "a", 2, DIR), name(&f, 2, 4, 1, "a", 0, 0), dir(&f, 1, 0, 1, 1, 2),
         dir(&f, 1, 1, 1, 1, 3), dir(&f, 1, 1, 2, 1, 2), dir(&f, 2, 4, 1, 1, 2),
         gone(&f, 2, 4, 2, DIR));
}

static void trees_that_are_not_whole_are_refused(void **state)
{
    (void)state;
    TREE("no root", "the root does not exist", plain(&f, 0, 0, 0));
    TREE("a root that is a file", "the root is not a directory", plain(&f, 0, 0, 0),
         forge_inode(&f, 1, 0, &(struct cis_fs_inode){.ino = 1, .mode = REG | 0644}));
    TREE("a root with a name", "the root has a name", plain(&f, 1, 0, 0),
         name(&f, 1, 1, 1, "a", 1, DIR), dir(&f, 1, 0, 1, 1, 2), dir(&f, 1, 1, 1, 1, 3));
    TREE("a directory with two names", "inode 2: a directory with several names",
         plain(&f, 1, 1, 0), name(&f, 1, 1, 1, "a", 2, DIR), name(&f, 1, 1, 1, "b", 2, DIR),
         dir(&f, 1, 0, 1, 1, 2), dir(&f, 1, 1, 1, 1, 4), dir(&f, 1, 1, 2, 1, 2));
    TREE("a directory within itself", "a directory inside itself", plain(&f, 1, 2, 0),
         name(&f, 1, 1, 2, "b", 3, DIR), name(&f, 1, 1, 3, "a", 2, DIR), dir(&f, 1, 0, 1, 1, 2),
         dir(&f, 1, 1, 2, 3, 3), dir(&f, 1, 1, 3, 2, 3));
    TREE("a directory in itself", "a directory inside itself", plain(&f, 1, 1, 0),
         name(&f, 1, 1, 2, "a", 2, DIR), dir(&f, 1, 0, 1, 1, 2), dir(&f, 1, 1, 2, 2, 3));
    TREE("a directory that moves into itself", "a directory inside itself", bare(&f, 2, 2, 0, 0),
         commit(&f, 1, 1, 2, 0), commit(&f, 1, 2, 2, 0), name(&f, 1, 1, 1, "a", 2, DIR),
         name(&f, 1, 2, 1, "a", 0, 0), name(&f, 1, 1, 2, "b", 3, DIR),
         name(&f, 1, 2, 3, "a", 2, DIR), dir(&f, 1, 0, 1, 1, 2), dir(&f, 1, 1, 1, 1, 3),
         dir(&f, 1, 2, 1, 1, 2), dir(&f, 1, 1, 2, 1, 3), dir(&f, 1, 2, 2, 3, 3),
         dir(&f, 1, 1, 3, 2, 2), dir(&f, 1, 2, 3, 2, 3));
    TREE("a name without a file", "inode 2: it has a name but does not exist", plain(&f, 1, 1, 0),
         name(&f, 1, 1, 1, "a", 2, REG), dir(&f, 1, 0, 1, 1, 2));
    TREE("a name of what was removed", "inode 2: it has a name but does not exist",
         plain(&f, 2, 0, 0), name(&f, 1, 1, 1, "a", 2, REG), dir(&f, 1, 0, 1, 1, 2),
         file(&f, 1, 1, 2, 1, "", 0), gone(&f, 1, 2, 2, REG));
    TREE("a file without a name", "inode 2 has no name", plain(&f, 1, 1, 0), dir(&f, 1, 0, 1, 1, 2),
         file(&f, 1, 1, 2, 0, "", 0));
    TREE("a name of another type", "a name gives it another type", plain(&f, 1, 1, 0),
         name(&f, 1, 1, 1, "a", 2, LNK), dir(&f, 1, 0, 1, 1, 2), file(&f, 1, 1, 2, 1, "", 0));
    TREE("two names whose types are right in sum", "a name gives it another type",
         plain(&f, 1, 1, 0), name(&f, 1, 1, 1, "a", 2, 0140000), name(&f, 1, 1, 1, "b", 2, DIR),
         dir(&f, 1, 0, 1, 1, 2), dir(&f, 1, 1, 1, 1, 3), file(&f, 1, 1, 2, 2, "", 0));
    TREE("a name in a file", "it contains names but is not a directory", plain(&f, 1, 2, 0),
         name(&f, 1, 1, 1, "a", 2, REG), name(&f, 1, 1, 2, "b", 3, REG), dir(&f, 1, 0, 1, 1, 2),
         file(&f, 1, 1, 2, 1, "", 0), file(&f, 1, 1, 3, 1, "", 0));
    TREE("too few links", "its link count is wrong", plain(&f, 1, 1, 0),
         name(&f, 1, 1, 1, "a", 2, REG), name(&f, 1, 1, 1, "b", 2, REG), dir(&f, 1, 0, 1, 1, 2),
         file(&f, 1, 1, 2, 1, "", 0));
    TREE("too few subdirectories", "its number of subdirectories is wrong", plain(&f, 1, 1, 0),
         name(&f, 1, 1, 1, "a", 2, DIR), dir(&f, 1, 0, 1, 1, 2), dir(&f, 1, 1, 2, 1, 2));
    TREE("a directory that says it is elsewhere", "its row names another directory",
         plain(&f, 1, 2, 0), name(&f, 1, 1, 1, "a", 2, DIR), name(&f, 1, 1, 1, "b", 3, DIR),
         dir(&f, 1, 0, 1, 1, 2), dir(&f, 1, 1, 1, 1, 4), dir(&f, 1, 1, 2, 3, 2),
         dir(&f, 1, 1, 3, 1, 2));
    TREE("counts that lie", "it says 7 files with 0 bytes, and has 0 with 0", plain(&f, 0, 7, 0),
         dir(&f, 1, 0, 1, 1, 2));
    TREE("bytes that lie", "it says 1 files with 4 bytes, and has 1 with 3", plain(&f, 1, 1, 4),
         name(&f, 1, 1, 1, "a", 2, REG), dir(&f, 1, 0, 1, 1, 2), file(&f, 1, 1, 2, 1, "abc", 3));
    TREE("content that is shorter", "size 3, content of 2 bytes", plain(&f, 1, 1, 3),
         name(&f, 1, 1, 1, "a", 2, REG), dir(&f, 1, 0, 1, 1, 2), file(&f, 1, 1, 2, 1, "ab", 3));
}

static void states_that_are_not_whole_are_refused_whichever_they_are(void **state)
{
    (void)state;
    TREE("a snapshot", "branch 1 at 1: inode 2: it has a name but does not exist",
         bare(&f, 2, 0, 0, 2), snapshot(&f, 1, 1, 0, 0), commit(&f, 1, 1, 0, 0),
         commit(&f, 1, 2, 0, 0), name(&f, 1, 1, 1, "a", 2, REG), name(&f, 1, 2, 1, "a", 0, 0),
         dir(&f, 1, 0, 1, 1, 2));
    TREE("the counts of a snapshot", "branch 1 at 0: it says 1 files", bare(&f, 0, 0, 0, 0),
         snapshot(&f, 1, 0, 1, 0), dir(&f, 1, 0, 1, 1, 2));
    TREE("a state that the branch can be taken back to",
         "branch 1 at 1: inode 2: it has a name but does not exist", bare(&f, 2, 0, 0, 1),
         commit(&f, 1, 1, 1, 0), commit(&f, 1, 2, 0, 0), name(&f, 1, 1, 1, "a", 2, REG),
         name(&f, 1, 2, 1, "a", 0, 0), dir(&f, 1, 0, 1, 1, 2));
    TREE("one that nobody can read any more", NULL, plain(&f, 2, 0, 0),
         name(&f, 1, 1, 1, "a", 2, REG), name(&f, 1, 2, 1, "a", 0, 0), dir(&f, 1, 0, 1, 1, 2));
    TREE("a branch, in what it was forked from", "branch 2 at 5: inode 2: its link count is wrong",
         forked(&f, 2, 0, 1, 1), name(&f, 1, 1, 1, "a", 2, REG), name(&f, 1, 2, 1, "a", 0, 0),
         name(&f, 2, 4, 1, "b", 2, REG), dir(&f, 1, 0, 1, 1, 2), file(&f, 1, 1, 2, 1, "", 0),
         gone(&f, 1, 2, 2, REG));
    TREE("a pin", "branch 1 at 1: inode 2: it has a name but does not exist", bare(&f, 2, 0, 0, 2),
         forge_row(&f, CIS_BACKUP_PIN, NUMBERS(1, 1, 1, 0), NULL), commit(&f, 1, 1, 0, 0),
         commit(&f, 1, 2, 0, 0), name(&f, 1, 1, 1, "a", 2, REG), name(&f, 1, 2, 1, "a", 0, 0),
         dir(&f, 1, 0, 1, 1, 2));
}

static void rows_that_hang_in_the_air_are_refused(void **state)
{
    (void)state;
    TREE("a name later than its branch", "branch 1 has no commit 2", plain(&f, 1, 0, 0),
         name(&f, 1, 2, 1, "a", 2, REG));
    TREE("an inode of no branch", "branch 3 has no commit 0", plain(&f, 1, 0, 0),
         dir(&f, 3, 0, 1, 1, 2));
    TREE("a number that is given next", "inode 100 was not given to any file yet",
         plain(&f, 1, 1, 0), name(&f, 1, 1, 1, "a", 100, REG));
    TREE("a snapshot of later", "a state that its branch does not have", bare(&f, 1, 0, 0, 1),
         snapshot(&f, 1, 2, 0, 0));
    TREE("a commit of later", "branch 1 has no commit 2", plain(&f, 1, 0, 0),
         forge_row(&f, CIS_BACKUP_EPOCH, NUMBERS(1, 2, 0, 0, 0, 0, 0),
                   BLOBS(B(""), B("fs"), B(""), B(""))));
    TREE("a head without its commit", "branch 1: commit 1 is missing", bare(&f, 1, 0, 0, 1),
         dir(&f, 1, 0, 1, 1, 2));
    TREE("a snapshot without its commit", "branch 1: commit 1 is missing", bare(&f, 2, 0, 0, 2),
         snapshot(&f, 1, 1, 0, 0), commit(&f, 1, 2, 0, 0), dir(&f, 1, 0, 1, 1, 2));
    TREE("a current branch that is none", "the current branch other is missing",
         begin(&f, "other", 0, 0, 0, 0),
         forge_row(&f, CIS_BACKUP_LINEAGE, NUMBERS(1, 0, 1, INT64_MAX), NULL),
         forge_row(&f, CIS_BACKUP_REF, NUMBERS(1, 1), BLOBS(B("main"))), dir(&f, 1, 0, 1, 1, 2));
    TREE("a branch without a lineage", "a branch without its lineage",
         begin(&f, "main", 0, 0, 0, 0),
         forge_row(&f, CIS_BACKUP_REF, NUMBERS(1, 1), BLOBS(B("main"))), dir(&f, 1, 0, 1, 1, 2));
    TREE("a lineage that leaves an ancestor out", "its lineage does not match that of its parent",
         begin(&f, "main", 1, 0, 0, 1),
         forge_row(&f, CIS_BACKUP_BRANCH, NUMBERS(2, 1, 1, 1, 1, 1, 0, 0, 0, 0), NULL),
         forge_row(&f, CIS_BACKUP_BRANCH, NUMBERS(3, 2, 1, 1, 1, 1, 0, 0, 0, 0), NULL),
         forge_row(&f, CIS_BACKUP_LINEAGE, NUMBERS(1, 0, 1, INT64_MAX), NULL),
         forge_row(&f, CIS_BACKUP_LINEAGE, NUMBERS(2, 0, 2, INT64_MAX), NULL),
         forge_row(&f, CIS_BACKUP_LINEAGE, NUMBERS(2, 1, 1, 1), NULL),
         forge_row(&f, CIS_BACKUP_LINEAGE, NUMBERS(3, 0, 3, INT64_MAX), NULL),
         forge_row(&f, CIS_BACKUP_LINEAGE, NUMBERS(3, 1, 1, 1), NULL));
    TREE("a lineage that sees more", "its lineage does not match that of its parent",
         begin(&f, "main", 3, 0, 0, 3),
         forge_row(&f, CIS_BACKUP_BRANCH, NUMBERS(2, 1, 1, 1, 1, 1, 0, 0, 0, 0), NULL),
         forge_row(&f, CIS_BACKUP_LINEAGE, NUMBERS(1, 0, 1, INT64_MAX), NULL),
         forge_row(&f, CIS_BACKUP_LINEAGE, NUMBERS(2, 0, 2, INT64_MAX), NULL),
         forge_row(&f, CIS_BACKUP_LINEAGE, NUMBERS(2, 1, 1, 3), NULL));
    TREE("a branch of what its parent has not",
         "it was forked from a state that its parent does not have", begin(&f, "main", 3, 0, 0, 3),
         forge_row(&f, CIS_BACKUP_BRANCH, NUMBERS(2, 1, 4, 4, 4, 1, 0, 0, 0, 0), NULL));
}

/* ---- a real one with a row changed ---- */
struct kept {
    enum cis_backup_table table;
    struct cis_backup_value v[CIS_BACKUP_COLUMNS_MAX];
};
struct given {
    struct kept *at;
    size_t n;
};

static cis_code keep_tenant(void *self, struct cis_str tenant, struct cis_error *why)
{
    (void)self;
    (void)tenant; /* there is one */
    (void)why;
    return CIS_OK;
}

static cis_code keep_row(void *self, enum cis_backup_table table, const struct cis_backup_value *v,
                         struct cis_error *why)
{
    struct given *r = self;
    (void)why;
    r->at = realloc(r->at, (r->n + 1) * sizeof *r->at);
    assert_non_null(r->at);
    struct kept *k = &r->at[r->n++];
    *k = (struct kept){.table = table};
    for (size_t i = 0; cis_backup_shapes[table].types[i] != 0; i++) {
        k->v[i] = v[i];
        if (cis_backup_shapes[table].types[i] == 'b') {
            uint8_t *copy = malloc(v[i].b.len + 1);
            assert_non_null(copy);
            memcpy(copy, v[i].b.len != 0 ? v[i].b.ptr : (const uint8_t *)"", v[i].b.len);
            k->v[i].b.ptr = copy;
        }
    }
    return CIS_OK;
}

static void no_fault(void *self, const char *text)
{
    (void)self;
    fail_msg("%s", text);
}

static unsigned pick(unsigned *seed, unsigned n)
{
    return (unsigned)rand_r(seed) % n;
}

static void put(struct forged *f, const struct kept *k)
{
    int64_t numbers[CIS_BACKUP_COLUMNS_MAX];
    struct cis_bytes blobs[CIS_BACKUP_COLUMNS_MAX];
    size_t n = 0, m = 0;
    for (size_t i = 0; cis_backup_shapes[k->table].types[i] != 0; i++) {
        if (cis_backup_shapes[k->table].types[i] == 'b') {
            blobs[m++] = k->v[i].b;
        } else {
            numbers[n++] = k->v[i].i;
        }
    }
    forge_row(f, k->table, numbers, blobs);
    if (k->table == CIS_BACKUP_CHUNK) {
        f->chunks++;
        f->bytes += CIS_CHUNK_HEAD + k->v[4].b.len;
    }
}

/* A number of it becomes a bit more, a bit less or another row's; of a file also its attributes. */
static void change(struct kept *k, const struct kept *other, uint8_t attr[CIS_ROW_MAX],
                   unsigned *seed)
{
    const char *types = cis_backup_shapes[k->table].types;
    if (k->table == CIS_BACKUP_INODE && pick(seed, 2) == 0) {
        struct cis_fs_inode in = {0};
        assert_ok(cis_inode_unpack(k->v[3].b, &in, err));
        uint32_t by = pick(seed, 2) != 0 ? 1 : UINT32_MAX;
        switch (pick(seed, 4)) {
        case 0:
            in.nlink += by;
            break;
        case 1:
            in.parent = pick(seed, 12);
            break;
        case 2:
            in.gone = !in.gone;
            break;
        default:
            in.size = pick(seed, 100);
        }
        k->v[3].b = cis_bytes_of(attr, cis_inode_pack(&in, attr));
        return;
    }
    for (int tries = 0; tries < 50; tries++) {
        size_t i = pick(seed, (unsigned)strlen(types));
        if (types[i] != 'b') {
            int64_t was = k->v[i].i;
            k->v[i].i = pick(seed, 3) == 0 && other->table == k->table ? other->v[i].i
                        : (pick(seed, 2) == 0 || was == INT64_MIN) && was != INT64_MAX ? was + 1
                                                                                       : was - 1;
            return;
        }
    }
}

static int round_of(const struct given *r, unsigned *seed)
{
    struct forged f = FORGED_INIT;
    struct cis_backup_summary sum;
    struct cis_error why;
    uint8_t attr[CIS_ROW_MAX];
    static const enum cis_backup_table wanted[] = {
        CIS_BACKUP_BRANCH, CIS_BACKUP_LINEAGE, CIS_BACKUP_REF,    CIS_BACKUP_SNAPSHOT,
        CIS_BACKUP_PIN,    CIS_BACKUP_EPOCH,   CIS_BACKUP_DIRENT, CIS_BACKUP_INODE,
        CIS_BACKUP_DIRENT, CIS_BACKUP_INODE};
    enum cis_backup_table table = wanted[pick(seed, 10)];
    size_t at = pick(seed, (unsigned)r->n);
    for (size_t i = 0; i < r->n && r->at[at].table != table; i++) {
        at = (at + 1) % r->n;
    }
    bool leave_out = pick(seed, 4) == 0;
    forge_tenant(&f, "t");
    for (size_t i = 0; i < r->n; i++) {
        struct kept k = r->at[i];
        if (i == at && leave_out) {
            continue;
        }
        if (i == at) {
            change(&k, &r->at[pick(seed, (unsigned)r->n)], attr, seed);
        }
        put(&f, &k);
    }
    int fd = forge_file(&f);
    cis_code code = cis_backup_read(fd, NULL, NULL, &sum, NULL, &why);
    if (code == CIS_OK) {
        struct place p;
        place_new(&p, fx_cluster() != NULL);
        code = restore(fd, p.fx.dir, p.admin, false, &why); /* two rows for one: the schema's */
        if (code == CIS_OK) {
            place_open(&p);
            fx_whole(&p.fx);
        }
        place_done(&p);
    }
    if (code != CIS_OK && code != CIS_E_DAMAGED) {
        fail_msg("%d %s", code, why.msg);
    }
    close(fd);
    return code == CIS_OK;
}

static void a_changed_row_is_refused_or_its_trees_are_whole(void **state)
{
    struct fx *fx = *state;
    struct given rows = {NULL, 0};
    struct cis_retention keep = {.runs = 2, .age_ms = 1, .grace_ms = 1};
    struct cis_gc_counts counts = {0};
    const char *text = getenv("CIS_BACKUP_TREE_ROUNDS");
    long rounds = text != NULL ? strtol(text, NULL, 10) : fx_is_sqlite() ? 300 : 60, taken = 0;
    unsigned seed = test_seed();
    fx_text(fx, "", "d/e/f", "file");
    fx_link(fx, "", "d/e/f", "d/again");
    fx_mkdir(fx, "", "d/e/g/h");
    fx_snapshot(fx, fx_head(fx, ""), "before");
    fx_fork(fx, fx_head(fx, ""), "side");
    fx_rename(fx, "side", "d/e/g", "g");
    fx_rename(fx, "side", "d", "g/h/d");
    fx_remove(fx, "side", "g/h/d/again");
    fx_fork(fx, fx_head(fx, "side"), "further");
    fx_text(fx, "further", "g/h/more", "more");
    fx_remove(fx, "", "d/e/f");
    fx_text(fx, "", "d/e/f", "another");
    fx_rename(fx, "", "d/e", "e");
    fx_text(fx, "", "last", "last");
    assert_ok(cis_history_gc(&fx->h, &keep, &counts, err));
    const struct cis_backup_sink sink = {&rows, keep_tenant, keep_row, no_fault};
    assert_ok(cis_store_dump(fx->store, &sink, NULL, err));
    for (long i = 0; i < rounds; i++) {
        taken += round_of(&rows, &seed);
    }
    print_message("%ld of %ld were restored, and are whole\n", taken, rounds);
    assert_true(taken < rounds);
    for (size_t i = 0; i < rows.n; i++) {
        for (size_t j = 0; cis_backup_shapes[rows.at[i].table].types[j] != 0; j++) {
            if (cis_backup_shapes[rows.at[i].table].types[j] == 'b') {
                free((void *)(uintptr_t)rows.at[i].v[j].b.ptr);
            }
        }
    }
    free(rows.at);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

static int run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(forged_trees_that_are_whole_are_restored),
        TEST(trees_that_are_not_whole_are_refused),
        TEST(states_that_are_not_whole_are_refused_whichever_they_are),
        TEST(rows_that_hang_in_the_air_are_refused),
        TEST(a_changed_row_is_refused_or_its_trees_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return fx_run(run);
}
