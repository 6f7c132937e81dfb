/* Applies and undos where something stands in the way: a store that does not answer, a host without
 * an exchange of names, folders that look like others, leftovers, attributes that cannot be kept.
 */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "run/cow_deep.h"
#include "run/cow_internal.h"
#include "run/files.h"
#include "vfs/hostdir/hostdir.h"
#include "store/calls.h"

static const struct cis_stop never = {CIS_NEVER, NULL};

/* ---- calls of the host ---- */

static struct {
    bool no_exchange, no_noreplace, no_tmpfile, capability;
    unsigned long fail_at, calls; /* of those that change names; 0: none fails */
    unsigned long links, reads;   /* symlinks that were made, reads of files */
} host;

/* A thread that stops for good at its n-th call, as if its process were killed there. When the test
 * is done it is let go, and all that it calls then fails. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned long at, calls;
    bool stopped, ended, let_go;
} killed = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, false, false, false};
static __thread bool is_victim, is_dead;

static bool host_kills(void)
{
    if (is_victim && !is_dead && ++killed.calls == killed.at) {
        pthread_mutex_lock(&killed.lock);
        killed.stopped = true;
        pthread_cond_broadcast(&killed.moved);
        while (!killed.let_go) {
            pthread_cond_wait(&killed.moved, &killed.lock);
        }
        pthread_mutex_unlock(&killed.lock);
        is_dead = true;
    }
    if (is_dead) {
        errno = EIO;
    }
    return is_dead;
}

static bool host_fails(void)
{
    if (host_kills()) {
        return true;
    }
    if (host.fail_at != 0 && ++host.calls == host.fail_at) {
        errno = EIO;
        return true;
    }
    return false;
}

int __real_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    if ((host.no_exchange && (flags & RENAME_EXCHANGE) != 0) ||
        (host.no_noreplace && (flags & RENAME_NOREPLACE) != 0)) {
        errno = EINVAL;
        return -1;
    }
    return host_fails() ? -1 : __real_renameat2(from_dir, from, to_dir, to, flags);
}

/* Who is killed holds no lock any more. */
int __real_flock(int fd, int what);
int __wrap_flock(int fd, int what);
int __wrap_flock(int fd, int what)
{
    return is_victim ? 0 : __real_flock(fd, what);
}

int __real_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return host_fails() ? -1 : __real_linkat(from_dir, from, to_dir, to, flags);
}

int __real_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags)
{
    return host_kills() ? -1 : __real_unlinkat(dir, name, flags);
}

int __real_symlinkat(const char *target, int dir, const char *name);
int __wrap_symlinkat(const char *target, int dir, const char *name);
int __wrap_symlinkat(const char *target, int dir, const char *name)
{
    host.links++;
    return __real_symlinkat(target, dir, name);
}

