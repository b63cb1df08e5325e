/* SPDX-License-Identifier: Apache-2.0 */
/* vm: the composition root: creates everything in visible order, destroys it in reverse. */
#include "vmm/vm.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/thread.h"
#include "devices/hvc.h"
#include "vmm/cpu_x86.h"
#include "vmm/kvm.h"
#include "vmm/root.h"

#define DRAIN_LIMIT_MS 1000
#define LOOP_SLICE_NS  100000

static void add_phase(struct stet_vm *vm, const char *name, uint64_t ns)
{
	if (vm->phase_count < VM_PHASES_MAX)
		vm->phases[vm->phase_count++] = (struct vm_phase){ name, ns };
}

static void phase_done(struct stet_vm *vm, const char *name)
{
	add_phase(vm, name, clock_ns());
}

/* ---- Counters ---- */

static void sum_vcpus(const struct stet_vm *vm, uint64_t sums[VCPU_STAT_COUNT])
{
	memset(sums, 0, sizeof(*sums) * VCPU_STAT_COUNT);
	for (uint32_t id = 0; id < vm->vcpu_count; id++) {
		uint64_t values[VCPU_STAT_COUNT];

		if (vm->vcpus[id].stats_fd < 0 || !vm->vcpu_stats.count ||
		    stats_read(&vm->vcpu_stats, vm->vcpus[id].stats_fd, values))
			continue;
		for (uint32_t i = 0; i < VCPU_STAT_COUNT; i++)
			sums[i] += values[i];
	}
}

enum vcpu_stat vm_fault_stat(const struct stet_vm *vm)
{
	return stats_has(&vm->vcpu_stats, VCPU_STAT_STAGE2_VIOLATIONS) ? VCPU_STAT_STAGE2_VIOLATIONS
								       : VCPU_STAT_PF_TAKEN;
}

bool vm_sees_invalidations(const struct stet_vm *vm)
{
	return vm->notifier.visible || stats_has(&vm->vm_stats, VM_STAT_MN_HIT);
}

static void read_vm_stats(const struct stet_vm *vm, uint64_t values[VM_STAT_COUNT])
{
	if (vm->vm_stats_fd < 0 || !vm->vm_stats.count ||
	    stats_read(&vm->vm_stats, vm->vm_stats_fd, values))
		memset(values, 0, sizeof(*values) * VM_STAT_COUNT);
}

static void take_sample(struct stet_vm *vm, struct vm_sample *sample)
{
	sample->ns = clock_ns();
	read_vm_stats(vm, sample->vm);
	for (uint32_t i = VM_STAT_MN_INVALIDATE; i <= VM_STAT_MN_AGE_HIT; i++)
		sample->vm[i] -= vm->vm_base[i];
	sum_vcpus(vm, sample->vcpu);
	for (uint32_t i = 0; i < VCPU_STAT_COUNT; i++)
		sample->vcpu[i] -= vm->base[i];
	sample->notifier_hits = stats_has(&vm->vm_stats, VM_STAT_MN_HIT)
					? sample->vm[VM_STAT_MN_HIT]
					: notifier_read(&vm->notifier) - vm->notifier_base;
	sample->exits_to_user = 0;
	for (uint32_t id = 0; id < vm->vcpu_count; id++)
		for (uint32_t i = 0; i < EXIT_REASONS; i++)
			sample->exits_to_user +=
				atomic_load_explicit(&vm->vcpus[id].exits[i], memory_order_relaxed);
}

void vm_sample_now(struct stet_vm *vm, struct vm_sample *sample)
{
	pthread_mutex_lock(&vm->lock);
	if (atomic_load(&vm->end) != STET_END_NONE && vm->started)
		*sample = vm->end_sample;
	else
		take_sample(vm, sample);
	pthread_mutex_unlock(&vm->lock);
}

void vm_add_mark(struct stet_vm *vm, uint8_t value)
{
	pthread_mutex_lock(&vm->lock);
	if (vm->mark_count < VM_MARKS_MAX) {
		struct vm_mark *mark = &vm->marks[vm->mark_count];

		mark->value = value;
		take_sample(vm, &mark->sample);
		vm->mark_count++;
	} else {
		vm->marks_lost++;
	}
	pthread_mutex_unlock(&vm->lock);
}

/* ---- The end ---- */

