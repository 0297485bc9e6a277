/* part.c: parses one GGUF file: header, keys and values, tensor table.
 *
 * Order of checks: a count is compared with what is left of the file divided by the smallest
 * possible entry, then memory is taken, then entries are read one by one. Strings and arrays are
 * copied into the arena, so that their memory is at most three times their bytes in the file.
 * Messages here name the key or tensor; pn_part_read puts the file before them. */
#include "gguf/part.h"

#include "gguf/cursor.h"

#include <stdio.h>
#include <string.h>

#define HEADER_BYTES     24
#define MIN_KV_BYTES     (8 + 1 + 4 + 1)         /* length, key, type, value */
#define MIN_TENSOR_BYTES (8 + 1 + 4 + 8 + 4 + 8) /* length, name, n_dims, one dim, type, offset */
#define PREFIX_BYTES     112

/* ---- header ---- */

static puna_status refuse_magic(const unsigned char magic[4], puna_error *err) {
    static const struct {
        const char *magic, *what;
    } known[] = {
        {"FUGG", "a big-endian GGUF file, which is not supported"},
        {"tjgg", "an old ggjt file; convert the model to GGUF"},
        {"fmgg", "an old ggmf file; convert the model to GGUF"},
        {"lmgg", "an old ggml file; convert the model to GGUF"},
        {"PK\3\4", "a zip archive (a PyTorch checkpoint?); convert the model to GGUF"},
        {"<!DO", "a web page: the download failed"},
        {"<htm", "a web page: the download failed"},
        {"vers", "a text file (a Git LFS pointer?): the real file was not downloaded"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (memcmp(magic, known[i].magic, 4) == 0)
            return pn_fail(err, PUNA_E_FORMAT, "not a GGUF file: it is %s", known[i].what);
    char text[PN_ESCAPED_BYTES];
    return pn_fail(err, PUNA_E_FORMAT, "not a GGUF file: magic is \"%s\", expected \"GGUF\"",
                   pn_escape(text, (const char *)magic, 4));
}

static puna_status check_version(uint32_t version, puna_error *err) {
    if (version == 2 || version == 3) return PUNA_OK;
    if ((version & 0xffff) == 0 && version != 0)
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "version word 0x%08x: a big-endian GGUF file is not supported", version);
    if (version == 1)
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "GGUF version 1 was withdrawn; convert the model again");
    return pn_fail(err, PUNA_E_UNSUPPORTED, "GGUF version %u is unknown, expected 2 or 3", version);
}

static puna_status check_count(const pn_cursor *c, const char *what, uint64_t n, uint64_t min_bytes,
                               uint64_t max, puna_error *err) {
    if (n > pn_cursor_left(c) / min_bytes)
        return pn_fail(
            err, PUNA_E_FORMAT,
            "%s count %llu cannot fit into the %llu bytes after the header: truncated or damaged",
            what, (unsigned long long)n, (unsigned long long)pn_cursor_left(c));
    if (n > max)
        return pn_fail(err, PUNA_E_LIMIT, "%s count %llu exceeds the limit of %llu", what,
                       (unsigned long long)n, (unsigned long long)max);
    return PUNA_OK;
}

static puna_status read_header(pn_cursor *c, uint64_t *n_tensors, uint64_t *n_kv, puna_error *err) {
    const uint64_t bytes = c->file->bytes;
    if (bytes == 0) return pn_fail(err, PUNA_E_FORMAT, "the file is empty");
    unsigned char magic[4];
    if (bytes >= sizeof magic) {
        TRY(pn_cursor_read(c, magic, sizeof magic, err));
        if (memcmp(magic, "GGUF", 4) != 0) return refuse_magic(magic, err);
    }
    if (bytes < HEADER_BYTES)
        return pn_fail(err, PUNA_E_FORMAT,
                       "truncated: the file has %llu bytes, a GGUF header has %d",
                       (unsigned long long)bytes, HEADER_BYTES);
    uint32_t version;
    TRY(pn_cursor_u32(c, &version, err));
    TRY(check_version(version, err));
    TRY(pn_cursor_u64(c, n_tensors, err));
    TRY(pn_cursor_u64(c, n_kv, err));
    TRY(check_count(c, "tensor", *n_tensors, MIN_TENSOR_BYTES, PN_GGUF_MAX_TENSORS, err));
    return check_count(c, "key", *n_kv, MIN_KV_BYTES, PN_GGUF_MAX_KV, err);
}

/* ---- keys and values ---- */

