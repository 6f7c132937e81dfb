/* Opening a store by its name, for the configured one and for any other. */
#ifndef CIS_CLI_STORE_H
#define CIS_CLI_STORE_H

#include "base/cancel.h"
#include "store/store.h"

/* CIS_E_NOTFOUND when "sqlite:DIR" names a folder without a store; makes nothing. Servers are not
 * looked at. */
cis_code cis_cli_store_find(const char *name, struct cis_error *err);
/* "sqlite:DIR" (the folder is made), "postgres://…" or "postgresql://…". */
cis_code cis_cli_store_open(const char *name, cis_cancel *cancel, cis_store **out_store,
                            struct cis_error *err);

#endif
