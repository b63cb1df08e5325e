/* SPDX-License-Identifier: Apache-2.0 */
/* vcpu: a vCPU and its thread: run, kick, stop. */
#include "vmm/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/thread.h"
#include "vmm/kvm.h"

int vcpu_init(struct vcpu *vcpu, int vm_fd, uint32_t id, int page_bytes, struct error *error)
{
	struct kvm_run *run;
	int fd = kvm_create_vcpu(vm_fd, id);

	if (fd < 0)
		return error_set(error, -fd, "KVM cannot create vCPU %u: %s", id, error_name(-fd));
	run = mmap(NULL, (size_t)page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (run == MAP_FAILED) {
		int code = errno;

		close(fd);
		return error_set(error, code, "cannot map the page of vCPU %u: %s", id,
				 error_name(code));
	}
	*vcpu = (struct vcpu){
		.id = id,
		.fd = fd,
		.stats_fd = kvm_stats_fd(fd),
		.page = { .run = run, .bytes = (size_t)page_bytes },
	};
	return 0;
}

void vcpu_fini(struct vcpu *vcpu)
{
	if (vcpu->page.run)
		munmap(vcpu->page.run, vcpu->page.bytes);
	fd_close(&vcpu->stats_fd);
	fd_close(&vcpu->fd);
	vcpu->page.run = NULL;
}

/* The kick: blocked outside KVM_RUN, where it stays pending; unblocked inside, where it ends
 * KVM_RUN with EINTR. No handler runs. */
static int prepare_kick(const struct vcpu *vcpu, sigset_t *kick)
{
	sigset_t all, inside;

	sigemptyset(kick);
	sigaddset(kick, vcpu->owner.kick_signal);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	inside = all;
	sigdelset(&inside, vcpu->owner.kick_signal);
	return kvm_set_signal_mask(vcpu->fd, &inside);
}

static void drain_kick(const sigset_t *kick)
{
	const struct timespec now = { 0 };

	while (sigtimedwait(kick, NULL, &now) > 0)
		;
}

static void count_exit(struct vcpu *vcpu)
{
	uint32_t reason = vcpu->page.run->exit_reason;
	_Atomic uint64_t *count = &vcpu->exits[reason < EXIT_REASONS ? reason : KVM_EXIT_UNKNOWN];

	/* The only writer is this thread: a load and a store, no locked addition. */
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

/* One round in the guest; false when the thread is to end. */
static bool run_once(struct vcpu *vcpu, const sigset_t *kick)
{
	enum exit_verdict verdict;
	const char *why = NULL;
	int ret = kvm_run(vcpu->fd);

	if (ret == -EINTR || ret == -EAGAIN) {
		atomic_fetch_add_explicit(&vcpu->interrupted, 1, memory_order_relaxed);
		drain_kick(kick);
		return true;
	}
	if (ret < 0) {
		vcpu->owner.fail(vcpu->owner.opaque, vcpu, -ret);
		return false;
	}
	count_exit(vcpu);
	verdict = exit_handle(vcpu->owner.target, &vcpu->page, &why);
	if (verdict == EXIT_CONTINUE)
		return true;
	vcpu->owner.end(vcpu->owner.opaque, vcpu, verdict, why);
	return false;
}

static void *vcpu_thread(void *argument)
{
	struct vcpu *vcpu = argument;
	sigset_t kick;
	int ret = prepare_kick(vcpu, &kick);

	if (ret) {
		vcpu->owner.fail(vcpu->owner.opaque, vcpu, -ret);
		return NULL;
	}
	thread_leave_rseq();
	vcpu->owner.first_run(vcpu->owner.opaque, vcpu);
	while (!atomic_load_explicit(&vcpu->stop, memory_order_acquire) && run_once(vcpu, &kick))
		;
	return NULL;
}

int vcpu_start(struct vcpu *vcpu, const struct vcpu_owner *owner, struct error *error)
{
	char name[16];
	sigset_t all, before;
	int code;

	vcpu->owner = *owner;
	/* The thread is born with everything blocked, so that no signal of the embedder lands in
	 * it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code)
		return error_set(error, code, "cannot start the thread of vCPU %u: %s", vcpu->id,
				 error_name(code));
	vcpu->started = true;
	snprintf(name, sizeof(name), "stet-vcpu%u", vcpu->id);
	pthread_setname_np(vcpu->thread, name);
	return 0;
}

void vcpu_stop(struct vcpu *vcpu)
{
	atomic_store_explicit(&vcpu->stop, true, memory_order_release);
	if (vcpu->started)
		pthread_kill(vcpu->thread, vcpu->owner.kick_signal);
}

void vcpu_join(struct vcpu *vcpu)
{
	if (!vcpu->started)
		return;
	pthread_join(vcpu->thread, NULL);
	vcpu->started = false;
}