ssize_t __real_preadv(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __wrap_preadv(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __wrap_preadv(int fd, const struct iovec *iov, int n, off_t at)
{
    host.reads++;
    return __real_preadv(fd, iov, n, at);
}

ssize_t __real_flistxattr(int fd, char *list, size_t size);
ssize_t __wrap_flistxattr(int fd, char *list, size_t size);
ssize_t __wrap_flistxattr(int fd, char *list, size_t size)
{
    static const char name[] = "security.capability";
    if (!host.capability || size < sizeof name) {
        return __real_flistxattr(fd, list, size);
    }
    memcpy(list, name, sizeof name);
    return sizeof name;
}

long __real_syscall(long number, long a, long b, long c, long d);
long __wrap_syscall(long number, long a, long b, long c, long d);
long __wrap_syscall(long number, long a, long b, long c, long d)
{
    const struct open_how {
        uint64_t flags, mode, resolve;
    } *how = (const void *)c;
    if (number == SYS_openat2 && host.no_tmpfile && (how->flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return __real_syscall(number, a, b, c, d);
}

/* ---- calls of the store ---- */

#define CIS_FS_ARGS const struct cis_stop *stop, struct cis_error *err
static const struct cis_store_fs_ops *real_fs;
static unsigned long store_at, store_calls, chunk_reads;

static bool store_fails(struct cis_error *err)
{
    if (store_at == 0 || ++store_calls != store_at) {
        return false;
    }
    (void)!cis_fail(err, CIS_E_STORE, "the store does not answer");
    return true;
}

static cis_code some_walk(cis_store *s, struct cis_str tenant,
                          const struct cis_fs_walk_query *query, cis_fs_step_each *each, void *self,
                          CIS_FS_ARGS)
{
    return store_fails(err) ? CIS_E_STORE : real_fs->walk(s, tenant, query, each, self, stop, err);
}

static cis_code some_extents(cis_store *s, struct cis_str tenant,
                             const struct cis_fs_extent_query *query, cis_fs_extent_each *each,
                             void *self, CIS_FS_ARGS)
{
    return store_fails(err) ? CIS_E_STORE
                            : real_fs->extents(s, tenant, query, each, self, stop, err);
}

static cis_code some_chunks(cis_store *s, struct cis_str tenant, struct cis_fs_read *reads,
                            size_t n, CIS_FS_ARGS)
{
    chunk_reads += n;
    return store_fails(err) ? CIS_E_STORE : real_fs->chunk_read(s, tenant, reads, n, stop, err);
}

static cis_code some_ref(cis_store *s, struct cis_str tenant, struct cis_str name,
                         struct cis_fs_ref *out, CIS_FS_ARGS)
{
    return store_fails(err) ? CIS_E_STORE : real_fs->ref_get(s, tenant, name, out, stop, err);
}

static cis_code some_commits(cis_store *s, struct cis_str tenant,
                             const struct cis_fs_log_query *query, cis_fs_commit_each *each,
                             void *self, CIS_FS_ARGS)
{
    return store_fails(err) ? CIS_E_STORE
                            : real_fs->commits(s, tenant, query, each, self, stop, err);
}

/* An fs cache that has nothing in memory, over a store whose calls are seen. */
static cis_fs_cache *watched(struct fx *fx)
{
    static struct cis_store_fs_ops ops;
    cis_fs_cache *fs_cache = NULL;
    real_fs = real_fs == NULL || fx->store->fs != &ops ? fx->store->fs : real_fs;
    ops = *real_fs;
    ops.walk = some_walk;
    ops.extents = some_extents;
    ops.chunk_read = some_chunks;
    ops.ref_get = some_ref;
    ops.commits = some_commits;
    fx->store->fs = &ops;
    chunk_reads = 0;
    assert_ok(cis_fs_cache_new(fx->store, NULL, &fs_cache, err));
    return fs_cache;
}

static void unwatched(struct fx *fx, cis_fs_cache *fs_cache)
{
    cis_fs_cache_free(fs_cache);
    store_at = store_calls = 0;
    fx->store->fs = real_fs;
    real_fs = NULL;
}

/* ---- runs, applies, undos ---- */

struct ran {
    char id[27];
    struct cis_view at;
};

/* Words: w PATH TEXT, rm PATH, mv PATH PATH, ln TARGET PATH. */
static struct ran run(struct fx *fx, const char *folder, const char *branch, const char *words)
{
    struct ran out;
    struct cis_vfs_call call = {.stop = &never};
    CIS_CLEANUP(cis_freep) char *place = fx_path(fx, folder);
    struct cis_run_mount mount = {
        .guest_path = "/d", .host = place, .mode = CIS_MOUNT_COW, .branch = branch};
    cis_run_files *files = NULL;
    size_t n;
    char op[8], a[300], b[300];
    int used = 0;
    cis_id_new(out.id);
    struct cis_run_files_options o = {.fs_cache = fx->fs_cache,
                                      .tenant = "t",
                                      .run_id = out.id,
                                      .mounts = &mount,
                                      .nmounts = 1,
                                      .stop = &never};
    assert_ok(cis_run_files_open(&o, &files, err));
    const cis_dir *dir = cis_run_files_dirs(files, &n)->dir;
    for (; sscanf(words, "%7s %299s %299s%n", op, a, b, &used) == 3; words += used) {
        if (strcmp(op, "w") == 0) {
            struct cis_vfs_attr attr;
            cis_vfs_file *file = NULL;
            uint64_t end;
            struct iovec iov = {b, strlen(b)};
            assert_int_equal(
                cis_at_open(dir, &call, cis_str_of(a),
                            &(struct cis_open_how){0, O_WRONLY | O_CREAT | O_TRUNC, 0644}, &file,
                            &attr),
                0);
            assert_int_equal(cis_vfs_write(file, &call, &iov, 1, 0, &n, &end), 0);
            cis_vfs_file_close(file);
        } else if (strcmp(op, "rm") == 0) {
            assert_int_equal(cis_at_unlink(dir, &call, cis_str_of(a), 0), 0);
        } else if (strcmp(op, "mv") == 0) {
            assert_int_equal(cis_at_rename(dir, cis_str_of(a), dir, cis_str_of(b), &call, 0, 0), 0);
        } else {
            struct cis_vfs_make make = {.mode = S_IFLNK | 0777, .target = cis_str_of(a)};
            assert_int_equal(cis_at_make(dir, &call, cis_str_of(b), 0, &make), 0);
        }
    }
    struct cis_store_commit with = {.kind = "run"};
    assert_ok(cis_run_files_commit(files, &with, &never, err));
    out.at = cis_run_files_mounted(files, &n)->after;
    cis_run_files_close(files);
    return out;
}

static cis_code look(struct fx *fx, cis_fs_cache *fs_cache, const char *folder, struct cis_view at,
                     cis_cow **out, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *place = fx_path(fx, folder);
    struct cis_cow_options o = {
        .fs_cache = fs_cache, .tenant = "t", .at = at, .folder = place, .stop = &never};
    return cis_cow_open(&o, out, err);
}

static bool add_change(void *self, const struct cis_union_change *c)
{
    cis_buf_printf(self, "%c %.*s\n", c->what, (int)c->path.len, c->path.ptr);
    return true;
}

static cis_code changes(struct fx *fx, cis_fs_cache *fs_cache, const char *folder,
                        struct cis_view at, struct cis_buf *out, struct cis_error *err)
{
    cis_cow *cow = NULL;
    cis_buf_reset(out);
    cis_code code = look(fx, fs_cache, folder, at, &cow, err);
    code = code == CIS_OK ? cis_cow_changes(cow, add_change, out, err) : code;
    cis_cow_close(cow);
    return code;
}

static void add_conflict(void *self, struct cis_str path, const char *why)
{
    cis_buf_printf(self, "%.*s %s\n", (int)path.len, path.ptr, why);
}

static struct cis_buf said = CIS_BUF_INIT(1u << 20); /* by the last apply or undo */

static cis_code apply(struct fx *fx, cis_fs_cache *fs_cache, const char *folder,
                      const struct ran *ran, bool dry_run)
{
    struct cis_error why = {0};
    cis_cow *cow = NULL;
    struct cis_cow_apply how = {.run = ran->id,
                                .guest_path = "/d",
                                .dry_run = dry_run,
                                .conflict = add_conflict,
                                .self = &said};
    uint64_t n;
    cis_buf_reset(&said);
    cis_code code = look(fx, fs_cache, folder, ran->at, &cow, &why);
    code = code == CIS_OK ? cis_cow_apply(cow, &how, &n, &why) : code;
    cis_buf_text(&said, why.msg);
    cis_cow_close(cow);
    return code;
}

static bool take_newest(void *self, const struct cis_cow_applied *applied)
{
    char *ref = self;
    if (ref[0] == 0 && !applied->undone) {
        snprintf(ref, CIS_FS_REF_MAX + 1, "%s", applied->ref);
    }
    return true;
}

static cis_code undo(struct fx *fx, const struct ran *ran)
{
    char ref[CIS_FS_REF_MAX + 1] = "";
    struct cis_error why = {0};
    uint64_t n;
    assert_ok(cis_cow_applied_list(fx->fs_cache, "t", ran->id, &never, take_newest, ref, err));
    struct cis_cow_undo how = {.fs_cache = fx->fs_cache,
                               .tenant = "t",
                               .ref = ref,
                               .stop = &never,
                               .conflict = add_conflict,
                               .self = &said};
    cis_buf_reset(&said);
    how.dry_run = how.mends = true; /* as the command does, before it turns the branch */
    cis_code code = cis_cow_undo(&how, &n, &why);
    how.dry_run = false;
    code = code == CIS_OK ? cis_cow_undo(&how, &n, &why) : code;
    cis_buf_text(&said, why.msg);
    return code;
}

static void link_host(struct fx *fx, const char *from, const char *to)
{
    CIS_CLEANUP(cis_freep) char *a = fx_path(fx, from);
    CIS_CLEANUP(cis_freep) char *b = fx_path(fx, to);
    assert_int_equal(link(a, b), 0);
}

static void move_host(struct fx *fx, const char *from, const char *to)
{
    CIS_CLEANUP(cis_freep) char *a = fx_path(fx, from);
    CIS_CLEANUP(cis_freep) char *b = fx_path(fx, to);
    assert_int_equal(rename(a, b), 0);
}

/* ---- a store that does not answer ---- */

/* Which files an undo made anew is in its record. Whoever cannot read that must not go on. */
static void what_the_store_does_not_tell_is_left_out_of_no_diff_and_no_apply(void **state)
{
    struct fx *fx = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf want = CIS_BUF_INIT(65536);
    CIS_CLEANUP(cis_buf_done) struct cis_buf have = CIS_BUF_INIT(65536);
    fx_put(fx, "d/x", "old");
    link_host(fx, "d/x", "outside");
    struct ran ran = run(fx, "d", NULL, "w x new w y more");
    assert_int_equal(apply(fx, fx->fs_cache, "d", &ran, false), CIS_OK);
    assert_int_equal(undo(fx, &ran), CIS_OK);
    assert_ok(changes(fx, fx->fs_cache, "d", ran.at, &want, err));
    assert_non_null(strstr(cis_buf_cstr(&want), "M x"));
    unsigned long refused = 0;
    for (unsigned long n = 1;; n++) {
        cis_fs_cache *fs_cache = watched(fx);
        struct cis_error why;
        store_at = n;
        cis_code code = changes(fx, fs_cache, "d", ran.at, &have, &why);
        bool met = store_calls >= n;
        refused += code != CIS_OK;
        if (code == CIS_OK && !cis_str_eq(cis_buf_view(&have), cis_buf_view(&want))) {
            fail_msg("call %lu of the store failed, and the diff is\n%s, not\n%s", n,
                     cis_buf_cstr(&have), cis_buf_cstr(&want));
        }
        store_calls = 0;
        store_at = n;
        code = apply(fx, fs_cache, "d", &ran, true);
        met = met || store_calls >= n;
        unwatched(fx, fs_cache);
        if (!met) {
            break;
        }
        if (code == CIS_E_CONFLICT) {
            fail_msg("call %lu of the store failed: %s", n, cis_buf_cstr(&said));
        }
    }
    assert_true(refused > 3);
}

/* Most records have nothing to say to it: no more than that is read of them. */
static void a_diff_reads_no_steps_of_records(void **state)
{
    struct fx *fx = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(65536);
    fx_put(fx, "d/f", "old");
    for (int i = 0; i < 300; i++) { /* more steps than a row of the store holds */
        cis_buf_printf(&text, "w made-%d new ", i);
    }
    struct ran ran = run(fx, "d", NULL, cis_buf_cstr(&text));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(apply(fx, fx->fs_cache, "d", &ran, false), CIS_OK);
        assert_int_equal(undo(fx, &ran), CIS_OK);
    }
    cis_fs_cache *fs_cache = watched(fx);
    cis_cow *cow = NULL;
    assert_ok(look(fx, fs_cache, "d", ran.at, &cow, err));
    cis_cow_close(cow);
    unsigned long reads = chunk_reads;
    unwatched(fx, fs_cache);
    assert_int_equal(reads, 0);
}

/* A branch that knows the file by its name alone puts it back: the other, which knows it by what it
 * is, has to find it again. */
static void a_file_that_two_branches_changed_is_found_after_the_undo_of_either(void **state)
{
    struct fx *fx = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf have = CIS_BUF_INIT(65536);
    fx_put(fx, "d/x", "old");
    link_host(fx, "d/x", "outside");
    struct ran a = run(fx, "d", "a", "w x from-a");
    assert_int_equal(apply(fx, fx->fs_cache, "d", &a, false), CIS_OK);
    assert_int_equal(undo(fx, &a), CIS_OK);
    struct ran b = run(fx, "d", "b", "w x from-b");
    assert_int_equal(apply(fx, fx->fs_cache, "d", &b, false), CIS_OK);
    fx_host_is(fx, "d/x", "from-b");
    assert_int_equal(undo(fx, &b), CIS_OK);
    assert_ok(changes(fx, fx->fs_cache, "d", a.at, &have, err));
    assert_string_equal(cis_buf_cstr(&have), "M x\n");
    assert_int_equal(apply(fx, fx->fs_cache, "d", &a, false), CIS_OK);
    fx_host_is(fx, "d/x", "from-a");
}

/* ---- a host without an exchange of names ---- */

static void is_one_of(struct fx *fx, const char *name, const char *a, const char *b)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf have = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_freep) char *path = fx_path(fx, name);
    struct cis_error err;
    if (cis_file_read(path, &have, &err) != CIS_OK ||
        (strcmp(cis_buf_cstr(&have), a) != 0 && strcmp(cis_buf_cstr(&have), b) != 0)) {
        fail_msg("call %lu failed: %s: %s", host.fail_at, name,
                 have.len != 0 ? cis_buf_cstr(&have) : "is gone");
    }
}

static void without_an_exchange_of_names_no_failure_loses_a_file(void **state)
{
    struct fx *fx = *state;
    for (int links = 0; links < 2; links++) {
        bool met = true;
        for (unsigned long n = 1; met; n++) {
            char d[32], f[40];
            snprintf(d, sizeof d, "d%d-%lu", links, n);
            snprintf(f, sizeof f, "%s/f", d);
            fx_put(fx, f, "old");
            struct ran ran = run(fx, d, NULL, "w f new");
            host.no_exchange = true;
            host.no_noreplace = links != 0;
            host.fail_at = n;
            host.calls = 0;
            cis_code code = apply(fx, fx->fs_cache, d, &ran, false);
            met = host.calls >= n;
            is_one_of(fx, f, "old", "new");
            if (code != CIS_OK) {
                fx_host_is(fx, f, "old");
                host.fail_at = 0;
                code = apply(fx, fx->fs_cache, d, &ran, false);
            }
            assert_int_equal(code, CIS_OK);
            fx_host_is(fx, f, "new");
            host.fail_at = n;
            host.calls = 0;
            code = undo(fx, &ran);
            met = met || host.calls >= n;
            is_one_of(fx, f, "old", "new");
            host.fail_at = 0;
            if (code != CIS_OK && undo(fx, &ran) != CIS_OK) {
                fail_msg("call %lu failed: not undone: %s", n, cis_buf_cstr(&said));
            }
            fx_host_is(fx, f, "old");
            memset(&host, 0, sizeof host);
        }
    }
}

struct victim {
    struct fx *fx;
    const char *folder;
    const struct ran *ran;
    bool undoes;
};

static void *victim_runs(void *arg)
{
    const struct victim *v = arg;
    char ref[CIS_FS_REF_MAX + 1] = "";
    struct cis_error why = {0};
    cis_cow *cow = NULL;
    uint64_t n;
    is_victim = true;
    if (v->undoes) {
        assert_ok(
            cis_cow_applied_list(v->fx->fs_cache, "t", v->ran->id, &never, take_newest, ref, &why));
        struct cis_cow_undo how = {
            .fs_cache = v->fx->fs_cache, .tenant = "t", .ref = ref, .stop = &never};
        (void)!cis_cow_undo(&how, &n, &why);
    } else {
        struct cis_cow_apply how = {.run = v->ran->id, .guest_path = "/d"};
        (void)!(look(v->fx, v->fx->fs_cache, v->folder, v->ran->at, &cow, &why) == CIS_OK
                    ? cis_cow_apply(cow, &how, &n, &why)
                    : CIS_OK);
        cis_cow_close(cow);
    }
    pthread_mutex_lock(&killed.lock);
    killed.ended = true;
    pthread_cond_broadcast(&killed.moved);
    pthread_mutex_unlock(&killed.lock);
    return NULL;
}

/* False: it came to its end before. */
static bool kill_at(const struct victim *v, unsigned long at, pthread_t *out)
{
    killed.at = at;
    killed.calls = 0;
    killed.stopped = killed.ended = killed.let_go = false;
    assert_int_equal(pthread_create(out, NULL, victim_runs, (void *)(uintptr_t)v), 0);
    pthread_mutex_lock(&killed.lock);
    while (!killed.stopped && !killed.ended) {
        pthread_cond_wait(&killed.moved, &killed.lock);
    }
    bool stopped = killed.stopped;
    pthread_mutex_unlock(&killed.lock);
    return stopped;
}

static void bury(pthread_t thread)
{
    pthread_mutex_lock(&killed.lock);
    killed.let_go = true;
    pthread_cond_broadcast(&killed.moved);
    pthread_mutex_unlock(&killed.lock);
    pthread_join(thread, NULL);
}

static bool has_leftover(struct fx *fx, const char *d)
{
    char name[64];
    bool found = false;
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s/%s", d, i == 0 ? COW_OLD : COW_NEW);
        CIS_CLEANUP(cis_freep) char *path = fx_path(fx, name);
        found = found || cis_file_exists(path);
    }
    return found;
}

