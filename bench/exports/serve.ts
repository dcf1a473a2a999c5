/** What a program contains that uses `serve` alone. */
export { serve } from "../../mod.ts";
