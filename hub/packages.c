/* packages.c: the Python packages that carry a model and are known down to the hash. */
#include "packages.h"

#include <string.h>

static const package_model models[] = {
#define PACKAGE(package, file, bytes, sha256, title) {package, file, bytes, sha256, title},
#define PIECE(model, package, version, sha256, member)
#include "packages.def"
#undef PACKAGE
#undef PIECE
};

static const package_piece pieces[] = {
#define PACKAGE(package, file, bytes, sha256, title)
#define PIECE(model, package, version, sha256, member) {model, package, version, sha256, member},
#include "packages.def"
#undef PACKAGE
#undef PIECE
};

enum { N_MODELS = sizeof models / sizeof *models, N_PIECES = sizeof pieces / sizeof *pieces };

size_t packages_pieces(const package_model *model, const package_piece **first) {
    size_t n = 0;
    for (size_t i = 0; i < N_PIECES; i++) {
        if (strcmp(pieces[i].model, model->package) != 0) continue;
        if (n++ == 0) *first = &pieces[i];
    }
    return n;
}

const package_model *packages_find(const char *package, const char *version) {
    for (size_t i = 0; i < N_MODELS; i++) {
        const package_piece *first = NULL;
        if (strcmp(models[i].package, package) != 0) continue;
        packages_pieces(&models[i], &first);
        if (!version || strcmp(first->version, version) == 0) return &models[i];
    }
    return NULL;
}

const package_model *packages_find_file(const char *file) {
    for (size_t i = 0; i < N_MODELS; i++) {
        if (strcmp(models[i].file, file) == 0) return &models[i];
    }
    return NULL;
}
