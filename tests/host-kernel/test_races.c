/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_races.c [SECONDS]: prefault against everything that may happen at the same time. What counts
 * is that all of it ends, that memory is right at the end, and that the kernel's log stays silent.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/host-kernel/machine.h"

#define RAM         (32ull << 20)
#define SPARE_GPA   (1ull << 30)
#define SPARE_BYTES (4ull << 20)
#define NR_CPUS     2

static struct machine m;
static void *spare;
static atomic_bool stop;
static atomic_uint rounds[8];
static atomic_uint unexpected;

/* EINTR, EAGAIN and, where slots and mappings come and go, ENOENT and EFAULT belong to the game. */
static void expect(int result)
{
	if (result && result != -EINTR && result != -EAGAIN && result != -ENOENT &&
	    result != -EFAULT) {
		note("unexpected result %d", result);
		atomic_fetch_add(&unexpected, 1);
	}
}

static void *prefault_vm_loop(void *argument)
{
	static const uint32_t flags[] = {
		0,
		STET_KVM_PREFAULT_WRITE,
		STET_KVM_PREFAULT_WRITE | STET_KVM_PREFAULT_ACCESSED,
		STET_KVM_PREFAULT_MMIO,
	};
	unsigned *count = argument;
	struct stet_kvm_prefault result;

	while (!atomic_load(&stop)) {
		if (kernel_is_patched()) {
			expect(prefault_vm(&m, 0, RAM, flags[*count % 4], &result));
			expect(prefault_vm(&m, SPARE_GPA, SPARE_BYTES, flags[*count % 4], &result));
			expect(prefault_vm(&m, 0xd0000000, 64 * PAGE, STET_KVM_PREFAULT_MMIO,
					   &result));
		}
		(*count)++;
		atomic_fetch_add(&rounds[0], 1);
	}
	return NULL;
}

static void *run_guest(void *argument)
{
	unsigned cpu = *(unsigned *)argument;

	while (!atomic_load(&stop)) {
		int r = guest_touch(&m, cpu, TOUCH_BASE, RAM, PAGE, true);

		/* Memory may be read-only or gone for a moment. */
		if (r && r != -EFAULT) {
			note("vCPU %u: %d", cpu, r);
			atomic_fetch_add(&unexpected, 1);
		}
		guest_touch(&m, cpu, 0xd0000000, 0xd0000000 + 64 * PAGE, PAGE, false);
		atomic_fetch_add(&rounds[1], 1);
	}
	return NULL;
}

static void *change_slots(void *argument)
{
	(void)argument;
	while (!atomic_load(&stop)) {
		set_slot(&m, 1, 0, SPARE_GPA, 0, spare);
		set_slot(&m, 1, 0, SPARE_GPA, SPARE_BYTES, spare);
		/* Dirty logging on and off splits and recovers huge pages. */
		set_slot(&m, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM, m.memory);
		usleep(2000);
		set_slot(&m, 0, 0, 0, RAM, m.memory);
		usleep(2000);
		atomic_fetch_add(&rounds[2], 1);
	}
	return NULL;
}

