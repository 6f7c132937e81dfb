/* Errnos of Linux as cases of wasi:filesystem's error-code, and errors as resources. */
#include <errno.h>
#include "wasi/p2/internal.h"

enum { /* in the order of the interface */
       ACCESS,
       WOULD_BLOCK,
       ALREADY,
       BAD_DESCRIPTOR,
       BUSY,
       DEADLOCK,
       QUOTA,
       EXIST,
       FILE_TOO_LARGE,
       ILLEGAL_BYTE_SEQUENCE,
       IN_PROGRESS,
       INTERRUPTED,
       INVALID,
       IO,
       IS_DIRECTORY,
       LOOP,
       TOO_MANY_LINKS,
       MESSAGE_SIZE,
       NAME_TOO_LONG,
       NO_DEVICE,
       NO_ENTRY,
       NO_LOCK,
       INSUFFICIENT_MEMORY,
       INSUFFICIENT_SPACE,
       NOT_DIRECTORY,
       NOT_EMPTY,
       NOT_RECOVERABLE,
       UNSUPPORTED,
       NO_TTY,
       NO_SUCH_DEVICE,
       OVERFLOW,
       NOT_PERMITTED,
       PIPE,
       READ_ONLY,
       INVALID_SEEK,
       TEXT_FILE_BUSY,
       CROSS_DEVICE
};

static const struct {
    int rc;
    uint8_t code;
} codes[] = {{EACCES, ACCESS},
             {EAGAIN, WOULD_BLOCK},
             {EALREADY, ALREADY},
             {EBADF, BAD_DESCRIPTOR},
             {EBUSY, BUSY},
             {EDEADLK, DEADLOCK},
             {EDQUOT, QUOTA},
             {EEXIST, EXIST},
             {EFBIG, FILE_TOO_LARGE},
             {EILSEQ, ILLEGAL_BYTE_SEQUENCE},
             {EINPROGRESS, IN_PROGRESS},
             {EINTR, INTERRUPTED},
             {EINVAL, INVALID},
             {EIO, IO},
             {EISDIR, IS_DIRECTORY},
             {ELOOP, LOOP},
             {EMLINK, TOO_MANY_LINKS},
             {EMSGSIZE, MESSAGE_SIZE},
             {ENAMETOOLONG, NAME_TOO_LONG},
             {ENODEV, NO_DEVICE},
             {ENOENT, NO_ENTRY},
             {ENOLCK, NO_LOCK},
             {ENOMEM, INSUFFICIENT_MEMORY},
             {ENOSPC, INSUFFICIENT_SPACE},
             {ENOTDIR, NOT_DIRECTORY},
             {ENOTEMPTY, NOT_EMPTY},
             {ENOTRECOVERABLE, NOT_RECOVERABLE},
             {EOPNOTSUPP, UNSUPPORTED},
             {ENOSYS, UNSUPPORTED},
             {ENOTTY, NO_TTY},
             {ENXIO, NO_SUCH_DEVICE},
             {EOVERFLOW, OVERFLOW},
             {EPERM, NOT_PERMITTED},
             {EPIPE, PIPE},
             {EROFS, READ_ONLY},
             {ESPIPE, INVALID_SEEK},
             {ETXTBSY, TEXT_FILE_BUSY},
             {EXDEV, CROSS_DEVICE},
             {ENFILE, INSUFFICIENT_MEMORY},
             {EMFILE, INSUFFICIENT_MEMORY}};

uint32_t cis_p2_error_code(int rc)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (codes[i].rc == rc) {
            return codes[i].code;
        }
    }
    return IO;
}

cis_code cis_p2_stream_closed(struct cis_answer *answer)
{
    answer->failed = true;
    answer->error = 1;
    return CIS_OK;
}

cis_code cis_p2_stream_fails(cis_engine_instance *instance, struct cis_answer *answer, int rc,
                             struct cis_error *err)
{
    struct p2_thing *thing;
    if (rc == EPIPE || rc == ECONNRESET || rc == EBADF) {
        return cis_p2_stream_closed(answer);
    }
    CIS_TRY(cis_p2_give(instance, P2_ERROR, P2_NO_PARENT, answer, &thing, err));
    thing->error = rc;
    answer->failed = true;
    answer->error = 0;
    return CIS_OK;
}

cis_code cis_p2_error_text(cis_engine_instance *instance, const struct cis_typed *args,
                           struct cis_answer *out, struct cis_error *err)
{
    (void)err;
    const char *text = strerrorname_np(cis_p2_at(instance, args[0].n)->error);
    text = text != NULL ? text : "EIO";
    out->bytes = cis_bytes_of(text, strlen(text));
    return CIS_OK;
}

cis_code cis_p2_fs_error(cis_engine_instance *instance, const struct cis_typed *args,
                         struct cis_answer *out, struct cis_error *err)
{
    (void)err;
    const struct p2_thing *error = cis_p2_at(instance, args[0].n);
    out->has = error->source == NULL; /* not of a connection, nor of a body */
    out->error = out->has ? cis_p2_error_code(error->error) : 0;
    return CIS_OK;
}
