/* wasi:io/streams: over files, which are ready at once, over the run's standard streams, and over
 * sources. */
#include <errno.h>
#include <poll.h>
#include "wasi/p2/source.h"

#define BYTES_A_FUEL 64u
#define FLUSH_MAX 4096u    /* of blocking-write-and-flush, by contract */
#define PIPE_PROMISE 4096u /* what a pipe that is writable takes at once */

static struct cis_host_stream *std_of(cis_engine_instance *instance, const struct p2_thing *thing)
{
    return &cis_host_of(instance)->wasi_env.std[thing->std - 1];
}

/* ---- input ---- */

struct reading {
    bool waits;
    uint8_t *to;
    size_t len;
    size_t n; /* read */
    int rc;   /* errno */
};

static cis_code read_file(cis_engine_instance *instance, struct p2_thing *in, struct reading *r,
                          struct cis_error *err)
{
    struct cis_host_op op;
    struct iovec iov = {r->to, r->len};
    cis_vfs_file *file = in->file->file;
    if (file == NULL) { /* a directory */
        r->rc = EISDIR;
        return CIS_OK;
    }
    cis_host_op_begin(&op, instance);
    r->rc = cis_vfs_read(file, &op.vfs, &iov, 1, in->offset, &r->n);
    CIS_TRY(cis_host_op_end(&op, r->rc, err));
    in->offset += r->rc == 0 ? r->n : 0;
    return CIS_OK;
}

static cis_code read_std(cis_engine_instance *instance, const struct p2_thing *in,
                         struct reading *r, struct cis_error *err)
{
    struct iovec iov = {r->to, r->len};
    struct cis_stream_move move = {
        .iov = &iov, .niov = 1, .offset = CIS_STREAM_HERE, .nowait = !r->waits};
    CIS_TRY(
        cis_host_stream_read(cis_host_of(instance), instance, std_of(instance, in), &move, err));
    r->n = move.n;
    r->rc = move.error;
    return CIS_OK;
}

static cis_code read_source(cis_engine_instance *instance, struct p2_thing *in, struct reading *r,
                            struct cis_error *err)
{
    struct p2_source *source = in->source;
    bool end = in->ended;
    while (!end) {
        r->rc = source->ops->read(instance, source, r->to, r->len, &r->n, &end);
        if (r->rc != EAGAIN || !r->waits) {
            break;
        }
        CIS_TRY(cis_p2_source_await(instance, source, P2_READS, err));
    }
    if (r->rc == 0 && r->n == 0 && !end) {
        r->rc = EAGAIN;
    }
    in->ended = end || (r->rc != 0 && r->rc != EAGAIN);
    return CIS_OK;
}

static cis_code read_from(cis_engine_instance *instance, struct p2_thing *in, struct reading *r,
                          struct cis_error *err)
{
    if (in->std != 0) {
        return read_std(instance, in, r, err);
    }
    return in->source != NULL ? read_source(instance, in, r, err) : read_file(instance, in, r, err);
}

/* What went wrong with this stream, as its answer; a source stays reachable from the error, whose
 * reasons are finer: a connection that was reset is one, and no end. */
static cis_code fails(cis_engine_instance *instance, const struct p2_thing *thing,
                      struct cis_answer *out, int rc, struct cis_error *err)
{
    struct p2_source *source = thing->source;
    struct p2_thing *error;
    if (source == NULL) {
        return cis_p2_stream_fails(instance, out, rc, err);
    }
    if (rc == EPIPE) {
        return cis_p2_stream_closed(out);
    }
    CIS_TRY(cis_p2_give(instance, P2_ERROR, P2_NO_PARENT, out, &error, err));
    error->error = rc;
    error->source = p2_source_ref(source);
    out->failed = true;
    return CIS_OK;
}

/* A read of no bytes never waits, and says whether the stream has come to its end. Files and
 * standard streams are not asked: their ends are not for good. */
static cis_code read_none(cis_engine_instance *instance, struct p2_thing *in,
                          struct cis_answer *out, struct cis_error *err)
{
    uint8_t none;
    struct reading r = {.to = &none};
    if (in->source == NULL) {
        return CIS_OK;
    }
    CIS_TRY(read_source(instance, in, &r, err));
    return r.rc == 0        ? cis_p2_stream_closed(out)
           : r.rc != EAGAIN ? fails(instance, in, out, r.rc, err)
                            : CIS_OK;
}

