/* gguf.h: reading GGUF files (versions 2 and 3, little-endian), one file or a split set.
 *
 * Hostile input: the file size is the budget of every count, length and offset; nothing is
 * allocated or followed before it is checked, and every message names the file and the key or
 * tensor. After pn_gguf_open succeeds, all offsets, extents, types and shapes are valid, tensor
 * names and keys are unique, and strings are bounded; what the numbers mean for a model is
 * checked by whoever reads them (arch/, run/). */
#ifndef PN_GGUF_GGUF_H
#define PN_GGUF_GGUF_H

#include "base/error.h"
#include "fmt/fmt.h"

typedef enum pn_gguf_type {
    PN_GGUF_U8 = 0,
    PN_GGUF_I8 = 1,
    PN_GGUF_U16 = 2,
    PN_GGUF_I16 = 3,
    PN_GGUF_U32 = 4,
    PN_GGUF_I32 = 5,
    PN_GGUF_F32 = 6,
    PN_GGUF_BOOL = 7,
    PN_GGUF_STRING = 8,
    PN_GGUF_ARRAY = 9,
    PN_GGUF_U64 = 10,
    PN_GGUF_I64 = 11,
    PN_GGUF_F64 = 12
} pn_gguf_type;

/* A copy owned by the pn_gguf; may hold NUL bytes and invalid UTF-8. A NUL follows every value
 * outside arrays. */
typedef struct pn_str {
    const char *data;
    size_t n;
} pn_str;

typedef struct pn_gguf_array {
    pn_gguf_type type; /* of the elements; never PN_GGUF_ARRAY */
    uint64_t n;
    const void *data;   /* fixed-size types: n packed little-endian elements, 16-byte aligned */
    const pn_str *strs; /* PN_GGUF_STRING: n strings */
} pn_gguf_array;

typedef struct pn_gguf_kv {
    pn_str key; /* data is NUL-terminated here and holds no NUL */
    pn_gguf_type type;
    union {
        uint64_t u; /* U8 U16 U32 U64 BOOL */
        int64_t i;  /* I8 I16 I32 I64 */
        double f;   /* F32 F64 */
        pn_str str;
        pn_gguf_array array;
    } value;
} pn_gguf_kv;

typedef struct pn_gguf_tensor {
    const char *name; /* NUL-terminated, 1 to 63 bytes */
    const pn_format_info *format;
    int32_t n_dims;      /* 1 to 4 */
    int64_t dims[4];     /* fastest first; unused ones 1; all >= 1 */
    uint64_t n_elements; /* product */
    uint64_t row_bytes;  /* bytes of dims[0] elements */
    uint64_t bytes;
    const void *data; /* 8-byte aligned at least; NULL when opened without data */
} pn_gguf_tensor;

typedef struct pn_gguf pn_gguf;

typedef struct pn_gguf_options {
    bool with_data; /* false: keys and tensor table only, extents still checked against the file */
    bool use_mmap;  /* true: map; fall back to reading when mapping fails */
    bool use_mlock;
    puna_progress_fn progress; /* while reading or paging in tensor data; may be NULL */
    void *progress_user;
    const puna_override *overrides; /* [n_overrides] keys that count as the file's own */
    int32_t n_overrides;
} pn_gguf_options;

/* Opens path and, for a split model, its siblings. The caller frees *gguf; everything handed out
 * lives as long as it does. */
puna_status pn_gguf_open(const char *path, const pn_gguf_options *options, pn_gguf **gguf,
                         puna_error *err);
void pn_gguf_free(pn_gguf *gguf);

const char *pn_gguf_path(const pn_gguf *gguf);
/* The path as messages show it: escaped, at most 96 bytes (a long path loses its beginning). */
const char *pn_gguf_name(const pn_gguf *gguf);
uint64_t pn_gguf_file_bytes(const pn_gguf *gguf); /* all parts */
int32_t pn_gguf_n_parts(const pn_gguf *gguf);
bool pn_gguf_is_mapped(const pn_gguf *gguf);

/* Asks the system to read the mapped tensor data soon; for whoever is about to compute with all
 * of it. Does nothing when it was read at open. */
void pn_gguf_will_need(const pn_gguf *gguf);

int32_t pn_gguf_n_kv(const pn_gguf *gguf);
const pn_gguf_kv *pn_gguf_kv_at(const pn_gguf *gguf, int32_t index);
/* NULL when absent. */
const pn_gguf_kv *pn_gguf_find(const pn_gguf *gguf, const char *key);

int32_t pn_gguf_n_tensors(const pn_gguf *gguf);
const pn_gguf_tensor *pn_gguf_tensor_at(const pn_gguf *gguf, int32_t index);
const pn_gguf_tensor *pn_gguf_find_tensor(const pn_gguf *gguf, const char *name);

const char *pn_gguf_type_name(pn_gguf_type type); /* "u32", "string", ... */

/* ---- typed access ---------------------------------------------------------------------------
 *
 * A missing key keeps *value and returns PUNA_OK with *found = false (found may be NULL); a wrong
 * type or a value outside [min, max] is PUNA_E_FORMAT naming file, key, found and wanted. */

/* Any integer type. */
puna_status pn_gguf_get_int(const pn_gguf *gguf, const char *key, int64_t min, int64_t max,
                            int64_t *value, bool *found, puna_error *err);
/* F32 or F64; must be finite. */
puna_status pn_gguf_get_float(const pn_gguf *gguf, const char *key, double min, double max,
                              double *value, bool *found, puna_error *err);
puna_status pn_gguf_get_bool(const pn_gguf *gguf, const char *key, bool *value, bool *found,
                             puna_error *err);
puna_status pn_gguf_get_string(const pn_gguf *gguf, const char *key, pn_str *value, bool *found,
                               puna_error *err);
/* An array whose element type is `type`. */
puna_status pn_gguf_get_array(const pn_gguf *gguf, const char *key, pn_gguf_type type,
                              pn_gguf_array *value, bool *found, puna_error *err);
/* Element i of an array of any integer (bool included) or float type. */
int64_t pn_gguf_array_int(const pn_gguf_array *array, uint64_t i);
double pn_gguf_array_float(const pn_gguf_array *array, uint64_t i);

/* PUNA_E_FORMAT "FILE: key KEY is missing". */
puna_status pn_gguf_missing(const pn_gguf *gguf, const char *key, puna_error *err);

#endif
