train specs/line.dl -o runs/line -q
eval runs/lien
