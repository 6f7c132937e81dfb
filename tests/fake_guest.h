/* A guest without an engine, for unit tests of what acts on guests: memory of an exact size on the
 * heap (so that the address sanitizer sees one byte too many), a host, counters of what was asked
 * of it. Link fake_guest.c into the test; it defines the cis_engine_instance_* functions that host
 * functions use. */
#ifndef CIS_TESTS_FAKE_GUEST_H
#define CIS_TESTS_FAKE_GUEST_H

#include "host/host.h"

struct cis_engine_instance {
    uint8_t *memory;
    uint64_t size;
    struct cis_host *host;
    struct cis_stop stop;
    struct cis_engine_instance_end end;
    uint64_t cpu_ns;
    uint64_t burned; /* fuel */
    uint64_t fuel;   /* most of it; 0: no limit */
    uint64_t wrote;  /* bytes that the last call said it wrote of more that it took */
    unsigned blocked, unblocked;
    unsigned refused[CIS_GRANT_COUNT];
    cis_code unblock_code; /* what cis_engine_instance_unblock answers */
};

void fake_guest_init(cis_engine_instance *guest, struct cis_host *host, uint64_t memory_bytes);
void fake_guest_done(cis_engine_instance *guest);

#endif
