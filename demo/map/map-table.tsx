// map-table: the cache map in numbers, one row a layer and head.

import { formatCount, formatPercent } from "../format";
import { guestsIn, recalledIn, type Slots, shareOf } from "./slots";

export function MapTable({ slots }: { slots: Slots }) {
  const rows = Array.from({ length: slots.layers }, (_, layer) => Array.from({ length: slots.heads }, (_, head) => ({ layer, head }))).flat();
  const back = recalledIn(slots, 0, slots.tokens) > 0;
  return (
    <div class="scroll">
      <table class="figures" id="map-table">
        <caption class="visually-hidden">Kept slots and mean bits by layer and KV head</caption>
        <thead>
          <tr>
            <th scope="col">Layer</th>
            <th scope="col">Head</th>
            <th scope="col">Kept</th>
            <th scope="col">Slots</th>
            {back && <th scope="col">Brought back</th>}
            <th scope="col">Key bits</th>
            <th scope="col">Value bits</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ layer, head }) => {
            const keys = shareOf(slots, "key", layer, head, 0, slots.tokens);
            const values = shareOf(slots, "value", layer, head, 0, slots.tokens);
            return (
              <tr key={`${layer}.${head}`}>
                <th scope="row">{layer}</th>
                <td>{head}</td>
                <td>{formatPercent(keys.kept / keys.total)}</td>
                <td>{formatCount(keys.kept)}</td>
                {back && <td>{formatCount(guestsIn(slots, layer, head, 0, slots.tokens))}</td>}
                <td>{keys.bits.toFixed(1)}</td>
                <td>{values.bits.toFixed(1)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
