/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest that proves three things about the memory it was given: that all of it was zero when
 * it came, that all of it keeps what is stored, and that it is still running. It speaks on COM1:
 *
 *   START                   the payload runs
 *   ACCEL kvm|tcg|other     what executes it
 *   ZERO ok BYTES           every byte of the instance was zero, or
 *   ZERO bad OFFSET VALUE   the first word that was not
 *   CHECK ms N              how long the check took
 *   BEAT N                  every 200 ms; N counts timer ticks of 50 ms
 *   CORRUPT OFFSET WANT GOT a page did not hold what was stored
 *   IO N                    with a disk, every second: requests that have completed
 *   IO failed               the drive reported an error
 *   POWER off               the power button was pressed; it switches the machine off
 *
 * With disk=1 (reads), 2 (reads and writes) or 3 (also flushes) on its command line it keeps a virtio drive busy.
 *
 * The instance is [start, start + size) of guest-physical memory; both come on the command line
 * because firmware keeps tables at the top of RAM, which therefore is ordinary memory.
 */
#include <stddef.h>
#include <stdint.h>

#include "beat.h"

#define COM1                  0x3f8
#define PIT_HZ                1193182
#define TICK_HZ               20
#define TICKS_PER_BEAT        4
#define BEATS_PER_IO_LINE     5
#define REQUESTS_PER_TICK     32
#define PAGES_PER_TICK        8
#define PAGE_BYTES            4096
#define MAX_PAGES             (1024 * 1024 * 1024 / PAGE_BYTES)
#define TIMER_VECTOR          0x20
#define CASCADE_LINE          2
#define POWER_STATUS          0x600
#define POWER_ENABLE          0x602
#define POWER_CONTROL         0x604
#define POWER_BUTTON          (1u << 8)
#define POWER_OFF             (1u << 13)
#define VECTORS               48
#define PAGE_MARK             0xda000000u
#define MULTIBOOT_HAS_CMDLINE (1u << 2)

struct multiboot_info {
	uint32_t flags;
	uint32_t mem_lower;
	uint32_t mem_upper;
	uint32_t boot_device;
	uint32_t cmdline;
};

struct gate {
	uint16_t low;
	uint16_t selector;
	uint8_t zero;
	uint8_t type;
	uint16_t high;
} __attribute__((packed));

struct idt_pointer {
	uint16_t limit;
	uint32_t base;
} __attribute__((packed));

static struct gate idt[VECTORS];
static uint32_t last_stored[MAX_PAGES];
static volatile uint32_t ticks;

extern void timer_entry(void);
extern void disk_entry(void);
extern void stray_entry(void);
void beat_main(uint32_t magic, const struct multiboot_info *info);
void timer_tick(void);
void disk_tick(void);
void stray_interrupt(void);

static void put_char(char c)
{
	while (!(in8(COM1 + 5) & 0x20))
		;
	out8(COM1, (uint8_t)c);
}

void put_text(const char *text)
{
	while (*text)
		put_char(*text++);
}