/* Bytes into the scratch. An answer that failed was given when *out_done. */
static cis_code read_some(cis_engine_instance *instance, const struct cis_typed *args, bool waits,
                          struct cis_answer *out, struct cis_bytes *out_bytes, bool *out_done,
                          struct cis_error *err)
{
    struct p2_thing *in = cis_p2_at(instance, args[0].n);
    struct reading r = {.waits = waits, .len = args[1].n < P2_CHUNK ? (size_t)args[1].n : P2_CHUNK};
    *out_done = r.len == 0;
    CIS_TRY(cis_p2_scratch(instance, r.len, &r.to, err));
    *out_bytes = cis_bytes_of(r.to, 0);
    if (r.len == 0) {
        return read_none(instance, in, out, err);
    }
    CIS_TRY(read_from(instance, in, &r, err));
    CIS_TRY(cis_engine_instance_burn(instance, r.n / BYTES_A_FUEL, err));
    out_bytes->len = r.n;
    if (r.rc == EAGAIN) {
        return CIS_OK; /* nothing yet */
    }
    if (r.rc != 0 || r.n == 0) {
        *out_done = true;
        return r.rc != 0 ? fails(instance, in, out, r.rc, err) : cis_p2_stream_closed(out);
    }
    return CIS_OK;
}

static cis_code read_with(cis_engine_instance *instance, const struct cis_typed *args, bool waits,
                          struct cis_answer *out, struct cis_error *err)
{
    bool done;
    return read_some(instance, args, waits, out, &out->bytes, &done, err);
}

static cis_code skip_with(cis_engine_instance *instance, const struct cis_typed *args, bool waits,
                          struct cis_answer *out, struct cis_error *err)
{
    struct cis_bytes got;
    bool done;
    CIS_TRY(read_some(instance, args, waits, out, &got, &done, err));
    out->n[0] = got.len;
    return CIS_OK;
}

#define READER(name, with, waits)                                                                  \
    cis_code name(cis_engine_instance *instance, const struct cis_typed *args,                     \
                  struct cis_answer *out, struct cis_error *err)                                   \
    {                                                                                              \
        return with(instance, args, waits, out, err);                                              \
    }
READER(cis_p2_in_read, read_with, false)
READER(cis_p2_in_blocking_read, read_with, true)
READER(cis_p2_in_skip, skip_with, false)
READER(cis_p2_in_blocking_skip, skip_with, true)

/* ---- output ---- */

static cis_code write_file(cis_engine_instance *instance, struct p2_thing *to,
                           struct cis_bytes data, int *out_rc, struct cis_error *err)
{
    cis_vfs_file *file = to->file->file;
    while (data.len != 0 && *out_rc == 0) {
        struct cis_host_op op;
        struct iovec iov = {(void *)(uintptr_t)data.ptr, data.len};
        size_t n = 0;
        uint64_t end = 0;
        cis_host_op_begin(&op, instance);
        *out_rc = cis_vfs_write(file, &op.vfs, &iov, 1, to->append ? CIS_VFS_APPEND : to->offset,
                                &n, &end);
        CIS_TRY(cis_host_op_end(&op, *out_rc, err));
        to->offset += n;
        data = (struct cis_bytes){data.ptr + n, data.len - n};
        *out_rc = *out_rc == 0 && n == 0 ? ENOSPC : *out_rc;
    }
    return CIS_OK;
}

static cis_code write_std(cis_engine_instance *instance, struct p2_thing *to, struct cis_bytes data,
                          int *out_rc, struct cis_error *err)
{
    struct iovec iov = {(void *)(uintptr_t)data.ptr, data.len};
    struct cis_stream_move move = {.iov = &iov, .niov = 1, .offset = CIS_STREAM_HERE};
    const struct cis_host_stream *stream = std_of(instance, to);
    CIS_TRY(
        cis_host_stream_write(cis_host_of(instance), instance, std_of(instance, to), &move, err));
    if (stream->kind != CIS_STREAM_SKILL && stream->kind != CIS_STREAM_NULL) {
        cis_engine_instance_shown(instance, (unsigned)to->std - 1, data.ptr,
                                  move.n); /* by a replay, too */
    }
    *out_rc = move.error != 0 ? move.error : move.n < data.len ? EIO : 0;
    return CIS_OK;
}

