// The messages of onnx-ml.proto (ONNX 1.19, IR version 12) as plain read-only objects, and their descriptors. Names are the
// proto's in camel case. Repeated fields are always there (maybe empty); singular ones are absent where the file has none.
// Fields that only multi-device annotations use are not listed: they pass through as unknown fields.
import {
  many,
  manyMessages,
  messageType,
  one,
  oneMessage,
  type MessageType,
  type WithUnknown,
} from './message-type.js';

export interface ModelProto extends WithUnknown {
  readonly irVersion?: number;
  readonly producerName?: string;
  readonly producerVersion?: string;
  readonly domain?: string;
  readonly modelVersion?: bigint;
  readonly docString?: string;
  readonly graph?: GraphProto;
  readonly opsetImport: readonly OperatorSetId[];
  readonly metadataProps: readonly StringEntry[];
  readonly trainingInfo: readonly TrainingInfo[];
  readonly functions: readonly FunctionProto[];
}

export interface OperatorSetId extends WithUnknown {
  /** Empty or absent: the ONNX operators (`ai.onnx`). */
  readonly domain?: string;
  readonly version?: number;
}

interface StringEntry extends WithUnknown {
  readonly key?: string;
  readonly value?: string;
}

interface TrainingInfo extends WithUnknown {
  readonly initialization?: GraphProto;
  readonly algorithm?: GraphProto;
  readonly initializationBinding: readonly StringEntry[];
  readonly updateBinding: readonly StringEntry[];
}

export interface FunctionProto extends WithUnknown {
  readonly name?: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attribute: readonly string[];
  readonly attributeProto: readonly AttributeProto[];
  readonly node: readonly NodeProto[];
  readonly docString?: string;
  readonly opsetImport: readonly OperatorSetId[];
  readonly domain?: string;
  readonly overload?: string;
  readonly valueInfo: readonly ValueInfo[];
  readonly metadataProps: readonly StringEntry[];
}

export interface GraphProto extends WithUnknown {
  readonly node: readonly NodeProto[];
  readonly name?: string;
  readonly initializer: readonly TensorProto[];
  readonly sparseInitializer: readonly SparseTensorProto[];
  readonly docString?: string;
  readonly input: readonly ValueInfo[];
  readonly output: readonly ValueInfo[];
  readonly valueInfo: readonly ValueInfo[];
  readonly metadataProps: readonly StringEntry[];
}

export interface NodeProto extends WithUnknown {
  /** An empty name is an optional input that is not given. */
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly name?: string;
  readonly opType?: string;
  readonly domain?: string;
  readonly overload?: string;
  readonly attribute: readonly AttributeProto[];
  readonly docString?: string;
  readonly metadataProps: readonly StringEntry[];
}

/** AttributeProto.AttributeType, as far as this project makes them. */
export const ATTRIBUTE_TYPE = {
  FLOAT: 1,
  INT: 2,
  STRING: 3,
  TENSOR: 4,
  GRAPH: 5,
  FLOATS: 6,
  INTS: 7,
  STRINGS: 8,
} as const;

export interface AttributeProto extends WithUnknown {
  readonly name?: string;
  readonly refAttrName?: string;
  readonly docString?: string;
  readonly type?: number;
  readonly f?: number;
  readonly i?: bigint;
  readonly s?: Uint8Array;
  readonly t?: TensorProto;
  readonly g?: GraphProto;
  readonly sparseTensor?: SparseTensorProto;
  readonly tp?: TypeProto;
  readonly floats: Float32Array;
  readonly ints: BigInt64Array;
  readonly strings: readonly Uint8Array[];
  readonly tensors: readonly TensorProto[];
  readonly graphs: readonly GraphProto[];
  readonly sparseTensors: readonly SparseTensorProto[];
  readonly typeProtos: readonly TypeProto[];
}

export interface ValueInfo extends WithUnknown {
  readonly name?: string;
  readonly type?: TypeProto;
  readonly docString?: string;
  readonly metadataProps: readonly StringEntry[];
}

