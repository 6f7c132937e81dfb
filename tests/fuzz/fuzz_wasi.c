/* WASI 0.1: whatever calls a guest makes with whatever memory, each ends with an errno or the run,
 * nothing outside the guest's memory is touched, nothing outside its directory is changed, and all
 * that it was charged for is given back. The bytes are a list of calls; files are those of a
 * branch, whose changes are forgotten after each list. libFuzzer target; replay.c runs it over the
 * corpus.
 *
 * A call: a byte (which function; the high bit: of wasi_unstable), then its arguments. Of an i32: a
 * byte below 64 is that number, 64 to 95 the slot of a name, 96 to 111 a place in the buffer, 112
 * to 119 an array of buffers, else four bytes follow. Of an i64: a byte below 128 is that number,
 * else eight bytes follow. 127 as a function puts bytes into memory: u16 where, u8 how many. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/le.h"
#include "fake_guest.h"
#include "store/sqlite/sqlite.h"
#include "vfs/layered/layered.h"
#include "wasi/p1/p1.h"
#include "store/calls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY 16384u
#define NAMES 4096u /* 32 slots of 16 bytes */
#define BUFFER 8192u
#define ARRAYS 1024u
#define CALLS_MAX 300

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* ---- the files: "in" is the guest's, "secret" is beside it ---- */
static char place[64];
static cis_store *store;
static cis_fs_cache *fs_cache;
static cis_vfs *vfs;
static cis_ns *ns;
static struct cis_wasi_env_dir dirs[2];
static struct cis_host host;

