/* URLs and grants: whatever the bytes, what is accepted is canonical (it reads back as itself) and
 * a set is never wider than its own grants. libFuzzer target; replay.c runs it over the corpus. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"
#include "policy/host.h"
#include "policy/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* assert() is compiled out in release builds; a finding must always end the program. */
static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_host(const char *host, bool is_address)
{
    struct sockaddr_storage addr;
    require(host[0] != 0 && strlen(host) < CIS_HOST_TEXT_MAX);
    require(cis_host_sockaddr(host, &addr) == is_address);
    for (const char *p = host; *p != 0; p++) {
        require((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
                strchr(is_address ? ".:" : ".-_", *p) != NULL);
    }
}

static void check_url(struct cis_str text)
{
    struct cis_url url = {0}, again = {0};
    if (cis_url_parse(text, &url, NULL) != CIS_OK) {
        require(url.host == NULL);
        return;
    }
    check_host(url.host, url.is_address);
    require(strcmp(url.scheme, "http") == 0 || strcmp(url.scheme, "https") == 0);
    require(url.port != 0 && url.target[0] == '/');
    require(strpbrk(url.target, " \\#\"<>^`{|}\t\r\n") == NULL);
    struct cis_buf buf = CIS_BUF_INIT(64u * 1024u);
    bool v6 = strchr(url.host, ':') != NULL;
    cis_buf_printf(&buf, v6 ? "%s://[%s]:%u" : "%s://%s:%u", url.scheme, url.host,
                   (unsigned)url.port);
    cis_buf_text(&buf, url.target);
    if (buf.len <= 8192) {
        require(cis_url_parse(cis_buf_view(&buf), &again, NULL) == CIS_OK);
        require(strcmp(url.host, again.host) == 0 && strcmp(url.target, again.target) == 0 &&
                url.port == again.port && strcmp(url.scheme, again.scheme) == 0);
    }
    struct cis_grants none = CIS_GRANTS_INIT;
    require(!cis_policy_origin_allowed(&none, &url));
    cis_url_done(&again);
    cis_url_done(&url);
    cis_buf_done(&buf);
}

static void check_grants(struct cis_str text)
{
    struct cis_grants all = CIS_GRANTS_INIT;
    struct cis_str rest = text, line;
    bool more;
    size_t n = 0;
    do {
        more = cis_str_split(&rest, '\n', &line);
        struct cis_grants one = CIS_GRANTS_INIT, both = CIS_GRANTS_INIT;
        if (cis_grants_add(&one, line, NULL) == CIS_OK &&
            cis_grants_add(&all, line, NULL) == CIS_OK) {
            require(cis_grants_cover(&all, &one));
            require(cis_grants_intersect(&all, &one, &both, NULL) == CIS_OK);
            require(cis_grants_cover(&one, &both) && cis_grants_cover(&both, &one));
            require(cis_grants_remove(&one, line, NULL) == CIS_OK);
            require(one.bits == 0 && !one.network);
        }
        cis_grants_done(&one);
        cis_grants_done(&both);
    } while (more && ++n < 50);
    struct cis_buf json = CIS_BUF_INIT(1u << 20);
    cis_grants_json(&all, &json);
    require(json.failed == CIS_OK && json.len >= 2);
    cis_buf_done(&json);
    cis_grants_done(&all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cis_str text = {(const char *)data, size};
    check_url(text);
    check_grants(text);
    return 0;
}
