// SentencePiece's own normaliser: a table of characters and what stands for them, compiled into the tokenizer file (`Precompiled`
// in tokenizer.json). The table is a double-array trie over UTF-8 (Aoe 1989; darts-clone's units) and the replacements, each
// ended by a zero byte. As in Hugging Face's spm_precompiled the shortest match decides, and a cluster of characters is looked
// up as one where it has fewer than 6 bytes. The table is untrusted: what points outside of it is no match.
import { TokenizerError } from './tokenizer-error.js';

/** A longer cluster is looked up character by character. */
const CLUSTER_BYTES_MAX = 5;
/** What stands for such characters is remembered, so that most texts need no trie. */
const KEPT_BELOW = 0x3000;
const encoder = new TextEncoder();

interface Table {
  readonly units: Uint32Array;
  readonly replacements: Uint8Array;
}

/** Gives back a function that throws TokenizerError for a text that would grow beyond `lengthMax`. Throws TokenizerError. */
export function characterMap(base64: string, field: string, lengthMax: number): (text: string) => string {
  const table = readTable(base64, field);
  const kept = new Map<number, string>();
  const ofCharacter = (character: string): string => {
    const point = character.codePointAt(0) ?? 0;
    const known = kept.get(point);
    if (known !== undefined) return known;
    const found = lookUp(encoder.encode(character), table) ?? character;
    if (point < KEPT_BELOW) kept.set(point, found);
    return found;
  };
  return (text) => {
    let out = '';
    for (const cluster of clusters(text)) {
      const bytes = cluster.length > 1 && cluster.length <= CLUSTER_BYTES_MAX ? encoder.encode(cluster) : undefined;
      const whole = bytes === undefined || bytes.length > CLUSTER_BYTES_MAX ? undefined : lookUp(bytes, table);
      if (whole !== undefined) out += whole;
      else for (const character of cluster) out += ofCharacter(character);
      if (out.length > lengthMax) throw new TokenizerError(field, `makes more than ${lengthMax} characters`);
    }
    return out;
  };
}

/** Throws TokenizerError. */
function readTable(base64: string, field: string): Table {
  const bytes = Buffer.from(base64, 'base64');
  const trieBytes = bytes.byteLength < 4 ? 0 : bytes.readUInt32LE(0);
  if (trieBytes < 4 || trieBytes % 4 !== 0 || 4 + trieBytes > bytes.byteLength) {
    throw new TokenizerError(field, 'is no table of characters');
  }
  const units = new Uint32Array(new Uint8Array(bytes.subarray(4, 4 + trieBytes)).buffer);
  return { units, replacements: bytes.subarray(4 + trieBytes) };
}

/** What stands for the shortest key that the bytes begin with. */
function lookUp(bytes: Uint8Array, { units, replacements }: Table): string | undefined {
  let at = offsetOf(units[0] ?? 0);
  for (const byte of bytes) {
    if (byte === 0) return undefined;
    at ^= byte;
    const unit = units[at];
    if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return undefined;
    at ^= offsetOf(unit);
    if (((unit >>> 8) & 1) === 1) return textAt((units[at] ?? 0) & 0x7fffffff, replacements);
  }
  return undefined;
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}

function textAt(start: number, replacements: Uint8Array): string {
  const end = replacements.indexOf(0, start);
  return new TextDecoder().decode(replacements.subarray(start, end < 0 ? replacements.byteLength : end));
}

const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** Unicode's grapheme clusters. The segmenter is dear, so it sees only what may be one: not two plain characters side by side. */
function* clusters(text: string): Generator<string> {
  for (let at = 0; at < text.length;) {
    let end = at;
    while (end < text.length && isPlain(text, end)) end += 1;
    const last = end < text.length ? Math.max(at, end - 1) : end; // a mark may follow the last one
    for (; at < last; at += 1) yield text[at]!;
    if (end === text.length) return;
    while (end < text.length && !(isPlain(text, end) && (end + 1 === text.length || isPlain(text, end + 1)))) end += 1;
    end = Math.min(text.length, end + 1); // the first plain one may belong to what is before it
    for (const { segment } of segmenter.segment(text.slice(at, end))) yield segment;
    at = end;
  }
}

/** Letters of scripts without combining marks, first to last: Latin and what is around it, Greek, Cyrillic, kana, Han, Hangul. */
const PLAIN = [
  [0, 0x2ff],
  [0x370, 0x482],
  [0x48a, 0x52f],
  [0x3041, 0x3096],
  [0x30a1, 0x30fa],
  [0x4e00, 0x9fff],
  [0xac00, 0xd7a3],
] as const;

/** Beside others of its kind it is a cluster by itself. */
function isPlain(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  if (unit === 13) return text.charCodeAt(at + 1) !== 10;
  return PLAIN.some(([first, last]) => unit >= first && unit <= last);
}
