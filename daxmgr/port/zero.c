/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "zero.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "../cleanup.h"
#include "dax.h"
#include "node.h"

enum { ZERO_CHUNK_BYTES = 64 * 1024 * 1024, ZERO_LINE_BYTES = 64 };

/*
 * Where the handler of SIGBUS goes on. A signal handler gets no argument, so this
 * has to be a variable of the file; it is set only while a line is touched.
 */
static sigjmp_buf *volatile zero_escape;

static void zero_on_bus_error(int signal)
{
	(void)signal;
	if (zero_escape)
		siglongjmp(*zero_escape, 1);
	_exit(128 + SIGBUS);
}

/*
 * Not memset(): where the processor prefers it, that stores byte by byte, and every
 * store to an interleaved window of an emulator costs the same. Non-temporal
 * stores also leave nothing in the caches for the proof to read instead.
 */
#ifdef __x86_64__

static void zero_store_line(uint64_t *line)
{
	__m128i *part = (__m128i *)line;

	for (unsigned int i = 0; i < ZERO_LINE_BYTES / sizeof(*part); i++)
		_mm_stream_si128(&part[i], _mm_setzero_si128());
}

static bool zero_check_line(const uint64_t *line)
{
	const volatile __m128i *part = (const volatile __m128i *)line;
	__m128i any = _mm_setzero_si128();

	for (unsigned int i = 0; i < ZERO_LINE_BYTES / sizeof(*part); i++)
		any = _mm_or_si128(any, part[i]);
	return _mm_movemask_epi8(_mm_cmpeq_epi8(any, _mm_setzero_si128())) == 0xffff;
}

static void zero_flush(void)
{
	_mm_sfence();
}

#else

static void zero_store_line(uint64_t *line)
{
	for (unsigned int i = 0; i < ZERO_LINE_BYTES / sizeof(*line); i++)
		((volatile uint64_t *)line)[i] = 0;
}

static bool zero_check_line(const uint64_t *line)
{
	uint64_t any = 0;

	for (unsigned int i = 0; i < ZERO_LINE_BYTES / sizeof(*line); i++)
		any |= ((const volatile uint64_t *)line)[i];
	return any == 0;
}

static void zero_flush(void)
{
	__sync_synchronize();
}

#endif

/* `done` is volatile: it is read again after siglongjmp(). */
static int zero_lines(uint64_t *map, uint64_t bytes, bool write, volatile uint64_t *done)
{
	int error = 0;

	for (uint64_t at = 0; at < bytes; at += ZERO_LINE_BYTES) {
		uint64_t *line = map + at / sizeof(*map);

		if (write) {
			zero_store_line(line);
		} else if (!zero_check_line(line)) {
			error = -EUCLEAN;
			break;
		}
		*done += ZERO_LINE_BYTES;
	}
	if (write)
		zero_flush();
	return error;
}

static int zero_guarded(uint64_t *map, uint64_t bytes, bool write, volatile uint64_t *done)
{
	sigjmp_buf escape;
	int error;

	if (sigsetjmp(escape, 1)) {
		zero_escape = NULL;
		return -EFAULT;
	}
	zero_escape = &escape;
	error = zero_lines(map, bytes, write, done);
	zero_escape = NULL;
	return error;
}

static int zero_chunk(int fd, uint64_t offset, uint64_t bytes, bool write, uint64_t *done)
{
	volatile uint64_t chunk_done = 0;
	void *map;
	int error;

	map = mmap(NULL, bytes, write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd,
		   (off_t)offset);
	if (map == MAP_FAILED)
		return -errno;
	error = zero_guarded(map, bytes, write, &chunk_done);
	munmap(map, bytes);
	*done += chunk_done;
	return error;
}

int zero_file(int fd, uint64_t bytes, uint64_t align, bool write, uint64_t *ret_done)
{
	struct sigaction action = {.sa_handler = zero_on_bus_error}, before;
	uint64_t chunk = ZERO_CHUNK_BYTES, done = 0;
	int error = 0;

	if (bytes % ZERO_LINE_BYTES)
		return -EINVAL;
	/* A mapping of a dax device starts and ends on its alignment. */
	if (align > chunk)
		chunk = align;
	if (sigaction(SIGBUS, &action, &before) < 0)
		return -errno;
	for (uint64_t offset = 0; !error && offset < bytes; offset += chunk)
		error = zero_chunk(fd, offset, bytes - offset < chunk ? bytes - offset : chunk,
				   write, &done);
	sigaction(SIGBUS, &before, NULL);
	*ret_done = done;
	return error;
}

static int zero_run(struct port *port, const struct job_instance *instance, bool write)
{
	const char *what = write ? "zero" : "prove";
	_cleanup_close_ int fd = -1;
	char name[DAX_NAME_BYTES];
	uint64_t done = 0;
	int error;

	dax_name(instance->region_kernel_id, instance->kernel_id, name);
	fd = node_open(port, name, instance->major, instance->minor, write ? O_RDWR : O_RDONLY);
	if (fd < 0)
		return fd;
	error = zero_file(fd, instance->bytes, instance->align, write, &done);
	port->completion->bytes = done;
	if (error == -EFAULT)
		return port_fail(port, error, "%s: memory of %s failed at offset 0x%" PRIx64, what,
				 name, done);
	if (error == -EUCLEAN)
		return port_fail(port, error, "prove: %s is not zero at offset 0x%" PRIx64, name,
				 done);
	if (error)
		return port_fail(port, error, "%s: %s: %s", what, name, strerror(-error));
	port_say(port, "%s %s by process %d", name, write ? "zeroed" : "proved zero", getpid());
	return 0;
}

int zero_write(struct port *port, const struct job_instance *instance)
{
	return zero_run(port, instance, true);
}

int zero_prove(struct port *port, const struct job_instance *instance)
{
	return zero_run(port, instance, false);
}
