/* SPDX-License-Identifier: Apache-2.0 */
/* backing_host: what the host has, from sysfs, procfs and cgroupfs. */
#include "mem/backing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/fd.h"
#include "base/num.h"

#define THP_DIRECTORY     "/sys/kernel/mm/transparent_hugepage/"
#define POOL_DIRECTORY    "/sys/kernel/mm/hugepages/hugepages-"
#define CGROUP_MOUNT      "/sys/fs/cgroup"
#define CGROUP_LEVELS_MAX 32

/* The decimal number at the beginning of a file. False where there is none. */
static bool read_number(const char *path, uint64_t *number)
{
	char text[64], *end;
	unsigned long long value;

	if (fd_read_text(path, text, sizeof(text)) < 0)
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (end == text || errno || text[0] == '-')
		return false;
	*number = value;
	return true;
}

static uint64_t pool_number(const char *size, const char *name)
{
	uint64_t number = 0;
	char path[128];

	snprintf(path, sizeof(path), POOL_DIRECTORY "%s/%s", size, name);
	read_number(path, &number);
	return number;
}

/*
 * One pool; its size and what it may grow by only where it has less than wanted pages. The numbers
 * are read one after the other and may not fit together: hence no plain differences. False where
 * there is no such pool.
 */
static bool probe_pool(const char *size, uint64_t wanted, uint64_t *free, uint64_t *total,
		       uint64_t *spare)
{
	uint64_t used;
	char path[128];

	snprintf(path, sizeof(path), POOL_DIRECTORY "%s/free_hugepages", size);
	if (!read_number(path, free))
		return false;
	if (*free) {
		used = pool_number(size, "resv_hugepages");
		*free -= num_min(used, *free);
	}
	if (*free >= wanted)
		return true;
	*total = num_max(pool_number(size, "nr_hugepages"), *free);
	*spare = pool_number(size, "nr_overcommit_hugepages");
	if (*spare) {
		used = pool_number(size, "surplus_hugepages");
		*spare -= num_min(used, *spare);
	}
	return true;
}

static void probe_2m(struct backing_host *host, uint64_t wanted)
{
	host->hugetlb_2m_missing = !probe_pool("2048kB", wanted, &host->hugetlb_2m_free,
					       &host->hugetlb_2m_total, &host->hugetlb_2m_spare);
}

static void probe_1g(struct backing_host *host, uint64_t wanted)
{
	host->hugetlb_1g_missing = !probe_pool("1048576kB", wanted, &host->hugetlb_1g_free,
					       &host->hugetlb_1g_total, &host->hugetlb_1g_spare);
}

/* The word in brackets is the one in force: "always [madvise] never". */
static bool is_selected(const char *text, const char *word)
{
	const char *open = strchr(text, '[');
	size_t bytes = strlen(word);

	return open && strncmp(open + 1, word, bytes) == 0 && open[1 + bytes] == ']';
}

/* Linux 6.8 and later have a switch for each size; "inherit" means the old one. */
static bool probe_thp(void)
{
	char text[128];

	if (prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1)
		return false;
	if (fd_read_text(THP_DIRECTORY "hugepages-2048kB/enabled", text, sizeof(text)) > 0 &&
	    !is_selected(text, "inherit"))
		return is_selected(text, "always") || is_selected(text, "madvise");
	if (fd_read_text(THP_DIRECTORY "enabled", text, sizeof(text)) <= 0)
		return false;
	return is_selected(text, "always") || is_selected(text, "madvise");
}

/* "NAME: 123 kB" in /proc/meminfo; name begins with a newline so that it is found whole. */
static uint64_t meminfo_bytes(const char *meminfo, const char *name)
{
	const char *line = strstr(meminfo, name);
	uint64_t bytes;

	if (!line || !num_mul(strtoull(line + strlen(name), NULL, 10), KIB, &bytes))
		return 0;
	return bytes;
}

/* Whether memory without advice gets pages of that size. *known: false before Linux 6.8. */
static bool is_always(const char *size, bool *known)
{
	char path[128], text[128];

	snprintf(path, sizeof(path), THP_DIRECTORY "hugepages-%s/enabled", size);
	*known = fd_read_text(path, text, sizeof(text)) > 0;
	if (*known && is_selected(text, "inherit") &&
	    fd_read_text(THP_DIRECTORY "enabled", text, sizeof(text)) <= 0)
		return false;
	return *known && is_selected(text, "always");
}

bool backing_small_folios(void)
{
	static const char *const sizes[] = { "64kB", "1024kB", "512kB", "256kB", "128kB", "32kB" };
	bool known;

	if (is_always("2048kB", &known) || !known)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		if (is_always(sizes[i], &known))
			return true;
	return false;
}

static void probe_memory(struct backing_host *host)
{
	char text[8192]; /* the file is 1.5 KiB */

	text[0] = '\n';
	if (fd_read_text("/proc/meminfo", text + 1, sizeof(text) - 1) < 0)
		return;
	host->memory_total_bytes = meminfo_bytes(text, "\nMemTotal:");
	host->memory_available_bytes = meminfo_bytes(text, "\nMemAvailable:");
}

/* The smallest memory.max from our cgroup up to the root of what we see of the hierarchy. */
static uint64_t probe_cgroup_limit(void)
{
	char text[4096], path[4096 + 64];
	uint64_t limit, least = 0;
	unsigned int level;
	char *group, *slash;

	if (fd_read_text("/proc/self/cgroup", text, sizeof(text)) < 0)
		return 0;
	/* Version 2 has one line, "0::/PATH"; beside version 1 it is the last. */
	group = strstr(text, "0::/");
	if (!group || (group != text && group[-1] != '\n'))
		return 0;
	group += strlen("0::");
	group[strcspn(group, "\n")] = '\0';
	for (level = 0; level < CGROUP_LEVELS_MAX; level++) {
		snprintf(path, sizeof(path), CGROUP_MOUNT "%s/memory.max", group);
		/* "max" is no number: no limit. */
		if (read_number(path, &limit) && (!least || limit < least))
			least = num_max(limit, 1);
		slash = strrchr(group, '/');
		if (!slash)
			break;
		*slash = '\0';
	}
	return least;
}

void backing_probe_host(struct backing_host *host)
{
	memset(host, 0, sizeof(*host));
	probe_2m(host, UINT64_MAX);
	probe_1g(host, UINT64_MAX);
	host->thp = probe_thp();
	probe_memory(host);
	host->memory_limit_bytes = probe_cgroup_limit();
}

void backing_probe_for(struct backing_host *host, enum backing wanted, uint64_t bytes)
{
	uint64_t pages_2m = bytes / (2 * MIB);

	memset(host, 0, sizeof(*host));
	if (wanted == BACKING_HUGETLB_1G) {
		probe_1g(host, bytes / GIB);
		return;
	}
	if (wanted == BACKING_AUTO || wanted == BACKING_HUGETLB_2M)
		probe_2m(host, pages_2m);
	if (wanted == BACKING_HUGETLB_2M ||
	    (wanted == BACKING_AUTO && num_is_aligned(bytes, 2 * MIB) &&
	     pages_2m <= host->hugetlb_2m_free))
		return;
	if (wanted != BACKING_4K)
		host->thp = probe_thp();
	probe_memory(host);
	host->memory_limit_bytes = probe_cgroup_limit();
}