static puna_status read_string(pn_arena *arena, pn_cursor *c, pn_str *str, puna_error *err) {
    uint64_t n;
    TRY(pn_cursor_u64(c, &n, err));
    TRY(pn_cursor_need(c, n, err));
    char *data = pn_arena_alloc(arena, (size_t)n + 1);
    if (!data) return pn_fail_nomem(err, (size_t)n + 1, "a string of the metadata");
    TRY(pn_cursor_read(c, data, (size_t)n, err));
    data[n] = 0;
    *str = (pn_str){data, (size_t)n};
    return PUNA_OK;
}

/* n strings: their lengths are walked first, so that memory is taken only for strings that are
 * there. */
static puna_status read_string_array(pn_arena *arena, pn_cursor *c, pn_gguf_array *array,
                                     puna_error *err) {
    const uint64_t start = c->pos;
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < array->n; i++) {
        uint64_t n;
        TRY(pn_cursor_u64(c, &n, err));
        TRY(pn_cursor_skip(c, n, err));
        bytes += n;
    }
    const uint64_t end = c->pos;
    pn_str *strs = pn_arena_calloc(arena, (size_t)array->n, sizeof *strs);
    char *text = pn_arena_alloc(arena, (size_t)bytes);
    if (!strs || !text) return pn_fail_nomem(err, (size_t)(end - start), "an array of strings");
    c->pos = start;
    size_t used = 0;
    for (uint64_t i = 0; i < array->n; i++) {
        uint64_t n;
        TRY(pn_cursor_u64(c, &n, err));
        if (n > bytes - used) return pn_fail(err, PUNA_E_IO, "the file changed while it was read");
        TRY(pn_cursor_read(c, text + used, (size_t)n, err));
        strs[i] = (pn_str){text + used, (size_t)n};
        used += (size_t)n;
    }
    array->strs = strs;
    return PUNA_OK;
}

static puna_status read_array(pn_arena *arena, pn_cursor *c, pn_gguf_array *array,
                              puna_error *err) {
    uint32_t type;
    TRY(pn_cursor_u32(c, &type, err));
    TRY(pn_cursor_u64(c, &array->n, err));
    if (type == PN_GGUF_ARRAY)
        return pn_fail(err, PUNA_E_UNSUPPORTED, "nested arrays are not supported");
    if (type > PN_GGUF_F64)
        return pn_fail(err, PUNA_E_FORMAT, "unknown array element type %u", type);
    array->type = (pn_gguf_type)type;
    const bool strings = type == PN_GGUF_STRING;
    const size_t size = strings ? sizeof(uint64_t) : pn_gguf_type_bytes(array->type);
    if (array->n > pn_cursor_left(c) / size)
        return pn_fail(
            err, PUNA_E_FORMAT,
            "array of %llu %s elements cannot fit into the %llu bytes left: truncated or damaged",
            (unsigned long long)array->n, pn_gguf_type_name(array->type),
            (unsigned long long)pn_cursor_left(c));
    TRY(pn_cursor_need(c, array->n * size, err));
    if (strings) return read_string_array(arena, c, array, err);
    void *data = pn_arena_alloc(arena, (size_t)(array->n * size));
    if (!data) return pn_fail_nomem(err, (size_t)(array->n * size), "an array of the metadata");
    TRY(pn_cursor_read(c, data, (size_t)(array->n * size), err));
    array->data = data;
    return PUNA_OK;
}

static puna_status read_scalar(pn_cursor *c, pn_gguf_kv *kv, puna_error *err) {
    union {
        uint64_t u;
        uint8_t bytes[8];
        int8_t i8;
        int16_t i16;
        int32_t i32;
        int64_t i64;
        float f32;
        double f64;
    } raw = {0};
    TRY(pn_cursor_read(c, raw.bytes, pn_gguf_type_bytes(kv->type), err));
    switch (kv->type) {
    case PN_GGUF_I8: kv->value.i = raw.i8; break;
    case PN_GGUF_I16: kv->value.i = raw.i16; break;
    case PN_GGUF_I32: kv->value.i = raw.i32; break;
    case PN_GGUF_I64: kv->value.i = raw.i64; break;
    case PN_GGUF_F32: kv->value.f = (double)raw.f32; break;
    case PN_GGUF_F64: kv->value.f = raw.f64; break;
    case PN_GGUF_BOOL: kv->value.u = raw.u != 0; break;
    default: kv->value.u = raw.u; break;
    }
    return PUNA_OK;
}

