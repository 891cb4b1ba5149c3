/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a fuzz target once over every file of the directories given, in place of libFuzzer's main(). */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
	uint8_t *data = NULL;
	size_t size = 0;
	FILE *file = fopen(path, "rb");
	FILE *copy = open_memstream((char **)&data, &size);
	int byte;

	if (!file || !copy) {
		perror(path);
		return 1;
	}
	while ((byte = fgetc(file)) != EOF)
		fputc(byte, copy);
	fclose(file);
	fclose(copy);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

static int run_directory(const char *path, unsigned int *inputs)
{
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort);
	int failed = 0;

	if (n < 0) {
		perror(path);
		return 1;
	}
	for (int i = 0; i < n; i++) {
		char *file;

		if (entries[i]->d_name[0] != '.' &&
		    asprintf(&file, "%s/%s", path, entries[i]->d_name) >= 0) {
			failed |= run_file(file);
			(*inputs)++;
			free(file);
		}
		free(entries[i]);
	}
	free(entries);
	return failed;
}

int main(int argc, char **argv)
{
	unsigned int inputs = 0;
	int failed = 0;

	for (int i = 1; i < argc; i++)
		failed |= run_directory(argv[i], &inputs);
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	printf("%u inputs and the empty one\n", inputs);
	return failed;
}
