/* model_folders.h: models that lie in plain folders: puna/models of the cache, and the read-only
 * folders of PUNA_MODELS, separated by colons. A model's name is its path in the folder without
 * .gguf (and without -00001-of-0000N). */
#ifndef PUNA_HUB_MODEL_FOLDERS_H
#define PUNA_HUB_MODEL_FOLDERS_H

#include "hub_base.h"

/* The folders of PUNA_MODELS. */
void model_folders(string_list *out);

/* Appends the models in a folder; own: it is puna's, and its packages have their own names. */
void model_folder_list(const char *folder, bool own, hub_models *out);

/* The model called word in puna's own folder or one of PUNA_MODELS; HUB_NOT_HERE. */
hub_status model_folder_find(const char *word, hub_model *out, hub_error *err);

/* Takes *model over. */
void hub_models_add(hub_models *models, const hub_model *model);

#endif
