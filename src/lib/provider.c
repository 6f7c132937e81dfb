/* cis_provider: interfaces in C as rows that the engine can bind, and the sets of them that runs
 * have. */
#include "lib/provider.h"

#include <stdio.h>
#include "base/mem.h"
#include "run/run.h"

#define ITEMS_MAX 4096u /* interfaces, functions or resources of one provider */
/* Providers and sets belong to no runtime, and what was linked with one is recognised by its
 * number: these are counted in the process. */
static atomic_uint next_kind = CIS_LIB_FIRST_KIND;
static atomic_ullong last_set;

cis_code cis_provider_new(cis_provider **out_provider, struct cis_error *err)
{
    cis_provider *p = cis_zalloc(sizeof *p);
    if (p == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "provider: out of memory");
    }
    atomic_init(&p->refs, 1);
    *out_provider = p;
    return CIS_OK;
}

void cis_provider_free(cis_provider *p)
{
    if (p == NULL || atomic_fetch_sub(&p->refs, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < p->functions.n; i++) {
        struct cis_lib_function *f = p->functions.at[i];
        cis_free(f->in);
        cis_free(f->name);
        cis_free(f->type);
        cis_free(f);
    }
    for (size_t i = 0; i < p->resources.n; i++) {
        struct cis_lib_resource *r = p->resources.at[i];
        cis_free(r->name);
        cis_free(r);
    }
    for (size_t i = 0; i < p->interfaces.n; i++) {
        struct cis_lib_interface *in = p->interfaces.at[i];
        cis_free(in->text);
        cis_free(in);
    }
    cis_free((void *)p->functions.at);
    cis_free((void *)p->resources.at);
    cis_free((void *)p->interfaces.at);
    cis_free(p);
}

/* ---- steps ---- */

/* A new, zeroed thing at the end of the list; NULL: the step has failed. */
static void *add(cis_provider *p, struct cis_lib_list *list, size_t size, const char *what)
{
    if (p->first.code != CIS_OK) {
        return NULL;
    }
    if (list->n == ITEMS_MAX) {
        cis_fail(&p->first, CIS_E_LIMIT, "%s: a provider has more than %u", what, ITEMS_MAX);
        return NULL;
    }
    void *thing = cis_zalloc(size);
    void **more = thing != NULL ? cis_realloc_array((void *)list->at, cis_size_add(list->n, 1),
                                                    sizeof(void *))
                                : NULL;
    if (more == NULL) {
        cis_free(thing);
        cis_fail(&p->first, CIS_E_NOMEM, "%s: out of memory", what);
        return NULL;
    }
    list->at = more;
    more[list->n++] = thing;
    return thing;
}

static char *copy(cis_provider *p, const char *text)
{
    char *out = cis_strdup(text);
    if (out == NULL && p->first.code == CIS_OK) {
        cis_fail(&p->first, CIS_E_NOMEM, "%s: out of memory", text);
    }
    return out;
}

/* 0: none is left, the step has failed. A number that came round again would be a resource of WASI
 * or of somebody else. */
static uint32_t kind_new(cis_provider *p)
{
    unsigned kind = atomic_load(&next_kind);
    do {
        if (kind == UINT32_MAX) {
            cis_fail(&p->first, CIS_E_LIMIT, "resources: this process has made too many");
            return 0;
        }
    } while (!atomic_compare_exchange_weak(&next_kind, &kind, kind + 1));
    return kind;
}

/* "package:space/name@version", the version may be missing. */
static bool is_interface(const char *text)
{
    const char *colon = strchr(text, ':'), *slash = strchr(text, '/');
    return colon != NULL && slash != NULL && colon > text && slash > colon + 1 && slash[1] != 0 &&
           strpbrk(text, " #\n") == NULL && cis_utf8_valid(text, strlen(text));
}

void cis_provider_interface(cis_provider *p, const char *name)
{
    if (p->first.code == CIS_OK && !is_interface(name)) {
        cis_fail(&p->first, CIS_E_USAGE,
                 "\"%.100s\" is not the name of an interface, such as acme:shop/orders@1.2.0",
                 name);
    }
    struct cis_lib_interface *i = add(p, &p->interfaces, sizeof *i, "interfaces");
    if (i == NULL) {
        return;
    }
    i->text = copy(p, name);
    i->path = cis_iface_version(cis_str_of(i->text != NULL ? i->text : ""), &i->version);
}

static const struct cis_lib_interface *current(cis_provider *p, const char *name)
{
    if (p->first.code == CIS_OK && p->interfaces.n == 0) {
        cis_fail(&p->first, CIS_E_USAGE,
                 "%.100s: call cis_provider_interface first, to name its interface", name);
    }
    return p->first.code == CIS_OK ? p->interfaces.at[p->interfaces.n - 1] : NULL;
}

static bool is_name(cis_provider *p, const char *name)
{
    if (p->first.code == CIS_OK && (name[0] == 0 || !cis_utf8_valid(name, strlen(name)))) {
        cis_fail(&p->first, CIS_E_USAGE, "a name is empty or not UTF-8");
    }
    return p->first.code == CIS_OK;
}

void cis_provider_resource(cis_provider *p, const char *name, cis_wit_drop_fn *drop, void *self)
{
    const struct cis_lib_interface *in = current(p, name);
    if (in == NULL || !is_name(p, name)) {
        return;
    }
    for (size_t i = 0; i < p->resources.n; i++) {
        const struct cis_lib_resource *r = p->resources.at[i];
        if (r->interface == in && strcmp(r->row.name, name) == 0) {
            cis_fail(&p->first, CIS_E_EXISTS, "%s: has resource %.60s already", in->text, name);
            return;
        }
    }
    struct cis_lib_resource *r = add(p, &p->resources, sizeof *r, "resources");
    if (r == NULL) {
        return;
    }
    r->name = copy(p, name);
    r->row = (struct cis_iface_resource){.package = in->text,
                                         .name = r->name,
                                         .kind = kind_new(p),
                                         .drop = cis_lib_object_drop,
                                         .is = cis_lib_object_is};
    r->provider = p;
    r->interface = in;
    r->drop = drop;
    r->self = self;
}

static bool same_function(const struct cis_lib_function *f, struct cis_str interface,
                          struct cis_str name)
{
    struct cis_str version, path = cis_iface_version(interface, &version);
    return cis_str_is(name, f->row.name) && cis_str_eq(path, f->interface->path) &&
           cis_iface_fits(version, f->interface->version);
}

static const struct cis_lib_function *function_of(const cis_provider *p, struct cis_str interface,
                                                  struct cis_str name)
{
    for (size_t i = 0; i < p->functions.n; i++) {
        const struct cis_lib_function *f = p->functions.at[i];
        if (same_function(f, interface, name)) {
            return f;
        }
    }
    return NULL;
}

void cis_provider_function(cis_provider *p, const char *name, const char *type,
                           cis_wit_fn *function, void *self)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
    const struct cis_lib_interface *in = current(p, name);
    size_t nargs;
    if (in == NULL || !is_name(p, name) ||
        cis_lib_type_text(type, &text, &nargs, &p->first) != CIS_OK) {
        return;
    }
    if (function_of(p, cis_str_of(in->text), cis_str_of(name)) != NULL) {
        cis_fail(&p->first, CIS_E_EXISTS, "%s: has function %.80s already", in->text, name);
        return;
    }
    struct cis_lib_function *f = add(p, &p->functions, sizeof *f, "functions");
    if (f == NULL) {
        return;
    }
    f->in = copy(p, in->text);
    f->name = copy(p, name);
    f->type = copy(p, cis_buf_cstr(&text));
    f->row = (struct cis_ifacefn){.interface = f->in,
                                  .name = f->name,
                                  .type = f->type,
                                  .handler = cis_lib_wit_handler,
                                  .denied = -1,
                                  .cost = 1,
                                  .params = "",
                                  .doc = ""};
    f->interface = in;
    f->provider = p;
    f->call = function;
    f->self = self;
    f->nargs = nargs;
}

