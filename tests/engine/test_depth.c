/* Documents that are deep: a parser that follows them on its stack would end the process. All is
 * read on a thread of 2 MiB, as an embedder's may be. */
#include "guests.h"

#include "engine/code/document.h"
#include "engine/code/engine.h"

#define THREAD_STACK (2048u << 10)

struct document {
    struct cis_buf text;
    cis_code (*read)(struct document *d, struct cis_error *err);
    cis_code code;
    struct cis_error err;
};

static void *read_it(void *arg)
{
    struct document *d = arg;
    d->code = d->read(d, &d->err);
    return NULL;
}

/* Reads, and forgets the text. */
static void assert_read(struct document *d, cis_code code, const char *words)
{
    pthread_attr_t attr;
    pthread_t thread;
    assert_int_equal(d->text.failed, CIS_OK);
    pthread_attr_init(&attr);
    assert_int_equal(pthread_attr_setstacksize(&attr, THREAD_STACK), 0);
    assert_int_equal(pthread_create(&thread, &attr, read_it, d), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    if (d->code != code || strstr(d->err.msg, words) == NULL) {
        fail_msg("%s: %s", cis_code_name(d->code), d->err.msg);
    }
    d->err = (struct cis_error){0};
    cis_buf_reset(&d->text);
}

static void repeat(struct cis_buf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cis_buf_text(out, text);
    }
}

/* ---- TOML ---- */

static cis_code read_toml(struct document *d, struct cis_error *err)
{
    struct cis_buf json = CIS_BUF_INIT(64u << 20);
    cis_code code = cis_toml_to_json(cis_buf_view(&d->text), "t.toml", &json, err);
    cis_buf_done(&json);
    return code;
}

static void tables_of_toml_have_a_largest_depth_however_they_are_written(void **state)
{
    (void)state;
    struct document d = {.text = CIS_BUF_INIT(16u << 20), .read = read_toml};
    struct cis_buf *t = &d.text;
    /* Dots and brackets multiply: 75 × 79 tables in 12 KB. */
    for (int i = 0; i < 75; i++) {
        cis_buf_text(t, i != 0 ? "{" : "");
        repeat(t, "a.", 78);
        cis_buf_text(t, "a=");
    }
    cis_buf_text(t, "1");
    repeat(t, "}", 74);
    assert_read(&d, CIS_E_INVALID, "t.toml:1: tables and arrays more than 64 deep");
    repeat(t, "a.", 10000);
    cis_buf_text(t, "a = 1\n");
    assert_read(&d, CIS_E_INVALID, "more than 64 deep");
    cis_buf_text(t, "x = 1\n[");
    repeat(t, "a.", 10000);
    cis_buf_text(t, "a]\n");
    assert_read(&d, CIS_E_INVALID, "t.toml:2: tables and arrays more than 64 deep");
    cis_buf_text(t, "a = ");
    repeat(t, "[", 100000);
    assert_read(&d, CIS_E_INVALID, "more than 64 deep");
    cis_buf_text(t, "a = ");
    repeat(t, "{a=[", 50000);
    assert_read(&d, CIS_E_INVALID, "more than 64 deep");
    /* A header, a key of parts, and what is in it count together. */
    cis_buf_text(t, "[[");
    repeat(t, "h.", 20);
    cis_buf_text(t, "h]]\n");
    repeat(t, "k.", 20);
    cis_buf_text(t, "k = ");
    repeat(t, "[", 30);
    assert_read(&d, CIS_E_INVALID, "t.toml:2: tables and arrays more than 64 deep");
    cis_buf_done(t);
}

static void toml_of_a_sane_depth_is_read_whatever_its_length(void **state)
{
    (void)state;
    struct document d = {.text = CIS_BUF_INIT(16u << 20), .read = read_toml};
    struct cis_buf *t = &d.text;
    for (int i = 0; i < 5000; i++) { /* a counter that is not reset adds these up */
        cis_buf_printf(t,
                       "[t%d.a.b]\nx.y = [[1.5, 2.5], [{a.b = 1, c.d = 2}, {e = 3}]]\n"
                       "\"a.b.c\" = '''a.b.c\n[[[[[['''\nlong = [\n 1, # [[[[[[ a.b.c\n 2,\n]\n",
                       i);
    }
    assert_read(&d, CIS_OK, "");
    cis_buf_text(t, "[[");
    repeat(t, "h.", 30);
    cis_buf_text(t, "h]]\nk = ");
    repeat(t, "[", 30);
    repeat(t, "]", 30);
    cis_buf_text(t, "\n");
    assert_read(&d, CIS_OK, "");
    cis_buf_done(t);
}

/* ---- interfaces ---- */

static cis_code read_wit(struct document *d, struct cis_error *err)
{
    const struct cis_engine_module_options o = {.name = "t.wasm"};
    struct cis_buf out = CIS_BUF_INIT(64u << 20);
    cis_code code = cis_component_wit(cis_buf_bytes(&d->text), &o, &out, err);
    cis_buf_done(&out);
    return code;
}

static cis_code make(struct document *d, struct cis_error *err)
{
    const struct cis_engine_module_options o = {.name = "t.wasm"};
    struct cis_buf out = CIS_BUF_INIT(64u << 20);
    cis_code code =
        cis_component_make(cis_buf_bytes(&d->text), cis_bytes_of(NULL, 0), &o, &out, err);
    cis_buf_done(&out);
    return code;
}

