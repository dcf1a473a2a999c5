/** Clients that send one request after the other, some over kept-alive connections, and count what is lost. */
import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const CLIENTS = 4;

/** What became of the requests. */
export interface Tally {
  answered: number;
  /** The answers, which are process ids. */
  readonly answers: Set<string>;
  /** The requests that were not answered although something listened. */
  readonly lost: string[];
  /** The requests that met no listener. */
  refused: number;
}

/** A load that runs until `stop`. */
export interface Load {
  readonly tally: Tally;
  stop(): Promise<void>;
}

export function startLoad(port: number): Load {
  const tally: Tally = { answered: 0, answers: new Set(), lost: [], refused: 0 };
  let isStopped = false;
  const client = async (agent: http.Agent) => {
    while (!isStopped) {
      try {
        tally.answers.add(await get(port, agent));
        tally.answered++;
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        if (code === "ECONNREFUSED") tally.refused++;
        else tally.lost.push(message);
        await sleep(10);
      }
    }
    agent.destroy();
  };
  const clients = Array.from(
    { length: CLIENTS },
    (_, index) => client(new http.Agent({ keepAlive: index % 2 === 0, maxSockets: 1 })),
  );
  return {
    tally,
    async stop() {
      isStopped = true;
      await Promise.all(clients);
    },
  };
}

/** Resolves with the body of a response. */
export function get(port: number, agent: http.Agent | false = false): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, agent, timeout: 10_000 };
    const request = http.get(options, (response) => {
      let text = "";
      response.on("data", (chunk) => text += chunk).on("end", () => resolve(text));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.on("timeout", () => request.destroy(new Error("no answer for 10 s")));
  });
}
