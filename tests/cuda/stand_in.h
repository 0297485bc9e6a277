/* stand_in.h: how a test looks into the driver that stands in for libcuda.so.1, and makes it fail.
 * It is the symbol pn_stand_in of the library that dlopen("libcuda.so.1") gives. */
#ifndef PN_TESTS_STAND_IN_H
#define PN_TESTS_STAND_IN_H

#include <stddef.h>
#include <stdint.h>

enum { STAND_IN_CARDS = 4 };

typedef struct stand_in {
    int version; /* of CUDA, as cuDriverGetVersion says it */
    int n_devices; /* up to STAND_IN_CARDS, each with memory and work of its own */
    int init_result; /* of cuInit */
    size_t total_bytes; /* of each card */
    uint64_t seed; /* of the order of threads and blocks */
    /* Countdowns: the n-th such call from now on fails, n = 1, 2, ...; 0: none does. A launch that fails loses the
     * device: everything after it fails too, until the context is given back. */
    long fail_alloc, fail_host_alloc, fail_launch, fail_function;
    long fail_capture_begin, fail_capture_end, fail_instantiate, fail_graph_launch;
    /* what is so now */
    long n_allocs, n_launches, n_kernels; /* launches that were run */
    size_t bytes, host_bytes, host_peak;
    int n_contexts, n_streams, n_events, n_modules, n_graphs;
    long n_captures, n_graph_launches;
    long n_pageable;  /* copies of pageable memory to the device */
    char image[64];   /* how the last module loaded begins */
    int image_result; /* of loading an image that begins with "refused" */
    /* copies from the card to the host so far */
    long n_copies_out;
    size_t bytes_out;
    size_t total_of[STAND_IN_CARDS]; /* in place of total_bytes; 0: that */
    size_t bytes_of[STAND_IN_CARDS];
    long n_contexts_made; /* from nothing, what takes long on a card */
} stand_in;

#endif