static puna_status read_value(pn_arena *arena, pn_cursor *c, pn_gguf_kv *kv, puna_error *err) {
    uint32_t type;
    TRY(pn_cursor_u32(c, &type, err));
    if (type > PN_GGUF_F64) return pn_fail(err, PUNA_E_FORMAT, "unknown value type %u", type);
    kv->type = (pn_gguf_type)type;
    if (kv->type == PN_GGUF_STRING) return read_string(arena, c, &kv->value.str, err);
    if (kv->type == PN_GGUF_ARRAY) return read_array(arena, c, &kv->value.array, err);
    return read_scalar(c, kv, err);
}

static puna_status read_key(pn_arena *arena, pn_cursor *c, pn_str *key, puna_error *err) {
    uint64_t n;
    TRY(pn_cursor_u64(c, &n, err));
    if (n == 0 || n > PN_GGUF_MAX_KEY)
        return pn_fail(err, PUNA_E_FORMAT, "length %llu, expected 1 to %d", (unsigned long long)n,
                       PN_GGUF_MAX_KEY);
    c->pos -= sizeof n;
    TRY(read_string(arena, c, key, err));
    if (memchr(key->data, 0, key->n)) {
        char text[PN_ESCAPED_BYTES];
        return pn_fail(err, PUNA_E_FORMAT, "\"%.80s\" contains a NUL byte",
                       pn_escape(text, key->data, key->n));
    }
    return PUNA_OK;
}

static puna_status read_table(pn_gguf *gguf, pn_cursor *c, pn_gguf_table *table, int32_t n_kv,
                              puna_error *err) {
    char prefix[PREFIX_BYTES];
    table->kv = pn_arena_calloc(&gguf->arena, (size_t)n_kv, sizeof *table->kv);
    if (!table->kv || !pn_strmap_reserve(&table->keys, (size_t)n_kv))
        return pn_fail_nomem(err, (size_t)n_kv * sizeof *table->kv, "the table of keys");
    for (int32_t i = 0; i < n_kv; i++) {
        pn_gguf_kv *kv = &table->kv[i];
        puna_status status = read_key(&gguf->arena, c, &kv->key, err);
        if (status != PUNA_OK) {
            (void)snprintf(prefix, sizeof prefix, "key %d of %d", i + 1, n_kv);
            return pn_fail_in(err, status, prefix);
        }
        int32_t old;
        if (!pn_strmap_add(&table->keys, kv->key.data, kv->key.n, i, &old))
            return pn_fail_nomem(err, kv->key.n, "the table of keys");
        if (old >= 0) return pn_fail(err, PUNA_E_FORMAT, "duplicate key %.100s", kv->key.data);
        status = read_value(&gguf->arena, c, kv, err);
        if (status != PUNA_OK) {
            (void)snprintf(prefix, sizeof prefix, "key %.80s", kv->key.data);
            return pn_fail_in(err, status, prefix);
        }
        table->n_kv = i + 1;
    }
    return PUNA_OK;
}

/* ---- tensor table ---- */

static puna_status read_name(pn_arena *arena, pn_cursor *c, pn_str *name, puna_error *err) {
    uint64_t n;
    TRY(pn_cursor_u64(c, &n, err));
    if (n == 0 || n > PN_GGUF_MAX_NAME)
        return pn_fail(
            err, PUNA_E_FORMAT,
            "name of %llu bytes, expected 1 to %d (a wrong key count or a damaged file?)",
            (unsigned long long)n, PN_GGUF_MAX_NAME);
    c->pos -= sizeof n;
    TRY(read_string(arena, c, name, err));
    if (memchr(name->data, 0, name->n)) {
        char text[PN_ESCAPED_BYTES];
        return pn_fail(err, PUNA_E_FORMAT, "name \"%s\" contains a NUL byte",
                       pn_escape(text, name->data, name->n));
    }
    return PUNA_OK;
}

static puna_status read_dims(pn_cursor *c, pn_gguf_tensor *t, puna_error *err) {
    uint32_t n_dims;
    TRY(pn_cursor_u32(c, &n_dims, err));
    if (n_dims == 0 || n_dims > 4)
        return pn_fail(err, PUNA_E_FORMAT, "%u dimensions, expected 1 to 4", n_dims);
    t->n_dims = (int32_t)n_dims;
    t->n_elements = 1;
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t dim = 1;
        if (i < n_dims) TRY(pn_cursor_u64(c, &dim, err));
        if (dim == 0 || dim > INT64_MAX)
            return pn_fail(err, PUNA_E_FORMAT, "dimension %u is %llu, expected 1 to 2^63-1", i,
                           (unsigned long long)dim);
        t->dims[i] = (int64_t)dim;
        if (__builtin_mul_overflow(t->n_elements, dim, &t->n_elements) || t->n_elements > INT64_MAX)
            return pn_fail(err, PUNA_E_FORMAT,
                           "the number of elements overflows: dimensions %lld x %lld ...",
                           (long long)t->dims[0], (long long)t->dims[1]);
    }
    return PUNA_OK;
}

