/* The shop of orders.h. */
#include "orders.h"

struct order {
    uint32_t total;
};
atomic_int made, dropped, closed;
_Thread_local void *last_data;

static void drop_order(void *self, void *object)
{
    assert_string_equal(self, "orders");
    dropped++;
    free(object);
}

enum cis_code f_new(void *self, cis_wit_call *call)
{
    struct order *o = calloc(1, sizeof *o);
    (void)self;
    assert_non_null(o);
    made++;
    cis_wit_set_object(call, cis_wit_result(call), "order", o);
    return CIS_E_OK;
}

enum cis_code f_add(void *self, cis_wit_call *call)
{
    struct order *o = cis_wit_object(call, cis_wit_arg(call, 0));
    uint32_t n = (uint32_t)cis_wit_uint(cis_wit_arg(call, 1));
    (void)self;
    assert_non_null(o);
    assert_null(cis_wit_take(call, cis_wit_arg(call, 0))); /* it was lent */
    last_data = cis_wit_data(call);
    if (n == 13) {
        return cis_wit_fail(call, CIS_E_PROVIDER, "thirteen is not sold");
    }
    if (n > 1000) {
        cis_wit_set_text(call, cis_wit_set_error(call, cis_wit_result(call), true), "too many", 8);
        return CIS_E_OK;
    }
    o->total += n;
    cis_wit_set_u64(cis_wit_set_ok(call, cis_wit_result(call), true), o->total);
    return CIS_E_OK;
}

/* Takes the order itself when it is above 5; smaller ones are left to be dropped. */
enum cis_code f_close(void *self, cis_wit_call *call)
{
    const cis_wit *arg = cis_wit_arg(call, 0);
    struct order *o = cis_wit_object(call, arg);
    uint32_t total = o->total;
    (void)self;
    if (total > 5) {
        assert_ptr_equal(cis_wit_take(call, arg), o);
        assert_null(cis_wit_take(call, arg));
        assert_null(cis_wit_object(call, arg));
        closed++;
        free(o);
    }
    cis_wit_set_u32(cis_wit_result(call), total);
    return CIS_E_OK;
}

enum cis_code f_hello(void *self, cis_wit_call *call)
{
    char text[64];
    size_t len;
    const char *name = cis_wit_text(cis_wit_arg(call, 0), &len);
    int n = snprintf(text, sizeof text, "%s %.*s", (const char *)self, (int)(len % 50), name);
    cis_wit_set_text(call, cis_wit_result(call), text, (size_t)n);
    return CIS_E_OK;
}

cis_provider *provider_new(cis_wit_fn *hello)
{
    cis_provider *p = NULL;
    assert_ok(cis_provider_new(&p, err));
    cis_provider_interface(p, ORDERS);
    cis_provider_resource(p, "order", drop_order, "orders");
    cis_provider_function(p, "[constructor]order", "func() -> own<order>", f_new, NULL);
    cis_provider_function(p, "[method]order.add",
                          "func(self: borrow<order>, n: u32) -> result<u64,string>", f_add, NULL);
    cis_provider_function(p, "close", "func(o: own<order>) -> u32", f_close, NULL);
    cis_provider_function(p, "hello", "func(who: string) -> string", hello, "hello");
    return p;
}

