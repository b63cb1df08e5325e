/* SPDX-License-Identifier: Apache-2.0 */
/* ram: allocates and owns guest RAM, and turns guest-physical addresses into pointers. */
#include "mem/ram.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/mman.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "base/fd.h"
#include "base/num.h"
#include "mem/numa.h"

#define GUARD_BYTES (64 * KIB)

static bool is_hugetlb(enum backing backing)
{
	return backing == BACKING_HUGETLB_1G || backing == BACKING_HUGETLB_2M;
}

int ram_check_bytes(uint64_t bytes, struct error *error)
{
	if (bytes < LAYOUT_RAM_BYTES_MIN || bytes > LAYOUT_RAM_BYTES_MAX)
		return error_set(error, EINVAL,
				 "memory must be %llu MiB to %llu GiB, not %" PRIu64 " bytes",
				 (unsigned long long)(LAYOUT_RAM_BYTES_MIN / MIB),
				 (unsigned long long)(LAYOUT_RAM_BYTES_MAX / GIB), bytes);
	if (!num_is_aligned(bytes, LAYOUT_HUGE_PAGE_BYTES))
		return error_set(error, EINVAL,
				 "memory must be a multiple of 2 MiB, not %" PRIu64 " bytes",
				 bytes);
	return 0;
}

/*
 * Address space for the memory, what aligning it may cost, and guards; then the memory in its
 * middle is made accessible. (Mapping anew with MAP_FIXED instead could leave a hole for another
 * thread's mapping where it fails.) It is accounted by the second step, as memory that is used.
 */
static int map_anonymous(struct ram *ram, struct error *error)
{
	uint64_t align = LAYOUT_HUGE_PAGE_BYTES;
	uint64_t bytes = ram->bytes + align + 2 * GUARD_BYTES;
	uint8_t *reserved;

	reserved = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (reserved == MAP_FAILED)
		goto fail;
	ram->reserved = reserved;
	ram->reserved_bytes = bytes;
	ram->host = reserved + GUARD_BYTES;
	ram->host += -(uintptr_t)ram->host & (align - 1);
	if (mprotect(ram->host, ram->bytes, PROT_READ | PROT_WRITE))
		goto fail;
	return 0;
fail:
	return error_set(error, errno,
			 "cannot map %" PRIu64 " MiB of memory: %s (limits: ulimit -v, "
			 "vm.overcommit_memory)",
			 ram->bytes / MIB, error_name(errno));
}

