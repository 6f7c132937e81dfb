/* A backup's file is read, as something that anybody may have made: a frame is hashed before it is
 * looked at, a length is compared before anything is taken by it. */
#include "store/backup.h"

#include <errno.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "store/backup_form.h"

#define ROOM_KEPT (4u << 20)

struct reader {
    int fd;
    struct chain chain;
    uint32_t len, at; /* of the frame */
    bool last;
    uint64_t size;
    const struct cis_backup_watch *watch;
    const struct cis_stop *stop;
    const struct cis_backup_sink *to;
    cis_backup_check *check;
    struct cis_buf room; /* of one row's bytes */
    struct cis_buf report;
    int64_t now_ms; /* when the restore began */
    char tenant[CIS_TENANT_MAX + 1];
    uint8_t frame[CIS_BACKUP_FRAME + CIS_MAC_BYTES];
};

static cis_code cut(struct cis_error *err)
{
    return cis_fail(err, CIS_E_DAMAGED, "the backup is incomplete: it ends too early");
}

static cis_code get_all(struct reader *r, void *out, size_t n, struct cis_error *err)
{
    uint8_t *at = out;
    while (n != 0) {
        ssize_t got = read(r->fd, at, n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return cis_fail_sys(err, errno == EIO ? CIS_E_DAMAGED : CIS_E_IO, errno,
                                "backup: cannot read it");
        }
        if (got == 0) {
            return cut(err);
        }
        at += got;
        n -= (size_t)got;
        r->size += (size_t)got;
    }
    return CIS_OK;
}

static cis_code get_frame(struct reader *r, struct cis_error *err)
{
    uint8_t n[4];
    if (r->last) {
        return cut(err);
    }
    if (r->stop != NULL) {
        CIS_TRY(cis_stop_check(r->stop, "backup", err));
    }
    CIS_TRY(get_all(r, n, sizeof n, err));
    uint32_t len = cis_le32(n);
    r->last = (len & BACKUP_LAST) != 0;
    r->len = len & ~BACKUP_LAST;
    r->at = 0;
    if (r->len == 0 || r->len > CIS_BACKUP_FRAME) {
        return cis_fail(err, CIS_E_DAMAGED, "the backup is damaged: a frame of %u bytes", r->len);
    }
    CIS_TRY(get_all(r, r->frame, r->len + CIS_MAC_BYTES, err));
    chain_frame(&r->chain, len, r->frame);
    if (!cis_mac_eq(r->chain.last, r->frame + r->len)) {
        return cis_fail(
            err, CIS_E_DAMAGED,
            "the backup is damaged: the hash of the part that ends at byte %llu does not match",
            (unsigned long long)r->size);
    }
    if (r->watch != NULL && r->watch->moved != NULL) {
        r->watch->moved(r->watch->self, cis_str_of(r->tenant), r->size);
    }
    return CIS_OK;
}

static cis_code get(struct reader *r, void *out, size_t n, struct cis_error *err)
{
    uint8_t *to = out;
    while (n != 0) {
        if (r->at == r->len) {
            CIS_TRY(get_frame(r, err));
        }
        size_t have = r->len - r->at, some = n < have ? n : have;
        memcpy(to, r->frame + r->at, some);
        r->at += (uint32_t)some;
        to += some;
        n -= some;
    }
    return CIS_OK;
}

static cis_code get_number(struct reader *r, uint64_t *out, struct cis_error *err)
{
    uint8_t n[8];
    CIS_TRY(get(r, n, sizeof n, err));
    *out = cis_le64(n);
    return CIS_OK;
}

/* Appends to the row's room, which grows by what is there and never by what a length says. */
static cis_code get_bytes(struct reader *r, uint32_t limit, size_t *out_len, struct cis_error *err)
{
    uint8_t n[4];
    CIS_TRY(get(r, n, sizeof n, err));
    uint32_t len = cis_le32(n);
    if (len > limit) {
        return cis_fail(err, CIS_E_DAMAGED, "the backup is damaged: a value of %u bytes", len);
    }
    for (uint32_t left = len; left != 0;) {
        uint32_t some = left < CIS_BACKUP_FRAME ? left : CIS_BACKUP_FRAME;
        uint8_t *to = cis_buf_reserve(&r->room, some);
        CIS_TRY(cis_buf_check(&r->room, "backup: a row", err));
        CIS_TRY(get(r, to, some, err));
        r->room.len += some;
        left -= some;
    }
    *out_len = len;
    return CIS_OK;
}

