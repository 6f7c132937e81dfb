/* Sockets: no descriptor is one yet. */
#include "wasi/p1/internal.h"

#define NO_SOCKET(name)                                                                            \
    cis_code cis_wasi_##name(cis_guest *guest, union cis_slot *io, struct cis_error *err)          \
    {                                                                                              \
        struct cis_wasi_fd *f;                                                                     \
        CIS_TRY(cis_wasi_fd(guest, io[0].u32, &f, err));                                           \
        return cis_wasi_answer(io, f != NULL ? CIS_WASI_NOTSOCK : CIS_WASI_BADF);                  \
    }

NO_SOCKET(sock_accept)
NO_SOCKET(sock_recv)
NO_SOCKET(sock_send)
NO_SOCKET(sock_shutdown)
