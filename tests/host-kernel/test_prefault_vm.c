/* SPDX-License-Identifier: Apache-2.0 */
/* test_prefault_vm.c: STET_KVM_PREFAULT_VM, what it maps and what it refuses. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/host-kernel/machine.h"

#define RAM (64ull << 20)

static const char *const kind_names[] = { "4K pages", "THP", "hugetlb 2M", "hugetlb 1G" };

/* From unpopulated memory to no fault at all, in one call. */
static void test_write(enum memory_kind kind)
{
	struct stet_kvm_prefault result;
	struct machine m;

	machine_create(&m, kind, RAM, 1);
	int r = prefault_vm(&m, 0, RAM, STET_KVM_PREFAULT_WRITE, &result);
	uint64_t bytes = result.mapped_4k * PAGE + result.mapped_2m * PAGE_2M;

	check_patched(r == 0 && bytes == RAM, "%s: all is mapped in one call (%d, %llu KiB)",
		      kind_names[kind], r, (unsigned long long)bytes >> 10);
	check_patched(result.next_range == 1 && result.next_gpa == 0, "%s: and it ends at the end",
		      kind_names[kind]);
	check(guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, true) == 0, "%s: the guest writes it all",
	      kind_names[kind]);
	int64_t faults = stat_cpu(&m, 0, "pf_taken");

	check_patched(faults == 0, "%s: without a fault (%lld)", kind_names[kind],
		      (long long)faults);
	if (kernel_is_patched()) {
		uint64_t pages = result.mapped_4k + result.mapped_2m;

		check(prefault_vm(&m, 0, RAM, STET_KVM_PREFAULT_WRITE, &result) == 0 &&
			      result.present == pages && !result.mapped_4k && !result.mapped_2m,
		      "%s: a second call finds all present", kind_names[kind]);
		check(stat_vm(&m, "prefault_4k") * (int64_t)PAGE +
				      stat_vm(&m, "prefault_2m") * (int64_t)PAGE_2M ==
			      (int64_t)RAM,
		      "%s: the statistics agree", kind_names[kind]);
		check(stat_vm(&m, "prefault_present") == (int64_t)pages,
		      "%s: for those present, too", kind_names[kind]);
		check(stat_cpu(&m, 0, "violations_after_prefault") == 0,
		      "%s: no violation after the prefault", kind_names[kind]);
	}
	machine_destroy(&m);
}

/* Without WRITE it does what KVM_PRE_FAULT_MEMORY does: maps read-only what is not populated. */
static void test_read(void)
{
	struct stet_kvm_prefault result;
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	populate(&m, 0, RAM / 2);
	check(prefault_vm(&m, 0, RAM, 0, &result) == 0 && result.mapped_4k == RAM / PAGE,
	      "half populated memory is mapped without WRITE");
	guest_touch(&m, 0, TOUCH_BASE, RAM / 2, PAGE, true);
	check(stat_cpu(&m, 0, "pf_taken") == 0, "writes to the populated half take no fault");
	guest_touch(&m, 0, RAM / 2, RAM, PAGE, false);
	check(stat_cpu(&m, 0, "pf_taken") == 0, "reads of the other half neither");
	check(prefault_vm(&m, RAM / 2, RAM / 2, STET_KVM_PREFAULT_WRITE, &result) == 0,
	      "the other half is made writable");
	guest_touch(&m, 0, RAM / 2, RAM, PAGE, true);
	check(stat_cpu(&m, 0, "pf_taken") == 0, "and written without a fault");
	machine_destroy(&m);
}

/* What the guest wrote and what the host wrote must be the same memory. */
static void test_contents(void)
{
	struct stet_kvm_prefault result;
	struct machine m;
	bool same = true;

	machine_create(&m, MEMORY_4K, RAM, 1);
	memset(m.memory + TOUCH_BASE, 0x11, RAM - TOUCH_BASE);
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	/* fork() left everything copy-on-write. */
	check(prefault_vm(&m, 0, RAM, STET_KVM_PREFAULT_WRITE, &result) == 0,
	      "after a fork, mapped");
	check(guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, true) == 0, "the guest writes");
	check(stat_cpu(&m, 0, "pf_taken") == 0, "without a fault");
	for (uint64_t at = TOUCH_BASE; at < RAM && same; at += PAGE) {
		uint32_t first;

		memcpy(&first, m.memory + at, sizeof(first));
		same = first == 0x5a && m.memory[at + 4] == 0x11 && m.memory[at + PAGE - 1] == 0x11;
	}
	check(same, "the host sees every write, and nothing else changed");
	machine_destroy(&m);
}

