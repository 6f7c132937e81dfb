/* How a scenario goes: one line that is written over on a terminal, a line a second elsewhere. */
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "cli/scenario/instances.h"

#define CLEAR "\r\033[K"

static void put_ms(struct cis_buf *out, const char *name, uint64_t us)
{
    cis_buf_printf(out, "  %s %llu.%02llums", name, (unsigned long long)(us / 1000),
                   (unsigned long long)(us % 1000 / 10));
}

void cis_scenario_progress(struct cis_scenario_instances *all, bool last)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1024);
    struct cis_loadtest_look look;
    uint64_t seconds = (cis_clock_mono_ns() - all->began_ns + CIS_NS_PER_S / 2) / CIS_NS_PER_S;
    bool terminal = isatty(STDERR_FILENO);
    if (all->quiet) {
        return;
    }
    cis_buf_text(&line, terminal ? CLEAR : "");
    if (!last) { /* the summary follows the last one */
        cis_loadtest_look(all->test, &look);
        cis_buf_printf(&line, "%llu s  users %llu  requests %llu (%llu/s)  failed %llu",
                       (unsigned long long)seconds, (unsigned long long)look.users,
                       (unsigned long long)look.requests, (unsigned long long)look.new_requests,
                       (unsigned long long)look.failed);
        put_ms(&line, "p50", look.p50_us);
        put_ms(&line, "p95", look.p95_us);
        put_ms(&line, "p99", look.p99_us);
        cis_buf_text(&line, terminal ? "" : "\n");
    }
    cis_fd_write_all(STDERR_FILENO, line.ptr, line.len);
}
