/* SPDX-License-Identifier: Apache-2.0 */
/* backing_host: what the host has, from sysfs, procfs and cgroupfs. */
#include "mem/backing.h"

#include <errno.h>
#include <limits.h>
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

/* Whether one of the switches lets memory that asks for it have larger pages. */
static bool is_for_advised(const char *path, char *text, size_t bytes)
{
	return fd_read_text(path, text, bytes) > 0 &&
	       (is_selected(text, "always") || is_selected(text, "madvise"));
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
	return is_for_advised(THP_DIRECTORY "enabled", text, sizeof(text));
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

enum backing_folios backing_probe_folios(const char *directory, uint64_t *bytes)
{
	static const unsigned int sizes_kib[] = { 64, 128, 256, 512, 1024, 32, 16 };
	enum backing_folios found = BACKING_FOLIOS_MISSING;
	char path[PATH_MAX], text[128];

	*bytes = 0;
	if (!directory && prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1)
		return BACKING_FOLIOS_OFF;
	if (!directory)
		directory = THP_DIRECTORY;
	for (size_t i = 0; i < ARRAY_SIZE(sizes_kib); i++) {
		bool on;

		snprintf(path, sizeof(path), "%shugepages-%ukB/enabled", directory, sizes_kib[i]);
		text[0] = '\0';
		on = is_for_advised(path, text, sizeof(text));
		if (!on && !is_selected(text, "inherit") && !is_selected(text, "never"))
			continue; /* not there, not readable, or nothing we know */
		found = BACKING_FOLIOS_OFF;
		snprintf(path, sizeof(path), "%senabled", directory);
		if (!on && is_selected(text, "inherit"))
			on = is_for_advised(path, text, sizeof(text));
		if (on) {
			*bytes = sizes_kib[i] * KIB;
			return BACKING_FOLIOS_ON;
		}
	}
	return found;
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
