/* nvrtc.c: finding libnvrtc, compiling the kernels with it, and keeping what it made.
 *
 * A file of the cache: "PUNAKRN1", uint64 bytes of the code, uint64 their checksum (its seed is the key of the
 * file's name: source, options and version of NVRTC), the code. It is written as a whole or not at
 * all, and what does not agree is compiled again. */
#define _GNU_SOURCE /* dladdr */
#include "cuda/nvrtc.h"

#include "base/checksum.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "plan/plan.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { /* results */ OUT_OF_MEMORY = 1, COMPILATION = 6, BUILTIN_OPERATION_FAILURE = 7 };
enum { PATH_BYTES = 1024, MAX_ARCHS = 256, MAX_TEXTS = 64, MAX_OPTIONS = 4 };

typedef struct nvrtc {
    void *library;
#define FUNCTION(member, symbol, parameters) int(*member) parameters;
#include "cuda/nvrtc_functions.def"
#undef FUNCTION
    int major, minor;
    int32_t target; /* the compute capability that it compiles for */
    bool is_ptx;    /* as PTX, since the card's own is not known to it */
} nvrtc;

/* ---- finding the library --------------------------------------------------------------------- */

static void close_nvrtc(nvrtc *n) {
    if (n->library) (void)dlclose(n->library);
    memset(n, 0, sizeof *n);
}

static puna_status find_functions(nvrtc *n, puna_error *err) {
    static const struct {
        const char *symbol;
        size_t at;
    } functions[] = {
#define FUNCTION(member, symbol, parameters) {#symbol, offsetof(nvrtc, member)},
#include "cuda/nvrtc_functions.def"
#undef FUNCTION
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *function = dlsym(n->library, functions[i].symbol);
        if (!function)
            return pn_fail(err, PUNA_E_UNSUPPORTED, "libnvrtc is too old: it has no %s",
                           functions[i].symbol);
        memcpy((char *)n + functions[i].at, &function, sizeof function);
    }
    if (n->version(&n->major, &n->minor) != 0)
        return pn_fail(err, PUNA_E_UNSUPPORTED, "libnvrtc does not say its version");
    return PUNA_OK;
}

/* What it compiles for a card; 0: for any. */
static puna_status choose_target(nvrtc *n, int32_t compute, puna_error *err) {
    int count = 0, archs[MAX_ARCHS];
    if (compute == 0) return PUNA_OK;
    if (n->n_archs(&count) != 0 || count < 1 || count > MAX_ARCHS || n->archs(archs) != 0)
        return pn_fail(err, PUNA_E_UNSUPPORTED, "libnvrtc %d.%d does not say what it compiles for",
                       n->major, n->minor);
    int least = archs[0];
    for (int i = 0; i < count; i++) {
        if (archs[i] < least) least = archs[i];
        if (archs[i] <= compute && archs[i] > n->target) n->target = archs[i];
    }
    if (n->target == 0)
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "libnvrtc %d.%d compiles for compute capability %d.%d and later", n->major,
                       n->minor, least / 10, least % 10);
    n->is_ptx = n->target != compute;
    return PUNA_OK;
}

/* Opens one library, if it is of use. *is_there: the file is. */
static puna_status try_library(const char *path, int32_t compute, int32_t driver_version, nvrtc *n,
                               bool *is_there, puna_error *err) {
    memset(n, 0, sizeof *n);
    *is_there = false;
    n->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!n->library) {
        const char *why = dlerror();
        return pn_fail(err, PUNA_E_UNSUPPORTED, "%.150s", why ? why : path);
    }
    *is_there = true;
    PN_TRY(find_functions(n, err));
    if (driver_version && n->major > driver_version / 1000)
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "libnvrtc %d.%d is newer than the driver, which is for CUDA %d.%d", n->major,
                       n->minor, driver_version / 1000, driver_version % 1000 / 10);
    return choose_target(n, compute, err);
}

