/* values.c: typed access to keys. A wrong type or range is an error that names the file and the
 * key, what was found and what was expected. */
#include "gguf/part.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
    [PN_GGUF_U8] = {"u8", 1},       [PN_GGUF_I8] = {"i8", 1},     [PN_GGUF_U16] = {"u16", 2},
    [PN_GGUF_I16] = {"i16", 2},     [PN_GGUF_U32] = {"u32", 4},   [PN_GGUF_I32] = {"i32", 4},
    [PN_GGUF_F32] = {"f32", 4},     [PN_GGUF_BOOL] = {"bool", 1}, [PN_GGUF_STRING] = {"string", 0},
    [PN_GGUF_ARRAY] = {"array", 0}, [PN_GGUF_U64] = {"u64", 8},   [PN_GGUF_I64] = {"i64", 8},
    [PN_GGUF_F64] = {"f64", 8},
};

const char *pn_gguf_type_name(pn_gguf_type type) {
    return (size_t)type < sizeof types / sizeof types[0] ? types[type].name : "unknown";
}

size_t pn_gguf_type_bytes(pn_gguf_type type) {
    return types[type].bytes;
}

static bool is_unsigned(pn_gguf_type type) {
    return type == PN_GGUF_U8 || type == PN_GGUF_U16 || type == PN_GGUF_U32 || type == PN_GGUF_U64;
}

static bool is_signed(pn_gguf_type type) {
    return type == PN_GGUF_I8 || type == PN_GGUF_I16 || type == PN_GGUF_I32 || type == PN_GGUF_I64;
}

/* "u32", or "array of 3 u32". */
static const char *describe(char out[64], const pn_gguf_kv *kv) {
    if (kv->type == PN_GGUF_ARRAY)
        (void)snprintf(out, 64, "array of %llu %s", (unsigned long long)kv->value.array.n,
                       pn_gguf_type_name(kv->value.array.type));
    else
        (void)snprintf(out, 64, "%s", pn_gguf_type_name(kv->type));
    return out;
}

static puna_status fail_type(const pn_gguf_kv *kv, const char *wanted, puna_error *err) {
    char found[64];
    return pn_fail(err, PUNA_E_FORMAT, "key %.100s has type %s, expected %s", kv->key.data,
                   describe(found, kv), wanted);
}

const pn_gguf_kv *pn_table_find(const pn_gguf_table *table, const char *key) {
    const int32_t i = pn_strmap_get(&table->keys, key, strlen(key));
    return i < 0 ? NULL : &table->kv[i];
}

puna_status pn_table_get_int(const pn_gguf_table *table, const char *key, int64_t min, int64_t max,
                             int64_t *value, bool *found, puna_error *err) {
    const pn_gguf_kv *kv = pn_table_find(table, key);
    if (found) *found = kv != NULL;
    if (!kv) return PUNA_OK;
    if (!is_unsigned(kv->type) && !is_signed(kv->type)) return fail_type(kv, "an integer", err);
    if (is_unsigned(kv->type) && kv->value.u > INT64_MAX)
        return pn_fail(err, PUNA_E_FORMAT, "key %.100s is %llu, expected %lld to %lld", key,
                       (unsigned long long)kv->value.u, (long long)min, (long long)max);
    const int64_t v = is_signed(kv->type) ? kv->value.i : (int64_t)kv->value.u;
    if (v < min || v > max)
        return pn_fail(err, PUNA_E_FORMAT, "key %.100s is %lld, expected %lld to %lld", key,
                       (long long)v, (long long)min, (long long)max);
    *value = v;
    return PUNA_OK;
}

static puna_status get_float(const pn_gguf_table *table, const char *key, double min, double max,
                             double *value, bool *found, puna_error *err) {
    const pn_gguf_kv *kv = pn_table_find(table, key);
    if (found) *found = kv != NULL;
    if (!kv) return PUNA_OK;
    if (kv->type != PN_GGUF_F32 && kv->type != PN_GGUF_F64) return fail_type(kv, "f32", err);
    const double v = kv->value.f;
    if (!isfinite(v) || v < min || v > max)
        return pn_fail(err, PUNA_E_FORMAT, "key %.100s is %g, expected %g to %g", key, v, min, max);
    *value = v;
    return PUNA_OK;
}

