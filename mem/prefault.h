/* SPDX-License-Identifier: Apache-2.0 */
/* prefault: what is made ready, in which order, by which thread. The ioctl itself is vmm/kvm's. */
#ifndef MEM_PREFAULT_H
#define MEM_PREFAULT_H

#include <stdint.h>

#include "base/error.h"
#include "mem/ram.h"

/* Called now and then from the calling thread of prefault_*, at most ten times a second and once at
 * the end. */
struct prefault_progress {
	void (*step)(void *opaque, uint64_t done_bytes, uint64_t total_bytes);
	void *opaque;
};

/*
 * Populates all RAM for write in the host's page tables (MADV_POPULATE_WRITE), after mmap and
 * madvise. Large memories are cut into pieces taken by up to threads threads (0: as many as pay for
 * it and the CPU affinity allows). Any failure stops all and is returned with what to do: -ENOMEM
 * (memory or cgroup limit), -EHWPOISON, -EFAULT (the huge-page pool is short). progress may be
 * NULL.
 */
int prefault_host(const struct ram *ram, unsigned int threads,
		  const struct prefault_progress *progress, struct error *error);

/*
 * Maps one piece into stage 2. Called from several threads at once, each with its own worker number
 * (0..workers-1). 0 or negative errno.
 */
typedef int prefault_map_fn(void *opaque, unsigned int worker, uint64_t gpa, uint64_t bytes);

/* Maps all RAM into stage 2 through map, pieces of it in parallel by up to workers threads where
 * the page size makes that worthwhile (4K pages; huge pages are one thread's work). Stops at the
 * first error and returns it (no text: the caller knows). */
int prefault_stage2(const struct ram *ram, unsigned int workers, prefault_map_fn *map, void *opaque,
		    const struct prefault_progress *progress);

#endif
