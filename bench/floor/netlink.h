/* Netlink by hand: messages one behind the other in a buffer, one send, one acknowledgement. Source: netlink(7), rtnetlink(7). */
#include <arpa/inet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <linux/if_link.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

struct batch { char bytes[2048]; int used; struct nlmsghdr *last; };

static void message(struct batch *batch, int type, int flags, const void *header, int size)
{
    batch->last = (void *)(batch->bytes + batch->used);
    *batch->last = (struct nlmsghdr){ .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags };
    memcpy(NLMSG_DATA(batch->last), header, size);
    batch->last->nlmsg_len = NLMSG_SPACE(size);
    batch->used += NLMSG_SPACE(size);
}

static struct rtattr *attribute(struct batch *batch, int type, const void *data, int size)
{
    struct rtattr *made = (void *)(batch->bytes + batch->used);
    *made = (struct rtattr){ .rta_type = type, .rta_len = RTA_LENGTH(size) };
    if (size) memcpy(RTA_DATA(made), data, size);
    batch->used += RTA_SPACE(size);
    batch->last->nlmsg_len += RTA_SPACE(size);
    return made;
}

static void end_nested(struct batch *batch, struct rtattr *nested)
{
    nested->rta_len = batch->bytes + batch->used - (char *)nested;
}

static int netlink(int protocol)
{
    return DO(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
}

static void request(int socket, struct batch *batch, const char *what)
{
    char answer[4096];
    if (send(socket, batch->bytes, batch->used, 0) < 0 || recv(socket, answer, sizeof answer, 0) < 0) fail(what);
    struct nlmsghdr *header = (void *)answer;
    struct nlmsgerr *result = NLMSG_DATA(header);
    if (header->nlmsg_type == NLMSG_ERROR && (errno = -result->error)) fail(what);
}

/* A veth pair: our end on the bridge and up, the other end `eth0` in the namespace of `child`. A queue a processor would cost more. */
static void make_veth(int route, int bridge, pid_t child)
{
    struct batch batch = { .used = 0 };
    struct ifinfomsg up = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP }, peer = { 0 };
    char name[IFNAMSIZ];
    const unsigned one = 1;
    snprintf(name, sizeof name, "floor%d", (int)getpid());
    message(&batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &up, sizeof up);
    attribute(&batch, IFLA_IFNAME, name, strlen(name) + 1);
    attribute(&batch, IFLA_MASTER, &bridge, sizeof bridge);
    attribute(&batch, IFLA_NUM_TX_QUEUES, &one, sizeof one);
    attribute(&batch, IFLA_NUM_RX_QUEUES, &one, sizeof one);
    struct rtattr *link = attribute(&batch, IFLA_LINKINFO, NULL, 0);
    attribute(&batch, IFLA_INFO_KIND, "veth", 4);
    struct rtattr *data = attribute(&batch, IFLA_INFO_DATA, NULL, 0);
    struct rtattr *other = attribute(&batch, VETH_INFO_PEER, &peer, sizeof peer);
    attribute(&batch, IFLA_IFNAME, "eth0", 5);
    attribute(&batch, IFLA_NUM_TX_QUEUES, &one, sizeof one);
    attribute(&batch, IFLA_NUM_RX_QUEUES, &one, sizeof one);
    attribute(&batch, IFLA_NET_NS_PID, &child, sizeof child);
    end_nested(&batch, other);
    end_nested(&batch, data);
    end_nested(&batch, link);
    request(route, &batch, "make the veth pair");
}

static void link_up(struct batch *batch, int index, int flags)
{
    struct ifinfomsg up = { .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
    message(batch, RTM_NEWLINK, flags, &up, sizeof up);
}

/* In the container's namespace: loopback up; with an address also eth0, and the way out through `gateway`. */
static void configure(uint32_t address, uint32_t gateway)
{
    struct batch batch = { .used = 0 };
    int route = netlink(NETLINK_ROUTE);
    link_up(&batch, 1, address ? 0 : NLM_F_ACK);
    if (address) {
        int eth0 = if_nametoindex("eth0");
        struct ifaddrmsg of_address = { .ifa_family = AF_INET, .ifa_prefixlen = 16, .ifa_index = eth0 };
        struct rtmsg of_route = { .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT,
                                  .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST };
        link_up(&batch, eth0, 0);
        message(&batch, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &of_address, sizeof of_address);
        attribute(&batch, IFA_LOCAL, &address, sizeof address);
        attribute(&batch, IFA_ADDRESS, &address, sizeof address);
        message(&batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &of_route, sizeof of_route);
        attribute(&batch, RTA_GATEWAY, &gateway, sizeof gateway);
        attribute(&batch, RTA_OIF, &eth0, sizeof eth0);
    }
    request(route, &batch, "configure the container's links");
    close(route);
}

/* Adds (or removes) port 80 of `address`, published on `port`, to the map that tara's rules look in. */
static void publish(int nft, int add, uint16_t port, uint32_t address)
{
    struct batch batch = { .used = 0 };
    struct nfgenmsg subsystem = { .nfgen_family = AF_UNSPEC, .res_id = htons(NFNL_SUBSYS_NFTABLES) };
    struct nfgenmsg inet = { .nfgen_family = 1 /* NFPROTO_INET */ };
    int type = NFNL_SUBSYS_NFTABLES << 8 | (add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM);
    unsigned char key[8] = { IPPROTO_TCP, 0, 0, 0, port >> 8, port & 255 }, value[8] = { [5] = 80 };
    memcpy(value, &address, 4);
    message(&batch, NFNL_MSG_BATCH_BEGIN, 0, &subsystem, sizeof subsystem);
    message(&batch, type, NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0), &inet, sizeof inet);
    attribute(&batch, NFTA_SET_ELEM_LIST_TABLE, "tara", 5);
    attribute(&batch, NFTA_SET_ELEM_LIST_SET, "published_on_all", 17);
    struct rtattr *list = attribute(&batch, NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED, NULL, 0);
    struct rtattr *element = attribute(&batch, NFTA_LIST_ELEM | NLA_F_NESTED, NULL, 0);
    struct rtattr *nested = attribute(&batch, NFTA_SET_ELEM_KEY | NLA_F_NESTED, NULL, 0);
    attribute(&batch, NFTA_DATA_VALUE, key, sizeof key);
    end_nested(&batch, nested);
    if (add) {
        nested = attribute(&batch, NFTA_SET_ELEM_DATA | NLA_F_NESTED, NULL, 0);
        attribute(&batch, NFTA_DATA_VALUE, value, sizeof value);
        end_nested(&batch, nested);
    }
    end_nested(&batch, element);
    end_nested(&batch, list);
    message(&batch, NFNL_MSG_BATCH_END, 0, &subsystem, sizeof subsystem);
    request(nft, &batch, add ? "publish a port" : "publish a port no longer");
}
