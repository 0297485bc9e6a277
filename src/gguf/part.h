/* part.h: one file of a model while it is read, and the object that holds them all. Private to
 * src/gguf.
 *
 *   file:  magic version n_tensors n_kv | keys and values | tensor table | padding | tensor data
 *          0     4       8         16     24                               ^data_off (aligned)
 *
 * Metadata lives in pn_gguf.arena; tensor data in one mapping, or one aligned copy, per part. */
#ifndef PN_GGUF_PART_H
#define PN_GGUF_PART_H

#include "base/mem.h"
#include "base/os.h"
#include "base/strmap.h"
#include "gguf/gguf.h"

#define PN_GGUF_MAX_KV      65536
#define PN_GGUF_MAX_TENSORS (1 << 20)
#define PN_GGUF_MAX_KEY     65535 /* bytes; the specification's limit */
#define PN_GGUF_MAX_NAME    63    /* bytes of a tensor name, likewise */
#define PN_GGUF_SHOWN_BYTES 112

#define TRY(call)                                                                                  \
    do {                                                                                           \
        const puna_status try_status = (call);                                                     \
        if (try_status != PUNA_OK) return try_status;                                              \
    } while (0)

/* The keys of one file. */
typedef struct pn_gguf_table {
    pn_gguf_kv *kv;
    int32_t n_kv;
    pn_strmap keys;
} pn_gguf_table;

typedef struct pn_gguf_part {
    char *path;
    char shown[PN_GGUF_SHOWN_BYTES]; /* for messages: escaped; a long path loses its beginning */
    pn_file file;                    /* open until the data is loaded */
    pn_gguf_table table;
    int32_t first_tensor, n_tensors; /* rows of pn_gguf.tensors */
    uint64_t data_off, data_end;     /* file offsets around the tensor data */
    const unsigned char *map;        /* of the whole file, or NULL */
    uint64_t map_bytes;
    unsigned char *copy; /* of data_off..data_end, when not mapped */
} pn_gguf_part;

struct pn_gguf {
    pn_arena arena;
    pn_gguf_part *parts;
    int32_t n_parts;
    pn_gguf_tensor *tensors;
    uint64_t *offsets; /* of each tensor from its part's data_off */
    int32_t n_tensors;
    pn_strmap names;
    uint64_t file_bytes;
    bool mapped;
};

/* Sets part->path and shown. */
puna_status pn_part_name(pn_gguf *gguf, pn_gguf_part *part, const char *path, size_t path_bytes,
                         puna_error *err);
/* Opens part->path, reads keys and tensor table, checks every extent. On failure the message names
 * the file; whatever was opened stays for pn_gguf_free. */
puna_status pn_part_read(pn_gguf *gguf, pn_gguf_part *part, puna_error *err);

/* After the first part is read: checks its split.* keys and reads the other parts (split.c). */
puna_status pn_split_read(pn_gguf *gguf, puna_error *err);

/* After all parts are read: puts the caller's keys into the first one's table (overrides.c). */
puna_status pn_overrides_apply(pn_gguf *gguf, const puna_override *overrides, int32_t n,
                               puna_error *err);

/* As pn_gguf_find and pn_gguf_get_int, messages without the file (values.c). */
const pn_gguf_kv *pn_table_find(const pn_gguf_table *table, const char *key);
puna_status pn_table_get_int(const pn_gguf_table *table, const char *key, int64_t min, int64_t max,
                             int64_t *value, bool *found, puna_error *err);
/* Bytes of one value of a fixed-size type; 0 for strings and arrays. */
size_t pn_gguf_type_bytes(pn_gguf_type type);

#endif
