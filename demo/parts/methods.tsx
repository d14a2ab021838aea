// methods: how every figure on the page is made. The definitions are the contract; the code that computes them is lanes.ts.

export function Methods() {
  return (
    <details class="card methods">
      <summary>How the figures are made</summary>
      <dl>
        <Entry term="KV cache">
          Sum of the sizes of the live GPU buffers of this pane's cache: codes, scales, positions, page tables, ring and free space included. 1 MiB = 1,048,576
          bytes.
        </Entry>
        <Entry term="Against 16 bits">
          Bytes the same tokens take unquantized (tokens × layers × KV heads × 2 × head size × 2 bytes), divided by the measured bytes.
        </Entry>
        <Entry term="Tokens/s">
          (n − 1) / (time of the last token − time of the first), timed in the worker after each readback, shown from the eighth token on.
        </Entry>
        <Entry term="Read a token">Bytes that attention reads of the cache for one token at the end of the run, as the kernels counted.</Entry>
        <Entry term="Prompt">Time to read the whole prompt into the cache, compression included.</Entry>
        <Entry term="Cold tier">
          A slot is one token in one KV head of one layer. Hot slots are on the GPU (recalled ones are those that came back), cold ones in the worker's memory
          or in a file of the browser's storage, gone ones nowhere; hot + cold + gone is all of them. The tier's bytes lie outside the GPU and have a limit of
          their own: they are never added to the cache's.
        </Entry>
        <Entry term="Drift">
          B's own tokens are forced through the full and the compressed cache. KL = sum over the vocabulary of p full × ln(p full / p compressed), in nats, per
          token; a cross marks tokens where the two put a different one first.
        </Entry>
        <Entry term="Budget">What the policy is asked to stay within. The measured size beside it includes what it cannot choose: sinks, ring, tables.</Entry>
      </dl>
      <p class="muted">Nothing on this page is prepared: every figure was measured in this tab. Prompts and answers do not leave it.</p>
    </details>
  );
}

function Entry({ term, children }: { term: string; children: string }) {
  return (
    <div>
      <dt>{term}</dt>
      <dd>{children}</dd>
    </div>
  );
}
