/* The grammar is that of src/engine/component/typetext.c. */
#include "kinds/types.h"

#include <string.h>

struct reader {
    const char *at;
    struct func *f;
};

struct type *type_new(struct func *f, enum type_kind kind, const char *name)
{
    if (f->nnodes == NODES_MAX) {
        f->failed = true;
        return &f->nodes[0];
    }
    struct type *t = &f->nodes[f->nnodes++];
    *t = (struct type){.kind = kind, .name = cis_str_of(name)};
    return t;
}

static bool eat(struct reader *r, const char *text)
{
    size_t n = strlen(text);
    if (strncmp(r->at, text, n) != 0) {
        return false;
    }
    r->at += n;
    return true;
}

static void want(struct reader *r, const char *text)
{
    r->f->failed = !eat(r, text) || r->f->failed;
}

static struct cis_str word(struct reader *r)
{
    struct cis_str name = {r->at, strcspn(r->at, "(){}<>,: ")};
    r->f->failed = r->f->failed || name.len == 0;
    r->at += name.len;
    return name;
}

static struct type *read_type(struct reader *r);

static void add(struct reader *r, struct type *t, struct cis_str label, struct type *kid)
{
    if (t->nkids == KIDS_MAX) {
        r->f->failed = true;
        return;
    }
    t->labels[t->nkids] = label;
    t->kids[t->nkids++] = kid;
}

static struct type *read_inside(struct reader *r, enum type_kind kind)
{
    struct type *t = type_new(r->f, kind, "");
    do {
        add(r, t, CIS_STR(""), read_type(r));
    } while (!r->f->failed && eat(r, ","));
    want(r, ">");
    return t;
}

static struct type *read_labels(struct reader *r, enum type_kind kind)
{
    struct type *t = type_new(r->f, kind, ""), *kid;
    do {
        struct cis_str label = word(r);
        kid = NULL;
        if (kind == T_RECORD) {
            want(r, ":");
            kid = read_type(r);
        } else if (kind == T_VARIANT && eat(r, "(")) {
            kid = read_type(r);
            want(r, ")");
        }
        add(r, t, label, kid);
    } while (!r->f->failed && eat(r, ","));
    want(r, "}");
    return t;
}

static struct type *read_result(struct reader *r)
{
    struct type *t = type_new(r->f, T_RESULT, "");
    t->nkids = 2;
    if (eat(r, "<")) {
        t->kids[0] = eat(r, "_") ? NULL : read_type(r);
        t->kids[1] = eat(r, ", ") ? read_type(r) : NULL;
        want(r, ">");
    }
    return t;
}

static struct type *read_named(struct reader *r, enum type_kind kind)
{
    struct type *t = type_new(r->f, kind, "");
    t->name = word(r);
    if (kind != T_SIMPLE) {
        want(r, ">");
    }
    return t;
}

static struct type *read_type(struct reader *r)
{
    if (r->f->failed) {
        return NULL;
    }
    return eat(r, "list<")      ? read_inside(r, T_LIST)
           : eat(r, "option<")  ? read_inside(r, T_OPTION)
           : eat(r, "tuple<")   ? read_inside(r, T_TUPLE)
           : eat(r, "record{")  ? read_labels(r, T_RECORD)
           : eat(r, "variant{") ? read_labels(r, T_VARIANT)
           : eat(r, "enum{")    ? read_labels(r, T_ENUM)
           : eat(r, "flags{")   ? read_labels(r, T_FLAGS)
           : eat(r, "own<")     ? read_named(r, T_OWN)
           : eat(r, "borrow<")  ? read_named(r, T_BORROW)
           : eat(r, "result")   ? read_result(r)
                                : read_named(r, T_SIMPLE);
}

void func_parse(const char *text, struct func *out)
{
    struct reader r = {text, out};
    out->nparams = out->nnodes = 0;
    out->result = NULL;
    out->failed = false;
    want(&r, "func(");
    while (!out->failed && !eat(&r, ")")) {
        if (out->nparams != 0) {
            want(&r, ", ");
        }
        out->params[out->nparams++] = read_type(&r);
    }
    if (!out->failed && eat(&r, " -> ")) {
        out->result = read_type(&r);
    }
    out->failed = out->failed || *r.at != 0;
}

/* ---- as text ---- */

static void text_of(const struct type *t, struct cis_buf *out)
{
    static const char *const open[] = {"",         "list<", "option<", "tuple<", "record{",
                                       "variant{", "enum{", "flags{",  "result<"};
    if (t->kind == T_SIMPLE || t->kind == T_OWN || t->kind == T_BORROW) {
        cis_buf_text(out, t->kind == T_OWN ? "own " : t->kind == T_BORROW ? "borrow " : "");
        cis_buf_str(out, t->name);
        return;
    }
    cis_buf_text(out, open[t->kind]);
    for (size_t i = 0; i < t->nkids; i++) {
        cis_buf_text(out, i != 0 ? "," : "");
        cis_buf_str(out, t->labels[i]);
        if (t->kids[i] != NULL) {
            cis_buf_text(out, t->labels[i].len != 0 ? ":" : "");
            text_of(t->kids[i], out);
        }
    }
    cis_buf_text(out, ">");
}

