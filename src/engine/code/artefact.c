#include "engine/code/artefact.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/mem.h"

#define PIECE (256u << 10) /* stays in a core's cache between reading, digest and writing */
#define HELP_FROM 8u       /* pieces: below, a thread costs more than it does */
#define TAG CIS_ONCE_BYTES

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif

struct work {
    const uint8_t *key, *nonce;
    const uint8_t *given; /* the bytes, or NULL: they come from this file */
    int from;
    uint64_t at;
    int to;         /* where they go: a file, or -1 and this memory */
    uint8_t *place; /* of all bytes */
    size_t len;
    uint8_t *tags;
    atomic_size_t next; /* piece that nobody has taken yet */
    atomic_bool failed;
};

static size_t pieces_of(size_t len)
{
    return len / PIECE + (len % PIECE != 0);
}

static bool read_all(int fd, uint8_t *to, size_t n, uint64_t at)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, to + done, n - done, (off_t)(at + done));
        if (got <= 0 && !(got < 0 && errno == EINTR)) {
            return false;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return true;
}

static bool write_all(int fd, const uint8_t *from, size_t n, uint64_t at)
{
    for (size_t done = 0; done < n;) {
        ssize_t put = pwrite(fd, from + done, n - done, (off_t)(at + done));
        if (put <= 0 && !(put < 0 && errno == EINTR)) {
            return false;
        }
        done += put > 0 ? (size_t)put : 0;
    }
    return true;
}

static void tag(const struct work *w, uint64_t piece, struct cis_bytes bytes, uint8_t out[TAG])
{
    static const char label[] = "cis code piece";
    uint8_t once[CIS_MAC_BYTES];
    _Static_assert(CIS_MAC_BYTES == CIS_ONCE_KEY_BYTES, "a key for one message is a keyed digest");
    const struct cis_bytes parts[] = {{(const uint8_t *)label, sizeof label},
                                      {w->nonce, CIS_ARTEFACT_NONCE},
                                      {(const uint8_t *)&piece, sizeof piece}};
    cis_mac(w->key, parts, sizeof parts / sizeof *parts, once);
    cis_once_mac(once, bytes, out);
    cis_wipe(once, sizeof once);
}

static bool piece_done(struct work *w, size_t i, uint8_t *own)
{
    size_t off = i * PIECE, n = w->len - off < PIECE ? w->len - off : PIECE;
    const uint8_t *bytes = w->given != NULL ? w->given + off : own;
    if (w->given == NULL) {
        uint8_t *to = w->to >= 0 ? own : w->place + off;
        if (!read_all(w->from, to, n, w->at + off)) {
            return false;
        }
        bytes = to;
    }
    tag(w, i, cis_bytes_of(bytes, n), w->tags + i * TAG);
    return w->to < 0 || write_all(w->to, bytes, n, off);
}

static void *pieces(void *arg)
{
    struct work *w = arg;
    uint8_t *own = w->to >= 0 ? cis_alloc(PIECE) : NULL;
    size_t n = pieces_of(w->len), i;
    bool fine = w->to < 0 || own != NULL;
    while (fine && !atomic_load(&w->failed) && (i = atomic_fetch_add(&w->next, 1)) < n) {
        fine = piece_done(w, i, own);
    }
    if (!fine) {
        atomic_store(&w->failed, true);
    }
    cis_free(own);
    return NULL;
}

/* A second thread when there is enough to do and a processor for it. */
static bool help_start(struct work *w, pthread_t *out)
{
    if (pieces_of(w->len) < HELP_FROM || sysconf(_SC_NPROCESSORS_ONLN) < 2) {
        return false;
    }
    sigset_t all, old; /* signals of the program go to its own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool started = pthread_create(out, NULL, pieces, w) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return started;
}

static bool work_done(struct work *w, uint8_t out[CIS_MAC_BYTES])
{
    static const char label[] = "cis code pieces";
    size_t n = pieces_of(w->len);
    uint64_t len = w->len;
    w->tags = cis_alloc(cis_size_mul(n, TAG));
    if (w->tags == NULL) {
        return false;
    }
    pthread_t helper;
    bool helped = help_start(w, &helper);
    pieces(w);
    if (helped) {
        pthread_join(helper, NULL);
    }
    bool fine = !atomic_load(&w->failed);
    if (fine) {
        const struct cis_bytes parts[] = {{(const uint8_t *)label, sizeof label},
                                          {w->nonce, CIS_ARTEFACT_NONCE},
                                          {(const uint8_t *)&len, sizeof len},
                                          {w->tags, n * TAG}};
        cis_mac(w->key, parts, sizeof parts / sizeof *parts, out);
    }
    cis_free(w->tags);
    return fine;
}

bool cis_artefact_digest(const uint8_t key[CIS_MAC_KEY_BYTES],
                         const uint8_t nonce[CIS_ARTEFACT_NONCE], struct cis_bytes code,
                         uint8_t out[CIS_MAC_BYTES])
{
    struct work w = {.key = key,
                     .nonce = nonce,
                     .given = code.ptr != NULL ? code.ptr : (const uint8_t *)"",
                     .from = -1,
                     .to = -1,
                     .len = code.len};
    return work_done(&w, out);
}

static int memory_file(size_t len)
{
    int fd = memfd_create("cis-code", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) { /* Linux before 6.3 */
        fd = memfd_create("cis-code", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    if (fd >= 0 && ftruncate(fd, (off_t)len) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

bool cis_artefact_read(const uint8_t key[CIS_MAC_KEY_BYTES],
                       const uint8_t nonce[CIS_ARTEFACT_NONCE], int fd, uint64_t at, size_t len,
                       struct cis_artefact *out, uint8_t out_digest[CIS_MAC_BYTES])
{
    struct cis_artefact a = CIS_ARTEFACT_INIT;
    if (len == 0) {
        return false;
    }
    a.fd = memory_file(len);
    void *place = NULL;
    if (a.fd < 0) {
        place = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (place == MAP_FAILED) {
            return false;
        }
        a.bytes = cis_bytes_of(place, len);
    }
    a.mapped = len;
    struct work w = {
        .key = key, .nonce = nonce, .from = fd, .at = at, .to = a.fd, .place = place, .len = len};
    bool fine = work_done(&w, out_digest) &&
                (a.fd < 0 || fcntl(a.fd, F_ADD_SEALS,
                                   F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0);
    if (!fine) {
        cis_artefact_done(&a);
        return false;
    }
    *out = a;
    return true;
}

struct cis_bytes cis_artefact_bytes(struct cis_artefact *a)
{
    if (a->fd >= 0 && a->bytes.ptr == NULL) {
        void *map = mmap(NULL, a->mapped, PROT_READ, MAP_PRIVATE, a->fd, 0);
        if (map != MAP_FAILED) {
            a->bytes = cis_bytes_of(map, a->mapped);
        }
    }
    return a->bytes;
}

void cis_artefact_done(struct cis_artefact *a)
{
    if (a->mapped != 0 && a->bytes.ptr != NULL) {
        munmap((void *)(uintptr_t)a->bytes.ptr, a->mapped);
    }
    if (a->fd >= 0) {
        close(a->fd);
    }
    *a = (struct cis_artefact)CIS_ARTEFACT_INIT;
}
