/* SPDX-License-Identifier: Apache-2.0 */
/* image: the program init, inside this one. */
#include "tools/init/image.h"

__asm__(".pushsection .rodata\n"
	".global init_image\n"
	".hidden init_image\n"
	".balign 16\n"
	"init_image:\n"
	".incbin \"" STET_INIT "\"\n"
	".global init_image_end\n"
	".hidden init_image_end\n"
	"init_image_end:\n"
	".byte 0\n"
	".popsection\n");
