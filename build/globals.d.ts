// deno-lint-ignore-file no-empty-interface no-explicit-any
/// <reference lib="esnext.disposable" />

// Names of the web that the declarations of this package use. The runtimes and the lib "dom" declare them; to a program
// that has neither, they are types without members. Where they are declared, this adds nothing.
interface AbortSignal {}
interface Request {}
interface Response {}
interface URL {}
interface ReadableStream<R = any> {}
interface WritableStream<W = any> {}