/* links: renames that replace nothing are not had either. then: what follows the kill, an apply and
 * undos, or undos alone. */
static bool killed_round(struct fx *fx, bool links, bool undoes, bool then_apply, unsigned long n)
{
    char d[32], f[40];
    pthread_t thread;
    snprintf(d, sizeof d, "k%d%d%d-%lu", links, undoes, then_apply, n);
    snprintf(f, sizeof f, "%s/f", d);
    fx_put(fx, f, "old");
    struct ran ran = run(fx, d, NULL, "w f new");
    struct victim v = {fx, d, &ran, undoes};
    host.no_exchange = true;
    host.no_noreplace = links;
    if (undoes) {
        assert_int_equal(apply(fx, fx->fs_cache, d, &ran, false), CIS_OK);
    }
    bool stopped = kill_at(&v, n, &thread);
    cis_code code = CIS_OK;
    if (then_apply && stopped && !undoes) {
        code = apply(fx, fx->fs_cache, d, &ran, false);
        if (code != CIS_OK) {
            fail_msg("killed at %lu: not applied: %s", n, cis_buf_cstr(&said));
        }
        fx_host_is(fx, f, "new");
    }
    for (int i = 0; i < 3 && stopped && code == CIS_OK; i++) { /* each apply that is not undone */
        char ref[CIS_FS_REF_MAX + 1] = "";
        assert_ok(cis_cow_applied_list(fx->fs_cache, "t", ran.id, &never, take_newest, ref, err));
        if (ref[0] != 0 && undo(fx, &ran) != CIS_OK) {
            fail_msg("killed at %lu: not undone: %s", n, cis_buf_cstr(&said));
        }
    }
    if (stopped) {
        fx_host_is(fx, f, "old");
        assert_false(has_leftover(fx, d));
    }
    bury(thread);
    memset(&host, 0, sizeof host);
    return stopped;
}

