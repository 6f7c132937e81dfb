/* Components from C: interfaces that you provide to guests, and exported functions that you call
 * with values.
 *
 *   cis_provider    interfaces in C: functions by interface, name and type, and resources
 *   cis_wit         one value of a call: read by type, built in place
 *   cis_wit_call    a call that is going on: of one of your functions, or of a guest's
 *   cis_component   an instance that is kept, to call its exports
 *
 * A component that is a whole program is run as every program: cis_wasi_run (cis/wasi.h),
 * with cis_wasi_config_provide for interfaces of yours.
 *
 * Types are text, as in WIT but with everything written out: "func(self: borrow<counter>, by: u32)
 * -> result<u64, string>", "record{name:string,size:u64}", "variant{none,text(string)}",
 * "enum{a,b}", "flags{r,w}", "tuple<u8,char>", "list<own<counter>>", "option<f64>". Names of
 * parameters and spaces do not matter; names of fields and cases do. A guest whose import has
 * another type is refused when the run starts, and named.
 *
 * Versions are matched as for WASI: "a:b/c@1.2.0" serves guests that ask for 1.0.0 to 1.9.9; 0.3.1
 * those of 0.3.x. */
#ifndef CIS_COMPONENT_H
#define CIS_COMPONENT_H

#include "cis/wasi.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cis_provider cis_provider;
typedef struct cis_wit_call cis_wit_call;
typedef struct cis_wit cis_wit;
typedef struct cis_component cis_component;

/* ---- providing interfaces ---- */
/* Called from the thread of the run, by as many at once as there are runs. CIS_E_OK: the guest goes
 * on with the result that was built. Anything else ends the run with that code; say why with
 * cis_wit_fail. An error that the guest shall see is part of the function's type. */
typedef enum cis_code cis_wit_fn(void *self, cis_wit_call *call);
/* The guest gave up its last handle, or its run ended, however it ended: called once for each
 * object that was handed out and not taken back. From the thread of the run. As every callback it
 * may call anything; its own component refuses, also while it is closed (CIS_E_USAGE). */
typedef void cis_wit_drop_fn(void *self, void *object);

/* Filled in step by step, then used by any number of runs and threads at once; make it once and
 * keep it, as each one is linked with each module anew. Steps copy their texts and return nothing:
 * the first that could not be done is the error of cis_wasi_run. */
CIS_API enum cis_code cis_provider_new(cis_provider **out_provider, struct cis_error *err);
/* Counted: runs and modules that use it keep it. NULL is allowed. */
CIS_API void cis_provider_free(cis_provider *provider);
/* "acme:shop/orders@1.2.0": what follows belongs to it. */
CIS_API void cis_provider_interface(cis_provider *provider, const char *interface_name);
/* "order"; drop may be NULL. Interfaces of the same package that `use` it need not say so. */
CIS_API void cis_provider_resource(cis_provider *provider, const char *name, cis_wit_drop_fn *drop,
                                   void *self);
/* "total", or of a resource: "[constructor]order", "[method]order.add", "[static]order.find". */
CIS_API void cis_provider_function(cis_provider *provider, const char *name, const char *type,
                                   cis_wit_fn *function, void *self);

/* To this run's program, beside WASI. A function that WASI or another provider of the run has
 * already is CIS_E_EXISTS. At most 8 of them. */
CIS_API void cis_wasi_config_provide(cis_wasi_config *config, cis_provider *provider);
CIS_API void cis_wasi_host_provide(cis_wasi_host *host, cis_provider *provider);
/* A package that is built in ("scheduler:core-libs", "wasi:http") shall not be there: it is
 * missing, or provided by what is given after this step. Another name is CIS_E_USAGE. */
CIS_API void cis_wasi_config_without(cis_wasi_config *config, const char *package);
/* What cis_wit_data gives to the functions. Borrowed. */
CIS_API void cis_wasi_config_data(cis_wasi_config *config, void *data);
/* Instead of wasi:cli/run: a call as text, "f(1, \"a\")" or "iface.f(…)". What it gave is
 * cis_result_output, as text. */
