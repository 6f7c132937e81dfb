/* What files hold, remembered: the hash of a large module by which its compiled code is found, so
 * that a start need not read the module at all. A file is told by device, inode, size and both of
 * its times; what is remembered lies in the code cache under the cache's key, as all there.
 *
 * A change of a file moves its ctime, which nothing but the clock can set. Two exceptions are kept
 * out: a file that was changed a moment ago (it could change again within the same tick of the
 * clock, or through a mapping whose pages are not yet written back, which moves no times), and
 * filesystems that do not keep ctime by themselves (memory, network, FUSE). */
#include "engine/code/code.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "engine/code/cache_dir.h"
#include "engine/code/file_hash.h"

#define WORTH_IT (256u << 10) /* a smaller module is read as fast */
#define SETTLED_NS                                                                                 \
    (60 * CIS_NS_PER_S) /* dirty pages are written back by then: no mapping is open */
#define KNOWN_MAGIC "CISKNOW1"

struct known {
    char magic[8];
    uint8_t mac[CIS_MAC_BYTES];
    uint64_t file[8]; /* which file, and how it was */
    uint8_t sha256[CIS_SHA256_BYTES];
};
_Static_assert(sizeof(struct known) == 136, "layout of what is remembered");

static void describe(const struct stat *st, uint64_t out[8])
{
    out[0] = (uint64_t)st->st_dev;
    out[1] = (uint64_t)st->st_ino;
    out[2] = (uint64_t)st->st_size;
    out[3] = (uint64_t)st->st_mtim.tv_sec;
    out[4] = (uint64_t)st->st_mtim.tv_nsec;
    out[5] = (uint64_t)st->st_ctim.tv_sec;
    out[6] = (uint64_t)st->st_ctim.tv_nsec;
    out[7] = (uint64_t)st->st_uid;
}

static void known_mac(const struct cis_cache *cache, const struct known *k,
                      uint8_t out[CIS_MAC_BYTES])
{
    static const char label[] = "cis known module 1";
    const struct cis_bytes parts[] = {{(const uint8_t *)label, sizeof label},
                                      {(const uint8_t *)k->file, sizeof k->file},
                                      {k->sha256, sizeof k->sha256}};
    cis_mac(cache->key, parts, sizeof parts / sizeof *parts, out);
}

static void known_name(const struct stat *st, char out[CIS_CACHE_NAME])
{
    snprintf(out, CIS_CACHE_NAME, CIS_CACHE_KNOWN "%llx-%llx", (unsigned long long)st->st_dev,
             (unsigned long long)st->st_ino);
}

/* Local disks, where the kernel moves ctime at each change. */
static bool keeps_ctime(int fd)
{
    static const unsigned long kinds[] = {0xef53 /* ext2, 3, 4 */, 0x58465342 /* XFS */,
                                          0x9123683e /* btrfs */, 0xf2f52010 /* F2FS */};
    struct statfs fs;
    bool found = false;
    if (fstatfs(fd, &fs) == 0) {
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            found |= ((unsigned long)fs.f_type & 0xfffffffful) == kinds[i];
        }
    }
    return found;
}

static bool can_be_known(int fd, const struct stat *st)
{
    /* Only root and this user can have made it as it is. */
    return S_ISREG(st->st_mode) && (st->st_uid == geteuid() || st->st_uid == 0) &&
           st->st_size >= (off_t)WORTH_IT && keeps_ctime(fd);
}

static bool settled(const struct stat *st, uint64_t now_ns)
{
    if (st->st_ctim.tv_sec < 0) {
        return false;
    }
    uint64_t changed = (uint64_t)st->st_ctim.tv_sec * CIS_NS_PER_S + (uint64_t)st->st_ctim.tv_nsec;
    return now_ns >= changed && now_ns - changed >= SETTLED_NS;
}

bool cis_file_hash_get(struct cis_cache *cache, int fd, uint8_t out_sha256[CIS_SHA256_BYTES])
{
    struct stat st, own;
    if (cache->fd < 0 || fstat(fd, &st) != 0 || !can_be_known(fd, &st)) {
        return false;
    }
    char name[CIS_CACHE_NAME];
    known_name(&st, name);
    int file = openat(cache->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0) {
        return false;
    }
    struct known k, now = {.magic = KNOWN_MAGIC};
    describe(&st, now.file);
    bool valid = cis_cache_file_trusted(file, &own) && own.st_size == (off_t)sizeof k &&
                 read(file, &k, sizeof k) == (ssize_t)sizeof k &&
                 memcmp(k.magic, now.magic, sizeof k.magic) == 0 &&
                 memcmp(k.file, now.file, sizeof k.file) == 0;
    if (valid) {
        uint8_t mac[CIS_MAC_BYTES];
        known_mac(cache, &k, mac);
        valid = cis_mac_eq(mac, k.mac);
    }
    if (valid) {
        futimens(file, NULL); /* used now */
        memcpy(out_sha256, k.sha256, sizeof k.sha256);
    } else {
        unlinkat(cache->fd, name, 0);
    }
    close(file);
    return valid;
}

