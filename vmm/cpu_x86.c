/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_x86: the state a vCPU starts in, and its registers as text. */
#include "vmm/cpu_x86.h"

#include <inttypes.h>

#include "base/num.h"
#include "boot/x86.h"

#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLE_WRITE_BACK \
	0x806 /* enabled, everything write-back: a kernel finds MTRRs and leaves them */

#define APIC_BASE_BSP    (1u << 8)
#define APIC_BASE_X2APIC (1u << 10)
#define APIC_BASE_ENABLE (1u << 11)

#define CR0_PE          0x1u
#define CR0_ET          0x10u
#define CR0_NE          0x20u
#define CR0_WP          0x10000u
#define CR0_AM          0x40000u
#define CR0_PG          0x80000000u
#define CR4_PAE         0x20u
#define EFER_LME        0x100u
#define EFER_LMA        0x400u
#define RFLAGS_RESERVED 0x2u

#define SEGMENT_CODE 0xb /* executable, readable, accessed */
#define SEGMENT_DATA 0x3 /* writable, accessed */
#define SEGMENT_TSS  0xb /* 32/64-bit TSS, busy */

#define RESET_CS_BASE 0xffff0000u
#define RESET_RIP     0xfff0u

static struct kvm_segment flat(uint16_t selector, uint8_t type, bool code64)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.db = !code64,
		.s = 1,
		.l = code64,
		.g = 1,
	};
}

static void set_segments(struct kvm_sregs *sregs, bool code64)
{
	sregs->cs = flat(code64 ? X86_SELECTOR_CS64 : X86_SELECTOR_CS32, SEGMENT_CODE, code64);
	sregs->ds = flat(X86_SELECTOR_DS, SEGMENT_DATA, false);
	sregs->es = sregs->fs = sregs->gs = sregs->ss = sregs->ds;
	sregs->tr = (struct kvm_segment){
		.limit = 0x67,
		.selector = X86_SELECTOR_TSS,
		.type = SEGMENT_TSS,
		.present = 1,
	};
	sregs->gdt.base = LAYOUT_GDT;
	sregs->gdt.limit = X86_GDT_BYTES - 1;
	sregs->idt.base = 0;
	sregs->idt.limit = 0;
}

static void set_entry(struct kvm_sregs *sregs, struct kvm_regs *regs,
		      const struct boot_image *image)
{
	bool code64 = image->protocol == BOOT_LINUX64;

	set_segments(sregs, code64);
	*regs = (struct kvm_regs){ .rip = image->entry, .rflags = RFLAGS_RESERVED };
	if (code64) {
		sregs->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
		sregs->cr3 = LAYOUT_PAGE_TABLES;
		sregs->cr4 = CR4_PAE;
		sregs->efer = EFER_LME | EFER_LMA;
		regs->rsi = image->info_gpa;
		regs->rsp = LAYOUT_BOOT_STACK;
	} else {
		sregs->cr0 = CR0_PE | CR0_ET;
		sregs->cr4 = 0;
		sregs->efer = 0;
		regs->rbx = image->info_gpa;
	}
}

int cpu_set_state(int vcpu_fd, uint32_t id, const struct boot_image *image, struct error *error)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	int ret = kvm_get_sregs(vcpu_fd, &sregs);

	if (ret)
		goto fail;
	sregs.apic_base = LAYOUT_LAPIC | APIC_BASE_ENABLE | APIC_BASE_X2APIC;
	if (id == 0) {
		sregs.apic_base |= APIC_BASE_BSP;
		set_entry(&sregs, &regs, image);
	}
	ret = kvm_set_sregs(vcpu_fd, &sregs);
	if (!ret && id == 0)
		ret = kvm_set_regs(vcpu_fd, &regs);
	if (!ret)
		ret = kvm_set_msr(vcpu_fd, MSR_MTRR_DEF_TYPE, MTRR_ENABLE_WRITE_BACK);
	if (ret)
		goto fail;
	return 0;
fail:
	return error_set(error, -ret, "KVM does not take the registers of vCPU %u: %s", id,
			 error_name(-ret));
}

static void dump_segment(struct text *text, const char *name, const struct kvm_segment *segment)
{
	text_printf(text, "%s %04x base %016" PRIx64 " limit %08x type %x dpl %u%s%s\n", name,
		    segment->selector, (uint64_t)segment->base, segment->limit, segment->type,
		    segment->dpl, segment->l ? " long" : "", segment->db ? " 32-bit" : "");
}

void cpu_dump(int vcpu_fd, uint32_t id, struct text *text)
{
	struct kvm_regs r;
	struct kvm_sregs s;

	if (kvm_get_regs(vcpu_fd, &r) || kvm_get_sregs(vcpu_fd, &s)) {
		text_printf(text, "vCPU %u: registers cannot be read\n", id);
		return;
	}
	text_printf(text,
		    "vCPU %u\n"
		    "RIP %016" PRIx64 " RFLAGS %016" PRIx64 "\n"
		    "RAX %016" PRIx64 " RBX %016" PRIx64 " RCX %016" PRIx64 " RDX %016" PRIx64 "\n"
		    "RSI %016" PRIx64 " RDI %016" PRIx64 " RBP %016" PRIx64 " RSP %016" PRIx64 "\n"
		    "R8  %016" PRIx64 " R9  %016" PRIx64 " R10 %016" PRIx64 " R11 %016" PRIx64 "\n"
		    "R12 %016" PRIx64 " R13 %016" PRIx64 " R14 %016" PRIx64 " R15 %016" PRIx64 "\n",
		    id, (uint64_t)r.rip, (uint64_t)r.rflags, (uint64_t)r.rax, (uint64_t)r.rbx,
		    (uint64_t)r.rcx, (uint64_t)r.rdx, (uint64_t)r.rsi, (uint64_t)r.rdi,
		    (uint64_t)r.rbp, (uint64_t)r.rsp, (uint64_t)r.r8, (uint64_t)r.r9,
		    (uint64_t)r.r10, (uint64_t)r.r11, (uint64_t)r.r12, (uint64_t)r.r13,
		    (uint64_t)r.r14, (uint64_t)r.r15);
	text_printf(text,
		    "CR0 %016" PRIx64 " CR2 %016" PRIx64 " CR3 %016" PRIx64 " CR4 %016" PRIx64 "\n"
		    "EFER %016" PRIx64 " GDT %016" PRIx64 "/%04x IDT %016" PRIx64 "/%04x\n",
		    (uint64_t)s.cr0, (uint64_t)s.cr2, (uint64_t)s.cr3, (uint64_t)s.cr4,
		    (uint64_t)s.efer, (uint64_t)s.gdt.base, s.gdt.limit, (uint64_t)s.idt.base,
		    s.idt.limit);
	dump_segment(text, "CS", &s.cs);
	dump_segment(text, "SS", &s.ss);
	dump_segment(text, "DS", &s.ds);
	if (s.cs.base == RESET_CS_BASE && r.rip == RESET_RIP)
		text_printf(text, "(these are the registers of a reset: on AMD KVM resets the vCPU "
				  "before it reports a triple fault)\n");
}