static void a_kill_between_two_renames_loses_no_file(void **state)
{
    for (int kind = 0; kind < 6; kind++) {
        unsigned long n = 1;
        while (killed_round(*state, kind % 2 != 0, kind / 2 == 2, kind / 2 == 1, n)) {
            n++;
        }
        assert_true(n > 3); /* it was killed at each of its calls */
    }
}

/* ---- folders, leftovers, attributes ---- */

static void another_folder_is_not_moved_in_place_of_the_one_that_an_apply_left(void **state)
{
    struct fx *fx = *state;
    for (int other = 0; other < 2; other++) {
        const char *d = other != 0 ? "other" : "same";
        char x[64], inside[64], mine[64];
        snprintf(inside, sizeof inside, "%s/d", d);
        snprintf(mine, sizeof mine, "%s/mine", d);
        snprintf(x, sizeof x, "%s/x/in", d);
        fx_put(fx, x, "1");
        struct ran one = run(fx, d, d, "mv x d");
        assert_int_equal(apply(fx, fx->fs_cache, d, &one, false), CIS_OK);
        struct ran two = run(fx, d, d, "mv d e");
        if (other != 0) {
            move_host(fx, inside, mine);
            snprintf(x, sizeof x, "%s/d/theirs", d);
            fx_put(fx, x, "2");
        }
        cis_code code = apply(fx, fx->fs_cache, d, &two, false);
        snprintf(inside, sizeof inside, "%s/e/in", d);
        if (other == 0) {
            assert_int_equal(code, CIS_OK);
            fx_host_is(fx, inside, "1");
        } else {
            assert_int_equal(code, CIS_E_CONFLICT);
            assert_non_null(strstr(cis_buf_cstr(&said), "since"));
            fx_host_is(fx, x, "2");
        }
    }
}

