/* Reading and writing: the buffers of a guest, and the descriptors that are no files (standard
 * streams and sockets). Buffers are checked as a whole before anything is moved: a call that finds
 * one outside the memory transfers nothing. */
#include <fcntl.h>
#include "wasi/p1/internal.h"

enum cis_wasi_errno cis_wasi_buffers(cis_engine_instance *instance, uint32_t at, uint32_t n,
                                     bool out, struct iovec *iov, int *out_n, uint32_t *out_total)
{
    if (n > CIS_WASI_IOVS_MAX) {
        return CIS_WASI_INVAL;
    }
    const uint8_t *list =
        cis_engine_instance_at(instance, at, (uint64_t)n * sizeof(struct cis_wasi_iovec));
    if (list == NULL) {
        return CIS_WASI_FAULT;
    }
    uint64_t total = 0;
    int used = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *one = list + i * sizeof(struct cis_wasi_iovec);
        uint32_t buf = cis_le32(one);
        uint32_t len = cis_le32(one + offsetof(struct cis_wasi_iovec, len));
        if (len == 0) {
            continue;
        }
        const void *from = out ? cis_engine_instance_out(instance, buf, len)
                               : cis_engine_instance_at(instance, buf, len);
        if (from == NULL) {
            return CIS_WASI_FAULT;
        }
        iov[used++] = (struct iovec){(void *)(uintptr_t)from, len};
        total += len;
    }
    if (total > UINT32_MAX) { /* the result would not fit */
        return CIS_WASI_INVAL;
    }
    *out_n = used;
    *out_total = (uint32_t)total;
    return CIS_WASI_OK;
}

/* What stdout and stderr took is shown again when the run is played. */
static cis_code write_recorded(cis_engine_instance *instance, struct cis_host_stream *stream,
                               struct cis_stream_move *move, struct cis_error *err)
{
    struct cis_host *host = cis_host_of(instance);
    struct iovec was[CIS_WASI_IOVS_MAX];
    int n = move->niov;
    memcpy(was, move->iov, (size_t)n * sizeof *was); /* a move uses its buffers up */
    CIS_TRY(cis_host_stream_write(host, instance, stream, move, err));
    size_t left = move->n;
    for (int i = 0; i < n && left != 0; i++) {
        size_t len = was[i].iov_len < left ? was[i].iov_len : left;
        cis_engine_instance_shown(instance, (unsigned)(stream - host->wasi_env.std),
                                  was[i].iov_base, len);
        left -= len;
    }
    return CIS_OK;
}

cis_code cis_wasi_stream_move(cis_engine_instance *instance, struct cis_wasi_fd *f, bool write,
                              struct cis_stream_move *move, struct cis_error *err)
{
    struct cis_host *host = cis_host_of(instance);
    struct cis_host_stream socket = {.kind = CIS_STREAM_FD, .fd = f->sock, .manner = f->manner};
    struct cis_host_stream *stream =
        f->kind == CIS_WASI_STREAM ? &host->wasi_env.std[f->stream] : &socket;
    move->nowait = (f->flags & CIS_WASI_FDFLAG_NONBLOCK) != 0;
    move->append = (f->flags & CIS_WASI_FDFLAG_APPEND) != 0;
    if (!write) {
        CIS_TRY(cis_host_stream_read(host, instance, stream, move, err));
        f->manner = socket.manner;
        if (move->error == 0) {
            cis_engine_instance_wrote(instance, move->n);
        }
        return CIS_OK;
    }
    bool goes_out = f->kind == CIS_WASI_STREAM && f->stream != 0 &&
                    stream->kind != CIS_STREAM_SKILL && stream->kind != CIS_STREAM_NULL;
    return goes_out && cis_engine_instance_recorded(instance)
               ? write_recorded(instance, stream, move, err)
               : cis_host_stream_write(host, instance, stream, move, err);
}

