/**
 * An address as `Deno.Addr` has it. A unix socket's client has an empty path, for it has no name.
 */
export type Addr =
  | {
    /** TCP, over IPv4 or IPv6. */
    readonly transport: "tcp";
    /** The IP address. */
    readonly hostname: string;
    /** The port, 1 to 65535. */
    readonly port: number;
  }
  | {
    /** A unix domain socket. */
    readonly transport: "unix";
    /** The path of the socket's file. */
    readonly path: string;
  };