static void a_leftover_is_read_as_often_however_many_steps_there_are(void **state)
{
    struct fx *fx = *state;
    struct cis_error why = {0};
    struct cis_vfs_call call = {.stop = &never, .err = &why};
    unsigned long reads[2];
    for (int many = 0; many < 2; many++) {
        struct cow_steps steps = {0};
        struct cow_work w;
        CIS_CLEANUP(cis_freep) char *place = fx_path(fx, "d");
        fx_put(fx, "d/" COW_NEW, "12345678");
        for (int i = 0; i < (many != 0 ? 500 : 1); i++) {
            struct cow_step *s = cis_cow_steps_add(&steps, COW_LEAF, "f", NULL, "f");
            s->before = s->after = (struct cow_state){.mode = S_IFREG | 0644, .size = 8};
            s->kept = cis_strdup("kept/f");
        }
        assert_ok(cis_cow_work_open(&w, place, &call, &why, err));
        host.reads = 0;
        assert_ok(cis_cow_work_tidy(&w, &steps, err));
        reads[many] = host.reads;
        fx_host_is(fx, "d/" COW_NEW, "12345678"); /* nobody's */
        assert_int_equal(cis_cow_state_read(&w.to, &call, COW_NEW, &steps.at[0].after), 0);
        assert_ok(cis_cow_work_tidy(&w, &steps, err));
        fx_host_is(fx, "d/" COW_NEW, NULL);
        cis_cow_work_done(&w);
        cis_cow_steps_done(&steps);
    }
    assert_true(reads[0] > 0);
    assert_int_equal(reads[0], reads[1]);
}

