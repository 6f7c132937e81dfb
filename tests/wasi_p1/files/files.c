#include "wasi_p1/files/files.h"

#include "base/mem.h"
#include "vfs/backend_layered.h"

struct files_fixture fx_files;

static const struct cis_hostfn_table *const tables[] = {&cis_wasi_p1_table,
                                                        &cis_wasi_unstable_table};
static bool called[2][64];
static uint32_t text_at;

/* ---- the world ---- */
static void world_begin(uint32_t files_max, uint64_t budget)
{
    static const char *const names[] = {"/w", "/r"};
    FX.host = (struct cis_host){.budget = {.limit = budget != 0 ? budget : 64u << 20},
                                .output = CIS_BUF_INIT(1u << 20),
                                .errors = CIS_BUF_INIT(CIS_LOG_LINE_MAX),
                                .log = CIS_BUF_INIT(1u << 20),
                                .log_lines_max = 1000};
    struct cis_vfs_call call = {0};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cis_dir_root(FX.ns, &call, cis_str_of(names[i]), &FX.dirs[i]), 0);
        FX.world_dirs[i] = (struct cis_wasi_env_dir){cis_str_of(names[i]), FX.dirs[i]};
    }
    FX.host.wasi_env.dirs = FX.world_dirs;
    FX.host.wasi_env.ndirs = 2;
    FX.host.wasi_env.files_max = files_max;
    FX.host.wasi_env.uid = geteuid();
    FX.host.wasi_env.gid = getegid();
    guest_begin(&FX.host);
    assert_ok(cis_wasi_p1_start(&FX.host, err));
    FX.at_start = FX.host.budget.used;
    text_at = TEXT;
}

static void world_end(void)
{
    cis_wasi_p1_end(&FX.host);
    guest_end();
    for (int i = 0; i < 2; i++) {
        cis_dir_free(FX.dirs[i]);
    }
    cis_buf_done(&FX.host.output);
    cis_buf_done(&FX.host.errors);
    cis_buf_done(&FX.host.log);
}

int files_setup(void **state)
{
    (void)state;
    FX.place = FX.backend->begin();
    FX.vfs = FX.backend->open(FX.place, false);
    FX.old = 0;
    assert_ok(cis_ns_new(&FX.ns, err));
    assert_ok(cis_ns_mount(FX.ns, CIS_STR("/w"), FX.vfs, 0, false, err));
    assert_ok(cis_ns_mount(FX.ns, CIS_STR("/r"), FX.vfs, 0, true, err));
    world_begin(0, 0);
    return 0;
}

int files_teardown(void **state)
{
    (void)state;
    world_end();
    cis_ns_free(FX.ns);
    cis_vfs_close(FX.vfs);
    FX.backend->end(FX.place);
    return 0;
}

void files_again(uint32_t files_max, uint64_t budget)
{
    world_end();
    world_begin(files_max, budget);
}

/* ---- calls ---- */
const struct cis_hostfn *row_of(const char *name)
{
    for (size_t i = 0; i < tables[FX.old]->nrows; i++) {
        if (strcmp(tables[FX.old]->rows[i].name, name) == 0) {
            called[FX.old][i] = true;
            return &tables[FX.old]->rows[i];
        }
    }
    fail_msg("no row %s", name);
    return NULL;
}

int call_row(const char *name, const uint64_t *args, size_t n)
{
    union cis_slot io[9] = {0};
    for (size_t i = 0; i < n; i++) {
        io[i].u64 = args[i];
    }
    const struct cis_hostfn *row = row_of(name);
    assert_int_equal(n, strcspn(row->type, ":"));
    text_at = TEXT;
    assert_ok(guest_call(row, io, err));
    return io[0].i32;
}

void assert_all_called(void)
{
    for (int t = 0; t < 2; t++) {
        for (size_t i = 0; i < tables[t]->nrows; i++) {
            const char *name = tables[t]->rows[i].name;
            if ((strncmp(name, "fd_", 3) == 0 || strncmp(name, "path_", 5) == 0) && !called[t][i]) {
                fail_msg("%s.%s has no test", tables[t]->abi, name);
            }
        }
    }
}

const char *errno_name(int number)
{
    static const char *const names[] = {
        "SUCCESS",     "2BIG",           "ACCES",       "ADDRINUSE",   "ADDRNOTAVAIL",
        "AFNOSUPPORT", "AGAIN",          "ALREADY",     "BADF",        "BADMSG",
        "BUSY",        "CANCELED",       "CHILD",       "CONNABORTED", "CONNREFUSED",
        "CONNRESET",   "DEADLK",         "DESTADDRREQ", "DOM",         "DQUOT",
        "EXIST",       "FAULT",          "FBIG",        "HOSTUNREACH", "IDRM",
        "ILSEQ",       "INPROGRESS",     "INTR",        "INVAL",       "IO",
        "ISCONN",      "ISDIR",          "LOOP",        "MFILE",       "MLINK",
        "MSGSIZE",     "MULTIHOP",       "NAMETOOLONG", "NETDOWN",     "NETRESET",
        "NETUNREACH",  "NFILE",          "NOBUFS",      "NODEV",       "NOENT",
        "NOEXEC",      "NOLCK",          "NOLINK",      "NOMEM",       "NOMSG",
        "NOPROTOOPT",  "NOSPC",          "NOSYS",       "NOTCONN",     "NOTDIR",
        "NOTEMPTY",    "NOTRECOVERABLE", "NOTSOCK",     "NOTSUP",      "NOTTY",
        "NXIO",        "OVERFLOW",       "OWNERDEAD",   "PERM",        "PIPE",
        "PROTO",       "PROTONOSUPPORT", "PROTOTYPE",   "RANGE",       "ROFS",
        "SPIPE",       "SRCH",           "STALE",       "TIMEDOUT",    "TXTBSY",
        "XDEV",        "NOTCAPABLE"};
    _Static_assert(sizeof names / sizeof *names == CIS_WASI_NOTCAPABLE + 1, "all of them");
    return number >= 0 && number <= CIS_WASI_NOTCAPABLE ? names[number] : "no errno at all";
}

