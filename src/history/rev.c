/* States by name: what a user writes becomes a view. */
#include "history/internal.h"
#include "store/calls.h"

#include <stdio.h>

static cis_code use_ref(const struct cis_history *h, struct cis_str name, struct cis_rev *out,
                        struct cis_error *err)
{
    struct cis_fs_ref ref;
    if (name.len != 0 && !cis_fs_ref_valid(name)) {
        return cis_fail(err, CIS_E_NOTFOUND, "no such branch");
    }
    CIS_TRY(cis_store_ref_get(h->store, h->tenant, name, &ref, h->stop, err));
    out->view = ref.head;
    snprintf(out->ref, sizeof out->ref, "%s", ref.name);
    out->head = true;
    return CIS_OK;
}

static bool take_snapshot(void *self, const struct cis_fs_snapshot *snapshot)
{
    struct cis_rev *out = self;
    out->view = snapshot->view;
    return false;
}

static cis_code use_snapshot(const struct cis_history *h, struct cis_str name, struct cis_rev *out,
                             struct cis_error *err)
{
    struct cis_rev found = {0};
    if (!cis_fs_ref_valid(name)) {
        return cis_fail(err, CIS_E_NOTFOUND, "no such snapshot");
    }
    CIS_TRY(cis_store_snapshots(h->store, h->tenant, name, take_snapshot, &found, h->stop, err));
    if (found.view.branch == 0) {
        return cis_fail(err, CIS_E_NOTFOUND, "no such snapshot");
    }
    *out = found;
    return CIS_OK;
}

static bool take_commit(void *self, const struct cis_fs_commit_row *row)
{
    struct cis_rev *out = self;
    out->view = (struct cis_view){row->branch, row->epoch};
    return false;
}

static cis_code use_run(const struct cis_history *h, struct cis_str id, struct cis_rev *out,
                        struct cis_error *err)
{
    char run[27];
    struct cis_rev found = {0};
    if (id.len != sizeof run - 1) {
        return cis_fail(err, CIS_E_NOTFOUND, "no such run");
    }
    memcpy(run, id.ptr, id.len);
    run[id.len] = 0;
    CIS_TRY(cis_store_commit_of_run(h->store, h->tenant, run, take_commit, &found, h->stop, err));
    if (found.view.branch == 0) {
        return cis_fail(err, CIS_E_NOTFOUND, "no such run");
    }
    *out = found;
    return CIS_OK;
}

/* "NAME@12"; false: no number at the end. A ref's name may have '@' itself. */
static bool split_epoch(struct cis_str text, struct cis_str *name, uint64_t *epoch)
{
    for (size_t i = text.len; i > 0;) {
        i--;
        if (text.ptr[i] == '@') {
            *name = (struct cis_str){text.ptr, i};
            return cis_str_u64((struct cis_str){text.ptr + i + 1, text.len - i - 1}, epoch);
        }
    }
    return false;
}

/* "NAME@{1}"; *out_n UINT64_MAX: that is no number. */
static bool split_left(struct cis_str text, struct cis_str *name, uint64_t *out_n)
{
    if (text.len == 0 || text.ptr[text.len - 1] != '}') {
        return false;
    }
    for (size_t i = text.len; i > 0;) {
        i--;
        if (text.ptr[i] == '@' && text.ptr[i + 1] == '{') {
            *name = (struct cis_str){text.ptr, i};
            if (!cis_str_u64((struct cis_str){text.ptr + i + 2, text.len - i - 3}, out_n)) {
                *out_n = UINT64_MAX;
            }
            return true;
        }
    }
    return false;
}

static cis_code use_left(const struct cis_history *h, struct cis_str name, uint64_t n,
                         struct cis_rev *out, struct cis_error *err)
{
    struct cis_error why = {0};
    struct cis_rev head = {0};
    if (n == UINT64_MAX) {
        return cis_fail(err, CIS_E_USAGE, "not NAME@{NUMBER}");
    }
    cis_code code = use_ref(h, name, &head, &why);
    if (code == CIS_OK) {
        name = cis_str_of(head.ref);
    } else if (code != CIS_E_NOTFOUND || name.len == 0 || !cis_fs_ref_valid(name)) {
        return cis_fail(err, code, "%s", why.msg);
    }
    if (n == 0) {
        *out = head;
        return code == CIS_OK
                   ? CIS_OK
                   : cis_fail(err, code,
                              "no such branch; if it was dropped, NAME@{1} is its last state");
    }
    head.head = false;
    CIS_TRY(cis_history_reflog_at(h, name, n, &head.view, err));
    *out = head;
    return CIS_OK;
}

/* A number above the head: the branch may have had it before it was moved. */
static cis_code use_epoch(const struct cis_history *h, uint64_t epoch, struct cis_rev *out,
                          struct cis_error *err)
{
    struct cis_error why = {0};
    out->head = epoch == out->view.epoch;
    if (epoch <= out->view.epoch) {
        out->view.epoch = epoch;
        return CIS_OK;
    }
    cis_code code = cis_history_reflog_epoch(h, cis_str_of(out->ref), epoch, &out->view, &why);
    return code == CIS_OK ? CIS_OK
           : code == CIS_E_NOTFOUND
               ? cis_fail(err, code, "%s is at %llu; its reflog has no entry for %llu", out->ref,
                          (unsigned long long)out->view.epoch, (unsigned long long)epoch)
               : cis_fail(err, code, "%s", why.msg);
}

