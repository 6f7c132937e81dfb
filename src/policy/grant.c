/* The grammar of grants: text to entries and back. Relations between entries are in set.c. */
#include "policy/grant.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/json_write.h"
#include "base/mem.h"
#include "policy/host.h"
#include "policy/set.h"

#define GRANT_TEXT_MAX 1024u

static const char *const names[CIS_GRANT_COUNT] = {
    [CIS_GRANT_NONE] = "none",
    [CIS_GRANT_MEMORY_READ] = "memory_read",
    [CIS_GRANT_MEMORY_WRITE] = "memory_write",
    [CIS_GRANT_AI] = "ai",
    [CIS_GRANT_HTTP] = "http",
    [CIS_GRANT_NET] = "net",
    [CIS_GRANT_DNS] = "dns",
    [CIS_GRANT_FS_READ] = "fs_read",
    [CIS_GRANT_FS_WRITE] = "fs_write",
    [CIS_GRANT_ENV] = "env",
    [CIS_GRANT_CLOCKS] = "clocks",
    [CIS_GRANT_RANDOM] = "random",
    [CIS_GRANT_COMMAND] = "command",
};

const char *cis_grant_name(enum cis_grant grant)
{
    return (unsigned)grant < CIS_GRANT_COUNT ? names[grant] : "unknown";
}

#define BITS2(a, b) (CIS_GRANT_BIT(CIS_GRANT_##a) | CIS_GRANT_BIT(CIS_GRANT_##b))

/* Grants that are words. Order matters for printing: a row is printed when all its bits are set,
 * and later rows within the same bits are then skipped. `removes` is what revoking it takes away:
 * writing without reading has no name, so both go. */
static const struct {
    const char *text;
    uint32_t bits, removes;
} words[] = {
    {"memory", BITS2(MEMORY_READ, MEMORY_WRITE), BITS2(MEMORY_READ, MEMORY_WRITE)},
    {"memory=read", CIS_GRANT_BIT(CIS_GRANT_MEMORY_READ), CIS_GRANT_BIT(CIS_GRANT_MEMORY_READ)},
    {"memory=write", CIS_GRANT_BIT(CIS_GRANT_MEMORY_WRITE), CIS_GRANT_BIT(CIS_GRANT_MEMORY_WRITE)},
    {"ai", CIS_GRANT_BIT(CIS_GRANT_AI), CIS_GRANT_BIT(CIS_GRANT_AI)},
    {"dns", CIS_GRANT_BIT(CIS_GRANT_DNS), CIS_GRANT_BIT(CIS_GRANT_DNS)},
    {"fs=rw", BITS2(FS_READ, FS_WRITE), BITS2(FS_READ, FS_WRITE)},
    {"fs=ro", CIS_GRANT_BIT(CIS_GRANT_FS_READ), BITS2(FS_READ, FS_WRITE)},
    {"clocks", CIS_GRANT_BIT(CIS_GRANT_CLOCKS), CIS_GRANT_BIT(CIS_GRANT_CLOCKS)},
    {"random", CIS_GRANT_BIT(CIS_GRANT_RANDOM), CIS_GRANT_BIT(CIS_GRANT_RANDOM)},
    {"command", CIS_GRANT_BIT(CIS_GRANT_COMMAND), CIS_GRANT_BIT(CIS_GRANT_COMMAND)},
};
#define NWORDS (sizeof words / sizeof *words)

/* One parsed grant: a word, or one entry of a list. Text lives in the buffers here. */
struct item {
    enum { WORD, NETWORK, ORIGIN, RULE, ENV } kind;
    size_t word;
    struct cis_origin origin;
    struct cis_net_rule rule;
    struct cis_str env;
    struct cis_host_text host;
    char cidr[80];
};

static const char *parse_origin(struct cis_str text, struct item *item)
{
    struct cis_origin *o = &item->origin;
    static char http[] = "http", https[] = "https";
    if (cis_str_starts(text, CIS_STR("http://"))) {
        o->scheme = http;
        o->port = 80;
    } else if (cis_str_starts(text, CIS_STR("https://"))) {
        o->scheme = https;
        o->port = 443;
    } else {
        return "an origin starts with http:// or https://";
    }
    size_t skip = strlen(o->scheme) + 3;
    text.ptr += skip;
    text.len -= skip;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '@') {
            return "an origin has no user name or password";
        }
        if (strchr("/?#\\", text.ptr[i]) != NULL) {
            return "an origin has no path, query or fragment, not even a final '/'";
        }
    }
    struct cis_str host, port;
    bool has_port;
    const char *why = cis_host_split(text, &host, &port, &has_port);
    if (why != NULL) {
        return why;
    }
    if (has_port && !cis_port_parse(port, &o->port)) {
        return "the port is not a number from 1 to 65535";
    }
    o->wildcard = cis_str_starts(host, CIS_STR("*."));
    if (o->wildcard) {
        host.ptr += 2;
        host.len -= 2;
    }
    if (host.len > 0 && memchr(host.ptr, '*', host.len) != NULL) {
        return "'*' stands only as the whole left-most label: *.example.com";
    }
    why = cis_host_parse(host, &item->host);
    if (why != NULL) {
        return why;
    }
    if (o->wildcard && (item->host.kind != CIS_HOST_NAME || !strchr(item->host.text, '.'))) {
        return "'*.' needs a domain of at least two labels after it";
    }
    o->host = item->host.text;
    item->kind = ORIGIN;
    return NULL;
}