/* Type and what follows from it. A row is dims[0] elements and must be whole blocks. */
static puna_status read_format(pn_cursor *c, pn_gguf_tensor *t, puna_error *err) {
    uint32_t type;
    TRY(pn_cursor_u32(c, &type, err));
    t->format = pn_format_get(type);
    if (!t->format) return pn_fail(err, PUNA_E_UNSUPPORTED, "unknown type %u", type);
    const uint64_t per_block = (uint64_t)t->format->block_weights;
    const uint64_t blocks = (uint64_t)t->dims[0] / per_block;
    if ((uint64_t)t->dims[0] % per_block != 0)
        return pn_fail(err, PUNA_E_FORMAT,
                       "rows of %lld elements are no multiple of the %s block of %llu",
                       (long long)t->dims[0], t->format->name, (unsigned long long)per_block);
    const uint64_t n_rows = t->n_elements / (uint64_t)t->dims[0];
    if (__builtin_mul_overflow(blocks, (uint64_t)t->format->block_bytes, &t->row_bytes) ||
        __builtin_mul_overflow(t->row_bytes, n_rows, &t->bytes) || t->bytes > INT64_MAX)
        return pn_fail(err, PUNA_E_FORMAT, "the size in bytes overflows: %llu elements of type %s",
                       (unsigned long long)t->n_elements, t->format->name);
    return PUNA_OK;
}

static puna_status read_tensor(pn_gguf *gguf, pn_cursor *c, int32_t index, puna_error *err) {
    pn_gguf_tensor *t = &gguf->tensors[index];
    char prefix[PREFIX_BYTES];
    pn_str name = {NULL, 0};
    puna_status status = read_name(&gguf->arena, c, &name, err);
    if (status != PUNA_OK) {
        (void)snprintf(prefix, sizeof prefix, "tensor %d", index + 1);
        return pn_fail_in(err, status, prefix);
    }
    t->name = name.data;
    int32_t old;
    if (!pn_strmap_add(&gguf->names, name.data, name.n, index, &old))
        return pn_fail_nomem(err, name.n, "the tensor table");
    if (old >= 0) return pn_fail(err, PUNA_E_FORMAT, "duplicate tensor %s", t->name);
    status = read_dims(c, t, err);
    if (status == PUNA_OK) status = read_format(c, t, err);
    if (status == PUNA_OK) status = pn_cursor_u64(c, &gguf->offsets[index], err);
    if (status == PUNA_OK) return PUNA_OK;
    (void)snprintf(prefix, sizeof prefix, "tensor %s", t->name);
    return pn_fail_in(err, status, prefix);
}

static puna_status read_tensors(pn_gguf *gguf, pn_gguf_part *part, pn_cursor *c, int32_t n,
                                puna_error *err) {
    if (n > PN_GGUF_MAX_TENSORS - gguf->n_tensors)
        return pn_fail(err, PUNA_E_LIMIT, "more than %d tensors in all parts", PN_GGUF_MAX_TENSORS);
    const size_t total = (size_t)(gguf->n_tensors + n);
    pn_gguf_tensor *tensors = pn_realloc(gguf->tensors, total, sizeof *tensors);
    if (tensors) gguf->tensors = tensors;
    uint64_t *offsets = tensors ? pn_realloc(gguf->offsets, total, sizeof *offsets) : NULL;
    if (offsets) gguf->offsets = offsets;
    if (!offsets || !pn_strmap_reserve(&gguf->names, total))
        return pn_fail_nomem(err, total * sizeof *tensors, "the tensor table");
    part->first_tensor = gguf->n_tensors;
    for (int32_t i = 0; i < n; i++) {
        gguf->tensors[gguf->n_tensors] = (pn_gguf_tensor){0};
        TRY(read_tensor(gguf, c, gguf->n_tensors, err));
        gguf->n_tensors++;
        part->n_tensors++;
    }
    return PUNA_OK;
}

/* ---- extents ---- */

