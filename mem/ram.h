/* SPDX-License-Identifier: Apache-2.0 */
/* ram: allocates and owns guest RAM. ram_ptr() is the only way from a guest-physical address to a
 * pointer. */
#ifndef MEM_RAM_H
#define MEM_RAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "mem/backing.h"
#include "mem/layout.h"

/*
 * Owner: the VM. Set up once by ram_init(), read-only afterwards, so it needs no lock; outlives
 * every request and vCPU. Invariant: each range's gpa and host address are congruent modulo the
 * huge page size (1 GiB for 1 GiB pages).
 */
struct ram_range {
	uint64_t gpa;
	uint64_t bytes;
	uint8_t *host;
};

struct ram {
	uint64_t bytes;
	enum backing backing; /* never BACKING_AUTO */
	uint8_t *host;        /* one mapping for all ranges */
	uint64_t mapped_bytes;
	void *reserved; /* the mapping with its guards: what is unmapped at the end */
	uint64_t reserved_bytes;
	uint32_t range_count;
	struct ram_range ranges[LAYOUT_RAM_RANGES_MAX];
	uint64_t folio_bytes; /* 4K pages are populated in such folios until ram_settle(); 0: one by
				 one */
	bool locked;          /* mlock succeeded (hugetlb pages need none) */
	bool numa_pinned;     /* NUMA balancing leaves it alone: a policy of its own, or hugetlb */
};

/* bytes within LAYOUT_RAM_BYTES_MIN..MAX and a multiple of 2 MiB (1 GiB for hugetlb-1G), else
 * -EINVAL with the reason. */
int ram_check_bytes(uint64_t bytes, struct error *error);

/*
 * Maps guest RAM (aligned, then madvise, nothing populated yet): not inherited over fork, never
 * merged by KSM, left alone by NUMA balancing, left out of core dumps, no MAP_NORESERVE for hugetlb
 * (a short pool fails here, never as SIGBUS). Pages that cannot be touched lie before and behind it
 * (for hugetlb where there is room for them). Leaves *ram zeroed on failure. -EINVAL, -ENOMEM,
 * -EOPNOTSUPP.
 */
int ram_init(struct ram *ram, uint64_t bytes, enum backing backing, struct error *error);

/*
 * The same for what a user wanted: probes the host, chooses (backing_choose(), which says what
 * populate means and the errors) and maps. BACKING_AUTO goes on to the next kind where huge pages
 * that the pool has cannot be had.
 */
int ram_init_wanted(struct ram *ram, uint64_t bytes, enum backing wanted, bool populate,
		    struct error *error);
void ram_fini(struct ram *ram); /* a zeroed one is fine */

/*
 * Locks the memory, present and future pages, where the limit allows and where that is of use
 * (hugetlb pages need none; neither do small ones on a host without swap); sets ram->locked. Not
 * being allowed is no error. Best before prefault_host(): locking 4K pages that are there costs a
 * fifth of populating them, locking none costs nothing.
 */
void ram_lock(struct ram *ram);

/* After populating, or at once where nothing is populated: nothing makes larger pieces of small
 * pages any more (mem/populate.h). */
void ram_settle(struct ram *ram);

/* The host address of [gpa, gpa + bytes), or NULL where that is not wholly inside one RAM range or
 * bytes is 0. Any thread. */
void *ram_ptr(const struct ram *ram, uint64_t gpa, uint64_t bytes);

/* Copies into RAM at gpa; false, with nothing written, where it does not fit. 0 bytes always fit.
 */
bool ram_write(const struct ram *ram, uint64_t gpa, const void *data, uint64_t bytes);

/* The end of low RAM: the first gpa after the range that begins at 0. */
uint64_t ram_low_end(const struct ram *ram);

/*
 * How much of it lies on huge pages now: all for hugetlb, for THP what /proc/self/smaps says (the
 * host may have run out of whole huge pages while populating). Slow: for statistics.
 */
uint64_t ram_huge_bytes(const struct ram *ram);

#endif