static void a_file_whose_capabilities_an_undo_could_not_bring_back_is_a_conflict(void **state)
{
    struct fx *fx = *state;
    fx_put(fx, "d/f", "old");
    struct ran ran = run(fx, "d", NULL, "w f new");
    host.capability = true;
    cis_code code = apply(fx, fx->fs_cache, "d", &ran, false);
    host.capability = false;
    assert_int_equal(code, CIS_E_CONFLICT);
    assert_non_null(strstr(cis_buf_cstr(&said), "f would be replaced"));
    assert_non_null(strstr(cis_buf_cstr(&said), "security.capability"));
    fx_host_is(fx, "d/f", "old");
    assert_int_equal(apply(fx, fx->fs_cache, "d", &ran, false), CIS_OK);
    fx_host_is(fx, "d/f", "new");
}

static void a_dry_run_writes_nothing_into_the_folder(void **state)
{
    struct fx *fx = *state;
    fx_put(fx, "d/f", "old");
    CIS_CLEANUP(cis_freep) char *place = fx_path(fx, "d");
    struct ran ran = run(fx, "d", NULL, "w f new ln f link w g more");
    for (int tmpfile = 0; tmpfile < 2; tmpfile++) {
        struct stat was, now;
        assert_int_equal(stat(place, &was), 0);
        host.no_tmpfile = tmpfile == 0;
        host.links = 0;
        assert_int_equal(apply(fx, fx->fs_cache, "d", &ran, true), CIS_OK);
        host.no_tmpfile = false;
        assert_int_equal(stat(place, &now), 0);
        assert_int_equal(host.links, 0);
        assert_memory_equal(&was.st_mtim, &now.st_mtim, sizeof was.st_mtim);
        assert_memory_equal(&was.st_ctim, &now.st_ctim, sizeof was.st_ctim);
    }
    assert_int_equal(apply(fx, fx->fs_cache, "d", &ran, false), CIS_OK);
    fx_host_is(fx, "d/link", "new");
}

