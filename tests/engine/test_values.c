/* Values and resources of host functions, by handlers that take C structs and by handlers that take
 * values: the same component, the same behaviour. Every type goes both ways. */
#include "base/clock.h"
#include "base/mem.h"
#include "engine/component/component.h"
#include "engine/recording/recording_component.h"
#include "harness.h"

#define INTERFACE "t:t/x"

enum { KIND_THING = 77, THINGS = 1000 };

struct fixture {
    cis_engine *engine;
    cis_engine_module *image;
};

static struct {
    uint32_t value[THINGS]; /* what a thing is; 0: there is none */
    int dropped, taken;
    bool values; /* handlers take values */
    bool fail;
    char seen[512];
    bool nothing; /* the host has no such thing, whatever handles say */
} host;

static uint32_t thing(uint32_t value)
{
    for (uint32_t i = 1; i < THINGS; i++) {
        if (host.value[i] == 0) {
            host.value[i] = value;
            return i;
        }
    }
    fail_msg("too many things");
    return 0;
}

static cis_code drop_thing(cis_engine_instance *guest, uint32_t rep, struct cis_error *err)
{
    (void)err;
    assert_non_null(guest);
    assert_true(rep < THINGS && host.value[rep] != 0);
    host.value[rep] = 0;
    host.dropped++;
    return CIS_OK;
}

static int live(void)
{
    int n = 0;
    for (int i = 0; i < THINGS; i++) {
        n += host.value[i] != 0;
    }
    return n;
}

/* ---- handlers with structs ---- */

struct made {
    bool failed;
    union {
        uint32_t thing;
        uint32_t error;
    };
};
struct maybe {
    bool has;
    uint32_t thing;
};
struct two {
    uint32_t a, b;
};
struct things {
    const uint32_t *at;
    size_t n;
};

static cis_code s_make(cis_engine_instance *guest, const void *args, void *result,
                       struct cis_error *err)
{
    uint32_t n = *(const uint32_t *)args;
    struct made *r = result;
    (void)guest;
    if (n == 13) {
        return cis_fail(err, CIS_E_BUDGET, "thirteen");
    }
    r->failed = n >= 100;
    r->error = r->failed ? n - 100 : thing(n);
    return CIS_OK;
}

static cis_code s_get(cis_engine_instance *guest, const void *args, void *result,
                      struct cis_error *err)
{
    (void)guest, (void)err;
    *(uint32_t *)result = host.value[*(const uint32_t *)args];
    return CIS_OK;
}

/* Things of even value come back as new ones, one higher; others are kept and gone. */
static cis_code s_take(cis_engine_instance *guest, const void *args, void *result,
                       struct cis_error *err)
{
    uint32_t rep = *(const uint32_t *)args, value = host.value[rep];
    struct maybe *r = result;
    (void)guest, (void)err;
    assert_true(value != 0);
    host.value[rep] = 0;
    host.taken++;
    r->has = value % 2 == 0;
    r->thing = r->has ? thing(value + 1) : 0;
    return CIS_OK;
}

static cis_code s_pair(cis_engine_instance *guest, const void *args, void *result,
                       struct cis_error *err)
{
    (void)guest, (void)args, (void)err;
    *(struct two *)result = (struct two){thing(1), thing(2)};
    return CIS_OK;
}

static uint32_t handed[THINGS];

static cis_code s_many(cis_engine_instance *guest, const void *args, void *result,
                       struct cis_error *err)
{
    uint32_t n = *(const uint32_t *)args;
    (void)guest, (void)err;
    for (uint32_t i = 0; i < n; i++) {
        handed[i] = thing(i + 1);
    }
    *(struct things *)result = (struct things){handed, n};
    return CIS_OK;
}

static cis_code s_sum(cis_engine_instance *guest, const void *args, void *result,
                      struct cis_error *err)
{
    const struct things *a = args;
    uint32_t *sum = result;
    (void)guest, (void)err;
    for (size_t i = 0; i < a->n; i++) {
        *sum += host.value[a->at[i]];
    }
    return CIS_OK;
}

struct inner {
    uint8_t n;
    struct cis_str text;
};
struct variant {
    uint32_t is;
    union {
        uint64_t number;
        struct cis_str text;
    };
};
struct all {
    bool b;
    int8_t s8;
    uint8_t u8;
    int16_t s16;
    uint16_t u16;
    int32_t s32;
    uint32_t u32;
    int64_t s64;
    uint64_t u64;
    float f32;
    double f64;
    uint32_t c;
    struct cis_str text;
    struct cis_bytes bytes;
    struct {
        const struct inner *at;
        size_t n;
    } list;
    struct {
        bool has;
        uint32_t value;
    } option;
    struct {
        bool failed;
        union {
            uint64_t ok;
            struct cis_str error;
        };
    } result;
    uint32_t color, perms;
    struct variant v;
};

