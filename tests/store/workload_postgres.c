#include "harness.h"

#include "workload_postgres.h"

#define BYTES(text) "convert_to(" text ", 'UTF8')"
static const char *const faults[] = {
    WORKLOAD_FAULTS(BYTES("'main'"), BYTES("'@'") " || r.name || " BYTES("' '"), "usage"),
    "SELECT coalesce(sum(bytes), 0) - cis.count_all(tenant) FROM stored GROUP BY tenant",
};

void workload_audit_rows(const struct pgcluster *cluster, const char *url)
{
    const char *db = strstr(url, "@/") + 2;
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(db, "?"), db);
    PGconn *admin = pgcluster_connect(cluster, "postgres", name);
    PQclear(PQexec(admin, "SET search_path = cis"));
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        PGresult *res = PQexec(admin, faults[i]);
        if (PQresultStatus(res) != PGRES_TUPLES_OK) {
            fail_msg("%s: %s", faults[i], PQerrorMessage(admin));
        }
        if (PQntuples(res) != 0 && strcmp(PQgetvalue(res, 0, 0), "0") != 0) {
            fail_msg("%s: not 0: %s", PQgetvalue(res, 0, 0), faults[i]);
        }
        PQclear(res);
    }
    PQfinish(admin);
}