static void *change_memory(void *argument)
{
	unsigned i = 0;

	(void)argument;
	while (!atomic_load(&stop)) {
		uint64_t at = PAGE_2M + ((uint64_t)i * 7 % (RAM / PAGE_2M - 1)) * PAGE_2M;

		switch (i++ % 6) {
		case 0:
			madvise(m.memory + at, PAGE_2M, MADV_DONTNEED);
			break;
		case 1:
			madvise(m.memory + at + 17 * PAGE, PAGE, MADV_DONTNEED);
			break;
		case 2:
			mprotect(m.memory + at, PAGE_2M, PROT_READ);
			mprotect(m.memory + at, PAGE_2M, PROT_READ | PROT_WRITE);
			break;
		case 3:
			memset(m.memory + at + 5 * PAGE, (int)i, 3 * PAGE);
			break;
		case 4:
			madvise(m.memory + at, PAGE_2M, i & 64 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
			break;
		case 5:
			madvise(m.memory + at, PAGE_2M, 25 /* MADV_COLLAPSE */);
			break;
		}
		atomic_fetch_add(&rounds[3], 1);
	}
	return NULL;
}

static void *fork_children(void *argument)
{
	(void)argument;
	while (!atomic_load(&stop)) {
		pid_t child = fork();

		if (child == 0)
			_exit(0);
		if (child > 0)
			waitpid(child, NULL, 0);
		usleep(20000);
		atomic_fetch_add(&rounds[4], 1);
	}
	return NULL;
}

static void *prefault_cpu_loop(void *argument)
{
	(void)argument;
	/* A vCPU that is never run is the handle of the old ioctl; stock hangs when slots change.
	 */
	while (!atomic_load(&stop)) {
		if (kernel_is_patched())
			expect(prefault_cpu(&m, NR_CPUS, 0, RAM, 5));
		else
			usleep(1000);
		atomic_fetch_add(&rounds[5], 1);
	}
	return NULL;
}

static pthread_t all_threads[8];

static void *send_signals(void *argument)
{
	(void)argument;
	while (!atomic_load(&stop)) {
		pthread_kill(all_threads[0], SIGUSR1);
		usleep(700);
		pthread_kill(all_threads[1], SIGUSR1);
		usleep(1500);
		atomic_fetch_add(&rounds[6], 1);
	}
	return NULL;
}

static void nothing(int signal)
{
	(void)signal;
}

static void enable(uint32_t number, uint64_t value)
{
	struct kvm_enable_cap cap = { .cap = number, .args = { value } };

	if (kernel_is_patched() && ioctl(m.vm, KVM_ENABLE_CAP, &cap) < 0)
		atomic_fetch_add(&unexpected, 1);
}

static void test_all_at_once(unsigned seconds)
{
	static void *(*const loops[])(void *) = { prefault_vm_loop, prefault_vm_loop, run_guest,
						  run_guest,        change_slots,     change_memory,
						  fork_children,    prefault_cpu_loop };
	static unsigned arguments[8] = { 0, 1, 0, 1, 0, 0, 0, 0 };
	const struct sigaction action = { .sa_handler = nothing };
	pthread_t signaller;

	sigaction(SIGUSR1, &action, NULL);
	machine_create(&m, MEMORY_THP, RAM, NR_CPUS + 1);
	spare = mmap(NULL, SPARE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	enable(STET_KVM_CAP_FAULT_AROUND, 32);
	enable(STET_KVM_CAP_DIRTY_PREMAP, 1);
	/* The code page must stay what it is. */
	for (unsigned i = 0; i < 8; i++)
		pthread_create(&all_threads[i], NULL, loops[i], &arguments[i]);
	pthread_create(&signaller, NULL, send_signals, NULL);
	for (unsigned i = 0; i < seconds; i++) {
		sleep(1);
		enable(STET_KVM_CAP_FAULT_AROUND, 1u << (i % 10));
		enable(STET_KVM_CAP_DIRTY_PREMAP, i & 1);
	}
	atomic_store(&stop, true);
	pthread_join(signaller, NULL);
	for (unsigned i = 0; i < 8; i++)
		pthread_join(all_threads[i], NULL);
	note("rounds: prefault %u, guest %u, slots %u, memory %u, fork %u, vCPU prefault %u, signals %u",
	     rounds[0], rounds[1], rounds[2], rounds[3], rounds[4], rounds[5], rounds[6]);
	check(true, "everything at once for %u s ends", seconds);
	check(unexpected == 0, "with no unexpected result (%u)", unexpected);

	/* Afterwards guest and host must agree on every page. */
	bool same = true;

	memset(m.memory + TOUCH_BASE, 0x33, RAM - TOUCH_BASE);
	guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, true);
	for (uint64_t at = TOUCH_BASE; at < RAM && same; at += PAGE)
		same = m.memory[at] == 0x5a && m.memory[at + 4] == 0x33;
	check(same, "and guest and host agree on memory");
	machine_destroy(&m);
	munmap(spare, SPARE_BYTES);
}

/* The process dies in the middle of a prefault of a large range. */
static void test_exit_in_prefault(void)
{
	int good = 0;

	for (unsigned i = 0; i < 20; i++) {
		pid_t child = fork();
		int status;

		if (child == 0) {
			struct stet_kvm_prefault result;

			machine_create(&m, MEMORY_4K, 256ull << 20, 1);
			for (;;)
				if (prefault_vm(&m, 0, 256ull << 20, STET_KVM_PREFAULT_WRITE,
						&result))
					pause();
		}
		usleep(20000 + i * 10000);
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		good += WIFSIGNALED(status);
	}
	check(good == 20, "a process killed while it prefaults dies (%d of 20)", good);
}

/* The call is its own continuation: interrupted often, it still maps everything exactly once. */
static void *interrupt_main(void *argument)
{
	pthread_t *main_thread = argument;

	while (!atomic_load(&stop)) {
		pthread_kill(*main_thread, SIGUSR1);
		usleep(300);
	}
	return NULL;
}

static void test_signals(void)
{
	struct stet_kvm_range range = { 0, 128ull << 20 };
	struct stet_kvm_prefault arg = {
		.flags = STET_KVM_PREFAULT_WRITE,
		.nr_ranges = 1,
		.ranges = (uintptr_t)&range,
	};
	pthread_t self = pthread_self(), thread;
	unsigned interrupted = 0;

	atomic_store(&stop, false);
	machine_create(&m, MEMORY_4K, range.size, 1);
	pthread_create(&thread, NULL, interrupt_main, &self);
	while (ioctl(m.vm, STET_KVM_PREFAULT_VM, &arg) < 0 && errno == EINTR)
		interrupted++;
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	check(interrupted > 0, "signals interrupt a prefault (%u times)", interrupted);
	check(arg.next_range == 1 && arg.mapped_4k + arg.present == range.size / PAGE &&
		      stat_vm(&m, "pages_4k") == (int64_t)(range.size / PAGE),
	      "which goes on where it stopped");
	machine_destroy(&m);
}

int main(int argc, char **argv)
{
	unsigned seconds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 30;
	struct machine keep;

	/*
	 * The first VM of a host patches code (preempt notifiers), the last one patches it back.
	 * Emulators with several processors do not always survive that, so do it once.
	 */
	machine_bare(&keep, 0);
	test_all_at_once(seconds);
	if (kernel_is_patched()) {
		test_exit_in_prefault();
		test_signals();
	}
	machine_destroy(&keep);
	return checks_done();
}
