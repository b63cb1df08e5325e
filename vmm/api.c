/* SPDX-License-Identifier: Apache-2.0 */
/* api: checks what the caller gives, and calls vm. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "devices/hvc.h"
#include "devices/platform.h"
#include "devices/vsock.h"
#include "vmm/host.h"
#include "vmm/vm.h"
#include "vmm/watch.h"

#define CMDLINE_BYTES_MAX 65536

_Static_assert((int)STET_BACKING_AUTO == (int)BACKING_AUTO &&
		       (int)STET_BACKING_HUGETLB_1G == (int)BACKING_HUGETLB_1G &&
		       (int)STET_BACKING_HUGETLB_2M == (int)BACKING_HUGETLB_2M &&
		       (int)STET_BACKING_THP == (int)BACKING_THP &&
		       (int)STET_BACKING_4K == (int)BACKING_4K,
	       "the public backings are the internal ones");
_Static_assert((int)STET_LOG_DEBUG == (int)LOG_LEVEL_DEBUG &&
		       (int)STET_LOG_ERROR == (int)LOG_LEVEL_ERROR,
	       "the public log levels are the internal ones");
_Static_assert((int)STET_BOOT_AUTO == (int)BOOT_CHOICE_AUTO &&
		       (int)STET_BOOT_LINUX64 == (int)BOOT_CHOICE_LINUX64 &&
		       (int)STET_BOOT_PVH == (int)BOOT_CHOICE_PVH,
	       "the public boot choices are the internal ones");

_Static_assert(STET_VSOCK_CID_MIN == VSOCK_CID_MIN && STET_VSOCK_CID_MAX == VSOCK_CID_MAX,
	       "the public CIDs are the internal ones");

/* Hands an internal error out. Returns -its code, or 0. */
static int give(int ret, const struct error *from, struct stet_error *to)
{
	if (ret && to) {
		size_t bytes = strnlen(from->text, sizeof(to->text) - 1);

		to->code = -ret;
		memcpy(to->text, from->text, bytes);
		to->text[bytes] = 0;
	}
	return ret;
}

const char *stet_version(void)
{
	return STET_VERSION;
}

const char *stet_end_name(enum stet_end end)
{
	static const char *const names[] = {
		[STET_END_NONE] = "none",   [STET_END_POWEROFF] = "poweroff",
		[STET_END_RESET] = "reset", [STET_END_CRASH] = "crash",
		[STET_END_PANIC] = "panic", [STET_END_STOPPED] = "stopped",
		[STET_END_ERROR] = "error",
	};

	return (unsigned int)end < ARRAY_SIZE(names) ? names[end] : "unknown";
}

void stet_config_init(struct stet_config *config)
{
	*config = (struct stet_config){
		.size = sizeof(*config),
		.vcpu_count = 1,
		.memory_bytes = 512 * MIB,
		.console_in_fd = -1,
		.console_out_fd = -1,
		.hvc_in_fd = -1,
		.hvc_out_fd = -1,
		.vsock_cid = STET_VSOCK_CID_MIN,
		.log_level = STET_LOG_WARNING,
	};
}

void stet_disk_init(struct stet_disk *disk)
{
	*disk = (struct stet_disk){ .size = sizeof(*disk) };
}

void stet_net_init(struct stet_net *net)
{
	*net = (struct stet_net){ .size = sizeof(*net), .queue_pairs = 1 };
}

/* The caller's configuration as this library knows it: what an older header lacks has its default.
 */
static int read_config(struct stet_config *config, const struct stet_config *given,
		       struct error *error)
{
	const uint8_t *bytes = (const uint8_t *)given;

	if (!given || given->size < offsetof(struct stet_config, vcpu_count))
		return error_set(error, EINVAL,
				 "the configuration has no size: call stet_config_init() first");
	for (size_t i = sizeof(*config); i < given->size; i++)
		if (bytes[i])
			return error_set(error, E2BIG,
					 "the configuration asks for what this library (%s) does "
					 "not know",
					 STET_VERSION);
	stet_config_init(config);
	memcpy(config, given, num_min(given->size, sizeof(*config)));
	config->size = sizeof(*config);
	return 0;
}

static int check_config(const struct stet_config *config, struct error *error)
{
	if (!config->kernel_path || !config->kernel_path[0])
		return error_set(error, EINVAL, "no kernel given");
	if (config->vcpu_count < 1 || config->vcpu_count > LAYOUT_VCPUS_MAX)
		return error_set(error, EINVAL, "%u vCPUs: stet runs 1 to %d", config->vcpu_count,
				 LAYOUT_VCPUS_MAX);
	if ((unsigned int)config->backing >= BACKING_COUNT ||
	    (unsigned int)config->prefault > STET_PREFAULT_REQUIRE ||
	    (unsigned int)config->boot > STET_BOOT_PVH ||
	    (unsigned int)config->transport > STET_TRANSPORT_MMIO)
		return error_set(error, EINVAL,
				 "unknown backing, prefault, boot or transport choice");
	if (config->cmdline && strnlen(config->cmdline, CMDLINE_BYTES_MAX) == CMDLINE_BYTES_MAX)
		return error_set(error, E2BIG, "the kernel command line is too long");
	if (config->kick_signal &&
	    (config->kick_signal < SIGRTMIN || config->kick_signal > SIGRTMAX))
		return error_set(error, EINVAL, "signal %d is not a real-time signal",
				 config->kick_signal);
	if (virtio_devices_count(config) > PLUG_VIRTIO_MAX)
		return error_set(error, EINVAL,
				 "%llu virtio devices (%u disks, %u network devices): %d fit",
				 (unsigned long long)virtio_devices_count(config),
				 config->disk_count, config->net_count, PLUG_VIRTIO_MAX);
	if (config->root_dir && config->initrd_path)
		return error_set(error, EINVAL,
				 "an initrd is either a file or made of a directory");
	if (config->root_dir && !config->memory_bytes)
		return 0;
	return ram_check_bytes(config->memory_bytes, error);
}

