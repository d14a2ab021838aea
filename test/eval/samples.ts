// samples: token ids of one sample of a task: a prompt to compress, what is forced afterwards, and which of its tokens are answers.
// Leaves to others: how facts are worded (wording.ts), the texts (texts.ts), running anything.

import { EngineError } from "../../src/errors";
import { Random } from "./random";
import { sentencesOf, type Text } from "./texts";
import { type Fact, keyOf, nameOf, type Turn, type Wording } from "./wording";

/** `forced` stands for both of its kinds: prose that goes on, and keys hidden in prose that are asked for. */
export const TASKS = ["forced", "passkey", "niah", "multikey", "kv-retrieval", "vt"] as const;
export type Task = (typeof TASKS)[number];
export type Kind = "prose" | "facts";

export interface SampleRequest {
  readonly task: Task;
  readonly kind: Kind;
  /** Tokens: of the compressed prompt (forced), or of prompt, question and answer together at most (all others). */
  readonly length: number;
  /** The question comes in after the prompt was compressed, or is a part of it. */
  readonly hidden: boolean;
  readonly seed: number;
  readonly index: number;
  /** How many samples there are; `niah` puts its needles at that many depths. */
  readonly count: number;
}

export interface Sample {
  readonly name: string;
  readonly ids: readonly number[];
  /** Tokens before are compressed, the others forced. */
  readonly from: number;
  /** [start, end) of every value that must be answered; empty for prose, where every forced token counts. */
  readonly values: readonly (readonly [number, number])[];
  /** Which forced tokens the caches are compared on: a given question is no result, but a text or a conversation is compared as a whole. */
  readonly compare: "all" | "values";
}

/** What making samples needs of a model. */
export interface SampleMaker {
  /** Ids of a text, nothing added; special tokens are parsed. */
  encode(text: string): Promise<readonly number[]>;
  /** Ids in front of every raw prompt: the BOS token, where the model wants one. */
  readonly lead: readonly number[];
  readonly wording: Wording;
  readonly texts: readonly Text[];
}

/** Tokens forced after the prompt where there is no single answer. */
export const FORCED = 192;
const KEYS = 6;
const FORCED_KEYS = 4;
const CHAIN = 4;

/** The same request gives the same sample. Throws BAD_OPTION where the length leaves no room. */
export async function makeSample(maker: SampleMaker, request: SampleRequest): Promise<Sample> {
  const { task, kind, seed, index } = request;
  const random = new Random(task, kind, seed, index);
  const shuffled = new Random("texts", seed).below(maker.texts.length);
  const text = maker.texts[(shuffled + index) % maker.texts.length] ?? noText();
  const built =
    task === "forced" ? (kind === "prose" ? await prose(maker, request, text, random) : await forcedFacts(maker, request, text, random)) : undefined;
  const sample = built ?? (await lookup(maker, request, task === "kv-retrieval" ? undefined : text, await plan(maker, request, random), random));
  return { ...sample, name: `${task}${task === "forced" ? `-${kind}` : ""} ${index}${task === "kv-retrieval" ? "" : ` (${text.name})`}` };
}

type Built = Omit<Sample, "name">;

/** A stretch of a text: the first tokens are compressed, those that follow are forced. */
async function prose({ encode, lead }: SampleMaker, { length }: SampleRequest, { name, paragraphs }: Text, random: Random): Promise<Built> {
  const body: number[] = [];
  // Piece by piece, as no more than a context is encoded at once; words are cut at blanks, so the ids are those of the whole.
  for (const piece of paragraphs.join(" ").split(/(?<=[.!?;])(?= )/)) body.push(...(await encode(piece)));
  const wanted = length + FORCED - lead.length;
  if (body.length < wanted) throw tooLong(length, `${name} has ${body.length} tokens, ${FORCED} of them are forced`);
  const at = random.below(body.length - wanted + 1);
  return { ids: [...lead, ...body.slice(at, at + wanted)], from: length, values: [], compare: "all" };
}