/* The i-th place to look; false behind the last. An empty path: not to be had here. */
static bool place(int i, char path[PATH_BYTES]) {
    static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2",
                                        "libnvrtc.so"};
    static const char *const homes[] = {"CUDA_HOME", "CUDA_PATH"};
    /* beside an installed Python package of ours: lib/ or bin/ in puna/ in site-packages */
    static const char *const wheels[] = {"cu13/lib/libnvrtc.so.13",
                                         "cuda_nvrtc/lib/libnvrtc.so.12"};
    path[0] = 0;
    if (i < 4) {
        (void)snprintf(path, PATH_BYTES, "%s", names[i]);
    } else if (i < 6) {
        const char *home = getenv(homes[i - 4]);
        if (home && *home) (void)snprintf(path, PATH_BYTES, "%s/lib64/libnvrtc.so", home);
    } else if (i == 6) {
        (void)snprintf(path, PATH_BYTES, "/usr/local/cuda/lib64/libnvrtc.so");
    } else if (i < 9) {
        Dl_info self;
        int n;
        if (!dladdr((const void *)&pn_cuda_built, &self) || !self.dli_fname) return true;
        const char *end = strrchr(self.dli_fname, '/');
        n = end ? (int)(end - self.dli_fname) : 0;
        if (n > 0 && n < PATH_BYTES / 2)
            (void)snprintf(path, PATH_BYTES, "%.*s/../../nvidia/%s", n, self.dli_fname,
                           wheels[i - 7]);
    } else {
        return false;
    }
    return true;
}

static puna_status open_nvrtc(int32_t compute, int32_t driver_version, nvrtc *n, puna_error *err) {
    const char *named = getenv("PUNA_NVRTC");
    bool is_there, any = false;
    if (named && *named) {
        const puna_status status = try_library(named, compute, driver_version, n, &is_there, err);
        if (status != PUNA_OK) close_nvrtc(n);
        return status;
    }
    char path[PATH_BYTES];
    for (int i = 0; place(i, path); i++) {
        puna_error why;
        if (!*path) continue;
        if (try_library(path, compute, driver_version, n, &is_there, &why) == PUNA_OK)
            return PUNA_OK;
        close_nvrtc(n);
        if (is_there && !any) *err = why; /* what is wrong with the first one found */
        any |= is_there;
    }
    if (any) return err->code;
    return pn_fail(err, PUNA_E_UNSUPPORTED,
                   "libnvrtc is not found (part of CUDA; pip install nvidia-cuda-nvrtc-cu12; "
                   "PUNA_NVRTC=FILE)");
}

puna_status pn_nvrtc_find(int32_t compute, int32_t driver_version, puna_error *err) {
    nvrtc n;
    const puna_status status = open_nvrtc(compute, driver_version, &n, err);
    if (status == PUNA_OK) close_nvrtc(&n);
    return status;
}

/* ---- the cache ------------------------------------------------------------------------------- */

typedef struct cache_head {
    char magic[8];
    uint64_t bytes, checksum;
} cache_head;

static const char magic[8] = {'P', 'U', 'N', 'A', 'K', 'R', 'N', '1'};

static bool read_cache(const char *path, uint64_t key, pn_nvrtc_code *code) {
    pn_file file;
    puna_error err;
    cache_head head;
    bool good = false;
    if (pn_os_open(path, &file, &err) != PUNA_OK) return false;
    if (file.bytes > sizeof head && file.bytes < (uint64_t)1 << 28 &&
        pn_os_read(&file, 0, &head, sizeof head, &err) == PUNA_OK &&
        memcmp(head.magic, magic, sizeof magic) == 0 && head.bytes == file.bytes - sizeof head) {
        code->bytes = (size_t)head.bytes;
        code->data = pn_alloc(code->bytes);
        good = code->data &&
               pn_os_read(&file, sizeof head, code->data, code->bytes, &err) == PUNA_OK &&
               pn_checksum(code->data, code->bytes, key) == head.checksum;
        if (!good) pn_nvrtc_code_free(code);
    }
    pn_os_close(&file);
    if (!good) pn_log(PUNA_LOG_WARN, "%s is damaged: the kernels are compiled again", path);
    return good;
}