/* All of it, in pieces as there is room; without waiting it is a piece that there is room for. */
static cis_code write_source(cis_engine_instance *instance, struct p2_thing *to, bool waits,
                             struct cis_bytes data, int *out_rc, struct cis_error *err)
{
    struct p2_source *source = to->source;
    *out_rc = to->ended ? EPIPE : 0;
    while (data.len != 0 && *out_rc == 0) {
        size_t n = data.len;
        if (waits) {
            *out_rc = source->ops->room(instance, source, &n);
            if (*out_rc == 0 && n == 0) {
                CIS_TRY(cis_p2_source_await(instance, source, P2_WRITES, err));
            }
        }
        n = n < data.len ? n : data.len;
        if (*out_rc == 0 && n != 0) {
            *out_rc = source->ops->write(instance, source, cis_bytes_of(data.ptr, n));
            data = (struct cis_bytes){data.ptr + n, data.len - n};
        }
    }
    to->ended = *out_rc != 0;
    return CIS_OK;
}

/* Every write comes through here, so that all of them use up what check-write has promised.
 * `waits`: by blocking-write-and-flush. What check-write has promised is never waited for, but by
 * standard streams, whose readers have gone slow since. */
static cis_code write_all(cis_engine_instance *instance, struct p2_thing *to, bool waits,
                          struct cis_bytes data, struct cis_answer *out, struct cis_error *err)
{
    int rc = 0;
    CIS_TRY(cis_engine_instance_burn(instance, data.len / BYTES_A_FUEL, err));
    if (data.len == 0) {
        return CIS_OK;
    }
    to->promised -= data.len < to->promised ? data.len : to->promised;
    if (to->std != 0) {
        CIS_TRY(write_std(instance, to, data, &rc, err));
    } else if (to->source != NULL) {
        CIS_TRY(write_source(instance, to, waits, data, &rc, err));
    } else {
        CIS_TRY(write_file(instance, to, data, &rc, err));
    }
    return rc != 0 ? fails(instance, to, out, rc, err) : CIS_OK;
}

/* Of a standard stream: what its descriptor is ready for; 0 with *out_no: it is none, or its reader
 * is gone. */
static short std_ready(cis_engine_instance *instance, const struct p2_thing *to, int *out_rc)
{
    struct cis_stream_ready ready;
    struct pollfd p = {.events = POLLOUT};
    p.fd = cis_host_stream_poll(cis_host_of(instance), std_of(instance, to), true, &ready);
    *out_rc = ready.error;
    if (p.fd < 0) {
        return ready.error == 0 ? POLLOUT : 0;
    }
    if (poll(&p, 1, 0) > 0 && (p.revents & POLLERR) != 0) {
        *out_rc = EPIPE;
        return 0;
    }
    return p.revents;
}

/* Files and standard streams hold nothing back: what was written is on its way. */
static cis_code flush(cis_engine_instance *instance, struct p2_thing *to, bool waits,
                      struct cis_answer *out, struct cis_error *err)
{
    struct p2_source *source = to->source;
    if (source == NULL) {
        int rc = 0;
        if (to->std != 0) {
            (void)std_ready(instance, to, &rc);
        }
        return rc != 0 ? fails(instance, to, out, rc, err) : CIS_OK;
    }
    if (to->ended) {
        return cis_p2_stream_closed(out);
    }
    int rc = 0;
    while (source->ops->flush != NULL && (rc = source->ops->flush(instance, source)) == EAGAIN) {
        if (!waits) {
            return CIS_OK;
        }
        CIS_TRY(cis_p2_source_await(instance, source, P2_WRITES, err));
    }
    to->ended = rc != 0;
    return rc != 0 ? fails(instance, to, out, rc, err) : CIS_OK;
}

/* What is promised here, a write takes without waiting. */
static int promise(cis_engine_instance *instance, struct p2_thing *to)
{
    int rc = 0;
    to->promised = P2_CHUNK;
    if (to->source != NULL) {
        size_t room = 0;
        rc = to->ended ? EPIPE : to->source->ops->room(instance, to->source, &room);
        to->ended = rc != 0;
        to->promised = rc != 0 ? 0 : room;
    } else if (to->std != 0) {
        bool pipe = std_of(instance, to)->kind == CIS_STREAM_FD;
        bool takes = std_ready(instance, to, &rc) != 0;
        to->promised = !takes ? 0 : pipe ? PIPE_PROMISE : P2_CHUNK;
    }
    return rc;
}

