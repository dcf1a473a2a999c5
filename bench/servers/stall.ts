/** Watches the event loop. */

/** Starts to watch. The function returned ends that, and returns the longest stall in ms. */
export function watchStalls(): () => number {
  let longest = 0;
  let last = performance.now();
  const look = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last - INTERVAL);
    last = now;
  };
  const timer = setInterval(look, INTERVAL);
  return () => {
    clearInterval(timer);
    look();
    return longest;
  };
}

/** The time in ms between two looks. */
const INTERVAL = 1;
