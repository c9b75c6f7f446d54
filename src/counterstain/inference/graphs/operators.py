"""The operators of ONNX that the graph of a bundle may use: those of networks that turn an image into maps.

Left out on purpose: what repeats or chooses graphs (Loop, If, Scan), sequences, optionals and texts, what draws random numbers
(two runs would differ), and every operator that is not of the ONNX standard itself.
"""

_POINTWISE = """
Abs Add And BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Cos Div Elu Equal Erf Exp
Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min
Mish Mod Mul Neg Not Or Pow PRelu Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Softplus Softsign Sqrt Sub Sum
Swish Tan Tanh ThresholdedRelu Where Xor
"""
"""One value of each input makes one value of the output."""

_LAYERS = """
Attention AveragePool BatchNormalization Conv ConvInteger ConvTranspose DeformConv DequantizeLinear Dropout
DynamicQuantizeLinear Einsum Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool GroupNormalization InstanceNormalization
LayerNormalization LogSoftmax LpNormalization LpPool LRN MatMul MatMulInteger MaxPool MaxUnpool
MeanVarianceNormalization QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RotaryEmbedding Softmax
"""

_SHAPES = """
AffineGrid ArgMax ArgMin CenterCropPad Compress Concat Constant ConstantOfShape CumSum DepthToSpace Expand EyeLike
Flatten Gather GatherElements GatherND GridSample Hardmax NonZero OneHot Pad Range ReduceL1 ReduceL2 ReduceLogSum
ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Reshape Resize ReverseSequence
RoiAlign ScatterElements ScatterND Shape Size Slice SpaceToDepth Split Squeeze TensorScatter Tile TopK Transpose Trilu
Unsqueeze Upsample
"""
"""What moves, chooses, repeats or sums up values."""

ALLOWED = frozenset(f"{_POINTWISE} {_LAYERS} {_SHAPES}".split())
"""Names of operators."""
