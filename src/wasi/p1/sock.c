/* Sockets. None is inherited, so no descriptor is one. */
#include "wasi/p1/internal.h"

#define NO_SOCKET(name)                                                                            \
    cis_code cis_wasi_##name(cis_guest *guest, union cis_slot *io, struct cis_error *err)          \
    {                                                                                              \
        (void)err;                                                                                 \
        bool open = cis_wasi_fd(cis_host_of(guest), io[0].u32) != CIS_WASI_NONE;                   \
        return cis_wasi_answer(io, open ? CIS_WASI_NOTSOCK : CIS_WASI_BADF);                       \
    }

NO_SOCKET(sock_accept)
NO_SOCKET(sock_recv)
NO_SOCKET(sock_send)
NO_SOCKET(sock_shutdown)
