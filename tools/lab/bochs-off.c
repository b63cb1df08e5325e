/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends a Bochs machine: Bochs quits when "Shutdown" is written, byte by byte, to I/O port 0x8900.
 * A kernel without /dev/port leaves the port to a program with I/O privileges.
 */
#include <stdio.h>
#include <sys/io.h>

#define BOCHS_SHUTDOWN_PORT 0x8900

int main(void)
{
	const char *byte;

	if (iopl(3)) {
		perror("bochs-off: iopl");
		return 1;
	}
	for (byte = "Shutdown"; *byte; byte++)
		outb((unsigned char)*byte, BOCHS_SHUTDOWN_PORT);
	return 0;
}