static void write_cache(const char *path, uint64_t key, const pn_nvrtc_code *code) {
    cache_head head = {.bytes = code->bytes, .checksum = pn_checksum(code->data, code->bytes, key)};
    puna_error err;
    memcpy(head.magic, magic, sizeof magic);
    if (pn_os_write(path, &head, sizeof head, code->data, code->bytes, &err) != PUNA_OK)
        pn_log(PUNA_LOG_WARN, "the compiled kernels are not kept: %s", err.msg);
}

/* ---- compiling ------------------------------------------------------------------------------- */

void pn_nvrtc_code_free(pn_nvrtc_code *code) {
    pn_free(code->data);
    *code = (pn_nvrtc_code){0};
}

/* The source as NVRTC takes it: kernels.cu, and the rest as headers. NVRTC has none of the system's. */
typedef struct source {
    const char *main;
    const char *names[MAX_TEXTS], *texts[MAX_TEXTS];
    int n;
    uint64_t checksum;
} source;

static const char stdint_h[] = "typedef signed char int8_t;\ntypedef unsigned char uint8_t;\n"
                               "typedef short int16_t;\ntypedef unsigned short uint16_t;\n"
                               "typedef int int32_t;\ntypedef unsigned int uint32_t;\n"
                               "typedef long long int64_t;\ntypedef unsigned long long uint64_t;\n"
                               "typedef unsigned long uintptr_t;\n";

static puna_status gather(const pn_cuda_text *texts, source *s, puna_error *err) {
    *s = (source){.names = {"stdint.h", "stddef.h"}, .texts = {stdint_h, "\n"}, .n = 2};
    s->checksum = pn_checksum(stdint_h, sizeof stdint_h, 0);
    for (const pn_cuda_text *t = texts; t->name; t++) {
        s->checksum = pn_checksum(t->name, strlen(t->name) + 1, s->checksum);
        s->checksum = pn_checksum(t->text, strlen(t->text) + 1, s->checksum);
        if (strcmp(t->name, "cuda/kernels.cu") == 0) {
            s->main = t->text;
            continue;
        }
        if (s->n == MAX_TEXTS) return pn_fail(err, PUNA_E_STATE, "too many files of kernels");
        s->names[s->n] = t->name;
        s->texts[s->n++] = t->text;
    }
    if (!s->main) return pn_fail(err, PUNA_E_STATE, "the source of the kernels is not complete");
    return PUNA_OK;
}

/* Words for a failed compilation: the first error of the compiler's log. */
static puna_status refuse(const nvrtc *n, void *program, int result, puna_error *err) {
    size_t bytes = 0;
    char *log = NULL;
    puna_status status;
    if (result == OUT_OF_MEMORY) return pn_fail_nomem(err, 0, "compiling the kernels");
    if (result == BUILTIN_OPERATION_FAILURE)
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "NVRTC %d.%d cannot compile: its libnvrtc-builtins is not found beside it",
                       n->major, n->minor);
    if (n->log_bytes(program, &bytes) == 0 && bytes > 1 && bytes < (size_t)1 << 26)
        log = pn_calloc(1, bytes + 1);
    if (log && n->log_text(program, log) != 0) log[0] = 0;
    if (log) pn_log(PUNA_LOG_DEBUG, "NVRTC: %s", log);
    const char *line = log ? strstr(log, "error") : NULL;
    if (result == COMPILATION && line)
        status = pn_fail(err, PUNA_E_UNSUPPORTED, "NVRTC %d.%d does not compile the kernels: %.*s",
                         n->major, n->minor,
                         (int)(strcspn(line, "\n") < 120 ? strcspn(line, "\n") : 120), line);
    else
        status =
            pn_fail(err, PUNA_E_UNSUPPORTED, "NVRTC %d.%d does not compile the kernels: error %d",
                    n->major, n->minor, result);
    pn_free(log);
    return status;
}

