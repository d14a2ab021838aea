// token-bytes: the bytes of text each id stands for. Leaves to others: joining them into characters (text-stream.ts).

import { spaceMark } from "./tokenizer-json";
import { type TokenizerMetadata, tokenType, typeOf } from "./tokenizer-metadata";

/** One array per id. Control tokens have the bytes of their name; whether to show them is the reader's choice. */
export function buildTokenBytes(metadata: TokenizerMetadata): Uint8Array[] {
  const encoder = new TextEncoder();
  const byteOf = metadata.model === "gpt2" ? byteAlphabet() : undefined;
  return metadata.tokens.map((token, id) => {
    const type = typeOf(metadata, id);
    if (type === tokenType.byte) return Uint8Array.of(Number.parseInt(token.slice(3, 5), 16)); // "<0xAB>"
    if (type !== tokenType.normal) return encoder.encode(token);
    if (byteOf === undefined) return encoder.encode(token.replaceAll(spaceMark, " "));
    const bytes = Array.from(token, (character) => byteOf.get(character));
    return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : encoder.encode(token);
  });
}

// GPT-2's alphabet: printable Latin-1 stands for itself, the other 68 bytes are numbered from U+0100 on.
function byteAlphabet(): Map<string, number> {
  const alphabet = new Map<string, number>();
  let numShifted = 0;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    alphabet.set(String.fromCharCode(printable ? byte : 256 + numShifted++), byte);
  }
  return alphabet;
}