static void room_clear(struct reader *r)
{
    size_t max = r->room.max;
    if (r->room.cap > ROOM_KEPT) {
        cis_buf_done(&r->room);
        r->room = CIS_BUF_INIT(max);
    }
    cis_buf_reset(&r->room);
}

static cis_code get_tenant(struct reader *r, struct cis_error *err)
{
    size_t len;
    CIS_TRY(get_bytes(r, CIS_TENANT_MAX, &len, err));
    struct cis_str name = {(const char *)r->room.ptr, len};
    CIS_TRY(cis_backup_check_end(r->check, err));
    CIS_TRY(cis_backup_check_tenant(r->check, name, err));
    memcpy(r->tenant, name.ptr, len);
    r->tenant[len] = 0;
    return r->to != NULL ? r->to->tenant(r->to->self, name, err) : CIS_OK;
}

/* What names folders of a host was written on another one, or by whoever made the file. A record of
 * a run says from now on that it came with a backup, and so do the commits of the record of an
 * apply (a branch each); no branch is younger than this restore. */
static cis_code from_elsewhere(struct reader *r, enum cis_backup_table table,
                               struct cis_backup_value *v, struct cis_error *err)
{
    if (table == CIS_BACKUP_REF && v[1].i > r->now_ms) {
        v[1].i = r->now_ms;
    }
    if (table == CIS_BACKUP_EPOCH &&
        cis_str_is((struct cis_str){(const char *)v[8].b.ptr, v[8].b.len}, CIS_APPLY_KIND)) {
        v[8].b = cis_bytes_of(CIS_APPLY_RESTORED, sizeof CIS_APPLY_RESTORED - 1);
    }
    if (table == CIS_BACKUP_RUN) {
        cis_buf_reset(&r->report);
        cis_run_report_restored((struct cis_str){(const char *)v[8].b.ptr, v[8].b.len}, r->now_ms,
                                &r->report);
        CIS_TRY(cis_buf_check(&r->report, "backup", err));
        v[8].b = cis_buf_bytes(&r->report);
    }
    return CIS_OK;
}

static cis_code get_row(struct reader *r, enum cis_backup_table table, struct cis_error *err)
{
    struct cis_backup_value v[CIS_BACKUP_COLUMNS_MAX] = {{0}};
    const struct cis_backup_shape *shape = &cis_backup_shapes[table];
    for (size_t i = 0, blob = 0; shape->types[i] != 0; i++) {
        if (shape->types[i] == 'b') {
            CIS_TRY(get_bytes(r, shape->limits[blob++], &v[i].b.len, err));
        } else {
            uint64_t n;
            CIS_TRY(get_number(r, &n, err));
            v[i].i = (int64_t)n;
        }
    }
    const uint8_t *at = r->room.ptr; /* where it stays from here on */
    for (size_t i = 0; shape->types[i] != 0; i++) {
        if (shape->types[i] == 'b') {
            v[i].b.ptr = v[i].b.len != 0 ? at : (const uint8_t *)"";
            at += v[i].b.len;
        }
    }
    CIS_TRY(cis_backup_check_row(r->check, table, v, err));
    if (r->to == NULL) {
        return CIS_OK;
    }
    CIS_TRY(from_elsewhere(r, table, v, err));
    return r->to->row(r->to->self, table, v, err);
}

static cis_code get_end(struct reader *r, struct cis_error *err)
{
    const struct cis_backup_counts *c = cis_backup_check_counts(r->check);
    uint64_t counts[4];
    uint8_t more;
    CIS_TRY(cis_backup_check_end(r->check, err));
    for (size_t i = 0; i < 4; i++) {
        CIS_TRY(get_number(r, &counts[i], err));
    }
    if (counts[0] != c->tenants || counts[1] != c->rows || counts[2] != c->chunks ||
        counts[3] != c->bytes || !r->last || r->at != r->len || read(r->fd, &more, 1) != 0) {
        return cis_fail(err, CIS_E_DAMAGED,
                        "the backup is damaged: its end does not match its head");
    }
    return CIS_OK;
}

