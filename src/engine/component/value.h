/* Values of components, as handlers and callers see them: the engine's own, behind an opaque name.
 * A value belongs to the call it is of, and to its thread.
 *
 * Resources among the arguments of a host function are numbers (cis_val_rep): what was lent is
 * given back when the call ends, and what was handed over is the handler's from then on: the
 * guest's handle is gone, and the resource's `drop` is not called for it. */
#ifndef CIS_ENGINE_VALUE_H
#define CIS_ENGINE_VALUE_H

#include "base/buf.h"
#include "engine/instance/instance.h"

typedef struct cis_val cis_val; /* one value, or the first of an array */

/* The row that a handler was called for. */
const struct cis_ifacefn *cis_engine_instance_row(const cis_engine_instance *instance);

/* ---- reading (the caller knows the type) ---- */

const cis_val *cis_val_nth(const cis_val *array, size_t i);
struct cis_str cis_val_text(const cis_val *val); /* string, enum, or the name of a variant's case */
uint64_t cis_val_uint(const cis_val *val);       /* bool, u8 to u64, char */
int64_t cis_val_int(const cis_val *val);         /* s8 to s64 */
double cis_val_float(const cis_val *val);        /* f32, f64 */
uint32_t cis_val_rep(const cis_val *val);        /* a resource that a handler got */
size_t cis_val_len(const cis_val *val); /* of a list, record or tuple; of flags: set ones */
struct cis_str cis_val_flag(const cis_val *flags, size_t i); /* name of the i-th that is set */
bool cis_val_has_flag(const cis_val *flags, const char *name);
bool cis_val_is_flags(const cis_val *val);
bool cis_val_is_record(const cis_val *val);
struct cis_str cis_val_field_name(const cis_val *record, size_t i);
const cis_val *cis_val_at(const cis_val *val, size_t i); /* its i-th item */
/* Of an option, a variant's case, a result; NULL without. */
const cis_val *cis_val_inner(const cis_val *val);
bool cis_val_is_ok(const cis_val *result);
/* Copies a list<u8>; room for cis_val_len bytes. */
void cis_val_copy_bytes(const cis_val *list, uint8_t *out);
/* For --trace: text of a value, long ones cut. */
void cis_val_print(const cis_val *val, struct cis_buf *out);

/* ---- building ----
 * Fail with CIS_E_BUDGET before anything is built, and with CIS_E_INVALID for text that is not
 * UTF-8. Names are static. Inner values are built where *out_inner says. */
cis_code cis_val_set_text(cis_engine_instance *instance, cis_val *out, struct cis_str text,
                          struct cis_error *err);
cis_code cis_val_set_bytes(cis_engine_instance *instance, cis_val *out, struct cis_bytes bytes,
                           struct cis_error *err);
void cis_val_set_bool(cis_val *out, bool on);
void cis_val_set_u8(cis_val *out, uint8_t n);
void cis_val_set_u16(cis_val *out, uint16_t n);
void cis_val_set_u32(cis_val *out, uint32_t n);
void cis_val_set_u64(cis_val *out, uint64_t n);
void cis_val_set_s8(cis_val *out, int8_t n);
void cis_val_set_s16(cis_val *out, int16_t n);
void cis_val_set_s32(cis_val *out, int32_t n);
void cis_val_set_s64(cis_val *out, int64_t n);
void cis_val_set_f32(cis_val *out, float n);
void cis_val_set_f64(cis_val *out, double n);
cis_code cis_val_set_char(cis_val *out, uint32_t c, struct cis_error *err);
void cis_val_set_enum(cis_val *out, struct cis_str name);
cis_code cis_val_set_flags(cis_engine_instance *instance, cis_val *out, const struct cis_str *names,
                           size_t n, struct cis_error *err);
/* A resource of this kind goes to the guest: its handle, and its `drop` when that is gone. Once for
 * a result. CIS_E_LIMIT: the guest holds as many handles as it may. */
cis_code cis_val_set_own(cis_engine_instance *instance, cis_val *out, uint32_t kind, uint32_t rep,
                         struct cis_error *err);
void cis_val_set_none(cis_val *out);
cis_val *cis_val_set_some(cis_val *out);
/* out_inner NULL: without a value. */
void cis_val_set_result(cis_val *out, bool is_ok, cis_val **out_inner);
void cis_val_set_variant(cis_val *out, const char *name, cis_val **out_inner);
void cis_val_set_record(cis_val *out, const char *const *names, size_t n);
void cis_val_set_tuple(cis_val *out, size_t n);
cis_code cis_val_set_list(cis_engine_instance *instance, cis_val *out, size_t n,
                          struct cis_error *err);
cis_val *cis_val_item(cis_val *val, size_t i); /* of a record, tuple or list, to build in */

#endif
