train specs/line.dl -o runs/line -q
train specs/line.dl -o runs/line -q --resume --epochs 2
