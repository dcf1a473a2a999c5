# Beside main.ts, as `deno add jsr:@x/graceful` leaves them: deno.json and deno.lock.
FROM denoland/deno:2.9.5
WORKDIR /app
COPY deno.json deno.lock main.ts ./
# Downloads and compiles all that main.ts imports, into the image.
RUN deno cache --frozen main.ts
# The image's user `deno`, as a number: `runAsNonRoot` cannot tell who a name is.
USER 1993
EXPOSE 8080
# Instead of the image's own, which puts `tini` in front: deno is process 1, and gets the signals.
ENTRYPOINT ["deno", "run", "--cached-only", "--allow-net", "main.ts"]
