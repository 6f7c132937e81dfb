/* Inside mcp/: one server, one request, one tool. */
#ifndef CIS_MCP_INTERNAL_H
#define CIS_MCP_INTERNAL_H

#include <jansson.h>
#include "base/crypto.h"
#include "base/lock.h"
#include "history/history.h"
#include "httpd/httpd.h"
#include "mcp/mcp.h"
#include "run/cow.h"

/* ---- line.c ---- */
struct mcp_lines {
    int fd;
    const struct cis_stop *stop;
    struct cis_buf buf;
    size_t start, seen; /* the line begins at start; no newline up to seen */
    bool skipping, ended;
};
enum mcp_line { MCP_LINE, MCP_LINE_LONG, MCP_LINE_END };
/* The next line without its end; *out_text is valid until the next call. A line that is too long is
 * told once and left out. */
cis_code cis_mcp_line_next(struct mcp_lines *lines, enum mcp_line *out, struct cis_str *out_text,
                           struct cis_error *err);

/* ---- rpc.c ---- */
enum mcp_error {
    MCP_PARSE = -32700,
    MCP_INVALID = -32600,
    MCP_NO_METHOD = -32601,
    MCP_PARAMS = -32602,
    MCP_INTERNAL = -32603,
    MCP_NO_RESOURCE = -32002, /* of the eras before 2026-07-28 */
    MCP_HEADER = -32020,      /* a field of the HTTP request says something else than the message */
    MCP_CAPABILITY = -32021,
    MCP_VERSION = -32022,
};
/* What a request is answered with: a result, or an error. */
struct mcp_reply {
    json_t *result; /* owned */
    int code;       /* not 0: an error */
    char message[CIS_ERROR_MSG_MAX];
    json_t *data; /* owned; may be NULL */
};
void cis_mcp_reply_done(struct mcp_reply *reply);
/* What a text of JSON has at most, looked at before anything is built of it: a value takes many
 * times the memory of its text. */
