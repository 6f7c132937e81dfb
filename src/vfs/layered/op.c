/* How an operation runs: under a lock until it is done or says what it misses. */
#include "vfs/layered/view.h"

#include <sched.h>
#include <stdarg.h>

static void op_init(struct lay_op *op, struct lay_view *v, const struct cis_vfs_call *call)
{
    op->v = v;
    op->call = call;
    op->stripe = NULL;
    op->all = false;
    op->nentries = op->ninodes = op->nblobs = 0;
    op->need.line = NULL;
}

static void op_done(struct lay_op *op)
{
    unsigned n = op->nblobs < LAY_BAG ? op->nblobs : LAY_BAG;
    for (unsigned i = 0; i < n; i++) {
        cis_lay_blob_unref(op->blobs[i]);
    }
    op->nblobs = 0;
}

/* clang does not follow these: all stripes are one lock to it, held alone or shared. */
CIS_LOCK_UNCHECKED void cis_lay_lock_all(struct lay_view *v)
{
    for (size_t i = 0; i < LAY_STRIPES; i++) {
        pthread_mutex_lock(&v->stripes[i].lock);
    }
}

CIS_LOCK_UNCHECKED void cis_lay_unlock_all(struct lay_view *v)
{
    for (size_t i = LAY_STRIPES; i > 0;) {
        i--;
        pthread_mutex_unlock(&v->stripes[i].lock);
    }
}

CIS_LOCK_UNCHECKED struct lay_stripe *cis_lay_lock_one(struct lay_view *v)
{
    /* Threads on different processors take different stripes; which one is for speed only. */
    struct lay_stripe *s = &v->stripes[(unsigned)sched_getcpu() % LAY_STRIPES];
    pthread_mutex_lock(&s->lock);
    return s;
}

CIS_LOCK_UNCHECKED void cis_lay_unlock_one(struct lay_stripe *s)
{
    pthread_mutex_unlock(&s->lock);
}

CIS_LOCK_UNCHECKED static void begin(struct lay_op *op, bool all) CIS_ACQUIRES(lay_lock_stripes)
{
    op->all = all;
    if (all) {
        cis_lay_lock_all(op->v);
        op->stripe = &op->v->stripes[0];
    } else {
        op->stripe = cis_lay_lock_one(op->v);
    }
}

CIS_LOCK_UNCHECKED static void end(struct lay_op *op) CIS_RELEASES(lay_lock_stripes)
{
    if (op->all) {
        cis_lay_unlock_all(op->v);
    } else {
        pthread_mutex_unlock(&op->stripe->lock);
    }
    op->stripe = NULL;
    op->all = false;
}

int cis_lay_stopped(const struct cis_vfs_call *call)
{
    const struct cis_stop *stop = lay_stop(call);
    struct cis_error why;
    cis_code code = stop != NULL ? cis_stop_check(stop, "files", &why) : CIS_OK;
    return cis_lay_errno_of(call, code, &why);
}

/* What was fetched may be old again by the time it is looked at, for as long as others write. */
static int op_run(struct lay_op *op, bool all, lay_step *step, void *arg)
    CIS_TAKES(LAY_FROM_PINNING)
{
    for (;;) {
        if (atomic_load_explicit(&op->v->ended, memory_order_relaxed) != 0) {
            return cis_lay_ended(op->v, op->call);
        }
        begin(op, all);
        int rc = step(op, arg);
        if (rc == LAY_NEED) { /* the view may move while the store is asked */
            op->need.at = op->need.line != NULL ? op->need.at : op->v->at;
            op->need.line = op->need.line != NULL ? op->need.line : op->v->line;
            cis_lay_branch_cache_hold(op->need.line);
        }
        end(op);
        if (rc != LAY_NEED) {
            return rc;
        }
        rc = cis_lay_fetch(op);
        cis_lay_branch_cache_leave(op->v->fs_cache, op->need.line);
        op->need.line = NULL;
        rc = rc != 0 ? rc : cis_lay_stopped(op->call);
        if (rc != 0) {
            return rc;
        }
    }
}

int cis_lay_do(struct lay_view *v, const struct cis_vfs_call *call, bool all, lay_step *step,
               void *arg)
{
    struct lay_op op;
    op_init(&op, v, call);
    int rc = op_run(&op, all, step, arg);
    op_done(&op);
    return rc;
}

/* A quota that the store knows is the cap on what is stored: no room, as on a full disk. A view
 * that others have changed under is as good as expired. */
int cis_lay_errno(cis_code code)
{
    return code == CIS_E_QUOTA || code == CIS_E_LIMIT ? ENOSPC
           : code == CIS_E_CONFLICT                   ? ESTALE
                                                      : cis_code_errno(code);
}

int cis_lay_errno_of(const struct cis_vfs_call *call, cis_code code, const struct cis_error *err)
{
    if (code != CIS_OK && call != NULL && call->err != NULL && call->err != err) {
        *call->err = *err;
    }
    return (code == CIS_E_STORE || code == CIS_E_IO) && err->sys == ENOSPC ? ENOSPC
                                                                           : cis_lay_errno(code);
}

int cis_lay_fail(const struct cis_vfs_call *call, int rc, const char *fmt, ...)
{
    if (call == NULL || call->err == NULL) {
        return rc;
    }
    cis_code code = rc == EIO ? CIS_E_DAMAGED : cis_code_of_errno(rc); /* of content, always */
    va_list args;
    va_start(args, fmt);
    cis_fail_v(call->err, code, fmt, args);
    va_end(args);
    return rc;
}
