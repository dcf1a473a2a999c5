# Beside main.ts, as `bunx jsr add @x/graceful` leaves them: package.json, bun.lock and .npmrc, which
# says where JSR's packages are.
FROM oven/bun:1.4.5-slim AS build
WORKDIR /app
COPY package.json bun.lock .npmrc ./
RUN bun install --frozen-lockfile --production

FROM oven/bun:1.4.5-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY package.json main.ts ./
# The image's user `bun`, as a number: `runAsNonRoot` cannot tell who a name is.
USER 1000
EXPOSE 8080
# No shell and no `bun run` in between: bun is process 1, and gets the signals.
ENTRYPOINT ["bun", "main.ts"]
