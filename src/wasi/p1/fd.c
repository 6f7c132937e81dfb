/* Descriptors: the three standard streams. None is a terminal, a file or a directory: each has the
 * errno that Linux gives for a pipe. */
#include "wasi/p1/internal.h"

#define CLOSED 0xFFu

enum cis_wasi_stream cis_wasi_fd(const struct cis_host *host, uint32_t fd)
{
    if (fd > 2 || host->stdio[fd].stream == CLOSED) {
        return CIS_WASI_NONE;
    }
    uint8_t stream = host->stdio[fd].stream; /* 0: the one of this number */
    return stream == 0 ? (enum cis_wasi_stream)fd : (enum cis_wasi_stream)(stream - 1);
}

/* A function that a pipe answers with one errno, whatever else it is given. */
#define ON_STREAM(name, error)                                                                     \
    cis_code cis_wasi_##name(cis_guest *guest, union cis_slot *io, struct cis_error *err)          \
    {                                                                                              \
        (void)err;                                                                                 \
        bool open = cis_wasi_fd(cis_host_of(guest), io[0].u32) != CIS_WASI_NONE;                   \
        return cis_wasi_answer(io, open ? (error) : CIS_WASI_BADF);                                \
    }

ON_STREAM(fd_allocate, CIS_WASI_SPIPE)
ON_STREAM(fd_datasync, CIS_WASI_INVAL)
ON_STREAM(fd_sync, CIS_WASI_INVAL)
ON_STREAM(fd_filestat_set_size, CIS_WASI_INVAL)
ON_STREAM(fd_filestat_set_times, CIS_WASI_NOTSUP)
ON_STREAM(fd_pread, CIS_WASI_SPIPE)
ON_STREAM(fd_pwrite, CIS_WASI_SPIPE)
ON_STREAM(fd_readdir, CIS_WASI_NOTDIR)
ON_STREAM(fd_tell, CIS_WASI_SPIPE)
/* What is asked for descriptors from 3 on until EBADF says that there are no more. */
ON_STREAM(fd_prestat_get, CIS_WASI_BADF)
ON_STREAM(fd_prestat_dir_name, CIS_WASI_BADF)

cis_code cis_wasi_fd_advise(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    if (cis_wasi_fd(cis_host_of(guest), io[0].u32) == CIS_WASI_NONE) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    return cis_wasi_answer(io, io[3].u32 > 5 ? CIS_WASI_INVAL : CIS_WASI_SPIPE);
}

static cis_code seek(cis_guest *guest, union cis_slot *io)
{
    if (cis_wasi_fd(cis_host_of(guest), io[0].u32) == CIS_WASI_NONE) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    /* Three origins in both modules, in another order; on a pipe the order makes no difference. */
    return cis_wasi_answer(io, io[2].u32 > 2 ? CIS_WASI_INVAL : CIS_WASI_SPIPE);
}

cis_code cis_wasi_fd_seek(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    return seek(guest, io);
}

cis_code cis_wasi_fd_seek_old(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    return seek(guest, io);
}

cis_code cis_wasi_fd_close(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    struct cis_host *host = cis_host_of(guest);
    if (cis_wasi_fd(host, io[0].u32) == CIS_WASI_NONE) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    host->stdio[io[0].u32] = (struct cis_host_stdio){.stream = CLOSED};
    return cis_wasi_answer(io, CIS_WASI_OK);
}

cis_code cis_wasi_fd_renumber(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    struct cis_host *host = cis_host_of(guest);
    uint32_t from = io[0].u32, to = io[1].u32;
    enum cis_wasi_stream stream = cis_wasi_fd(host, from);
    /* The target must be open too: a guest cannot choose the numbers of new descriptors. */
    if (stream == CIS_WASI_NONE || cis_wasi_fd(host, to) == CIS_WASI_NONE) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    if (from != to) {
        host->stdio[to] = host->stdio[from];
        host->stdio[to].stream = (uint8_t)(stream + 1);
        host->stdio[from] = (struct cis_host_stdio){.stream = CLOSED};
    }
    return cis_wasi_answer(io, CIS_WASI_OK);
}

