// poll-gently: gives the processor's cores to a software GPU while Node waits for it.
// Leaves to others: which adapter there is (open-gpu.ts).

/** Between two polls. Half or five times as long are as good. */
const REST_MS = 0.2;

/**
 * While anything is awaited, Dawn's binding (webgpu 0.6.2) polls without a pause, each time through globalThis.setImmediate. On a software adapter that takes a core from
 * those that draw, and all of them wait for the slowest: two cores, lavapipe, `npm run bench -- speed`: SmolLM2 takes 44 prompt tokens a second and gives 8.7, with a rest
 * after each poll 99 and 15. Callbacks of others are called as ever. Delete it when the binding waits for events by itself.
 */
export function pollGently(): void {
  const own = globalThis.setImmediate;
  const never = new Int32Array(new SharedArrayBuffer(4));
  let polls = 0; // asked for so far
  const gently = (callback: (...values: unknown[]) => void, ...values: unknown[]): NodeJS.Immediate => {
    if (!isNative(callback)) return own(callback, ...values);
    polls++;
    return own(() => {
      const before = polls;
      callback();
      if (polls > before) Atomics.wait(never, 0, 0, REST_MS); // something is awaited still
    });
  };
  globalThis.setImmediate = Object.assign(gently, own) as typeof setImmediate;
}

/** Dawn's callback is one made by native code. */
function isNative(callback: (...values: unknown[]) => void): boolean {
  return callback.name === "" && /\{\s*\[native code\]\s*\}$/.test(Function.prototype.toString.call(callback));
}
