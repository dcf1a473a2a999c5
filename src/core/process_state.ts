/** The state of the process, each piece under the function that makes it. */
const state = new Map<() => unknown, unknown>();

/**
 * Returns the one value that this process has from `make`, which is called the first time. All state that
 * belongs to the process and not to an object is kept here, so that importing a module of this package has
 * no effect.
 *
 * A value of `undefined` is not kept: the next call runs `make` again. An error of `make` is passed on to
 * the caller.
 */
export function ofProcess<T>(make: () => T): T {
  const known = state.get(make);
  // The cast: `make` is the key of what it has made.
  if (known !== undefined) return known as T;
  const made = make();
  if (made !== undefined) state.set(make, made);
  return made;
}