/* The value of a key that must have one type; NULL in *kv when absent. */
static puna_status get_typed(const pn_gguf *gguf, const char *key, pn_gguf_type type,
                             const pn_gguf_kv **kv, bool *found, puna_error *err) {
    *kv = pn_gguf_find(gguf, key);
    if (found) *found = *kv != NULL;
    if (!*kv || (*kv)->type == type) return PUNA_OK;
    return pn_fail_in(err, fail_type(*kv, pn_gguf_type_name(type), err), gguf->parts[0].shown);
}

/* ---- the header's functions ---- */

const pn_gguf_kv *pn_gguf_find(const pn_gguf *gguf, const char *key) {
    return pn_table_find(&gguf->parts[0].table, key);
}

puna_status pn_gguf_get_int(const pn_gguf *gguf, const char *key, int64_t min, int64_t max,
                            int64_t *value, bool *found, puna_error *err) {
    const puna_status status =
        pn_table_get_int(&gguf->parts[0].table, key, min, max, value, found, err);
    return status == PUNA_OK ? PUNA_OK : pn_fail_in(err, status, gguf->parts[0].shown);
}

puna_status pn_gguf_get_float(const pn_gguf *gguf, const char *key, double min, double max,
                              double *value, bool *found, puna_error *err) {
    const puna_status status = get_float(&gguf->parts[0].table, key, min, max, value, found, err);
    return status == PUNA_OK ? PUNA_OK : pn_fail_in(err, status, gguf->parts[0].shown);
}

puna_status pn_gguf_get_bool(const pn_gguf *gguf, const char *key, bool *value, bool *found,
                             puna_error *err) {
    const pn_gguf_kv *kv;
    TRY(get_typed(gguf, key, PN_GGUF_BOOL, &kv, found, err));
    if (kv) *value = kv->value.u != 0;
    return PUNA_OK;
}

puna_status pn_gguf_get_string(const pn_gguf *gguf, const char *key, pn_str *value, bool *found,
                               puna_error *err) {
    const pn_gguf_kv *kv;
    TRY(get_typed(gguf, key, PN_GGUF_STRING, &kv, found, err));
    if (kv) *value = kv->value.str;
    return PUNA_OK;
}

puna_status pn_gguf_get_array(const pn_gguf *gguf, const char *key, pn_gguf_type type,
                              pn_gguf_array *value, bool *found, puna_error *err) {
    const pn_gguf_kv *kv = pn_gguf_find(gguf, key);
    if (found) *found = kv != NULL;
    if (!kv) return PUNA_OK;
    if (kv->type != PN_GGUF_ARRAY || kv->value.array.type != type) {
        char wanted[64];
        (void)snprintf(wanted, sizeof wanted, "array of %s", pn_gguf_type_name(type));
        return pn_fail_in(err, fail_type(kv, wanted, err), gguf->parts[0].shown);
    }
    *value = kv->value.array;
    return PUNA_OK;
}

int64_t pn_gguf_array_int(const pn_gguf_array *array, uint64_t i) {
    union {
        uint8_t bytes[8];
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        int64_t i64;
    } raw = {{0}};
    const size_t size = types[array->type].bytes;
    memcpy(raw.bytes, (const unsigned char *)array->data + i * size, size);
    switch (array->type) {
    case PN_GGUF_U8:
    case PN_GGUF_BOOL: return raw.u8;
    case PN_GGUF_I8: return raw.i8;
    case PN_GGUF_U16: return raw.u16;
    case PN_GGUF_I16: return raw.i16;
    case PN_GGUF_U32: return raw.u32;
    case PN_GGUF_I32: return raw.i32;
    default: return raw.i64;
    }
}

double pn_gguf_array_float(const pn_gguf_array *array, uint64_t i) {
    if (array->type == PN_GGUF_F32) {
        float v;
        memcpy(&v, (const unsigned char *)array->data + i * sizeof v, sizeof v);
        return (double)v;
    }
    if (array->type == PN_GGUF_F64) {
        double v;
        memcpy(&v, (const unsigned char *)array->data + i * sizeof v, sizeof v);
        return v;
    }
    return (double)pn_gguf_array_int(array, i);
}

puna_status pn_gguf_missing(const pn_gguf *gguf, const char *key, puna_error *err) {
    return pn_fail(err, PUNA_E_FORMAT, "%s: key %s is missing", gguf->parts[0].shown, key);
}