static const char *format_bytes(char out[32], uint64_t bytes) {
    if (bytes >= 1000000000)
        (void)snprintf(out, 32, "%.1f GB", (double)bytes / 1e9);
    else if (bytes >= 1000000)
        (void)snprintf(out, 32, "%.1f MB", (double)bytes / 1e6);
    else
        (void)snprintf(out, 32, "%llu bytes", (unsigned long long)bytes);
    return out;
}

static puna_status get_alignment(const pn_gguf_part *part, uint64_t *alignment, puna_error *err) {
    int64_t value = 32;
    TRY(pn_table_get_int(&part->table, "general.alignment", INT64_MIN, INT64_MAX, &value, NULL,
                         err));
    if (value < 8 || value > UINT32_MAX || (value & (value - 1)) != 0)
        return pn_fail(err, PUNA_E_FORMAT,
                       "key general.alignment is %lld, expected a power of two from 8",
                       (long long)value);
    *alignment = (uint64_t)value;
    return PUNA_OK;
}

/* Sets data_off and data_end. Tensors may lie in any order, with gaps; they may even overlap, as
 * nobody writes. */
static puna_status check_extents(const pn_gguf *gguf, pn_gguf_part *part, uint64_t meta_end,
                                 puna_error *err) {
    uint64_t alignment = 0;
    TRY(get_alignment(part, &alignment, err));
    part->data_off = (meta_end + alignment - 1) & ~(alignment - 1);
    part->data_end = part->data_off;
    const char *last = "";
    for (int32_t i = part->first_tensor; i < gguf->n_tensors; i++) {
        const pn_gguf_tensor *t = &gguf->tensors[i];
        const uint64_t offset = gguf->offsets[i];
        if (offset % alignment != 0)
            return pn_fail(err, PUNA_E_FORMAT,
                           "tensor %s: offset %llu is no multiple of the alignment %llu", t->name,
                           (unsigned long long)offset, (unsigned long long)alignment);
        uint64_t end;
        if (__builtin_add_overflow(part->data_off, offset, &end) ||
            __builtin_add_overflow(end, t->bytes, &end) || end > INT64_MAX)
            return pn_fail(err, PUNA_E_FORMAT, "tensor %s: offset %llu lies outside any file",
                           t->name, (unsigned long long)offset);
        if (end > part->data_end) {
            part->data_end = end;
            last = t->name;
        }
    }
    if (part->n_tensors == 0 || part->data_end <= part->file.bytes) return PUNA_OK;
    char missing[32];
    return pn_fail(err, PUNA_E_FORMAT,
                   "file is %s short: truncated download? (data of tensor %s ends at byte %llu, "
                   "the file at %llu)",
                   format_bytes(missing, part->data_end - part->file.bytes), last,
                   (unsigned long long)part->data_end, (unsigned long long)part->file.bytes);
}

/* ---- one file ---- */

puna_status pn_part_name(pn_gguf *gguf, pn_gguf_part *part, const char *path, size_t path_bytes,
                         puna_error *err) {
    part->file.fd = -1;
    part->path = pn_arena_copy(&gguf->arena, path, path_bytes);
    if (!part->path) return pn_fail_nomem(err, path_bytes, "the file name");
    const size_t max = sizeof part->shown - 16;
    char text[PN_ESCAPED_BYTES];
    if (path_bytes <= max)
        pn_escape(text, path, path_bytes);
    else
        pn_escape(text, path + path_bytes - max, max);
    (void)snprintf(part->shown, sizeof part->shown, "%s%.*s", path_bytes <= max ? "" : "...",
                   (int)max, text);
    return PUNA_OK;
}

static puna_status read_metadata(pn_gguf *gguf, pn_gguf_part *part, pn_cursor *c, puna_error *err) {
    uint64_t n_tensors, n_kv;
    TRY(read_header(c, &n_tensors, &n_kv, err));
    TRY(read_table(gguf, c, &part->table, (int32_t)n_kv, err));
    TRY(read_tensors(gguf, part, c, (int32_t)n_tensors, err));
    return check_extents(gguf, part, c->pos, err);
}

puna_status pn_part_read(pn_gguf *gguf, pn_gguf_part *part, puna_error *err) {
    TRY(pn_os_open(part->path, &part->file, err));
    gguf->file_bytes += part->file.bytes;
    pn_cursor c;
    puna_status status = pn_cursor_open(&c, &part->file, err);
    if (status == PUNA_OK) status = read_metadata(gguf, part, &c, err);
    pn_cursor_close(&c);
    return status == PUNA_OK ? PUNA_OK : pn_fail_in(err, status, part->shown);
}
