// The regular expressions that a tokenizer file may hold. A package is untrusted, and an expression of its own could keep the
// main thread busy for ever; so an expression is a name here, looked up as it is written, and what runs is this file's. Each
// of them takes time in proportion to the text: no repetition of a repetition, and alternatives that begin differently.
// Rust's `\s` is Unicode's White_Space, and its `(?i:s)` is also the long s.

const CONTRACTIONS = "'(?:[sSſ]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])";
const WORDS = `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+`;
const REST =
  ' ?[^\\p{White_Space}\\p{L}\\p{N}]+[\\r\\n]*|\\p{White_Space}*[\\r\\n]+|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+';
const GPT2_WORDS = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+";
const GPT2_SPACES = '\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+';

/** How GPT-2 splits text, and who followed it: RoBERTa, BART, Whisper. */
export const GPT2_PATTERN = new RegExp(`${GPT2_WORDS}|${GPT2_SPACES}`, 'gu');

const i = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const rest = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

/** As a tokenizer file writes it -> what runs in its place. */
export const KNOWN_PATTERNS: ReadonlyMap<string, RegExp> = new Map([
  ["'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", GPT2_PATTERN],
  // Llama 3 (tiktoken's cl100k_base) and Qwen 2.
  [`${i}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${rest}`, new RegExp(`${WORDS}|\\p{N}{1,3}|${REST}`, 'gu')],
  [`${i}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${rest}`, new RegExp(`${WORDS}|\\p{N}|${REST}`, 'gu')],
  // CLIP.
  [
    "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
    /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu,
  ],
  ['\\s+', /\p{White_Space}+/gu],
  [' {2,}', / {2,}/gu],
]);
