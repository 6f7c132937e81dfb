#include "tools/pgcluster.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/file.h"
#include "store/postgres/postgres.h"

struct pgcluster {
    char dir[64];
    pid_t guard;
    int to, from; /* commands, answers */
    int stores;
};

static void die(const char *what)
{
    fprintf(stderr, "pgcluster: %s: %s\n", what, strerror(errno));
    abort();
}

static void nap(void)
{
    struct timespec t = {0, 5000000};
    nanosleep(&t, NULL);
}

/* ---- in the guarding process ---- */
static char bin[256];

static void find_bin(void)
{
    glob_t found;
    const char *given = getenv("CIS_PG_BIN");
    if (given != NULL) {
        snprintf(bin, sizeof bin, "%s", given);
        return;
    }
    if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) != 0) {
        fprintf(stderr, "pgcluster: no PostgreSQL server below /usr/lib/postgresql "
                        "(apt-get install postgresql)\n");
        abort();
    }
    snprintf(bin, sizeof bin, "%s", found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
}

/* A server does not run as root. */
static void drop_rights(void)
{
    if (geteuid() != 0) {
        return;
    }
    const struct passwd *who = getpwnam("postgres");
    who = who != NULL ? who : getpwnam("nobody");
    if (who == NULL || setgroups(0, NULL) != 0 || setgid(who->pw_gid) != 0 ||
        setuid(who->pw_uid) != 0) {
        _exit(126);
    }
}

static pid_t spawn(const char *dir, const char *const *args)
{
    pid_t pid = fork();
    if (pid != 0) {
        return pid;
    }
    char path[400], log[100];
    snprintf(log, sizeof log, "%s/log", dir);
    drop_rights();
    prctl(PR_SET_PDEATHSIG, SIGQUIT); /* after the user was changed: that clears it */
    int null = open("/dev/null", O_RDWR);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (null < 0 || out < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 ||
        chdir(dir) != 0) {
        _exit(126);
    }
    for (int fd = 3; fd < 256; fd++) {
        close(fd);
    }
    snprintf(path, sizeof path, "%s/%s", bin, args[0]);
    execv(path, (char *const *)(uintptr_t)args);
    _exit(127);
}

static void make(const char *dir, const char *settings)
{
    const char *const args[] = {
        "initdb",     "-D", "data", "-U", "postgres",          "-A", "trust", "--no-sync",
        "--locale=C", "-E", "UTF8", "-k", "--no-instructions", NULL};
    int status;
    pid_t pid = spawn(dir, args);
    if (waitpid(pid, &status, 0) != pid || status != 0) {
        fprintf(stderr, "pgcluster: initdb failed, see %s/log\n", dir);
        _exit(1);
    }
    char path[100];
    snprintf(path, sizeof path, "%s/data/postgresql.conf", dir);
    FILE *conf = fopen(path, "a");
    if (conf == NULL) {
        die(path);
    }
    fprintf(conf,
            "listen_addresses = ''\nunix_socket_directories = '%s'\nfsync = off\n"
            "max_connections = 100\nshared_buffers = 128MB\nmax_wal_size = 4GB\n"
            "log_min_messages = warning\n%s\n",
            dir, settings != NULL ? settings : "");
    fclose(conf);
}

/* Takes connections: a server listens before it has its memory, and may still end for want of it.
 */
static int answers(const char *dir)
{
    char where[200];
    snprintf(where, sizeof where, "host=%s user=postgres dbname=postgres", dir);
    return PQping(where) == PQPING_OK;
}

/* After a kill the memory of the old server is held by its children for a moment: tries again. */
static pid_t serve(const char *dir)
{
    const char *const args[] = {"postgres", "-D", "data", NULL};
    pid_t pid = spawn(dir, args);
    for (int i = 0; i < 24000; i++) {
        int status;
        if (waitpid(pid, &status, WNOHANG) == pid) {
            pid = spawn(dir, args);
        } else if (answers(dir)) {
            return pid;
        }
        nap();
    }
    fprintf(stderr, "pgcluster: the server does not start, see %s/log\n", dir);
    _exit(1);
}

