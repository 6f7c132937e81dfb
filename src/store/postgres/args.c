/* Parameters and results in PostgreSQL's binary form: integers are 8 bytes big-endian, arrays have
 * one dimension and no NULL in them. */
#include <endian.h>
#include "store/postgres/internal.h"

enum { OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25, ARRAY_HEAD = 20 };

void cis_pg_arg_bytes(struct pg_args *args, const void *ptr, size_t len)
{
    if (args->n == PG_ARGS_MAX || len > INT32_MAX) {
        args->failed = true;
        return;
    }
    args->ptr[args->n] = len != 0 ? ptr : "";
    args->len[args->n++] = (int)len;
}

void cis_pg_arg_null(struct pg_args *args)
{
    cis_pg_arg_bytes(args, NULL, 0);
    if (!args->failed) {
        args->ptr[args->n - 1] = NULL;
    }
}

void cis_pg_arg_int(struct pg_args *args, int64_t value)
{
    if (args->n == PG_ARGS_MAX) {
        args->failed = true;
        return;
    }
    uint64_t net = htobe64((uint64_t)value);
    memcpy(args->num[args->n], &net, sizeof net);
    cis_pg_arg_bytes(args, args->num[args->n], sizeof net);
}

static int64_t bigint(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

void cis_pg_arg_u64(struct pg_args *args, uint64_t value)
{
    cis_pg_arg_int(args, bigint(value));
}

static void add32(struct cis_buf *buf, uint32_t value)
{
    uint32_t net = htobe32(value);
    cis_buf_add(buf, &net, sizeof net);
}

static void begin(struct pg_array *array)
{
    if (array->n++ == 0) {
        uint8_t head[ARRAY_HEAD] = {0};
        cis_buf_add(&array->buf, head, sizeof head);
    }
}

void cis_pg_array_int(struct pg_array *array, int64_t value)
{
    uint64_t net = htobe64((uint64_t)value);
    begin(array);
    add32(&array->buf, sizeof net);
    cis_buf_add(&array->buf, &net, sizeof net);
}

void cis_pg_array_u64(struct pg_array *array, uint64_t value)
{
    cis_pg_array_int(array, bigint(value));
}

void cis_pg_array_bytes(struct pg_array *array, const void *ptr, size_t len)
{
    begin(array);
    add32(&array->buf, (uint32_t)(len > INT32_MAX ? INT32_MAX : len));
    if (len != 0) { /* too long for an element is too long for the buffer, which then fails */
        cis_buf_add(&array->buf, ptr, len);
    }
}

void cis_pg_array_reset(struct pg_array *array)
{
    cis_buf_reset(&array->buf);
    array->n = 0;
}

void cis_pg_array_done(struct pg_array *array)
{
    cis_buf_done(&array->buf);
    array->n = 0;
}

/* Dimensions, has-null flag, element type, length, lower bound. */
static void arg_array(struct pg_args *args, struct pg_array *array, uint32_t oid)
{
    if (array->n == 0) {
        uint8_t head[ARRAY_HEAD] = {0};
        cis_buf_add(&array->buf, head, sizeof head);
    }
    if (array->buf.failed != CIS_OK) {
        args->failed = true;
        return;
    }
    const uint32_t head[] = {htobe32(1), 0, htobe32(oid), htobe32(array->n), htobe32(1)};
    memcpy(array->buf.ptr, head, sizeof head);
    cis_pg_arg_bytes(args, array->buf.ptr, array->buf.len);
}

void cis_pg_arg_ints(struct pg_args *args, struct pg_array *array)
{
    arg_array(args, array, OID_INT8);
}

void cis_pg_arg_blobs(struct pg_args *args, struct pg_array *array)
{
    arg_array(args, array, OID_BYTEA);
}

void cis_pg_arg_texts(struct pg_args *args, struct pg_array *array)
{
    arg_array(args, array, OID_TEXT);
}

/* ---- results ---- */
void cis_pg_clear(PGresult **result)
{
    PQclear(*result);
    *result = NULL;
}

int64_t cis_pg_int(const PGresult *result, int row, int column)
{
    if (row >= PQntuples(result) || column >= PQnfields(result) ||
        PQgetisnull(result, row, column)) {
        return 0;
    }
    const char *at = PQgetvalue(result, row, column);
    switch (PQgetlength(result, row, column)) {
    case 1:
        return (uint8_t)at[0];
    case 2: {
        uint16_t v;
        memcpy(&v, at, sizeof v);
        return (int16_t)be16toh(v);
    }
    case 4: {
        uint32_t v;
        memcpy(&v, at, sizeof v);
        return (int32_t)be32toh(v);
    }
    case 8: {
        uint64_t v;
        memcpy(&v, at, sizeof v);
        return (int64_t)be64toh(v);
    }
    default:
        return 0;
    }
}

struct cis_bytes cis_pg_bytes(const PGresult *result, int row, int column)
{
    if (row >= PQntuples(result) || column >= PQnfields(result) ||
        PQgetisnull(result, row, column)) {
        return (struct cis_bytes){(const uint8_t *)"", 0};
    }
    int len = PQgetlength(result, row, column);
    return (struct cis_bytes){(const uint8_t *)PQgetvalue(result, row, column),
                              len > 0 ? (size_t)len : 0};
}

struct cis_str cis_pg_str(const PGresult *result, int row, int column)
{
    struct cis_bytes b = cis_pg_bytes(result, row, column);
    return (struct cis_str){(const char *)b.ptr, b.len};
}

void cis_pg_text(const PGresult *result, int row, int column, char *out, size_t size)
{
    struct cis_bytes b = cis_pg_bytes(result, row, column);
    size_t n = b.len < size ? b.len : size - 1;
    memcpy(out, b.ptr, n);
    out[n] = 0;
}