/** Elements are in `rawData` (little-endian), in one of the typed fields, or in another file (`dataLocation` 1). */
export interface TensorProto extends WithUnknown {
  readonly dims: readonly number[];
  /** ONNX_TYPE of shared/tensor/datatype.ts, and the small types in tensor-data.ts. */
  readonly dataType?: number;
  readonly floatData: Float32Array;
  readonly int32Data: Int32Array;
  readonly stringData: readonly Uint8Array[];
  readonly int64Data: BigInt64Array;
  readonly name?: string;
  readonly rawData?: Uint8Array;
  readonly doubleData: Float64Array;
  readonly uint64Data: BigUint64Array;
  readonly docString?: string;
  readonly externalData: readonly StringEntry[];
  readonly dataLocation?: number;
  readonly metadataProps: readonly StringEntry[];
}

export interface SparseTensorProto extends WithUnknown {
  readonly values?: TensorProto;
  readonly indices?: TensorProto;
  readonly dims: readonly number[];
}

export interface TypeProto extends WithUnknown {
  readonly tensorType?: TensorType;
  readonly sequenceType?: ElementType;
  readonly mapType?: MapType;
  readonly denotation?: string;
  readonly opaqueType?: OpaqueType;
  readonly sparseTensorType?: TensorType;
  readonly optionalType?: ElementType;
}

interface TensorType extends WithUnknown {
  readonly elemType?: number;
  /** Absent: the rank is unknown. */
  readonly shape?: TensorShape;
}

interface ElementType extends WithUnknown {
  readonly elemType?: TypeProto;
}

interface MapType extends WithUnknown {
  readonly keyType?: number;
  readonly valueType?: TypeProto;
}

interface OpaqueType extends WithUnknown {
  readonly domain?: string;
  readonly name?: string;
}

interface TensorShape extends WithUnknown {
  readonly dim: readonly Dimension[];
}

interface Dimension extends WithUnknown {
  readonly dimValue?: number;
  readonly dimParam?: string;
  readonly denotation?: string;
}

const operatorSetIdType = messageType<OperatorSetId>('OperatorSetIdProto', {
  domain: one(1, 'string'),
  version: one(2, 'safe64'),
});

const stringEntryType = messageType<StringEntry>('StringStringEntryProto', {
  key: one(1, 'string'),
  value: one(2, 'string'),
});
const entries = () => stringEntryType;

const dimensionType = messageType<Dimension>('Dimension', {
  dimValue: one(1, 'safe64', 'value'),
  dimParam: one(2, 'string', 'value'),
  denotation: one(3, 'string'),
});

const tensorShapeType = messageType<TensorShape>('TensorShapeProto', {
  dim: manyMessages(1, () => dimensionType),
});

const tensorTypeType = messageType<TensorType>('TypeProto.Tensor', {
  elemType: one(1, 'int32'),
  shape: oneMessage(2, () => tensorShapeType),
});

const elementTypeType: MessageType = messageType<ElementType>('TypeProto.Sequence', {
  elemType: oneMessage(1, () => typeProtoType),
});

const mapTypeType: MessageType = messageType<MapType>('TypeProto.Map', {
  keyType: one(1, 'int32'),
  valueType: oneMessage(2, () => typeProtoType),
});

const opaqueTypeType = messageType<OpaqueType>('TypeProto.Opaque', {
  domain: one(1, 'string'),
  name: one(2, 'string'),
});

const typeProtoType: MessageType = messageType<TypeProto>('TypeProto', {
  tensorType: oneMessage(1, () => tensorTypeType, 'value'),
  sequenceType: oneMessage(4, () => elementTypeType, 'value'),
  mapType: oneMessage(5, () => mapTypeType, 'value'),
  denotation: one(6, 'string'),
  opaqueType: oneMessage(7, () => opaqueTypeType, 'value'),
  sparseTensorType: oneMessage(8, () => tensorTypeType, 'value'),
  optionalType: oneMessage(9, () => elementTypeType, 'value'),
});

const valueInfoType = messageType<ValueInfo>('ValueInfoProto', {
  name: one(1, 'string'),
  type: oneMessage(2, () => typeProtoType),
  docString: one(3, 'string'),
  metadataProps: manyMessages(4, entries),
});

