// Text -> ids of tokens, as Hugging Face's tokenizers do it: added tokens are found, what lies between is normalised, cut into
// words, and each word by the model; a template puts special tokens around the whole. Held equal to the Python package by
// test/interop/tokenizers.test.ts. The work is bounded: of a text alone no more words are looked at than are wanted.
import { AddedTokens } from './added-tokens.js';
import type { SplitWords } from './word-splitters.js';
import { specialsIn, withoutSpecials, type Template, type TemplatePart } from './template.js';
import type { WordModel } from './word-model.js';

/** Words of late whose tokens are kept, and the longest that is: a few MB at most. */
const KEPT_WORDS = 10_000;
const KEPT_WORD_LENGTH = 64;

interface TokenizerParts {
  readonly added: AddedTokens;
  readonly split: SplitWords;
  readonly model: WordModel;
  readonly template: Template;
  /** The padding token's id, where the file says it. */
  readonly padId: number | undefined;
  readonly idOf: (token: string) => number | undefined;
}

interface EncodeOptions {
  /** Special tokens counted in. What is beyond is cut off at the end, of a pair from the longer text. */
  readonly maxLength: number;
  readonly addSpecialTokens: boolean;
}

export interface Encoding {
  readonly ids: readonly number[];
  /** 0 for the first text, 1 for the second, or as the file says. */
  readonly typeIds: readonly number[];
  /** Was something cut off? */
  readonly cut: boolean;
}

export class Tokenizer {
  readonly #parts: TokenizerParts;
  readonly #bare: Template;
  #kept = new Map<string, readonly number[]>();

  constructor(parts: TokenizerParts) {
    this.#parts = parts;
    this.#bare = withoutSpecials(parts.template);
  }

  get padId(): number | undefined {
    return this.#parts.padId;
  }

  /** The id of a token of the vocabulary or of those added; undefined where there is none. */
  idOf(token: string): number | undefined {
    return this.#parts.idOf(token);
  }

  /** How many special tokens go around one text (or a pair). */
  specials(pair: boolean): number {
    return specialsIn(this.#parts.template[pair ? 'pair' : 'single']);
  }

  /** `second`: the other text of a pair. */
  encode(text: string, second: string | undefined, { maxLength, addSpecialTokens }: EncodeOptions): Encoding {
    const template = addSpecialTokens ? this.#parts.template : this.#bare;
    const parts = second === undefined ? template.single : template.pair;
    const room = Math.max(0, maxLength - specialsIn(parts));
    // Of a pair both are cut in words to the end: which one is longer says who keeps the odd token.
    const texts =
      second === undefined
        ? [this.#tokens(text, room + 1)]
        : [text, second].map((one) => this.#tokens(one, Number.POSITIVE_INFINITY));
    const kept = roomOf(texts, room);
    const cut = texts.some((ids, at) => ids.length > kept[at]!);
    return {
      ...filled(
        parts,
        texts.map((ids, at) => (ids.length > kept[at]! ? ids.slice(0, kept[at]) : ids)),
      ),
      cut,
    };
  }

  /** Stops soon after `enough`. */
  #tokens(text: string, enough: number): number[] {
    const { added, split } = this.#parts;
    const ids: number[] = [];
    for (const section of added.sections(text)) {
      if ('id' in section) ids.push(section.id);
      else {
        for (const word of split(section.text, section.atStart)) {
          for (const id of this.#word(word)) ids.push(id);
          if (ids.length >= enough) return ids;
        }
      }
      if (ids.length >= enough) return ids;
    }
    return ids;
  }

  #word(word: string): readonly number[] {
    if (word.length > KEPT_WORD_LENGTH) return this.#parts.model.encode(word);
    const known = this.#kept.get(word);
    if (known !== undefined) return known;
    const ids = this.#parts.model.encode(word);
    if (this.#kept.size >= KEPT_WORDS) this.#kept = new Map();
    this.#kept.set(word, ids);
    return ids;
  }
}

/** How many tokens of each text stay: the longer one of a pair loses first (`longest_first`). */
function roomOf(texts: readonly (readonly number[])[], room: number): readonly number[] {
  const [first = 0, second] = texts.map((ids) => ids.length);
  if (second === undefined) return [Math.min(first, room)];
  if (first + second <= room) return [first, second];
  const shorter = Math.min(first, second);
  const longer = shorter > room ? shorter : Math.max(shorter, room - shorter);
  const [a, b] = shorter + longer > room ? [Math.floor(room / 2), Math.ceil(room / 2)] : [shorter, longer];
  return first <= second ? [a, b] : [b, a];
}

function filled(parts: readonly TemplatePart[], texts: readonly (readonly number[])[]): Omit<Encoding, 'cut'> {
  const ids: number[] = [];
  const typeIds: number[] = [];
  for (const part of parts) {
    for (const id of 'special' in part ? part.special : (texts[part.text] ?? [])) {
      ids.push(id);
      typeIds.push(part.type);
    }
  }
  return { ids, typeIds };
}
