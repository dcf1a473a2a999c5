/** The text that `graceful --help` writes. */
export const USAGE = `graceful run [OPTION]... -- COMMAND [ARGUMENT]...

Runs a service under a supervisor, which holds its listening sockets, starts it again when it
crashes, and replaces it at SIGHUP without losing a connection.

  --listen ADDR        an address to listen on: [host:]port or the path of a unix socket; may be
                       repeated
  --workers N|auto     the number of workers; auto means one for each processor (default 1)
  --reuseport          a listening socket for each worker, instead of one for all workers
  --pid-file F         a file for the process id of the supervisor
  --ready-timeout S    the seconds in which a worker has to become ready (default 60)
  --min-uptime S       the seconds that a new generation has to serve before the current one
                       is told to end (default 1)
  --health ADDR        an address at which to answer /readyz, /livez and /status
  --prefix             begins each line of the workers' output with their number
  --help               this text

SIGHUP starts a new generation of workers. SIGTERM and SIGINT end the service. SIGTTIN and
SIGTTOU add and remove a worker. SIGUSR1 and SIGUSR2 are passed on to the workers.
`;