void vm_end(struct stet_vm *vm, enum stet_end end)
{
	int none = STET_END_NONE;

	pthread_mutex_lock(&vm->lock);
	if (atomic_compare_exchange_strong(&vm->end, &none, end)) {
		take_sample(vm, &vm->end_sample);
		for (uint32_t id = 0; id < vm->vcpu_count; id++)
			vcpu_stop(&vm->vcpus[id]);
		eventfd_write(vm->end_fd, 1);
	}
	pthread_mutex_unlock(&vm->lock);
}

static bool consoles_are_drained(const struct stet_vm *vm)
{
	return (!vm->console || console_is_drained(vm->console)) &&
	       (!vm->hvc || !hvc_pending_bytes(vm->hvc));
}

static void wait_for_consoles(const struct stet_vm *vm)
{
	const struct timespec millisecond = { .tv_nsec = 1000000 };

	for (int i = 0; vm->loop_started && i < DRAIN_LIMIT_MS && !consoles_are_drained(vm); i++)
		nanosleep(&millisecond, NULL);
}

void vm_stop(struct stet_vm *vm, enum stet_end end)
{
	vm_end(vm, end);
	pthread_mutex_lock(&vm->join_lock);
	if (vm->started && !vm->joined) {
		for (uint32_t id = 0; id < vm->vcpu_count; id++)
			vcpu_join(&vm->vcpus[id]);
		wait_for_consoles(vm);
	}
	vm->joined = true;
	pthread_mutex_unlock(&vm->join_lock);
}

/* ---- What vCPUs ask ---- */

static void on_first_run(void *opaque, struct vcpu *vcpu)
{
	struct stet_vm *vm = opaque;

	if (vcpu->id != 0)
		return;
	pthread_mutex_lock(&vm->lock);
	phase_done(vm, "first_run");
	pthread_mutex_unlock(&vm->lock);
}

static void report_internal_error(const struct vcpu *vcpu, struct text *text)
{
	const struct kvm_run *run = vcpu->page.run;

	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		text_printf(text, "hardware entry failure reason 0x%llx\n",
			    (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	if (run->exit_reason != KVM_EXIT_INTERNAL_ERROR)
		return;
	text_printf(text, "internal error %u:", run->internal.suberror);
	for (uint32_t i = 0; i < run->internal.ndata && i < 16; i++)
		text_printf(text, " 0x%llx", (unsigned long long)run->internal.data[i]);
	text_printf(text, "\n");
}

static void on_end(void *opaque, struct vcpu *vcpu, enum exit_verdict verdict, const char *why)
{
	struct stet_vm *vm = opaque;

	if (verdict == EXIT_POWEROFF || verdict == EXIT_RESET) {
		vm_end(vm, verdict == EXIT_RESET ? STET_END_RESET : STET_END_POWEROFF);
		return;
	}
	pthread_mutex_lock(&vm->lock);
	if (atomic_load(&vm->end) == STET_END_NONE) {
		const char *name = exit_reason_name(vcpu->page.run->exit_reason);

		text_printf(&vm->report, "guest crashed: %s (KVM exit %u, %s)\n", why,
			    vcpu->page.run->exit_reason, name ? name : "no name");
		report_internal_error(vcpu, &vm->report);
		cpu_dump(vcpu->fd, vcpu->id, &vm->report);
	}
	pthread_mutex_unlock(&vm->lock);
	vm_end(vm, STET_END_CRASH);
}

static void on_fail(void *opaque, struct vcpu *vcpu, int code)
{
	struct stet_vm *vm = opaque;

	pthread_mutex_lock(&vm->lock);
	if (atomic_load(&vm->end) == STET_END_NONE) {
		text_printf(&vm->report, "vCPU %u cannot run: %s%s\n", vcpu->id, error_name(code),
			    code == EFAULT ? " (guest memory is gone from the host)" : "");
		cpu_dump(vcpu->fd, vcpu->id, &vm->report);
	}
	pthread_mutex_unlock(&vm->lock);
	vm_end(vm, STET_END_ERROR);
}

/* ---- Start ---- */

static void *loop_main(void *argument)
{
	struct stet_vm *vm = argument;
	int ret;

	/* It runs for short whiles and is waited for. */
	thread_shorten_slice(LOOP_SLICE_NS);
	thread_leave_rseq();
	ret = loop_run(vm->loop);
	if (ret)
		log_line(&vm->log, LOG_LEVEL_ERROR, "the I/O loop failed: %s", error_name(-ret));
	return NULL;
}

static int start_loop(struct stet_vm *vm, struct error *error)
{
	sigset_t all, before;
	int code;

	if (!vm->loop)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&vm->loop_thread, NULL, loop_main, vm);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code)
		return error_set(error, code, "cannot start the I/O thread: %s", error_name(code));
	pthread_setname_np(vm->loop_thread, "stet-io");
	vm->loop_started = true;
	return 0;
}

