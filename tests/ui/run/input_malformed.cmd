compile specs/wide.dl --to onnx -o model.onnx
run model.onnx --in x=[[1,2,3
