/* atomic_file.h: files that are either as they were or wholly new. */
#ifndef PUNA_CLI_ATOMIC_FILE_H
#define PUNA_CLI_ATOMIC_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Replaces path by a file of these bytes that only the user may read: a temporary file beside it,
 * fsync, rename. Where path is a symbolic link, the link is replaced. False with errno set, the old
 * file untouched, nothing left behind; anything but a regular file is refused with EEXIST. */
bool atomic_file_write(const char *path, const char *bytes, size_t n_bytes);
/* Creates the folders above path that are missing, for the user alone. False with errno set. */
bool atomic_file_make_folders(const char *path);

#endif
