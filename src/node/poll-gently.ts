// poll-gently: gives the processor's cores to a software GPU while Node waits for it.
// Leaves to others: which adapter there is (open-gpu.ts).

/** Between two polls. Half or five times as long are as good. */
const REST_MS = 0.2;

/**
 * While anything is awaited, Dawn's binding (webgpu 0.6.2) polls without a pause, each time through globalThis.setImmediate. On a software adapter that takes a core from
 * those that draw: two cores, lavapipe, the tiny model, 200 tokens took 1.59 to 1.63 s and 2.7 s of processor time, with a rest after each poll 1.18 to 1.24 s and 1.8 s.
 * Callbacks of others are called as ever. Delete it when the binding waits for events by itself.
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