int stet_vm_create(const struct stet_config *given, struct stet_vm **vm, struct stet_error *error)
{
	struct stet_config config = { .start_ns = 0 };
	struct error e = { 0 };
	uint64_t now_ns = clock_ns();
	int ret = read_config(&config, given, &e);

	if (!ret)
		ret = check_config(&config, &e);
	if (!config.start_ns)
		config.start_ns = now_ns;
	if (!ret)
		ret = vm_create(&config, vm, &e);
	return give(ret, &e, error);
}

int stet_vm_start(struct stet_vm *vm, struct stet_error *error)
{
	struct error e = { 0 };

	return give(vm_start(vm, &e), &e, error);
}

int stet_vm_event_fd(const struct stet_vm *vm)
{
	return vm->end_fd;
}

enum stet_end stet_vm_end(const struct stet_vm *vm)
{
	return (enum stet_end)atomic_load(&vm->end);
}

const char *stet_vm_report(const struct stet_vm *vm)
{
	/* Written before the end is set, never after. */
	if (stet_vm_end(vm) == STET_END_NONE || !vm->report.data)
		return "";
	return vm->report.data;
}

int stet_vm_wait(struct stet_vm *vm, int timeout_ms)
{
	struct pollfd fd = { .fd = vm->end_fd, .events = POLLIN };
	uint64_t until_ns = clock_ns() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000;
	int ret;

	do {
		uint64_t now_ns = clock_ns();
		int left_ms = now_ns < until_ns ? (int)((until_ns - now_ns + 999999) / 1000000) : 0;

		ret = poll(&fd, 1, timeout_ms < 0 ? -1 : left_ms);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return -errno;
	if (ret == 0)
		return -ETIMEDOUT;
	vm_stop(vm, STET_END_STOPPED);
	return 0;
}

int stet_vm_power_button(struct stet_vm *vm)
{
	bool running;

	pthread_mutex_lock(&vm->lock);
	running = vm->started && stet_vm_end(vm) == STET_END_NONE;
	pthread_mutex_unlock(&vm->lock);
	if (!running)
		return -ESRCH;
	acpi_pm_power_button(vm->acpi_pm);
	return 0;
}

int stet_vm_resize_console(struct stet_vm *vm, uint16_t columns, uint16_t rows)
{
	if (!vm->hvc)
		return -ENODEV;
	hvc_resize(vm->hvc, columns, rows);
	return 0;
}

int stet_vm_stop(struct stet_vm *vm)
{
	vm_stop(vm, STET_END_STOPPED);
	return 0;
}

void stet_vm_destroy(struct stet_vm *vm)
{
	vm_destroy(vm);
}

/* Gives the text's memory to the caller. */
static int give_text(struct text *text, char **out, struct stet_error *error)
{
	struct error e = { 0 };

	if (!text_ok(text)) {
		text_free(text);
		return give(error_set(&e, ENOMEM, "no memory for the report"), &e, error);
	}
	*out = text->data;
	return 0;
}

int stet_vm_stats(struct stet_vm *vm, enum stet_format format, char **out, struct stet_error *error)
{
	struct text text = { 0 };

	if (format == STET_FORMAT_JSON)
		report_json(vm, &text);
	else
		report_table(vm, &text);
	return give_text(&text, out, error);
}

int stet_vm_stage2_faults(struct stet_vm *vm, uint64_t *faults)
{
	struct vm_sample sample;

	if (!stats_has(&vm->vcpu_stats, vm_fault_stat(vm)))
		return -EOPNOTSUPP;
	vm_sample_now(vm, &sample);
	*faults = sample.vcpu[vm_fault_stat(vm)];
	return 0;
}

int stet_host_info(enum stet_format format, char **out, int *zero_faults_possible,
		   struct stet_error *error)
{
	struct text text = { 0 };
	bool possible = host_report(format, &text);
	int ret = give_text(&text, out, error);

	if (!ret && zero_faults_possible)
		*zero_faults_possible = possible;
	return ret;
}

int stet_watch_open(int pid, struct stet_watch **watch, struct stet_error *error)
{
	struct error e = { 0 };

	return give(watch_open(pid, watch, &e), &e, error);
}

int stet_watch_report(struct stet_watch *watch, enum stet_format format, char **out,
		      struct stet_error *error)
{
	struct text text = { 0 };
	struct error e = { 0 };
	int ret = watch_report(watch, format, &text, &e);

	if (!ret)
		return give_text(&text, out, error);
	text_free(&text);
	return give(ret, &e, error);
}

void stet_watch_close(struct stet_watch *watch)
{
	watch_close(watch);
}

void stet_text_free(char *text)
{
	free(text);
}
