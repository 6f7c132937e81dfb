/* Long messages over HTTP, read beside the thread that serves. What waits is bounded. */
#ifndef CIS_MCP_HTTP_LONG_H
#define CIS_MCP_HTTP_LONG_H

#include "base/lock.h"
#include "httpd/httpd.h"

/* Nothing else is locked, called or waited for with it held, but `changed`. */
CIS_LOCK_CLASS(mcp_long_lock);

#define CIS_MCP_LONG ((size_t)65536) /* a body of more is long */

typedef void mcp_long_request(void *self, cis_httpd_exchange *exchange,
                              const struct cis_httpd_request *request);
struct mcp_long;
struct mcp_longs {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool runs;
    mcp_long_request *request;
    void *self;
    struct mcp_long *first CIS_GUARDED_BY(mcp_long_lock), *last CIS_GUARDED_BY(mcp_long_lock);
    size_t bytes CIS_GUARDED_BY(mcp_long_lock);
    bool stops CIS_GUARDED_BY(mcp_long_lock);
};

/* Starts the thread that calls `request`. It is ended whether this succeeds or not. */
cis_code cis_mcp_long_begin(struct mcp_longs *longs, mcp_long_request *request, void *self,
                            struct cis_error *err);
/* A copy of the request, which has its method, target and host no more. False: too much waits. */
bool cis_mcp_long_add(struct mcp_longs *longs, cis_httpd_exchange *exchange,
                      const struct cis_httpd_request *request);
/* When what was added is done with. */
void cis_mcp_long_end(struct mcp_longs *longs);

#endif