static cis_code s_all(cis_engine_instance *guest, const void *args, void *result,
                      struct cis_error *err)
{
    const struct all *a = args;
    (void)guest, (void)err;
    snprintf(host.seen, sizeof host.seen,
             "%d %d %u %d %u %d %u %lld %llu %g %g %x %.*s %zu %zu %u %u %u %u %u", a->b, a->s8,
             a->u8, a->s16, a->u16, a->s32, a->u32, (long long)a->s64, (unsigned long long)a->u64,
             (double)a->f32, a->f64, a->c, (int)a->text.len, a->text.ptr, a->bytes.len, a->list.n,
             a->option.has, a->result.failed, a->color, a->perms, a->v.is);
    memcpy(result, a, sizeof *a);
    return CIS_OK;
}

/* ---- handlers with values ---- */

static cis_code v_make(cis_engine_instance *guest, const cis_val *args, cis_val *result,
                       struct cis_error *err)
{
    uint32_t n = (uint32_t)cis_val_uint(args);
    cis_val *inner;
    if (n == 13) {
        return cis_fail(err, CIS_E_BUDGET, "thirteen");
    }
    cis_val_set_result(result, n < 100, &inner);
    if (n >= 100) {
        cis_val_set_enum(inner, n == 100 ? CIS_STR("bad") : CIS_STR("worse"));
        return CIS_OK;
    }
    return cis_val_set_own(guest, inner, KIND_THING, thing(n), err);
}

static cis_code v_refused(cis_engine_instance *guest, const cis_val *args, cis_val *result,
                          struct cis_error *err)
{
    cis_val *inner;
    (void)guest, (void)args, (void)err;
    cis_val_set_result(result, false, &inner);
    cis_val_set_enum(inner, CIS_STR("worse"));
    return CIS_OK;
}

static cis_code v_none(cis_engine_instance *guest, const cis_val *args, cis_val *result,
                       struct cis_error *err)
{
    (void)guest, (void)args, (void)err;
    cis_val_set_none(result);
    return CIS_OK;
}

static cis_code v_get(cis_engine_instance *guest, const cis_val *args, cis_val *result,
                      struct cis_error *err)
{
    (void)guest, (void)err;
    cis_val_set_u32(result, host.value[cis_val_rep(args)]);
    return CIS_OK;
}

static cis_code v_take(cis_engine_instance *guest, const cis_val *args, cis_val *result,
                       struct cis_error *err)
{
    uint32_t rep = cis_val_rep(args);
    struct maybe r = {0};
    CIS_TRY(s_take(guest, &rep, &r, err));
    if (!r.has) {
        cis_val_set_none(result);
        return CIS_OK;
    }
    return cis_val_set_own(guest, cis_val_set_some(result), KIND_THING, r.thing, err);
}

static cis_code v_pair(cis_engine_instance *guest, const cis_val *args, cis_val *result,
                       struct cis_error *err)
{
    (void)args;
    cis_val_set_tuple(result, 2);
    CIS_TRY(cis_val_set_own(guest, cis_val_item(result, 0), KIND_THING, thing(1), err));
    return cis_val_set_own(guest, cis_val_item(result, 1), KIND_THING, thing(2), err);
}

static cis_code v_many(cis_engine_instance *guest, const cis_val *args, cis_val *result,
                       struct cis_error *err)
{
    uint32_t n = (uint32_t)cis_val_uint(args);
    CIS_TRY(cis_val_set_list(guest, result, n, err));
    for (uint32_t i = 0; i < n; i++) {
        CIS_TRY(cis_val_set_own(guest, cis_val_item(result, i), KIND_THING, thing(i + 1), err));
    }
    return CIS_OK;
}

static cis_code v_sum(cis_engine_instance *guest, const cis_val *args, cis_val *result,
                      struct cis_error *err)
{
    uint32_t sum = 0;
    (void)guest, (void)err;
    for (size_t i = 0; i < cis_val_len(args); i++) {
        sum += host.value[cis_val_rep(cis_val_at(args, i))];
    }
    cis_val_set_u32(result, sum);
    return CIS_OK;
}

/* The second item of (u8, string) pairs; names of the fields of the record in order. */
static cis_code v_list(cis_engine_instance *guest, const cis_val *from, cis_val *out,
                       struct cis_error *err)
{
    CIS_TRY(cis_val_set_list(guest, out, cis_val_len(from), err));
    for (size_t i = 0; i < cis_val_len(from); i++) {
        const cis_val *pair = cis_val_at(from, i);
        cis_val *to = cis_val_item(out, i);
        cis_val_set_tuple(to, 2);
        cis_val_set_u8(cis_val_item(to, 0), (uint8_t)cis_val_uint(cis_val_at(pair, 0)));
        CIS_TRY(
            cis_val_set_text(guest, cis_val_item(to, 1), cis_val_text(cis_val_at(pair, 1)), err));
    }
    return CIS_OK;
}

