#include "vfs/random.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LAST 50
#define FILES_MANY 200

uint64_t random_next(struct random_run *run)
{
    uint64_t z = (run->state += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

static uint32_t upto(struct random_run *run, uint32_t n)
{
    return (uint32_t)(random_next(run) >> 33) % n;
}

static bool chance(struct random_run *run, uint32_t percent)
{
    return upto(run, 100) < percent;
}

/* ---- what to do ---- */

static const char *const names[] = {"a", "b", "c", "d", "e", "long.name.of.a.file", "\xc3\xa9\xff"};

static void name_add(struct random_run *run, char *path)
{
    size_t n = strlen(path);
    uint32_t kind = upto(run, 100);
    if (kind < 2) {
        snprintf(path + n, OP_PATH - n, "..");
    } else if (kind < 4) {
        snprintf(path + n, OP_PATH - n, ".");
    } else if (kind == 4 && n < 30) {
        size_t len = 254 + upto(run, 3);
        memset(path + n, 'n', len);
        path[n + len] = '\0';
    } else {
        snprintf(path + n, OP_PATH - n, "%s", names[upto(run, sizeof names / sizeof *names)]);
    }
}

static void path_new(struct random_run *run, char *path)
{
    path[0] = '\0';
    if (chance(run, 10)) {
        snprintf(path, OP_PATH, "/");
    }
    if (chance(run, 60)) { /* below something that is there */
        size_t n = strlen(path);
        model_pick(run->model, (uint32_t)random_next(run), path + n, 200 - n);
        if (chance(run, 50)) {
            return;
        }
        snprintf(path + strlen(path), OP_PATH - strlen(path), chance(run, 95) ? "/" : "//");
    }
    for (uint32_t i = upto(run, 3); strlen(path) < 200; i--) {
        name_add(run, path);
        if (i == 0 || strlen(path) > 30) {
            break;
        }
        snprintf(path + strlen(path), OP_PATH - strlen(path), "/");
    }
    if (chance(run, 6)) {
        snprintf(path + strlen(path), OP_PATH - strlen(path), chance(run, 70) ? "/" : "/.");
    }
}

static const struct {
    enum op_kind kind;
    uint32_t weight;
} weights[] = {
    {OP_STAT, 8},     {OP_OPEN, 14},     {OP_CLOSE, 4},    {OP_READ, 10},  {OP_WRITE, 14},
    {OP_FSTAT, 3},    {OP_FTRUNCATE, 3}, {OP_ALLOCATE, 3}, {OP_SEEK, 2},   {OP_FSYNC, 0},
    {OP_TRUNCATE, 3}, {OP_CHMOD, 2},     {OP_TIMES, 2},    {OP_MKDIR, 7},  {OP_MKNOD, 3},
    {OP_SYMLINK, 5},  {OP_READLINK, 2},  {OP_LINK, 6},     {OP_UNLINK, 6}, {OP_RMDIR, 4},
    {OP_RENAME, 10},  {OP_LIST, 3},
};

static enum op_kind kind_pick(struct random_run *run)
{
    if (chance(run, 10) && model_files(run->model) > FILES_MANY) {
        return chance(run, 60) ? OP_UNLINK : OP_RMDIR;
    }
    uint32_t total = 0;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        total += weights[i].weight;
    }
    uint32_t at = upto(run, total);
    for (size_t i = 0;; i++) {
        if (at < weights[i].weight) {
            return weights[i].kind;
        }
        at -= weights[i].weight;
    }
}

static int open_flags(struct random_run *run)
{
    static const int some[] = {O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_DIRECTORY, O_NOFOLLOW};
    int flags = (int)upto(run, 3); /* O_RDONLY, O_WRONLY, O_RDWR */
    if (chance(run, 50)) {
        flags = O_RDWR;
    }
    if (chance(run, 50)) {
        flags |= O_CREAT;
    }
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        flags |= chance(run, 8) ? some[i] : 0;
    }
    return flags & O_CREAT ? flags : flags & ~O_EXCL;
}

static uint64_t size_pick(struct random_run *run)
{
    uint32_t kind = upto(run, 100);
    return kind < 50   ? upto(run, 200)
           : kind < 80 ? upto(run, 9000)
           : kind < 90 ? 65536u * upto(run, 3) + upto(run, 3)
                       : upto(run, 150000);
}

