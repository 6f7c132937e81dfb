/* What can be listed, found and called: made when the server starts, and anew when skills are
 * installed, removed or granted something else. The lists of a moment are never changed: new ones
 * take their place in one step, calls that run keep theirs, and who listens is told which differ.
 */
#include "mcp/internal.h"

#include <stdio.h>
#include "base/clock.h"
#include "base/mem.h"

#define LOOK_NS CIS_NS_PER_S

/* ---- one moment's ---- */

static void lists_free(struct mcp_lists *l)
{
    cis_mcp_tools_done(l);
    cis_mcp_prompts_done(l);
    cis_mcp_declared_done(l);
    cis_free(l);
}

struct mcp_lists *cis_mcp_lists_ref(struct cis_mcp *m) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    struct mcp_lists *l = m->lists;
    l->refs++;
    cis_mutex_unlock(&m->lock, mcp_lock);
    return l;
}

void cis_mcp_lists_unref(struct mcp_lists *l) CIS_TAKES(mcp_lock)
{
    if (l == NULL) {
        return;
    }
    cis_mutex_lock(&l->mcp->lock, mcp_lock);
    bool last = --l->refs == 0;
    cis_mutex_unlock(&l->mcp->lock, mcp_lock);
    if (last) {
        lists_free(l);
    }
}

void cis_mcp_lists_close(struct cis_mcp *m) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    struct mcp_lists *last = m->lists;
    m->lists = NULL;
    cis_mutex_unlock(&m->lock, mcp_lock);
    cis_mcp_lists_unref(last);
}

static bool was_stale(struct cis_mcp *m) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    bool stale = m->lists_stale;
    m->lists_stale = false;
    cis_mutex_unlock(&m->lock, mcp_lock);
    return stale;
}

static cis_code make(struct cis_mcp *m, const struct cis_skill_home *home, bool again,
                     struct mcp_lists **out, struct cis_error *err)
{
    struct mcp_lists *l = cis_zalloc(sizeof *l);
    if (l == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "lists: out of memory");
    }
    l->mcp = m;
    l->home = *home;
    l->again = again;
    l->refs = 1;
    cis_code code = cis_mcp_tools_load(l, err);
    code = code == CIS_OK ? cis_mcp_skills_load(l, err) : code;
    if (code != CIS_OK) {
        lists_free(l);
        return code;
    }
    cis_mcp_tools_sort(l);
    *out = l;
    return CIS_OK;
}

cis_code cis_mcp_lists_open(struct cis_mcp *m, struct cis_error *err) CIS_TAKES(mcp_lock)
{
    struct mcp_lists *first;
    (void)cis_skill_changed(&m->o.home, cis_str_of(m->o.tenant), &m->mark);
    CIS_TRY(make(m, &m->o.home, false, &first, err));
    cis_mutex_lock(&m->lock, mcp_lock);
    m->lists = first;
    cis_mutex_unlock(&m->lock, mcp_lock);
    return cis_mcp_tools_check(first, err);
}

/* ---- what differs ---- */

static bool tools_same(const struct mcp_lists *a, const struct mcp_lists *b)
{
    bool same = a->ntools == b->ntools;
    for (size_t i = 0; same && i < a->ntools; i++) {
        same = json_equal(a->tools[i].spec, b->tools[i].spec);
    }
    return same;
}

static bool items_same(const struct mcp_declared_list *a, const struct mcp_declared_list *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++) {
        same = json_equal(a->at[i].item, b->at[i].item);
    }
    return same;
}

/* Bits of lists. */
static unsigned differ(const struct mcp_lists *a, const struct mcp_lists *b)
{
    bool resources =
        items_same(&a->resources, &b->resources) && items_same(&a->templates, &b->templates);
    return (tools_same(a, b) ? 0 : MCP_LIST_BIT(MCP_LIST_TOOLS)) |
           (cis_mcp_prompts_same(a, b) ? 0 : MCP_LIST_BIT(MCP_LIST_PROMPTS)) |
           (resources ? 0 : MCP_LIST_BIT(MCP_LIST_RESOURCES));
}

