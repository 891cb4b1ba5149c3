/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Multiboot entry, a flat descriptor table and the timer interrupt of the beat payload. */

	.set MAGIC, 0x1badb002
	.set FLAGS, 0x3

	.section .multiboot, "a"
	.align 4
	.long MAGIC
	.long FLAGS
	.long -(MAGIC + FLAGS)

	.text
	.globl _start
_start:
	cli
	lgdt gdt_pointer
	ljmp $0x08, $1f
1:	movw $0x10, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $stack_top, %esp
	pushl %ebx
	pushl %eax
	call beat_main
2:	hlt
	jmp 2b

	.globl timer_entry
timer_entry:
	pushal
	cld
	call timer_tick
	popal
	iret

	.globl disk_entry
disk_entry:
	pushal
	cld
	call disk_tick
	popal
	iret

	.globl stray_entry
stray_entry:
	pushal
	cld
	call stray_interrupt
	popal
	iret

	.section .rodata
	.align 8
gdt:
	.quad 0
	.quad 0x00cf9a000000ffff
	.quad 0x00cf92000000ffff
gdt_pointer:
	.word . - gdt - 1
	.long gdt

	.bss
	.align 16
	.skip 16384
stack_top:

	.section .note.GNU-stack, "", @progbits
