compile specs/tokens.dl --to onnx -o model.onnx
run model.onnx --in tokens=[[3,1,1,1]] --in x=[[[1,1,1,1],[1,1,1,1],[1,1,1,1],[1,1,1,1]]]
