/* URLs of the host's own settings, for messages. Pure functions. */
#ifndef CIS_BASE_URL_H
#define CIS_BASE_URL_H

#include "base/buf.h"

/* Appends scheme://user:password@host/path?query without the password, and without the value of
 * every parameter whose name has "pass", "secret" or an escape in it. Text that is no URL is
 * appended as it is. */
void cis_url_redact(struct cis_str url, struct cis_buf *out);

#endif
