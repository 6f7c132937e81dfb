/* A terminal of its own for the program. It never has a descriptor of the user's: what it writes is
 * copied there, and nothing that it does to its own reaches the user's. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "exec/internal.h"

struct exec_terminal_saved {
    struct termios modes;
    struct sigaction resize;
};

static volatile sig_atomic_t resized;

static void on_resize(int sig)
{
    (void)sig;
    resized = 1;
}

static void copy_size(const struct exec_terminal *t)
{
    struct winsize size;
    if (ioctl(t->outer, TIOCGWINSZ, &size) == 0) {
        (void)ioctl(t->inner, TIOCSWINSZ, &size);
    }
}

cis_code cis_exec_terminal_open(struct exec_terminal *t, struct cis_error *err)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        return CIS_OK;
    }
    t->saved = cis_zalloc(sizeof *t->saved);
    if (t->saved == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    t->outer = STDIN_FILENO;
    if (tcgetattr(t->outer, &t->saved->modes) != 0 ||
        openpty(&t->inner, &t->program, NULL, &t->saved->modes, NULL) != 0) {
        return cis_fail_sys(err, CIS_E_LIMIT, errno, "a terminal for the program");
    }
    (void)fcntl(t->inner, F_SETFD, FD_CLOEXEC);
    (void)fcntl(t->inner, F_SETFL, O_NONBLOCK);
    (void)fcntl(t->program, F_SETFD, FD_CLOEXEC);
    copy_size(t);
    t->used = true;
    return CIS_OK;
}

void cis_exec_terminal_began(struct exec_terminal *t)
{
    if (!t->used) {
        return;
    }
    struct sigaction resize = {.sa_handler = on_resize};
    struct termios raw = t->saved->modes;
    close(t->program);
    t->program = -1;
    sigaction(SIGWINCH, &resize, &t->saved->resize);
    cfmakeraw(&raw);
    (void)tcsetattr(t->outer, TCSADRAIN, &raw);
}

/* What its terminal does not take now is kept, and nothing more is read until it has. */
static void push(struct exec_terminal *t)
{
    ssize_t n = t->pending_in != 0 ? write(t->inner, t->in, t->pending_in) : 0;
    if (n > 0) {
        t->pending_in -= (size_t)n;
        memmove(t->in, t->in + n, t->pending_in);
    }
}

bool cis_exec_terminal_relay(struct exec_terminal *t, short outer, short inner)
{
    char text[8192];
    if (resized) {
        resized = 0;
        copy_size(t);
    }
    if (t->pending_in == 0 && (outer & (POLLIN | POLLHUP)) != 0) {
        ssize_t n = read(t->outer, t->in, sizeof t->in);
        t->pending_in = n > 0 ? (size_t)n : 0;
    }
    push(t);
    if ((inner & (POLLIN | POLLHUP | POLLERR)) == 0) {
        return true;
    }
    ssize_t n = read(t->inner, text, sizeof text);
    if (n > 0) {
        return cis_fd_write_all(STDOUT_FILENO, text, (size_t)n) == 0;
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR); /* EIO: nobody has the other end */
}

void cis_exec_terminal_close(struct exec_terminal *t)
{
    if (t->used && t->program < 0) { /* it had begun */
        (void)tcsetattr(t->outer, TCSADRAIN, &t->saved->modes);
        sigaction(SIGWINCH, &t->saved->resize, NULL);
    }
    if (t->inner >= 0) {
        close(t->inner);
    }
    if (t->program >= 0) {
        close(t->program);
    }
    cis_free(t->saved);
    *t = (struct exec_terminal)EXEC_TERMINAL_INIT;
}
