#include "tree.h"
#include <stdlib.h>
#include <string.h>
#include <yaml.h>
#include "text.h"

/* ---- memory: blocks that are freed together ---- */
struct block {
    struct block *next;
    size_t used, size;
};

static void *take(struct yaml *y, size_t n)
{
    struct block *b = y->blocks;
    n = (n + 15) & ~(size_t)15;
    if (b == NULL || n > b->size - b->used) {
        size_t size = n > 32768 ? n : 32768;
        b = need(sizeof *b + 16 + size);
        *b = (struct block){.next = y->blocks, .size = size};
        y->blocks = b;
    }
    char *at = (char *)b + ((sizeof *b + 15) & ~(size_t)15) + b->used;
    b->used += n;
    return at;
}

void yaml_done(struct yaml *yaml)
{
    for (struct block *b = yaml->blocks, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    *yaml = (struct yaml){0};
}

/* ---- events into a tree ---- */
struct open_node {
    struct yaml_node *node, *last, *key; /* key: one that waits for its value */
    json_t *keys;                        /* of a map: those that were there */
};

struct reader {
    struct yaml *yaml;
    yaml_parser_t parser;
    struct open_node open[YAML_DEPTH_MAX];
    size_t depth, nodes, documents;
    struct text error;
};

static bool fail(struct reader *r, yaml_mark_t at, const char *what)
{
    text_format(&r->error, "%s at line %zu column %zu", what, at.line + 1, at.column + 1);
    return false;
}

static bool fail_parser(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *what = p->problem != NULL ? p->problem : "not YAML";
    if (p->error == YAML_READER_ERROR) {
        text_format(&r->error, "%s at byte %zu", what, p->problem_offset);
        return false;
    }
    return fail(r, p->problem_mark, what);
}

/* Puts a node where it belongs. */
static bool place(struct reader *r, struct yaml_node *n, yaml_mark_t at)
{
    if (++r->nodes > YAML_NODES_MAX) {
        return fail(r, at, "more than 500000 values");
    }
    if (r->depth == 0) {
        r->yaml->root = n;
        return true;
    }
    struct open_node *in = &r->open[r->depth - 1];
    if (in->node->kind == YAML_MAP && in->key == NULL) {
        if (n->kind != YAML_SCALAR) {
            return fail(r, at, "a key is not text");
        }
        if (json_object_get(in->keys, n->text) != NULL) {
            text_format(&r->error, "duplicate field `%.100s`", n->text);
            return fail(r, at, "");
        }
        if (json_object_set_new(in->keys, n->text, json_true()) != 0) {
            return fail(r, at, "a key is not UTF-8");
        }
        in->key = n;
        return true;
    }
    n->key = in->key;
    in->key = NULL;
    *(in->last != NULL ? &in->last->next : &in->node->child) = n;
    in->last = n;
    return true;
}

static bool on_event(struct reader *r, const yaml_event_t *e)
{
    struct yaml_node *n;
    yaml_mark_t at = e->start_mark;
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        return ++r->documents == 1 || fail(r, at, "more than one document");
    case YAML_ALIAS_EVENT:
        return fail(r, at, "aliases are not supported");
    case YAML_SCALAR_EVENT:
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        n = take(r->yaml, sizeof *n);
        *n = (struct yaml_node){.line = at.line + 1, .column = at.column + 1};
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        json_decref(r->open[--r->depth].keys);
        return true;
    default:
        return true;
    }
    if (e->type == YAML_SCALAR_EVENT) {
        n->kind = YAML_SCALAR;
        n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        n->len = e->data.scalar.length;
        if (memchr(e->data.scalar.value, 0, n->len) != NULL) {
            return fail(r, at, "a zero byte in text");
        }
        n->text = take(r->yaml, n->len + 1);
        memcpy(n->text, e->data.scalar.value, n->len);
        n->text[n->len] = '\0';
        return place(r, n, at);
    }
    n->kind = e->type == YAML_SEQUENCE_START_EVENT ? YAML_LIST : YAML_MAP;
    if (!place(r, n, at)) {
        return false;
    }
    if (r->depth == YAML_DEPTH_MAX) {
        return fail(r, at, "more than 64 levels");
    }
    r->open[r->depth++] =
        (struct open_node){.node = n, .keys = n->kind == YAML_MAP ? json_object() : NULL};
    return true;
}