static cis_code v_cases(cis_engine_instance *guest, const cis_val *a, cis_val *out,
                        struct cis_error *err)
{
    cis_val *inner;
    const cis_val *from = cis_val_at(a, 16);
    cis_val_set_result(cis_val_item(out, 16), cis_val_is_ok(from), &inner);
    if (cis_val_is_ok(from)) {
        cis_val_set_u64(inner, cis_val_uint(cis_val_inner(from)));
    } else {
        CIS_TRY(cis_val_set_text(guest, inner, cis_val_text(cis_val_inner(from)), err));
    }
    cis_val_set_enum(cis_val_item(out, 17), cis_val_text(cis_val_at(a, 17)));
    struct cis_str flags[3];
    size_t n = 0;
    for (; n < cis_val_len(cis_val_at(a, 18)); n++) {
        flags[n] = cis_val_flag(cis_val_at(a, 18), n);
        assert_true(cis_val_has_flag(cis_val_at(a, 18), "x") || n == 0);
    }
    CIS_TRY(cis_val_set_flags(guest, cis_val_item(out, 18), flags, n, err));
    from = cis_val_at(a, 19);
    if (cis_str_is(cis_val_text(from), "nothing")) {
        cis_val_set_variant(cis_val_item(out, 19), "nothing", NULL);
    } else if (cis_str_is(cis_val_text(from), "number")) {
        cis_val_set_variant(cis_val_item(out, 19), "number", &inner);
        cis_val_set_u64(inner, cis_val_uint(cis_val_inner(from)));
    } else {
        cis_val_set_variant(cis_val_item(out, 19), "text", &inner);
        CIS_TRY(cis_val_set_text(guest, inner, cis_val_text(cis_val_inner(from)), err));
    }
    return CIS_OK;
}

static cis_code v_all(cis_engine_instance *guest, const cis_val *a, cis_val *out,
                      struct cis_error *err)
{
    static const char *const names[] = {
        "b",   "s-a", "u-a",  "s-b",  "u-b",  "s-c",    "u-c",    "s-d",   "u-d",   "f-a",
        "f-b", "chr", "text", "data", "some", "option", "answer", "color", "perms", "what",
    };
    uint8_t bytes[64];
    cis_val_set_record(out, names, 20);
    for (size_t i = 0; i < 20; i++) {
        assert_true(cis_str_is(cis_val_field_name(a, i), names[i]));
    }
    cis_val_set_bool(cis_val_item(out, 0), cis_val_uint(cis_val_at(a, 0)) != 0);
    cis_val_set_s8(cis_val_item(out, 1), (int8_t)cis_val_int(cis_val_at(a, 1)));
    cis_val_set_u8(cis_val_item(out, 2), (uint8_t)cis_val_uint(cis_val_at(a, 2)));
    cis_val_set_s16(cis_val_item(out, 3), (int16_t)cis_val_int(cis_val_at(a, 3)));
    cis_val_set_u16(cis_val_item(out, 4), (uint16_t)cis_val_uint(cis_val_at(a, 4)));
    cis_val_set_s32(cis_val_item(out, 5), (int32_t)cis_val_int(cis_val_at(a, 5)));
    cis_val_set_u32(cis_val_item(out, 6), (uint32_t)cis_val_uint(cis_val_at(a, 6)));
    cis_val_set_s64(cis_val_item(out, 7), cis_val_int(cis_val_at(a, 7)));
    cis_val_set_u64(cis_val_item(out, 8), cis_val_uint(cis_val_at(a, 8)));
    cis_val_set_f32(cis_val_item(out, 9), (float)cis_val_float(cis_val_at(a, 9)));
    cis_val_set_f64(cis_val_item(out, 10), cis_val_float(cis_val_at(a, 10)));
    CIS_TRY(
        cis_val_set_char(cis_val_item(out, 11), (uint32_t)cis_val_uint(cis_val_at(a, 11)), err));
    CIS_TRY(cis_val_set_text(guest, cis_val_item(out, 12), cis_val_text(cis_val_at(a, 12)), err));
    size_t n = cis_val_len(cis_val_at(a, 13));
    assert_true(n <= sizeof bytes);
    cis_val_copy_bytes(cis_val_at(a, 13), bytes);
    CIS_TRY(cis_val_set_bytes(guest, cis_val_item(out, 13), cis_bytes_of(bytes, n), err));
    CIS_TRY(v_list(guest, cis_val_at(a, 14), cis_val_item(out, 14), err));
    if (cis_val_inner(cis_val_at(a, 15)) == NULL) {
        cis_val_set_none(cis_val_item(out, 15));
    } else {
        cis_val_set_u32(cis_val_set_some(cis_val_item(out, 15)),
                        (uint32_t)cis_val_uint(cis_val_inner(cis_val_at(a, 15))));
    }
    return v_cases(guest, a, out, err);
}

