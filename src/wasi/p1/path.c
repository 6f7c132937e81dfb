/* Paths. With no directory preopened every path is below nothing: the descriptor decides the
 * answer before the path is even read. */
#include "wasi/p1/internal.h"

static enum cis_wasi_errno no_directory(cis_guest *guest, uint32_t fd)
{
    return cis_wasi_fd(cis_host_of(guest), fd) == CIS_WASI_NONE ? CIS_WASI_BADF : CIS_WASI_NOTDIR;
}

#define BELOW(name, slot)                                                                          \
    cis_code cis_wasi_##name(cis_guest *guest, union cis_slot *io, struct cis_error *err)          \
    {                                                                                              \
        (void)err;                                                                                 \
        return cis_wasi_answer(io, no_directory(guest, io[slot].u32));                             \
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

static cis_code both(cis_guest *guest, union cis_slot *io, uint32_t from, uint32_t to)
{
    enum cis_wasi_errno first = no_directory(guest, from), second = no_directory(guest, to);
    bool bad = first == CIS_WASI_BADF || second == CIS_WASI_BADF;
    return cis_wasi_answer(io, bad ? CIS_WASI_BADF : CIS_WASI_NOTDIR);
}

cis_code cis_wasi_path_link(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    return both(guest, io, io[0].u32, io[4].u32);
}

cis_code cis_wasi_path_rename(cis_guest *guest, union cis_slot *io, struct cis_error *err)
{
    (void)err;
    return both(guest, io, io[0].u32, io[3].u32);
}
