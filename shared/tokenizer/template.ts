// What a tokenizer puts around one text or a pair: the post-processors of Hugging Face's tokenizer.json, all read as one
// template of special tokens and of places for the texts.
import { z } from 'zod';
import { TokenizerError } from './tokenizer-error.js';
import { LIMIT_VOCABULARY } from './word-model.js';

const LIMIT_PARTS = 64;
const id = z
  .int()
  .min(0)
  .max(LIMIT_VOCABULARY - 1);
const typeId = z.int().min(0).max(255);
const named = z.tuple([z.string(), id]);

const part = z.union(
  [
    z.strictObject({ SpecialToken: z.strictObject({ id: z.string(), type_id: typeId }) }),
    z.strictObject({ Sequence: z.strictObject({ id: z.enum(['A', 'B']), type_id: typeId }) }),
  ],
  { error: 'must be a SpecialToken, or the Sequence A or B' },
);
const single = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('TemplateProcessing'),
    single: z.array(part).max(LIMIT_PARTS),
    pair: z.array(part).max(LIMIT_PARTS),
    special_tokens: z.record(
      z.string(),
      z.strictObject({ id: z.string(), ids: z.array(id).max(LIMIT_PARTS), tokens: z.array(z.string()) }),
    ),
  }),
  z.strictObject({ type: z.literal('BertProcessing'), sep: named, cls: named }),
  z.strictObject({
    type: z.literal('RobertaProcessing'),
    sep: named,
    cls: named,
    trim_offsets: z.boolean().optional(),
    add_prefix_space: z.boolean().optional(),
  }),
  z.strictObject({
    type: z.literal('ByteLevel'),
    add_prefix_space: z.boolean().optional(),
    trim_offsets: z.boolean().optional(),
    use_regex: z.boolean().optional(),
  }),
]);
type Single = z.infer<typeof single>;

export const templateSchema = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('Sequence'), processors: z.array(single).max(4) }),
    single,
  ])
  .nullable();

/** A place for the first or second text, or special tokens; `type` is their token type id. */
export type TemplatePart =
  { readonly text: 0 | 1; readonly type: number } | { readonly special: readonly number[]; readonly type: number };

export interface Template {
  readonly single: readonly TemplatePart[];
  readonly pair: readonly TemplatePart[];
}

const A: TemplatePart = { text: 0, type: 0 };
const PLAIN: Template = { single: [A], pair: [A, { text: 1, type: 1 }] };

/** Throws TokenizerError where two processors would both put something around a text, or a special token has no ids. */
export function makeTemplate(settings: z.infer<typeof templateSchema>): Template {
  const parts = settings === null ? [] : settings.type === 'Sequence' ? settings.processors : [settings];
  const [first, second] = parts.filter(({ type }) => type !== 'ByteLevel'); // which only moves offsets
  if (first === undefined) return PLAIN;
  if (second !== undefined) throw new TokenizerError('post_processor.processors', 'may hold one template');
  return templateOf(first);
}

function templateOf(settings: Single): Template {
  switch (settings.type) {
    case 'TemplateProcessing': {
      const read = (which: 'single' | 'pair'): TemplatePart[] =>
        settings[which].map((given, at) => {
          if ('Sequence' in given) return { text: given.Sequence.id === 'A' ? 0 : 1, type: given.Sequence.type_id };
          const { id: name, type_id: type } = given.SpecialToken;
          const ids = Object.hasOwn(settings.special_tokens, name) ? settings.special_tokens[name]?.ids : undefined;
          if (ids === undefined) {
            throw new TokenizerError(`post_processor.${which}.${at}`, `'${name}' is not among special_tokens`);
          }
          return { special: ids, type };
        });
      return { single: read('single'), pair: read('pair') };
    }
    case 'BertProcessing': {
      const [cls, sep] = [settings.cls[1], settings.sep[1]];
      const one: TemplatePart[] = [{ special: [cls], type: 0 }, A, { special: [sep], type: 0 }];
      return { single: one, pair: [...one, { text: 1, type: 1 }, { special: [sep], type: 1 }] };
    }
    case 'RobertaProcessing': {
      const [cls, sep] = [settings.cls[1], settings.sep[1]];
      const one: TemplatePart[] = [{ special: [cls], type: 0 }, A, { special: [sep], type: 0 }];
      return {
        single: one,
        pair: [...one, { special: [sep], type: 0 }, { text: 1, type: 0 }, { special: [sep], type: 0 }],
      };
    }
    default:
      return PLAIN;
  }
}

/** Without its special tokens. */
export function withoutSpecials({ single: one, pair }: Template): Template {
  const bare = (parts: readonly TemplatePart[]): TemplatePart[] => parts.filter((given) => 'text' in given);
  return { single: bare(one), pair: bare(pair) };
}

/** Special tokens among the parts. */
export function specialsIn(parts: readonly TemplatePart[]): number {
  return parts.reduce((sum, given) => sum + ('special' in given ? given.special.length : 0), 0);
}
