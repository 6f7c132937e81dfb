/* A pool of threads runs one module: compiled once, one fresh instance a call, cancellable. */
#include <cis/cis.h>
#include <pthread.h>
#include <stdio.h>

enum { THREADS = 8, CALLS = 100 };

static const char guest[] = "(module (func (export \"square\") (param i32) (result i32)"
                            " (i32.mul (local.get 0) (local.get 0))))";

struct pool {
    cis_runtime *runtime;
    cis_module *module;
    cis_cancel *cancel;
};

static void *worker(void *arg)
{
    const struct pool *pool = (const struct pool *)arg;
    struct cis_run_options options = CIS_RUN_OPTIONS_INIT;
    options.method = "square";
    options.cancel = pool->cancel;
    size_t good = 0;
    for (int i = 0; i < CALLS; i++) {
        char input[32], want[32];
        int n = snprintf(input, sizeof input, "[%d]", i);
        int w = snprintf(want, sizeof want, "%d", i * i);
        cis_result *result = NULL;
        if (cis_run(pool->runtime, pool->module, input, (size_t)n, &options, &result, NULL) !=
            CIS_E_OK) {
            continue;
        }
        size_t len;
        const char *output = cis_result_output(result, &len);
        good += len == (size_t)w && __builtin_memcmp(output, want, len) == 0;
        cis_result_free(result);
    }
    return (void *)good;
}

int main(void)
{
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    config.compile_in_process = true;
    struct pool pool = {NULL, NULL, NULL};
    struct cis_error err = {CIS_E_OK, 0, ""};
    if (cis_runtime_new(&config, &pool.runtime, &err) != CIS_E_OK ||
        cis_module_load(pool.runtime, guest, sizeof guest - 1, "square", &pool.module, &err) !=
            CIS_E_OK ||
        cis_cancel_new(&pool.cancel, &err) != CIS_E_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    pthread_t threads[THREADS];
    size_t good = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, worker, &pool);
    }
    for (int i = 0; i < THREADS; i++) {
        void *n = NULL;
        pthread_join(threads[i], &n);
        good += (size_t)n;
    }
    printf("%zu of %d calls gave the right square\n", good, THREADS * CALLS);
    cis_cancel_unref(pool.cancel);
    cis_module_unref(pool.module);
    cis_runtime_free(pool.runtime);
    return good == THREADS * CALLS ? 0 : 1;
}
