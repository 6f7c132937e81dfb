/* Reading and writing the stamp. */
#include "store/sqlite/integrity/stamp.h"

#include <string.h>
#include "base/crc32c.h"
#include "base/le.h"
#include "store/sqlite/integrity/logmark.h"

#define SEED 0x63697331u /* zeros are no stamp */
#define NONE 0x80000000u

bool cis_sql_stamp_read(sqlite3_file *database, struct sql_stamp *out)
{
    uint8_t raw[CIS_SQL_STAMP_BYTES];
    if (database->pMethods->xRead(database, raw, sizeof raw, CIS_SQL_STAMP_AT) != SQLITE_OK ||
        cis_le32(raw + 16) != cis_crc32c(SEED, raw, 16)) {
        return false;
    }
    memcpy(out->salts, raw, sizeof out->salts);
    out->frames = cis_le32(raw + 8);
    out->before = cis_le32(raw + 12) & ~NONE;
    out->none = (cis_le32(raw + 12) & NONE) != 0;
    return true;
}

int cis_sql_stamp_write(sqlite3_file *database, const struct sql_stamp *stamp, bool sync)
{
    uint8_t raw[CIS_SQL_STAMP_BYTES];
    memcpy(raw, stamp->salts, sizeof stamp->salts);
    cis_put_le32(raw + 8, stamp->frames);
    cis_put_le32(raw + 12, stamp->before | (stamp->none ? NONE : 0));
    cis_put_le32(raw + 16, cis_crc32c(SEED, raw, 16));
    int rc = database->pMethods->xWrite(database, raw, sizeof raw, CIS_SQL_STAMP_AT);
    return rc == SQLITE_OK && sync ? database->pMethods->xSync(database, SQLITE_SYNC_NORMAL) : rc;
}

int cis_sql_stamp_fold(sqlite3_file *database)
{
    struct sql_stamp stamp;
    if (!cis_sql_stamp_read(database, &stamp)) {
        return SQLITE_OK;
    }
    if (stamp.frames != 0) {
        cis_sql_salts_next(stamp.salts, stamp.salts);
        stamp.before = stamp.frames;
        stamp.frames = 0;
    }
    stamp.none = true;
    return cis_sql_stamp_write(database, &stamp, true);
}

int cis_sql_stamp_clear(sqlite3_file *database)
{
    static const uint8_t zeros[CIS_SQL_STAMP_BYTES];
    int rc = database->pMethods->xWrite(database, zeros, sizeof zeros, CIS_SQL_STAMP_AT);
    return rc == SQLITE_OK ? database->pMethods->xSync(database, SQLITE_SYNC_NORMAL) : rc;
}

void cis_sql_salts_next(const uint8_t salts[8], uint8_t out[8])
{
    uint32_t next = cis_sql_be32(salts) + 1;
    for (unsigned i = 0; i < 4; i++) {
        out[i] = (uint8_t)(next >> (24 - 8 * i));
    }
    memset(out + 4, 0, 4);
}

bool cis_sql_salts_follow(const uint8_t before[8], const uint8_t after[8])
{
    return cis_sql_be32(before) + 1 == cis_sql_be32(after);
}
