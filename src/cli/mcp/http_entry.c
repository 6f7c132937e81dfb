/* The entry of a server over HTTP in a client's configuration: where it is, and the token. */
#include "base/crypto.h"
#include "cli/mcp/place.h"

#define ADDRESS_MAX 256u

/* What can be in an address, and needs no escape in JSON, TOML or a URL. */
static bool is_plain(struct cis_str text)
{
    static const char good[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/[]";
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == 0 || strchr(good, text.ptr[i]) == NULL) {
            return false;
        }
    }
    return text.len != 0 && text.len <= ADDRESS_MAX;
}

static bool is_port(struct cis_str text)
{
    unsigned port = 0;
    for (size_t i = 0; i < text.len && i < 6; i++) {
        port = text.ptr[i] >= '0' && text.ptr[i] <= '9' ? port * 10 + (unsigned)(text.ptr[i] - '0')
                                                        : 70000;
    }
    return text.len != 0 && text.len <= 5 && port != 0 && port <= 65535;
}

/* As `cis mcp --http` takes it, or a URL: of what stands before the server. */
static cis_code url_of(const char *address, struct cis_buf *out, struct cis_error *err)
{
    struct cis_str text = cis_str_of(address);
    bool url =
        cis_str_starts(text, CIS_STR("http://")) || cis_str_starts(text, CIS_STR("https://"));
    const char *colon = strrchr(address, ':');
    const char *port = colon != NULL ? colon + 1 : address;
    if (!is_plain(text) || (!url && !is_port(cis_str_of(port))) || (!url && colon == address)) {
        return cis_fail(err, CIS_E_USAGE,
                        "--http %.100s: must be the PORT or HOST:PORT that the server was given "
                        "(not 0), or a URL",
                        address);
    }
    cis_buf_printf(out, "%s%s%s%s", url ? "" : "http://", !url && colon == NULL ? "127.0.0.1:" : "",
                   address, url ? "" : "/mcp");
    return cis_buf_check(out, "--http", err);
}

static json_t *headers_of(const char *file, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf token = CIS_BUF_INIT(1024);
    json_t *headers =
        cis_cli_mcp_token(file, &token, err) == CIS_OK
            ? json_pack("{s:o}", "Authorization", json_sprintf("Bearer %s", cis_buf_cstr(&token)))
            : NULL;
    if (token.ptr != NULL) {
        cis_wipe(token.ptr, token.len);
    }
    return headers;
}

cis_code cis_cli_mcp_http_entry(const struct cis_cli *cli, const struct cis_cli_mcp_words *words,
                                json_t **out, struct cis_error *err)
{
    const char *file = cis_cli_value(cli, "token-file");
    CIS_CLEANUP(cis_buf_done) struct cis_buf url = CIS_BUF_INIT(1024);
    if (cis_cli_has(cli, "dir") || cis_cli_has(cli, "workspace") || cis_cli_has(cli, "tools")) {
        return cis_fail(err, CIS_E_USAGE,
                        "--dir, --workspace and --tools are given to the server, not with --http");
    }
    if ((file != NULL) == cis_cli_has(cli, "no-token")) {
        return cis_fail(err, CIS_E_USAGE,
                        "--http: give the --token-file of the server, or --no-token");
    }
    CIS_TRY(url_of(cis_cli_value(cli, "http"), &url, err));
    json_t *entry = json_pack("{s:s}", words->url, cis_buf_cstr(&url));
    if (entry != NULL && words->type) {
        json_object_set_new(entry, "type", json_string("http"));
    }
    if (entry != NULL && file != NULL) {
        struct cis_error why = {0};
        json_t *headers = headers_of(file, &why);
        if (headers == NULL) {
            json_decref(entry);
            return cis_fail(err, why.code != CIS_OK ? why.code : CIS_E_NOMEM, "%s",
                            why.code != CIS_OK ? why.msg : "out of memory");
        }
        json_object_set_new(entry, words->headers, headers);
    }
    *out = entry;
    return entry != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "out of memory");
}