CIS_API void cis_wasi_config_invoke(cis_wasi_config *config, const char *call);

/* ---- inside a call ---- */
/* The i-th argument; NULL when there are fewer. */
CIS_API const cis_wit *cis_wit_arg(const cis_wit_call *call, size_t i);
/* What to build the answer in; of a function without a result: nothing reads it. */
CIS_API cis_wit *cis_wit_result(cis_wit_call *call);
CIS_API void *cis_wit_data(const cis_wit_call *call);
/* Returns code, for the function to return: the run ends with it and this message (cut to what fits
 * into struct cis_error). */
CIS_API enum cis_code cis_wit_fail(cis_wit_call *call, enum cis_code code, const char *message);
/* Others run while a function does, whether it waits or not: _block does nothing. _unblock fails
 * when the run's time is over or it was cancelled: return that code. */
CIS_API void cis_wit_block(cis_wit_call *call);
CIS_API enum cis_code cis_wit_unblock(cis_wit_call *call);
/* False: the run is cancelled or its time is over; ask in long loops. *out_left_ms (may be NULL):
 * how long it still has. */
CIS_API bool cis_wit_alive(const cis_wit_call *call, uint64_t *out_left_ms);

/* ---- reading. A value of another type reads as 0, "" or nothing; NULL is allowed ---- */
CIS_API uint64_t cis_wit_uint(const cis_wit *value); /* bool, u8 to u64, char */
CIS_API int64_t cis_wit_int(const cis_wit *value);   /* s8 to s64, too */
CIS_API double cis_wit_float(const cis_wit *value);  /* f32, f64 */
/* A string, an enum, or the name of a variant's case. UTF-8 without a NUL at its end; of the call.
 */
CIS_API const char *cis_wit_text(const cis_wit *value, size_t *out_len);
CIS_API bool cis_wit_is(const cis_wit *value, const char *text); /* the same, compared */
/* Of a list, a tuple, a record: how many, and the i-th; NULL when there are fewer. */
CIS_API size_t cis_wit_len(const cis_wit *value);
CIS_API const cis_wit *cis_wit_at(const cis_wit *value, size_t i);
CIS_API const cis_wit *cis_wit_field(const cis_wit *record, const char *name);
/* list<u8> into room for cis_wit_len bytes. */
CIS_API void cis_wit_bytes(const cis_wit *list, void *out);
CIS_API bool cis_wit_has_flag(const cis_wit *flags, const char *name);
/* What is in an option, a result or a variant's case; NULL: nothing. */
CIS_API const cis_wit *cis_wit_inner(const cis_wit *value);
CIS_API bool cis_wit_is_ok(const cis_wit *result);
/* The object behind a resource. It stays the guest's when it was lent (borrow<>). One that was
 * handed over (own<>) is dropped when the function returns, unless cis_wit_take has taken it: then
 * it is yours, and its `drop` is not called. NULL: not a resource, taken already, or made by
 * another provider than that of this function. */
CIS_API void *cis_wit_object(const cis_wit_call *call, const cis_wit *value);
CIS_API void *cis_wit_take(cis_wit_call *call, const cis_wit *value);

/* ---- building, in a result or in the arguments of a call of yours ----
 * What the guest causes is charged to its run before it is built. Steps return nothing: after one
 * that could not be done the call fails with its error, whatever the function returns. Values
 * inside others are handed out to be built in turn; NULL where there is none, which every step
 * allows. Build a value once. */
