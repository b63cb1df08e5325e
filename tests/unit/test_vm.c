/* SPDX-License-Identifier: Apache-2.0 */
/* test_vm: the public interface with guests of a few instructions on this machine's KVM; skipped
 * where there is none. */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/thread.h"
#include "vmm/stet.h"

#define IO_SLICE_NS 100000 /* 0.1 ms, as ARCHITECTURE.md says */

#define LOAD_GPA 0x100000
#define WAIT_MS  20000

/* outb(value, port) */
#define OUT(port, value) 0x66, 0xba, (port)&0xff, (port) >> 8, 0xb0, (value), 0xee
#define HANG             0xeb, 0xfe
#define MARK             0x5e0

static const uint8_t code_poweroff[] = { OUT(0x3f8, 'h'), OUT(0x3f8, 'i'),  OUT(MARK, 5),
					 OUT(MARK, 6),    OUT(0x600, 0x34), HANG };
static const uint8_t code_reset[] = { OUT(0xcf9, 2), OUT(0xcf9, 6), HANG };
static const uint8_t code_i8042[] = { OUT(0x64, 0xfe), HANG };
static const uint8_t code_panic[] = { OUT(0x505, 1), HANG };
static const uint8_t code_triple_fault[] = { 0xcc }; /* int3 without an IDT */
static const uint8_t code_hang[] = { OUT(MARK, 1), HANG };

/* A kernel of the given code; its path, good while the descriptor is open. */
static int make_kernel(const uint8_t *code, size_t bytes, char path[64])
{
	struct {
		Elf64_Ehdr head;
		Elf64_Phdr segment;
	} elf = {
		.head = {
			.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_entry = LOAD_GPA,
			.e_phoff = sizeof(Elf64_Ehdr),
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 1,
		},
		.segment = {
			.p_type = PT_LOAD,
			.p_flags = PF_R | PF_X,
			.p_offset = 4096,
			.p_vaddr = LOAD_GPA,
			.p_paddr = LOAD_GPA,
			.p_filesz = bytes,
			.p_memsz = bytes,
		},
	};
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &elf, sizeof(elf), 0), sizeof(elf));
	assert_int_equal(pwrite(fd, code, bytes, 4096), bytes);
	snprintf(path, 64, "/proc/self/fd/%d", fd);
	return fd;
}

static void config_for(struct stet_config *config, const char *path)
{
	stet_config_init(config);
	config->kernel_path = path;
	config->memory_bytes = 16u << 20;
	config->backing = STET_BACKING_4K;
}

/* Runs the code to its end and returns how that was. */
static enum stet_end run(const uint8_t *code, size_t bytes, uint32_t vcpus, char report[4096])
{
	struct stet_config config;
	struct stet_error error = { 0 };
	struct stet_vm *vm;
	enum stet_end end;
	char path[64];
	int fd = make_kernel(code, bytes, path);

	config_for(&config, path);
	config.vcpu_count = vcpus;
	if (stet_vm_create(&config, &vm, &error))
		fail_msg("%s", error.text);
	assert_int_equal(stet_vm_end(vm), STET_END_NONE);
	assert_int_equal(stet_vm_start(vm, &error), 0);
	assert_int_equal(stet_vm_wait(vm, WAIT_MS), 0);
	end = stet_vm_end(vm);
	snprintf(report, 4096, "%s", stet_vm_report(vm));
	stet_vm_destroy(vm);
	close(fd);
	return end;
}

static void every_end(void **state)
{
	char report[4096];

	(void)state;
	assert_int_equal(run(code_poweroff, sizeof(code_poweroff), 1, report), STET_END_POWEROFF);
	assert_string_equal(report, "");
	assert_int_equal(run(code_reset, sizeof(code_reset), 1, report), STET_END_RESET);
	assert_int_equal(run(code_i8042, sizeof(code_i8042), 3, report), STET_END_RESET);
	assert_int_equal(run(code_panic, sizeof(code_panic), 2, report), STET_END_PANIC);
	assert_int_equal(run(code_triple_fault, sizeof(code_triple_fault), 1, report),
			 STET_END_CRASH);
	/* A software MMU says "cannot emulate", a processor "triple fault". */
	assert_non_null(strstr(report, "guest crashed: "));
	assert_non_null(strstr(report, "RIP 0000000000100000"));
}