static void test_mmio(void)
{
	const uint64_t window = 0xd0000000, bytes = 1ull << 20;
	struct stet_kvm_prefault result;
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	check(prefault_vm(&m, 0, RAM, STET_KVM_PREFAULT_WRITE, &result) == 0, "memory is mapped");
	check(prefault_vm(&m, window, bytes, 0, &result) == -ENOENT, "a hole is ENOENT");
	check(result.next_range == 0 && result.next_gpa == 0, "which stops at its beginning");
	check(prefault_vm(&m, RAM - PAGE_2M, 2 * PAGE_2M, 0, &result) == -ENOENT,
	      "so is one behind memory");
	check(result.next_gpa == RAM, "which stops where the hole begins");
	check(prefault_vm(&m, window, bytes, STET_KVM_PREFAULT_MMIO, &result) == 0 &&
		      result.mmio == bytes / PAGE,
	      "with the flag it is success");
	check(stat_vm(&m, "prefault_mmio") == (int64_t)(bytes / PAGE), "and counted");
	check(guest_touch(&m, 0, window, window + bytes, PAGE, false) == 0, "the guest reads it");
	check(stat_cpu(&m, 0, "pf_taken") == 0, "without a fault");
	check(stat_cpu(&m, 0, "stage2_mmio_exits") == (int64_t)(bytes / PAGE),
	      "but with an MMIO exit each");
	machine_destroy(&m);
}

static void test_smm(void)
{
	struct stet_kvm_prefault result;
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	check(prefault_vm(&m, 0, RAM, STET_KVM_PREFAULT_WRITE | STET_KVM_PREFAULT_SMM, &result) ==
		      -ENOENT,
	      "SMM without slots of its own is a hole");
	check(set_slot(&m, 1 << 16, 0, 0, RAM, m.memory) == 0, "it gets a slot");
	check(prefault_vm(&m, 0, RAM, STET_KVM_PREFAULT_WRITE | STET_KVM_PREFAULT_SMM, &result) ==
		      0,
	      "then both address spaces are mapped");
	check(stat_vm(&m, "pages_4k") == 2 * (int64_t)(RAM / PAGE),
	      "which makes twice the entries");
	machine_destroy(&m);
}

static int call(const struct machine *m, struct stet_kvm_prefault *arg)
{
	return ioctl(m->vm, STET_KVM_PREFAULT_VM, arg) < 0 ? -errno : 0;
}

static void test_bad_arguments(void)
{
	const uint64_t top = 1ull << 63;
	static const struct {
		const char *what;
		struct stet_kvm_range range;
	} bad_ranges[] = {
		{ "unaligned address", { PAGE + 1, PAGE } },
		{ "unaligned size", { PAGE, PAGE + 1 } },
		{ "size 0", { PAGE, 0 } },
		{ "overflow", { ~0ull - PAGE + 1, 2 * PAGE } },
		{ "negative size", { 0, (uint64_t)-PAGE } },
		{ "beyond physical addresses", { 1ull << 62, PAGE } },
		{ "whole address space", { 0, ~0ull << 12 } },
	};
	struct stet_kvm_range range = { 0, RAM };
	struct stet_kvm_prefault good = { .nr_ranges = 1, .ranges = (uintptr_t)&range }, arg;
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	for (size_t i = 0; i < sizeof(bad_ranges) / sizeof(*bad_ranges); i++) {
		arg = good;
		arg.ranges = (uintptr_t)&bad_ranges[i].range;
		check(call(&m, &arg) == -EINVAL, "%s is EINVAL", bad_ranges[i].what);
	}
	arg = good, arg.flags = 1u << 31;
	check(call(&m, &arg) == -EINVAL, "an unknown flag is EINVAL");
	arg = good, arg.flags = ~0u;
	check(call(&m, &arg) == -EINVAL, "all flags are EINVAL");
	arg = good, arg.nr_ranges = 0;
	check(call(&m, &arg) == -EINVAL, "no range is EINVAL");
	arg = good, arg.nr_ranges = STET_KVM_PREFAULT_RANGES_MAX + 1;
	check(call(&m, &arg) == -EINVAL, "too many ranges are EINVAL");
	arg = good, arg.nr_ranges = (uint32_t)-1;
	check(call(&m, &arg) == -EINVAL, "a negative number of ranges is EINVAL");
	arg = good, arg.pad = 1;
	check(call(&m, &arg) == -EINVAL, "padding is EINVAL");
	arg = good, arg.reserved[5] = top;
	check(call(&m, &arg) == -EINVAL, "a reserved field is EINVAL");
	arg = good, arg.next_range = 2;
	check(call(&m, &arg) == -EINVAL, "a start after the last range is EINVAL");
	arg = good, arg.next_gpa = 17;
	check(call(&m, &arg) == -EINVAL, "an unaligned start is EINVAL");
	arg = good, arg.ranges = 8;
	check(call(&m, &arg) == -EFAULT, "a bad pointer to ranges is EFAULT");
	arg = good, arg.ranges = top;
	check(call(&m, &arg) == -EFAULT, "a kernel pointer to ranges is EFAULT");
	check(call(&m, NULL) == -EFAULT, "a null argument is EFAULT");
	check(ioctl(m.cpu[0], STET_KVM_PREFAULT_VM, &good) < 0 && errno == EINVAL,
	      "it is no ioctl of a vCPU");
	check(ioctl(m.kvm, STET_KVM_PREFAULT_VM, &good) < 0 && errno == EINVAL, "nor of /dev/kvm");

	arg = good;
	check(call(&m, &arg) == 0, "after all that the VM is usable");
	check(guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, false) == 0 &&
		      stat_cpu(&m, 0, "pf_taken") == 0,
	      "and mapped");
	munmap(m.memory + PAGE_2M, PAGE_2M);
	arg = good;
	check(call(&m, &arg) == -EFAULT && arg.next_gpa == PAGE_2M,
	      "memory that is not there is EFAULT, and says where");
	machine_destroy(&m);

	machine_bare(&m, 0);
	machine_memory(&m, MEMORY_4K, RAM);
	arg = good;
	check(call(&m, &arg) == -ENXIO, "a VM without vCPUs is ENXIO");
	machine_destroy(&m);
}

