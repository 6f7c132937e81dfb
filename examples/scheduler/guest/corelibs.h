/* scheduler:core-libs/wasi-{network,tcp,udp}: their errors and addresses, for those who import them
 * and for those who provide them. */
#ifndef SCHEDULER_CORELIBS_H
#define SCHEDULER_CORELIBS_H

#include "guest.h"
#include "net.h"

#define CORELIBS_NETWORK "scheduler:core-libs/wasi-network@0.1.0"
#define CORELIBS_TCP "scheduler:core-libs/wasi-tcp@0.1.0"
#define CORELIBS_UDP "scheduler:core-libs/wasi-udp@0.1.0"

enum corelibs_error {
    CORELIBS_ACCESS_DENIED,
    CORELIBS_ADDRESS_IN_USE,
    CORELIBS_ADDRESS_NOT_AVAILABLE,
    CORELIBS_ALREADY_CONNECTED,
    CORELIBS_CONNECTION_REFUSED,
    CORELIBS_CONNECTION_RESET,
    CORELIBS_CONNECTION_ABORTED,
    CORELIBS_HOST_UNREACHABLE,
    CORELIBS_NETWORK_UNREACHABLE,
    CORELIBS_TIMEOUT,
    CORELIBS_WOULD_BLOCK,
    CORELIBS_INVALID_ARGUMENT,
    CORELIBS_NOT_SUPPORTED,
    CORELIBS_OUT_OF_MEMORY,
    CORELIBS_UNKNOWN
};

/* An ip-address as it is passed: its case and eight words. */
#define CORELIBS_ADDRESS                                                                           \
    int32_t is, int32_t a0, int32_t a1, int32_t a2, int32_t a3, int32_t a4, int32_t a5,            \
        int32_t a6, int32_t a7

#endif