static bool content_same(const struct mcp_declared *a, const struct mcp_declared *b)
{
    const char *one = a->tool.digest, *other = b->tool.digest;
    bool methods = one != NULL && other != NULL;
    return methods ? strcmp(one, other) == 0
                   : one == other && cis_str_eq(cis_buf_view(&a->bytes), cis_buf_view(&b->bytes));
}

/* Those that both have, with something else in them: as changes of a run. */
static json_t *updated(const struct mcp_lists *old, const struct mcp_lists *now)
{
    json_t *changes = json_array(), *before = json_object();
    for (size_t i = 0; i < old->resources.n; i++) {
        json_object_set_new(before, old->resources.at[i].uri, json_integer((json_int_t)i));
    }
    for (size_t i = 0; i < now->resources.n; i++) {
        const struct mcp_declared *d = &now->resources.at[i];
        const json_t *at = json_object_get(before, d->uri);
        if (at != NULL && !content_same(&old->resources.at[json_integer_value(at)], d)) {
            json_array_append_new(changes, json_pack("{s:s}", "path", d->uri));
        }
    }
    json_decref(before);
    return changes;
}

/* ---- the thread ---- */

static void take_place(struct cis_mcp *m, struct mcp_lists *now) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    struct mcp_lists *old = m->lists;
    m->lists = now;
    cis_mutex_unlock(&m->lock, mcp_lock);
    unsigned lists = differ(old, now);
    json_t *changes = updated(old, now);
    cis_mcp_lists_tell(m, lists);
    cis_mcp_changed(m, changes);
    json_decref(changes);
    cis_mcp_lists_unref(old);
}

/* False: what was listed goes on being served, and it is tried again. */
static bool anew(struct mcp_relist *r, struct cis_error *err)
{
    struct mcp_lists *now = NULL;
    struct cis_skill_home home = r->mcp->o.home;
    home.stop = (struct cis_stop){CIS_NEVER, r->done};
    if (make(r->mcp, &home, true, &now, err) != CIS_OK) {
        return false;
    }
    take_place(r->mcp, now);
    return true;
}

static void *relist(void *self)
{
    struct mcp_relist *r = self;
    struct cis_mcp *m = r->mcp;
    bool due = false, said = false;
    for (;;) {
        struct cis_error err = {0};
        struct cis_stop stop = {cis_clock_after(cis_clock_mono_ns(), LOOK_NS), r->done};
        if (cis_stop_wait(&stop, -1, 0, "skills", NULL) != CIS_E_DEADLINE) {
            return NULL;
        }
        due = cis_skill_changed(&m->o.home, cis_str_of(m->o.tenant), &m->mark) || due;
        due = was_stale(m) || due;
        if (!due) {
            continue;
        }
        due = !anew(r, &err);
        if (due && !said && !cis_cancel_fired(r->done)) {
            char line[CIS_ERROR_MSG_MAX + 128];
            snprintf(line, sizeof line, "skills changed, and are served as they were: %s", err.msg);
            m->o.say(m->o.self, line);
        }
        said = due;
    }
}

cis_code cis_mcp_relist_begin(struct mcp_relist *r, struct cis_mcp *m, struct cis_error *err)
{
    r->mcp = m;
    CIS_TRY(cis_cancel_new(&r->done, err));
    int sys = pthread_create(&r->thread, NULL, relist, r);
    r->runs = sys == 0;
    return sys == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_INTERNAL, sys, "server: a thread");
}

void cis_mcp_relist_end(struct mcp_relist *r)
{
    cis_cancel_fire(r->done);
    if (r->runs) {
        pthread_join(r->thread, NULL);
    }
    cis_cancel_unref(r->done);
    r->done = NULL;
}
