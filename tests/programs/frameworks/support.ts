/** What the programs of this folder have in common. */
import process from "node:process";

/** How long the program may drain, in ms. */
export const timeout: number = Number(process.argv[2]);

/** For how long idle connections are kept, in ms: less than by default, for the tests wait for it. */
export const idleGrace: number = 100;

/** Resolves when the program is told so, with SIGUSR2. */
export function slow(): Promise<string> {
  return new Promise((resolve) => {
    process.once("SIGUSR2", () => resolve("slow"));
    console.log("arrived: /slow");
  });
}

/** Says where the program listens, in whatever way its framework tells that. */
export function announce(address: string | object | null): void {
  console.log(`address: ${JSON.stringify(address)};`);
}

/** The close hook of a framework that has one, or what the user would close. */
export function cleanup(): void {
  console.log("cleanup");
}