/* ---- the tables ---- */

#define ALL                                                                                        \
    "record{b:bool,s-a:s8,u-a:u8,s-b:s16,u-b:u16,s-c:s32,u-c:u32,s-d:s64,u-d:u64,f-a:f32,f-b:f64," \
    "chr:char,text:string,data:list<u8>,some:list<tuple<u8,string>>,option:option<u32>,"           \
    "answer:result<u64, string>,color:enum{red,green,blue},perms:flags{x,y,z},"                    \
    "what:variant{nothing,number(u64),text(string)}}"
#define ERR "enum{bad,worse}"
#define ROW(n, t, d, v, r, ...)                                                                    \
    {                                                                                              \
        {.interface = INTERFACE,                                                                   \
         .name = (n),                                                                              \
         .type = (t),                                                                              \
         .denied = (d),                                                                            \
         .params = "",                                                                             \
         CIS_STRUCTS(__VA_ARGS__)},                                                                \
        {                                                                                          \
            .interface = INTERFACE, .name = (n), .type = (t), .handler = (v), .refuse = (r),       \
            .params = ""                                                                           \
        }                                                                                          \
    }
static struct cis_ifacefn rows[][2] = {
    ROW("make", "func(u32) -> result<own<thing>, " ERR ">", 1, v_make, v_refused, s_make, uint32_t,
        struct made),
    ROW("[method]thing.get", "func(borrow<thing>) -> u32", -1, v_get, v_none, s_get, uint32_t,
        uint32_t),
    ROW("take", "func(own<thing>) -> option<own<thing>>", -1, v_take, v_none, s_take, uint32_t,
        struct maybe),
    ROW("pair", "func() -> tuple<own<thing>,own<thing>>", -1, v_pair, v_none, s_pair, void,
        struct two),
    ROW("many", "func(u32) -> list<own<thing>>", -1, v_many, v_none, s_many, uint32_t,
        struct things),
    ROW("sum", "func(list<borrow<thing>>) -> u32", -1, v_sum, v_none, s_sum, struct things,
        uint32_t),
    ROW("all", "func(" ALL ") -> " ALL, -1, v_all, v_none, s_all, struct all, struct all),
};
enum { MAKE, GET, TAKE, PAIR, MANY, SUM, EVERY, ROWS };
static bool is_thing(cis_engine_instance *guest, uint32_t kind, uint32_t rep)
{
    (void)guest;
    assert_int_equal(kind, KIND_THING);
    return !host.nothing && rep < 1000;
}
static const struct cis_iface_resource resource = {"t:", "thing", KIND_THING, drop_thing, is_thing};

static const struct cis_ifacefn *find_row(void *self, struct cis_str interface, struct cis_str name)
{
    (void)self;
    for (size_t i = 0; i < ROWS; i++) {
        if (cis_str_is(interface, INTERFACE) && cis_str_is(name, rows[i][0].name)) {
            return &rows[i][host.values];
        }
    }
    return NULL;
}

static const struct cis_iface_resource *find_resource(void *self, struct cis_str interface,
                                                      struct cis_str name)
{
    (void)self, (void)interface;
    return cis_str_is(name, resource.name) ? &resource : NULL;
}

/* run(n): makes n, gets it, gives it away, drops what comes back; what it got, 1000 + the error's
 * case. crowd(n): a pair, which is dropped; n of them, summed up as borrows, then dropped. all(x):
 * x through the host. */
