/** Starts a server that asks for client certificates, with the certificate and the key in the given files. */
import { readFileSync } from "node:fs";
import process from "node:process";
import { serve } from "../../mod.ts";

const [certFile, keyFile] = process.argv.slice(2);
const [cert, key] = [readFileSync(certFile!), readFileSync(keyFile!)];
const options = { port: 0, hostname: "127.0.0.1", cert, key, ca: cert, requestCert: true };
try {
  const server = await serve(() => new Response("hello"), options);
  await server.close();
} catch (error) {
  console.log(String(error));
}