static const char *parse_cidr(struct cis_str text, struct item *item)
{
    struct cis_str addr;
    bool has_bits = cis_str_split(&text, '/', &addr);
    bool v6 = addr.len > 0 && memchr(addr.ptr, ':', addr.len) != NULL;
    const char *why = v6 ? cis_host_parse_v6(addr, &item->host) : cis_host_parse(addr, &item->host);
    if (why != NULL) {
        return why;
    }
    if (item->host.kind == CIS_HOST_NAME) {
        return "bind: needs an address or a CIDR block, not a name";
    }
    unsigned max = item->host.kind == CIS_HOST_V6 ? 128 : 32;
    uint64_t bits = max;
    if (has_bits && (text.len > 3 || (text.len > 1 && text.ptr[0] == '0') ||
                     !cis_str_u64(text, &bits) || bits > max)) {
        return "the prefix length is out of range";
    }
    struct sockaddr_storage full;
    cis_host_sockaddr(item->host.text, &full);
    const uint8_t *bytes = max == 128 ? (const uint8_t *)&full + 8 : (const uint8_t *)&full + 4;
    for (unsigned i = (unsigned)bits; i < max; i++) {
        if ((bytes[i / 8] & (0x80u >> (i % 8))) != 0) {
            return "bits are set beyond the prefix length";
        }
    }
    snprintf(item->cidr, sizeof item->cidr, "%.63s/%u", item->host.text, (unsigned)bits);
    item->rule = (struct cis_net_rule){.kind = CIS_NET_BIND, .host = item->cidr};
    item->kind = RULE;
    return NULL;
}

static const char *parse_net(struct cis_str text, struct item *item)
{
    struct cis_str kind;
    if (!cis_str_split(&text, ':', &kind)) {
        return "net= is tcp:HOST:PORT, udp:HOST:PORT, listen:HOST:PORT or bind:CIDR";
    }
    if (cis_str_is(kind, "bind")) {
        return parse_cidr(text, item);
    }
    if (cis_str_is(kind, "tcp")) {
        item->rule.kind = CIS_NET_TCP;
    } else if (cis_str_is(kind, "udp")) {
        item->rule.kind = CIS_NET_UDP;
    } else if (cis_str_is(kind, "listen")) {
        item->rule.kind = CIS_NET_LISTEN;
    } else {
        return "net= is tcp:HOST:PORT, udp:HOST:PORT, listen:HOST:PORT or bind:CIDR";
    }
    struct cis_str host, port;
    bool has_port;
    const char *why = cis_host_split(text, &host, &port, &has_port);
    if (why == NULL) {
        why = cis_host_parse(host, &item->host);
    }
    if (why != NULL) {
        return why;
    }
    item->rule.port = 0;
    if (!has_port || !(cis_str_is(port, "*") || cis_port_parse(port, &item->rule.port))) {
        return "the port is a number from 1 to 65535, or * for any";
    }
    if (item->rule.kind == CIS_NET_LISTEN && item->host.kind == CIS_HOST_NAME &&
        strcmp(item->host.text, "localhost") != 0) {
        return "listen: needs an address or localhost, not a name";
    }
    item->rule.host = item->host.text;
    item->kind = RULE;
    return NULL;
}

static const char *parse_env(struct cis_str text, struct item *item)
{
    if (text.len == 0 || text.len > 255 || (text.ptr[0] >= '0' && text.ptr[0] <= '9')) {
        return "env= needs the name of a variable";
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '_')) {
            return "the name of a variable has letters, digits and '_' only";
        }
    }
    item->env = text;
    item->kind = ENV;
    return NULL;
}

