/* split.c: models in several files, NAME-00001-of-0000N.gguf.
 *
 * The first part is opened by the caller; its key split.count says how many there are, its name
 * must say the same, and the others are looked for beside it under exactly the names that follow
 * from it. No other path is ever opened. Each part states its own number (split.no, from 0) and the
 * number of parts. */
#include "gguf/part.h"

#include <stdio.h>
#include <string.h>

#define SUFFIX_BYTES (sizeof "-00001-of-00002.gguf" - 1)

/* "-%05d-of-%05d.gguf" */
static void write_suffix(char out[SUFFIX_BYTES + 1], int32_t number, int32_t count) {
    /* both are at most 65535, which the compiler cannot know */
    (void)snprintf(out, SUFFIX_BYTES + 1, "-%05u-of-%05u.gguf", (unsigned)number % 100000,
                   (unsigned)count % 100000);
}

/* Reads split.count and split.no; a file without split.count is number 0 of 1. */
static puna_status get_numbers(const pn_gguf_part *part, int32_t *no, int32_t *count,
                               puna_error *err) {
    int64_t c = 1, n = 0;
    bool has_count, has_no;
    TRY(pn_table_get_int(&part->table, "split.count", 1, UINT16_MAX, &c, &has_count, err));
    TRY(pn_table_get_int(&part->table, "split.no", 0, UINT16_MAX, &n, &has_no, err));
    if (has_count && c > 1 && !has_no)
        return pn_fail(err, PUNA_E_FORMAT, "key split.no is missing");
    if (has_count && n >= c)
        return pn_fail(err, PUNA_E_FORMAT, "key split.no is %lld of split.count %lld", (long long)n,
                       (long long)c);
    *no = has_count ? (int32_t)n : 0;
    *count = (int32_t)c;
    return PUNA_OK;
}

static puna_status check_first(const pn_gguf_part *part, int32_t count, int32_t no,
                               puna_error *err) {
    char suffix[SUFFIX_BYTES + 1];
    write_suffix(suffix, 1, count);
    if (no != 0)
        return pn_fail(err, PUNA_E_FORMAT,
                       "is part %d of a split model (split.no %d): open the first part, ...%s",
                       no + 1, no, suffix);
    const size_t n = strlen(part->path);
    if (n < SUFFIX_BYTES || strcmp(part->path + n - SUFFIX_BYTES, suffix) != 0)
        return pn_fail(err, PUNA_E_FORMAT, "split.count is %d, so the file name must end in %s",
                       count, suffix);
    return PUNA_OK;
}

static puna_status check_other(const pn_gguf_part *part, int32_t want_no, int32_t want_count,
                               puna_error *err) {
    int32_t no, count;
    TRY(get_numbers(part, &no, &count, err));
    if (count != want_count)
        return pn_fail(err, PUNA_E_FORMAT, "key split.count is %d, the first part says %d", count,
                       want_count);
    if (no != want_no)
        return pn_fail(err, PUNA_E_FORMAT, "key split.no is %d, expected %d", no, want_no);
    return PUNA_OK;
}

static puna_status read_other(pn_gguf *gguf, int32_t index, puna_error *err) {
    pn_gguf_part *part = &gguf->parts[index];
    const char *first = gguf->parts[0].path;
    const size_t n = strlen(first);
    char suffix[SUFFIX_BYTES + 1];
    write_suffix(suffix, index + 1, gguf->n_parts);
    TRY(pn_part_name(gguf, part, first, n, err));
    memcpy(part->path + n - SUFFIX_BYTES, suffix, SUFFIX_BYTES);
    const size_t shown = strlen(part->shown);
    if (shown >= SUFFIX_BYTES) memcpy(part->shown + shown - SUFFIX_BYTES, suffix, SUFFIX_BYTES);
    puna_status status = pn_part_read(gguf, part, err);
    if (status == PUNA_OK) {
        status = check_other(part, index, gguf->n_parts, err);
        if (status != PUNA_OK) (void)pn_fail_in(err, status, part->shown);
    }
    if (status == PUNA_OK) return PUNA_OK;
    char prefix[48];
    (void)snprintf(prefix, sizeof prefix, "split part %d of %d", index + 1, gguf->n_parts);
    return pn_fail_in(err, status, prefix);
}

static puna_status check_total(const pn_gguf *gguf, puna_error *err) {
    int64_t total = gguf->n_tensors;
    TRY(pn_table_get_int(&gguf->parts[0].table, "split.tensors.count", 0, INT32_MAX, &total, NULL,
                         err));
    if (total != gguf->n_tensors)
        return pn_fail(err, PUNA_E_FORMAT,
                       "key split.tensors.count is %lld, but the parts hold %d tensors",
                       (long long)total, gguf->n_tensors);
    return PUNA_OK;
}

puna_status pn_split_read(pn_gguf *gguf, puna_error *err) {
    int32_t no, count;
    puna_status status = get_numbers(&gguf->parts[0], &no, &count, err);
    if (status == PUNA_OK && count > 1) status = check_first(&gguf->parts[0], count, no, err);
    if (status != PUNA_OK) return pn_fail_in(err, status, gguf->parts[0].shown);
    if (count == 1) return PUNA_OK;
    pn_gguf_part *parts = pn_arena_calloc(&gguf->arena, (size_t)count, sizeof *parts);
    if (!parts)
        return pn_fail_nomem(err, (size_t)count * sizeof *parts, "the parts of a split model");
    parts[0] = gguf->parts[0];
    for (int32_t i = 1; i < count; i++) parts[i].file.fd = -1;
    gguf->parts = parts;
    gguf->n_parts = count;
    for (int32_t i = 1; i < count; i++) TRY(read_other(gguf, i, err));
    status = check_total(gguf, err);
    return status == PUNA_OK ? PUNA_OK : pn_fail_in(err, status, parts[0].shown);
}
