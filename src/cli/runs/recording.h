/* --record FILE of the commands that run something, and the lines of --trace host. */
#ifndef CIS_CLI_RECORDING_H
#define CIS_CLI_RECORDING_H

#include "cli/app.h"
#include "engine/code/module.h"

/* For cis_engine_module_load: what a module is compiled with to be recorded; 0 without --record. */
unsigned cis_cli_record_features(const struct cis_cli *cli);
/* Makes the file named by --record when all is ready to run; *out_recording is NULL without it,
 * else the caller's to free, after the run and before the app is closed. source->about is filled in
 * here. */
cis_code cis_cli_record(cis_app *app, const struct cis_cli *cli, const cis_engine_module *module,
                        struct cis_recording_source *source, cis_recording **out_recording,
                        struct cis_error *err);

/* "host  LINE" on stderr; self is not used. */
void cis_cli_trace_line(void *self, const char *line);

#endif