static void op_pick(struct random_run *run, struct op *op)
{
    static const int allocate[] = {
        0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE};
    memset(op, 0, sizeof *op);
    op->kind = kind_pick(run);
    op->slot = upto(run, OP_SLOTS);
    op->nofollow =
        chance(run, 40) && (op->kind == OP_STAT || op->kind == OP_TIMES || op->kind == OP_LINK);
    op->mode = upto(run, 0100) | (op->kind == OP_MKDIR ? 0700u : 0600u);
    op->seed = (uint32_t)random_next(run);
    op->offset = size_pick(run);
    op->len = size_pick(run);
    path_new(run, op->a);
    if (op->kind == OP_LINK || op->kind == OP_RENAME || op->kind == OP_SYMLINK) {
        path_new(run, op->b);
    }
    switch (op->kind) {
    case OP_CHMOD: /* of a folder, too: it stays usable without privilege */
        op->mode |= 0700;
        break;
    case OP_OPEN:
        op->flags = open_flags(run);
        break;
    case OP_WRITE:
        op->offset = chance(run, 15) ? CIS_VFS_APPEND : op->offset;
        op->len = op->len > 70000 ? 70000 : op->len;
        break;
    case OP_ALLOCATE:
        op->flags = allocate[upto(run, 4)];
        break;
    case OP_SEEK:
        op->flags = SEEK_HOLE;
        break;
    case OP_RENAME:
        op->flags = chance(run, 75) ? 0 : chance(run, 50) ? RENAME_NOREPLACE : RENAME_EXCHANGE;
        break;
    case OP_TIMES: {
        static const unsigned atime[] = {CIS_VFS_SET_ATIME, CIS_VFS_SET_ATIME_NOW};
        static const unsigned mtime[] = {0, CIS_VFS_SET_MTIME, CIS_VFS_SET_MTIME_NOW};
        op->bits = atime[upto(run, 2)] | mtime[upto(run, 3)];
        op->atime = (struct timespec){(time_t)upto(run, 2000000000), upto(run, 1000000000)};
        op->mtime =
            (struct timespec){(time_t)upto(run, 2000000000) - 1000000000, upto(run, 1000000000)};
        break;
    }
    default:
        break;
    }
}

/* ---- doing it ---- */

void random_begin(struct random_run *run, uint64_t seed, subject *model)
{
    *run = (struct random_run){.seed = seed, .state = seed, .model = model};
    run->last = calloc(LAST, sizeof *run->last);
}

void random_add(struct random_run *run, subject *other)
{
    run->others[run->nothers++] = other;
}

void random_note(struct random_run *run, const char *text)
{
    snprintf(run->last[run->done % LAST], sizeof *run->last, "%llu %s",
             (unsigned long long)run->done, text);
    run->done++;
}

static void explain(struct random_run *run, const subject *other, const char *what)
{
    run->failed = true;
    printf("difference between model and %s: %s\nlast operations:\n", other->name, what);
    for (uint64_t i = run->done > LAST ? run->done - LAST : 0; i < run->done; i++) {
        printf("  %s\n", run->last[i % LAST]);
    }
    printf("repeat: --seed %llu --ops %llu\n", (unsigned long long)run->seed,
           (unsigned long long)run->done);
    fflush(stdout);
}

static bool step(struct random_run *run, const struct op *op)
{
    struct op_result want, got;
    char what[200];
    op_apply(run->model, op, &want);
    bool same = true;
    for (size_t i = 0; same && i < run->nothers; i++) {
        op_apply(run->others[i], op, &got);
        got.loose_atime = run->others[i]->loose_atime;
        same = op_same(op, &want, &got, what, sizeof what);
        op_result_done(&got);
        if (!same) {
            explain(run, run->others[i], what);
        }
    }
    op_result_done(&want);
    return same;
}

bool random_step(struct random_run *run)
{
    struct op op;
    char text[900];
    op_pick(run, &op);
    op_print(&op, text, sizeof text);
    random_note(run, text);
    return step(run, &op);
}

static bool compare_at(struct random_run *run, const char *path, int depth)
{
    struct op op = {.kind = OP_STAT, .nofollow = true};
    snprintf(op.a, sizeof op.a, "%s", path);
    struct op_result want;
    op_apply(run->model, &op, &want);
    uint32_t mode = want.attr.mode;
    int no = want.no;
    op_result_done(&want);
    if (!step(run, &op) || no != 0) {
        return !run->failed;
    }
    op.kind = S_ISDIR(mode) ? OP_LIST : S_ISLNK(mode) ? OP_READLINK : OP_OPEN;
    op.flags = O_RDONLY;
    op.slot = OP_SLOTS - 1;
    if (!step(run, &op)) {
        return false;
    }
    if (S_ISREG(mode)) {
        op.kind = OP_READ;
        op.len = 16u * 1024u * 1024u;
        bool same = step(run, &op);
        op.kind = OP_CLOSE;
        return step(run, &op) && same;
    }
    if (!S_ISDIR(mode) || depth > 60) {
        return true;
    }
    op_apply(run->model, &op, &want);
    bool same = true;
    char *lines = strdup(cis_buf_cstr(&want.data)), *save = NULL;
    op_result_done(&want);
    for (char *line = strtok_r(lines, "\n", &save); same && line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        *strrchr(line, ' ') = '\0';
        char below[OP_PATH];
        if (strcmp(line, ".") != 0 && strcmp(line, "..") != 0 &&
            snprintf(below, sizeof below, "%s/%s", path, line) < (int)sizeof below) {
            same = compare_at(run, below, depth + 1);
        }
    }
    free(lines);
    return same;
}

bool random_compare(struct random_run *run)
{
    random_note(run, "comparing the whole trees");
    return compare_at(run, "/", 0);
}

void random_end(struct random_run *run)
{
    run->model->ops->free(run->model);
    for (size_t i = 0; i < run->nothers; i++) {
        run->others[i]->ops->free(run->others[i]);
    }
    free(run->last);
}

struct random_args random_arguments(int argc, char **argv, uint64_t ops)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct random_args args = {(uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20, ops, ""};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0) {
            args.seed = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--ops") == 0) {
            args.ops = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--backend") == 0) {
            args.backend = argv[i + 1];
        }
    }
    printf("seed: --seed %llu --ops %llu\n", (unsigned long long)args.seed,
           (unsigned long long)args.ops);
    fflush(stdout);
    return args;
}
