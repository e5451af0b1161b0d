"""The signatures of the standard's operators; `python -m dlc.compiler.onnx.generate` writes this.

A line has an operator, its results, and its attributes with their kinds. A result has the element type behind `=`, or
that of the first of these inputs that is there; or, behind `@`, what that attribute says.
"""

# ruff: noqa: E501

from __future__ import annotations

_TABLE = """
Abs 0
Acos 0
Acosh 0
Add 0,1
AffineGrid 0 align_corners:INT
And =bool
ArgMax =int axis:INT keepdims:INT select_last_index:INT
ArgMin =int axis:INT keepdims:INT select_last_index:INT
Asin 0
Asinh 0
Atan 0
Atanh 0
Attention 0,1,4;0,1,4;2,5;0,1,4 is_causal:INT kv_num_heads:INT q_num_heads:INT qk_matmul_output_mode:INT scale:FLOAT softcap:FLOAT softmax_precision:INT
AveragePool 0 auto_pad:STRING ceil_mode:INT count_include_pad:INT dilations:INTS kernel_shape:INTS pads:INTS strides:INTS
BatchNormalization 0;3,4;3,4 epsilon:FLOAT momentum:FLOAT training_mode:INT
Bernoulli @dtype dtype:INT seed:FLOAT
BitShift 0,1 direction:STRING
BitwiseAnd 0,1
BitwiseNot 0
BitwiseOr 0,1
BitwiseXor 0,1
BlackmanWindow  output_datatype:INT periodic:INT
Cast @to saturate:INT to:INT
CastLike 1 saturate:INT
Ceil 0
Celu =float alpha:FLOAT
CenterCropPad 0 axes:INTS
Clip 0,1,2
Col2Im 0 dilations:INTS pads:INTS strides:INTS
Compress 0 axis:INT
Concat 0 axis:INT
ConcatFromSequence  axis:INT new_axis:INT
Constant  value:TENSOR value_float:FLOAT value_floats:FLOATS value_int:INT value_ints:INTS value_string:STRING value_strings:STRINGS
ConstantOfShape  value:TENSOR
Conv 0,1,2 auto_pad:STRING dilations:INTS group:INT kernel_shape:INTS pads:INTS strides:INTS
ConvInteger =int32 auto_pad:STRING dilations:INTS group:INT kernel_shape:INTS pads:INTS strides:INTS
ConvTranspose 0,1,2 auto_pad:STRING dilations:INTS group:INT kernel_shape:INTS output_padding:INTS output_shape:INTS pads:INTS strides:INTS
Cos 0
Cosh 0
CumSum 0 exclusive:INT reverse:INT
DFT 0 inverse:INT onesided:INT
DeformConv 0,1,2,3,4 dilations:INTS group:INT kernel_shape:INTS offset_group:INT pads:INTS strides:INTS
DepthToSpace 0 blocksize:INT mode:STRING
DequantizeLinear 1 axis:INT block_size:INT
Det 0
Div 0,1
Dropout 0;=bool seed:INT
DynamicQuantizeLinear =uint8;=float;=uint8
Einsum 0 equation:STRING
Elu 0 alpha:FLOAT
Equal =bool
Erf 0
Exp 0
Expand 0
EyeLike @dtype dtype:INT k:INT
Flatten 0 axis:INT
Floor 0
GRU 0,1,2,3,5;0,1,2,3,5 activation_alpha:FLOATS activation_beta:FLOATS activations:STRINGS clip:FLOAT direction:STRING hidden_size:INT layout:INT linear_before_reset:INT
Gather 0 axis:INT
GatherElements 0 axis:INT
GatherND 0 batch_dims:INT
Gelu 0 approximate:STRING
Gemm 0,1,2 alpha:FLOAT beta:FLOAT transA:INT transB:INT
GlobalAveragePool 0
GlobalLpPool 0 p:INT
GlobalMaxPool 0
Greater =bool
GreaterOrEqual =bool
GridSample 0 align_corners:INT mode:STRING padding_mode:STRING
GroupNormalization 0,1,2 epsilon:FLOAT num_groups:INT stash_type:INT
HammingWindow  output_datatype:INT periodic:INT
HannWindow  output_datatype:INT periodic:INT
HardSigmoid 0 alpha:FLOAT beta:FLOAT
HardSwish 0
Hardmax 0 axis:INT
Identity 0
If  else_branch:GRAPH then_branch:GRAPH
ImageDecoder =uint8 pixel_format:STRING
InstanceNormalization 0,1,2 epsilon:FLOAT
IsInf =bool detect_negative:INT detect_positive:INT
IsNaN =bool
LRN 0 alpha:FLOAT beta:FLOAT bias:FLOAT size:INT
LSTM 0,1,2,3,5,6,7;0,1,2,3,5,6,7;0,1,2,3,5,6,7 activation_alpha:FLOATS activation_beta:FLOATS activations:STRINGS clip:FLOAT direction:STRING hidden_size:INT input_forget:INT layout:INT
LayerNormalization 0,1,2;; axis:INT epsilon:FLOAT stash_type:INT
LeakyRelu 0 alpha:FLOAT
Less =bool
LessOrEqual =bool
Log 0
LogSoftmax 0 axis:INT
Loop  body:GRAPH
LpNormalization 0 axis:INT p:INT
LpPool 0 auto_pad:STRING ceil_mode:INT dilations:INTS kernel_shape:INTS p:INT pads:INTS strides:INTS
MatMul 0,1
MatMulInteger =int32
Max 0
MaxPool 0;=int auto_pad:STRING ceil_mode:INT dilations:INTS kernel_shape:INTS pads:INTS storage_order:INT strides:INTS
MaxRoiPool 0,1 pooled_shape:INTS spatial_scale:FLOAT
MaxUnpool 0 kernel_shape:INTS pads:INTS strides:INTS
Mean 0
MeanVarianceNormalization 0 axes:INTS
MelWeightMatrix  output_datatype:INT
Min 0
Mish 0
Mod 0,1 fmod:INT
Mul 0,1
Multinomial @dtype dtype:INT sample_size:INT seed:FLOAT
Neg 0
NegativeLogLikelihoodLoss 0,2 ignore_index:INT reduction:STRING
NonMaxSuppression =int center_point_box:INT
NonZero =int
Not =bool
OneHot 2 axis:INT
Optional
OptionalGetElement
OptionalHasElement =bool
Or =bool
PRelu 0,1
Pad 0,2 mode:STRING
Pow 0
QLinearConv 7 auto_pad:STRING dilations:INTS group:INT kernel_shape:INTS pads:INTS strides:INTS
QLinearMatMul 7
QuantizeLinear 2 axis:INT block_size:INT output_dtype:INT saturate:INT
RMSNormalization 1 axis:INT epsilon:FLOAT stash_type:INT
RNN 0,1,2,3,5;0,1,2,3,5 activation_alpha:FLOATS activation_beta:FLOATS activations:STRINGS clip:FLOAT direction:STRING hidden_size:INT layout:INT
RandomNormal @dtype dtype:INT mean:FLOAT scale:FLOAT seed:FLOAT shape:INTS
RandomNormalLike @dtype dtype:INT mean:FLOAT scale:FLOAT seed:FLOAT
RandomUniform @dtype dtype:INT high:FLOAT low:FLOAT seed:FLOAT shape:INTS
RandomUniformLike @dtype dtype:INT high:FLOAT low:FLOAT seed:FLOAT
Range 0,1,2
Reciprocal 0
ReduceL1 0 keepdims:INT noop_with_empty_axes:INT
ReduceL2 0 keepdims:INT noop_with_empty_axes:INT
ReduceLogSum 0 keepdims:INT noop_with_empty_axes:INT
ReduceLogSumExp 0 keepdims:INT noop_with_empty_axes:INT
ReduceMax 0 keepdims:INT noop_with_empty_axes:INT
ReduceMean 0 keepdims:INT noop_with_empty_axes:INT
ReduceMin 0 keepdims:INT noop_with_empty_axes:INT
ReduceProd 0 keepdims:INT noop_with_empty_axes:INT
ReduceSum 0 keepdims:INT noop_with_empty_axes:INT
ReduceSumSquare 0 keepdims:INT noop_with_empty_axes:INT
RegexFullMatch =bool pattern:STRING
Relu 0
Reshape 0 allowzero:INT
Resize 0 antialias:INT axes:INTS coordinate_transformation_mode:STRING cubic_coeff_a:FLOAT exclude_outside:INT extrapolation_value:FLOAT keep_aspect_ratio_policy:STRING mode:STRING nearest_mode:STRING
ReverseSequence 0 batch_axis:INT time_axis:INT
RoiAlign 0,1 coordinate_transformation_mode:STRING mode:STRING output_height:INT output_width:INT sampling_ratio:INT spatial_scale:FLOAT
RotaryEmbedding 0,1,2 interleaved:INT num_heads:INT rotary_embedding_dim:INT
Round 0
STFT 0,2 onesided:INT
Scan  body:GRAPH num_scan_inputs:INT scan_input_axes:INTS scan_input_directions:INTS scan_output_axes:INTS scan_output_directions:INTS
ScatterElements 0,2 axis:INT reduction:STRING
ScatterND 0,2 reduction:STRING
Selu 0 alpha:FLOAT gamma:FLOAT
SequenceAt
SequenceConstruct
SequenceEmpty @dtype dtype:INT
SequenceErase 0
SequenceInsert 0
SequenceLength =int
SequenceMap  body:GRAPH
Shape =int end:INT start:INT
Shrink 0 bias:FLOAT lambd:FLOAT
Sigmoid 0
Sign 0
Sin 0
Sinh 0
Size =int
Slice 0
Softmax 0 axis:INT
SoftmaxCrossEntropyLoss 0,2;0,2 ignore_index:INT reduction:STRING
Softplus 0
Softsign 0
SpaceToDepth 0 blocksize:INT
Split 0 axis:INT num_outputs:INT
SplitToSequence  axis:INT keepdims:INT
Sqrt 0
Squeeze 0
StringConcat
StringNormalizer  case_change_action:STRING is_case_sensitive:INT locale:STRING stopwords:STRINGS
StringSplit ;=int delimiter:STRING maxsplit:INT
Sub 0,1
Sum 0
Tan 0
Tanh 0
TfIdfVectorizer =float max_gram_length:INT max_skip_count:INT min_gram_length:INT mode:STRING ngram_counts:INTS ngram_indexes:INTS pool_int64s:INTS pool_strings:STRINGS weights:FLOATS
ThresholdedRelu 0 alpha:FLOAT
Tile 0
TopK 0;=int axis:INT largest:INT sorted:INT
Transpose 0 perm:INTS
Trilu 0 upper:INT
Unique 0;=int;=int;=int axis:INT sorted:INT
Unsqueeze 0
Where 1,2
Xor =bool
"""

SCHEMAS = {kind: rest for kind, _, rest in (line.partition(" ") for line in _TABLE.strip("\n").split("\n"))}
