train specs/line.dl -o runs/line -q
compile specs/wide.dl --to onnx -o model.onnx --weights runs/line
