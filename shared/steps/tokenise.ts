// Texts -> what a language model's graph takes: the ids of their tokens, by a `tokenizer.json` of the package. Input BYTES [N]
// of UTF-8, or two of them, each text of the first beside one of the second (a question and a passage). Outputs [N, L]:
// input_ids, attention_mask (1 = a token, 0 = padding) and token_type_ids, as INT64 or INT32. L is the longest text's.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { z } from 'zod';
import { decodeBytes } from '../tensor/bytes.js';
import { bytesOf, type Tensor } from '../tensor/tensor.js';
import { readTokenizer } from '../tokenizer/read-tokenizer.js';
import { TokenizerError } from '../tokenizer/tokenizer-error.js';
import type { Encoding, Tokenizer } from '../tokenizer/tokenizer.js';
import { packagePathSchema } from '../wire/manifest.js';
import { StepError, type StepAssets, type StepDefinition, type ValueType } from './step.js';
import { expectTensor, expectType, twoInputs } from './step-types.js';

const STEP = 'tokenise';
const LIMIT_TEXT_BYTES = 512 * 1024;
/** Texts of so many bytes are cut at a stretch; then other work of the process has its turn. */
const BYTES_A_TURN = 64 * 1024;
/** Of all outputs of a request together. */
const LIMIT_ELEMENTS = 16 * 1024 * 1024;
/** What padding is called where the file doesn't say its id. */
const PAD_TOKENS = ['[PAD]', '<pad>', '<|padding|>', '<|pad|>'] as const;

const parameters = z.strictObject({
  /** A file of the package as Hugging Face's tokenizers write it. */
  file: packagePathSchema.default('tokenizer.json'),
  /** Most tokens of a text, or of a pair, with the special tokens around it. */
  maxLength: z.int().min(1).max(32_768).default(512),
  /** A longer text is cut off at its end (of a pair the longer one), or refused. */
  tooLong: z.enum(['cut', 'refuse']).default('cut'),
  /** To the longest text of the request, or always to maxLength. */
  padding: z.enum(['longest', 'maxLength']).default('longest'),
  /** The padded length is a multiple of it, at most maxLength. */
  multiple: z.int().min(1).max(4096).default(1),
  /** Default: the file's own. */
  padToken: z.string().min(1).max(256).optional(),
  specialTokens: z.boolean().default(true),
  datatype: z.enum(['INT64', 'INT32']).default('INT64'),
  /** A larger text is refused before it is looked at. */
  maxBytes: z.int().min(1).max(LIMIT_TEXT_BYTES).default(BYTES_A_TURN),
});
type TokeniseParameters = z.infer<typeof parameters>;

export const tokenise: StepDefinition<TokeniseParameters> = {
  name: STEP,
  parameters,
  prepare: async (settings, assets) => {
    const tokenizer = await readFile(settings.file, assets);
    const padId = padIdOf(tokenizer, settings);
    return {
      inferTypes: (inputs) => {
        const columns = columnsOf(inputs);
        for (const input of columns) expectType(STEP, 'BYTES', [-1], input);
        checkRoom(tokenizer, settings, columns.length === 2);
        const rows = columns.reduce((known, { shape }) => (known < 0 ? (shape[0] ?? -1) : known), -1);
        const length = settings.padding === 'maxLength' ? settings.maxLength : -1;
        const type: ValueType = { datatype: settings.datatype, shape: [rows, length] };
        return [type, type, type];
      },
      run: async (inputs, signal) => {
        const columns = columnsOf(inputs).map(textsOf);
        const [texts = [], seconds] = columns;
        if (seconds !== undefined && seconds.length !== texts.length) {
          throw new StepError(STEP, `is given ${texts.length} texts and ${seconds.length} to go with them`);
        }
        const encodings: Encoding[] = [];
        let bytes = 0;
        for (const [at, text] of texts.entries()) {
          const second = seconds?.[at];
          bytes += text.byteLength + (second?.byteLength ?? 0);
          if (bytes > BYTES_A_TURN) {
            await nextTurn();
            signal.throwIfAborted();
            bytes = 0;
          }
          encodings.push(encode(tokenizer, settings, at, text, second));
        }
        return padded(encodings, settings, padId);
      },
    };
  },
};

function columnsOf<T>(inputs: readonly T[]): readonly T[] {
  return inputs.length === 1 ? inputs : twoInputs(STEP, 'texts and what goes with each, or texts alone', inputs);
}

