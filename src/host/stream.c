/* The kinds of streams. Live descriptors are moved by stream_fd.c. */
#include "host/stream_in.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/clock.h"

#define STEP ((size_t)64 * 1024) /* log bytes between two looks at the deadline */

static size_t number_of(const struct cis_host *host, const struct cis_host_stream *s)
{
    return (size_t)(s - host->wasi_env.std); /* only asked of streams that are one of them */
}

int cis_host_stream_mode(const struct cis_host *host, const struct cis_host_stream *s)
{
    switch (s->kind) {
    case CIS_STREAM_SKILL:
        return number_of(host, s) == 0 ? O_RDONLY : O_WRONLY;
    case CIS_STREAM_NULL:
        return O_RDWR;
    case CIS_STREAM_BYTES:
        return O_RDONLY;
    case CIS_STREAM_KEEP:
        return O_WRONLY;
    case CIS_STREAM_FD: {
        int flags = fcntl(s->fd, F_GETFL);
        return flags < 0 ? -1 : flags & (O_ACCMODE | O_APPEND);
    }
    case CIS_STREAM_CALL:
        return s->read != NULL && s->write != NULL ? O_RDWR
               : s->read != NULL                   ? O_RDONLY
               : s->write != NULL                  ? O_WRONLY
                                                   : -1;
    case CIS_STREAM_CLOSED:
        break;
    }
    return -1;
}

static bool opens(const struct cis_host *host, const struct cis_host_stream *s, bool write)
{
    if (s->kind == CIS_STREAM_FD) {
        return true; /* the kernel knows, and is asked anyway */
    }
    int mode = cis_host_stream_mode(host, s);
    return mode >= 0 && (mode == O_RDWR || (mode == O_WRONLY) == write);
}

/* ---- reading ---- */

static void give(struct cis_stream_move *m, struct cis_bytes from, size_t *pos)
{
    for (int i = 0; i < m->niov && *pos < from.len; i++) {
        size_t rest = from.len - *pos;
        size_t n = m->iov[i].iov_len < rest ? m->iov[i].iov_len : rest;
        if (n != 0) {
            memcpy(m->iov[i].iov_base, from.ptr + *pos, n);
        }
        *pos += n;
        m->n += n;
    }
}

/* The slot of a guest is given back around an embedder's function; its time is looked at after. */
static cis_code called(const struct cis_host *host, cis_engine_instance *instance,
                       struct cis_host_stream *s, bool write, const struct iovec *iov,
                       struct cis_stream_move *m, struct cis_error *err)
{
    size_t n = 0;
    cis_host_block(instance);
    int error = write ? s->write(s->self, iov->iov_base, iov->iov_len, &n)
                      : s->read(s->self, iov->iov_base, iov->iov_len, &n);
    CIS_TRY(cis_host_unblock(instance, err));
    CIS_TRY(cis_host_alive(host, err));
    if (error == 0 && n > iov->iov_len) {
        error = EIO; /* an embedder's fault, which shall not become ours */
    }
    m->error = error;
    m->n += error == 0 ? n : 0;
    return CIS_OK;
}

static cis_code read_call(struct cis_host *host, cis_engine_instance *instance,
                          struct cis_host_stream *s, struct cis_stream_move *m,
                          struct cis_error *err)
{
    for (int i = 0; i < m->niov; i++) {
        if (m->iov[i].iov_len != 0) { /* the next ones may have to wait: one is enough */
            return called(host, instance, s, false, &m->iov[i], m, err);
        }
    }
    return CIS_OK;
}

cis_code cis_host_stream_read(struct cis_host *host, cis_engine_instance *instance,
                              struct cis_host_stream *s, struct cis_stream_move *move,
                              struct cis_error *err)
{
    move->n = 0;
    move->error = opens(host, s, false) ? 0 : EBADF;
    if (move->error != 0) {
        return CIS_OK;
    }
    if (s->kind == CIS_STREAM_FD) {
        return cis_host_fd_read(host, instance, s, move, err);
    }
    if (move->offset != CIS_STREAM_HERE) {
        move->error = ESPIPE;
        return CIS_OK;
    }
    switch (s->kind) {
    case CIS_STREAM_SKILL:
        give(move, host->input, &host->input_pos);
        break;
    case CIS_STREAM_BYTES:
        give(move, s->bytes, &s->pos);
        break;
    case CIS_STREAM_CALL:
        return read_call(host, instance, s, move, err);
    case CIS_STREAM_NULL:
    case CIS_STREAM_CLOSED:
    case CIS_STREAM_KEEP:
    case CIS_STREAM_FD:
        break;
    }
    return CIS_OK;
}