static cis_code transfer(cis_engine_instance *instance, union cis_slot *io, bool write,
                         struct cis_error *err)
{
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    if (f == NULL) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    if (f->kind == CIS_WASI_DIR || f->kind == CIS_WASI_FILE) {
        return write ? cis_wasi_file_write(instance, f, io, err)
                     : cis_wasi_file_read(instance, f, io, err);
    }
    if (!cis_wasi_may(f, write ? CIS_WASI_RIGHT_WRITE : CIS_WASI_RIGHT_READ)) {
        return cis_wasi_answer(io, CIS_WASI_NOTCAPABLE);
    }
    struct iovec iov[CIS_WASI_IOVS_MAX];
    struct cis_stream_move move = {.iov = iov, .offset = CIS_STREAM_HERE};
    uint32_t total, out = io[3].u32;
    enum cis_wasi_errno error =
        cis_wasi_buffers(instance, io[1].u32, io[2].u32, !write, iov, &move.niov, &total);
    if (error == CIS_WASI_OK && !cis_engine_instance_holds(instance, out, 4)) {
        error = CIS_WASI_FAULT;
    }
    if (error != CIS_WASI_OK) {
        return cis_wasi_answer(io, error);
    }
    CIS_TRY(cis_engine_instance_burn(instance, write ? total / CIS_WASI_BYTES_A_FUEL : 0, err));
    CIS_TRY(cis_wasi_stream_move(instance, f, write, &move, err));
    CIS_TRY(cis_engine_instance_burn(instance, write ? 0 : move.n / CIS_WASI_BYTES_A_FUEL, err));
    if (move.error == 0) {
        cis_wasi_put32(instance, out, (uint32_t)move.n);
    }
    return cis_wasi_answer(io, cis_wasi_errno_of(move.error));
}

cis_code cis_wasi_fd_write(cis_engine_instance *instance, union cis_slot *io, struct cis_error *err)
{
    return transfer(instance, io, true, err);
}

cis_code cis_wasi_fd_read(cis_engine_instance *instance, union cis_slot *io, struct cis_error *err)
{
    return transfer(instance, io, false, err);
}

uint8_t cis_wasi_mode_type(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return CIS_WASI_FILETYPE_REGULAR_FILE;
    case S_IFDIR:
        return CIS_WASI_FILETYPE_DIRECTORY;
    case S_IFLNK:
        return CIS_WASI_FILETYPE_SYMBOLIC_LINK;
    case S_IFBLK:
        return CIS_WASI_FILETYPE_BLOCK_DEVICE;
    case S_IFCHR:
        return CIS_WASI_FILETYPE_CHARACTER_DEVICE;
    case S_IFSOCK:
        return CIS_WASI_FILETYPE_SOCKET_STREAM;
    default:
        return CIS_WASI_FILETYPE_UNKNOWN;
    }
}

uint8_t cis_wasi_stream_type(const struct cis_host *host, const struct cis_wasi_fd *f)
{
    struct cis_host_stream socket = {.kind = CIS_STREAM_FD, .fd = f->sock};
    const struct cis_host_stream *stream =
        f->kind == CIS_WASI_STREAM ? &host->wasi_env.std[f->stream] : &socket;
    struct stat st;
    cis_host_stream_stat(host, stream, &st);
    if (S_ISSOCK(st.st_mode)) {
        return cis_host_stream_datagrams(stream) ? CIS_WASI_FILETYPE_SOCKET_DGRAM
                                                 : CIS_WASI_FILETYPE_SOCKET_STREAM;
    }
    /* A C library takes each character device for a terminal. */
    return S_ISCHR(st.st_mode) && !stream->terminal ? CIS_WASI_FILETYPE_UNKNOWN
                                                    : cis_wasi_mode_type(st.st_mode);
}

uint64_t cis_wasi_stream_rights(const struct cis_host *host, const struct cis_host_stream *stream)
{
    struct stat st;
    int mode = cis_host_stream_mode(host, stream);
    cis_host_stream_stat(host, stream, &st);
    uint64_t rights = CIS_WASI_RIGHT_SET_FLAGS | CIS_WASI_RIGHT_FILESTAT_GET | CIS_WASI_RIGHT_POLL;
    if (S_ISREG(st.st_mode)) {
        rights = CIS_WASI_RIGHTS_FILE & ~(CIS_WASI_RIGHT_READ | CIS_WASI_RIGHT_WRITE);
    } else if (S_ISSOCK(st.st_mode)) {
        rights |= CIS_WASI_RIGHT_SHUTDOWN | CIS_WASI_RIGHT_ACCEPT;
    }
    if (mode < 0 || (mode & O_ACCMODE) == O_RDONLY) { /* who may only read changes nothing of it */
        rights &= ~(CIS_WASI_RIGHT_SET_TIMES | CIS_WASI_RIGHT_SET_SIZE | CIS_WASI_RIGHT_ALLOCATE);
    } else if ((mode & O_APPEND) != 0) { /* what is there stays */
        rights &= ~(CIS_WASI_RIGHT_SET_SIZE | CIS_WASI_RIGHT_ALLOCATE);
    }
    if (mode >= 0) {
        rights |= (mode & O_ACCMODE) != O_WRONLY ? CIS_WASI_RIGHT_READ : 0;
        rights |= (mode & O_ACCMODE) != O_RDONLY ? CIS_WASI_RIGHT_WRITE : 0;
    }
    return rights;
}