/* ---- a tenant whose quotas are used up ---- */

static bool take_undone(void *self, const struct cis_cow_applied *applied)
{
    *(bool *)self = applied->undone;
    return true;
}

static void an_apply_is_taken_back_when_the_quotas_are_used_up(void **state)
{
    struct fx *fx = *state;
    struct cis_tenant tenant;
    bool undone = false;
    fx_put(fx, "d/a/f", "old");
    fx_put(fx, "d/g", "old");
    link_host(fx, "d/g", "outside"); /* it is another file afterwards, which is noted */
    struct ran ran = run(fx, "d", NULL, "mv a b w g new");
    assert_int_equal(apply(fx, fx->fs_cache, "d", &ran, false), CIS_OK);
    fx_host_is(fx, "d/b/f", "old");
    assert_ok(cis_store_tenant_get(fx->store, CIS_STR("t"), &tenant, NULL, err));
    tenant.quota_stored = tenant.stored;
    tenant.quota_files = tenant.quota_bytes = 1;
    assert_ok(cis_store_tenant_quota(fx->store, CIS_STR("t"), &tenant, NULL, err));
    cis_code code = undo(fx, &ran);
    if (code != CIS_OK) {
        fail_msg("%s", cis_buf_cstr(&said));
    }
    fx_host_is(fx, "d/a/f", "old");
    fx_host_is(fx, "d/g", "old");
    assert_ok(cis_cow_applied_list(fx->fs_cache, "t", ran.id, &never, take_undone, &undone, err));
    assert_true(undone);
}

/* ---- a rescue ---- */

