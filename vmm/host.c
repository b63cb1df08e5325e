/* SPDX-License-Identifier: Apache-2.0 */
/* host: what this host can do, what that means for zero stage-2 faults, and how to change it. */
#include "vmm/host.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/num.h"
#include "mem/backing.h"
#include "tools/host-kernel/include/stet_kvm.h"
#include "vmm/kvm.h"

#define CHECKS_MAX 28
#define PARAMETER  "/sys/module/%s/parameters/%s"

enum state {
	STATE_OK,
	STATE_NOTE, /* zero faults are possible, but mind this */
	STATE_NO,   /* zero faults are not possible */
};

/* name and the texts are constant strings; remedy is NULL where nothing needs to be done. */
struct check {
	const char *name;
	enum state state;
	char value[96];
	const char *meaning;
	const char *remedy;
};

struct host {
	uint32_t count;
	struct check checks[CHECKS_MAX];
	struct error kvm_error;
	bool amd, intel;
};

static struct check *add(struct host *host, const char *name, enum state state, const char *meaning,
			 const char *remedy)
{
	struct check *check = &host->checks[host->count];

	if (host->count < CHECKS_MAX - 1)
		host->count++;
	*check = (struct check){ name, state, "", meaning, remedy };
	return check;
}

/* A module's parameter as text; false where there is none. */
static bool parameter(const char *module, const char *name, char *text, size_t bytes)
{
	char path[128];

	snprintf(path, sizeof(path), PARAMETER, module, name);
	return fd_read_text(path, text, bytes) > 0;
}

static bool is_yes(const char *text)
{
	return text[0] == 'Y' || text[0] == 'y' || text[0] == '1';
}

/* What a small VM answers; -1: could not be tried. */
struct trial {
	int prefault; /* 0 or negative errno */
	bool stats;
	bool zap_quirk, nx_off;
};

static void try_vcpu(struct trial *trial, int vm_fd, void *page)
{
	int vcpu_fd = kvm_create_vcpu(vm_fd, 0);
	int stats_fd;

	if (vcpu_fd < 0)
		return;
	stats_fd = kvm_stats_fd(vcpu_fd);
	trial->stats = stats_fd >= 0;
	fd_close(&stats_fd);
	trial->prefault = kvm_set_slot(vm_fd, 0, 0, (uint64_t)sysconf(_SC_PAGESIZE), page);
	if (!trial->prefault)
		trial->prefault = kvm_prefault(vcpu_fd, 0, (uint64_t)sysconf(_SC_PAGESIZE));
	close(vcpu_fd);
}

