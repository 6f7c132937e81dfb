#include "store/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include "base/file.h"
#include "base/wraps.h"
#include "store/calls.h"
#include "store/store.h"

/* ---- processes ---- */

/* This boot of this machine, and this namespace of processes; 0: not known. */
CIS_WRAPS static uint32_t machine(void)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf boot = CIS_BUF_INIT(128);
    char space[64];
    uint32_t h = 2166136261u;
    ssize_t n = readlink("/proc/self/ns/pid", space, sizeof space);
    if (n <= 0 || cis_file_read("/proc/sys/kernel/random/boot_id", &boot, NULL) != CIS_OK) {
        return 0;
    }
    for (size_t i = 0; i < boot.len; i++) {
        h = (h ^ boot.ptr[i]) * 16777619u;
    }
    for (ssize_t i = 0; i < n; i++) {
        h = (h ^ (uint8_t)space[i]) * 16777619u;
    }
    return h != 0 ? h : 1;
}

struct process {
    char state;
    uint64_t start; /* clock ticks since boot */
};

/* Field 3 and field 22 of /proc/PID/stat; the name before them may hold anything. */
static bool process_look(pid_t pid, struct process *out)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (cis_file_read(path, &text, NULL) != CIS_OK) {
        return false;
    }
    const char *end = strrchr(cis_buf_cstr(&text), ')');
    if (end == NULL || end[1] != ' ') {
        return false;
    }
    struct cis_str rest = cis_str_of(end + 2), field;
    bool more = true;
    for (int i = 3; more && i <= 22; i++) {
        more = cis_str_split(&rest, ' ', &field);
        if (i == 3) {
            out->state = field.len == 1 ? field.ptr[0] : '?';
        }
    }
    return more && cis_str_u64(field, &out->start);
}

/* ---- names ---- */

void cis_holder_name(char out[CIS_HOLDER_MAX], const char *what, const char *where)
{
    char host[64] = "";
    struct process self = {.start = 0};
    (void)gethostname(host, sizeof host - 1);
    bool known = process_look(getpid(), &self);
    uint32_t here = known ? machine() : 0;
    int n = snprintf(out, CIS_HOLDER_MAX, "%.16s %d %.32s:%.44s", what, (int)getpid(), host, where);
    if (here != 0 && n > 0 && (size_t)n < CIS_HOLDER_MAX) {
        snprintf(out + n, CIS_HOLDER_MAX - (size_t)n, " #%08x.%" PRIx64, here, self.start);
    }
}

/* Has it ended? False when that is not known. */
static bool holder_gone(const char *holder)
{
    const char *mark = strrchr(holder, '#');
    unsigned where = 0;
    int pid = 0, used = 0;
    uint64_t start = 0;
    if (mark == NULL || sscanf(holder, "%*s %d", &pid) != 1 || pid <= 0 ||
        sscanf(mark, "#%8x.%" SCNx64 "%n", &where, &start, &used) != 2 || mark[used] != 0 ||
        where == 0 || where != machine()) {
        return false;
    }
    struct process p;
    if (kill(pid, 0) != 0 && errno == ESRCH) {
        return true;
    }
    /* Another process may have the number now; one that nobody waited for yet does nothing more. */
    return process_look(pid, &p) && (p.start != start || p.state == 'Z' || p.state == 'X');
}

cis_code cis_store_ref_held(cis_store *store, struct cis_str tenant, struct cis_str name,
                            struct cis_fs_ref *out, const struct cis_stop *stop,
                            struct cis_error *err)
{
    struct cis_fs_ref ref;
    CIS_TRY(cis_store_ref_get(store, tenant, name, &ref, stop, err));
    if (ref.fence != 0 && holder_gone(ref.holder)) {
        uint64_t fence = 0;
        /* Of that lease alone, by its number: another one that was taken since stays. */
        CIS_TRY(cis_store_lease(store, tenant,
                                &(struct cis_fs_lease_request){.ref = cis_str_of(ref.name),
                                                               .holder = ref.holder,
                                                               .fence = ref.fence},
                                &fence, stop, err));
        CIS_TRY(cis_store_ref_get(store, tenant, cis_str_of(ref.name), &ref, stop, err));
    }
    *out = ref;
    return CIS_OK;
}
