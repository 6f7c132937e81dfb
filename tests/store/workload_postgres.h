/* The audit of workload.h, of the rows of a store on PostgreSQL. */
#ifndef CIS_TESTS_STORE_WORKLOAD_POSTGRES_H
#define CIS_TESTS_STORE_WORKLOAD_POSTGRES_H

#include "tools/pgcluster.h"
#include "workload.h"

void workload_audit_rows(const struct pgcluster *cluster, const char *url);

#endif
