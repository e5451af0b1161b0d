train specs/gap.dl -o runs/gap -q
