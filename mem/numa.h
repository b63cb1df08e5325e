/* SPDX-License-Identifier: Apache-2.0 */
/* numa: a memory policy that keeps NUMA balancing away from a mapping. */
#ifndef MEM_NUMA_H
#define MEM_NUMA_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Gives the mapping a policy of its own, to the same effect as the one it would have: the thread's
 * policy, or else all nodes it is allowed to use. The kernel's NUMA balancing unmaps pages to see
 * who touches them, except in mappings with an explicit policy. False where the kernel cannot or
 * forbids it.
 */
bool numa_pin(void *memory, uint64_t bytes);

#endif
