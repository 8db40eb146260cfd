/* The floor of `exec`: join a container that runs, give up privileges, execve, wait.
 *   floor_exec PID CGROUP     CGROUP is the container's, as in /proc/PID/cgroup
 */
#include "floor.h"

int main(int argc, char **argv)
{
    static const char *const controllers[] = { "memory", "pids", "cpuacct", "devices", NULL };
    if (argc < 3) return fprintf(stderr, "usage: floor_exec PID CGROUP\n"), 125;
    int unified = !access("/sys/fs/cgroup/cgroup.controllers", F_OK), cgroups[8], used = 0;
    for (int i = 0; controllers[i] && !(unified && used); i++) {
        char path[300];
        if (unified) snprintf(path, sizeof path, "/sys/fs/cgroup%s", argv[2]);
        else snprintf(path, sizeof path, "/sys/fs/cgroup/%s%s", controllers[i], argv[2]);
        cgroups[used++] = DO(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
    }
    int pidfd = DO(syscall(SYS_pidfd_open, atoi(argv[1]), 0));
    /* All namespaces by one call. The PID namespace is that of the children. */
    DO(setns(pidfd, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP));
    pid_t pid = clone_process(0, unified ? cgroups[0] : -1);
    if (!pid) {
        for (int i = 0; i < used && !unified; i++) put(cgroups[i], "tasks", "0");
        give_up_privileges();
        become_the_program(NULL);
    }
    return exit_code(pid);
}
