/* SPDX-License-Identifier: Apache-2.0 */
/* watch: what changes the stage 2 of another process's VM. */
#include "vmm/watch.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "vmm/causes.h"
#include "vmm/stats.h"

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

/* What KVM calls the descriptor in /proc/PID/fd. */
#define STATS_LINK "kvm-vm-stats"

struct stet_watch {
	int pid;
	int pid_fd;
	int stats_fd; /* a duplicate of the process's own */
	struct stats_layout layout;
	uint64_t values[VM_STAT_COUNT]; /* as of the last report */
	uint64_t causes[STATS_BUCKETS];
	uint64_t ns;
};

/* The number of the statistics descriptor in the process, or negative errno. */
static int find_stats(int pid)
{
	char path[300], link[128];
	int found = -ENOENT;
	struct dirent *entry;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	fds = opendir(path);
	if (!fds)
		return errno == ENOENT ? -ESRCH : errno == EACCES ? -EPERM : -errno;
	while (found < 0 && (entry = readdir(fds))) {
		ssize_t bytes;

		snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid, entry->d_name);
		bytes = readlink(path, link, sizeof(link) - 1);
		if (bytes <= 0)
			continue;
		link[bytes] = 0;
		if (strstr(link, STATS_LINK))
			found = (int)strtol(entry->d_name, NULL, 10);
	}
	closedir(fds);
	return found;
}

static int take_stats(struct stet_watch *watch)
{
	int number = find_stats(watch->pid);
	int fd;

	if (number < 0)
		return number;
	fd = (int)syscall(SYS_pidfd_getfd, watch->pid_fd, number, 0);
	if (fd < 0)
		return -errno;
	watch->stats_fd = fd;
	return stats_layout_vm(&watch->layout, fd);
}

static int explain(int ret, int pid, struct error *error)
{
	switch (-ret) {
	case ESRCH:
		return error_set(error, ESRCH, "there is no process %d", pid);
	case EPERM:
	case EACCES:
		return error_set(
			error, EPERM,
			"no right to look at process %d: be its user with ptrace allowed, or "
			"root",
			pid);
	case ENOENT:
		return error_set(error, ENOENT,
				 "process %d has no virtual machine with statistics (stet's have)",
				 pid);
	default:
		return error_set(error, -ret, "cannot look at process %d: %s", pid,
				 error_name(-ret));
	}
}

int watch_open(int pid, struct stet_watch **out, struct error *error)
{
	struct stet_watch *watch;
	int ret;

	if (pid <= 0)
		return error_set(error, EINVAL, "%d is no process", pid);
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return error_set(error, ENOMEM, "no memory for a watch");
	watch->pid = pid;
	watch->stats_fd = -1;
	watch->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	ret = watch->pid_fd < 0 ? -errno : take_stats(watch);
	if (ret) {
		watch_close(watch);
		return explain(ret, pid, error);
	}
	watch->ns = clock_ns();
	*out = watch;
	return 0;
}

void watch_close(struct stet_watch *watch)
{
	if (!watch)
		return;
	fd_close(&watch->stats_fd);
	fd_close(&watch->pid_fd);
	free(watch);
}

static bool has_ended(const struct stet_watch *watch)
{
	struct pollfd pid = { .fd = watch->pid_fd, .events = POLLIN };

	return poll(&pid, 1, 0) > 0;
}

/* One interval: differences for counters, the state now for pages. */
struct interval {
	uint64_t ns;
	uint64_t now[VM_STAT_COUNT], since[VM_STAT_COUNT];
	bool has_causes;
	uint64_t causes[STATS_BUCKETS];
};

static int read_interval(struct stet_watch *watch, struct interval *interval)
{
	uint64_t causes[STATS_BUCKETS];
	int ret = stats_read(&watch->layout, watch->stats_fd, interval->now);

	if (ret)
		return ret;
	for (uint32_t i = 0; i < VM_STAT_COUNT; i++)
		interval->since[i] = interval->now[i] - watch->values[i];
	memcpy(watch->values, interval->now, sizeof(watch->values));
	interval->ns = clock_ns() - watch->ns;
	watch->ns += interval->ns;
	interval->has_causes = !stats_read_histogram(&watch->layout, watch->stats_fd, causes);
	for (uint32_t i = 0; interval->has_causes && i < STATS_BUCKETS; i++) {
		interval->causes[i] = causes[i] - watch->causes[i];
		watch->causes[i] = causes[i];
	}
	return 0;
}

