/* Error codes and the caller-owned error object of libcis.
 *
 * A function that can fail returns `enum cis_code` and takes `struct cis_error *err` last; err may
 * be NULL. Outputs are untouched on failure. The error object holds no heap memory and needs no
 * cleanup. Threads: an error object belongs to the thread that passes it. */
#ifndef CIS_ERROR_H
#define CIS_ERROR_H

#if defined(_WIN32)
#define CIS_API
#else
#define CIS_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum cis_code {
#define CIS_ERROR(name, ...) CIS_E_##name,
#include "cis/error.def"
#undef CIS_ERROR
    CIS_E_COUNT_
};
#define CIS_OK CIS_E_OK

#if defined(__GNUC__) && !defined(__cplusplus)
typedef enum cis_code cis_code;
#else
typedef enum cis_code cis_code;
#endif
#define CIS_MUST_USE __attribute__((warn_unused_result))

#define CIS_ERROR_MSG_MAX 224

struct cis_error {
    cis_code code;
    int sys;                     /* errno of the system call that failed, or 0 */
    char msg[CIS_ERROR_MSG_MAX]; /* one line, NUL-terminated, names the object */
};

/* Fills err from an errno, and returns the code for it: what a callback that reads or writes
 * returns. Nothing and CIS_E_OK for 0. EAGAIN, kept in err->sys, says "not now". */
CIS_API enum cis_code cis_error_errno(struct cis_error *err, int sys);
/* "INVALID", "DEADLINE", …; static storage. */
CIS_API const char *cis_code_name(cis_code code);
/* One-line text of the code; static storage. */
CIS_API const char *cis_code_text(cis_code code);
/* Exit code that `cis skill run` ends with for this code. */
CIS_API int cis_code_skill_exit(cis_code code);
/* Exit code that `cis run` ends with for this code. */
CIS_API int cis_code_run_exit(cis_code code);
CIS_API int cis_code_http_status(cis_code code);

#ifdef __cplusplus
}
#endif
#endif