static const char GUEST[] =
    "(component"
    " (type $inst (instance"
    "  (export \"thing\" (type $thing (sub resource)))"
    "  (type $err_ (enum \"bad\" \"worse\")) (export \"err\" (type $err (eq $err_)))"
    "  (type $c_ (enum \"red\" \"green\" \"blue\")) (export \"color\" (type $color (eq $c_)))"
    "  (type $p_ (flags \"x\" \"y\" \"z\")) (export \"perms\" (type $perms (eq $p_)))"
    "  (type $w_ (variant (case \"nothing\") (case \"number\" u64) (case \"text\" string)))"
    "  (export \"what\" (type $what (eq $w_)))"
    "  (type $all_ (record (field \"b\" bool) (field \"s-a\" s8) (field \"u-a\" u8)"
    "   (field \"s-b\" s16) (field \"u-b\" u16) (field \"s-c\" s32) (field \"u-c\" u32)"
    "   (field \"s-d\" s64) (field \"u-d\" u64) (field \"f-a\" f32) (field \"f-b\" f64)"
    "   (field \"chr\" char) (field \"text\" string) (field \"data\" (list u8))"
    "   (field \"some\" (list (tuple u8 string))) (field \"option\" (option u32))"
    "   (field \"answer\" (result u64 (error string))) (field \"color\" $color)"
    "   (field \"perms\" $perms) (field \"what\" $what)))"
    "  (export \"everything\" (type $all (eq $all_)))"
    "  (export \"make\" (func (param \"n\" u32) (result (result (own $thing) (error $err)))))"
    "  (export \"[method]thing.get\" (func (param \"self\" (borrow $thing)) (result u32)))"
    "  (export \"take\" (func (param \"t\" (own $thing)) (result (option (own $thing)))))"
    "  (export \"pair\" (func (result (tuple (own $thing) (own $thing)))))"
    "  (export \"many\" (func (param \"n\" u32) (result (list (own $thing)))))"
    "  (export \"sum\" (func (param \"l\" (list (borrow $thing))) (result u32)))"
    "  (export \"all\" (func (param \"x\" $all) (result $all)))))"
    " (import \"t:t/x\" (instance $x (type $inst)))"
    " (core module $libc (memory (export \"memory\") 4) (global $at (mut i32) (i32.const 4096))"
    "  (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (local $p i32)"
    "   (local.set $p (i32.and (i32.add (global.get $at) (i32.const 7)) (i32.const -8)))"
    "   (global.set $at (i32.add (local.get $p) (local.get 3)))"
    "   (if (i32.gt_u (global.get $at) (i32.const 200000))"
    "    (then (global.set $at (i32.const 4096))))"
    "   (local.get $p)))"
    " (core instance $libc (instantiate $libc))"
    " (alias core export $libc \"memory\" (core memory $mem))"
    " (alias core export $libc \"realloc\" (core func $realloc))"
    " (alias export $x \"thing\" (type $thing_t)) (alias export $x \"everything\" (type $all_t))"
    " (alias export $x \"make\" (func $make)) (alias export $x \"[method]thing.get\" (func $get))"
    " (alias export $x \"take\" (func $take)) (alias export $x \"pair\" (func $pair))"
    " (alias export $x \"many\" (func $many)) (alias export $x \"sum\" (func $sum))"
    " (alias export $x \"all\" (func $all))"
    " (core func $make_c (canon lower (func $make) (memory $mem)))"
    " (core func $get_c (canon lower (func $get)))"
    " (core func $take_c (canon lower (func $take) (memory $mem)))"
    " (core func $pair_c (canon lower (func $pair) (memory $mem)))"
    " (core func $many_c (canon lower (func $many) (memory $mem) (realloc $realloc)))"
    " (core func $sum_c (canon lower (func $sum) (memory $mem)))"
    " (core func $all_c (canon lower (func $all) (memory $mem) (realloc $realloc)))"
    " (core func $drop_c (canon resource.drop $thing_t))"
    " (core module $m"
    "  (import \"x\" \"make\" (func $make (param i32 i32)))"
    "  (import \"x\" \"get\" (func $get (param i32) (result i32)))"
    "  (import \"x\" \"take\" (func $take (param i32 i32)))"
    "  (import \"x\" \"pair\" (func $pair (param i32)))"
    "  (import \"x\" \"many\" (func $many (param i32 i32)))"
    "  (import \"x\" \"sum\" (func $sum (param i32 i32) (result i32)))"
    "  (import \"x\" \"all\" (func $all (param i32 i32)))"
    "  (import \"x\" \"drop\" (func $drop (param i32)))"
    "  (import \"x\" \"memory\" (memory 1))"
    "  (func (export \"run\") (param $n i32) (result i32) (local $got i32)"
    "   (call $make (local.get $n) (i32.const 64))"
    "   (if (i32.load8_u (i32.const 64))"
    "    (then (return (i32.add (i32.const 1000) (i32.load8_u (i32.const 68))))))"
    "   (local.set $got (call $get (i32.load (i32.const 68))))"
    "   (call $take (i32.load (i32.const 68)) (i32.const 80))"
    "   (if (i32.load8_u (i32.const 80)) (then (call $drop (i32.load (i32.const 84)))))"
    "   (local.get $got))"
    "  (func (export \"crowd\") (param $n i32) (result i32)"
    "   (local $sum i32) (local $at i32) (local $end i32)"
    "   (call $pair (i32.const 112))"
    "   (call $drop (i32.load (i32.const 112))) (call $drop (i32.load (i32.const 116)))"
    "   (call $many (local.get $n) (i32.const 96))"
    "   (local.set $at (i32.load (i32.const 96)))"
    "   (local.set $end (i32.add (local.get $at)"
    "    (i32.shl (i32.load (i32.const 100)) (i32.const 2))))"
    "   (local.set $sum (call $sum (local.get $at) (i32.load (i32.const 100))))"
    "   (loop $l (if (i32.lt_u (local.get $at) (local.get $end)) (then"
    "    (call $drop (i32.load (local.get $at)))"
    "    (local.set $at (i32.add (local.get $at) (i32.const 4))) (br $l))))"
    "   (local.get $sum))"
    "  (func (export \"all\") (param i32) (result i32)"
    "   (call $all (local.get 0) (i32.const 1024)) (i32.const 1024)))"
    " (core instance $run (instantiate $m (with \"x\" (instance"
    "  (export \"make\" (func $make_c)) (export \"get\" (func $get_c))"
    "  (export \"take\" (func $take_c)) (export \"pair\" (func $pair_c))"
    "  (export \"many\" (func $many_c)) (export \"sum\" (func $sum_c))"
    "  (export \"all\" (func $all_c)) (export \"drop\" (func $drop_c))"
    "  (export \"memory\" (memory $mem))))))"
    " (func (export \"run\") (param \"n\" u32) (result u32) (canon lift (core func $run \"run\")))"
    " (func (export \"crowd\") (param \"n\" u32) (result u32)"
    "  (canon lift (core func $run \"crowd\")))"
    " (export $all_e \"everything\" (type $all_t))"
    " (func (export \"all\") (param \"x\" $all_e) (result $all_e)"
    "  (canon lift (core func $run \"all\") (memory $mem) (realloc $realloc))))";

