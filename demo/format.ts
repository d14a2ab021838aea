// format: numbers as the page writes them. One place, so that the same figure looks the same everywhere.

const whole = new Intl.NumberFormat("en");
const oneDecimal = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export function formatCount(value: number): string {
  return whole.format(value);
}

/** GPU memory, binary units: 1 MiB = 1,048,576 bytes. */
export function formatMemory(bytes: number): string {
  if (bytes < 1024) return `${whole.format(bytes)} B`;
  const [scale, unit] = bytes < 1 << 20 ? [1024, "KiB"] : bytes < 1 << 30 ? [1 << 20, "MiB"] : [1 << 30, "GiB"];
  return `${oneDecimal.format(bytes / scale)} ${unit}`;
}

/** Downloads, decimal units: 1 MB = 1,000,000 bytes. */
export function formatDownload(bytes: number): string {
  return bytes < 1e6 ? `${whole.format(Math.round(bytes / 1000))} kB` : `${oneDecimal.format(bytes / 1e6)} MB`;
}

export function formatRatio(ratio: number): string {
  return `${oneDecimal.format(ratio)}×`;
}

export function formatRate(perSecond: number): string {
  return oneDecimal.format(perSecond);
}

export function formatSeconds(ms: number): string {
  return ms < 1000 ? `${whole.format(Math.round(ms))} ms` : `${(ms / 1000).toFixed(2)} s`;
}

export function formatPercent(share: number): string {
  return `${oneDecimal.format(share * 100)} %`;
}

/** Nats: two significant digits down to a ten-thousandth, below that an upper bound. */
export function formatNats(nats: number): string {
  const size = Math.abs(nats);
  if (size < 1e-4) return size === 0 ? "0" : "< 0.0001";
  return size < 0.1 ? nats.toPrecision(2).replace(/e.*$/, "") : nats.toFixed(2);
}

/** A token so that it can be seen: spaces and line breaks get signs. */
export function visibleToken(text: string): string {
  return text.replaceAll(" ", "␣").replaceAll("\n", "↵") || "(part of a character)";
}
