/* WASI 0.2: the imports of the world wasi:cli/command but for sockets, as rows of interfaces:
 * wasi:io (error, poll, streams), wasi:clocks, wasi:random, wasi:cli, wasi:filesystem. What they
 * act on is struct cis_host and its world, the same as for WASI 0.1: mounts, streams, clocks and
 * grants hold identically.
 *
 * Versions. A guest asks for wasi:x/y@0.2.N; every N up to CIS_WASI_P2_MINOR is served by the one
 * implementation, as the interfaces only grew. 0.3 is another thing and is not provided.
 *
 * Resources. A handle of the guest names an entry of a table that belongs to the run; entries keep
 * what they need alive (a stream its file). What the standard calls a child (a pollable of its
 * stream, a stream of its socket or body, headers of their message) goes before its parent: else
 * the run ends with a trap. Everything else may be dropped in any order. Each entry is charged to
 * the run's budget, and wasi_env.handles_max of them live at once. */
#ifndef CIS_WASI_P2_P2_H
#define CIS_WASI_P2_P2_H

#include "cis/http_handler.h"
#include "engine/component/component.h"
#include "host/host.h"

#define CIS_WASI_P2_MINOR 12u

const struct cis_iface_table *const *cis_wasi_p2_tables(size_t *out_n);
/* For cis_iface_provider: rows and resources of an imported interface, unstable ones too; NULL: not
 * WASI 0.2, or not provided here. */
const struct cis_ifacefn *cis_wasi_p2_function(struct cis_str interface, struct cis_str name);
const struct cis_iface_resource *cis_wasi_p2_resource(struct cis_str interface,
                                                      struct cis_str name);
/* Unstable features: WASI 0.2 does not promise them, and a run has them only when it asks. */
#define CIS_WASI_CLOCKS_TIMEZONE 1u    /* wasi:clocks/timezone: tells the zone of this process */
#define CIS_WASI_NETWORK_ERROR_CODE 2u /* wasi:sockets/network.network-error-code */
#define CIS_WASI_ALL 3u
/* NULL: provided under what is on, or unknown; else text for the message that it is not. */
const char *cis_wasi_p2_off(uint32_t on, struct cis_str interface, struct cis_str name);
/* "clocks-timezone,network-error-code" (NULL, "": none) adds bits. CIS_E_USAGE names those that
 * there are. */
cis_code cis_wasi_p2_features(const char *list, uint32_t *inout_on, struct cis_error *err);
/* By its name alone: does it belong to a package that is provided here? *out_grants gets the bits
 * of the grants that calls of it may need. */
bool cis_wasi_p2_interface(struct cis_str interface, uint32_t *out_grants);
/* The export wasi:cli/run@0.2.x of a program; NULL: it is none. */
const struct cis_extern *cis_wasi_p2_command(const struct cis_engine_module_info *info);
/* The export wasi:http/incoming-handler@0.2.x; NULL: it has none. */
const struct cis_extern *cis_wasi_p2_handler(const struct cis_engine_module_info *info);
/* cis_component_handle, with the name of that export. The guest has its limits already. */
cis_code cis_wasi_p2_handle(cis_engine_instance *instance, struct cis_str export,
                            const struct cis_http_incoming *request,
                            struct cis_http_answer *out_answer, struct cis_error *err);
/* True for wasi:…@0.3 and later, which this build knows of but does not run. */
bool cis_wasi_p2_too_new(struct cis_str interface);
/* CIS_E_UNSUPPORTED names the first export of that kind. */
cis_code cis_wasi_p2_exports_too_new(const struct cis_engine_module_info *info,
                                     struct cis_error *err);
/* Closes what the guest left open. After the guest is gone. */
void cis_wasi_p2_end(struct cis_host *host);

#endif
