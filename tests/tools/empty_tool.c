/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Does nothing, linked with the libraries of daxmgrd and locked as it is: what
 * memory a program takes that has nothing of its own. `./dev bench ingest`
 * takes it off.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0) {
		perror("mlockall");
		return 1;
	}
	puts("locked");
	fflush(stdout);
	for (;;)
		pause();
}
