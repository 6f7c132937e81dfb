/* What an embedder's service may ask about the call it works for (cis/service.h). */
#include "base/cancel.h"
#include "cis/service.h"

static const struct cis_stop *stop_of(const struct cis_call *call)
{
    return call != NULL ? call->stop : NULL;
}

bool cis_call_cancelled(const struct cis_call *call)
{
    const struct cis_stop *stop = stop_of(call);
    return stop != NULL && cis_cancel_fired(stop->cancel);
}

int cis_call_wait_fd(const struct cis_call *call)
{
    const struct cis_stop *stop = stop_of(call);
    return stop != NULL ? cis_cancel_fd(stop->cancel) : -1;
}
