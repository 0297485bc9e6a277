/* os_posix.c: os.h for POSIX systems, with what only Linux offers (cgroups, affinity) where it
 * exists.
 *
 * Map: files | memory | processors | clock and random numbers. */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include "base/os.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/random.h>
#endif

/* ---- files ---- */

puna_status pn_os_open(const char *path, pn_file *file, puna_error *err) {
    char name[PN_ESCAPED_BYTES];
    pn_escape(name, path, strlen(path));
    int fd;
    do fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) return pn_fail(err, PUNA_E_IO, "%.150s: cannot open: %s", name, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) != 0) {
        int e = errno;
        (void)close(fd);
        return pn_fail(err, PUNA_E_IO, "%.150s: cannot open: %s", name, strerror(e));
    }
    if (!S_ISREG(st.st_mode)) {
        (void)close(fd);
        return pn_fail(err, PUNA_E_IO, "%.150s: is %s, not a regular file", name,
                       S_ISDIR(st.st_mode)    ? "a directory"
                       : S_ISFIFO(st.st_mode) ? "a pipe"
                                              : "a device");
    }
    *file = (pn_file){fd, (uint64_t)st.st_size};
    return PUNA_OK;
}

void pn_os_close(pn_file *file) {
    if (file->fd >= 0) (void)close(file->fd);
    file->fd = -1;
}

puna_status pn_os_read(const pn_file *file, uint64_t offset, void *buf, size_t n, puna_error *err) {
    char *p = buf;
    while (n > 0) {
        size_t chunk = n < ((size_t)1 << 30) ? n : (size_t)1 << 30;
        ssize_t got = pread(file->fd, p, chunk, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            return pn_fail(err, PUNA_E_IO, "read failed at byte %llu: %s",
                           (unsigned long long)offset, strerror(errno));
        if (got == 0)
            return pn_fail(err, PUNA_E_IO, "unexpected end of file at byte %llu, %zu bytes missing",
                           (unsigned long long)offset, n);
        p += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return PUNA_OK;
}

puna_status pn_os_map(const pn_file *file, const void **data, puna_error *err) {
    if (file->bytes == 0 || file->bytes > SIZE_MAX)
        return pn_fail(err, PUNA_E_IO, "cannot map a file of %llu bytes",
                       (unsigned long long)file->bytes);
    void *p = mmap(NULL, (size_t)file->bytes, PROT_READ, MAP_SHARED, file->fd, 0);
    if (p == MAP_FAILED) return pn_fail(err, PUNA_E_IO, "cannot map the file: %s", strerror(errno));
    *data = p;
    return PUNA_OK;
}

void pn_os_unmap(const void *data, uint64_t bytes) {
    if (data) (void)munmap((void *)(uintptr_t)data, (size_t)bytes);
}

void pn_os_will_need(const void *data, uint64_t bytes) {
    (void)madvise((void *)(uintptr_t)data, (size_t)bytes, MADV_WILLNEED);
}

bool pn_os_lock(const void *data, uint64_t bytes) {
    return mlock(data, (size_t)bytes) == 0;
}

/* ---- memory ---- */

/* Reads the first number of a small file; false when there is none ("max" included). */
static bool read_number(const char *path, const char *after, uint64_t *value) {
    FILE *f = fopen(path, "re");
    if (!f) return false;
    char line[256];
    bool found = false;
    while (!found && fgets(line, sizeof line, f)) {
        size_t skip = after ? strlen(after) : 0;
        if (after && strncmp(line, after, skip) != 0) continue;
        char *end;
        errno = 0;
        unsigned long long v = strtoull(line + skip, &end, 10);
        found = end != line + skip && errno == 0;
        if (found) *value = v;
        if (!after) break;
    }
    (void)fclose(f);
    return found;
}

static uint64_t min_u64(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

uint64_t pn_os_available_bytes(void) {
    uint64_t bytes = 0, v, used;
    if (read_number("/proc/meminfo", "MemAvailable:", &v)) {
        bytes = v * 1024;
    } else {
        long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
        bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : (uint64_t)1 << 30;
    }
    if (read_number("/sys/fs/cgroup/memory.max", NULL, &v) &&
        read_number("/sys/fs/cgroup/memory.current", NULL, &used))
        bytes = min_u64(bytes, v > used ? v - used : 0);
    struct rlimit as;
    if (getrlimit(RLIMIT_AS, &as) == 0 && as.rlim_cur != RLIM_INFINITY) {
        uint64_t pages_used;
        used = read_number("/proc/self/statm", NULL, &pages_used)
                   ? pages_used * (uint64_t)sysconf(_SC_PAGESIZE)
                   : 0;
        bytes = min_u64(bytes, as.rlim_cur > used ? as.rlim_cur - used : 0);
    }
    return bytes;
}

/* ---- processors ---- */

int32_t pn_os_n_cpus(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (f) {
        long long quota, period;
        if (fscanf(f, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0) {
            long limit = (long)((quota + period - 1) / period);
            if (limit < n) n = limit;
        }
        (void)fclose(f);
    }
#endif
    return n < 1 ? 1 : n > 1024 ? 1024 : (int32_t)n;
}

/* ---- clock and random numbers ---- */

int64_t pn_os_now(void) {
    return (int64_t)time(NULL);
}

bool pn_os_local_time(int64_t seconds, struct tm *out) {
    const time_t when = (time_t)seconds;
    return localtime_r(&when, out) != NULL;
}

double pn_os_seconds(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double pn_os_thread_seconds(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

uint64_t pn_os_random(void) {
    uint64_t v = 0;
#if defined(__linux__)
    if (getrandom(&v, sizeof v, 0) == (ssize_t)sizeof v) return v;
#endif
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t got = read(fd, &v, sizeof v);
        (void)close(fd);
        if (got == (ssize_t)sizeof v) return v;
    }
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)t.tv_sec ^ (uint64_t)(uintptr_t)&v;
}
