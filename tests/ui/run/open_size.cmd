compile specs/half.dl --to onnx -o model.onnx
