/* SPDX-License-Identifier: Apache-2.0 */
/*
 * once: a plugin for QEMU's TCG under -icount: an interrupt that KVM injects is delivered once.
 *
 * QEMU (7.2, and its development branch in 2026) delivers what VMRUN injects at once, but leaves
 * the vector in CPUState.exception_index too. Where the instruction budget of -icount ends, which
 * it does for each timer, before an exit or an exception of the guest has overwritten it, the same
 * vector is delivered again, wherever the guest is by then and with interrupts off: inside the
 * handler of the first one it then waits for its own lock for ever. A request to poll the APIC,
 * which changes nothing here, is served right behind VMRUN, and with each request that it has
 * served QEMU forgets the vector.
 *
 * For QEMU as Debian 12 builds it; its functions are found by name.
 */
#include <dlfcn.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* QEMU's interface for plugins, version 1 (docs/devel/tcg-plugins): its header is in no package. */
struct qemu_plugin_tb;
struct qemu_plugin_insn;
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
					   void (*translated)(uint64_t id,
							      struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *instruction);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *instruction,
					    void (*executes)(unsigned int cpu, void *opaque),
					    int registers, void *opaque);
int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv);

#define EXPORTED __attribute__((visibility("default")))

EXPORTED extern const int qemu_plugin_version;
const int qemu_plugin_version = 1;

/* QEMU's CPU_INTERRUPT_POLL. */
#define REQUEST_POLL 0x10

/* What is called in QEMU, itself and its TCG, which is a module. */
static struct {
	void *(*get_cpu)(int index);
	void (*lock)(const char *file, int line);
	void (*unlock)(void);
	void (*request)(void *cpu, int mask);
} qemu;

static int find_tcg(struct dl_phdr_info *object, size_t bytes, void *handle)
{
	(void)bytes;
	if (!strstr(object->dlpi_name, "/accel-tcg-"))
		return 0;
	*(void **)handle = dlopen(object->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
	return 1;
}

/* Not in ISO C: a pointer to an object as one to a function. */
static void find(void *handle, const char *name, void *function)
{
	void *address = dlsym(handle, name);

	if (!address) {
		fprintf(stderr, "once.so: this QEMU has no %s\n", name);
		exit(1);
	}
	memcpy(function, &address, sizeof(address));
}

/* With the first VMRUN: the module is there by then. */
static void find_functions(void)
{
	void *tcg = RTLD_DEFAULT;

	dl_iterate_phdr(find_tcg, (void *)&tcg);
	find(RTLD_DEFAULT, "qemu_get_cpu", (void *)&qemu.get_cpu);
	find(RTLD_DEFAULT, "qemu_mutex_lock_iothread_impl", (void *)&qemu.lock);
	find(RTLD_DEFAULT, "qemu_mutex_unlock_iothread", (void *)&qemu.unlock);
	find(tcg, "tcg_handle_interrupt", (void *)&qemu.request);
}

static void before_vmrun(unsigned int cpu, void *opaque)
{
	(void)opaque;
	if (!qemu.request)
		find_functions();
	qemu.lock(__FILE__, __LINE__);
	qemu.request(qemu.get_cpu((int)cpu), REQUEST_POLL);
	qemu.unlock();
}

/* VMRUN ends a block. */
static void translated(uint64_t id, struct qemu_plugin_tb *block)
{
	static const uint8_t vmrun[] = { 0x0f, 0x01, 0xd8 };
	struct qemu_plugin_insn *last =
		qemu_plugin_tb_get_insn(block, qemu_plugin_tb_n_insns(block) - 1);

	(void)id;
	if (qemu_plugin_insn_size(last) == sizeof(vmrun) &&
	    !memcmp(qemu_plugin_insn_data(last), vmrun, sizeof(vmrun)))
		qemu_plugin_register_vcpu_insn_exec_cb(last, before_vmrun, 0, NULL);
}

EXPORTED int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	(void)info;
	(void)argc;
	(void)argv;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
