/* Hashing and packing of blocks, on helper threads and on the thread that waits for them. Helpers
 * are started with the first batch that is worth it and end with the fs cache. */
#include "vfs/layered/view.h"

#include <unistd.h>

enum { WORTH = 2 }; /* jobs */

struct lay_pack {
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct lay_batch *first, *last;
    pthread_t threads[LAY_HELPERS_MAX];
    unsigned nthreads, wanted;
    bool stop;
    cis_chunk_codec *codecs[LAY_HELPERS_MAX + 1]; /* idle ones, for those who wait */
    unsigned ncodecs;
};

cis_code cis_lay_pack_new(struct lay_pack **out, struct cis_error *err)
{
    struct lay_pack *p = cis_zalloc(sizeof *p);
    if (p == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "packer: out of memory");
    }
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    p->wanted = cpus > 1 ? (unsigned)(cpus - 1 < LAY_HELPERS_MAX ? cpus - 1 : LAY_HELPERS_MAX) : 0;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    *out = p;
    return CIS_OK;
}

void cis_lay_pack_free(struct lay_pack *pack)
{
    if (pack == NULL) {
        return;
    }
    cis_mutex_lock(&pack->lock, lay_lock_pack);
    pack->stop = true;
    pthread_cond_broadcast(&pack->work);
    cis_mutex_unlock(&pack->lock, lay_lock_pack);
    for (unsigned i = 0; i < pack->nthreads; i++) {
        pthread_join(pack->threads[i], NULL);
    }
    for (unsigned i = 0; i < pack->ncodecs; i++) {
        cis_chunk_codec_free(pack->codecs[i]);
    }
    pthread_cond_destroy(&pack->work);
    pthread_cond_destroy(&pack->done);
    pthread_mutex_destroy(&pack->lock);
    cis_free(pack);
}

static cis_chunk_codec *codec_take(struct lay_pack *pack)
{
    cis_chunk_codec *codec = NULL;
    cis_mutex_lock(&pack->lock, lay_lock_pack);
    if (pack->ncodecs > 0) {
        codec = pack->codecs[--pack->ncodecs];
    }
    cis_mutex_unlock(&pack->lock, lay_lock_pack);
    if (codec == NULL && cis_chunk_codec_new(&codec, NULL) != CIS_OK) {
        return NULL;
    }
    return codec;
}

static void codec_give(struct lay_pack *pack, cis_chunk_codec *codec)
{
    if (codec == NULL) {
        return;
    }
    cis_mutex_lock(&pack->lock, lay_lock_pack);
    if (pack->ncodecs <= LAY_HELPERS_MAX) {
        pack->codecs[pack->ncodecs++] = codec;
        codec = NULL;
    }
    cis_mutex_unlock(&pack->lock, lay_lock_pack);
    cis_chunk_codec_free(codec);
}

static uint32_t without_zeros(struct cis_bytes content)
{
    size_t n = content.len;
    while (n >= 8 && cis_lay_word(content.ptr + n - 8) == 0) {
        n -= 8;
    }
    while (n > 0 && content.ptr[n - 1] == 0) {
        n--;
    }
    return (uint32_t)n;
}

/* Small chunks are packed in `scratch` (CIS_CHUNK_PACKED_MAX bytes) and copied to what they need:
 * giving most of a large allocation back, ten thousand times, cost more than packing. */
static void do_job(const struct lay_batch *batch, struct lay_job *job, cis_chunk_codec *codec,
                   uint8_t *scratch)
{
    job->len = without_zeros(job->content);
    if (job->len == 0) {
        return;
    }
    struct cis_bytes content = {job->content.ptr, job->len};
    cis_chunk_hash(batch->key, content, job->hash);
    bool large = job->len > CIS_FS_BLOCK / 2;
    uint8_t *room = large ? cis_alloc(CIS_CHUNK_PACKED_MAX) : scratch;
    if (room == NULL || codec == NULL) {
        job->code = CIS_E_NOMEM;
        cis_free(large ? room : NULL);
        return;
    }
    job->packed_len = (uint32_t)cis_chunk_pack(codec, content, batch->compress, room);
    if (!large) {
        room = cis_alloc(job->packed_len);
        if (room == NULL) {
            job->code = CIS_E_NOMEM;
            return;
        }
        memcpy(room, scratch, job->packed_len);
    }
    job->packed = room;
}

/* Jobs of one batch until none is left to take; how many were done here. */
static size_t work_on(struct lay_batch *batch, cis_chunk_codec *codec)
{
    CIS_CLEANUP(cis_freep) uint8_t *scratch = cis_alloc(CIS_CHUNK_PACKED_MAX);
    size_t did = 0, i;
    while ((i = atomic_fetch_add(&batch->taken, 1)) < batch->n) {
        do_job(batch, &batch->jobs[i], codec, scratch);
        did++;
    }
    return did;
}

/* Under the lock. */
static void take_off(struct lay_pack *pack, struct lay_batch *batch)
{
    struct lay_batch *before = NULL;
    for (struct lay_batch *b = pack->first; b != NULL; before = b, b = b->next) {
        if (b == batch) {
            *(before != NULL ? &before->next : &pack->first) = b->next;
            pack->last = pack->last == b ? before : pack->last;
            return;
        }
    }
}

static void *helper(void *arg)
{
    struct lay_pack *pack = arg;
    cis_chunk_codec *codec = codec_take(pack);
    cis_mutex_lock(&pack->lock, lay_lock_pack);
    while (!pack->stop) {
        struct lay_batch *batch = pack->first;
        if (batch == NULL) {
            pthread_cond_wait(&pack->work, &pack->lock);
            continue;
        }
        batch->helpers++;
        cis_mutex_unlock(&pack->lock, lay_lock_pack);
        size_t did = work_on(batch, codec);
        cis_mutex_lock(&pack->lock, lay_lock_pack);
        take_off(pack, batch);
        batch->helpers--;
        batch->done += did;
        pthread_cond_broadcast(&pack->done);
    }
    cis_mutex_unlock(&pack->lock, lay_lock_pack);
    codec_give(pack, codec);
    return NULL;
}

void cis_lay_pack_begin(struct lay_pack *pack, struct lay_batch *batch)
{
    batch->next = NULL;
    batch->done = 0;
    batch->helpers = 0;
    atomic_store(&batch->taken, 0);
    if (batch->n < WORTH) {
        return;
    }
    cis_mutex_lock(&pack->lock, lay_lock_pack);
    while (pack->nthreads < pack->wanted) {
        if (pthread_create(&pack->threads[pack->nthreads], NULL, helper, pack) != 0) {
            pack->wanted = pack->nthreads; /* then with fewer */
            break;
        }
        pack->nthreads++;
    }
    if (pack->nthreads > 0) {
        *(pack->last != NULL ? &pack->last->next : &pack->first) = batch;
        pack->last = batch;
        pthread_cond_signal(&pack->work);
    }
    cis_mutex_unlock(&pack->lock, lay_lock_pack);
}

void cis_lay_pack_wait(struct lay_pack *pack, struct lay_batch *batch)
{
    size_t did = 0;
    if (atomic_load(&batch->taken) < batch->n) {
        cis_chunk_codec *codec = codec_take(pack);
        did = work_on(batch, codec);
        codec_give(pack, codec);
    }
    cis_mutex_lock(&pack->lock, lay_lock_pack);
    take_off(pack, batch);
    batch->done += did;
    while (batch->done < batch->n || batch->helpers > 0) {
        pthread_cond_wait(&pack->done, &pack->lock);
    }
    cis_mutex_unlock(&pack->lock, lay_lock_pack);
}
