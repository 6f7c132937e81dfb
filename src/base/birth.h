/* The process in which an object was made. A child of fork has its memory, but none of the threads,
 * and locks as they were held at that moment: whoever keeps threads asks before it takes a lock. */
#ifndef CIS_BASE_BIRTH_H
#define CIS_BASE_BIRTH_H

#include "base/error.h"
#include <stdbool.h>

struct cis_birth {
    const volatile unsigned char *page; /* 1 here, 0 in a child of fork; NULL: pid tells */
    int pid;
};

cis_code cis_birth_open(struct cis_birth *birth, struct cis_error *err);
/* False in a child of fork, and in the children of it. Any thread; costs one read. */
bool cis_birth_here(const struct cis_birth *birth);
void cis_birth_close(struct cis_birth *birth);

#endif
