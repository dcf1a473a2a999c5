import "reflect-metadata";
import { Controller, Get, Module, type OnModuleDestroy } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import type { NestExpressApplication } from "@nestjs/platform-express";
import { graceful } from "@x/graceful";
import { announce, cleanup, idleGrace, slow, timeout } from "./support.ts";

class AppController implements OnModuleDestroy {
  hello(): string {
    return "hello";
  }

  slow(): Promise<string> {
    return slow();
  }

  onModuleDestroy(): void {
    cleanup();
  }
}

class AppModule {}

// By hand what decorators do: Node strips types, and has no decorators.
const { prototype } = AppController;
for (const [name, path] of [["hello", "/"], ["slow", "/slow"]] as const) {
  Get(path)(prototype, name, Object.getOwnPropertyDescriptor(prototype, name)!);
}
Controller()(AppController);
Module({ controllers: [AppController] })(AppModule);

// No `app.enableShutdownHooks()`: at the signal it would destroy modules under requests in flight.
const app = await NestFactory.create<NestExpressApplication>(AppModule, { logger: ["error"] });
await app.listen(0, "127.0.0.1");
announce(app.getHttpServer().address());
await graceful(app.getHttpServer(), { timeout, idleGrace, cleanup: () => app.close() });