struct mcp_size {
    size_t values, depth;
};
struct mcp_size cis_mcp_size(struct cis_str text);
void cis_mcp_refuse(struct mcp_reply *reply, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

enum mcp_kind { MCP_NOTHING, MCP_REQUEST, MCP_NOTIFICATION, MCP_ANSWER, MCP_BROKEN };
struct mcp_message {
    json_t *all;      /* owned */
    const json_t *id; /* borrowed: a string or an integer; NULL: none */
    const char *method;
    const json_t *params; /* an object or NULL */
    size_t bytes;         /* that it takes, about */
};
/* MCP_BROKEN: *reply says what is wrong. MCP_NOTHING: an empty line. MCP_ANSWER: to a request of
 * this server. */
enum mcp_kind cis_mcp_message_read(struct cis_str line, struct mcp_message *out,
                                   struct mcp_reply *reply);
/* An integer, or a text that is not too long: what a client may name a request or its progress by.
 */
bool cis_mcp_id_good(const json_t *id);
/* One line with its end. Takes what is in the reply. */
void cis_mcp_answer(const json_t *id, struct mcp_reply *reply, struct cis_buf *out);
void cis_mcp_dump(json_t *value, struct cis_buf *out);
/* Text as a JSON string, whatever its bytes are. */
json_t *cis_mcp_text(struct cis_str text);
static inline json_t *cis_mcp_text_of(const char *text)
{
    return cis_mcp_text(cis_str_of(text));
}
/* A member; NULL: there is none, or it is null, which is how some clients send what they leave out.
 */
json_t *cis_mcp_member(const json_t *object, const char *name);
/* A text among params or arguments; ptr NULL: there is none. */
struct cis_str cis_mcp_field(const json_t *object, const char *name);

/* ---- a call ---- */
enum mcp_list { MCP_LIST_TOOLS, MCP_LIST_PROMPTS, MCP_LIST_RESOURCES, MCP_LIST_COUNT };
struct mcp_call {
    struct cis_mcp *mcp;
    struct mcp_lists *lists; /* as they were when it came; owned; NULL: it listens */
    struct mcp_call *next;
    struct mcp_message message; /* owned */
    bool modern;
    bool lane;          /* of the tools that go one after the other */
    cis_cancel *cancel; /* owned */
    struct cis_stop stop;
    const json_t *token; /* progress is told with it; NULL: nobody asked */
    uint64_t began_ns, told_ns;
    double progress;       /* the last that was told; guarded by mcp_lock, as the next */
    bool guest_tells;      /* its guest says how far it is */
    bool told_last;        /* that it is at its end; guarded by mcp_lock */
    const char *principal; /* whose call it is; NULL: the user's who started the server */
    bool elicits;          /* its client can ask the person */
    bool samples, roots;   /* its model can go on; it can tell the folders it works on */
    int log_rank;          /* from which level on it is told what skills log */
    const char *unable;    /* the capability that it would have had to have; NULL: none */
    json_t *answers;       /* ask.c: what the person said; owned */
    json_t *open;          /* and what is asked now; owned; NULL: nothing */
    unsigned asked;        /* how often it asked, by the same key, too */
    bool waits;            /* wait.c: for the answer to `open`; it runs again then */
    char ask_id[32];       /* of the request that asks, while it can be answered; guarded by
                            * mcp_lock, as the next */
    json_t *answer;        /* the client's whole message; owned; NULL: not yet, or never */
    cis_code unanswered;   /* why never */
    uint64_t ask_until_ns;
    bool cancelled;         /* no answer; guarded by mcp_lock */
    json_t *listens;        /* subscribe.c: uri → path; owned; NULL: it does not listen */
    unsigned listens_lists; /* bits by enum mcp_list: it is told when they change */
    /* Of one that came by HTTP. */
    cis_httpd_exchange *exchange;   /* owned; NULL: by a line */
    const char *legacy;             /* the version that a session would have agreed on */
    uint8_t session[CIS_MAC_BYTES]; /* what its session is called, hashed; zero: nothing */
};

/* ---- ask.c ---- */
struct mcp_question {
    const char *key;
    const char *who;       /* asks: stands before what is asked */
    const json_t *request; /* {"message":…,"schema":…}, see host/form.h */
    json_t *about;   /* comes back with the answer; NULL: null; a text: the method by which the
                      * client itself is asked, not the person */
    const char *why; /* the last answer does not fit; NULL: there was none */
    bool foreign;    /* the message is a guest's: none of its lines is this server's */
};
/* Before a tool is called: what the person said so far. False: refused, with *out. */
struct mcp_tool;
bool cis_mcp_ask_begin(struct mcp_call *call, const struct mcp_tool *tool, const json_t *arguments,
                       struct mcp_reply *out);
/* The answer to a key: NULL: there is none, or the person dismissed it; null: no. */
const json_t *cis_mcp_ask_content(const struct mcp_call *call, const char *key,
                                  const json_t **about);
/* Never CIS_OK. INPUT_REQUIRED with call->open: the call ends with the question, and begins anew
 * with the answer. UNSUPPORTED (the client cannot ask), DENIED (dismissed), LIMIT. */
cis_code cis_mcp_ask(struct mcp_call *call, const struct mcp_question *q, struct cis_error *err);
/* By what the client is asked. */
const char *cis_mcp_ask_method(const json_t *about);
/* The capability that the client lacks to be asked so; NULL: none. */
const char *cis_mcp_ask_lacks(const struct mcp_call *call, const json_t *about);
/* An answer that nobody was asked for: no. */
void cis_mcp_ask_skip(struct mcp_call *call, const char *key);
/* The result that asks what is open. */
cis_code cis_mcp_ask_reply(struct mcp_call *call, const struct mcp_tool *tool,
                           const json_t *arguments, struct mcp_reply *out, struct cis_error *err);
void cis_mcp_ask_done(struct mcp_call *call);
/* What came of the wait for an answer, of a call that runs again; CIS_OK: an answer, or it never
 * waited. */
cis_code cis_mcp_ask_answered(struct mcp_call *call, struct cis_error *err);

/* ---- runs of this server ---- */
struct mcp_run {
    char id[27];
    struct cis_view commit; /* branch 0: nothing was changed */
    struct cis_view turned; /* its newest undo or redo; branch 0: none */
    bool undone;
    bool skill; /* a skill's: what it did is not only what the tools of this server do */
    bool shell; /* of the tool shell: any change of files, not only of their text */
    int64_t time_ms;
    char status[16];
    char branch[CIS_FS_REF_MAX + 1]; /* "": the one that is served */
    char what[128];                  /* tool and path, one line */
};

/* ---- tools ---- */
struct mcp_result {
    struct cis_buf text;
    json_t *structured; /* owned; NULL: none */
    json_t *content;    /* owned; NULL: text is all there is */
    json_t *changes;    /* owned: an array; NULL: no run */
    char run[27];       /* "": no run */
    bool failed;
};
struct mcp_tool;
struct mcp_prompt;
typedef cis_code mcp_tool_run(struct mcp_call *call, const struct mcp_tool *tool,
                              const json_t *arguments, struct mcp_result *out,
                              struct cis_error *err);
/* What a method's result is. */
enum mcp_gives {
    MCP_GIVES_TEXT,
    MCP_GIVES_CONTENT,  /* a list of content */
    MCP_GIVES_MESSAGES, /* the same of a prompt: each with a role */
    MCP_GIVES_BYTES,    /* those of a resource */
};
/* What can be called: a tool, or what is behind a prompt or a resource of a skill. */
struct mcp_tool {
    char *name;    /* "prompts/NAME", "resources/NAME": no tool is named so */
    json_t *spec;  /* as tools/list shows it; owned; NULL: no tool */
    json_t *input; /* borrowed from spec; NULL: it was checked */
    mcp_tool_run *run;
    bool lane;
    char *skill, *method, *digest; /* of a skill's */
    json_t *output;                /* borrowed from spec; NULL */
    enum mcp_gives gives;
};
/* What a skill declares to be read. */
struct mcp_declared {
    char *uri;       /* with {NAME} in a template */
    char *mime_type; /* NULL: by what it is */
    json_t *item;    /* as it is listed; owned */
    struct cis_buf bytes;
    struct mcp_tool tool; /* method NULL: the bytes are all there is */
};
struct mcp_declared_list {
    struct mcp_declared *at;
    size_t n, cap;
};
#define MCP_ANSWER_MAX ((size_t)64 << 20)
#define MCP_TOOLS_MAX 1000u
#define MCP_TEXT_MAX ((size_t)4 << 20) /* of a file that is read or edited as text */

/* One lock: queue, running calls, answers, runs. Nothing is waited for with it held but the
 * conditions below. */
CIS_LOCK_CLASS(mcp_lock);

/* What can be listed, found and called, as the skills were when it was made. It is never changed:
 * when they change another one takes its place, and a call keeps the one it began with. */
struct mcp_lists {
    struct cis_mcp *mcp;
    struct cis_skill_home home; /* asked for skills while it is made */
    bool again;                 /* not the first: there are others as long as it cannot be made */
    size_t refs;                /* guarded by mcp_lock */
    struct mcp_tool *tools;     /* by name */
    size_t ntools, tools_cap;
    struct mcp_prompt *prompts; /* by name */
    size_t nprompts, prompts_cap;
    struct mcp_declared_list resources, templates; /* by skill */
    size_t declared_bytes;
    bool runs_skills; /* something of a skill can be called */
    struct cis_mcp_base base;
};

/* Nothing else is locked with it held: it is about the options' wasi_env alone. */
CIS_LOCK_CLASS(mcp_base_lock);

struct cis_mcp {
    struct cis_mcp_options o;
    char branch[CIS_FS_REF_MAX + 1];
    char *folder; /* options.folder, resolved once: what takes a name on its way is not served */
    pthread_mutex_t base_lock;
    struct cis_skill_mark mark; /* of who makes the lists: as skills were before they were read */
    /* Of the reader alone. */
    const char *legacy;           /* what initialize agreed on; NULL: not yet */
    bool elicits, samples, roots; /* and what its client can */
    int log_rank;                 /* what it wants of what skills log */

    pthread_mutex_t lock;
    pthread_cond_t work; /* a call may begin, or workers are to end */
    pthread_cond_t room; /* there is room in the queue, or in the output */
    pthread_cond_t text; /* there is something to write, or the writer is to end */
    struct mcp_lists *lists CIS_GUARDED_BY(mcp_lock);
    bool lists_stale CIS_GUARDED_BY(mcp_lock); /* a call met a skill that is not as listed */
    bool line_told CIS_GUARDED_BY(mcp_lock);   /* the line has a session, which is told of lists */
    struct mcp_call *first CIS_GUARDED_BY(mcp_lock), *last CIS_GUARDED_BY(mcp_lock);
    struct mcp_call *running CIS_GUARDED_BY(mcp_lock);
    size_t queued CIS_GUARDED_BY(mcp_lock), queued_bytes CIS_GUARDED_BY(mcp_lock);
    size_t queued_lane CIS_GUARDED_BY(mcp_lock); /* of them those that go one after the other */
    bool lane_busy CIS_GUARDED_BY(mcp_lock);
    bool closing CIS_GUARDED_BY(mcp_lock); /* nothing comes any more */
    bool ending CIS_GUARDED_BY(mcp_lock);  /* what waits is dropped */
    bool flush CIS_GUARDED_BY(mcp_lock); /* nobody answers any more: all is written, then it ends */
    bool gone CIS_GUARDED_BY(mcp_lock);  /* nobody reads the output */
    struct cis_buf out CIS_GUARDED_BY(mcp_lock);
    struct mcp_run *runs CIS_GUARDED_BY(mcp_lock); /* a ring */
    size_t nruns CIS_GUARDED_BY(mcp_lock), runs_cap CIS_GUARDED_BY(mcp_lock);
    size_t runs_at CIS_GUARDED_BY(mcp_lock);
    struct mcp_call *waits CIS_GUARDED_BY(mcp_lock); /* calls that wait for the person */
    size_t nwaits CIS_GUARDED_BY(mcp_lock), wait_bytes CIS_GUARDED_BY(mcp_lock);
    uint64_t asked CIS_GUARDED_BY(mcp_lock);
    struct mcp_call *listeners CIS_GUARDED_BY(mcp_lock); /* requests, and streams of sessions */
    struct mcp_watch *watches CIS_GUARDED_BY(mcp_lock);
    size_t nlisteners CIS_GUARDED_BY(mcp_lock), nwatches CIS_GUARDED_BY(mcp_lock);
};

/* serve.c */
/* Of a message, which it takes. NULL: out of memory. */
struct mcp_call *cis_mcp_call_new(struct cis_mcp *mcp, struct mcp_message *message);
void cis_mcp_call_free(struct mcp_call *call);
/* Is it the one with this id, of this session (NULL: of the line)? */
bool cis_mcp_is_of(const struct mcp_call *call, const json_t *id, const uint8_t *session);
/* Those with this id, of this session (NULL: of the line). */
void cis_mcp_cancel(struct cis_mcp *mcp, const json_t *id, const uint8_t *session)
    CIS_TAKES(mcp_lock);
/* The one that has this token, whose client is gone. */
void cis_mcp_cancelled(struct cis_mcp *mcp, cis_cancel *cancel) CIS_TAKES(mcp_lock);
void cis_mcp_end_now(struct cis_mcp *mcp) CIS_TAKES(mcp_lock);
/* queue.c */
/* Takes the call. wait: until there is room. False: it was not taken (and is the caller's). */
bool cis_mcp_queue(struct cis_mcp *mcp, struct mcp_call *call, bool wait) CIS_TAKES(mcp_lock);
/* The first that may begin now, taken out of the queue; NULL: none may. */
struct mcp_call *cis_mcp_take(struct cis_mcp *mcp) CIS_REQUIRES(mcp_lock);
/* It runs no more: its worker has it. */
void cis_mcp_ended(struct cis_mcp *mcp, struct mcp_call *call) CIS_REQUIRES(mcp_lock);
/* To the front, whatever waits there: its place was counted. */
void cis_mcp_queue_again(struct cis_mcp *mcp, struct mcp_call *call) CIS_REQUIRES(mcp_lock);
/* Takes those out of the queue whose token has fired: they would only keep others out of it. Linked
 * by next. */
struct mcp_call *cis_mcp_take_fired(struct cis_mcp *mcp) CIS_REQUIRES(mcp_lock);
/* http.c */
struct mcp_http;
cis_code cis_mcp_http_open(struct cis_mcp *mcp, struct mcp_http **out, struct cis_error *err);
cis_code cis_mcp_http_serve(struct mcp_http *http, struct cis_error *err);
void cis_mcp_http_free(struct mcp_http *http);
/* Nobody answers it any more: when nobody did, the client is not to wait. */
void cis_mcp_http_close(const struct mcp_call *call);
void cis_mcp_http_answer(const struct mcp_call *call, struct mcp_reply *reply);
/* tell.c */
void cis_mcp_send(struct cis_mcp *mcp, struct cis_buf *line, bool wait) CIS_TAKES(mcp_lock);
/* Never less than before, whoever says it: the guest, or the clock that says that it goes on. */
void cis_mcp_progress_add(struct mcp_call *call, double done, double total, struct cis_str message,
                          struct cis_buf *lines) CIS_REQUIRES(mcp_lock);
/* What a guest says of how far it is, to who asked for progress. */
void cis_mcp_progress(struct mcp_call *call, const struct cis_progress *p) CIS_TAKES(mcp_lock);
#define MCP_STREAM_TYPE "text/event-stream"
/* A notification to who listens; call NULL: by the line. Takes it; nothing is waited for. */
void cis_mcp_note(struct cis_mcp *mcp, struct mcp_call *call, json_t *message)
    CIS_REQUIRES(mcp_lock);
/* A line for whoever started the server: something of a skill ("tools are") that is not served. */
void cis_mcp_left_out(struct cis_mcp *mcp, const char *skill, const char *what, const char *why);
/* A message of this server's own that belongs to a call. Takes it. False: nobody gets it. */
bool cis_mcp_tell(struct mcp_call *call, json_t *message) CIS_TAKES(mcp_lock);
/* wait.c: calls that wait for the person. No thread waits with them. */
/* Asks what is open, and takes the call: it is in the queue again once it is answered, or cannot be
 * any more. */
void cis_mcp_wait(struct mcp_call *call) CIS_TAKES(mcp_lock);
/* What the client answered to a question; of this session (NULL: by the line). */
void cis_mcp_answered(struct cis_mcp *mcp, const struct mcp_message *message,
                      const uint8_t *session) CIS_TAKES(mcp_lock);
/* Those that nobody answers any more; all: none will be. */
void cis_mcp_waits_look(struct cis_mcp *mcp, bool all) CIS_REQUIRES(mcp_lock);
/* Takes out those with this id; NULL: all. Linked by next. */
struct mcp_call *cis_mcp_waits_take(struct cis_mcp *mcp, const json_t *id, const uint8_t *session)
    CIS_REQUIRES(mcp_lock);
/* session.c */
cis_code cis_mcp_branch_take(struct cis_mcp *mcp, struct cis_error *err);
/* A copy of the run that is named so, by its whole id. CIS_E_NOTFOUND. */
void cis_mcp_run_add(struct cis_mcp *mcp, const struct mcp_run *run);
cis_code cis_mcp_run_find(struct cis_mcp *mcp, struct cis_str id, struct mcp_run *out,
                          struct cis_error *err);
void cis_mcp_run_turned(struct cis_mcp *mcp, const struct mcp_run *run);
/* The n-th newest. */
bool cis_mcp_run_nth(struct cis_mcp *mcp, size_t n, struct mcp_run *out);
/* method.c */
#define MCP_MODERN "2026-07-28"
#define MCP_META "io.modelcontextprotocol/"
/* The version of a session that is named so; NULL: none of this server's. */
const char *cis_mcp_legacy(struct cis_str version);
/* A request that is answered at once; false: it has to be queued. */
bool cis_mcp_method_now(struct cis_mcp *mcp, struct mcp_call *call, struct mcp_reply *out);
void cis_mcp_method_run(struct mcp_call *call, struct mcp_reply *out);
/* reply.c */
/* Name and version of this server. */
json_t *cis_mcp_server_info(const struct cis_mcp *m);
bool cis_mcp_page(const json_t *params, size_t total, size_t *out_from, size_t *out_to,
                  struct mcp_reply *reply);
/* What every result has besides. */
void cis_mcp_result(const struct mcp_call *call, json_t *result, bool cacheable,
                    struct mcp_reply *out);

/* lists.c */
/* The first lists. CIS_E_USAGE: the options name a tool that is not there. */
cis_code cis_mcp_lists_open(struct cis_mcp *mcp, struct cis_error *err) CIS_TAKES(mcp_lock);
void cis_mcp_lists_close(struct cis_mcp *mcp) CIS_TAKES(mcp_lock);
/* Those of now, for one who calls cis_mcp_lists_unref (NULL is allowed). */
struct mcp_lists *cis_mcp_lists_ref(struct cis_mcp *mcp) CIS_TAKES(mcp_lock);
void cis_mcp_lists_unref(struct mcp_lists *lists) CIS_TAKES(mcp_lock);
/* A thread that makes the lists anew when skills change, and tells who listens. */
struct mcp_relist {
    struct cis_mcp *mcp;
    cis_cancel *done;
    pthread_t thread;
    bool runs;
};
cis_code cis_mcp_relist_begin(struct mcp_relist *relist, struct cis_mcp *mcp,
                              struct cis_error *err);
/* Also of one that did not begin. */
void cis_mcp_relist_end(struct mcp_relist *relist);

/* base.c */
/* A skill was not as it is listed: they are made anew soon. */
void cis_mcp_lists_stale(struct cis_mcp *mcp) CIS_TAKES(mcp_lock);
/* The options' wasi_env, by one thread at a time. */
cis_code cis_mcp_base_take(struct cis_mcp *mcp, bool network, struct cis_mcp_base *out,
                           struct cis_error *err) CIS_TAKES(mcp_base_lock);

/* tools.c */
/* Those of the server itself; once those of skills are there, too: sorted. */
cis_code cis_mcp_tools_load(struct mcp_lists *lists, struct cis_error *err);
void cis_mcp_tools_sort(struct mcp_lists *lists);
/* What the options name has to be there. */
cis_code cis_mcp_tools_check(const struct mcp_lists *lists, struct cis_error *err);
void cis_mcp_tools_done(struct mcp_lists *lists);
const struct mcp_tool *cis_mcp_tool_find(const struct mcp_lists *lists, struct cis_str name);
bool cis_mcp_tool_wanted(const struct cis_mcp *mcp, const char *name);
/* Takes spec. */
cis_code cis_mcp_tool_add(struct mcp_lists *lists, json_t *spec, mcp_tool_run *run, bool lane,
                          struct mcp_tool **out, struct cis_error *err);
void cis_mcp_tools_list(const struct mcp_call *call, struct mcp_reply *out);
void cis_mcp_tools_call(struct mcp_call *call, struct mcp_reply *out);
void cis_mcp_tool_done(struct mcp_tool *tool);
void cis_mcp_result_done(struct mcp_result *result);
/* The same of a prompt or a resource, which has no result that failed. False: *out has the answer.
 */
bool cis_mcp_tool_give(struct mcp_call *call, const struct mcp_tool *tool, const json_t *arguments,
                       struct mcp_result *result, struct mcp_reply *out);
/* _meta of a result: its run and what it changed; NULL: there was no run. */
json_t *cis_mcp_run_meta(const struct mcp_result *result);
/* tool_skill.c: a method that is called for something else than a tool, whose name has a slash;
 * UNSUPPORTED: --tools names
 * tools, and nothing else of skills runs. */
cis_code cis_mcp_tool_of_method(struct mcp_lists *lists, const struct cis_installed *skill,
                                const char *name, const char *method, enum mcp_gives gives,
                                struct mcp_tool *out, struct cis_error *err);
cis_code cis_mcp_tools_add(struct mcp_lists *lists, const struct cis_installed *skill,
                           struct cis_error *err);
/* What a call of it may be allowed, before it is made or by the person in the middle of it. */
const struct cis_grants *cis_mcp_skill_may(const struct cis_mcp *mcp,
                                           const struct cis_installed *skill);
/* skills.c */
cis_code cis_mcp_skills_load(struct mcp_lists *lists, struct cis_error *err);
mcp_tool_run cis_mcp_fs_read, cis_mcp_fs_write, cis_mcp_fs_edit, cis_mcp_fs_list, cis_mcp_fs_search,
    cis_mcp_runs_list, cis_mcp_run_apply, cis_mcp_run_diff, cis_mcp_run_undo, cis_mcp_run_redo,
    cis_mcp_shell;
/* tool_skill.c: run (what it was) is known to this server now, and out has its id and changes. */
void cis_mcp_outcome_note(struct mcp_call *call, const struct cis_run_outcome *outcome,
                          struct mcp_run *run, struct mcp_result *out);

/* skill_ask.c: what a skill asks the person for, and what it may do with the answers. */
struct mcp_answers {
    struct cis_ask_answer *items; /* keys borrowed from the call, texts owned */
    size_t n;
};
cis_code cis_mcp_answers_take(const struct mcp_call *call, struct mcp_answers *out,
                              struct cis_error *err);
void cis_mcp_answers_done(struct mcp_answers *answers);
/* Asks what a run that ended as INPUT_REQUIRED asked for, as cis_mcp_ask. */
cis_code cis_mcp_skill_ask(struct mcp_call *call, const struct mcp_tool *tool,
                           const struct cis_installed *skill, const struct cis_run_outcome *outcome,
                           struct cis_error *err);
/* "Always" is granted for good; "once" is added to the skill that was opened for this call. */
cis_code cis_mcp_grants_keep(const struct mcp_call *call, const struct mcp_tool *tool,
                             struct cis_error *err);
cis_code cis_mcp_grants_once(const struct mcp_call *call, struct cis_installed *skill,
                             struct cis_error *err);
/* The kinds of grants that the person may still be asked for. */
uint32_t cis_mcp_grants_askable(const struct mcp_call *call, const struct cis_installed *skill);

/* content.c */
/* What a skill gives as a list of content, or of messages, checked. */
cis_code cis_mcp_content_read(struct cis_str text, enum mcp_gives gives, json_t **out,
                              struct cis_error *err);

/* subscribe.c */
void cis_mcp_subscribe(struct mcp_call *call, struct mcp_reply *out);
void cis_mcp_unsubscribe(struct mcp_call *call, struct mcp_reply *out);
/* What a request listens to. False: refused, with *out. */
bool cis_mcp_listen_begin(struct mcp_call *call, struct mcp_reply *out);
/* watch.c */
#define MCP_LISTENERS_MAX 256u
#define MCP_WATCHES_MAX 1024u /* of all sessions */
void cis_mcp_watches_done(struct cis_mcp *mcp);
/* What a session wants; path: what it is told of as changed. */
bool cis_mcp_watch_add(struct cis_mcp *mcp, const uint8_t session[CIS_MAC_BYTES], const char *path,
                       struct cis_str uri);
void cis_mcp_watch_drop(struct cis_mcp *mcp, const uint8_t session[CIS_MAC_BYTES],
                        struct cis_str uri);
bool cis_mcp_listeners_full(struct cis_mcp *mcp);
/* It listens from now on; takes the call. */
void cis_mcp_listen(struct mcp_call *call) CIS_REQUIRES(mcp_lock);
/* The result that ends it. */
void cis_mcp_listen_end(struct mcp_call *call, struct mcp_reply *out);
/* The stream of a session; takes the call. False: there are too many. */
bool cis_mcp_listen_stream(struct mcp_call *call);
/* Those that were cancelled, or all; linked by next. */
struct mcp_call *cis_mcp_listeners_take(struct cis_mcp *mcp, bool all) CIS_REQUIRES(mcp_lock);
/* Tells who wants to know; changes: as in a result. */
void cis_mcp_changed(struct cis_mcp *mcp, const json_t *changes);
#define MCP_LIST_BIT(list) (1u << (list))
/* The same of lists (bits). */
void cis_mcp_lists_tell(struct cis_mcp *mcp, unsigned lists) CIS_TAKES(mcp_lock);
/* The member of a filter that asks for it; "toolsListChanged". */
const char *cis_mcp_list_filter(enum mcp_list list);

/* logging.c */
#define MCP_LOG_NONE (-1)
#define MCP_LOG_INFO 1
/* Of a level's name; MCP_LOG_NONE: there is no such level. */
int cis_mcp_log_rank(struct cis_str level);
void cis_mcp_log_set(struct mcp_call *call, struct mcp_reply *out);
/* A line of a skill, to a client that wants it. */
void cis_mcp_log_line(struct mcp_call *call, const char *skill, enum cis_log_level level,
                      struct cis_str text);

/* prompts.c */
cis_code cis_mcp_prompts_add(struct mcp_lists *lists, const struct cis_installed *skill,
                             struct cis_error *err);
void cis_mcp_prompts_done(struct mcp_lists *lists);
bool cis_mcp_prompts_same(const struct mcp_lists *a, const struct mcp_lists *b);
void cis_mcp_prompts_list(const struct mcp_call *call, struct mcp_reply *out);
void cis_mcp_prompts_get(struct mcp_call *call, struct mcp_reply *out);
/* Does getting it call a method? */
bool cis_mcp_prompt_runs(const struct mcp_lists *lists, struct cis_str name);

/* declared.c */
cis_code cis_mcp_declared_add(struct mcp_lists *lists, const struct cis_installed *skill,
                              struct cis_error *err);
void cis_mcp_declared_done(struct mcp_lists *lists);
/* NULL: none of this uri. values: what its {NAME}s are, is filled. */
const struct mcp_declared *cis_mcp_declared_find(const struct mcp_lists *lists, struct cis_str uri,
                                                 json_t *values);
/* Does reading it call a method? */
bool cis_mcp_declared_runs(const struct mcp_lists *lists, struct cis_str uri);

/* uri.c */
/* False: % without two hexadecimal digits. */
bool cis_mcp_percent_decode(struct cis_str text, struct cis_buf *out);
/* What stands behind the scheme, percent escapes resolved, with a slash before it. */
cis_code cis_mcp_resource_path(struct cis_str rest, struct cis_buf *out, struct cis_error *err);
/* A path as it stands in a URI: what reading one resolves again. */
void cis_mcp_resource_escape(struct cis_str path, struct cis_buf *out);
/* resource.c */
void cis_mcp_base64(struct cis_bytes bytes, struct cis_buf *out);
void cis_mcp_resources_list(const struct mcp_call *call, struct mcp_reply *out);
void cis_mcp_resources_templates(const struct mcp_call *call, struct mcp_reply *out);
void cis_mcp_resources_read(struct mcp_call *call, struct mcp_reply *out);
/* complete.c */
void cis_mcp_complete(struct mcp_call *call, struct mcp_reply *out);

/* ---- tree.c: the served tree as one call sees it ---- */
struct mcp_tree {
    struct mcp_call *call;
    struct cis_mcp *mcp;
    cis_run_files *files;
    const cis_dir *root;
    struct cis_vfs_call vfs;
    struct cis_budget budget;
    struct cis_error why;
    char id[27]; /* of the run */
    int64_t started_ms;
    uint64_t started_ns;
    const char *tool;
    char what[128];
    json_t *changes; /* owned: an array */
};
cis_code cis_mcp_tree_open(struct mcp_call *call, const char *tool, bool write,
                           struct mcp_tree *out, struct cis_error *err);
void cis_mcp_tree_close(struct mcp_tree *tree);
/* Is it a path that a client may name? */
cis_code cis_mcp_path_check(struct cis_str path, struct cis_error *err);
cis_code cis_mcp_tree_fail(struct mcp_tree *tree, int rc, struct cis_str path,
                           struct cis_error *err);
/* Up to most bytes, else CIS_E_LIMIT. */
cis_code cis_mcp_tree_read(struct mcp_tree *tree, struct cis_str path, size_t most,
                           struct cis_buf *out, struct cis_error *err);
void cis_mcp_tree_changed(struct mcp_tree *tree, char what, struct cis_str path, uint64_t size);
/* The run ends: code CIS_OK commits what changed with its record, anything else (and what the
 * commit refuses) writes the record alone. Either way out has the run. */
cis_code cis_mcp_tree_end(struct mcp_tree *tree, cis_code code, struct mcp_result *out,
                          struct cis_error *err);

/* One state of the served branch, to read files of. */
struct mcp_side {
    struct mcp_call *call;
    cis_vfs *view;
    cis_ns *ns;
    cis_dir *root;
    cis_cow *cow;
    struct cis_vfs_call vfs;
};
enum mcp_there { MCP_ABSENT, MCP_FILE, MCP_OTHER, MCP_UNREAD };
cis_code cis_mcp_side_open(struct mcp_call *call, struct cis_view at, struct mcp_side *out,
                           struct cis_error *err);
void cis_mcp_side_close(struct mcp_side *side);
/* path: with its slash. MCP_OTHER: no regular file. MCP_UNREAD: one that is longer than out may be,
 * or cannot be read. */
cis_code cis_mcp_side_read(struct mcp_side *side, const char *path, struct cis_buf *out,
                           enum mcp_there *out_there, struct cis_error *err);

/* diff.c: what differs between two states of the served branch. text and changes may be NULL.
 * *out_omitted (may be NULL): how many changes are more than are told. */
cis_code cis_mcp_diff(struct mcp_call *call, struct cis_view before, struct cis_view after,
                      struct cis_buf *text, json_t *changes, size_t *out_omitted,
                      struct cis_error *err);
cis_code cis_mcp_run_show(struct mcp_call *call, const struct mcp_run *run, struct cis_buf *text,
                          struct cis_error *err);

/* tool_fs.c */
cis_code cis_mcp_tree_put(struct mcp_tree *tree, struct cis_str path, struct cis_str content,
                          struct cis_error *err);
/* turn_cow.c: takes a run back in the branch of a folder, by what its files were, or brings it
 * back. By the branch's own rows (history) a folder that was only copied there counts as made by
 * the run that copied it. */
cis_code cis_mcp_turn_cow(struct mcp_call *call, const struct mcp_tool *tool, struct mcp_run *run,
                          struct mcp_result *out, struct cis_error *err);

/* Skills as a call asks for them: it waits for the store as long as a call may, not as long as the
 * server's start might have. */
static inline struct cis_skill_home cis_mcp_home(const struct mcp_call *call)
{
    struct cis_skill_home home = call->mcp->o.home;
    home.stop = call->stop;
    return home;
}

static inline struct cis_history cis_mcp_history(const struct mcp_call *call)
{
    const struct cis_mcp *m = call->mcp;
    return (struct cis_history){cis_fs_cache_store(m->o.fs_cache), cis_str_of(m->o.tenant),
                                &call->stop, m->o.history_bytes};
}

#endif