const struct cis_lib_resource *cis_lib_resource_of(const cis_provider *p, struct cis_str interface,
                                                   struct cis_str name, bool *out_own)
{
    struct cis_str version, path = cis_iface_version(interface, &version), rest = path, package;
    const struct cis_lib_resource *used = NULL;
    *out_own = false;
    cis_str_split(&rest, '/', &package);
    for (size_t i = 0; i < p->resources.n; i++) {
        const struct cis_lib_resource *r = p->resources.at[i];
        struct cis_str own = r->interface->path, own_package;
        if (!cis_str_is(name, r->row.name) || !cis_iface_fits(version, r->interface->version)) {
            continue;
        }
        if (cis_str_eq(path, r->interface->path)) {
            *out_own = true;
            return r;
        }
        cis_str_split(&own, '/', &own_package);
        used = cis_str_eq(package, own_package) && used == NULL ? r : used;
    }
    return used;
}

/* ---- sets ---- */

static void set_ref(void *self)
{
    atomic_fetch_add(&((struct cis_lib_set *)self)->refs, 1);
}

void cis_lib_set_unref(struct cis_lib_set *set)
{
    if (set == NULL || atomic_fetch_sub(&set->refs, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < set->n; i++) {
        cis_provider_free(set->at[i]);
    }
    cis_free(set);
}

static void set_unref(void *self)
{
    cis_lib_set_unref(self);
}

static const struct cis_ifacefn *set_function(void *self, struct cis_str interface,
                                              struct cis_str name)
{
    const struct cis_lib_set *set = self;
    for (size_t i = 0; i < set->n; i++) {
        const struct cis_lib_function *f = function_of(set->at[i], interface, name);
        if (f != NULL) {
            return &f->row;
        }
    }
    return NULL;
}

static const struct cis_iface_resource *set_resource(void *self, struct cis_str interface,
                                                     struct cis_str name)
{
    const struct cis_lib_set *set = self;
    const struct cis_lib_resource *used = NULL;
    for (size_t i = 0; i < set->n; i++) {
        bool own;
        const struct cis_lib_resource *r = cis_lib_resource_of(set->at[i], interface, name, &own);
        if (own) { /* what the interface itself has comes before what another one of its package
                    * has, whichever provider that is of */
            return &r->row;
        }
        used = used == NULL ? r : used;
    }
    return used != NULL ? &used->row : NULL;
}

struct cis_iface_provider cis_lib_set_provider(struct cis_lib_set *set)
{
    return (struct cis_iface_provider){.function = set_function,
                                       .resource = set_resource,
                                       .self = set,
                                       .id = set->id,
                                       .owner = set,
                                       .ref = set_ref,
                                       .unref = set_unref,
                                       .given = cis_lib_object_given};
}

/* Two that could serve the same import. */
static cis_code check_clash(const struct cis_lib_set *set, const cis_provider *provider,
                            const char *without, uint32_t wasi, struct cis_error *err)
{
    for (size_t i = 0; i < provider->functions.n; i++) {
        const struct cis_lib_function *f = provider->functions.at[i];
        struct cis_str interface = cis_str_of(f->interface->text), name = cis_str_of(f->row.name);
        bool ours = cis_run_has_interface(interface, name, without, wasi);
        for (size_t k = 0; !ours && set != NULL && k < set->n; k++) {
            ours = function_of(set->at[k], interface, name) != NULL;
        }
        if (ours) {
            return cis_fail(err, CIS_E_EXISTS, "%s.%s: is provided already", f->interface->text,
                            f->row.name);
        }
    }
    return CIS_OK;
}

cis_code cis_lib_set_add(struct cis_lib_set **inout_set, cis_provider *provider,
                         const char *without, uint32_t wasi, struct cis_error *err)
{
    struct cis_lib_set *old = *inout_set;
    if (provider->first.code != CIS_OK) {
        return cis_fail(err, provider->first.code, "%s", provider->first.msg);
    }
    CIS_TRY(check_clash(old, provider, without, wasi, err));
    if (old != NULL && old->n == CIS_LIB_PROVIDERS_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "more than %u providers of one run",
                        CIS_LIB_PROVIDERS_MAX);
    }
    struct cis_lib_set *set = cis_zalloc(sizeof *set);
    if (set == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "provider: out of memory");
    }
    atomic_init(&set->refs, 1);
    set->id = atomic_fetch_add(&last_set, 1) + 1;
    for (; old != NULL && set->n < old->n; set->n++) {
        set->at[set->n] = old->at[set->n];
    }
    set->at[set->n++] = provider;
    for (size_t i = 0; i < set->n; i++) {
        atomic_fetch_add(&set->at[i]->refs, 1);
    }
    cis_lib_set_unref(old);
    *inout_set = set;
    return CIS_OK;
}
