/* quants.h: which of the files of a repository make the model that is meant.
 *
 * A quantisation is read from the path of a file: model-Q4_K_M.gguf, UD-IQ2_M/model-00001-of-
 * 00003.gguf. Large models come in parts, named -00001-of-00003.gguf; they count as one. */
#ifndef PUNA_HUB_QUANTS_H
#define PUNA_HUB_QUANTS_H

#include "hub_base.h"

enum { QUANT_CHARS = 32 };

/* The quantisation in a path, upper case, or "". */
void quant_label(const char *path, char label[QUANT_CHARS]);

/* The number of parts and of this part when path is named as one of several; otherwise false, and
 * nothing is set. *n_stem: the length of the path before "-00001-of-". */
bool quant_is_part(const char *path, int *part, int *n_parts, size_t *n_stem);

/* A model file, and not a projector, an importance matrix or a vocabulary. */
bool quant_is_model(const char *path);

typedef struct quant_choice {
    size_t *files; /* indices into paths, the parts in order; freed by the caller */
    size_t n_files;
} quant_choice;

/* What is meant; at most one of quant, file and glob is set. None: Q4_K_M, else Q8_0, else the
 * only model there is. */
typedef struct quant_wish {
    const char *where; /* the repository, for messages */
    const char *quant;
    const char *file; /* an exact path, or the last part of one */
    const char *glob; /* as Python's fnmatch: * matches / too; files of any kind */
} quant_wish;

/* The one model among paths[0..n) that is meant. Fails with a message that lists what there is. */
hub_status quant_choose(const quant_wish *wish, const char *const *paths, size_t n,
                        quant_choice *out, hub_error *err);

/* All models among paths that match wish (a wish without quant and file matches every one): the
 * indices of their first files; returns how many. Parts may be missing. */
size_t quant_matches(const quant_wish *wish, const char *const *paths, size_t n, size_t **firsts);

/* The indices of the parts of the model that begins with paths[first]. False when some are
 * missing: *missing is then the number of the first of those. */
bool quant_parts(const char *const *paths, size_t n, size_t first, quant_choice *out, int *missing);

#endif
