/* A backup's file is written: rows into frames, each frame hashed. */
#include "store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "store/backup_form.h"
#include "store/calls.h"

#define FAULTS_TOLD 100u /* the rest is counted */

struct writer {
    int fd;
    struct chain chain;
    size_t used;
    uint64_t size, faults;
    uint64_t faults_before; /* of tenants that were done */
    const struct cis_backup_watch *watch;
    cis_backup_check *check;
    const struct cis_stop *stop;
    char tenant[CIS_TENANT_MAX + 1];
    uint8_t frame[CIS_BACKUP_FRAME];
};

static cis_code put_all(struct writer *w, const void *bytes, size_t n, struct cis_error *err)
{
    int sys = cis_fd_write_all(w->fd, bytes, n);
    if (sys == ENOSPC || sys == EDQUOT) {
        return cis_fail_sys(err, CIS_E_IO, sys, "backup: the disk is full");
    }
    if (sys != 0) {
        return cis_fail_sys(err, CIS_E_IO, sys, "backup: cannot write it");
    }
    w->size += n;
    return CIS_OK;
}

static cis_code put_frame(struct writer *w, bool last, struct cis_error *err)
{
    uint8_t n[4];
    uint32_t len = (uint32_t)w->used | (last ? BACKUP_LAST : 0);
    if (w->stop != NULL) {
        CIS_TRY(cis_stop_check(w->stop, "backup", err));
    }
    cis_put_le32(n, len);
    chain_frame(&w->chain, len, w->frame);
    CIS_TRY(put_all(w, n, sizeof n, err));
    CIS_TRY(put_all(w, w->frame, w->used, err));
    CIS_TRY(put_all(w, w->chain.last, sizeof w->chain.last, err));
    w->used = 0;
    if (w->watch != NULL && w->watch->moved != NULL) {
        w->watch->moved(w->watch->self, cis_str_of(w->tenant), w->size);
    }
    return CIS_OK;
}

static cis_code put(struct writer *w, const void *bytes, size_t n, struct cis_error *err)
{
    const uint8_t *at = bytes;
    while (n != 0) {
        size_t room = sizeof w->frame - w->used, some = n < room ? n : room;
        memcpy(w->frame + w->used, at, some);
        w->used += some;
        at += some;
        n -= some;
        if (w->used == sizeof w->frame) {
            CIS_TRY(put_frame(w, false, err));
        }
    }
    return CIS_OK;
}

static cis_code put_number(struct writer *w, uint64_t value, struct cis_error *err)
{
    uint8_t n[8];
    cis_put_le64(n, value);
    return put(w, n, sizeof n, err);
}

static cis_code put_bytes(struct writer *w, struct cis_bytes b, struct cis_error *err)
{
    uint8_t n[4];
    cis_put_le32(n, (uint32_t)b.len);
    CIS_TRY(put(w, n, sizeof n, err));
    return put(w, b.ptr, b.len, err);
}

static void on_fault(void *self, const char *text)
{
    struct writer *w = self;
    if (w->faults++ < FAULTS_TOLD && w->watch != NULL && w->watch->fault != NULL) {
        w->watch->fault(w->watch->self, text);
    }
}

/* What is damaged is told and left out; the others are looked at all the same. */
static cis_code checked(struct writer *w, cis_code code, struct cis_error *why,
                        struct cis_error *err)
{
    if (code == CIS_E_DAMAGED) {
        on_fault(w, why->msg);
        return CIS_OK;
    }
    if (code != CIS_OK && err != NULL) {
        *err = *why;
    }
    return code;
}

/* Of a tenant that is not whole nobody knows what its trees would be. */
static cis_code tenant_end(struct writer *w, struct cis_error *err)
{
    struct cis_error why = {0};
    bool whole = w->faults == w->faults_before;
    w->faults_before = w->faults;
    return !whole ? CIS_OK : checked(w, cis_backup_check_end(w->check, &why), &why, err);
}

