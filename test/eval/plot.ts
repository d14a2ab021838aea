// plot: fidelity over bytes as an SVG file: one line a policy through its budgets, one panel a kind of text. Lower and further left is better.

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { FULL } from "./options";
import { type Row, shorten } from "./rows";

/** Ten colours that stay apart (Observable's), then the same ones with another symbol. */
const COLOURS = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0"];
const SYMBOLS = ["circle", "square", "triangle", "diamond"] as const;
/** A KL that rounds to nothing has no logarithm. Nats. */
const LEAST_KL = 1e-7;
/** Per cent of the 16-bit cache: what budgets usually are. */
const HALVINGS = [1.5625, 3.125, 6.25, 12.5, 25, 50, 100];
const PANEL = { width: 480, height: 420 } as const;

/** The SVG document. Rows of the full cache are left out: its KL is 0 by definition. */
export function plotSvg(rows: readonly Row[], title: string): string {
  const shown = rows
    .filter(({ policy }) => policy !== FULL.policy)
    .map((row) => ({ ...row, share: (100 * row.kvBytes) / row.fullBytes, kl: Math.max(row.meanKl, LEAST_KL) }));
  const policies = [...new Set(shown.map(({ policy }) => policy))];
  const shares = shown.map(({ share }) => share);
  const ticks = HALVINGS.filter((share) => share > 0.97 * Math.min(...shares) && share < 1.03 * Math.max(...shares));
  const kinds = [...new Set(shown.map(({ kind }) => kind))];
  const colour = (policy: string): string => COLOURS[policies.indexOf(policy) % COLOURS.length] ?? "#000000";
  const symbol = (policy: string) => SYMBOLS[Math.floor(policies.indexOf(policy) / COLOURS.length) % SYMBOLS.length] ?? "circle";
  const legendWidth = 30 + 6.5 * Math.max(0, ...policies.map((policy) => shorten(policy).length));
  const channels = { x: "share", y: "kl", ...(kinds.length > 1 && { fx: "kind" }) } as const;
  const { document } = parseHTML("<html><body></body></html>");
  const svg = Plot.plot({
    document,
    width: PANEL.width * Math.max(1, kinds.length) + legendWidth,
    height: Math.max(PANEL.height, 90 + 16 * policies.length),
    marginTop: 50,
    marginLeft: 60,
    marginRight: legendWidth,
    marginBottom: 45,
    style: { background: "white", color: "#222", fontSize: "11px" },
    x: {
      type: "log",
      inset: 10,
      label: "bytes of the cache, % of the 16-bit one",
      labelAnchor: "center",
      ...(ticks.length > 0 && { ticks }),
      tickFormat: "~g",
    },
    y: { type: "log", inset: 10, grid: true, label: "mean KL(full || compressed), nats a token", labelAnchor: "center", tickFormat: "~g" },
    fx: { label: null, domain: kinds },
    color: { type: "identity" },
    symbol: { type: "identity" },
    marks: [
      Plot.frame({ stroke: "#ccc" }),
      Plot.line(shown, { ...channels, z: "policy", stroke: ({ policy }: Row) => colour(policy), sort: "share" }),
      Plot.dot(shown, {
        ...channels,
        fill: ({ policy }: Row) => colour(policy),
        stroke: "white",
        symbol: ({ policy }: Row) => symbol(policy),
        r: 4,
        title: ({ policy, kl, kvBytes }: Row & { kl: number }) => `${policy}: ${kl.toPrecision(3)} nats, ${kvBytes} bytes`,
      }),
      ...policies.flatMap((policy, index) => legend(policy, index, colour(policy), symbol(policy), kinds.at(-1))),
      Plot.text([title], { frameAnchor: "top-left", dy: -42, fontSize: 13, fontWeight: "bold", ...(kinds.length > 1 && { fx: () => kinds[0] }) }),
    ],
  });
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return `${svg.outerHTML}\n`;
}

/** A line of the legend, right of the last panel. */
function legend(policy: string, index: number, colour: string, symbol: (typeof SYMBOLS)[number], panel: string | undefined): Plot.Markish[] {
  const place = { frameAnchor: "top-right", fx: () => panel } as const;
  return [
    Plot.dot([policy], { ...place, dx: 16, dy: 8 + 16 * index, r: 4, fill: colour, symbol }),
    Plot.text([shorten(policy)], { ...place, dx: 24, dy: 2 + 16 * index, textAnchor: "start", fill: "#222" }),
  ];
}