static void end(pid_t pid, int signal_number)
{
    if (pid > 0) {
        kill(pid, signal_number);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
}

static void guard(const char *dir, const char *settings, int from, int to)
{
    char command;
    setsid(); /* Ctrl-C is for the test program; this one ends after it */
    find_bin();
    make(dir, settings);
    pid_t server = serve(dir);
    if (write(to, "k", 1) != 1) {
        _exit(1);
    }
    while (read(from, &command, 1) == 1) {
        if (command == 'k') {
            end(server, SIGKILL);
            server = 0;
        } else if (command == 's') {
            server = serve(dir);
        }
        if (write(to, "k", 1) != 1) {
            break;
        }
    }
    end(server, SIGQUIT);
    for (int i = 0; i < 400 && cis_file_remove_tree(dir, NULL) != CIS_OK; i++) {
        nap(); /* its children may still write their last */
    }
    _exit(0);
}

/* ---- in the test program ---- */
static void hear(const struct pgcluster *c)
{
    char answer;
    if (read(c->from, &answer, 1) != 1) {
        fprintf(stderr, "pgcluster: the server is not there\n");
        abort();
    }
}

struct pgcluster *pgcluster_start(const char *settings)
{
    struct pgcluster *c = calloc(1, sizeof *c);
    int there[2], back[2];
    /* Not below TMPDIR: a socket's path has room for 107 bytes. */
    snprintf(c->dir, sizeof c->dir, "/tmp/cis-pg-XXXXXX");
    if (mkdtemp(c->dir) == NULL || pipe2(there, O_CLOEXEC) != 0 || pipe2(back, O_CLOEXEC) != 0) {
        die("start");
    }
    if (geteuid() == 0) {
        const struct passwd *who = getpwnam("postgres");
        who = who != NULL ? who : getpwnam("nobody");
        if (who == NULL || chown(c->dir, who->pw_uid, who->pw_gid) != 0) {
            die(c->dir);
        }
    }
    c->guard = fork();
    if (c->guard == 0) {
        close(there[1]);
        close(back[0]);
        guard(c->dir, settings, there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    c->to = there[1];
    c->from = back[0];
    hear(c);
    return c;
}

void pgcluster_stop(struct pgcluster *c)
{
    close(c->to);
    while (waitpid(c->guard, NULL, 0) < 0 && errno == EINTR) {
    }
    close(c->from);
    free(c);
}

void pgcluster_kill(struct pgcluster *c)
{
    if (write(c->to, "k", 1) != 1) {
        die("kill");
    }
    hear(c);
}

void pgcluster_again(struct pgcluster *c)
{
    if (write(c->to, "s", 1) != 1) {
        die("start");
    }
    hear(c);
    PQfinish(pgcluster_connect(c, "postgres", "postgres"));
}

const char *pgcluster_dir(const struct pgcluster *c)
{
    return c->dir;
}

char *pgcluster_url(const struct pgcluster *c, const char *user, const char *db)
{
    char *url = NULL;
    if (asprintf(&url, "postgres://%s@/%s?host=%s", user, db, c->dir) < 0) {
        abort();
    }
    return url;
}

/* While it starts up it refuses for a moment. */
PGconn *pgcluster_connect(const struct pgcluster *c, const char *user, const char *db)
{
    char *url = pgcluster_url(c, user, db);
    PGconn *conn = NULL;
    for (int i = 0; i < 6000; i++) {
        conn = PQconnectdb(url);
        if (PQstatus(conn) == CONNECTION_OK) {
            break;
        }
        if (i == 5999) {
            fprintf(stderr, "pgcluster: %s", PQerrorMessage(conn));
            abort();
        }
        PQfinish(conn);
        nap();
    }
    free(url);
    return conn;
}

void pgcluster_run(const struct pgcluster *c, const char *db, const char *sql)
{
    PGconn *conn = pgcluster_connect(c, "postgres", db);
    PGresult *res = PQexec(conn, sql);
    if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK) {
        fprintf(stderr, "pgcluster: %s: %s", sql, PQerrorMessage(conn));
        abort();
    }
    PQclear(res);
    PQfinish(conn);
}

char *pgcluster_store(struct pgcluster *c)
{
    char name[32], sql[128];
    struct cis_error err = {0};
    if (c->stores++ == 0) {
        int version;
        pgcluster_run(c, "postgres", "CREATE DATABASE model");
        pgcluster_run(c, "postgres", "CREATE ROLE worker LOGIN");
        char *url = pgcluster_url(c, "postgres", "model");
        if (cis_pg_admin_init(url, "worker", &version, NULL, &err) != CIS_OK) {
            fprintf(stderr, "pgcluster: %s\n", err.msg);
            abort();
        }
        free(url);
        pgcluster_run(c, "model", "DROP TABLE cis.reserve"); /* each store is a copy of it */
    }
    snprintf(name, sizeof name, "store%d", c->stores);
    snprintf(sql, sizeof sql, "CREATE DATABASE %s TEMPLATE model", name);
    pgcluster_run(c, "postgres", sql);
    return pgcluster_url(c, "worker", name);
}

void pgcluster_drop(const struct pgcluster *c, char *url)
{
    char sql[128];
    const char *name = strstr(url, "@/") + 2;
    snprintf(sql, sizeof sql, "DROP DATABASE %.*s WITH (FORCE)", (int)(strchr(name, '?') - name),
             name);
    pgcluster_run(c, "postgres", sql);
    free(url);
}
