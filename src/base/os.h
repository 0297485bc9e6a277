/* os.h: everything asked of the operating system, threads excepted (threads.h). Implemented by
 * os_posix.c and os_cache.c; the only files with system headers are base/os_*.c and base/threads.c. */
#ifndef PN_BASE_OS_H
#define PN_BASE_OS_H

#include "puna.h"

#include <time.h>

/* A file opened for reading: a regular file only, never blocking on a FIFO. */
typedef struct pn_file {
    int fd;
    uint64_t bytes;
} pn_file;
/* The message names the path and the system's reason ("No such file or directory"). */
puna_status pn_os_open(const char *path, pn_file *file, puna_error *err);
void pn_os_close(pn_file *file);
/* Reads exactly n bytes at offset (EINTR and short reads handled); fewer is PUNA_E_IO. */
puna_status pn_os_read(const pn_file *file, uint64_t offset, void *buf, size_t n, puna_error *err);
/* Maps the whole file read-only and shared. Fails with PUNA_E_IO; an empty file cannot be
 * mapped. */
puna_status pn_os_map(const pn_file *file, const void **data, puna_error *err);
void pn_os_unmap(const void *data, uint64_t bytes);
/* Hints that the range is needed soon. */
void pn_os_will_need(const void *data, uint64_t bytes);
/* False when the limit on locked memory refuses. */
bool pn_os_lock(const void *data, uint64_t bytes);

/* Where a file that can be made again at any time lies: $XDG_CACHE_HOME/puna/<name>, or
 * ~/.cache/puna/<name>. False where there is no such place, or path_bytes are too few. */
bool pn_os_cache_path(const char *name, char *path, size_t path_bytes);
bool pn_os_exists(const char *path);
/* Writes head and data as a file that is there as a whole or not at all, for this user alone, and the folders
 * above it. Power cuts aside: nothing is waited for. */
puna_status pn_os_write(const char *path, const void *head, size_t head_bytes, const void *data,
                        size_t bytes, puna_error *err);

/* Memory a new allocation can use without swapping: what is available, cut by cgroup and
 * address-space limits. */
uint64_t pn_os_available_bytes(void);
/* Processors this process may run on: affinity mask cut by the cgroup's CPU quota. At least 1. */
int32_t pn_os_n_cpus(void);
/* Seconds since 1970, and such a time in the local time zone; false beyond what a calendar holds. */
int64_t pn_os_now(void);
bool pn_os_local_time(int64_t seconds, struct tm *out);
/* Seconds on a clock that never goes back. */
double pn_os_seconds(void);
/* Processor seconds of the calling thread. */
double pn_os_thread_seconds(void);
/* 64 bits from the system's random source. */
uint64_t pn_os_random(void);

#endif