int vm_start(struct stet_vm *vm, struct error *error)
{
	const struct vcpu_owner owner = {
		.target = &vm->exit_target,
		.first_run = on_first_run,
		.end = on_end,
		.fail = on_fail,
		.opaque = vm,
		.kick_signal = vm->kick_signal,
	};
	int ret;

	pthread_mutex_lock(&vm->lock);
	if (vm->started || atomic_load(&vm->end) != STET_END_NONE) {
		ret = error_set(error, EALREADY, "the VM was started before");
		goto out;
	}
	ret = start_loop(vm, error);
	if (ret)
		goto out;
	vm->started = true;
	if (vm->count_notifier && !stats_has(&vm->vm_stats, VM_STAT_MN_HIT))
		notifier_init(&vm->notifier, &vm->ram);
	vm->notifier_base = notifier_read(&vm->notifier);
	sum_vcpus(vm, vm->base);
	read_vm_stats(vm, vm->vm_base);
	stats_read_histogram(&vm->vm_stats, vm->vm_stats_fd, vm->cause_base);
	/* vCPU 0 last: the others wait for its start-up interrupt anyway. */
	for (uint32_t id = vm->vcpu_count; !ret && id-- > 0;)
		ret = vcpu_start(&vm->vcpus[id], &owner, error);
out:
	pthread_mutex_unlock(&vm->lock);
	if (ret && ret != -EALREADY)
		vm_stop(vm, STET_END_ERROR);
	return ret;
}

static int open_file(const char *what, const char *path, int *fd, uint64_t *bytes,
		     struct error *error)
{
	int ret = fd_open_file(path, bytes);

	if (ret == -EINVAL)
		return error_set(error, EINVAL, "%s '%s' is not a regular file", what, path);
	if (ret < 0)
		return error_set(error, -ret, "cannot open %s '%s': %s", what, path,
				 error_name(-ret));
	*fd = ret;
	return 0;
}

static int open_source(struct boot_source *source, const struct stet_config *config,
		       struct error *error)
{
	int ret;

	*source = (struct boot_source){
		.kernel_fd = -1,
		.initrd_fd = -1,
		.kernel_name = config->kernel_path,
		.initrd_name = config->initrd_path,
		.cmdline = config->cmdline,
		.choice = (enum boot_choice)config->boot,
	};
	ret = open_file("kernel", config->kernel_path, &source->kernel_fd, &source->kernel_bytes,
			error);
	if (!ret && config->initrd_path)
		ret = open_file("initrd", config->initrd_path, &source->initrd_fd,
				&source->initrd_bytes, error);
	return ret;
}

static void close_source(struct boot_source *source)
{
	fd_close(&source->kernel_fd);
	fd_close(&source->initrd_fd);
}

static void on_pack_progress(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
	const struct stet_config *config = opaque;

	if (config->progress)
		config->progress(config->progress_opaque, "pack files", done_bytes, total_bytes);
}

static int load(struct stet_vm *vm, const struct stet_config *config,
		const struct boot_source *source, struct error *error)
{
	const struct acpi_machine machine = {
		.vcpu_count = config->vcpu_count,
		.serial = vm->console != NULL,
		.pci = vm->plug.ecam != NULL,
		.virtio_mmio_count = vm->plug.ecam ? 0 : vm->plug.virtio_count,
	};
	int ret = boot_load(&vm->ram, source, &vm->image, error);

	return ret ? ret : acpi_write(&vm->ram, &machine, error);
}

static void pass_log_line(void *opaque, enum log_level level, const char *text)
{
	const struct stet_vm *vm = opaque;

	vm->log_line(vm->log_opaque, (enum stet_log_level)level, text);
}