/* Maps a guard at exactly that place, where nothing else is. */
static bool map_guard(uint8_t *at)
{
	void *guard = mmap(at, GUARD_BYTES, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (guard != MAP_FAILED && guard != at)
		munmap(guard, GUARD_BYTES); /* before Linux 4.17 the address is only a hint */
	return guard == at;
}

/* Says why there are no pages: what the pool lacks, if that is it. */
static int hugetlb_error(const struct ram *ram, int code, struct error *error)
{
	struct backing_host host;
	enum backing chosen;
	int rc;

	backing_probe_host(&host);
	rc = backing_choose(ram->backing, ram->bytes, false, &host, &chosen, error);
	if (rc)
		return rc;
	return error_set(error, code,
			 "cannot reserve %" PRIu64
			 " MiB of %s pages: %s (others may have taken them, "
			 "or a cpuset or hugetlb cgroup limits this process)",
			 ram->bytes / MIB, backing_name(ram->backing), error_name(code));
}

/* The kernel aligns it to its page size and reserves its pages now: there is no MAP_NORESERVE. */
static int map_hugetlb(struct ram *ram, struct error *error)
{
	int size = ram->backing == BACKING_HUGETLB_1G ? MAP_HUGE_1GB : MAP_HUGE_2MB;
	uint8_t *host;

	host = mmap(NULL, ram->bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | size, -1, 0);
	if (host == MAP_FAILED)
		return hugetlb_error(ram, errno, error);
	ram->host = host;
	ram->reserved = host;
	ram->reserved_bytes = ram->bytes;
	if (map_guard(host - GUARD_BYTES)) {
		ram->reserved = host - GUARD_BYTES;
		ram->reserved_bytes += GUARD_BYTES;
	}
	if (map_guard(host + ram->bytes))
		ram->reserved_bytes += GUARD_BYTES;
	return 0;
}

/*
 * All of this comes before the first page: populating first would fill it with small ones. A
 * kernel without KSM or THP has no such advice and needs none (BACKING_THP was checked before).
 */
static int advise(const struct ram *ram, struct error *error)
{
	static const struct {
		int advice;
		bool optional;
		const char *name;
	} common[] = {
		{ MADV_DONTFORK, false, "MADV_DONTFORK" },
		{ MADV_DONTDUMP, false, "MADV_DONTDUMP" },
		{ MADV_UNMERGEABLE, true, "MADV_UNMERGEABLE" },
	};
	unsigned int i;

	if (ram->backing == BACKING_THP && madvise(ram->host, ram->bytes, MADV_HUGEPAGE))
		return error_set(error, EOPNOTSUPP, "this kernel has no transparent huge pages: %s",
				 error_name(errno));
	if (ram->backing == BACKING_4K && madvise(ram->host, ram->bytes, MADV_NOHUGEPAGE) &&
	    errno != EINVAL)
		return error_set(error, errno, "madvise(MADV_NOHUGEPAGE): %s", error_name(errno));
	for (i = 0; i < ARRAY_SIZE(common); i++)
		if (madvise(ram->host, ram->bytes, common[i].advice) && !common[i].optional)
			return error_set(error, errno, "madvise(%s): %s", common[i].name,
					 error_name(errno));
	return 0;
}

static void fill_ranges(struct ram *ram)
{
	struct layout_range ranges[LAYOUT_RAM_RANGES_MAX];
	uint8_t *host = ram->host;
	uint32_t i;

	/* One range after the other in the mapping: the lengths of all but the last are multiples
	 * of 1 GiB, so all of them stay congruent with their addresses. */
	ram->range_count = (uint32_t)layout_ram_ranges(ram->bytes, ranges);
	for (i = 0; i < ram->range_count; i++) {
		ram->ranges[i] = (struct ram_range){ ranges[i].gpa, ranges[i].bytes, host };
		host += ranges[i].bytes;
	}
}

int ram_init(struct ram *ram, uint64_t bytes, enum backing backing, struct error *error)
{
	int rc;

	memset(ram, 0, sizeof(*ram));
	rc = ram_check_bytes(bytes, error);
	if (rc)
		return rc;
	if (!backing_page_bytes(backing))
		return error_set(error, EINVAL, "memory of kind \"%s\" cannot be mapped",
				 backing_name(backing));
	if (!num_is_aligned(bytes, backing_page_bytes(backing)))
		return error_set(error, EINVAL, "memory of kind %s must be a multiple of 1 GiB",
				 backing_name(backing));
	ram->bytes = bytes;
	ram->mapped_bytes = bytes;
	ram->backing = backing;
	if (backing == BACKING_4K)
		backing_probe_folios(NULL, &ram->folio_bytes);
	rc = is_hugetlb(backing) ? map_hugetlb(ram, error) : map_anonymous(ram, error);
	if (rc)
		goto fail;
	rc = advise(ram, error);
	if (rc)
		goto fail;
	ram->numa_pinned = is_hugetlb(backing) || numa_pin(ram->host, bytes);
	fill_ranges(ram);
	return 0;
fail:
	ram_fini(ram);
	return rc;
}

int ram_init_wanted(struct ram *ram, uint64_t bytes, enum backing wanted, bool populate,
		    struct error *error)
{
	struct backing_host host;
	enum backing backing;
	int rc;

	memset(ram, 0, sizeof(*ram));
	rc = ram_check_bytes(bytes, error);
	if (rc)
		return rc;
	backing_probe_for(&host, wanted, bytes);
	rc = backing_choose(wanted, bytes, populate, &host, &backing, error);
	if (rc)
		return rc;
	rc = ram_init(ram, bytes, backing, error);
	if (rc != -ENOMEM || wanted != BACKING_AUTO || backing != BACKING_HUGETLB_2M)
		return rc;
	/* Another took the pages since, or a limit of ours keeps them from us. */
	backing_probe_host(&host);
	host.hugetlb_2m_free = 0;
	rc = backing_choose(wanted, bytes, populate, &host, &backing, error);
	return rc ? rc : ram_init(ram, bytes, backing, error);
}

void ram_fini(struct ram *ram)
{
	if (ram->reserved)
		munmap(ram->reserved, ram->reserved_bytes);
	memset(ram, 0, sizeof(*ram));
}

/*
 * Where a host has no swap and lets compaction move locked pages, a lock changes nothing. It costs
 * nothing either, except for small pages, when they are given back (700 instructions each).
 */
static bool is_lock_useful(const struct ram *ram)
{
	struct sysinfo info;
	char text[16];

	if (ram->backing != BACKING_4K)
		return true;
	if (sysinfo(&info) || info.totalswap)
		return true;
	return fd_read_text("/proc/sys/vm/compact_unevictable_allowed", text, sizeof(text)) < 0 ||
	       text[0] == '0';
}

void ram_lock(struct ram *ram)
{
	if (is_hugetlb(ram->backing) || !is_lock_useful(ram))
		return;
	/* MLOCK_ONFAULT: locking populates nothing. */
	ram->locked = mlock2(ram->host, ram->mapped_bytes, MLOCK_ONFAULT) == 0;
}

void ram_settle(struct ram *ram)
{
	/* A kernel that cannot make them cannot be told not to. */
	if (ram->folio_bytes)
		madvise(ram->host, ram->bytes, MADV_NOHUGEPAGE);
	ram->folio_bytes = 0;
}

void *ram_ptr(const struct ram *ram, uint64_t gpa, uint64_t bytes)
{
	uint32_t i;

	if (bytes == 0)
		return NULL;
	for (i = 0; i < ram->range_count; i++) {
		const struct ram_range *range = &ram->ranges[i];
		/* Wraps to more than any range's length where gpa lies below the range. */
		uint64_t offset = gpa - range->gpa;

		if (num_within(offset, bytes, range->bytes))
			return range->host + offset;
	}
	return NULL;
}

bool ram_write(const struct ram *ram, uint64_t gpa, const void *data, uint64_t bytes)
{
	void *to;

	if (bytes == 0)
		return true;
	to = ram_ptr(ram, gpa, bytes);
	if (!to)
		return false;
	memcpy(to, data, bytes);
	return true;
}

uint64_t ram_low_end(const struct ram *ram)
{
	return ram->ranges[0].bytes;
}