/** Keys hidden one in each quarter of a text, then questions and answers about them, again and again until the forced tokens are full. */
async function forcedFacts(maker: SampleMaker, request: SampleRequest, text: Text, random: Random): Promise<Built> {
  const facts = random.different(FORCED_KEYS, () => nameOf(random)).map((name) => maker.wording.key(name, keyOf(random)));
  const places = facts.map((_, turn) => (turn + random.below(1000) / 1000) / FORCED_KEYS);
  const prompt = await hide(maker, sentencesOf(text), facts, places, request.length, random, true);
  const asked: Turn[] = [];
  const conversation = new Conversation(maker, prompt);
  while (conversation.ids.length < request.length + FORCED) {
    if (asked.length === 0) asked.push(...random.shuffled(facts).map(({ turn }) => turn));
    await conversation.ask(asked.shift() as Turn);
  }
  const { firstAnswer, ids, values } = conversation;
  const end = request.length + FORCED;
  const from = request.hidden ? prompt.length : firstAnswer;
  return { ids: ids.slice(0, end), from, values: values.filter((value) => value[1] <= end), compare: "all" };
}

interface Plan {
  readonly facts: readonly Fact[];
  /** Where in the text each stands, 0 to 1; random places where there are none. */
  readonly places?: readonly number[];
  readonly turns: readonly Turn[];
}

/** What is hidden and what is asked, by task. */
async function plan(maker: SampleMaker, { task, index, count, length }: SampleRequest, random: Random): Promise<Plan> {
  const { wording } = maker;
  if (task === "niah") {
    const fact = wording.needle(random);
    return { facts: [fact], places: [(index + 0.5) / count], turns: [fact.turn] };
  }
  if (task === "vt") return wording.name === "tiny" ? sameKeys(wording, random) : chain(random);
  if (task === "kv-retrieval") return pairs(maker, length, random);
  const facts = random.different(task === "passkey" ? 1 : KEYS, () => nameOf(random)).map((name) => wording.key(name, keyOf(random)));
  return { facts, turns: [random.pick(facts).turn] };
}

/** Variable tracking (RULER, Hsieh et al. 2024): X1 = value, X2 = X1, ... among the sentences in that order; asked for all names of the value. */
function chain(random: Random): Plan {
  const letters = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"];
  const names = random.different(CHAIN, () => Array.from({ length: 5 }, () => random.pick(letters)).join(""));
  const value = random.digits(5);
  const facts = names.map((name, turn) => ({ statement: `VAR ${name} = ${turn === 0 ? value : `VAR ${names[turn - 1]}`}.`, turn: NOTHING }));
  const places = facts.map((_, turn) => (turn + random.below(1000) / 1000) / CHAIN);
  const question = `\n\nQuestion: Find all variables that are assigned the value ${value} in the text above.\nAnswer: According to the chain of variable assignment in the text above, ${CHAIN} variables are assigned the value ${value}, they are:`;
  const answer = names.flatMap((name, turn) => [
    { text: ` ${name}`, value: true },
    { text: turn < CHAIN - 1 ? "," : ".", value: false },
  ]);
  return { facts, places, turns: [{ question, answer }] };
}

/** The tiny model follows no references: several names with one key, each said outright, all asked for one after the other. */
function sameKeys(wording: Wording, random: Random): Plan {
  const value = keyOf(random);
  const facts = random.different(CHAIN, () => nameOf(random)).map((name) => wording.key(name, value));
  return { facts, turns: facts.map(({ turn }) => turn) };
}

/** As many pairs as the length has room for; one is asked. */
async function pairs({ encode, wording, lead }: SampleMaker, length: number, random: Random): Promise<Plan> {
  const one = await encode(` ${wording.pair(nameOf(random), keyOf(random)).statement}`);
  const estimate = Math.max(1, Math.floor((length - lead.length) / one.length));
  const names = random.different(estimate, () => nameOf(random));
  const facts = names.map((name) => wording.pair(name, keyOf(random)));
  const asked = random.pick(facts.slice(0, Math.max(1, Math.floor(0.8 * estimate)))); // the last ones may find no room
  return { facts, turns: [asked.turn] };
}

