/* gguf.c: opens a model file, brings its tensor data into memory, and hands both out.
 *
 * Two stages: every part is parsed and checked first (part.c, split.c), then the data is mapped, or
 * read into aligned memory where mapping is refused or not wanted. Either way a tensor's address is
 * its file offset modulo at least 8. The files are closed before pn_gguf_open returns.
 *
 * A mapped file must not shrink while it is used: reading a page that is gone raises SIGBUS. */
#include "gguf/gguf.h"

#include "base/log.h"
#include "gguf/part.h"

#include <string.h>

#define COPY_ALIGN ((size_t)4096)
#define READ_CHUNK ((size_t)16 << 20)

/* ---- tensor data ---- */

static puna_status report(const pn_gguf_options *options, double fraction, puna_error *err) {
    if (!options->progress || options->progress(options->progress_user, fraction)) return PUNA_OK;
    return pn_fail(err, PUNA_E_CANCELLED, "loading was cancelled");
}

/* False when the system cannot map the file; that is no error. */
static bool map_part(pn_gguf_part *part) {
    puna_error why;
    const void *data;
    if (pn_os_map(&part->file, &data, &why) != PUNA_OK) {
        pn_log(PUNA_LOG_WARN, "%s: %s; reading it into memory instead", part->shown, why.msg);
        return false;
    }
    part->map = data;
    part->map_bytes = part->file.bytes;
    return true;
}

static puna_status copy_part(const pn_gguf *gguf, pn_gguf_part *part,
                             const pn_gguf_options *options, uint64_t *done, puna_error *err) {
    const uint64_t bytes = part->data_end - part->data_off;
    if (bytes > SIZE_MAX - COPY_ALIGN)
        return pn_fail(err, PUNA_E_LIMIT, "%s: too large for memory", part->shown);
    part->copy = pn_alloc_aligned((size_t)bytes, COPY_ALIGN);
    if (!part->copy)
        return pn_fail_in(err, pn_fail_nomem(err, (size_t)bytes, "the weights"), part->shown);
    for (uint64_t at = 0; at < bytes;) {
        const size_t n = bytes - at < READ_CHUNK ? (size_t)(bytes - at) : READ_CHUNK;
        const puna_status status =
            pn_os_read(&part->file, part->data_off + at, part->copy + at, n, err);
        if (status != PUNA_OK) return pn_fail_in(err, status, part->shown);
        at += n;
        *done += n;
        TRY(report(options, (double)*done / (double)gguf->file_bytes, err));
    }
    return PUNA_OK;
}

static void lock_part(const pn_gguf_part *part) {
    const void *data = part->map ? part->map : part->copy;
    const uint64_t bytes = part->map ? part->map_bytes : part->data_end - part->data_off;
    if (bytes > 0 && !pn_os_lock(data, bytes))
        pn_log(PUNA_LOG_WARN, "%s: cannot lock %llu bytes in memory: raise the limit (ulimit -l)",
               part->shown, (unsigned long long)bytes);
}

static puna_status load_data(pn_gguf *gguf, const pn_gguf_options *options, puna_error *err) {
    uint64_t done = 0;
    gguf->mapped = options->use_mmap;
    TRY(report(options, 0.0, err));
    for (int32_t p = 0; p < gguf->n_parts; p++) {
        pn_gguf_part *part = &gguf->parts[p];
        if (part->n_tensors == 0) continue;
        if (!options->use_mmap || !map_part(part)) {
            gguf->mapped = false;
            TRY(copy_part(gguf, part, options, &done, err));
        }
        if (options->use_mlock) lock_part(part);
        const unsigned char *base = part->map ? part->map + part->data_off : part->copy;
        for (int32_t i = part->first_tensor; i < part->first_tensor + part->n_tensors; i++)
            gguf->tensors[i].data = base + gguf->offsets[i];
    }
    return report(options, 1.0, err);
}

/* ---- life ---- */

static puna_status read_parts(pn_gguf *gguf, const char *path, puna_error *err) {
    gguf->parts = pn_arena_calloc(&gguf->arena, 1, sizeof *gguf->parts);
    if (!gguf->parts) return pn_fail_nomem(err, sizeof *gguf->parts, "a model file");
    gguf->n_parts = 1;
    TRY(pn_part_name(gguf, &gguf->parts[0], path, strlen(path), err));
    TRY(pn_part_read(gguf, &gguf->parts[0], err));
    return pn_split_read(gguf, err);
}

puna_status pn_gguf_open(const char *path, const pn_gguf_options *options, pn_gguf **gguf,
                         puna_error *err) {
    pn_gguf *g = pn_calloc(1, sizeof *g);
    if (!g) return pn_fail_nomem(err, sizeof *g, "a model file");
    puna_status status = read_parts(g, path, err);
    if (status == PUNA_OK)
        status = pn_overrides_apply(g, options->overrides, options->n_overrides, err);
    if (status == PUNA_OK && options->with_data) status = load_data(g, options, err);
    if (status != PUNA_OK) {
        pn_gguf_free(g);
        return status;
    }
    for (int32_t p = 0; p < g->n_parts; p++) pn_os_close(&g->parts[p].file);
    *gguf = g;
    return PUNA_OK;
}

void pn_gguf_free(pn_gguf *gguf) {
    if (!gguf) return;
    for (int32_t p = 0; p < gguf->n_parts; p++) {
        pn_gguf_part *part = &gguf->parts[p];
        pn_os_close(&part->file);
        pn_os_unmap(part->map, part->map_bytes);
        pn_free_aligned(part->copy);
        pn_strmap_free(&part->table.keys);
    }
    pn_strmap_free(&gguf->names);
    pn_free(gguf->tensors);
    pn_free(gguf->offsets);
    pn_arena_free(&gguf->arena);
    pn_free(gguf);
}

/* ---- access ---- */

const char *pn_gguf_path(const pn_gguf *gguf) {
    return gguf->parts[0].path;
}

const char *pn_gguf_name(const pn_gguf *gguf) {
    return gguf->parts[0].shown;
}

uint64_t pn_gguf_file_bytes(const pn_gguf *gguf) {
    return gguf->file_bytes;
}

int32_t pn_gguf_n_parts(const pn_gguf *gguf) {
    return gguf->n_parts;
}

bool pn_gguf_is_mapped(const pn_gguf *gguf) {
    return gguf->mapped;
}

void pn_gguf_will_need(const pn_gguf *gguf) {
    for (int32_t p = 0; p < gguf->n_parts; p++)
        if (gguf->parts[p].map) pn_os_will_need(gguf->parts[p].map, gguf->parts[p].map_bytes);
}

int32_t pn_gguf_n_kv(const pn_gguf *gguf) {
    return gguf->parts[0].table.n_kv;
}

const pn_gguf_kv *pn_gguf_kv_at(const pn_gguf *gguf, int32_t index) {
    return &gguf->parts[0].table.kv[index];
}

int32_t pn_gguf_n_tensors(const pn_gguf *gguf) {
    return gguf->n_tensors;
}

const pn_gguf_tensor *pn_gguf_tensor_at(const pn_gguf *gguf, int32_t index) {
    return &gguf->tensors[index];
}

const pn_gguf_tensor *pn_gguf_find_tensor(const pn_gguf *gguf, const char *name) {
    const int32_t i = pn_strmap_get(&gguf->names, name, strlen(name));
    return i < 0 ? NULL : &gguf->tensors[i];
}
