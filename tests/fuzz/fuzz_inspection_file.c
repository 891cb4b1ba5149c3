/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as an inspection from a worker: what is accepted is safe to read. */
#include "inspection_file.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_in(const struct iso_inspection *inspection)
{
	assert(inspection->n_mappers <= INSPECTION_MAPPERS_MAX);
	for (uint32_t i = 0; i < inspection->n_mappers; i++) {
		assert(inspection->mappers[i].pid > 0);
		assert(memchr(inspection->mappers[i].evidence, '\0', ISO_EVIDENCE_BYTES));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
	struct inspection_file file = INSPECTION_FILE_NULL;
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return 0;
	if (write(fd, data, size) == (ssize_t)size && fcntl(fd, F_ADD_SEALS, seals) == 0 &&
	    inspection_file_open(fd, &file) == 0) {
		take_in(&file.inspection);
		inspection_file_close(&file);
	}
	close(fd);
	return 0;
}