static cis_code on_tenant(void *self, struct cis_str name, struct cis_error *err)
{
    struct writer *w = self;
    struct cis_error why = {0};
    const uint8_t kind = REC_TENANT;
    CIS_TRY(tenant_end(w, err));
    cis_code code = cis_backup_check_tenant(w->check, name, &why);
    if (code != CIS_OK) {
        return checked(w, code, &why, err);
    }
    memcpy(w->tenant, name.ptr, name.len);
    w->tenant[name.len] = 0;
    CIS_TRY(put(w, &kind, 1, err));
    return put_bytes(w, cis_bytes_of(name.ptr, name.len), err);
}

static cis_code on_row(void *self, enum cis_backup_table table, const struct cis_backup_value *v,
                       struct cis_error *err)
{
    struct writer *w = self;
    struct cis_error why = {0};
    const uint8_t kind = (uint8_t)(REC_ROW + (int)table);
    const char *types = cis_backup_shapes[table].types;
    cis_code code = cis_backup_check_row(w->check, table, v, &why);
    if (code != CIS_OK) {
        return checked(w, code, &why, err);
    }
    CIS_TRY(put(w, &kind, 1, err));
    for (size_t i = 0; types[i] != 0; i++) {
        CIS_TRY(types[i] == 'b' ? put_bytes(w, v[i].b, err) : put_number(w, (uint64_t)v[i].i, err));
    }
    return CIS_OK;
}

static cis_code put_head(struct writer *w, int64_t created_ms, struct cis_error *err)
{
    uint8_t head[BACKUP_HEAD] = BACKUP_MAGIC;
    cis_put_le32(head + 8, BACKUP_VERSION);
    cis_random_bytes(head + 16, CIS_MAC_KEY_BYTES);
    cis_put_le64(head + 48, (uint64_t)created_ms);
    chain_head(&w->chain, head);
    return put_all(w, head, sizeof head, err);
}

static cis_code put_end(struct writer *w, struct cis_error *err)
{
    const struct cis_backup_counts *c = cis_backup_check_counts(w->check);
    const uint8_t kind = REC_END;
    CIS_TRY(put(w, &kind, 1, err));
    CIS_TRY(put_number(w, c->tenants, err));
    CIS_TRY(put_number(w, c->rows, err));
    CIS_TRY(put_number(w, c->chunks, err));
    CIS_TRY(put_number(w, c->bytes, err));
    return put_frame(w, true, err);
}

static void writer_free(struct writer **w)
{
    if (*w != NULL) {
        cis_backup_check_free((*w)->check);
        cis_free(*w);
    }
}

cis_code cis_backup_write(cis_store *store, int fd, const struct cis_backup_watch *watch,
                          struct cis_backup_summary *out, const struct cis_stop *stop,
                          struct cis_error *err)
{
    CIS_CLEANUP(writer_free) struct writer *w = cis_zalloc(sizeof *w);
    struct cis_backup_summary sum = {.created_ms = cis_clock_wall_ms()};
    if (w == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "backup: out of memory");
    }
    w->fd = fd;
    w->watch = watch;
    w->stop = stop;
    CIS_TRY(cis_backup_check_new(&w->check, err));
    CIS_TRY(cis_backup_check_trees(w->check, stop, err));
    CIS_TRY(put_head(w, sum.created_ms, err));
    const struct cis_backup_sink sink = {w, on_tenant, on_row, on_fault};
    cis_code code = cis_store_dump(store, &sink, stop, err);
    code = code == CIS_OK ? tenant_end(w, err) : code;
    sum.faults = out->faults = w->faults;
    CIS_TRY(code);
    if (w->faults != 0) {
        return cis_fail(err, CIS_E_DAMAGED,
                        "the store is damaged: %llu faults, so there is no whole "
                        "backup; see: cis store check, cis fs fsck --data",
                        (unsigned long long)w->faults);
    }
    CIS_TRY(put_end(w, err));
    if (fsync(fd) != 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "backup: cannot sync it");
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* so that it is read from the disk */
    sum.counts = *cis_backup_check_counts(w->check);
    sum.size = w->size;
    *out = sum;
    return CIS_OK;
}
