// attempts: every way the compressed pane was run on this prompt, side by side. Offers eviction at the same bytes, the comparison
// that says whether rounding before dropping is worth it.

import { formatMemory, formatNats, formatPercent, formatRatio } from "../format";
import { DEFAULT_POLICY, policyChoice } from "../policies";
import { type Attempt, attempts, canRerunCompressed, laneA, laneB, rerunCompressed, rerunWithoutCold } from "../state/run";

export function Attempts() {
  const rows = attempts.value;
  const full = laneA.value.result;
  if (rows.length === 0 || !full) return null;
  const last = rows.at(-1) as Attempt;
  const other = last.policy === "expected-attention" ? DEFAULT_POLICY : "expected-attention";
  const bytes = laneB.value.result?.kv.bytes;
  return (
    <section class="card attempts" aria-labelledby="attempts-title">
      <h2 id="attempts-title">On this prompt so far</h2>
      <div class="scroll">
        <table class="figures">
          <thead>
            <tr>
              <th scope="col">Cache</th>
              <th scope="col">KV</th>
              <th scope="col">Smaller</th>
              <th scope="col">Same next token</th>
              <th scope="col">Mean KL</th>
              <th scope="col">Answer</th>
            </tr>
          </thead>
          <tbody>
            <tr>
              <th scope="row">Full</th>
              <td data-label="KV">{formatMemory(full.kv.bytes)}</td>
              <td data-label="Smaller">{formatRatio(full.kv.fullBytes / full.kv.bytes)}</td>
              <td data-label="Same">reference</td>
              <td data-label="Mean KL">reference</td>
              <td class="answer">{full.output.text.trim()}</td>
            </tr>
            {rows.map((row, i) => (
              <AttemptRow key={i} row={row} reference={full.output.text.trim()} />
            ))}
          </tbody>
        </table>
      </div>
      {bytes !== undefined && last.cold && (
        <button type="button" id="without-cold" disabled={!canRerunCompressed.value} onClick={() => void rerunWithoutCold(last.policy, bytes)}>
          Now without the cold tier, with the same {formatMemory(bytes)}
        </button>
      )}
      {bytes !== undefined && !last.cold && (
        <button type="button" id="same-bytes" disabled={!canRerunCompressed.value} onClick={() => void rerunCompressed(other, bytes)}>
          Now {policyChoice(other).title.toLowerCase()}, with the same {formatMemory(bytes)}
        </button>
      )}
    </section>
  );
}

function AttemptRow({ row, reference }: { row: Attempt; reference: string }) {
  const same = row.text === reference;
  const { name, title, sentence } = policyChoice(row.policy);
  return (
    <tr data-policy={name} data-bytes={row.bytes} data-cold={row.cold !== undefined}>
      <th scope="row" title={sentence}>
        {title}
        {row.cold && <span class="muted"> with the cold tier</span>}
      </th>
      <td data-label="KV">{formatMemory(row.bytes)}</td>
      <td data-label="Smaller">{formatRatio(row.fullBytes / row.bytes)}</td>
      <td data-label="Same">{row.agreement === undefined ? "not measured" : formatPercent(row.agreement)}</td>
      <td data-label="Mean KL">{row.meanKl === undefined ? "not measured" : formatNats(row.meanKl)}</td>
      <td class="answer">
        {same && <span class="chip good">as full</span>} {row.text}
      </td>
    </tr>
  );
}
