/* scheduler:core-libs/wasi-{network,tcp,udp}@0.1.0: sockets for components whose calls wait by
 * themselves. The sockets are those of service/net under the run's grants; a guest that has none
 * gets access-denied. What blocks gives the CPU slot back and ends with the run's deadline or
 * cancellation.
 *
 * What the interfaces leave open is so here: connect, accept, send, receive and receive-from wait;
 * send takes all that it is given, or tells how much before it failed; receive gives an empty list
 * at the end of the connection, and only then, unless it was asked for none; would-block is never
 * said. A UDP socket that was not bound is bound to any port by its first send-to. Resources may be
 * dropped in any order. At most CIS_CORELIBS_CHUNK bytes a receive; the bytes of a send-to count as
 * any argument does (cis_engine_instance_hostcall_max: 4 MiB with the default budget), more ends
 * the guest.
 */
#ifndef CIS_PROVIDER_CORELIBS_CORELIBS_H
#define CIS_PROVIDER_CORELIBS_CORELIBS_H

#include "engine/component/component.h"
#include "host/host.h"

#define CIS_CORELIBS_CHUNK ((size_t)64 * 1024)

extern const struct cis_iface_table cis_corelibs_table;
/* For cis_iface_provider. NULL: another interface, version or name. */
const struct cis_ifacefn *cis_corelibs_function(struct cis_str interface, struct cis_str name);
const struct cis_iface_resource *cis_corelibs_resource(struct cis_str interface,
                                                       struct cis_str name);
/* Closes what the guest left open. After the guest is gone, before the run's network. */
void cis_corelibs_end(struct cis_host *host);

#endif
