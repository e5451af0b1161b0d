train specs/line.dl -o runs/line -q
eval runs/line --split tset
