/* An interface in C for a component, with a resource: the guest opens a ledger, writes lines into
 * it and asks for the balance. Then an export of the guest is called with values.
 *
 *   component COMPONENT      (binary or text; examples/embed/ledger.wat) */
#include <cis/cis.h>
#include <stdio.h>
#include <stdlib.h>

struct ledger {
    int64_t balance;
    char owner[32];
};

static int fail(const char *what, const struct cis_error *err)
{
    fprintf(stderr, "%s: %s\n", what, err->msg);
    return 1;
}

/* ---- bank:ledger/books@1.0.0 ---- */

static enum cis_code ledger_open(void *self, cis_wit_call *call)
{
    struct ledger *l = calloc(1, sizeof *l);
    size_t len;
    const char *owner = cis_wit_text(cis_wit_arg(call, 0), &len);
    (void)self;
    if (l == NULL) {
        return cis_wit_fail(call, CIS_E_NOMEM, "no ledger");
    }
    snprintf(l->owner, sizeof l->owner, "%.*s", (int)(len < 31 ? len : 31), owner);
    cis_wit_set_object(call, cis_wit_result(call), "ledger", l);
    return CIS_E_OK;
}

/* An error that the guest shall see is part of the type. */
static enum cis_code ledger_book(void *self, cis_wit_call *call)
{
    struct ledger *l = cis_wit_object(call, cis_wit_arg(call, 0));
    int64_t amount = cis_wit_int(cis_wit_arg(call, 1));
    (void)self;
    if (l->balance + amount < 0) {
        cis_wit_set_enum(call, cis_wit_set_error(call, cis_wit_result(call), true), "overdrawn");
        return CIS_E_OK;
    }
    l->balance += amount;
    cis_wit_set_s64(cis_wit_set_ok(call, cis_wit_result(call), true), l->balance);
    return CIS_E_OK;
}

static void ledger_drop(void *self, void *object)
{
    struct ledger *l = object;
    (void)self;
    printf("ledger of %s closed with %lld\n", l->owner, (long long)l->balance);
    free(l);
}

static cis_provider *books(struct cis_error *err)
{
    cis_provider *p = NULL;
    if (cis_provider_new(&p, err) == CIS_E_OK) {
        cis_provider_interface(p, "bank:ledger/books@1.0.0");
        cis_provider_resource(p, "ledger", ledger_drop, NULL);
        cis_provider_function(p, "[constructor]ledger", "func(owner: string) -> own<ledger>",
                              ledger_open, NULL);
        cis_provider_function(p, "[method]ledger.book",
                              "func(self: borrow<ledger>, amount: s64) -> "
                              "result<s64, enum{overdrawn}>",
                              ledger_book, NULL);
    }
    return p;
}

/* ---- the guest ---- */

static int call_guest(cis_component *component)
{
    struct cis_error err = {CIS_E_OK, 0, ""};
    cis_wit_call *call = NULL;
    char *text = NULL;
    if (cis_component_begin(component, "settle", "func(owner: string, amounts: list<s64>) -> s64",
                            &call, &err) != CIS_E_OK) {
        return fail("settle", &err);
    }
    static const int64_t amounts[] = {100, -30, -500, 7};
    cis_wit_set_text(call, cis_wit_param(call, 0), "Ada", 3);
    cis_wit_set_list(call, cis_wit_param(call, 1), 4);
    for (size_t i = 0; i < 4; i++) {
        cis_wit_set_s64(cis_wit_item(call, cis_wit_param(call, 1), i), amounts[i]);
    }
    if (cis_wit_perform(call, &err) != CIS_E_OK) {
        cis_wit_call_free(call);
        return fail("settle", &err);
    }
    printf("with values: %lld\n", (long long)cis_wit_int(cis_wit_result(call)));
    cis_wit_call_free(call);
    if (cis_component_eval(component, "settle(\"Bob\", [5, 6])", &text, &err) != CIS_E_OK) {
        return fail("settle", &err);
    }
    printf("as text: %s\n", text);
    cis_output_free(text);
    return 0;
}

static int run(cis_runtime *runtime, cis_module *module)
{
    struct cis_error err = {CIS_E_OK, 0, ""};
    cis_provider *provider = books(&err);
    cis_wasi_config *wasi = NULL;
    cis_component *component = NULL;
    int status = 1;
    if (provider == NULL || cis_wasi_config_new(runtime, &wasi, &err) != CIS_E_OK) {
        cis_provider_free(provider);
        return fail("run", &err);
    }
    cis_wasi_config_provide(wasi, provider);
    if (cis_component_open(wasi, module, &component, &err) == CIS_E_OK) {
        status = call_guest(component);
    } else {
        fail("open", &err);
    }
    cis_component_close(component);
    cis_wasi_config_free(wasi);
    cis_provider_free(provider);
    return status;
}

static char *read_file(const char *path, size_t *out_len)
{
    FILE *file = fopen(path, "rb");
    char *bytes = calloc(1, 1 << 20);
    *out_len = file != NULL && bytes != NULL ? fread(bytes, 1, 1 << 20, file) : 0;
    if (file != NULL) {
        fclose(file);
    }
    return bytes;
}

int main(int argc, char **argv)
{
    struct cis_error err = {CIS_E_OK, 0, ""};
    cis_runtime *runtime = NULL;
    cis_module *module = NULL;
    size_t len = 0;
    if (argc != 2) {
        fprintf(stderr, "usage: component COMPONENT\n");
        return 2;
    }
    char *bytes = read_file(argv[1], &len);
    int status = cis_runtime_new(NULL, &runtime, &err) != CIS_E_OK ||
                         cis_module_load(runtime, bytes, len, argv[1], &module, &err) != CIS_E_OK
                     ? fail(argv[1], &err)
                     : run(runtime, module);
    cis_module_unref(module);
    cis_runtime_free(runtime);
    free(bytes);
    return status;
}
