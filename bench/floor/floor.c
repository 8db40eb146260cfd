/* The floor: the least that a container's start costs. The kernel's calls and nothing else, in the best order known.
 *
 *   floor SETUP STAGE [BRIDGE GATEWAY]
 *
 * It does in each set-up what `tara` (or an OCI runtime) must do there: container directories, cgroups, one clone3, mounts, devices,
 * masked paths, the new root, links, capabilities, filter, execve; then it waits and removes all of it. It is no engine: names and
 * numbers are fixed, nothing is parsed, undone or reported. STAGE is a folder that the bench has prepared (src/stage.rs).
 *
 * What makes it fast is said where it happens. On cgroup v2 its list of devices is left out.
 */
#include "floor.h"
#include "netlink.h"
#include <sys/mman.h>
#include <linux/futex.h>
#include <linux/mount.h>

enum {
    FULL = 1,     /* all the mounts, masked paths, capabilities, filter */
    OVERLAY = 2,  /* a writable layer over the image; else the root file system is bound */
    NETNS = 4,    /* a network namespace with its loopback up */
    BRIDGE = 8,   /* and a link to the bridge, an address, a route, the three files in /etc */
    PORT = 16,    /* and a published port */
    CGROUP = 32,  /* a directory in each hierarchy, a list of devices */
    LIMITS = 64,  /* memory, processes, processor time */
};

static const struct { const char *name; int parts; } setups[] = {
    { "min", 0 },
    { "bundle", FULL | NETNS | CGROUP },
    { "host", FULL | OVERLAY },
    { "none", FULL | OVERLAY | NETNS | CGROUP },
    { "bridge", FULL | OVERLAY | NETNS | CGROUP | BRIDGE },
    { "bridge+limits", FULL | OVERLAY | NETNS | CGROUP | BRIDGE | LIMITS },
    { "bridge+port", FULL | OVERLAY | NETNS | CGROUP | BRIDGE | PORT },
};

static int parts;
static char stage[200], container[240], id[16], overlay_options[1024];
static uint32_t gateway, address;
static volatile int *wired;  /* shared with the child: the link is there */

/* ---- the child: in its namespaces, before execve ---- */

static void mount_here(const char *type, const char *at, unsigned long flags, const char *options)
{
    if (mount(type, at, type, MS_NOSUID | MS_NODEV | flags, options)) fail(at);
}

static void bind_mount(const char *from, const char *at)
{
    if (mount(from, at, NULL, MS_BIND, NULL)) fail(at);
}

/* Not there on every kernel: then there is nothing to hide. */
static void mask(const char *with, const char *path)
{
    if (mount(with, path, NULL, MS_BIND, NULL) && errno != ENOENT && errno != ENOTDIR) fail(path);
}

/* A copy of the mount, made read-only before anybody sees it: one lookup instead of two. */
static void read_only(const char *path)
{
    struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY };
    int tree = syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | O_CLOEXEC);
    if (tree < 0) return;
    DO(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes));
    DO(syscall(SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH));
    close(tree);
}

static void enter_root(void)
{
    char path[256];
    if (parts & OVERLAY) {
        snprintf(path, sizeof path, "%s/mnt", stage);
        if (mount("overlay", path, "overlay", 0, overlay_options)) fail(overlay_options);
    } else {
        snprintf(path, sizeof path, "%s/rootfs", stage);
        bind_mount(path, path);
    }
    DO(chdir(path));
}

