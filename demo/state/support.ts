// support: whether this browser can run the engine, and if not, the first thing that is missing. Asks for an adapter, never for a device.

export type Missing = "insecure" | "no-webgpu" | "no-adapter";

export type Support =
  | { readonly kind: "ready"; readonly software: boolean; readonly adapter: string }
  | { readonly kind: "missing"; readonly cause: Missing; readonly report: Readonly<Record<string, string>> };

/** Checks in the order in which one cause hides the next. */
export async function probeSupport(): Promise<Support> {
  if (!globalThis.isSecureContext) return missing("insecure");
  const gpu = navigator.gpu as GPU | undefined;
  if (!gpu) return missing("no-webgpu");
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  if (!adapter) return missing("no-adapter");
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const name = [vendor, architecture, device, description].filter(Boolean).join(" ") || "unnamed adapter";
  return { kind: "ready", adapter: name, software: isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render/i.test(name) };
}

function missing(cause: Missing): Support {
  return {
    kind: "missing",
    cause,
    report: {
      cause,
      browser: navigator.userAgent,
      address: location.origin,
      "secure context": String(globalThis.isSecureContext),
      "navigator.gpu": String("gpu" in navigator && navigator.gpu !== undefined),
    },
  };
}
