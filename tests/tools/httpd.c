/* The test server as a program.
 *   httpd --port-file FILE [--port N] [--address A] [--tls CERT KEY] [--log FILE]
 *         [--require "Name: value"] [--keep]
 * Writes its port to FILE once it listens. Ends on SIGTERM, SIGINT, or when stdin closes (--keep:
 * not for that, for shells that start it in the background with an empty stdin). */
#include <errno.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "base/file.h"
#include "service_http/server.h"

static int usage(void)
{
    fputs("usage: httpd --port-file FILE [--port N] [--address A] [--tls CERT KEY] [--log FILE] "
          "[--require 'Name: value'] [--keep]\n",
          stderr);
    return 2;
}

static bool read_args(int argc, char **argv, struct httpd_options *o, const char **port_file,
                      bool *keep)
{
    for (int i = 1; i < argc; i++) {
        int left = argc - 1 - i;
        uint64_t port;
        if (strcmp(argv[i], "--keep") == 0) {
            *keep = true;
        } else if (strcmp(argv[i], "--port-file") == 0 && left >= 1) {
            *port_file = argv[++i];
        } else if (strcmp(argv[i], "--address") == 0 && left >= 1) {
            o->address = argv[++i];
        } else if (strcmp(argv[i], "--log") == 0 && left >= 1) {
            o->log_file = argv[++i];
        } else if (strcmp(argv[i], "--require") == 0 && left >= 1) {
            o->require = argv[++i];
        } else if (strcmp(argv[i], "--tls") == 0 && left >= 2) {
            o->cert = argv[++i];
            o->key = argv[++i];
        } else if (strcmp(argv[i], "--port") == 0 && left >= 1 &&
                   cis_str_u64(cis_str_of(argv[i + 1]), &port) && port < 65536) {
            o->port = (uint16_t)port;
            i++;
        } else {
            return false;
        }
    }
    return *port_file != NULL;
}

static void wait_for_end(int signals, bool keep)
{
    struct pollfd fds[2] = {{.fd = signals, .events = POLLIN},
                            {.fd = keep ? -1 : STDIN_FILENO, .events = POLLIN}};
    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            return;
        }
        if (fds[0].revents != 0) {
            return;
        }
        char sink[256];
        if (fds[1].revents != 0 && read(STDIN_FILENO, sink, sizeof sink) <= 0) {
            return;
        }
    }
}

int main(int argc, char **argv)
{
    struct httpd_options options = {0};
    const char *port_file = NULL;
    bool keep = false;
    if (!read_args(argc, argv, &options, &port_file, &keep)) {
        return usage();
    }
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL); /* before there are threads: all inherit it */
    int signals = signalfd(-1, &ends, SFD_CLOEXEC);
    httpd *server = httpd_start(&options);
    if (server == NULL || signals < 0) {
        fprintf(stderr, "httpd: cannot listen, or cannot read the TLS files\n");
        return 1;
    }
    char text[16];
    int n = snprintf(text, sizeof text, "%u\n", (unsigned)httpd_port(server));
    struct cis_error err;
    struct stat st;
    if (stat(port_file, &st) == 0 && S_ISFIFO(st.st_mode)) {
        /* Whoever waits for the port reads a pipe: written to, not replaced. */
        int fd = open(port_file, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || cis_fd_write_all(fd, text, (size_t)n) != 0) {
            fprintf(stderr, "httpd: %s: cannot write\n", port_file);
            return 1;
        }
        close(fd);
    } else if (cis_file_write(port_file, cis_bytes_of(text, (size_t)n), 0644, &err) != CIS_OK) {
        fprintf(stderr, "httpd: %s\n", err.msg);
        return 1;
    }
    wait_for_end(signals, keep);
    httpd_stop(server);
    close(signals);
    return 0;
}
