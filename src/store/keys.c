/* The packed form of changed keys: a version byte, then each key as kind u8 and varints; names with
 * their length before them. What names the key comes before what says how it changed. */
#include <sys/stat.h>
#include "base/mem.h"
#include "base/varint.h"
#include "store/commit.h"

#define VERSION 1u

int cis_key_cmp(const struct cis_key *a, const struct cis_key *b)
{
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    if (a->kind == CIS_KEY_MEMORY) {
        int ns = cis_str_cmp(a->ns, b->ns);
        return ns != 0 ? ns : cis_str_cmp(a->name, b->name);
    }
    if (a->ino != b->ino) {
        return a->ino < b->ino ? -1 : 1;
    }
    return a->kind == CIS_KEY_DIRENT ? cis_str_cmp(a->name, b->name) : 0;
}

static void put_number(struct cis_buf *buf, uint64_t value)
{
    uint8_t bytes[CIS_VARINT_MAX];
    cis_buf_add(buf, bytes, cis_varint_put(bytes, value));
}

static void put_text(struct cis_buf *buf, struct cis_str text)
{
    put_number(buf, text.len);
    cis_buf_str(buf, text);
}

void cis_keys_add(struct cis_buf *buf, const struct cis_key *key)
{
    if (buf->len == 0) {
        cis_buf_byte(buf, VERSION);
    }
    cis_buf_byte(buf, (uint8_t)key->kind);
    if (key->kind == CIS_KEY_MEMORY) {
        put_text(buf, key->ns);
        put_text(buf, key->name);
        return;
    }
    put_number(buf, key->ino);
    switch (key->kind) {
    case CIS_KEY_DIRENT:
        put_text(buf, key->name);
        put_number(buf, key->target);
        put_number(buf, key->type >> 12);
        break;
    case CIS_KEY_INODE:
    case CIS_KEY_MOVED:
        put_number(buf, key->target);
        break;
    case CIS_KEY_DIRATTR:
    case CIS_KEY_DIRGONE:
    case CIS_KEY_DIRTIME:
    case CIS_KEY_MEMORY:
        break;
    }
}

static bool get_text(struct cis_bytes keys, size_t *at, size_t max, struct cis_str *out)
{
    uint64_t len;
    if (!cis_varint_get(keys, at, &len) || len == 0 || len > max || len > keys.len - *at) {
        return false;
    }
    *out = (struct cis_str){(const char *)keys.ptr + *at, (size_t)len};
    *at += (size_t)len;
    return true;
}

static bool type_known(uint32_t type)
{
    switch (type) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
        return true;
    default:
        return false;
    }
}

static bool get_dirent(struct cis_bytes keys, size_t *at, struct cis_key *key)
{
    uint64_t type;
    if (!get_text(keys, at, CIS_FS_NAME_MAX, &key->name) || !cis_fs_name_valid(key->name) ||
        !cis_varint_get(keys, at, &key->target) || !cis_varint_get(keys, at, &type) || type > 15) {
        return false;
    }
    key->type = (uint32_t)type << 12;
    return key->target == 0 ? type == 0 : type_known(key->type);
}

static bool get_key(struct cis_bytes keys, size_t *at, struct cis_key *key)
{
    uint8_t kind = keys.ptr[(*at)++];
    if (kind < CIS_KEY_DIRENT || kind > CIS_KEY_DIRTIME) {
        return false;
    }
    key->kind = (enum cis_key_kind)kind;
    if (kind == CIS_KEY_MEMORY) {
        return get_text(keys, at, CIS_STORE_NAME_MAX, &key->ns) &&
               get_text(keys, at, CIS_STORE_KEY_MAX, &key->name);
    }
    if (!cis_varint_get(keys, at, &key->ino) || key->ino == 0) {
        return false;
    }
    switch (key->kind) {
    case CIS_KEY_DIRENT:
        return get_dirent(keys, at, key);
    case CIS_KEY_INODE:
        return cis_varint_get(keys, at, &key->target) && key->target <= 1;
    case CIS_KEY_MOVED:
        return cis_varint_get(keys, at, &key->target) && key->target != 0;
    case CIS_KEY_DIRATTR:
    case CIS_KEY_DIRGONE:
    case CIS_KEY_DIRTIME:
    case CIS_KEY_MEMORY:
        return true;
    }
    return false;
}

cis_code cis_keys_next(struct cis_bytes keys, size_t *at, struct cis_key *out, bool *out_more,
                       struct cis_error *err)
{
    size_t pos = *at;
    struct cis_key key = {0};
    if (keys.len == 0 || (pos != 0 && pos == keys.len)) {
        *out_more = false;
        return CIS_OK;
    }
    if (keys.len == 1 && keys.ptr[0] == CIS_KEYS_DROPPED) {
        return cis_fail(err, CIS_E_EXPIRED, "what the commit changed is no longer kept");
    }
    if (pos == 0 && (keys.ptr[0] != VERSION || keys.len == 1)) {
        return cis_fail(err, CIS_E_DAMAGED, "changed keys: not of a version this program knows");
    }
    pos += pos == 0;
    if (pos > keys.len || !get_key(keys, &pos, &key)) {
        return cis_fail(err, CIS_E_DAMAGED, "changed keys: malformed at byte %zu", *at);
    }
    *at = pos;
    *out = key;
    *out_more = true;
    return CIS_OK;
}

/* ---- in pieces ---- */
void cis_keys_cut_done(struct cis_keys_cut *cut)
{
    cis_free(cut->piece);
    *cut = (struct cis_keys_cut){NULL, 0, 0};
}

/* Where the last whole key ends. What is too long for the beginning of one is no key: whoever reads
 * it says so. */
static size_t whole(struct cis_bytes keys)
{
    struct cis_key key;
    size_t at = 0;
    bool more = true;
    while (more && cis_keys_next(keys, &at, &key, &more, NULL) == CIS_OK) {
    }
    return keys.len - at < CIS_KEY_MAX ? at : keys.len;
}

cis_code cis_keys_part(struct cis_keys_cut *cut, struct cis_fs_commit_row *row, uint64_t total,
                       cis_fs_commit_each *each, void *self, bool *out_wanted,
                       struct cis_error *err)
{
    struct cis_bytes part = row->keys;
    row->keys_more = false;
    if (cut->from == 0 && part.len == total) {
        *out_wanted = each(self, row);
        return CIS_OK;
    }
    if (part.len == 0 || part.len > CIS_KEYS_PART || cut->from > total ||
        part.len > total - cut->from) {
        return cis_fail(err, CIS_E_DAMAGED, "changed keys: a part of %zu bytes at %llu of %llu",
                        part.len, (unsigned long long)cut->from, (unsigned long long)total);
    }
    if (cut->piece == NULL) {
        cut->piece = cis_alloc(CIS_KEYS_PIECE);
        if (cut->piece == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "changed keys: out of memory");
        }
    }
    memcpy(cut->piece + cut->len, part.ptr, part.len);
    cut->len += part.len;
    cut->from += part.len;
    row->keys_more = cut->from != total;
    row->keys = (struct cis_bytes){cut->piece, cut->len};
    size_t end = row->keys_more ? whole(row->keys) : cut->len;
    row->keys.len = end;
    *out_wanted = each(self, row);
    if (row->keys_more) { /* a piece is read as if it were all: it begins as all do */
        memmove(cut->piece + 1, cut->piece + end, cut->len - end);
        cut->piece[0] = VERSION;
        cut->len = 1 + cut->len - end;
    } else {
        cut->len = 0;
        cut->from = 0;
    }
    return CIS_OK;
}
