# Beside main.ts, as `npx jsr add @x/graceful` leaves them: package.json (with "type": "module"),
# package-lock.json and .npmrc, which says where JSR's packages are.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev

FROM node:24-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY package.json main.ts ./
# The image's user `node`, as a number: `runAsNonRoot` cannot tell who a name is.
USER 1000
EXPOSE 8080
# No shell and no npm in between: node is process 1, and gets the signals.
ENTRYPOINT ["node", "main.ts"]