static void try_kvm(struct trial *trial, int kvm_fd)
{
	size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	int vm_fd = kvm_create_vm(kvm_fd);

	*trial = (struct trial){ .prefault = -EIO };
	if (vm_fd >= 0 && page != MAP_FAILED) {
		trial->zap_quirk =
			kvm_check(vm_fd, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_SLOT_ZAP_ALL;
		trial->nx_off = !kvm_enable_cap(vm_fd, KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, 0);
		try_vcpu(trial, vm_fd, page);
	}
	fd_close(&vm_fd);
	if (page != MAP_FAILED)
		munmap(page, bytes);
}

static void check_paging(struct host *host)
{
	char text[16];
	bool on = false;
	struct check *check;

	host->amd = parameter("kvm_amd", "npt", text, sizeof(text));
	if (host->amd)
		on = is_yes(text);
	host->intel = !host->amd && parameter("kvm_intel", "ept", text, sizeof(text));
	if (host->intel)
		on = is_yes(text);
	check = add(host, "two-dimensional paging", on ? STATE_OK : STATE_NO,
		    on ? "the processor translates guest addresses itself (NPT or EPT)"
		       : "KVM shadows the guest's page tables: each change of them is a fault",
		    on ? NULL
		       : "use a host with AMD NPT or Intel EPT (kvm_amd npt=1, kvm_intel ept=1)");
	snprintf(check->value, sizeof(check->value), "%s", !on ? "no" : host->amd ? "NPT" : "EPT");
	if (host->intel && parameter("kvm_intel", "unrestricted_guest", text, sizeof(text)) &&
	    !is_yes(text))
		add(host, "unrestricted guest", STATE_NO,
		    "this processor runs real mode through pages of KVM's own, which fault",
		    "use a processor from 2010 or later (kvm_intel unrestricted_guest=1)");
	if (host->intel && parameter("kvm_intel", "eptad", text, sizeof(text)) && !is_yes(text))
		add(host, "EPT accessed/dirty bits", STATE_NO,
		    "without them KVM maps pages so that their first touch faults",
		    "load kvm_intel with eptad=1, or use a processor that has them");
}

static void check_prefault(struct host *host, const struct trial *trial)
{
	bool works = !trial->prefault;
	struct check *check;

	check = add(
		host, "stage-2 prefault", works ? STATE_OK : STATE_NO,
		works ? "KVM_PRE_FAULT_MEMORY was tried and works"
		      : "KVM_PRE_FAULT_MEMORY does not work: the guest takes a fault for each page",
		works ? NULL : "boot a kernel from 6.11 on, with two-dimensional paging");
	snprintf(check->value, sizeof(check->value), "%s",
		 works ? "works" : error_name(-trial->prefault));
	check = add(host, "KVM statistics", trial->stats ? STATE_OK : STATE_NOTE,
		    trial->stats ? "faults and exits can be counted"
				 : "faults cannot be counted, so that zero cannot be shown",
		    trial->stats ? NULL : "boot a kernel from 5.14 on");
	snprintf(check->value, sizeof(check->value), "%s", trial->stats ? "yes" : "no");
	check = add(
		host, "slot deletion", trial->zap_quirk ? STATE_OK : STATE_NOTE,
		trial->zap_quirk
			? "deleting one memory slot can be kept from unmapping all (stet asks for it)"
			: "deleting any memory slot unmaps all of stage 2 (stet deletes none)",
		trial->zap_quirk ? NULL : "a kernel from 6.12 on lets stet switch that off");
	snprintf(check->value, sizeof(check->value), "%s",
		 trial->zap_quirk ? "by slot" : "zaps all");
}

/* What tools/host-kernel adds to KVM. */
static void check_patches(struct host *host, int kvm_fd)
{
	static const struct {
		const char *name, *meaning;
		int capability;
	} patches[] = {
		{ "stet's KVM: repairs", "prefault neither hangs nor rewrites what is mapped",
		  STET_KVM_CAP_FIXES },
		{ "stet's KVM: VM prefault", "one ioctl populates and maps small pages in batches",
		  STET_KVM_CAP_PREFAULT_VM },
		{ "stet's KVM: fault-around", "--fault-around maps neighbours on a fault",
		  STET_KVM_CAP_FAULT_AROUND },
		{ "stet's KVM: dirty premap", "logging writes maps a huge page's parts at once",
		  STET_KVM_CAP_DIRTY_PREMAP },
	};
	bool any = false;
	struct check *check;

	for (size_t i = 0; i < ARRAY_SIZE(patches); i++) {
		if (!kvm_check(kvm_fd, patches[i].capability))
			continue;
		any = true;
		check = add(host, patches[i].name, STATE_OK, patches[i].meaning, NULL);
		snprintf(check->value, sizeof(check->value), "yes");
	}
	if (any)
		return;
	check = add(host, "stet's KVM patches", STATE_OK,
		    "a stock kernel: zero faults need none of them; they show causes and save time",
		    NULL);
	snprintf(check->value, sizeof(check->value), "none");
}

static void check_kvm_parameters(struct host *host, const struct trial *trial)
{
	char text[16];
	struct check *check;

	if (parameter("kvm", "mmio_caching", text, sizeof(text)) && !is_yes(text)) {
		check = add(host, "MMIO caching", STATE_NO,
			    "each access to a device's memory is a full stage-2 fault",
			    "load kvm with mmio_caching=1");
		snprintf(check->value, sizeof(check->value), "off");
	}
	if (parameter("kvm", "nx_huge_pages", text, sizeof(text)) && is_yes(text)) {
		check = add(
			host, "nx_huge_pages", trial->nx_off ? STATE_OK : STATE_NO,
			trial->nx_off
				? "on for the host, but this caller may switch it off for its VMs"
				: "the first instruction run in each 2 MiB faults and splits the page",
			trial->nx_off ? NULL
				      : "give stet CAP_SYS_BOOT, or on a processor without the "
					"multihit bug: echo off > "
					"/sys/module/kvm/parameters/nx_huge_pages");
		snprintf(check->value, sizeof(check->value), "on");
	}
}

/* Small pages, but populated many at a time. */
static void check_folios(struct host *host)
{
	static const char remedy[] =
		"4K memory starts in half the time with: echo madvise > /sys/kernel/mm/"
		"transparent_hugepage/hugepages-64kB/enabled";
	static const struct {
		const char *value, *meaning, *remedy;
		enum state state;
	} states[] = {
		[BACKING_FOLIOS_MISSING] = { "no", "this kernel populates 4K memory page by page",
					     "boot a kernel from 6.8 on", STATE_NOTE },
		[BACKING_FOLIOS_OFF] = { "off", "4K memory is populated page by page", remedy,
					 STATE_NOTE },
		[BACKING_FOLIOS_ON] = { "on", "4K memory is populated many pages at a time", NULL,
					STATE_OK },
	};
	uint64_t bytes;
	enum backing_folios found = backing_probe_folios(NULL, &bytes);
	struct check *check = add(host, "4K pages in larger pieces", states[found].state,
				  states[found].meaning, states[found].remedy);

	snprintf(check->value, sizeof(check->value), "%s", states[found].value);
}

static void check_memory(struct host *host)
{
	struct backing_host memory;
	struct rlimit limit = { 0 };
	struct check *check;
	bool locks;

	backing_probe_host(&memory);
	check = add(host, "huge pages of 2 MiB", memory.hugetlb_2m_free ? STATE_OK : STATE_NOTE,
		    memory.hugetlb_2m_free
			    ? "--backing hugetlb-2M: nothing on the host can split or move them"
			    : "none are free: --backing auto takes transparent huge pages",
		    memory.hugetlb_2m_free
			    ? NULL
			    : "echo N > /proc/sys/vm/nr_hugepages (better: hugepages=N "
			      "on the kernel's command line)");
	snprintf(check->value, sizeof(check->value), "%" PRIu64 " of %" PRIu64 " free",
		 memory.hugetlb_2m_free, memory.hugetlb_2m_total);
	check = add(host, "huge pages of 1 GiB", STATE_OK,
		    "--backing hugetlb-1G: one entry for each GiB", NULL);
	snprintf(check->value, sizeof(check->value), "%" PRIu64 " of %" PRIu64 " free",
		 memory.hugetlb_1g_free, memory.hugetlb_1g_total);
	check = add(
		host, "transparent huge pages", memory.thp ? STATE_OK : STATE_NOTE,
		memory.thp ? "--backing thp is possible"
			   : "without huge pages of either kind memory is mapped in pages of 4 KiB",
		memory.thp ? NULL : "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
	snprintf(check->value, sizeof(check->value), "%s", memory.thp ? "on" : "off");
	check_folios(host);
	getrlimit(RLIMIT_MEMLOCK, &limit);
	locks = limit.rlim_cur == RLIM_INFINITY || geteuid() == 0;
	check = add(
		host, "locked memory", locks ? STATE_OK : STATE_NOTE,
		locks ? "memory that is not hugetlb is locked: it is neither swapped nor reclaimed"
		      : "memory that is not hugetlb may be swapped or moved, which faults later",
		locks ? NULL : "ulimit -l unlimited, or --backing hugetlb-2M");
	if (locks)
		snprintf(check->value, sizeof(check->value), "unlimited");
	else
		snprintf(check->value, sizeof(check->value), "%" PRIu64 " KiB",
			 (uint64_t)limit.rlim_cur / KIB);
}

/* Things of the host that unmap pages under a running guest; stet's memory is kept out of their
 * way. */
static void check_churn(struct host *host)
{
	static const struct {
		const char *name, *path, *meaning, *off_meaning, *remedy;
	} churn[] = {
		{ "NUMA balancing", "/proc/sys/kernel/numa_balancing",
		  "stet gives its memory a policy of its own, which it leaves alone", "off",
		  "sysctl kernel.numa_balancing=0 spares other programs as well" },
		{ "KSM", "/sys/kernel/mm/ksm/run", "stet never offers its memory for merging",
		  "off", "echo 0 > /sys/kernel/mm/ksm/run" },
		{ "compaction of locked memory", "/proc/sys/vm/compact_unevictable_allowed",
		  "may move pages that are not hugetlb, which faults once for each",
		  "locked memory stays where it is",
		  "sysctl vm.compact_unevictable_allowed=0, or --backing hugetlb-2M" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(churn); i++) {
		char text[16];
		bool on;
		struct check *check;

		if (fd_read_text(churn[i].path, text, sizeof(text)) <= 0)
			continue;
		on = text[0] != '0';
		check = add(host, churn[i].name, on ? STATE_NOTE : STATE_OK,
			    on ? churn[i].meaning : churn[i].off_meaning,
			    on ? churn[i].remedy : NULL);
		snprintf(check->value, sizeof(check->value), "%s", on ? "on" : "off");
	}
}

static void check_io_uring(struct host *host)
{
	struct error error = { 0 };
	struct loop *loop = NULL;
	int ret = loop_create(&loop, 8, &error);
	struct check *check;

	loop_destroy(loop);
	check = add(host, "io_uring", ret ? STATE_NOTE : STATE_OK,
		    ret ? "without it a VM cannot have a console"
			: "the console and devices use it",
		    ret ? "sysctl kernel.io_uring_disabled=0, or allow it in the container's filter"
			: NULL);
	snprintf(check->value, sizeof(check->value), "%s", ret ? error_name(-ret) : "yes");
}

static void check_all(struct host *host)
{
	struct trial trial;
	int kvm_fd = kvm_open(&host->kvm_error);
	struct check *check;

	check = add(host, "KVM", kvm_fd >= 0 ? STATE_OK : STATE_NO,
		    kvm_fd >= 0 ? "/dev/kvm can be used" : host->kvm_error.text,
		    kvm_fd >= 0 ? NULL : "see above");
	snprintf(check->value, sizeof(check->value), "%s", kvm_fd >= 0 ? "yes" : "no");
	check_paging(host);
	if (kvm_fd >= 0) {
		try_kvm(&trial, kvm_fd);
		check_prefault(host, &trial);
		check_kvm_parameters(host, &trial);
		check_patches(host, kvm_fd);
	}
	fd_close(&kvm_fd);
	check_memory(host);
	check_churn(host);
	check_io_uring(host);
}

static void print_json(const struct host *host, bool possible, struct text *text)
{
	static const char *const names[] = { "ok", "note", "no" };

	json_begin_object(text, NULL);
	json_u64(text, "schema", 1);
	json_bool(text, "zero_faults_possible", possible);
	json_begin_array(text, "checks");
	for (uint32_t i = 0; i < host->count; i++) {
		const struct check *check = &host->checks[i];

		json_begin_object(text, NULL);
		json_string(text, "name", check->name);
		json_string(text, "state", names[check->state]);
		json_string(text, "value", check->value);
		json_string(text, "meaning", check->meaning);
		json_string(text, "remedy", check->remedy);
		json_end_object(text);
	}
	json_end_array(text);
	json_end_object(text);
	text_printf(text, "\n");
}

static void print_table(const struct host *host, bool possible, struct text *text)
{
	static const char *const names[] = { "ok  ", "note", "NO  " };

	for (uint32_t i = 0; i < host->count; i++) {
		const struct check *check = &host->checks[i];

		text_printf(text, "%s  %-28s %-20s %s\n", names[check->state], check->name,
			    check->value, check->meaning);
		if (check->remedy)
			text_printf(text, "      %-28s %-20s -> %s\n", "", "", check->remedy);
	}
	text_printf(text, "\nzero stage-2 faults are %s on this host\n",
		    possible ? "possible" : "not possible");
}

bool host_report(enum stet_format format, struct text *text)
{
	struct host host = { 0 };
	bool possible = true;

	check_all(&host);
	for (uint32_t i = 0; i < host.count; i++)
		possible = possible && host.checks[i].state != STATE_NO;
	if (format == STET_FORMAT_JSON)
		print_json(&host, possible, text);
	else
		print_table(&host, possible, text);
	return possible;
}