static void test_read_only(void)
{
	struct stet_kvm_prefault result;
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	populate(&m, 0, RAM);
	mprotect(m.memory + PAGE_2M, PAGE_2M, PROT_READ);
	check(prefault_vm(&m, 0, RAM, STET_KVM_PREFAULT_WRITE, &result) == -EFAULT &&
		      result.next_gpa == PAGE_2M,
	      "WRITE on memory the VMM itself may not write is EFAULT");
	check(prefault_vm(&m, 0, RAM, 0, &result) == 0, "without WRITE it is mapped");
	machine_destroy(&m);

	machine_create(&m, MEMORY_4K, RAM, 1);
	void *rom = mmap(NULL, PAGE_2M, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(set_slot(&m, 1, KVM_MEM_READONLY, 1ull << 30, PAGE_2M, rom) == 0, "a read-only slot");
	check(prefault_vm(&m, 1ull << 30, PAGE_2M, STET_KVM_PREFAULT_WRITE, &result) == 0,
	      "is mapped, read-only, even with WRITE");
	machine_destroy(&m);
	munmap(rom, PAGE_2M);
}

static void test_other_process(void)
{
	struct stet_kvm_prefault result;
	struct machine m;
	int status;

	machine_create(&m, MEMORY_4K, RAM, 1);
	pid_t child = fork();

	if (child == 0)
		_exit(prefault_vm(&m, 0, RAM, 0, &result) == -EIO ? 0 : 1);
	waitpid(child, &status, 0);
	check(status == 0, "another process gets EIO");
	machine_destroy(&m);
}

struct prefault_job {
	struct machine *m;
	int result;
};

static void *prefault_it(void *argument)
{
	struct stet_kvm_prefault result;
	struct prefault_job *job = argument;

	job->result = prefault_vm(job->m, 0, RAM, STET_KVM_PREFAULT_WRITE, &result);
	return NULL;
}

/* A VM that is closed while it is prefaulted, and one that is closed already. */
static void test_closed(void)
{
	struct stet_kvm_prefault result;
	struct machine m;
	unsigned odd = 0;

	for (unsigned i = 0; i < 20; i++) {
		struct prefault_job job = { &m, 0 };
		pthread_t thread;

		machine_create(&m, MEMORY_4K, RAM, 1);
		if (pthread_create(&thread, NULL, prefault_it, &job)) {
			machine_destroy(&m);
			continue;
		}
		usleep(i * 500);
		/* The last reference may be that of the call. */
		munmap(m.run[0], m.run_bytes);
		close(m.cpu_stats[0]);
		close(m.cpu[0]);
		close(m.vm_stats);
		close(m.vm);
		pthread_join(thread, NULL);
		odd += job.result != 0 && job.result != -EBADF;
		odd += prefault_vm(&m, 0, RAM, 0, &result) != -EBADF;
		m.nr_cpus = 0;
		m.vm = m.vm_stats = -1;
		machine_destroy(&m);
	}
	check(odd == 0, "a VM closed meanwhile: the call ends well, or does not begin; then EBADF");
}

/* As nobody: memory of another's file that may only be read. */
static int nobodys_prefault(struct machine *root)
{
	struct stet_kvm_prefault result;
	struct machine m;
	int wrong = 0;

	if (setgroups(0, NULL) || setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		return 1;
	/* root's VM, inherited, does nothing for another process. */
	wrong |= prefault_vm(root, 0, RAM, STET_KVM_PREFAULT_WRITE, &result) != -EIO ? 2 : 0;
	machine_create(&m, MEMORY_4K, RAM, 1);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	uint8_t *file = mmap(NULL, PAGE_2M / 8, PROT_READ, MAP_SHARED, fd, 0);

	if (file == MAP_FAILED || set_slot(&m, 1, 0, 1ull << 30, PAGE_2M / 8, file))
		return wrong | 4;
	wrong |= prefault_vm(&m, 1ull << 30, PAGE_2M / 8, STET_KVM_PREFAULT_WRITE, &result) !=
				 -EFAULT
			 ? 8
			 : 0;
	wrong |= prefault_vm(&m, 1ull << 30, PAGE_2M / 8, 0, &result) != 0 ? 16 : 0;
	wrong |= guest_touch(&m, 0, 1ull << 30, (1ull << 30) + PAGE, PAGE, true) == 0 ? 32 : 0;
	wrong |= memcmp(file, "\177ELF", 4) != 0 ? 64 : 0;
	wrong |= prefault_vm(&m, 0, RAM, STET_KVM_PREFAULT_WRITE, &result) != 0 ? 128 : 0;
	return wrong;
}

static void test_unprivileged(void)
{
	struct machine m;
	struct stat before;
	int status = 0;

	machine_create(&m, MEMORY_4K, RAM, 1);
	if (stat("/dev/kvm", &before) || chmod("/dev/kvm", 0666)) {
		note("/dev/kvm cannot be given to nobody");
	} else {
		pid_t child = fork();

		if (child == 0)
			_exit(nobodys_prefault(&m));
		waitpid(child, &status, 0);
		check(status == 0, "an unprivileged process maps its own memory and no more (%d)",
		      WEXITSTATUS(status));
		chmod("/dev/kvm", before.st_mode & 07777);
	}
	machine_destroy(&m);
}

/* Dirty-logged memory: a prefault is not a write. */
static void test_dirty_logged(void)
{
	static uint64_t bitmap[RAM / PAGE / 64];
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bitmap };
	struct stet_kvm_prefault result;
	unsigned dirty = 0;
	struct machine m;

	machine_create(&m, MEMORY_THP, RAM, 1);
	set_slot(&m, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM, m.memory);
	check(prefault_vm(&m, 0, RAM, STET_KVM_PREFAULT_WRITE, &result) == 0 &&
		      result.mapped_4k == RAM / PAGE,
	      "dirty-logged memory is mapped by small pages");
	ioctl(m.vm, KVM_GET_DIRTY_LOG, &log);
	for (size_t i = 0; i < RAM / PAGE / 64; i++)
		dirty += (unsigned)__builtin_popcountll(bitmap[i]);
	check(dirty == 0, "which marks none of it dirty (%u)", dirty);
	guest_touch(&m, 0, TOUCH_BASE, TOUCH_BASE + PAGE_2M, PAGE, true);
	check(stat_cpu(&m, 0, "pf_fast") == 512, "a first write is fixed without the lock");
	ioctl(m.vm, KVM_GET_DIRTY_LOG, &log);
	for (size_t i = 0; i < RAM / PAGE / 64; i++)
		dirty += (unsigned)__builtin_popcountll(bitmap[i]);
	check(dirty == 512, "and marks its page dirty (%u)", dirty);
	machine_destroy(&m);
}

int main(void)
{
	test_write(MEMORY_4K);
	test_write(MEMORY_THP);
	test_write(MEMORY_HUGETLB);
	if (kernel_is_patched()) {
		test_read();
		test_contents();
		test_mmio();
		test_smm();
		test_bad_arguments();
		test_read_only();
		test_other_process();
		test_closed();
		test_unprivileged();
		test_dirty_logged();
	}
	return checks_done();
}