static const char *parse_item(struct cis_str text, struct item *item)
{
    if (text.len == 0) {
        return "empty";
    }
    if (text.len > GRANT_TEXT_MAX) {
        return "longer than 1024 bytes";
    }
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] <= 0x20 || (unsigned char)text.ptr[i] >= 0x7f) {
            return "spaces, control characters and other than ASCII have no place in a grant";
        }
    }
    for (size_t i = 0; i < NWORDS; i++) {
        if (cis_str_is(text, words[i].text)) {
            item->kind = WORD;
            item->word = i;
            return NULL;
        }
    }
    if (cis_str_is(text, "network")) {
        item->kind = NETWORK;
        return NULL;
    }
    struct cis_str rest = text, key;
    if (cis_str_split(&rest, '=', &key)) {
        if (cis_str_is(key, "http")) {
            return parse_origin(rest, item);
        }
        if (cis_str_is(key, "net")) {
            return parse_net(rest, item);
        }
        if (cis_str_is(key, "env")) {
            return parse_env(rest, item);
        }
        if (cis_str_is(key, "fs")) {
            return "fs= is ro or rw";
        }
        if (cis_str_is(key, "memory")) {
            return "memory= is read or write";
        }
    }
    return "no such grant; known: memory ai network http= net= dns fs= env= clocks random command";
}

static cis_code refuse(struct cis_str text, const char *why, struct cis_error *err)
{
    /* What stands before '@' may be a password. */
    bool secret = text.len > 0 && memchr(text.ptr, '@', text.len) != NULL;
    return cis_fail(err, CIS_E_USAGE, "grant \"%.*s\": %s",
                    secret ? 3 : (int)(text.len > 100 ? 100 : text.len), secret ? "..." : text.ptr,
                    why);
}

cis_code cis_grants_add(struct cis_grants *grants, struct cis_str text, struct cis_error *err)
{
    struct item item = {0};
    const char *why = parse_item(text, &item);
    if (why != NULL) {
        return refuse(text, why, err);
    }
    switch (item.kind) {
    case WORD:
        grants->bits |= words[item.word].bits;
        break;
    case NETWORK:
        grants->network = true;
        cis_grants_recount(grants);
        break;
    case ORIGIN:
        return cis_grants_push_origin(grants, &item.origin, err);
    case RULE:
        return cis_grants_push_net(grants, &item.rule, err);
    case ENV:
        return cis_grants_push_env(grants, item.env, err);
    }
    return CIS_OK;
}

static void drop_origins(struct cis_grants *grants, const struct cis_origin *gone)
{
    size_t kept = 0;
    for (size_t i = 0; i < grants->nhttp; i++) {
        struct cis_origin o = grants->http[i];
        if (cis_origin_covers(gone, &o)) {
            cis_free(o.scheme);
            cis_free(o.host);
        } else {
            grants->http[kept++] = o;
        }
    }
    grants->nhttp = kept;
}

static void drop_rules(struct cis_grants *grants, const struct cis_net_rule *gone)
{
    size_t kept = 0;
    for (size_t i = 0; i < grants->nnet; i++) {
        struct cis_net_rule r = grants->net[i];
        if (cis_net_rule_covers(gone, &r)) {
            cis_free(r.host);
        } else {
            grants->net[kept++] = r;
        }
    }
    grants->nnet = kept;
}

static void drop_env(struct cis_grants *grants, struct cis_str gone)
{
    size_t kept = 0;
    for (size_t i = 0; i < grants->nenv; i++) {
        char *name = grants->env[i];
        if (cis_str_is(gone, name)) {
            cis_free(name);
        } else {
            grants->env[kept++] = name;
        }
    }
    grants->nenv = kept;
}

static void put_host(struct cis_buf *buf, const char *host)
{
    bool v6 = strchr(host, ':') != NULL;
    cis_buf_printf(buf, v6 ? "[%s]" : "%s", host);
}

static void put_origin(struct cis_buf *buf, const struct cis_origin *o)
{
    cis_buf_printf(buf, "http=%s://%s", o->scheme, o->wildcard ? "*." : "");
    put_host(buf, o->host);
    if (o->port != (strcmp(o->scheme, "https") == 0 ? 443 : 80)) {
        cis_buf_printf(buf, ":%u", (unsigned)o->port);
    }
}

static void put_rule(struct cis_buf *buf, const struct cis_net_rule *r)
{
    static const char *const kinds[] = {"tcp", "udp", "listen", "bind"};
    cis_buf_printf(buf, "net=%s:", kinds[r->kind]);
    if (r->kind == CIS_NET_BIND) {
        cis_buf_text(buf, r->host);
        return;
    }
    put_host(buf, r->host);
    if (r->port == 0) {
        cis_buf_text(buf, ":*");
    } else {
        cis_buf_printf(buf, ":%u", (unsigned)r->port);
    }
}