/* An interface whose type is that of the interface before it. */
static void put_interface(struct cis_buf *t, const char *name, int at)
{
    cis_buf_printf(t, "(import \"%s\" (instance $i%d ", name, at);
    if (at == 0) {
        cis_buf_text(t, "(export \"t\" (type (sub resource)))");
    } else {
        cis_buf_printf(t, "(alias outer 1 $t%d (type $t)) (export \"t\" (type (eq $t)))", at - 1);
    }
    cis_buf_printf(t, ")) (alias export $i%d \"t\" (type $t%d))\n", at, at);
}

static void packages_that_need_each_other_are_refused(void **state)
{
    (void)state;
    struct document d = {.text = CIS_BUF_INIT(16u << 20), .read = read_wit};
    struct cis_buf *t = &d.text;
    static const char *const circle[] = {"a:a/x", "b:b/y", "a:a/z"};
    cis_buf_text(t, "(component ");
    for (int i = 0; i < 3; i++) {
        put_interface(t, circle[i], i);
    }
    cis_buf_text(t, ")");
    assert_read(&d, CIS_E_INVALID, "depends on itself");
    /* Versions are packages of their own, and one package may need itself. */
    static const char *const line[] = {"a:a/x@1.0.0", "a:a/y@1.0.0", "b:b/y@1.0.0", "a:a/z@2.0.0"};
    cis_buf_text(t, "(component ");
    for (int i = 0; i < 4; i++) {
        put_interface(t, line[i], i);
    }
    cis_buf_text(t, ")");
    assert_read(&d, CIS_OK, "");
    cis_buf_done(t);
}

static void a_chain_of_packages_has_a_largest_length(void **state)
{
    (void)state;
    struct document d = {.text = CIS_BUF_INIT(16u << 20), .read = read_wit};
    for (int n = 250; n <= 260; n += 10) {
        cis_buf_text(&d.text, "(component ");
        for (int i = 0; i < n; i++) {
            char name[32];
            snprintf(name, sizeof name, "p%d:q/i", i);
            put_interface(&d.text, name, i);
        }
        cis_buf_text(&d.text, ")");
        assert_read(&d, n > 256 ? CIS_E_INVALID : CIS_OK,
                    n > 256 ? "a chain of more than 256" : "");
    }
    cis_buf_done(&d.text);
}

static void put_leb(struct cis_buf *out, size_t n)
{
    for (; n >= 128; n >>= 7) {
        cis_buf_byte(out, (uint8_t)(n & 127) | 128);
    }
    cis_buf_byte(out, (uint8_t)n);
}

/* The text as the section of a module that has nothing else. */
static void with_section(struct document *d, const struct cis_buf *text)
{
    cis_buf_add(&d->text, "\0asm\1\0\0\0\0", 9);
    put_leb(&d->text, text->len + 8);
    cis_buf_text(&d->text, "\7cis:wit");
    cis_buf_add(&d->text, text->ptr, text->len);
}

static void interfaces_as_text_have_a_largest_number_and_length(void **state)
{
    (void)state;
    struct document d = {.text = CIS_BUF_INIT(16u << 20), .read = make};
    struct cis_buf text = CIS_BUF_INIT(16u << 20);
    for (int way = 0; way < 4; way++) {
        cis_buf_reset(&text);
        cis_buf_text(&text, "package a:b; ");
        for (int i = 15000; way == 0 && i > 0; i--) {
            cis_buf_printf(&text, "interface i%d { use i%d.{t}; } ", i, i - 1);
        }
        for (int i = 15000; way == 1 && i > 0; i--) {
            cis_buf_printf(&text, "package p%d:q { interface i { use p%d:q/i.{t}; } } ", i, i - 1);
        }
        for (int i = 15000; way == 2 && i > 0; i--) {
            cis_buf_printf(&text, "world w%d { include w%d; } ", i, i - 1);
        }
        if (way == 3) {
            repeat(&text, "/* interface world package */", 1000);
            repeat(&text, "// interface world package\n", 1000);
            repeat(&text, "/*", 3000);
            repeat(&text, "*/", 3000);
            cis_buf_text(&text, "interface i { type t0 = u8; ");
            for (int i = 1; i < 20000; i++) {
                cis_buf_printf(&text, "type t%d = t%d; ", i, i - 1);
            }
            cis_buf_text(&text, "} ");
        }
        cis_buf_text(&text, "interface i0 { type t = u8; } world w { import i0; }");
        with_section(&d, &text);
        assert_read(&d, way < 3 ? CIS_E_INVALID : CIS_OK,
                    way < 3 ? "more than 1000 packages, interfaces and worlds" : "");
    }
    repeat(&text, "/// much is said here\n", 60000);
    with_section(&d, &text);
    assert_read(&d, CIS_E_INVALID, "larger than 1048576 bytes");
    cis_buf_done(&text);
    cis_buf_done(&d.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_of_toml_have_a_largest_depth_however_they_are_written),
        cmocka_unit_test(toml_of_a_sane_depth_is_read_whatever_its_length),
        cmocka_unit_test(packages_that_need_each_other_are_refused),
        cmocka_unit_test(a_chain_of_packages_has_a_largest_length),
        cmocka_unit_test(interfaces_as_text_have_a_largest_number_and_length),
    };
    return cmocka_run_group_tests_name("depth", tests, NULL, NULL);
}