void put_number(uint32_t number)
{
	char digits[12];
	int i = sizeof(digits) - 1;

	digits[i] = '\0';
	do {
		digits[--i] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	put_text(&digits[i]);
}

static void put_hex(uint32_t number)
{
	put_text("0x");
	for (int shift = 28; shift >= 0; shift -= 4)
		put_char("0123456789abcdef"[(number >> shift) & 0xf]);
}

_Noreturn void stop(const char *why)
{
	put_text("STOP ");
	put_text(why);
	put_char('\n');
	for (;;)
		__asm__ volatile("cli; hlt");
}

void timer_tick(void)
{
	ticks++;
	out8(0x20, 0x20);
}

void disk_tick(void)
{
	disk_interrupt();
	out8(0xa0, 0x20);
	out8(0x20, 0x20);
}

void stray_interrupt(void)
{
	stop("unexpected interrupt");
}

static void set_gate(unsigned int vector, void (*entry)(void))
{
	uint32_t address = (uint32_t)(uintptr_t)entry;

	idt[vector].low = (uint16_t)address;
	idt[vector].selector = 0x08;
	idt[vector].type = 0x8e;
	idt[vector].high = (uint16_t)(address >> 16);
}

static void start_timer(void)
{
	struct idt_pointer pointer = {sizeof(idt) - 1, (uint32_t)(uintptr_t)idt};
	uint16_t divisor = PIT_HZ / TICK_HZ;

	for (unsigned int i = 0; i < VECTORS; i++)
		set_gate(i, stray_entry);
	set_gate(TIMER_VECTOR, timer_entry);
	__asm__ volatile("lidt %0" : : "m"(pointer));

	/* Both interrupt controllers: start, vectors 0x20 and 0x28, wiring, 8086 mode, mask. */
	out8(0x20, 0x11);
	out8(0xa0, 0x11);
	out8(0x21, TIMER_VECTOR);
	out8(0xa1, TIMER_VECTOR + 8);
	out8(0x21, 4);
	out8(0xa1, 2);
	out8(0x21, 1);
	out8(0xa1, 1);
	out8(0x21, 0xfe);
	out8(0xa1, 0xff);

	out8(0x43, 0x34);
	out8(0x40, (uint8_t)divisor);
	out8(0x40, (uint8_t)(divisor >> 8));
	__asm__ volatile("sti");
}

static void cpuid(uint32_t leaf, uint32_t out[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
			 : "a"(leaf), "c"(0));
}

static void print_accelerator(void)
{
	uint32_t regs[4];

	cpuid(0x40000000, regs);
	if (regs[1] == 0x4b4d564b)
		put_text("ACCEL kvm\n");
	else if (regs[1] == 0x54474354)
		put_text("ACCEL tcg\n");
	else
		put_text("ACCEL other\n");
}

/* Finds "key=" in text and reads the hexadecimal or decimal number behind it. */
static int find_number(const char *text, const char *key, uint32_t *ret_number)
{
	for (; *text; text++) {
		const char *t = text, *k = key;
		uint32_t number = 0, base = 10;

		while (*k && *t == *k) {
			t++;
			k++;
		}
		if (*k)
			continue;
		if (t[0] == '0' && t[1] == 'x') {
			base = 16;
			t += 2;
		}
		for (;; t++) {
			if (*t >= '0' && *t <= '9')
				number = number * base + (uint32_t)(*t - '0');
			else if (base == 16 && *t >= 'a' && *t <= 'f')
				number = number * base + (uint32_t)(*t - 'a') + 10;
			else
				break;
		}
		*ret_number = number;
		return 1;
	}
	return 0;
}

/*
 * Leaves *ret_index at the first word that is not zero; true when there is none. Plain loads, many
 * per turn: string instructions are far slower where the CPU is itself emulated.
 */
static int all_zero(const volatile uint32_t *words, uint32_t count, uint32_t *ret_index)
{
	for (uint32_t i = 0; i < count; i += 16) {
		const volatile uint32_t *w = words + i;

		if (!((w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7]) |
		      (w[8] | w[9] | w[10] | w[11] | w[12] | w[13] | w[14] | w[15])))
			continue;
		while (!words[i])
			i++;
		*ret_index = i;
		return 0;
	}
	return 1;
}

static void check_zero(const uint32_t *words, uint32_t bytes)
{
	uint32_t begin = ticks, index;

	if (all_zero(words, bytes / 4, &index)) {
		put_text("ZERO ok ");
		put_number(bytes);
	} else {
		put_text("ZERO bad ");
		put_hex(index * 4);
		put_char(' ');
		put_hex(words[index]);
	}
	put_text("\nCHECK ms ");
	put_number((ticks - begin) * (1000 / TICK_HZ));
	put_char('\n');
}

