/* SPDX-License-Identifier: Apache-2.0 */
/* machine.c: a tiny guest and raw KVM calls, for the tests of the host kernel. */
#include "tests/host-kernel/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif
#ifndef MAP_HUGE_1GB
#define MAP_HUGE_1GB (30 << 26)
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Debian 12's linux-libc-dev is of 6.1 and does not have these. */
#ifndef KVM_PRE_FAULT_MEMORY
struct kvm_pre_fault_memory {
	__u64 gpa;
	__u64 size;
	__u64 flags;
	__u64 padding[5];
};
#define KVM_PRE_FAULT_MEMORY     _IOWR(KVMIO, 0xd5, struct kvm_pre_fault_memory)
#define KVM_CAP_PRE_FAULT_MEMORY 236
#endif

/*
 * 32-bit code without paging: esi = from, edi = to, ecx = step.
 * write: mov [esi], eax; add esi, ecx; cmp esi, edi; jb write; out 0x10, al; hlt
 */
static const uint8_t code_write[] = { 0x89, 0x06, 0x01, 0xce, 0x39, 0xfe,
				      0x72, 0xf8, 0xe6, 0x10, 0xf4 };
static const uint8_t code_read[] = { 0x8b, 0x06, 0x01, 0xce, 0x39, 0xfe,
				     0x72, 0xf8, 0xe6, 0x10, 0xf4 };
#define CODE_READ_OFFSET 0x40

static void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(99);
}

static int need(int result, const char *what)
{
	if (result < 0)
		die(what);
	return result;
}

static void flat_segment(struct kvm_segment *segment, uint16_t selector, uint8_t type)
{
	*segment = (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};
}

