/**
 * The numbers of the headers of Linux that this package passes to the C library and to the kernel. They are the same
 * with glibc and with musl, on x86-64 and on 64-bit ARM; docs/ffi.md says where each comes from.
 */

// The families of addresses, in sys/socket.h.
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;

// The types of sockets, and what `shutdown` and `recv` take, in sys/socket.h.
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const SHUT_RD = 0;
export const SHUT_RDWR = 2;
export const MSG_PEEK = 0x02;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;

// The options of every socket, in asm/socket.h.
export const SOL_SOCKET = 1;
export const SO_TYPE = 3;
export const SO_KEEPALIVE = 9;
export const SO_PASSCRED = 16;
export const SO_ATTACH_FILTER = 26;
export const SO_DETACH_FILTER = 27;
export const SO_ACCEPTCONN = 30;
export const SO_DOMAIN = 39;
export const SO_ATTACH_REUSEPORT_CBPF = 51;
export const SO_COOKIE = 57;
export const SO_BINDTOIFINDEX = 62;
export const SO_DETACH_REUSEPORT_BPF = 68;

// The options and states of TCP, in netinet/in.h and netinet/tcp.h.
export const IPPROTO_TCP = 6;
export const TCP_KEEPIDLE = 4;
export const TCP_DEFER_ACCEPT = 9;
export const TCP_INFO = 11;
export const TCP_ESTABLISHED = 1;
export const TCP_SYN_RECV = 3;

// How files are opened, and the commands of `fcntl`, in fcntl.h.
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_ACCMODE = 3;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const F_DUPFD = 0;
export const F_SETFD = 2;
export const F_GETFD = 1;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const F_DUPFD_CLOEXEC = 1030;
export const FD_CLOEXEC = 1;

// The rest of the C library, in sys/epoll.h, time.h, sys/wait.h and errno.h.
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const CLOCK_MONOTONIC = 1;
export const WNOHANG = 1;
export const ENOENT = 2;

// Messages to and from the kernel, in linux/netlink.h and linux/sock_diag.h.
export const NETLINK_SOCK_DIAG = 4;
export const SOCK_DIAG_BY_FAMILY = 20;
export const NLM_F_REQUEST = 1;
export const NLM_F_REQUEST_DUMP = 0x301;
export const NLM_F_MULTI = 2;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

// The instructions of BPF, in linux/filter.h.
export const BPF_LD_W_ABS = 0x20;
export const BPF_LD_B_ABS = 0x30;
export const BPF_AND_K = 0x54;
export const BPF_MOD_K = 0x94;
export const BPF_JEQ_K = 0x15;
export const BPF_RET_K = 0x06;