/** A text with facts in it (without a text: the facts alone, as many as fit), then the questions with their answers. */
async function lookup(maker: SampleMaker, { length, hidden }: SampleRequest, text: Text | undefined, wanted: Plan, random: Random): Promise<Built> {
  const tail = new Conversation(maker, []);
  for (const turn of wanted.turns) await tail.ask(turn);
  const room = length - tail.ids.length;
  const prompt = text ? await hide(maker, sentencesOf(text), wanted.facts, wanted.places, room, random, false) : await listOf(maker, wanted, room);
  const conversation = new Conversation(maker, prompt);
  for (const turn of wanted.turns) await conversation.ask(turn);
  const { ids, values, firstAnswer } = conversation;
  return { ids, values, from: hidden ? prompt.length : firstAnswer, compare: "values" };
}

/** Facts one after the other, as many as fit; those that are asked for are among them. */
async function listOf({ encode, wording, lead }: SampleMaker, { facts, turns }: Plan, room: number): Promise<number[]> {
  const ids = [...lead, ...(await encodeLead(encode, wording))];
  const kept = new Set<Turn>();
  for (const { statement, turn } of facts) {
    const more = await encode(kept.size === 0 ? statement : ` ${statement}`);
    if (ids.length + more.length > room) break;
    ids.push(...more);
    kept.add(turn);
  }
  if (!turns.every((turn) => kept.has(turn))) throw tooLong(room, "the list has no room for the pair that is asked for", "longer");
  return ids;
}

/**
 * A text's sentences from a random place on, the facts among them; at most `room` tokens.
 * @param places parts of the text after which the facts come; random ones without
 * @param exact fills the room to the last token, with a sentence cut short
 */
async function hide(
  { encode, lead, wording }: SampleMaker,
  lines: readonly string[],
  facts: readonly Fact[],
  places: readonly number[] | undefined,
  room: number,
  random: Random,
  exact: boolean,
): Promise<number[]> {
  const hidden: (readonly number[])[] = [];
  for (const { statement } of facts) hidden.push(await encode(` ${statement}`));
  const front = [...lead, ...(await encodeLead(encode, wording))];
  const filler = room - front.length - hidden.reduce((sum, ids) => sum + ids.length, 0);
  if (filler < 8) throw tooLong(room, `${facts.length} facts leave no room for text`, "longer");
  const at = places ?? facts.map(() => random.below(1000) / 1000).sort((a, b) => a - b);
  const start = random.below(lines.length);
  const ids = [...front];
  let used = 0;
  let next = 0;
  const place = (): void => {
    while (next < hidden.length && used >= Math.round(filler * (at[next] ?? 1))) ids.push(...(hidden[next++] ?? []));
  };
  for (let turn = 0; used < filler; turn++) {
    place();
    const line = await encode((turn > 0 ? " " : "") + (lines[(start + turn) % lines.length] ?? ""));
    if (line.length > filler - used && !exact) break;
    const part = line.slice(0, filler - used);
    ids.push(...part);
    used += part.length;
  }
  while (next < hidden.length) ids.push(...(hidden[next++] ?? []));
  return ids;
}

/** Questions and answers behind a prompt, with the places of the values. */
class Conversation {
  readonly ids: number[];
  readonly values: [number, number][] = [];
  /** Where the first question ends. */
  firstAnswer = 0;
  #turns = 0;

  constructor(
    private readonly maker: SampleMaker,
    prompt: readonly number[],
  ) {
    this.ids = [...prompt];
  }

  async ask({ question, answer }: Turn): Promise<void> {
    const { encode, wording } = this.maker;
    this.ids.push(...(await encode((this.#turns > 0 ? wording.again : "") + question)));
    if (this.#turns++ === 0) this.firstAnswer = this.ids.length;
    for (const { text, value } of answer) {
      const start = this.ids.length;
      this.ids.push(...(await encode(text)));
      if (value) this.values.push([start, this.ids.length]);
    }
  }
}

const NOTHING: Turn = { question: "", answer: [] };

async function encodeLead(encode: SampleMaker["encode"], { lead }: Wording): Promise<readonly number[]> {
  return lead === "" ? [] : encode(lead);
}

function tooLong(length: number, why: string, act: "longer" | "shorter" = "shorter"): EngineError {
  return new EngineError("BAD_OPTION", `A length of ${length} tokens cannot be had: ${why}. Choose a ${act} --length.`, { option: "--length", found: length });
}

function noText(): never {
  throw new EngineError("BAD_OPTION", "There is no text to make samples of. test/eval/texts is empty; check it out again.", { field: "texts" });
}