static void make(const cis_dir *root, const char *path, uint32_t mode, const char *target)
{
    struct cis_vfs_call call = {0};
    struct cis_vfs_make what = {.mode = mode, .target = cis_str_of(target)};
    require(cis_at_make(root, &call, cis_str_of(path), CIS_WALK_CHROOT, &what) == 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void files_end(void)
{
    for (int i = 0; i < 2; i++) {
        cis_dir_free(dirs[i].dir);
    }
    cis_ns_free(ns);
    cis_vfs_close(vfs);
    cis_fs_cache_free(fs_cache);
    cis_store_close(store);
    (void)nftw(place, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void files_begin(void)
{
    struct cis_fs_cache_options fo = CIS_FS_CACHE_OPTIONS_INIT;
    struct cis_layered_options lo = CIS_LAYERED_OPTIONS_INIT;
    struct cis_fs_committed done;
    struct cis_vfs_call call = {0};
    cis_dir *root = NULL;
    cis_node in = 0;
    struct cis_vfs_attr attr;
    snprintf(place, sizeof place, "/tmp/cis-test-fuzz-wasi-%d", (int)getpid());
    fo.entries = fo.inodes = 1024;
    lo.tenant = CIS_STR("fuzz");
    require(cis_store_sqlite_open(place, &store, NULL) == CIS_OK);
    require(cis_fs_cache_new(store, &fo, &fs_cache, NULL) == CIS_OK);
    require(cis_layered_open(fs_cache, &lo, NULL, &vfs, NULL) == CIS_OK);
    require(cis_ns_new(&ns, NULL) == CIS_OK);
    require(cis_ns_mount(ns, CIS_STR("/"), vfs, 0, false, NULL) == CIS_OK);
    require(cis_dir_root(ns, &call, CIS_STR("/"), &root) == 0);
    make(root, "in", S_IFDIR | 0755, "");
    make(root, "in/a", S_IFDIR | 0755, "");
    make(root, "in/a/b", S_IFREG | 0644, "");
    make(root, "in/c", S_IFREG | 0644, "");
    make(root, "in/l", S_IFLNK | 0777, "a");
    make(root, "in/out", S_IFLNK | 0777, "../secret");
    make(root, "secret", S_IFREG | 0644, "");
    cis_dir_free(root);
    cis_ns_free(ns);
    require(cis_layered_commit(vfs, NULL, &done, NULL, NULL) == CIS_OK);
    require(cis_vfs_lookup(vfs, &call, vfs->root, CIS_STR("in"), &in, &attr) == 0);
    require(cis_ns_new(&ns, NULL) == CIS_OK);
    require(cis_ns_mount(ns, CIS_STR("/w"), vfs, in, false, NULL) == CIS_OK);
    require(cis_ns_mount(ns, CIS_STR("/r"), vfs, in, true, NULL) == CIS_OK);
    cis_vfs_forget(vfs, in, 1);
    for (int i = 0; i < 2; i++) {
        dirs[i].path = i == 0 ? CIS_STR("/w") : CIS_STR("/r");
        require(cis_dir_root(ns, &call, dirs[i].path, &dirs[i].dir) == 0);
    }
    atexit(files_end);
}

static bool only_these(void *self, const struct cis_vfs_entry *entry,
                       const struct cis_vfs_attr *attr)
{
    unsigned *n = self;
    (void)attr;
    require(cis_str_is(entry->name, ".") || cis_str_is(entry->name, "..") ||
            cis_str_is(entry->name, "in") || cis_str_is(entry->name, "secret"));
    ++*n;
    return true;
}

/* What is beside the guest's directory is as it was. */
static void outside_is_whole(void)
{
    struct cis_vfs_call call = {0};
    cis_vfs_file *file = NULL;
    cis_node secret = 0;
    struct cis_vfs_attr attr;
    unsigned n = 0;
    require(cis_vfs_open(vfs, &call, vfs->root, O_RDONLY | O_DIRECTORY, &file) == 0);
    require(cis_vfs_readdir(file, &call, 0, false, only_these, &n) == 0);
    cis_vfs_release(file);
    require(n == 4);
    require(cis_vfs_lookup(vfs, &call, vfs->root, CIS_STR("secret"), &secret, &attr) == 0);
    require(attr.size == 0 && attr.nlink == 1 && S_ISREG(attr.mode));
    cis_vfs_forget(vfs, secret, 1);
}

/* ---- the world ---- */
#define WORLD_STREAMS 3u
#define WORLD_LISTENS 4u
#define WORLD_WAITS 8u

static struct cis_vfs_ops slow; /* the filesystem's own, saying that they wait */
static const struct cis_vfs_ops *fast;
static int fds[8]; /* open for one input */
static size_t nfds;

static int slow_open(cis_vfs *fs, const struct cis_vfs_call *call, cis_node node, int flags,
                     cis_vfs_file **out_file)
{
    cis_vfs_waits(call);
    return fast->open(fs, call, node, flags, out_file);
}

static int slow_read(cis_vfs_file *file, const struct cis_vfs_call *call, const struct iovec *iov,
                     int niov, uint64_t offset, size_t *out_n)
{
    cis_vfs_waits(call);
    if (offset == 77) { /* a file that is damaged at one place */
        return cis_vfs_fail(call->err, EIO, "a damaged file") == CIS_OK ? 0 : EIO;
    }
    return fast->read(file, call, iov, niov, offset, out_n);
}

static int keep(int fd)
{
    require(fd >= 0 && nfds < sizeof fds / sizeof *fds);
    return fds[nfds++] = fd;
}

static int one_byte(void *self, void *buf, size_t len, size_t *out_n)
{
    int *left = self;
    *out_n = len > 0 && *left > 0 ? 1 : 0;
    if (*out_n != 0) {
        *(uint8_t *)buf = 'x';
        --*left;
    }
    return *left == 1 ? EIO : 0;
}

static int take_half(void *self, const void *data, size_t len, size_t *out_n)
{
    (void)self;
    (void)data;
    *out_n = (len + 1) / 2;
    return len > 100 ? EPIPE : 0;
}

static void live_streams(struct cis_host_stream *std)
{
    char path[96];
    int pair[2];
    require(pipe2(pair, O_CLOEXEC) == 0);
    require(write(pair[1], "input", 5) == 5);
    close(pair[1]);
    std[0] = (struct cis_host_stream){.kind = CIS_STREAM_FD, .fd = keep(pair[0])};
    snprintf(path, sizeof path, "%s/stdout", place);
    std[1] = (struct cis_host_stream){
        .kind = CIS_STREAM_FD,
        .fd = keep(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600))};
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    keep(pair[1]);
    std[2] = (struct cis_host_stream){.kind = CIS_STREAM_FD, .fd = keep(pair[0])};
}

static void listens(struct cis_wasi_env *world)
{
    static int listener;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t len = sizeof at;
    listener = keep(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    require(bind(listener, (struct sockaddr *)&at, sizeof(sa_family_t)) ==
            0); /* a name of its own */
    require(listen(listener, 4) == 0);
    require(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
    int client = keep(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    require(connect(client, (struct sockaddr *)&at, len) == 0);
    require(write(client, "hello", 5) == 5);
    world->listeners = &listener;
    world->nlisteners = 1;
}

static void world_begin(struct cis_wasi_env *world, uint64_t kind)
{
    static int left;
    struct cis_host_stream *std = world->std;
    world->dirs = dirs;
    world->ndirs = 2;
    world->files_max = 24;
    switch (kind & WORLD_STREAMS) {
    case 1:
        live_streams(std);
        break;
    case 2:
        std[0] = (struct cis_host_stream){.kind = CIS_STREAM_BYTES, .bytes = host.input};
        std[1] = (struct cis_host_stream){.kind = CIS_STREAM_KEEP, .kept = CIS_BUF_INIT(64)};
        std[2] = (struct cis_host_stream){.kind = CIS_STREAM_NULL};
        break;
    case 3:
        left = 5;
        std[0] = (struct cis_host_stream){.kind = CIS_STREAM_CALL, .read = one_byte, .self = &left};
        std[1] = (struct cis_host_stream){.kind = CIS_STREAM_CALL, .write = take_half};
        std[2] = (struct cis_host_stream){.kind = CIS_STREAM_CLOSED};
        break;
    default:
        break;
    }
    if ((kind & WORLD_LISTENS) != 0) {
        listens(world);
    }
    fast = vfs->ops;
    if ((kind & WORLD_WAITS) != 0) {
        slow = *fast;
        slow.open = slow_open;
        slow.read = slow_read;
        vfs->ops = &slow;
    }
}

static void world_end(struct cis_wasi_env *world)
{
    vfs->ops = fast;
    if (world->std[1].kind == CIS_STREAM_KEEP) {
        cis_buf_done(&world->std[1].kept);
    }
    while (nfds > 0) {
        close(fds[--nfds]);
    }
}

/* ---- the guest ---- */
static void memory_fill(uint8_t *memory)
{
    static const char *const names[] = {"a",  "c",   "l",    "a/b",   "l/b",  "out", "..",
                                        "/c", "new", "a/..", "../in", "none", ".",   "a/"};
    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++) {
        memcpy(memory + NAMES + 16 * i, names[i], strlen(names[i]));
    }
    static const uint32_t arrays[8][2] = {{BUFFER, 16},        {BUFFER + 64, 200}, {BUFFER, 0},
                                          {BUFFER, 4000},      {ARRAYS, 32},       {MEMORY - 4, 8},
                                          {NAMES, UINT32_MAX}, {BUFFER + 1, 1}};
    for (uint32_t i = 0; i < 8; i++) {
        cis_put_le32(memory + ARRAYS + 8 * i, arrays[i][0]);
        cis_put_le32(memory + ARRAYS + 8 * i + 4, arrays[i][1]);
    }
}

struct input {
    const uint8_t *at;
    size_t left;
};

static uint64_t take(struct input *in, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n && in->left > 0; i++, in->at++, in->left--) {
        value |= (uint64_t)*in->at << (8 * i);
    }
    return value;
}

static uint64_t take_argument(struct input *in, char type)
{
    uint64_t c = take(in, 1);
    if (type == 'I') {
        return c < 128 ? c : take(in, 8);
    }
    return c < 64    ? c
           : c < 96  ? NAMES + 16 * (c - 64)
           : c < 112 ? BUFFER + 64 * (c - 96)
           : c < 120 ? ARRAYS + 8 * (c - 112)
                     : take(in, 4);
}

static void put_bytes(struct input *in, cis_engine_instance *guest)
{
    uint64_t at = take(in, 2), n = take(in, 1);
    for (; n > 0 && in->left > 0; n--, at++) {
        guest->memory[at % MEMORY] = (uint8_t)take(in, 1);
    }
}

/* False: the run is over. */
static bool call_one(struct input *in, cis_engine_instance *guest)
{
    static const struct cis_hostfn_table *const tables[] = {&cis_wasi_p1_table,
                                                            &cis_wasi_unstable_table};
    uint64_t op = take(in, 1);
    if ((op & 127) == 127) {
        put_bytes(in, guest);
        return true;
    }
    const struct cis_hostfn_table *table = tables[op >> 7];
    const struct cis_hostfn *row = &table->rows[(op & 127) % table->nrows];
    union cis_slot io[9] = {0};
    for (size_t i = 0; row->type[i] != ':'; i++) {
        io[i].u64 = take_argument(in, row->type[i]);
    }
    struct cis_error error = {0};
    cis_code code = row->handler(guest, io, &error);
    require(code == CIS_OK || code == CIS_E_FAILED || code == CIS_E_DEADLINE ||
            code == CIS_E_BUDGET);
    require(code != CIS_OK || row->type[strlen(row->type) - 1] == ':' ||
            (io[0].i32 >= 0 && io[0].i32 <= 76));
    return code == CIS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (store == NULL) {
        files_begin();
    }
    cis_engine_instance guest;
    struct input in = {data, size};
    host = (struct cis_host){.budget = {.limit = 256u << 10},
                             .input = cis_bytes_of("some input\n", 11),
                             .output = CIS_BUF_INIT(4096),
                             .errors = CIS_BUF_INIT(CIS_LOG_LINE_MAX),
                             .log = CIS_BUF_INIT(65536),
                             .log_lines_max = 100};
    world_begin(&host.wasi_env, take(&in, 1));
    fake_guest_init(&guest, &host, MEMORY);
    guest.stop.deadline_ns = cis_clock_mono_ns() + 5 * CIS_NS_PER_MS;
    memory_fill(guest.memory);
    for (int i = 0; i < CALLS_MAX && in.left > 0 && call_one(&in, &guest); i++) {
    }
    cis_wasi_p1_end(&host);
    cis_budget_release(&host.budget, (uint64_t)host.output.len + host.log.len);
    if (host.wasi_env.std[1].kind == CIS_STREAM_KEEP) {
        cis_budget_release(&host.budget, host.wasi_env.std[1].kept.len);
    }
    require(host.budget.used == 0);
    world_end(&host.wasi_env);
    outside_is_whole();
    cis_layered_discard(vfs);
    fake_guest_done(&guest);
    cis_buf_done(&host.output);
    cis_buf_done(&host.errors);
    cis_buf_done(&host.log);
    return 0;
}