bool yaml_read(const char *at, size_t n, struct yaml *out, char **out_error)
{
    struct reader *r = need(sizeof *r);
    bool ok = true, end = false;
    *out = (struct yaml){0};
    *r = (struct reader){.yaml = out, .error = TEXT_INIT(1000)};
    if (n > YAML_BYTES_MAX) {
        text_format(&r->error, "the text has %zu bytes, at most %zu are read", n, YAML_BYTES_MAX);
        ok = false;
    }
    if (yaml_parser_initialize(&r->parser) == 0) {
        need_more(NULL, SIZE_MAX);
    }
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)at, n);
    while (ok && !end) {
        yaml_event_t e;
        if (yaml_parser_parse(&r->parser, &e) == 0) {
            ok = fail_parser(r);
            break;
        }
        end = e.type == YAML_STREAM_END_EVENT;
        ok = on_event(r, &e);
        yaml_event_delete(&e);
    }
    while (r->depth > 0) {
        json_decref(r->open[--r->depth].keys);
    }
    yaml_parser_delete(&r->parser);
    if (!ok) {
        yaml_done(out);
        *out_error = text_take(&r->error);
    }
    text_done(&r->error);
    free(r);
    return ok;
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
    for (const struct yaml_node *n = map != NULL ? map->child : NULL; n != NULL; n = n->next) {
        if (n->key != NULL && strcmp(n->key->text, key) == 0) {
            return n;
        }
    }
    return NULL;
}

/* ---- the core schema ---- */
static bool is_one_of(const char *s, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(s, *words) == 0) {
            return true;
        }
    }
    return false;
}

bool yaml_is_null(const struct yaml_node *n)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
    return n == NULL || (n->kind == YAML_SCALAR && !n->quoted && is_one_of(n->text, words));
}

bool yaml_is_bool(const struct yaml_node *n, bool *out)
{
    static const char *const yes[] = {"true", "True", "TRUE", NULL};
    static const char *const no[] = {"false", "False", "FALSE", NULL};
    if (n->kind != YAML_SCALAR || n->quoted) {
        return false;
    }
    *out = is_one_of(n->text, yes);
    return *out || is_one_of(n->text, no);
}

/* A number in decimal, or NULL. */
static json_t *number(const struct yaml_node *n)
{
    if (n->kind != YAML_SCALAR || n->quoted || n->len == 0 || n->len > 40 ||
        strspn(n->text, "+-.0123456789eE") != n->len || strcspn(n->text, "0123456789") == n->len) {
        return NULL;
    }
    char *end;
    if (strspn(n->text, "+-0123456789") == n->len) {
        long long i = strtoll(n->text, &end, 10);
        if (*end == '\0' && i != INT64_MAX && i != INT64_MIN) {
            return json_integer(i);
        }
    }
    double d = strtod(n->text, &end);
    return *end == '\0' ? json_real(d) : NULL; /* NULL as well for what has no end */
}

bool yaml_is_string(const struct yaml_node *n)
{
    bool b;
    if (n->kind != YAML_SCALAR || yaml_is_null(n) || yaml_is_bool(n, &b)) {
        return false;
    }
    json_t *is = number(n);
    json_decref(is);
    return is == NULL;
}

static json_t *scalar_json(const struct yaml_node *n)
{
    bool b;
    if (yaml_is_null(n)) {
        return json_null();
    }
    if (yaml_is_bool(n, &b)) {
        return json_boolean(b);
    }
    json_t *is = number(n);
    return is != NULL ? is : json_stringn(n->text, n->len);
}

json_t *yaml_json(const struct yaml_node *n)
{
    if (n->kind == YAML_SCALAR) {
        return scalar_json(n);
    }
    json_t *out = n->kind == YAML_LIST ? json_array() : json_object();
    for (const struct yaml_node *c = n->child; c != NULL; c = c->next) {
        if (n->kind == YAML_LIST) {
            json_array_append_new(out, yaml_json(c));
        } else {
            json_object_set_new(out, c->key->text, yaml_json(c));
        }
    }
    return out;
}
