// The tokens of a tokenizer that are found in the text before anything else happens to it, `[SEP]` or `<mask>`: the longest
// one that begins at a place, from left to right. Some are looked for in the text as it came, some after normalising.
import { z } from 'zod';
import type { Normalise } from './normalisers.js';
import { TokenizerError } from './tokenizer-error.js';
import { LIMIT_VOCABULARY } from './word-model.js';

const LIMIT_ADDED = 16_384;
const LIMIT_CONTENT = 256;
const LIMIT_NORMALISED = 1024;

export const addedTokensSchema = z
  .array(
    z.strictObject({
      id: z
        .int()
        .min(0)
        .max(LIMIT_VOCABULARY - 1),
      content: z.string().min(1).max(LIMIT_CONTENT),
      single_word: z
        .literal(false, { error: 'a token that is found as a whole word only is not supported' })
        .optional(),
      /** It takes the spaces before it, or after it, along. */
      lstrip: z.boolean().default(false),
      rstrip: z.boolean().default(false),
      normalized: z.boolean().default(false),
      special: z.boolean().default(false),
    }),
  )
  .max(LIMIT_ADDED);
type AddedToken = z.infer<typeof addedTokensSchema>[number];

/** A part of a text: an added token, or what lies between. */
type Section = { readonly text: string; readonly atStart: boolean } | { readonly id: number };

interface Node {
  readonly next: Map<number, Node>;
  token: AddedToken | undefined;
}

export class AddedTokens {
  readonly #asGiven: Node = { next: new Map(), token: undefined };
  readonly #normalised: Node = { next: new Map(), token: undefined };
  readonly #normalise: Normalise;

  /** Throws TokenizerError that names the token. */
  constructor(tokens: readonly AddedToken[], normalise: Normalise) {
    this.#normalise = normalise;
    for (const [at, token] of tokens.entries()) {
      const content = token.normalized ? normalise(token.content) : token.content;
      if (content.length > LIMIT_NORMALISED)
        throw new TokenizerError(`added_tokens.${at}.content`, `is longer than ${LIMIT_NORMALISED} once normalised`);
      insert(token.normalized ? this.#normalised : this.#asGiven, content, token);
    }
  }

  /** In order; texts are normalised and not empty. */
  *sections(text: string): Generator<Section> {
    for (const outer of cut(text, this.#asGiven)) {
      if ('id' in outer) yield outer;
      else
        for (const inner of cut(this.#normalise(outer.text), this.#normalised))
          yield 'id' in inner ? inner : { text: inner.text, atStart: inner.atStart && outer.atStart };
    }
  }
}

function insert(root: Node, content: string, token: AddedToken): void {
  let node = root;
  for (let at = 0; at < content.length; at += 1) {
    const unit = content.charCodeAt(at);
    let next = node.next.get(unit);
    if (next === undefined) node.next.set(unit, (next = { next: new Map(), token: undefined }));
    node = next;
  }
  if (node !== root) node.token = token;
}

/** The longest added token that begins at `at`, and where it ends. */
function longestAt(text: string, at: number, root: Node): { token: AddedToken; end: number } | undefined {
  let found: { token: AddedToken; end: number } | undefined;
  let node = root.next.get(text.charCodeAt(at));
  for (let end = at + 1; node !== undefined; end += 1) {
    if (node.token !== undefined) found = { token: node.token, end };
    node = end < text.length ? node.next.get(text.charCodeAt(end)) : undefined;
  }
  return found;
}

function* cut(text: string, root: Node): Generator<Section> {
  let start = 0;
  const between = (end: number): Section[] =>
    end > start ? [{ text: text.slice(start, end), atStart: start === 0 }] : [];
  for (let at = 0; root.next.size > 0 && at < text.length;) {
    const found = longestAt(text, at, root);
    if (found === undefined) {
      at += 1;
      continue;
    }
    let [from, to] = [at, found.end];
    while (found.token.lstrip && from > start && isSpace(text[from - 1])) from -= 1;
    while (found.token.rstrip && to < text.length && isSpace(text[to])) to += 1;
    yield* between(from);
    yield { id: found.token.id };
    start = at = to;
  }
  yield* between(text.length);
}

function isSpace(character: string | undefined): boolean {
  return character !== undefined && /\p{White_Space}/u.test(character);
}
