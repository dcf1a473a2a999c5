interface App {
  port: number;
  fetch(request: Request): Response;
}

const app: App = { port: 0, fetch: () => new Response("hello") };

export default app;
