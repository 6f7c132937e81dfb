/* Fields of HTTP messages as a guest may give them: what a name and a value are made of, and which
 * fields are the host's alone. Pure. */
#ifndef CIS_POLICY_HEADER_H
#define CIS_POLICY_HEADER_H

#include "base/str.h"

/* A token of RFC 9110 §5.6.2: names of fields, and methods. */
bool cis_header_token(struct cis_str text);
/* No control character but the tab: nothing that could end a line, or that readers cut at. */
bool cis_header_value(struct cis_str text);
/* Belongs to the connection or to the framing, and so to the host (RFC 9110 §7.6.1, §7.2), with
 * what intermediaries are known to trust. content-length is among them. */
bool cis_header_of_host(struct cis_str name);
/* May it come after a body? Not what frames, routes or authorises a message, or says how its body
 * is read (RFC 9110 §6.5.1): who reads it late may have checked by something else. */
bool cis_header_in_trailers(struct cis_str name);

#endif
