/* What runs in every container and as the init of every virtual machine of the bench: nothing.
 *   program          ends at once
 *   program pause    stays until it is killed
 *   program off      switches the machine off: for a kernel whose init this is
 */
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "pause"))
        for (;;) pause();
    if (argc > 1 && !strcmp(argv[1], "off"))
        return reboot(RB_POWER_OFF);
    return 0;
}
