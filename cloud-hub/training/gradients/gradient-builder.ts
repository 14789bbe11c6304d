// Appends nodes to a graph that grows backwards. Everything is shape-free: sizes are read by Shape nodes when the graph runs,
// so that one gradient graph serves every batch size and needs no shape inference. New names begin with `gradient/`.
import { makeNode } from '@tidegate/shared/onnx/make-node.js';
import type { NodeProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';

const DOUBLE = 11;

type Attributes = NonNullable<NonNullable<Parameters<typeof makeNode>[3]>['attributes']>;

export class GradientBuilder {
  readonly nodes: NodeProto[] = [];
  readonly initializers: TensorProto[] = [];
  /** ONNX element type of every float value: FLOAT (1) or DOUBLE (11). */
  readonly floatType: number;
  /** Dimensions of values that the graph declares; -1 where dynamic. */
  readonly dims: ReadonlyMap<string, readonly number[]>;
  readonly #constants = new Map<string, string>();
  readonly #shapes = new Map<string, string>();
  #count = 0;

  constructor(floatType: number, dims: ReadonlyMap<string, readonly number[]>) {
    this.floatType = floatType;
    this.dims = dims;
  }

  /** A node with one output; returns the output's name. */
  op(opType: string, input: readonly string[], attributes: Attributes = {}): string {
    const output = this.name(opType);
    this.nodes.push(makeNode(opType, input, [output], { attributes }));
    return output;
  }

  name(hint: string): string {
    this.#count += 1;
    return `gradient/${hint}_${this.#count}`;
  }

  /** A constant INT64 vector. */
  ints(...values: readonly number[]): string {
    return this.#constant(`i${values.join()}`, () => [7, [values.length], BigInt64Array.from(values, BigInt)]);
  }

  /** A constant INT64 scalar. */
  int(value: number): string {
    return this.#constant(`s${value}`, () => [7, [], BigInt64Array.of(BigInt(value))]);
  }

  /** A constant of the graph's float type, a scalar unless dimensions are given. */
  float(value: number, dims: readonly number[] = []): string {
    return this.#constant(`f${value}[${dims.join()}]`, () => {
      const size = dims.reduce((a, d) => a * d, 1);
      const data = this.floatType === DOUBLE ? new Float64Array(size) : new Float32Array(size);
      return [this.floatType, dims, data.fill(value)];
    });
  }

  shape(value: string): string {
    const known = this.#shapes.get(value) ?? this.op('Shape', [value]);
    this.#shapes.set(value, known);
    return known;
  }

  /** Spatial part of a value's shape: dimensions 2 and up. */
  spatial(value: string): string {
    return this.op('Slice', [this.shape(value), this.ints(2), this.ints(2 ** 31), this.ints(0)]);
  }

  cast(value: string): string {
    return this.op('Cast', [value], { to: BigInt(this.floatType) });
  }

  add(a: string, b: string): string {
    return this.op('Add', [a, b]);
  }

  sub(a: string, b: string): string {
    return this.op('Sub', [a, b]);
  }

  mul(a: string, b: string): string {
    return this.op('Mul', [a, b]);
  }

  div(a: string, b: string): string {
    return this.op('Div', [a, b]);
  }

  /** Sum over axes, which stay as 1. */
  sum(value: string, axes: string): string {
    return this.op('ReduceSum', [value, axes], { keepdims: 1n });
  }

  /** Elements of `value` per element of `reduced`, as a float scalar. */
  ratio(value: string, reduced: string): string {
    return this.div(this.cast(this.op('Size', [value])), this.cast(this.op('Size', [reduced])));
  }

  zeros(shape: string): string {
    const value = makeTensor('', this.floatType, [1], new Uint8Array(this.floatType === DOUBLE ? 8 : 4));
    return this.op('ConstantOfShape', [shape], { value });
  }

  reshapeLike(value: string, like: string): string {
    return this.op('Reshape', [value, this.shape(like)]);
  }

  flat(value: string): string {
    return this.op('Reshape', [value, this.ints(-1)]);
  }

  /**
   * Undoes broadcasting: sums `gradient` over the axes along which `like` was stretched. `like` padded with ones to the rank
   * of `gradient` differs from it exactly there. Where `like` is known and has no 1 to stretch, only leading axes are left over.
   */
  sumTo(gradient: string, like: string): string {
    const known = this.dims.get(like);
    if (known !== undefined && known.length > 0 && known.every((d) => d > 1)) {
      const rows = this.op('Reshape', [gradient, this.ints(-1, ...known)]);
      return this.op('ReduceSum', [rows, this.ints(0)], { keepdims: 0n });
    }
    const to = this.shape(like);
    const from = this.shape(gradient);
    const missing = this.op('Reshape', [this.sub(this.op('Size', [from]), this.op('Size', [to])), this.ints(1)]);
    const one = makeTensor('', 7, [1], bytesOf(BigInt64Array.of(1n)));
    const padded = this.op('Concat', [this.op('ConstantOfShape', [missing], { value: one }), to], { axis: 0n });
    const stretched = this.op('Not', [this.op('Equal', [padded, from])]);
    const axes = this.flat(this.op('NonZero', [stretched]));
    const summed = this.op('ReduceSum', [gradient, axes], { keepdims: 1n, noop_with_empty_axes: 1n });
    return this.op('Reshape', [summed, to]);
  }

  /** Adds `gradient` to zeros of `like`'s shape, at flat positions. */
  scatterAdd(gradient: string, positions: string, like: string): string {
    const size = this.op('Reshape', [this.op('Size', [like]), this.ints(1)]);
    const at = [this.zeros(size), this.flat(positions), this.flat(gradient)];
    return this.reshapeLike(this.op('ScatterElements', at, { axis: 0n, reduction: 'add' }), like);
  }

  /** Flat position of every element of `value`, in its shape. */
  positions(value: string): string {
    return this.reshapeLike(this.op('Range', [this.int(0), this.op('Size', [value]), this.int(1)]), value);
  }

  #constant(key: string, make: () => [number, readonly number[], ArrayBufferView]): string {
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = this.name('constant');
    const [type, dims, data] = make();
    this.initializers.push(makeTensor(name, type, dims, bytesOf(data)));
    this.#constants.set(key, name);
    return name;
  }
}
