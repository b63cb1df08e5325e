/* SPDX-License-Identifier: Apache-2.0 */
/* backing: names of the kinds of memory, and the choice of one that has room. */
#include "mem/backing.h"

#include <errno.h>
#include <inttypes.h>
#include <strings.h>

#include "base/num.h"

static const char *const names[BACKING_COUNT] = {
	[BACKING_AUTO] = "auto", [BACKING_HUGETLB_1G] = "hugetlb-1G",
	[BACKING_THP] = "thp",   [BACKING_HUGETLB_2M] = "hugetlb-2M",
	[BACKING_4K] = "4k",
};

const char *backing_name(enum backing backing)
{
	return (unsigned int)backing < BACKING_COUNT ? names[backing] : "unknown";
}

bool backing_parse(const char *name, enum backing *backing)
{
	unsigned int i;

	for (i = 0; i < BACKING_COUNT; i++) {
		if (strcasecmp(name, names[i]) == 0) {
			*backing = (enum backing)i;
			return true;
		}
	}
	return false;
}

uint64_t backing_page_bytes(enum backing backing)
{
	switch (backing) {
	case BACKING_HUGETLB_1G:
		return GIB;
	case BACKING_HUGETLB_2M:
	case BACKING_THP:
		return 2 * MIB;
	case BACKING_4K:
		return 4 * KIB;
	case BACKING_AUTO:
		break;
	}
	return 0;
}

/* Zeroing is not all that populating takes: page tables of the host and of KVM are 1/512 each where
 * pages are small, and the host shall not be left with nothing. */
static uint64_t populate_margin_bytes(uint64_t bytes)
{
	return 16 * MIB + bytes / 128;
}

static int check_memory(uint64_t bytes, bool populate, const struct backing_host *host,
			struct error *error)
{
	uint64_t need = bytes, mib = bytes / MIB;

	if (host->memory_total_bytes && bytes > host->memory_total_bytes)
		return error_set(error, ENOMEM,
				 "the guest's %" PRIu64 " MiB are more than the host's %" PRIu64
				 " MiB of memory: give it less",
				 mib, host->memory_total_bytes / MIB);
	if (!populate)
		return 0;
	if (!num_add(bytes, populate_margin_bytes(bytes), &need))
		need = UINT64_MAX;
	if (host->memory_limit_bytes && need > host->memory_limit_bytes)
		return error_set(error, ENOMEM,
				 "the guest's %" PRIu64
				 " MiB (with page tables) do not fit into this cgroup's limit of "
				 "%" PRIu64 " MiB: raise its memory.max or give the guest less",
				 mib, host->memory_limit_bytes / MIB);
	if (host->memory_total_bytes && need > host->memory_available_bytes)
		return error_set(
			error, ENOMEM,
			"the guest's %" PRIu64
			" MiB (with page tables) do not fit into the %" PRIu64
			" MiB the host has available (MemAvailable in /proc/meminfo): give "
			"it less, or end other programs",
			mib, host->memory_available_bytes / MIB);
	return 0;
}

/* One of the two pools, in its own terms. */
struct pool {
	uint64_t free, total, spare;
	bool missing;
	const char *size;      /* as the kernel's command line wants it */
	unsigned int size_kib; /* as sysfs names it */
};

static struct pool pool_of(enum backing backing, const struct backing_host *host)
{
	if (backing == BACKING_HUGETLB_1G)
		return (struct pool){ host->hugetlb_1g_free,
				      host->hugetlb_1g_total,
				      host->hugetlb_1g_spare,
				      host->hugetlb_1g_missing,
				      "1G",
				      1024 * 1024 };
	return (struct pool){ host->hugetlb_2m_free,
			      host->hugetlb_2m_total,
			      host->hugetlb_2m_spare,
			      host->hugetlb_2m_missing,
			      "2M",
			      2 * 1024 };
}

static int check_pool(enum backing backing, uint64_t bytes, const struct backing_host *host,
		      struct error *error)
{
	struct pool pool = pool_of(backing, host);
	uint64_t need = bytes / backing_page_bytes(backing);
	uint64_t total;

	if (pool.missing)
		return error_set(error, EOPNOTSUPP,
				 "this host has no huge pages of %s: its processor or kernel lacks "
				 "them",
				 pool.size);
	/* No sum here: free and spare come from files. */
	if (need <= pool.free || need - pool.free <= pool.spare)
		return 0;
	if (!num_add(pool.total, need - pool.free, &total))
		total = need;
	return error_set(
		error, ENOMEM,
		"%s needs %" PRIu64 " free huge pages, the pool has %" PRIu64 " of %" PRIu64
		": as root, echo %" PRIu64
		" > /sys/kernel/mm/hugepages/hugepages-%ukB/nr_hugepages, or boot the host "
		"with hugepagesz=%s hugepages=%" PRIu64,
		backing_name(backing), need, pool.free, pool.total, total, pool.size_kib, pool.size,
		total);
}

static int check_thp(const struct backing_host *host, struct error *error)
{
	if (host->thp)
		return 0;
	return error_set(error, EOPNOTSUPP,
			 "transparent huge pages are off: as root, echo madvise > "
			 "/sys/kernel/mm/transparent_hugepage/enabled (they can also be off for "
			 "one process: PR_SET_THP_DISABLE), or use other memory");
}

/* Pages that a pool could still be given do not count here: getting them may take long, or fail. */
static enum backing choose_auto(uint64_t bytes, const struct backing_host *host)
{
	if (num_is_aligned(bytes, 2 * MIB) && bytes / (2 * MIB) <= host->hugetlb_2m_free)
		return BACKING_HUGETLB_2M;
	if (num_is_aligned(bytes, 2 * MIB) && host->thp)
		return BACKING_THP;
	return BACKING_4K;
}

int backing_choose(enum backing wanted, uint64_t bytes, bool populate,
		   const struct backing_host *host, enum backing *chosen, struct error *error)
{
	enum backing backing = wanted == BACKING_AUTO ? choose_auto(bytes, host) : wanted;
	int rc = 0;

	if (!num_is_aligned(bytes, backing_page_bytes(backing)))
		return error_set(error, EINVAL,
				 "%" PRIu64 " bytes of memory are not a multiple of the %" PRIu64
				 " KiB of a page (%s)",
				 bytes, backing_page_bytes(backing) / KIB, backing_name(backing));
	if (backing == BACKING_THP)
		rc = check_thp(host, error);
	if (rc)
		return rc;
	if (backing == BACKING_HUGETLB_1G || backing == BACKING_HUGETLB_2M)
		rc = check_pool(backing, bytes, host, error);
	else
		rc = check_memory(bytes, populate, host, error);
	if (!rc)
		*chosen = backing;
	return rc;
}
