/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any file as configuration: refused or taken, and what was taken keeps its bounds. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config;
	FILE *messages = fopen("/dev/null", "w");
	char path[64];
	int fd = memfd_create("config", MFD_CLOEXEC);

	assert(messages && fd >= 0);
	assert(write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	config_init(&config);
	if (config_read_file(&config, path, messages) + config_check(&config, messages) == 0) {
		assert(config.socket_path[0] == '/' && config.state_directory[0] == '/');
		assert(config.attempts > 0 && config.settle_ns > 0 && config.grant_ns > 0);
		assert(config.inspect_ns > 0 && config.flap_window_ns > 0);
		assert(config.flap_losses <= 16);
		for (uint32_t i = 0; i < config.n_regions; i++)
			assert(config.regions[i].ways > 0 &&
			       config.regions[i].ways <= ISO_WAYS_MAX);
	}
	config_free(&config);
	close(fd);
	fclose(messages);
	return 0;
}
