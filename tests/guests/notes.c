/* A skill that is a WASI command: JSON text on stdin, JSON on stdout, a file of its workspace in
 * between. "fail" as input: it writes and then says that it failed; "read": it only counts. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    static char input[65536], line[65536];
    size_t n = fread(input, 1, sizeof input - 1, stdin);
    input[n] = 0;
    if (strstr(input, "\"read\"") == NULL) {
        FILE *log = fopen("/workspace/log.txt", "a");
        if (log == NULL || fprintf(log, "%s\n", input) < 0 || fclose(log) != 0) {
            printf("{\"error\":\"%s\"}", strerror(errno));
            return 0;
        }
    }
    unsigned lines = 0;
    FILE *log = fopen("/workspace/log.txt", "r");
    while (log != NULL && fgets(line, sizeof line, log) != NULL) {
        lines++;
    }
    if (log != NULL) {
        fclose(log);
    }
    printf("{\"lines\":%u}", lines);
    return strstr(input, "\"fail\"") != NULL ? 1 : 0;
}