static cis_code use_base(const struct cis_history *h, struct cis_str text, struct cis_rev *out,
                         struct cis_error *err)
{
    struct cis_error why;
    struct cis_str name;
    uint64_t epoch;
    const struct cis_str snapshot = CIS_STR("snapshot:"), run = CIS_STR("run:");
    if (cis_str_starts(text, snapshot)) {
        name = (struct cis_str){text.ptr + snapshot.len, text.len - snapshot.len};
        return use_snapshot(h, name, out, err);
    }
    if (cis_str_starts(text, run)) {
        name = (struct cis_str){text.ptr + run.len, text.len - run.len};
        return use_run(h, name, out, err);
    }
    if (split_left(text, &name, &epoch)) {
        return use_left(h, name, epoch, out, err);
    }
    cis_code code = use_ref(h, text, out, &why);
    if (code == CIS_E_NOTFOUND && split_epoch(text, &name, &epoch)) {
        code = use_ref(h, name, out, &why);
        if (code == CIS_OK) {
            return use_epoch(h, epoch, out, err);
        }
    }
    if (code == CIS_E_NOTFOUND) {
        code = use_snapshot(h, text, out, &why);
    }
    if (code == CIS_E_NOTFOUND) {
        code = use_run(h, text, out, &why);
    }
    if (code == CIS_E_NOTFOUND) {
        return cis_fail(err, code, "no branch, snapshot or run of that name");
    }
    if (code != CIS_OK && err != NULL) {
        *err = why;
    }
    return code;
}

/* "~3" or "^" at the end. */
static cis_code split_back(struct cis_str *text, uint64_t *back, struct cis_error *err)
{
    for (size_t i = 0; i < text->len; i++) {
        struct cis_str rest = {text->ptr + i + 1, text->len - i - 1};
        if (text->ptr[i] == '^' || text->ptr[i] == '~') {
            *back = 1;
            bool ok = text->ptr[i] == '^' ? rest.len == 0 : cis_str_u64(rest, back);
            text->len = i;
            return ok ? CIS_OK : cis_fail(err, CIS_E_USAGE, "not REV~NUMBER or REV^");
        }
    }
    return CIS_OK;
}

static cis_code resolve(const struct cis_history *h, struct cis_str text, struct cis_rev *out,
                        struct cis_error *err)
{
    uint64_t back = 0;
    CIS_TRY(split_back(&text, &back, err));
    CIS_TRY(use_base(h, text, out, err));
    if (back != 0) {
        if (back >= out->view.epoch) {
            return cis_fail(err, CIS_E_NOTFOUND, "the branch has fewer commits");
        }
        out->view.epoch -= back;
        out->head = false;
    }
    if (!out->head) {
        CIS_TRY(cis_store_view_check(h->store, h->tenant, out->view, &out->view, h->stop, err));
    }
    return CIS_OK;
}

cis_code cis_history_resolve(const struct cis_history *h, struct cis_str text, struct cis_rev *out,
                             struct cis_error *err)
{
    struct cis_rev found = {0};
    cis_code code = resolve(h, text, &found, err);
    if (code == CIS_E_NOTFOUND || code == CIS_E_USAGE || code == CIS_E_EXPIRED) {
        return cis_error_prefix(err, code, "%.*s",
                                text.len == 0 ? 14 : (int)(text.len > 150 ? 150 : text.len),
                                text.len == 0 ? "current branch" : text.ptr);
    }
    if (code == CIS_OK) {
        *out = found;
    }
    return code;
}

/* ---- pins ---- */
#define PIN_MS (15u * 60 * 1000)

cis_code cis_history_pin(const struct cis_history *h, struct cis_view view,
                         struct cis_history_pin *out, struct cis_error *err)
{
    struct cis_history_pin pin = {.view = view, .renewed_ns = cis_clock_mono_ns()};
    CIS_TRY(cis_store_pin(
        h->store, h->tenant,
        &(struct cis_fs_pin_request){.view = view, .ttl_ms = CIS_FS_PIN_HELD | PIN_MS}, &pin.id,
        h->stop, err));
    *out = pin;
    return CIS_OK;
}

cis_code cis_history_pin_keep(const struct cis_history *h, struct cis_history_pin *pin,
                              struct cis_error *err)
{
    uint64_t now = cis_clock_mono_ns();
    if (now - pin->renewed_ns < PIN_MS / 3 * CIS_NS_PER_MS) {
        return CIS_OK;
    }
    pin->renewed_ns = now;
    return cis_store_pin(h->store, h->tenant,
                         &(struct cis_fs_pin_request){
                             .view = pin->view, .id = pin->id, .ttl_ms = CIS_FS_PIN_HELD | PIN_MS},
                         &pin->id, h->stop, err);
}

void cis_history_pin_drop(const struct cis_history *h, struct cis_history_pin *pin)
{
    struct cis_error err;
    uint64_t id;
    if (pin->id != 0) {
        (void)!cis_store_pin(h->store, h->tenant,
                             &(struct cis_fs_pin_request){.view = pin->view, .id = pin->id}, &id,
                             NULL, &err);
        pin->id = 0;
    }
}
