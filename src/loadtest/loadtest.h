/* What the instances of a load test count, added up: totals, latencies as histograms, a course over
 * time. The numbers come as records from components that nobody has to trust
 * (docs/guides/load-test.md): each is bounded and checked, and what is kept does not grow with how
 * many there are. Texts of a component are kept as they are, cut: whoever prints them makes them
 * safe.
 *
 * Threads: records and cis_loadtest_look from any; the rest once all instances have ended. */
#ifndef CIS_LOADTEST_LOADTEST_H
#define CIS_LOADTEST_LOADTEST_H

#include "base/buf.h"

#define CIS_LOADTEST_INSTANCES_MAX 64u
#define CIS_LOADTEST_RECORD_MAX ((size_t)2 << 20)
#define CIS_LOADTEST_MARK 0x1e /* before each record, which is one line of JSON (RFC 7464) */

typedef struct cis_loadtest cis_loadtest;

cis_code cis_loadtest_new(size_t instances, cis_loadtest **out, struct cis_error *err);
void cis_loadtest_free(cis_loadtest *test);

/* A record without its mark. elapsed_ms: since the instance was started; none is of later.
 * CIS_E_INVALID says what is wrong with it; part of it may have been counted. */
cis_code cis_loadtest_record(cis_loadtest *test, size_t instance, struct cis_str json,
                             uint64_t elapsed_ms, struct cis_error *err);

/* How it goes: totals, and what came since the look before. */
struct cis_loadtest_look {
    uint64_t users, requests, failed;
    uint64_t new_requests, p50_us, p95_us, p99_us;
};
void cis_loadtest_look(cis_loadtest *test, struct cis_loadtest_look *out);

/* Has any instance told anything? Have all told their end? */
bool cis_loadtest_any(const cis_loadtest *test);
bool cis_loadtest_ended(const cis_loadtest *test);
/* A line for each reason why it failed: assertions, thresholds, and users, unless there is a
 * threshold for error_rate, which then decides. false: there is none. */
bool cis_loadtest_failures(const cis_loadtest *test, struct cis_buf *out);
/* For people. */
void cis_loadtest_text(const cis_loadtest *test, struct cis_buf *out);
/* Members of an object of JSON, without braces. */
void cis_loadtest_json(const cis_loadtest *test, struct cis_buf *out);

/* A page that needs nothing else: no script, no network. */
struct cis_loadtest_page {
    struct cis_str when;     /* it began */
    struct cis_str failures; /* lines; empty: it held */
    const char *note;        /* e.g. that it was cancelled; NULL: none */
};
void cis_loadtest_html(const cis_loadtest *test, const struct cis_loadtest_page *page,
                       struct cis_buf *out);

#endif
