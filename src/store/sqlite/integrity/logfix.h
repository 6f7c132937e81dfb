/* Mending a log (repair.c). Pure functions. */
#ifndef CIS_STORE_SQLITE_INTEGRITY_LOGFIX_H
#define CIS_STORE_SQLITE_INTEGRITY_LOGFIX_H

#include "store/sqlite/integrity/log_check.h"

/* A frame that is not right, as the walk stands before it, is made right if one bit of it was
 * flipped and it is certain which. next: the frame behind it, NULL: there is none. False: it is
 * another damage, or several bits are in question; the frame is as it was. */
bool cis_sql_frame_fix(const struct sql_walk *walk, uint8_t *frame, const uint8_t *next);
/* The same for the head of the log; salts: of its first frame. */
bool cis_sql_log_head_fix(uint8_t head[CIS_SQL_WAL_HEAD], const uint8_t salts[8]);

#endif