static const struct cis_iface_provider provider = {.function = find_row, .resource = find_resource};

/* Rows are constants to the engine, which keeps what it linked: another component each time, the
 * same one with another comment. */
static cis_code link_guest(struct fixture *f, cis_linked **out, struct cis_error *why)
{
    static int serial;
    static char text[sizeof GUEST + 32];
    struct cis_engine_module_options o = {.name = "values"};
    cis_engine_module_unref(f->image);
    f->image = NULL;
    snprintf(text, sizeof text, "%s(; %d ;)", GUEST, serial++);
    assert_ok(
        cis_engine_module_load(f->engine, cis_bytes_of(text, strlen(text)), &o, &f->image, err));
    return cis_component_link(f->image, &provider, NULL, out, why);
}

static cis_engine_instance *guest_new(struct fixture *f, uint32_t grants, uint64_t host_bytes)
{
    cis_linked *program = NULL;
    cis_engine_instance *guest = NULL;
    assert_ok(link_guest(f, &program, err));
    struct cis_engine_instance_options o = {.stop = {CIS_NEVER, NULL}, .grants = grants};
    o.limits.host_bytes = host_bytes;
    assert_ok(cis_engine_instance_new(f->engine, program, &o, &guest, err));
    cis_linked_unref(program);
    return guest;
}

static cis_code call(cis_engine_instance *guest, const char *name, uint32_t n, uint64_t *out,
                     struct cis_error *why)
{
    cis_vals *vals = NULL;
    assert_ok(cis_vals_new(guest, 1, &vals, err));
    cis_val_set_u32(cis_vals_arg(vals, 0), n);
    cis_code code = cis_component_call(guest, cis_str_of(name), "func(u32) -> u32", vals, why);
    *out = code == CIS_OK ? cis_val_uint(cis_vals_result(vals)) : 0;
    cis_vals_free(vals);
    return code;
}

static int setup(void **state)
{
    memset(&host, 0, sizeof host);
    for (size_t i = 0; i < ROWS; i++) {
        rows[i][0].grant = rows[i][1].grant = 0;
    }
    struct fixture *f = cis_zalloc(sizeof *f);
    const struct cis_engine_options o = {.pool_slots = 16, .compile_in_process = true};
    struct cis_error err;
    *state = f;
    return cis_engine_open(&o, &f->engine, &err) == CIS_OK ? 0 : -1;
}

static int setup_values(void **state)
{
    int code = setup(state);
    host.values = true;
    return code;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cis_engine_module_unref(f->image);
    cis_engine_close(f->engine);
    cis_free(f);
    return 0;
}

static void resources_are_lent_handed_over_and_handed_out(void **state)
{
    struct fixture *f = *state;
    cis_engine_instance *guest = guest_new(f, 0, 16u << 20);
    uint64_t n = 0;
    assert_ok(call(guest, "run", 7, &n, err)); /* taken, and nothing comes back */
    assert_int_equal(n, 7);
    assert_int_equal(host.taken, 1);
    assert_int_equal(host.dropped, 0);
    assert_ok(call(guest, "run", 8, &n, err)); /* another comes back, which is dropped */
    assert_int_equal(n, 8);
    assert_int_equal(host.taken, 2);
    assert_int_equal(host.dropped, 1);
    assert_int_equal(live(), 0);
    assert_ok(call(guest, "run", 101, &n, err));
    assert_int_equal(n, 1001);
    cis_engine_instance_free(guest);
}

static void resources_go_in_tuples_and_lists(void **state)
{
    struct fixture *f = *state;
    cis_engine_instance *guest = guest_new(f, 0, 16u << 20);
    uint64_t n = 0;
    assert_ok(call(guest, "crowd", 0, &n, err));
    assert_int_equal(n, 0);
    assert_int_equal(host.dropped, 2);
    assert_ok(call(guest, "crowd", 500, &n, err));
    assert_int_equal(n, 500 * 501 / 2);
    assert_int_equal(host.dropped, 504);
    assert_int_equal(live(), 0);
    cis_engine_instance_free(guest);
}

