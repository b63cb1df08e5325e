/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bochs-note: writes a line into Bochs' own log, from inside the machine, so that what the log says
 * can be told apart by when it was said.
 *
 *   bochs-note TEXT
 *
 * Bochs logs what its BIOS writes to the information port 0x402, a line at a time.
 */
#include <stdio.h>
#include <sys/io.h>

#define BIOS_INFO_PORT 0x402

int main(int argc, char **argv)
{
	if (argc != 2 || iopl(3)) {
		perror("bochs-note");
		return 1;
	}
	for (const char *byte = argv[1]; *byte; byte++)
		outb((unsigned char)*byte, BIOS_INFO_PORT);
	outb('\n', BIOS_INFO_PORT);
	return 0;
}
