/** The state of the process. Each value is stored under the function that made it. */
const state = new Map<() => unknown, unknown>();

/**
 * Returns the value that `make` has made for this process. Only the first call of `ofProcess` with `make`
 * calls `make`. All state that belongs to the process and not to an object is kept here, so that importing
 * a module of this package has no effect.
 *
 * A value of `undefined` is not kept: the next call runs `make` again. An error of `make` is passed on to
 * the caller.
 */
export function ofProcess<T>(make: () => T): T {
  const known = state.get(make);
  // The cast: the value under the key `make` was made by `make`.
  if (known !== undefined) return known as T;
  const made = make();
  if (made !== undefined) state.set(make, made);
  return made;
}