/* The engine's own table of handles must not grow: far more than it may hold go through it. */
static void many_resources_pass_in_constant_memory(void **state)
{
    struct fixture *f = *state;
    cis_engine_instance *guest = guest_new(f, 0, 4u << 20); /* 1,024 handles */
    uint64_t n = 0;
    for (int i = 0; i < 20000; i++) {
        assert_ok(call(guest, "run", 8, &n, err));
    }
    assert_int_equal(host.taken, 20000);
    assert_int_equal(host.dropped, 20000);
    cis_engine_instance_free(guest);
}

static void every_type_goes_both_ways(void **state)
{
    struct fixture *f = *state;
    cis_engine_instance *guest = guest_new(f, 0, 16u << 20);
    static const char *const texts[] = {
        "{b: true, s-a: -128, u-a: 255, s-b: -32768, u-b: 65535, s-c: -2147483648, "
        "u-c: 4294967295, s-d: -9223372036854775808, u-d: 18446744073709551615, f-a: 1.5, "
        "f-b: -0.125, chr: '\xf0\x9f\x90\x98', text: \"h\xc3\xa9llo\", data: [0, 127, 255], "
        "some: [(1, \"one\"), (2, \"\")], option: some(5), answer: ok(7), color: blue, "
        "perms: {x, z}, what: text(\"t\")}",
        "{b: false, s-a: 0, u-a: 0, s-b: 0, u-b: 0, s-c: 0, u-c: 0, s-d: 0, u-d: 0, f-a: 0, "
        "f-b: 0, chr: 'a', text: \"\", data: [], some: [], answer: err(\"no\"), "
        "color: red, perms: {}, what: nothing}",
        "{b: false, s-a: 1, u-a: 2, s-b: 3, u-b: 4, s-c: 5, u-c: 6, s-d: 7, u-d: 8, f-a: 9, "
        "f-b: 10, chr: 'b', text: \"x\", data: [1], some: [(3, \"y\")], option: some(0), "
        "answer: err(\"\"), color: green, perms: {x, y}, what: number(18446744073709551615)}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[1024];
        CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
        snprintf(text, sizeof text, "all(%s)", texts[i]);
        assert_ok(cis_component_call_text(guest, CIS_STR("all"), cis_str_of(text), &out, err));
        assert_string_equal(cis_buf_cstr(&out), texts[i]);
    }
    cis_engine_instance_free(guest);
}