static struct stet_vm *new_vm(const struct stet_config *config)
{
	struct stet_vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	vm->log_line = config->log;
	vm->log_opaque = config->log_opaque;
	vm->log = (struct log){
		.line = config->log ? pass_log_line : NULL,
		.opaque = vm,
		.max_level = (enum log_level)config->log_level,
	};
	vm->kvm_fd = vm->vm_fd = vm->vm_stats_fd = -1;
	vm->end_fd = -1;
	vm->kick_signal = config->kick_signal ? config->kick_signal : SIGRTMIN;
	vm->count_notifier = config->count_invalidations;
	vm->notifier.why = "not asked for";
	vm->exit_target = (struct exit_target){ &vm->plug.pio, &vm->plug.mmio, &vm->deferred };
	vm->start_ns = config->start_ns ? config->start_ns : clock_ns();
	if (config->parsed_ns)
		add_phase(vm, "parsed", config->parsed_ns);
	plug_init(&vm->plug);
	deferred_init(&vm->deferred, &vm->plug.pio, &vm->plug.mmio);
	pthread_mutex_init(&vm->lock, NULL);
	pthread_mutex_init(&vm->join_lock, NULL);
	return vm;
}

/* The story of a start. Cheap checks come first, so that a mistake is not paid for with the zeroing
 * of memory. */
int vm_create(const struct stet_config *given, struct stet_vm **out, struct error *error)
{
	struct boot_source source = { .kernel_fd = -1, .initrd_fd = -1 };
	struct stet_config chosen = *given;
	struct stet_config *config = &chosen;
	struct stet_vm *vm = new_vm(config);
	struct tree *tree = NULL;
	int ret;

	if (!vm)
		return error_set(error, ENOMEM, "no memory for a VM");
	ret = open_source(&source, config, error);
	if (ret)
		goto fail;
	if (config->root_dir) {
		ret = root_open(&tree, config, &vm->log, error);
		if (ret)
			goto fail;
		source.tree = tree;
		source.tree_progress = (struct tree_progress){ on_pack_progress, config };
	}
	ret = vm->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ret < 0) {
		ret = error_set(error, errno, "cannot make an eventfd: %s", error_name(errno));
		goto fail;
	}
	ret = vm->kvm_fd = kvm_open(error);
	if (ret < 0)
		goto fail;
	ret = start_memory(vm, config, error);
	if (ret)
		goto fail;
	phase_done(vm, "memory_populated");
	ret = start_kvm(vm, config, error);
	if (ret)
		goto fail;
	ret = start_devices(vm, config, error);
	if (ret)
		goto fail;
	phase_done(vm, "vm_created");
	ret = start_vcpus(vm, config->vcpu_count, error);
	if (ret)
		goto fail;
	phase_done(vm, "vcpus_created");
	ret = start_stage2(vm, config, error);
	if (ret)
		goto fail;
	phase_done(vm, "stage2_mapped");
	ret = load(vm, config, &source, error);
	if (ret)
		goto fail;
	ret = start_registers(vm, error);
	if (ret)
		goto fail;
	phase_done(vm, "loaded");
	/* Said last: an error is the only line of a start that fails. */
	if (vm->prefault.wanted && !vm->prefault.mapped)
		log_line(&vm->log, LOG_LEVEL_WARNING,
			 "this host cannot prefault stage 2 (see 'stet info'): the guest will take "
			 "faults");
	close_source(&source);
	tree_destroy(tree);
	*out = vm;
	return 0;
fail:
	close_source(&source);
	tree_destroy(tree);
	vm_destroy(vm);
	return ret;
}

void vm_destroy(struct stet_vm *vm)
{
	if (!vm)
		return;
	vm_stop(vm, STET_END_STOPPED);
	if (vm->loop_started) {
		loop_stop(vm->loop);
		pthread_join(vm->loop_thread, NULL);
	}
	notifier_fini(&vm->notifier);
	for (uint32_t id = vm->vcpu_count; id-- > 0;)
		vcpu_fini(&vm->vcpus[id]);
	free(vm->vcpus);
	plug_fini(&vm->plug);
	while (vm->passt_count)
		passt_stop(&vm->passts[--vm->passt_count]);
	if (vm->console)
		console_fini(vm->console);
	free(vm->console);
	loop_destroy(vm->loop);
	fd_close(&vm->vm_stats_fd);
	fd_close(&vm->vm_fd);
	fd_close(&vm->kvm_fd);
	ram_fini(&vm->ram);
	fd_close(&vm->end_fd);
	text_free(&vm->report);
	deferred_fini(&vm->deferred);
	pthread_mutex_destroy(&vm->join_lock);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}
