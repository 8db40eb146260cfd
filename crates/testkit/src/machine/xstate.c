/*
 * Preloaded into User-Mode Linux 6.1 on a processor with AMX.
 *
 * UML gives its processes their registers by ptrace(PTRACE_SETREGSET, NT_X86_XSTATE) from a buffer of 2,696 bytes. The host
 * wants all that the processor has, 11,008 bytes with AMX, and refuses with EFAULT ("ptrace set fp regs failed"). So the
 * rest, which nobody in there uses, is filled in with what the process has.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

long ptrace(enum __ptrace_request request, ...)
{
    static long (*next)(enum __ptrace_request, ...);
    static unsigned char whole[64 * 1024];
    struct iovec all = {whole, sizeof whole};
    va_list rest;

    va_start(rest, request);
    int pid = va_arg(rest, int);
    void *address = va_arg(rest, void *);
    void *data = va_arg(rest, void *);
    va_end(rest);
    if (!next)
        next = dlsym(RTLD_NEXT, "ptrace");
    if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE) {
        const struct iovec *given = data;
        if (next(PTRACE_GETREGSET, pid, address, &all) == 0 && given->iov_len < all.iov_len) {
            memcpy(whole, given->iov_base, given->iov_len);
            data = &all;
        }
    }
    return next(request, pid, address, data);
}