static void structs_hold_what_the_guest_sent(void **state)
{
    struct fixture *f = *state;
    cis_engine_instance *guest = guest_new(f, 0, 16u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    static const char text[] =
        "all({b: true, s-a: -1, u-a: 2, s-b: -3, u-b: 4, s-c: -5, u-c: 6, s-d: -7, u-d: 8, "
        "f-a: 9.5, f-b: 10.25, chr: 'b', text: \"xyz\", data: [1, 2], some: [(3, \"y\")], "
        "option: some(0), answer: err(\"\"), color: blue, perms: {x, z}, what: number(1)})";
    assert_ok(cis_component_call_text(guest, CIS_STR("all"), cis_str_of(text), &out, err));
    assert_string_equal(host.seen, "1 -1 2 -3 4 -5 6 -7 8 9.5 10.25 62 xyz 2 1 1 1 2 5 1");
    cis_engine_instance_free(guest);
}

static void missing_grant_is_the_functions_error_and_drops_what_was_handed_over(void **state)
{
    struct fixture *f = *state;
    uint64_t n = 0;
    rows[MAKE][0].grant = rows[MAKE][1].grant = 5;
    cis_engine_instance *guest = guest_new(f, 0, 16u << 20);
    struct cis_engine_instance_usage usage;
    assert_ok(call(guest, "run", 7, &n, err));
    assert_int_equal(n, 1001);
    cis_engine_instance_usage(guest, &usage);
    assert_int_equal(usage.grants_refused[5], 1);
    assert_int_equal(live(), 0);
    cis_engine_instance_free(guest);
    rows[MAKE][0].grant = rows[MAKE][1].grant = 0;
    rows[TAKE][0].grant = rows[TAKE][1].grant = 5;
    guest = guest_new(f, 0, 16u << 20);
    if (host.values) { /* its own answer: none */
        assert_ok(call(guest, "run", 7, &n, err));
    } else {
        assert_fails(CIS_E_DENIED, INTERFACE ".take", call(guest, "run", 7, &n, err));
    }
    assert_int_equal(host.dropped, 1);
    assert_int_equal(live(), 0);
    cis_engine_instance_free(guest);
}

static void a_handle_with_no_such_thing_behind_it_never_gets_to_a_handler(void **state)
{
    struct fixture *f = *state;
    cis_engine_instance *guest = guest_new(f, 0, 16u << 20);
    uint64_t n = 0;
    host.nothing = true;
    assert_fails(CIS_E_INTERNAL, host.values ? "a handle of another kind" : "not of the type",
                 call(guest, "run", 7, &n, err));
    assert_int_equal(host.taken, 0);
    assert_int_equal(cis_engine_instance_end(guest)->code, CIS_E_INTERNAL);
    cis_engine_instance_free(guest);
}

static void failure_of_a_handler_is_the_end(void **state)
{
    struct fixture *f = *state;
    cis_engine_instance *guest = guest_new(f, 0, 16u << 20);
    uint64_t n = 0;
    assert_fails(CIS_E_BUDGET, "thirteen", call(guest, "run", 13, &n, err));
    assert_int_equal(cis_engine_instance_end(guest)->code, CIS_E_BUDGET);
    cis_engine_instance_free(guest);
}

static void what_values_cost_is_charged(void **state)
{
    struct fixture *f = *state;
    cis_engine_instance *guest = guest_new(f, 0, 30000); /* 900 items of a list cost more */
    uint64_t n = 0;
    assert_fails(CIS_E_BUDGET, "values of a call", call(guest, "crowd", 900, &n, err));
    cis_engine_instance_free(guest);
}

/* A hundred lists inside each other that all claim the same bytes: only the outermost can have
 * them. */
static void lists_of_a_recording_have_no_more_items_than_it_has_bytes(void **state)
{
    enum { CLAIMED = 50000, DEEP = 90, LIST = 13 };
    struct fixture *f = *state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    cis_engine_instance *guest = guest_new(f, 0, 1u << 30);
    cis_vals *vals = NULL;
    for (int i = 0; i < DEEP; i++) {
        static const uint8_t list[] = {LIST, 0xd0, 0x86, 0x03}; /* CLAIMED */
        cis_buf_add(&text, list, sizeof list);
    }
    assert_non_null(cis_buf_reserve(&text, CLAIMED));
    memset(text.ptr + text.len, 0, CLAIMED); /* false, false, … */
    text.len += CLAIMED;
    assert_ok(cis_vals_new(guest, 1, &vals, err));
    struct cis_recording_bytes in = {cis_buf_bytes(&text), 0, 0};
    assert_fails(CIS_E_DAMAGED, "a value",
                 cis_recording_val_get(guest, &in, cis_vals_arg(vals, 0), err));
    assert_true(cis_engine_instance_budget(guest)->peak <= 100 * text.len);
    cis_vals_free(vals);
    assert_int_equal(cis_engine_instance_budget(guest)->used, 0);
    cis_engine_instance_free(guest);
}

static void structs_of_another_size_or_type_are_refused(void **state)
{
    struct fixture *f = *state;
    cis_linked *program = NULL;
    rows[MAKE][0].result_size++;
    assert_fails(CIS_E_INTERNAL, INTERFACE ".make", link_guest(f, &program, err));
    rows[MAKE][0].result_size--;
    const char *type = rows[GET][0].type;
    rows[GET][0].type = "func(own<thing>) -> u32";
    assert_fails(CIS_E_IMPORT, "[method]thing.get with another type", link_guest(f, &program, err));
    rows[GET][0].type = "func(borrow<other>) -> u32";
    assert_fails(CIS_E_IMPORT, "[method]thing.get with another type", link_guest(f, &program, err));
    rows[GET][0].type = type;
    type = rows[EVERY][0].type;
    rows[EVERY][0].type = "func(" ALL ") -> string";
    assert_fails(CIS_E_IMPORT, "all with another type", link_guest(f, &program, err));
    rows[EVERY][0].type = type;
    assert_ok(link_guest(f, &program, err));
    cis_linked_unref(program);
}

#define STRUCTS(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define BOTH(name)                                                                                 \
    STRUCTS(name),                                                                                 \
    {                                                                                              \
#name " (values)", name, setup_values, teardown, NULL                                      \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(resources_are_lent_handed_over_and_handed_out),
        BOTH(resources_go_in_tuples_and_lists),
        BOTH(many_resources_pass_in_constant_memory),
        BOTH(every_type_goes_both_ways),
        STRUCTS(structs_hold_what_the_guest_sent),
        BOTH(missing_grant_is_the_functions_error_and_drops_what_was_handed_over),
        BOTH(a_handle_with_no_such_thing_behind_it_never_gets_to_a_handler),
        BOTH(failure_of_a_handler_is_the_end),
        BOTH(what_values_cost_is_charged),
        STRUCTS(lists_of_a_recording_have_no_more_items_than_it_has_bytes),
        STRUCTS(structs_of_another_size_or_type_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