const tensorProtoType = messageType<TensorProto>('TensorProto', {
  dims: many(1, 'safe64'),
  dataType: one(2, 'int32'),
  floatData: many(4, 'float', 'packed'),
  int32Data: many(5, 'int32', 'packed'),
  stringData: many(6, 'bytes'),
  int64Data: many(7, 'int64', 'packed'),
  name: one(8, 'string'),
  rawData: one(9, 'bytes'),
  doubleData: many(10, 'double', 'packed'),
  uint64Data: many(11, 'uint64', 'packed'),
  docString: one(12, 'string'),
  externalData: manyMessages(13, entries),
  dataLocation: one(14, 'int32'),
  metadataProps: manyMessages(16, entries),
});

const sparseTensorProtoType = messageType<SparseTensorProto>('SparseTensorProto', {
  values: oneMessage(1, () => tensorProtoType),
  indices: oneMessage(2, () => tensorProtoType),
  dims: many(3, 'safe64'),
});

const attributeProtoType: MessageType = messageType<AttributeProto>('AttributeProto', {
  name: one(1, 'string'),
  f: one(2, 'float'),
  i: one(3, 'int64'),
  s: one(4, 'bytes'),
  t: oneMessage(5, () => tensorProtoType),
  g: oneMessage(6, () => graphProtoType),
  floats: many(7, 'float'),
  ints: many(8, 'int64'),
  strings: many(9, 'bytes'),
  tensors: manyMessages(10, () => tensorProtoType),
  graphs: manyMessages(11, () => graphProtoType),
  docString: one(13, 'string'),
  tp: oneMessage(14, () => typeProtoType),
  typeProtos: manyMessages(15, () => typeProtoType),
  type: one(20, 'int32'),
  refAttrName: one(21, 'string'),
  sparseTensor: oneMessage(22, () => sparseTensorProtoType),
  sparseTensors: manyMessages(23, () => sparseTensorProtoType),
});

const nodeProtoType: MessageType = messageType<NodeProto>('NodeProto', {
  input: many(1, 'string'),
  output: many(2, 'string'),
  name: one(3, 'string'),
  opType: one(4, 'string'),
  attribute: manyMessages(5, () => attributeProtoType),
  docString: one(6, 'string'),
  domain: one(7, 'string'),
  overload: one(8, 'string'),
  metadataProps: manyMessages(9, entries),
});

const graphProtoType: MessageType = messageType<GraphProto>('GraphProto', {
  node: manyMessages(1, () => nodeProtoType),
  name: one(2, 'string'),
  initializer: manyMessages(5, () => tensorProtoType),
  docString: one(10, 'string'),
  input: manyMessages(11, () => valueInfoType),
  output: manyMessages(12, () => valueInfoType),
  valueInfo: manyMessages(13, () => valueInfoType),
  sparseInitializer: manyMessages(15, () => sparseTensorProtoType),
  metadataProps: manyMessages(16, entries),
});

const trainingInfoType = messageType<TrainingInfo>('TrainingInfoProto', {
  initialization: oneMessage(1, () => graphProtoType),
  algorithm: oneMessage(2, () => graphProtoType),
  initializationBinding: manyMessages(3, entries),
  updateBinding: manyMessages(4, entries),
});

const functionProtoType = messageType<FunctionProto>('FunctionProto', {
  name: one(1, 'string'),
  input: many(4, 'string'),
  output: many(5, 'string'),
  attribute: many(6, 'string'),
  node: manyMessages(7, () => nodeProtoType),
  docString: one(8, 'string'),
  opsetImport: manyMessages(9, () => operatorSetIdType),
  domain: one(10, 'string'),
  attributeProto: manyMessages(11, () => attributeProtoType),
  valueInfo: manyMessages(12, () => valueInfoType),
  overload: one(13, 'string'),
  metadataProps: manyMessages(14, entries),
});

export const modelProtoType = messageType<ModelProto>('ModelProto', {
  irVersion: one(1, 'safe64'),
  producerName: one(2, 'string'),
  producerVersion: one(3, 'string'),
  domain: one(4, 'string'),
  modelVersion: one(5, 'int64'),
  docString: one(6, 'string'),
  graph: oneMessage(7, () => graphProtoType),
  opsetImport: manyMessages(8, () => operatorSetIdType),
  metadataProps: manyMessages(14, entries),
  trainingInfo: manyMessages(20, () => trainingInfoType),
  functions: manyMessages(25, () => functionProtoType),
});