const char orders_guest[] =
    "(component"
    " (import \"acme:shop/orders@1.1.3\" (instance $x"
    "  (export \"order\" (type $o (sub resource)))"
    "  (export \"[constructor]order\" (func (result (own $o))))"
    "  (export \"[method]order.add\" (func (param \"self\" (borrow $o)) (param \"n\" u32)"
    "   (result (result u64 (error string)))))"
    "  (export \"close\" (func (param \"o\" (own $o)) (result u32)))"
    "  (export \"hello\" (func (param \"who\" string) (result string)))))"
    " (core module $libc (memory (export \"memory\") 1) (global $at (mut i32) (i32.const 4096))"
    "  (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (local $p i32)"
    "   (local.set $p (global.get $at))"
    "   (global.set $at (i32.add (local.get $p) (local.get 3)))"
    "   (if (i32.gt_u (global.get $at) (i32.const 60000))"
    "    (then (global.set $at (i32.const 4096))))"
    "   (local.get $p)))"
    " (core instance $libc (instantiate $libc))"
    " (alias core export $libc \"memory\" (core memory $mem))"
    " (alias core export $libc \"realloc\" (core func $realloc))"
    " (alias export $x \"order\" (type $o_t))"
    " (alias export $x \"[constructor]order\" (func $new))"
    " (alias export $x \"[method]order.add\" (func $add))"
    " (alias export $x \"close\" (func $close)) (alias export $x \"hello\" (func $hello))"
    " (core func $new_c (canon lower (func $new)))"
    " (core func $add_c (canon lower (func $add) (memory $mem) (realloc $realloc)))"
    " (core func $close_c (canon lower (func $close)))"
    " (core func $hello_c (canon lower (func $hello) (memory $mem) (realloc $realloc)))"
    " (core func $drop_c (canon resource.drop $o_t))"
    " (core module $m"
    "  (import \"x\" \"new\" (func $new (result i32)))"
    "  (import \"x\" \"add\" (func $add (param i32 i32 i32)))"
    "  (import \"x\" \"close\" (func $close (param i32) (result i32)))"
    "  (import \"x\" \"hello\" (func $hello (param i32 i32 i32)))"
    "  (import \"x\" \"drop\" (func $drop (param i32)))"
    "  (import \"x\" \"memory\" (memory 1))"
    "  (func (export \"many\") (param $n i32) (result i32) (local $h i32) (local $sum i32)"
    "   (loop $l (if (local.get $n) (then"
    "    (local.set $h (call $new))"
    "    (call $add (local.get $h) (i32.const 2) (i32.const 64))"
    "    (local.set $sum (i32.add (local.get $sum) (i32.load (i32.const 72))))"
    "    (call $drop (local.get $h))"
    "    (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br $l))))"
    "   (local.get $sum))"
    "  (func (export \"give\") (param $n i32) (result i32) (local $h i32)"
    "   (local.set $h (call $new))"
    "   (call $add (local.get $h) (local.get $n) (i32.const 64))"
    "   (call $close (local.get $h)))"
    "  (func (export \"leave\") (param $n i32) (result i32) (local $i i32) (local $h i32)"
    "   (loop $l (if (i32.lt_u (local.get $i) (local.get $n)) (then"
    "    (local.set $h (call $new))"
    "    (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l))))"
    "   (if (i32.eq (local.get $n) (i32.const 7)) (then unreachable))"
    "   (if (i32.eq (local.get $n) (i32.const 8)) (then (loop $e (br $e))))"
    "   (local.get $n))"
    "  (func (export \"greet\") (param i32 i32) (result i32)"
    "   (call $hello (local.get 0) (local.get 1) (i32.const 128)) (i32.const 128))"
    "  (func (export \"nothing\"))"
    "  (func (export \"add\") (param $n i32) (result i32)"
    "   (call $add (call $new) (local.get $n) (i32.const 192)) (i32.const 192)))"
    " (core instance $run (instantiate $m (with \"x\" (instance"
    "  (export \"new\" (func $new_c)) (export \"add\" (func $add_c))"
    "  (export \"close\" (func $close_c)) (export \"hello\" (func $hello_c))"
    "  (export \"drop\" (func $drop_c)) (export \"memory\" (memory $mem))))))"
    " (func (export \"many\") (param \"n\" u32) (result u32) (canon lift (core func $run "
    "\"many\")))"
    " (func (export \"give\") (param \"n\" u32) (result u32) (canon lift (core func $run "
    "\"give\")))"
    " (func (export \"leave\") (param \"n\" u32) (result u32)"
    "  (canon lift (core func $run \"leave\")))"
    " (func (export \"greet\") (param \"x\" string) (result string)"
    "  (canon lift (core func $run \"greet\") (memory $mem) (realloc $realloc)))"
    " (func (export \"nothing\") (canon lift (core func $run \"nothing\")))"
    " (func (export \"add\") (param \"n\" u32) (result (result u64 (error string)))"
    "  (canon lift (core func $run \"add\") (memory $mem) (realloc $realloc))))";