static void output_and_statistics(void **state)
{
	struct stet_config config;
	struct stet_error error = { 0 };
	struct stet_vm *vm;
	char path[64], seen[8] = { 0 }, *json, *table;
	int fd = make_kernel(code_poweroff, sizeof(code_poweroff), path);
	int out[2];

	(void)state;
	assert_int_equal(pipe(out), 0);
	config_for(&config, path);
	config.console_out_fd = out[1];
	assert_int_equal(stet_vm_create(&config, &vm, &error), 0);
	assert_int_equal(stet_vm_start(vm, &error), 0);
	assert_int_equal(stet_vm_wait(vm, WAIT_MS), 0);
	assert_int_equal(read(out[0], seen, sizeof(seen) - 1), 2);
	assert_string_equal(seen, "hi");
	assert_int_equal(stet_vm_stats(vm, STET_FORMAT_JSON, &json, &error), 0);
	assert_non_null(strstr(json, "\"exit_reason\":\"poweroff\""));
	assert_non_null(strstr(json, "\"value\":5"));
	assert_non_null(strstr(json, "\"value\":6"));
	assert_non_null(strstr(json, "\"name\":\"first_run\""));
	assert_non_null(strstr(json, "\"name\":\"end\""));
	stet_text_free(json);
	assert_int_equal(stet_vm_stats(vm, STET_FORMAT_TABLE, &table, &error), 0);
	assert_non_null(strstr(table, "mark 5"));
	stet_text_free(table);
	stet_vm_destroy(vm);
	close(out[0]);
	close(out[1]);
	close(fd);
}

static void *stop_it(void *opaque)
{
	stet_vm_stop(opaque);
	return NULL;
}

/* A guest that never ends, looked at and stopped from several threads. */
static void running_guest(void **state)
{
	struct stet_config config;
	struct stet_error error = { 0 };
	struct stet_vm *vm;
	pthread_t threads[3];
	char path[64], *text;
	int fd = make_kernel(code_hang, sizeof(code_hang), path);

	(void)state;
	config_for(&config, path);
	config.vcpu_count = 4;
	assert_int_equal(stet_vm_create(&config, &vm, &error), 0);
	assert_int_equal(stet_vm_power_button(vm), -ESRCH);
	assert_int_equal(stet_vm_start(vm, &error), 0);
	assert_int_equal(stet_vm_start(vm, &error), -EALREADY);
	assert_int_equal(stet_vm_wait(vm, 50), -ETIMEDOUT);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(stet_vm_stats(vm, STET_FORMAT_JSON, &text, &error), 0);
		assert_non_null(strstr(text, "\"exit_reason\":\"none\""));
		stet_text_free(text);
	}
	assert_int_equal(stet_vm_power_button(vm), 0);
	assert_int_equal(stet_vm_end(vm), STET_END_NONE);
	assert_string_equal(stet_vm_report(vm), "");
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, stop_it, vm), 0);
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(stet_vm_end(vm), STET_END_STOPPED);
	assert_int_equal(stet_vm_power_button(vm), -ESRCH);
	assert_int_equal(stet_vm_wait(vm, 0), 0);
	stet_vm_destroy(vm);
	close(fd);
}

/* Of a thread, 0: this one. 0 where the host's scheduler knows no slices (before 6.12). */
static uint64_t slice_ns(pid_t thread)
{
	struct thread_schedule schedule = { 0 };

	return thread_get_schedule(thread, &schedule) ? 0 : schedule.slice_ns;
}

static pid_t thread_named(const char *name)
{
	DIR *threads = opendir("/proc/self/task");
	struct dirent *entry;
	pid_t found = 0;

	assert_non_null(threads);
	while (!found && (entry = readdir(threads))) {
		char path[300], comm[17] = { 0 };
		int fd;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		if (read(fd, comm, sizeof(comm) - 1) > 0 && !strncmp(comm, name, strlen(name)))
			found = (pid_t)strtol(entry->d_name, NULL, 10);
		close(fd);
	}
	closedir(threads);
	return found;
}

