/* Descriptors: the three standard streams. None is a terminal, a file or a directory: each has the
 * errno that Linux gives for a pipe. */
#include "wasi/p1/internal.h"

/* A function that a pipe answers with one errno, whatever else it is given. */
#define ON_STREAM(name, error)                                                                     \
    cis_code cis_wasi_##name(cis_guest *guest, union cis_slot *io, struct cis_error *err)          \
    {                                                                                              \
        struct cis_wasi_fd *f;                                                                     \
        CIS_TRY(cis_wasi_fd(guest, io[0].u32, &f, err));                                           \
        return cis_wasi_answer(io, f != NULL ? (error) : CIS_WASI_BADF);                           \
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
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(guest, io[0].u32, &f, err));
    if (f == NULL) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    return cis_wasi_answer(io, io[3].u32 > 5 ? CIS_WASI_INVAL : CIS_WASI_SPIPE);
}

static cis_code seek(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(guest, io[0].u32, &f, err));
    if (f == NULL) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    /* Three origins in both modules, in another order; on a pipe the order makes no difference. */
    return cis_wasi_answer(io, io[2].u32 > 2 ? CIS_WASI_INVAL : CIS_WASI_SPIPE);
}

cis_code cis_wasi_fd_seek(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    return seek(guest, io, err);
}

cis_code cis_wasi_fd_seek_old(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    return seek(guest, io, err);
}

cis_code cis_wasi_fd_close(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    struct cis_wasi *w;
    CIS_TRY(cis_wasi_of(guest, &w, err));
    return cis_wasi_answer(io, cis_wasi_errno_of(cis_wasi_close(w, io[0].u32)));
}

/* The target must be open too: a guest cannot choose the numbers of new descriptors. */
cis_code cis_wasi_fd_renumber(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    struct cis_wasi *w;
    CIS_TRY(cis_wasi_of(guest, &w, err));
    return cis_wasi_answer(io, cis_wasi_errno_of(cis_wasi_renumber(w, io[0].u32, io[1].u32)));
}

cis_code cis_wasi_fd_fdstat_get(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(guest, io[0].u32, &f, err));
    if (f == NULL) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    uint8_t *out = cis_guest_out(guest, io[1].u32, sizeof(struct cis_wasi_fdstat));
    if (out == NULL) {
        return cis_wasi_answer(io, CIS_WASI_FAULT);
    }
    memset(out, 0, sizeof(struct cis_wasi_fdstat)); /* filetype 0: unknown, so no terminal */
    cis_put_le16(out + offsetof(struct cis_wasi_fdstat, flags), f->flags);
    cis_put_le64(out + offsetof(struct cis_wasi_fdstat, rights_base), f->rights);
    cis_put_le64(out + offsetof(struct cis_wasi_fdstat, rights_inheriting), f->inheriting);
    return cis_wasi_answer(io, CIS_WASI_OK);
}

cis_code cis_wasi_fd_fdstat_set_flags(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    uint32_t flags = io[1].u32;
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(guest, io[0].u32, &f, err));
    if (f == NULL) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    if (flags > 31) {
        return cis_wasi_answer(io, CIS_WASI_INVAL);
    }
    if ((flags & (CIS_WASI_FDFLAG_DSYNC | CIS_WASI_FDFLAG_RSYNC | CIS_WASI_FDFLAG_SYNC)) != 0) {
        return cis_wasi_answer(io, CIS_WASI_NOTSUP);
    }
    f->flags = (uint16_t)flags;
    return cis_wasi_answer(io, CIS_WASI_OK);
}

cis_code cis_wasi_fd_fdstat_set_rights(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    uint64_t base = io[1].u64, inheriting = io[2].u64;
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(guest, io[0].u32, &f, err));
    if (f == NULL) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    if ((base & ~f->rights) != 0 ||
        (inheriting & ~f->inheriting) != 0) { /* rights are only ever dropped */
        return cis_wasi_answer(io, CIS_WASI_NOTCAPABLE);
    }
    f->rights = base;
    f->inheriting = inheriting;
    return cis_wasi_answer(io, CIS_WASI_OK);
}

/* A pipe has no attributes that a guest should know. */
static cis_code filestat(cis_guest *guest, union cis_slot *io, size_t size, struct cis_error *err)
{
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(guest, io[0].u32, &f, err));
    if (f == NULL) {
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
    return filestat(guest, io, sizeof(struct cis_wasi_filestat), err);
}

cis_code cis_wasi_fd_filestat_get_old(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    return filestat(guest, io, sizeof(struct cis_wasi_filestat_old), err);
}
