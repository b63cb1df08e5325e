/* SPDX-License-Identifier: Apache-2.0 */
/* exit: a table from exit reason to a small handler that takes the exit: no KVM is needed to test
 * it. */
#ifndef VMM_EXIT_H
#define VMM_EXIT_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/bus.h"

struct deferred;

/* Reasons from 0 to EXIT_REASONS - 1 are counted each; what is beyond is counted with
 * KVM_EXIT_UNKNOWN. */
#define EXIT_REASONS 48

/* What handlers work on. Read-only while vCPUs run, but for the buses' counters. */
struct exit_target {
	struct bus *pio;
	struct bus *mmio;
	struct deferred *deferred; /* handled before each access; NULL: there are none */
};

enum exit_verdict {
	EXIT_CONTINUE, /* enter the guest again */
	EXIT_POWEROFF,
	EXIT_RESET,
	EXIT_CRASH, /* the guest cannot go on; why says what happened */
};

/* The run page as KVM shares it with user space: the structure, and all bytes of the mapping (PIO
 * data lies behind it). */
struct exit_page {
	struct kvm_run *run;
	size_t bytes;
};

/*
 * Handles one exit. why is set (a constant string) where the verdict is EXIT_CRASH. What the kernel
 * says of sizes and offsets in the page is checked, so that a handler never leaves it.
 */
enum exit_verdict exit_handle(const struct exit_target *target, const struct exit_page *page,
			      const char **why);

/* "io", "mmio", "shutdown"...: stable names for statistics; NULL for a number that has none. */
const char *exit_reason_name(uint32_t reason);

#endif
