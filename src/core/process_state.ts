/** The state of the process, each piece under the function that makes it. */
const state = new Map<() => unknown, unknown>();

/**
 * Returns what this process has one of, made by `make` at the first call. All state that belongs to the
 * process and not to an object is kept here: importing a module of this package does nothing.
 *
 * `undefined` is not kept, so that `make` is asked again. What `make` throws is thrown.
 */
export function ofProcess<T>(make: () => T): T {
  // The cast: `make` is the key of what it has made.
  if (state.has(make)) return state.get(make) as T;
  const made = make();
  if (made !== undefined) state.set(make, made);
  return made;
}
