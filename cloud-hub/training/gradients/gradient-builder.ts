// Appends nodes to a graph that grows backwards. Sizes that infer-shapes.ts does not know are read by Shape nodes when the graph runs,
// so that one gradient graph serves every batch size. New names begin with `gradient/`.
import { makeNode } from '@tidegate/shared/onnx/make-node.js';
import type { NodeProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import type { Shape } from './infer-shapes.js';

const DOUBLE = 11;

type Attributes = NonNullable<NonNullable<Parameters<typeof makeNode>[3]>['attributes']>;

export class GradientBuilder {
  readonly nodes: NodeProto[] = [];
  readonly initializers: TensorProto[] = [];
  /** ONNX element type of every float value: FLOAT (1) or DOUBLE (11). */
  readonly floatType: number;
  /** Of the values of the graph that is differentiated, as far as they are known. */
  readonly shapes: ReadonlyMap<string, Shape>;
  readonly #constants = new Map<string, string>();
  readonly #shapes = new Map<string, string>();
  #count = 0;

  constructor(floatType: number, shapes: ReadonlyMap<string, Shape>) {
    this.floatType = floatType;
    this.shapes = shapes;
  }

  /** A value's dimensions where all of them are known sizes. */
  sizes(value: string): readonly number[] | undefined {
    const shape = this.shapes.get(value);
    return shape?.every((d) => typeof d === 'number') === true ? shape : undefined;
  }

  /** A value's dimensions from 2 on where those are known sizes. */
  spatialSizes(value: string): readonly number[] | undefined {
    const spatial = this.shapes.get(value)?.slice(2);
    return spatial?.every((d) => typeof d === 'number') === true ? spatial : undefined;
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
    return this.#constant(`f${value}[${dims.join()}]`, () => [this.floatType, dims, this.#floats(dims).fill(value)]);
  }

  /** A constant of the graph's float type that counts down to 1 over its elements. */
  countdown(dims: readonly number[]): string {
    return this.#constant(`countdown[${dims.join()}]`, () => {
      const data = this.#floats(dims);
      return [this.floatType, dims, data.map((_, i) => data.length - i)];
    });
  }

  #floats(dims: readonly number[]): Float32Array | Float64Array {
    const size = dims.reduce((a, d) => a * d, 1);
    return this.floatType === DOUBLE ? new Float64Array(size) : new Float32Array(size);
  }

  shape(value: string): string {
    const known = this.#shapes.get(value) ?? this.op('Shape', [value]);
    this.#shapes.set(value, known);
    return known;
  }

  /** Part of a value's shape, an INT64 vector: dimensions `from` to before `to`, which count from the end where they are negative. */
  dims(value: string, from: number, to = 2 ** 31): string {
    return this.op('Slice', [this.shape(value), this.ints(from), this.ints(to), this.ints(0)]);
  }

  /** Spatial part of a value's shape: dimensions 2 and up. */
  spatial(value: string): string {
    return this.dims(value, 2);
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

  /** A float tensor of a shape that the graph computes, every element `value`. */
  filled(shape: string, value: number): string {
    const one = makeTensor('', this.floatType, [1], bytesOf(this.#floats([1]).fill(value)));
    return this.op('ConstantOfShape', [shape], { value: one });
  }

  zeros(shape: string): string {
    return this.filled(shape, 0);
  }

  reshapeLike(value: string, like: string): string {
    return this.op('Reshape', [value, this.shape(like)]);
  }

  flat(value: string): string {
    return this.op('Reshape', [value, this.ints(-1)]);
  }

  /** [N, C, ...] as [N, C, all the rest]. */
  folded(value: string): string {
    return this.op('Reshape', [value, this.ints(0, 0, -1)]);
  }

  /**
   * Undoes broadcasting: sums `gradient`, which has the shape `whole`, over the axes along which `like` was stretched. Where the
   * shapes are not known, `like` padded with ones to the rank of `gradient` differs from it exactly there.
   */
  sumTo(gradient: string, like: string, whole: Shape | undefined): string {
    const to = this.shapes.get(like);
    const axes = to === undefined || whole === undefined ? undefined : stretchedAxes(to, whole);
    if (to === undefined || whole === undefined || axes === undefined) return this.#sumToDynamic(gradient, like);
    if (axes.length === 0) return gradient;
    const lead = whole.length - to.length;
    if (axes.length === lead) return this.op('ReduceSum', [gradient, this.ints(...axes)], { keepdims: 0n });
    const summed = this.sum(gradient, this.ints(...axes));
    return lead === 0 ? summed : this.reshapeLike(summed, like);
  }

  #sumToDynamic(gradient: string, like: string): string {
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

/** Axes of `from` along which `to` is or may be stretched: a sum over one element changes nothing. Undefined if that is not known. */
function stretchedAxes(to: Shape, from: Shape): number[] | undefined {
  const lead = from.length - to.length;
  const axes: number[] = [];
  for (const [i, size] of from.entries()) {
    const own = i < lead ? 1 : to[i - lead];
    if (i < lead || (own === 1 && size !== 1)) axes.push(i);
    else if (own !== size && !(typeof own === 'number' && own > 1)) return undefined;
    else if (own === '') return undefined;
  }
  return axes;
}