static void mount_all(void)
{
    char path[300];
    mount_here("proc", "proc", MS_NOEXEC, NULL);
    if (!(parts & FULL)) return;
    snprintf(path, sizeof path, "%s/dev", stage);
    bind_mount(path, "dev");  /* a template: six mknod, five links and three folders less */
    mount_here("devpts", "dev/pts", MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
    mount_here("mqueue", "dev/mqueue", MS_NOEXEC, NULL);
    mount_here("tmpfs", "dev/shm", MS_NOEXEC, "mode=1777,size=65536k");
    mount_here("sysfs", "sys", MS_NOEXEC | MS_RDONLY, NULL);
    if (parts & BRIDGE)
        for (const char **file = (const char *[]){ "hostname", "hosts", "resolv.conf", NULL }; *file; file++) {
            char at[64];
            snprintf(path, sizeof path, "%s/%s", container, *file);
            snprintf(at, sizeof at, "etc/%s", *file);
            bind_mount(path, at);
        }
    for (const char **at = (const char *[]){ "proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger", NULL }; *at; at++)
        read_only(*at);
    for (const char **at = (const char *[]){ "proc/keys", "proc/timer_list", "proc/kcore", "proc/latency_stats", NULL }; *at; at++)
        mask("dev/null", *at);
    snprintf(path, sizeof path, "%s/empty", stage);  /* one empty folder for all, instead of a tmpfs each */
    for (const char **at = (const char *[]){ "proc/acpi", "proc/scsi", "sys/firmware", "sys/devices/virtual/powercap", NULL }; *at; at++)
        mask(path, *at);
}

static void child(const int *cgroups)
{
    /* "0" is the writer. Written to `tasks`, not to `cgroup.procs`, which waits 5 to 10 ms for the kernel's RCU. */
    for (; *cgroups >= 0; cgroups++) put(*cgroups, "tasks", "0");
    DO(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    enter_root();
    mount_all();
    DO(syscall(SYS_pivot_root, ".", "."));
    DO(umount2(".", MNT_DETACH));
    DO(chdir("/"));
    DO(sethostname(id, strlen(id)));
    if (parts & BRIDGE)
        while (!*wired) syscall(SYS_futex, wired, FUTEX_WAIT, 0, NULL, NULL, 0);
    if (parts & NETNS) configure(parts & BRIDGE ? address : 0, gateway);
    if (parts & FULL) give_up_privileges();
    become_the_program(NULL);
}

/* ---- the parent ---- */

static void make_folder(const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s%s", container, name);
    DO(mkdir(path, 0755));
}

static void make_file(const char *name, const char *text, int size)
{
    char path[300];
    snprintf(path, sizeof path, "%s%s", container, name);
    int fd = DO(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    DO(write(fd, text, size));
    close(fd);
}

static void remove_all(const char *const *names, int (*with)(const char *))
{
    char path[300];
    for (; *names; names++) {
        snprintf(path, sizeof path, "%s%s", container, *names);
        with(path);
    }
}

static void make_container(void)
{
    static const char state[1024];
    make_folder("");
    make_folder("/diff");
    make_folder("/work");
    make_file("/state.json", state, sizeof state);
    if (parts & BRIDGE)
        for (const char **name = (const char *[]){ "/hostname", "/hosts", "/resolv.conf", NULL }; *name; name++)
            make_file(*name, "127.0.0.1 localhost\n", 20);
    /* volatile: without it the unmount writes the whole file system back. */
    snprintf(overlay_options, sizeof overlay_options, "lowerdir=%s/rootfs,upperdir=%s/diff,workdir=%s/work,volatile", stage,
             container, container);
}

static void remove_container(void)
{
    static const char *const files[] = { "/state.json", "/hostname", "/hosts", "/resolv.conf", "/work/work/incompat/volatile/dirty", NULL };
    static const char *const folders[] = { "/work/work/incompat/volatile", "/work/work/incompat", "/work/work", "/work", "/diff/etc", "/diff", "", NULL };
    remove_all(files, unlink);
    remove_all(folders, rmdir);
    if (!access(container, F_OK)) fail(container);
}

/* Those of tara: memory, processes, accounting, devices; the processor's only for a limit. */
static const char *const controllers[] = { "memory", "pids", "cpuacct", "devices", "cpu", NULL };

static void deny_devices(int cgroup)
{
    static const char *const docker[] = { "c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm",
                                          "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm", NULL };
    put(cgroup, "devices.deny", "a");
    int allow = DO(openat(cgroup, "devices.allow", O_WRONLY | O_CLOEXEC));
    for (const char *const *rule = docker; *rule; rule++) DO(write(allow, *rule, strlen(*rule)));
    close(allow);
}

static void limit(const char *controller, int cgroup)
{
    if (!strcmp(controller, "memory")) {
        put(cgroup, "memory.limit_in_bytes", "268435456");
        put(cgroup, "memory.memsw.limit_in_bytes", "536870912");
    } else if (!strcmp(controller, "pids")) {
        put(cgroup, "pids.max", "512");
    } else if (!strcmp(controller, "cpu")) {
        put(cgroup, "cpu.cfs_quota_us", "150000");
    }
}

static void limit_v2(int cgroup)
{
    put(cgroup, "memory.max", "268435456");
    put(cgroup, "memory.swap.max", "268435456");
    put(cgroup, "pids.max", "512");
    put(cgroup, "cpu.max", "150000 100000");
}

struct cgroups { int parents[8], own[8], used, unified; };

static void make_cgroups(struct cgroups *groups)
{
    *groups = (struct cgroups){ .unified = !access("/sys/fs/cgroup/cgroup.controllers", F_OK) };
    for (int i = 0; controllers[i] && (parts & CGROUP); i++) {
        char path[100] = "/sys/fs/cgroup/tara-bench-floor";
        if (!groups->unified) snprintf(path, sizeof path, "/sys/fs/cgroup/%s/tara-bench-floor", controllers[i]);
        if (!strcmp(controllers[i], "cpu") && !(parts & LIMITS)) continue;
        int parent = DO(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
        DO(mkdirat(parent, id, 0755));
        int own = DO(openat(parent, id, O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!groups->unified && !strcmp(controllers[i], "devices")) deny_devices(own);
        if (parts & LIMITS) groups->unified ? limit_v2(own) : limit(controllers[i], own);
        groups->parents[groups->used] = parent;
        groups->own[groups->used++] = own;
        if (groups->unified) break;
    }
    groups->own[groups->used] = -1;
}

/* The last process is gone for us a moment before it is for the kernel. */
static void remove_cgroups(const struct cgroups *groups)
{
    for (int i = 0; i < groups->used; i++)
        while (unlinkat(groups->parents[i], id, AT_REMOVEDIR))
            if (errno == EBUSY) usleep(50);
            else fail("remove the cgroup");
}

static void connect_child(int route, int nft, int bridge, pid_t pid, uint16_t port)
{
    make_veth(route, bridge, pid);  /* while the child mounts */
    if (parts & PORT) publish(nft, 1, port, address);
    *wired = 1;
    syscall(SYS_futex, wired, FUTEX_WAKE, 1, NULL, NULL, 0);
}

int main(int argc, char **argv)
{
    for (unsigned i = 0; i < sizeof setups / sizeof *setups; i++)
        if (argc > 2 && !strcmp(setups[i].name, argv[1])) parts = setups[i].parts | 1 << 30;
    if (!parts || ((parts & BRIDGE) && argc < 5)) return fprintf(stderr, "usage: floor SETUP STAGE [BRIDGE GATEWAY]\n"), 125;
    snprintf(stage, sizeof stage, "%s", argv[2]);
    snprintf(id, sizeof id, "floor%d", (int)getpid());
    snprintf(container, sizeof container, "%s/containers/%s", stage, id);
    wired = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int route = -1, nft = -1, bridge = 0;
    uint16_t port = 20000 + getpid() % 20000;
    if (parts & BRIDGE) {
        route = netlink(NETLINK_ROUTE);
        bridge = if_nametoindex(argv[3]);
        gateway = inet_addr(argv[4]);
        address = gateway | htonl(0xff02);
    }
    if (parts & PORT) nft = netlink(NETLINK_NETFILTER);

    struct cgroups groups;
    if (parts & OVERLAY) make_container();
    make_cgroups(&groups);
    uint64_t namespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;
    if (parts & NETNS) namespaces |= CLONE_NEWNET;
    if (parts & CGROUP) namespaces |= CLONE_NEWCGROUP;
    const int none = -1;
    pid_t pid = clone_process(namespaces, groups.unified && groups.used ? groups.own[0] : -1);
    if (!pid) child(groups.unified ? &none : groups.own);
    if (parts & BRIDGE) connect_child(route, nft, bridge, pid, port);
    int code = exit_code(pid);
    /* The veth pair goes with its namespace: to delete it takes 12 ms and more. */
    if (parts & PORT) {
        publish(nft, 0, port, address);
        /* Whoever closes the last copy of this socket waits for the kernel to free what was removed. Let that be nobody's time. */
        if (!fork()) { usleep(30000); _exit(0); }
    }
    remove_cgroups(&groups);
    if (parts & OVERLAY) remove_container();
    return code;
}