/* ---- writing ---- */

static cis_code write_skill(struct cis_host *host, cis_engine_instance *instance, size_t number,
                            struct cis_bytes data, struct cis_error *err)
{
    if (number == 1 && !host->output_is_log) {
        return cis_host_output(host, instance, data, err);
    }
    while (data.len != 0) {
        size_t n = data.len < STEP ? data.len : STEP;
        cis_host_stderr(host, (struct cis_bytes){data.ptr, n});
        data = (struct cis_bytes){data.ptr + n, data.len - n};
        if (data.len != 0) {
            CIS_TRY(cis_stop_check(cis_host_stop(host), "stderr", err));
        }
    }
    return CIS_OK;
}

/* What does not fit (its own cap, the run's budget, memory) is dropped, and the run goes on. */
static void keep(struct cis_host *host, struct cis_host_stream *s, struct cis_bytes data)
{
    struct cis_buf *kept = &s->kept;
    size_t room = kept->failed == CIS_OK && kept->len < kept->max ? kept->max - kept->len : 0;
    size_t n = data.len < room ? data.len : room;
    if (n != 0 && cis_budget_charge(&host->budget, n, "output", NULL) == CIS_OK) {
        cis_buf_add(kept, data.ptr, n);
        if (kept->failed != CIS_OK) {
            kept->failed = CIS_OK; /* out of memory: what is there stays */
            cis_budget_release(&host->budget, n);
            n = 0;
        }
    } else {
        n = 0;
    }
    s->dropped += data.len - n;
}

static cis_code write_call(struct cis_host *host, cis_engine_instance *instance,
                           struct cis_host_stream *s, const struct iovec *iov,
                           struct cis_stream_move *m, struct cis_error *err)
{
    struct iovec rest = *iov;
    while (rest.iov_len != 0) {
        size_t before = m->n;
        CIS_TRY(called(host, instance, s, true, &rest, m, err));
        size_t n = m->n - before;
        if (n == 0) {
            m->error = m->error != 0 ? m->error : EIO; /* it would be asked for ever */
            break;
        }
        rest = (struct iovec){(char *)rest.iov_base + n, rest.iov_len - n};
    }
    if (m->n != 0) {
        m->error = 0; /* the next call meets it again */
    }
    return CIS_OK;
}

static cis_code write_one(struct cis_host *host, cis_engine_instance *instance,
                          struct cis_host_stream *s, const struct iovec *iov,
                          struct cis_stream_move *m, struct cis_error *err)
{
    struct cis_bytes data = cis_bytes_of(iov->iov_base, iov->iov_len);
    switch (s->kind) {
    case CIS_STREAM_SKILL:
        CIS_TRY(write_skill(host, instance, number_of(host, s), data, err));
        break;
    case CIS_STREAM_KEEP:
        keep(host, s, data);
        break;
    case CIS_STREAM_NULL:
        s->dropped += data.len;
        break;
    case CIS_STREAM_CALL:
        return write_call(host, instance, s, iov, m, err);
    case CIS_STREAM_CLOSED:
    case CIS_STREAM_BYTES:
    case CIS_STREAM_FD:
        break;
    }
    m->n += data.len;
    return CIS_OK;
}

cis_code cis_host_stream_write(struct cis_host *host, cis_engine_instance *instance,
                               struct cis_host_stream *s, struct cis_stream_move *move,
                               struct cis_error *err)
{
    move->n = 0;
    move->error = opens(host, s, true) ? 0 : EBADF;
    if (move->error != 0) {
        return CIS_OK;
    }
    if (s->kind == CIS_STREAM_FD) {
        return cis_host_fd_write(host, instance, s, move, err);
    }
    if (move->offset != CIS_STREAM_HERE) {
        move->error = ESPIPE;
        return CIS_OK;
    }
    for (int i = 0; i < move->niov; i++) {
        size_t before = move->n;
        if (move->iov[i].iov_len != 0) {
            CIS_TRY(write_one(host, instance, s, &move->iov[i], move, err));
        }
        if (move->n - before != move->iov[i].iov_len) {
            break;
        }
    }
    return CIS_OK;
}