static void a_mount_that_cannot_be_rescued_takes_no_other_with_it(void **state)
{
    struct fx *fx = *state;
    struct cis_vfs_call call = {.stop = &never};
    struct cis_run_mount mounts[3] = {0};
    static const char *const guests[] = {"/a", "/b", "/c"};
    char *places[3], id[27], name[CIS_FS_REF_MAX + 1];
    cis_run_files *files = NULL;
    size_t n;
    cis_id_new(id);
    for (size_t i = 0; i < 3; i++) {
        places[i] = fx_path(fx, guests[i] + 1);
        assert_ok(cis_file_mkdirs(places[i], 0700, err));
        mounts[i] = (struct cis_run_mount){.guest_path = guests[i],
                                           .host = places[i],
                                           .mode = CIS_MOUNT_COW,
                                           .branch = guests[i] + 1};
    }
    struct cis_run_files_options o = {.fs_cache = fx->fs_cache,
                                      .tenant = "t",
                                      .run_id = id,
                                      .mounts = mounts,
                                      .nmounts = 3,
                                      .stop = &never};
    assert_ok(cis_run_files_open(&o, &files, err));
    for (size_t i = 0; i < 3; i++) {
        struct cis_vfs_make make = {.mode = S_IFDIR | 0755};
        assert_int_equal(
            cis_at_make(cis_run_files_dirs(files, &n)[i].dir, &call, CIS_STR("made"), 0, &make), 0);
    }
    struct ran taken = run(fx, "c", NULL, "w x y"); /* the name of the second is taken */
    snprintf(name, sizeof name, CIS_CONFLICT_PREFIX "%s-2", id);
    struct cis_str taken_name = cis_str_of(name);
    assert_ok(cis_store_fork(fx->store, CIS_STR("t"), taken.at, &taken_name, 1, &never, err));
    cis_run_files_plan_rescue(files);
    struct cis_store_commit with = {.kind = "run"};
    assert_ok(cis_run_files_rescue(files, &with, &never, err));
    const struct cis_run_mounted *m = cis_run_files_mounted(files, &n);
    assert_true(m[0].committed && m[0].carries);
    assert_true(!m[1].committed && m[1].fork == NULL);
    assert_true(m[2].committed);
    snprintf(name, sizeof name, CIS_CONFLICT_PREFIX "%s", id);
    assert_true(fx_has_ref(fx, name));
    snprintf(name, sizeof name, CIS_CONFLICT_PREFIX "%s-3", id);
    assert_true(fx_has_ref(fx, name));
    cis_run_files_close(files);
    for (size_t i = 0; i < 3; i++) {
        free(places[i]);
    }
}

static void the_end_of_a_long_path_in_a_message_has_whole_characters(void **state)
{
    (void)state;
    char path[128];
    for (size_t at = 0; at < 4; at++) { /* "…" has 3 bytes: the cut at 20 falls on each of them */
        memset(path, 'x', 100);
        memcpy(path + 20 - at, "\xe2\x80\xa6", 3);
        path[100] = 0;
        const char *end = cow_far_end(path);
        assert_true(strlen(end) >= 78 && strlen(end) <= 80);
        assert_true(cis_utf8_valid(end, strlen(end)));
    }
    memset(path, 0x80, sizeof path - 1); /* no UTF-8 at all: as much as there is room for */
    path[sizeof path - 1] = 0;
    assert_true(strlen(cow_far_end(path)) >= 77);
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        T(what_the_store_does_not_tell_is_left_out_of_no_diff_and_no_apply),
        T(a_diff_reads_no_steps_of_records),
        T(a_file_that_two_branches_changed_is_found_after_the_undo_of_either),
        T(without_an_exchange_of_names_no_failure_loses_a_file),
        T(a_kill_between_two_renames_loses_no_file),
        T(another_folder_is_not_moved_in_place_of_the_one_that_an_apply_left),
        T(a_leftover_is_read_as_often_however_many_steps_there_are),
        T(a_file_whose_capabilities_an_undo_could_not_bring_back_is_a_conflict),
        T(a_dry_run_writes_nothing_into_the_folder),
        T(an_apply_is_taken_back_when_the_quotas_are_used_up),
        T(a_mount_that_cannot_be_rescued_takes_no_other_with_it),
        T(the_end_of_a_long_path_in_a_message_has_whole_characters),
    };
    int failed = cmocka_run_group_tests_name("apply cases", tests, NULL, NULL);
    cis_buf_done(&said);
    return failed;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--only") == 0) {
        cmocka_set_test_filter(argv[2]);
    }
    return fx_run(run_all);
}