CIS_API void cis_wit_set_bool(cis_wit *out, bool on);
CIS_API void cis_wit_set_u8(cis_wit *out, uint8_t n);
CIS_API void cis_wit_set_u16(cis_wit *out, uint16_t n);
CIS_API void cis_wit_set_u32(cis_wit *out, uint32_t n);
CIS_API void cis_wit_set_u64(cis_wit *out, uint64_t n);
CIS_API void cis_wit_set_s8(cis_wit *out, int8_t n);
CIS_API void cis_wit_set_s16(cis_wit *out, int16_t n);
CIS_API void cis_wit_set_s32(cis_wit *out, int32_t n);
CIS_API void cis_wit_set_s64(cis_wit *out, int64_t n);
CIS_API void cis_wit_set_f32(cis_wit *out, float n);
CIS_API void cis_wit_set_f64(cis_wit *out, double n);
CIS_API void cis_wit_set_char(cis_wit_call *call, cis_wit *out, uint32_t scalar);
CIS_API void cis_wit_set_text(cis_wit_call *call, cis_wit *out, const char *text, size_t len);
CIS_API void cis_wit_set_bytes(cis_wit_call *call, cis_wit *out, const void *data, size_t len);
CIS_API void cis_wit_set_enum(cis_wit_call *call, cis_wit *out, const char *name);
CIS_API void cis_wit_set_flags(cis_wit_call *call, cis_wit *out, const char *const *names,
                               size_t n);
CIS_API void cis_wit_set_none(cis_wit *out);
CIS_API cis_wit *cis_wit_set_some(cis_wit *out);
/* has: with a value. */
CIS_API cis_wit *cis_wit_set_ok(cis_wit_call *call, cis_wit *out, bool has);
CIS_API cis_wit *cis_wit_set_error(cis_wit_call *call, cis_wit *out, bool has);
CIS_API cis_wit *cis_wit_set_case(cis_wit_call *call, cis_wit *out, const char *name, bool has);
CIS_API void cis_wit_set_list(cis_wit_call *call, cis_wit *out, size_t n);
CIS_API void cis_wit_set_tuple(cis_wit_call *call, cis_wit *out, size_t n);
CIS_API void cis_wit_set_record(cis_wit_call *call, cis_wit *out, const char *const *names,
                                size_t n);
/* Of a list, tuple or record that was just made. */
CIS_API cis_wit *cis_wit_item(cis_wit_call *call, cis_wit *value, size_t i);
/* A resource of the interface that the function belongs to: a new handle of the guest's for
 * `object`, which is yours again when its `drop` is called. At once when this fails. */
CIS_API void cis_wit_set_object(cis_wit_call *call, cis_wit *out, const char *resource,
                                void *object);

/* ---- calling what a guest exports ---- */
/* An instance in the surroundings of `config`, which it borrows, kept between calls: one thread at
 * a time. Each call has the whole time limit. What it changes in a workspace is forgotten. */
CIS_API enum cis_code cis_component_open(const cis_wasi_config *config, cis_module *module,
                                         cis_component **out_component, struct cis_error *err);
/* A call that was begun stays its owner's to free, and can do nothing any more; its values are
 * gone. From a callback of a call that is being made: it goes when the call is over. From a drop
 * while it is closed: nothing. NULL is allowed. */
CIS_API void cis_component_close(cis_component *component);
/* "f(1, \"a\")" or "acme:shop/orders@1.2.0.f(…)" and its answer as text (WAVE); free it with
 * cis_output_free. CIS_E_USAGE says where the text does not fit the function's type. */
CIS_API enum cis_code cis_component_eval(cis_component *component, const char *text,
                                         char **out_text, struct cis_error *err);
/* With values: "f" or "acme:shop/orders@1.2.0#f", and the type that you expect it to have
 * (CIS_E_ENTRY: it is not there, or has another one). Resources cannot be among the values. Build
 * the arguments in cis_wit_param, then perform it once, then read cis_wit_result. One call at a
 * time. */
CIS_API enum cis_code cis_component_begin(cis_component *component, const char *name,
                                          const char *type, cis_wit_call **out_call,
                                          struct cis_error *err);
CIS_API cis_wit *cis_wit_param(cis_wit_call *call, size_t i);
CIS_API enum cis_code cis_wit_perform(cis_wit_call *call, struct cis_error *err);
CIS_API void cis_wit_call_free(cis_wit_call *call); /* NULL is allowed; not of a function's call */

#ifdef __cplusplus
}
#endif
#endif