static void cpu_create(struct machine *m, unsigned i)
{
	struct kvm_sregs sregs;

	m->cpu[i] = need(ioctl(m->vm, KVM_CREATE_VCPU, i), "KVM_CREATE_VCPU");
	m->cpu_stats[i] = need(ioctl(m->cpu[i], KVM_GET_STATS_FD, 0), "KVM_GET_STATS_FD");
	m->run[i] = mmap(NULL, m->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->cpu[i], 0);
	if (m->run[i] == MAP_FAILED)
		die("mmap of kvm_run");
	need(ioctl(m->cpu[i], KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	flat_segment(&sregs.cs, 8, 0xb);
	flat_segment(&sregs.ds, 16, 0x3);
	sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
	sregs.cr0 |= 1;
	need(ioctl(m->cpu[i], KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
}

void machine_bare(struct machine *m, unsigned nr_cpus)
{
	*m = (struct machine){ .nr_cpus = nr_cpus };
	m->kvm = need(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	m->vm = need(ioctl(m->kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	m->vm_stats = need(ioctl(m->vm, KVM_GET_STATS_FD, 0), "KVM_GET_STATS_FD");
	m->run_bytes = (size_t)need(ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "mmap size");
	for (unsigned i = 0; i < nr_cpus; i++)
		cpu_create(m, i);
}

static uint8_t *map_memory(enum memory_kind kind, uint64_t bytes)
{
	const int base = MAP_PRIVATE | MAP_ANONYMOUS;
	uint64_t align = kind == MEMORY_HUGETLB_1G ? 1ull << 30 : PAGE_2M;
	uint8_t *at;

	if (kind == MEMORY_HUGETLB || kind == MEMORY_HUGETLB_1G) {
		int size = kind == MEMORY_HUGETLB ? MAP_HUGE_2MB : MAP_HUGE_1GB;

		at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, base | MAP_HUGETLB | size, -1, 0);
		if (at == MAP_FAILED)
			die("hugetlb memory");
		return at;
	}
	at = mmap(NULL, bytes + align, PROT_READ | PROT_WRITE, base | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		die("memory");
	at += -(uintptr_t)at & (align - 1);
	if (kind == MEMORY_PLAIN)
		return at;
	need(madvise(at, bytes, kind == MEMORY_THP ? MADV_HUGEPAGE : MADV_NOHUGEPAGE), "madvise");
	return at;
}

void machine_memory(struct machine *m, enum memory_kind kind, uint64_t bytes)
{
	m->bytes = bytes;
	m->memory = map_memory(kind, bytes);
	memcpy(m->memory + CODE_GPA, code_write, sizeof(code_write));
	memcpy(m->memory + CODE_GPA + CODE_READ_OFFSET, code_read, sizeof(code_read));
	need(set_slot(m, 0, 0, 0, bytes, m->memory), "memory slot");
}

void machine_create(struct machine *m, enum memory_kind kind, uint64_t bytes, unsigned nr_cpus)
{
	machine_bare(m, nr_cpus);
	machine_memory(m, kind, bytes);
}

void machine_destroy(struct machine *m)
{
	for (unsigned i = 0; i < m->nr_cpus; i++) {
		munmap(m->run[i], m->run_bytes);
		close(m->cpu_stats[i]);
		close(m->cpu[i]);
	}
	close(m->vm_stats);
	close(m->vm);
	close(m->kvm);
	if (m->memory)
		munmap(m->memory, m->bytes);
}

int set_slot(const struct machine *m, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t bytes,
	     void *at)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)at,
	};

	return ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

int guest_touch(struct machine *m, unsigned cpu, uint64_t from, uint64_t to, uint32_t step,
		bool write)
{
	struct kvm_regs regs = {
		.rip = CODE_GPA + (write ? 0 : CODE_READ_OFFSET),
		.rsi = from,
		.rdi = to,
		.rcx = step,
		.rax = 0x5a,
		.rflags = 2,
	};

	if (ioctl(m->cpu[cpu], KVM_SET_REGS, &regs) < 0)
		return -errno;
	do {
		if (ioctl(m->cpu[cpu], KVM_RUN, 0) < 0 && errno != EINTR)
			return -errno;
	} while (m->run[cpu]->exit_reason == KVM_EXIT_INTR ||
		 m->run[cpu]->exit_reason == KVM_EXIT_MMIO);
	return m->run[cpu]->exit_reason == KVM_EXIT_IO ? 0 : (int)m->run[cpu]->exit_reason;
}

#define CR0_PG         (1ull << 31)
#define CR4_PAE        (1ull << 5)
#define PAGE_DIRECTORY 0x10000ull
#define PAGE_TABLES    0x11000ull
/* Present, writable, user, accessed, dirty. */
#define GUEST_PTE      0x67u

void guest_paging(const struct machine *m, unsigned cpu)
{
	uint32_t *directory = (uint32_t *)(m->memory + PAGE_DIRECTORY);
	uint32_t *entries = (uint32_t *)(m->memory + PAGE_TABLES);
	struct kvm_sregs sregs;

	for (uint32_t i = 0; i < m->bytes / PAGE; i++) {
		entries[i] = i * (uint32_t)PAGE | GUEST_PTE;
		directory[i / 1024] =
			((uint32_t)PAGE_TABLES + i / 1024 * (uint32_t)PAGE) | GUEST_PTE;
	}
	need(ioctl(m->cpu[cpu], KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cr3 = PAGE_DIRECTORY;
	sregs.cr4 &= ~CR4_PAE;
	sregs.cr0 |= CR0_PG;
	need(ioctl(m->cpu[cpu], KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
}

void populate(const struct machine *m, uint64_t gpa, uint64_t bytes)
{
	need(madvise(m->memory + gpa, bytes, MADV_POPULATE_WRITE), "MADV_POPULATE_WRITE");
}

static void alarm_rang(int signal)
{
	(void)signal;
}

int prefault_cpu(const struct machine *m, unsigned cpu, uint64_t gpa, uint64_t bytes,
		 unsigned timeout_s)
{
	const struct sigaction action = { .sa_handler = alarm_rang };
	const struct itimerval every = { { timeout_s, 0 }, { timeout_s, 0 } }, never = { 0 };
	struct kvm_pre_fault_memory range = { .gpa = gpa, .size = bytes };
	time_t end = time(NULL) + timeout_s;
	int result = 0;

	/* A call that made some progress before the signal returns 0: hence the clock as well. */
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	while (range.size && !result) {
		if (ioctl(m->cpu[cpu], KVM_PRE_FAULT_MEMORY, &range) < 0)
			result = errno == EAGAIN ? 0 : -errno;
		else if (range.size && time(NULL) > end)
			result = -EINTR;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	return result;
}

int prefault_vm(const struct machine *m, uint64_t gpa, uint64_t bytes, uint32_t flags,
		struct stet_kvm_prefault *result)
{
	struct stet_kvm_range range = { .gpa = gpa, .size = bytes };

	*result = (struct stet_kvm_prefault){
		.flags = flags,
		.nr_ranges = 1,
		.ranges = (uintptr_t)&range,
	};
	return ioctl(m->vm, STET_KVM_PREFAULT_VM, result) < 0 ? -errno : 0;
}

int stat_read(int stats_fd, const char *name, uint64_t *values, size_t nr)
{
	struct kvm_stats_header header;
	int found = -1;

	if (pread(stats_fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
		die("statistics header");
	size_t stride = sizeof(struct kvm_stats_desc) + header.name_size;
	struct kvm_stats_desc *desc = malloc(stride);

	for (uint32_t i = 0; desc && i < header.num_desc && found < 0; i++) {
		if (pread(stats_fd, desc, stride, (off_t)(header.desc_offset + i * stride)) !=
		    (ssize_t)stride)
			die("statistics descriptor");
		if (strncmp(desc->name, name, header.name_size) != 0)
			continue;
		size_t want = desc->size < nr ? desc->size : nr;

		if (pread(stats_fd, values, want * sizeof(*values),
			  (off_t)header.data_offset + (off_t)desc->offset) !=
		    (ssize_t)(want * sizeof(*values)))
			die("statistics data");
		found = (int)want;
	}
	free(desc);
	return found;
}

static int64_t stat_one(int stats_fd, const char *name)
{
	uint64_t value;

	return stat_read(stats_fd, name, &value, 1) == 1 ? (int64_t)value : -1;
}

int64_t stat_vm(const struct machine *m, const char *name)
{
	return stat_one(m->vm_stats, name);
}

int64_t stat_cpu(const struct machine *m, unsigned cpu, const char *name)
{
	return stat_one(m->cpu_stats[cpu], name);
}

static unsigned nr_checks, nr_failed;

bool kernel_is_patched(void)
{
	static int patched = -1;

	if (patched < 0) {
		int kvm = need(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");

		patched = ioctl(kvm, KVM_CHECK_EXTENSION, STET_KVM_CAP_FIXES) > 0;
		close(kvm);
	}
	return patched;
}

bool kernel_has_tdp(void)
{
	int kvm = need(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	bool has = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_PRE_FAULT_MEMORY) > 0;

	close(kvm);
	return has;
}

static void report(bool good, const char *suffix, const char *what, va_list arguments)
{
	nr_checks++;
	nr_failed += !good;
	printf("%s - ", good ? "ok" : "not ok");
	vprintf(what, arguments);
	printf("%s\n", suffix);
	(void)fflush(stdout);
}

void check(bool good, const char *what, ...)
{
	va_list arguments;

	va_start(arguments, what);
	report(good, "", what, arguments);
	va_end(arguments);
}

void check_patched(bool good, const char *what, ...)
{
	va_list arguments;

	va_start(arguments, what);
	if (kernel_is_patched())
		report(good, "", what, arguments);
	else
		report(!good, " (not so on stock, as expected)", what, arguments);
	va_end(arguments);
}

void note(const char *what, ...)
{
	va_list arguments;

	va_start(arguments, what);
	printf("# ");
	vprintf(what, arguments);
	printf("\n");
	(void)fflush(stdout);
	va_end(arguments);
}

int checks_done(void)
{
	printf("1..%u\n", nr_checks);
	return nr_failed ? 1 : 0;
}