static void report_corruption(uint32_t page, uint32_t want, uint32_t got)
{
	put_text("CORRUPT ");
	put_hex(page * PAGE_BYTES);
	put_char(' ');
	put_hex(want);
	put_char(' ');
	put_hex(got);
	put_char('\n');
}

static void visit(volatile uint32_t *page_words, uint32_t page, uint32_t counter)
{
	if (page_words[0] != (PAGE_MARK ^ page))
		report_corruption(page, PAGE_MARK ^ page, page_words[0]);
	if (page_words[1] != last_stored[page])
		report_corruption(page, last_stored[page], page_words[1]);
	page_words[1] = counter;
	last_stored[page] = counter;
	if (page_words[1] != counter)
		report_corruption(page, counter, page_words[1]);
}

static void unmask(unsigned int line)
{
	set_gate(TIMER_VECTOR + line, disk_entry);
	if (line < 8 || line > 15)
		stop("the drive's interrupt is not one of the second controller");
	out8(0x21, in8(0x21) & (uint8_t)~(1u << CASCADE_LINE));
	out8(0xa1, in8(0xa1) & (uint8_t)~(1u << (line - 8)));
}

static void obey_power_button(void)
{
	if (!(in16(POWER_STATUS) & POWER_BUTTON))
		return;
	put_text("POWER off\n");
	out16(POWER_CONTROL, POWER_OFF);
}

static void say(const char *what, uint32_t number)
{
	put_text(what);
	put_number(number);
	put_char('\n');
}

static _Noreturn void beat(volatile uint32_t *words, uint32_t pages, int with_disk)
{
	const uint32_t stride = PAGE_BYTES / 4;
	uint32_t page = 0, counter = 0, said = 0, seen = ticks, beats = 0, allowance = 0;

	for (;;) {
		__asm__ volatile("hlt");
		/* The drive's interrupts wake it too; what comes beyond the allowance is taken at the next tick. */
		if (with_disk)
			allowance -= disk_poll(allowance);
		if (ticks == seen)
			continue;
		seen = ticks;
		obey_power_button();
		counter++;
		allowance = REQUESTS_PER_TICK;
		for (int i = 0; i < PAGES_PER_TICK; i++) {
			visit(&words[page * stride], page, counter);
			page = page + 1 == pages ? 0 : page + 1;
		}
		if (counter - said < TICKS_PER_BEAT)
			continue;
		said = counter;
		say("BEAT ", counter);
		if (with_disk && ++beats % BEATS_PER_IO_LINE == 0)
			say("IO ", disk_completed());
	}
}

void beat_main(uint32_t magic, const struct multiboot_info *info)
{
	volatile uint32_t *words;
	const char *line = (const char *)(uintptr_t)info->cmdline;
	uint32_t start, size, disk = DISK_NONE;

	(void)magic;
	put_text("\nSTART\n");
	print_accelerator();
	if (!(info->flags & MULTIBOOT_HAS_CMDLINE))
		stop("no command line");
	if (!find_number(line, "start=", &start) || !find_number(line, "size=", &size))
		stop("start= and size= are needed");
	find_number(line, "disk=", &disk);
	if (size < PAGE_BYTES || size / PAGE_BYTES > MAX_PAGES)
		stop("size is out of range");
	start_timer();
	out16(POWER_ENABLE, POWER_BUTTON);
	check_zero((const uint32_t *)(uintptr_t)start, size);

	if (disk) {
		size -= DISK_BYTES;
		unmask(disk_start(disk, start + size));
	}
	words = (volatile uint32_t *)(uintptr_t)start;
	for (uint32_t page = 0; page < size / PAGE_BYTES; page++) {
		words[page * (PAGE_BYTES / 4)] = PAGE_MARK ^ page;
		words[page * (PAGE_BYTES / 4) + 1] = 0;
	}
	beat(words, size / PAGE_BYTES, disk != DISK_NONE);
}