/* ---- what a stream is ---- */

static bool same_file(const struct cis_host_stream *s, const struct stat *st)
{
    struct stat other;
    return s->kind == CIS_STREAM_FD && fstat(s->fd, &other) == 0 && other.st_dev == st->st_dev &&
           other.st_ino == st->st_ino;
}

void cis_host_stream_stat(const struct cis_host *host, const struct cis_host_stream *s,
                          struct stat *out)
{
    struct stat st;
    *out = (struct stat){0};
    if (s->kind != CIS_STREAM_FD || fstat(s->fd, &st) != 0) {
        return;
    }
    ino_t number = 0;
    while (number < 3 && !same_file(&host->wasi_env.std[number], &st)) {
        number++;
    }
    out->st_mode = st.st_mode & S_IFMT;
    out->st_ino = number + 1;
    if (S_ISREG(st.st_mode)) {
        out->st_nlink = 1;
        out->st_size = st.st_size;
        out->st_atim = st.st_atim;
        out->st_mtim = st.st_mtim;
        out->st_ctim = st.st_ctim;
    }
}

int cis_host_stream_seek(struct cis_host_stream *s, int64_t offset, int whence,
                         uint64_t *out_offset)
{
    if (s->kind != CIS_STREAM_FD) {
        return s->kind == CIS_STREAM_CLOSED ? EBADF : ESPIPE;
    }
    off_t at = lseek(s->fd, offset, whence);
    if (at < 0) {
        return errno;
    }
    *out_offset = (uint64_t)at;
    return 0;
}

cis_code cis_host_stream_sync(cis_engine_instance *instance, struct cis_host_stream *s,
                              bool data_only, int *out_error, struct cis_error *err)
{
    *out_error = s->kind == CIS_STREAM_CLOSED ? EBADF : EINVAL;
    if (s->kind != CIS_STREAM_FD) {
        return CIS_OK;
    }
    cis_host_block(instance);
    *out_error = (data_only ? fdatasync(s->fd) : fsync(s->fd)) == 0 ? 0 : errno;
    return cis_host_unblock(instance, err);
}

int cis_host_stream_times(struct cis_host_stream *s, const struct timespec times[2])
{
    if (s->kind != CIS_STREAM_FD) {
        return s->kind == CIS_STREAM_CLOSED ? EBADF : EINVAL;
    }
    int flags = fcntl(s->fd, F_GETFL); /* the kernel asks only whose file it is */
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) {
        return flags < 0 ? errno : EBADF;
    }
    return futimens(s->fd, times) == 0 ? 0 : errno;
}

int cis_host_stream_poll(const struct cis_host *host, const struct cis_host_stream *s, bool write,
                         struct cis_stream_ready *out)
{
    int mode = cis_host_stream_mode(host, s);
    *out = (struct cis_stream_ready){.nbytes = 0};
    if (mode < 0 || (mode & O_ACCMODE) == (write ? O_RDONLY : O_WRONLY)) {
        out->error = EBADF;
        return -1;
    }
    switch (s->kind) {
    case CIS_STREAM_FD:
        return s->fd;
    case CIS_STREAM_SKILL:
        out->nbytes = write ? host->output.max - host->output.len
                            : (uint64_t)(host->input.len - host->input_pos);
        out->hangup = !write && out->nbytes == 0;
        return -1;
    case CIS_STREAM_BYTES:
        out->nbytes = s->bytes.len - s->pos;
        out->hangup = out->nbytes == 0;
        return -1;
    case CIS_STREAM_NULL:
        out->nbytes = write ? STEP : 0;
        out->hangup = !write;
        return -1;
    case CIS_STREAM_KEEP:
    case CIS_STREAM_CALL: /* nobody can say: a call may wait */
        out->nbytes = STEP;
        return -1;
    case CIS_STREAM_CLOSED:
        break;
    }
    return -1;
}
