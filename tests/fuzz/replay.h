/* replay.h: what a fuzz target tells replay_main.c beside LLVMFuzzerTestOneInput. libFuzzer ignores both; a target
 * without them is mutated from its corpus alone. */
#ifndef REPLAY_H
#define REPLAY_H

#include <stddef.h>
#include <stdint.h>

/* Writes valid input number `index` to data [cap] and returns its bytes, 0 when there are no more. */
size_t fuzz_seed(int32_t index, uint8_t *data, size_t cap);

/* Counted up by the target for every input that was good enough to be worked with. Every seed must be, and one of
 * REPLAY_ACCEPTED_SHARE mutations of seeds: otherwise the mutations try the door only, and the run fails. */
extern int64_t fuzz_n_accepted;
#define REPLAY_ACCEPTED_SHARE 10

#endif
