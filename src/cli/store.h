/* Opening a store by its name, for the configured one and for any other. */
#ifndef CIS_CLI_STORE_H
#define CIS_CLI_STORE_H

#include "base/cancel.h"
#include "store/store.h"

/* "sqlite:DIR" (the folder is made), "postgres://…" or "postgresql://…". */
cis_code cis_cli_store_open(const char *name, cis_cancel *cancel, cis_store **out_store,
                            struct cis_error *err);

#endif
