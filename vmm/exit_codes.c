/* SPDX-License-Identifier: Apache-2.0 */
/* exit_codes: names of the hardware's exit codes. */
#include "vmm/exit_codes.h"

#include <stdio.h>

#include "base/num.h"
#include "tools/host-kernel/include/stet_kvm.h"

static const char *const vmx[] = {
	[0] = "exception",
	[1] = "external-interrupt",
	[2] = "triple-fault",
	[3] = "init",
	[4] = "sipi",
	[7] = "interrupt-window",
	[8] = "nmi-window",
	[9] = "task-switch",
	[10] = "cpuid",
	[12] = "hlt",
	[13] = "invd",
	[14] = "invlpg",
	[15] = "rdpmc",
	[16] = "rdtsc",
	[18] = "vmcall",
	[28] = "cr-access",
	[29] = "dr-access",
	[30] = "io",
	[31] = "msr-read",
	[32] = "msr-write",
	[33] = "invalid-state",
	[34] = "msr-load-fail",
	[36] = "mwait",
	[37] = "monitor-trap",
	[39] = "monitor",
	[40] = "pause",
	[41] = "machine-check",
	[43] = "tpr-threshold",
	[44] = "apic-access",
	[45] = "eoi",
	[46] = "gdtr-idtr",
	[47] = "ldtr-tr",
	[48] = "ept-violation",
	[49] = "ept-misconfig",
	[50] = "invept",
	[51] = "rdtscp",
	[52] = "preemption-timer",
	[53] = "invvpid",
	[54] = "wbinvd",
	[55] = "xsetbv",
	[56] = "apic-write",
	[57] = "rdrand",
	[58] = "invpcid",
	[59] = "vmfunc",
	[61] = "rdseed",
	[62] = "pml-full",
	[63] = "xsaves",
	[64] = "xrstors",
	[67] = "umwait",
	[68] = "tpause",
	[74] = "bus-lock",
	[75] = "notify",
};

/* Up to 0x5f there are ranges: registers and exceptions, one code each. */
static const char *const svm[] = {
	[0x60] = "interrupt",   [0x61] = "nmi",         [0x62] = "smi",
	[0x63] = "init",        [0x64] = "vintr",       [0x65] = "cr0-select",
	[0x66] = "idtr-read",   [0x67] = "gdtr-read",   [0x6e] = "rdtsc",
	[0x6f] = "rdpmc",       [0x72] = "cpuid",       [0x73] = "rsm",
	[0x74] = "iret",        [0x75] = "swint",       [0x76] = "invd",
	[0x77] = "pause",       [0x78] = "hlt",         [0x79] = "invlpg",
	[0x7a] = "invlpga",     [0x7b] = "io",          [0x7c] = "msr",
	[0x7d] = "task-switch", [0x7e] = "ferr-freeze", [0x7f] = "shutdown",
	[0x80] = "vmrun",       [0x81] = "vmmcall",     [0x82] = "vmload",
	[0x83] = "vmsave",      [0x84] = "stgi",        [0x85] = "clgi",
	[0x86] = "skinit",      [0x87] = "rdtscp",      [0x89] = "wbinvd",
	[0x8a] = "monitor",     [0x8b] = "mwait",       [0x8d] = "xsetbv",
	[0x8e] = "rdpru",       [0x8f] = "efer-trap",   [0xa0] = "invlpgb",
	[0xa2] = "invpcid",     [0xa5] = "bus-lock",    [0xf0] = "npf",
	[0xf1] = "avic-ipi",    [0xf2] = "avic-access", [0xf3] = "vmgexit",
};

static const char *number(const char *what, uint32_t value, char *text, size_t bytes)
{
	snprintf(text, bytes, "%s%u", what, value);
	return text;
}

static const char *svm_name(uint32_t bucket, char *text, size_t bytes)
{
	if (bucket < 0x10)
		return number("read-cr", bucket, text, bytes);
	if (bucket < 0x20)
		return number("write-cr", bucket - 0x10, text, bytes);
	if (bucket < 0x30)
		return number("read-dr", bucket - 0x20, text, bytes);
	if (bucket < 0x40)
		return number("write-dr", bucket - 0x30, text, bytes);
	if (bucket < 0x60)
		return number("exception-", bucket - 0x40, text, bytes);
	return bucket < ARRAY_SIZE(svm) ? svm[bucket] : NULL;
}

const char *exit_code_name(bool intel, uint32_t bucket, char *text, size_t bytes)
{
	const char *name;

	if (bucket == STET_KVM_EXIT_OTHER)
		return "other";
	name = !intel                     ? svm_name(bucket, text, bytes)
	       : bucket < ARRAY_SIZE(vmx) ? vmx[bucket]
					  : NULL;
	return name ? name : number("code-", bucket, text, bytes);
}