/* The I/O thread is waited for; a vCPU is like any other thread. */
static void io_thread_has_a_short_slice(void **state)
{
	struct stet_config config;
	struct stet_error error = { 0 };
	struct stet_vm *vm;
	char path[64];
	int fd = make_kernel(code_hang, sizeof(code_hang), path);

	(void)state;
	if (!slice_ns(0)) {
		close(fd);
		skip();
	}
	config_for(&config, path);
	config.rng = 1;
	assert_int_equal(stet_vm_create(&config, &vm, &error), 0);
	assert_int_equal(stet_vm_start(vm, &error), 0);
	for (int i = 0; i < 5000 && slice_ns(thread_named("stet-io")) != IO_SLICE_NS; i++)
		usleep(1000);
	assert_int_equal(slice_ns(thread_named("stet-io")), IO_SLICE_NS);
	assert_int_not_equal(thread_named("stet-vcpu0"), 0);
	assert_true(slice_ns(thread_named("stet-vcpu0")) == slice_ns(0));
	stet_vm_stop(vm);
	stet_vm_destroy(vm);
	close(fd);
}

static void destroyed_without_a_start_or_while_running(void **state)
{
	struct stet_config config;
	struct stet_error error = { 0 };
	struct stet_vm *vm;
	char path[64];
	int fd = make_kernel(code_hang, sizeof(code_hang), path);

	(void)state;
	config_for(&config, path);
	config.vcpu_count = 2;
	assert_int_equal(stet_vm_create(&config, &vm, &error), 0);
	stet_vm_destroy(vm);
	assert_int_equal(stet_vm_create(&config, &vm, &error), 0);
	assert_int_equal(stet_vm_start(vm, &error), 0);
	stet_vm_destroy(vm);
	stet_vm_destroy(NULL);
	close(fd);
}

static int skip_without_kvm(void **state)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	(void)state;
	if (fd < 0) {
		print_message("no /dev/kvm here\n");
		skip();
	}
	close(fd);
	return 0;
}

static void bad_configurations(void **state)
{
	struct stet_config config;
	struct stet_error error;
	struct stet_vm *vm = (struct stet_vm *)&error;
	char path[64];
	int fd = make_kernel(code_hang, sizeof(code_hang), path);
	static char long_text[70000];

	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
#define REFUSED(expected, change)                                                    \
	do {                                                                         \
		config_for(&config, path);                                           \
		error = (struct stet_error){ 0 };                                    \
		change;                                                              \
		assert_int_equal(stet_vm_create(&config, &vm, &error), -(expected)); \
		assert_int_equal(error.code, expected);                              \
		assert_true(strlen(error.text) > 10);                                \
		assert_null(strchr(error.text, '\n'));                               \
		assert_ptr_equal(vm, (struct stet_vm *)&error);                      \
	} while (0)
	REFUSED(EINVAL, config.size = 0);
	REFUSED(EINVAL, config.kernel_path = NULL);
	REFUSED(EINVAL, config.kernel_path = "");
	REFUSED(ENOENT, config.kernel_path = "/nonexistent");
	REFUSED(EISDIR, config.kernel_path = "/");
	REFUSED(EINVAL, config.kernel_path = "/dev/null");
	REFUSED(ENOENT, config.initrd_path = "/nonexistent");
	REFUSED(EINVAL, config.vcpu_count = 0);
	REFUSED(EINVAL, config.vcpu_count = 33);
	REFUSED(EINVAL, config.vcpu_count = UINT32_MAX);
	REFUSED(EINVAL, config.memory_bytes = 0);
	REFUSED(EINVAL, config.memory_bytes = 1 << 20);
	REFUSED(EINVAL, config.memory_bytes = (16u << 20) + 1);
	REFUSED(EINVAL, config.memory_bytes = UINT64_MAX);
	REFUSED(EINVAL, config.memory_bytes = UINT64_MAX - (2u << 20) + 1);
	REFUSED(EINVAL, config.backing = 77);
	REFUSED(EINVAL, config.prefault = 77);
	REFUSED(EINVAL, config.boot = 77);
	REFUSED(EINVAL, config.kick_signal = SIGTERM);
	REFUSED(E2BIG, config.cmdline = long_text);
#undef REFUSED
	assert_int_equal(stet_vm_create(NULL, &vm, NULL), -EINVAL);
	close(fd);
}

