/* The scheduler's scenario language, its templates and conditions, and HTTP responses, as the
 * components have them. The first byte says which; a scenario is read and checked, not run. */
#include <stdlib.h>
#include <string.h>
#include "http.h"
#include "net.h"
#include "pool.h"
#include "scenario.h"
#include "vars.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void read_scenario(const char *at, size_t n)
{
    struct scenario s;
    char *why = NULL;
    if (!scenario_parse(at, n, &s, &why)) {
        require(why != NULL && strlen(why) > 0);
        free(why);
        return;
    }
    if (scenario_check(&s, &why)) {
        require(s.start == SIZE_MAX || s.start < s.nnodes);
        for (size_t i = 0; i < s.nnodes; i++) {
            for (size_t k = 0; k < s.nodes[i].nedges; k++) {
                require(s.nodes[i].edges[k].target < s.nnodes);
            }
        }
    }
    free(why);
    scenario_done(&s);
}

/* Lines: variables "name=value", the last one is a template and a condition. */
static void use_template(const char *at, size_t n)
{
    struct vars all = {0};
    struct scope scope = {.all = &all};
    char *text = need_text(at, n), *line = text, *end;
    while ((end = strchr(line, '\n')) != NULL && all.n < 100) {
        char *is = memchr(line, '=', (size_t)(end - line));
        *end = '\0';
        if (is != NULL) {
            *is = '\0';
            vars_set(&all, line, is + 1);
        }
        line = end + 1;
    }
    struct text out = TEXT_INIT(EXPANDED_MAX);
    if (expand(&scope, line, strlen(line), &out)) {
        require(out.len <= EXPANDED_MAX);
    }
    (void)condition_holds(&scope, line);
    text_done(&out);
    vars_done(&all);
    free(text);
}

/* Whole and in pieces it is the same. */
static void read_response(const char *at, size_t n)
{
    struct response a, b;
    size_t used;
    response_init(&a, false);
    response_init(&b, false);
    response_feed(&a, at, n, &used);
    require(used <= n);
    for (size_t i = 0; i < n && b.state < RESPONSE_DONE; i++) {
        response_feed(&b, at + i, 1, &used);
    }
    response_end(&a);
    response_end(&b);
    require(a.state == b.state && a.body_len == b.body_len);
    require(a.state == RESPONSE_BAD || a.status == b.status);
    response_done(&a);
    response_done(&b);
}

static void read_addresses(const char *at, size_t n)
{
    char *text = need_text(at, n);
    struct net_address a;
    struct url u;
    (void)net_address_of(text, &a);
    if (url_parse(text, &u) == NULL) {
        require(u.host[0] != '\0' && u.path[0] == '/' && u.port != 0);
        url_done(&u);
    }
    struct range_def range = {.cidr = text};
    struct pool_def def = {.id = text, .ranges = &range, .nranges = 1};
    struct pool p;
    char *why = NULL;
    if (pool_init(&p, &def, &why)) {
        uint32_t ip;
        require(pool_take(&p, &ip));
        pool_done(&p);
    }
    free(why);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data + 1;
    if (size == 0) {
        return 0;
    }
    switch (data[0]) {
    case 'T':
        use_template(at, size - 1);
        break;
    case 'R':
        read_response(at, size - 1);
        break;
    case 'A':
        read_addresses(at, size - 1);
        break;
    default:
        read_scenario((const char *)data, size);
    }
    return 0;
}
