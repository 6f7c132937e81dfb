/* Paths. No function reaches one yet: the descriptor decides the answer before the path is read. */
#include "wasi/p1/internal.h"

static cis_code below(cis_guest *guest, union cis_slot *io, uint32_t fd, struct cis_error *err)
{
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(guest, fd, &f, err));
    enum cis_wasi_errno error = f == NULL                 ? CIS_WASI_BADF
                                : f->kind == CIS_WASI_DIR ? CIS_WASI_NOTSUP
                                                          : CIS_WASI_NOTDIR;
    return cis_wasi_answer(io, error);
}

#define BELOW(name, slot)                                                                          \
    cis_code cis_wasi_##name(cis_guest *guest, union cis_slot *io, struct cis_error *err)          \
    {                                                                                              \
        return below(guest, io, io[slot].u32, err);                                                \
    }

BELOW(path_create_directory, 0)
BELOW(path_filestat_get, 0)
BELOW(path_filestat_get_old, 0)
BELOW(path_filestat_set_times, 0)
BELOW(path_open, 0)
BELOW(path_readlink, 0)
BELOW(path_remove_directory, 0)
BELOW(path_unlink_file, 0)
BELOW(path_symlink, 2)

static cis_code both(cis_guest *guest, union cis_slot *io, uint32_t from, uint32_t to,
                     struct cis_error *err)
{
    struct cis_wasi_fd *second;
    CIS_TRY(cis_wasi_fd(guest, to, &second, err));
    return second == NULL ? cis_wasi_answer(io, CIS_WASI_BADF) : below(guest, io, from, err);
}

cis_code cis_wasi_path_link(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    return both(guest, io, io[0].u32, io[4].u32, err);
}

cis_code cis_wasi_path_rename(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    return both(guest, io, io[0].u32, io[3].u32, err);
}
