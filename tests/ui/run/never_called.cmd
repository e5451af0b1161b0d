train specs/line.dl -o runs/line -q --device cpu
export runs/line -o model.onnx --no-verify
train specs/parts.dl -o runs/parts -q --device cpu
eval runs/parts --onnx model.onnx
