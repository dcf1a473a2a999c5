// Where the types of a runtime are installed, those of its servers are the runtime's own.
import { adopt } from "@x/graceful";

// @ts-expect-error: a text is no server, which is accepted only where the types are missing
adopt("server");
