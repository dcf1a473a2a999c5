/** What `graceful --help` writes. */
export const USAGE = `graceful run [OPTION]... -- COMMAND [ARGUMENT]...

Runs a service and stays: holds its listening sockets, starts it again when it crashes, and
replaces it at SIGHUP without losing a connection.

  --listen ADDR        where to listen, [host:]port or the path of a unix socket; may be repeated
  --workers N|auto     the number of processes; auto: one for each processor (default 1)
  --reuseport          a listening socket for each worker, instead of one for all
  --pid-file F         a file for the process id of the supervisor
  --ready-timeout S    the seconds in which a worker has to become ready (default 60)
  --min-uptime S       the seconds that a new generation has to serve before the one before is
                       told to end (default 1)
  --health ADDR        answers at /readyz, /livez and /status
  --prefix             begins each line of the workers' output with their number
  --help               this text

SIGHUP: a new generation. SIGTERM, SIGINT: the end. SIGTTIN, SIGTTOU: a worker more or less.
SIGUSR1, SIGUSR2: passed on.
`;
