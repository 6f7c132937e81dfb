#include <string.h>
#include "net.h"
#include "pool.h"
#include "text.h"

const char *net_error_text(enum net_error e)
{
    static const char *const texts[] = {
        [NET_OK] = "no error",
        [NET_AGAIN] = "Operation would block",
        [NET_REFUSED] = "Connection refused",
        [NET_RESET] = "Connection reset",
        [NET_ABORTED] = "Connection aborted",
        [NET_UNREACHABLE] = "Network unreachable",
        [NET_IN_USE] = "Address already in use",
        [NET_NOT_AVAILABLE] = "Address not available",
        [NET_TIMEOUT] = "Operation timed out",
        [NET_INVALID] = "Invalid input",
        [NET_DENIED] = "Access denied",
        [NET_NO_NAME] = "Name not found",
        [NET_LIMIT] = "Too many sockets",
        [NET_TLS] = "TLS failed",
        [NET_CERTIFICATE] = "Certificate not accepted",
        [NET_OTHER] = "Other socket error",
    };
    return texts[e];
}

/* The words of an IPv6 address before or behind "::". */
static bool words_of(const char *s, size_t n, uint16_t *words, size_t *out_n)
{
    *out_n = 0;
    while (n > 0) {
        unsigned value = 0;
        size_t len = 0;
        for (; len < n && s[len] != ':'; len++) {
            const char *digits = "0123456789abcdef", lower = (char)(s[len] | 0x20);
            const char *at = s[len] == '\0' ? NULL : strchr(digits, s[len] < ':' ? s[len] : lower);
            if (at == NULL || len == 4) {
                return false;
            }
            value = value << 4 | (unsigned)(at - digits);
        }
        if (len == 0 || *out_n == 8 || (len + 1 == n)) {
            return false;
        }
        words[(*out_n)++] = (uint16_t)value;
        s += len < n ? len + 1 : len;
        n -= len < n ? len + 1 : len;
    }
    return true;
}

bool net_address_of(const char *text, struct net_address *out)
{
    uint32_t ip;
    uint16_t head[8], tail[8], all[8] = {0};
    size_t nhead, ntail = 0;
    *out = (struct net_address){0};
    if (ip_parse(text, strlen(text), &ip)) {
        for (int i = 0; i < 4; i++) {
            out->ip[i] = (uint8_t)(ip >> (24 - 8 * i));
        }
        return true;
    }
    const char *gap = strstr(text, "::");
    size_t before = gap != NULL ? (size_t)(gap - text) : strlen(text);
    if (!words_of(text, before, head, &nhead) ||
        (gap != NULL && !words_of(gap + 2, strlen(gap + 2), tail, &ntail)) ||
        (gap != NULL ? nhead + ntail > 7 : nhead != 8)) {
        return false;
    }
    memcpy(all, head, nhead * 2);
    memcpy(all + 8 - ntail, tail, ntail * 2);
    out->v6 = true;
    for (int i = 0; i < 8; i++) {
        out->ip[2 * i] = (uint8_t)(all[i] >> 8);
        out->ip[2 * i + 1] = (uint8_t)all[i];
    }
    return true;
}
