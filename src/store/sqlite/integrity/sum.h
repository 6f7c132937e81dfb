/* The checksum of a database page; the log's mark carries one too. Pure. */
#ifndef CIS_STORE_SQLITE_INTEGRITY_SUM_H
#define CIS_STORE_SQLITE_INTEGRITY_SUM_H

#include <stddef.h>
#include <stdint.h>

/* n is a multiple of 8. Never 0. */
uint64_t cis_sql_page_sum(const uint8_t *page, size_t n, uint64_t number);

#endif
