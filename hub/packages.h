/* packages.h: the Python packages that carry a model and are known down to the hash
 * (packages.def). */
#ifndef PUNA_HUB_PACKAGES_H
#define PUNA_HUB_PACKAGES_H

#include "hub_base.h"

typedef struct package_model {
    const char *package;
    const char *file; /* its name in the models folder */
    uint64_t bytes;
    const char *sha256;
    const char *title;
} package_model;

typedef struct package_piece {
    const char *model;   /* package_model.package */
    const char *package; /* that the wheel belongs to */
    const char *version;
    const char *sha256; /* of the wheel */
    const char *member; /* what the member's name ends with */
} package_piece;

/* NULL when it is none of them; version may be NULL. */
const package_model *packages_find(const char *package, const char *version);
const package_model *packages_find_file(const char *file);
/* The pieces of a model, in order; returns how many. */
size_t packages_pieces(const package_model *model, const package_piece **first);

#endif
