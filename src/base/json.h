/* Judging JSON text without building it: inputs of 64 MiB are checked in constant memory. Values
 * are read elsewhere with jansson. RFC 8259, UTF-8 checked, no depth over CIS_JSON_DEPTH_MAX. */
#ifndef CIS_BASE_JSON_H
#define CIS_BASE_JSON_H

#include "base/str.h"

#define CIS_JSON_DEPTH_MAX 512

/* One value with white space around it. False: *out_at (may be NULL) is the offset of the error. */
bool cis_json_valid(const void *text, size_t len, size_t *out_at);

#endif