async function readFile(path: string, assets: StepAssets): Promise<Tokenizer> {
  const bytes = await assets.read(path).catch((cause: unknown) => {
    throw new StepError(STEP, `with.file: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  });
  try {
    return await readTokenizer(bytes);
  } catch (cause) {
    if (!(cause instanceof TokenizerError)) throw cause;
    throw new StepError(STEP, `with.file: ${path}: ${cause.message}`, { cause });
  }
}

/** Throws StepError where the file names no padding token, and none of the usual ones is in it. */
function padIdOf(tokenizer: Tokenizer, { padToken }: TokeniseParameters): number {
  const named = padToken === undefined ? undefined : tokenizer.idOf(padToken);
  if (padToken !== undefined && named === undefined) {
    throw new StepError(STEP, `with.padToken: the tokenizer has no token '${padToken}'`);
  }
  const usual = PAD_TOKENS.map((token) => tokenizer.idOf(token)).find((id) => id !== undefined);
  const id = named ?? tokenizer.padId ?? usual;
  if (id === undefined) throw new StepError(STEP, 'with.padToken: must be given, for the tokenizer names none');
  return id;
}

function checkRoom(tokenizer: Tokenizer, { maxLength, specialTokens }: TokeniseParameters, pair: boolean): void {
  const specials = specialTokens ? tokenizer.specials(pair) : 0;
  if (maxLength > specials) return;
  throw new StepError(STEP, `with.maxLength: leaves no room beside the ${specials} special tokens`);
}

function textsOf(input: Tensor): Uint8Array[] {
  expectTensor(STEP, 'BYTES', [-1], input);
  const texts = decodeBytes(input.data);
  if (texts === undefined || texts.length !== input.shape[0]) throw new StepError(STEP, 'is given elements cut short');
  return texts;
}

function encode(
  tokenizer: Tokenizer,
  settings: TokeniseParameters,
  at: number,
  text: Uint8Array,
  second: Uint8Array | undefined,
): Encoding {
  const { maxLength, specialTokens: addSpecialTokens, tooLong, maxBytes } = settings;
  const [first = '', other] = [text, ...(second === undefined ? [] : [second])].map((bytes) => {
    if (bytes.byteLength <= maxBytes) return decoded(bytes, at);
    throw new StepError(STEP, `text ${at} has ${bytes.byteLength} bytes; at most ${maxBytes} are allowed`);
  });
  try {
    const encoding = tokenizer.encode(first, other, { maxLength, addSpecialTokens });
    if (encoding.cut && tooLong === 'refuse') {
      throw new StepError(STEP, `text ${at} has more than ${maxLength} tokens`);
    }
    return encoding;
  } catch (cause) {
    if (!(cause instanceof TokenizerError)) throw cause;
    throw new StepError(STEP, `text ${at}: ${cause.message}`, { cause });
  }
}

function decoded(bytes: Uint8Array, at: number): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new StepError(STEP, `text ${at} is not UTF-8`, { cause });
  }
}

function padded(encodings: readonly Encoding[], settings: TokeniseParameters, padId: number): Tensor[] {
  const { maxLength, padding, multiple, datatype } = settings;
  // A row of no tokens still has one element, or the graph would be given nothing.
  const longest = encodings.reduce((most, { ids }) => Math.max(most, ids.length), 1);
  const rounded = Math.min(maxLength, Math.ceil(longest / multiple) * multiple);
  const length = padding === 'maxLength' ? maxLength : rounded;
  const rows = encodings.length;
  if (rows * length > LIMIT_ELEMENTS) {
    throw new StepError(STEP, `${rows} texts of ${length} tokens are too many; at most ${LIMIT_ELEMENTS} in all`);
  }
  const column = (fill: number, of: (encoding: Encoding) => readonly number[] | number): Tensor => {
    const values = new Int32Array(rows * length).fill(fill);
    for (const [row, encoding] of encodings.entries()) {
      const given = of(encoding);
      if (typeof given === 'number') values.fill(given, row * length, row * length + encoding.ids.length);
      else values.set(given, row * length);
    }
    return { datatype, shape: [rows, length], data: datatype === 'INT64' ? asInt64(values) : bytesOf(values) };
  };
  return [column(padId, ({ ids }) => ids), column(0, () => 1), column(0, ({ typeIds }) => typeIds)];
}

/** Of values that are not negative; many times faster than through BigInt. */
function asInt64(values: Int32Array): Uint8Array {
  const wide = new Int32Array(values.length * 2);
  for (let at = 0; at < values.length; at += 1) wide[at * 2] = values[at]!;
  return bytesOf(wide);
}