cis_code cis_p2_out_check(cis_engine_instance *instance, const struct cis_typed *args,
                          struct cis_answer *out, struct cis_error *err)
{
    struct p2_thing *to = cis_p2_at(instance, args[0].n);
    int rc = promise(instance, to);
    if (rc != 0) {
        return fails(instance, to, out, rc, err);
    }
    out->n[0] = to->promised;
    return CIS_OK;
}

static cis_code too_much(struct cis_error *err, uint64_t len, uint64_t most)
{
    return cis_fail(err, CIS_E_TRAP, "stream: the guest wrote %llu bytes where %llu were permitted",
                    (unsigned long long)len, (unsigned long long)most);
}

cis_code cis_p2_out_write(cis_engine_instance *instance, const struct cis_typed *args,
                          struct cis_answer *out, struct cis_error *err)
{
    struct p2_thing *to = cis_p2_at(instance, args[0].n);
    if (args[1].bytes.len > to->promised) {
        return too_much(err, args[1].bytes.len, to->promised);
    }
    return write_all(instance, to, false, args[1].bytes, out, err);
}

cis_code cis_p2_out_blocking_write(cis_engine_instance *instance, const struct cis_typed *args,
                                   struct cis_answer *out, struct cis_error *err)
{
    if (args[1].bytes.len > FLUSH_MAX) {
        return too_much(err, args[1].bytes.len, FLUSH_MAX);
    }
    struct p2_thing *to = cis_p2_at(instance, args[0].n);
    CIS_TRY(write_all(instance, to, true, args[1].bytes, out, err));
    return out->failed || to->source == NULL ? CIS_OK : flush(instance, to, true, out, err);
}

cis_code cis_p2_out_flush(cis_engine_instance *instance, const struct cis_typed *args,
                          struct cis_answer *out, struct cis_error *err)
{
    return flush(instance, cis_p2_at(instance, args[0].n), false, out, err);
}

cis_code cis_p2_out_blocking_flush(cis_engine_instance *instance, const struct cis_typed *args,
                                   struct cis_answer *out, struct cis_error *err)
{
    return flush(instance, cis_p2_at(instance, args[0].n), true, out, err);
}

static cis_code zeroes(cis_engine_instance *instance, const struct cis_typed *args, bool waits,
                       uint64_t most, struct cis_answer *out, struct cis_error *err)
{
    struct p2_thing *to = cis_p2_at(instance, args[0].n);
    uint8_t *at;
    if (args[1].n > most) {
        return too_much(err, args[1].n, most);
    }
    CIS_TRY(cis_p2_scratch(instance, (size_t)args[1].n, &at, err));
    memset(at, 0, (size_t)args[1].n);
    CIS_TRY(write_all(instance, to, waits, cis_bytes_of(at, (size_t)args[1].n), out, err));
    bool flushes = !out->failed && waits && to->source != NULL;
    return flushes ? flush(instance, to, true, out, err) : CIS_OK;
}

cis_code cis_p2_out_zeroes(cis_engine_instance *instance, const struct cis_typed *args,
                           struct cis_answer *out, struct cis_error *err)
{
    return zeroes(instance, args, false, cis_p2_at(instance, args[0].n)->promised, out, err);
}

cis_code cis_p2_out_blocking_zeroes(cis_engine_instance *instance, const struct cis_typed *args,
                                    struct cis_answer *out, struct cis_error *err)
{
    return zeroes(instance, args, true, FLUSH_MAX, out, err);
}

static cis_code splice_with(cis_engine_instance *instance, const struct cis_typed *args, bool waits,
                            struct cis_answer *out, struct cis_error *err)
{
    struct p2_thing *to = cis_p2_at(instance, args[0].n);
    struct cis_bytes got;
    bool done;
    int rc = promise(instance, to);
    if (rc != 0) {
        return fails(instance, to, out, rc, err);
    }
    uint64_t most = waits && to->promised == 0 ? PIPE_PROMISE : to->promised;
    const struct cis_typed from[2] = {{.n = args[1].n}, {.n = args[2].n < most ? args[2].n : most}};
    CIS_TRY(read_some(instance, from, waits, out, &got, &done, err));
    if (done || got.len == 0) {
        return CIS_OK;
    }
    out->n[0] = got.len;
    return write_all(instance, cis_p2_at(instance, args[0].n), waits, got, out, err);
}
READER(cis_p2_out_splice, splice_with, false)
READER(cis_p2_out_blocking_splice, splice_with, true)