static uint64_t rights_of(const struct cis_host *host, uint32_t fd)
{
    uint64_t rights = CIS_WASI_RIGHT_SET_FLAGS | CIS_WASI_RIGHT_FILESTAT_GET | CIS_WASI_RIGHT_POLL;
    rights |= cis_wasi_fd(host, fd) == CIS_WASI_STDIN ? CIS_WASI_RIGHT_READ : CIS_WASI_RIGHT_WRITE;
    return rights & ~host->stdio[fd].rights_dropped;
}

cis_code cis_wasi_fd_fdstat_get(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    struct cis_host *host = cis_host_of(guest);
    uint32_t fd = io[0].u32;
    if (cis_wasi_fd(host, fd) == CIS_WASI_NONE) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    uint8_t *out = cis_guest_out(guest, io[1].u32, sizeof(struct cis_wasi_fdstat));
    if (out == NULL) {
        return cis_wasi_answer(io, CIS_WASI_FAULT);
    }
    memset(out, 0, sizeof(struct cis_wasi_fdstat)); /* filetype 0: unknown, so no terminal */
    cis_put_le16(out + offsetof(struct cis_wasi_fdstat, flags), host->stdio[fd].flags);
    cis_put_le64(out + offsetof(struct cis_wasi_fdstat, rights_base), rights_of(host, fd));
    return cis_wasi_answer(io, CIS_WASI_OK);
}

cis_code cis_wasi_fd_fdstat_set_flags(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    struct cis_host *host = cis_host_of(guest);
    uint32_t fd = io[0].u32, flags = io[1].u32;
    if (cis_wasi_fd(host, fd) == CIS_WASI_NONE) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    if (flags > 31) {
        return cis_wasi_answer(io, CIS_WASI_INVAL);
    }
    if ((flags & (CIS_WASI_FDFLAG_DSYNC | CIS_WASI_FDFLAG_RSYNC | CIS_WASI_FDFLAG_SYNC)) != 0) {
        return cis_wasi_answer(io, CIS_WASI_NOTSUP);
    }
    host->stdio[fd].flags = (uint8_t)flags;
    return cis_wasi_answer(io, CIS_WASI_OK);
}

cis_code cis_wasi_fd_fdstat_set_rights(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    struct cis_host *host = cis_host_of(guest);
    uint32_t fd = io[0].u32;
    uint64_t base = io[1].u64, inheriting = io[2].u64;
    if (cis_wasi_fd(host, fd) == CIS_WASI_NONE) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    uint64_t have = rights_of(host, fd);
    if ((base & ~have) != 0 || inheriting != 0) { /* rights are only ever dropped */
        return cis_wasi_answer(io, CIS_WASI_NOTCAPABLE);
    }
    host->stdio[fd].rights_dropped |= have & ~base;
    return cis_wasi_answer(io, CIS_WASI_OK);
}

/* A pipe has no attributes that a guest should know. */
static cis_code filestat(cis_guest *guest, union cis_slot *io, size_t size)
{
    if (cis_wasi_fd(cis_host_of(guest), io[0].u32) == CIS_WASI_NONE) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    void *out = cis_guest_out(guest, io[1].u32, size);
    if (out == NULL) {
        return cis_wasi_answer(io, CIS_WASI_FAULT);
    }
    memset(out, 0, size);
    return cis_wasi_answer(io, CIS_WASI_OK);
}

cis_code cis_wasi_fd_filestat_get(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    return filestat(guest, io, sizeof(struct cis_wasi_filestat));
}

cis_code cis_wasi_fd_filestat_get_old(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    return filestat(guest, io, sizeof(struct cis_wasi_filestat_old));
}
