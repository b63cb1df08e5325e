/* SPDX-License-Identifier: Apache-2.0 */
/* backing: what guest memory is made of (1 GiB and 2 MiB hugetlb pages, transparent huge pages, 4
 * KiB pages). */
#ifndef MEM_BACKING_H
#define MEM_BACKING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum backing {
	BACKING_AUTO, /* hugetlb-2M where the pool has room, else THP, else 4K */
	BACKING_HUGETLB_1G,
	BACKING_HUGETLB_2M,
	BACKING_THP,
	BACKING_4K,
};

#define BACKING_COUNT 5

/* "auto", "hugetlb-1G", "hugetlb-2M", "thp", "4k". */
const char *backing_name(enum backing backing);
/* False where name is none of them. Upper and lower case are the same. */
bool backing_parse(const char *name, enum backing *backing);
/* The size of its pages; BACKING_AUTO has none (0). */
uint64_t backing_page_bytes(enum backing backing);

/*
 * What the host has; read from sysfs, procfs and cgroupfs at the moment of the call. What cannot be
 * read is 0 (and not checked against).
 */
struct backing_host {
	uint64_t hugetlb_2m_free,
		hugetlb_2m_total; /* pages; free is less what others have reserved */
	uint64_t hugetlb_1g_free, hugetlb_1g_total;
	bool thp; /* enabled is "always" or "madvise" */
	uint64_t memory_available_bytes, memory_total_bytes;

	uint64_t hugetlb_2m_spare, hugetlb_1g_spare; /* pages a pool may grow by when asked
							(nr_overcommit_hugepages) */
	bool hugetlb_2m_missing, hugetlb_1g_missing; /* the host has no such pool at all */
	uint64_t memory_limit_bytes; /* the smallest memory.max of our cgroups (v2); 0: none */
};

void backing_probe_host(struct backing_host *host);

/* The same for one call of backing_choose() with these arguments: what that does not look at is
 * left 0. Each file not read spares a start about 15 thousand instructions. */
void backing_probe_for(struct backing_host *host, enum backing wanted, uint64_t bytes);

/*
 * Whether memory that asks for it (MADV_HUGEPAGE) gets small pages in larger pieces, of 16 KiB to 1
 * MiB: multi-size THP, Linux 6.8. A fault then serves a piece, not a page (mem/populate.h).
 */
enum backing_folios {
	BACKING_FOLIOS_MISSING, /* the kernel cannot, or does not tell */
	BACKING_FOLIOS_OFF,
	BACKING_FOLIOS_ON,
};

/* Reads it from directory, which ends with a slash; NULL: what sysfs says of this host, and OFF
 * where this process has no THP (PR_SET_THP_DISABLE). *bytes: 64 KiB where they are on, else
 * another size that is, else 0. */
enum backing_folios backing_probe_folios(const char *directory, uint64_t *bytes);

/*
 * Turns BACKING_AUTO into one that has room for bytes, and checks one that was asked for. *chosen
 * is untouched on failure. Errors name what is short and the command that mends it: -ENOMEM (pool
 * or memory too short), -EINVAL (bytes is not a multiple of the page size), -EOPNOTSUPP (THP off,
 * no such pool). populate: all of it will be populated now, so MemAvailable and the cgroup's limit
 * must hold it with a margin for page tables; without, MemTotal must.
 */
int backing_choose(enum backing wanted, uint64_t bytes, bool populate,
		   const struct backing_host *host, enum backing *chosen, struct error *error);

#endif
