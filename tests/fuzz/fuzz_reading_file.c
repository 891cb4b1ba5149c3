/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as readings from a worker: what is accepted is safe to read. */
#include "reading_file.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_in(const struct reading_file *file)
{
	assert(!file->readings != !file->panics);
	for (uint32_t i = 0; i < file->n && file->readings; i++) {
		assert(memchr(file->readings[i].unit, '\0', READING_UNIT_BYTES));
		assert(memchr(file->readings[i].name, '\0', READING_NAME_BYTES));
	}
	for (uint32_t i = 0; i < file->n && file->panics; i++) {
		assert(memchr(file->panics[i].file, '\0', SAVED_PANIC_FILE_BYTES));
		assert(file->panics[i].excerpt_bytes <= SAVED_PANIC_EXCERPT_BYTES);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
	struct reading_file file = READING_FILE_NULL;
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return 0;
	if (write(fd, data, size) == (ssize_t)size && fcntl(fd, F_ADD_SEALS, seals) == 0 &&
	    reading_file_open(fd, &file) == 0) {
		take_in(&file);
		reading_file_close(&file);
	}
	close(fd);
	return 0;
}
