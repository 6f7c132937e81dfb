/* The head of an HTTP/1 request, parsed by the crate httparse; implemented in engine/src/head.rs,
 * included by src/httpd only. Nothing is allocated, nothing is copied. */
#ifndef CIS_HEAD_H
#define CIS_HEAD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CIS_HEAD_FIELDS_MAX 64u

struct cis_head_text {
    const char *ptr; /* in the bytes that were parsed */
    size_t len;
};
struct cis_head_field {
    struct cis_head_text name, value; /* the value without blanks around it */
};
struct cis_head {
    struct cis_head_text method, target;
    size_t len; /* bytes of the head, with the empty line */
    size_t nfields;
    uint8_t minor; /* HTTP/1.minor: 0 or 1 */
    struct cis_head_field fields[CIS_HEAD_FIELDS_MAX];
};
enum cis_head_status {
    CIS_HEAD_WHOLE = 0,
    CIS_HEAD_PART = 1,    /* the empty line is not there yet */
    CIS_HEAD_INVALID = 2, /* *out_why: static, NUL-terminated */
    CIS_HEAD_MANY = 3     /* more than CIS_HEAD_FIELDS_MAX fields */
};
/* `out` is filled for CIS_HEAD_WHOLE alone. A line may end with a bare LF as far as the crate is
 * concerned: who must not accept that looks before. */
int cis_head_read(const uint8_t *bytes, size_t len, struct cis_head *out, const char **out_why);

#ifdef __cplusplus
}
#endif
#endif
