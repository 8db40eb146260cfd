/* Small words over system calls, shared by floor.c and floor_exec.c. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>

/* `filter[]`: docker's profile as tara compiles it. Written by the bench before it calls the compiler. */
#include "filter.h"

static void fail(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    _exit(125);
}

/* The result of a call that has to succeed. */
#define DO(call) ({ long result_ = (long)(call); if (result_ < 0) fail(#call); result_; })

static void put(int folder, const char *file, const char *text)
{
    int fd = DO(openat(folder, file, O_WRONLY | O_CLOEXEC));
    if (write(fd, text, strlen(text)) < 0) fail(file);
    close(fd);
}

/* A child without a signal handler or a stack of its own: memory is copied on write, as after fork. */
static long clone_process(uint64_t flags, int cgroup)
{
    struct clone_args args = { .flags = flags, .exit_signal = SIGCHLD };
    if (cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup;
    }
    return DO(syscall(SYS_clone3, &args, sizeof args));
}

/* docker's 14 capabilities, in every set but the ambient one; then docker's filter, which needs no_new_privs after that. */
static void give_up_privileges(void)
{
    const uint32_t docker = 0xa80425fb;
    for (int capability = 0; capability <= 40; capability++)
        if (capability > 31 || !(docker >> capability & 1))
            DO(prctl(PR_CAPBSET_DROP, capability, 0, 0, 0));
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct sets[2] = { { docker, docker, 0 } };
    DO(syscall(SYS_capset, &header, sets));
    DO(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    struct sock_fprog program = { sizeof filter / sizeof *filter, (struct sock_filter *)filter };
    DO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

static void become_the_program(const char *word)
{
    char *arguments[] = { "/bin/program", (char *)word, NULL };
    char *environment[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL };
    execve(arguments[0], arguments, environment);
    fail("execve /bin/program");
}

static int exit_code(pid_t child)
{
    int status;
    DO(waitpid(child, &status, 0));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
