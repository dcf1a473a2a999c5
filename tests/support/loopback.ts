import os from "node:os";

const addresses = Object.values(os.networkInterfaces()).flat().map((one) => one?.address);

/** A second address of this machine's own, beside 127.0.0.1: that of IPv6 where there is one. */
export const secondLoopback: string = addresses.includes("::1") ? "::1" : "127.0.0.2";
