/* SPDX-License-Identifier: Apache-2.0 */
/* ram_huge: how much of guest RAM lies on huge pages. */
#include "mem/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"

/* Sums AnonHugePages over the mappings that lie in [first, end). */
struct smaps_sum {
	uint64_t first, end;
	bool inside; /* the lines are of such a mapping */
	uint64_t huge_bytes;
};

static void take_line(struct smaps_sum *sum, const char *line)
{
	unsigned long long first, end, kib;

	if (sscanf(line, "%llx-%llx ", &first, &end) == 2)
		sum->inside = first >= sum->first && end <= sum->end;
	else if (sum->inside && sscanf(line, "AnonHugePages: %llu kB", &kib) == 1)
		sum->huge_bytes += kib * KIB;
}

/* Takes the whole lines of data and returns how many bytes they were. A line that fills the buffer
 * (a very long path) is taken as it is. */
static size_t take_lines(struct smaps_sum *sum, char *data, size_t bytes, size_t capacity)
{
	size_t taken = 0;

	while (taken < bytes) {
		char *newline = memchr(data + taken, '\n', bytes - taken);

		if (!newline && (taken || bytes < capacity))
			break;
		if (!newline)
			return bytes;
		*newline = '\0';
		take_line(sum, data + taken);
		taken = (size_t)(newline - data) + 1;
	}
	return taken;
}

static void read_smaps(struct smaps_sum *sum)
{
	int fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
	size_t bytes = 0, taken;
	char data[8192];

	if (fd < 0)
		return;
	for (;;) {
		ssize_t got = read(fd, data + bytes, sizeof(data) - bytes);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		bytes += (size_t)got;
		taken = take_lines(sum, data, bytes, sizeof(data));
		bytes -= taken;
		memmove(data, data + taken, bytes);
	}
	fd_close(&fd);
}

uint64_t ram_huge_bytes(const struct ram *ram)
{
	struct smaps_sum sum = { .first = (uintptr_t)ram->host,
				 .end = (uintptr_t)ram->host + ram->mapped_bytes };

	if (ram->backing == BACKING_HUGETLB_1G || ram->backing == BACKING_HUGETLB_2M)
		return ram->bytes;
	if (ram->backing != BACKING_THP)
		return 0;
	read_smaps(&sum);
	return sum.huge_bytes;
}
