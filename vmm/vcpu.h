/* SPDX-License-Identifier: Apache-2.0 */
/* vcpu: a vCPU and its thread: run, kick, stop. */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "vmm/exit.h"

struct vcpu;

/* What a vCPU asks of its VM. All are called on the vCPU's own thread. */
struct vcpu_owner {
	const struct exit_target *target;
	/* Once, just before the first KVM_RUN of this vCPU. */
	void (*first_run)(void *opaque, struct vcpu *vcpu);
	/* The guest ends the machine, or cannot go on (why is set); the thread returns after it. */
	void (*end)(void *opaque, struct vcpu *vcpu, enum exit_verdict verdict, const char *why);
	/* KVM_RUN failed: code is a positive errno. */
	void (*fail)(void *opaque, struct vcpu *vcpu, int code);
	void *opaque;
	int kick_signal;
};

/*
 * Owner: the VM. fd, page and stats_fd are set up by vcpu_init() and do not change. exits is
 * written by the thread only and read by anyone, relaxed.
 */
struct vcpu {
	uint32_t id;
	int fd;
	int stats_fd; /* -1 where the kernel has no binary statistics */
	struct exit_page page;
	struct vcpu_owner owner;
	pthread_t thread;
	bool started;
	atomic_bool stop;
	_Atomic uint64_t exits[EXIT_REASONS]; /* to user space, by reason */
	_Atomic uint64_t interrupted;         /* KVM_RUN returned for a signal */
};

/* Creates the vCPU in KVM. On failure everything is undone. */
int vcpu_init(struct vcpu *vcpu, int vm_fd, uint32_t id, int page_bytes, struct error *error);
/* The thread must have been joined. A zeroed vcpu whose fd is -1 is fine. */
void vcpu_fini(struct vcpu *vcpu);

/* Starts the thread, which runs the guest at once. */
int vcpu_start(struct vcpu *vcpu, const struct vcpu_owner *owner, struct error *error);
/* Makes the thread leave the guest and end, soon. Any thread, any number of times. */
void vcpu_stop(struct vcpu *vcpu);
/* Waits for the thread's end; not from the thread itself. */
void vcpu_join(struct vcpu *vcpu);

#endif
