/* Checking JSON text without building it: inputs of 64 MiB are checked in constant memory. Values
 * are read elsewhere with jansson. RFC 8259, UTF-8 checked, no depth over CIS_JSON_DEPTH_MAX. */
#ifndef CIS_BASE_JSON_H
#define CIS_BASE_JSON_H

#include "base/str.h"

#define CIS_JSON_DEPTH_MAX 512

/* One value with white space around it. False: *out_at (may be NULL) is the offset of the error. */
bool cis_json_valid(const void *text, size_t len, size_t *out_at);

/* Valid, and read back by jansson (with JSON_ALLOW_NUL) for sure. RFC 8259 allows what that
 * refuses: half a surrogate pair, an integer outside of int64_t, a number outside of double, a NUL
 * in a name. The other way round it is stricter: a number of 1e300 or more does not pass. What a
 * guest wrote is put into a text of our own only if it passes. */
bool cis_json_reads(const void *text, size_t len);

/* The members of an object one by one, as they are written: escapes of the name are not resolved.
 * *at begins with 0. False: there is no further one, or what comes is damaged. */
bool cis_json_member(struct cis_str text, size_t *at, struct cis_str *out_name,
                     struct cis_str *out_value);

#endif
