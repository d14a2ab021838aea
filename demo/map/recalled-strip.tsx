// recalled-strip: below the map, a bracket under every stretch that the cold tier brought back. A shape where the map has a colour; a click shows the words.

import type { Geometry } from "./paint";
import { recalledRuns, type Slots } from "./slots";

interface RecalledStripProps {
  readonly slots: Slots;
  readonly shape: Geometry;
  readonly texts: readonly string[];
  readonly onPick: (run: readonly [number, number]) => void;
}

export function RecalledStrip({ slots, shape, texts, onPick }: RecalledStripProps) {
  const left = (token: number): number => (token / shape.perColumn) * shape.columnWidth;
  return (
    <div class="recalled-strip" style={{ width: `${shape.width}px`, height: `${shape.rowHeight}px` }}>
      {recalledRuns(slots).map(([start, end]) => {
        const words = `tokens ${start} to ${end - 1} were brought back: “${texts.slice(start, end).join("").trim()}”`;
        return (
          <button
            key={start}
            type="button"
            class="recalled-run"
            style={{ insetInlineStart: `${left(start)}px`, width: `${left(end) - left(start)}px` }}
            title={words}
            aria-label={words}
            onClick={() => onPick([start, end])}
          />
        );
      })}
    </div>
  );
}
