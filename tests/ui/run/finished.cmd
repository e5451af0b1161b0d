train specs/line.dl -o runs/line -q
train specs/line.dl -o runs/line -q --resume
