/* What commands need of the installation: configuration, store, engine, services. Each is opened
 * when first asked for and closed with the app; all are borrowed from it. Every command uses this,
 * none opens a store or reads a setting by itself. One thread. */
#ifndef CIS_CLI_APP_H
#define CIS_CLI_APP_H

#include "cis/service.h"
#include "cli/cli.h"
#include "engine/code/engine.h"
#include "engine/recording/recording.h"
#include "store/store.h"
#include "vfs/layered/layered.h"

typedef struct cis_app cis_app;
struct cis_config;

/* Reads the configuration (flags of cli > environment > file > defaults); cli->tenant is then the
 * configured one, until the app is closed. */
cis_code cis_app_open(struct cis_cli *cli, cis_app **out_app, struct cis_error *err);
void cis_app_close(cis_app *app);
const struct cis_config *cis_app_config(const cis_app *app);
/* Folders, made on first use: data (store, skills), cache (compiled code), config (keyring). */
const char *cis_app_data_dir(const cis_app *app);
const char *cis_app_cache_dir(const cis_app *app);
const char *cis_app_config_dir(const cis_app *app);
cis_code cis_app_store(cis_app *app, cis_store **out_store, struct cis_error *err);
/* For one guest: what the store keeps of its rows in memory counts beside what the guest makes the
 * host hold: at most 8 MiB, whatever is configured. */
cis_code cis_app_run_store(cis_app *app, cis_store **out_store, struct cis_error *err);
/* Sizes of the caches of a store's files, as configured. */
struct cis_fs_cache_options cis_app_caches(const cis_app *app);
/* Of that store: the caches that views of its files share. */
cis_code cis_app_fs_cache(cis_app *app, cis_fs_cache **out_fs_cache, struct cis_error *err);
/* `slots`: of its pool when none are configured, 0: from the system's limits. A pool costs time to
 * make by its size, and a command that runs has one guest at a time. */
#define CIS_APP_RUN_SLOTS 8u
cis_code cis_app_engine(cis_app *app, uint32_t slots, cis_engine **out_engine,
                        struct cis_error *err);
/* HTTP as configured, alone. Borrowed from the app. */
cis_code cis_app_http(cis_app *app, const struct cis_http_service **out_http,
                      struct cis_error *err);
/* Memory over the store, log lines to stderr ("LEVEL skill: text"), and with `network` HTTP and AI
 * as configured: they take milliseconds to start and are not needed by a run that may not use them.
 */
cis_code cis_app_services(cis_app *app, bool network, struct cis_services *out_services,
                          struct cis_error *err);
/* What services print from now on is on this recording too; NULL: no more. */
void cis_app_record(cis_app *app, cis_recording *recording);
/* Unstable features of WASI that the configuration switches on, as bits. */
cis_code cis_app_wasi_features(const cis_app *app, uint32_t *inout_wasi, struct cis_error *err);
/* A stop for store work of this command: cancelled by Ctrl-C, at most 60 s. */
struct cis_stop cis_app_stop(const cis_app *app);

#endif