static cis_code get_head(struct reader *r, int64_t *out_created_ms, struct cis_error *err)
{
    uint8_t head[BACKUP_HEAD];
    cis_code code = get_all(r, head, sizeof head, err);
    if (code == CIS_E_DAMAGED || (code == CIS_OK && memcmp(head, BACKUP_MAGIC, 8) != 0)) {
        return cis_fail(err, CIS_E_INVALID, "this file is not a backup of a store");
    }
    CIS_TRY(code);
    if (cis_le32(head + 8) != BACKUP_VERSION) {
        return cis_fail(err, CIS_E_INVALID,
                        "the backup has format %u, this program reads format %u; use a newer cis",
                        cis_le32(head + 8), BACKUP_VERSION);
    }
    chain_head(&r->chain, head);
    *out_created_ms = (int64_t)cis_le64(head + 48);
    return CIS_OK;
}

static void reader_free(struct reader **r)
{
    if (*r != NULL) {
        cis_backup_check_free((*r)->check);
        cis_buf_done(&(*r)->room);
        cis_buf_done(&(*r)->report);
        cis_free(*r);
    }
}

static cis_code get_records(struct reader *r, struct cis_error *err)
{
    for (;;) {
        uint8_t kind;
        CIS_TRY(get(r, &kind, 1, err));
        if (kind == REC_END) {
            return get_end(r, err);
        }
        if (kind >= REC_ROW + CIS_BACKUP_TABLES) {
            return cis_fail(err, CIS_E_DAMAGED, "the backup is damaged: a record of kind %u", kind);
        }
        room_clear(r);
        CIS_TRY(kind == REC_TENANT ? get_tenant(r, err)
                                   : get_row(r, (enum cis_backup_table)(kind - REC_ROW), err));
    }
}

cis_code cis_backup_read(int fd, const struct cis_backup_sink *to,
                         const struct cis_backup_watch *watch, struct cis_backup_summary *out,
                         const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(reader_free) struct reader *r = cis_zalloc(sizeof *r);
    struct cis_backup_summary sum = {.faults = 0};
    if (r == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "backup: out of memory");
    }
    r->fd = fd;
    r->to = to;
    r->watch = watch;
    r->stop = stop;
    r->now_ms = cis_clock_wall_ms();
    r->report = CIS_BUF_INIT(CIS_STORE_REPORT_MAX + 64);
    r->room = CIS_BUF_INIT(CIS_BACKUP_KEYS_MAX + (1u << 20)); /* of any row */
    CIS_TRY(cis_backup_check_new(&r->check, err));
    CIS_TRY(cis_backup_check_trees(r->check, stop, err));
    if (lseek(fd, 0, SEEK_SET) != 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "backup: not a file");
    }
    CIS_TRY(get_head(r, &sum.created_ms, err));
    CIS_TRY(get_records(r, err));
    sum.counts = *cis_backup_check_counts(r->check);
    sum.size = r->size;
    *out = sum;
    return CIS_OK;
}

/* ---- a store that was filled, read back ---- */
struct proof {
    cis_backup_check *check;
    struct cis_error *err;
    bool damaged;
};

static cis_code prove_tenant(void *self, struct cis_str name, struct cis_error *err)
{
    struct proof *p = self;
    return cis_backup_check_tenant(p->check, name, err);
}

static cis_code prove_row(void *self, enum cis_backup_table table, const struct cis_backup_value *v,
                          struct cis_error *err)
{
    struct proof *p = self;
    return cis_backup_check_row(p->check, table, v, err);
}

static void prove_fault(void *self, const char *text)
{
    struct proof *p = self;
    if (!p->damaged) {
        (void)cis_fail(p->err, CIS_E_DAMAGED, "%s", text);
    }
    p->damaged = true;
}

cis_code cis_backup_prove(cis_backup_source *source, void *self,
                          const struct cis_backup_counts *given, const struct cis_stop *stop,
                          struct cis_error *err)
{
    struct proof p = {NULL, err, false};
    const struct cis_backup_sink sink = {&p, prove_tenant, prove_row, prove_fault};
    CIS_TRY(cis_backup_check_new(&p.check, err));
    cis_code code = source(self, &sink, stop, err);
    struct cis_backup_counts got = *cis_backup_check_counts(p.check);
    cis_backup_check_free(p.check);
    CIS_TRY(code);
    if (p.damaged) {
        return CIS_E_DAMAGED;
    }
    return got.tenants == given->tenants && got.rows == given->rows &&
                   got.chunks == given->chunks && got.bytes == given->bytes
               ? CIS_OK
               : cis_fail(err, CIS_E_DAMAGED,
                          "what was restored does not read back as it was written; check the disk");
}