/* ---- guest memory ---- */
uint8_t *mem(uint32_t at, uint32_t len)
{
    uint8_t *p = cis_engine_instance_out(guest_now(), at, len);
    assert_non_null(p);
    return p;
}

uint32_t get32(uint32_t at)
{
    return cis_le32(mem(at, 4));
}

uint64_t get64(uint32_t at)
{
    return cis_le64(mem(at, 8));
}

void put_iov(uint32_t i, uint32_t buf, uint32_t len)
{
    cis_put_le32(mem(IOVS + 8 * i, 8), buf);
    cis_put_le32(mem(IOVS + 8 * i + 4, 4), len);
}

uint32_t put_text(const char *text, size_t len)
{
    uint32_t at = text_at;
    memcpy(mem(at, (uint32_t)len), text, len);
    text_at += (uint32_t)len;
    return at;
}

/* ---- what tests do all the time ---- */
int w_open(uint32_t dir, const char *path, uint32_t oflags, uint64_t rights, uint32_t fdflags,
           uint32_t *out_fd)
{
    int error = CALL("path_open", dir, CIS_WASI_LOOKUP_FOLLOW, S(path), oflags, rights, rights,
                     fdflags, OUT);
    *out_fd = error == CIS_WASI_OK ? get32(OUT) : UINT32_MAX;
    return error;
}

uint32_t opened(uint32_t dir, const char *path, uint32_t oflags, uint64_t rights, uint32_t fdflags)
{
    uint32_t fd;
    int error = w_open(dir, path, oflags, rights, fdflags, &fd);
    if (error != CIS_WASI_OK) {
        fail_msg("open %s: %s", path, errno_name(error));
    }
    return fd;
}

int w_write(uint32_t fd, const char *text)
{
    put_iov(0, put_text(text, strlen(text)), (uint32_t)strlen(text));
    int error = CALL("fd_write", fd, IOVS, 1, OUT);
    if (error == CIS_WASI_OK) {
        assert_int_equal(get32(OUT), strlen(text));
    }
    return error;
}

int w_pwrite(uint32_t fd, const char *text, uint64_t offset)
{
    put_iov(0, put_text(text, strlen(text)), (uint32_t)strlen(text));
    int error = CALL("fd_pwrite", fd, IOVS, 1, offset, OUT);
    if (error == CIS_WASI_OK) {
        assert_int_equal(get32(OUT), strlen(text));
    }
    return error;
}

void w_file(const char *path, const char *text)
{
    uint32_t fd = opened(W, path, CREAT | TRUNC, WRITE, 0);
    assert_errno_(CIS_WASI_OK, w_write(fd, text));
    w_close(fd);
}

void w_dir(const char *path)
{
    assert_errno(OK, "path_create_directory", W, S(path));
}

void w_link(const char *target, const char *path)
{
    if (target[0] == '/') { /* no guest can make such a link; others can */
        const struct cis_vfs_make what = {.mode = S_IFLNK | 0777, .target = cis_str_of(target)};
        struct cis_vfs_call call = {.uid = geteuid(), .gid = getegid()};
        assert_int_equal(cis_at_make(FX.dirs[0], &call, cis_str_of(path), 0, &what), 0);
        return;
    }
    assert_errno(OK, "path_symlink", S(target), W, S(path));
}

void w_close(uint32_t fd)
{
    assert_errno(OK, "fd_close", fd);
}

uint32_t w_read(uint32_t fd, uint32_t len)
{
    put_iov(0, BUF, len);
    assert_errno(OK, "fd_read", fd, IOVS, 1, OUT);
    return get32(OUT);
}

void assert_read(uint32_t fd, const char *text)
{
    uint32_t len = (uint32_t)strlen(text);
    assert_int_equal(w_read(fd, len + 1), len);
    assert_memory_equal(mem(BUF, len), text, len);
}

void assert_file(const char *path, const char *text)
{
    uint32_t fd = opened(W, path, 0, READ, 0);
    assert_read(fd, text);
    w_close(fd);
}

static void take_stat(struct w_stat *out)
{
    bool narrow = FX.old;
    uint32_t at = OUT + (narrow ? 24 : 32);
    *out = (struct w_stat){.dev = get64(OUT),
                           .ino = get64(OUT + 8),
                           .type = *mem(OUT + 16, 1),
                           .nlink = narrow ? get32(OUT + 20) : get64(OUT + 24),
                           .size = get64(at),
                           .atim = get64(at + 8),
                           .mtim = get64(at + 16),
                           .ctim = get64(at + 24)};
}

int w_stat(uint32_t dir, const char *path, bool follow, struct w_stat *out)
{
    int error = CALL("path_filestat_get", dir, follow, S(path), OUT);
    if (error == CIS_WASI_OK) {
        take_stat(out);
    }
    return error;
}

void w_fstat(uint32_t fd, struct w_stat *out)
{
    assert_errno(OK, "fd_filestat_get", fd, OUT);
    take_stat(out);
}
