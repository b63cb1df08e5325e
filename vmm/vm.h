/* SPDX-License-Identifier: Apache-2.0 */
/* vm: the composition root: creates everything in visible order, destroys it in reverse. */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "boot/boot.h"
#include "mem/ram.h"
#include "vmm/console.h"
#include "vmm/deferred.h"
#include "vmm/notifier.h"
#include "vmm/passt.h"
#include "vmm/plug.h"
#include "vmm/stats.h"
#include "vmm/stet.h"
#include "vmm/vcpu.h"

#define VM_PHASES_MAX 12
#define VM_MARKS_MAX  64

/* When a part of the start was done; CLOCK_MONOTONIC. */
struct vm_phase {
	const char *name;
	uint64_t ns;
};

/* All counters at one instant. */
struct vm_sample {
	uint64_t ns;
	uint64_t vcpu[VCPU_STAT_COUNT]; /* sums over the vCPUs, since the first KVM_RUN */
	uint64_t vm[VM_STAT_COUNT];     /* of the VM, since then */
	uint64_t notifier_hits;
	uint64_t exits_to_user;
};

struct vm_mark {
	uint8_t value;
	struct vm_sample sample;
};

/* How stage 2 was made ready. */
struct vm_prefault {
	bool wanted;
	bool by_vm; /* with the VM-wide ioctl of stet's patches to KVM, which populates as well */
	bool populated;   /* all RAM is in the host's page tables, for write */
	bool mapped;      /* all RAM is in stage 2 */
	int code;         /* why it is not mapped: positive errno */
	uint32_t windows; /* device pages whose MMIO entry was installed */
	uint64_t huge_bytes;
};

/*
 * lock guards the life of the vCPU threads (started, the stop flags, joining) and marks, phases and
 * report once vCPUs run. It is taken after a device's lock, never before one. What vm_create() sets
 * up is read-only afterwards.
 */
struct stet_vm {
	struct log log; /* its lines go to log_line */
	stet_log_fn *log_line;
	void *log_opaque;
	uint64_t start_ns;

	struct ram ram;
	struct boot_image image;
	struct plug plug;
	int kvm_fd;
	int vm_fd;
	int vm_stats_fd;
	struct stats_layout vm_stats, vcpu_stats;
	uint32_t vcpu_count;
	struct vcpu *vcpus;
	int kick_signal;
	struct deferred deferred;
	struct exit_target exit_target;

	struct loop *loop; /* NULL without a console */
	struct console *console;
	struct virtio *hvc; /* the plug's; NULL: no virtio console */
	pthread_t loop_thread;
	bool loop_started;
	struct device *acpi_pm;
	uint32_t passt_count;
	struct passt passts[PLUG_VIRTIO_MAX];

	struct vm_prefault prefault;
	bool zap_all_off, nx_huge_pages_off;
	bool intel;
	bool count_notifier;
	struct notifier notifier;
	uint64_t notifier_base;
	uint64_t base[VCPU_STAT_COUNT]; /* sums before the first KVM_RUN */
	uint64_t vm_base[VM_STAT_COUNT];
	uint64_t cause_base[STATS_BUCKETS];

	pthread_mutex_t lock;
	bool started;
	pthread_mutex_t join_lock; /* held while the vCPU threads are joined; guards joined; taken
				      before lock */
	bool joined;
	uint32_t phase_count;
	struct vm_phase phases[VM_PHASES_MAX];
	uint32_t mark_count;
	uint64_t marks_lost;
	struct vm_mark marks[VM_MARKS_MAX];
	struct text report;
	bool crash_kernel;

	_Atomic int end; /* enum stet_end */
	int end_fd;      /* eventfd: readable when it has ended */
	struct vm_sample end_sample;
};

int vm_create(const struct stet_config *given, struct stet_vm **vm, struct error *error);
int vm_start(struct stet_vm *vm, struct error *error);
/* Ends it with this reason, unless it has ended. Any thread. */
void vm_end(struct stet_vm *vm, enum stet_end end);
/* vm_end(), and waits until no vCPU runs and what the guest wrote to its console was taken. Not
 * from a vCPU. */
void vm_stop(struct stet_vm *vm, enum stet_end end);
void vm_destroy(struct stet_vm *vm);

/* The counter that "stage2_faults" is: KVM's violations with stet's patches, else pf_taken. */
enum vcpu_stat vm_fault_stat(const struct stet_vm *vm);
/* Invalidations can be counted: by KVM itself (with the patches) or by the tracepoint. */
bool vm_sees_invalidations(const struct stet_vm *vm);

/* A vCPU's thread: the guest marks a moment. */
void vm_add_mark(struct stet_vm *vm, uint8_t value);

/* The counters now; after the end, as they were then. */
void vm_sample_now(struct stet_vm *vm, struct vm_sample *sample);

/* ---- vmm/start.c: the parts of vm_create(), one each ---- */

int start_memory(struct stet_vm *vm, const struct stet_config *config, struct error *error);
int start_kvm(struct stet_vm *vm, const struct stet_config *config, struct error *error);
int start_devices(struct stet_vm *vm, const struct stet_config *config, struct error *error);
int start_vcpus(struct stet_vm *vm, uint32_t count, struct error *error);
int start_registers(struct stet_vm *vm, struct error *error);
int start_stage2(struct stet_vm *vm, const struct stet_config *config, struct error *error);

/* ---- vmm/virtio_devices.c: the virtio devices of a configuration ---- */
uint64_t virtio_devices_count(const struct stet_config *config);
int virtio_devices_add(struct stet_vm *vm, const struct stet_config *config, struct error *error);

/* ---- vmm/report.c: statistics as text ---- */
void report_table(struct stet_vm *vm, struct text *text);
void report_json(struct stet_vm *vm, struct text *text);

/* ---- vmm/report_virtio.c: what the virtio devices counted ---- */
void report_virtio_json(const struct plug *plug, struct text *text);
void report_virtio_rows(const struct plug *plug, struct text *text,
			void (*row)(struct text *text, const char *name, uint64_t value));

#endif
