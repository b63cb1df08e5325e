/* SPDX-License-Identifier: Apache-2.0 */
/* notifier: counts MMU-notifier invalidations that hit guest memory. */
#include "vmm/notifier.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

#define EVENT_ID "events/kvm/kvm_unmap_hva_range/id"

/* The tracepoint's number, or negative errno. */
static int64_t event_id(void)
{
	static const char *const places[] = { "/sys/kernel/tracing/" EVENT_ID,
					      "/sys/kernel/debug/tracing/" EVENT_ID };
	int ret = -ENOENT;

	for (size_t i = 0; i < 2; i++) {
		char text[32];

		ret = fd_read_text(places[i], text, sizeof(text));
		if (ret > 0)
			return strtoll(text, NULL, 10);
	}
	return ret ? ret : -ENOENT;
}

static int open_event(int64_t id, int cpu, const char *filter)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.config = (uint64_t)id,
		.disabled = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	int code;

	if (fd < 0)
		return -errno;
	/* The filter first: nothing is counted without it. */
	if (!ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter) && !ioctl(fd, PERF_EVENT_IOC_ENABLE, 0))
		return fd;
	code = errno;
	close(fd);
	return -code;
}

static const char *open_all(struct notifier *notifier, int64_t id, const char *filter)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);

	if (cpus > NOTIFIER_CPUS_MAX)
		return "more CPUs than stet counts on";
	for (int cpu = 0; cpu < cpus; cpu++) {
		int fd = open_event(id, cpu, filter);

		if (fd == -ENODEV) /* offline */
			continue;
		if (fd == -EACCES || fd == -EPERM)
			return "no permission (CAP_PERFMON, or kernel.perf_event_paranoid=-1)";
		if (fd < 0)
			return "the kernel refuses to count kvm:kvm_unmap_hva_range";
		notifier->fds[notifier->fd_count++] = fd;
	}
	return NULL;
}

void notifier_init(struct notifier *notifier, const struct ram *ram)
{
	uint64_t begin = (uint64_t)(uintptr_t)ram->host;
	int64_t id = event_id();
	char filter[96];

	notifier->visible = false;
	notifier->fd_count = 0;
	if (id == -EACCES || id == -EPERM) {
		notifier->why = "no permission to read tracefs (be root)";
		return;
	}
	if (id < 0) {
		notifier->why = "tracefs is not mounted, or the kernel has no KVM tracepoints";
		return;
	}
	snprintf(filter, sizeof(filter), "start < %" PRIu64 " && end > %" PRIu64,
		 begin + ram->mapped_bytes, begin);
	notifier->why = open_all(notifier, id, filter);
	notifier->visible = !notifier->why;
	if (!notifier->visible)
		notifier_fini(notifier);
}

void notifier_fini(struct notifier *notifier)
{
	for (uint32_t i = 0; i < notifier->fd_count; i++)
		fd_close(&notifier->fds[i]);
	notifier->fd_count = 0;
}

uint64_t notifier_read(const struct notifier *notifier)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < notifier->fd_count; i++) {
		uint64_t count;

		if (read(notifier->fds[i], &count, sizeof(count)) == sizeof(count))
			sum += count;
	}
	return sum;
}
