/* Asks the person: asks [KEY REQUEST]…; one line an answer, or the number that came instead. Writes
 * a file before each question, so that a test sees what is kept. */
#include <stdio.h>
#include <string.h>

__attribute__((import_module("cis"), import_name("host_ask"))) int host_ask(
    const char *key, int klen, const char *request, int rlen, char *out, int cap);
__attribute__((import_module("cis"), import_name("host_progress"))) int host_progress(
    int done, int total, const char *message, int len);

static char answer[70000];

static void note(const char *key)
{
    FILE *f = fopen("/workspace/asked.txt", "a");
    if (f != NULL) {
        fprintf(f, "%s\n", key);
        fclose(f);
    }
}

static void ask(const char *key, const char *request)
{
    int n = host_ask(key, (int)strlen(key), request, (int)strlen(request), answer, sizeof answer);
    if (n < 0) {
        printf("%s: %d\n", key, n);
    } else {
        printf("%s: %.*s\n", key, n, answer);
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    host_progress(1, 2, "half\n\033[31mway", 13);
    if (argc < 2) {
        ask("name", "{\"message\":\"Who?\",\"schema\":{\"type\":\"object\",\"properties\":"
                    "{\"name\":{\"type\":\"string\"}},\"required\":[\"name\"]}}");
    }
    for (int i = 1; i + 1 < argc; i += 2) {
        note(argv[i]);
        ask(argv[i], argv[i + 1]);
    }
    return 0;
}
