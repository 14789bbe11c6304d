// What a model found in a picture, where its answer says so: an output of quadrilaterals [n, 4, 2] in pixels, and beside it the
// outputs that say something of each of them, [n]: text (BYTES) and confidence (floating point). Pure.

interface Output {
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: readonly unknown[];
}

export interface Find {
  /** The corners in order, in pixels of the picture as it is shown upright. */
  readonly corners: readonly (readonly [number, number])[];
  readonly text: string | undefined;
  /** 0 to 1. */
  readonly confidence: number | undefined;
}

/** More would only be drawn over each other. */
export const LIMIT_FINDS = 1000;

/** Undefined where the model answers no quadrilaterals; empty where it found nothing. */
export function findsOf({ outputs }: { readonly outputs: readonly Output[] }): readonly Find[] | undefined {
  const boxes = outputs.find(({ datatype, shape: [, ...inner] }) => isNumber(datatype) && String(inner) === '4,2');
  if (boxes === undefined) return undefined;
  const [count = 0] = boxes.shape;
  const ofEach = (is: (datatype: string) => boolean): readonly unknown[] | undefined =>
    outputs.find(({ datatype, shape }) => is(datatype) && String(shape) === String(count))?.data;
  const texts = ofEach((datatype) => datatype === 'BYTES');
  const confidences = ofEach((datatype) => /^(FP|BF)/.test(datatype));
  const value = (index: number): number => Number(boxes.data[index]);
  return Array.from({ length: Math.min(count, LIMIT_FINDS) }, (_, row) => {
    const text = texts?.[row];
    const confidence = Number(confidences?.[row] ?? Number.NaN);
    return {
      corners: [0, 1, 2, 3].map((corner) => {
        const at = row * 8 + corner * 2;
        return [value(at), value(at + 1)] as const;
      }),
      text: text === undefined ? undefined : String(text),
      confidence: confidence >= 0 && confidence <= 1 ? confidence : undefined,
    };
  });
}

function isNumber(datatype: string): boolean {
  return /^(FP|BF|U?INT)/.test(datatype);
}
