import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** The states of a connection that its server has not closed: ESTABLISHED and CLOSE_WAIT. */
const OPEN = ["01", "08"];

/** How many connections to a port a process has accepted and not closed, as Linux tells it. */
export function heldConnections(pid: number, port: number): number {
  const inodes = new Set(openAt(port));
  const held = readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    const inode = /^socket:\[(\d+)\]$/.exec(targetOf(`/proc/${pid}/fd/${fd}`))?.[1];
    return inode !== undefined && inodes.has(inode);
  });
  return held.length;
}

function openAt(port: number): string[] {
  const local = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return ["tcp", "tcp6"].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, "latin1").split("\n").slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, address, , state]) => address?.endsWith(local) && OPEN.includes(state!))
      .map((fields) => fields[9]!)
  );
}

function targetOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
