/** What a program contains that uses `adopt` alone. */
export { adopt } from "../../mod.ts";
