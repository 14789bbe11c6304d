// The nodes that a step adds around the model: loss, norm, update. New names begin with `step/`.
import { makeNode } from '@tidegate/shared/onnx/make-node.js';
import type { NodeProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';

export const FLOAT = 1;
export const INT64 = 7;
export const BOOL = 9;
export const DOUBLE = 11;

type Attributes = NonNullable<NonNullable<Parameters<typeof makeNode>[3]>['attributes']>;

export class StepNodes {
  readonly nodes: NodeProto[] = [];
  readonly initializers: TensorProto[] = [];
  readonly #constants = new Map<string, string>();
  #count = 0;

  /** A node with one output, under a new name or a given one. */
  op(opType: string, input: readonly string[], attributes: Attributes = {}, output = this.fresh(opType)): string {
    this.many(opType, input, attributes, [output]);
    return output;
  }

  /** A node with several outputs. */
  many(opType: string, input: readonly string[], attributes: Attributes, output: readonly string[]): void {
    this.nodes.push(makeNode(opType, input, output, { attributes }));
  }

  fresh(hint: string): string {
    this.#count += 1;
    return `step/${hint}_${this.#count}`;
  }

  /** A constant FLOAT scalar. */
  float(value: number): string {
    return this.#scalar(FLOAT, value, Float32Array.of(value));
  }

  /** A constant DOUBLE scalar. */
  double(value: number): string {
    return this.#scalar(DOUBLE, value, Float64Array.of(value));
  }

  /** A constant INT64 scalar. */
  int(value: number): string {
    return this.#scalar(INT64, value, BigInt64Array.of(BigInt(value)));
  }

  /** A constant INT64 vector. */
  ints(...values: readonly number[]): string {
    return this.#constant(`vector:${values.join()}`, INT64, [values.length], BigInt64Array.from(values, BigInt));
  }

  cast(value: string, to: number): string {
    return this.op('Cast', [value], { to: BigInt(to) });
  }

  /** Zeros in the shape of `value`. */
  zerosLike(value: string): string {
    const zero = makeTensor('', FLOAT, [1], new Uint8Array(4));
    return this.op('ConstantOfShape', [this.op('Shape', [value])], { value: zero });
  }

  #scalar(type: number, value: number, data: ArrayBufferView): string {
    return this.#constant(`${type}:${value}`, type, [], data);
  }

  #constant(key: string, type: number, dims: readonly number[], data: ArrayBufferView): string {
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = this.fresh('constant');
    this.initializers.push(makeTensor(name, type, dims, bytesOf(data)));
    this.#constants.set(key, name);
    return name;
  }
}
