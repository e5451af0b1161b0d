compile specs/wide.dl --to onnx -o model.onnx
run model.onnx --in x=values.npy
