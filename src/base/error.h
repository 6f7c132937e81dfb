/* Making and passing on errors inside the library: see cis/error.h for the object itself.
 * The error path allocates nothing. */
#ifndef CIS_BASE_ERROR_H
#define CIS_BASE_ERROR_H

#include <stdarg.h>
#include "cis/error.h"

/* Fills err (which may be NULL) and returns code. The message is cut at a UTF-8 boundary; control
 * characters (a guest may have chosen part of it) become '?'. */
cis_code cis_fail(struct cis_error *err, cis_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with the text of sys appended (strerror), and err->sys set. */
cis_code cis_fail_sys(struct cis_error *err, cis_code code, int sys, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
cis_code cis_fail_v(struct cis_error *err, cis_code code, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));
/* Puts "context: " before the message of a lower room; keeps the code. Returns err->code. */
cis_code cis_error_prefix(struct cis_error *err, cis_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* What code that is not ours (a callback of an embedder) answered, with the error that it was given
 * to fill: a code that is none becomes CIS_E_PROVIDER, a message without an end gets one, an empty
 * one says `who`. err may be NULL. Returns the code that counts. */
cis_code cis_error_foreign(struct cis_error *err, cis_code code, const char *who);

/* The errno that stands for a code; EIO for those that have none. And the code that stands for an
 * errno: CIS_E_IO for those not known. Neither loses what the other can say: a code that comes back
 * from its errno as another one (DEADLINE as CANCELLED) shares that errno with it. */
int cis_code_errno(cis_code code);
cis_code cis_code_of_errno(int rc);

/* The errno of what an embedder's callback returned with the error that it was given to fill. */
int cis_error_sys(cis_code code, const struct cis_error *err);

/* The only macro that returns. */
#define CIS_TRY(call)                                                                              \
    do {                                                                                           \
        cis_code cis_try_ = (call);                                                                \
        if (cis_try_ != CIS_OK) {                                                                  \
            return cis_try_;                                                                       \
        }                                                                                          \
    } while (0)

/* Runs fn(&variable) when the variable leaves its scope. */
#define CIS_CLEANUP(fn) __attribute__((cleanup(fn)))

#endif
