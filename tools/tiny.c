/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tiny: boots a guest with nothing but the public interface of libstet.
 *
 *     cc tiny.c $(pkg-config --cflags --libs stet) -o tiny
 *     ./tiny vmlinuz initrd.img "console=ttyS0"
 */
#include <stdio.h>
#include <stet.h>
#include <unistd.h>

static void say(void *opaque, enum stet_log_level level, const char *line)
{
	(void)opaque;
	(void)level;
	fprintf(stderr, "tiny: %s\n", line);
}

int main(int argc, char **argv)
{
	struct stet_config config;
	struct stet_error error;
	struct stet_vm *vm = NULL;
	enum stet_end end;
	uint64_t faults;

	if (argc < 2) {
		fprintf(stderr, "usage: tiny KERNEL [INITRD [CMDLINE]]\n");
		return 2;
	}
	stet_config_init(&config);
	config.kernel_path = argv[1];
	config.initrd_path = argc > 2 && *argv[2] ? argv[2] : NULL;
	config.cmdline = argc > 3 ? argv[3] : "console=ttyS0 reboot=k panic=-1";
	config.memory_bytes = 256u << 20;
	config.console_in_fd = STDIN_FILENO;
	config.console_out_fd = STDOUT_FILENO;
	config.log = say;

	if (stet_vm_create(&config, &vm, &error) || stet_vm_start(vm, &error)) {
		fprintf(stderr, "tiny: %s\n", error.text);
		stet_vm_destroy(vm);
		return 1;
	}
	stet_vm_wait(vm, -1);
	end = stet_vm_end(vm);
	fprintf(stderr, "tiny: %s\n%s", stet_end_name(end), stet_vm_report(vm));
	if (stet_vm_stage2_faults(vm, &faults) == 0)
		fprintf(stderr, "tiny: %llu stage-2 faults\n", (unsigned long long)faults);
	stet_vm_destroy(vm);
	return end == STET_END_POWEROFF ? 0 : 1;
}
