// paint: the cache map on a canvas. Colour says bits, height the share that is kept, emptiness eviction. Canvas 2D: cheap
// enough to redraw whole, and it shows on screenshots. What was brought back has a colour of its own instead of its bits'.

import { bitStep, guestsIn, type Part, type Slots, shareOf, tokensPerColumn, withoutGuests } from "./slots";

/** A row of the map: a layer, or one head of an opened layer. */
export interface MapRow {
  readonly layer: number;
  readonly head: number | undefined;
}

/** Where things are, in CSS pixels; shared by painting, pointing and the keyboard. */
export interface Geometry {
  readonly rows: readonly MapRow[];
  readonly rowHeight: number;
  readonly perColumn: number;
  readonly columns: number;
  /** May be a fraction: edges are rounded, so some columns are one pixel wider than others. */
  readonly columnWidth: number;
  readonly width: number;
  readonly height: number;
}

export const ROW_GAP = 2;

/** In the palette, beside steps of bits: what was brought back. */
export const RECALLED = "recalled";
export type Palette = ReadonlyMap<number | typeof RECALLED, string>;

export function geometry(slots: Slots, opened: ReadonlySet<number>, width: number): Geometry {
  const rows = Array.from({ length: slots.layers }, (_, layer) => [
    { layer, head: undefined } as MapRow,
    ...(opened.has(layer) ? Array.from({ length: slots.heads }, (_, head) => ({ layer, head })) : []),
  ]).flat();
  const perColumn = tokensPerColumn(slots.tokens, width);
  const columns = Math.ceil(slots.tokens / perColumn);
  const rowHeight = slots.layers <= 8 ? 24 : 12;
  return { rows, rowHeight, perColumn, columns, columnWidth: width / columns, width, height: rows.length * (rowHeight + ROW_GAP) };
}

export interface Cell {
  readonly row: number;
  readonly column: number;
}

export function paint(canvas: HTMLCanvasElement, slots: Slots, part: Part, shape: Geometry, palette: Palette): void {
  const scale = Math.max(1, Math.round(globalThis.devicePixelRatio));
  canvas.width = shape.width * scale;
  canvas.height = shape.height * scale;
  canvas.style.width = `${shape.width}px`;
  canvas.style.height = `${shape.height}px`;
  const context = canvas.getContext("2d");
  if (!context) return;
  context.scale(scale, scale);
  shape.rows.forEach((row, r) => {
    const bottom = r * (shape.rowHeight + ROW_GAP) + shape.rowHeight;
    for (let column = 0; column < shape.columns; column++) {
      const start = column * shape.perColumn;
      const share = shareOf(slots, part, row.layer, row.head, start, start + shape.perColumn);
      if (share.kept === 0) continue;
      const height = (kept: number): number => (kept === 0 ? 0 : Math.max(1, Math.round((shape.rowHeight * kept) / share.total)));
      const left = Math.round(column * shape.columnWidth);
      const width = Math.round((column + 1) * shape.columnWidth) - left;
      // Guests stand on top of what the pages hold.
      const held = withoutGuests(share, guestsIn(slots, row.layer, row.head, start, start + shape.perColumn));
      if (held.kept < share.kept) {
        context.fillStyle = palette.get(RECALLED) ?? "";
        context.fillRect(left, bottom - height(share.kept), width, height(share.kept));
      }
      context.fillStyle = palette.get(bitStep(held.bits)) ?? "";
      context.fillRect(left, bottom - height(held.kept), width, height(held.kept));
    }
    context.fillStyle = palette.get(0) ?? "";
    context.fillRect(0, bottom, shape.width, 1);
    // A marker is a tick below the first token of its span. Heads have spans of their own, so only their rows show them.
    context.fillStyle = palette.get(16) ?? "";
    for (const { first } of row.head === undefined ? [] : (slots.markers[row.layer * slots.heads + row.head] ?? []))
      context.fillRect(Math.round((first / shape.perColumn) * shape.columnWidth), bottom - 2, 4, 4);
  });
}