void cis_file_hash_put(struct cis_cache *cache, int fd, const struct stat *before, uint64_t now_ns,
                       const uint8_t sha256[CIS_SHA256_BYTES])
{
    struct stat st;
    struct known k = {.magic = KNOWN_MAGIC};
    uint64_t was[8];
    describe(before, was);
    if (cache->fd < 0 || fstat(fd, &st) != 0 || !can_be_known(fd, &st) || !settled(&st, now_ns)) {
        return;
    }
    describe(&st, k.file);
    if (memcmp(was, k.file, sizeof was) != 0) {
        return; /* it changed while it was read */
    }
    memcpy(k.sha256, sha256, sizeof k.sha256);
    known_mac(cache, &k, k.mac);
    char name[CIS_CACHE_NAME];
    known_name(&st, name);
    const struct cis_bytes whole = {(const uint8_t *)&k, sizeof k};
    cis_cache_file_write(cache, name, &whole, 1);
}

/* ---- what was made of other things (a composition) ---- */

struct made {
    char magic[8];
    uint8_t mac[CIS_MAC_BYTES];
    uint8_t key[CIS_SHA256_BYTES], sha256[CIS_SHA256_BYTES];
};
_Static_assert(sizeof(struct made) == 104, "layout of what is remembered");
#define MADE_MAGIC "CISMADE1"

static void made_mac(const struct cis_cache *cache, const struct made *m,
                     uint8_t out[CIS_MAC_BYTES])
{
    static const char label[] = "cis made module 1";
    const struct cis_bytes parts[] = {{(const uint8_t *)label, sizeof label},
                                      {m->key, sizeof m->key},
                                      {m->sha256, sizeof m->sha256}};
    cis_mac(cache->key, parts, sizeof parts / sizeof *parts, out);
}

static void made_name(const uint8_t key[CIS_SHA256_BYTES], char out[CIS_CACHE_NAME])
{
    char hex[2 * CIS_SHA256_BYTES + 1];
    cis_hex(key, CIS_SHA256_BYTES, hex);
    snprintf(out, CIS_CACHE_NAME, CIS_CACHE_KNOWN "made-%s", hex);
}

bool cis_file_hash_made_get(struct cis_cache *cache, const uint8_t key[CIS_SHA256_BYTES],
                            uint8_t out_sha256[CIS_SHA256_BYTES])
{
    char name[CIS_CACHE_NAME];
    if (cache->fd < 0) {
        return false;
    }
    made_name(key, name);
    int file = openat(cache->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0) {
        return false;
    }
    struct made m;
    struct stat own;
    uint8_t mac[CIS_MAC_BYTES];
    bool valid = cis_cache_file_trusted(file, &own) && own.st_size == (off_t)sizeof m &&
                 read(file, &m, sizeof m) == (ssize_t)sizeof m &&
                 memcmp(m.magic, MADE_MAGIC, sizeof m.magic) == 0 &&
                 memcmp(m.key, key, sizeof m.key) == 0;
    if (valid) {
        made_mac(cache, &m, mac);
        valid = cis_mac_eq(mac, m.mac);
    }
    if (valid) {
        futimens(file, NULL); /* used now */
        memcpy(out_sha256, m.sha256, sizeof m.sha256);
    } else {
        unlinkat(cache->fd, name, 0);
    }
    close(file);
    return valid;
}

void cis_file_hash_made_put(struct cis_cache *cache, const uint8_t key[CIS_SHA256_BYTES],
                            const uint8_t sha256[CIS_SHA256_BYTES])
{
    char name[CIS_CACHE_NAME];
    if (cache->fd < 0) {
        return;
    }
    struct made m = {.magic = MADE_MAGIC};
    memcpy(m.key, key, sizeof m.key);
    memcpy(m.sha256, sha256, sizeof m.sha256);
    made_mac(cache, &m, m.mac);
    made_name(key, name);
    const struct cis_bytes whole = {(const uint8_t *)&m, sizeof m};
    cis_cache_file_write(cache, name, &whole, 1);
}
