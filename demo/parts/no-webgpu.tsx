// no-webgpu: the page for browsers that cannot run the engine. Prints only the cause that applies, and what to do about it.

import { signal } from "@preact/signals";
import type { Missing, Support } from "../state/support";

const CAUSES: Record<Missing, { readonly title: string; readonly steps: readonly string[] }> = {
  insecure: {
    title: "This address is not a secure context",
    steps: [
      "Browsers offer WebGPU only over https, or on localhost.",
      "Open the page with https:// in front of its address, or serve it on this machine and open http://localhost.",
    ],
  },
  "no-webgpu": {
    title: "This browser does not offer WebGPU",
    steps: [
      "Chrome or Edge 113 and later on Windows, macOS and ChromeOS; 121 and later on Android; 144 and later on Linux with recent Intel graphics.",
      "Safari 26 and later on macOS, iOS and iPadOS.",
      "Firefox 141 and later on Windows, 145 and later on Macs with Apple silicon.",
      "A browser that is new enough may have it switched off by a policy or a flag: look for WebGPU in its settings.",
    ],
  },
  "no-adapter": {
    title: "WebGPU is here, but no graphics adapter answered",
    steps: [
      "Switch on hardware acceleration in the browser's settings (in Chrome: System, Use graphics acceleration when available), then restart it.",
      "Update the graphics driver: browsers refuse those with known faults. chrome://gpu says what was refused and why.",
      "On Linux, start Chrome with --enable-unsafe-webgpu --enable-features=Vulkan.",
      "Without any graphics hardware, the software adapter runs the tiny model: start Chrome with --enable-unsafe-webgpu --use-webgpu-adapter=swiftshader.",
    ],
  },
};

const copied = signal(false);

export function NoWebGpu({ support }: { support: Extract<Support, { kind: "missing" }> }) {
  const { title, steps } = CAUSES[support.cause];
  const report = Object.entries(support.report)
    .map(([key, value]) => `${key}: ${value}`)
    .join("\n");
  const copy = async (): Promise<void> => {
    await navigator.clipboard?.writeText(report);
    copied.value = true;
  };
  return (
    <section class="card help" aria-labelledby="help-title">
      <p class="eyebrow">The model cannot run here</p>
      <h2 id="help-title">{title}</h2>
      <ul>
        {steps.map((step) => (
          <li key={step}>{step}</li>
        ))}
      </ul>
      <div class="report">
        <pre>{report}</pre>
        <button type="button" onClick={() => void copy()}>
          {copied.value ? "Copied" : "Copy this report"}
        </button>
      </div>
      <p class="muted">Nothing was sent anywhere. Sample prompts and settings below can still be read; Run needs an adapter.</p>
    </section>
  );
}
