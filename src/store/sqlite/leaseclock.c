/* The clock of leases, pins and the stamps of chunks. It goes on only while the host runs: a host
 * that was suspended finds its pins as it left them, and a wall clock that jumps, forward or back,
 * neither lets one lapse nor keeps one for a day. DIR/clock says what it began with at this boot,
 * for all processes; those of an earlier boot are gone, and what they held is checked by the wall
 * clock of then. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "store/sqlite/internal.h"

#define BOOT_ID 36 /* characters */

static int64_t mono_ms(void)
{
    return (int64_t)(cis_clock_mono_ns() / CIS_NS_PER_MS);
}

/* "BOOT-ID MILLISECONDS\n" */
static bool parse(const char *text, const char *boot, int64_t *out)
{
    char *end = NULL;
    if (strlen(text) <= BOOT_ID + 1 || memcmp(text, boot, BOOT_ID) != 0) {
        return false;
    }
    *out = strtoll(text + BOOT_ID + 1, &end, 10);
    return *end == '\n';
}

void cis_sql_lease_begin(struct sql_store *store)
{
    char boot[BOOT_ID + 2] = "", text[128] = "";
    store->lease_base = cis_clock_wall_ms() - mono_ms();
    int id = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    bool known = id >= 0 && read(id, boot, BOOT_ID) == BOOT_ID;
    if (id >= 0) {
        close(id);
    }
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(store->dir, "clock");
    int fd = known && path != NULL
                 ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600)
                 : -1;
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0) {
        known = fd >= 0 && flock(fd, LOCK_EX) == 0; /* whoever has it writes a line */
    }
    if (known && pread(fd, text, sizeof text - 1, 0) >= 0 &&
        !parse(text, boot, &store->lease_base)) {
        int n = snprintf(text, sizeof text, "%s %" PRId64 "\n", boot, store->lease_base);
        if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
            (void)!ftruncate(fd, 0);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

int64_t cis_sql_lease_ms(const struct sql_store *store)
{
    return store->lease_base + mono_ms();
}