/* The rule of clone3: an older caller's fields end earlier, a newer one's extra fields must be
 * zero. */
static void configuration_sizes(void **state)
{
	struct {
		struct stet_config config;
		uint64_t future[4];
	} newer = { 0 };
	struct stet_error error;
	struct stet_vm *vm;

	(void)state;
	stet_config_init(&newer.config);
	newer.config.kernel_path = "/nonexistent";
	newer.config.size = sizeof(newer);
	assert_int_equal(stet_vm_create(&newer.config, &vm, &error), -ENOENT);
	newer.future[3] = 1;
	assert_int_equal(stet_vm_create(&newer.config, &vm, &error), -E2BIG);
	newer.config.size = offsetof(struct stet_config, memory_bytes);
	newer.config.memory_bytes = 1; /* beyond what the size covers: the default holds */
	assert_int_equal(stet_vm_create(&newer.config, &vm, &error), -ENOENT);
}

static void console_and_sockets(void **state)
{
	char folder[] = "/tmp/stet-test.XXXXXX", socket_path[64], path[64];
	int fd = make_kernel(code_hang, sizeof(code_hang), path);
	struct stet_config config;
	struct stet_error error;
	struct stet_vm *vm, *other;
	char *json;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(socket_path, sizeof(socket_path), "%s/vm.sock", folder);
	config_for(&config, path);
	assert_int_equal(stet_vm_create(&config, &vm, &error), 0);
	assert_int_equal(stet_vm_resize_console(vm, 80, 25), -ENODEV);
	stet_vm_destroy(vm);

	config.vsock_path = socket_path;
	config.vsock_cid = 2;
	assert_int_equal(stet_vm_create(&config, &vm, &error), -EINVAL);
	config.vsock_cid = STET_VSOCK_CID_MAX;
	config.hvc_out_fd = fd;
	assert_int_equal(stet_vm_create(&config, &vm, &error), 0);
	assert_int_equal(stet_vm_resize_console(vm, 80, 25), 0);
	assert_int_equal(stet_vm_create(&config, &other, &error), -EADDRINUSE);
	assert_int_equal(stet_vm_start(vm, &error), 0);
	assert_int_equal(stet_vm_resize_console(vm, 132, 43), 0);
	assert_int_equal(stet_vm_stats(vm, STET_FORMAT_JSON, &json, &error), 0);
	assert_non_null(strstr(json, "\"vsock\""));
	assert_non_null(strstr(json, "\"hvc\""));
	stet_text_free(json);
	assert_int_equal(stet_vm_stop(vm), 0);
	assert_int_equal(access(socket_path, F_OK), 0);
	stet_vm_destroy(vm);
	assert_int_equal(rmdir(folder), 0); /* the socket is gone */
	close(fd);
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(stet_end_name(STET_END_CRASH), "crash");
	assert_string_equal(stet_end_name((enum stet_end)99), "unknown");
	assert_string_equal(stet_version(), STET_VERSION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(bad_configurations),
		cmocka_unit_test(configuration_sizes),
		cmocka_unit_test_setup(every_end, skip_without_kvm),
		cmocka_unit_test_setup(output_and_statistics, skip_without_kvm),
		cmocka_unit_test_setup(console_and_sockets, skip_without_kvm),
		cmocka_unit_test_setup(running_guest, skip_without_kvm),
		cmocka_unit_test_setup(io_thread_has_a_short_slice, skip_without_kvm),
		cmocka_unit_test_setup(destroyed_without_a_start_or_while_running,
				       skip_without_kvm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