void func_text(const struct func *f, struct cis_buf *out)
{
    cis_buf_text(out, "(");
    for (size_t i = 0; i < f->nparams; i++) {
        cis_buf_text(out, i != 0 ? ", " : "");
        text_of(f->params[i], out);
    }
    cis_buf_text(out, ")");
    if (f->result != NULL) {
        cis_buf_text(out, " -> ");
        text_of(f->result, out);
    }
}

/* ---- as a component ---- */

struct wat {
    struct cis_buf *out;
    const struct type *named[NODES_MAX]; /* written before, as $tN */
    size_t nnamed;
};

static size_t number_of(const struct wat *w, const struct type *t)
{
    size_t i = 0;
    while (i < w->nnamed && w->named[i] != t) {
        i++;
    }
    return i;
}

/* As it stands where it is used: what has labels goes by its name. */
static void use(struct wat *w, const struct type *t)
{
    static const char *const open[] = {"", "(list ", "(option ", "(tuple "};
    switch (t->kind) {
    case T_SIMPLE:
        cis_buf_str(w->out, t->name);
        return;
    case T_OWN:
    case T_BORROW:
        cis_buf_printf(w->out, "(%s $" CIS_STR_FMT ")", t->kind == T_OWN ? "own" : "borrow",
                       CIS_STR_ARG(t->name));
        return;
    case T_RESULT:
        cis_buf_text(w->out, "(result");
        if (t->kids[0] != NULL) {
            cis_buf_byte(w->out, ' ');
            use(w, t->kids[0]);
        }
        if (t->kids[1] != NULL) {
            cis_buf_text(w->out, " (error ");
            use(w, t->kids[1]);
            cis_buf_byte(w->out, ')');
        }
        cis_buf_byte(w->out, ')');
        return;
    case T_LIST:
    case T_OPTION:
    case T_TUPLE:
        cis_buf_text(w->out, open[t->kind]);
        for (size_t i = 0; i < t->nkids; i++) {
            use(w, t->kids[i]);
            cis_buf_byte(w->out, ' ');
        }
        cis_buf_byte(w->out, ')');
        return;
    default:
        cis_buf_printf(w->out, "$e%zu", number_of(w, t));
        return;
    }
}

/* What has labels, innermost first. */
static void define(struct wat *w, const struct type *t)
{
    static const char *const kinds[] = {[T_RECORD] = "record (field ",
                                        [T_VARIANT] = "variant (case ",
                                        [T_ENUM] = "enum ",
                                        [T_FLAGS] = "flags "};
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < t->nkids; i++) {
        define(w, t->kids[i]);
    }
    if (t->kind < T_RECORD || t->kind > T_FLAGS || number_of(w, t) < w->nnamed) {
        return;
    }
    size_t n = w->nnamed;
    bool plain = t->kind == T_ENUM || t->kind == T_FLAGS;
    cis_buf_printf(w->out, "(type $t%zu (", n);
    for (size_t i = 0; i < t->nkids; i++) {
        const char *head = kinds[t->kind], *second = strchr(head, '(');
        cis_buf_text(w->out, i == 0 ? head : plain ? "" : second);
        cis_buf_printf(w->out, "\"" CIS_STR_FMT "\" ", CIS_STR_ARG(t->labels[i]));
        if (t->kids[i] != NULL) {
            use(w, t->kids[i]);
        }
        cis_buf_text(w->out, plain ? "" : ") ");
    }
    cis_buf_printf(w->out, "))\n(export \"type-n%zu\" (type $e%zu (eq $t%zu)))\n", n, n, n);
    w->named[w->nnamed++] = t;
}

void func_component(const struct func *f, const char *interface, const char *name,
                    const struct resource *resources, size_t n, struct cis_buf *out)
{
    static struct wat w;
    w.out = out;
    w.nnamed = 0;
    cis_buf_printf(out, "(component (import \"%s\" (instance\n", interface);
    for (size_t i = 0; i < n; i++) {
        bool own = resources[i].same[0] == 0;
        cis_buf_printf(out,
                       own ? "(export \"%s\" (type $%s (sub resource)))\n"
                           : "(export \"%s\" (type $%s (eq $%s)))\n",
                       resources[i].name, resources[i].name, resources[i].same);
    }
    for (size_t i = 0; i < f->nparams; i++) {
        define(&w, f->params[i]);
    }
    define(&w, f->result);
    cis_buf_printf(out, "(export \"%s\" (func", name);
    for (size_t i = 0; i < f->nparams; i++) {
        bool self = i == 0 && strncmp(name, "[method]", 8) == 0;
        cis_buf_printf(out, self ? " (param \"self\" " : " (param \"p%zu\" ", i);
        use(&w, f->params[i]);
        cis_buf_byte(out, ')');
    }
    if (f->result != NULL) {
        cis_buf_text(out, " (result ");
        use(&w, f->result);
        cis_buf_byte(out, ')');
    }
    cis_buf_text(out, ")))))");
}