/* What a stock kernel does not count is null. */
static void json_counter(struct text *text, const char *name, const struct interval *interval,
			 enum vm_stat stat)
{
	if (interval->has_causes)
		json_u64(text, name, interval->since[stat]);
	else
		json_null(text, name);
}

static void print_json(const struct stet_watch *watch, const struct interval *interval,
		       struct text *text)
{
	json_begin_object(text, NULL);
	json_u64(text, "schema", 1);
	json_u64(text, "pid", (uint64_t)watch->pid);
	json_u64(text, "interval_ns", interval->ns);
	json_begin_object(text, "pages");
	json_u64(text, "4k", interval->now[VM_STAT_PAGES_4K]);
	json_u64(text, "2m", interval->now[VM_STAT_PAGES_2M]);
	json_u64(text, "1g", interval->now[VM_STAT_PAGES_1G]);
	json_end_object(text);
	json_bool(text, "causes_visible", interval->has_causes);
	json_counter(text, "relevant", interval, VM_STAT_MN_HIT);
	json_counter(text, "spurious", interval, VM_STAT_MN_SPURIOUS);
	json_counter(text, "ns", interval, VM_STAT_MN_HIT_NS);
	json_begin_array(text, "by_cause");
	for (uint32_t i = 0; i < STATS_BUCKETS; i++) {
		if (!interval->causes[i])
			continue;
		json_begin_object(text, NULL);
		json_string(text, "who", cause_who(cause_who_of(i)));
		json_string(text, "event", cause_event(cause_event_of(i)));
		json_u64(text, "count", interval->causes[i]);
		json_string(text, "remedy", cause_remedy(cause_who_of(i), cause_event_of(i)));
		json_end_object(text);
	}
	json_end_array(text);
	json_end_object(text);
	text_printf(text, "\n");
}

static void print_table(const struct interval *interval, struct text *text)
{
	text_printf(text, "%8.3f s  pages %" PRIu64 " x 4K, %" PRIu64 " x 2M, %" PRIu64 " x 1G",
		    (double)interval->ns / 1e9, interval->now[VM_STAT_PAGES_4K],
		    interval->now[VM_STAT_PAGES_2M], interval->now[VM_STAT_PAGES_1G]);
	if (!interval->has_causes) {
		text_printf(text, "  (causes need a KVM with stet's patches: tools/host-kernel)\n");
		return;
	}
	text_printf(text, "  invalidations %" PRIu64 " (%.3f ms), beside it %" PRIu64 "\n",
		    interval->since[VM_STAT_MN_HIT],
		    (double)interval->since[VM_STAT_MN_HIT_NS] / 1e6,
		    interval->since[VM_STAT_MN_SPURIOUS]);
	for (uint32_t i = 0; i < STATS_BUCKETS; i++)
		if (interval->causes[i])
			text_printf(text, "  %8" PRIu64 " by %s, %s\n           -> %s\n",
				    interval->causes[i], cause_who(cause_who_of(i)),
				    cause_event(cause_event_of(i)),
				    cause_remedy(cause_who_of(i), cause_event_of(i)));
}

int watch_report(struct stet_watch *watch, enum stet_format format, struct text *text,
		 struct error *error)
{
	struct interval interval = { 0 };
	int ret;

	if (has_ended(watch))
		return error_set(error, ESRCH, "process %d has ended", watch->pid);
	ret = read_interval(watch, &interval);
	if (ret)
		return error_set(error, -ret, "the statistics of process %d cannot be read: %s",
				 watch->pid, error_name(-ret));
	if (format == STET_FORMAT_JSON)
		print_json(watch, &interval, text);
	else
		print_table(&interval, text);
	return 0;
}
