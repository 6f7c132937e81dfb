#include "base/clock.h"
#include "service/http/internal.h"

cis_code cis_http_stop_check(const struct cis_call *call, const char *what, struct cis_error *err)
{
    if (cis_call_cancelled(call)) {
        return cis_fail(err, CIS_E_CANCELLED, "%s: cancelled", what);
    }
    if (call->deadline_ns != CIS_NEVER && cis_clock_mono_ns() >= call->deadline_ns) {
        return cis_fail(err, CIS_E_DEADLINE, "%s: time limit reached", what);
    }
    return CIS_OK;
}

int cis_http_wait_ms(const struct cis_call *call, uint64_t until_ns)
{
    int ms = cis_clock_poll_ms(until_ns < call->deadline_ns ? until_ns : call->deadline_ns);
    if (call->stop != NULL && cis_call_wait_fd(call) < 0 && (ms < 0 || ms > 20)) {
        return 20;
    }
    return ms < 0 || ms > 60000 ? 60000 : ms;
}