static puna_status take_code(const nvrtc *n, void *program, pn_nvrtc_code *code, puna_error *err) {
    int result =
        n->is_ptx ? n->ptx_bytes(program, &code->bytes) : n->code_bytes(program, &code->bytes);
    if (result != 0 || code->bytes == 0 || code->bytes >= (size_t)1 << 28)
        return pn_fail(err, PUNA_E_UNSUPPORTED, "NVRTC %d.%d compiled, but gives no code", n->major,
                       n->minor);
    code->data = pn_calloc(1, code->bytes);
    if (!code->data) return pn_fail_nomem(err, code->bytes, "the compiled kernels");
    result = n->is_ptx ? n->ptx(program, code->data) : n->code(program, code->data);
    if (result == 0) return PUNA_OK;
    pn_nvrtc_code_free(code);
    return pn_fail(err, PUNA_E_UNSUPPORTED, "NVRTC %d.%d compiled, but gives no code: error %d",
                   n->major, n->minor, result);
}

static puna_status compile(const nvrtc *n, const source *s, int n_options,
                           const char *const *options, pn_nvrtc_code *code, puna_error *err) {
    void *program = NULL;
    int result = n->create(&program, s->main, "kernels.cu", s->n, s->texts, s->names);
    if (result != 0) return refuse(n, program, result, err);
    result = n->compile(program, n_options, options);
    const puna_status status =
        result == 0 ? take_code(n, program, code, err) : refuse(n, program, result, err);
    (void)n->destroy(&program);
    return status;
}

static puna_status find_or_compile(const nvrtc *n, const source *s, pn_nvrtc_code *code,
                                   puna_error *err) {
    char arch[48], name[96], path[PATH_BYTES];
    (void)snprintf(arch, sizeof arch, "--gpu-architecture=%s_%d", n->is_ptx ? "compute" : "sm",
                   n->target);
    /* as kernels.cmake has it; the last one: on all processors, the same code */
    const char *options[MAX_OPTIONS] = {arch, "--std=c++17", "--fmad=false", "--split-compile=0"};
    const int n_options = n->major > 12 || (n->major == 12 && n->minor >= 9) ? 4 : 3;
    uint64_t key = s->checksum;
    for (int i = 0; i < n_options; i++) key = pn_checksum(options[i], strlen(options[i]) + 1, key);
    (void)snprintf(name, sizeof name, "kernels/%016" PRIx64 "-nvrtc%d.%d-%s_%d", key, n->major,
                   n->minor, n->is_ptx ? "compute" : "sm", n->target);
    key = pn_checksum(name, strlen(name), key);
    const bool has_path = pn_os_cache_path(name, path, sizeof path);
    if (has_path && pn_os_exists(path) && read_cache(path, key, code)) return PUNA_OK;
    pn_log(PUNA_LOG_WARN,
           "compiling the kernels for compute capability %d.%d with NVRTC %d.%d: once, up to half "
           "a minute",
           n->target / 10, n->target % 10, n->major, n->minor);
    PN_TRY(compile(n, s, n_options, options, code, err));
    if (has_path) write_cache(path, key, code);
    return PUNA_OK;
}

puna_status pn_nvrtc_compile(const pn_cuda_text *texts, int32_t compute, int32_t driver_version,
                             pn_nvrtc_code *code, puna_error *err) {
    nvrtc n;
    source s;
    *code = (pn_nvrtc_code){0};
    PN_TRY(gather(texts, &s, err));
    PN_TRY(open_nvrtc(compute, driver_version, &n, err));
    const puna_status status = find_or_compile(&n, &s, code, err);
    close_nvrtc(&n);
    return status;
}
