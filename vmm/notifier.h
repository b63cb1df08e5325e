/* SPDX-License-Identifier: Apache-2.0 */
/* notifier: counts MMU-notifier invalidations that hit guest memory, from the host's tracepoint
 * kvm:kvm_unmap_hva_range. */
#ifndef VMM_NOTIFIER_H
#define VMM_NOTIFIER_H

#include <stdbool.h>
#include <stdint.h>

#include "mem/ram.h"

#define NOTIFIER_CPUS_MAX 256

/*
 * One counting perf event for each CPU, filtered by the kernel to the host addresses of guest RAM.
 * Needs tracefs and CAP_PERFMON (or kernel.perf_event_paranoid of -1); without them visible is
 * false and why says what is missing. Owner: the VM.
 */
struct notifier {
	bool visible;
	const char *why; /* a constant string, where not visible */
	uint32_t fd_count;
	int fds[NOTIFIER_CPUS_MAX];
};

/* Begins to count. Never fails: see visible. */
void notifier_init(struct notifier *notifier, const struct ram *ram);
void notifier_fini(struct notifier *notifier);

/* Invalidations since notifier_init(); 0 where not visible. Any thread. */
uint64_t notifier_read(const struct notifier *notifier);

#endif