/* ---- taking away ---- */

/* The grant of the set that still allows some of `item`, as text; false: none does. */
static bool still_allowed(const struct cis_grants *grants, const struct item *item,
                          struct cis_buf *out)
{
    if (item->kind == ORIGIN && grants->network &&
        cis_policy_public_origin(item->origin.host, item->origin.wildcard, item->origin.port)) {
        cis_buf_text(out, "network");
        return true;
    }
    for (size_t i = 0; item->kind == ORIGIN && i < grants->nhttp; i++) {
        if (!cis_origin_covers(&item->origin, &grants->http[i]) &&
            cis_origin_covers(&grants->http[i], &item->origin)) {
            put_origin(out, &grants->http[i]);
            return true;
        }
    }
    for (size_t i = 0; item->kind == RULE && i < grants->nnet; i++) {
        const struct cis_net_rule *rule = &grants->net[i];
        if ((!cis_net_rule_covers(&item->rule, rule) && cis_net_rules_meet(rule, &item->rule)) ||
            cis_net_rule_binds(rule, &item->rule)) {
            put_rule(out, rule);
            return true;
        }
    }
    return false;
}

cis_code cis_grants_remove(struct cis_grants *grants, struct cis_str text, struct cis_error *err)
{
    struct item item = {0};
    const char *why = parse_item(text, &item);
    if (why != NULL) {
        return refuse(text, why, err);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf wider = CIS_BUF_INIT(GRANT_TEXT_MAX);
    if (still_allowed(grants, &item, &wider)) {
        return cis_fail(err, CIS_E_USAGE,
                        "grant \"%.*s\": %s also allows it and cannot be narrowed; revoke that "
                        "one, then grant what should remain",
                        (int)(text.len > 60 ? 60 : text.len), text.ptr, cis_buf_cstr(&wider));
    }
    switch (item.kind) {
    case WORD:
        grants->bits &= ~words[item.word].removes;
        break;
    case NETWORK:
        grants->network = false;
        break;
    case ORIGIN:
        drop_origins(grants, &item.origin);
        break;
    case RULE:
        drop_rules(grants, &item.rule);
        break;
    case ENV:
        drop_env(grants, item.env);
        break;
    }
    cis_grants_recount(grants);
    return CIS_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Canonical texts, unsorted, into list; false when memory ends. */
static bool collect(const struct cis_grants *grants, char **list, size_t *n)
{
    uint32_t left = grants->bits & ~CIS_GRANT_BITS_LISTED;
    for (size_t i = 0; i < NWORDS; i++) {
        if ((left & words[i].bits) == words[i].bits) {
            left &= ~words[i].bits;
            list[(*n)++] = cis_strdup(words[i].text);
        }
    }
    if (grants->network) {
        list[(*n)++] = cis_strdup("network");
    }
    struct cis_buf buf = CIS_BUF_INIT(GRANT_TEXT_MAX);
    size_t total = grants->nhttp + grants->nnet + grants->nenv;
    for (size_t i = 0; i < total; i++) {
        cis_buf_reset(&buf);
        if (i < grants->nhttp) {
            put_origin(&buf, &grants->http[i]);
        } else if (i < grants->nhttp + grants->nnet) {
            put_rule(&buf, &grants->net[i - grants->nhttp]);
        } else {
            cis_buf_printf(&buf, "env=%s", grants->env[i - grants->nhttp - grants->nnet]);
        }
        list[(*n)++] = buf.failed == CIS_OK ? cis_strdup(cis_buf_cstr(&buf)) : NULL;
    }
    cis_buf_done(&buf);
    for (size_t i = 0; i < *n; i++) {
        if (list[i] == NULL) {
            return false;
        }
    }
    return true;
}

void cis_grants_json(const struct cis_grants *grants, struct cis_buf *out)
{
    size_t n = 0, origins = cis_size_add(grants->nhttp, grants->nnet),
           max = cis_size_add(NWORDS + 1, cis_size_add(origins, grants->nenv));
    char **list = cis_calloc(max, sizeof *list);
    if (list == NULL || !collect(grants, list, &n)) {
        out->failed = CIS_E_NOMEM;
    } else {
        qsort(list, n, sizeof *list, by_text);
        cis_buf_byte(out, '[');
        for (size_t i = 0; i < n; i++) {
            cis_json_write(out, CIS_JSON(CIS_J(NULL, list[i])));
        }
        cis_buf_byte(out, ']');
    }
    for (size_t i = 0; i < n; i++) {
        cis_free(list[i]);
    }
    cis_free(list);
}
