/* dirs.h: folders by descriptor, without following symbolic links: whoever can write into a cache
 * cannot lead us out of it. */
#ifndef PUNA_HUB_DIRS_H
#define PUNA_HUB_DIRS_H

#include "hub_base.h"

/* Opens path, making it and its parents. Symbolic links are followed. -1 with errno. */
int dirs_make(const char *path);
/* Opens the folder that path names below dir, "" or "." dir itself; create makes what is missing.
 * -1 with errno; ELOOP or ENOTDIR for a link. */
int dirs_open_below(int dir, const char *path, bool create);
/* The same for the folder that a file's path is in; *name: its last part. */
int dirs_open_parent(int dir, const char *path, bool create, const char **name);

/* Names in a folder except . and .., sorted; empty when it cannot be read. Stops at max. */
void dirs_list(int dir, size_t max, string_list *out);

/* Removes a file below dir, and then the folders above it that are empty, dir excepted. */
int dirs_remove_file(int dir, const char *path);
/* Removes name in dir and all below it; links are removed, not followed. depth: at most so deep. */
void dirs_remove_tree(int dir, const char *name, int depth);

/* Waits for the flock(2) of a file in dir, made when missing; folder: dir's path, for messages. *fd
 * is -1 where the file system has no locks; close(*fd) gives the lock back. */
hub_status dirs_lock(int dir, const char *folder, const char *name, const hub_host *host, int *fd,
                     hub_error *err);

bool dirs_is_locked(int dir, const char *name);

/* Writes a small file by a rename: whole or not at all. -1 with errno. */
int dirs_write_file(int dir, const char *name, const char *text);
/* A small file's contents, to be freed; NULL when it is none or larger than max. */
char *dirs_read_file(int dir, const char *name, size_t max);
/* The same for a path; links are followed. */
char *dirs_read_link(const char *path, size_t max);

#endif
