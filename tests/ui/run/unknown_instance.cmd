train specs/line.dl -o runs/line -q --device cpu
export runs/line -o model.onnx --model other
